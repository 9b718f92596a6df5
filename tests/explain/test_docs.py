"""The documentation's pictures are there, small, and what it quotes is what the program says."""

from __future__ import annotations

import re
from pathlib import Path

from convcheck import load
from convcheck.explain.pictures import input_gradient
from convcheck.explain.pictures.selection import Selection
from convcheck.layer.data import example_operands

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_picture_is_there_and_all_are_small():
    named = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (DOCS / "pictures.md").read_text())
    assert len(named) == 9
    assert sum((DOCS / name).stat().st_size for name in named) < 1_000_000
    assert {path.name for path in (DOCS / "images").iterdir()} >= {Path(name).name for name in named}


def test_the_numbers_in_the_walk_are_the_pictures():
    layer = next(layer for layer in load("textbook").layers if layer.name == "T3-stride-2")
    at = example_operands(layer)
    (example,) = input_gradient.story(layer, at.weight, at.grad_output, Selection.of(layer)).example
    equation = "dL/dX[2,2] = 5·5 + (−1)·1 + 4·(−1) + (−4)·(−4) = 36"
    assert equation in example
    assert equation in (DOCS / "pictures.md").read_text().replace("\n", " ")
