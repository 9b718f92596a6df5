"""What every known mistake offers: words for people, and the wrong arrays that it makes.

Most mistakes are one of two kinds. A `WrongArrays` runs the right backward pass on wrong arrays (an unflipped kernel);
a `WrongResult` spoils a right result (a sign). Being transformations, these combine with any other mistake, so that two
at once are recognized too. The rest compute what they make directly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.mistakes.scene import Scene


@dataclass(frozen=True, eq=False)
class Wrong:
    """A wrong array that a mistake makes.

    Attributes
    ----------
    variant : str
        Which form of the mistake it is; empty where there is only one.
    array : array
        May have a wrong shape where that is the nature of the mistake.
    """

    variant: str
    array: Array


class Mistake(ABC):
    """A known mistake.

    Attributes
    ----------
    code, name : str
        Unique; the name is a slug that users see and scripts rely on.
    title : str
        What was done wrong, in a few words.
    explanation, fix : str
        What is wrong and how to put it right, one sentence each.
    why : str
        How people come to make it.
    shows_on : str
        The layers on which it makes a difference, in words; `visible` finds it out.
    gradients : tuple of str
        What it affects: "input", "weight", "bias", or "output" for the forward pass.
    least_axes : int
        Fewest spatial axes with which it can be made.
    combines : bool
        Whether it is looked for together with another mistake: not if it leaves no trace of the other.
    behaviour : str or None
        For a mistake that no single result betrays: how it is detected.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]
    why: ClassVar[str]
    fix: ClassVar[str]
    shows_on: ClassVar[str]
    gradients: ClassVar[tuple[str, ...]]
    least_axes: ClassVar[int] = 1
    combines: ClassVar[bool] = True
    behaviour: ClassVar[str | None] = None

    @abstractmethod
    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Yield what the mistake makes of a gradient; nothing where the shapes do not allow the mistake."""

    def wrong(self, scene: Scene, gradient: str) -> tuple[Wrong, ...]:
        """Return every wrong array that the mistake can make of a gradient in a scene."""
        layer = scene.layer
        applies = gradient in self.gradients and len(layer.input) >= self.least_axes
        if not applies or (gradient == "bias" and not layer.bias):
            return ()
        return tuple(self.variants(scene, gradient))

    def wrong_gradient(self, layer: Layer, operands: Operands, gradient: str) -> Array | None:
        """Return the wrong gradient that the mistake makes, in its first form; None where it cannot be made."""
        made = self.wrong(Scene(layer, operands), gradient)
        return made[0].array if made else None

    def possible(self, scene: Scene, gradient: str) -> bool:
        """Whether the shapes of a layer allow the mistake."""
        return bool(self.wrong(scene, gradient))

    def visible(self, scene: Scene, gradient: str) -> frozenset[str]:
        """Return the variants of the mistake that differ from the right answer."""
        right = scene.answer(gradient) if gradient != "bias" or scene.layer.bias else None
        return frozenset(
            wrong.variant for wrong in self.wrong(scene, gradient) if right is not None and differs(wrong.array, right)
        )

    def recognizes(self, scene: Scene, gradient: str, observed: Array) -> str | None:
        """Recognize the mistake by something other than equality; return the variant.

        Only for what no finite number of wrong arrays covers, such as any factor.
        """
        return None


class WrongArrays(Mistake):
    """A mistake that is the right backward pass, run on wrong arrays."""

    @abstractmethod
    def scenes(self, scene: Scene, gradient: str) -> Iterator[tuple[str, Scene]]:
        """Yield (variant, scene with the wrong arrays)."""

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Yield the answer on the wrong arrays."""
        for variant, changed in self.scenes(scene, gradient):
            yield Wrong(variant, changed.answer(gradient))


class WrongResult(Mistake):
    """A mistake that spoils a result which was right until then."""

    @abstractmethod
    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Yield (variant, spoiled result)."""

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Yield the right answer, spoiled."""
        for variant, spoiled in self.results(scene, gradient, scene.answer(gradient)):
            yield Wrong(variant, spoiled)


def differs(one: Array, other: Array) -> bool:
    """Whether two arrays differ in shape or anywhere in value."""
    return one.shape != other.shape or not np.array_equal(one, other)
