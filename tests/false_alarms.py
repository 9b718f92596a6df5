"""Look for a right target that is accused: ``python -m tests.false_alarms --count 10000``.

Each round draws a random layer of any dtype, and its seed. All checks under all conditions are run of the built-in
formulations, of a right target, said to be exact and not, and of one that rounds because it works by Fourier
transforms; then the diagnosis on the right gradients. Anything but a pass is a false alarm; its layer is printed, so
that it can be run again. Exit status 1 if there is one. ``--skip 5000`` leaves out the first rounds, so that a long
search can be made in pieces; ``--dtype bfloat16`` has all layers in one format; with ``--pytorch`` the right code is
PyTorch's, in float16 promised to sum in float16.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import replace

from convcheck import Layer, verify
from convcheck.errors import LayerError
from convcheck.layer.fields import DTYPES
from convcheck.layer.similar import as_yaml
from convcheck.mistakes.diagnose import diagnose
from convcheck.mistakes.mistake import Scene
from tests.targets_for_tests import Fourier, Right


def random_layer(generator):
    """Draw a layer of any kind: 1-D to 3-D, groups, strides, dilations, uneven padding, remainders, all dtypes."""
    while True:
        axes = generator.choice((1, 1, 2, 2, 2, 3))
        groups = generator.choice((1, 1, 2, 3))

        def per_axis(low, high, axes=axes):
            return [generator.randint(low, high) for _ in range(axes)]

        try:
            return Layer(
                channels=groups * generator.randint(1, 4),
                filters=groups * generator.randint(1, 4),
                kernel=per_axis(1, 5 if axes < 3 else 3),
                stride=per_axis(1, 4),
                padding=[tuple(per_axis(0, 4)[:1] + per_axis(0, 4)[:1]) for _ in range(axes)],
                dilation=per_axis(1, 3),
                groups=groups,
                bias=generator.random() < 0.7,
                input=per_axis(1, 11 if axes < 3 else 6),
                batch=generator.randint(1, 4),
                dtype=generator.choice(tuple(DTYPES)),
                seed=generator.randrange(2**31),
            )
        except LayerError:
            continue


def false_alarm(layer):
    """Return what is wrong with the verdict on right code, or None."""
    rounding = [{"call": code, "exact": False} for code in (Right, Fourier)]
    reports = [verify(layer, target=target) for target in (None, Right, *rounding)]
    reports.append(verify(layer, target=Right, checks=["projected"]))
    for report in reports:
        (checked,) = report.layers
        for result in checked.results:
            if not result.acceptable or result.diagnosis:
                return f"{result.implementation} {result.gradient} {result.kind}: {result.status}, {result.message}"
        if not checked.passed:
            return f"{report.target or 'built-in'}: a gradient of which no check was made"

    def rerun(other, operands):
        scene = Scene.of(other, operands)
        return {"output": scene.answer("output").conj(), **scene.right._asdict()}

    for gradient in ("output", "input", "weight", "bias") if layer.bias else ("output", "input", "weight"):
        accused = diagnose(layer, gradient, rerun).diagnoses
        if accused:
            return f"{gradient} is diagnosed: {', '.join(diagnosis.name for diagnosis in accused)}"
    return None


def false_alarm_of_pytorch(layer):
    """Return what is wrong with the verdict on PyTorch's convolution, or None."""
    if layer.dtype == "float16":
        layer = replace(layer, accumulate="float16")
    target = f"torch.nn.functional:conv{len(layer.input)}d"
    (checked,) = verify(layer, target=target, checks=["forward", "exact"]).layers
    bad = [r for r in checked.results if not r.acceptable or r.diagnosis]
    return "; ".join(f"{r.gradient} {r.kind}: {r.status}, {r.message}" for r in bad) or None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=[*DTYPES])
    parser.add_argument("--pytorch", action="store_true")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    began, alarms = time.perf_counter(), 0
    for _ in range(options.skip):
        random_layer(generator)
    for number in range(1, options.count + 1):
        layer = random_layer(generator)
        layer = replace(layer, dtype=options.dtype) if options.dtype else layer
        alarm = false_alarm_of_pytorch(layer) if options.pytorch else false_alarm(layer)
        if alarm is not None:
            alarms += 1
            sys.stdout.write(f"round {options.skip + number}: {as_yaml(layer)} seed {layer.seed}: {alarm}\n")
        if number % 1000 == 0 or number == options.count:
            seconds = time.perf_counter() - began
            sys.stdout.write(f"{number:,} layers, {alarms} false alarms, {seconds:.0f} s\n")
            sys.stdout.flush()
    sys.exit(1 if alarms else 0)


if __name__ == "__main__":
    main()
