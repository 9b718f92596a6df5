"""What an importer finds in a model, and that as the text of a config."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from convcheck.errors import LayerError
from convcheck.layer.fields import written
from convcheck.layer.layer import Layer
from convcheck.suites.config import parse
from convcheck.suites.schema import VERSION
from convcheck.version import __version__
from convcheck.wording import one_line

#: What YAML reads as a text whatever version it has: a letter first, and no word that stands for something else.
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n|nan|inf)$)[a-z][\w./-]*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class LeftOut:
    """Something in a model that is not in the config, and why."""

    name: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}): {self.reason}"


@dataclass(frozen=True)
class Model:
    """The convolutions of a model.

    Attributes
    ----------
    source : str
        The model as it was named.
    layers : tuple of Layer
        In the order in which the model runs them, each with a name of its own.
    batch_known : tuple of bool
        For each layer, whether its batch is the model's own; else it is the default.
    """

    source: str
    layers: tuple[Layer, ...]
    batch_known: tuple[bool, ...]
    left_out: tuple[LeftOut, ...]


@dataclass
class Findings:
    """Collects what an importer finds, and sees to it that every layer can exist and has a name of its own."""

    layers: list[Layer] = field(default_factory=list)
    batch_known: list[bool] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def add(self, name: str, kind: str, *, batch: int | None, **spec: Any) -> None:
        """Take in a convolution, or leave it out if no layer can be like it."""
        if batch is not None:
            spec["batch"] = batch
        try:
            layer = Layer(name=self._unique(name), **spec)
        except LayerError as error:
            self.leave_out(name, kind, "; ".join(str(problem) for problem in error.problems))
            return
        self.layers.append(layer)
        self.batch_known.append(batch is not None)

    def leave_out(self, name: str, kind: str, reason: str) -> None:
        """Note something that is not imported."""
        self.left_out.append(LeftOut(name, kind, reason))

    def model(self, source: str) -> Model:
        """Return all that was found."""
        return Model(source, tuple(self.layers), tuple(self.batch_known), tuple(self.left_out))

    def _unique(self, name: str) -> str:
        # A name must be a line of printable characters; models have no such rule.
        wanted = "".join(c if c.isprintable() else "_" for c in name).strip() or "conv"
        taken = {layer.name for layer in self.layers}
        unique, number = wanted, 1
        while unique in taken:
            number += 1
            unique = f"{wanted}_{number}"
        return unique


def config_text(model: Model) -> str:
    """Write a model's convolutions as a config.

    Values that are the default are left out. What is written is read again, so that no config is given out that
    ``convcheck verify`` would refuse.
    """
    lines = [f"# The convolutions of {one_line(model.source)}, imported by convcheck {__version__}."]
    if model.left_out:
        lines += ["#", "# Left out:", *(f"# - {one_line(str(left_out))}" for left_out in model.left_out)]
    lines += [f"version: {VERSION}", "layers:"]
    for layer, batch_known in zip(model.layers, model.batch_known, strict=True):
        fields = written(layer.spec())
        if not batch_known:
            del fields["batch"]
        pairs = [f"{name}: {_yaml(value)}" for name, value in fields.items()]
        lines += [f"  - {pairs[0]}", *(f"    {pair}" for pair in pairs[1:])]
    text = "\n".join(lines) + "\n"
    parse(text, model.source)
    return text


def _yaml(value: Any) -> str:
    # Everything in JSON is YAML too.
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
