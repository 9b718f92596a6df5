"""What an implementation gave for a layer: usable arrays, and what is wrong with the others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convcheck.errors import ConvcheckError
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.loading import user_traceback
from convcheck.targets.target import Implementation, Pass, TargetContractError


@dataclass(frozen=True)
class Fault:
    """Why an array cannot be compared.

    Attributes
    ----------
    status : str
        "failed" if the implementation gave something of the wrong kind, "error" if it raised.
    message : str
    slug : str or None
        The known mistake that it is.
    """

    status: str
    message: str
    slug: str | None = None


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
    refusal : str or None
        Why the implementation says that it cannot take the layer: what its NotImplementedError says.
    output
        The output as it was given, of whatever shape; None if there was none.
    modified : mapping of str to tuple of str
        The arguments that "forward" and "backward" wrote into.
    again : mapping of str to array, or Fault, or None
        What a second backward pass gave; None where none was run.
    """

    implementation: Implementation
    arrays: Mapping[str, Array]
    faults: Mapping[str, Fault]
    forward_seconds: float
    refusal: str | None = None
    output: Any = None
    modified: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    again: Mapping[str, Array] | Fault | None = None

    @classmethod
    def of(cls, implementation: Implementation, layer: Layer, operands: Operands, *, twice: bool = False) -> Outcome:
        """Run an implementation; whatever it raises becomes a fault of what it did not give.

        Parameters
        ----------
        implementation, layer, operands
        twice : bool, default False
            Whether the backward pass is run a second time.
        """
        trial = _Trial(implementation, layer)
        try:
            trial.run(operands, twice=twice)
        except NotImplementedError as error:
            if not trial.began:
                return cls(implementation, {}, {}, 0.0, refusal=str(error) or "the target raised NotImplementedError")
            trial.blame(error)
        except (Exception, SystemExit) as error:
            trial.blame(error)
        return cls(
            implementation, trial.arrays, trial.faults, trial.seconds,
            output=trial.output, modified=trial.modified, again=trial.again,
        )  # fmt: skip


class _Trial:
    """Collects what one run gives, as far as it gets."""

    def __init__(self, implementation: Implementation, layer: Layer) -> None:
        self.implementation, self.layer = implementation, layer
        gradients = ("input", "weight", "bias") if layer.bias else ("input", "weight")
        self.gradients = [name for name in gradients if name not in implementation.absent]
        self.arrays: dict[str, Array] = {}
        self.faults: dict[str, Fault] = {}
        self.modified: dict[str, tuple[str, ...]] = {}
        self.again: Mapping[str, Array] | Fault | None = None
        self.seconds = 0.0
        self.output: Any = None
        self.began = False

    def run(self, operands: Operands, *, twice: bool) -> None:
        start = time.perf_counter()
        done = self.implementation.run(self.layer, operands)
        self.seconds = time.perf_counter() - start
        self.began = True
        self.output = _copy(done.output)
        self.accept("output", self.output)
        self.modified["forward"] = done.modified()
        if np.shape(self.output) != self.layer.output_shape:
            # A backward pass has nothing to say about an output that is not there.
            return
        gradients = dict(zip(("input", "weight", "bias"), map(_copy, done.backward()), strict=True))
        for name in self.gradients:
            self.accept(name, gradients[name])
        self.modified["backward"] = tuple(n for n in done.modified() if n not in self.modified["forward"])
        if twice:
            self.again = self.second(done)

    def second(self, done: Pass) -> Mapping[str, Array] | Fault:
        """Run the backward pass again; where that is not possible, after another forward pass on the same object."""
        try:
            gradients = done.backward()
        except TargetContractError as error:
            return Fault("error", str(error))
        except Exception:
            try:
                gradients = done.repeat()
            except Exception as error:
                return Fault("error", explained(error))
        pairs = zip(("input", "weight", "bias"), gradients, strict=True)
        seconds = {name: _copy(value) for name, value in pairs if name in self.arrays and value is not None}
        faults = [fault for name, value in seconds.items() if (fault := _fault(name, value, self.layer))]
        return Fault("failed", f"the second backward pass differs in kind: {faults[0]}") if faults else seconds

    def accept(self, name: str, value: Any) -> None:
        fault = _fault(name, value, self.layer)
        if fault:
            self.faults[name] = Fault("failed", fault, "zero-gradient" if value is None and name != "output" else None)
        else:
            self.arrays[name] = np.asarray(value)

    def blame(self, error: BaseException) -> None:
        missing = [name for name in ("output", *self.gradients) if name not in self.arrays and name not in self.faults]
        self.faults |= {name: Fault("error", explained(error)) for name in missing}


def explained(error: BaseException) -> str:
    """Return what a report says of an exception: convcheck's own words, or the user's own traceback."""
    return str(error) if isinstance(error, ConvcheckError) else user_traceback(error)


def _copy(value: Any) -> Any:
    # A second pass may write into the very array that the first one returned.
    return None if value is None else np.array(value)


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
        hint = "; NumPy's zeros are float64 unless they are told dtype=x.dtype" if array.dtype == np.float64 else ""
        return f"{label} has dtype {array.dtype}; expected {layer.dtype}{hint}"
    return None
