"""What an unexplained wrong gradient has in common with the right one: a flip, a shift, a factor, a part that is right.

Every kind of resemblance is a function that returns a `Diagnosis` or None; the first that holds is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import Any

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES
from convcheck.mistakes.mistake import OtherName, Scene
from convcheck.reports.results import Diagnosis
from convcheck.reports.where import axis_names, where
from convcheck.wording import compact

#: Shifts of up to so many samples along each axis are tried.
_FARTHEST_SHIFT = 3

#: An array may be larger or smaller than the right one by so much along an axis.
_WIDEST_MARGIN = 8

#: A part that is right by chance is small; less than this share says nothing.
_TELLING_SHARE = 0.25

#: Every kind of resemblance, in words.
RESEMBLANCES = {
    name: OtherName(code, name, title, fix, told_of="a wrong gradient that no known mistake makes")
    for code, name, title, fix in (
        ("CC901", "right-when-transposed", "the values are right, with the axes in {another order}",
         "Transpose the result to {the right order}."),
        ("CC902", "right-when-reshaped", "the values are right, in {another shape}",
         "Reshape the result to {the right shape}."),
        ("CC903", "right-when-flipped", "the gradient is right but for being reversed along {some axes}",
         "Look for a [::-1] or np.flip too many or too few along that axis."),
        ("CC904", "factor-per-slice", "every {slice} is right up to {a factor of its own}",
         "Look for what multiplies or divides each {slice} by itself."),
        ("CC905", "constant-added", "every entry is too large by {a constant}",
         "Look for an array that does not start at zero, or a constant that is added."),
        ("CC906", "operand-added", "the {operand} itself, times {a factor}, is added",
         "Leave regularization such as weight decay to the loss or the optimizer."),
        ("CC907", "right-when-shifted", "the gradient is right but for {a shift}",
         "Look for an index, a crop or a padding that is off by that much."),
        ("CC908", "partly-right", "the gradient is right elsewhere and wrong {in some places}",
         "Look at how the loop or slice treats that part."),
        ("CC909", "right-when-cropped", "what is given is right, and {larger or smaller than it must be}",
         "Crop or pad to {the right shape}, each axis by its own amount in front and behind."),
    )
}  # fmt: skip


def resemblances(scene: Scene, gradient: str, observed: Array) -> Iterator[Diagnosis]:
    """Yield how a wrong gradient resembles the right one: the first kind of resemblance that holds, if any."""
    right = scene.answer(gradient)
    names = _names(scene, gradient)
    found = _transposed(right, observed, names) or _cropped(right, observed, names)
    if observed.shape == right.shape:
        for kind in (_flipped, _factor_per_slice, _offset, _operand_added, _shifted, _partly_right):
            found = found or kind(scene, gradient, right, observed)
    if found is not None:
        yield found


def _transposed(right: Array, observed: Array, names: tuple[str, ...]) -> Diagnosis | None:
    for order in permutations(range(right.ndim)):
        if order != tuple(range(right.ndim)) and np.array_equal(right.transpose(order), observed):
            listed = ", ".join(names[axis] for axis in order)
            return RESEMBLANCES["right-when-transposed"].diagnosis(
                {"another order": f"the order {listed}", "the right order": f"the order {', '.join(names)}"}
            )
    if (
        observed.size == right.size
        and observed.shape != right.shape
        and np.array_equal(observed.ravel(), right.ravel())
    ):
        return RESEMBLANCES["right-when-reshaped"].diagnosis(
            {"another shape": f"shape {observed.shape}", "the right shape": f"{right.shape}"}
        )
    return None


def _cropped(right: Array, observed: Array, names: tuple[str, ...]) -> Diagnosis | None:
    """One of the two arrays stands in the other, from some place on."""
    if observed.ndim != right.ndim or observed.shape == right.shape:
        return None
    larger = all(n >= m for n, m in zip(observed.shape, right.shape, strict=True))
    whole, part = (observed, right) if larger else (right, observed)
    room = [n - m for n, m in zip(whole.shape, part.shape, strict=True)]
    if min(room) < 0 or max(room) > _WIDEST_MARGIN or part.size < _TELLING_SHARE * whole.size or not part.any():
        return None
    for start in np.ndindex(*(free + 1 for free in room)):
        if np.array_equal(whole[tuple(slice(s, s + n) for s, n in zip(start, part.shape, strict=True))], part):
            sides = ", ".join(
                f"{s} in front of and {free - s} behind the {name}s"
                for name, s, free in zip(names, start, room, strict=True)
                if free
            )
            too = f"too {'large' if larger else 'small'}: by {sides}"
            return RESEMBLANCES["right-when-cropped"].diagnosis(
                {"larger or smaller than it must be": too, "the right shape": f"shape {right.shape}"}
            )
    return None


def _names(scene: Scene, gradient: str) -> tuple[str, ...]:
    return axis_names(gradient, scene.x.ndim, transposed=scene.layer.transposed)


def _flipped(scene: Scene, gradient: str, right: Array, observed: Array) -> Diagnosis | None:
    names = _names(scene, gradient)
    for count in range(1, right.ndim + 1):
        for axes in combinations(range(right.ndim), count):
            if np.array_equal(np.flip(right, axes), observed):
                listed = " and ".join(names[axis] for axis in axes)
                return RESEMBLANCES["right-when-flipped"].diagnosis({"some axes": listed})
    return None


def _factor_per_slice(scene: Scene, gradient: str, right: Array, observed: Array) -> Diagnosis | None:
    """A constant factor for every sample, filter or channel, different ones for different slices."""
    for axis, name in enumerate(_names(scene, gradient)[:2]):
        rows, wrong = np.moveaxis(right, axis, 0), np.moveaxis(observed, axis, 0)
        rows, wrong = rows.reshape(len(rows), -1), wrong.reshape(len(wrong), -1)
        if rows.shape[1] < 2 or not rows.any(axis=1).all():
            continue
        largest = np.argmax(np.abs(rows), axis=1)[:, np.newaxis]
        factors = np.take_along_axis(wrong, largest, 1) / np.take_along_axis(rows, largest, 1)
        allowed = 16 * DTYPES[scene.layer.dtype].roundoff * np.abs(wrong)
        if (np.abs(wrong - factors * rows) <= allowed).all():
            listed = ", ".join(map(_number, factors[:6, 0])) + (", ..." if len(factors) > 6 else "")
            return RESEMBLANCES["factor-per-slice"].diagnosis(
                {"slice": name, "a factor of its own": f"a factor of its own: {listed}"}
            )
    return None


def _number(value: Any) -> str:
    """Return a number that was read off: it is one out of somebody's code, so few digits tell which."""
    return compact(value.item(), digits=3)


