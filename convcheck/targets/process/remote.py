"""A target that runs in another process, as the checks see it: an interface over which layers and arrays go."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from convcheck.gradients.numeric.directions import Output
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.calling import ARGUMENTS, AROUND, PLAIN, How
from convcheck.targets.choice import inapplicable_to
from convcheck.targets.features import other_kinds
from convcheck.targets.form import refusal
from convcheck.targets.merging import Passes
from convcheck.targets.process.place import ENDED, UNUSABLE, Asked, Place, raised_by
from convcheck.targets.process.wire import texts_in
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import (
    Misfit,
    Run,
    Target,
    TargetContractError,
)

#: Entries that any array of a layer's has at most this many times as many of as what is given back is looked at.
_LARGEST = 64
_LARGE = 2**22

#: Seconds that several forward passes in one request may take, and bytes of their arrays.
_SECONDS = 0.5
_PART = 2**20

#: What can be written into: arguments, and the memory around them.
_WRITTEN = (*ARGUMENTS, *(AROUND + name for name in ARGUMENTS))

_GRADIENTS = ("grad_input", "grad_weight", "grad_bias")


#: Multiply-adds of a layer up to which both passes are asked for in one request, and the next run before what came of
#: this one has been looked at: there the requests are what takes time.
_SMALL = 2**23


@lru_cache(maxsize=64)
def _most_entries(layer: Layer) -> int:
    shapes = (layer.input_shape, layer.weight_shape, layer.output_shape)
    return max(_LARGE, _LARGEST * max(map(prod, shapes)))


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
        room = answer.get("room")
        self.room = room if isinstance(room, int) else None

    @property
    def found(self) -> Sequence[str]:  # type: ignore[override]
        return self.place.noted[self._number][1]

    def ask(
        self, verb: str, request: dict[str, Any], arrays: Sequence[Array | None], labels: Sequence[str], layer: Layer,
        *, passes: int = 1, both: bool = False, into: Array | None = None,
    ) -> Asked:  # fmt: skip
        """Ask for arrays of a layer's."""
        output = layer.output_shape if both else None
        most = passes * _most_entries(layer)
        asked = Asked(self.place.turn, verb, self._number, request, arrays, labels, layer.dtype, most, output, into)
        self.place.ask(asked)
        return asked

    def _values(self, asked: Asked) -> list[Any]:
        self.place.wait(asked)
        return asked.values

    def begin(self) -> None:
        self.place.begin()

    def forget(self) -> None:
        # The next call starts another process.
        self.place.close()

    def unsupported(self, layer: Layer) -> str | None:
        return refusal(self._spec, self._takes, layer)

    def other_kinds(self, layer: Layer) -> list[str]:
        return other_kinds(layer, self._takes)

    def takes_bias(self) -> bool:
        return self.place.noted[self._number][0]

    def ahead(self, layer: Layer) -> bool:
        return layer.multiply_adds <= _SMALL

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        began = time.monotonic()
        output = self._output(self._ask_forward(layer, x, weight, bias))
        self._seconds = time.monotonic() - began
        return output

    def _ask_forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Asked:
        return self.ask("forward", {"layer": _pickled(layer)}, (x, weight, bias), ["output"], layer)

    def _output(self, asked: Asked) -> Array:
        (output,) = self._values(asked)
        if isinstance(output, Misfit):
            raise TargetContractError(output.reason)
        return output if output is not None else np.asarray(None)

    def merged(self, of: Layer, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Output:
        if len(x) == of.batch and layer.filters == of.filters:
            return partial(self._output, self._ask_forward(layer, x, weight, bias))
        passes = Passes.of(of, layer, x, weight, bias)
        copies, varies = passes.copies, passes.varies
        # So many in one request that it takes no time to speak of, and that what is sent stays in the cache.
        each = np.dtype(of.dtype).itemsize * (prod(of.output_shape) + prod(getattr(passes, varies).shape[1:]))
        at_once = max(1, min(int(_SECONDS / max(self._seconds, 1e-9)), _PART // each))
        whole = np.empty((copies, *of.output_shape), of.dtype)
        under_way = []
        for first in range(0, copies, at_once):
            part = slice(first, first + at_once)
            at, count = passes.some(part), len(whole[part])
            request = {"layer": _pickled(of), "varies": varies, "copies": count}
            under_way.append(self.ask("merged", request, at, ["output"], of, passes=count, into=whole[part]))

        def together() -> Array:
            for asked in under_way:
                (output,) = self._values(asked)
                if output is not asked.into:
                    raise TargetContractError(UNUSABLE.format("it is not the outputs"))
            return passes.together(whole)

        return together

    def run(self, layer: Layer, operands: Operands, how: How = PLAIN) -> Run:
        return RemoteRun(self, layer, operands, how, both=False)

    def both(self, layer: Layer, operands: Operands, how: How = PLAIN, *, phases: bool = False) -> Run:
        return RemoteRun(self, layer, operands, how, both=self.ahead(layer), phases=phases)

    def onward(self, before: Run | None, layer: Layer, operands: Operands, *, new_memory: bool = False) -> Run:
        of = before.number_in(self.place) if isinstance(before, RemoteRun) else 0
        return RemoteRun(self, layer, operands, of=of, new_memory=new_memory, both=self.ahead(layer))

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
        told = [f"the derivative by the {label}" for label in labels]
        return self._values(self.ask(verb, {"layer": _pickled(layer)}, arrays, told, layer))

    def stop(self) -> None:
        self.place.stop()

    def resume(self) -> None:
        self.place.resume()

    def close(self) -> None:
        self.place.close()


@lru_cache(maxsize=64)
def _pickled(value: Layer | How) -> bytes:
    # Who knows the seed knows the directions in which gradients of large layers are looked at.
    return pickle.dumps(value.alike(seed=0) if isinstance(value, Layer) else value)


class RemoteRun(Run):
    """A forward pass in another process, and the backward pass where both are asked for at once.

    What comes of it is waited for when it is looked at.
    """

    def __init__(
        self, target: Remote, layer: Layer, operands: Operands, how: How = PLAIN, *, both: bool, phases: bool = False,
        of: int | None = None, new_memory: bool = False,
    ) -> None:  # fmt: skip
        self._target, self._layer, self._place = target, layer, target.place
        self._number = next(self._place.numbers)
        request = {
            "layer": _pickled(layer), "how": _pickled(how), "run": self._number, "of": of, "new_memory": new_memory,
            "phases": phases,
        }  # fmt: skip
        at = (operands.x, operands.weight, operands.bias, operands.grad_output)
        labels = ["output", *_GRADIENTS] if both else ["output"]
        self._asked = target.ask("run", request, at, labels, layer, both=both)
        self._modified: tuple[str, ...] | None = None
        #: Whether the backward pass that ran with the forward pass has not been asked about.
        self._fresh = both

    @property
    def output(self) -> Any:
        self._wait()
        return self._asked.values[0]

    @property
    def went_on(self) -> bool:  # type: ignore[override]
        return self._wait().get("went_on") is True

    def modified(self) -> tuple[str, ...]:
        if self._modified is None:
            self._modified = _written(self._wait(), "modified")
        return self._modified

    def backward(self, grad_output: Array | None = None) -> tuple[Any, Any, Any]:
        answer, values = self._wait(), self._asked.values[1:]
        fresh, self._fresh = self._fresh and grad_output is None, False
        if fresh and "raised_at_last" in answer:
            raise raised_by(answer["raised_at_last"])
        if fresh and values:
            self._modified = _written(answer, "modified_at_last")
        else:
            if not self.number_in(self._place):
                raise TargetContractError(ENDED)
            request = {"layer": _pickled(self._layer), "run": self._number}
            asked = self._target.ask("backward", request, (grad_output,), _GRADIENTS, self._layer)
            self._modified, values = _written(self._place.wait(asked), "modified"), asked.values
        grad_input, grad_weight, grad_bias = values
        return grad_input, grad_weight, grad_bias

    def now(self) -> Sequence[Any] | None:
        asked = self._target.ask("look", {"run": self._number}, (), ["output", *_GRADIENTS], self._layer)
        self._place.wait(asked)
        return asked.values

    def number_in(self, place: Place) -> int:
        """Return the number under which a place's worker has it; 0 if it has not."""
        return self._number if place is self._place and place.runs(self._asked.generation) else 0

    def _wait(self) -> dict[str, Any]:
        return self._place.wait(self._asked)

    def __del__(self) -> None:
        with suppress(Exception):
            self._place.release(self._number, self._asked.generation)


def _written(answer: Mapping[str, Any], key: str) -> tuple[str, ...]:
    modified = texts_in(answer, key)
    return tuple(name for name in _WRITTEN if name in modified)
