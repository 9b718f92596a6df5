"""The comparison with PyTorch's checker, on as much of it as a test may take."""

import pytest

from convcheck import Layer
from convcheck.layer.data import real_operands
from tests.side_by_side import CHECKERS, LARGE, fitting_forms, report, rows

pytest.importorskip("torch")

TINY = Layer(2, 2, 2, stride=2, input=(4, 5), name="tiny")


def test_what_fits_keeps_its_shape_and_the_right_gradient_comes_first():
    forms = list(fitting_forms(TINY))
    assert forms[0] == (None, "", "")
    assert {mistake.name for mistake, _, _ in forms[1:]} >= {"kernel-not-flipped", "stride-ignored", "batch-averaged"}


def test_the_table():
    lines = []
    report(rows([TINY], real_operands, ["kernel-not-flipped", "sign-flipped"]), lines.append)
    text = "".join(lines)
    assert all(checker in text for checker in CHECKERS)
    assert "tiny     right" in text
    assert "1 of 1" in text
    # One form of the first mistake, three of the second, and all checkers reject them.
    assert text.count("0 of 4, ") == 3


def test_fast_mode_accepts_an_unflipped_kernel_on_a_layer_of_usual_size_and_convcheck_does_not():
    # The cheap half of the command's finding: where fast mode accepts, it takes no time.
    import torch

    from convcheck.mistakes import mistake
    from tests.side_by_side import convcheck_accepts, torch_accepts, torch_function

    unflipped = mistake("kernel-not-flipped")
    function = torch_function(LARGE, unflipped, "input", "")
    torch.manual_seed(0)
    assert torch_accepts(function, real_operands(LARGE), fast=True, seed=0)
    assert not convcheck_accepts(LARGE, unflipped, "input", "")