def _offset(scene: Scene, gradient: str, right: Array, observed: Array) -> Diagnosis | None:
    difference = observed - right
    if difference.size > 1 and (difference == difference.flat[0]).all():
        return RESEMBLANCES["constant-added"].diagnosis({"a constant": _number(difference.flat[0])})
    return None


def _operand_added(scene: Scene, gradient: str, right: Array, observed: Array) -> Diagnosis | None:
    """A multiple of the operand, as weight decay adds."""
    operands = {"input": scene.given.x, "weight": scene.given.weight, "bias": scene.given.bias}
    operand = operands.get(gradient)
    if operand is None or not operand.all() or operand.size < 2:
        return None
    factors = (observed - right) / operand
    spread = max(np.ptp(factors.real), np.ptp(factors.imag))
    if not factors.any() or spread > 16 * DTYPES[scene.layer.dtype].roundoff * np.abs(observed).max():
        return None
    return RESEMBLANCES["operand-added"].diagnosis({"operand": gradient, "a factor": _number(factors.flat[0])})


def _shifted(scene: Scene, gradient: str, right: Array, observed: Array) -> Diagnosis | None:
    if gradient == "bias":
        return None
    shifts = sorted(
        product(range(-_FARTHEST_SHIFT, _FARTHEST_SHIFT + 1), repeat=len(scene.sites)),
        key=lambda shift: sum(map(abs, shift)),
    )
    for shift in shifts[1:]:
        ours = (..., *(slice(max(0, step), min(0, step) or None) for step in shift))
        theirs = (..., *(slice(max(0, -step), min(0, -step) or None) for step in shift))
        part = right[theirs]
        if part.size >= _TELLING_SHARE * right.size and part.any() and np.array_equal(observed[ours], part):
            listed = ", ".join(
                f"{step:+} along {name}" for step, name in zip(shift, _names(scene, gradient)[2:], strict=True) if step
            )
            return RESEMBLANCES["right-when-shifted"].diagnosis({"a shift": f"a shift: {listed}"})
    return None


def _partly_right(scene: Scene, gradient: str, right: Array, observed: Array) -> Diagnosis | None:
    wrong = observed != right
    # An entry that is zero is right by chance in most wrong gradients.
    if np.mean(~wrong & (right != 0)) < _TELLING_SHARE:
        return None
    place = where(wrong, gradient, transposed=scene.layer.transposed)
    if not place.startswith("only"):
        return None
    zeros = " (zero there)" if not observed[wrong].any() else ""
    return RESEMBLANCES["partly-right"].diagnosis({"in some places": f"{place}{zeros}"})
