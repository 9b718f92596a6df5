"""An entry of a gradient, or of the output, as the sum that it is: every term, and those that fall away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

import numpy as np

from convcheck.checks.observed import Observed
from convcheck.errors import TargetError
from convcheck.explain.pictures.panel import Index
from convcheck.explain.pictures.sizes import AXIS_NAMES, at
from convcheck.gradients import FASTEST
from convcheck.layer.axis import Axis
from convcheck.layer.data import Operands
from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer
from convcheck.layer.products import products
from convcheck.targets import builtin
from convcheck.targets.target import Target


@dataclass(frozen=True)
class Factor:
    """One number of a product.

    Attributes
    ----------
    array : str
        "x", "weight", "bias" or "grad_output".
    """

    array: str
    index: Index
    value: float


@dataclass(frozen=True)
class Term:
    """A product of one or two factors."""

    factors: tuple[Factor, ...]

    @property
    def value(self) -> float:
        """The product."""
        return float(np.prod([factor.value for factor in self.factors]))


class Excluded(NamedTuple):
    """A tap or a window that gives no term, and the reason."""

    what: str
    why: str


@dataclass(frozen=True)
class Explanation:
    """Everything about one entry.

    Attributes
    ----------
    array : str
        One of `pictures.selection.ARRAYS`.
    reference : float
        For a gradient the change of the loss when the entry goes up by 1, from the forward pass alone; for the output
        the forward pass.
    given : (str, float) or None
        The name of the code that is checked, and what it gives for the entry.
    """

    layer: Layer
    array: str
    index: Index
    terms: tuple[Term, ...]
    excluded: tuple[Excluded, ...]
    reference: float
    given: tuple[str, float] | None = None

    @property
    def value(self) -> float:
        """Sum of all terms, correctly rounded."""
        return fsum(term.value for term in self.terms)


def explain(
    layer: Layer, operands: Operands, array: str, index: Index, observed: Observed | None = None
) -> Explanation:
    """Find the terms of an entry.

    Parameters
    ----------
    array : str
        One of `pictures.selection.ARRAYS`.
    index : tuple of int
        In range.
    observed : Observed, optional
        What code under test gave on the operands. Its own forward pass is then what gradients are compared with.

    Raises
    ------
    TargetError
        If the code gave no such array.
    """
    finders = {"input": _outside_input_entry, "weight": _outside_weight_entry, "output": _outside_output_entry}
    excluded = finders[array](layer, index) if array in finders else []
    terms = [_term(operands, *factors) for factors in products(layer, array, index)]
    code = builtin(FASTEST) if observed is None else observed.implementation
    given = None
    if observed is not None:
        if array not in observed.arrays:
            fault = observed.faults.get(array)
            reason = code.absent.get(array, "it gives none") if fault is None else fault.message
            raise TargetError(f"layer {layer.name}: {code.name} has no such entry: {reason}")
        given = code.name, float(observed.arrays[array][index])
    # An output has the definition to be compared with.
    reference = _reference(layer, operands, array, index, builtin(FASTEST) if array == "output" else code)
    return Explanation(layer, array, index, tuple(terms), tuple(excluded), reference, given)


def _outside_input_entry(layer: Layer, index: Index) -> list[Excluded]:
    """Taps through which no output reads an entry of the input."""
    faults = [[_tap_fault(a, p, tap) for tap in range(a.kernel)] for a, p in zip(layer.axes, index[2:], strict=True)]
    return _excluded_taps(layer, faults)


def _excluded_taps(layer: Layer, faults: Sequence[Sequence[str]]) -> list[Excluded]:
    """Return the taps with a fault along some axis; a list of faults per axis, empty ones where there is none."""
    excluded = []
    for tap in np.ndindex(*layer.kernel):
        named = zip(_axis_words(layer), (of_axis[a] for of_axis, a in zip(faults, tap, strict=True)), strict=True)
        reasons = [f"{name}: {fault}" for name, fault in named if fault]
        if reasons:
            excluded.append(Excluded(f"tap {at(tap)}", "; ".join(reasons)))
    return excluded


def _tap_fault(axis: Axis, sample: int, tap: int) -> str:
    """Say why no output reads an input sample through a tap; empty if one does."""
    if axis.transposed:
        output = sample * axis.stride + tap * axis.dilation - axis.before
        return "" if 0 <= output < axis.output_size else f"output {output} does not exist"
    own, *copies = axis.positions(sample)
    faults = [f"its copy at {q}: {_position_fault(axis, q, tap)}" for q in copies if _position_fault(axis, q, tap)]
    fault = _position_fault(axis, own, tap)
    return "; ".join([fault, *faults]) if fault and len(faults) == len(copies) else ""


def _position_fault(axis: Axis, position: int, tap: int) -> str:
    """Say why no output reads a padded position through a tap; empty if one does."""
    start = position - tap * axis.dilation
    if start < 0:
        return f"the window would start at {start}, before the padded input"
    output, off = divmod(start, axis.stride)
    if off:
        return f"the window would start at {start}, which is no multiple of the stride {axis.stride}"
    last = axis.output_size - 1
    return f"the window would be output {output}, and the last is {last}" if output > last else ""


def _outside_weight_entry(layer: Layer, index: Index) -> list[Excluded]:
    """Windows of which the tap lies on padding; of a transposed layer, entries of X that it does not meet."""
    tap = index[2:]
    if layer.transposed:
        # Its tap reads X once an entry, not once an output.
        pairs = {place: _sample(layer.twin, place, tap) for place in np.ndindex(*layer.input)}
        reasons = {f"entry {at(place)}": _removed(layer, output) for place, output in pairs.items()}
    else:
        reasons = {f"output {at(output)}": _on_padding(layer, output, tap) for output in np.ndindex(*layer.output)}
    return [Excluded(what, reason) for what, reason in reasons.items() if reason]


def _outside_output_entry(layer: Layer, index: Index) -> list[Excluded]:
    """Taps through which an entry of the output meets no sample of X."""
    output = index[2:]
    if layer.transposed:
        sites = zip(layer.axes, output, strict=True)
        faults = [[_spread_fault(axis, i, tap) for tap in range(axis.kernel)] for axis, i in sites]
        return _excluded_taps(layer, faults)
    reasons = {tap: _on_padding(layer, output, tap) for tap in np.ndindex(*layer.kernel)}
    return [Excluded(f"tap {at(tap)}", reason) for tap, reason in reasons.items() if reason]


def _spread_fault(axis: Axis, output: int, tap: int) -> str:
    """Say why an output of a transposed axis reads no sample of X through a tap; empty if it does."""
    start = output + axis.before - tap * axis.dilation
    sample, off = divmod(start, axis.stride)
    if off:
        return f"X, dilated, has a zero at {start}, which is no multiple of the stride {axis.stride}"
    return "" if 0 <= sample < axis.size else f"X has no entry {sample}"


def _term(operands: Operands, *factors: tuple[str, Index]) -> Term:
    return Term(tuple(Factor(array, index, float(getattr(operands, array)[index])) for array, index in factors))


def _sample(layer: Layer, output: Sequence[int], tap: Sequence[int]) -> Index:
    """Input sample that a tap of a window reads; out of range where it lies on padding of zeros."""
    positions = [axis.window(i)[a] for axis, i, a in zip(layer.axes, output, tap, strict=True)]
    return tuple(
        q - axis.before if axis.mode == ZEROS else int(axis.origin[q])
        for axis, q in zip(layer.axes, positions, strict=True)
    )


def _on_padding(layer: Layer, output: Sequence[int], tap: Sequence[int]) -> str:
    """Say why a tap of a window reads no sample; empty if it reads one."""
    outside = _outside(layer, _sample(layer, output, tap), layer.input)
    return f"reads padding, which is 0 ({outside} of the input does not exist)" if outside else ""


def _removed(layer: Layer, output: Index) -> str:
    """Say why a place of the output gives no term; empty if it does."""
    outside = _outside(layer, output, layer.output)
    return f"its tap reaches {outside} of the output, which does not exist" if outside else ""


def _outside(layer: Layer, place: Index, sizes: Index) -> str:
    """Name the indices that are out of range."""
    named = zip(_axis_words(layer), place, sizes, strict=True)
    return " and ".join(f"{name} {p}" for name, p, size in named if not 0 <= p < size)


def _axis_words(layer: Layer) -> list[str]:
    return [name.removesuffix("s") for name in AXIS_NAMES[len(layer.axes)]]


def _reference(layer: Layer, operands: Operands, array: str, index: Index, code: Target) -> float:
    """What the forward pass alone says: convolution is linear, so a step of 1 has no truncation error."""
    moved = {name: getattr(operands, name) for name in ("x", "weight", "bias")}
    # A copy: code may return the same buffer from every call.
    start = np.array(code.forward(layer, **moved))
    if array == "output":
        return float(start[index])
    name = "x" if array == "input" else array
    moved[name] = np.array(moved[name])
    moved[name][index] += 1
    change = np.asarray(code.forward(layer, **moved), np.float64) - start
    return float((change * operands.grad_output).sum())
