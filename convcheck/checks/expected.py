"""One layer with its data, and everything that several comparisons share, computed once and when first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from convcheck.checks.plan import Step
from convcheck.gradients import FASTEST, ORACLE, formulation
from convcheck.gradients.numeric import rounding
from convcheck.gradients.numeric.differences import (
    NumericGradient,
    Packing,
    central_gradient,
    exact_gradient,
    packing_for,
)
from convcheck.gradients.numeric.directions import EntryDirections, Output, Portion, directions_of
from convcheck.layer.arrays import Array, Gradients, wide, widest
from convcheck.layer.data import SHORT, Operands, integer_magnitude, integer_operands, real_operands, short_sums
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.targets.target import Target

#: The axis along which the groups of an array lie side by side.
_GROUPED = {"x": 1, "weight": 0, "grad_output": 1}

#: Entries, those of the unfolded input too, up to which a layer is small: a dozen then take no more than some MiB.
_SMALL = 2**14

#: Entries that evaluations which are asked for ahead may have together, with their operands: 8 MiB of float64.
_AHEAD = 2**20


class Expected:
    """A layer, and the implementation whose forward pass is differenced.

    Parameters
    ----------
    source : Target
        A built-in formulation, shared by all of them, or the target itself.
    max_error : float or None
        The gate, if there is one.
    advance : callable
        Told the number of evaluations as they are made.
    known : mapping of (str, str) to NumericGradient, optional
        Numeric gradients that were put together from portions, by check and gradient.
    """

    def __init__(
        self,
        layer: Layer,
        source: Target,
        max_error: float | None,
        advance: Callable[[int], None],
        known: Mapping[tuple[str, str], NumericGradient] | None = None,
    ) -> None:
        self._known = known or {}
        self.layer = layer
        self.source = source
        self.max_error = max_error
        self._advance = advance
        #: Numeric gradients by check, gradient and packing; and those of which the first passes have been asked for.
        self._numeric: dict[tuple[str, str, Packing | None], NumericGradient] = {}
        self._begun: dict[tuple[str, str, Packing | None], Callable[[], NumericGradient]] = {}
        self._right: dict[int, tuple[Operands, dict[str, Array]]] = {}
        self._foreseen: dict[int, Operands] = {}

    def on(self, layer: Layer) -> Expected:
        """Return the same of another layer."""
        return Expected(layer, self.source, self.max_error, self._advance, self._known)

    @cached_property
    def integers(self) -> Operands | None:
        """Integer data; None where none stay exact."""
        return integer_operands(self.layer)

    @cached_property
    def reals(self) -> Operands:
        """Real data."""
        return real_operands(self.layer)

    @property
    def terms(self) -> float:
        """Terms that a sum of real numbers may have, so that rounding changes far less of it than a mistake does.

        An algorithm by transforms rounds relative to whole images, which should be as empty as can be.
        """
        return SHORT if self.source.exact else 1

    def draw(self, number: int) -> Operands:
        """Return further data: integers where nothing rounds on them, else real numbers with short sums."""
        if self.exact_data:
            drawn = integer_operands(self.layer, number)
            assert drawn is not None
            return drawn
        return short_sums(self.layer, real_operands(self.layer, number), self.terms, number)

    @cached_property
    def draws(self) -> tuple[Operands, ...]:
        """Three draws that conditions share which are about how code is called, not about its numbers.

        What comes of one of them is never compared right after it has been compared before: memory that was handed out
        again and not written holds another's results.
        """
        return self.draw(5), self.draw(6), self.draw(9)

    @cached_property
    def even(self) -> tuple[Operands, Operands]:
        """The first of these draws, with a grad_output as behind a sum of all outputs, and behind a mean over sites."""
        at = self.draws[0]
        maps = at.grad_output.reshape(*at.grad_output.shape[:2], -1)
        # Of real numbers some are zero.
        of_each = np.take_along_axis(maps, (maps != 0).argmax(axis=2)[..., None], axis=2)
        of_all = of_each.flat[(of_each != 0).argmax()]
        full = np.full_like(maps, of_all), np.broadcast_to(of_each, maps.shape).astype(maps.dtype)
        same, per_map = (replace(at, grad_output=filled.reshape(at.grad_output.shape)) for filled in full)
        return same, per_map

    @cached_property
    def first_sample(self) -> Operands:
        """The second of these draws, of which only the first sample counts."""
        at = self.draws[1]
        alone = np.zeros_like(at.grad_output)
        alone[0] = at.grad_output[0]
        return replace(at, grad_output=alone)

    @cached_property
    def short_reals(self) -> Operands:
        """The real data, with short sums."""
        return short_sums(self.layer, self.reals, self.terms)

    def right(self, at: Operands) -> dict[str, Array]:
        """Return what the built-in passes give in float64, the output too.

        It is kept; of a layer that is not small, only for the shared draws and for what was asked for last.
        """
        if id(at) not in self._right:
            foreseen, self._foreseen = self._foreseen, {}
            self._compute(list((foreseen | {id(at): at}).values()))
        return self._right[id(at)][1]

    @cached_property
    def small(self) -> bool:
        """Whether several data fit into memory, and a pass takes about as long for one as for all of them."""
        layer = self.layer
        unfolded = layer.multiply_adds // layer.filters_per_group
        entries = sum(map(prod, (layer.input_shape, layer.weight_shape, layer.output_shape)))
        return entries + unfolded <= _SMALL

    def was_right(self, gradient: str, array: Array, at: Operands) -> bool:
        """Whether an array that some data gave is, entry by entry, what is right for other data that the code had."""
        own = self.integers if self.exact_data else None
        others = [(known, right[gradient]) for known, right in self._right.values() if gradient in right]
        if own is not None:
            others.append((own, self.definition if gradient == "output" else getattr(self.reference, gradient)))
        here = self.right(at)[gradient]
        return bool(array.any()) and any(
            known is not at and np.array_equal(array, right) and not np.array_equal(right, here)
            for known, right in others
        )

    def foresee(self, data: Sequence[Operands]) -> None:
        """Note what will be asked for: where data are small, what is right is computed for all at once, with the first.

        Till then the code under test may run on them in another process.
        """
        if self.small:
            self._foreseen |= {id(at): at for at in data if id(at) not in self._right}

    def _compute(self, data: Sequence[Operands]) -> None:
        """Compute what is right for several data in one pass, in which each has groups of its own."""
        merged = self.layer.alike(
            **{name: len(data) * getattr(self.layer, name) for name in ("groups", "channels", "filters")}
        )

        def side_by_side(name: str, axis: int) -> Array:
            return np.concatenate([getattr(at, name) for at in data], axis, dtype=widest(self.layer.dtype))

        x, weight, grad_output = (side_by_side(name, axis) for name, axis in _GROUPED.items())
        biases = [np.zeros(self.layer.filters) if at.bias is None else at.bias for at in data]
        bias = np.concatenate(biases, dtype=widest(self.layer.dtype)) if self.layer.bias else None
        built_in = formulation(FASTEST)
        found = built_in.backward(merged, x, weight, grad_output)._asdict()
        found["output"] = built_in.forward(merged, x, weight, bias)
        given = {name: array for name, array in found.items() if array is not None}
        for number, at in enumerate(data):
            self.know(at, {name: _part(array, name, number, len(data)) for name, array in given.items()})

    def know(self, at: Operands, right: dict[str, Array]) -> None:
        """Keep what is right for some data."""
        if not self.small:
            shared = {id(draw) for draw in vars(self).get("draws", ())}
            self._right = {key: pair for key, pair in self._right.items() if key in shared}
        self._right[id(at)] = at, right

    @property
    def exact_data(self) -> bool:
        """Whether the source can be checked on data on which nothing rounds."""
        return self.source.exact and self.has_integers

    @cached_property
    def has_integers(self) -> bool:
        """Whether there are integers that stay exact."""
        return integer_magnitude(self.layer) > 0

    @property
    def operands(self) -> Operands:
        """The data of the forward check: integers where possible."""
        return self.integers if self.integers is not None and self.exact_data else self.reals

    @property
    def _judged(self) -> Operands:
        """The data of the forward check, in a format of which convcheck knows what it does with sums."""
        return self.operands.wide() if DTYPES[self.layer.dtype].half else self.operands

    @cached_property
    def definition(self) -> Array:
        """The output by the definition."""
        at = self._judged
        return formulation(ORACLE).forward(self.layer, at.x, at.weight, at.bias)

    @cached_property
    def reference(self) -> Gradients:
        """The gradients of the definition's forward pass."""
        at = self._judged
        return formulation(FASTEST).backward(self.layer, at.x, at.weight, at.grad_output)

    @cached_property
    def start(self) -> Array:
        """The source's output on integer data, where all differences start."""
        at = self.operands
        # A copy: a target may return the same buffer from every call.
        return np.array(self.source.forward(self.layer, at.x, at.weight, at.bias))

    @cached_property
    def follows_definition(self) -> bool:
        """Whether the source's forward pass gives what the definition gives; colouring and packing need that."""
        if self.start.shape != self.definition.shape:
            return False
        return bool((np.abs(wide(self.start) - self.definition) <= self.forward_allowance).all())

    @cached_property
    def right_but_for_bias(self) -> bool:
        """Whether the source's output is the definition's but for what it adds whatever input and weight are."""
        at = self.operands
        try:
            without_input, without_weight = (
                wide(self.start) - np.array(self.source.forward(self.layer, x, weight, at.bias))
                for x, weight in ((np.zeros_like(at.x), at.weight), (at.x, np.zeros_like(at.weight)))
            )
        except Exception:
            return False
        linear = formulation(FASTEST).forward(self.layer, self._judged.x, self._judged.weight, None)
        # On real numbers differences round; nothing is then said.
        return self.exact_data and all(np.array_equal(part, linear) for part in (without_input, without_weight))

    def linear_in(self, operand: str) -> bool:
        """Whether twice the step changes the source's output twice as much, along a random direction.

        And of complex numbers, i times the step i times as much.

        Only then is a difference with a step of 1 the derivative. Asked where the output is not the definition's.
        """
        generator = np.random.default_rng([self.layer.seed, 9])
        at: Array = getattr(self.operands, operand)
        step = generator.integers(-1, 1, at.shape, endpoint=True).astype(at.dtype)
        once = self._change(operand, at + step)
        rounding_error = self._relative_error * 4 * self._largest_output
        return all(
            bool((np.abs(self._change(operand, at + amount * step) - amount * once) <= rounding_error).all())
            for amount in ((2, 1j) if self.layer.is_complex else (2,))
        )

    def _change(self, operand: str, values: Any) -> Array:
        at = replace(self.operands, **{operand: values})
        moved = wide(self.source.forward(self.layer, at.x, at.weight, at.bias))
        change: Array = moved - self.start
        return change

    @property
    def _terms(self) -> int:
        return self.layer.output_terms + 1

    @property
    def _relative_error(self) -> float:
        """Of an output that is made of sums, and of the steps around it."""
        stored = DTYPES[self.layer.dtype].roundoff if self.layer.sums != self.layer.dtype else 0.0
        return rounding.gamma(self._terms + 4, self.layer.sums) + stored

    @property
    def _largest_output(self) -> float:
        """Bound of the outputs near the source's start, whatever it computes there."""
        largest = [float(np.abs(array).max()) + 2 for array in (self.operands.x, self.operands.weight)]
        return float(np.abs(self.start).max()) + self._terms * prod(largest)

    def own_rounding(self, gradient: str) -> float:
        """How far differences of the source's own forward pass may be off; nothing where it gives integers."""
        if bool((np.rint(self.start) == self.start).all()):
            return 0.0
        layer = self.layer
        sites = layer.batch * prod(layer.output)
        seen = layer.input_terms if gradient == "input" else sites
        per_output = self._relative_error * 2 * self._largest_output
        return seen * float(np.abs(self.operands.grad_output).max()) * per_output

    @cached_property
    def forward_allowance(self) -> Array | float:
        """How far two right forward passes may be apart: nothing on integers."""
        return 0.0 if self.exact_data else self.real_output_allowance

    @cached_property
    def real_output(self) -> Array:
        """The output on real data, in float64."""
        at = self.reals.wide()
        return formulation(FASTEST).forward(self.layer, at.x, at.weight, at.bias)

    @cached_property
    def real_output_allowance(self) -> Array:
        """How far two right forward passes may be apart on real data."""
        forward = formulation(FASTEST).forward
        return rounding.output_errors(self.layer, self.reals, forward, exact=self.source.exact)

    @cached_property
    def allowed(self) -> Gradients:
        """How far a right gradient may be from the central difference on real data, per entry."""
        reference = formulation(FASTEST)
        if not self.source.exact:
            return rounding.transformed(self.layer, self.reals, reference.forward, reference.backward)[1]
        return rounding.allowed_errors(self.layer, self.reals, reference.forward, reference.backward)

    def begin(self, steps: Iterable[Step]) -> None:
        """Ask for numeric gradients, which go on in another process until they are needed."""
        layer, room = self.layer, _AHEAD
        for step in steps:
            operand = layer.weight_shape if step.gradient == "weight" else layer.input_shape
            entries = step.evaluations * (prod(operand) + prod(layer.output_shape))
            if entries > room or (step.check, step.gradient) in self._known or not self.follows_definition:
                continue
            room -= entries
            packing = packing_for(layer, step.gradient) if step.check == "exact" else None
            which = step.check, step.gradient, packing
            self._begun[which] = self._differences(*which)

    def exact(self, gradient: str, *, packed: bool = True) -> NumericGradient:
        """Numeric gradient on integer data.

        Where the source's forward pass is not the definition, one entry at a time, since neither colouring nor packing
        may then be relied upon. In unit steps too where it gives what is no whole change of the size foreseen.
        """
        packed &= self.follows_definition
        packing = packing_for(self.layer, gradient) if packed else Packing(radix=2, digits=1)
        found = (self._known.get(("exact", gradient)) if packed else None) or self._found("exact", gradient, packing)
        if packing.digits > 1 and np.isnan(found.values).any():
            return self.exact(gradient, packed=False)
        return found

    def central(self, gradient: str) -> NumericGradient:
        """Numeric gradient on real data."""
        return self._known.get(("central", gradient)) or self._found("central", gradient, None)

    def _found(self, *which: Any) -> NumericGradient:
        """Return a numeric gradient, computed once."""
        if which not in self._numeric:
            begun = self._begun.pop(which, None) or self._differences(*which)
            self._numeric[which] = begun()
        return self._numeric[which]

    def _differences(self, check: str, gradient: str, packing: Packing | None) -> Callable[[], NumericGradient]:
        """Ask for the first evaluations of a numeric gradient; return what makes the others."""
        layer, merge = self.layer, self.source.merging
        if packing is None:
            directions = directions_of(gradient, layer, self.reals)
            return central_gradient(self._merged, directions, merge=merge, advance=self._advance)
        assert self.integers is not None
        if self.follows_definition:
            directions = directions_of(gradient, layer, self.integers)
        else:
            directions = EntryDirections(layer, self.integers, gradient)
        return exact_gradient(self._merged, directions, self.start, packing, merge=merge, advance=self._advance)

    def _merged(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Output:
        return self.source.merged(self.layer, layer, x, weight, bias)

    def portion(self, check: str, gradient: str, first: int, last: int) -> NumericGradient | None:
        """Numeric gradient along some directions, 0 at what the others reach.

        None where the source's output is not right, which colouring needs. That is found out from one forward pass of
        the fast formulation; the verdict on the output is not this function's.
        """
        at = self.operands
        right = formulation(FASTEST).forward(self.layer, at.x, at.weight, at.bias)
        if self.start.shape != right.shape or not bool((np.abs(self.start - right) <= self.forward_allowance).all()):
            return None
        directions = directions_of(gradient, self.layer, self.reals if check == "central" else at)
        some, merge = Portion(directions, first, last), self.source.merging
        if check == "central":
            return central_gradient(self._merged, some, merge=merge, advance=self._advance)()
        packing = packing_for(self.layer, gradient)
        return exact_gradient(self._merged, some, self.start, packing, merge=merge, advance=self._advance)()


def _part(array: Array, name: str, number: int, count: int) -> Array:
    """Return the output or gradient of one of so many layers side by side."""
    axis = 1 if name in ("input", "output") else 0
    size = array.shape[axis] // count
    part = slice(number * size, (number + 1) * size)
    return array[:, part] if axis else array[part]


class Given(Expected):
    """A layer on data that are given."""

    def __init__(self, layer: Layer, source: Target, max_error: float | None, operands: Operands) -> None:
        super().__init__(layer, source, max_error, lambda evaluations: None)
        self._given = operands

    @cached_property
    def integers(self) -> Operands | None:
        """The data, where they are integers."""
        arrays = (self._given.x, self._given.weight, self._given.bias, self._given.grad_output)
        whole = all(bool((array == np.rint(array)).all()) for array in arrays if array is not None)
        return self._given if whole else None

    @cached_property
    def has_integers(self) -> bool:
        """Whether the data are integers."""
        return self.integers is not None

    @cached_property
    def reals(self) -> Operands:
        """The data."""
        return self._given
