"""Lines come while the run goes on, also where the code under test prints; where work goes, and what is kept."""

import json
import subprocess
import sys

import pytest

from convcheck.cli.progress import seconds_left
from tests.shell import convcheck


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import pathlib, sys, time\nfrom tests.targets_for_tests import Right\n"
        "class MyConv(Right):\n    def forward(self, x, w, b, layer):\n        print('noise')\n"
        "        while layer.name == 'last' and not pathlib.Path('go').exists():\n            time.sleep(0.01)\n"
        "        return super().forward(x, w, b, layer)\n"
    )
    (tmp_path / "suite.yaml").write_text(
        "target: mine.py:MyConv\ndefaults: {channels: 2, filters: 3, kernel: 2}\n"
        "layers:\n- {name: one}\n- {name: two}\n- {name: last}\n"
    )
    return tmp_path


@pytest.mark.parametrize("options", [[], ["-j", "2"]])
def test_a_layer_is_told_when_it_is_done(suite, options):
    """The last layer waits for a file that is made when the lines of the others have come."""
    command = [sys.executable, "-m", "convcheck", "verify", "suite.yaml", "--check", "exact", *options]
    with subprocess.Popen(
        [*command, "--output-format", "jsonl"], cwd=suite, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        first = [json.loads(process.stdout.readline())["name"] for _ in range(2)]
        assert process.poll() is None
        (suite / "go").touch()
        last, totals = map(json.loads, process.stdout.read().splitlines())
    assert (first, last["name"]) == (["one", "two"], "last")
    assert totals["totals"] == {"layers": 3, "passed": 3, "failed": 0}
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--executor", "nowhere"], '--executor "nowhere" is not allowed; expected dask://HOST:PORT'),
        (["--executor", "loky://2", "-j", "2"], "leave out --jobs"),
        (["--state", "suite.yaml"], "cannot write suite.yaml"),
    ],
)
def test_what_cannot_be_is_refused(suite, options, words):
    (suite / "go").touch()
    status, _, err = convcheck(["verify", "suite.yaml", *options], suite)
    assert status == 2
    assert words in " ".join(err.split())


def test_a_state_is_of_one_command(suite):
    (suite / "go").touch()
    command = ["verify", "suite.yaml", "--check", "exact", "--state", "s", "--output-format", "json"]
    first, again = convcheck(command, suite), convcheck(command, suite)
    assert first[0] == again[0] == 0
    assert json.loads(first[1])["layers"] == json.loads(again[1])["layers"]
    status, _, err = convcheck(["verify", "suite.yaml", "--check", "forward", "--state", "s"], suite)
    assert status == 2
    assert "s is the state of another run: the options differ" in " ".join(err.split())


class TestTimeLeft:
    def test_is_foreseen_before_anything_is_done(self):
        assert seconds_left(100.0, 0.0, 0.0, pace=1.0) == 100.0
        assert seconds_left(100.0, 0.0, 0.0, pace=None) is None

    def test_follows_what_was_done_more_and_more(self):
        twice_as_fast = [seconds_left(100.0, 2.0 * t, t, pace=1.0) for t in (0.0, 1.0, 5.0, 25.0)]
        assert twice_as_fast == sorted(twice_as_fast, reverse=True)
        assert twice_as_fast[-1] == pytest.approx(25.0, rel=0.1)
        assert seconds_left(100.0, 50.0, 10.0, pace=None) == 10.0

    def test_grows_where_nothing_is_done(self):
        assert seconds_left(100.0, 0.0, 9.0, pace=1.0) > seconds_left(100.0, 0.0, 1.0, pace=1.0) > 100

    def test_ends_at_nothing(self):
        assert seconds_left(100.0, 100.0, 50.0, pace=1.0) == 0.0
        assert seconds_left(100.0, 101.0, 50.0, pace=1.0) == 0.0
