"""Layers that are one step plainer than a layer: fewer of everything, then each option towards its default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from convcheck.layer.fields import FIELDS
from convcheck.layer.layer import Layer
from convcheck.layer.similar import Changes, changed

#: What has an entry per axis.
_PER_AXIS = ("kernel", "stride", "padding", "dilation", "input", "output_padding")

#: Yields plainer layers, the plainest first.
Step = Callable[[Layer], Iterator[Layer]]


def plainer(layer: Layer) -> Iterator[Layer]:
    """Yield every layer that is one step plainer, in the order of `STEPS`."""
    for step in STEPS:
        yield from step(layer)


def below(value: int, least: int) -> list[int]:
    """Return smaller numbers: the least, then half, then ever smaller steps below the value, down to one of 1."""
    gap = value - least
    steps = [gap, value // 2]
    while gap > 1:
        gap //= 2
        steps.append(gap)
    return list(dict.fromkeys(value - step for step in steps if 0 < step <= value - least))


def _layers(layer: Layer, choices: Iterator[Changes]) -> Iterator[Layer]:
    for fields in choices:
        other = changed(layer, fields)
        if other is not None and other != layer:
            yield other


def _axes(layer: Layer) -> Iterator[Changes]:
    """Without an axis, or with one on which there is nothing to see."""
    rank = len(layer.input)
    for axis in range(rank if rank > 1 else 0):
        yield {name: [v for i, v in enumerate(getattr(layer, name)) if i != axis] for name in _PER_AXIS}
    for axis in range(rank):
        flat = {name: list(getattr(layer, name)) for name in _PER_AXIS}
        for name in _PER_AXIS:
            flat[name][axis] = {"padding": (0, 0), "output_padding": 0}.get(name, 1)
        yield flat


def _channels(layer: Layer) -> Iterator[Changes]:
    for number in below(layer.channels_per_group, 1):
        yield {"channels": layer.groups * number}
        # Code may want as many filters as channels.
        if layer.filters == layer.channels:
            yield {"channels": layer.groups * number, "filters": layer.groups * number}


def _filters(layer: Layer) -> Iterator[Changes]:
    for number in below(layer.filters_per_group, 1):
        yield {"filters": layer.groups * number}


def _samples(layer: Layer) -> Iterator[Changes]:
    for number in below(layer.batch, 1):
        yield {"batch": number}


def _together(values: Sequence[int], least: int) -> Iterator[list[int]]:
    """Yield the values with none above a smaller one, then with a single one smaller."""
    if len(values) > 1:
        for limit in below(max(values), least):
            yield [min(value, limit) for value in values]
    for place, value in enumerate(values):
        for smaller in below(value, least):
            yield [*values[:place], smaller, *values[place + 1 :]]


def _taps(layer: Layer) -> Iterator[Changes]:
    for kernel in _together(layer.kernel, 1):
        fewer = [axis.kernel - k for axis, k in zip(layer.axes, kernel, strict=True)]
        # With as many outputs, with the input as it is, and with padding that fits the kernel as well as before.
        spared = [0 if layer.transposed else axis.dilation * f for axis, f in zip(layer.axes, fewer, strict=True)]
        yield {"kernel": kernel, "input": _less(layer.input, spared)}
        yield {"kernel": kernel}
        yield {
            "kernel": kernel,
            "padding": [
                [side * (k - 1) // max(axis.kernel - 1, 1) for side in (axis.before, axis.after)]
                for axis, k in zip(layer.axes, kernel, strict=True)
            ],
        }


def _strides(layer: Layer) -> Iterator[Changes]:
    for stride in _together(layer.stride, 1):
        spared = [(axis.output_size - 1) * (axis.stride - s) for axis, s in zip(layer.axes, stride, strict=True)]
        yield {"stride": stride, "input": _less(layer.input, spared)}
        yield {"stride": stride}


def _padding(layer: Layer) -> Iterator[Changes]:
    sides = [side for pair in layer.padding for side in pair]
    for smaller in _together(sides, 0):
        pairs = list(zip(smaller[::2], smaller[1::2], strict=True))
        yield {"padding": pairs}
        # What was padding is then input, so that as many windows fit.
        grown = [n + sum(old) - sum(new) for n, old, new in zip(layer.input, layer.padding, pairs, strict=True)]
        yield {"padding": pairs, "input": grown}


def _dilation(layer: Layer) -> Iterator[Changes]:
    for dilation in _together(layer.dilation, 1):
        spared = [(axis.kernel - 1) * (axis.dilation - d) for axis, d in zip(layer.axes, dilation, strict=True)]
        yield {"dilation": dilation, "input": _less(layer.input, spared)}
        yield {"dilation": dilation}


def _groups(layer: Layer) -> Iterator[Changes]:
    for groups in below(layer.groups, 1):
        yield {
            "groups": groups,
            "channels": groups * layer.channels_per_group,
            "filters": groups * layer.filters_per_group,
        }
        yield {"groups": groups}


def _kind(layer: Layer) -> Iterator[Changes]:
    if layer.transposed:
        yield {"transposed": False, "output_padding": 0}
        # With as many windows.
        yield {"transposed": False, "output_padding": 0, "input": layer.output}
    yield {"padding_mode": FIELDS["padding_mode"].default}
    for smaller in _together(layer.output_padding, 0):
        yield {"output_padding": smaller}


def _sizes(layer: Layer) -> Iterator[Changes]:
    for size in _together(layer.input, 1):
        yield {"input": size}


def _less(sizes: Sequence[int], spared: Sequence[int]) -> list[int]:
    return [max(1, size - less) for size, less in zip(sizes, spared, strict=True)]


def _step(choices: Callable[[Layer], Iterator[Changes]]) -> Step:
    return lambda layer: _layers(layer, choices(layer))


#: In this order a layer is made plainer.
STEPS: tuple[Step, ...] = tuple(
    map(_step, (_axes, _kind, _channels, _filters, _samples, _taps, _strides, _padding, _dilation, _groups, _sizes))
)
