import shlex
from dataclasses import replace

import pytest

from convcheck import verify
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.reports.details import commands, selection
from convcheck.suites.config import parse_layer
from convcheck.suites.select import selector
from tests.reports import CONV, TARGET, failed_report, failing, layer_report, named, report_of
from tests.targets_for_tests import Unflipped

TARGETS = Unflipped.__module__


def words(report, label="reproduce", number=0, result=-1):
    layer = report.layers[number]
    return shlex.split(dict(commands(report, layer, layer.results[result])).get(label, ""))


def test_a_target():
    expected = ["convcheck", "verify", "suite.yaml", "--target", TARGET, "-k", '"conv1"', "--check", "exact"]
    assert words(failed_report()) == [*expected, "--seed", "0"]


def test_a_formulation():
    report = report_of(layer_report(CONV, (failing(CONV, "unfold", "weight", "central"),)))
    expected = ["convcheck", "verify", "suite.yaml", "--formulation", "unfold", "-k", '"conv1"', "--check", "central"]
    assert words(report) == [*expected, "--seed", "0"]


def test_what_a_condition_explains_is_looked_for_under_it_too():
    result = failing(CONV, TARGET, "weight")
    known = replace(result, diagnosis=(CONDITIONS["out-of-bounds"].diagnosis(),))
    checks = [words(report_of(layer_report(CONV, (found,))))[-6:-2] for found in (result, known)]
    assert checks[0][-2:] == ["--check", "exact"]
    assert checks[1] == ["--check", "exact", "--check", "conditions"]
    under = replace(known, check="conditions", condition="out-of-bounds")
    assert words(report_of(layer_report(CONV, (under,))))[-4:-2] == ["--check", "conditions"]


def test_the_seed_is_the_layers_and_the_options_are_the_runs():
    layer = replace(CONV, seed=17)
    report = report_of(layer_report(layer, (failing(layer, "unfold", "input"),)))
    report = replace(report, options=("--max-error", "1e-09", "--complete"))
    assert words(report)[3:6] == ["--max-error", "1e-09", "--complete"]
    assert words(report)[-2:] == ["--seed", "17"]


def test_a_target_from_the_config_needs_no_option():
    report = report_of(layer_report(CONV, (failing(CONV, "b.py:B", "input"),)), target="b.py:B")
    assert "--target" not in words(replace(report, options=()))


@pytest.mark.parametrize("config", ["my suite.yaml", "it's.yaml", "$HOME/`x`.yaml", "a;b.yaml"])
def test_what_a_shell_would_change_is_quoted(config):
    report = failed_report()
    report = replace(report, layers=(replace(report.layers[0], config=config),))
    assert words(report)[2] == config


def test_a_layer_of_code_that_no_command_can_name_has_no_command():
    report = replace(failed_report(), options=())
    layer = replace(report.layers[0], config=None, line=None)
    assert commands(report, layer, layer.results[-1]) == ()


def test_a_layer_from_no_file_is_given_itself():
    report = replace(failed_report(), options=("--target", "my.py:f"))
    layer = replace(report.layers[0], config=None, line=None)
    for _, command in commands(report, layer, layer.results[-1]):
        words = shlex.split(command)
        given = parse_layer(words[words.index("--layer") + 1], "--layer")
        assert replace(given, name="one", seed=0) == replace(layer.layer, name="one", seed=0)
        assert words[words.index("--seed") + 1] == str(layer.layer.seed)


@pytest.mark.parametrize(
    "name", ["conv1", "layer1.0.conv1", "my conv", "not", "(x)", 'say "a"', "it's", "[bold]", "a\\b"]
)
def test_the_selection_selects_this_layer_alone(name):
    selects = selector(selection(name))
    assert selects(name)
    assert not selects(name + "0")
    assert not selects(name.upper())


def test_a_bare_name_would_select_others():
    assert selector("conv1")("conv10")


def test_no_selection_holds_both_quotes():
    assert selection('"it\'s"') is None
    layer = named('"it\'s"')
    report = report_of(layer_report(layer, (failing(layer, "unfold", "input"),)))
    assert words(report, "reproduce") == []
    # A layer can be named with any quotes.
    target = report_of(layer_report(layer, (failing(layer, TARGET, "input"),)))
    assert words(target, "reproduce") == []
    assert words(target, "picture")[3:5] == ["--layer", '"it\'s"']


def test_code_that_was_given_as_an_object_is_named_by_no_command():
    """Without it, the command would check convcheck's own formulations, which pass."""
    layer = named("conv1")
    report = report_of(layer_report(layer, (failing(layer, TARGET, "input"),)))
    assert words(report, "reproduce")
    assert commands(replace(report, as_object=True), report.layers[0], report.layers[0].results[-1]) == ()


@pytest.mark.parametrize(("target", "commanded"), [(Unflipped, False), (f"{TARGETS}:Unflipped", True)])
def test_a_shipped_suite_is_repeated_with_its_target_or_not_at_all(target, commanded):
    report = verify("course", target=target, select="plain", shrink=False)
    found = [result for result in report.layers[0].results if not result.passed]
    assert found
    told = dict(commands(report, report.layers[0], found[0]))
    assert told.keys() == ({"reproduce", "explain", "picture"} if commanded else set())
    assert all(f"--target {TARGETS}:Unflipped" in command for command in told.values())
