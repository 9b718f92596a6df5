"""Checking small layers of the built-in formulations in processes: Python runs in one thread of a process at a time.

With large layers nearly all the time goes into matrix products, which run side by side in threads as well. Code under
test has processes of its own.
"""

from __future__ import annotations

import base64
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from convcheck.checks.parts import Order, Outcome, carry_out
from convcheck.errors import ConvcheckError
from convcheck.targets import builtin
from convcheck.targets.concurrency import gains_from_threads
from convcheck.targets.process.keepers import supported
from convcheck.targets.process.limits import Limits
from convcheck.targets.process.place import Place
from convcheck.targets.target import Target, TargetRaisedError

#: Seconds that a process takes to start, about: it is worth that once small layers have taken as long.
_START = 0.5

#: Layers that are checked in one request, after which progress is told, and multiply-adds up to which these are so
#: many: they take a tenth of a second, about.
_TOGETHER, _TINY = 16, 2**17


class Carrier:
    """Where one of several threads carries out orders: small ones in a process of its own, all others itself.

    Parameters
    ----------
    threads : int
        That matrix products may use.
    """

    def __init__(self, threads: int) -> None:
        self._place = Place(Path.cwd(), Limits(in_process=False, threads=threads)) if supported() else None
        #: Processor seconds that small layers have taken here.
        self._spent = 0.0
        self._stopped = False

    def carry_out(
        self, orders: Sequence[Order], targets: Sequence[Target], advance: Callable[[float], None]
    ) -> list[Outcome]:
        """Do what is ordered, as `parts.carry_out` does; not all of it where it is stopped."""
        outcomes: list[Outcome] = []
        for small, some in _portions(orders, targets):
            began = time.thread_time()
            found = self._in_process(some, targets, advance) if small and self._spent >= _START else None
            if self._stopped:
                break
            outcomes += found or [carry_out(order, targets, advance) for order in some]
            self._spent += small * (time.thread_time() - began)
        return outcomes

    def _in_process(
        self, orders: Sequence[Order], targets: Sequence[Target], advance: Callable[[float], None]
    ) -> list[Outcome] | None:
        """Do it in the process; None where that cannot be."""
        place = self._place
        if place is None or self._stopped:
            return None
        place.begin()
        try:
            told = place.call(_carried_out, [target.name for target in targets], orders)
        except (ConvcheckError, TargetRaisedError, OSError):
            # It was ended, for want of memory perhaps, or there are too many open files to start it. What convcheck
            # itself raises is raised again where it is done.
            place.close()
            self._place = None
            return None
        advance(told["work"])
        # Nobody else's code has run in that process.
        found: list[Outcome] = pickle.loads(base64.b64decode(told["outcomes"]))
        return found

    def stop(self) -> None:
        """End what it is doing, from another thread."""
        self._stopped, place = True, self._place
        if place is not None:
            place.stop()

    def close(self) -> None:
        """End the process."""
        if self._place is not None:
            self._place.close()


def _portions(orders: Sequence[Order], targets: Sequence[Target]) -> Iterator[tuple[bool, list[Order]]]:
    """Yield orders that are small, the tiniest several at a time, and all others one by one."""
    builtins = all(target.builtin for target in targets)

    def together(order: Order) -> int:
        if not builtins or order.span or gains_from_threads(order.layer):
            return 0
        return _TOGETHER if order.layer.multiply_adds <= _TINY else 1

    for most, group in groupby(orders, together):
        while some := list(islice(group, most or 1)):
            yield bool(most), some


def _carried_out(names: Sequence[str], orders: Sequence[Order]) -> dict[str, Any]:
    """Carry out orders for built-in formulations; return what came of them as text, and the work that it was."""
    targets = [builtin(name) for name in names]
    work: list[float] = []
    outcomes = [carry_out(order, targets, work.append) for order in orders]
    return {"outcomes": base64.b64encode(pickle.dumps(outcomes)).decode(), "work": sum(work)}
