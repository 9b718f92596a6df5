"""Which parameter of a user's function or constructor takes what."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from convcheck.errors import TargetError
from convcheck.layer.fields import CONVOLUTION, FIELDS, OF_KINDS
from convcheck.layer.layer import Layer
from convcheck.targets.spec import TargetSpec
from convcheck.wording import did_you_mean


def plain(name: str) -> str:
    """Return a name as it is compared: ``inChans``, ``in_chans`` and ``_InChans`` are one."""
    return name.replace("_", "").lower()


#: The user's own names for the options: one, one per axis, or null for an option that is not taken.
Keywords = Mapping[str, str | Sequence[str] | None]

#: What constructors take besides the options of a convolution.
SURROUNDINGS = ("input", "batch")

#: What people call the options of a layer, and a layer itself.
_NAMES = {what: tuple(map(plain, FIELDS[what].names)) for what in (*CONVOLUTION, *SURROUNDINGS)} | {"layer": ("layer",)}

#: Names that mean one number per axis.
_PLURAL = ("strides", "windowstrides", "rhsdilation", "dilations", "dilationrate")

#: How the number of one axis is called: what it is of, then the axis, counted from the last.
_STEMS = {
    "kernel": ("kernel", "kernelsize", "filter", "filtersize", "k", "f"),
    "stride": ("stride", "strides", "s"),
    "padding": ("padding", "pad", "p"),
    "dilation": ("dilation",),
    "input": ("input", "in", "image", "img", ""),
}
_AXES = {"height": -2, "width": -1, "h": -2, "w": -1, "y": -2, "x": -1, "d": -3}
_ONE_AXIS = {
    **{stem + axis: (what, at) for what, stems in _STEMS.items() for stem in stems for axis, at in _AXES.items()},
    "hh": ("kernel", -2),
    "ww": ("kernel", -1),
}

#: Arrays that a constructor is given. The later names are a weight only where nothing else tells the kernel's size.
_WEIGHT_ARRAYS = ("weight", "weights", "w")
_OR_SIZES = ("filter", "filters", "kernel", "kernels")

#: What a name that is not understood most likely means, in a proposal; nothing is bound by it.
_LIKELY = {
    "stride": "strid|step|^s$", "padding": "pad|^p$", "dilation": "dilat|atrous", "groups": "group|cardinality",
    "kernel": "kernel|ksize|filter_?(size|dim|shape|[hw])|^(k|ks|hh|ww|size)$",
    "channels": "^(n_?)?in(put)?_?(ch|dim|depth|feat|map|plane)|^n_?in$|chan|^c_?in$",
    "filters": "^(n_?)?out(put)?_?(ch|dim|depth|feat|map|plane)|^n_?out$|filt|^c_?out$|^n_?f$", "bias": "bias",
}  # fmt: skip

#: Options without which nothing can be told to work: those a constructor or function may lack, as features.
OPTIONS = ("stride", "padding", "dilation", "groups", "bias")


@dataclass(frozen=True)
class Binding:
    """Where a callable takes what.

    Attributes
    ----------
    positional : tuple of str
        What is passed by position, in order.
    keywords : mapping of str to str
        Parameter to what is passed to it.
    constants : mapping
        Parameter to the value that it always gets. Where it can only be passed by position, it stands in
        ``positional`` with ``=`` in front.
    axes : mapping of str to int
        Parameter to the one axis whose number it takes, counted from the last.
    """

    positional: tuple[str, ...]
    keywords: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, int] = field(default_factory=dict)

    @property
    def takes(self) -> frozenset[str]:
        """Everything that is passed, but for constants."""
        return frozenset(self.positional) | frozenset(self.keywords.values())

    def call(self, function: Callable[..., Any], values: Callable[[str, str], Any]) -> Any:
        """Call with values(what, name of the parameter)."""
        by_position = [
            self.constants[what[1:]] if what.startswith("=") else values(what, "") for what in self.positional
        ]
        by_name = {name: self._of_axis(name, values(what, name)) for name, what in self.keywords.items()}
        by_name |= {name: value for name, value in self.constants.items() if f"={name}" not in self.positional}
        return function(*by_position, **by_name)

    def _of_axis(self, name: str, value: Any) -> Any:
        return value[self.axes[name]] if name in self.axes and isinstance(value, tuple) else value


def bind(
    target: str,
    function: Callable[..., Any],
    arrays: Iterable[str],
    keywords: Keywords,
    constants: Mapping[str, Any] = MappingProxyType({}),
    *,
    by_position: bool = False,
    extra: str | None = None,
) -> Binding:
    """Find out by the signature which parameter takes what.

    Parameters
    ----------
    target : str
        As messages call it.
    arrays : iterable of str
        What the first parameters take, of "x", "weight" and "bias"; a bias only where one is named like it. Of a
        constructor none; it may take "weight" and "bias" by their names.
    keywords : mapping
        The user's own names for the options, one name or one per axis.
    constants : mapping
        What further parameters are given, by their names; those that are no parameter of this callable are left out.
    by_position : bool
        Whether nothing may be passed by name.
    extra : str, optional
        What the first parameter that is not understood takes.

    Raises
    ------
    TargetError
        If a parameter that has no default cannot be understood.
    """
    parameters = parameters_of(function)
    if parameters is None:
        options = {name: what for what, name in _conventional(keywords).items()}
        return Binding(tuple(arrays), options, dict(constants))
    arrays = list(arrays)
    names, axes = _meanings([p.name for p in parameters if p.name not in constants], keywords, constructor=not arrays)
    given = {p.name: constants[p.name] for p in parameters if p.name in constants}
    positional, rest = _leading([p for p in parameters if by_position or p.name not in given], arrays, names)
    named: dict[str, str] = {}
    unclear: list[str] = []
    for parameter in rest:
        what = names.get(parameter.name)
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= {name: what for what, name in _conventional(keywords).items() if what not in named.values()}
            given |= constants
        elif parameter.name in given:
            positional.append(f"={parameter.name}")
        elif parameter.kind is parameter.VAR_POSITIONAL or what in positional:
            continue
        elif what is not None and not by_position:
            named[parameter.name] = what
        elif what is not None:
            positional.append(what)
        elif extra is not None and required and not named:
            positional.append(extra)
            extra = None
        elif required:
            unclear.append(parameter.name)
        elif by_position:
            # What follows cannot be reached by position without giving this one, whose meaning is unknown.
            break
    if unclear:
        listed = " and ".join(f'"{name}"' for name in unclear)
        raise TargetError(
            f"target {target}: it is not clear what its {'parameter' if len(unclear) == 1 else 'parameters'} {listed} "
            f"{'takes' if len(unclear) == 1 else 'take'}; expected options named as in PyTorch (stride, padding, "
            f"dilation, groups); {declaration(*unclear)}"
        )
    return Binding(tuple(positional), named, given, axes)


def with_kinds(function: Callable[..., Any], spec: TargetSpec) -> TargetSpec:
    """Return a mapping that names what a callable takes of the kind of a layer, by PyTorch's names and meaning.

    A parameter with a default that is not PyTorch's may mean something else.
    """
    named: dict[str, str] = {}
    for parameter in parameters_of(function) or ():
        what = parameter.name
        usual = what in OF_KINDS and parameter.default in (parameter.empty, FIELDS[what].default, (0,), (0, 0))
        if usual and what not in spec.constants and parameter.kind is not parameter.POSITIONAL_ONLY:
            named[what] = what
    return replace(spec, keywords={**named, **spec.keywords})


def refuse_unused(target: str, constants: Mapping[str, Any], *bindings: Binding) -> None:
    """Complain about a constant that no parameter takes; raises TargetError."""
    used = {name for binding in bindings for name in binding.constants}
    for name in constants:
        if name not in used:
            raise TargetError(
                f'target {target}: constants: it has no parameter "{name}";{did_you_mean(name, used)} expected the '
                "names of its parameters"
            )


def makes_layers(function: Callable[..., Any]) -> bool:
    """Whether something is constructed with the sizes of a layer, rather than called with arrays."""
    names = {plain(parameter.name) for parameter in parameters_of(function) or ()}
    return all(not names.isdisjoint(_NAMES[what]) for what in ("channels", "filters"))


def declaration(*parameters: str) -> str:
    """Return how a mapping says what parameters take: an option of the layer, where the name may mean one."""
    likely = {
        name: next((what for what, names in _LIKELY.items() if re.search(names, name.lower())), None)
        for name in parameters
    }
    keywords = ", ".join(f"{what}: {name}" for name, what in likely.items() if what is not None)
    constants = ", ".join(f"{name}: VALUE" for name, what in likely.items() if what is None)
    if not keywords:
        return (
            f"give {'its value' if len(parameters) == 1 else 'their values'} in the mapping: constants: {{{constants}}}"
        )
    if not constants:
        constants = ", ".join(f"{name}: VALUE" for name in parameters)
        return f"say in the mapping keywords: {{{keywords}}}, or constants: {{{constants}}}"
    return f"say in the mapping keywords: {{{keywords}}}, constants: {{{constants}}}"


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        # Built-in functions, such as PyTorch's, may have no signature that Python can read.
        return None
    if isinstance(function, type) and all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        # A constructor that hands everything on: what it takes is what the next class takes.
        start = next((i for i, c in enumerate(function.__mro__) if "__init__" in vars(c)), len(function.__mro__))
        for base in function.__mro__[start + 1 : -1]:
            if "__init__" in vars(base):
                return parameters_of(base)
    return parameters


def _meanings(
    parameters: Sequence[str], keywords: Keywords, *, constructor: bool
) -> tuple[dict[str, str], dict[str, int]]:
    """Return what each parameter takes as far as its name tells, and of which axis alone."""
    meant: dict[str, str] = {}
    axes: dict[str, int] = {}
    for what, given in keywords.items():
        names = [given] if isinstance(given, str) else given or []
        meant |= dict.fromkeys(names, what)
        axes |= {} if isinstance(given, str) else {name: at - len(names) for at, name in enumerate(names)}
    free = [what for what in _NAMES if what not in keywords and (constructor or what not in SURROUNDINGS)]
    if constructor:
        found = {name: _ONE_AXIS[plain(name)] for name in parameters if plain(name) in _ONE_AXIS and name not in meant}
        for what in free:
            of_axes = {name: at for name, (of, at) in found.items() if of == what}
            # One of them alone may mean anything.
            if {-1, -2} <= set(of_axes.values()):
                meant |= dict.fromkeys(of_axes, what)
                axes |= of_axes
    possible = {
        name: candidates
        for name in parameters
        if name not in meant and (candidates := [what for what in free if plain(name) in _NAMES[what]])
    }
    # A name of two options, such as depth, is the one that no other parameter is.
    for name, candidates in sorted(possible.items(), key=lambda item: len(item[1])):
        meant[name] = next((what for what in reversed(candidates) if what not in meant.values()), candidates[-1])
    if constructor and "weight" not in keywords:
        sizes = {"channels", "filters", "kernel"} & set(meant.values())
        arrays = _WEIGHT_ARRAYS if len(sizes) > 1 else _WEIGHT_ARRAYS + _OR_SIZES
        meant |= {name: "weight" for name in parameters if plain(name) in arrays and name not in axes}
    return meant, axes


def _conventional(keywords: Keywords) -> dict[str, str]:
    names = {what: FIELDS[what].names[0] for what in ("stride", "padding", "dilation", "groups")} | dict(keywords)
    return {what: name for what, name in names.items() if isinstance(name, str)}


def _leading(
    parameters: list[inspect.Parameter], arrays: list[str], names: Mapping[str, str]
) -> tuple[list[str], list[inspect.Parameter]]:
    """Split off the parameters that take arrays."""
    taken: list[str] = []
    rest = list(parameters)
    for array in arrays:
        if not rest or rest[0].kind not in (rest[0].POSITIONAL_ONLY, rest[0].POSITIONAL_OR_KEYWORD):
            break
        if (
            array == "bias"
            and names.get(rest[0].name) != "bias"
            and rest[0].name.lower() not in ("bias", "b", "biases")
        ):
            break
        taken.append(array)
        rest.pop(0)
    return taken, rest


def per_axis(values: tuple[int, ...], name: str, *, tuples: bool) -> int | tuple[int, ...]:
    """Return one number where all axes are alike and the parameter's name does not speak of several."""
    return values if tuples or plain(name) in _PLURAL or len(set(values)) > 1 else values[0]


def symmetric_padding(layer: Layer) -> tuple[int, ...]:
    """Return the padding of each axis in front."""
    return tuple(before for before, _ in layer.padding)
