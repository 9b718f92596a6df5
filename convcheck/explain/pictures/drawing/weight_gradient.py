"""The weight gradient, in numbered panels."""

from __future__ import annotations

from convcheck.explain.pictures import weight_gradient as maps
from convcheck.explain.pictures.drawing.page import Picture, draw, layer_line
from convcheck.explain.pictures.window import Selection
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def weight_gradient(
    layer: Layer,
    x: Array,
    grad_output: Array,
    *,
    sample: int = 0,
    channel: int | None = None,
    filter: int | None = None,  # noqa: A002
) -> Picture:
    """Draw how dL/dW comes about: the padded input, the dilated dL/dO laid over it, the result.

    Parameters
    ----------
    layer : Layer
    x : array, shape (N, C, *input)
    grad_output : array, shape (N, F, *output)
    sample, channel, filter : int, optional
        Which slice is shown; by default the first.

    Returns
    -------
    Picture
        A `matplotlib.figure.Figure`.

    Raises
    ------
    UsageError
        If the slice does not exist.
    """
    chosen = Selection.of(layer, sample, channel, filter)
    return draw(maps.story(layer, x, grad_output, chosen), layer_line(layer))
