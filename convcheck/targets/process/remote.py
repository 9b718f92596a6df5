"""A target that runs in another process, as the checks see it: an interface over which layers and arrays go."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from convcheck.errors import ConvcheckError, TargetError, UsageError
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands, as_weight, by_filter
from convcheck.layer.layer import Layer
from convcheck.targets.calling import ARGUMENTS, AROUND, PLAIN, How
from convcheck.targets.choice import inapplicable_to
from convcheck.targets.form import refusal
from convcheck.targets.process.host import EndedError, Worker
from convcheck.targets.process.limits import USED_UP, Limits
from convcheck.targets.process.wire import BrokenWireError, Slot, parsed, read_arrays, slot_in, text_in, texts_in
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import (
    Misfit,
    Run,
    Target,
    TargetContractError,
    TargetRaisedError,
    TargetUnimplementedError,
)

#: Entries that any array of a layer's has at most this many times as many of as what is given back is looked at.
_LARGEST = 64
_LARGE = 2**22

#: Bytes of plain data that a function may give.
_LONGEST = 2**26

#: What is said of an answer that is none.
UNUSABLE = "what the target's process sent cannot be used: {}"

#: Workers that may be started for one layer after its first has ended.
_RESTARTS = 2

#: Seconds that several forward passes in one request may take.
_SECONDS = 0.5

#: Lists of texts that an answer may have, which are looked at before anything else is.
_LISTS = (
    "loaded", "takes", "unsaid", "untold", "inapplicable", "found", "modified", "modified_at_last",
)  # fmt: skip

#: What can be written into: arguments, and the memory around them.
_WRITTEN = (*ARGUMENTS, *(AROUND + name for name in ARGUMENTS))

_GRADIENTS = ("grad_input", "grad_weight", "grad_bias")


#: Multiply-adds of a layer up to which both passes are asked for in one request: there the request is what takes time.
_SMALL = 2**23


class _EndedHalfwayError(TargetContractError):
    """The process has ended in the backward pass, when the forward pass had run."""

    def __init__(self, message: str, output: Array, modified: list[str]) -> None:
        super().__init__(message)
        self.output, self.modified = output, modified


class Place:
    """Where targets are opened and run: a worker process, which several targets share, and the next when it has ended.

    Parameters
    ----------
    folder : Path
        Relative targets start here.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.generation = 0
        self.left = limits.seconds
        self._worker: Worker | None = None
        self._restarts = 0
        self._unusable: str | None = None
        self._stopped = False
        self._released: list[int] = []
        self._opened: dict[int, int] = {}
        self._specs: dict[int, bytes] = {}
        self.numbers = count(1)

    def begin(self) -> None:
        """Prepare for another layer."""
        self.left, self._restarts, self._unusable = self.limits.seconds, 0, None

    def open(self, spec: TargetSpec) -> tuple[int, dict[str, Any]]:
        """Open a target; return its number and what the worker says of it.

        Raises
        ------
        TargetError
            If it cannot be found, imported or used.
        """
        number = next(self.numbers)
        self._specs[number] = _portable(spec)
        try:
            return number, self._open(number)
        except (TargetError, UsageError):
            raise
        except (ConvcheckError, TargetRaisedError) as error:
            raise TargetError(f'target "{spec.named}" cannot be imported:\n{error}') from error

    def _open(self, number: int) -> dict[str, Any]:
        answer = self._ask("open", {"target": number, "spec": self._specs[number], "folder": str(self.folder)}, ())
        self._opened[number] = self.generation
        assert self._worker is not None
        for module in texts_in(answer, "loaded"):
            if module == "torch":
                self._worker.preload(module)
        return answer

    def ask(
        self, verb: str, target: int, request: dict[str, Any], arrays: Sequence[Array | None] = ()
    ) -> dict[str, Any]:
        """Ask a target, which is opened again in a new worker where the last one has ended.

        Raises
        ------
        ConvcheckError
            What the target raised, or how its process ended.
        """
        if self._worker is None or self._opened.get(target) != self.generation:
            self._open(target)
        return self._ask(verb, {"target": target, **request}, arrays)

    def call(self, function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
        """Return the plain data that a function of convcheck's gives, which runs somebody's code.

        Raises
        ------
        ConvcheckError, TargetRaisedError
            What the code raised, or how its process ended.
        """
        answer = self._ask("call", {"function": pickle.dumps((function, arguments))}, ())
        try:
            told = answer.get("values")
            slot = slot_in(told[0]) if isinstance(told, list) and told and isinstance(told[0], dict) else None
            if slot is None or slot.dtype != "uint8" or slot.size > _LONGEST:
                raise BrokenWireError("it is no text, or too long")
            assert self._worker is not None
            return parsed(read_arrays(self._worker.back, [slot])[0].tobytes())
        except (BrokenWireError, OSError, MemoryError) as error:
            self.close()
            raise TargetContractError(UNUSABLE.format(error)) from None

    def _ask(self, verb: str, request: dict[str, Any], arrays: Sequence[Array | None]) -> dict[str, Any]:
        if self.left <= 0:
            raise TargetContractError(USED_UP.format(self.limits.seconds))
        if self._worker is None:
            self._start()
        assert self._worker is not None
        released, self._released = self._released, []
        began = time.monotonic()
        try:
            request["released"] = released
            answer = self._worker.ask(verb, request, arrays, self.left)
        except EndedError as error:
            if error.costly:
                self._unusable = str(error)
            if error.halfway is not None:
                raise _EndedHalfwayError(str(error), *error.halfway) from None
            raise TargetContractError(str(error)) from None
        finally:
            if self._worker.ended is not None:
                self._worker = None
            self.left -= time.monotonic() - began
        try:
            for key in _LISTS:
                texts_in(answer, key)
        except BrokenWireError as error:
            self.close()
            raise TargetContractError(UNUSABLE.format(error)) from None
        raised = answer.get("raised")
        if raised is not None:
            _raise(raised)
        return answer

    def _start(self) -> None:
        if self._stopped:
            raise TargetContractError("not run: the run was interrupted")
        if self._unusable is not None:
            raise TargetContractError(f"not run: {self._unusable}")
        if self._restarts > _RESTARTS:
            raise TargetContractError("not run: the target's process has ended too often on this layer")
        self._restarts += 1
        self.generation += 1
        self._released = []
        try:
            self._worker = Worker(self.limits)
        except EndedError as error:
            raise TargetContractError(str(error)) from None

    def values(self, answer: Mapping[str, Any], labels: Sequence[str], layer: Layer, passes: int = 1) -> list[Any]:
        """Return what an answer tells of arrays: arrays, None, or what stands for what cannot be compared."""
        told = answer.get("values")
        try:
            if not isinstance(told, list) or len(told) != len(labels):
                raise BrokenWireError("it has not the arrays that were asked for")
            most = passes * _most_entries(layer)
            slots = [slot_in(one) for one in told if isinstance(one, dict) and "dtype" in one]
            fits = [prod(slot.shape) <= most for slot in slots]
            assert self._worker is not None
            arrays = iter(read_arrays(self._worker.back, slots) if all(fits) else [None] * len(slots))
            sizes = iter(slots)
            return [_value(one, label, layer, arrays, sizes) for one, label in zip(told, labels, strict=True)]
        except (BrokenWireError, OSError, MemoryError) as error:
            self.close()
            raise TargetContractError(UNUSABLE.format(error)) from None

    def runs(self, generation: int) -> bool:
        """Whether the worker is still that of an earlier time."""
        return self._worker is not None and generation == self.generation

    def release(self, run: int, generation: int) -> None:
        """Let go of a forward pass that will not be asked about any more."""
        if generation == self.generation:
            self._released.append(run)

    def stop(self) -> None:
        """End the worker from another thread than the one that uses it, for good."""
        self._stopped = True
        worker = self._worker
        if worker is not None:
            worker.kill()

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


def _most_entries(layer: Layer) -> int:
    shapes = (layer.input_shape, layer.weight_shape, layer.output_shape)
    return max(_LARGE, _LARGEST * max(map(prod, shapes)))


def _value(one: Any, label: str, layer: Layer, arrays: Any, slots: Any) -> Any:
    if one is None:
        return None
    if not isinstance(one, dict):
        raise BrokenWireError("a value is of no known kind")
    if "misfit" in one:
        slug = one.get("slug")
        return Misfit(text_in(one, "misfit"), text_in(one, "slug") if slug is not None else None)
    if "foreign" in one:
        return Misfit(
            f"{label} has dtype {text_in(one, 'foreign')}; expected {layer.dtype}; give back the type that came in: "
            ".astype(x.dtype)"
        )
    if "dtype" not in one:
        raise BrokenWireError("a value is of no known kind")
    array, slot = next(arrays), next(slots)
    return Misfit(f"{label} has shape {slot.shape}, which is far too large") if array is None else array


def _both(gradients: Sequence[Any], modified: Sequence[str]) -> tuple[Sequence[Any], Sequence[str]]:
    return gradients, modified


def _fail(message: str) -> NoReturn:
    raise TargetContractError(message)


def _raise(raised: Any) -> NoReturn:
    """Raise what the worker says that was raised."""
    try:
        if not isinstance(raised, dict):
            raise BrokenWireError("what was raised is no object")
        kind, text = raised.get("kind"), text_in(raised, "text")
        if kind in ("unimplemented", "raised"):
            refusal = None if raised.get("refusal") is None else text_in(raised, "refusal")
            error = TargetUnimplementedError if kind == "unimplemented" else TargetRaisedError
            raise error(text_in(raised, "message"), text, refusal, text_in(raised, "last"))
        if kind == "convcheck":
            raise TargetError(text)
        raise TargetContractError(text)
    except BrokenWireError as error:
        raise TargetContractError(UNUSABLE.format(error)) from None


def _portable(spec: TargetSpec) -> bytes:
    """Return a mapping such that another process finds the code that it names.

    Raises
    ------
    UsageError
        If it is given as what other processes cannot find.
    """
    try:
        given = {key: _place_of(getattr(spec, key)) for key in ("call", "tensor", "forward", "backward")}
        return pickle.dumps(replace(spec, **given))
    except Exception as error:
        raise UsageError(
            f"the target {spec.named} cannot be sent to other processes; give it as module:name or "
            "path/to/file.py:name, or leave out what needs them, such as jobs"
        ) from error


def _place_of(code: Any) -> Any:
    """Return where code of the program that runs stands, since there it is called __main__; other code as it is."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    if getattr(code, "__module__", None) == "__main__" and file is not None:
        return f"{Path(file).resolve()}:{code.__qualname__}"
    return code


class Remote(Target):
    """A target in a worker process.

    What it does not give, gives as means, or gives inexactly, its mapping says and not the worker.
    """

    merging = True

    def __init__(self, place: Place, spec: TargetSpec) -> None:
        self.place = place
        self._number, answer = place.open(spec)
        self._spec, self._takes = spec, frozenset(texts_in(answer, "takes"))
        #: That the last forward pass took.
        self._seconds = 0.0
        self.name = spec.named
        self.exact = spec.exact
        self.averages = spec.mean_over_batch
        self.absent = {
            gradient: "the target does not give this gradient"
            for gradient in ("input", "weight", "bias")
            if gradient not in spec.gradients
        }
        self.at_once = spec.threads
        self.unsaid, self.untold = (frozenset(texts_in(answer, key)) for key in ("unsaid", "untold"))
        self.inapplicable = inapplicable_to(spec, texts_in(answer, "inapplicable"))
        self.differentiable = answer.get("differentiable") is True
        self._note(answer)

    def _note(self, answer: Mapping[str, Any]) -> None:
        self._takes_bias = answer.get("takes_bias") is not False
        self.found = texts_in(answer, "found")

    def _ask(self, verb: str, request: dict[str, Any], arrays: Sequence[Array | None] = ()) -> dict[str, Any]:
        answer = self.place.ask(verb, self._number, request, arrays)
        self._note(answer)
        return answer

    def begin(self) -> None:
        self.place.begin()

    def unsupported(self, layer: Layer) -> str | None:
        return refusal(self._spec, self._takes, layer)

    def takes_bias(self) -> bool:
        return self._takes_bias

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        began = time.monotonic()
        answer = self._ask("forward", {"layer": _pickled(layer)}, (x, weight, bias))
        self._seconds = time.monotonic() - began
        (output,) = self.place.values(answer, ["output"], layer)
        if isinstance(output, Misfit):
            raise TargetContractError(output.reason)
        return output if output is not None else np.asarray(None)

    def merged(self, of: Layer, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        copies = max(len(x) // of.batch, layer.filters // of.filters)
        if copies == 1:
            return self.forward(layer, x, weight, bias)
        varies = "x" if len(x) > of.batch else "weight"
        if varies == "x":
            x = x.reshape(copies, *of.input_shape)
        else:
            # Each group has the filters of one pass after those of another.
            parts = by_filter(layer, weight).reshape(of.groups, copies, of.filters_per_group, -1)
            weight = np.stack([as_weight(of, parts[:, copy]) for copy in range(copies)])
            if bias is not None:
                bias = bias.reshape(of.groups, copies, -1)[:, 0].reshape(-1)
        # So many in one request that it takes no time to speak of.
        at_once = max(1, int(_SECONDS / max(self._seconds, 1e-9)))
        outputs = []
        for first in range(0, copies, at_once):
            part = slice(first, first + at_once)
            at = (x[part], weight, bias) if varies == "x" else (x, weight[part], bias)
            count = len(at[0] if varies == "x" else at[1])
            answer = self._ask("merged", {"layer": _pickled(of), "varies": varies, "copies": count}, at)
            (output,) = self.place.values(answer, ["output"], of, count)
            if not isinstance(output, np.ndarray) or output.shape != (count, *of.output_shape):
                raise TargetContractError(UNUSABLE.format("it is not the outputs"))
            outputs.append(output)
        whole = np.concatenate(outputs)
        if varies == "x":
            return whole.reshape(-1, *of.output_shape[1:])
        split = whole.reshape(copies, of.batch, of.groups, of.filters_per_group, *of.output)
        return np.moveaxis(split, 0, 2).reshape(layer.output_shape)

    def run(self, layer: Layer, operands: Operands, how: How = PLAIN) -> Run:
        return RemoteRun(self, layer, "run", {"layer": _pickled(layer), "how": how}, operands)

    def both(self, layer: Layer, operands: Operands, how: How = PLAIN) -> Run:
        return RemoteRun(self, layer, "run", {"layer": _pickled(layer), "how": how}, operands, both=True)

    def second(self, layer: Layer, operands: Operands, along: Operands) -> tuple[Any, Any, Any]:
        by_output, by_input, by_weight = self._along("second", layer, operands, along, ("output", "input", "weight"))
        return by_output, by_input, by_weight

    def tangent(self, layer: Layer, operands: Operands, along: Operands) -> Any:
        (found,) = self._along("tangent", layer, operands, along, ("output",))
        return found

    def _along(
        self, verb: str, layer: Layer, operands: Operands, along: Operands, labels: Sequence[str]
    ) -> Sequence[Any]:
        arrays = [array for at in (operands, along) for array in (at.x, at.weight, at.bias, at.grad_output)]
        answer = self._ask(verb, {"layer": _pickled(layer)}, arrays)
        return self.place.values(answer, [f"the derivative by the {label}" for label in labels], layer)

    def stop(self) -> None:
        self.place.stop()

    def close(self) -> None:
        self.place.close()


@lru_cache(maxsize=64)
def _pickled(layer: Layer) -> bytes:
    return pickle.dumps(layer)


class RemoteRun(Run):
    """A forward pass that another process has run, and the backward pass where both were asked for at once."""

    def __init__(
        self, of: Remote, layer: Layer, verb: str, request: dict[str, Any], operands: Operands, *, both: bool = False
    ) -> None:
        self._of, self._layer = of, layer
        #: Returns or raises what came of the backward pass that ran with the forward pass. It refers neither to this
        #: run nor to an exception, which would keep the worker alive.
        self._next: Callable[[], tuple[Sequence[Any], Sequence[str]]] | None = None
        place = of.place
        self._number = next(place.numbers)
        at = (operands.x, operands.weight, operands.bias, operands.grad_output)
        output = Slot(layer.dtype, layer.output_shape) if both and layer.multiply_adds <= _SMALL else None
        try:
            answer = of._ask(verb, {**request, "run": self._number, "both": output}, at)
        except _EndedHalfwayError as error:
            self._generation, self.output = place.generation, error.output
            self._note(error.modified)
            self._next = partial(_fail, str(error))
            return
        self._generation = place.generation
        self._note(texts_in(answer, "modified"))
        if "modified_at_last" in answer:
            self.output, *gradients = place.values(answer, ["output", *_GRADIENTS], layer)
            self._next = partial(_both, gradients, texts_in(answer, "modified_at_last"))
            return
        (self.output,) = place.values(answer, ["output"], layer)
        if "raised_at_last" in answer:
            self._next = partial(_raise, answer["raised_at_last"])

    def _note(self, modified: Sequence[str]) -> None:
        self._modified = tuple(name for name in _WRITTEN if name in modified)

    def _gave(self, gradients: Sequence[Any], modified: Sequence[str]) -> tuple[Any, Any, Any]:
        self._note(modified)
        grad_input, grad_weight, grad_bias = gradients
        return grad_input, grad_weight, grad_bias

    def backward(self, grad_output: Array | None = None) -> tuple[Any, Any, Any]:
        ran, self._next = self._next, None
        if ran is not None and grad_output is None:
            return self._gave(*ran())
        self._require_same_process()
        answer = self._of._ask("backward", {"run": self._number}, (grad_output,))
        return self._gave(self._of.place.values(answer, _GRADIENTS, self._layer), texts_in(answer, "modified"))

    def again(self, operands: Operands, layer: Layer | None = None, *, new_memory: bool = False) -> Run:
        return self._again(operands, layer, new_memory, both=False)

    def both_again(self, operands: Operands, layer: Layer | None = None, *, new_memory: bool = False) -> Run:
        return self._again(operands, layer, new_memory, both=True)

    def _again(self, operands: Operands, layer: Layer | None, new_memory: bool, *, both: bool) -> Run:
        self._require_same_process()
        pickled = None if layer is None else _pickled(layer)
        request = {"of": self._number, "layer": pickled, "new_memory": new_memory}
        return RemoteRun(self._of, layer or self._layer, "again", request, operands, both=both)

    def modified(self) -> tuple[str, ...]:
        return self._modified

    def _require_same_process(self) -> None:
        if not self._of.place.runs(self._generation):
            raise TargetContractError("not run: the process of the forward pass has ended")

    def __del__(self) -> None:
        with suppress(Exception):
            self._of.place.release(self._number, self._generation)
