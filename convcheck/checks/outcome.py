"""What an implementation gave for a layer: usable arrays, and what is wrong with the others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convcheck.arrays import Array
from convcheck.layer import Layer
from convcheck.operands import Operands
from convcheck.targets.implementation import Implementation, TargetContractError
from convcheck.targets.loading import user_traceback

__all__ = ["Fault", "Outcome", "shape_of"]


@dataclass(frozen=True)
class Fault:
    """Why an array cannot be compared.

    Attributes
    ----------
    status : str
        "failed" if the implementation gave something of the wrong kind, "error" if it raised.
    message : str
    """

    status: str
    message: str


@dataclass(frozen=True, eq=False)
class Outcome:
    """One forward and backward pass of an implementation.

    Attributes
    ----------
    implementation : Implementation
    arrays : mapping of str to array
        What can be compared: "output", "input", "weight" and "bias".
    faults : mapping of str to Fault
        What is wrong with the rest.
    forward_seconds : float
        Time of the forward pass.
    """

    implementation: Implementation
    arrays: Mapping[str, Array]
    faults: Mapping[str, Fault]
    forward_seconds: float

    @classmethod
    def of(cls, implementation: Implementation, layer: Layer, operands: Operands) -> Outcome:
        """Run an implementation; whatever it raises becomes a fault of what it did not give."""
        names = ("output", "input", "weight", "bias") if layer.bias else ("output", "input", "weight")
        arrays: dict[str, Array] = {}
        faults: dict[str, Fault] = {}
        seconds = 0.0

        def accept(name: str, value: Any) -> None:
            fault = _fault(name, value, layer)
            if fault:
                faults[name] = Fault("failed", fault)
            else:
                arrays[name] = np.asarray(value)

        try:
            start = time.perf_counter()
            output, backward = implementation.run(layer, operands)
            seconds = time.perf_counter() - start
            accept("output", output)
            for name, value in zip(("input", "weight", "bias"), backward(), strict=True):
                if name in names:
                    accept(name, value)
        except TargetContractError as error:
            fault = Fault("error", str(error))
        except (Exception, SystemExit) as error:
            fault = Fault("error", user_traceback(error))
        else:
            return cls(implementation, arrays, faults, seconds)
        missing = {name: fault for name in names if name not in arrays and name not in faults}
        return cls(implementation, arrays, faults | missing, seconds)


def shape_of(name: str, layer: Layer) -> tuple[int, ...]:
    """Return the shape that the output or a gradient must have."""
    shapes = {
        "output": layer.output_shape,
        "input": layer.input_shape,
        "weight": layer.weight_shape,
        "bias": layer.bias_shape,
    }
    return shapes[name]


def _fault(name: str, value: Any, layer: Layer) -> str | None:
    label = name if name == "output" else f"grad_{name}"
    if value is None:
        return f"{label} is missing (None); expected an array of shape {shape_of(name, layer)}"
    array = np.asarray(value)
    if array.shape != shape_of(name, layer):
        return f"{label} has shape {array.shape}; expected {shape_of(name, layer)}"
    if array.dtype != layer.dtype:
        return f"{label} has dtype {array.dtype}; expected {layer.dtype}"
    return None
