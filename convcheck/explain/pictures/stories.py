"""The one list of pictures of a layer."""

from __future__ import annotations

from collections.abc import Callable

from convcheck.explain.pictures import channels, input_gradient, overlap, unfold_view, weight_gradient
from convcheck.explain.pictures.panel import Story
from convcheck.explain.pictures.window import Selection
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer

#: A new picture is a new module and an entry here.
STORIES: tuple[Callable[[Layer, Operands, Selection], Story], ...] = (
    lambda layer, at, chosen: input_gradient.story(layer, at.weight, at.grad_output, chosen),
    lambda layer, at, chosen: weight_gradient.story(layer, at.x, at.grad_output, chosen),
    lambda layer, at, chosen: channels.story(layer, at.weight, chosen),
    lambda layer, at, chosen: overlap.story(layer),
    lambda layer, at, chosen: unfold_view.story(layer, at.x, at.weight, at.grad_output, chosen),
)


def stories_of(layer: Layer, operands: Operands, chosen: Selection) -> list[Story]:
    """Tell everything about a layer that pictures tell."""
    stories = [tell(layer, operands, chosen) for tell in STORIES]
    single = layer.channels_per_group == 1 and layer.filters_per_group == 1
    return [story for story in stories if not (single and story.name == "channels")]
