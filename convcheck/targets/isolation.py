"""Keeping what the code under test does to the process away from the report: prints, settings, exits and hangs.

Not within reach of one process: a crash, and a hang inside a compiled function that never returns to Python.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout, suppress
from functools import lru_cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convcheck.errors import Parameter, UsageError
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.calling import PLAIN, How
from convcheck.targets.loading import user_traceback
from convcheck.targets.merging import Passes, run_each
from convcheck.targets.process.limits import USED_UP
from convcheck.targets.target import Run, Target, TargetContractError

Result = TypeVar("Result")

#: glibc's M_PERTURB: memory that is handed out is filled with the complement of a byte (mallopt(3)).
_PERTURB = -6

#: The byte that memory is filled with makes 3.4e38 in float32 and 1.4e306 in float64.
FILLED = 0x7F
_POISON = 0xFF - FILLED

#: Bytes from which on NumPy keeps no memory for further arrays, and how many pieces it keeps of each size.
_STORED = 1024
_OF_EACH = 7

#: Seconds after which a target that swallowed the exception that was to stop it is interrupted again.
_AGAIN = 0.5


class _TimeUpError(BaseException):
    """Raised inside the target; no Exception, so that ``except Exception`` lets it through."""


class Guarded(Target):
    """A target whose calls can neither change the process's settings nor outlast their time.

    Parameters
    ----------
    timeout : float, optional
        Seconds that the target may take for each layer.
    files : dict, optional
        Files that were imported to find it.

    Raises
    ------
    UsageError
        If a time limit cannot be kept here.
    """

    merging = True

    def __init__(
        self, target: Target, timeout: float | None = None, files: dict[Path, ModuleType] | None = None
    ) -> None:
        self.name, self.exact, self.absent = target.name, target.exact, target.absent
        self.averages = target.averages
        self.unsaid, self.untold = target.unsaid, target.untold
        self.at_once, self.inapplicable = target.at_once, target.inapplicable
        self.differentiable, self.room = target.differentiable, target.room
        self.files = {} if files is None else files
        self.unguarded = target
        self._timeout = timeout
        self._left = timeout
        if timeout is not None and not _has_alarm():
            raise UsageError(Parameter("timeout"), " works in the main thread on Linux and macOS only; leave it out")

    @property
    def found(self) -> Sequence[str]:  # type: ignore[override]
        return self.unguarded.found

    def begin(self) -> None:
        self._left = self._timeout

    def unsupported(self, layer: Layer) -> str | None:
        return self.unguarded.unsupported(layer)

    def other_kinds(self, layer: Layer) -> list[str]:
        return self.unguarded.other_kinds(layer)

    def takes_bias(self) -> bool:
        return self.unguarded.takes_bias()

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        return self.call(lambda: self.unguarded.forward(layer, x, weight, bias))

    def merged(self, of: Layer, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        if len(x) == of.batch and layer.filters == of.filters:
            return self.forward(layer, x, weight, bias)
        passes = Passes.of(of, layer, x, weight, bias)
        arguments, outputs = passes.some(slice(None)), np.empty((passes.copies, *of.output_shape), of.dtype)
        return passes.together(self.each(of, passes.varies, arguments, outputs))

    def each(self, layer: Layer, varies: str, arguments: tuple[Array, Array, Array | None], outputs: Array) -> Array:
        """Run several forward passes; see `run_each`."""

        def run() -> Array:
            with self.unguarded.repeated(layer) as forward:
                return run_each(forward, layer, varies, arguments, outputs)

        return self.call(run)

    def run(self, layer: Layer, operands: Operands, how: How = PLAIN) -> Run:
        fill_store(operands)
        return _GuardedRun(self, operands, self.call(lambda: self.unguarded.run(layer, operands, how)))

    def second(self, layer: Layer, operands: Operands, along: Operands) -> tuple[Any, Any, Any]:
        return self.call(lambda: self.unguarded.second(layer, operands, along))

    def tangent(self, layer: Layer, operands: Operands, along: Operands) -> Any:
        return self.call(lambda: self.unguarded.tangent(layer, operands, along))

    def call(self, function: Callable[[], Result]) -> Result:
        try:
            with kept_settings(), poisoned_memory(), nullcontext() if self._timeout is None else self._limited():
                return function()
        except (Exception, KeyboardInterrupt):
            raise
        except _TimeUpError as error:
            raise TargetContractError(
                f"the target did not return within its timeout of {self._timeout:g} s; it was stopped{_place(error)}"
            ) from None
        except BaseException as error:
            # SystemExit, say: it ends the layer, not the run.
            raise TargetContractError(user_traceback(error)) from error

    @contextmanager
    def _limited(self) -> Iterator[None]:
        assert self._left is not None
        if self._left <= 0:
            raise TargetContractError(USED_UP.format(self._timeout))
        began = time.monotonic()
        before = signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, self._left, _AGAIN)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            self._left -= time.monotonic() - began


class _GuardedRun(Run):
    def __init__(self, guard: Guarded, operands: Operands, done: Run) -> None:
        self._guard, self._operands, self._done, self.output = guard, operands, done, done.output

    def backward(self, grad_output: Array | None = None) -> tuple[Any, Any, Any]:
        fill_store(self._operands)
        return self._guard.call(lambda: self._done.backward(grad_output))

    def again(self, operands: Operands, layer: Layer | None = None, *, new_memory: bool = False) -> Run:
        fill_store(operands)
        done = self._guard.call(lambda: self._done.again(operands, layer, new_memory=new_memory))
        return _GuardedRun(self._guard, operands, done)

    def modified(self) -> tuple[str, ...]:
        return self._done.modified()


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TimeUpError


def _has_alarm() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


def _place(error: BaseException) -> str:
    """Return where the user's code was, as the end of a sentence; nothing where that is no code of Python's."""
    lines = user_traceback(error).splitlines()
    frames = [i for i, line in enumerate(lines) if line.startswith('  File "')]
    # The last frame is this module's own signal handler.
    return "\n".join([" here:", *lines[: frames[-1]]]) if frames else ""


class kept_settings:  # noqa: N801 - a context manager, and no generator: it surrounds every call
    """Set back the current folder, NumPy's treatment of errors and standard output after each call of a target."""

    def __enter__(self) -> None:
        self._folder, self._errors = _folder(), np.geterr()
        self._streams = sys.stdout, sys.stderr

    def __exit__(self, *raised: object) -> None:
        sys.stdout, sys.stderr = self._streams
        if np.geterr() != self._errors:
            np.seterr(**self._errors)
        if self._folder is not None and _folder() != self._folder:
            with suppress(OSError):
                os.chdir(self._folder)


