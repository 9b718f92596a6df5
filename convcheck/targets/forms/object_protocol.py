"""The object protocol: a class or factory called with no argument.

``forward(x, weight, bias, layer) -> output``, then ``backward(grad_output) -> (grad_input, grad_weight, grad_bias)``.
Without a bias, ``bias`` is None and grad_bias is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convcheck.errors import TargetError
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.form import Form, Given, Session, triple
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError


class ObjectForm(Form):
    """A user's object with ``forward`` and ``backward``."""

    unsaid = frozenset({"stride", "padding", "dilation"})

    def __init__(self, name: str, factory: Any, spec: TargetSpec) -> None:
        super().__init__(name, spec, features.ALL)
        self._factory = factory
        if not callable(factory):
            raise TargetError(
                f"target {name}: {type(factory).__name__} cannot be called; expected a class or factory that takes no "
                "argument and gives an object with forward(x, weight, bias, layer) and backward(grad_output)"
            )

    def session(self, layer: Layer, given: Given) -> Session:
        instance = self._factory()
        for method in ("forward", "backward"):
            if not callable(getattr(instance, method, None)):
                raise TargetContractError(
                    f"{type(instance).__name__} has no method {method}; expected forward(x, weight, bias, layer) and "
                    "backward(grad_output)"
                )
        return _ObjectSession(instance, layer, given)


class _ObjectSession(Session):
    def __init__(self, instance: Any, layer: Layer, given: Given) -> None:
        self._instance, self._layer, self._given = instance, layer, given

    def forward(self) -> Any:
        given = self._given
        return self._instance.forward(given.x, given.weight, given.bias, self._layer)

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        return triple(self._instance.backward(grad_output), bias=self._layer.bias)

    def arguments(self) -> Mapping[str, Any]:
        return vars(self._given)

    def renew(self, given: Given) -> None:
        self._given = given
