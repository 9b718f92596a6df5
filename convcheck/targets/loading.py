"""Finding and importing what a target names, and showing the user's own traceback where that fails."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from convcheck.errors import TargetError
from convcheck.wording import did_you_mean

#: Folders of packages that call the user's code on convcheck's behalf.
_FRAMEWORKS = {"torch", "jax", "jaxlib"}

_PACKAGE_FOLDER = str(Path(__file__).resolve().parent.parent) + os.sep


#: Modules that targets brought along, by the folder of the target.
_BROUGHT: dict[Path, set[str]] = {}


def load(target: str, folder: Path, files: dict[Path, ModuleType] | None = None) -> Any:
    """Import what ``module:name`` or ``path/to/file.py:name`` names.

    Parameters
    ----------
    folder : Path
        A relative file starts here; modules are looked for here first, as ``python -m`` would.
    files : dict, optional
        Files that were already imported, so that two functions of one file share its globals; added to.

    Raises
    ------
    TargetError
        If there is no such file, module or name, or importing it fails.
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise TargetError(f'target "{target}" is not allowed; expected module:name or path/to/file.py:name')
    if place.endswith(".py"):
        path = folder / place
        files = {} if files is None else files
        with _own_modules(path.resolve().parent):
            module = files[path] = files.get(path) or _import_file(target, path)
    else:
        with _own_modules(folder.resolve()):
            module = _import_module(target, place, folder)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise TargetError(f'target "{target}": {place} has no "{part}"{_nearest(part, found)}')
        found = getattr(found, part)
    return found


def user_traceback(error: BaseException) -> str:
    """Format an exception with its traceback from the user's first frame on."""
    frames = _first(error.__traceback__, _is_framework) or _first(error.__traceback__, _is_internal)
    return "".join(traceback.format_exception(type(error), error, frames, chain=False)).rstrip()


def _first(frames: TracebackType | None, skipped: Callable[[str], bool]) -> TracebackType | None:
    """Return the traceback from the first frame on whose file is not skipped; None if all are."""
    while frames is not None and skipped(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_framework(filename: str) -> bool:
    return _is_internal(filename) or not _FRAMEWORKS.isdisjoint(Path(filename).parts)


def _is_internal(filename: str) -> bool:
    path = Path(filename)
    return (
        filename.startswith((_PACKAGE_FOLDER, "<frozen importlib"))
        or "importlib" in path.parts
        # Between convcheck's own frames stand those of cached properties and context managers.
        or path == Path(functools.__file__)
        or path == Path(contextlib.__file__)
    )


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
        raise TargetError(f'target "{target}" cannot be imported:\n{user_traceback(error)}{_install(error)}') from error
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
                f"path/to/file.py:name{hint}{_install(error)}"
            ) from error
        raise TargetError(f'target "{target}" cannot be imported:\n{user_traceback(error)}{_install(error)}') from error
    except (Exception, SystemExit) as error:
        raise TargetError(f'target "{target}" cannot be imported:\n{user_traceback(error)}') from error


def _look_first_in(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


@contextlib.contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Forget what targets of other folders brought along: a module of the same name would be taken for this one's."""
    for other in [other for other in _BROUGHT if other != folder]:
        for name in _BROUGHT.pop(other):
            sys.modules.pop(name, None)
    before = set(sys.modules)
    try:
        yield
    finally:
        _BROUGHT.setdefault(folder, set()).update(
            name for name in set(sys.modules) - before if _lies_in(sys.modules[name], folder)
        )


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder) and "site-packages" not in Path(file).parts


def _install(error: BaseException) -> str:
    """Return how to install what is missing, if it is one of the frameworks that targets are written in."""
    root = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"; install it: pip install {root}" if root in ("torch", "jax") else ""


def _nearest(name: str, where: Any) -> str:
    public = [candidate for candidate in dir(where) if not candidate.startswith("_")]
    return ";" + (did_you_mean(name, public) or " expected the name of a class or function in it")
