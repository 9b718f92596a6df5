"""Which layer a command is about: named, or the only one, or the worked example that ships with convcheck."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from convcheck.errors import Parameter, UsageError
from convcheck.layer.layer import Layer
from convcheck.suites.config import Suite, load
from convcheck.suites.shipped import DEFAULT_SUITE, default_source

#: The layer that is shown where nothing is named: the second worked example of T3.
EXAMPLE = "T3-stride-2"

#: Layers that a message lists.
_LISTED = 12


def choose(
    source: str | None, names: Sequence[str], seed: int | None = None, *, several: bool
) -> tuple[Suite, tuple[Layer, ...]]:
    """Find layers of a config.

    Parameters
    ----------
    source : str, optional
        A path or a suite's name; by default as for every command.
    names : sequence of str
        Names of layers; none for all of them, or, where nothing at all is named, for the worked example.
    seed : int, optional
        In place of each layer's own.
    several : bool
        Whether more than one layer is allowed.

    Raises
    ------
    ConfigError, UsageError
        If the config cannot be used, there is no such layer, or it has to be said which one.
    """
    if seed is not None and seed < 0:
        raise UsageError(Parameter("seed", seed), " is not allowed; expected an integer of at least 0")
    named = source or default_source()
    suite = load(named)
    if not names and source is None and named == DEFAULT_SUITE:
        names = [EXAMPLE]
    layers = tuple(dict.fromkeys(_named(suite, name) for name in names)) or suite.layers
    if len(layers) > 1 and not several:
        raise UsageError(
            f"{suite.name} has {len(layers)} layers; choose one with ", Parameter("layer"), f": {_listed(suite)}"
        )
    return suite, layers if seed is None else tuple(replace(layer, seed=seed) for layer in layers)


def _named(suite: Suite, name: str) -> Layer:
    for layer in suite.layers:
        if layer.name == name:
            return layer
    near = difflib.get_close_matches(name, [layer.name for layer in suite.layers], n=1, cutoff=0.5)
    hint = f' did you mean "{near[0]}"?' if near else ""
    raise UsageError(f'{suite.name} has no layer "{name}";{hint} its layers are {_listed(suite)}')


def _listed(suite: Suite) -> str:
    shown = ", ".join(layer.name for layer in suite.layers[:_LISTED])
    rest = len(suite.layers) - _LISTED
    return shown + (f" and {rest} more" if rest > 0 else "")
