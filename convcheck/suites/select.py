"""Which layers a command is about: by an expression over their names, or by name.

An expression is ``-k 'conv and not (stem or "conv10")'``: a bare word stands for every name that contains it, whatever
the case; a quoted one for that very name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from convcheck.errors import Parameter, UsageError
from convcheck.layer.layer import Layer
from convcheck.suites.config import Suite, load, parse_layer
from convcheck.suites.fitting import fit
from convcheck.suites.shipped import DEFAULT_SUITE, default_source, is_fitted
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.wording import did_you_mean

#: The layer that is shown where nothing is named: the second worked example of T3.
EXAMPLE = "T3-stride-2"

#: Layers that a message lists.
_LISTED = 12

#: Layers that are shown at once.
_MOST_SHOWN = 256

#: A parenthesis, a name in quotes, a quote that is not closed, or a word.
_TOKEN = re.compile(r"""[()]|"[^"]*"|'[^']*'|["']|[^\s()"']+""")

_OPERATORS = ("and", "or", "not", "(", ")")

Predicate = Callable[[str], bool]


def selector(expression: str) -> Predicate:
    """Turn an expression into a test of a layer's name.

    Raises
    ------
    UsageError
        If the expression cannot be read.
    """
    tokens = _TOKEN.findall(expression)
    problem = _problem(tokens)
    # Python has the same grammar. It is given names of ours for those in the expression, which may hold anything.
    names = {f"name{place}": token for place, token in enumerate(tokens) if token not in _OPERATORS}
    words = [token if token in _OPERATORS else f"name{place}" for place, token in enumerate(tokens)]
    if problem is None:
        try:
            code = compile(" ".join(words), "-k", "eval")
        except (SyntaxError, RecursionError, MemoryError):
            problem = "it is nested too deeply"
    if problem is not None:
        raise UsageError(
            Parameter("select", expression),
            f": {problem}; expected names joined by and, or, not and parentheses, for example 'conv1 and not stem'",
        )
    return lambda name: bool(eval(code, {}, {key: _is_meant(token, name) for key, token in names.items()}))


def _problem(tokens: Sequence[str]) -> str | None:
    """Return why tokens are no expression: what follows what, and whether all that opens is closed."""
    if "'" in tokens or '"' in tokens:
        return "a quote is not closed"
    opened, complete = 0, False
    for token in tokens:
        # Where something complete ends, an operator between two or a closing parenthesis must follow, and only there.
        if complete != (token in ("and", "or", ")")) or (token == ")" and not opened):
            shown = token if token[0] in "\"'" else f'"{token}"'
            return f"{shown} is not expected here"
        opened += (token == "(") - (token == ")")
        complete = token not in ("and", "or", "not", "(")
    if not complete:
        return "it ends too early"
    return "a parenthesis is not closed" if opened else None


def _is_meant(token: str, name: str) -> bool:
    return name == token[1:-1] if token[0] in "\"'" else token.casefold() in name.casefold()


def restricted(suite: Suite, expression: str | None) -> Suite:
    """Return a suite with only the layers that an expression selects; all of them without one.

    Raises
    ------
    UsageError
        If it cannot be read, or selects nothing.
    """
    if expression is None:
        return suite
    selects = selector(expression)
    chosen = [(layer, line) for layer, line in zip(suite.layers, suite.lines, strict=True) if selects(layer.name)]
    if not chosen:
        raise nothing_selected(expression, [suite])
    layers, lines = zip(*chosen, strict=True)
    return replace(suite, layers=layers, lines=lines)


def nothing_selected(expression: str, suites: Sequence[Suite]) -> UsageError:
    """Return the error for an expression that selects no layer, with the layers that there are."""
    names = _listed([layer.name for suite in suites for layer in suite.layers])
    places = ", ".join(suite.name for suite in suites)
    return UsageError(Parameter("select", expression), f" selects no layer of {places}; its layers are {names}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def with_layer(source: str | None, text: str) -> Suite:
    """Return a suite of one layer that is given by itself; of a config, its target and its gate hold too.

    Raises
    ------
    ConfigError, UsageError
        If the layer or the config cannot be used.
    """
    layer = parse_layer(text, "--layer")
    suite = Suite("--layer", (), ()) if source is None else load(source)
    return replace(suite, layers=(layer,), lines=(None,))


def is_layer(name: str) -> bool:
    """Whether what stands in the place of a layer's name is a layer."""
    return name.lstrip().startswith("{")


def choose(
    source: str | None,
    names: Sequence[str],
    seed: int | None = None,
    *,
    several: bool,
    target: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    limits: Limits = IN_PROCESS,
) -> tuple[Suite, tuple[Layer, ...]]:
    """Find layers of a config.

    Parameters
    ----------
    source : str, optional
        A path or a suite's name; by default as for every command.
    names : sequence of str
        Names of layers; none for all of them, or, where nothing at all is named, for the worked example. Or one layer
        itself, as it stands in a config.
    seed : int, optional
        In place of each layer's own.
    several : bool
        Whether more than one layer is allowed.
    target, device : str, optional
        Code to which a suite is fitted where no config is named and the current folder has none.
    dtype : str, optional
        In place of each layer's own.
    limits : Limits
        Where the code runs to which a suite is fitted.

    Raises
    ------
    ConfigError, UsageError
        If the config cannot be used, there is no such layer, or it has to be said which one.
    """
    if seed is not None and seed < 0:
        raise UsageError(Parameter("seed", seed), " is not allowed; expected an integer of at least 0")
    named = source or default_source()
    texts = [name for name in names if is_layer(name)]
    fitted = not texts and is_fitted(None if source is None else [source], target)
    if texts:
        if len(names) > 1:
            raise UsageError(Parameter("layer"), " takes names, or one layer; give the others one by one")
        suite = with_layer(source, texts[0])
        names = []
    else:
        suite = fit(target, device=device, limits=limits).suite if fitted else load(named)
    if not names and not texts and source is None and named == DEFAULT_SUITE:
        names = [suite.layers[0].name] if fitted else [EXAMPLE]
    there = {layer.name: layer for layer in suite.layers}
    listed = _listed(list(there))
    for name in names:
        if name not in there:
            hint = did_you_mean(name, there, cutoff=0.5)
            raise UsageError(f'{suite.name} has no layer "{name}";{hint} its layers are {listed}')
    layers = tuple(there[name] for name in dict.fromkeys(names)) or suite.layers
    if len(layers) > 1 and not several:
        raise UsageError(f"{suite.name} has {len(layers)} layers; choose one with ", Parameter("layer"), f": {listed}")
    if len(layers) > _MOST_SHOWN:
        raise UsageError(
            f"{suite.name} has {len(layers):,} layers, of which at most {_MOST_SHOWN} are shown at once; choose with ",
            Parameter("layer"), f": {listed}",
        )  # fmt: skip
    given = {name: value for name, value in (("seed", seed), ("dtype", dtype)) if value is not None}
    return suite, tuple(Layer(**{**layer.spec(), **given}) for layer in layers)
