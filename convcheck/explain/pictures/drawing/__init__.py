"""Pictures of the backward pass as matplotlib Figures, for a notebook or a file.

>>> import convcheck
>>> from convcheck import figures
>>> layer = convcheck.Layer(channels=1, filters=1, kernel=3, stride=2, bias=False, input=(5, 5), batch=1)
>>> at = figures.example_operands(layer)
>>> picture = figures.input_gradient(layer, at.weight, at.grad_output)
>>> picture.title
'The input gradient dL/dX: insert zeros, pad, turn the kernel, slide'

Every function takes a layer and arrays, and chooses a slice with ``sample``, ``channel`` and ``filter``. None of them
needs a display or touches pyplot. What a picture shows is decided in `convcheck.explain.pictures`; here it is drawn.
"""

from __future__ import annotations

from convcheck.explain.pictures.drawing.animation import input_gradient_animation
from convcheck.explain.pictures.drawing.channels import channels
from convcheck.explain.pictures.drawing.errors import errors
from convcheck.explain.pictures.drawing.input_gradient import input_gradient
from convcheck.explain.pictures.drawing.overlap import overlap
from convcheck.explain.pictures.drawing.page import Picture
from convcheck.explain.pictures.drawing.saving import FORMATS, encode
from convcheck.explain.pictures.drawing.unfold_view import unfold_view
from convcheck.explain.pictures.drawing.weight_gradient import weight_gradient
from convcheck.layer.data import example_operands

__all__ = [
    "FORMATS", "Picture", "channels", "encode", "errors", "example_operands", "input_gradient",
    "input_gradient_animation", "overlap", "unfold_view", "weight_gradient",
]  # fmt: skip
