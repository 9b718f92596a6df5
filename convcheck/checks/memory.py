"""Whether a layer can be checked: how large it is and how much memory that takes, before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, prod
from typing import NamedTuple

import numpy as np

from convcheck.errors import UsageError
from convcheck.layer.layer import Layer
from convcheck.targets.process.limits import free_memory
from convcheck.targets.target import Target

_FLOAT64 = 8


class Largest(NamedTuple):
    """How large a layer may be.

    Attributes
    ----------
    taps : int
        Of its kernel: the definition and the built-in passes add up one after the other.
    axis : int
        Samples of an axis, with padding and with zeros between its outputs.
    channels : float
        Channels, filters, or samples of the batch.
    """

    taps: int
    axis: int
    channels: float


#: What can be done with layers, and how large they may then be, so that it takes seconds.
LARGEST = {
    "checked": Largest(2**16, 2**21, inf),
    "drawn and explained": Largest(2**12, 2**16, 2**16),
}


def estimate(layer: Layer) -> int:
    """Bytes that checking a layer takes at its peak, roughly: all arrays in play at once, and the unfolded input."""
    # What the windows slide over, and what stands at the windows; a transposed layer has the former at its output.
    wide, narrow = (layer.filters, layer.channels) if layer.transposed else (layer.channels, layer.filters)
    padded = layer.batch * wide * prod(axis.padded_size for axis in layer.axes)
    sizes = layer.output if layer.transposed else layer.input
    full = prod(size + axis.effective_kernel - 1 for size, axis in zip(sizes, layer.axes, strict=True))
    full *= layer.batch * narrow
    weight, output = prod(layer.weight_shape), layer.batch * narrow * prod(axis.windows for axis in layer.axes)
    unfolded = wide * prod(layer.kernel) * layer.weight_terms
    spread = layer.batch * narrow * prod(axis.stride * axis.windows for axis in layer.axes)
    # Operands, integer and real, and those that conditions share, with what is right for them and what was given;
    # numeric gradient, allowance, and their temporaries. How many arrays that is was measured.
    return _FLOAT64 * (
        (34 if layer.transposed else 28) * padded + 28 * weight + 34 * output + 3 * full + 3 * unfolded + 2 * spread
    )


def excess(layer: Layer, done: str = "checked") -> str | None:
    """Return in what a layer is too large, whatever memory there is; None if it is not.

    Parameters
    ----------
    done : str
        What is to be done with it, as in `LARGEST`.
    """
    largest, taps = LARGEST[done], prod(layer.kernel)
    if taps > largest.taps:
        return f"has a kernel of {taps:,} taps; at most {largest.taps:,} can be {done}; expected a smaller kernel"
    longest = max(max(axis.padded_size, axis.stride * axis.windows) for axis in layer.axes)
    if longest > largest.axis:
        return (
            f"has an axis of {longest:,} samples, with padding and with zeros between outputs; at most "
            f"{largest.axis:,} can be {done}; expected a smaller input, padding, stride or dilation"
        )
    for what, count in (("channels", layer.channels), ("filters", layer.filters), ("samples", layer.batch)):
        if count > largest.channels:
            return f"has {count:,} {what}; at most {largest.channels:,} can be {done}; expected fewer"
    return None


def require(layers: Iterable[tuple[str, Layer]], at_once: int = 1, done: str = "checked") -> None:
    """Refuse layers that are too large, or would need more memory than is free.

    Parameters
    ----------
    layers : iterable of (where, Layer)
        ``where`` starts the message, for example "suite.yaml:6: layer conv1".
    at_once : int, default 1
        Layers that are checked side by side.
    done : str
        What is to be done with them, as in `LARGEST`.

    Raises
    ------
    UsageError
        Naming every such layer, with what is too large or its estimate.
    """
    layers = list(layers)
    problems = [f"{where} {too_much}" for where, layer in layers if (too_much := excess(layer, done))]
    if problems:
        raise UsageError("\n".join(problems))
    free = free_memory()
    needs = [(where, estimate(layer)) for where, layer in layers]
    problems = [
        f"{where} would need about {_gibibytes(needed)} of memory, but {_gibibytes(free)} are free; expected a smaller "
        "input, batch or number of channels"
        for where, needed in needs
        if needed > free
    ]
    together = sum(sorted(needed for _, needed in needs)[-at_once:])
    if not problems and together > free:
        problems.append(
            f"{at_once} layers at once would need up to {_gibibytes(together)} of memory, but {_gibibytes(free)} are "
            "free; expected fewer jobs"
        )
    if problems:
        raise UsageError("\n".join(problems))


def on_device(layer: Layer) -> int:
    """Bytes that a layer takes at least on the device of the code under test: three runs that wait for each other."""
    arrays = prod(layer.input_shape) + prod(layer.weight_shape) + prod(layer.output_shape)
    # What is given, and what comes back.
    return 3 * 2 * arrays * np.dtype(layer.dtype).itemsize


def require_room(work: Iterable[tuple[str, Layer, Target]], at_once: int = 1) -> None:
    """Refuse layers that would need more memory than is free on the device of a target.

    Parameters
    ----------
    work : iterable of (where, Layer, Target)
        ``where`` starts the message.
    at_once : int, default 1
        Layers that are checked side by side, on one device.

    Raises
    ------
    UsageError
        Naming every such layer with its estimate.
    """
    needs = [(where, on_device(layer), target.room) for where, layer, target in work if target.room is not None]
    problems = [
        f"{where} would need at least {_gibibytes(needed)} of the device's memory, but {_gibibytes(free)} are free "
        "there; expected a smaller input, batch or number of channels"
        for where, needed, free in needs
        if needed > free
    ]
    together = sum(sorted(needed for _, needed, _ in needs)[-at_once:])
    least = min((free for *_, free in needs), default=0)
    if not problems and together > least:
        problems.append(
            f"{at_once} layers at once would need at least {_gibibytes(together)} of the device's memory, but "
            f"{_gibibytes(least)} are free there; expected fewer jobs"
        )
    if problems:
        raise UsageError("\n".join(problems))


def _gibibytes(size: int) -> str:
    # Integer arithmetic: a size may be beyond what a float holds.
    tenths = (10 * size + 2**29) // 2**30
    return f"{tenths // 10:,}.{tenths % 10} GiB"
