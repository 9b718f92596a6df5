"""A file that keeps what a run has finished, so that the same command goes on after it was ended.

A line a record: a checksum, a blank, JSON. The first line says of which run it is. Records are appended, so a process
that is killed while it writes leaves a torn last line, which is dropped; any other line that is not whole is an error.
What is in the file is data, never code.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from convcheck.checks.check_layer import Demand
from convcheck.checks.parts import Partial, Results, Span
from convcheck.checks.pools import Subjects
from convcheck.errors import UsageError
from convcheck.layer.layer import Layer
from convcheck.reports.results import Diagnosis, GradientResult, Worst
from convcheck.version import __version__

#: What the first line calls each thing that makes two runs the same, and how a message does.
_SAME = {
    "convcheck": "the version of convcheck", "target": "the code under test, or where it runs", "layers": "the layers",
    "options": "the options",
}  # fmt: skip


class State:
    """What a run has finished, in memory and in a file.

    Parameters
    ----------
    path : Path
        Made where it does not exist.
    run : mapping of str to str
        What makes two runs the same, as `identity` gives it, and the seed that was drawn, or "".

    Raises
    ------
    UsageError
        If the file is of another run, is damaged, is in use, or cannot be read or written.
    """

    def __init__(self, path: Path, run: Mapping[str, str]) -> None:
        self._path = path
        self._results: dict[int, Results] = {}
        self._partials: dict[int, dict[Span, Partial]] = {}
        try:
            if path.exists() and not (path.is_file() or path.is_dir()):
                # A device or a pipe may have no end.
                raise OSError("it is no regular file; expected another name")
            self._file = open(path, "a+b")  # noqa: SIM115 - closed with the state
            _hold(self._file)
            self._read(dict(run))
        except OSError as error:
            raise UsageError(f"cannot keep the state in {path}: {error.strerror or error}") from error
        except UsageError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def results(self, number: int) -> Results | None:
        """Return what was found of a layer, by its number in the run; None where nothing is known."""
        return self._results.pop(number, None)

    def partial(self, number: int, span: Span) -> Partial | None:
        """Return what came of a span."""
        return self._partials.get(number, {}).pop(span, None)

    def keep_results(self, number: int, results: Results) -> None:
        """Keep what was found of a layer."""
        self._append({"layer": number, "results": [asdict(result) for result in results]})

    def keep_partial(self, number: int, span: Span, partial: Partial) -> None:
        """Keep what came of a span."""
        self._append({
            "layer": number, "span": asdict(span), "shape": partial.shape, "evaluations": partial.evaluations,
            "places": _packed(np.diff(partial.places, prepend=0)), "values": _packed(partial.values),
            "dtype": partial.values.dtype.name,
        })  # fmt: skip

    def _append(self, record: Mapping[str, Any]) -> None:
        try:
            self._file.write(_line(record))
            self._file.flush()
        except OSError as error:
            raise UsageError(f"cannot keep the state in {self._path}: {error.strerror or error}") from error

    def _read(self, run: dict[str, str]) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                record = _record(line)
                self._compare(record, run) if number == 1 else self._take(record)
            except (ValueError, KeyError, TypeError, zlib.error) as error:
                raise UsageError(
                    f"{self._path}:{number}: this is no line of a state, or it is damaged ({error}); "
                    "expected the file of a run that was ended, or a new one"
                ) from error
            whole += len(line)
        first = {"convcheck_state": 1, **run}
        if not whole:
            self._file.seek(0)
            # Somebody's file of one line without an end is not taken for what was left of a first line.
            if not _line(first).startswith(self._file.read(len(_line(first)) + 1)):
                raise UsageError(f"{self._path} is no state of a run; expected one, or a new file")
        # What a process left that was killed while it wrote.
        self._file.truncate(whole)
        if not whole:
            self._append(first)

    def _compare(self, kept: Mapping[str, Any], run: Mapping[str, str]) -> None:
        if kept["convcheck_state"] != 1:
            raise ValueError("another version of the format")
        other = [words for key, words in _SAME.items() if kept[key] != run[key]]
        if other:
            raise UsageError(
                f"{self._path} is the state of another run: {', '.join(other)} differ from this one's; expected the "
                "same command, or another file"
            )

    def _take(self, record: Mapping[str, Any]) -> None:
        number = int(record["layer"])
        if "span" in record:
            places = np.cumsum(_unpacked(record["places"], np.int64))
            shape, evaluations = tuple(map(int, record["shape"])), int(record["evaluations"])
            partial = Partial(shape, places, _unpacked(record["values"], record["dtype"]), evaluations)
            self._partials.setdefault(number, {})[Span(**record["span"])] = partial
        else:
            self._results[number] = tuple(map(_result, record["results"]))
            self._partials.pop(number, None)


def identity(layers: Sequence[Layer], subjects: Sequence[Subjects], demands: Sequence[Demand]) -> dict[str, str]:
    """Return what makes two runs the same.

    Code is known by what names it and by the files that are named; what those import is not looked at.
    """
    targets = [
        (_plain(each.target), each.folder, each.device, replace(each.limits, threads=None), each.formulations)
        for each in subjects
    ]
    code = [_contents(path) for each in subjects for path in _files(_plain(each.target), each.folder)]
    return {
        "convcheck": __version__, "target": _digest(targets, code), "layers": _digest(layers),
        "options": _digest(*dict.fromkeys(demands)),
    }  # fmt: skip


def _plain(target: object) -> str:
    """Return a target as text, without addresses in memory."""
    module = getattr(target, "__module__", None) if callable(target) else None
    return f"{module}:{getattr(target, '__qualname__', '')}" if module else re.sub(r" at 0x[0-9a-f]+", "", repr(target))


def _files(target: str, folder: Path) -> Iterator[Path]:
    """Yield the files that a target names: by a path, or as a module; nothing is imported."""
    for word in re.findall(r"[^\s{}\[\]()=,:'\"]+", target):
        with suppress(OSError, ValueError, ImportError):
            if (folder / word).is_file():
                yield folder / word
                continue
            first, *others = word.split(".")
            found = importlib.util.find_spec(first) if word.replace(".", "").isidentifier() else None
            if found is not None and found.origin is not None:
                inside = Path(found.origin).parent.joinpath(*others)
                files = [Path(found.origin)] if not others else [inside.with_suffix(".py"), inside / "__init__.py"]
                yield from (file for file in files if file.is_file())


def _contents(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(*things: object) -> str:
    return hashlib.sha256(repr(things).encode()).hexdigest()


def seed_of(path: Path) -> int | None:
    """Return the seed that was drawn for the run of a state; None where there is no such file, or none was drawn."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path.is_file():
            with open(path, "rb") as file:
                seed = _record(file.readline())["seed"]
                return int(seed) if seed != "" else None
    return None


def _result(data: Mapping[str, Any]) -> GradientResult:
    worst, diagnosis = data["worst"], data["diagnosis"]
    kept = Worst(tuple(worst["index"]), *(_number(worst[key]) for key in ("analytic", "numeric"))) if worst else None
    return GradientResult(**{**data, "worst": kept, "diagnosis": tuple(Diagnosis(**each) for each in diagnosis)})


def _number(kept: float | list[float]) -> complex:
    return complex(*kept) if isinstance(kept, list) else kept


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, default=lambda number: [number.real, number.imag]).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any]:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if int(checksum, 16) != zlib.crc32(text):
        raise ValueError("its checksum is another")
    record: dict[str, Any] = json.loads(text)
    return record


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 1)).decode()


def _unpacked(text: str, dtype: Any) -> NDArray[Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def _hold(file: IO[bytes]) -> None:
    """Let no other process write to the file; where the system cannot do that, nothing is done."""
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{file.name} is the state of a run that is going on; expected another file") from None
