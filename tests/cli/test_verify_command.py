import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convcheck import __version__, verification
from convcheck.__main__ import main
from convcheck.cli.progress import Progress
from convcheck.errors import ConfigError
from convcheck.reports.formats import FORMATS
from convcheck.reports.results import CHECKS
from tests.reports import failed_report, passed_report

SMALL = """\
version: 1
layers:
  - {name: one, channels: 2, filters: 3, kernel: 2, stride: 2}
  - {name: two, channels: 2, filters: 3, kernel: [2, 3]}
"""

WRONG = """\
import sys
from pathlib import Path
import convcheck

class Wrong:
    def forward(self, x, weight, bias, layer):
        print("noise of the target")
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        layer, x, weight = self.saved
        grad_input, grad_weight, grad_bias = convcheck.backward(layer, x, weight, grad_output)
        return grad_input, -grad_weight, grad_bias
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command line in an empty folder; gives its status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["convcheck", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


@pytest.fixture
def called(monkeypatch):
    """Replace the verification; gives the arguments of its call."""
    calls = {}

    def verify(subject, **options):
        calls.update(options, subject=subject)
        return passed_report()

    monkeypatch.setattr(verification, "verify", verify)
    return calls


def returning(monkeypatch, report):
    monkeypatch.setattr(verification, "verify", lambda subject, **options: report)


def raising(monkeypatch, error):
    def verify(subject, **options):
        raise error

    monkeypatch.setattr(verification, "verify", verify)


def test_every_option_reaches_the_verification(run, called):
    run(
        "verify", "a.yaml", "textbook", "--target", "m:f", "--check", "exact", "--check", "central", "--formulation",
        "unfold", "-k", "conv and not stem", "-x", "--max-error", "1e-6", "--seed", "3", "--complete",
        "--device", "cuda", "--timeout", "2.5", "--jobs", "2", "--strict",
        "--require-target", "--dtype", "float32", "--no-shrink", "--shrink-seconds", "2",
        "--memory", "1.5GiB", "--skip-condition", "tiny", "--skip-condition", "threads",
        "--executor", "loky://2", "--state", "run.state", "--output-format", "jsonl",
    )  # fmt: skip
    assert isinstance(called.pop("progress"), Progress)
    assert callable(called.pop("each"))
    assert called == {
        "subject": ["a.yaml", "textbook"],
        "executor": "loky://2",
        "state": Path("run.state"),
        "target": "m:f",
        "checks": ["exact", "central"],
        "formulations": ["unfold"],
        "select": "conv and not stem",
        "exit_first": True,
        "max_error": 1e-6,
        "device": "cuda",
        "timeout": 2.5,
        "memory": 3 * 2**29,
        "keep_case": None,
        "skip_conditions": ["tiny", "threads"],
        "in_process": False,
        "jobs": 2,
        "seed": 3,
        "dtype": "float32",
        "complete": True,
        "blind_spots": True,
        "shrink": False,
        "shrink_seconds": 2.0,
        "strict": True,
        "require_target": True,
    }


def test_without_options(run, called, tmp_path):
    assert run("verify")[0] == 0
    called.pop("progress")
    assert called.pop("subject") == ["textbook"]
    assert (called.pop("blind_spots"), called.pop("jobs")) == (True, 1)
    assert (called.pop("shrink"), called.pop("shrink_seconds")) == (True, 5.0)
    assert not any(called.values())
    (tmp_path / "convcheck.yaml").write_text(SMALL)
    run("verify")
    assert called["subject"] == ["convcheck.yaml"]


@pytest.mark.parametrize(("report", "status"), [(passed_report(), 0), (failed_report(), 1)])
@pytest.mark.parametrize("output", [[], ["--output", "report.txt"], ["--output-format", "json"]])
def test_the_exit_status_is_the_verdict(run, monkeypatch, report, status, output):
    returning(monkeypatch, report)
    assert run("verify", *output)[0] == status


def test_the_report_goes_to_standard_output_alone(run, monkeypatch):
    returning(monkeypatch, failed_report())
    _, out, err = run("verify", "--output-format", "json")
    assert json.loads(out) == failed_report().to_dict()
    assert err == ""


def test_a_report_in_a_file(run, monkeypatch, tmp_path):
    returning(monkeypatch, failed_report())
    status, out, err = run("verify", "--output-format", "json", "--output", "report.json")
    assert (status, out) == (1, "")
    assert err == "FAILED; the report is in report.json\n"
    assert json.loads((tmp_path / "report.json").read_text()) == failed_report().to_dict()


def test_a_report_in_a_file_has_no_colours(run, monkeypatch, tmp_path):
    returning(monkeypatch, failed_report())
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in run("verify")[1]
    run("verify", "--output", "report.txt")
    assert "\x1b[" not in (tmp_path / "report.txt").read_text()


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_they_are_not_wanted(run, monkeypatch, variables):
    returning(monkeypatch, failed_report())
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    assert "\x1b[" not in run("verify")[1]


def test_columns_is_honoured(run, monkeypatch):
    returning(monkeypatch, passed_report())
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run("verify")[1]
    monkeypatch.setenv("COLUMNS", "160")
    wide = run("verify")[1]
    assert max(map(len, narrow.splitlines())) <= 60 < max(map(len, wide.splitlines()))


def test_an_unwritable_file_is_refused_before_the_work(run, called):
    status, out, err = run("verify", "--output", "missing/report.txt")
    assert (status, out) == (2, "")
    assert "cannot write missing/report.txt: the folder" in err
    assert not called


def test_the_errors_of_a_config_are_shown_without_a_traceback(run, monkeypatch):
    raising(monkeypatch, ConfigError(["a.yaml:3:5: first", "a.yaml:9:1: second"]))
    assert run("verify") == (2, "", "error: a.yaml:3:5: first\na.yaml:9:1: second\n")


def test_an_interruption_is_no_error(run, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    assert run("verify") == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-error", "nan"], "--max-error nan is not allowed; expected a positive number"),
        (["--max-error", "inf"], "--max-error inf is not allowed; expected a positive number"),
        (["--max-error", "0"], "--max-error 0.0 is not allowed; expected a positive number"),
        (["--max-error", "x"], "'--max-error'"),
        (["--seed", "-1"], "--seed -1 is not allowed; expected an integer of at least 0"),
        (["--seed", "1.5"], "'--seed'"),
        (["--check", "exakt"], 'unknown check "exakt"; did you mean "exact"?'),
        (["--dtype", "float31"], 'unknown dtype "float31"; did you mean "float32"?'),
        (["--formulation", "fft"], 'unknown formulation "fft"; expected one of '),
        (["--output-format", "xml"], "'xml' is not one of " + ", ".join(FORMATS)),
        (["-k", "nothing"], '-k "nothing" selects no layer of textbook'),
        (["-k", "one ) two"], '-k "one ) two": '),
        (["-k", '"stem"'], "-k '\"stem\"' selects"),
        (["--timeout", "0"], "--timeout 0.0 is not allowed; expected a positive number of seconds"),
        (["--jobs", "0"], "--jobs 0 is not allowed"),
        (["--output", "a.json", "--state", "./a.json"], "--state a.json is the file of a report too"),
        (["--device", "cuda"], "--device is for a target, not for what is built in; give one with --target"),
        (["--formulation", "unfold", "--target", "m:f"], "--formulation chooses among the built-in formulations"),
        (["--baseline", "none.json"], "--baseline none.json: cannot be read"),
        (["--output", "."], "cannot write .: it is a folder"),
        (["missing.yaml"], "missing.yaml"),
        (["textbok"], 'unknown suite "textbok"; did you mean "textbook"?'),
        (["--bogus"], "--bogus"),
    ],
)
def test_wrong_usage(run, words, message):
    status, out, err = run("verify", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_version(run):
    assert run("--version") == (0, f"convcheck {__version__}\n", "")


def test_the_help_names_every_check_and_format(run):
    status, out, _ = run("verify", "--help")
    assert status == 0
    assert all(name in out for name in [*CHECKS, *FORMATS])


def test_the_schema_is_json(run):
    status, out, err = run("schema")
    assert (status, err) == (0, "")
    assert json.loads(out)["$schema"]


def test_a_config_end_to_end(run, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    status, out, err = run("verify", "small.yaml")
    assert (status, err) == (0, "")
    assert "PASSED  2 layers of small.yaml" in out


def test_a_wrong_target_fails_and_its_noise_stays_out_of_the_report(run, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "wrong.py").write_text(WRONG)
    status, out, err = run("verify", "small.yaml", "--target", "wrong.py:Wrong", "--output-format", "json")
    assert status == 1
    failed = {
        (layer["name"], result["gradient"])
        for layer in json.loads(out)["layers"]
        for result in layer["results"]
        if result["status"] != "passed"
    }
    assert failed == {("one", "weight"), ("two", "weight")}
    assert "noise of the target" in err


def test_the_command_that_a_failure_names_runs_that_check_alone(run, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "wrong.py").write_text(WRONG)
    _, out, _ = run("verify", "small.yaml", "--target", "wrong.py:Wrong", "--check", "exact")
    commands = [line.split("reproduce")[1] for line in out.splitlines() if "reproduce" in line]
    # The mistake is told once, on the smaller of the two layers.
    assert len(commands) == 1
    _, *words = shlex.split(commands[0])
    status, again, _ = run(*words, "--output-format", "json")
    [layer] = json.loads(again)["layers"]
    assert status == 1
    # It is about the smallest layer on which the code still fails.
    assert layer["spec"]["channels"] == layer["spec"]["filters"] == layer["spec"]["batch"] == 1
    assert {result["check"] for result in layer["results"]} == {"exact"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def working(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with Progress() as progress:
        progress.start(2.0)
        progress.layer("conv[bold]1")
        progress.advance(1.0)
    return stream.getvalue()


def test_progress_is_shown_on_a_terminal_and_leaves_nothing_behind(monkeypatch):
    shown = working(monkeypatch, Terminal())
    assert "conv[bold]1" in shown
    assert "50%" in shown
    # The last thing done is to erase the line.
    assert shown.endswith("\x1b[2K")


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}])
def test_progress_is_silent_elsewhere(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert working(monkeypatch, io.StringIO()) == ""


def test_progress_is_silent_on_a_dumb_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with Progress() as progress:
        progress.start(2.0)
        progress.advance(1.0)
    assert sys.stderr.getvalue() == ""


def command(*words, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "convcheck", *words], **pipes, **options)


def command_in_front(*words, **options):
    """Run a command as on a terminal: a shell that runs the tests in the background has them ignore Ctrl-C."""
    code = (
        "import runpy, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "runpy.run_module('convcheck', run_name='__main__', alter_sys=True)\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *words], **pipes, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_goes_away_changes_nothing():
    with command("verify", "textbook") as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_quietly(tmp_path):
    (tmp_path / "slow.py").write_text("import time\ndef Slow():\n    print('ready', flush=True)\n    time.sleep(60)\n")
    process = command_in_front("verify", "textbook", "--target", "slow.py:Slow", cwd=tmp_path)
    assert process.stderr.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_keeps_what_was_found(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import sys, time\nfrom convcheck import backward, forward\n"
        "class Slow:\n"
        "    def forward(self, x, weight, bias, layer):\n"
        "        if layer.name == 'second':\n            print('ready', flush=True)\n            time.sleep(600)\n"
        "        self.saved = layer, x, weight\n        return forward(layer, x, weight, bias)\n"
        "    def backward(self, grad_output):\n        return backward(*self.saved, grad_output)\n"
    )
    (tmp_path / "two.yaml").write_text(
        "target: slow.py:Slow\ndefaults: {channels: 2, filters: 3, kernel: 2}\nlayers:\n- name: first\n- name: second\n"
    )
    process = command_in_front("verify", "two.yaml", "--output", "report.json", cwd=tmp_path)
    assert process.stderr.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out == b""
    assert err.endswith(b"interrupted\n")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["passed"], report["unchecked"]) == (False, ["second"])


def test_an_output_that_knows_few_characters_is_no_error():
    process = command("verify", "textbook", "-k", "T3-stride-1", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, b"")
    assert b"1 channel -> 1 filter" in out


def test_a_random_seed_is_told_and_can_be_given_again(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["verify", "textbook", "-k", "T0-stride-2", "--target", "tests.targets_for_tests:Unflipped", "--no-shrink"]
    status, out, err = run(*words, "--seed", "random")
    seed = re.search(r"--seed (\d+)", err)[1]
    assert status == 1
    assert f"--seed {seed}" in out
    first, again = (json.loads(run(*words, "--output-format", "json", "--seed", given)[1]) for given in (seed, seed))
    assert first["seed"] == int(seed) == first["layers"][0]["spec"]["seed"]
    assert first["layers"] == again["layers"]
    other = json.loads(run(*words, "--output-format", "json", "--seed", "random")[1])
    assert other["seed"] != first["seed"]


def test_a_seed_that_is_none_is_refused(run):
    status, _, err = run("verify", "textbook", "--seed", "dice")
    assert status == 2
    assert "dice" in err
    assert "random" in err