@lru_cache(maxsize=1)
def _allocator_option() -> Callable[[int, int], int] | None:
    """Return the C library's ``mallopt``; None where it has none, as on macOS and Windows, or with musl."""
    try:
        return ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return None


class poisoned_memory:  # noqa: N801 - as `kept_settings`
    """Fill memory that is allocated meanwhile with bytes that make huge numbers.

    Fresh memory from the system is all zeros, so that code which forgets to write part of ``np.empty`` would look right
    now and then.
    """

    def __enter__(self) -> None:
        self._option = _allocator_option()
        if self._option is not None:
            self._option(_PERTURB, _POISON)

    def __exit__(self, *raised: object) -> None:
        if self._option is not None:
            self._option(_PERTURB, 0)


def fill_store(operands: Operands) -> None:
    """Fill the pieces of memory that NumPy keeps for its next small arrays, of which the C library knows nothing.

    It keeps seven of each size below 1 KiB. Those that are filled have the sizes of a layer's arrays.
    """
    sizes = {array.nbytes for array in vars(operands).values() if array is not None}
    for size in sizes:
        if 0 < size < _STORED:
            filled = _filled(size)
            # All of them are held before the first is given back.
            [filled.copy() for _ in range(_OF_EACH)]


@lru_cache(maxsize=_STORED)
def _filled(size: int) -> NDArray[np.uint8]:
    return np.full(size, FILLED, np.uint8)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


@contextmanager
def kept_state() -> Iterator[None]:
    """Set back the global random generators, the warning filters and PyTorch's default dtype after a verification.

    Only at its end: were the generators set back after each call, a target that draws from them would seem
    deterministic.
    """
    state, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global generator is what is kept
    torch = sys.modules.get("torch")
    torch_state: Any = None if torch is None else (torch.get_rng_state(), torch.get_default_dtype())
    printing = np.get_printoptions()
    with warnings.catch_warnings():
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(legacy)  # noqa: NPY002
            np.set_printoptions(**printing)
            if torch is not None:
                torch.set_rng_state(torch_state[0])
                torch.set_default_dtype(torch_state[1])


@contextmanager
def output_to_stderr() -> Iterator[None]:
    """Send all that is written to standard output to standard error, by compiled code and child processes as well."""
    with ExitStack() as stack:
        stack.enter_context(_descriptor_to_stderr())
        stack.enter_context(redirect_stdout(Unclosable()))
        yield


class Unclosable:
    """Standard error, which a target cannot close in the belief that it is its own standard output."""

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextmanager
def _descriptor_to_stderr() -> Iterator[None]:
    try:
        out, err = sys.__stdout__.fileno(), sys.__stderr__.fileno()  # type: ignore[union-attr]
        kept = os.dup(out)
    except (AttributeError, OSError, ValueError):
        # No such descriptor, as in a window without a console: nothing can be written to it.
        yield
        return
    try:
        sys.stdout.flush()
        os.dup2(err, out)
        yield
    finally:
        with suppress(OSError, ValueError, AttributeError):
            sys.__stdout__.flush()  # type: ignore[union-attr]
        # What compiled code has printed may still wait in the C library's buffer.
        with suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, out)
        os.close(kept)
