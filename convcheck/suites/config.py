"""A config file to a suite of layers; every error of the file at once, each with its place."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from convcheck.errors import ConfigError, LayerError, Problem
from convcheck.layer.fields import FIELDS, REQUIRED
from convcheck.layer.layer import Layer
from convcheck.suites import shipped
from convcheck.suites.reading import Document, Place, Steps, message_at, read, text_of
from convcheck.suites.schema import FILE_KEYS, GATE_KEYS, VERSION
from convcheck.targets.spec import problems_of
from convcheck.wording import at, nearest, short, shown

#: What people call these keys elsewhere, where the spelling alone would suggest nothing or the wrong key.
_OTHER_NAMES = {other: name for name, field in FIELDS.items() for other in field.names if other not in FIELDS}

#: Values that cannot make another key wrong, put in for a wrong one so that the rest can still be checked. The other
#: keys may just be left out.
_NEUTRAL = {"padding": "same"}

#: Stands for a value that has already been reported.
_UNUSABLE = object()


@dataclass(frozen=True)
class Suite:
    """Layers to verify, and how.

    Attributes
    ----------
    name : str
        As the user gave it: a path, or the name of a suite that ships with convcheck.
    layers : tuple of Layer
    lines : tuple of (int or None)
        1-based line of the file on which each layer's entry starts.
    path : Path or None
        The file. A relative target is resolved against its folder.
    max_error : float or None
        The gate: largest allowed relative error.
    target : str, mapping or None
        What to check, as it stands in the file.
    """

    name: str
    layers: tuple[Layer, ...]
    lines: tuple[int | None, ...]
    path: Path | None = None
    max_error: float | None = None
    target: str | Mapping[str, Any] | None = None


def load(source: str | os.PathLike[str]) -> Suite:
    """Read a config file.

    Parameters
    ----------
    source : str or path-like
        A path, or the name of a suite that ships with convcheck.

    Returns
    -------
    Suite

    Raises
    ------
    ConfigError
        If the file cannot be read or has errors; carries all of them.
    UsageError
        If ``source`` is neither a path nor the name of a suite.
    """
    name = os.fsdecode(source)
    path = shipped.locate(name) if isinstance(source, str) else Path(name)
    return replace(parse(text_of(path), str(path)), name=name, path=path)


def parse(text: str, filename: str) -> Suite:
    """Read a config from its text.

    Parameters
    ----------
    text : str
        YAML.
    filename : str
        What messages and the suite call it; no file is opened.

    Returns
    -------
    Suite

    Raises
    ------
    ConfigError
        If the text has errors; carries all of them.
    """
    return _Config(read(text, filename), filename).suite()


@dataclass(frozen=True)
class _Keys:
    """A mapping of the file: the values of the keys that are known, and the known keys that the others seem to mean."""

    values: Mapping[str, Any]
    misspelt: Collection[str] = ()

    def __contains__(self, key: str) -> bool:
        """Whether a key is given, or would be but for its spelling, which has been reported."""
        return key in self.values or key in self.misspelt


class _Config:
    """Turns a file's data into a suite, and collects every error on the way."""

    def __init__(self, document: Document, filename: str) -> None:
        self.document = document
        self.filename = filename
        # By place and text, so that what several layers share through an alias or the defaults is reported once.
        self.errors: dict[tuple[int, int, str], str] = {}

    def suite(self) -> Suite:
        for place, path, message in self.document.problems:
            self.report(path, message, place=place)
        file = self.keys((), self.document.data, FILE_KEYS)
        if file is None:
            raise self.all_errors()
        self.version(file.values)
        max_error = self.gate(file.values)
        target = self.target(file.values)
        defaults = self.defaults(file.values)
        if "layers" not in file:
            self.report((), 'missing key "layers"; expected a list with at least one layer')
        layers = self.layers(file.values["layers"], defaults) if "layers" in file.values else []
        if self.errors:
            raise self.all_errors()
        return Suite(
            name=self.filename,
            layers=tuple(layer for layer, _ in layers),
            lines=tuple(line for _, line in layers),
            max_error=max_error,
            target=target,
        )

    # Errors ----------------------------------------------------------------------------------------------------------

    def report(self, path: Steps, message: str, *, suffix: str | None = None, place: Place | None = None) -> None:
        """Note an error about what stands at a path, at its own place unless another is given."""
        place = place or self.place(path)
        if suffix is None:
            named = path[1] if len(path) > 1 and path[0] == "layers" else None
            suffix = f" ({self.label(named)})" if isinstance(named, int) and self.name(named) is not None else ""
        where = f"{at(path)}{suffix}: " if path else ""
        error = message_at(self.filename, place, where + message)
        self.errors.setdefault((place.line, place.column, message), error)

    def not_allowed(self, path: Steps, expected: str) -> None:
        """Note that a value is not what is expected, unless it was refused already."""
        if path not in self.document.refused:
            value = self.document.data
            for step in path:
                value = value[step]
            self.report(path, f"{shown(value, self.place(path).written)} is not allowed; expected {expected}")

    def all_errors(self) -> ConfigError:
        return ConfigError([self.errors[place] for place in sorted(self.errors)])

    def place(self, path: Steps) -> Place:
        """Return the place of a value, or of the last one on the way to it that is written out."""
        while path not in self.document.places:
            path = path[:-1]
        return self.document.places[path]

    def name(self, index: int) -> str | None:
        """Return the name that is given to a layer, whether or not the rest of it is sound."""
        entry = self.document.data["layers"][index]
        name = entry.get("name") if isinstance(entry, dict) else None
        return name if isinstance(name, str) and name.strip() else None

    def label(self, index: int) -> str:
        name = self.name(index)
        return f"layers[{index}]" if name is None else f'layer "{short(name)}"'

    def keys(self, path: Steps, value: Any, known: Collection[str]) -> _Keys | None:
        """Return what is given for each known key; None if it is not even a mapping."""
        if not isinstance(value, dict):
            self.not_allowed(path, f"a mapping with the keys {', '.join(known)}")
            return None
        misspelt = set()
        for key in value.keys() - set(known):
            free = [name for name in known if name not in value]
            usual = _OTHER_NAMES.get(key.lower())
            meant = usual if usual in free else nearest(key, free)
            misspelt.update([meant] if meant else [])
            hint = f' did you mean "{meant}"?' if meant else ""
            message = f"unknown key;{hint} allowed: {', '.join(known)}"
            self.report((*path, key), message, place=self.document.keys[*path, key])
        return _Keys({key: value[key] for key in known if key in value}, misspelt)

    # Keys of the file ------------------------------------------------------------------------------------------------

    def version(self, file: Mapping[str, Any]) -> None:
        version = file.get("version", VERSION)
        if type(version) is not int or version != VERSION:
            self.not_allowed(("version",), f"{VERSION}, the version that this convcheck reads")

    def gate(self, file: Mapping[str, Any]) -> float | None:
        gate = self.keys(("gate",), file["gate"], GATE_KEYS) if "gate" in file else None
        if gate is None or "max_error" not in gate.values:
            return None
        value = gate.values["max_error"]
        if type(value) in (int, float) and isfinite(value) and value > 0:
            return float(value)
        number = "a positive number such as 1.0e-9, or leave the key out: the derived bounds apply without it"
        self.not_allowed(("gate", "max_error"), number)
        return None

    def target(self, file: Mapping[str, Any]) -> str | dict[str, Any] | None:
        if "target" not in file:
            return None
        target: Any = file["target"]
        known = [path for _, path, _ in self.document.problems if path[:1] == ("target",)]
        if isinstance(target, dict):
            # Something already reported may be all that is wrong with the rest.
            for problem in problems_of(target) if not known else ():
                self.report(("target", *problem.path), problem.message)
        elif not isinstance(target, str) or not target.strip() or not target.isprintable():
            forms = "module:name, path/to/file.py:name or a mapping"
            self.not_allowed(("target",), f"{forms}, or leave the key out to check the built-in formulations")
        return target  # type: ignore[no-any-return]

    def defaults(self, file: Mapping[str, Any]) -> _Keys:
        known = [key for key in FIELDS if key != "name"]
        given = self.keys(("defaults",), file["defaults"], known) if "defaults" in file else None
        if given is None:
            return _Keys({})
        values = {}
        for field, raw in given.values.items():
            # By itself first, so that a wrong default is reported once and even if every layer overrides it.
            value = self.field(("defaults", field), raw)
            problems = [] if value is _UNUSABLE else _build({field: value})[1]
            for problem in problems:
                self.report(("defaults", *problem.path), problem.message)
            values[field] = _UNUSABLE if problems else value
        return _Keys(values, given.misspelt)

    # Layers ----------------------------------------------------------------------------------------------------------

    def layers(self, given: Any, defaults: _Keys) -> list[tuple[Layer, int]]:
        if not isinstance(given, list) or not given:
            self.not_allowed(("layers",), "a list with at least one layer, each starting with -")
            return []
        entries = {}
        for index, value in enumerate(given):
            entry = self.keys(("layers", index), value, FIELDS)
            if entry is not None:
                entries[index] = entry
        names = self.names(list(entries))
        layers = []
        for (index, entry), name in zip(entries.items(), names, strict=True):
            layer = self.layer(index, entry, name, defaults)
            if layer:
                layers.append((layer, self.place(("layers", index)).line))
        return layers

    def names(self, indices: Sequence[int]) -> list[str]:
        """Return each entry's name, made up where none is given, and report names that are given twice."""
        given = [self.name(index) for index in indices]
        first: dict[str, int] = {}
        for index, name in zip(indices, given, strict=True):
            if name is not None and first.setdefault(name, index) != index:
                line = self.place(("layers", first[name], "name")).line
                earlier = f"layers[{first[name]}] on line {line}"
                message = f'"{short(name)}" is already the name of {earlier}; expected a name of its own for each layer'
                self.report(("layers", index, "name"), message, suffix="")
        taken = set(first)
        names = []
        for index, name in zip(indices, given, strict=True):
            number = index + 1
            while name is None and f"layer{number}" in taken:
                number += 1
            names.append(name if name is not None else f"layer{number}")
            taken.add(names[-1])
        return names

    def layer(self, index: int, entry: _Keys, name: str, defaults: _Keys) -> Layer | None:
        path: Steps = ("layers", index)
        for key in REQUIRED:
            if key not in entry and key not in defaults:
                message = f'missing key "{key}"; add it here or to defaults. {FIELDS[key].meaning}'
                self.report(path, message)
        own = {field: self.field((*path, field), value) for field, value in entry.values.items()}
        layer, problems = _build({"name": name, **defaults.values, **own})
        for problem in problems:
            field, message = problem.path[0], problem.message
            if field in defaults.values and field not in own:
                self.report(("defaults", *problem.path), message, suffix=f" (used by {self.label(index)})")
                continue
            if field == "name" and isinstance(own.get("name"), int | float):
                message += f', in quotes: "{short(self.place((*path, "name")).written)}"'
            self.report((*path, *problem.path), message)
        return layer

    def field(self, path: Steps, value: Any) -> Any:
        """Return the value of a layer's field; what is wrong with a usable value is for ``Layer`` to say."""
        if path in self.document.refused:
            return _UNUSABLE
        if value is None and path[-1] == "input":
            # Layer takes None for "not given"; in a file it is a line that was never finished.
            self.not_allowed(path, "an integer or one per axis, or leave the key out")
            return _UNUSABLE
        return value


def _build(values: Mapping[str, Any]) -> tuple[Layer | None, list[Problem]]:
    """Return the layer, and everything that is wrong with the values.

    ``Layer`` looks at the geometry only once all values are of the right kind. So as to find all errors of a file at
    once, wrong values are replaced by harmless ones and the rest is looked at again. Missing keys are filled in, too;
    whether they may be missing is not decided here.
    """
    values = _without(values, [field for field, value in values.items() if value is _UNUSABLE])
    problems: list[Problem] = []
    while True:
        groups = values.get("groups", 1)
        try:
            return Layer(**{"channels": groups, "filters": groups, "kernel": 1, **values}), problems
        except LayerError as error:
            given = [problem for problem in error.problems if problem.path[0] in values]
            problems += given or error.problems
            if not given:
                return None, problems
            values = _without(values, [str(problem.path[0]) for problem in given])


def _without(values: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    kept = {field: value for field, value in values.items() if field not in fields}
    return kept | {field: _NEUTRAL[field] for field in fields if field in _NEUTRAL}
