"""Finding and importing what a target names, and showing the user's own traceback where that fails."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from convcheck.errors import TargetError
from convcheck.targets.target import TargetContractError, TargetRaisedError
from convcheck.wording import did_you_mean

#: Folders of packages that call the user's code on convcheck's behalf.
_FRAMEWORKS = {"torch", "jax", "jaxlib"}

#: Letters that the last line of an exception may have.
_LONGEST = 160

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
        library = Path(target).suffix in (".so", ".dylib", ".dll")
        key = f"library: {target}" if library else f"command: [{target}]"
        hint = f"; for a {'library' if library else 'program'} write {{{key}}}" if (folder / target).is_file() else ""
        raise TargetError(f'target "{target}" is not allowed; expected module:name or path/to/file.py:name{hint}')
    if place.endswith(".py"):
        path = folder / place
        files = {} if files is None else files
        with _own_modules(path.resolve().parent) as roots:
            module = files[path] = files.get(path) or _import_file(target, path, folder, roots)
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
    if isinstance(error, TargetRaisedError):
        return error.traceback
    frames = _first(error.__traceback__, _is_framework) or _first(error.__traceback__, is_internal)
    return "".join(traceback.format_exception(type(error), error, frames, chain=False)).rstrip()


def last_line(error: BaseException) -> str:
    """Return an exception in one line, without where it was raised."""
    if isinstance(error, TargetRaisedError):
        return error.last_line
    if isinstance(error, TargetContractError):
        return str(error)[:_LONGEST].partition("\n")[0]
    lines = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()
    last = lines[-1].strip() if lines else type(error).__name__
    return last if len(last) <= _LONGEST else f"{last[:_LONGEST]}..."


def framework_refusal(error: BaseException) -> str | None:
    """Return what a framework says that it does not implement; None for any other exception, or one of the user's."""
    if isinstance(error, TargetRaisedError):
        return error.refusal
    if not isinstance(error, (NotImplementedError, RuntimeError)):
        return None
    said, frames, last = str(error), error.__traceback__, ""
    while frames is not None:
        last, frames = frames.tb_frame.f_code.co_filename, frames.tb_next
    raised_inside = not _FRAMEWORKS.isdisjoint(Path(last).parts)
    unimplemented = isinstance(error, NotImplementedError) or "not implemented" in said
    # Compiled code leaves no frame; only PyTorch's names the data type in this way.
    if (raised_inside and unimplemented) or re.search(r"not implemented for '", said):
        return said.partition("\n")[0] or type(error).__name__
    return None


