"""The arrays that pass between the parts: their type and the triple of gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Gradients"]

#: A floating-point array.
Array = NDArray[np.floating[Any]]


class Gradients(NamedTuple):
    """What a backward pass returns.

    Attributes
    ----------
    input : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel)
    bias : array, shape (F,), or None
        None where the layer has no bias.
    """

    input: Array
    weight: Array
    bias: Array | None
