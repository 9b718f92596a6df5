"""The unfolded input, with the copies of one entry marked."""

from __future__ import annotations

from convcheck.explain.pictures import unfold_view as maps
from convcheck.explain.pictures.drawing.page import Picture, draw, layer_line
from convcheck.explain.pictures.window import Selection
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def unfold_view(
    layer: Layer,
    x: Array,
    weight: Array,
    grad_output: Array,
    *,
    sample: int = 0,
    channel: int | None = None,
    filter: int | None = None,  # noqa: A002
) -> Picture:
    """Draw the unfolded input and its gradient, with the copies of one input entry marked.

    Parameters
    ----------
    layer : Layer
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel)
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
    return draw(maps.story(layer, x, weight, grad_output, chosen), layer_line(layer))
