"""Other things that a wrong forward pass may be computing, each compared exactly with what it gave.

On integer data equality is no accident: a forward pass that equals one of these computes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, permutations
from math import prod
from typing import Any, NamedTuple

import numpy as np

from convcheck.gradients import FASTEST, formulation
from convcheck.layer.arrays import Array, reread
from convcheck.layer.data import Operands, as_weight
from convcheck.layer.fields import FIELDS, ZEROS
from convcheck.layer.layer import Layer
from convcheck.mistakes.catalogue.axes_swapped import numbered_by_height, turned
from convcheck.mistakes.catalogue.forward_is_convolution import ForwardIsConvolution
from convcheck.mistakes.mistake import OtherName, unless_it_raises
from convcheck.mistakes.parts import mixed, parts
from convcheck.reports.results import Diagnosis

#: Every name of a wrong forward pass that the catalogue does not have, in words.
FORWARDS = {
    name: OtherName("", name, f"the forward pass {does}", fix, told_of="a forward pass that computes just this")
    for name, does, fix in (
        ("forward-flipped-one-axis", "flips the kernel along some axes only",
         "Do not flip the kernel in the forward pass."),
        ("forward-stride-ignored", "ignores the stride", "Check how the forward pass uses stride."),
        ("forward-dilation-ignored", "ignores the dilation", "Check how the forward pass uses dilation."),
        ("forward-padding-ignored", "ignores the padding", "Check how the forward pass uses padding."),
        ("forward-padding-offset", "pads at the wrong place", "Check how the forward pass uses padding."),
        ("forward-axes-swapped", "takes axes in the wrong order", "Check the order of the axes."),
        ("forward-weight-axes-swapped", "exchanges filters and channels of the weight",
         "Check the order of the axes."),
        ("forward-groups-mixed", "deals the channels out to the groups one by one, not in runs",
         "Give each group a run of neighbouring channels."),
        ("forward-assigned", "keeps the last term of a sum",
         "Add up all channels and all taps of the kernel: out += ... for out = ...."),
        ("forward-bias", "does not add the bias once", "Add the bias once to every output."),
        ("forward-sign-flipped", "has the wrong sign", "Check the signs."),
        ("forward-conjugated", "conjugates", "Take no conjugate in the forward pass."),
        ("forward-imaginary-dropped", "drops imaginary parts",
         "Make every array in the dtype of the input, and never take the real part."),
        ("forward-padding-mode", "pads as another mode",
         "Pad as the layer says: with zeros, the far end, the mirrored input or the sample at the edge."),
        ("forward-kernel-flipped", "of a transposed layer flips the kernel",
         "Add X[p] times W[a] to output p*s + a*d - before, with the kernel as it is."),
        ("forward-stride-dilation-exchanged", "of a transposed layer takes stride and dilation for each other",
         "Input p reaches output p*s + a*d - before through tap a."),
        ("forward-output-padding-misplaced", "of a transposed layer adds output_padding in front",
         "Add the outputs of output_padding behind."),
        ("forward-weight-axes-not-exchanged", "of a transposed layer takes the weight with filters first",
         "Take the weight as (C, F/groups, *kernel)."),
    )
}  # fmt: skip

_TRUE_CONVOLUTION = (
    "the forward pass flips the kernel: a true convolution, not the cross-correlation that frameworks compute"
)


class Variant(NamedTuple):
    """Something that a forward pass computes in place of the definition: in a sentence, and as a report tells it."""

    message: str
    diagnosis: Diagnosis


#: What is computed, and what must be changed in the layer and in the operands to compute it.
_Candidate = tuple[Variant, dict[str, Any], dict[str, Any]]


def name_forward(layer: Layer, operands: Operands, output: Array) -> Variant | None:
    """Return what a forward pass computes that is not the definition's; None if it is nothing known.

    Parameters
    ----------
    operands : Operands
        Integers.
    output : array
        What it gave, of whatever shape.
    """
    forward = formulation(FASTEST).forward
    candidates = unless_it_raises(_of_transposed if layer.transposed else _candidates, layer, operands)
    candidates += unless_it_raises(_of_complex, layer, operands)
    for variant, options, arrays in candidates:
        try:
            changed, given = replace(layer, **options), replace(operands, **arrays)
            candidate = forward(changed, given.x, given.weight, given.bias)
        except Exception:
            # No such layer: the altered kernel does not fit, say.
            continue
        if np.array_equal(candidate, output):
            return variant
    right = forward(layer, operands.x, operands.weight, operands.bias)
    if layer.is_complex and np.array_equal(right.real, output):
        return _variant("forward-imaginary-dropped", "drops the imaginary part of its output")
    for arranged, does, fix in _arranged(right):
        if np.array_equal(arranged, output):
            return _variant("forward-axes-swapped", does, fix)
    return None


def _arranged(right: Array) -> Iterator[tuple[Array, str, str]]:
    """Yield the right output with its entries in another order."""
    yield np.moveaxis(right, 1, -1), "gives its output with the channels last", "Say layout: NHWC in the mapping."
    fix = "Bring rows of filters back in the order in which the columns of the windows go, then transpose."
    for stands, read in permutations(((1, 0, 2), (1, 2, 0))):
        yield reread(right, stands, read), "takes samples for positions where it reshapes its rows of filters", fix
    if right.ndim > 3:
        turned = right.swapaxes(-1, -2)
        fix = "Give the output as (..., rows, columns), and number its windows row by row."
        yield turned, "gives its output with rows and columns exchanged", fix
        yield turned.reshape(right.shape), "numbers its windows column by column", fix
        *others, high, wide = right.shape
        yield right.reshape(*others, wide, high), "gives its output with the sizes of rows and columns exchanged", fix


def _variant(name: str, does: str | None = None, fix: str | None = None) -> Variant:
    """Return a variant in the words of its name; in others, where one name stands for several things."""
    known = FORWARDS[name]
    message = known.title if does is None else f"the forward pass {does}"
    return Variant(message, replace(known, title=message, fix=fix or known.fix).diagnosis())


def _of_transposed(layer: Layer, operands: Operands) -> Iterator[_Candidate]:
    weight, rank = operands.weight, len(layer.kernel)
    yield _variant("forward-kernel-flipped"), {}, {"weight": np.flip(weight, tuple(range(2, weight.ndim)))}
    exchanged = {"stride": layer.dilation, "dilation": layer.stride}
    yield _variant("forward-stride-dilation-exchanged"), exchanged, {}
    yield _variant("forward-stride-dilation-exchanged"), {**exchanged, "output_padding": (0,) * rank}, {}
    moved = [(b - n, a + n) for (b, a), n in zip(layer.padding, layer.output_padding, strict=True)]
    yield _variant("forward-output-padding-misplaced"), {"padding": moved}, {}
    yield _variant("forward-weight-axes-not-exchanged"), {}, {"weight": as_weight(layer, weight)}


def _of_complex(layer: Layer, operands: Operands) -> Iterator[_Candidate]:
    if not layer.is_complex:
        return
    arrays = {"x": operands.x, "weight": operands.weight}
    if operands.bias is not None:
        arrays["bias"] = operands.bias
    # Conjugates of all are one of the output.
    for count in range(len(arrays), 0, -1):
        for names in combinations(arrays, count):
            words = f"the {' and '.join('input' if name == 'x' else name for name in names)}"
            some = "its output" if count == len(arrays) else words
            conjugated = {name: arrays[name].conj() for name in names}
            yield _variant("forward-conjugated", f"conjugates {some}"), {}, conjugated
            dropped = {name: arrays[name].real.astype(layer.dtype) for name in names}
            yield _variant("forward-imaginary-dropped", f"drops the imaginary parts of {words}"), {}, dropped


def _candidates(layer: Layer, operands: Operands) -> Iterator[_Candidate]:
    weight, bias, rank = operands.weight, operands.bias, len(layer.kernel)
    for mode in FIELDS["padding_mode"].choices if layer.repeats_samples else ():
        if mode != layer.padding_mode:
            does = "takes the padding for zeros" if mode == ZEROS else f"pads as {mode} padding"
            yield _variant("forward-padding-mode", does), {"padding_mode": mode}, {}
    # The kernel flipped, along all axes first.
    for count in range(rank, 0, -1):
        for axes in combinations(range(rank), count):
            if count == rank:
                variant = Variant(_TRUE_CONVOLUTION, ForwardIsConvolution().diagnosis())
            else:
                some = f"flips the kernel along axis {', '.join(map(str, axes))} only"
                variant = _variant("forward-flipped-one-axis", some)
            yield variant, {}, {"weight": np.flip(weight, tuple(axis + 2 for axis in axes))}
    yield from _other_options(layer)
    # Axes of the weight exchanged; where the shapes tell, the forward pass of the layer refuses them.
    if rank > 1 and layer.kernel == layer.kernel[::-1]:
        turned_over = np.transpose(weight, (0, 1, *reversed(range(2, weight.ndim))))
        yield _variant("forward-axes-swapped", "exchanges the axes of the kernel"), {}, {"weight": turned_over}
    elif rank > 1:
        does = "reads the taps of the kernel column by column"
        yield _variant("forward-axes-swapped", does), {}, {"weight": turned(weight)}
    rows = numbered_by_height(layer) if rank > 1 else None
    if rows is not None:
        met = np.zeros_like(weight).reshape(layer.filters, -1)
        for number, row in {number: row for row, number in enumerate(rows)}.items():
            met[:, row] = weight.reshape(layer.filters, -1)[:, number]
        does = "numbers the rows of the unfolded input by the kernel's height, not its width"
        yield _variant("forward-axes-swapped", does), {}, {"weight": met.reshape(weight.shape)}
    if weight.shape[0] == weight.shape[1]:
        yield _variant("forward-weight-axes-swapped"), {}, {"weight": np.swapaxes(weight, 0, 1)}
    if layer.groups > 1:
        mixed = operands.x.reshape(layer.batch, layer.channels_per_group, layer.groups, -1)
        yield _variant("forward-groups-mixed"), {}, {"x": np.swapaxes(mixed, 1, 2).reshape(operands.x.shape)}
    # The last term of a sum assigned where it should be added.
    everything, last_only = [slice(None)] * rank, [slice(-1, None)] * rank
    for does, channel, sites in (
        ("keeps the last channel only", slice(-1, None), everything),
        ("keeps the last tap of the kernel only", slice(None), last_only),
        ("keeps the last tap of the last channel only", slice(-1, None), last_only),
    ):
        kept = (slice(None), channel, *sites)
        last = np.zeros_like(weight)
        last[kept] = weight[kept]
        yield _variant("forward-assigned", does), {}, {"weight": last}
    # The bias left out or added more than once, and the sign of everything.
    if bias is not None:
        for factor, does in ((0, "leaves the bias out"), (-1, "subtracts the bias"), (2, "adds the bias twice")):
            yield _variant("forward-bias", does), {}, {"bias": factor * bias}
        taps = layer.channels_per_group * prod(layer.kernel)
        for times, each in ((layer.channels_per_group, "channel"), (taps, "tap of the kernel")):
            variant = _variant("forward-bias", f"adds the bias once per {each}", "Add the bias once.")
            yield variant, {}, {"bias": times * bias}
    yield _variant("forward-sign-flipped"), {}, {"weight": -weight, "bias": None if bias is None else -bias}


def _other_options(layer: Layer) -> Iterator[_Candidate]:
    """Options ignored, taken in the wrong order, or off by one."""
    for option, nothing in (("stride", 1), ("dilation", 1), ("padding", (0, 0))):
        given = getattr(layer, option)
        for words, axes in parts(layer, lambda axis: True):
            does = f"ignores the {option} {words}" if words else None
            changed = {option: mixed([nothing] * len(given), given, axes)}
            yield _variant(f"forward-{option}-ignored", does), changed, {}
    for does, pair in (
        ("swaps the padding in front and behind", lambda before, after: (after, before)),
        ("puts all padding in front", lambda before, after: (before + after, 0)),
        ("puts all padding behind", lambda before, after: (0, before + after)),
        ("pads behind as much as in front", lambda before, after: (before, before)),
    ):
        padding = tuple(pair(before, after) for before, after in layer.padding)
        yield _variant("forward-padding-offset", does), {"padding": padding}, {}
    for option in ("stride", "dilation", "padding"):
        does, fix = f"takes the {option} of the axes in the wrong order", f"Check how the forward pass uses {option}."
        yield _variant("forward-axes-swapped", does, fix), {option: tuple(reversed(getattr(layer, option)))}, {}
    for amount, where in ((1, "in front"), (-1, "behind")):
        does, fix = f"reads its windows one sample too far {where}", "Check where the first window starts."
        padding = tuple((before + amount, after - amount) for before, after in layer.padding)
        yield _variant("forward-padding-offset", does, fix), {"padding": padding}, {}
