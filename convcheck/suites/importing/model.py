"""What a reader finds in a model or a list of shapes, and that as the text of a config."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convcheck.errors import ConfigError, LayerError, Parameter, UsageError
from convcheck.layer.fields import DTYPES, FIELDS, LARGEST_INTEGER, written
from convcheck.layer.layer import Layer
from convcheck.layer.words import named_by_sizes, per_axis
from convcheck.reports.results import GRADIENTS
from convcheck.suites.config import parse
from convcheck.suites.reading import Place, message_at, text_of
from convcheck.suites.schema import VERSION
from convcheck.version import __version__
from convcheck.wording import counted, one_line

#: What YAML reads as a text whatever version it has: a letter first, and no word that stands for something else.
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n|nan|inf)$)[a-z][\w./-]*", re.IGNORECASE | re.ASCII)

#: What formats of numbers are called, small letters; of what is in none of them there are no gradients.
_DTYPES = {
    "float16": ("f16", "fp16", "half"), "bfloat16": ("bf16", "bfp16"), "float32": ("f32", "fp32", "float"),
    "float64": ("f64", "fp64", "double"), "complex64": ("c64",), "complex128": ("c128",),
}  # fmt: skip

_CALLED = {name: dtype for dtype, names in _DTYPES.items() for name in (dtype, *names)}

#: Bytes of a list of shapes; databases of tuned kernels have some ten million.
_LONGEST = 100_000_000

_UNTOLD = "what its process has told of it is no list of layers"

#: Names of a layer that occurs under several, of which a comment tells.
_NAMED = 4


@dataclass(frozen=True)
class LeftOut:
    """Something in a model that is not in the config, and why."""

    name: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}): {self.reason}"


@dataclass(frozen=True)
class Found:
    """A layer, and what is known of how it occurs.

    Attributes
    ----------
    batch_known : bool
        Whether the batch is the model's own; else it is the default.
    times : int
        How often it occurs.
    names : tuple of str
        What it is called; the layer's own name is the first, made unique.
    computed : frozenset of str
        Which of `GRADIENTS` are computed of it; all, where nothing is known.
    dtypes : tuple of str
        What it is computed in.
    full : Layer or None
        The layer that it stands for, where its batch and its input are smaller than there.
    """

    layer: Layer
    batch_known: bool = True
    times: int = 1
    names: tuple[str, ...] = ()
    computed: frozenset[str] = frozenset(GRADIENTS)
    dtypes: tuple[str, ...] = ()
    full: Layer | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a config has no key for."""
        there = [name for name in GRADIENTS if name != "bias" or self.layer.bias]
        absent = [name if name == "output" else f"grad_{name}" for name in there if name not in self.computed]
        others = self.names[1:]
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        texts = (
            counted(self.times, "time") if self.times > 1 else "",
            f"also {', '.join(others[:_NAMED])}{more}" if others else "",
            f"{' and '.join(absent)} not computed" if absent else "",
            f"in {' and '.join(self.dtypes)} there" if set(self.dtypes) - {self.layer.dtype} else "",
            "" if self.full is None else f"there {per_axis(self.full.input)}, batch {self.full.batch}",
        )
        return tuple(text for text in texts if text)


@dataclass(frozen=True)
class Model:
    """The convolutions of a model, or of a list of shapes.

    Attributes
    ----------
    source : str
        The model as it was named.
    found : tuple of Found
        In the order in which the model runs them, each with a name of its own.
    of : int or None
        How many layers there were, where few were chosen on which all known mistakes show that show on any.
    """

    source: str
    found: tuple[Found, ...]
    left_out: tuple[LeftOut, ...]
    of: int | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(found.layer for found in self.found)

    def told(self) -> dict[str, Any]:
        """Return the layers and what was left out as plain data; what more is known of a layer is not in it."""
        left_out = [[each.name, each.kind, each.reason] for each in self.left_out]
        return {"layers": [layer.spec() for layer in self.layers], "left_out": left_out}


