"""A target described by a mapping: one table of its keys, from which its check, its schema and its page follow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from convcheck.errors import Problem, TargetError
from convcheck.layer.fields import CONVOLUTION, OF_KINDS, TEXT
from convcheck.targets.features import FEATURES
from convcheck.wording import did_you_mean, shown

#: The forms of a target; see `convcheck.targets`.
STYLES = ("object", "cache", "layer", "torch", "jax", "tape")

#: What a learning rate is where nobody says: not 0, so that an update made too early shows, and exact to divide by.
LEARNING_RATE = 0.5


@dataclass(frozen=True)
class Key:
    """One key of the mapping.

    Attributes
    ----------
    kind : str
        What it takes: a "place" of code or the code itself; a "word", or "words"; a "truth"; one "choice" of several,
        or "choices";
        "names", a mapping with keys of its own; "lists", the same with a list of names for each; "values", a mapping
        with any names for keys.
    meaning : str
        In one sentence, as the documentation has it.
    default : optional
    expected : str
        What a word is.
    inner : mapping of str to str
        The keys of "names" and "lists", with what each names.
    defaults : mapping of str to str
        Of the keys of "names".
    nameless : bool
        Whether a name may be null: there is none.
    per_axis : bool
        Whether a list of names, one per axis, may stand for a name.
    """

    kind: Literal["place", "word", "words", "truth", "choice", "choices", "names", "lists", "values"]
    meaning: str
    default: Any = None
    expected: str = "a name"
    choices: tuple[str, ...] = ()
    inner: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    nameless: bool = False
    per_axis: bool = False

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what a config file may give."""
        words = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        name: dict[str, Any] = {"type": ["string", "null"] if self.nameless else "string"}
        if self.per_axis:
            name = {"anyOf": [name, words]}
        names = {
            key: {"description": meaning, **name} | ({"default": self.defaults[key]} if key in self.defaults else {})
            for key, meaning in self.inner.items()
        }
        lists = {key: {"description": meaning, **words} for key, meaning in self.inner.items()}
        kinds: dict[str, dict[str, Any]] = {
            "place": TEXT,
            "word": TEXT,
            "words": {"type": "array", "items": {"type": "string", "pattern": r"\S"}, "minItems": 1},
            "truth": {"type": "boolean"},
            "choice": {"enum": list(self.choices)},
            "choices": {"type": "array", "items": {"enum": list(self.choices)}},
            "names": {"type": "object", "properties": names, "additionalProperties": False},
            "lists": {"type": "object", "properties": lists, "additionalProperties": False},
            "values": {"type": "object"},
        }
        default = {} if self.default is None else {"default": self.default}
        return {"description": self.meaning, **default, **kinds[self.kind]}

    def problems(self, path: tuple[str, ...], value: Any) -> list[Problem]:
        """Return what is wrong with a value that stands at a path."""
        match self.kind:
            case "place":
                fine = callable(value) or _is_word(value)
                return [] if fine else [_not_allowed(path, value, "module:name or path/to/file.py:name")]
            case "word":
                return [] if _is_word(value) else [_not_allowed(path, value, self.expected)]
            case "words":
                fine = isinstance(value, (list, tuple)) and bool(value) and all(map(_is_word, value))
                return [] if fine else [_not_allowed(path, value, self.expected)]
            case "truth":
                return [] if isinstance(value, bool) else [_not_allowed(path, value, "true or false")]
            case "choice":
                return [] if value in self.choices else [_unknown(path, value, self.choices)]
            case "choices":
                if not isinstance(value, (list, tuple)):
                    return [_not_allowed(path, value, f"a list of {', '.join(self.choices)}")]
                entries = enumerate(value)
                return [_unknown((*path, i), entry, self.choices) for i, entry in entries if entry not in self.choices]
            case "values":
                fine = isinstance(value, Mapping) and all(map(_is_word, value))
                expected = f"the values by the parameters' names, such as {path[-1]}: {{lr: 0.5}}"
                return [] if fine else [_not_allowed(path, value, expected)]
            case "names" | "lists":
                if not isinstance(value, Mapping):
                    return [_not_allowed(path, value, f"a mapping with the keys {', '.join(self.inner)}")]
                problems = []
                for key, name in value.items():
                    if key not in self.inner:
                        problems.append(_unknown((*path, str(key)), str(key), self.inner))
                    elif self.kind == "lists" or (self.per_axis and isinstance(name, (list, tuple))):
                        if not isinstance(name, (list, tuple)) or not name or not all(map(_is_word, name)):
                            problems.append(_not_allowed((*path, key), name, "a list of names in their order"))
                    elif not _is_word(name) and not (self.nameless and name is None):
                        problems.append(_not_allowed((*path, key), name, "the name that the target's code uses"))
                return problems


_LETTERS = "letters such as NHWC or HWIO"

