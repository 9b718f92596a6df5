"""The commands visualize and explain: what they write, print and refuse."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from convcheck.explain.sums.notation import NOTATIONS
from tests.shell import convcheck

WRONG = """
import convcheck

class Unflipped:
    def forward(self, x, weight, bias, layer):
        self.layer, self.x, self.weight = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        print("noise")
        grads = convcheck.backward(self.layer, self.x, self.weight, grad_output)
        flipped = convcheck.backward(self.layer, self.x, self.weight[..., ::-1, ::-1], grad_output)
        return flipped.input, grads.weight, grads.bias

class Right(Unflipped):
    def backward(self, grad_output):
        return convcheck.backward(self.layer, self.x, self.weight, grad_output)

class WrongForward(Unflipped):
    def forward(self, x, weight, bias, layer):
        self.layer, self.x, self.weight = layer, x, weight
        return convcheck.forward(layer, x, 2 * weight, bias)

    def backward(self, grad_output):
        return convcheck.backward(self.layer, self.x, self.weight, grad_output)

class Raises(Right):
    def backward(self, grad_output):
        raise RuntimeError("not today")
"""


def run(*args, cwd, **environment):
    status, out, err = convcheck(args, cwd, **environment)
    return SimpleNamespace(returncode=status, stdout=out, stderr=err)


@pytest.fixture
def target(tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    return tmp_path


def test_by_default_the_worked_example_is_drawn(tmp_path):
    done = run("visualize", "--output-dir", "new/pictures", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    paths = done.stdout.splitlines()
    assert [Path(path).name for path in paths] == [
        f"T3-stride-2-{name}.png"
        for name in ("forward", "wires", "input-gradient", "weight-gradient", "overlap", "unfold")
    ]
    assert all((tmp_path / path).read_bytes()[:4] == b"\x89PNG" for path in paths)
    assert sorted(p.name for p in (tmp_path / "new/pictures").iterdir()) == sorted(Path(path).name for path in paths)


def test_layers_by_name_in_svg(tmp_path):
    kinds = ("--kind", "channels", "--kind", "overlap", "--channel", "1", "--format", "svg")
    done = run("visualize", "textbook", "--layer", "T3-crop", "--layer", "T1-groups", *kinds, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [Path(path).name for path in done.stdout.splitlines()]
    assert names == [f"{layer}-{kind}.svg" for layer in ("T3-crop", "T1-groups") for kind in ("channels", "overlap")]
    before = {path: (tmp_path / path).read_bytes() for path in done.stdout.splitlines() if "T1-groups" in path}
    run("visualize", "textbook", "--layer", "T1-groups", *kinds, cwd=tmp_path)
    assert before == {path: (tmp_path / path).read_bytes() for path in before}


def test_the_animation(tmp_path):
    done = run("visualize", "--format", "gif", cwd=tmp_path)
    moving = ("T3-stride-2-input-gradient.gif", "T3-stride-2-weight-gradient.gif")
    assert done.stdout.splitlines() == [os.path.join("convcheck-figures", name) for name in moving]
    assert all((tmp_path / path).read_bytes()[:6] == b"GIF89a" for path in done.stdout.splitlines())


def test_one_picture_of_one_entry(tmp_path):
    words = ("visualize", "textbook", "--layer", "T1-groups", "--terminal")
    done = run(*words, "--kind", "overlap", "--kind", "weight-gradient", "--entry", "weight[3,1,2,0]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Layer T1-groups") == 2
    assert "sample 0's part of dL/dW[2,0]" in " ".join(done.stdout.split())
    # One that has nothing to tell is drawn where it is asked for.
    done = run("visualize", "--terminal", "--kind", "channels", cwd=tmp_path)
    assert "1 filter of depth 1 forward" in done.stdout


def test_what_is_wrong_is_worked_out(target):
    words = ("visualize", "--terminal", "--target", "wrong.py:Unflipped", "textbook", "--layer", "T3-stride-2")
    told = " ".join(run(*words, "--kind", "error", "--kind", "input-gradient", cwd=target).stdout.split())
    assert "kernel-not-flipped: " in told
    assert "Fix: " in told
    worst = re.search(r"the worst entry dL/dX\[0,0,(\d,\d)\], given (\S+), expected (\S+?)\.", told)
    assert f"In brackets: dL/dX[{worst[1]}] = " in told
    assert f"= {worst[3]}." in told


def test_a_wrong_forward_pass_is_said_to_be_what_is_wrong(target):
    words = ("--terminal", "--kind", "error", "textbook", "--layer", "T3-stride-2")
    told = " ".join(run("visualize", "--target", "wrong.py:WrongForward", *words, cwd=target).stdout.split())
    assert "O is wrong" in told
    assert "The forward pass itself is wrong" in told
    assert "It fits the layer that the config describes. It is the forward pass that is wrong" in told
    told = run("visualize", "--target", "wrong.py:Unflipped", *words, cwd=target).stdout
    assert "forward pass" not in " ".join(told.split()).replace("differences of the forward pass", "")


def test_open_shows_what_was_written(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("typer.launch", lambda path: shown.append(path) or 0)
    run("visualize", "--kind", "wires", "--open", cwd=tmp_path)
    run("visualize", "--kind", "wires", "--kind", "overlap", "--open", "--output-dir", "out", cwd=tmp_path)
    assert shown == [os.path.join("convcheck-figures", "T3-stride-2-wires.png"), "out"]
    monkeypatch.setattr("typer.launch", lambda path: 1)
    done = run("visualize", "--kind", "wires", "--open", cwd=tmp_path)
    assert (done.returncode, "nothing here opens" in done.stderr) == (0, True)


def test_a_wrong_target_gets_a_map_of_its_error(target):
    done = run(
        "visualize",
        "textbook",
        "--layer",
        "T3-stride-2",
        "--target",
        "wrong.py:Unflipped",
        "--format",
        "svg",
        cwd=target,
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.endswith("T3-stride-2-error-input.svg")
    assert len(rest) == 6
    assert "noise" in done.stderr
    told = (target / first).read_text()
    assert "dL/dX is wrong" in told
    assert "(differences of the forward" in told


def test_a_right_target_is_said_to_be_right(target):
    done = run("visualize", "--target", "wrong.py:Right", "--terminal", cwd=target)
    assert done.returncode == 0
    assert "is right, so there is no error to draw" in done.stderr


def test_a_target_that_raises_writes_nothing(target):
    done = run("visualize", "--target", "wrong.py:Raises", "--output-dir", "out", cwd=target)
    assert done.returncode == 2
    assert "RuntimeError: not today" in done.stderr
    assert not (target / "out").exists()


def test_terminal_without_colour(tmp_path):
    done = run("visualize", "--terminal", cwd=tmp_path)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "3×3 = (2-1)·2+1" in done.stdout
    assert "3   ░   ░   ·   ·   ·   ░   ░" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_terminal_with_colour(tmp_path):
    done = run("visualize", "--terminal", cwd=tmp_path, FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b[" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--layer", "T3-strid-2"), 'textbook has no layer "T3-strid-2"; did you mean "T3-stride-2"? its layers are'),
        (("--format", "bmp"), '--format "bmp" is unknown; expected one of png, svg, gif, webp, apng'),
        (("--kind", "wire"), '--kind "wire" is unknown; did you mean "wires"? expected one of forward, wires'),
        (("--kind", "wires", "--format", "gif"), "expected one of input-gradient, weight-gradient"),
        (("--entry", "input[0,0,9,9]"), "is out of range; expected input[0..0, 0..0, 0..4, 0..4]"),
        (("--entry", "input[0,0,1,1]", "--channel", "0", "--sample", "1"), "--sample 1 is out of range"),
        (("--open", "--terminal"), "--open is about files"),
        (("--sample", "1"), "--sample 1 is out of range; layer T3-stride-2 has samples 0..0"),
        (("--seed", "-1"), "--seed -1 is not allowed"),
        (("--output-dir", "file/deeper"), "is no folder; expected the name of a folder"),
        (("nosuch",), 'unknown suite "nosuch"'),
        (("--target", "nosuch.py:X"), "there is no file"),
    ],
)
def test_visualize_refuses(tmp_path, args, message):
    (tmp_path / "file").write_text("")
    done = run("visualize", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    done = run("visualize", "--output-dir", "locked", cwd=tmp_path)
    assert done.returncode == 2
    assert "may not be written" in done.stderr


def test_explain_an_entry(tmp_path):
    done = run("explain", "--entry", "input[0,0,2,2]", "--notation", "T3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dL/dx22 = dO00 f22 + dO01 f20 + dO10 f02 + dO11 f00" in done.stdout
    assert "the window would start at 1, which is no multiple of the stride 2" in done.stdout
    assert "the same." in done.stdout


def test_notations_are_listed(tmp_path):
    told = run("explain", "--notation", "list", cwd=tmp_path).stdout
    assert [line.split()[0].strip(",") for line in told.splitlines()] == list(NOTATIONS)
    words = ("explain", "--entry", "input[0,0,2,2]", "--notation")
    assert run(*words, "dilate-flip", cwd=tmp_path).stdout == run(*words, "T3", cwd=tmp_path).stdout


def test_long_sums_are_folded(tmp_path):
    words = ("explain", "resnet50", "--layer", "conv1", "--entry", "weight[3,1,2,2]")
    done = run(*words, cwd=tmp_path, COLUMNS="80")
    lines = done.stdout.splitlines()
    assert len(lines) < 100
    assert max(map(len, lines)) <= 80
    parts = [line.split() for line in lines if re.fullmatch(r" +\d+ +[\d,]+ +-?\d+", line)]
    total = int(re.search(r"dL/dW\[3,1,2,2\] = (-?\d+)$", done.stdout, re.MULTILINE)[1])
    everything = run(*words, "--all", cwd=tmp_path).stdout
    products = re.findall(r"^ +\d+ +dL/dO\[0,3,(\d+),\d+\]·X\S+ +\S+ +(-?\d+) ", everything, re.MULTILINE)
    assert len(products) == 111 * 111
    assert sum(int(value) for _, value in products) == total
    for row, count, value in parts:
        in_row = [int(product) for of, product in products if of == row]
        assert (len(in_row), sum(in_row)) == (int(count), int(value))
    assert len(parts) == 8


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_output_that_lacks_characters_gets_others_that_mean_the_same(tmp_path, encoding):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONIOENCODING": encoding}

    def told(*words):
        command = [sys.executable, "-m", "convcheck", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True).stdout.decode(encoding)

    drawn = told("visualize", "--terminal", "--kind", "input-gradient")
    assert "-4" in drawn
    assert "dL/dX[2,2] = 5" in drawn
    written = told("explain", "--entry", "input[0,0,2,2]", "--notation", "index-sums")
    assert "dL/dX[0,0,2,2] = dL/dO[0,0,0,0]" in written
    assert "?" not in drawn + written


@pytest.mark.parametrize(
    ("written", "sign"), [("text", "===="), ("latex", r"\section*"), ("markdown", "# The backward")]
)
def test_explain_a_layer(tmp_path, written, sign):
    done = run("explain", "hostile", "--layer", "groups", "--output-format", written, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sign in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("hostile",), "choose one with --layer: all-different, "),
        (("--layer", "nosuch"), 'textbook has no layer "nosuch"'),
        (("--entry", "bias[0]"), "has no bias"),
        (("--entry", "input[0,1,2,2]"), "expected input[0..0, 0..0, 0..4, 0..4]"),
        (("--notation", "T9"), "expected one of own, index-sums, channels-last, same-size, dilate-flip, unfold"),
        (("--notation", "dilate"), '--notation "dilate" is unknown; did you mean "dilate-flip"?'),
        (("--all",), "--all is about the terms of an entry; say which with --entry"),
        (("--output-format", "html"), '--output-format "html" is unknown; expected one of text, latex, markdown'),
    ],
)
def test_explain_refuses(tmp_path, args, message):
    done = run("explain", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "args", [("--help",), ("verify", "-k", "T3-stride-1"), ("explain",), ("visualize", "--terminal")]
)
def test_matplotlib_is_imported_only_to_draw(tmp_path, args):
    code = (
        "import sys\nfrom convcheck.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit('matplotlib' in sys.modules or 'PIL' in sys.modules)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 0


def test_without_a_config_the_suite_is_fitted_to_the_target(target):
    done = run("visualize", "--target", "wrong.py:Unflipped", "--format", "svg", cwd=target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith("plain-error-input.svg")
    done = run(
        "explain", "--target", "wrong.py:Unflipped", "--layer", "stride", "--entry", "input[0,0,0,0]", cwd=target
    )
    assert done.returncode == 0, done.stderr
    assert "wrong.py:Unflipped" in done.stdout


def test_another_data_type_is_that_of_the_report(target):
    words = (
        "explain",
        "textbook",
        "--layer",
        "T3-stride-2",
        "--entry",
        "input[0,0,0,0]",
        "--target",
        "wrong.py:Unflipped",
    )
    double, single = (run(*words, *more, cwd=target) for more in ((), ("--dtype", "float32", "--data", "real")))
    assert (double.returncode, single.returncode) == (0, 0), single.stderr
    assert double.stdout != single.stdout
    assert run(*words, "--dtype", "float8", cwd=target).returncode == 2
