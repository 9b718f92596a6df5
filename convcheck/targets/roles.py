"""What the parameters and the results of a pair of functions are, by the names that people give them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from convcheck.errors import TargetError
from convcheck.layer.fields import CONVOLUTION, FIELDS, OF_KINDS
from convcheck.targets.binding import Binding, declaration, parameters_of, plain
from convcheck.targets.spec import TargetSpec
from convcheck.wording import did_you_mean

Phase = Literal["forward", "backward"]

#: What people call the arrays that a convolution is about; small letters, and no underscores.
INPUT = (
    "x", "xs", "a", "aprev", "xprev", "prev", "prevlayer", "input", "inputs", "inp", "in", "xin", "inputdata", "data",
    "image", "images", "img", "imgs", "featuremap",
)  # fmt: skip
WEIGHT = ("w", "weight", "weights", "kernel", "kernels", "filter", "filters", "filt", "filts", "k", "f")
BIAS = ("b", "bias", "biases")
_OUTPUT = ("y", "z", "o", "out", "output", "outputs", "yout", "zout", "outputdata", "res", "result")

_USUAL: Mapping[str, Sequence[str]] = {
    "x": INPUT,
    "weight": WEIGHT,
    "bias": BIAS,
    "output": _OUTPUT,
    "grad_output": (
        "d", "g", "da", "dl", "grad", "grads", "gradient", "delta", "deltas", "dnext", "dup", "upstream",
        "upstreamgrad", "upstreamgradient", "dupstream", "error", "errors", "err", "dvalues", "cotangent", "v",
    ),
    "cache": ("cache", "caches", "cached", "convcache", "ctx", "context", "saved", "memory", "residuals", "tape", "c"),
    "conv_param": (
        "convparam", "convparams", "hparam", "hparams", "hparameters", "hyperparameters", "hyperparams", "options",
        "opts", "config", "cfg",
    ),
}  # fmt: skip

_OPTIONS = (*(option for option in CONVOLUTION if option != "bias"), *OF_KINDS)

#: Single letters that mean an option where no array is called so.
_LETTERS = {"s": "stride", "p": "padding"}

#: Everything that a mapping's `arguments` may name besides constants.
KNOWN = (*_USUAL, *_OPTIONS, "layer")


#: What people call the gradient of something that has a name.
_GRADIENTS = (
    "d{}", "grad{}", "{}grad", "gradient{}", "{}gradient", "gradients{}", "{}gradients", "grads{}", "{}grads",
    "gradof{}", "gradientof{}", "dld{}", "dldd{}", "djd{}", "dlossd{}", "dcostd{}", "nabla{}", "g{}",
)  # fmt: skip


@cache
def gradients_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the gradients of what bears these names are called, the most usual first."""
    return tuple(pattern.format(name) for name in names for pattern in _GRADIENTS)


_ROLES = (
    dict.fromkeys(gradients_of(_OUTPUT), "grad_output")
    | {plain(name): option for option in _OPTIONS for name in FIELDS[option].names}
    | {plain(name): name for name in OF_KINDS}
    | _LETTERS
    | {"layer": "layer"}
    | {name: role for role, names in _USUAL.items() for name in names}
)

#: Names of gradients among the results of a backward pass.
_RESULTS = {
    name: gradient
    for gradient, names in (("grad_input", INPUT), ("grad_weight", WEIGHT), ("grad_bias", BIAS))
    for name in (*gradients_of(names), *names)
}


def role_named(name: str) -> str | None:
    """Return what a parameter takes as far as its name tells."""
    return _ROLES.get(plain(name))


def option_named(name: str) -> str | None:
    """Return the option of a layer that a name means, be it a parameter's or a dictionary's key."""
    role = role_named(name)
    return role if role in _OPTIONS else None


def gradient_named(name: str) -> str | None:
    """Return the gradient that a result's name or key means."""
    return _RESULTS.get(plain(name))


def result_named(name: str) -> str:
    """Return what a key of the dictionary that forward returns means: the output, the cache, or itself."""
    role = role_named(name)
    return role if role in ("output", "cache") else name