def _first(frames: TracebackType | None, skipped: Callable[[str], bool]) -> TracebackType | None:
    """Return the traceback from the first frame on whose file is not skipped; None if all are."""
    while frames is not None and skipped(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_framework(filename: str) -> bool:
    return is_internal(filename) or not _FRAMEWORKS.isdisjoint(Path(filename).parts)


def is_internal(filename: str) -> bool:
    """Whether a file is convcheck's own, or stands between its frames and the user's."""
    path = Path(filename)
    return (
        filename.startswith((_PACKAGE_FOLDER, "<frozen importlib"))
        or "importlib" in path.parts
        # Between convcheck's own frames stand those of cached properties and context managers.
        or path == Path(functools.__file__)
        or path == Path(contextlib.__file__)
    )


def _import_file(target: str, path: Path, folder: Path, roots: list[Path]) -> ModuleType:
    """Import a file: by itself, or as the module of its package where it imports from its neighbours with dots.

    Parameters
    ----------
    roots : list of Path
        Folders in which imports begin; those that the file turns out to need are added.
    """
    if not path.is_file():
        raise TargetError(f'target "{target}": there is no file {path}; expected an existing Python file')
    path = path.resolve()
    _look_first_in(path.parent)
    before = set(sys.modules)
    packages = 0
    while True:
        try:
            return _module_of(path, packages, roots)
        except (Exception, SystemExit) as error:
            for name in set(sys.modules) - before:
                if any(_lies_in(sys.modules[name], root) for root in roots):
                    del sys.modules[name]
            needed = _dots(path) if isinstance(error, ImportError) else 0
            above = _root_above(error, path, folder)
            if needed > packages:
                packages = needed
            elif above is not None and above not in roots:
                roots.append(above)
                _look_first_in(above)
            else:
                raise TargetError(
                    f'target "{target}" cannot be imported:\n{user_traceback(error)}{_install(error)}'
                ) from error


def _module_of(path: Path, packages: int, roots: list[Path]) -> ModuleType:
    """Run a file, as a module inside so many packages at least; none for a file by itself."""
    if not packages:
        return _run(path.stem, path)
    parts, root = [path.stem], path.parent
    while root.name and (len(parts) <= packages or (root / "__init__.py").is_file()):
        parts.insert(0, root.name)
        root = root.parent
    roots.append(root / parts[0])
    _look_first_in(root)
    while not _is_free(parts[0], str(root / path.relative_to(root).parts[0])):
        # Something else is called like the folder; imports with dots do not mind another name.
        parts[0] += "_"
    for count in range(1, len(parts)):
        name, place = ".".join(parts[:count]), root.joinpath(*path.relative_to(root).parts[:count])
        if name not in sys.modules:
            if (place / "__init__.py").is_file():
                _run(name, place / "__init__.py", [str(place)])
            else:
                sys.modules[name] = ModuleType(name)
                sys.modules[name].__path__ = [str(place)]
    name = ".".join(parts)
    return sys.modules.get(name) or _run(name, path)


def _is_free(name: str, place: str) -> bool:
    """Whether a name means nothing else than the package in a folder."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    return spec is None or place in (spec.submodule_search_locations or ())


def _run(name: str, path: Path, places: list[str] | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=places)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Classes that are pickled or use annotations look their module up by name.
    sys.modules.setdefault(name, module)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit):
        if sys.modules.get(name) is module:
            del sys.modules[name]
        raise
    return module


def _dots(path: Path) -> int:
    """Return in how many packages a file must be for its imports with dots; 0 without such imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return 0
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


def _root_above(error: BaseException, path: Path, folder: Path) -> Path | None:
    """Return the folder above a file, up to the current or the config's one, that has the module that is missing."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    top, folder = error.name.partition(".")[0], folder.resolve()
    above = [parent for parent in path.parents[1:] if parent.is_relative_to(folder)] or list(path.parents[1:2])
    return next((p for p in above if (p / top).is_dir() or (p / f"{top}.py").is_file()), None)


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
def _own_modules(folder: Path) -> Iterator[list[Path]]:
    """Forget what targets of other folders brought along: a module of the same name would be taken for this one's.

    Gives the list of the folders whose modules belong to this target; more can be added to it.
    """
    roots = [folder]
    for other in [other for other in _BROUGHT if other != folder]:
        for name in _BROUGHT.pop(other):
            sys.modules.pop(name, None)
    before = set(sys.modules)
    try:
        yield roots
    finally:
        _BROUGHT.setdefault(folder, set()).update(
            name for name in set(sys.modules) - before if any(_lies_in(sys.modules[name], root) for root in roots)
        )


def _lies_in(module: ModuleType, folder: Path) -> bool:
    # A folder that is a package without a file of its own has but a path.
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if file is None or file.startswith(_PACKAGE_FOLDER) or "site-packages" in Path(file).parts:
        return False
    return Path(file).resolve().is_relative_to(folder)


def _install(error: BaseException) -> str:
    """Return how to install what is missing, if it is one of the frameworks that targets are written in."""
    root = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"; install it: pip install {root}" if root in ("torch", "jax") else ""


def _nearest(name: str, where: Any) -> str:
    public = [candidate for candidate in dir(where) if not candidate.startswith("_")]
    return ";" + (did_you_mean(name, public) or " expected the name of a class or function in it")
