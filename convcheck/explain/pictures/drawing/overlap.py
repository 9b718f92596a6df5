"""How many windows read each input entry."""

from __future__ import annotations

from convcheck.explain.pictures import overlap as maps
from convcheck.explain.pictures.drawing.page import Picture, draw, layer_line
from convcheck.layer.layer import Layer


def overlap(layer: Layer) -> Picture:
    """Draw how many terms each entry of dL/dX adds up.

    Parameters
    ----------
    layer : Layer

    Returns
    -------
    Picture
        A `matplotlib.figure.Figure`.
    """
    return draw(maps.story(layer), layer_line(layer))
