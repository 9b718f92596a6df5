"""Arrays in the memory of an NVIDIA device, for libraries that take addresses there.

By the driver alone, which is there wherever such a device works. A library that uses the CUDA runtime shares the
device's primary context with it, and so its addresses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.targets.target import TargetContractError

#: The driver's library, and what it returns for success. Names and types of functions are those of CUDA's cuda.h.
LIBRARY = "libcuda.so.1"
_SUCCESS = 0

#: The arguments of the functions that are used.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDeviceGet": (ctypes.c_void_p, ctypes.c_int),
    "cuDeviceGetName": (ctypes.c_void_p, ctypes.c_int, ctypes.c_int),
    "cuDevicePrimaryCtxRetain": (ctypes.c_void_p, ctypes.c_int),
    "cuCtxSetCurrent": (ctypes.c_void_p,),
    "cuCtxSynchronize": (),
    "cuMemGetInfo_v2": (ctypes.c_void_p, ctypes.c_void_p),
    "cuMemAlloc_v2": (ctypes.c_void_p, ctypes.c_size_t),
    "cuMemFree_v2": (ctypes.c_uint64,),
    "cuMemcpyHtoD_v2": (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t),
    "cuMemcpyDtoH_v2": (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t),
}

#: Bytes to a multiple of which the first entry of an array lies, as the driver allocates.
_ALIGNED = 256


class DeviceMemory:
    """The memory of one device.

    Parameters
    ----------
    name : str
        Of the target, for messages.
    device : str
        "cuda", or with a number, such as "cuda:1".

    Raises
    ------
    TargetError
        If it cannot be used.
    """

    def __init__(self, name: str, device: str) -> None:
        self._refused = f"target {name}: device {device} cannot be used: {{}}; expected cuda, or cuda:1, cuda:2, ..."
        kind, _, number = device.partition(":")
        if kind != "cuda" or not (number or "0").isdecimal():
            raise TargetError(self._refused.format("a library's arrays are in the memory of an NVIDIA device"))
        try:
            self._driver = ctypes.CDLL(LIBRARY)
            for function, types in _FUNCTIONS.items():
                getattr(self._driver, function).argtypes = types
        except (OSError, AttributeError) as error:
            raise TargetError(self._refused.format(error)) from error
        handle, context, title = ctypes.c_int(), ctypes.c_void_p(), ctypes.create_string_buffer(256)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        try:
            self._call("cuInit", 0)
            self._call("cuDeviceGet", ctypes.byref(handle), int(number or 0))
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
            self._context = context
            self._call("cuCtxSetCurrent", context)
            self._call("cuDeviceGetName", title, len(title), handle)
            self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        except TargetContractError as error:
            raise TargetError(self._refused.format(error)) from error
        #: What the device is called, and how many bytes were free there.
        self.title, self.room = title.value.decode("utf-8", "replace"), free.value

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._driver, function)(*arguments)
        if status != _SUCCESS:
            text = ctypes.c_char_p()
            with suppress(AttributeError):
                self._driver.cuGetErrorName(status, ctypes.byref(text))
            named = f" ({text.value.decode()})" if text.value else ""
            raise TargetContractError(f"{function} of the device's driver returned {status}{named}")

    def wait(self) -> None:
        """Wait until everything that was started there is done, on whichever stream.

        Raises
        ------
        TargetContractError
            If something went wrong there meanwhile.
        """
        self._call("cuCtxSynchronize")

    def hold(self, arrays: Sequence[tuple[Array, int] | None]) -> Held:
        """Copy arrays there; each comes with the number of its entry whose address is wanted."""
        self._call("cuCtxSetCurrent", self._context)
        return Held(self, arrays)


class Held:
    """Arrays on a device, until the ``with`` ends.

    Attributes
    ----------
    addresses : list of int or None
        Of the entry of each array that was asked for.
    """

    def __init__(self, memory: DeviceMemory, arrays: Sequence[tuple[Array, int] | None]) -> None:
        self._memory, self._arrays = memory, arrays
        self._blocks: list[int] = []
        self._starts: list[int | None] = []
        self.addresses: list[int | None] = []

    def __enter__(self) -> Held:
        try:
            for one in self._arrays:
                self._put(one)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _put(self, one: tuple[Array, int] | None) -> None:
        if one is None:
            self._starts.append(None)
            self.addresses.append(None)
            return
        array, entry = one
        block, before = ctypes.c_uint64(), entry * array.itemsize
        self._memory._call("cuMemAlloc_v2", ctypes.byref(block), array.nbytes + _ALIGNED)
        self._blocks.append(block.value)
        start = block.value + -(block.value + before) % _ALIGNED
        self._memory._call("cuMemcpyHtoD_v2", start, array.ctypes.data, array.nbytes)
        self._starts.append(start)
        self.addresses.append(start + before)

    def fetch(self) -> None:
        """Copy the arrays back to where they came from, once all is done there."""
        self._memory.wait()
        for one, start in zip(self._arrays, self._starts, strict=True):
            if one is not None:
                self._memory._call("cuMemcpyDtoH_v2", one[0].ctypes.data, start, one[0].nbytes)

    def __exit__(self, *_: object) -> None:
        for block in self._blocks:
            with suppress(TargetContractError):
                self._memory._call("cuMemFree_v2", block)
        self._blocks.clear()
