import sys

import pytest

from convcheck.__main__ import main
from convcheck.mistakes import MISTAKES, OTHER_NAMES


def run(words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["convcheck", "mistakes", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_lists_every_mistake(monkeypatch, capsys):
    status, out, _ = run([], monkeypatch, capsys)
    assert status == 0
    assert all(f"{mistake.code}  {mistake.name} " in out for mistake in MISTAKES)
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
    assert ("Example" in out) == (mistake.name not in ("inputs-modified", "nondeterministic"))
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
