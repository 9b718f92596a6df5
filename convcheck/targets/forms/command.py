"""A program in any language: started once and spoken to over standard input and output, or run for every pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.form import Form
from convcheck.targets.programs.cases import Cases
from convcheck.targets.programs.one_shot import OneShot
from convcheck.targets.programs.process import DEVICE, Program
from convcheck.targets.programs.protocol import Request
from convcheck.targets.session import GRADIENTS, Given, Session, StatelessSession
from convcheck.targets.spec import TargetSpec


class CommandForm(Form):
    """A program; it is told of everything, and says itself what it does not take."""

    kinds = features.KINDS

    inapplicable: Mapping[str, str] = {
        **Form.inapplicable,
        **dict.fromkeys(
            (
                "not-contiguous", "transposed-memory", "negative-strides", "broadcast-grad-output", "read-only",
                "out-of-bounds",
            ),
            "a program has arrays in memory of its own",
        ),
        "threads": "a program is asked for one pass after the other, and has threads of its own",
    }  # fmt: skip

    def __init__(self, spec: TargetSpec, folder: Path) -> None:
        super().__init__(spec.named, spec, features.ALL)
        assert spec.command is not None
        cases = None if spec.keep_case is None else Cases(folder / spec.keep_case)
        self._program: Program | OneShot
        if spec.files is None:
            self._program = Program(spec.command, folder, cases, device=spec.device)
        else:
            self._program = OneShot(spec.command, folder, spec.files, cases, device=spec.device)
        if spec.device is not None:
            self.note(f"it is told to compute on {spec.device}, by the environment's {DEVICE}")

    def session(self, layer: Layer, given: Given) -> Session:
        return _CommandSession(self, layer, given)

    def ask(self, direction: str, layer: Layer, given: Given, grad_output: Array | None = None) -> dict[str, Array]:
        """Run one pass; a backward pass knows of no forward pass before it."""
        arrays = {"x": given.x, "weight": given.weight}
        if given.bias is not None:
            arrays["bias"] = given.bias
        if grad_output is None:
            # A sample by itself has no axis for the batch.
            output = tuple(self._images.in_order(layer.output_shape))[-given.x.ndim :]
            shapes = {"output": output}
        else:
            shapes = {f"grad_{name}": array.shape for name, array in arrays.items() if name != "x"}
            shapes = {"grad_input": given.x.shape} | shapes
            arrays["grad_output"] = grad_output
        return self._program.ask(Request(direction, layer, arrays, shapes))


class _CommandSession(StatelessSession):
    def __init__(self, form: CommandForm, layer: Layer, given: Given) -> None:
        super().__init__(layer, given)
        self._form = form

    def forward(self) -> Any:
        return self._form.ask("forward", self._layer, self._given)["output"]

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        found = self._form.ask("backward", self._layer, self._given, grad_output)
        grad_input, grad_weight, grad_bias = (found.get(name) for name in GRADIENTS)
        return grad_input, grad_weight, grad_bias
