"""A config file, YAML text, to a suite of layers; every error of the file at once, each with its position.

The text is read as a graph of nodes that know their line and column, and never as Python objects, so nothing that a
file names is looked up or run. Plain values are read as YAML 1.2 and JSON do: ``yes``, ``on``, ``010``, ``1_000``,
``1:30`` and dates are texts, ``1e-9`` is a number.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from convcheck.errors import ConfigError, LayerError, Problem
from convcheck.layer.fields import LARGEST_INTEGER, LAYER_KEYS, REQUIRED
from convcheck.layer.layer import Layer
from convcheck.suites import shipped as suites
from convcheck.suites.schema import FILE_KEYS, GATE_KEYS, VERSION
from convcheck.targets.spec import problems_of

# Far beyond any real config (1000 layers have 140 kB and 20 000 values), and still read within a second or two.
_MAX_SIZE = 1_000_000
_MAX_NODES = 50_000
_MAX_DEPTH = 32

#: Longest piece of a file that a message repeats.
_MAX_SHOWN = 80

#: What people call these keys elsewhere, where the spelling alone would suggest nothing or the wrong key.
_OTHER_NAMES = {
    "in_channels": "channels", "out_channels": "filters", "kernel_size": "kernel", "strides": "stride",
    "pad": "padding", "input_size": "input", "batch_size": "batch",
}  # fmt: skip

#: Values that cannot make another key wrong, put in for a wrong one so that the rest can still be checked. The other
#: keys may just be left out.
_NEUTRAL = {"padding": "same"}

_TAG = "tag:yaml.org,2002:"
_REFUSED_TAG = "refused"

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
    path = suites.locate(name) if isinstance(source, str) else Path(name)
    data = _read(path)
    if len(data) > _MAX_SIZE:
        raise _too_long(str(path))
    suite = parse(_decode(data, str(path)), str(path))
    return replace(suite, name=name, path=path)


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
    root = _compose(text.removeprefix("\ufeff"), filename)
    return _Config(filename).suite(root)


def _read(path: Path) -> bytes:
    """Return the file's bytes, and no more of them than a config may have: the path may be an endless device."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SIZE + 1)
    except FileNotFoundError:
        hint = f'; the suite "{path.stem}" ships with convcheck: give its name' if suites.find(path.stem) else ""
        reason = f"no such file{hint or '; check the path, which is relative to the current folder'}"
    except IsADirectoryError:
        reason = "is a folder; give the path of a config file in it"
    except PermissionError:
        reason = "cannot be read; check the permissions of the file"
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error}); check the path"
    raise ConfigError([_one_line(f"{path}: {reason}")])


