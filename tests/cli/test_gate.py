"""A gate that cannot be green for nothing, and what ``--quiet`` leaves of a report."""

import json
import re
import sys
from html import unescape

import pytest

from convcheck import Layer, UsageError, verify
from convcheck.cli.progress import Progress
from convcheck.reports.formats import FORMATS, render
from tests.cli.test_verify_command import WRONG, Terminal, run
from tests.targets_for_tests import Right

__all__ = ["run"]

LAYERS = """\
layers:
  - {name: one, channels: 2, filters: 3, kernel: 2, stride: 2}
  - {name: two, channels: 2, filters: 3, kernel: [2, 3]}
"""

SAID = "convcheck's own formulations; no code of yours"

LAYER = Layer(2, 3, 2, name="one")


@pytest.fixture
def folder(tmp_path):
    """A folder with a config that names no target and two that do, one of a target that cannot be imported."""
    (tmp_path / "mine.yaml").write_text(LAYERS)
    (tmp_path / "right.yaml").write_text(f"target: my_conv.py:Right\n{LAYERS}")
    (tmp_path / "broken.yaml").write_text(f"target: broken.py:Right\n{LAYERS}")
    right = WRONG.replace("Wrong", "Right").replace("-grad_weight", "grad_weight").replace("print", "str")
    (tmp_path / "my_conv.py").write_text(right)
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "broken.py").write_text("raise RuntimeError('imported')\n")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("option", ["--strict", "--require-target"])
@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "textbook"),
        (["hostile"], "hostile"),
        (["mine.yaml"], "mine.yaml"),
        (["broken.yaml", "mine.yaml"], "mine.yaml"),
        (["mine.yaml", "textbook"], "mine.yaml, textbook"),
    ],
)
def test_a_run_that_checks_no_code_is_refused_before_any_work(run, option, words, named):
    status, out, err = run("verify", *words, option)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {named}: no code of yours")
    assert f"{option} expects" in err
    assert ("in mine.yaml" if "mine.yaml" in words else "convcheck.yaml") in err
    assert "imported" not in err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("option", ["--strict", "--require-target"])
def test_a_formulation_is_no_code_of_the_users(run, option):
    status, out, err = run("verify", "right.yaml", "--formulation", "unfold", option)
    assert (status, out) == (2, "")
    assert "leave out --formulation" in err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "words", [["right.yaml"], ["mine.yaml", "textbook", "-k", "one", "--target", "my_conv.py:Right"]]
)
def test_a_run_that_checks_code_is_not_refused(run, words):
    status, out, _ = run("verify", *words, "-k", "one", "--require-target")
    assert status == 0
    assert "target       my_conv.py:Right" in out
    assert SAID not in out


def test_what_the_message_gives_can_be_pasted(run, folder):
    message = run("verify", "mine.yaml", "--require-target")[2]
    option, value = re.search(r'(--target) "([^"]+)"', message).groups()
    line = re.search(r'line such as "([^"]+)"', message)[1]
    (folder / "my_conv.py").write_text((folder / "my_conv.py").read_text().replace("Right", "MyConv"))
    assert run("verify", "mine.yaml", "--require-target", option, value)[0] == 0
    (folder / "mine.yaml").write_text(f"{line}\n{LAYERS}")
    assert run("verify", "mine.yaml", "--require-target")[0] == 0


@pytest.mark.parametrize(
    ("option", "named"), [({"strict": True}, "strict"), ({"require_target": True}, "require_target")]
)
def test_the_library_refuses_it_too(option, named):
    with pytest.raises(UsageError, match=rf"{named} expects some; give it with target='my_conv.py:MyConv'"):
        verify(LAYER, **option)
    with pytest.raises(UsageError, match=rf"{named} does not allow that; leave out formulations"):
        verify(LAYER, formulations=["unfold"], **option)
    assert all(layer.passed for layer in verify(LAYER, target=Right, **option).layers)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_that_no_code_was_checked(name):
    assert SAID in " ".join(unescape(render(verify(LAYER), name)).split())
    assert SAID not in " ".join(render(verify(LAYER, target=Right), name).split())


def test_a_notebook_says_it_too():
    assert "no code of yours" in verify(LAYER)._repr_html_()
    assert "no code of yours" not in verify(LAYER, target=Right)._repr_html_()


@pytest.mark.usefixtures("folder")
def test_of_several_configs_the_one_without_a_target_is_named(run):
    status, out, _ = run("verify", "right.yaml", "mine.yaml", "--output-format", "json")
    report = json.loads(out)
    assert (status, report["target"]) == (0, "my_conv.py:Right")
    assert report["checked"] == f"my_conv.py:Right; on mine.yaml {SAID}"
    assert "::warning" in run("verify", "right.yaml", "mine.yaml", "--output-format", "github")[1]


@pytest.mark.usefixtures("folder")
class TestQuiet:
    @pytest.mark.parametrize("option", ["--quiet", "-q"])
    def test_a_pass_is_one_line(self, run, option):
        assert run("verify", "right.yaml", option) == (0, "PASSED  2 layers of right.yaml\n", "")

    def test_a_pass_of_no_code_is_one_line_that_says_so(self, run, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        assert run("verify", "mine.yaml", "-q")[1] == f"PASSED  2 layers of mine.yaml (checked: {SAID})\n"

    def test_a_failure_is_what_was_found_without_the_table(self, run):
        words = ["verify", "mine.yaml", "--target", "wrong.py:Wrong", "--check", "exact"]
        status, out, _ = run(*words, "--quiet")
        assert status == 1
        assert out.endswith("\nFAILED  2 of 2 layers of mine.yaml\n")
        assert all(word in out for word in ("one", "two", "sign-flipped", "reproduce"))
        assert not any(word in out for word in ("Errors are", "PASS", "evaluations"))
        # It is a part of the whole table, word for word.
        assert run(*words)[1].index(out) > 0

    def test_a_blind_spot_that_fails_is_found(self, run):
        status, out, _ = run("verify", "right.yaml", "--strict", "-q")
        assert status == 1
        assert out.startswith("FAILED  the suite lacks ")
        assert "ruled out" not in out

    def test_files_and_other_formats_are_whole(self, run, folder):
        run("verify", "right.yaml", "--output", "loud.txt", "--output", "loud.json")
        status, out, err = run("verify", "right.yaml", "-q", "--output", "quiet.txt", "--output", "quiet.json")
        assert (status, out) == (0, "")
        assert "passed; the report is in quiet.txt" in err
        for ending in ("txt", "json"):
            loud, quiet = ((folder / f"{name}.{ending}").read_text() for name in ("loud", "quiet"))
            assert len(loud.splitlines()) == len(quiet.splitlines())
        assert json.loads(run("verify", "right.yaml", "-q", "--output-format", "json")[1])["passed"]

    def test_there_is_no_progress(self, monkeypatch):
        shown = {}
        for quiet in (False, True):
            monkeypatch.setattr(sys, "stderr", Terminal())
            monkeypatch.setenv("TERM", "xterm")
            with Progress(quiet=quiet) as progress:
                progress.start(2.0)
                progress.layer("conv1")
                progress.advance(1.0)
            shown[quiet] = sys.stderr.getvalue()
        assert shown[False]
        assert not shown[True]
