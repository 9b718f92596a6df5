"""Small layers that stand for others: a large layer shrunk, and layers that differ from one in a single respect.

A mistake in the backward pass depends on how the sizes of a layer relate to each other (is the kernel square, is there
a remainder, are there as many filters as channels), hardly ever on how large they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any, NamedTuple

from convcheck.errors import LayerError
from convcheck.layer.axis import Axis
from convcheck.layer.fields import ZEROS, written
from convcheck.layer.layer import Layer

#: Multiply-adds up to which a layer counts as small: the whole catalogue then takes a fraction of a second.
SMALL = 100_000

#: Multiply-adds, and entries of an array with padding and zeros in it, up to which the catalogue can be tried on a
#: layer that no small one is like.
_LARGE = 2**20

_LARGEST_KERNEL = 11

#: Windows per axis that `cut` leaves, where as many are to be had.
_CUT_WINDOWS = 16

#: Fields of a layer that change.
Changes = dict[str, Any]


def shrunk(layer: Layer) -> Layer:
    """Return a small layer of the same kind.

    Kernel (up to 11 taps), stride, dilation, padding, remainders, the bias and the dtype stay, and so does what the
    windows at both ends of an axis read: windows are taken out of the middle only. Batch, groups, channels and filters
    shrink to a few each. Numbers that are equal stay equal, and those that differ stay different. A small layer is
    returned as it is, and so is one that no small layer is like.
    """
    if layer.multiply_adds <= SMALL and layer.batch * max(prod(layer.input), prod(layer.output)) <= SMALL:
        return layer
    batch, per_channel, per_filter = _kept_apart((layer.batch, layer.channels_per_group, layer.filters_per_group), 2)
    groups = min(layer.groups, 3)
    kernel = layer.kernel if max(layer.kernel) <= _LARGEST_KERNEL else _kept_apart(layer.kernel, 5)
    changes = {
        "channels": groups * per_channel, "filters": groups * per_filter, "groups": groups, "kernel": kernel,
        "batch": batch,
    }  # fmt: skip
    # What stands between the windows and the padding is kept to the window where a small layer can have that. A kernel
    # of many taps may leave none so small, yet one on which mistakes can be tried.
    for counted, most in product((True, False), (SMALL, _LARGE) if layer.multiply_adds > _LARGE else (SMALL,)):
        padding = layer.padding if counted else _smaller_padding(layer, kernel)
        small = _alike(layer, {**changes, "padding": padding}, most, counted=counted)
        if small is not None:
            return small
    return layer


def cut(layer: Layer, most: int) -> Layer:
    """Return a layer of fewer samples and windows, if this one has more multiply-adds than ``most``; all else stays.

    Its sizes stand to each other as the layer's do, but for the batch where that is not to be had. Where one so small
    cannot be like it, it is as much larger as it must.
    """
    # The batch is to be on the same side of the channels and filters of a group, or equal to them.
    per_group = (layer.channels_per_group, layer.filters_per_group)
    batches = {size for other in per_group for size in (2, other, other + 1) if size <= layer.batch} or {layer.batch}
    two = replace(layer, batch=min(batches))
    ways = [*((layer, size) for size in sorted(batches)), (two, two.batch)]
    while most < layer.multiply_adds:
        for (wanted, batch), least in product(ways, range(_CUT_WINDOWS, 2, -1)):
            changes = {"batch": batch, "kernel": layer.kernel, "padding": layer.padding}
            small = _alike(wanted, changes, most, least=least)
            if small is not None:
                return small
        most *= 4
    return layer


def _alike(layer: Layer, changes: Changes, most: int, *, counted: bool = True, least: int = 3) -> Layer | None:
    """Return a layer with these changes and fewer windows, ``least`` or more, whose sizes stand as the layer's do."""
    windows = [axis.windows for axis in layer.axes]
    wanted = relations(layer, counted=counted)
    # Under a kernel that is not square, sizes that are equal, or far from each other, need windows so far apart.
    apart, fewest = 1, least
    while True:
        while fewest == least or fewest < max(windows):
            outputs = _kept_apart(windows, fewest, apart)
            sizes = (
                outputs
                if layer.transposed
                else [
                    (m - 1) * axis.stride + axis.dilation * (k - 1) + 1 + axis.remainder - sum(pair)
                    for axis, m, k, pair in zip(layer.axes, outputs, changes["kernel"], changes["padding"], strict=True)
                ]
            )
            small = changed(layer, {**changes, "input": list(sizes)})
            if small is not None and small.multiply_adds > most:
                break
            if small is not None and relations(small, counted=counted) == wanted:
                return small
            fewest += 1 + fewest // 4
        if fewest == least or apart >= max(windows) - min(windows):
            return None
        apart, fewest = apart + 1 + apart // 4, least


