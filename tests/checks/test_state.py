"""What a run has finished is there again, whole, for the same run only."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

from convcheck import Layer, UsageError, verify
from convcheck.checks import running
from convcheck.checks.parts import Partial, Span
from convcheck.checks.state import State, identity, seed_of
from convcheck.reports.results import Diagnosis, GradientResult, Worst
from tests.jobs import jobs
from tests.parts import SUITE

RUN = {"convcheck": "1", "target": "t", "layers": "l", "options": "o", "seed": ""}
RESULTS = (
    GradientResult(
        "mine", "input", "exact", "failed", 6, 6, 3, 1.5, inf, 0.0, 2, None,
        Worst((0, 1), -0.5, 1.0), (Diagnosis("a", "b", "c", "d"),), "wrong\nat all", on_integers=True,
    ),
    GradientResult("mine", "weight", "conditions", "skipped", waived=True, single_pass=False, condition="real"),
)  # fmt: skip
SPAN = Span("exact", "input", 3, 6)
PARTIAL = Partial((2, 3), np.array([1, 2, 5]), np.array([1.0, -2.5, inf]), 7)
LARGE = Layer(8, 4, (3, 2), stride=(2, 1), padding=1, input=(9, 10), name="large")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.state"


def fill(path):
    with State(path, RUN) as state:
        state.keep_results(0, RESULTS)
        state.keep_partial(1, SPAN, PARTIAL)


def same(one, other):
    return (one.shape, one.evaluations) == (other.shape, other.evaluations) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("places", "values")
    )


class TestFile:
    def test_what_was_kept_is_there_again_to_the_last_bit(self, path):
        fill(path)
        with State(path, RUN) as state:
            assert state.results(0) == RESULTS
            assert same(state.partial(1, SPAN), PARTIAL)
            assert state.results(1) is state.partial(0, SPAN) is state.partial(1, replace(SPAN, first=2)) is None

    def test_what_is_no_number_is_kept_too(self, path):
        with State(path, RUN) as state:
            state.keep_results(0, (replace(RESULTS[0], worst=Worst((), nan, -inf)),))
        with State(path, RUN) as state:
            (found,) = state.results(0)
        assert np.isnan(found.worst.analytic)
        assert found.worst.numeric == -inf

    def test_wherever_a_process_was_killed_while_it_wrote_all_before_is_there(self, path):
        fill(path)
        whole = path.read_bytes()
        ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
        for cut in sorted({*range(0, len(whole), 7), *ends, *(end - 1 for end in ends)}):
            path.write_bytes(whole[:cut])
            with State(path, RUN) as state:
                assert (state.results(0) == RESULTS) is (cut >= ends[1])
                state.keep_results(5, RESULTS)
            with State(path, RUN) as state:
                assert state.results(5) == RESULTS

    @pytest.mark.parametrize("line", [1, 2, 3])
    def test_a_line_that_was_changed_is_named(self, path, line):
        fill(path)
        lines = path.read_bytes().splitlines(keepends=True)
        lines[line - 1] = lines[line - 1].replace(b"1", b"2", 1)
        path.write_bytes(b"".join(lines))
        before = path.read_bytes()
        with pytest.raises(UsageError, match=rf"run\.state:{line}: .*damaged"):
            State(path, RUN)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b"a: 1\nb: 2", b"\x00\xff\n"])
    def test_a_file_of_another_kind_is_refused_and_left_alone(self, path, content):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"run\.state.*expected"):
            State(path, RUN)
        assert path.read_bytes() == content

    @pytest.mark.parametrize(
        ("key", "words"), [("convcheck", "version"), ("target", "code"), ("layers", "layers"), ("options", "options")]
    )
    def test_of_another_run_is_refused_and_says_what_differs(self, path, key, words):
        fill(path)
        with pytest.raises(UsageError, match=f"another run: .*{words}.* differ .*the same command, or another file"):
            State(path, {**RUN, key: "other"})

    def test_one_run_at_a_time(self, path):
        with State(path, RUN), pytest.raises(UsageError, match="of a run that is going on"):
            State(path, RUN)

    @pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a file without an end")
    def test_what_has_no_end_is_not_read(self):
        assert seed_of(Path("/dev/zero")) is None
        with pytest.raises(UsageError, match="no regular file"):
            State(Path("/dev/zero"), RUN)

    def test_where_it_cannot_be_written_is_said_at_once(self, tmp_path):
        with pytest.raises(UsageError, match=r"cannot keep the state in .*nowhere"):
            State(tmp_path / "nowhere" / "run.state", RUN)


class TestIdentity:
    def test_is_the_same_for_the_same_and_for_nothing_else(self, tmp_path):
        (tmp_path / "mine.py").write_text("from tests.targets_for_tests import Right as MyConv\n")

        def of(target=f"{tmp_path}/mine.py:MyConv", **options):
            work = jobs(target, **options)
            return identity([j.layer for j in work], [work[0].subjects], [j.demand for j in work])

        first = of()
        assert of() == first
        assert {k for k, v in of(checks=("exact",)).items() if v != first[k]} == {"options"}
        assert {k for k, v in of(layers=SUITE.layers[:2]).items() if v != first[k]} == {"layers"}
        assert {k for k, v in of("tests.targets_for_tests:Right").items() if v != first[k]} == {"target"}
        (tmp_path / "mine.py").write_text("from tests.targets_for_tests import Unflipped as MyConv\n")
        assert {k for k, v in of().items() if v != first[k]} == {"target"}

    def test_the_seed_that_was_drawn_is_drawn_again(self, path):
        assert seed_of(path) is None
        one = verify(SUITE, state=path, seed="random", checks=["exact"])
        assert seed_of(path) == one.seed
        again = verify(SUITE, state=path, seed="random", checks=["exact"])
        assert replace(again, elapsed_seconds=0) == replace(one, elapsed_seconds=0)
        with pytest.raises(UsageError, match="the layers differ"):
            verify(SUITE, state=path, seed=3, checks=["exact"])


class TestRuns:
    def test_a_second_run_computes_nothing_and_gives_the_same(self, path, monkeypatch):
        one = verify(SUITE, state=path, target="tests.targets_for_tests:Unflipped", shrink=False)
        monkeypatch.setattr("convcheck.checks.parts.check_layer", None)
        again = verify(SUITE, state=path, target="tests.targets_for_tests:Unflipped", shrink=False)
        assert replace(again, elapsed_seconds=0) == replace(one, elapsed_seconds=0)
        assert not one.passed

    def test_after_any_record_a_run_goes_on_and_computes_the_rest_alone(self, path, monkeypatch):
        monkeypatch.setattr(running, "GRAIN", 6.0 * LARGE.multiply_adds)
        layers = [SUITE.layers[0], LARGE]
        told = []
        monkeypatch.setattr("convcheck.checks.pools.carry_out", _counting(told))
        one = verify(layers, state=path, complete=True)
        whole, lines = len(told), path.read_bytes().splitlines(keepends=True)
        assert whole == len(lines) - 1 > 5
        for kept in (1, 2, len(lines) // 2, len(lines) - 1):
            path.write_bytes(b"".join(lines[:kept]) + lines[kept][: len(lines[kept]) // 2])
            told.clear()
            again = verify(layers, state=path, complete=True)
            assert replace(again, elapsed_seconds=0) == replace(one, elapsed_seconds=0)
            assert len(told) == whole - (kept - 1)

    def test_a_run_that_was_killed_goes_on(self, tmp_path):
        """Killed by a signal that no process survives, and asked again until it has ended by itself."""
        config = tmp_path / "suite.yaml"
        layer = "- {{channels: 2, filters: 3, kernel: 3, input: [9, 9], name: l{0}, seed: {0}}}"
        names = "\n".join(layer.format(n) for n in range(40))
        config.write_text(f"layers:\n{names}\n")
        command = [sys.executable, "-m", "convcheck", "verify", str(config), "--check", "exact", "--state", "s"]
        command += ["--output-format", "json"]
        state = tmp_path / "s"
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
            while not (state.exists() and state.read_bytes().count(b"\n") > 3) and process.poll() is None:
                time.sleep(0.002)
            process.kill()
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
        found, right = json.loads(ended.stdout), verify(config, checks=["exact"]).to_dict()
        assert found["layers"] == json.loads(json.dumps(right["layers"])) or os.name == "nt"


def _counting(told):
    from convcheck.checks.parts import carry_out

    def counted(order, targets, advance):
        told.append(order)
        return carry_out(order, targets, advance)

    return counted