#: Every key of the mapping, in the order of the documentation. `TargetSpec` has a field for each.
KEYS: Mapping[str, Key] = {
    "style": Key("choice", "Form of the target: object, cache (a pair of functions), layer (an object that holds its "
        "parameters), torch, jax or tape (tensors of an autograd of one's own). Left out: found out by looking.",
        choices=STYLES),
    "call": Key("place", "The class or function, as module:name or path/to/file.py:name."),
    "tensor": Key("place", "The class of the tensors, for style tape."),
    "forward": Key("place", "The forward function of style cache: (x, w, b, conv_param) -> (out, cache)."),
    "backward": Key("place", "The backward function of style cache: (dout, cache) -> (dx, dw, db)."),
    "command": Key("words", "A program in any language and its arguments, as a list; started in the config's folder, "
        "it answers requests over its standard input and output.",
        expected='a list of words, the program first, such as ["./my_conv", "--fast"]'),
    "files": Key("choice", "For a program that is started for every pass, with files in a folder, which is its last "
        "argument or stands for {folder} in another: raw arrays, or .npy.", choices=("raw", "npy")),
    "keep_case": Key("word", "Folder in which requests are kept that a program answered wrongly, or not at all.",
        expected="the name of a folder"),
    "library": Key("word", "A shared library with a C interface; forward and backward are then the names of its "
        "functions, without the data type behind them.", expected="a path such as ./libconv.so"),
    "layout": Key("word", "Axes of input and output in the target's order, such as NHWC; for other numbers of axes, "
        "its kin (NWC, NDHWC).", default="NCHW", expected=_LETTERS),
    "weight_layout": Key("word", "Axes of the weight in the target's order, O for filters and I for channels, such as "
        "HWIO; for other numbers of axes, its kin (WIO, DHWIO).", default="OIHW", expected=_LETTERS),
    "supports": Key("choices", "Options that the target takes although its form does not show it.",
        choices=tuple(FEATURES)),
    "unsupported": Key("choices", "Options that the target does not take; layers that need one are skipped. With "
        "double, second derivatives are not looked at.", choices=(*FEATURES, "double")),
    "gradients": Key("choices", "What the target gives gradients for; the rest is not checked.",
        choices=("input", "weight", "bias")),
    "keywords": Key("names", "The target's own names for the options of a layer; a list such as [kh, kw] for one name "
        "per axis; null for an option that it does not take.",
        inner={option: f"Its name for {option}." for option in (*CONVOLUTION, *OF_KINDS, "input", "batch")},
        nameless=True, per_axis=True),
    "constants": Key("values", "What further parameters of constructors, functions and methods are given, by their "
        "names, such as {lr: 0.5, training: true}."),
    "arguments": Key("lists", "What a pair of functions takes, in the order of its parameters: x, weight, bias, "
        "grad_output, output, cache, conv_param (a dictionary of options), the options of a layer, what forward "
        "returns by its name in results, and constants.",
        inner={"forward": "What the forward function takes.", "backward": "What the backward function takes."}),
    "results": Key("lists", "What a pair of functions returns, in its order: output, cache, or any name that a "
        "parameter of backward has; grad_input, grad_weight, grad_bias. Other names are not looked at.",
        inner={"forward": "What the forward function returns.", "backward": "What the backward function returns."}),
    "bias": Key("choice", "Whether there is one bias per filter, in whatever shape, or one per output position, (F, "
        "*output).", default="per-filter", choices=("per-filter", "per-position")),
    "mean_over_batch": Key("choices", "Gradients that are the mean over the batch by design; they are multiplied by "
        "the number of samples before they are compared.", choices=("input", "weight", "bias")),
    "attributes": Key("names", "Where a layer object keeps its parameters and their gradients, and what its methods "
        "are called; a dotted name leads into an attribute or a dictionary.",
        inner={
            "weight": "The weight.",
            "bias": "The bias.",
            "grad_input": "dL/dX, where backward leaves it in an attribute.",
            "grad_weight": "dL/dW, where backward leaves it in an attribute.",
            "grad_bias": "dL/db, where backward leaves it in an attribute.",
            "forward": "The forward method.",
            "backward": "The backward method.",
            "zero_grad": "The method that sets the gradients back where they add up by design.",
            "data": "The array of a tensor, in style tape.",
            "grad": "The gradient of a tensor, in style tape.",
        },
        defaults={name: name for name in ("forward", "backward", "zero_grad")}),
    "tuples": Key("truth", "Whether sizes are always given as one number per axis, even where all are equal.",
        default=False),
    "device": Key("word", "Device on which the target computes, such as cuda: of PyTorch, of JAX, of a library, which "
        "is then given addresses there, or of a program, which is told of it."),
    "threads": Key("truth", "Whether the code may be called from two threads at once, which is then tried.",
        default=False),
    "conjugate": Key("truth", "Of complex layers, whether gradients are the conjugate ones, as PyTorch has them; false "
        "for those of jax.vjp, in which nothing is conjugated. Left out: false for style jax, else true."),
    "exact": Key("truth", "False for an algorithm that rounds even on small integers, such as one by Fourier "
        "transform.", default=True),
}  # fmt: skip

