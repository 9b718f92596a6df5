"""``convcheck protocol-check``: programs that speak the protocol, and each way not to."""

import os
import shutil
import sys
from unittest import mock

import pytest

from tests.cli.test_verify_command import run
from tests.programs import READ, ones

__all__ = ["run"]


def check(run, command, *options):
    return run("protocol-check", *options, *command)


def test_a_program_that_does_everything_right(run, tmp_path):
    status, out, err = check(run, ones(tmp_path))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith("ones.py")
    assert lines[-1].startswith("PASSED")
    assert {line.split()[0] for line in lines[1:-1]} == {"ok"}
    assert "forward, three axes" in out


REFUSE = """\
if groups > 1:
    requests.read(size * (x + weight + bias))
    answers.write(b"unsupported no groups\\n")
    answers.flush()
    continue
"""


def test_what_it_does_not_support_is_no_mistake(run, tmp_path):
    status, out, _ = check(run, ones(tmp_path, read=REFUSE + READ))
    assert status == 0
    assert "unsupported  forward, groups\n               no groups" in out
    assert "backward, groups" not in out


def test_one_that_takes_hardly_anything_is_not_blamed_for_it(run, tmp_path):
    # As a program does that ends with what it does not support.
    end = "answers.write(b'unsupported all but square float32\\n'); break"
    square = "dtype == 'float32' and rank == 2 and sizes[2] == sizes[3]"
    for name, condition in (("square", square), ("nothing", "False")):
        command = ones(tmp_path, f"{name}.py", read=f"if not ({condition}): {end}\n{READ}")
        status, out, _ = check(run, command)
        assert status == 0, out
        taken = "ok           backward, float32, everything square" in out
        assert taken is (name == "square")
        assert ("ok           a layer it may refuse, then another" in out) is taken


WRONG = {
    "does not loop": ({"last": "break"}, ["one request after the other", "at request 2", "until its input ends"]),
    "extra bytes": ({"answer": "answers.write(line + b''.join(arrays) + b'hello')"}, ["hello", "standard error"]),
    "late extra bytes": (
        {"last": "answers.flush(); import time; time.sleep(0.05); answers.write(b'late')"},
        ["late", "what its line announces and nothing else"],
    ),
    "the bias counted without one": (
        {"answer": "if direction == 'backward' and not bias: line = line[:-1] + b' 0\\n'\n"
         "answers.write(line + b''.join(arrays))"},
        ["backward, no bias", "grad_input, grad_weight follow"],
    ),
    "wrong sizes": (
        {"answer": "if rank == 3: line, arrays = b'ok 2\\n', [one * 2]\nanswers.write(line + b''.join(arrays))"},
        ["forward, three axes", "2 entries of output", "expected (2, 3,"],
    ),
    "float64 always": (
        {"answer": "answers.write(line + b''.join(array.array('d', [1.0] * c).tobytes() for c in counts))",
         "start": "import array"},
        ["forward, float32", "more than its line"],
    ),
    "ends with a status": ({"end": "sys.exit(4)"}, ["when its input ends, it ended with exit status 4"]),
    "refuses and is out of step": (
        {"read": "if dtype == 'float16': answers.write(b'unsupported float16\\n'); answers.flush(); continue\n"
         + READ},
        ["a layer it may refuse", "read the arrays all the same, or end"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("behaviour", WRONG)
def test_what_is_wrong_is_said(run, tmp_path, behaviour):
    code, words = WRONG[behaviour]
    status, out, _ = check(run, ones(tmp_path, **code))
    said = " ".join(out.split())
    assert status == 1
    assert all(word in said for word in words), out
    assert "FAILED" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ({"end": "import time; time.sleep(60)"}, ["does not end when its input ends; it was stopped after 0.3 s"]),
        ({"read": "requests.read()"}, ["was stopped after 0.3 s without an answer"]),
    ],
)
def test_one_that_hangs_is_stopped(run, tmp_path, code, words, monkeypatch):
    from convcheck.targets.programs import trials

    monkeypatch.setattr(trials, "_LAYERS", {"two axes": trials._LAYERS["two axes"]})
    status, out, _ = check(run, ones(tmp_path, **code), "--limit", "0.3")
    assert status == 1
    assert all(word in " ".join(out.split()) for word in words), out


def test_cases_are_kept(run, tmp_path):
    command = ones(tmp_path, answer="answers.write(b'{}\\n')")
    status, out, _ = check(run, command, "--keep-case", "cases")
    assert status == 1
    kept = sorted(path.name for path in (tmp_path / "cases").iterdir())
    assert kept
    assert all(name.startswith("case-forward-") for name in kept)
    assert f"the case is kept in cases/{kept[0]}" in " ".join(out.split()) or "kept in" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["./nothing"], "does not exist"),
        (["--limit", "0", "./nothing"], "--limit 0"),
        (["--limit", "nan", "./nothing"], "--limit nan"),
        ([], "COMMAND"),
    ],
)
def test_what_cannot_be_tried(run, words, said):
    status, _, err = run("protocol-check", *words)
    assert status == 2
    assert said in err


