"""What a known mistake would do to a layer, without any code that makes it."""

from __future__ import annotations

from dataclasses import replace

from convcheck.explain.pictures import errors
from convcheck.explain.pictures.panel import Story
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.mistakes.mistake import Mistake, Scene, differs, unless_it_raises
from convcheck.wording import GRADIENT_NAMES


def stories_of_mistake(mistake: Mistake, layer: Layer, operands: Operands) -> tuple[list[Story], list[str]]:
    """Tell what a mistake makes of every gradient that it affects, in the first of its forms that shows.

    Returns
    -------
    stories : list of Story
        One per array that comes out wrong.
    notes : list of str
        What cannot be drawn, and why; that nothing shows on this layer where that is so.
    """
    scene, stories, notes = Scene(layer, operands), [], []
    if mistake.behaviour is not None:
        return [], [f"{mistake.name} is a mistake of behaviour, which no single result shows: {mistake.behaviour}"]
    for gradient in mistake.gradients:
        right = scene.answer(gradient) if mistake.concerns(layer, gradient) else None
        made = [] if right is None else unless_it_raises(mistake.wrong, scene, gradient)
        shown = [one for one in made if right is not None and differs(one.array, right)]
        if right is None or not shown:
            notes.append(f"{GRADIENT_NAMES[gradient]}: {mistake.name} does not show on layer {layer.name}")
            continue
        drawn = next((one for one in shown if one.array.shape == right.shape), None)
        if drawn is None:
            shapes = f"gives the shape {shown[0].array.shape}; expected {right.shape}"
            notes.append(f"{GRADIENT_NAMES[gradient]}: {mistake.name} {shapes}, so there is no map to draw")
            continue
        diagnosis = mistake.diagnosis(drawn.variant, layer)
        others = [one.variant for one in shown if one is not drawn]
        why = [diagnosis.explanation, f"Fix: {diagnosis.fix}"]
        why += [f"It has other forms that show here: {', '.join(others)}."] if others else []
        told = errors.story(layer, gradient, drawn.array, right, "right", why=why)
        title = f"{mistake.name} on {GRADIENT_NAMES[gradient]}"
        stories.append(replace(told, name=f"{mistake.name}-{gradient}", title=title))
    if not stories:
        notes.append(f"{mistake.name} shows on: {mistake.shows_on}")
    return stories, notes