@dataclass
class Findings:
    """Collects what a reader finds, and sees to it that every layer can exist and has a name of its own.

    Attributes
    ----------
    merging : bool
        Whether equal layers are told once. A model's layers stay apart; in a list of shapes they are the same.
    """

    merging: bool = False
    found: list[Found] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _places: dict[Layer, int] = field(default_factory=dict)
    _times: dict[Layer, Counter[str]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        kind: str,
        *,
        batch: int | None,
        times: int = 1,
        computed: Collection[str] = GRADIENTS,
        dtype: str | None = None,
        **spec: Any,
    ) -> Layer | None:
        """Take in a convolution and return it, or leave it out if no layer can be like it.

        Parameters
        ----------
        name : str
            Empty where it has none: then its sizes are its name.
        kind : str
            What computes it there. Where equal layers are merged, they occur as often as the kind that occurs most.
        dtype : str, optional
            By any usual name. One in which convcheck checks nothing is told of, and float32 takes its place.
        """
        if batch is not None:
            spec["batch"] = batch
        called = None if dtype is None else _CALLED.get(dtype.lower())
        if dtype is not None and called is None:
            self.leave_out(name or "unnamed", kind, f"its numbers are {dtype}; expected a floating-point format")
            return None
        if called is not None:
            spec["dtype"] = called if called in DTYPES else "float32"
        try:
            layer = Layer(**spec)
        except LayerError as error:
            self.leave_out(name or "unnamed", kind, "; ".join(str(problem) for problem in error.problems))
            return None
        sizes = [number for value in layer.spec().values() for number in _numbers(value)]
        if max(sizes) > LARGEST_INTEGER:
            self.leave_out(name or "unnamed", kind, f"{max(sizes)} is out of range; expected at most {LARGEST_INTEGER}")
            return None
        there, dtype, pass_ = frozenset(computed), called or layer.dtype, f"{kind} {called}"
        place = self._places.get(layer) if self.merging else None
        if place is None:
            self._places[layer] = len(self.found)
            self._times[layer] = Counter({pass_: times})
            own = replace(layer, name=_unique(name or named_by_sizes(layer), self._names))
            self.found.append(Found(own, batch is not None, times, (name,) if name else (), there, (dtype,)))
            return layer
        before = self.found[place]
        self._times[layer][pass_] += times
        names = before.names if name in before.names or not name else (*before.names, name)
        self.found[place] = replace(
            before, names=names, computed=before.computed | there, times=max(self._times[layer].values()),
            dtypes=tuple(dict.fromkeys([*before.dtypes, dtype])),
        )  # fmt: skip
        return layer

    def leave_out(self, name: str, kind: str, reason: str) -> None:
        """Note something that is not imported."""
        left_out = LeftOut(name, kind, reason)
        if left_out not in self.left_out[-1:]:
            self.left_out.append(left_out)

    def model(self, source: str) -> Model:
        """Return all that was found."""
        return Model(source, tuple(self.found), tuple(self.left_out))


def integer(digits: str) -> int:
    """Return the integer that decimal digits stand for; one too long for Python to read is beyond any size."""
    try:
        return int(digits)
    except ValueError:
        return LARGEST_INTEGER + 1


def _numbers(value: Any) -> list[int]:
    """Return the numbers in a field of a layer, however deep in lists."""
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int) else []


def _unique(name: str, taken: set[str]) -> str:
    """Return a name that no other layer has, and note that it is taken."""
    # A name must be a line of printable characters; models have no such rule.
    wanted = "".join(c if c.isprintable() else "_" for c in name).strip() or "conv"
    unique, number = wanted, 1
    while unique in taken:
        number += 1
        unique = f"{wanted}_{number}"
    taken.add(unique)
    return unique