@pytest.mark.skipif(shutil.which("true") is None, reason="there is no program true")
def test_options_behind_the_program_are_the_programs(run):
    status, out, _ = run("protocol-check", "true", "--limit", "3")
    assert status == 1
    assert out.splitlines()[0] == "true --limit 3"
    assert "ended with exit status 0 without an answer" in " ".join(out.split())


class TestCasesOfVerify:
    def verify(self, run, command, *options):
        target = f"{{command: [{', '.join(command)}]}}"
        return run("verify", "textbook", "-k", "T0-stride-2", "--no-shrink", "--target", target, *options)

    @pytest.mark.parametrize("process", [[], ["--in-process"]])
    def test_what_goes_wrong_is_kept_where_the_option_says(self, run, tmp_path, process):
        command = ones(tmp_path, answer="answers.write(b'{}\\n')")
        status, out, err = self.verify(run, command, "--keep-case", "cases", *process)
        assert status == 1
        names = {path.name.rpartition("-")[0] for path in (tmp_path / "cases").iterdir()}
        assert names == {"case-forward"}
        assert "is in cases" in err
        assert "the case is kept in" in out

    def test_one_that_is_stopped_in_convchecks_own_process_is_kept_as_any_other(self, run, tmp_path):
        command = ones(tmp_path, read="requests.read()")
        status, out, _ = self.verify(run, command, "--keep-case", "cases", "--timeout", "0.5", "--in-process")
        assert status == 1
        assert "timeout of 0.5 s; it was stopped" in " ".join(out.split())
        assert "_TimeUpError" not in out
        assert {path.name.partition("-")[0] for path in (tmp_path / "cases").iterdir()} == {"case"}

    def test_what_was_stopped_is_kept_too(self, run, tmp_path):
        command = ones(tmp_path, read="requests.read()")
        status, out, _ = self.verify(run, command, "--keep-case", "cases", "--timeout", "1")
        assert status == 1
        assert "timeout of 1 s" in out
        names = {path.name.partition("-")[0] for path in (tmp_path / "cases").iterdir()}
        assert names == {"unanswered"}

    def test_the_folder_of_one_that_was_stopped_goes(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        (tmp_path / "slow.py").write_text("import time; open('begun', 'w').close(); time.sleep(60)")
        command = f"{sys.executable}, -I, -S, slow.py"
        options = ["-k", "T0-stride-2", "--no-shrink", "--timeout", "1.5"]
        environment = {"TMPDIR": str(tmp_path / "temporary")}
        with mock.patch.dict(os.environ, environment):
            status, out, _ = run("verify", "textbook", *options, "--target", f"{{command: [{command}], files: raw}}")
        assert status == 1
        assert "subprocess" not in out
        assert (tmp_path / "begun").exists()
        assert not list((tmp_path / "temporary").glob("convcheck-*"))

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--target", "my_conv.py:MyConv"], ["--keep-case", "is for a program", "my_conv.py:MyConv"]),
            ([], ["--keep-case", "is for a program", "--target"]),
        ],
    )
    def test_it_is_for_programs(self, run, options, words):
        status, _, err = run("verify", "textbook", "--keep-case", "cases", *options)
        assert status == 2
        assert all(word in err for word in words), err

    def test_a_folder_that_cannot_be(self, run, tmp_path):
        (tmp_path / "cases").write_text("")
        status, _, err = self.verify(run, ones(tmp_path), "--keep-case", "cases")
        assert status == 2
        assert "cannot write into cases" in err