def _decode(data: bytes, filename: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The error's own bytes: its position does not count a byte order mark.
        before, byte = error.object[: error.start].decode("utf-8"), error.object[error.start]
        raise _error(filename, before, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None


def _too_long(filename: str) -> ConfigError:
    message = f"too long for a config; expected at most {_MAX_SIZE} bytes; check that this is the right file"
    return _error(filename, "", message)


def _error(filename: str, before: str, message: str) -> ConfigError:
    """Return an error about the character that follows the text ``before``."""
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return ConfigError([_one_line(f"{filename}:{line}:{column}: {message}")])


# ---------------------------------------------------------------------------------------------------------------------
# Text to nodes


class _Refused(yaml.MarkedYAMLError):
    """Sound YAML on which this module will not read on."""

    def __init__(self, problem: str, mark: yaml.Mark) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _Weight(NamedTuple):
    """How much there is of a node once its aliases are written out: nodes, and levels of nesting."""

    nodes: int
    depth: int


class _Loader(yaml.SafeLoader):
    """YAML text to nodes, within bounds; constructs nothing.

    The pure Python loader, because it reads alike on every machine: libyaml is not always there, accepts other texts
    and words its errors differently.
    """

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - PyYAML's own attribute; filled below by its own method

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.weights: dict[int, _Weight] = {}
        self.tagged: list[tuple[yaml.Mark, str]] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """Compose one node as PyYAML does, refusing aliases and nesting that would explode when written out."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        # On the way down, before the parser recurses; the weights bound what aliases add to it.
        if self.depth == _MAX_DEPTH:
            raise _Refused(f"nested too deeply; expected at most {_MAX_DEPTH} levels", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        assert node is not None
        is_alias: bool = isinstance(event, yaml.AliasEvent)
        if is_alias:
            if id(node) not in self.weights:
                raise _Refused(f'alias "*{event.anchor}" is inside what it stands for; write it out', event.start_mark)
            return node
        if event.tag is not None:
            node.tag = _REFUSED_TAG
            self.tagged.append((event.start_mark, event.tag))
        self._weigh(node)
        return node

    def _weigh(self, node: yaml.Node) -> None:
        parts = [self.weights[id(child)] for child in _children(node)]
        weight = _Weight(1 + sum(part.nodes for part in parts), 1 + max((part.depth for part in parts), default=0))
        if weight.nodes > _MAX_NODES:
            message = f"too many values once aliases are written out; expected at most {_MAX_NODES} in a config"
            raise _Refused(message, node.start_mark)
        if weight.depth > _MAX_DEPTH:
            message = f"nested too deeply once aliases are written out; expected at most {_MAX_DEPTH} levels"
            raise _Refused(message, node.start_mark)
        self.weights[id(node)] = weight


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


# YAML 1.2's core schema, without octal and hexadecimal numbers and leading zeros, which YAML 1.1 takes for octal.
for _kind, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)\Z", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*|(?=[eE])))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+.0123456789"),
    ),
    ("merge", r"<<\Z", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(_pattern), _first)


def _compose(text: str, filename: str) -> tuple[yaml.Node, list[tuple[yaml.Mark, str]]]:
    """Return the root node and every explicit tag with its position."""
    if len(text) > _MAX_SIZE:
        raise _too_long(filename)
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad:
        message = f"character U+{ord(bad.group()):04X} is not allowed; expected a text file, not a binary one"
        raise _error(filename, text[: bad.start()], message)
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark, message = _explain(error)
        raise ConfigError([_message(filename, mark, message)]) from None
    except (ValueError, OverflowError):  # PyYAML converts numbers in escapes and directives unchecked
        message = "syntax error: a number in an escape or a directive is out of range; write a plain text"
        raise ConfigError([_message(filename, loader.get_mark(), message)]) from None
    finally:
        loader.dispose()
    if root is None:
        message = "the file is empty; expected a mapping with the key layers, a list with at least one layer"
        raise _error(filename, "", message)
    return root, loader.tagged


#: What PyYAML says, whether the mistake is where that began (rather than where it was noticed), and what we say.
_SYNTAX = (
    (r"found character '\\t'", False, "a tab cannot indent; use spaces"),
    (r"found character '(.)'", False, 'a text cannot start with "{0}"; put it in quotes'),
    (r"could not find expected ':'", True, 'expected "key: value", but no ":" follows this key; add it'),
    (r"mapping values are not", False, 'a ":" is not allowed here; put a text that holds ": " in quotes, or check the '
        "indentation"),
    (r"mapping keys are not", False, 'a "?" is not allowed here; put a text that starts with "? " in quotes'),
    (r"sequence entries are not", False, 'a "- " is not allowed here; start the list on a line of its own'),
    (r"unexpected end of stream", True, "the quote that opens here is never closed; close it"),
    (r"unexpected document separator", True, 'the quote that opens here is not closed before the line "---"; close it'),
    (r"expected ',' or '(.)'", False, 'expected "," or "{0}" here, as the bracket on {opened} is still open'),
    (r"expected <block end>", False, "this does not belong to what starts on {opened}; check indentation and quotes"),
    (r"expected the node content", False, "a value is missing here; give one, or close the bracket or quote before it"),
    (r"expected '<document start>'", False, "nothing may follow the end of the config; check indentation and brackets"),
    (r"found another document", False, 'a second document starts here ("---"); put it into a file of its own'),
    (r"found undefined alias '(.*)'", False, 'alias "*{0}" stands for nothing; define "&{0}" before it, or put the '
        "text in quotes"),
    (r"second occurrence", False, "this anchor is already defined on {opened}; give each its own name"),
    (r"unknown escape character", False, 'no such escape; between double quotes write a backslash twice: "\\\\"'),
    (r"escape sequence of (\d+) hex", False, "this escape needs {0} hexadecimal digits; between double quotes write a "
        'backslash twice: "\\\\"'),
)  # fmt: skip


def _explain(error: yaml.MarkedYAMLError) -> tuple[yaml.Mark, str]:
    """Return where and what is wrong with the text, in words that do not need YAML's grammar."""
    problem, noticed = error.problem or "", error.problem_mark or error.context_mark
    assert noticed is not None
    if isinstance(error, _Refused):
        return noticed, problem
    began = error.context_mark or noticed
    for pattern, at_start, words in _SYNTAX:
        match = re.search(pattern, problem)
        if match:
            opened = f"line {began.line + 1}, column {began.column + 1}"
            return began if at_start else noticed, "syntax error: " + words.format(*match.groups(), opened=opened)
    return noticed, f"syntax error: {problem}; put the text in quotes if it is meant literally"


def _message(filename: str, mark: yaml.Mark, message: str) -> str:
    return _one_line(f"{filename}:{mark.line + 1}:{mark.column + 1}: {message}")


def _one_line(message: str) -> str:
    """Escape what would break the line or act on a terminal; a config may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


# ---------------------------------------------------------------------------------------------------------------------
# Nodes to a suite


class _Pair(NamedTuple):
    key: yaml.Node
    value: yaml.Node


@dataclass(frozen=True)
class _Defaults:
    """What the file's defaults say: their nodes, and the values, without those that are wrong by themselves."""

    pairs: Mapping[str, _Pair]
    values: Mapping[str, Any]
    misspelt: Collection[str] = ()


@dataclass(frozen=True)
class _Entry:
    """One entry of ``layers``: its place, its keys, and what messages call it."""

    index: int
    node: yaml.Node
    pairs: Mapping[str, _Pair]
    misspelt: Collection[str]
    name: str | None

    @property
    def path(self) -> str:
        return f"layers[{self.index}]"

    @property
    def label(self) -> str:
        return self.path if self.name is None else f'layer "{_short(self.name)}"'

    @property
    def suffix(self) -> str:
        return "" if self.name is None else f" ({self.label})"


class _Config:
    """Turns a file's nodes into a suite, and collects every error on the way."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        # By position and text, so that what several layers share through an alias or the defaults is reported once.
        self.errors: dict[tuple[int, int, str], str] = {}

    def suite(self, document: tuple[yaml.Node, list[tuple[yaml.Mark, str]]]) -> Suite:
        root, tagged = document
        for mark, tag in tagged:
            shown = tag.replace(_TAG, "!!", 1)
            self.report(mark, "", f"the tag {_short(shown)} is not allowed: a config is plain data; remove the tag")
        pairs, misspelt = self.mapping(root, "", FILE_KEYS)
        if pairs is None:
            self.stop_at_errors()
        pairs = pairs or {}
        self.version(pairs.get("version"))
        max_error = self.gate(pairs.get("gate"))
        target = self.target(pairs.get("target"))
        defaults = self.defaults(pairs.get("defaults"))
        if "layers" not in pairs and "layers" not in misspelt:
            self.report(root.start_mark, "", 'missing key "layers"; expected a list with at least one layer')
        layers = self.layers(pairs["layers"].value, defaults) if "layers" in pairs else []
        self.stop_at_errors()
        return Suite(
            name=self.filename,
            layers=tuple(layer for layer, _ in layers),
            lines=tuple(line for _, line in layers),
            max_error=max_error,
            target=target,
        )

    # Errors ----------------------------------------------------------------------------------------------------------

    def report(self, mark: yaml.Mark, path: str, message: str, suffix: str = "") -> None:
        where = f"{path}{suffix}: " if path else ""
        position = (mark.line, mark.column, message)
        self.errors.setdefault(position, _message(self.filename, mark, where + message))

    def stop_at_errors(self) -> None:
        if self.errors:
            raise ConfigError([self.errors[position] for position in sorted(self.errors)])

    # Nodes -----------------------------------------------------------------------------------------------------------

    def mapping(
        self, node: yaml.Node, path: str, keys: Collection[str], suffix: str = ""
    ) -> tuple[dict[str, _Pair] | None, set[str]]:
        """Return a mapping's pairs that have a known key, and the known keys that the others seem to mean.

        The pairs are None if ``node`` is no mapping.
        """
        if not isinstance(node, yaml.MappingNode):
            if node.tag != _REFUSED_TAG:
                message = f"{_show(node)} is not allowed; expected a mapping with the keys {', '.join(keys)}"
                self.report(node.start_mark, path, message, suffix)
            return None, set()
        pairs = self.pairs(node, path, suffix)
        misspelt = set()
        for key in pairs.keys() - set(keys):
            nearest = _nearest(key, [known for known in keys if known not in pairs])
            misspelt.update(nearest)
            hint = f' did you mean "{nearest[0]}"?' if nearest else ""
            message = f"unknown key;{hint} allowed: {', '.join(keys)}"
            self.report(pairs[key].key.start_mark, _join(path, key), message, suffix)
        return {key: pair for key, pair in pairs.items() if key in keys}, misspelt

    def pairs(self, node: yaml.MappingNode, path: str, suffix: str = "") -> dict[str, _Pair]:
        """Return a mapping's pairs, with those that it merges in (``<<``) where it does not give the key itself."""
        own: dict[str, _Pair] = {}
        merged: dict[str, _Pair] = {}
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                for name, pair in self.merged(value, path, suffix).items():
                    merged.setdefault(name, pair)
            elif key.tag == _REFUSED_TAG:
                continue
            elif not isinstance(key, yaml.ScalarNode):
                self.report(key.start_mark, path, f"{_show(key)} is not allowed as a key; expected a text", suffix)
            elif key.value in own:
                first = own[key.value].key.start_mark.line + 1
                message = f"duplicate key; it is already given on line {first}; keep one of them"
                self.report(key.start_mark, _join(path, key.value), message, suffix)
            else:
                own[key.value] = _Pair(key, value)
        return {**merged, **own}

    def merged(self, node: yaml.Node, path: str, suffix: str) -> dict[str, _Pair]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, _Pair] = {}
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                # The first of several sources wins, as YAML has it.
                result = {**self.pairs(source, path, suffix), **result}
            elif source.tag != _REFUSED_TAG:
                message = f"{_show(source)} is not allowed; expected a mapping to merge in, such as *defaults"
                self.report(source.start_mark, _join(path, "<<"), message, suffix)
        return result

    def plain(self, node: yaml.Node, path: str, suffix: str = "") -> Any:
        """Return a node's value as plain data, or ``_UNUSABLE`` where something in it had to be reported."""
        if node.tag == _REFUSED_TAG:
            return _UNUSABLE
        if isinstance(node, yaml.SequenceNode):
            items = [self.plain(item, f"{path}[{index}]", suffix) for index, item in enumerate(node.value)]
            return _UNUSABLE if any(item is _UNUSABLE for item in items) else items
        if isinstance(node, yaml.MappingNode):
            pairs = self.pairs(node, path, suffix)
            data = {key: self.plain(pair.value, _join(path, key), suffix) for key, pair in pairs.items()}
            return _UNUSABLE if any(item is _UNUSABLE for item in data.values()) else data
        if node.tag == _TAG + "int" and not _is_in_range(node.value):
            message = f"{_short(node.value)} is out of range; expected an integer of at most {LARGEST_INTEGER}"
            self.report(node.start_mark, path, message, suffix)
            return _UNUSABLE
        return _scalar(node)

    # Keys of the file ------------------------------------------------------------------------------------------------

    def version(self, pair: _Pair | None) -> None:
        if pair is None:
            return
        value = self.plain(pair.value, "version")
        if value is not _UNUSABLE and (type(value) is not int or value != VERSION):
            message = f"{_show(pair.value)} is not allowed; expected {VERSION}, the version that this convcheck reads"
            self.report(pair.value.start_mark, "version", message)

    def gate(self, pair: _Pair | None) -> float | None:
        pairs, _ = self.mapping(pair.value, "gate", GATE_KEYS) if pair else ({}, set())
        if not pairs:
            return None
        node = pairs["max_error"].value
        value = self.plain(node, "gate.max_error")
        if type(value) in (int, float) and isfinite(value) and value > 0:
            return float(value)
        if value is not _UNUSABLE:
            message = (
                f"{_show(node)} is not allowed; expected a positive number such as 1.0e-9, or leave the key out: "
                "the derived bounds apply without it"
            )
            self.report(node.start_mark, "gate.max_error", message)
        return None

    def target(self, pair: _Pair | None) -> str | dict[str, Any] | None:
        if pair is None:
            return None
        known = len(self.errors)
        value = self.plain(pair.value, "target")
        if isinstance(value, dict):
            # Something already reported may be all that is wrong with the rest.
            sound = known == len(self.errors) and not _has_tag(pair.value)
            for problem in problems_of(value) if sound else ():
                node = _descend(pair.value, problem.path)
                self.report(node.start_mark, f"target.{_where(problem)}", problem.message)
            return value
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        if value is not _UNUSABLE:
            message = (
                f"{_show(pair.value)} is not allowed; expected module:name, path/to/file.py:name or a mapping, or "
                "leave the key out to check the built-in formulations"
            )
            self.report(pair.value.start_mark, "target", message)
        return None

    def defaults(self, pair: _Pair | None) -> _Defaults:
        keys = [key for key in LAYER_KEYS if key != "name"]
        pairs, misspelt = self.mapping(pair.value, "defaults", keys) if pair else ({}, set())
        values = {}
        for field, (_, node) in (pairs or {}).items():
            # By itself first, so that a wrong default is reported once and even if every layer overrides it.
            value = self.field(field, node, f"defaults.{field}")
            problems = [] if value is _UNUSABLE else _build({field: value})[1]
            for problem in problems:
                self.report(_locate(node, problem).start_mark, f"defaults.{_where(problem)}", problem.message)
            values[field] = _UNUSABLE if problems else value
        return _Defaults(pairs or {}, values, misspelt)

    # Layers ----------------------------------------------------------------------------------------------------------

    def layers(self, node: yaml.Node, defaults: _Defaults) -> list[tuple[Layer, int]]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            if node.tag != _REFUSED_TAG:
                message = f"{_show(node)} is not allowed; expected a list with at least one layer, each starting with -"
                self.report(node.start_mark, "layers", message)
            return []
        entries = [entry for index, item in enumerate(node.value) if (entry := self.entry(index, item))]
        names = self.names(entries)
        layers = []
        for entry, name in zip(entries, names, strict=True):
            layer = self.layer(entry, name, defaults)
            if layer:
                layers.append((layer, entry.node.start_mark.line + 1))
        return layers

    def entry(self, index: int, node: yaml.Node) -> _Entry | None:
        blank = _Entry(index, node, {}, (), _name_in(node))
        pairs, misspelt = self.mapping(node, blank.path, LAYER_KEYS, blank.suffix)
        if pairs is None:
            return None
        name = _name(pairs["name"].value) if "name" in pairs else None
        return replace(blank, pairs=pairs, misspelt=misspelt, name=name)

    def names(self, entries: Sequence[_Entry]) -> list[str]:
        """Return each entry's name, made up where none is given, and report names that are given twice."""
        first: dict[str, _Entry] = {}
        for entry in entries:
            if entry.name is None:
                continue
            earlier = first.setdefault(entry.name, entry)
            if earlier is not entry:
                line = earlier.pairs["name"].value.start_mark.line + 1
                message = (
                    f'"{_short(entry.name)}" is already the name of {earlier.path} on line {line}; '
                    "expected a name of its own for each layer"
                )
                self.report(entry.pairs["name"].value.start_mark, f"{entry.path}.name", message)
        taken = set(first)
        names = []
        for entry in entries:
            number = entry.index + 1
            while entry.name is None and f"layer{number}" in taken:
                number += 1
            names.append(entry.name if entry.name is not None else f"layer{number}")
            taken.add(names[-1])
        return names

    def layer(self, entry: _Entry, name: str, defaults: _Defaults) -> Layer | None:
        for key in REQUIRED:
            given = key in entry.pairs or key in defaults.pairs
            if not given and key not in entry.misspelt and key not in defaults.misspelt:
                message = f'missing key "{key}"; add it here or to defaults. {LAYER_KEYS[key]["description"]}'
                self.report(entry.node.start_mark, entry.path, message, entry.suffix)
        own = {
            field: self.field(field, pair.value, f"{entry.path}.{field}", entry.suffix)
            for field, pair in entry.pairs.items()
        }
        layer, problems = _build({"name": name, **defaults.values, **own})
        for problem in problems:
            self.report_problem(problem, entry, defaults)
        return layer

    def field(self, field: str, node: yaml.Node, path: str, suffix: str = "") -> Any:
        """Return the value of a layer's field; what is wrong with a usable value is for ``Layer`` to say."""
        value = self.plain(node, path, suffix)
        if value is None and field == "input":
            # Layer takes None for "not given"; in a file it is a line that was never finished.
            message = f"{_show(node)} is not allowed; expected an integer or one per axis, or leave the key out"
            self.report(node.start_mark, path, message, suffix)
            return _UNUSABLE
        return value

    def report_problem(self, problem: Problem, entry: _Entry, defaults: _Defaults) -> None:
        field = str(problem.path[0])
        if field in entry.pairs:
            node = entry.pairs[field].value
            message = problem.message
            if field == "name" and node.tag in (_TAG + "int", _TAG + "float", _TAG + "bool"):
                message += f', in quotes: "{_short(node.value)}"'
            mark, path = _locate(node, problem).start_mark, f"{entry.path}.{_where(problem)}"
            self.report(mark, path, message, entry.suffix)
        elif field in defaults.pairs:
            node = defaults.pairs[field].value
            mark, path = _locate(node, problem).start_mark, f"defaults.{_where(problem)}"
            self.report(mark, path, problem.message, f" (used by {entry.label})")
        else:
            self.report(entry.node.start_mark, f"{entry.path}.{_where(problem)}", problem.message, entry.suffix)


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


def _where(problem: Problem) -> str:
    field, *positions = problem.path
    return f"{field}{''.join(f'[{position}]' for position in positions)}"


def _locate(node: yaml.Node, problem: Problem) -> yaml.Node:
    """Return the node inside a field's value that a problem is about."""
    for position in problem.path[1:]:
        if not isinstance(node, yaml.SequenceNode):
            break
        node = node.value[position]
    return node


def _has_tag(node: yaml.Node) -> bool:
    return node.tag == _REFUSED_TAG or any(_has_tag(child) for child in _children(node))


def _descend(node: yaml.Node, path: Sequence[str | int]) -> yaml.Node:
    """Return the value that a path leads to, or the last one on the way that is written out."""
    for step in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), node)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
    return node


