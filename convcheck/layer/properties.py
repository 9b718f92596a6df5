"""What one layer has and another has not, by name and in words; and what tells some layers from others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from convcheck.layer.axis import same_padding, transposed_same_padding
from convcheck.layer.fields import DTYPES, FIELDS, ZEROS
from convcheck.layer.layer import Layer

#: Where more properties than these, or more pairs, tell the layers apart, there are too few layers to say which it is.
_MOST = 3


@dataclass(frozen=True)
class Property:
    """Something that a layer can have.

    Attributes
    ----------
    words : str
        What it has: "a stride above 1".
    of : callable
        Whether a layer has it.
    telling : bool
        Whether it can be why a backward pass fails; others matter to what code takes at all.
    """

    words: str
    of: Callable[[Layer], bool]
    telling: bool = True


def _dtype(name: str) -> Property:
    return Property(f"the dtype {name}", lambda layer: layer.dtype == name)


def _no_multiple(number: int) -> Property:
    return Property(
        f"channels or filters that are no multiple of {number}",
        lambda layer: layer.channels % number > 0 or layer.filters % number > 0,
        telling=False,
    )


def _same(layer: Layer) -> tuple[tuple[int, int], ...]:
    if layer.transposed:
        return tuple(
            transposed_same_padding(axis.effective_kernel, axis.stride, axis.output_padding) for axis in layer.axes
        )
    return tuple(same_padding(axis.size, axis.effective_kernel, axis.stride) for axis in layer.axes)


def _mode(name: str) -> Property:
    return Property(f"{name} padding", lambda layer: layer.padding_mode == name and any(map(any, layer.padding)))


#: Every property, the plainest first.
PROPERTIES: dict[str, Property] = {
    "stride": Property("a stride above 1", lambda layer: max(layer.stride) > 1),
    "remainder": Property(
        "a remainder", lambda layer: not layer.transposed and any(axis.remainder for axis in layer.axes)
    ),
    "padding": Property("padding", lambda layer: any(map(any, layer.padding))),
    "no-padding": Property("no padding", lambda layer: not any(map(any, layer.padding))),
    "unpadded": Property(
        "padding of 0 with a kernel above 1",
        lambda layer: not any(map(any, layer.padding)) and max(layer.kernel) > 1,
        telling=False,
    ),
    "padding-neither": Property(
        "padding that is neither same nor 0",
        lambda layer: any(map(any, layer.padding)) and layer.padding != _same(layer),
        telling=False,
    ),
    "padding-not-same": Property("padding other than same", lambda layer: layer.padding != _same(layer), telling=False),
    "asymmetric-padding": Property(
        "padding that differs in front and behind",
        lambda layer: any(before != after for before, after in layer.padding),
    ),
    "dilation": Property("dilation", lambda layer: max(layer.dilation) > 1),
    "transposed": Property("a transposed convolution", lambda layer: layer.transposed),
    "plain": Property("a convolution that is not transposed", lambda layer: not layer.transposed, telling=False),
    "output-padding": Property("output padding", lambda layer: any(layer.output_padding)),
    **{name: _mode(name) for name in FIELDS["padding_mode"].choices if name != ZEROS},
    "groups": Property("groups", lambda layer: layer.groups > 1),
    "depthwise": Property("one channel per group", lambda layer: layer.groups > 1 and layer.channels_per_group == 1),
    "per-axis-kernel": Property("a kernel that is not square", lambda layer: len(set(layer.kernel)) > 1),
    "per-axis-input": Property("an input that is not square", lambda layer: len(set(layer.input)) > 1),
    "per-axis": Property(
        "a stride, padding or dilation that differs between axes",
        lambda layer: any(len(set(values)) > 1 for values in (layer.stride, layer.padding, layer.dilation)),
    ),
    "even-kernel": Property("a kernel of even size", lambda layer: any(size % 2 == 0 for size in layer.kernel)),
    "kernel-not-3": Property("a kernel other than 3", lambda layer: set(layer.kernel) != {3}, telling=False),
    "kernel-above-1": Property("a kernel above 1", lambda layer: max(layer.kernel) > 1),
    "kernel-of-one": Property("a kernel of 1", lambda layer: max(layer.kernel) == 1),
    "wide-stride": Property(
        "a stride larger than the kernel",
        lambda layer: any(axis.stride > axis.effective_kernel for axis in layer.axes),
    ),
    "several-per-filter": Property(
        "filters that read several channels", lambda layer: layer.channels_per_group > 1, telling=False
    ),
    "several-channels": Property("several channels", lambda layer: layer.channels > 1),
    "one-channel": Property("a single channel", lambda layer: layer.channels == 1),
    "unequal-channels": Property(
        "filters that are not as many as the channels", lambda layer: layer.channels != layer.filters
    ),
    "equal-channels": Property("as many filters as channels", lambda layer: layer.channels == layer.filters),
    **{f"multiples-of-{number}": _no_multiple(number) for number in (8, 16)},
    "several-samples": Property("a batch of several samples", lambda layer: layer.batch > 1),
    "one-sample": Property("a batch of 1", lambda layer: layer.batch == 1),
    "bias": Property("a bias", lambda layer: layer.bias),
    "no-bias": Property("no bias", lambda layer: not layer.bias),
    "1d": Property("one spatial axis", lambda layer: len(layer.input) == 1),
    "2d": Property("two spatial axes", lambda layer: len(layer.input) == 2),
    "3d": Property("three spatial axes", lambda layer: len(layer.input) == 3),
    **{name: _dtype(name) for name in DTYPES},
}


def in_common(some: Sequence[Layer], others: Sequence[Layer], called: tuple[str, str]) -> str | None:
    """Say what all of some layers have and none of the others has.

    Parameters
    ----------
    called : tuple of (str, str)
        What the two sorts of layers are called, such as "failing" and "passing".

    Returns
    -------
    str or None
        None unless one property tells all layers apart, or else two together, and there are three layers at least.
    """
    if not some or not others or len(some) + len(others) < 3:
        return None
    shared = [one for one in PROPERTIES.values() if one.telling and all(map(one.of, some))]
    alone = [one.words for one in shared if not any(map(one.of, others))]
    if len(alone) > _MOST:
        return None
    if alone:
        words = ", and ".join(alone)
        contrast = ("do not", "have neither", "have none of these")[len(alone) - 1]
    else:
        pairs = [
            (first, second)
            for first, second in combinations(shared, 2)
            if not any(first.of(layer) and second.of(layer) for layer in others)
        ]
        if not 0 < len(pairs) <= _MOST:
            return None
        # Of several pairs the one whose halves alone were seen to do no harm most often.
        first, second = max(pairs, key=lambda pair: min(sum(map(one.of, others)) for one in pair))
        words, contrast = f"both {first.words} and {second.words}", "have at most one of these"
    number = "both" if len(some) == 2 else f"all {len(some):,}"
    subject = f"{number} {called[0]} layers have" if len(some) > 1 else f"the only {called[0]} layer has"
    if len(others) == 1:
        contrast = contrast.replace("have", "has").replace("do not", "does not")
    rest = f"the {len(others):,} {called[1]} ones" if len(others) > 1 else f"the only {called[1]} one"
    return f"{subject} {words}; {rest} {contrast}"
