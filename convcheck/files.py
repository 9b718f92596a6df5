"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from convcheck.errors import UsageError

__all__ = ["require_writable", "write_whole"]


def require_writable(path: Path) -> None:
    """Complain now if a file could not be written later, after long work.

    Raises
    ------
    UsageError
        If ``path`` is a folder, or its folder is missing, or either may not be written.
    """
    folder = path.resolve().parent
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; expected the name of a file")
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    if path.exists():
        if not os.access(path, os.W_OK):
            raise UsageError(f"cannot write {path}: the file is there and may not be written")
        if not path.is_file():
            return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {path}: the folder {folder} may not be written")


def write_whole(path: Path, text: str) -> None:
    """Write a text as UTF-8 so that the file is at no time incomplete.

    The text is written beside the file and takes its place at the end. A file that was there keeps its permissions, a
    link stays a link. What is no regular file, such as ``/dev/stderr`` or a pipe, is written to directly.

    Parameters
    ----------
    path : Path
    text : str

    Raises
    ------
    UsageError
        If the file cannot be written; what was there is then as it was.
    """
    require_writable(path)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".convcheck-{secrets.token_hex(8)}.tmp")
    try:
        # Opened like any new file, so that the user's umask decides on its permissions.
        with open(beside, "x", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
