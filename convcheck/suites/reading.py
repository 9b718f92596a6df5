"""A YAML file to plain data and a table of places, within bounds.

Nothing that a file names is looked up or run. Plain values are read as YAML 1.2 and JSON do: ``yes``, ``on``, ``010``,
``1_000``, ``1:30`` and dates are texts, ``1e-9`` is a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from convcheck.errors import ConfigError
from convcheck.layer.fields import LARGEST_INTEGER
from convcheck.suites import shipped
from convcheck.wording import one_line, short, shown

# Far beyond any real config (1000 layers have 140 kB and 20 000 values), and still read within a second or two.
_MAX_SIZE = 1_000_000
_MAX_VALUES = 50_000
_MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"

#: The way to a value: keys, and positions in lists.
Steps = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something starts, both counted from 1, and a scalar as it is written."""

    line: int
    column: int
    written: str = ""


@dataclass
class Document:
    """What a file says: plain data, aliases and merge keys written out.

    Attributes
    ----------
    data : Any
        None for a value that was refused.
    places, keys : dict of path to Place
        Where each value starts, and its key. What comes in by an alias is where it was written.
    problems : list of (Place, path, str)
        Everything wrong so far.
    refused : set of Place
        Of values that stand for nothing; what else seems to be wrong with them is not worth a word.
    """

    data: Any = None
    places: dict[Steps, Place] = field(default_factory=dict)
    keys: dict[Steps, Place] = field(default_factory=dict)
    problems: list[tuple[Place, Steps, str]] = field(default_factory=list)
    refused: set[Place] = field(default_factory=set)

    def refuse(self, place: Place, path: Steps, message: str) -> None:
        """Note that a value cannot be used."""
        self.problems.append((place, path, message))
        self.refused.add(place)


def text_of(path: Path, longest: int = _MAX_SIZE) -> str:
    """Return the text of a file.

    Parameters
    ----------
    longest : int
        Bytes that it may have.

    Raises
    ------
    ConfigError
        If it cannot be read, is too long or is not UTF-8.
    """
    try:
        if path.is_fifo() and not path.is_relative_to("/dev"):
            raise OSError(None, "a named pipe, on which one could wait for ever")
        with path.open("rb") as file:
            # The path may be an endless device.
            data = file.read(longest + 1)
    except FileNotFoundError:
        ships = f'; the suite "{path.stem}" ships with convcheck: give its name' if shipped.find(path.stem) else ""
        reason = f"no such file{ships or '; check the path, which is relative to the current folder'}"
    except IsADirectoryError:
        reason = "is a folder; give the path of a file in it"
    except PermissionError:
        reason = "cannot be read; check the permissions of the file"
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error}); check the path"
    else:
        if len(data) > longest:
            raise _too_long(str(path), longest)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # The error's own bytes: its position does not count a byte order mark.
            before, byte = error.object[: error.start].decode("utf-8"), error.object[error.start]
            message = f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
            raise ConfigError([message_at(str(path), _end_of(before), message)]) from None
    raise ConfigError([one_line(f"{path}: {reason}")])


