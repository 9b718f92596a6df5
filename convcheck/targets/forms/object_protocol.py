"""The object protocol: a class or factory called with no argument.

``forward(x, weight, bias, layer) -> output``, then ``backward(grad_output) -> (grad_input, grad_weight, grad_bias)``.
Without a bias, ``bias`` is None and grad_bias is not looked at. Where forward takes the three arrays alone, the class
is constructed with the options that its constructor names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convcheck.errors import TargetError
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.binding import Binding, bind, parameters_of, with_kinds
from convcheck.targets.construction import constructor_value, lacking
from convcheck.targets.form import Form
from convcheck.targets.session import Given, Session, triple
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError


class ObjectForm(Form):
    """A user's object with ``forward`` and ``backward``."""

    unsaid = frozenset({"stride", "padding", "dilation"})
    kinds = features.KINDS

    def __init__(self, name: str, factory: Any, spec: TargetSpec) -> None:
        self._factory = factory
        self._options = self._bound(name, factory, spec)
        takes = features.ALL
        if self._options is not None:
            takes = takes - lacking(self._options) - {"asymmetric-padding"}
            self.unsaid = frozenset()
        super().__init__(name, spec, takes, None if self._options is None else self._options.takes)
        if not callable(factory):
            raise TargetError(
                f"target {name}: {type(factory).__name__} cannot be called; expected a class or factory that takes no "
                "argument and gives an object with forward(x, weight, bias, layer) and backward(grad_output)"
            )

    def _bound(self, name: str, factory: Any, spec: TargetSpec) -> Binding | None:
        """Return what the constructor takes, where forward takes the three arrays alone; None otherwise."""
        parameters = parameters_of(factory.forward) if hasattr(factory, "forward") else None
        positional = [p for p in parameters or [] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        alone = len(positional) == 4 and not any(p.kind is p.VAR_POSITIONAL for p in parameters or [])
        return bind(name, factory, (), with_kinds(factory, spec).keywords, spec.constants) if alone else None

    def session(self, layer: Layer, given: Given) -> Session:
        instance = (
            self._factory()
            if self._options is None
            else self._options.call(
                self._factory, lambda what, name: constructor_value(what, name, layer, tuples=self.spec.tuples)
            )
        )
        for method in ("forward", "backward"):
            if not callable(getattr(instance, method, None)):
                raise TargetContractError(
                    f"{type(instance).__name__} has no method {method}; expected forward(x, weight, bias, layer) and "
                    "backward(grad_output)"
                )
        return _ObjectSession(instance, (layer,) if self._options is None else (), layer, given)


class _ObjectSession(Session):
    def __init__(self, instance: Any, further: tuple[Layer, ...], layer: Layer, given: Given) -> None:
        self._instance, self._further, self._layer, self._given = instance, further, layer, given

    def forward(self) -> Any:
        given = self._given
        return self._instance.forward(given.x, given.weight, given.bias, *self._further)

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        return triple(self._instance.backward(grad_output), bias=self._layer.bias)

    def arguments(self) -> Mapping[str, Any]:
        return vars(self._given)

    def renew(self, given: Given) -> None:
        self._given = given

    def resize(self, layer: Layer) -> None:
        self._layer, self._further = layer, (layer,) if self._further else ()
