"""The channels: which slice of which filter goes where."""

from __future__ import annotations

from convcheck.explain.pictures import channels as maps
from convcheck.explain.pictures.drawing.page import Picture, draw, layer_line
from convcheck.explain.pictures.window import Selection
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def channels(
    layer: Layer,
    weight: Array,
    *,
    sample: int = 0,
    channel: int | None = None,
    filter: int | None = None,  # noqa: A002
) -> Picture:
    """Draw the F filters of depth C, and the same slices as C filters of depth F.

    Parameters
    ----------
    layer : Layer
    weight : array, shape (F, C/groups, *kernel)
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
    return draw(maps.story(layer, weight, chosen), layer_line(layer))
