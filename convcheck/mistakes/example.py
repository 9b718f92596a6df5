"""A small layer on which a mistake can be read off by eye."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convcheck.layer.arrays import Array
from convcheck.layer.data import integer_operands
from convcheck.layer.layer import Layer
from convcheck.mistakes.mistake import Mistake, Scene, differs

_SMALLEST = Layer(1, 1, 2, input=(3, 4), batch=1)

#: From the plainest layer to those on which everything shows; the first on which a mistake shows is its example.
_LAYERS = (
    _SMALLEST,
    Layer(1, 1, 2, stride=2, padding=[[1, 1], [0, 1]], input=(3, 4), batch=1),
    Layer(1, 1, 2, dilation=2, input=(4, 4), batch=1),
    Layer(1, 1, (2, 3), stride=2, padding=1, input=(4, 5), batch=1),
    Layer(1, 1, 2, padding=[[0, 1], [1, 0]], input=(3, 3), batch=1),
    Layer(1, 2, 2, input=(3, 4), batch=2),
    Layer(2, 2, 2, input=(3, 4), batch=2),
    Layer(2, 2, 2, groups=2, input=(3, 4), batch=1),
)


@dataclass(frozen=True, eq=False)
class Example:
    """A mistake at work.

    Attributes
    ----------
    layer : Layer
    gradient, variant : str
    arrays : dict of str to array
        What goes in, by name.
    right, wrong : array
    """

    layer: Layer
    gradient: str
    variant: str
    arrays: dict[str, Array]
    right: Array
    wrong: Array


def example_of(mistake: Mistake) -> Example | None:
    """Return the plainest example, one of the right shape if there is any; None for a mistake that no array shows."""
    found = [example for layer in _LAYERS for example in _examples(mistake, layer)]
    return min(found, key=lambda example: example.wrong.shape != example.right.shape, default=None)


def _examples(mistake: Mistake, layer: Layer) -> Iterator[Example]:
    operands = integer_operands(layer)
    assert operands is not None
    scene = Scene(layer, operands)
    arrays = {"input": scene.x, "weight": scene.weight, "grad_output": scene.grad_output}
    for gradient in mistake.gradients:
        right = scene.answer(gradient)
        shown = {name: arrays[name] for name in _READ[gradient]}
        for wrong in mistake.wrong(scene, gradient):
            if differs(wrong.array, right):
                yield Example(layer, gradient, wrong.variant, shown, right, wrong.array)


#: The arrays that an answer is made of.
_READ = {
    "output": ("input", "weight"),
    "input": ("weight", "grad_output"),
    "weight": ("input", "grad_output"),
    "bias": ("grad_output",),
}
