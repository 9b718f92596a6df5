"""Layers recorded while somebody's command runs, such as ``pytest tests/``: every convolution that it calls.

``hook/`` is put in front of the command's modules; its file is run by every Python that the command starts, and writes
down what PyTorch's and JAX's convolutions, and those of a target, are called with.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from convcheck.errors import Parameter, UsageError
from convcheck.layer.fields import CONVOLUTION, FIELDS
from convcheck.reports.results import GRADIENTS
from convcheck.suites.importing.model import Findings, Model
from convcheck.targets import spec_of
from convcheck.targets.binding import plain
from convcheck.targets.roles import option_named, role_named

_HOOK = Path(__file__).parent / "hook"

#: The places of arrays in a function whose parameters do not say what they take.
_ARRAYS = ("x", "weight", "bias")

#: Seconds that a command has to end by itself once it is interrupted.
_PATIENCE = 10.0


def record(command: Sequence[str], target: str | None = None) -> tuple[Model, int]:
    """Run a command and return the layers that it called, and its exit status.

    Parameters
    ----------
    command : sequence of str
        A program and its arguments; its output goes where this process's goes.
    target : str, optional
        Code to record beside PyTorch and JAX, as for ``--target``: a function, or a class of layers.

    Raises
    ------
    UsageError
        If the command cannot be started, or called no convolution.
    """
    with tempfile.TemporaryDirectory(prefix="convcheck-") as folder:
        paths = [str(_HOOK), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CONVCHECK_RECORD": folder}
        if target is not None:
            environment["CONVCHECK_RECORD_TARGET"] = place = _place(target)
        try:
            status = _run(command, environment)
        except OSError as error:
            raise UsageError(f"cannot run {command[0]}: {error.strerror or error}") from error
        findings = Findings(merging=True)
        calls = _calls(Path(folder))
        for call, times in calls:
            _add(findings, call, times)
        # What cannot be read may have been a call of it.
        if target is not None and not any("unread" in call or call.get("function") == place for call, _ in calls):
            findings.leave_out(place, "recording", "was not called, as far as can be seen")
    model = findings.model(" ".join(command))
    if not model.found:
        reasons = "".join(f"\n  {left_out}" for left_out in model.left_out)
        raise UsageError(
            f"{model.source} ended with status {status}, and called no convolution that can be recorded: of PyTorch, "
            "of JAX, or of what ",
            Parameter("target"),
            f" names{reasons}",
        )
    # A process that a signal ended has the status that a shell gives it.
    return model, status if status >= 0 else 128 - status


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    with subprocess.Popen(list(command), env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # A terminal tells the command of it too, which may have to put things in order.
            try:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
            finally:
                process.kill()
            raise


def _place(target: str) -> str:
    """Return where the forward pass of a target is: a module, or the whole path of a file, and a name."""
    spec = spec_of(target)
    place = spec.forward or spec.call
    if not isinstance(place, str) or ":" not in place:
        raise UsageError(f"target {target}: cannot be recorded; expected module:name or path/to/file.py:name")
    file, _, name = place.rpartition(":")
    if not file.endswith(".py"):
        return place
    if not Path(file).is_file():
        raise UsageError(f"target {target}: there is no file {file}; expected module:name or path/to/file.py:name")
    return f"{Path(file).resolve()}:{name}"


def _calls(folder: Path) -> list[tuple[dict[str, Any], int]]:
    """Return what all processes called, and how often."""
    total: dict[str, int] = {}
    for path in sorted(folder.glob("*.jsonl")):
        # The last line about a call has its number.
        last: dict[str, int] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            noted = json.loads(line)
            last[json.dumps(noted["call"], sort_keys=True)] = noted["times"]
        for call, times in last.items():
            total[call] = total.get(call, 0) + times
    return [(json.loads(call), times) for call, times in total.items()]


def _add(findings: Findings, call: Mapping[str, Any], times: int) -> None:
    function = call.get("function", "a call")
    if "unread" in call:
        findings.leave_out("a call", "recording", call["unread"])
        return
    if call.get("dilated"):
        reason = "its input is dilated: a transposed convolution is not read off such a call"
        findings.leave_out(function, f"{times} calls", reason)
        return
    if "arguments" in call:
        described = _understood(call)
        if isinstance(described, str):
            findings.leave_out(function, f"{times} calls", described)
            return
        call = described
    x, weight = call["x"], call["weight"]
    names = ("stride", "padding", "output_padding", "dilation", "groups")
    options = {name: call[name] for name in names if call.get(name) is not None}
    rank = len(x) - 2
    # A list with one number stands for all axes, in PyTorch.
    options = {
        name: value[0] if isinstance(value, list) and len(value) == 1 and rank > 1 else value
        for name, value in options.items()
    }
    groups = options.get("groups", 1)
    transposed = call.get("transposed", False)
    filters, channels = weight[0], weight[1] * groups
    if transposed:
        filters, channels = channels, filters
    if len(x) != len(weight) or x[1] != channels:
        reason = f"an input of {x} and a weight of {weight} in {groups} groups; expected channels in front"
        findings.leave_out(function, f"{times} calls", reason)
        return
    asked = call.get("gradients")
    findings.add(
        "", function, batch=x[0], times=times, dtype=call["dtype"], channels=x[1], filters=filters,
        kernel=weight[2:], input=x[2:], bias=bool(call.get("bias")), transposed=transposed,
        computed=GRADIENTS if asked is None else {"output", *asked}, **options,
    )  # fmt: skip


def _understood(call: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return a call of a target as a call of a convolution, by the names of its parameters; or why it cannot be."""
    known: dict[str, Any] = {}
    options: dict[str, Any] = {}
    given = {**call["options"], **call["arguments"]}
    meanings = {plain(other): option for option in CONVOLUTION for other in FIELDS[option].names}
    named = {name: meanings[plain(name)] for name in given if plain(name) in meanings}
    for name, value in given.items():
        role = role_named(name)
        if isinstance(value, dict) and "shape" in value:
            free = [array for array in _ARRAYS if array not in known]
            known.setdefault(role if role in free else free[0] if free else name, value)
        elif isinstance(value, dict):
            options |= {option: told for key, told in value.items() if (option := option_named(key))}
        elif value is not None and name in named:
            options[named[name]] = value
    if "x" not in known:
        return "no input of it is an array"
    x = known["x"]["shape"]
    rank = len(x) - 2
    if rank < 1:
        return f"its input has {len(x)} axes; expected samples, channels and up to three more"
    if "weight" in known:
        weight = known["weight"]["shape"]
    elif "filters" in options and "kernel" in options:
        kernel = options["kernel"] if isinstance(options["kernel"], list) else [options["kernel"]] * rank
        weight = [options["filters"], x[1] // options.get("groups", 1), *kernel]
    else:
        return "neither its weight nor its filters and kernel are known"
    arrays = {"input": known["x"], "weight": known.get("weight", {}), "bias": known.get("bias", {})}
    told = [array.get("gradient") for array in arrays.values()]
    described = {
        **options, "x": x, "weight": weight, "dtype": known["x"]["dtype"],
        "bias": "bias" in known or (options.get("bias", False) is True),
    }  # fmt: skip
    if None not in told[:2]:
        described["gradients"] = [array for array, wanted in zip(arrays, told, strict=True) if wanted]
    return described
