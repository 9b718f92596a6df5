"""Requests that went wrong, kept for their program's author to look at."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.targets.programs.protocol import AnswerError, RefusedError, Request
from convcheck.targets.target import TargetContractError

#: So many cases are kept: a program that fails at all fails often.
_MOST = 20


class Cases:
    """A folder of cases, each a folder that is there whole or not at all.

    While a request is unanswered its case is called ``unanswered-...``: that is what is left where convcheck itself was
    ended. It becomes ``case-...`` when the answer is wrong, and goes when it is not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = 0
        self._wrong: list[str] = []

    @contextmanager
    def watching(self, request: Request, write: Callable[[Request, Path], None]) -> Iterator[None]:
        """Keep the case of a request if what runs meanwhile raises, or `look` finds something.

        Parameters
        ----------
        write : callable
            Writes the request into a folder, as the program was given it.
        """
        if self._kept >= _MOST:
            yield
            return
        self._wrong = []
        case = self._open(request, write)
        try:
            yield
        except RefusedError:
            shutil.rmtree(case)
            raise
        except TargetContractError as error:
            answer = error.answer if isinstance(error, AnswerError) else {}
            error.args = (*error.args, f"\nthe case is kept in {self._keep(case, request, str(error), answer)}")
            raise
        except BaseException:
            self._keep(case, request, "It was stopped before it had answered.", {})
            raise
        if self._wrong:
            self._keep(case, request, "; ".join(self._wrong), {})
        else:
            shutil.rmtree(case)

    def look(self, request: Request, found: Mapping[str, Array]) -> None:
        """Keep the case that is being watched if what came back has another size, or is not finite."""
        for name, array in found.items():
            if array.shape != request.shapes[name]:
                self._wrong.append(f"{name} has shape {array.shape}; expected {request.shapes[name]}")
            elif not np.isfinite(array).all():
                self._wrong.append(f"{name} is not finite")

    def _open(self, request: Request, write: Callable[[Request, Path], None]) -> Path:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".case-", dir=self._folder) as beside:
                whole = Path(beside) / "whole"
                whole.mkdir()
                write(request, whole)
                (whole / "case.txt").write_text(request.described(), encoding="utf-8")
                place = self._folder / f"unanswered-{Path(beside).name.removeprefix('.case-')}"
                os.rename(whole, place)
        except OSError as error:
            raise TargetError(f"cannot keep a case in {self._folder}: {error.strerror or error}") from error
        return place

    def _keep(self, case: Path, request: Request, wrong: str, answer: Mapping[str, bytes]) -> Path:
        for name, data in answer.items():
            (case / name).write_bytes(data)
        text = case / "case.txt"
        text.write_text(f"{text.read_text(encoding='utf-8')}\nWhat went wrong: {wrong}\n", encoding="utf-8")
        digest = hashlib.sha256(b"".join(request.chunks)).hexdigest()[:8]
        place = self._folder / f"case-{request.direction}-{digest}"
        # The same request went wrong before: this is its latest answer.
        shutil.rmtree(place, ignore_errors=True)
        os.rename(case, place)
        self._kept += 1
        return place
