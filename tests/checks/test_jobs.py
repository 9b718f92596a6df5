"""What there is to check is every layer that is asked for, with its code, or an error says why there is nothing."""

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from convcheck import Layer, Suite, UsageError, load
from convcheck.checks.check_layer import Demand
from convcheck.checks.jobs import jobs_of, of_their_kind, require_code, selected, suite_of
from convcheck.checks.pools import Subjects
from convcheck.errors import Parameter
from convcheck.gradients import FORMULATIONS
from tests.parts import SUITE

DEMAND = Demand(("exact",), inf, None)
RIGHT = "tests.targets_for_tests:Right"
STRICT = Parameter("strict")


def jobs(*suites, target=None, demand=DEMAND, changes=(), **asked):
    return jobs_of(suites, Subjects(target, Path.cwd(), **asked), demand, dict(changes), None)


def test_a_layer_a_suite_and_a_file_are_suites(tmp_path):
    (tmp_path / "layers.yaml").write_text("layers:\n- {channels: 2, filters: 3, kernel: 2}\n")
    assert suite_of(SUITE) is SUITE
    assert suite_of(SUITE.layers[0]).layers == SUITE.layers[:1]
    assert suite_of(tmp_path / "layers.yaml").layers == suite_of(str(tmp_path / "layers.yaml")).layers
    with pytest.raises(UsageError, match="3 cannot be verified; expected a Layer"):
        suite_of(3)


def test_there_is_one_for_each_layer_in_its_order_with_what_was_changed():
    made = jobs(SUITE, suite_of(SUITE.layers[0]), changes={"dtype": "float32", "seed": 7})
    assert [job.layer.name for job in made] == ["first", "second", "third", "first"]
    assert {(job.layer.dtype, job.layer.seed) for job in made} == {("float32", 7)}
    assert [job.config for job in made] == ["several"] * 3 + ["first"]
    assert [job.line for job in made] == [1, 2, 3, None]
    assert all([target.name for target in job.targets] == list(FORMULATIONS) for job in made)


def test_the_gate_of_the_caller_goes_before_that_of_the_suite():
    gated = replace(SUITE, max_error=0.5)
    assert {job.demand.max_error for job in jobs(gated)} == {0.5}
    assert {job.demand.max_error for job in jobs(gated, demand=replace(DEMAND, max_error=0.25))} == {0.25}


def test_the_target_of_the_caller_goes_before_that_of_the_suite(tmp_path):
    (tmp_path / "mine.py").write_text("from tests.targets_for_tests import Unflipped\n")
    own = replace(SUITE, target="mine.py:Unflipped", path=tmp_path / "several.yaml")
    assert {job.targets[0].name for job in jobs(own)} == {"mine.py:Unflipped"}
    assert {job.targets[0].name for job in jobs(own, target=RIGHT)} == {RIGHT}
    # Found once for all that share it.
    assert len({id(job.targets[0]) for job in jobs(own, SUITE, target=RIGHT)}) == 1


def test_a_device_is_for_a_target():
    with pytest.raises(UsageError, match="is for a target"):
        jobs(SUITE, device="cuda")


def test_those_that_an_expression_names_are_selected():
    made = jobs(SUITE)
    assert [job.layer.name for job in selected(made, "first or third", [SUITE])] == ["first", "third"]
    assert selected(made, None, [SUITE]) == made
    with pytest.raises(UsageError, match="fourth"):
        selected(made, "fourth", [SUITE])
    with pytest.raises(UsageError, match="nothing to verify"):
        selected([], None, [])


def test_without_code_of_the_users_nothing_is_checked_where_that_is_asked_for():
    own = replace(SUITE, target=RIGHT)
    require_code([own], None, (), STRICT)
    require_code([SUITE], RIGHT, (), STRICT)
    with pytest.raises(UsageError, match="several: no code of yours would be checked"):
        require_code([own, SUITE], None, (), STRICT)
    with pytest.raises(UsageError, match="no code of yours would be checked"):
        require_code([own], None, ("unfold",), STRICT)


def test_layers_of_another_kind_are_left_out_of_shipped_suites_alone():
    plain = {"call": RIGHT, "supports": ["stride", "padding"]}
    transposed = Layer(2, 3, 2, input=(5,), transposed=True, name="turned")
    shipped = load("unet_decoder")
    kinds = {layer.transposed for layer in shipped.layers}
    assert kinds == {True, False}
    kept, told = of_their_kind(jobs(shipped, target=plain))
    assert kept
    assert not any(job.layer.transposed for job in kept)
    assert all("unet_decoder: the target is not said to take" in text for text in told)
    assert told
    mine = jobs(Suite(name="mine", layers=(transposed,), lines=(1,)), target=plain)
    assert of_their_kind(mine) == (mine, ())
