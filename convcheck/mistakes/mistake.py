"""What every known mistake offers: words for people, and the wrong arrays that it makes of a scene.

Most mistakes are one of two kinds. A `WrongArrays` runs the right backward pass on wrong arrays (an unflipped kernel);
a `WrongResult` spoils a right result (a sign). Being transformations, these combine with any other mistake, so that two
at once are recognized too. The rest compute what they make directly.

What all of them promise: they write into no array that they are given; they yield nothing, or None, for what the shapes
of a layer do not allow. One that raises all the same is left out by `unless_it_raises`, where a diagnosis is made.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, ParamSpec, TypeVar

import numpy as np

from convcheck.gradients import unfold
from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.data import Operands
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.layer.similar import changed
from convcheck.reports.results import Diagnosis

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class Scene:
    """A layer with the arrays of one forward and backward pass, as a mistake sees it, and the right answer on it.

    All gradients are sums of plain products: of complex numbers, the scene has the conjugates of what the code under
    test is given, but for grad_output. Its output is then conjugated too.
    """

    layer: Layer
    operands: Operands
    _known: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    _changed: dict[tuple[WrongArrays, str], list[tuple[str, Scene]]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if DTYPES[self.layer.dtype].half:
            # Mistakes are made in a format of which NumPy knows every operation.
            object.__setattr__(self, "operands", self.operands.wide())

    @classmethod
    def of(cls, layer: Layer, given: Operands) -> Scene:
        """Return the scene of what code under test is given."""
        return cls(layer, _conjugated(given))

    @property
    def given(self) -> Operands:
        """What code under test is given, in new arrays: it must not change what it is compared with."""
        return _conjugated(self.operands).map(lambda array: array.astype(self.layer.dtype))

    @property
    def x(self) -> Array:
        """The input, shape (N, C, *input)."""
        return self.operands.x

    @property
    def weight(self) -> Array:
        """The kernel, shape (F, C/groups, *kernel)."""
        return self.operands.weight

    @property
    def grad_output(self) -> Array:
        """The upstream gradient, shape (N, F, *output)."""
        return self.operands.grad_output

    @property
    def sites(self) -> tuple[int, ...]:
        """The spatial axes of every array but the bias."""
        return tuple(range(2, 2 + len(self.layer.input)))

    @property
    def right(self) -> Gradients:
        """All three gradients."""
        return Gradients(self.answer("input"), self.answer("weight"), self.answer("bias"))

    @property
    def rows(self) -> Array:
        """dL/dO as matrices, shape (N, groups, F/groups, prod(output))."""
        layer = self.layer
        return self.grad_output.reshape(layer.batch, layer.groups, layer.filters_per_group, -1)

    @property
    def columns(self) -> Array:
        """The unfolded input X~, shape (N, groups, C/groups * prod(kernel), prod(output))."""
        return self._once("columns", lambda: unfold.unfold(self.layer, self.x))

    @property
    def grad_columns(self) -> Array:
        """What each window passes back through each tap, W~^T dL/dO, shaped as the unfolded input."""
        kernel = self.weight.reshape(self.layer.groups, self.layer.filters_per_group, -1)
        return self._once("grad_columns", lambda: kernel.swapaxes(1, 2) @ self.rows)

    def answer(self, gradient: str) -> Array:
        """Return what is right: a gradient, or for "output" the output of the forward pass."""
        if self.layer.transposed and gradient not in ("output", "bias"):
            right = unfold.backward(self.layer, self.x, self.weight, self.grad_output)
            return self._once(gradient, lambda: getattr(right, gradient))
        # Only what is asked for: most mistakes are about one gradient.
        answers: dict[str, Callable[[], Array]] = {
            "output": lambda: unfold.forward(self.layer, self.x, self.weight, self.operands.bias),
            "input": lambda: unfold.fold(self.layer, self.grad_columns),
            "weight": lambda: (self.rows @ self.columns.swapaxes(2, 3)).sum(axis=0).reshape(self.layer.weight_shape),
            "bias": lambda: self.grad_output.sum(axis=(0, *self.sites)),
        }
        return self._once(gradient, answers[gradient])

    def changed(self, mistake: WrongArrays, gradient: str) -> list[tuple[str, Scene]]:
        """Return the scenes that a mistake makes of this one, each computed once for all that is made on them."""
        if (mistake, gradient) not in self._changed:
            self._changed[mistake, gradient] = list(mistake.scenes(self, gradient))
        return self._changed[mistake, gradient]

    def _once(self, name: str, make: Callable[[], Array]) -> Array:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def on(self, **fields: Any) -> Scene | None:
        """Return the scene with the same arrays on a layer that differs in some fields; None where there is none."""
        layer = changed(self.layer, fields)
        return None if layer is None else Scene(layer, self.operands)

    def with_arrays(self, **arrays: Array) -> Scene:
        """Return the same scene with other arrays of the same shapes: ``x``, ``weight``, ``grad_output``."""
        changed = Scene(self.layer, replace(self.operands, **arrays))
        if "x" not in arrays and "columns" in self._known:
            # Unfolded once for all that is made of other arrays.
            changed._known["columns"] = self.columns
        return changed


def _conjugated(at: Operands) -> Operands:
    return replace(at.map(np.ndarray.conj), grad_output=at.grad_output)


class Wrong(NamedTuple):
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


#: What a mistake yields: a form of it, and the array that this form makes, None where the shapes do not allow it.
Forms = Iterator[tuple[str, Array | None]]

#: Forms of a mistake, each with the wrong arrays on which the right backward pass then runs.
Scenes = Iterator[tuple[str, Scene]]


class Mistake(ABC):
    """A known mistake.

    Attributes
    ----------
    code, name : str
        Unique; the name is a slug that users see and scripts rely on.
    title : str
        What was done wrong, in a few words: the docstring of the mistake's file.
    explanation, fix : str
        What is wrong and how to put it right, one sentence each.
    fix_transposed : str or None
        How to put it right in a transposed layer, where that is something else.
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
    plain, transposed, repeated : bool
        Whether it can be made in a plain layer, in a transposed one, and where the padding repeats samples; what it
        computes there is that mistake alone. In grad_bias, every mistake can.
    of_complex : bool
        Whether it is about complex numbers alone.
    behaviour : str or None
        For a mistake that no single result betrays: how it is detected.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    explanation: ClassVar[str]
    why: ClassVar[str]
    fix: ClassVar[str]
    fix_transposed: ClassVar[str | None] = None
    shows_on: ClassVar[str]
    gradients: ClassVar[tuple[str, ...]]
    least_axes: ClassVar[int] = 1
    combines: ClassVar[bool] = True
    plain: ClassVar[bool] = True
    transposed: ClassVar[bool] = False
    repeated: ClassVar[bool] = False
    of_complex: ClassVar[bool] = False
    behaviour: ClassVar[str | None] = None

    @property
    def title(self) -> str:
        return (sys.modules[type(self).__module__].__doc__ or "").strip()

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Yield what the mistake makes of a gradient; as it stands, nothing: no particular array betrays it."""
        yield from ()

    def concerns(self, layer: Layer, gradient: str) -> bool:
        """Whether the mistake can be made in a gradient of a layer at all, whatever the sizes."""
        if gradient not in self.gradients or len(layer.input) < self.least_axes:
            return False
        if self.of_complex and not layer.is_complex:
            return False
        if gradient == "bias":
            return layer.bias
        if layer.transposed or layer.repeats_samples:
            return self.transposed if layer.transposed else self.repeated
        return self.plain

    def wrong(self, scene: Scene, gradient: str) -> tuple[Wrong, ...]:
        """Return every wrong array that the mistake can make of a gradient in a scene."""
        if not self.concerns(scene.layer, gradient):
            return ()
        return tuple(Wrong(variant, array) for variant, array in self.variants(scene, gradient) if array is not None)

    def visible(self, scene: Scene, gradient: str) -> frozenset[str]:
        """Return the variants of the mistake that differ from the right answer."""
        made = self.wrong(scene, gradient)
        return frozenset(variant for variant, array in made if differs(array, scene.answer(gradient)))

    def recognized(self, scene: Scene, gradient: str, observed: Array) -> Iterator[str]:
        """Yield the form in which the mistake is recognized by something other than equality.

        Only for what no finite number of wrong arrays covers, such as any factor.
        """
        yield from ()

    def diagnosis(self, variant: str = "", layer: Layer | None = None) -> Diagnosis:
        """Return what a report says of the mistake, in one of its forms and in a layer of some kind."""
        explanation = f"{self.explanation[:-1]} ({variant})." if variant else self.explanation
        elsewhere = self.fix_transposed if layer is not None and layer.transposed else None
        return Diagnosis(self.code, self.name, explanation, elsewhere or self.fix)


@dataclass(frozen=True)
class OtherName:
    """A name that a report can give to what is no mistake of the catalogue.

    Attributes
    ----------
    code, name : str
        Unique; there are names without a code.
    title, fix : str
        What was found, in a few words, and what to do, in a sentence. A report puts its details for what stands in
        braces.
    told_of : str
        When a report gives this name.
    why : str
        Why that must not be; empty where it goes without saying.
    """

    code: str
    name: str
    title: str
    fix: str
    told_of: str
    why: str = ""

    def diagnosis(self, details: Mapping[str, str] | None = None) -> Diagnosis:
        """Return what a report says, with the details for what stands in braces; without them, what it says of all."""
        title, fix = (
            text.format_map(details) if details else re.sub("[{}]", "", text) for text in (self.title, self.fix)
        )
        return Diagnosis(self.code, self.name, f"{title[0].upper()}{title[1:]}.", fix)


class WrongArrays(Mistake):
    """A mistake that is the right backward pass, run on wrong arrays."""

    repeated = True

    @abstractmethod
    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Yield (variant, scene with wrong arrays, of the same shapes: any other mistake is made on them)."""

    def variants(self, scene: Scene, gradient: str) -> Forms:
        for variant, other in scene.changed(self, gradient):
            yield variant, other.answer(gradient)