def read(text: str, filename: str) -> Document:
    """Read YAML text.

    Raises
    ------
    ConfigError
        If it is no YAML, empty, or goes beyond the bounds. Of all else that is wrong, the document has a list.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > _MAX_SIZE:
        raise _too_long(filename)
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad:
        message = f"character U+{ord(bad.group()):04X} is not allowed; expected a text file, not a binary one"
        raise ConfigError([message_at(filename, _end_of(text[: bad.start()]), message)])
    composer = _Composer(text, filename)
    try:
        root = composer.root()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([message_at(filename, *_explained(error))]) from None
    except (ValueError, OverflowError):  # PyYAML converts numbers in escapes and directives unchecked
        message = "syntax error: a number in an escape or a directive is out of range; write a plain text"
        raise ConfigError([message_at(filename, _place(composer.events.get_mark()), message)]) from None
    finally:
        composer.events.dispose()
    if root is None:
        message = "the file is empty; expected a mapping with the key layers, a list with at least one layer"
        raise ConfigError([message_at(filename, Place(1, 1), message)])
    document = Document()
    document.data = _plain(root, (), document)
    # Behind those of which the way is known: a refused value may be merged in and not be used.
    document.problems += [(place, (), message) for place, message in composer.tagged]
    return document


def message_at(filename: str, place: Place, message: str) -> str:
    """Return a message about a place of a file; one line, whatever the file holds."""
    return one_line(f"{filename}:{place.line}:{place.column}: {message}")


def _too_long(filename: str, longest: int = _MAX_SIZE) -> ConfigError:
    message = f"too long; expected at most {longest} bytes; check that this is the right file"
    return ConfigError([message_at(filename, Place(1, 1), message)])


def _end_of(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def _place(mark: yaml.Mark, written: str = "") -> Place:
    return Place(mark.line + 1, mark.column + 1, written)


# ---------------------------------------------------------------------------------------------------------------------
# Text to nodes


@dataclass
class _Node:
    """A value of the file before aliases are written out.

    Attributes
    ----------
    kind : str
        "merge" is the key ``<<``; "refused" has a tag.
    value : Any
        Plain data; nodes of a list; pairs of nodes of a mapping.
    values, depth : int
        How many values, and levels of nesting, there are once all aliases in it are written out: nine lists of nine
        aliases of each other are a short text and a thousand million values. 0 as long as it is being read.
    """

    place: Place
    kind: Literal["scalar", "merge", "refused", "list", "mapping"]
    value: Any = None
    values: int = 0
    depth: int = 0


class _Composer:
    """YAML text to nodes, within bounds.

    The pure Python parser, because it reads alike on every machine: libyaml is not always there, accepts other texts
    and words its errors differently.
    """

    def __init__(self, text: str, filename: str) -> None:
        self.filename = filename
        self.events: Any = yaml.SafeLoader(text)
        self.anchors: dict[str, _Node] = {}
        self.tagged: list[tuple[Place, str]] = []

    def stop(self, message: str, event: Any) -> ConfigError:
        return ConfigError([message_at(self.filename, _place(event.start_mark), message)])

    def root(self) -> _Node | None:
        """Return the node of the only document; None if there is none."""
        self.events.get_event()
        if self.events.check_event(yaml.StreamEndEvent):
            return None
        self.events.get_event()
        root = self.node(0)
        self.events.get_event()
        if not self.events.check_event(yaml.StreamEndEvent):
            message = 'syntax error: a second document starts here ("---"); put it into a file of its own'
            raise self.stop(message, self.events.peek_event())
        return root

    def node(self, depth: int) -> _Node:
        event = self.events.get_event()
        if depth == _MAX_DEPTH:
            raise self.stop(f"nested too deeply; expected at most {_MAX_DEPTH} levels", event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        node = _Node(_place(event.start_mark), "scalar")
        if event.anchor is not None:
            earlier = self.anchors.setdefault(event.anchor, node)
            if earlier is not node:
                defined = f"on line {earlier.place.line}, column {earlier.place.column}; give each its own name"
                raise self.stop(f"syntax error: this anchor is already defined {defined}", event)
        parts: list[_Node] = []
        if isinstance(event, yaml.ScalarEvent):
            node.place = node.place._replace(written=event.value)
            node.kind, node.value = _scalar(event.value) if event.implicit[0] else ("scalar", event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            while not self.events.check_event(yaml.SequenceEndEvent):
                parts.append(self.node(depth + 1))
            self.events.get_event()
            node.kind, node.value = "list", parts
        else:
            while not self.events.check_event(yaml.MappingEndEvent):
                parts.append(self.node(depth + 1))
            self.events.get_event()
            node.kind, node.value = "mapping", list(zip(parts[::2], parts[1::2], strict=True))
        if event.tag is not None:
            tag = short(event.tag.replace(_TAG, "!!", 1))
            node.kind = "refused"
            node.value = f"the tag {tag} is not allowed: a config is plain data; remove the tag"
            self.tagged.append((node.place, node.value))
        node.values = 1 + sum(part.values for part in parts)
        node.depth = 1 + max((part.depth for part in parts), default=0)
        if node.values > _MAX_VALUES:
            message = f"too many values once aliases are written out; expected at most {_MAX_VALUES} in a config"
            raise self.stop(message, event)
        if node.depth > _MAX_DEPTH:
            message = f"nested too deeply once aliases are written out; expected at most {_MAX_DEPTH} levels"
            raise self.stop(message, event)
        return node

    def _alias(self, event: Any) -> _Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            hint = f'define "&{event.anchor}" before it, or put the text in quotes'
            raise self.stop(f'syntax error: alias "*{event.anchor}" stands for nothing; {hint}', event)
        if not node.values:
            raise self.stop(f'alias "*{event.anchor}" is inside what it stands for; write it out', event)
        return node


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
    (r"unknown escape character", False, 'no such escape; between double quotes write a backslash twice: "\\\\"'),
    (r"escape sequence of (\d+) hex", False, "this escape needs {0} hexadecimal digits; between double quotes write a "
        'backslash twice: "\\\\"'),
)  # fmt: skip


def _explained(error: yaml.MarkedYAMLError) -> tuple[Place, str]:
    """Return where and what is wrong with the text, in words that do not need YAML's grammar."""
    problem, mark = error.problem or "", error.problem_mark or error.context_mark
    assert mark is not None
    noticed, began = _place(mark), _place(error.context_mark or mark)
    for pattern, at_start, words in _SYNTAX:
        match = re.search(pattern, problem)
        if match:
            opened = f"line {began.line}, column {began.column}"
            return began if at_start else noticed, "syntax error: " + words.format(*match.groups(), opened=opened)
    return noticed, f"syntax error: {problem}; put the text in quotes if it is meant literally"


