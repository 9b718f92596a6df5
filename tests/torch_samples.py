"""PyTorch's own sample inputs of its convolutions, checked exactly: ``python -m tests.torch_samples``.

PyTorch tests its operators on lists of inputs, OpInfo. Every sample of conv1d to conv3d and of conv_transpose1d to 3d
is a layer here: the call stays what the sample says, a padding in words or a tuple for a number and all, and the layer
says what it must compute. What no layer can express is counted by its reason. Needs PyTorch's package for tests,
``expecttest``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from convcheck import Layer, verify
from convcheck.layer.fields import DTYPES
from convcheck.reports.report import Report

NAMES = tuple(f"{kind}{rank}d" for kind in ("conv", "conv_transpose") for rank in (1, 2, 3))


class Call(NamedTuple):
    """One call of a function of ``torch.nn.functional``."""

    function: str
    input: tuple[int, ...]
    weight: tuple[int, ...]
    bias: bool
    options: dict[str, Any]

    @property
    def rank(self) -> int:
        return int(self.function[-2])

    @property
    def batched(self) -> bool:
        return len(self.input) == self.rank + 2

    @property
    def words(self) -> str:
        return f"{self.function}{self.input}, weight {self.weight}, bias {self.bias}, {self.options}"


def layer_of(call: Call, dtype: str) -> Layer:
    """Return the layer that a call computes."""
    transposed = "transpose" in call.function
    batch, channels, *size = call.input if call.batched else (1, *call.input)
    groups = call.options.get("groups", 1)
    per_axis = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in call.options.items()
        if name in ("stride", "padding", "dilation", "output_padding")
    }
    per_axis = {
        name: value * call.rank if isinstance(value, list) and len(value) == 1 else value
        for name, value in per_axis.items()
    }
    return Layer(
        channels=channels, filters=call.weight[1] * groups if transposed else call.weight[0], kernel=call.weight[2:],
        groups=groups, bias=call.bias, input=size, batch=batch, dtype=dtype, transposed=transposed, name=call.words,
        # In which format PyTorch adds up is another question.
        accumulate=dtype if DTYPES[dtype].half else None, **per_axis,
    )  # fmt: skip


def in_other_words(call: Call) -> bool:
    """Whether its padding is a word for numbers that differ between the sides: those are padded around the function."""
    return any(before != after for before, after in layer_of(call, "float64").padding)


def checked(call: Call, dtype: str, function: Any = None) -> Report:
    """Check the layer of a call against the very call; or against another function called so."""
    import torch

    function = function or getattr(torch.nn.functional, call.function)

    layer = layer_of(call, dtype)
    options = {**call.options, "padding": 0} if in_other_words(call) else call.options

    def called(x: Any, weight: Any, bias: Any, layer: Layer) -> Any:
        return function(x, weight, bias, **options)

    # By its name one sees what it is.
    called.__name__ = call.function
    order = "NCDHW" if call.batched else "CDHW"
    letters = order if call.rank == 3 else order.replace("D", "") if call.rank == 2 else order.replace("DH", "")
    target = {"call": called, "style": "torch", "layout": letters}
    checks = ["forward", "exact"] if dtype in ("float16", "bfloat16") else ["forward", "central", "exact"]
    return verify(layer, target=target, checks=checks, shrink=False)


def samples(counted: Counter[str]) -> Iterator[tuple[Call, str]]:
    """Yield the calls of PyTorch's lists, each with its data type; count what no layer can express."""
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

    for op in op_db:
        name = op.name.removeprefix("nn.functional.")
        if name not in NAMES:
            continue
        for dtype in sorted(op.dtypes, key=str):
            known = str(dtype).removeprefix("torch.")
            for sample in op.sample_inputs("cpu", dtype, requires_grad=False):
                weight, bias = sample.args[0], (*sample.args[1:], None)[0]
                if known not in DTYPES:
                    kind = "complex numbers" if dtype.is_complex else "whole numbers, which have no gradients"
                    counted[f"{known}: {kind}"] += 1
                else:
                    yield (
                        Call(name, tuple(sample.input.shape), tuple(weight.shape), bias is not None, sample.kwargs),
                        known,
                    )
    torch.set_default_dtype(torch.float32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", action="append", choices=list(DTYPES), help="these alone; by default all")
    chosen = parser.parse_args().dtype or list(DTYPES)
    left: Counter[str] = Counter()
    reworded = 0
    passed: Counter[tuple[str, str]] = Counter()
    failed = []
    for call, dtype in samples(left):
        if dtype in chosen:
            report = checked(call, dtype)
            reworded += in_other_words(call)
            passed[call.function, dtype] += report.passed
            if not report.passed:
                failed.append(f"{call.words}, {dtype}\n{report}")
    lines = [f"{function:20} {dtype:10} {count:4} passed" for (function, dtype), count in passed.items()]
    lines += [
        f"{sum(passed.values())} samples passed, {len(failed)} failed",
        f'of these {reworded} with the padding "same" that differs between the sides, padded around the call',
        *(f"not expressed: {count:4} of {reason}" for reason, count in left.items()),
        *failed,
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
