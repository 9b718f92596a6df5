"""The suite that is made from what a target takes: few layers, on which all known mistakes show that can show there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml, changed, neighbours, revealing
from convcheck.layer.words import named_by_sizes
from convcheck.mistakes.blind_spots import Form, covering, shown_by
from convcheck.mistakes.conditions import UNTRIED
from convcheck.suites.config import Suite
from convcheck.targets import resolve, spec_of
from convcheck.targets.isolation import kept_state
from convcheck.targets.probing import Probe, probed
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.targets.spec import KEYS, TargetSpec
from convcheck.targets.target import Target

#: Seconds that a suite for slow code may take, about; a layer's checks make some 60 calls. Fast code does not feel it.
_SECONDS = 180.0
_CALLS = 60

#: Seconds per call above which code is slow.
_SLOW = 0.1


class Fit(NamedTuple):
    """What fits a target.

    Attributes
    ----------
    spec : TargetSpec
        Its mapping, with the order of axes that fits.
    probe : Probe
        What it takes.
    suite : Suite
    """

    spec: TargetSpec
    probe: Probe
    suite: Suite


def fit(target: Any, folder: Path | None = None, *, device: str | None = None, limits: Limits = IN_PROCESS) -> Fit:
    """Find out what a target takes and make a suite of it.

    Parameters are those of `convcheck.targets.resolve`; the folder is by default the current one.

    Raises
    ------
    TargetError, UsageError
        If the target cannot be found, imported or used.
    """
    with kept_state():
        spec, probe = taken(target, folder, device=device, limits=limits)
        return Fit(spec, probe, _fitted(spec, probe))


def taken(
    target: Any, folder: Path | None = None, *, device: str | None = None, limits: Limits = IN_PROCESS
) -> tuple[TargetSpec, Probe]:
    """Find out what a target takes, and how it is called; as `fit`, without making a suite."""
    start = folder or Path.cwd()
    made: list[Target] = []

    def make(spec: TargetSpec) -> Target:
        made.append(resolve(spec, start, device=device, limits=limits, beside=made[0] if made else None))
        return made[-1]

    with kept_state():
        return probed(spec_of(target), make)


def _fitted(spec: TargetSpec, probe: Probe) -> Suite:
    """Return the suite on which the target is checked; what it leaves out for want of time, the probe is told.

    The plainest layer, one for every feature that is taken, and what more it needs for all mistakes to show that can
    show within the limits. Where the target takes nothing, it is the plainest layer, whose check says why.
    """
    layers = {"plain": probe.base}
    if probe.usable:
        telling = _telling(probe)
        # Slow code is checked on the layers that tell most.
        layers |= {named_by_sizes(layer): layer for layer in telling} if probe.seconds_per_call > _SLOW else {}
        layers |= {name: layer for name, layer in probe.ladder.items() if layer not in layers.values()}
        layers |= {named_by_sizes(layer): layer for layer in telling if layer not in layers.values()}
        layers |= dict(_circumstances(probe, list(layers.values())))
        most = max(2, int(_SECONDS / _CALLS / max(probe.seconds_per_call, 1e-9)))
        if len(layers) > most:
            seconds = f"{probe.seconds_per_call:.1g} s"
            probe.left_out.append(f"{len(layers) - most} layers of {len(layers)}, since a call takes {seconds}")
        layers = dict(list(layers.items())[:most])
    named = tuple(replace(layer, name=name) for name, layer in layers.items())
    return Suite(name=f"the suite fitted to {spec.named}", layers=named, lines=(None,) * len(named), target=spec)


def _telling(probe: Probe) -> list[Layer]:
    """Return few layers on which all mistakes show that show within the limits, the most telling first."""
    pool = dict.fromkeys(_candidates(probe))
    wanted = frozenset[Form]().union(*map(shown_by, pool))
    return [layer for layer, _ in covering(pool, wanted, probe.takes)]


def _candidates(probe: Probe) -> Iterator[Layer]:
    """Yield layers within the limits, the plainest first: those of the first number of axes in more ways."""
    ranks = [rank for rank in (2, 1, 3) if f"{rank}d" not in probe.refused]
    for rank in ranks:
        telling = [layer for _, layer in revealing(rank)]
        starts = [probe.base, telling[0]] if rank == len(probe.base.input) else []
        for layer in [probe.base, *telling, *(near for start in starts for _, near in neighbours(start))]:
            like = probe.within(replace(layer, dtype=probe.base.dtype))
            if like is not None:
                yield replace(like, name="layer")


def _circumstances(probe: Probe, there: list[Layer]) -> Iterator[tuple[str, Layer]]:
    """Yield layers for what no layer has been tried in, each with a name."""
    telling = max(there, key=lambda layer: len(shown_by(layer)))
    tiny: dict[str, Any] = {"kernel": 1, "padding": 0, "input": [1] * len(probe.base.input)}
    for untried in UNTRIED:
        if not any(map(untried.shown_by, there)):
            # A layer of many channels is small in all else.
            start = changed(probe.base, tiny) if "channels" in untried.change else telling
            found = None if start is None else changed(start, untried.change)
            found = None if found is None else probe.within(found)
            if found is not None and untried.shown_by(found) and probe.takes(found):
                yield untried.words.name.removeprefix("untried-"), found


def as_config(fitted: Fit, folder: Path) -> str:
    """Return a fitted suite as a config file with its target, as text.

    Parameters
    ----------
    folder : Path
        Where the file will stand: a target's own file is given relative to it.
    """
    spec, probe, suite = fitted
    said = _said(spec)
    target = {name: _from_there(name, value, folder, spec) for name, value in said.items()}
    # What its parameters have no word for shows by itself.
    tried = [name for name, reason in probe.refused.items() if reason and name not in spec.unsupported]
    if tried:
        target["unsupported"] = [*spec.unsupported, *tried]
    text = ["# Made from what the code takes, found by trying. It can be edited like any other config."]
    text += [f"# It does not take {limit}." for limit in probe.limits]
    text += [f"# Found: {words}." for words in probe.found]
    text += ["version: 1", "target:", *(f"  {name}: {_yaml(value)}" for name, value in target.items()), "layers:"]
    text += [f"  - {as_yaml(layer, layer.name)}" for layer in suite.layers]
    return "\n".join(text) + "\n"


def as_option(spec: TargetSpec, target: Any) -> Any:
    """Return a target as the command line is given it: as it was, but for what was found out of how it is called."""
    if not isinstance(target, str) or spec == spec_of(target):
        return target
    return _yaml(_said(spec))


def _said(spec: TargetSpec) -> dict[str, Any]:
    """Return what a mapping says beyond the defaults."""
    given = {name: getattr(spec, name) for name in KEYS}
    return {name: value for name, value in given.items() if value != getattr(TargetSpec(), name)}


def _from_there(name: str, value: Any, folder: Path, spec: TargetSpec) -> Any:
    """Return what a key of a mapping says in a file of another folder, which is then where relative paths start."""
    if name == "command":
        program, *others = value
        # Without a slash, the program is on the PATH.
        return (_file(program, folder) if os.sep in program else program, *(_file(word, folder) for word in others))
    if name in ("library", "keep_case"):
        return _file(value, folder)
    return _relative(value, folder) if KEYS[name].kind == "place" and spec.library is None else value


def _file(word: str, folder: Path) -> str:
    """Return a path as it is found from another folder; a word that is no path to anything as it is."""
    if Path(word).is_absolute() or not Path(word).exists():
        return word
    found = Path(os.path.relpath(word, folder)).as_posix()
    return found if "/" in found or os.sep not in word else f"./{found}"


def _relative(place: Any, folder: Path) -> Any:
    """Return a place of code as it is found from another folder."""
    if not isinstance(place, str):
        return place
    file, colon, name = place.rpartition(":")
    if not file.endswith(".py"):
        module = Path(*file.split(".")).with_suffix(".py")
        if not module.is_file() or folder.resolve() == Path.cwd():
            return place
        file = str(module)
    return f"{Path(os.path.relpath(file, folder)).as_posix()}{colon}{name}"


def _yaml(value: Any) -> str:
    import yaml

    plain = list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, dict) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