def bind_function(target: str, phase: Phase, function: Callable[..., Any], spec: TargetSpec) -> Binding:
    """Find out what each parameter of a forward or backward function takes.

    By the mapping's `arguments`; or by the parameters' names, and those which say nothing by their place: input, weight
    and a dictionary of options, or the gradient and a cache.

    Raises
    ------
    TargetError
        If a parameter that has no default cannot be understood.
    """
    parameters = parameters_of(function)
    declared = spec.arguments.get(phase)
    if parameters is None or declared is not None:
        usual = {"forward": ("x", "weight", "bias", "conv_param"), "backward": ("grad_output", "cache")}
        return _declared(target, phase, declared or usual[phase], parameters, spec)
    parameters = [p for p in parameters if p.kind is not p.VAR_POSITIONAL]
    taken = _by_name(parameters, phase, spec)
    places = {"forward": ["x", "weight"], "backward": ["grad_output"]}[phase]
    places.append("cache" if phase == "backward" else "conv_param")
    places = [what for what in places if what not in taken.values()]
    if not {*_OPTIONS, "layer"}.isdisjoint(taken.values()) and "conv_param" in places:
        places.remove("conv_param")
    for parameter in parameters:
        required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if parameter.name in {*taken, *spec.constants} or not required:
            continue
        if not places:
            returned = f", or results: {{forward: [output, {parameter.name}]}} if forward returns it"
            raise TargetError(
                f'target {target}: it is not clear what the parameter "{parameter.name}" of {phase} takes; '
                f"{declaration(parameter.name)}{returned if phase == 'backward' else ''}"
            )
        taken[parameter.name] = places.pop(0)
    needed = {"forward": ("x", "weight"), "backward": ("grad_output",)}[phase]
    missing = next((what for what in needed if what not in taken.values()), None)
    if missing:
        order = ", ".join(taken.get(p.name, p.name) for p in parameters)
        raise TargetError(
            f"target {target}: no parameter of {phase} takes the {missing}, as far as their names say; give all of "
            f"them in their order, as in arguments: {{{phase}: [{order}]}}, with {missing} for the right one"
        )
    rest: dict[str, str] = {}
    if phase == "forward" and any(p.kind is p.VAR_KEYWORD for p in parameters):
        left = {"stride", "padding", "dilation", "groups"} - {*taken.values(), *spec.keywords}
        rest = {FIELDS[what].names[0]: what for what in _OPTIONS if what in left}
        rest |= {name: what for what, given in spec.keywords.items() for name in _names(given) if name not in taken}
    return _binding(parameters, taken, rest, spec)


def _by_name(parameters: Sequence[inspect.Parameter], phase: Phase, spec: TargetSpec) -> dict[str, str]:
    own = {name: what for what, given in spec.keywords.items() for name in _names(given)}
    returned = {name: name for name in spec.results.get("forward", ()) if phase == "backward"}
    later = {"output", "grad_output", "cache"} if phase == "forward" else {}
    taken: dict[str, str] = {}
    for parameter in parameters:
        name = parameter.name
        what = own.get(name) or returned.get(name) or role_named(name)
        if what in later or spec.keywords.get(what or "", "") is None:
            # There is none yet, or the mapping says that there is no such option.
            what = None
        if name not in spec.constants and what is not None and (name in own or what not in taken.values()):
            taken[name] = what
    return taken


def _binding(
    parameters: Sequence[inspect.Parameter], taken: Mapping[str, str], rest: Mapping[str, str], spec: TargetSpec
) -> Binding:
    """Pass arrays by position as far as they stand in front, all else by name, and the rest to ``**options``."""
    positional: list[str] = []
    keywords: dict[str, str] = {}
    constants: dict[str, Any] = {}
    for parameter in parameters:
        name, what = parameter.name, taken.get(parameter.name)
        if parameter.kind is parameter.VAR_KEYWORD:
            constants |= {key: value for key, value in spec.constants.items() if key not in taken}
        elif name in spec.constants:
            constants[name] = spec.constants[name]
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(f"={name}")
        elif what is None:
            continue
        elif parameter.kind is parameter.POSITIONAL_ONLY or (
            parameter.kind is not parameter.KEYWORD_ONLY and what not in _OPTIONS and not keywords and not constants
        ):
            positional.append(what)
        else:
            keywords[name] = what
    # One name per axis is given that axis's number.
    per_axis = [names for names in spec.keywords.values() if names is not None and not isinstance(names, str)]
    axes = {name: at - len(names) for names in per_axis for at, name in enumerate(names)}
    return Binding(tuple(positional), keywords | dict(rest), constants, axes)


def _names(given: str | Sequence[str] | None) -> Sequence[str]:
    return [given] if isinstance(given, str) else given or ()


def _declared(
    target: str, phase: Phase, order: Sequence[str], parameters: Sequence[inspect.Parameter] | None, spec: TargetSpec
) -> Binding:
    """Bind parameters in their order to what the mapping says."""
    known = {*KNOWN, *spec.constants, *(spec.results.get("forward", ()) if phase == "backward" else ())}
    for what in order:
        if what not in known:
            raise TargetError(
                f'target {target}: arguments.{phase}: "{what}" is not known;{did_you_mean(what, known)} expected one '
                f"of {', '.join(KNOWN)}, or a name that constants give"
            )
    constants = {what: spec.constants[what] for what in order if what in spec.constants}
    positional = tuple(f"={what}" if what in constants else what for what in order)
    if parameters is None:
        return Binding(positional, {}, constants)
    left = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for parameter in left[len(order) :]:
        if parameter.name in spec.constants:
            constants[parameter.name] = spec.constants[parameter.name]
        elif parameter.default is parameter.empty:
            raise TargetError(
                f'target {target}: arguments.{phase} says nothing of its parameter "{parameter.name}"; add what it '
                f"takes, or {declaration(parameter.name)}"
            )
    by_name = [p.name for p in left[: len(order)] if p.kind is p.KEYWORD_ONLY]
    if not by_name:
        return Binding(positional, {}, constants)
    split = len(order) - len(by_name)
    named = dict(zip(by_name, order[split:], strict=True))
    given = {name: constants.pop(what) for name, what in named.items() if what in constants}
    return Binding(positional[:split], {n: w for n, w in named.items() if n not in given}, constants | given)
