"""Where the wrong entries of a gradient lie, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.arrays import at_sites

_SPATIAL = {1: ("position",), 2: ("row", "column"), 3: ("plane", "row", "column")}
_LEADING = {"output": ("sample", "filter"), "input": ("sample", "channel"), "weight": ("filter", "channel")}

#: More indices than this are counted instead of listed.
_LISTED = 6


def axis_names(gradient: str, dimensions: int, *, transposed: bool = False) -> tuple[str, ...]:
    """Names of an array's axes, for example ("sample", "channel", "row", "column")."""
    if gradient == "bias":
        return ("filter",)
    prefix = "kernel " if gradient == "weight" else ""
    # The weight of a transposed layer has its channels first.
    leading = _LEADING[gradient][::-1] if gradient == "weight" and transposed else _LEADING[gradient]
    return (*leading, *(prefix + name for name in _SPATIAL[dimensions - 2]))


def where(wrong: NDArray[np.bool_], gradient: str, *, transposed: bool = False) -> str:
    """Say where the wrong entries lie.

    Parameters
    ----------
    wrong : array of bool
        True at every wrong entry; at least one.
    gradient : str
        "output", "input", "weight" or "bias".
    transposed : bool
        Whether the layer is.

    Returns
    -------
    str
        For example "only row 6", "only channels 1, 2 of 0..3", "only on the border" or "everywhere".
    """
    if wrong.all():
        return "everywhere"
    indices = np.nonzero(wrong)
    confined = [
        _confined(name, np.unique(indices[axis]), wrong.shape[axis])
        for axis, name in enumerate(axis_names(gradient, wrong.ndim, transposed=transposed))
    ]
    parts = [part for part in confined if part]
    if parts:
        return "only " + ", ".join(parts)
    if gradient in ("input", "output") and _only_on_border(wrong):
        return "only on the border"
    return f"scattered over all axes, {wrong.mean():.0%} of the entries"


def _confined(name: str, indices: NDArray[np.intp], size: int) -> str | None:
    """Describe the indices of an axis at which something is wrong; None if all are."""
    if len(indices) == size:
        return None
    if len(indices) == 1:
        return f"{name} {indices[0]} of 0..{size - 1}"
    first, last = int(indices[0]), int(indices[-1])
    if last - first + 1 == len(indices):
        ends = {(True, False): "leading ", (False, True): "trailing "}.get((first == 0, last == size - 1), "")
        return f"the {ends}{name}s {first}..{last} of 0..{size - 1}"
    if len(indices) <= _LISTED:
        return f"{name}s {', '.join(map(str, indices))} of 0..{size - 1}"
    return f"{len(indices)} of {size} {name}s"


def _only_on_border(wrong: NDArray[np.bool_]) -> bool:
    inside = wrong[at_sites([slice(1, -1)] * (wrong.ndim - 2))]
    return inside.size > 0 and not bool(inside.any())