def triable(layer: Layer) -> bool:
    """Whether every mistake can be tried on a layer in seconds."""
    extent = prod(max(axis.padded_size, axis.stride * axis.windows) for axis in layer.axes)
    return max(layer.multiply_adds, layer.batch * max(layer.channels, layer.filters) * extent) <= _LARGE


def relations(layer: Layer, *, counted: bool = True) -> tuple[Any, ...]:
    """Return how a layer's sizes stand to each other: what a mistake in the backward pass can depend on.

    Parameters
    ----------
    counted : bool, default True
        Whether it counts how many windows read padding, or only whether there are some, and whether the output is so
        large that an index before its beginning may stand for one from its end.
    """
    axes = layer.axes
    # What the windows slide over: of a transposed layer, the output.
    sizes = [axis.output_size if axis.transposed else axis.size for axis in axes]
    return (
        _order([axis.size for axis in axes]),
        _order(layer.output),
        _order(layer.kernel),
        _order([side for axis in axes for side in (axis.before, axis.after)]),
        _order([layer.batch, layer.channels_per_group, layer.filters_per_group]),
        _order([axis.padded_size for axis in axes]) if counted else (),
        [min(layer.batch, 2), min(layer.groups, 2), min(layer.channels_per_group, 2), min(layer.filters_per_group, 2)],
        [
            (
                *(count if counted else count > 0 for count in _windows_in_padding(axis, size)),
                size >= max(axis.before, axis.after),
                size >= axis.effective_kernel,
                counted and axis.output_size * axis.stride >= axis.effective_kernel - axis.before - 1,
                axis.remainder,
            )
            for axis, size in zip(axes, sizes, strict=True)
        ],
    )