def _scalar(text: str) -> tuple[Literal["scalar", "merge"], Any]:
    """Return a plain value: YAML 1.2's core schema, without octal and hexadecimal numbers.

    Nor with leading zeros, which YAML 1.1 takes for octal.
    """
    if text == "<<":
        return "merge", text
    if text in ("", "~", "null", "Null", "NULL"):
        return "scalar", None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return "scalar", text.lower() == "true"
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", text):
        # By length first: Python refuses to convert thousands of digits, and would take its time.
        return "scalar", int(text) if len(text) <= len(str(LARGEST_INTEGER)) + 1 else LARGEST_INTEGER + 1
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*|(?=[eE])))([eE][-+]?[0-9]+)?", text):
        return "scalar", float(text)
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        # YAML writes .inf and .nan where Python has inf and nan.
        return "scalar", float(text.replace(".", ""))
    return "scalar", text


# ---------------------------------------------------------------------------------------------------------------------
# Nodes to plain data


def _plain(node: _Node, path: Steps, document: Document) -> Any:
    """Return a node's value as plain data, and note its place and everything that is wrong in it."""
    data = node.value
    if node.kind == "list":
        data = [_plain(item, (*path, index), document) for index, item in enumerate(node.value)]
    elif node.kind == "mapping":
        data = _mapping(node, path, document)
    elif node.kind == "refused":
        document.refuse(node.place, path, node.value)
        data = None
    elif isinstance(data, int) and abs(data) > LARGEST_INTEGER:
        expected = f"expected an integer of at most {LARGEST_INTEGER}"
        document.refuse(node.place, path, f"{short(node.place.written)} is out of range; {expected}")
        data = None
    # Last, because what a mapping merges in is noted on the same path.
    document.places[path] = node.place
    return data


def _mapping(node: _Node, path: Steps, document: Document) -> dict[str, Any]:
    """Return a mapping with what it merges in (``<<``) where it does not give a key itself."""
    data: dict[str, Any] = {}
    merged = [value for key, value in node.value if key.kind == "merge"]
    sources = [source for value in merged for source in (value.value if value.kind == "list" else [value])]
    # The first of several sources wins, as YAML has it.
    for source in reversed(sources):
        taken = _plain(source, path, document)
        if isinstance(taken, dict):
            data |= taken
        elif source.kind != "refused":
            message = f"{shown(taken, source.place.written)} is not allowed; expected a mapping to merge in"
            document.problems.append((source.place, (*path, "<<"), f"{message}, such as *defaults"))
    own: dict[str, Place] = {}
    for key, value in node.value:
        name = key.place.written
        if key.kind == "merge":
            continue
        if key.kind == "refused":
            document.refuse(key.place, path, key.value)
        elif key.kind in ("list", "mapping"):
            document.problems.append((key.place, path, f"a {key.kind} is not allowed as a key; expected a text"))
        elif name in own:
            message = f"duplicate key; it is already given on line {own[name].line}; keep one of them"
            document.problems.append((key.place, (*path, name), message))
        else:
            own[name] = document.keys[*path, name] = key.place
            data[name] = _plain(value, (*path, name), document)
    return data
