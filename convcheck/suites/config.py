"""A config file to a suite of layers; every error of the file at once, each with its place."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from convcheck.errors import MOST_ERRORS, ConfigError, LayerError, Problem
from convcheck.layer.fields import FIELDS, LARGEST_INTEGER, REQUIRED
from convcheck.layer.layer import Layer
from convcheck.suites import shipped
from convcheck.suites.reading import Document, Place, Steps, message_at, read, text_of
from convcheck.suites.schema import FILE_KEYS, GATE_KEYS, VERSION
from convcheck.targets.spec import TargetSpec, problems_of
from convcheck.wording import at, nearest, short, shown

#: What people call these keys elsewhere, where the spelling alone would suggest nothing or the wrong key.
_OTHER_NAMES = {other: name for name, field in FIELDS.items() for other in field.names if other not in FIELDS}

#: Values that cannot make another key wrong, put in for a wrong one so that the rest can still be checked. The other
#: keys may just be left out.
_NEUTRAL = {"padding": "same"}


#: Where a layer that is given by itself would stand in a config.
_ONLY: Steps = ("layers", 0)


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
    target : str, mapping, TargetSpec or None
        What to check, as it stands in the file; or what the suite was fitted to.
    """

    name: str
    layers: tuple[Layer, ...]
    lines: tuple[int | None, ...]
    path: Path | None = None
    max_error: float | None = None
    target: str | Mapping[str, Any] | TargetSpec | None = None


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

    Raises
    ------
    ConfigError
        If the text has errors; carries all of them.
    """
    return _Config(read(text, filename), filename).suite()


def parse_layer(text: str, given_as: str) -> Layer:
    """Read one layer from its text, as it stands in a config: ``{channels: 3, filters: 8, kernel: 3}``.

    Parameters
    ----------
    given_as : str
        What messages call it in place of a file.

    Raises
    ------
    ConfigError
        If the text has errors; carries all of them.
    """
    entry = read(text if text.strip() else "{}", given_as)
    document = Document({"layers": [entry.data]}, refused=entry.refused)
    document.places = {_ONLY + path: place for path, place in entry.places.items()}
    document.places |= dict.fromkeys(((), _ONLY[:1]), entry.places[()])
    document.keys = {_ONLY + path: place for path, place in entry.keys.items()}
    document.problems = [(place, _ONLY + path, message) for place, path, message in entry.problems]
    return _Config(document, given_as, alone=True).suite().layers[0]


#: Layers that a file may have: checking so many small ones takes a minute.
_MOST_LAYERS = 2000

#: Characters of a target, which is a path.
_LONGEST_PATH = 4096


class _Config:
    """Turns a file's data into a suite, and collects every error on the way.

    Parameters
    ----------
    alone : bool, default False
        Whether all that was given is one layer, which messages need not name.
    """

    def __init__(self, document: Document, filename: str, *, alone: bool = False) -> None:
        self.document = document
        self.filename = filename
        self.alone = alone
        # By place and text, so that what several layers share through an alias or the defaults is reported once.
        self.errors: dict[tuple[int, int, str], str] = {}
        #: Keys that are missing only because they are misspelt, which has been reported.
        self.misspelt: set[Steps] = set()
        self.in_defaults: Collection[str] = ()

    def suite(self) -> Suite:
        for place, path, message in self.document.problems:
            self.report(path, message, place=place)
        file = self.keys((), FILE_KEYS)
        if file is None:
            raise self.all_errors()
        version = file.get("version", VERSION)
        if type(version) is not int or version != VERSION:
            self.not_allowed(("version",), f"{VERSION}, the version that this convcheck reads")
        gate = self.keys(("gate",), GATE_KEYS) if "gate" in file else None
        max_error: Any = gate.get("max_error") if gate else None
        if gate and not (type(max_error) in (int, float) and isfinite(max_error) and max_error > 0):
            number = "a positive number such as 1.0e-9, or leave the key out: the derived bounds apply without it"
            self.not_allowed(("gate", "max_error"), number)
        if "target" in file:
            self.check_target(file["target"])
        defaults = self.defaults() if "defaults" in file else {}
        layers = self.layers(file["layers"], defaults) if "layers" in file else []
        if "layers" not in file and ("layers",) not in self.misspelt:
            self.report((), 'missing key "layers"; expected a list with at least one layer')
        if self.errors:
            raise self.all_errors()
        return Suite(
            name=self.filename,
            layers=tuple(layer for layer, _ in layers),
            lines=tuple(line for _, line in layers),
            max_error=None if max_error is None else float(max_error),
            target=file.get("target"),
        )

    # Errors ----------------------------------------------------------------------------------------------------------

    def report(self, path: Steps, message: str, *, suffix: str | None = None, place: Place | None = None) -> None:
        """Note an error about what stands at a path, at its own place unless another is given."""
        if place is None:
            place = self.place(path)
            if place in self.document.refused:
                return
        if suffix is None:
            index = path[1] if len(path) > 1 and path[0] == "layers" else None
            suffix = f" ({self.label(index)})" if isinstance(index, int) and self.name(index) is not None else ""
        if self.alone:
            path, suffix = path[len(_ONLY) :], ""
        where = f"{at(path)}{suffix}: " if path else ""
        error = message_at(self.filename, place, where + message)
        self.errors.setdefault((place.line, place.column, message), error)

    def not_allowed(self, path: Steps, expected: str) -> None:
        given = shown(self.value(path), self.place(path).written)
        self.report(path, f"{given} is not allowed; expected {expected}")

    def all_errors(self) -> ConfigError:
        return ConfigError([self.errors[place] for place in sorted(self.errors)])

    # What is in the file ---------------------------------------------------------------------------------------------

    def value(self, path: Steps) -> Any:
        value = self.document.data
        for step in path:
            value = value[step]
        return value

    def place(self, path: Steps) -> Place:
        """Return the place of a value, or of the last one on the way to it that is written out."""
        while path not in self.document.places:
            path = path[:-1]
        return self.document.places[path]

    def name(self, index: int) -> str | None:
        """Return the name that is given to a layer, whether or not the rest of it is sound."""
        layers = self.document.data["layers"]
        # What is merged in but not used has places, too.
        entry = layers[index] if isinstance(layers, list) and index < len(layers) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        return name if isinstance(name, str) and name.strip() else None

    def label(self, index: int) -> str:
        name = self.name(index)
        return f"layers[{index}]" if name is None else f'layer "{short(name)}"'

    def keys(self, path: Steps, known: Collection[str]) -> dict[str, Any] | None:
        """Return what a mapping gives for each known key, and report the others; None if it is no mapping."""
        value = self.value(path)
        if not isinstance(value, dict):
            self.not_allowed(path, f"a mapping with the keys {', '.join(known)}")
            return None
        free = [name for name in known if name not in value]
        for key in value.keys() - set(known):
            usual = _OTHER_NAMES.get(key.lower())
            # To look for it takes long, and most of so many errors are not shown.
            meant = usual if usual in free else nearest(key, free) if len(self.errors) < MOST_ERRORS else None
            hint = f' did you mean "{meant}"?' if meant else ""
            self.misspelt.add((*path, meant or ""))
            message = f"unknown key;{hint} allowed: {', '.join(known)}"
            self.report((*path, key), message, place=self.document.keys[*path, key])
        return {key: value[key] for key in known if key in value}

    # Its parts -------------------------------------------------------------------------------------------------------

    def check_target(self, target: Any) -> None:
        if isinstance(target, dict):
            # Something already reported may be all that is wrong with the rest.
            if not any(path[:1] == ("target",) for _, path, _ in self.document.problems):
                for problem in problems_of(target):
                    self.report(("target", *problem.path), problem.message)
        elif not isinstance(target, str) or not 0 < len(target.strip()) <= _LONGEST_PATH or not target.isprintable():
            forms = "module:name, path/to/file.py:name or a mapping"
            self.not_allowed(("target",), f"{forms}, or leave the key out to check the built-in formulations")

    def defaults(self) -> dict[str, Any]:
        """Return the defaults, with something harmless in place of what is wrong."""
        given = self.keys(("defaults",), [key for key in FIELDS if key != "name"]) or {}
        self.in_defaults = given.keys()
        wrong = []
        for field, value in given.items():
            # By itself, so that a wrong default is reported once and even if every layer overrides it.
            for problem in _build({**_BESIDE.get(field, {}), field: value})[1]:
                self.report(("defaults", *problem.path), problem.message)
                wrong.append(field)
        return _without(given, wrong)

    def layers(self, given: Any, defaults: Mapping[str, Any]) -> list[tuple[Layer, int]]:
        if not isinstance(given, list) or not given:
            self.not_allowed(("layers",), "a list with at least one layer, each starting with -")
            return []
        if len(given) > _MOST_LAYERS:
            expected = f"expected at most {_MOST_LAYERS:,}; give the others in a file of their own"
            self.report(("layers",), f"{len(given):,} layers are too many; {expected}")
            return []
        entries = {index: self.keys(("layers", index), FIELDS) for index in range(len(given))}
        names = self.names([index for index, entry in entries.items() if entry is not None])
        layers = []
        for index, name in names.items():
            layer = self.layer(index, name, entries[index] or {}, defaults)
            if layer:
                layers.append((layer, self.place(("layers", index)).line))
        return layers

    def names(self, indices: Iterable[int]) -> dict[int, str]:
        """Return each layer's name, made up where none is given, and report names that are given twice."""
        names: dict[int, str] = {}
        first: dict[str, int] = {}
        given = {index: self.name(index) for index in indices}
        for index, name in given.items():
            if name is not None and first.setdefault(name, index) != index:
                earlier = f"layers[{first[name]}] on line {self.place(('layers', first[name], 'name')).line}"
                message = f'"{short(name)}" is already the name of {earlier}; expected a name of its own for each layer'
                self.report(("layers", index, "name"), message, suffix="")
        taken = set(first)
        for index, name in given.items():
            number = index + 1
            while name is None and f"layer{number}" in taken:
                number += 1
            names[index] = name or f"layer{number}"
            taken.add(names[index])
        return names

    def layer(self, index: int, name: str, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> Layer | None:
        path: Steps = ("layers", index)
        for key in REQUIRED:
            if key not in own and key not in self.in_defaults and not {(*path, key), ("defaults", key)} & self.misspelt:
                self.report(path, f'missing key "{key}"; add it here or to defaults. {FIELDS[key].meaning}')
        layer, problems = _build({"name": name, **defaults, **own})
        for problem in problems:
            field, message = str(problem.path[0]), problem.message
            if field == "name" and isinstance(own["name"], int | float):
                message += f', in quotes: "{short(self.place((*path, "name")).written)}"'
            if field in own or field not in self.in_defaults:
                self.report((*path, *problem.path), message)
            else:
                self.report(("defaults", *problem.path), message, suffix=f" (used by {self.label(index)})")
        return layer


#: Beside what a default is looked at by itself that is not allowed in every layer.
_BESIDE: dict[str, dict[str, Any]] = {"output_padding": {"transposed": True, "stride": LARGEST_INTEGER}}

#: What a layer can promise to sum in.
_ACCUMULATE = FIELDS["accumulate"].choices


def _build(values: Mapping[str, Any]) -> tuple[Layer | None, list[Problem]]:
    """Return the layer, and everything that is wrong with the values.

    ``Layer`` looks at the geometry only once all values are of the right kind. So as to find all errors of a file at
    once, wrong values are replaced by harmless ones and the rest is looked at again. Missing keys are filled in, too;
    whether they may be missing is not decided here.
    """
    problems: list[Problem] = []
    for field, allowed in (("input", "an integer or one per axis"), ("accumulate", " or ".join(_ACCUMULATE))):
        if field in values and values[field] is None:
            # Layer takes None for "not given"; in a file it is a line that was never finished.
            expected = f"expected {allowed}, or leave the key out"
            problems.append(Problem((field,), f"{shown(None)} is not allowed; {expected}"))
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
