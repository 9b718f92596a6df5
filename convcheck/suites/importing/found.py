"""What an importer finds in a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from convcheck.errors import LayerError
from convcheck.layer.layer import Layer


@dataclass(frozen=True)
class LeftOut:
    """Something in a model that is not in the config, and why.

    Attributes
    ----------
    name, kind, reason : str
    """

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
    left_out : tuple of LeftOut
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
