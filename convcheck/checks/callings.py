"""Ways to call code that right code stands: other memory, other orders of calls, other threads, less that is asked for.

Each yields the runs that count. What only prepares them, such as another layer that is served before, is not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations, cycle
from typing import Any

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.checks.plan import gradients_of
from convcheck.checks.ran import LeftOutError, Ran, run
from convcheck.checks.regimes import REGIMES
from convcheck.layer.arrays import equal
from convcheck.layer.axis import Axis
from convcheck.layer.data import Operands
from convcheck.layer.fields import akin
from convcheck.layer.layer import Layer
from convcheck.layer.similar import changed
from convcheck.targets.calling import How
from convcheck.targets.target import Run, Target

#: Forward and backward passes of one object, one after the other.
PASSES = 12

#: Times that two layers are run at once: threads meet by chance.
_MEETINGS = 4

#: A number that no result of the data that count has everywhere.
_OTHER = 5


def called(ways: Sequence[How], first: int, expected: Expected, target: Target) -> Iterator[Ran]:
    """Yield a run for each way of calling, on the shared draws in turn, from the first given on."""
    for number, how in enumerate(ways, first):
        yield run(expected, target, expected.draws[number % len(expected.draws)], how)


def broadcast_grad_output(expected: Expected, target: Target) -> Iterator[Ran]:
    """As behind a sum of all outputs, and as behind a mean over the sites."""
    for at in expected.even:
        yield run(expected, target, at, How("broadcast", ("grad_output",)))


def some_gradients(expected: Expected, target: Target) -> Iterator[Ran]:
    """One gradient alone, and all but one."""
    names = [name for name in gradients_of(expected.layer) if name not in target.absent]
    chosen = [some for count in range(1, len(names)) for some in combinations(names, count)]
    yield from called([How(gradients=some) for some in chosen], 0, expected, target)


def threads(expected: Expected, target: Target) -> Iterator[Ran]:
    """One thread, and all; where the code claims that it may be, two layers at once."""
    meetings = [How(at_once=True)] * (_MEETINGS * target.at_once)
    yield from called([How(threads="one"), How(threads="all"), *meetings], 2, expected, target)


def other_layer(changes: dict[str, Any], expected: Expected, target: Target) -> Iterator[Ran]:
    """The layer itself, but for one option."""
    layer = expected.layer.alike(**changes)
    refusal = target.unsupported(layer)
    if refusal:
        raise LeftOutError(refusal)
    at, other = expected.draws[1], like(expected, layer)
    if layer.batch < expected.layer.batch:
        of, at = expected.first_sample, replace(at, x=at.x[:1].copy(), grad_output=at.grad_output[:1].copy())
    else:
        of = at
        at = replace(at, bias=None)
    ran = run(other, target, at)
    if expected.exact_data:
        # What is right follows from what is foreseen of the layer itself, without a further pass.
        right = expected.right(of)
        output = right["output"][: layer.batch]
        if not layer.bias and of.bias is not None:
            output = output - of.bias.reshape(-1, *[1] * len(layer.output))
        other.know(at, {**right, "input": right["input"][: layer.batch], "output": output})
    yield ran


def like(expected: Expected, layer: Layer) -> Expected:
    """Return what is expected of another layer."""
    return Expected(layer, expected.source, expected.max_error, lambda evaluations: None)


def interleaved(expected: Expected, target: Target) -> Iterator[Ran]:
    """Three forward passes, then their backward passes: neither first in, first out nor last in, first out."""
    data = expected.draws
    seen = Observed.interleaved(target, expected.layer, data, order=(1, 0, 2))
    for at, observed in zip(data, seen, strict=True):
        yield Ran(expected, at, lambda observed=observed: observed, alone=False)  # type: ignore[misc]


def same_memory(expected: Expected, target: Target) -> Iterator[Ran]:
    """Other data in the same memory, on the same object."""
    passes = ((expected.layer, at, False) for at in expected.draws[:2])
    (_, first, _), (at, second, _) = Observed.in_turn(target, passes)
    if not second().went_on and first().output is not None:
        raise LeftOutError("the target takes one forward pass per object")
    yield Ran(expected, at, second, alone=False)


def many_calls(expected: Expected, target: Target, of: Collection[str] = tuple(REGIMES)) -> Iterator[Ran]:
    """Passes of one object on data of some regimes, now in the same memory and now in other memory.

    Then a pass on the data of the last with other weights, and of that a second backward pass for another grad_output:
    what code keeps by some of its arguments, it must not give for others.
    """
    names: list[str | None] = []
    data: Iterable[tuple[str | None, Operands]] = _data_of(expected, target, of)
    another: Operands | None = None
    if expected.small:
        data = list(data)
        another = _another(expected, data[-1][1])
        expected.foresee([*(at for _, at in data), another])

    def passes() -> Iterator[tuple[Layer, Operands, bool]]:
        for name, at in data:
            names.append(name)
            yield expected.layer, at, len(names) % 2 == 1

    last: Ran | None = None
    for at, seen, done in Observed.in_turn(target, passes()):  # noqa: B007 - the last one's is needed
        if last is not None:
            yield last
        last = Ran(expected, at, seen, alone=False, regime=names[-1])
    assert last is not None
    yield replace(last, awaited=True)
    observed = seen()
    if done is None or observed.output is None:
        return
    another = another or _another(expected, at)
    again = observed.with_another(expected.layer, done, another.grad_output)
    right = expected.right(another)
    wrong = any(not equal(array, right[name]) for name, array in again.arrays.items())
    # An object whose memory a backward pass uses up gives the same gradients no second time, which is its right.
    if not (wrong or again.faults) or _repeats(observed, expected.layer, done, at):
        yield Ran(expected, another, lambda: again, alone=False)


def _another(expected: Expected, at: Operands) -> Operands:
    """Return the same data with another grad_output."""
    return replace(at, grad_output=_other_draw(expected, at).grad_output)


def _other_draw(expected: Expected, at: Operands) -> Operands:
    first, _, third = expected.draws
    return first if at.grad_output is third.grad_output else third


def _repeats(observed: Observed, layer: Layer, done: Run, at: Operands) -> bool:
    """Whether an object gives the gradients that it gave whenever it is asked for them."""
    last = observed.with_another(layer, done, at.grad_output).arrays
    return observed.arrays.keys() == last.keys() and all(equal(array, last[n]) for n, array in observed.arrays.items())


def _data_of(expected: Expected, target: Target, of: Collection[str]) -> Iterator[tuple[str | None, Operands]]:
    count = 0
    for name in of:
        with suppress(LeftOutError):
            for at in REGIMES[name](expected, target):
                yield name, at
                count += 1
    for _, at in zip(range(count, PASSES), cycle(expected.draws)):
        yield None, at
    yield None, replace(at, weight=_other_draw(expected, at).weight)


def other_layer_before(expected: Expected, target: Target) -> Iterator[Ran]:
    """The code has just served a larger layer, a smaller one, another dtype, and one of the same shapes."""
    layer, (first, second, _) = expected.layer, expected.draws
    grown = [n + s for n, s in zip(layer.input, layer.stride, strict=True)]
    larger = changed(layer, {"batch": layer.batch + 1, "input": grown})
    few = [max(1, number - 1) for number in (layer.channels_per_group, layer.filters_per_group)]
    smaller = changed(
        layer,
        {"channels": layer.groups * few[0], "filters": layer.groups * few[1], "batch": max(1, layer.batch - 1)},
    )
    narrower = layer.alike(dtype=next(name for name in akin(layer.dtype) if name != layer.dtype))
    # On the object that has served the larger one, where it takes another input.
    done = _served(target, larger)
    _served(target, narrower)
    passes = [(layer, first, True)]
    [(_, seen, _)] = Observed.in_turn(target, passes, of=done)
    # One of which nothing was seen before, so that what is kept by the shapes is kept of the other layer.
    unseen = with_more_samples(layer)
    twin = next((other for other in same_shapes(unseen) if not target.unsupported(other)), None)
    _served(target, smaller)
    _served(target, twin)
    of_unseen = like(expected, unseen)
    # A gate that lets a mistake pass on this layer need not on another.
    refused = target.unsupported(unseen) or expected.max_error is not None
    ran = None if refused else run(of_unseen, target, of_unseen.draw(15))
    if ran is not None:
        ran = replace(
            ran, unserved=changed(unseen, {"input": [n + s for n, s in zip(grown, layer.stride, strict=True)]})
        )
    yield Ran(expected, first, seen, alone=False, awaited=True)
    if ran is None or "output" not in ran.observed.arrays:
        # Code may be made for batches of some sizes only.
        ran = run(expected, target, second)
    yield replace(ran, alone=False)


def with_more_samples(layer: Layer) -> Layer:
    """Return the layer of which nothing was seen before, where it is checked what others leave behind."""
    return layer.alike(batch=layer.batch + 2)


def _served(target: Target, layer: Layer | None) -> Run | None:
    """Let the code serve another layer; what comes of that is no matter."""
    done = None
    with suppress(Exception, SystemExit):
        if layer is not None and not target.unsupported(layer):
            done = target.both(layer, _filled(layer))
            if not target.ahead(layer):
                done.backward()
    return done


def _filled(layer: Layer) -> Operands:
    def full(shape: tuple[int, ...]) -> Any:
        return np.full(shape, _OTHER, layer.dtype)

    bias = full(layer.bias_shape) if layer.bias else None
    return Operands(full(layer.input_shape), full(layer.weight_shape), bias, full(layer.output_shape))


def same_shapes(layer: Layer) -> Iterator[Layer]:
    """Yield layers whose arrays have the same shapes, as far as there are any, with other options."""

    def padding(axis: Axis, stride: int, dilation: int, before: int) -> tuple[int, int] | None:
        span = (axis.output_size - 1) * stride + dilation * (axis.kernel - 1) + 1
        after = span - axis.size - before
        return (before, after) if after >= 0 else None

    for more_stride, more_dilation, moved in ((1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 1), (0, 0, -1)):
        pads = []
        for axis in layer.axes:
            stride, dilation = axis.stride + more_stride, axis.dilation + more_dilation
            pads.append(padding(axis, stride, dilation, max(0, axis.before + moved)))
        options = {
            "stride": [axis.stride + more_stride for axis in layer.axes],
            "dilation": [axis.dilation + more_dilation for axis in layer.axes],
        }
        other = None if None in pads else changed(layer, {**options, "padding": pads})
        if other is not None and other.output == layer.output and other != layer:
            yield other
    # Of the same input and weight at least.
    others: list[dict[str, Any]] = [
        {"stride": [s + 1 for s in layer.stride]},
        {"padding": [(before + 1, after + 1) for before, after in layer.padding]},
    ]
    yield from (other for options in others if (other := changed(layer, options)) is not None)
