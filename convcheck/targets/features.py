"""What a layer may ask of a target: by name, in words, and how a layer comes to ask it or stops asking it.

By these names a mapping declares what a target takes, and `convcheck.targets.probing` finds it out by trying.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from math import lcm
from typing import Any, NamedTuple

from convcheck.layer.fields import DTYPES, FIELDS
from convcheck.layer.layer import Layer
from convcheck.layer.properties import PROPERTIES
from convcheck.layer.similar import Changes, changed


class Way(NamedTuple):
    """How a layer comes to need something, and how it stops.

    Attributes
    ----------
    added : callable
        Yields changes each of which makes a plain layer need it; nothing where it cannot be added.
    removed : callable
        Returns changes after which a layer no longer needs it; None where there are none.
    usual : bool
        Whether nearly all code takes it, so that only its lack is worth a word.
    """

    added: Callable[[Layer], Iterator[Changes]]
    removed: Callable[[Layer], Changes | None]
    usual: bool = False


class Feature(NamedTuple):
    """Something that a layer may need and a target may not take.

    Attributes
    ----------
    words : str
        What is not taken.
    needed_by : callable
        Whether a layer needs it.
    added, removed, usual
        As of `Way`.
    """

    words: str
    needed_by: Callable[[Layer], bool]
    added: Callable[[Layer], Iterator[Changes]]
    removed: Callable[[Layer], Changes | None]
    usual: bool


def _sized(layer: Layer, *, outputs: int = 3, remainder: int = 0, **changes: Any) -> Changes:
    """Return the changes, with an input that gives so many outputs along each axis and leaves such a remainder."""
    rank = len(layer.input)

    def per_axis(name: str) -> Sequence[Any]:
        value = changes.get(name, getattr(layer, name))
        return (value,) * rank if isinstance(value, int) else value

    sizes = []
    for k, s, d, p in zip(*map(per_axis, ("kernel", "stride", "dilation", "padding")), strict=True):
        size = (outputs - 1) * s + d * (k - 1) + 1 + min(remainder, s - 1) - (2 * p if isinstance(p, int) else sum(p))
        # Where the padding alone holds the windows, the input still has some samples, a whole number of strides on.
        sizes.append(size + max(0, -(-(2 - size) // s)) * s)
    return {**changes, "input": sizes}


def _square(layer: Layer, **changes: Any) -> Changes:
    """Return the changes, with an input that is large enough and the same along each axis."""
    sized = _sized(layer, **changes)
    return {**sized, "input": [max(sized["input"])] * len(layer.input)}


def _steps(layer: Layer, start: int) -> list[int]:
    """Return numbers that differ between the axes."""
    return [start + axis for axis in range(len(layer.input))]


def _stride(layer: Layer) -> Iterator[Changes]:
    yield _square(layer, stride=2)


def _remainder(layer: Layer) -> Iterator[Changes]:
    for stride in (2, 3):
        yield _sized(layer, stride=stride, remainder=1)


def _no_remainder(layer: Layer) -> Changes:
    return {"input": [axis.size + -axis.remainder % axis.stride for axis in layer.axes]}


def _padding(layer: Layer) -> Iterator[Changes]:
    for amount in (1, 2):
        yield _square(layer, padding=amount)
    yield {"padding": "same"}


def _padding_not_same(layer: Layer) -> Iterator[Changes]:
    yield _square(layer, padding=0)
    yield _square(layer, padding=2, kernel=3)
    yield _square(layer, padding=1, kernel=1)


def _one_sided(layer: Layer) -> Iterator[Changes]:
    yield _sized(layer, padding=[[1, 0]] * len(layer.input))
    yield _sized(layer, padding=[[1, 2]] * len(layer.input))


def _per_axis(layer: Layer) -> Iterator[Changes]:
    if len(layer.input) > 1:
        yield _sized(layer, padding=_steps(layer, 0))
        yield _sized(layer, stride=_steps(layer, 1))
        yield _sized(layer, stride=_steps(layer, 1), padding=_steps(layer, 0))
        yield _sized(layer, dilation=_steps(layer, 1))


def _alike(layer: Layer) -> Changes:
    padding = max(max(pair) for pair in layer.padding)
    differ = len(set(layer.padding)) > 1
    return {
        "stride": max(layer.stride),
        "dilation": max(layer.dilation),
        "padding": padding if differ else layer.padding,
        "input": [max(layer.input) + n for n in range(len(layer.input))] if len(set(layer.input)) > 1 else layer.input,
    }


def _kernel_not_square(layer: Layer) -> Iterator[Changes]:
    if len(layer.input) > 1:
        kernel = [layer.kernel[0], *(k + 2 for k in layer.kernel[1:])]
        yield _square(layer, kernel=kernel)
        yield {**_square(layer, kernel=kernel), "padding": "same"}


def _input_not_square(layer: Layer) -> Iterator[Changes]:
    if len(layer.input) > 1:
        yield {"input": [n + 2 * axis * s for axis, (n, s) in enumerate(zip(layer.input, layer.stride, strict=True))]}


def _groups(layer: Layer) -> Iterator[Changes]:
    c, f = layer.channels_per_group, layer.filters_per_group
    # Two channels to a group: a single one would be broadcast by code that knows of no groups.
    yield {"groups": 2, "channels": 2 * max(c, 2), "filters": 2 * max(f, 2)}


def _depthwise(layer: Layer) -> Iterator[Changes]:
    count = max(layer.channels, 3)
    yield {"groups": count, "channels": count, "filters": count}
    yield {"groups": count, "channels": count, "filters": 2 * count}


def _multiple(number: int) -> Way:
    """Numbers of channels and filters that this one does not divide."""

    def up(count: int, layer: Layer) -> int:
        step = lcm(number, layer.groups)
        return -(-count // step) * step

    return Way(
        lambda layer: iter([{"channels": number // 2 * layer.groups, "filters": number // 2 * layer.groups}]),
        lambda layer: {"channels": up(layer.channels, layer), "filters": up(layer.filters, layer)},
        usual=True,
    )


def _dtype(name: str) -> Way:
    others = [other for other in DTYPES if other != name]
    return Way(lambda layer: iter([{"dtype": name}]), lambda layer: {"dtype": others[0]} if others else None)


#: How what a layer may need is added and taken away, what others build on first; in words it is in `PROPERTIES`.
_WAYS: dict[str, Way] = {
    # Another number of axes is another layer.
    **dict.fromkeys(("1d", "2d", "3d"), Way(lambda layer: iter(()), lambda layer: None)),
    "bias": Way(
        lambda layer: iter([{"bias": True}]),
        lambda layer: {"bias": False},
        usual=True,
    ),
    "no-bias": Way(
        lambda layer: iter([{"bias": False}]),
        lambda layer: {"bias": True},
        usual=True,
    ),
    "groups": Way(
        _groups,
        lambda layer: {"groups": 1},
    ),
    "depthwise": Way(
        _depthwise,
        lambda layer: {"channels": 2 * layer.channels, "filters": 2 * layer.filters},
    ),
    "several-per-filter": Way(
        lambda layer: iter([{"groups": 1}, {"channels": 2 * layer.channels}]),
        lambda layer: {"groups": layer.channels, "filters": layer.channels},
        usual=True,
    ),
    "unequal-channels": Way(
        lambda layer: iter([{"filters": layer.channels + layer.groups}, {"filters": 2 * layer.channels}]),
        lambda layer: {"filters": layer.channels},
        usual=True,
    ),
    "several-channels": Way(
        lambda layer: iter([{"channels": 2 * layer.groups}]),
        lambda layer: {"channels": 1, "groups": 1},
        usual=True,
    ),
    "one-channel": Way(
        lambda layer: iter([{"channels": 1, "groups": 1}, {"channels": 1, "filters": 1, "groups": 1}]),
        lambda layer: {"channels": 2},
    ),
    "multiples-of-8": _multiple(8),
    "multiples-of-16": _multiple(16),
    "several-samples": Way(
        lambda layer: iter([{"batch": 2}]),
        lambda layer: {"batch": 1},
        usual=True,
    ),
    "one-sample": Way(
        lambda layer: iter([{"batch": 1}]),
        lambda layer: {"batch": 2},
    ),
    "kernel-of-one": Way(
        lambda layer: iter([_square(layer, kernel=1, padding=0), _square(layer, kernel=1)]),
        lambda layer: {"kernel": 3, "padding": "same"},
    ),
    "even-kernel": Way(
        lambda layer: iter([_square(layer, kernel=2), {"kernel": 2, "padding": "same"}]),
        lambda layer: _sized(layer, kernel=[k + 1 - k % 2 for k in layer.kernel]),
    ),
    "kernel-not-3": Way(
        lambda layer: iter([_square(layer, kernel=5), {**_square(layer, kernel=5), "padding": "same"}]),
        lambda layer: _sized(layer, kernel=3),
        usual=True,
    ),
    "per-axis-kernel": Way(
        _kernel_not_square,
        lambda layer: _sized(layer, kernel=max(layer.kernel)),
    ),
    "per-axis-input": Way(
        _input_not_square,
        lambda layer: {"input": [max(layer.input)] * len(layer.input)},
    ),
    "padding": Way(
        _padding,
        lambda layer: _sized(layer, padding=0, remainder=max(axis.remainder for axis in layer.axes)),
    ),
    "padding-not-same": Way(
        _padding_not_same,
        lambda layer: {"padding": "same"},
        usual=True,
    ),
    "unpadded": Way(
        lambda layer: iter([_square(layer, padding=0)]),
        lambda layer: {"padding": 1},
        usual=True,
    ),
    "padding-neither": Way(
        lambda layer: iter([_square(layer, padding=2, kernel=3), _square(layer, padding=1, kernel=1)]),
        lambda layer: {"padding": "same"},
        usual=True,
    ),
    "asymmetric-padding": Way(
        _one_sided,
        lambda layer: {"padding": [max(pair) for pair in layer.padding]},
    ),
    "stride": Way(
        _stride,
        lambda layer: {"stride": 1},
    ),
    "remainder": Way(
        _remainder,
        _no_remainder,
    ),
    "wide-stride": Way(
        lambda layer: iter([_square(layer, stride=max(layer.kernel) + 1)]),
        lambda layer: _sized(
            layer, stride=[min(axis.stride, axis.effective_kernel) for axis in layer.axes], remainder=1
        ),
    ),
    "dilation": Way(
        lambda layer: iter([_square(layer, dilation=2), {**_square(layer, dilation=2), "padding": "same"}]),
        lambda layer: {"dilation": 1},
    ),
    "per-axis": Way(
        _per_axis,
        _alike,
    ),
    **{name: _dtype(name) for name in sorted(DTYPES)},
}


def _mode(name: str) -> Way:
    return Way(
        lambda layer: iter([{"padding_mode": name, "padding": 1}]),
        lambda layer: {"padding_mode": FIELDS["padding_mode"].default},
    )


#: Kinds of layer beside the plain one. Code is asked for them only where its mapping, or its form, says that it takes
#: them: that it does not is no lack.
KINDS = frozenset({"transposed", *(mode for mode in FIELDS["padding_mode"].choices if mode in PROPERTIES)})

_WAYS |= {mode: _mode(mode) for mode in sorted(KINDS - {"transposed"})}
_WAYS["transposed"] = Way(
    lambda layer: iter([{"transposed": True}]),
    lambda layer: {"transposed": False, "output_padding": 0},
)
_WAYS["output-padding"] = Way(
    lambda layer: iter([{"transposed": True, "stride": 2, "output_padding": 1}]),
    lambda layer: {"output_padding": 0},
)
# Code that is a transposed convolution and nothing else does not take it.
_WAYS["plain"] = Way(
    lambda layer: iter([{"transposed": False, "output_padding": 0}]),
    lambda layer: {"transposed": True, "padding_mode": FIELDS["padding_mode"].default},
    usual=True,
)

#: Everything that a layer may need.
FEATURES = {
    name: Feature("a layer without a bias" if name == "no-bias" else PROPERTIES[name].words, PROPERTIES[name].of, *way)
    for name, way in _WAYS.items()
}

ALL = frozenset(FEATURES)

#: What no signature can show. It is taken until trying, or the mapping, says otherwise.
UNSEEN = ALL - {
    "1d", "2d", "3d", "stride", "padding", "asymmetric-padding", "dilation", "groups", "bias", "per-axis",
    "per-axis-kernel", *DTYPES, *KINDS,
}  # fmt: skip


def needed(layer: Layer) -> list[str]:
    """Return the features that a layer needs, without the bias: it can be left out."""
    return [name for name, feature in FEATURES.items() if name != "bias" and feature.needed_by(layer)]


def missing(layer: Layer, takes: Collection[str]) -> str | None:
    """Return why a target that takes these features cannot take a layer; None if it can."""
    untaken = [feature for name, feature in FEATURES.items() if name != "bias" and name not in takes]
    lacking = [feature.words for feature in untaken if feature.needed_by(layer)]
    return f"the target does not take {', '.join(lacking)}" if lacking else None


def other_kinds(layer: Layer, takes: Collection[str]) -> list[str]:
    """Return of which kinds a layer is that a target which takes these features is no code for, in words."""
    kinds = [name for name in FEATURES if name in KINDS or name == "plain"]
    return [FEATURES[name].words for name in kinds if name not in takes and FEATURES[name].needed_by(layer)]


def without(layer: Layer, refused: Collection[str]) -> Layer | None:
    """Return a layer as much like this one as can be that needs none of some features; None if there is none."""
    # What takes one away may bring another back.
    for _ in range(4):
        lacking = [name for name in FEATURES if name in refused and FEATURES[name].needed_by(layer)]
        if not lacking:
            return layer
        for name in lacking:
            changes = FEATURES[name].removed(layer)
            like = None if changes is None else changed(layer, changes)
            if like is None:
                return None
            layer = like
    return None


def kinds_shown(name: str, told: Collection[str]) -> frozenset[str]:
    """Return the kinds of layers that code takes, as one sees by its name and by what of a layer it is told."""
    if "transposed" in told:
        return KINDS if "padding_mode" in told else frozenset({"transposed"})
    if "output_padding" in told or re.search("transpose|deconv", name.rpartition(":")[2], re.IGNORECASE):
        return frozenset({"transposed"})
    return KINDS - {"transposed"} if "padding_mode" in told else frozenset()


def ranks_in(name: str) -> frozenset[str]:
    """Return the numbers of axes that a name speaks of: of ``Conv2d`` two; all, if it speaks of none.

    The folders of a path, whose names may be drawn by chance, say nothing.
    """
    found = {f"{digit}d" for digit in re.findall(r"(?<![0-9])([123])[dD]", re.split(r"[/\\]", name)[-1])}
    return frozenset(found or {"1d", "2d", "3d"})
