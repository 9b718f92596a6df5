"""A program that is started for every pass: what it is given and what it gives are files in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from math import prod
from pathlib import Path

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.targets.programs.cases import Cases
from convcheck.targets.programs.process import (
    LastWords,
    cannot_run,
    environment,
    find_program,
    how_it_ended,
    kill_with_children,
)
from convcheck.targets.programs.protocol import LONGEST_LINE, WORTH_READING, AnswerError, Request, raise_refusal
from convcheck.wording import did_you_mean

#: What stands for the folder in the words of a command; without it, the folder is the last word.
FOLDER = "{folder}"

#: The endings of the files, by the mapping's word.
ENDINGS = {"raw": "bin", "npy": "npy"}


def _prefix(process: int) -> str:
    return f"convcheck-{process}-"


def remove_folders_of(process: int) -> None:
    """Remove the folders of a process of convcheck's that was ended while programs used them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(process)}*"):
        shutil.rmtree(folder, ignore_errors=True)


class OneShot:
    """A program that is run once for every pass.

    Parameters
    ----------
    files : str
        One of `ENDINGS`.
    command, folder, cases, device
        As of `convcheck.targets.programs.process.Program`.

    Raises
    ------
    TargetError
        If there is no such program, or it may not be run.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, files: str, cases: Cases | None = None, *, device: str | None = None
    ) -> None:
        words = command if any(FOLDER in word for word in command) else [*command, FOLDER]
        self._command = [find_program(command, folder), *words[1:]]
        self._folder, self._files, self._cases, self._device = folder, files, cases, device

    def ask(self, request: Request) -> dict[str, Array]:
        """Run the program on a request and return what it leaves; raises what `Program.ask` raises."""
        with (
            nullcontext() if self._cases is None else self._cases.watching(request, self._write),
            tempfile.TemporaryDirectory(prefix=_prefix(os.getpid())) as place,
        ):
            folder = Path(place)
            self._write(request, folder)
            given = {path.name for path in folder.iterdir()}
            status, last_words = self._run(place)
            answer = {path.name: path for path in folder.iterdir() if path.name not in given and path.is_file()}
            if "answer.txt" in answer:
                said = _beginning(answer["answer.txt"], LONGEST_LINE).decode("utf-8", "replace")
                raise_refusal(said.split(), request.direction)
            try:
                if status != 0:
                    raise AnswerError(f"the program {how_it_ended(status)}; expected 0{last_words}")
                found = {name: self._read(name, request, answer, last_words) for name in request.shapes}
            except AnswerError as error:
                error.answer = {name: _beginning(path, WORTH_READING) for name, path in answer.items()}
                raise
            if self._cases is not None:
                self._cases.look(request, found)
        return found

    def _run(self, place: str) -> tuple[int, LastWords]:
        command = [word.replace(FOLDER, place) for word in self._command]
        try:
            popen = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                bufsize=0, env=environment(self._device),
            )  # fmt: skip
        except OSError as error:
            raise cannot_run(command[0], error) from error
        assert popen.stdout is not None
        last_words = LastWords(popen.stdout)
        try:
            # Not by waiting inside of Python's library, which would be named as the place where code was stopped.
            pause = 0.0005
            while (status := popen.poll()) is None:
                time.sleep(pause)
                pause = min(2 * pause, 0.01)
            return status, last_words
        finally:
            if popen.poll() is None:
                kill_with_children(popen)
                popen.wait()
            last_words.close()

    def _write(self, request: Request, folder: Path) -> None:
        (folder / "request.txt").write_bytes(request.line)
        for name, array in request.arrays.items():
            path = folder / f"{name}.{ENDINGS[self._files]}"
            if self._files == "npy":
                np.save(path, np.ascontiguousarray(array), allow_pickle=False)
            else:
                path.write_bytes(array.tobytes())

    def _read(self, name: str, request: Request, answer: dict[str, Path], last_words: LastWords) -> Array:
        file = f"{name}.{ENDINGS[self._files]}"
        if file not in answer:
            left = f"; it left {', '.join(sorted(answer))};{did_you_mean(file, answer)}" if answer else ""
            raise AnswerError(f"the program left no file {file}; expected one with {name}{left}{last_words}")
        there, whole = answer[file].stat().st_size, prod(request.shapes[name]) * request.dtype.itemsize
        if there > max(WORTH_READING, 2 * whole):
            raise AnswerError(
                f"{file} has {there:,} bytes, which were not read; expected {request.shapes[name]} in all"
            )
        if self._files == "npy":
            try:
                array: Array = np.load(answer[file], allow_pickle=False)
            except Exception as error:
                # A header is read as Python's, with whatever that may raise.
                raise AnswerError(f"{file} cannot be read: {error}; expected an array of numbers as .npy") from None
            return array
        data, size = answer[file].read_bytes(), request.dtype.itemsize
        if len(data) % size:
            raise AnswerError(
                f"{file} has {len(data):,} bytes, which is no whole number of {request.dtype.name}; expected {size} "
                f"bytes an entry, {request.shapes[name]} in all"
            )
        return request.shaped({name: np.frombuffer(data, request.dtype)})[name]


def _beginning(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
