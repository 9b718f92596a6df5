"""Hypothesis strategies for other people's tests too: layers of the kinds on which backward passes fail.

>>> from hypothesis import given
>>> from convcheck import strategies
>>> @given(strategies.layers(dtypes=("float32",)))
... def test_my_convolution(layer): ...
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any, NamedTuple

from convcheck.errors import UsageError
from convcheck.layer.fields import DTYPES, FIELDS, MAX_AXES, ZEROS
from convcheck.layer.layer import Layer
from convcheck.layer.similar import Changes, changed, shrunk

try:
    from hypothesis import assume
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError as error:
    raise UsageError(
        f"hunts and strategies need the package hypothesis ({error}); install it with: pip install hypothesis"
    ) from error

#: Around powers of two, where tiles, vectors and blocks of threads end.
EDGES = (7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)

#: Multiply-adds of the largest layers drawn: some milliseconds of a fast formulation.
LARGEST = 2**19

#: Kinds of layer beside the plain one.
_KINDS = ("transposed", *(mode for mode in FIELDS["padding_mode"].choices if mode != ZEROS))

#: Stands for as much padding as a window spans, less one.
_FULL = -1

# Every strategy is made once, and what belongs together is one draw: making and drawing are what a search spends most
# time on. The plainest comes first, since Hypothesis shrinks towards it.
_EDGE = st.sampled_from(EDGES)
_FEW = st.sampled_from((1, 2, 3, 4, 5, 6))
_ANY = st.one_of(_FEW, _EDGE)
_PADS = sorted(((before, after) for before in (0, 0, 1, 2, 4) for after in (0, 0, 1, 3)), key=sum)
_PADDING = st.sampled_from(_PADS)
_TRUTH = st.sampled_from((True, False))


class _Count(NamedTuple):
    """How many there are of everything but samples along an axis."""

    groups: int
    batch: int
    equal: bool  # as many filters as channels
    alike: bool  # all axes
    bias: bool


_COUNT = st.sampled_from([
    _Count(*numbers)
    for numbers in product((1, 1, 1, 2, 3, 4), (1, 2, 2, 3, 4), (False, False, True), (True, False), (True, False))
])  # fmt: skip

#: Channels and filters of a group.
_PER_GROUP = st.sampled_from(sorted(product((1, 2, 3, 4, 5, 6), repeat=2), key=sum))


class _Window(NamedTuple):
    """One axis but for its padding; with ``left`` samples left over, as far as the stride leaves some."""

    kernel: int
    stride: int
    dilation: int
    outputs: int
    left: int


#: By the number of axes: of many, each is short.
_WINDOW = {
    axes: st.sampled_from(sorted(
        (
            _Window(*numbers)
            for numbers in product(range(1, most + 1), (1, 2, 3, 4), (1, 1, 2, 3), range(1, most + 1), (0, 0, 1, 2))
        ),
        key=sum,
    ))
    for axes, most in ((1, 6), (2, 4), (3, 3))
}  # fmt: skip
_AROUND = st.sampled_from([*_PADS, *[(_FULL, _FULL), (_FULL, 0)] * 2])

#: What is at an edge, all else being small; nothing in many layers.
_AT_EDGE = st.sampled_from((
    *[()] * 6, ("channels",), ("filters",), ("channels", "filters"), ("groups",), ("batch",), ("batch", "channels"),
    ("input",), ("input", "channels"), ("output",), ("output", "filters"), ("kernel",),
))  # fmt: skip

#: What may be changed in a layer that others are near, and to what, where it is a number.
_CHANGED: dict[str, SearchStrategy[Any]] = {
    "batch": _ANY, "bias": _TRUTH, "channels": _ANY, "filters": _ANY, "groups": _ANY, "input": _ANY, "kernel": _FEW,
    "padding": _PADDING, "stride": _FEW, "dilation": _FEW,
}  # fmt: skip
_CHANGES = st.lists(st.sampled_from(tuple(_CHANGED)), min_size=1, max_size=3)


def layers(
    *,
    axes: Collection[int] = (1, 2, 3),
    dtypes: Collection[str] = ("float64",),
    kinds: Collection[str] = (),
    near: Sequence[Layer] = (),
    largest: int = LARGEST,
    seed: int = 0,
) -> SearchStrategy[Layer]:
    """Return a strategy of layers: small ones of every kind, of which many reach the edge of a tile in one size.

    Sizes lie around powers of two; channels, filters and groups stand in every relation; strides leave every remainder;
    kernels may be larger than an input that its padding makes large enough, and the padding may differ between the
    sides.

    Parameters
    ----------
    axes : collection of int, default (1, 2, 3)
        Numbers of spatial axes.
    dtypes : collection of str, default ("float64",)
        Data types.
    kinds : collection of {"transposed", "circular", "reflect", "replicate"}, optional
        Kinds of layer that are drawn beside plain ones.
    near : sequence of Layer, optional
        Half of the layers are then like one of these, with a few changes; a large one is made small first, and one
        that stays too large is left out.
    largest : int, default 2**19
        Multiply-adds of one forward pass, and entries of one array, that no layer exceeds.
    seed : int, default 0
        Of every layer's data.

    Returns
    -------
    SearchStrategy of Layer

    Raises
    ------
    UsageError
        If an argument is not allowed.

    Examples
    --------
    >>> layers(axes=[2]).example()  # doctest: +SKIP
    """
    needed: tuple[tuple[str, Collection[Any], Collection[Any]], ...] = (
        ("axes", axes, range(1, MAX_AXES + 1)), ("dtypes", dtypes, DTYPES), ("kinds", kinds, _KINDS),
    )  # fmt: skip
    for name, given, allowed in needed:
        wrong = [item for item in given if item not in allowed]
        if wrong or not (given or name == "kinds"):
            raise UsageError(f"{name}={given!r} is not allowed; expected some of {', '.join(map(str, allowed))}")
    ranks, formats = st.sampled_from(sorted(axes)), st.sampled_from(tuple(dtypes))
    fresh = _fresh(ranks, formats, largest, seed)
    if kinds:
        fresh = _of_kinds(fresh, st.sampled_from(["", *sorted(kinds)]), largest)
    small = [replace(shrunk(layer), name="layer", seed=seed) for layer in near]
    starts = [layer for layer in small if _within(layer, largest)]
    if not starts:
        return fresh
    # Layers themselves would stand in the words that Hypothesis has for a strategy, of which a thousand are too many.
    return st.one_of(fresh, _near(st.integers(0, len(starts) - 1).map(lambda number: starts[number]), largest))


def _within(layer: Layer, largest: int) -> bool:
    arrays = prod(layer.input_shape), prod(layer.weight_shape), prod(layer.output_shape)
    return max(layer.multiply_adds, *arrays) <= largest


@st.composite
def _fresh(draw: st.DrawFn, ranks: SearchStrategy[int], kinds: SearchStrategy[str], largest: int, seed: int) -> Layer:
    long: dict[str, int] = {name: draw(_EDGE) for name in draw(_AT_EDGE)}
    count, (channels, filters), rank = draw(_COUNT), draw(_PER_GROUP), draw(ranks)
    channels, filters = long.get("channels", channels), long.get("filters", filters)
    groups = long.get("groups", count.groups)
    window = _WINDOW[rank]
    drawn = [(draw(window), draw(_AROUND)) for _ in range(1 if count.alike else rank)] * (rank if count.alike else 1)
    # One axis is long and the others are short.
    of_axes = [_axis(*one, long if place == rank - 1 else {}) for place, one in enumerate(drawn)]
    kernel, stride, dilation, padding, samples = (list(values) for values in zip(*of_axes, strict=True))
    layer = Layer(
        channels=channels * groups, filters=(channels if count.equal else filters) * groups, kernel=kernel,
        stride=stride, padding=padding, dilation=dilation, groups=groups, bias=count.bias, input=samples,
        batch=long.get("batch", count.batch), dtype=draw(kinds), seed=seed,
    )  # fmt: skip
    assume(_within(layer, largest))
    return layer


def _axis(
    window: _Window, around: tuple[int, int], long: Mapping[str, int]
) -> tuple[int, int, int, tuple[int, int], int]:
    """Return kernel, stride, dilation, padding and input size of an axis that has an output."""
    kernel, stride = long.get("kernel", window.kernel), window.stride
    span = window.dilation * (kernel - 1) + 1
    before, after = (span - 1 if amount == _FULL else amount for amount in around)
    left = min(window.left, stride - 1)
    size = (long.get("output", window.outputs) - 1) * stride + span + left - before - after
    if "input" in long:
        size = max(long["input"], span - before - after)
    # Where the padding alone holds the windows, the input still has some samples, and as many are left over.
    size += max(0, -(-(1 - size) // stride)) * stride
    return kernel, stride, window.dilation, (before, after), size


@st.composite
def _of_kinds(draw: st.DrawFn, plain: SearchStrategy[Layer], kinds: SearchStrategy[str], largest: int) -> Layer:
    """Draw a plain layer, and make it one of another kind: transposed, with as many windows; or padded by samples."""
    layer, kind = draw(plain), draw(kinds)
    if kind == "transposed":
        most = [max(pair) - 1 for pair in zip(layer.stride, layer.dilation, strict=True)]
        behind = [min(draw(_FEW) - 1, limit) for limit in most]
        other = changed(layer, {"transposed": True, "input": layer.output, "output_padding": behind})
    else:
        other = changed(layer, {"padding_mode": kind}) if kind else layer
    # What the mode, or the padding, does not allow stays plain.
    layer = other or layer
    assume(_within(layer, largest))
    return layer


@st.composite
def _near(draw: st.DrawFn, starts: SearchStrategy[Layer], largest: int) -> Layer:
    layer = draw(starts)
    for name in draw(_CHANGES):
        value = draw(_CHANGED[name])
        if name in ("kernel", "stride", "dilation", "padding", "input"):
            values = list(getattr(layer, name))
            values[draw(_FEW) % len(values)] = value
            value = values
        changes: Changes = {name: value}
        if name in ("channels", "filters"):
            changes = {name: layer.groups * value}
        elif name == "groups":
            per_group = layer.channels_per_group, layer.filters_per_group
            changes = {"groups": value, "channels": value * per_group[0], "filters": value * per_group[1]}
        layer = changed(layer, changes) or layer
    assume(_within(layer, largest))
    return layer
