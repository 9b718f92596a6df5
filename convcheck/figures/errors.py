"""A wrong gradient, the right one, and the difference."""

from __future__ import annotations

from convcheck.arrays import Array
from convcheck.figures.page import Picture, draw, layer_line
from convcheck.layer import Layer
from convcheck.maps import errors as maps

__all__ = ["errors"]


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
