"""Threads while a target runs: how many it may use, and another one that runs beside it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from typing import Any

from convcheck.layer.layer import Layer
from convcheck.targets.target import TargetContractError

#: Multiply-adds of a forward pass up to which matrix products gain nothing from threads, which wait for each other.
_FOR_ONE_THREAD = 2**22

#: Seconds after which Python lets another thread go on, meanwhile: so short that threads meet within a short pass.
_SWITCH = 1e-6

#: The name of the thread that runs beside.
BESIDE = "convcheck-beside"


def limited_threads(number: str) -> AbstractContextManager[Any]:
    """Let NumPy's libraries and OpenMP use "one" thread, or "all" that the machine has, two at least."""
    limit: AbstractContextManager[Any] = _libraries(len(sys.modules)).limit(
        limits=1 if number == "one" else max(2, os.cpu_count() or 1)
    )
    return limit


def gains_from_threads(layer: Layer) -> bool:
    """Whether a layer is so large that its matrix products are faster with several threads."""
    return layer.multiply_adds > _FOR_ONE_THREAD


def suits_one_thread(layer: Layer) -> bool:
    """Whether a layer is small, and this thread may change what is the whole process's."""
    return not gains_from_threads(layer) and threading.current_thread() is threading.main_thread()


def one_thread_if_small(layer: Layer) -> AbstractContextManager[Any]:
    """Let matrix products use one thread while a small layer is checked: threads cost more than they give there.

    The setting is that of the whole process, so that only its main thread changes it.
    """
    return nullcontext() if _limited or not suits_one_thread(layer) else _one_thread()


#: Whether matrix products use one thread already: calls of code lie within the check of a layer.
_limited = False


@contextmanager
def _one_thread() -> Iterator[None]:
    global _limited
    with _libraries(len(sys.modules)).select(user_api="blas").limit(limits=1):
        _limited = True
        try:
            yield
        finally:
            _limited = False


class OneThread:
    """Does as `one_thread_if_small` from one call to the next, as long as the layers and the libraries are alike."""

    def __init__(self) -> None:
        self._limit = ExitStack()
        #: How many modules there were when it was set; 0 where it is not.
        self._set = 0

    def suit(self, layer: Layer) -> None:
        """Set what suits a layer that is run next."""
        wanted = len(sys.modules) if suits_one_thread(layer) else 0
        if wanted != self._set:
            self._limit.close()
            if wanted:
                self._limit.enter_context(one_thread_if_small(layer))
            self._set = wanted


@lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    """Return what sets the threads of the libraries that are loaded; they are looked for anew with every module."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def repeated_beside(passes: Callable[[], None]) -> Iterator[None]:
    """Call something over and over in a thread of its own, from before a block begins until it has ended.

    Raises
    ------
    TargetContractError
        If it raised.
    """
    begun, ended = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def repeat() -> None:
        try:
            while not ended.is_set():
                begun.set()
                passes()
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    thread = threading.Thread(target=repeat, name=BESIDE, daemon=True)
    try:
        thread.start()
        begun.wait()
        yield
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)
    if failures:
        raise TargetContractError(f"called from two threads at once, it raises {failures[0]!r}") from failures[0]
