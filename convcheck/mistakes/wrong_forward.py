"""Other things that a wrong forward pass may be computing, each compared exactly with what it gave.

On integer data equality is no accident: a forward pass that equals one of these computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod

import numpy as np

from convcheck.errors import LayerError
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer


@dataclass(frozen=True)
class Variant:
    """Something that a forward pass computes in place of the definition.

    Attributes
    ----------
    slug : str
    message : str
        One sentence.
    fix : str
    """

    slug: str
    message: str
    fix: str


_Candidate = tuple[Variant, Callable[[], Array]]


def name_forward(layer: Layer, operands: Operands, output: Array) -> Variant | None:
    """Return what a forward pass computes that is not the definition's; None if it is nothing known.

    Parameters
    ----------
    layer : Layer
    operands : Operands
        Integers.
    output : array
        What it gave, of whatever shape.
    """
    for variant, compute in _candidates(layer, operands, output):
        try:
            candidate = compute()
        except (LayerError, ValueError):
            # No such layer: the altered kernel does not fit, say.
            continue
        if candidate.shape == output.shape and np.array_equal(candidate, output):
            return variant
    return None


def _candidates(layer: Layer, operands: Operands, output: Array) -> Iterator[_Candidate]:
    yield from _flipped(layer, operands)
    yield from _other_options(layer, operands)
    yield from _other_order(layer, operands)
    yield from _other_bias(layer, operands)
    yield from _other_layout(layer, operands, output)


def _run(layer: Layer, operands: Operands) -> Array:
    return formulation(FASTEST).forward(layer, operands.x, operands.weight, operands.bias)


def _flipped(layer: Layer, operands: Operands) -> Iterator[_Candidate]:
    weight, rank = operands.weight, len(layer.kernel)
    true_convolution = Variant(
        "forward-is-convolution",
        "the forward pass flips the kernel: a true convolution, not the cross-correlation that frameworks compute",
        "Do not flip the kernel in the forward pass, or give the weight flipped.",
    )
    for count in range(rank, 0, -1):
        for axes in combinations(range(rank), count):
            turned = np.flip(weight, tuple(axis + 2 for axis in axes))
            some = f"the forward pass flips the kernel along axis {', '.join(map(str, axes))} only"
            partly = Variant("forward-flipped-one-axis", some, "Do not flip the kernel in the forward pass.")
            variant = true_convolution if count == rank else partly
            yield variant, lambda turned=turned: _run(layer, replace(operands, weight=turned))  # type: ignore[misc]


def _other_options(layer: Layer, operands: Operands) -> Iterator[_Candidate]:
    """Options ignored, taken in the wrong order, or off by one."""
    swapped = tuple((after, before) for before, after in layer.padding)
    in_front = tuple((before + after, 0) for before, after in layer.padding)
    behind = tuple((0, before + after) for before, after in layer.padding)
    twice = tuple((before, before) for before, _ in layer.padding)
    changes: list[tuple[str, str, dict[str, object]]] = [
        ("forward-stride-ignored", "the forward pass ignores the stride", {"stride": 1}),
        ("forward-dilation-ignored", "the forward pass ignores the dilation", {"dilation": 1}),
        ("forward-padding-ignored", "the forward pass ignores the padding", {"padding": 0}),
        ("forward-padding-offset", "the forward pass swaps the padding in front and behind", {"padding": swapped}),
        ("forward-padding-offset", "the forward pass puts all padding in front", {"padding": in_front}),
        ("forward-padding-offset", "the forward pass puts all padding behind", {"padding": behind}),
        ("forward-padding-offset", "the forward pass pads behind as much as in front", {"padding": twice}),
    ]
    for option in ("stride", "dilation", "padding"):
        backwards = tuple(reversed(getattr(layer, option)))
        message = f"the forward pass takes the {option} of the axes in the wrong order"
        changes.append(("forward-axes-swapped", message, {option: backwards}))
    for slug, message, change in changes:
        fix = f"Check how the forward pass uses {next(iter(change))}."
        variant = Variant(slug, message, fix)
        yield variant, lambda change=change: _run(replace(layer, **change), operands)  # type: ignore[misc]
    for amount in (1, -1):
        shifted = tuple((before + amount, after - amount) for before, after in layer.padding)
        message = f"the forward pass reads its windows one sample too far {'in front' if amount > 0 else 'behind'}"
        variant = Variant("forward-padding-offset", message, "Check where the first window starts.")
        yield variant, lambda shifted=shifted: _run(replace(layer, padding=shifted), operands)  # type: ignore[misc]


def _other_order(layer: Layer, operands: Operands) -> Iterator[_Candidate]:
    """Axes of the weight exchanged, or groups mixed."""
    weight = operands.weight
    fix = "Check the order of the axes."
    if len(layer.kernel) > 1:
        turned = np.transpose(weight, (0, 1, *reversed(range(2, weight.ndim))))
        if turned.shape == weight.shape:
            variant = Variant("forward-axes-swapped", "the forward pass exchanges the axes of the kernel", fix)
            yield variant, lambda: _run(layer, replace(operands, weight=turned))
    exchanged = np.swapaxes(weight, 0, 1)
    if exchanged.shape == weight.shape:
        message = "the forward pass exchanges filters and channels of the weight"
        yield (
            Variant("forward-weight-axes-swapped", message, fix),
            (lambda: _run(layer, replace(operands, weight=exchanged))),
        )
    if layer.groups > 1:
        mixed = operands.x.reshape(layer.batch, layer.channels_per_group, layer.groups, -1)
        interleaved = np.swapaxes(mixed, 1, 2).reshape(operands.x.shape)
        message = "the forward pass deals the channels out to the groups one by one, not in runs"
        yield (
            Variant("forward-groups-mixed", message, "Give each group a run of neighbouring channels."),
            (lambda: _run(layer, replace(operands, x=interleaved))),
        )


def _other_bias(layer: Layer, operands: Operands) -> Iterator[_Candidate]:
    """The bias left out or added more than once, and the sign or the size of everything."""
    if operands.bias is not None:
        bias = operands.bias
        for factor, what in ((0, "leaves the bias out"), (-1, "subtracts the bias"), (2, "adds the bias twice")):
            variant = Variant("forward-bias", f"the forward pass {what}", "Add the bias once to every output.")
            yield variant, lambda factor=factor: _run(layer, replace(operands, bias=factor * bias))  # type: ignore[misc]
        taps = layer.channels_per_group * prod(layer.kernel)
        for times, each in ((layer.channels_per_group, "channel"), (taps, "tap of the kernel")):
            variant = Variant("forward-bias", f"the forward pass adds the bias once per {each}", "Add the bias once.")
            yield variant, lambda times=times: _run(layer, replace(operands, bias=times * bias))  # type: ignore[misc]
    sign = Variant("forward-sign-flipped", "the forward pass has the wrong sign", "Check the signs.")
    yield sign, lambda: -_run(layer, operands)


def _other_layout(layer: Layer, operands: Operands, output: Array) -> Iterator[_Candidate]:
    rank = len(layer.kernel)
    if output.ndim == rank + 2:
        last = (0, *range(2, rank + 2), 1)
        message = "the forward pass gives its output with the channels last"
        yield (
            Variant("forward-axes-swapped", message, "Say layout: NHWC in the target's mapping."),
            (lambda: np.transpose(_run(layer, operands), last)),
        )
