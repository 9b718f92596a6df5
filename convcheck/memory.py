"""How much memory checking a layer takes, found out before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from convcheck.errors import UsageError
from convcheck.layer import Layer

__all__ = ["estimate", "require"]

_FLOAT64 = 8


def estimate(layer: Layer) -> int:
    """Bytes that checking a layer takes at its peak, roughly: all arrays in play at once, and the unfolded input."""
    padded = layer.batch * layer.channels * prod(axis.padded_size for axis in layer.axes)
    full = layer.batch * layer.filters * prod(axis.size + axis.effective_kernel - 1 for axis in layer.axes)
    weight, output = prod(layer.weight_shape), prod(layer.output_shape)
    unfolded = layer.batch * layer.channels * prod(layer.kernel) * prod(layer.output)
    # Operands, results of the implementations, numeric gradient, allowance and their temporaries.
    return _FLOAT64 * (8 * padded + 8 * weight + 8 * output + 2 * full + 2 * unfolded)


def require(layers: Iterable[tuple[str, Layer]]) -> None:
    """Refuse layers that would need more memory than is free.

    Parameters
    ----------
    layers : iterable of (where, Layer)
        ``where`` starts the message, for example "suite.yaml:6: layer conv1".

    Raises
    ------
    UsageError
        Naming every such layer with its estimate.
    """
    import psutil

    free = psutil.virtual_memory().available
    problems = [
        f"{where} would need about {_gibibytes(needed)} of memory, but {_gibibytes(free)} are free; expected a smaller "
        "input, batch or number of channels"
        for where, layer in layers
        if (needed := estimate(layer)) > free
    ]
    if problems:
        raise UsageError("\n".join(problems))


def _gibibytes(size: int) -> str:
    # Integer arithmetic: a size may be beyond what a float holds.
    tenths = (10 * size + 2**29) // 2**30
    return f"{tenths // 10:,}.{tenths % 10} GiB"
