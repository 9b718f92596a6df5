"""A shared library with a C interface, as ``convcheck.h`` beside this file has it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES, FIELDS
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.device_memory import DeviceMemory
from convcheck.targets.form import Form
from convcheck.targets.placement import placed
from convcheck.targets.programs.protocol import RefusedError
from convcheck.targets.session import Given, Session, StatelessSession
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError
from convcheck.wording import one_line

#: The interface, for authors of libraries.
HEADER = Path(__file__).with_name("convcheck.h")

#: The names of the functions where the mapping gives none.
NAMES = {"forward": "my_conv_forward", "backward": "my_conv_backward"}

#: What a function returns, in the words of the header.
OK, UNSUPPORTED = 0, 1

#: Bytes of a message.
MESSAGE_SIZE = 256

#: Arguments are addresses of arrays in C order.
_C_ORDER = "a library is given addresses of arrays in C order"


class CLayer(ctypes.Structure):
    """The header's ``convcheck_layer``."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "c", "f", "groups", "bias", "rank")),
        *((n, ctypes.c_int64 * 3) for n in ("input", "kernel", "stride", "dilation", "before", "after", "output")),
        ("transposed", ctypes.c_int64), ("output_padding", ctypes.c_int64 * 3), ("padding_mode", ctypes.c_int64),
    )  # fmt: skip

    @classmethod
    def of(cls, layer: Layer) -> CLayer:
        """Return a layer as C has it."""
        before, after = zip(*layer.padding, strict=True)
        per_axis = (layer.input, layer.kernel, layer.stride, layer.dilation, before, after, layer.output)
        numbers = (layer.batch, layer.channels, layer.filters, layer.groups, int(layer.bias), len(layer.input))
        mode = FIELDS["padding_mode"].choices.index(layer.padding_mode)
        kind = (int(layer.transposed), (ctypes.c_int64 * 3)(*layer.output_padding), mode)
        return cls(*numbers, *((ctypes.c_int64 * 3)(*values) for values in per_axis), *kind)


class LibraryForm(Form):
    """Functions of a shared library; they are told of everything, and say themselves what they do not take."""

    kinds = features.KINDS

    inapplicable: Mapping[str, str] = {
        **Form.inapplicable,
        **dict.fromkeys(("not-contiguous", "transposed-memory", "negative-strides", "broadcast-grad-output"), _C_ORDER),
        "read-only": "an address can be written; that it was is found in any pass",
    }

    def __init__(self, spec: TargetSpec, folder: Path) -> None:
        assert spec.library is not None
        self._functions = _functions(spec, _loaded(spec.library, folder))
        super().__init__(spec.named, spec, features.ALL - DTYPES.keys() | self._functions.keys())
        self._device = None if spec.device in (None, "cpu") else DeviceMemory(spec.named, spec.device)
        if self._device is not None:
            self.room = self._device.room
            self.note(f"it is given addresses in the memory of {spec.device}, {self._device.title}")

    def session(self, layer: Layer, given: Given) -> Session:
        return _LibrarySession(self, layer, given)

    def output_shape(self, layer: Layer, given: Given) -> tuple[int, ...]:
        """Return the shape of the output in the library's order; a sample by itself has no axis for the batch."""
        return tuple(self._images.in_order(layer.output_shape))[-given.x.ndim :]

    def call(
        self, direction: str, layer: Layer, inputs: Sequence[Array | None], outputs: Mapping[str, Any]
    ) -> list[Any]:
        """Call a function of the library.

        Parameters
        ----------
        inputs : sequence of array or None
        outputs : mapping of str to tuple of int or None
            The shapes of what comes back, by name; None for what does not exist.

        Raises
        ------
        RefusedError
            If it says that it does not take the layer.
        TargetContractError
            If it says that it failed, or wrote beyond what it was given.
        """
        function = self._functions[layer.dtype][direction]
        dtype = next(array.dtype for array in inputs if array is not None)
        guarded = {
            name: None if shape is None else placed(np.full(shape, np.nan, dtype), around="nan")
            for name, shape in outputs.items()
        }
        results = [None if place is None else place.view() for place in guarded.values()]
        held = [None if array is None else np.ascontiguousarray(array) for array in inputs]
        message = ctypes.create_string_buffer(MESSAGE_SIZE)

        def called(addresses: Sequence[int | None]) -> int:
            return int(function(ctypes.byref(CLayer.of(layer)), *addresses, message))

        if self._device is None:
            status = called([None if array is None else array.ctypes.data for array in (*held, *results)])
        else:
            bases = [None if place is None else (place.base, place.offset) for place in guarded.values()]
            given = [None if array is None else (array, 0) for array in held]
            with self._device.hold([*given, *bases]) as there:
                status = called(there.addresses)
                there.fetch()
        name = f"{function.__name__} of {self.name}"
        if status != OK:
            reason = one_line(message.raw.partition(b"\0")[0].decode("utf-8", "replace")) or "without a message"
            if status == UNSUPPORTED and direction == "forward":
                raise RefusedError(reason)
            raise TargetContractError(f"{name} returned {status}: {reason}")
        spilled = [what for what, place in guarded.items() if place is not None and place.spilled()]
        if spilled:
            raise TargetContractError(f"{name} wrote beyond the memory of {', '.join(spilled)}, in front or behind")
        return results


class _LibrarySession(StatelessSession):
    def __init__(self, form: LibraryForm, layer: Layer, given: Given) -> None:
        super().__init__(layer, given)
        self._form = form

    def forward(self) -> Any:
        given = self._given
        shapes = {"output": self._form.output_shape(self._layer, given)}
        return self._form.call("forward", self._layer, (given.x, given.weight, given.bias), shapes)[0]

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        given = self._given
        shapes = {
            "grad_input": given.x.shape, "grad_weight": given.weight.shape,
            "grad_bias": None if given.bias is None else given.bias.shape,
        }  # fmt: skip
        arrays = (given.x, given.weight, given.bias, grad_output)
        grad_input, grad_weight, grad_bias = self._form.call("backward", self._layer, arrays, shapes)
        return grad_input, grad_weight, grad_bias


def _loaded(place: str, folder: Path) -> ctypes.CDLL:
    path = folder / place
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise TargetError(
            f"target {place}: {path} {what}; expected a shared library: build it first, or correct the path"
        )
    try:
        return ctypes.CDLL(str(path.absolute()))
    except OSError as error:
        raise TargetError(
            f"target {place} cannot be loaded: {error}; expected a shared library for this machine, built for instance "
            "with cc -shared -fPIC"
        ) from error


def _functions(spec: TargetSpec, library: ctypes.CDLL) -> dict[str, dict[str, Any]]:
    """Return the library's functions by data type and direction."""
    names = {direction: getattr(spec, direction) or name for direction, name in NAMES.items()}
    found: dict[str, dict[str, Any]] = {}
    for dtype in DTYPES:
        pair = {direction: getattr(library, f"{name}_{dtype}", None) for direction, name in names.items()}
        if None in pair.values():
            continue
        found[dtype] = pair
        for direction, function in pair.items():
            assert function is not None
            # The layer, the arrays and the message: all are addresses.
            function.argtypes = [ctypes.c_void_p] * {"forward": 6, "backward": 9}[direction]
            function.restype = ctypes.c_int
    if not found:
        wanted = " and ".join(f"{name}_float64" for name in names.values())
        keys = ", ".join(f"{direction}: NAME" for direction in names)
        raise TargetError(
            f"target {spec.named}: it has no functions {wanted}, nor such for another data type; build it with them "
            f'(in C++, extern "C"), or give the names in front of the data type: {{library: ..., {keys}}}'
        )
    return found
