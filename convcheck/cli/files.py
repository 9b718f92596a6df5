"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from convcheck.errors import UsageError


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


def require_writable_folder(folder: Path) -> None:
    """Complain now if files could not be written into a folder later; the folder need not exist yet.

    Raises
    ------
    UsageError
        If it is a file, or it may not be written, or it could not be made.
    """
    nearest = folder.resolve()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"cannot write into {folder}: {nearest} is no folder; expected the name of a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write into {folder}: the folder {nearest} may not be written")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, a text as UTF-8, so that it is at no time incomplete.

    The content is written beside the file and takes its place at the end. A file that was there keeps its permissions,
    a link stays a link. What is no regular file, such as ``/dev/stderr`` or a pipe, is written to directly.

    Parameters
    ----------
    path : Path
    content : str or bytes

    Raises
    ------
    UsageError
        If the file cannot be written; what was there is then as it was.
    """
    require_writable(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".convcheck-{secrets.token_hex(8)}.tmp")
    try:
        # Opened like any new file, so that the user's umask decides on its permissions.
        with open(beside, "xb") as file:
            file.write(data)
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
