"""``convcheck audit``: of files, and of what a command of somebody's tests calls."""

import json
import sys

import pytest

from convcheck.layer.similar import as_yaml, revealing
from tests.cli.test_verify_command import run
from tests.suites.test_recording import CODE

__all__ = ["run"]

#: A test project whose tests call two layers, and one of them fails.
TESTS = """\
import numpy as np
import pytest
from my_conv import conv_forward

@pytest.mark.parametrize("size", [8, 7])
def test_forward(size):
    conv_forward(np.zeros((2, 3, size, size)), np.zeros((4, 3, 3, 3)), np.zeros(4), {"stride": 1, "pad": 0})
    assert size == 8
"""

PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "my_conv.py").write_text(CODE)
    (tmp_path / "test_conv.py").write_text(TESTS)


def record(run, *words, options=()):
    return run("audit", "--record", "--target", "my_conv:conv_forward", *options, "--", *PYTEST, *words)


class TestRecorded:
    def test_what_the_tests_of_a_project_could_show(self, run, project):
        status, out, err = record(run, options=["--save", "seen.yaml"])
        assert status == 0
        assert "2 layers of" in out
        assert "The recorded command ended with status 1." in out
        assert "recorded 2 layers of a command that ended with status 1" in err
        for name, verdict in {
            "kernel-not-flipped": "every form", "gradient-not-dilated": "never", "groups-ignored": "never",
            "padding-offset": "never", "batch-averaged": "every form",
        }.items():  # fmt: skip
            [line] = [line for line in out.splitlines() if f" {name} " in line]
            assert verdict in line
        _, again, _ = run("audit", "seen.yaml", "--output-format", "json")
        assert json.loads(again)["layers"] == 2

    @pytest.mark.long
    def test_of_tests_that_run_side_by_side(self, run, project):
        pytest.importorskip("xdist")
        status, out, _ = record(run, "-n", "2", options=["--output-format", "json"])
        assert status == 0
        # What pytest says goes to standard output too.
        assert json.loads(out[out.index("{\n") :])["layers"] == 2

    def test_too_little(self, run, project):
        status, out, _ = record(run, "-k", "8", options=["--require", "30"])
        assert status == 1
        assert "FAILED" in out
        assert "The recorded command ended with status 0." in out


class TestFiles:
    def test_a_requirement_that_is_met(self, run, tmp_path):
        layers = "".join(f"  - {as_yaml(layer)}\n" for _, layer in revealing(2))
        (tmp_path / "convcheck.yaml").write_text(f"version: 1\nlayers:\n{layers}")
        status, out, _ = run("audit", "--require", "37")
        assert status == 0
        assert "PASSED  37 of at least 37" in out

    def test_one_that_is_not(self, run, tmp_path):
        (tmp_path / "shapes").write_text("mb1_ic3oc64_ih224oh112kh7sh2ph3")
        status, out, _ = run("audit", "shapes", "--require", "30", "--output", "audit.json")
        assert (status, out) == (1, "")
        data = json.loads((tmp_path / "audit.json").read_text())
        assert (data["passed"], data["required"], data["layers"]) == (False, 30, 1)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["course", "--require", "0"], "--require 0 is not allowed"),
            (["missing.yaml"], "missing.yaml: no such file"),
            (["missing"], "missing: unknown format"),
            (["--record"], "--record needs a command"),
            (["course", "--target", "a:b"], "--target is about a recorded command"),
            (["course", "--save", "x.yaml"], "--save is about a recorded command"),
            (["--record", "--format", "aten", "--", "true"], "--format is about files"),
            (["--record", "--", "no-such-program"], "cannot run no-such-program"),
            (["course", "--output", "none/x.json"], "does not exist"),
        ],
    )
    def test_bad_usage(self, run, tmp_path, words, message):
        status, out, err = run("audit", *words)
        assert (status, out) == (2, "")
        assert message in err
        assert list(tmp_path.iterdir()) == []


def test_a_config_has_sizes_of_its_own(run):
    status, out, err = run("audit", "resnet50", "--input-size", "1,3,8,8")
    assert (status, out) == (2, "")
    assert "resnet50: has sizes of its own; leave out --input-size" in err
