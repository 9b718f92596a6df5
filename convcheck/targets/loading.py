"""Finding and importing what a target names, and showing the user's own traceback where that fails."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from convcheck.errors import TargetError

__all__ = ["load", "user_traceback"]

_PACKAGE_FOLDER = str(Path(__file__).resolve().parent.parent)


def load(target: str, folder: Path) -> Any:
    """Import what ``module:name`` or ``path/to/file.py:name`` names.

    Parameters
    ----------
    target : str
    folder : Path
        A relative file starts here; modules are looked for here first, as ``python -m`` would.

    Raises
    ------
    TargetError
        If there is no such file, module or name, or importing it fails.
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise TargetError(f'target "{target}" is not allowed; expected module:name or path/to/file.py:name')
    module = _import_file(target, folder / place) if place.endswith(".py") else _import_module(target, place, folder)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise TargetError(f'target "{target}": {place} has no "{part}"{_nearest(part, found)}')
        found = getattr(found, part)
    return found


def user_traceback(error: BaseException) -> str:
    """Format an exception with its traceback from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and _is_internal(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames, chain=False)).rstrip()


def _is_internal(filename: str) -> bool:
    return filename.startswith((_PACKAGE_FOLDER, "<frozen importlib")) or "importlib" in Path(filename).parts


def _import_file(target: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f'target "{target}": there is no file {path}; expected an existing Python file')
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _look_first_in(path.resolve().parent)
    # Classes that are pickled or use annotations look their module up by name.
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
        raise TargetError(f'target "{target}" cannot be imported:\n{user_traceback(error)}') from error
    return module


def _import_module(target: str, name: str, folder: Path) -> ModuleType:
    _look_first_in(folder.resolve())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = f"; for a file write {name}.py" if (folder / f"{name}.py").is_file() else ""
            raise TargetError(
                f'target "{target}": there is no module {error.name}; expected an importable module, or a file as '
                f"path/to/file.py:name{hint}"
            ) from error
        raise TargetError(f'target "{target}" cannot be imported:\n{user_traceback(error)}') from error
    except (Exception, SystemExit) as error:
        raise TargetError(f'target "{target}" cannot be imported:\n{user_traceback(error)}') from error


def _look_first_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _nearest(name: str, where: Any) -> str:
    public = [candidate for candidate in dir(where) if not candidate.startswith("_")]
    near = difflib.get_close_matches(name, public, n=1)
    return f'; did you mean "{near[0]}"?' if near else "; expected the name of a class or function in it"