class WrongResult(Mistake):
    """A mistake that spoils a result which was right until then."""

    repeated = True

    @abstractmethod
    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        """Yield (variant, spoiled result).

        The result may be another mistake's, so that neither its shape nor its number of axes need be those of the
        right one.
        """

    def variants(self, scene: Scene, gradient: str) -> Forms:
        return self.results(scene, gradient, scene.answer(gradient))


def both_made(first: Mistake, second: Mistake, scene: Scene, gradient: str) -> Iterator[tuple[tuple[str, str], Array]]:
    """Yield ((form of the first, form of the second), what two mistakes at once make of a gradient).

    The second one is made on the wrong arrays of the first, or spoils the result of the first; nothing if neither of
    the two is a transformation of that kind.
    """
    if not (first.concerns(scene.layer, gradient) and second.concerns(scene.layer, gradient)):
        return
    if isinstance(first, WrongArrays):
        for variant, other in scene.changed(first, gradient):
            for wrong in second.wrong(other, gradient):
                yield (variant, wrong.variant), wrong.array
    elif isinstance(second, WrongResult):
        for wrong in first.wrong(scene, gradient):
            for variant, spoiled in second.results(scene, gradient, wrong.array):
                if spoiled is not None:
                    yield (wrong.variant, variant), spoiled


def differs(one: Array, other: Array) -> bool:
    """Whether two arrays differ in shape or anywhere in value."""
    return one.shape != other.shape or not np.array_equal(one, other)


def unless_it_raises(made: Callable[P, Iterable[T]], *scene: P.args, **others: P.kwargs) -> list[T]:
    """Return all that a mistake makes of a scene; nothing if it raises there, which must not end the search."""
    try:
        return list(made(*scene, **others))
    except Exception:
        return []