def _windows_in_padding(axis: Axis, size: int) -> tuple[int, int, int, int, bool]:
    """Return how many windows read nothing but padding in front, some in front, some behind, and nothing but behind.

    And whether one reads both. Window i spans i*s to i*s + e; of a transposed axis, outputs before the removal.
    """

    def first(position: int) -> int:
        """The first window that starts there or behind."""
        return min(max(-(-position // axis.stride), 0), axis.windows)

    end = axis.before + size
    reads_front = first(axis.before)
    in_front, within = (first(stop - axis.effective_kernel + 1) for stop in (axis.before, end))
    return in_front, reads_front, axis.windows - within, axis.windows - first(end), within < reads_front


def _order(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return the rank of each number among all of them; equal numbers have equal ranks."""
    ordered = sorted(set(numbers))
    return tuple(ordered.index(number) for number in numbers)


def _kept_apart(sizes: Iterable[int], cap: int, apart: int = 1) -> tuple[int, ...]:
    """Cut sizes down to about ``cap``; equal ones stay equal, the others in order, and at most so far apart."""
    sizes = tuple(sizes)
    small: dict[int, int] = {}
    before = 0
    for size in sorted(set(sizes)):
        small[size] = min(size, max([cap, *(value + min(size - before, apart) for value in small.values())]))
        before = size
    return tuple(small[size] for size in sizes)


def _smaller_padding(layer: Layer, kernel: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Shrink the padding as the kernel shrinks, and to at most about twice the span of a window."""
    scaled = [
        amount if k == axis.kernel else -(-amount * k // axis.kernel)
        for axis, k in zip(layer.axes, kernel, strict=True)
        for amount in (axis.before, axis.after)
    ]
    amounts = _kept_apart(scaled, 2 * max(axis.effective_kernel for axis in layer.axes))
    return tuple(zip(amounts[::2], amounts[1::2], strict=True))


def as_yaml(layer: Layer, name: str | None = None) -> str:
    """Return a layer as one line of a config file, defaults left out."""
    fields = written(layer.spec())
    shown = {} if name is None else {"name": name}
    shown |= {field: value for field, value in fields.items() if field not in ("name", "seed")}
    return "{" + ", ".join(f"{field}: {_as_yaml_value(value)}" for field, value in shown.items()) + "}"


def _as_yaml_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def changed(layer: Layer, changes: Changes) -> Layer | None:
    """Return a layer with other fields; None where there is no such layer."""
    try:
        return Layer(**{**layer.spec(), **changes})
    except LayerError:
        return None


def neighbours(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield layers that differ from one in a single respect, each with that respect in words.

    The changes are those in which wrong backward passes come to light, the plainest first. Those that make a layer too
    large to be tried are left out.
    """
    for words, changes in _changes(layer):
        other = changed(layer, changes)
        if other is not None and other != layer and triable(other):
            yield words, other


def _changes(layer: Layer) -> Iterator[tuple[str, dict[str, Any]]]:
    rank = len(layer.input)
    distinct, groups = range(rank), layer.groups
    per_group = layer.channels_per_group, layer.filters_per_group
    several = max(2, per_group[0]), max(3, per_group[1])
    yield "a batch of 3", {"batch": 3}
    yield "a bias", {"bias": True}
    yield "several channels and filters", {"channels": groups * several[0], "filters": groups * several[1]}
    yield "as many filters as channels", {"channels": groups * several[0], "filters": groups * several[0]}
    yield "as many samples as filters", {"batch": layer.filters}
    yield "groups", {"groups": 2, "channels": 2 * several[0], "filters": 2 * several[1]}
    sizes = _inputs(layer)
    yield "a larger kernel", {"kernel": [3] * rank, "input": [n + 3 for n in sizes]}
    yield (
        "a kernel that is not square",
        {"kernel": [3 + i for i in distinct], "input": [n + 3 + i for i, n in enumerate(sizes)]},
    )
    yield "a larger input that is not square", {"input": [max(sizes) + 3 * (i + 1) for i in distinct]}
    yield "a square input", {"input": [max(sizes) + 3] * rank}
    yield "padding", {"padding": [[1, 1]] * rank}
    yield "padding that differs between the sides", {"padding": [[1 + i, 0] if i % 2 else [i, 1 + i] for i in distinct]}
    yield "padding that differs between the axes", {"padding": [[i, rank - 1 - i] for i in distinct]}
    yield "padding in front and behind", {"padding": [[1, 2], [2, 1], [1, 2]][:rank]}
    if layer.transposed:
        yield "no output padding", {"output_padding": 0}
        yield "output padding", {"stride": [3] * rank, "output_padding": [2] * rank}
    yield "dilation", {"dilation": [2] * rank, "input": [2 * n + 3 for n in sizes]}
    yield (
        "dilation that differs between the axes",
        {"dilation": [2 + i for i in distinct], "input": [3 * n + 4 for n in sizes]},
    )
    yield "a stride", {"stride": [2] * rank, "input": [2 * n + 1 for n in sizes]}
    yield from _strides(layer, sizes)


def _strides(layer: Layer, sizes: list[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Strides, with and without a remainder, and with padding that fits into the remainder."""
    rank = len(layer.input)
    strides = [2 + i for i in range(rank)]
    spans = [axis.effective_kernel for axis in layer.axes]
    for leftover in ("no", "a"):
        rest = [s - 1 if leftover == "a" else 0 for s in strides]
        fitting = [[1, 1 + i % 2] for i in range(rank)]
        tight = [3 * s + e + r for s, e, r in zip(strides, spans, rest, strict=True)]
        size = [max(1, n - before - after) for n, (before, after) in zip(tight, layer.padding, strict=True)]
        yield f"a stride and {leftover} remainder", {"stride": strides, "input": size}
        yield (
            f"a stride, padding and {leftover} remainder",
            {"stride": strides, "padding": fitting, "input": [n - sum(p) for n, p in zip(tight, fitting, strict=True)]},
        )
    wide = [4 + i for i in range(rank)]
    yield "padding that fits into the remainder", {
        "stride": wide, "padding": [[1, i % 2] for i in range(rank)],
        "input": [2 * s + e for s, e in zip(wide, spans, strict=True)],
    }  # fmt: skip
    equal = [max(spans) + 8] * rank
    yield "strides that differ on a square input", {"stride": strides, "input": equal}


def _inputs(layer: Layer) -> list[int]:
    return [max(n, 3) for n in layer.input]


class Revealing(NamedTuple):
    """A layer that shows what no other one of `REVEALING` shows.

    Attributes
    ----------
    words : str
        What is particular about it.
    needed_by : tuple of str
        The mistakes of which some form shows on no other of these layers, with one, two or three axes.
    fields : dict
        Of the layer; a list holds what differs between the axes, of which the last ones are taken.
    """

    words: str
    needed_by: tuple[str, ...]
    fields: dict[str, Any]


_FEW = {"channels": 2, "filters": 3, "kernel": [2, 3, 2], "batch": 3}
_UNLIKE = {"stride": [2, 3, 2], "padding": [[0, 2], [2, 1], [1, 3]]}

#: On these every mistake shows that can show on a layer with as many axes.
REVEALING = (
    # Nearly all mistakes show here at once: no two sizes hide that one was taken for the other. The windows do not fit
    # into the input without its padding, so that the gradient of the weight made from it is too small.
    Revealing(
        "sizes that differ everywhere",
        ("input-not-padded",),
        {**_FEW, **_UNLIKE, "kernel": [2, 3, 4], "dilation": [2, 2, 1], "input": [6, 8, 9]},
    ),
    Revealing(
        "as many filters as channels in each group",
        ("groups-ignored",),
        {**_FEW, "channels": 4, "filters": 4, "groups": 2},
    ),
    # All windows fit into the input without its padding, so that the gradient of the weight keeps its shape.
    Revealing(
        "padding that fits into the remainder",
        ("input-not-padded",),
        {**_FEW, "stride": [3, 4, 5], "padding": [[1, 0], [2, 1], [2, 1]], "input": [5, 7, 12]},
    ),
    # Exchanging the dilations passes only where the windows fit either way.
    Revealing(
        "dilations that fit the other axis too",
        ("dilation-ignored", "axes-swapped"),
        {**_FEW, "kernel": [2, 3, 3], "stride": [2, 3, 3], "dilation": [2, 2, 3], "input": [4, 13, 15]},
    ),
)


def revealing(rank: int, *, transposed: bool = False, padding_mode: str = ZEROS) -> list[tuple[str, Layer]]:
    """Return layers of a rank and kind on which every mistake shows that can show on a layer of that rank and kind."""

    def of_rank(value: Any) -> Any:
        return value[3 - rank :] if isinstance(value, list) else value

    found = []
    for kind in REVEALING:
        fields = {field: of_rank(value) for field, value in kind.fields.items()}
        if transposed:
            stride, dilation = (fields.get(field, [1] * rank) for field in ("stride", "dilation"))
            fields["output_padding"] = [max(s, d) - 1 for s, d in zip(stride, dilation, strict=True)]
        elif padding_mode != ZEROS:
            # As much as every mode has on the smallest of these inputs.
            pairs = fields.get("padding", [(1, 1)] * rank)
            fields["padding"] = [[min(2, before), min(2, after)] for before, after in pairs]
        layer = Layer(**fields, transposed=transposed, padding_mode=padding_mode)
        found.append((kind.words, layer))
    return found