#: Keys that say which code it is; one of these is needed.
WAYS = (("call",), ("forward", "backward"), ("command",), ("library",))

#: The same in words.
_CODE = "call, forward and backward, command or library"

_OF_PYTHON = frozenset({
    "style", "tensor", "keywords", "constants", "arguments", "results", "bias", "attributes", "tuples",
})  # fmt: skip

#: Keys that mean nothing to what is no code in Python.
_MEANINGLESS = {"command": _OF_PYTHON | {"threads"}, "library": _OF_PYTHON}

#: JSON Schema of each key.
TARGET_KEYS: Mapping[str, dict[str, Any]] = {name: key.schema() for name, key in KEYS.items()}


@dataclass(frozen=True)
class TargetSpec:
    """What a mapping says about a target; every field is one of `KEYS`.

    Code is ``module:name``, ``path/to/file.py:name`` or the thing itself: ``call`` a class or function, ``forward`` and
    ``backward`` a pair of functions, or the names of a ``library``'s. None is what the mapping does not say: the style
    is then found out by looking, and the layouts are convcheck's own, NCHW and OIHW.
    """

    style: str | None = None
    call: Any = None
    tensor: Any = None
    forward: Any = None
    backward: Any = None
    command: tuple[str, ...] | None = None
    files: str | None = None
    keep_case: str | None = None
    library: str | None = None
    layout: str | None = None
    weight_layout: str | None = None
    supports: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ("input", "weight", "bias")
    keywords: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    results: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bias: str = "per-filter"
    mean_over_batch: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    tuples: bool = False
    device: str | None = None
    threads: bool = False
    conjugate: bool | None = None
    exact: bool = True

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> TargetSpec:
        """Read a mapping.

        Raises
        ------
        TargetError
            Naming everything that is wrong with it.
        """
        problems = problems_of(mapping)
        if problems:
            raise TargetError("\n".join(f"target.{problem}" for problem in problems))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in mapping.items()}
        return cls(**values)

    @property
    def named(self) -> str:
        """What reports call the target."""
        if self.command is not None:
            return " ".join(self.command)
        if self.library is not None:
            return self.library
        named = self.call if self.call is not None else self.forward
        if isinstance(named, str):
            return named
        while isinstance(named, partial):
            named = named.func
        # Of an object its class: what it shows of itself may hold its address, another one each time.
        code = named if hasattr(named, "__qualname__") else type(named)
        return f"{getattr(code, '__module__', None) or '?'}:{code.__qualname__}"


def problems_of(mapping: Mapping[str, Any]) -> list[Problem]:
    """Return everything that is wrong with the mapping of a target, by key and by position inside its value."""
    problems = [_unknown((str(key),), str(key), KEYS) for key in mapping if key not in KEYS]
    for name, value in mapping.items():
        if name in KEYS:
            problems += KEYS[name].problems((name,), value)
    return problems or _problems_of_code(mapping)


def _problems_of_code(mapping: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the keys that say which code it is, each fine by itself."""
    code = [key for key in ("call", "command", "library") if key in mapping]
    pair = [key for key in ("forward", "backward") if key in mapping]
    if len(code) > 1 or (pair and code and code != ["library"]):
        return [Problem(((code[1:] or pair)[0],), f"not allowed beside {code[0]}; give either {_CODE}")]
    if not code and len(pair) != 2:
        missing = ({"forward", "backward"} - set(pair)).pop() if pair else _CODE
        return [
            Problem((pair[0] if pair else "call",), f"missing {missing}; expected module:name or path/to/file.py:name")
        ]
    if code and code[0] in _MEANINGLESS:
        theirs = [key for key in mapping if key in _MEANINGLESS[code[0]]]
        if theirs:
            return [Problem((key,), f"not allowed beside {code[0]}; it is for code in Python") for key in theirs]
    alone = [key for key in ("files", "keep_case") if key in mapping and code != ["command"]]
    if alone:
        return [Problem((alone[0],), "is for a program; expected command beside it, a program and its arguments")]
    style = mapping.get("style")
    if style is not None and (style == "cache") != bool(pair):
        wanted = "forward and backward, a pair of functions" if style == "cache" else "call, a class or function"
        return [Problem(("style",), f'"{style}" needs {wanted}')]
    return []


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _not_allowed(path: tuple[str, ...], value: Any, expected: str) -> Problem:
    return Problem(path, f"{shown(value)} is not allowed; expected {expected}")


def _unknown(path: tuple[str | int, ...], given: Any, allowed: Collection[str]) -> Problem:
    named = f'"{given}"' if isinstance(given, str) else shown(given)
    return Problem(path, f"{named} is not known;{did_you_mean(str(given), allowed)} allowed: {', '.join(allowed)}")
