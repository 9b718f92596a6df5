"""How many windows read each input entry."""

from __future__ import annotations

from convcheck.figures.page import Picture, draw, layer_line
from convcheck.layer import Layer
from convcheck.maps import overlap as maps

__all__ = ["overlap"]


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