def _name_in(node: yaml.Node) -> str | None:
    """Return the name in a layer's entry, before it is known whether the entry is sound."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((_name(value) for key, value in pairs if key.value == "name"), None)


def _name(node: yaml.Node) -> str | None:
    is_text = isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "str"
    return node.value if is_text and node.value.strip() else None


def _join(path: str, key: str) -> str:
    return f"{path}.{_short(key)}" if path else _short(key)


def _nearest(key: str, known: Sequence[str]) -> list[str]:
    """Return the known key that an unknown one seems to mean, if there is one."""
    meant = _OTHER_NAMES.get(key.lower(), "")
    return [meant] if meant in known else difflib.get_close_matches(key.lower(), known, n=1)


def _is_in_range(digits: str) -> bool:
    # By length first: Python refuses to convert thousands of digits, and would take its time.
    return len(digits) <= len(str(LARGEST_INTEGER)) + 1 and abs(int(digits)) <= LARGEST_INTEGER


def _scalar(node: yaml.Node) -> Any:
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() == "true"
    if kind == "int":
        return int(node.value)
    if kind == "float":
        # YAML writes .inf and .nan where Python has inf and nan.
        return float(re.sub(r"\.(?=[a-zA-Z])", "", node.value))
    return node.value


def _show(node: yaml.Node) -> str:
    """Return a value as it is written in the file, with its kind where that is what is wrong."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping" if node.value else "an empty mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    text = _short(node.value)
    kind = node.tag.removeprefix(_TAG)
    forms = {"null": "nothing (null)", "bool": f"{text} (a boolean)", "int": text, "float": f"{text} (a float)"}
    return forms.get(kind, f'"{text}" (a text)')
