"""What a set of layers could ever show: which known mistakes, in which forms, and which layers to add."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convcheck.errors import Parameter, UsageError
from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml, cut, shrunk, triable
from convcheck.layer.words import named_by_sizes
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.blind_spots import Form, covering, in_words, plain, possible, proposed, shown_by
from convcheck.mistakes.conditions import UNTRIED
from convcheck.reports.audit import Addition, Audit, Lacking, Visibility
from convcheck.suites import shipped
from convcheck.suites.config import Suite, load
from convcheck.suites.importing import nothing, read
from convcheck.suites.importing.model import Found, Model, together
from convcheck.wording import one_line

#: Multiply-adds of a layer that is not large.
_QUICK = 2**24

#: Multiply-adds to which large layers are cut: every entry of one is then checked in seconds.
_CUT = 2**22

#: Layers to judge, in any of the ways in which they can be given.
Source = Layer | Suite | Model | str | os.PathLike[str]


def audit(source: Source | Sequence[Source], *, require: int | None = None) -> Audit:
    """Find out which known mistakes a set of layers could show.

    A layer shows a form of a mistake if the wrong gradient differs from the right one on it at all, so this is what
    tests on these layers could show at best: if they compare every gradient exactly.

    Parameters
    ----------
    source : Layer, Suite, str, path, or a sequence of these
        Layers; config files and names of suites that ship with convcheck; whatever ``convcheck import`` reads.
    require : int, optional
        How many known mistakes must show in every form for the audit to have passed.

    Returns
    -------
    Audit
        ``passed`` says whether enough of them do; ``str(audit)`` is the table.

    Raises
    ------
    ConfigError, UsageError
        If something cannot be read, there is no layer, or more is required than is known.
    """
    sources: Sequence[Any] = source if isinstance(source, (list, tuple)) else [source]
    models = [found_in(item) for item in sources]
    found = [each for model in models for each in model.found]
    if not found:
        none = UsageError("there is nothing to audit; expected at least one layer or config")
        raise nothing(together(models)) if models else none
    layers = [each.layer for each in found]
    claims = [_claimed(each) for each in found]
    shown = frozenset[Form]().union(*claims)
    known = shown | possible(layers)
    visibilities = [
        Visibility(
            mistake.code,
            mistake.name,
            in_words({form for form in shown if form[0] == mistake.name}, known),
            in_words({form for form in known - shown if form[0] == mistake.name}, known),
            _names(
                each.layer for each, forms in zip(found, claims, strict=True) if mistake.name in {f[0] for f in forms}
            ),
        )
        for mistake in MISTAKES
        if mistake.name in {form[0] for form in known}
    ]
    if require is not None and not 0 < require <= len(visibilities):
        axes = " or ".join(sorted({str(len(layer.input)) for layer in layers}))
        known_here = f"{len(visibilities)}, all that can show on layers with {axes} axes"
        raise UsageError(Parameter("require", require), f" is not allowed; expected a number from 1 to {known_here}")
    additions = [
        Addition(
            as_yaml(layer, named_by_sizes(layer)),
            tuple(sorted({name for name, _, _ in forms})),
            tuple(untried.lacking for untried in tried),
        )
        for layer, forms, tried in proposed(layers, known - shown)
    ]
    return Audit(
        source=", ".join(model.source for model in models),
        layers=len(layers),
        judged_on_smaller=sum(shrunk(layer) is not layer for layer in layers),
        mistakes=tuple(visibilities),
        untried=tuple(
            Lacking(untried.words.code, untried.words.name, untried.lacking)
            for untried in UNTRIED
            if not any(map(untried.shown_by, layers))
        ),
        additions=tuple(additions),
        left_out=(
            *(one_line(str(left_out)) for model in models for left_out in model.left_out),
            *(
                one_line(f"{name}: no mistake can be tried on a layer so large, and no small layer is like it")
                for name in _names(layer for layer in layers if not triable(shrunk(layer)))
            ),
        ),
        required=require,
    )


def found_in(source: Source, input_size: Sequence[int] | None = None, format: str | None = None) -> Model:  # noqa: A002
    """Return the layers of a source, whatever it is; parameters and errors are those of `audit` and `read`."""
    if isinstance(source, Model):
        return source
    if isinstance(source, Layer):
        return Model(source.name, (Found(source),), ())
    if not isinstance(source, (Suite, str, os.PathLike)):
        raise UsageError(f"{source!r} cannot be audited; expected a Layer, a Suite, or the path or name of layers")
    if not isinstance(source, Suite):
        name = os.fsdecode(source)
        is_config = name.lower().endswith((".yaml", ".yml")) or (shipped.find(name) and not Path(name).is_file())
        if format is not None or not is_config:
            return read(name, input_size, format)
        if input_size is not None:
            raise UsageError(f"{name}: has sizes of its own; leave out ", Parameter("input_size"))
        source = load(source)
    return Model(source.name, tuple(map(Found, source.layers)), ())


def fewest(model: Model) -> Model:
    """Return few layers of a model: for each number of axes, all known mistakes show that show on any.

    The greedy cover: again and again the layer that shows most of what is left, of equal ones the smallest. Large
    layers come last, for what no other shows.
    """
    chosen: list[Found] = []
    for rank in sorted({len(found.layer.input) for found in model.found}):
        candidates: dict[Layer, Found] = {}
        for found in sorted(model.found, key=lambda found: found.layer.multiply_adds):
            if len(found.layer.input) == rank:
                candidates.setdefault(plain(found.layer), found)
        wanted = frozenset[Form]().union(*map(shown_by, candidates))
        quick = [layer for layer, found in candidates.items() if found.layer.multiply_adds <= _QUICK]
        few = covering(quick, wanted)
        few += covering(candidates, wanted.difference(*(forms for _, forms in few)))
        chosen += [candidates[layer] for layer, _ in few]
    return replace(model, found=tuple(found for found in model.found if found in chosen), of=len(model.found))


def smaller(model: Model) -> Model:
    """Return a model whose large layers have a smaller batch and input, where one like them can have that."""
    return replace(model, found=tuple(map(_smaller, model.found)))


def _smaller(found: Found) -> Found:
    small = cut(found.layer, _CUT)
    return found if small is found.layer else replace(found, layer=small, full=found.layer)


def _claimed(found: Found) -> frozenset[Form]:
    """Return what a layer shows in the gradients that are computed of it."""
    return frozenset(form for form in shown_by(plain(found.layer)) if form[1] in found.computed)


def _names(layers: Iterable[Layer]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer.name for layer in layers))


def with_status(audit: Audit, status: int) -> Audit:
    """Return an audit of layers that were recorded from a command, with the command's exit status."""
    return replace(audit, command_status=status)
