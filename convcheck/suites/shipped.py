"""The suites that ship with convcheck, and what a CONFIG argument stands for: one of them, or a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from convcheck.errors import UsageError
from convcheck.wording import did_you_mean, looks_like_path, one_line

#: The config that is taken where none is named, if the current folder has one.
DEFAULT_FILE = "convcheck.yaml"

#: The suite that is taken otherwise.
DEFAULT_SUITE = "textbook"

_PACKAGE = Path(__file__).resolve().parents[1]

#: Where the suites are: inside the package as a wheel installs it, beside the package in a checkout.
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def names() -> tuple[str, ...]:
    """Return the names of the suites that ship with convcheck, in alphabetical order."""
    return tuple(sorted(_shipped()))


def find(name: str) -> Path | None:
    """Return the file of the shipped suite ``name``, or None if there is no such suite."""
    return _shipped().get(name)


def shipped(path: Path) -> bool:
    """Whether a file is one of the suites that ship with convcheck."""
    found = find(path.stem)
    return found is not None and found.resolve() == path.resolve()


def default_source() -> str:
    """Return what is checked where nothing is named: the current folder's ``convcheck.yaml``, or else ``textbook``."""
    # A folder or a broken link of that name is taken too: an error about it is better than checking something else.
    return DEFAULT_FILE if os.path.lexists(DEFAULT_FILE) else DEFAULT_SUITE


def is_fitted(sources: Sequence[str] | None, target: object) -> bool:
    """Whether a suite is fitted to a target: one is given, no config is named, and the current folder has none."""
    return target is not None and not sources and default_source() == DEFAULT_SUITE


def locate(source: str) -> Path:
    """Return the file that a CONFIG argument stands for.

    Parameters
    ----------
    source : str
        A path, or the name of a shipped suite. What has a slash or ends in ``.yaml`` or ``.yml`` is always a path;
        anything else is a suite, or a file of that very name in the current folder.

    Returns
    -------
    Path
        The file, which for a path need not exist.

    Raises
    ------
    UsageError
        If ``source`` does not look like a path and no suite has that name.
    """
    if looks_like_path(source):
        return Path(source)
    suite = find(source)
    if suite is not None:
        return suite
    if os.path.exists(source):
        return Path(source)
    raise UsageError(_unknown(source))


def _shipped() -> dict[str, Path]:
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in folder.glob("*.yaml")} if folder else {}


def _unknown(source: str) -> str:
    known = names()
    listed = f"the suites are {', '.join(known)}" if known else "no suites are installed"
    named = f'unknown suite "{one_line(source)}";{did_you_mean(source, known)} {listed}'
    return f"{named}; for a file of your own give its path, such as ./{DEFAULT_FILE}"
