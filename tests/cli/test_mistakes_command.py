import re
import sys

import numpy as np
import pytest

from convcheck import backward, load
from convcheck.__main__ import main
from convcheck.explain.pictures.mistaken import stories_of_mistake
from convcheck.layer.data import example_operands
from convcheck.mistakes import MISTAKES, OTHER_NAMES


def run(words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["convcheck", "mistakes", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_lists_every_name_that_a_report_can_give(monkeypatch, capsys):
    status, out, _ = run([], monkeypatch, capsys)
    assert status == 0
    assert all(f"{known.code or '     '}  {known.name} " in out for known in (*MISTAKES, *OTHER_NAMES))
    assert not set("{}") & set(out)
    assert all(len(line) <= 80 for line in out.splitlines())


def test_explains_one_with_an_example(monkeypatch, capsys):
    status, out, _ = run(["kernel-not-flipped"], monkeypatch, capsys)
    assert status == 0
    assert out.startswith(
        "CC101  kernel-not-flipped\n  The input gradient is made with the kernel the wrong way round:"
    )
    assert "Example: 1 channel → 1 filter, kernel 2×2, 3×4 in, 2×3 out, batch 1, float64" in out
    assert "  weight   grad_output   right dL/dX   wrong dL/dX\n" in out
    # dL/dX[0, 0] is W[0, 0] dL/dO[0, 0] = 1 * -1; unflipped it is W[1, 1] dL/dO[0, 0] = -1 * -1.
    assert "   1 -3    -1  1  1      -1  4 -2 -3    1*  0* -2  -1*\n" in out
    assert "* differs: 9 of 12 entries" in out


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_explains_every_one(mistake, monkeypatch, capsys):
    status, out, _ = run([mistake.name], monkeypatch, capsys)
    assert status == 0
    for label in ("affects", "shows on", "why", "fix"):
        assert f"\n  {label} " in out
    assert ("Example" in out) == (mistake.name not in ("inputs-modified", "nondeterministic", "graph-broken"))
    assert ("detected" in out) == (mistake.behaviour is not None)


@pytest.mark.parametrize("other", OTHER_NAMES, ids=lambda other: other.name)
def test_explains_every_other_name_that_a_report_can_give(other, monkeypatch, capsys):
    for key in filter(None, (other.name, other.code)):
        status, out, _ = run([key], monkeypatch, capsys)
        assert status == 0
        assert out.splitlines()[0].split() == [*filter(None, [other.code]), other.name]
        assert "\n  told of " in out
        assert "\n  fix " in out
        assert not set("{}") & set(out)


def test_an_unknown_name(monkeypatch, capsys):
    status, out, err = run(["kernel-not-fliped"], monkeypatch, capsys)
    assert (status, out) == (2, "")
    assert err == (
        'error: unknown mistake "kernel-not-fliped"; did you mean "kernel-not-flipped"? '
        "`convcheck mistakes` lists them all\n"
    )


def test_draws_what_a_mistake_does_to_a_layer(monkeypatch, capsys, tmp_path):
    words = ["kernel-not-flipped", "textbook", "--layer", "T3-stride-2"]
    status, out, _ = run(words, monkeypatch, capsys)
    assert status == 0
    assert out.startswith("kernel-not-flipped on input dL/dX\nLayer T3-stride-2: ")
    assert "Fix: " in out
    layer = next(layer for layer in load("textbook").layers if layer.name == "T3-stride-2")
    at = example_operands(layer)
    right = backward(layer, at.x, at.weight, at.grad_output).input[0, 0]
    wrong = backward(layer, at.x, at.weight[..., ::-1, ::-1], at.grad_output).input[0, 0]
    grids = [re.findall(r"-?\d+", line)[1:] for line in re.findall(r"^   \d .*$", out.replace("−", "-"), re.MULTILINE)]
    assert [[int(i) for i in row] for row in grids] == np.concatenate([wrong, right, wrong - right]).tolist()
    status, out, _ = run([*words, "--output-dir", str(tmp_path), "--format", "svg"], monkeypatch, capsys)
    assert out == f"{tmp_path}/T3-stride-2-kernel-not-flipped-input.svg\n"
    assert "kernel-not-flipped" in (tmp_path / "T3-stride-2-kernel-not-flipped-input.svg").read_text()


def test_draws_it_on_a_layer_that_is_given_itself(monkeypatch, capsys):
    text = "{channels: 1, filters: 1, kernel: 2, stride: 2, input: [4, 5], batch: 1}"
    status, out, _ = run(["stride-ignored", "--layer", text], monkeypatch, capsys)
    assert status == 0
    assert "1 channel → 1 filter, kernel 2×2, stride 2×2" in out
    status, out, err = run(["stride-ignored", "--layer", "{channels: 1}"], monkeypatch, capsys)
    assert (status, out) == (2, "")
    assert "filters" in err


@pytest.mark.parametrize("layer", [*load("hostile").layers], ids=lambda layer: layer.name)
def test_every_mistake_can_be_drawn(layer):
    at = example_operands(layer)
    drawn = 0
    for mistake in MISTAKES:
        stories, notes = stories_of_mistake(mistake, layer, at)
        assert stories or notes
        drawn += len(stories)
        for story in stories:
            assert story.panels[0].outlined == story.panels[1].outlined
            (worst,) = story.panels[0].outlined
            assert story.panels[0].marks[worst] is False
    assert drawn > 10


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["kernel-not-flipped", "hostile", "--layer", "pointwise"], "does not show on layer pointwise"),
        (["stale-accumulation", "textbook", "--layer", "T3-stride-2"], "is a mistake of behaviour"),
    ],
)
def test_what_does_not_show_is_said(words, told, monkeypatch, capsys):
    status, out, _ = run(words, monkeypatch, capsys)
    assert status == 0
    assert told in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layer", "T3-stride-2"], "--layer needs the name of a mistake"),
        (["scaled", "textbook"], "a config is about a layer; say which with --layer"),
        (["scaled", "--output-dir", "out"], "--output-dir is about a layer; say which with --layer"),
        (["scaled", "textbook", "--layer", "nosuch"], 'textbook has no layer "nosuch"'),
        (["scaled", "textbook", "--layer", "T3-crop", "--format", "gif"], "expected one of png, svg"),
        (["partly-right", "textbook", "--layer", "T3-crop"], "is nothing that one makes on a layer"),
    ],
)
def test_drawing_refuses(words, message, monkeypatch, capsys):
    status, out, err = run(words, monkeypatch, capsys)
    assert (status, out) == (2, "")
    assert message in err
