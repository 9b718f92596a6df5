"""Where code for PyTorch computes, and how PyTorch is set meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from convcheck.errors import TargetError
from convcheck.targets import attributes

#: Where PyTorch keeps whether float32 may be computed in less, as attributes of torch.backends: by name, and in older
#: versions as a switch. Reading the switches raises once code has set the names, so that only one kind is touched.
_PRECISIONS = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
_SWITCHES = ("cuda.matmul", "cudnn")

#: What these hold where nothing is computed in less.
_WHOLE = (False, "none", "ieee")


class TorchDevice:
    """A device of PyTorch's.

    Parameters
    ----------
    name : str
        Of the target, for messages.
    device : str or None
        As PyTorch calls it; None for the CPU.

    Raises
    ------
    TargetError
        If it cannot be used.
    """

    def __init__(self, torch: Any, name: str, device: str | None) -> None:
        self._torch = torch
        try:
            self.device = torch.device(device or "cpu")
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise TargetError(
                f"target {name}: device {device} cannot be used: {reason}; expected cpu or cuda"
            ) from error
        #: PyTorch's functions for devices of this kind.
        self._functions = getattr(torch, self.device.type, None)
        self._seen: list[Any] = []

    @property
    def room(self) -> int | None:
        """Bytes that are free there; None where that is the machine's own memory, or cannot be asked for."""
        ask = getattr(self._functions, "mem_get_info", None)
        return None if ask is None else int(ask(self.device)[0])

    @property
    def words(self) -> list[str]:
        """What a report should say of it."""
        ask = getattr(self._functions, "get_device_name", None)
        return [] if ask is None else [f"it runs on {self.device}, {ask(self.device)}"]

    def wait(self) -> None:
        """Wait until everything that was started there is done, on whichever stream."""
        synchronize = getattr(self._functions, "synchronize", None)
        if synchronize is not None:
            synchronize(self.device)

    @contextmanager
    def settings(self, note: Callable[[str], None]) -> Iterator[None]:
        """Gradients on, and float32 computed in float32; all as it was afterwards.

        Parameters
        ----------
        note : callable
            Is told what is set otherwise outside, and what stays as it is.
        """
        torch = self._torch
        named = hasattr(torch.backends.cuda.matmul, "fp32_precision")
        attribute, full = ("fp32_precision", "ieee") if named else ("allow_tf32", False)
        paths = _PRECISIONS if named else _SWITCHES
        places = [attributes.get(torch.backends, path) for path in paths]
        before = [getattr(place, attribute) for place in places]
        kind = self.device.type
        # Before PyTorch 2.4 every kind of device has functions of its own for that.
        known = hasattr(torch, "get_autocast_dtype")
        automatic = torch.get_autocast_dtype(kind) if known and torch.is_autocast_enabled(kind) else None
        if [*before, automatic] != self._seen:
            self._seen = [*before, automatic]
            self._tell(note, dict(zip(paths, before, strict=True)), automatic)
        try:
            for place in places:
                setattr(place, attribute, full)
            with torch.enable_grad():
                yield
        finally:
            for place, value in zip(places, before, strict=True):
                setattr(place, attribute, value)

    def _tell(self, note: Callable[[str], None], before: dict[str, Any], automatic: Any) -> None:
        """Say in what less than float32 PyTorch would compute on this device, and what autocast makes of all."""
        own = ("mkldnn",) if self.device.type == "cpu" else ("cuda", "cudnn")
        less = [
            f"{path} in {'tf32' if value is True else value}"
            for path, value in before.items()
            if path.startswith(own) and not path.endswith("rnn") and value not in _WHOLE
        ]
        if less:
            note(f"PyTorch computes float32 here by {', '.join(less)}, which is switched off while it is checked")
        if automatic is not None:
            name = str(automatic).removeprefix("torch.")
            note(f"autocast is on and stays so: PyTorch computes on {self.device.type} in {name} what it does so")