def together(models: Sequence[Model]) -> Model:
    """Return several models as one, in which a layer that an earlier one has too is told once."""
    if len(models) == 1:
        return models[0]
    found: list[Found] = []
    places: dict[Layer, int] = {}
    names: set[str] = set()
    for model in models:
        new: dict[Layer, int] = {}
        for each in model.found:
            plain = replace(each.layer, name="layer")
            if plain not in places:
                new.setdefault(plain, len(found))
                found.append(replace(each, layer=replace(each.layer, name=_unique(each.layer.name, names))))
                continue
            before = found[places[plain]]
            found[places[plain]] = replace(
                before, batch_known=before.batch_known or each.batch_known, times=before.times + each.times,
                names=tuple(dict.fromkeys([*before.names, *each.names])), computed=before.computed | each.computed,
                dtypes=tuple(dict.fromkeys([*before.dtypes, *each.dtypes])),
            )  # fmt: skip
        places |= new
    sources = [model.source for model in models]
    more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
    left_out = tuple(left_out for model in models for left_out in model.left_out)
    return Model(", ".join(sources[:_NAMED]) + more, tuple(found), left_out)


@dataclass
class Shapes:
    """A text file with a list of shapes, all problems of which are reported at once.

    Attributes
    ----------
    findings : Findings
        What was found in it and in the files that it includes.
    """

    path: Path
    findings: Findings = field(default_factory=lambda: Findings(merging=True))
    problems: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return text_of(self.path, _LONGEST)

    def wrong(self, line: int, column: int, message: str) -> None:
        """Note a problem; lines and columns are counted from 1."""
        self.problems.append(message_at(str(self.path), Place(line, column), message))

    def model(self) -> Model:
        """Return all that was found.

        Raises
        ------
        ConfigError
            If there were problems; carries all of them.
        """
        if self.problems:
            raise ConfigError(self.problems)
        return self.findings.model(str(self.path))


def understood(source: str, told: Mapping[str, Any]) -> Model:
    """Return what a process that runs somebody's code has told of a model, after a look at all of it.

    Raises
    ------
    UsageError
        If it is not as `Model.told` makes it.
    """
    findings = Findings()
    layers, left_out = told.get("layers"), told.get("left_out")
    if not isinstance(layers, list) or not isinstance(left_out, list):
        raise UsageError(f"{source}: {_UNTOLD}")
    for spec in layers:
        if (
            not isinstance(spec, dict)
            or spec.keys() != FIELDS.keys()
            or not all(isinstance(spec[key], str) for key in ("name", "dtype"))
        ):
            raise UsageError(f"{source}: {_UNTOLD}")
        findings.add(kind="layer", **spec)
    for words in left_out:
        if not isinstance(words, list) or len(words) != 3 or not all(isinstance(word, str) for word in words):
            raise UsageError(f"{source}: {_UNTOLD}")
        findings.leave_out(*words)
    return findings.model(source)


def config_text(model: Model) -> str:
    """Write a model's convolutions as a config.

    Values that are the default are left out. What is written is read again, so that no config is given out that
    ``convcheck verify`` would refuse.
    """
    lines = [f"# The convolutions of {one_line(model.source)}, imported by convcheck {__version__}."]
    if model.of is not None:
        few, known = counted(len(model.found), "layer"), "all known mistakes show that show on any with as many axes"
        lines.append(f"# Chosen are {few} of {model.of}, on which {known}.")
    if model.left_out:
        lines += ["#", "# Left out:", *(f"# - {one_line(str(left_out))}" for left_out in model.left_out)]
    lines += [f"version: {VERSION}", "layers:"]
    for found in model.found:
        fields = written(found.layer.spec())
        if not found.batch_known:
            del fields["batch"]
        pairs = [f"{name}: {_yaml(value)}" for name, value in fields.items()]
        lines += [f"  # {one_line('; '.join(found.remarks))}"] if found.remarks else []
        lines += [f"  - {pairs[0]}", *(f"    {pair}" for pair in pairs[1:])]
    text = "\n".join(lines) + "\n"
    try:
        parse(text, model.source)
    except ConfigError as error:
        # Its place is in a text that nobody has; only how much a config may hold is not known of a layer by itself.
        raise UsageError(
            f"{one_line(model.source)}: {counted(len(model.found), 'different layer')} do not fit into one config "
            f"({error.messages[0].partition(': ')[2]}); take less of it, or keep only a few with ",
            Parameter("cover"),
        ) from error
    return text


def _yaml(value: Any) -> str:
    # Everything in JSON is YAML too.
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
