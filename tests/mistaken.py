"""Targets that make one known mistake and are right otherwise."""

from __future__ import annotations

from convcheck.gradients import FASTEST, formulation
from convcheck.layer.data import Operands, integer_operands
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.mistake import Scene
from convcheck.targets.features import KINDS

#: Mistakes that a single result betrays.
VISIBLE = tuple(mistake for mistake in MISTAKES if mistake.behaviour is None)

#: Those that can be made in a layer of real numbers that is not transposed, and whose padding is zeros.
OF_PLAIN_LAYERS = tuple(mistake for mistake in VISIBLE if mistake.plain and not mistake.of_complex)


def scene_of(layer):
    return Scene.of(layer, integer_operands(layer))


def mistaken(mistake, gradient, variant, name=FASTEST):
    """A target whose ``gradient`` (or output) is what one form of a mistake gives, where the shapes allow it."""
    right = formulation(name)

    def spoiled(layer, x, weight, bias, grad_output):
        scene = Scene.of(layer, Operands(x, weight, bias, grad_output))
        return next((wrong.array for wrong in mistake.wrong(scene, gradient) if wrong.variant == variant), None)

    class Mistaken:
        def forward(self, x, weight, bias, layer):
            self.saved = layer, x, weight, bias
            output = right.forward(layer, x, weight, bias)
            wrong = spoiled(layer, x, weight, bias, output) if gradient == "output" else None
            return output if wrong is None else wrong.conj()

        def backward(self, grad_output):
            layer, x, weight, bias = self.saved
            gradients = right.backward(layer, x, weight, grad_output)._asdict()
            wrong = spoiled(layer, x, weight, bias, grad_output) if gradient != "output" else None
            if wrong is not None:
                gradients[gradient] = wrong.astype(layer.dtype)
            return tuple(gradients.values())

    return {"call": Mistaken, "supports": sorted(KINDS)}


def forms_visible_on(layer):
    """Every (mistake, gradient, variant) that makes a difference on a layer."""
    scene = scene_of(layer)
    return [
        (mistake, gradient, variant)
        for mistake in VISIBLE
        for gradient in mistake.gradients
        for variant in sorted(mistake.visible(scene, gradient))
    ]
