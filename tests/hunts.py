"""What a hunt finds, and that it accuses no right code: ``python -m tests.hunts``.

Every wrong target fails in one circumstance alone, which most layers never meet. Of each, the smallest case and the
seconds it took to find; exit status 1 if one is not found. ``--right SECONDS`` hunts right code, that long each: the
built-in formulation, and PyTorch and JAX where they are installed; exit status 1 if anything is found.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path

from convcheck import hunt
from convcheck.layer.similar import as_yaml
from tests.targets_for_tests import Right

EXAMPLES = Path(__file__).parent / "examples"


class Spoiled(Right):
    """Right, but for an entry of dL/dX or dL/dW in the circumstance that ``meets`` knows."""

    gradient = "input"

    def meets(self, grad_output):
        raise NotImplementedError

    def spoiled(self, array):
        array.flat[-1] += 1

    def backward(self, grad_output):
        right = super().backward(grad_output)._asdict()
        if self.meets(grad_output):
            array = right[self.gradient] = right[self.gradient].copy()
            self.spoiled(array)
        return tuple(right.values())


def only(circumstance, gradient="input"):
    """Code that is wrong where a function of the layer says so."""
    meets = lambda self, grad_output: circumstance(self.layer)  # noqa: E731
    return type("Only", (Spoiled,), {"meets": meets, "gradient": gradient})


class LastTileOf8(Spoiled):
    """The tail behind the last whole tile of 8 columns is never written."""

    def meets(self, grad_output):
        return self.x.shape[-1] > 8 and self.x.shape[-1] % 8

    def spoiled(self, array):
        array[..., array.shape[-1] // 8 * 8 :] = 0


class Above64(Spoiled):
    """A loop over channels that ends after 64."""

    gradient = "weight"

    def meets(self, grad_output):
        return self.weight.shape[1] > 64

    def spoiled(self, array):
        array[:, 64:] = 0


class DirtyWhereEmpty(Spoiled):
    def meets(self, grad_output):
        return not grad_output.any()


class FortranOrder(Spoiled):
    """Takes what lies in Fortran order for its transpose, as a kernel does that looks at one flag alone."""

    def meets(self, grad_output):
        return grad_output.flags.f_contiguous and not grad_output.flags.c_contiguous


class SkipsZeros(Spoiled):
    """A shortcut for zeros of the input that ends the loop in place of going on."""

    gradient = "weight"

    def meets(self, grad_output):
        return not self.x.all()

    def spoiled(self, array):
        array.flat[-1] += 1


class WrongForward(Right):
    """A forward pass that goes wrong with a batch above 16."""

    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer)
        output[16:] = 0
        return output


class RaisesInBackward(Right):
    def backward(self, grad_output):
        if self.layer.groups > 1 and max(self.layer.dilation) > 1:
            raise IndexError("list index out of range")
        return super().backward(grad_output)


def _remainder(layer):
    return any(axis.remainder for axis in layer.axes)


#: Wrong targets by name, and what is known of the smallest case: fields of its layer, or its condition.
WRONG = {
    "channels above 64": (Above64, {"channels": 65}),
    "last tile of 8": (LastTileOf8, {"channels": 1, "batch": 1}),
    "remainder with groups": (only(lambda at: at.groups > 1 and _remainder(at)), {"groups": 2}),
    "depthwise with multiplier": (
        only(lambda at: at.groups > 1 and at.channels_per_group == 1 < at.filters_per_group, "weight"), {"channels": 2},
    ),
    "float32 with groups": (only(lambda at: at.groups > 1 and at.dtype == "float32"), {"dtype": "float32"}),
    "kernel beyond the input": (
        only(lambda at: any(axis.effective_kernel > axis.size for axis in at.axes)), {"channels": 1, "batch": 1},
    ),
    "padding behind alone": (only(lambda at: any(not b and a for b, a in at.padding)), {"channels": 1}),
    "stride beyond the kernel": (only(lambda at: min(at.stride) > max(at.kernel), "weight"), {"channels": 1}),
    "batch above 16": (WrongForward, {"batch": 17}),
    "128 filters": (only(lambda at: at.filters_per_group == 128, "weight"), {"filters": 128}),
    "three axes without a bias": (only(lambda at: len(at.input) == 3 and not at.bias), {"bias": False}),
    "raises with groups and dilation": (RaisesInBackward, {"groups": 2}),
    "empty grad_output": (DirtyWhereEmpty, "zero-grad-output"),
    "zeros": (SkipsZeros, "sparse"),
    "Fortran order": (FortranOrder, "transposed-memory"),
}  # fmt: skip


def found(report):
    """The smallest case of a hunt, and of which kind it is; None where nothing was found."""
    layer = report.layers[-1]
    return None if report.passed else layer.smallest


def as_expected(case, known):
    """Whether a smallest case is what is known of it."""
    if isinstance(known, str):
        return case.condition == known
    return {field: case.layer[field] for field in known} == known


def _hunt_wrong(seconds, seed):
    failed = 0
    for name, (code, known) in WRONG.items():
        began = time.perf_counter()
        report = hunt(code, seconds=seconds, seed=seed)
        case = found(report)
        taken = time.perf_counter() - began
        good = case is not None and as_expected(case, known)
        failed += not good
        words = "not found" if case is None else as_yaml(_layer(case))
        condition = f" under {case.condition}" if case is not None and case.condition else ""
        cases = f"{report.hunt.cases} cases, {taken:.1f} s"
        sys.stdout.write(f"{'' if good else 'NOT AS EXPECTED '}{name}: {words}{condition}; {cases}\n")
        sys.stdout.flush()
    return failed


def _layer(case):
    from convcheck import Layer

    return Layer(**case.layer)


def right_targets():
    """Right code, by name."""
    targets = {"built-in": Right, "im2col": f"{EXAMPLES}/im2col_layer.py:Conv2d"}
    if importlib.util.find_spec("torch"):
        targets |= {name: f"torch.nn.functional:{name}" for name in ("conv1d", "conv2d", "conv3d")}
    if importlib.util.find_spec("jax"):
        targets["jax"] = f"{EXAMPLES}/jax_conv.py:where_xla_is_right"
    return targets


def _hunt_right(seconds, seed, names):
    alarms = 0
    for name, code in right_targets().items():
        if names and name not in names:
            continue
        report = hunt(code, seconds=seconds, seed=seed)
        alarms += not report.passed
        tried = f"{report.hunt.cases:,} cases in {report.hunt.seconds:.0f} s, {report.hunt.refused} refused"
        sys.stdout.write(f"{name}: {'nothing found' if report.passed else 'FOUND SOMETHING'}; {tried}\n")
        if not report.passed:
            sys.stdout.write(f"{report}\n")
        sys.stdout.flush()
    return alarms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="with --right: these alone")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--right", type=float, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # JAX compiles for every shape anew, which takes longest; what is compiled runs once.
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    os.environ.setdefault("XLA_FLAGS", quick)
    if options.right is not None:
        sys.exit(1 if _hunt_right(options.right, options.seed, options.names) else 0)
    sys.exit(1 if _hunt_wrong(options.seconds, options.seed) else 0)


if __name__ == "__main__":
    main()
