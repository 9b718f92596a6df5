"""Pictures of the backward pass as matplotlib Figures, for a notebook or a file.

>>> import convcheck
>>> from convcheck import figures
>>> layer = convcheck.Layer(channels=1, filters=1, kernel=3, stride=2, bias=False, input=(5, 5), batch=1)
>>> at = figures.example_operands(layer)
>>> picture = figures.input_gradient(layer, at.weight, at.grad_output)
>>> picture.title
'The input gradient dL/dX: insert zeros, pad, turn the kernel, slide'

Every function takes a layer and arrays, and chooses a slice with ``sample``, ``channel`` and ``filter``. None of them
needs a display or touches pyplot. What a picture shows is decided in `convcheck.maps`; here it is drawn.
"""

from __future__ import annotations

from convcheck.figures.animation import input_gradient_animation
from convcheck.figures.channels import channels
from convcheck.figures.errors import errors
from convcheck.figures.input_gradient import input_gradient
from convcheck.figures.overlap import overlap
from convcheck.figures.page import Picture
from convcheck.figures.saving import FORMATS, encode
from convcheck.figures.unfold_view import unfold_view
from convcheck.figures.weight_gradient import weight_gradient
from convcheck.maps.data import example_operands

__all__ = [
    "FORMATS", "Picture", "channels", "encode", "errors", "example_operands", "input_gradient",
    "input_gradient_animation", "overlap", "unfold_view", "weight_gradient",
]  # fmt: skip
