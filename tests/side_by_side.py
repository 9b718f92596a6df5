"""convcheck and PyTorch's checker on the same mistakes: ``python -m tests.side_by_side``.

Every known mistake that fits a ``torch.autograd.Function`` goes through ``torch.autograd.gradcheck``, slow and fast,
and through convcheck, on the same layers. A checker that accepts a wrong gradient has missed it. The right gradients go
through as well: a checker that rejects those raises a false alarm.

gradcheck gets convcheck's own data, real (``--data normal``) or integer, or what torch.rand would give (``uniform``).
Wrong gradients of a wrong shape are left out: autograd refuses them before any checker sees them. On the largest
layer, where the slow check takes long, only a few mistakes are tried, each on several draws of the data. When it
rejects, gradcheck's fast mode runs the slow check to word its message, so the seconds of the two are alike.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np

from convcheck import Layer, verify
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.data import Operands, integer_operands, real_operands
from convcheck.mistakes.mistake import Scene
from tests.mistaken import VISIBLE, mistaken, scene_of

UNFOLD = formulation(FASTEST)

#: Small layers on which most mistakes show.
SMALL = (
    Layer(2, 3, (3, 2), stride=(2, 3), padding=((1, 2), (0, 1)), dilation=(1, 2), input=(8, 11), name="uneven"),
    Layer(4, 4, 3, stride=2, padding=1, groups=2, input=(6, 6), name="groups"),
    Layer(2, 2, 3, padding=1, input=(7, 7), name="square"),
)

#: A layer of a size at which a random direction averages things away, and the mistakes that are tried on it.
LARGE = Layer(2, 4, 3, padding=1, input=(32, 32), batch=1, name="32×32")
ON_LARGE = ("kernel-not-flipped", "kernel-flipped-one-axis", "weight-gradient-flipped")

CHECKERS = ("gradcheck slow", "gradcheck fast", "convcheck")


def torch_function(layer, mistake, gradient, variant):
    """The layer as an autograd.Function whose gradient makes the mistake; a right one without a mistake."""
    import torch

    class Convolution(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias):
            ctx.save_for_backward(x, weight, bias)
            arrays = (tensor.detach().numpy() for tensor in (x, weight, bias))
            return torch.from_numpy(UNFOLD.forward(layer, *arrays))

        @staticmethod
        def backward(ctx, grad_output):
            x, weight, bias = (tensor.detach().numpy() for tensor in ctx.saved_tensors)
            upstream = grad_output.detach().numpy()
            gradients = UNFOLD.backward(layer, x, weight, upstream)._asdict()
            if mistake is not None:
                scene = Scene(layer, Operands(x, weight, bias, upstream))
                gradients[gradient] = next(w.array for w in mistake.wrong(scene, gradient) if w.variant == variant)
            return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in gradients.values())

    return Convolution.apply


def torch_accepts(function, operands, *, fast, seed):
    import torch

    torch.manual_seed(seed)
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in (operands.x, operands.weight, operands.bias)]
    return bool(torch.autograd.gradcheck(function, inputs, fast_mode=fast, raise_exception=False))


def convcheck_accepts(layer, mistake, gradient, variant):
    if mistake is None:
        from tests.targets_for_tests import Right

        return verify(layer, target=Right).passed
    return verify(layer, target=mistaken(mistake, gradient, variant)).passed


def fitting_forms(layer):
    """Mistakes that make a difference on a layer and leave the shapes right; None is the right gradient."""
    scene = scene_of(layer)
    yield None, "", ""
    for mistake in VISIBLE:
        for gradient in mistake.gradients:
            if gradient != "output":
                seen = mistake.visible(scene, gradient)
                for wrong in mistake.wrong(scene, gradient):
                    if wrong.variant in seen and wrong.array.shape == scene.answer(gradient).shape:
                        yield mistake, gradient, wrong.variant


def rows(layers, operands_of, names=()):
    """Yield (name of the layer, form in words, verdict and seconds of each checker)."""
    for layer in layers:
        operands = operands_of(layer)
        for mistake, gradient, variant in fitting_forms(layer):
            if names and mistake is not None and mistake.name not in names:
                continue
            function = torch_function(layer, mistake, gradient, variant)
            verdicts = []
            for checker in CHECKERS:
                began = time.perf_counter()
                if checker == "convcheck":
                    accepted = convcheck_accepts(layer, mistake, gradient, variant)
                else:
                    accepted = torch_accepts(function, operands, fast=checker.endswith("fast"), seed=layer.seed)
                verdicts.append((accepted, time.perf_counter() - began))
            words = "right" if mistake is None else f"{mistake.name} (grad_{gradient}{': ' * bool(variant)}{variant})"
            yield layer.name, words, verdicts


def report(found, write):
    """Write what any checker accepted, then for each layer how many wrong gradients each checker accepted."""
    draws, accepted, seconds = Counter(), Counter(), Counter()
    for layer, words, verdicts in found:
        draws[layer, words] += 1
        for checker, (verdict, taken) in zip(CHECKERS, verdicts, strict=True):
            accepted[layer, words, checker] += verdict
            seconds[layer, checker] += taken
    widest = max(len(words) for _, words in draws) + 2
    write(f"accepted, of how many draws\n{'layer':9}{'gradient':{widest}}{''.join(f'{c:>16}' for c in CHECKERS)}\n")
    for (layer, words), number in draws.items():
        counts = [accepted[layer, words, checker] for checker in CHECKERS]
        if any(counts) or words == "right":
            columns = (f"{count} of {number}" for count in counts)
            write(f"{layer:9}{words:{widest}}{''.join(f'{column:>16}' for column in columns)}\n")
    write("\nwrong gradients accepted, of how many, and seconds\n")
    for name in dict.fromkeys(layer for layer, _ in draws):
        wrong = [words for layer, words in draws if layer == name and words != "right"]
        total = sum(draws[name, words] for words in wrong)
        missed = {checker: sum(accepted[name, words, checker] for words in wrong) for checker in CHECKERS}
        columns = (f"{missed[checker]} of {total}, {seconds[name, checker]:.1f} s" for checker in CHECKERS)
        write(f"{name:9}{''.join(f'{column:>24}' for column in columns)}\n")


def uniform_operands(layer):
    """Numbers between 0 and 1, as torch.rand gives."""
    generator = np.random.default_rng([layer.seed, 3])
    return real_operands(layer).map(lambda array: generator.random(array.shape))


DATA = {"integer": integer_operands, "normal": real_operands, "uniform": uniform_operands}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=DATA, default="normal", help="what gradcheck gets")
    parser.add_argument("--draws", type=int, default=5, help="draws of the data on the largest layer")
    parser.add_argument("--largest-only", action="store_true")
    options = parser.parse_args()
    drawn = [replace(LARGE, seed=seed) for seed in range(options.draws)]
    small = () if options.largest_only else SMALL
    operands_of = DATA[options.data]
    report(chain(rows(small, operands_of), rows(drawn, operands_of, ON_LARGE)), sys.stdout.write)


if __name__ == "__main__":
    main()
