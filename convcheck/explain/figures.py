"""Pictures of the backward pass as matplotlib Figures, for a notebook or a file.

>>> import convcheck
>>> from convcheck import figures
>>> layer = convcheck.Layer(channels=1, filters=1, kernel=3, stride=2, bias=False, input=(5, 5), batch=1)
>>> at = figures.example_operands(layer)
>>> picture = figures.input_gradient(layer, at.weight, at.grad_output)
>>> picture.title
'The input gradient dL/dX: dilate and pad dL/dO, flip the kernel, slide'

There is one function for every picture in `convcheck.explain.pictures`, by its name: each takes a layer and arrays,
chooses a slice with ``sample``, ``channel`` and ``filter``, and what is worked out with ``entry``. None of them needs a
display or touches pyplot. What a picture shows is decided there; `convcheck.explain.pictures.drawing` draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, getdoc, signature
from typing import TYPE_CHECKING, Any

from convcheck.explain.pictures.drawing import FORMATS as FORMATS
from convcheck.explain.pictures.drawing.animation import input_gradient_animation as input_gradient_animation
from convcheck.explain.pictures.drawing.animation import weight_gradient_animation as weight_gradient_animation
from convcheck.explain.pictures.drawing.page import Picture as Picture
from convcheck.explain.pictures.drawing.page import draw
from convcheck.explain.pictures.drawing.saving import encode as encode
from convcheck.explain.pictures.panel import Story
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.stories import tellers
from convcheck.layer.data import example_operands as example_operands

_SLICE = ("sample", "channel", "filter", "entry")

_MORE = """

Instead of ``chosen``, give ``sample``, ``channel`` and ``filter``: by default the first slice is shown. ``entry``, such
as ``"input[0,1,2,2]"``, says which entry is worked out.

Returns
-------
Picture
    A `matplotlib.figure.Figure`.

Raises
------
UsageError
    If the slice does not exist.
"""


def _figure(name: str, tell: Callable[..., Story]) -> Callable[..., Picture]:
    """Return the function that draws a story: it takes what the story takes, and a slice by its numbers."""
    asked = signature(tell)
    plain = [one for one in asked.parameters.values() if one.name != "chosen"]
    slices = [Parameter(key, Parameter.KEYWORD_ONLY, default=None) for key in _SLICE]
    takes_slice = "chosen" in asked.parameters
    public = asked.replace(parameters=plain + slices * takes_slice, return_annotation=Picture)

    def figure(*args: Any, **options: Any) -> Picture:
        given = public.bind(*args, **options).arguments
        if takes_slice:
            chosen = {key: given.pop(key) for key in _SLICE if key in given}
            given["chosen"] = Selection.of(given["layer"], **chosen)
        return draw(tell(**given), given["layer"])

    figure.__name__ = figure.__qualname__ = name
    figure.__doc__ = (getdoc(tell) or "") + _MORE * takes_slice
    figure.__signature__ = public  # type: ignore[attr-defined]
    return figure


globals().update({name: _figure(name, tell) for name, tell in tellers().items()})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Callable[..., Picture]: ...
