"""A wrong gradient, the right one, and the difference."""

from __future__ import annotations

from convcheck.explain.pictures import errors as maps
from convcheck.explain.pictures.drawing.page import Picture, draw, layer_line
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def errors(layer: Layer, gradient: str, analytic: Array, numeric: Array, source: str = "numeric") -> Picture:
    """Draw a gradient as given, as it should be, and their difference, around the worst entry.

    Parameters
    ----------
    layer : Layer
    gradient : str
        "output", "input", "weight" or "bias".
    analytic, numeric : array
        Of equal shape.
    source : str
        What the second array is from.

    Returns
    -------
    Picture
        A `matplotlib.figure.Figure`.

    Raises
    ------
    UsageError
        If the shapes differ.
    """
    return draw(maps.story(layer, gradient, analytic, numeric, source), layer_line(layer))
