"""What every kind of target offers to the checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

from convcheck.errors import ConvcheckError
from convcheck.gradients import formulation
from convcheck.gradients.numeric.directions import Forward, Output
from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.calling import PLAIN, How


class TargetContractError(ConvcheckError):
    """The target ran and broke its contract: a wrong type, a wrong number of results."""


class TargetRaisedError(Exception):
    """The target raised in another process.

    Attributes
    ----------
    traceback : str
        From the user's first frame on.
    refusal : str or None
        What a framework says that it does not implement.
    last_line : str
        The exception without the place where it was raised.
    """

    def __init__(self, message: str, traceback: str, refusal: str | None, last_line: str) -> None:
        super().__init__(message)
        self.traceback, self.refusal, self.last_line = traceback, refusal, last_line


class TargetUnimplementedError(TargetRaisedError, NotImplementedError):
    """What it raised is a NotImplementedError, by which code says what it does not take."""


@dataclass(frozen=True)
class Misfit:
    """What stands for a gradient that is wrong in a way that its own form can tell, and cannot be compared.

    Attributes
    ----------
    reason : str
    slug : str or None
        The known mistake that it is.
    """

    reason: str
    slug: str | None = None


class Run(ABC):
    """A forward pass that was run, with what can follow it.

    Attributes
    ----------
    output
        As the implementation gave it, in convcheck's order of axes. In another process the pass may still run: what it
        raises there is raised when this is looked at.
    went_on : bool
        Whether the object of an earlier run made it.
    """

    output: Any
    went_on: bool = False

    @abstractmethod
    def backward(self, grad_output: Array | None = None) -> tuple[Any, Any, Any]:
        """Run the matching backward pass: (grad_input, grad_weight, grad_bias) as the implementation gave them.

        Another grad_output can take the place of the operands' own.
        """

    def again(self, operands: Operands, layer: Layer | None = None, *, new_memory: bool = False) -> Run:
        """Run the forward pass of the same object on other data.

        Parameters
        ----------
        layer : Layer, optional
            Of another batch or input size.
        new_memory : bool, default False
            Whether the data are given in other memory; in the same where the form allows that otherwise.
        """
        raise NotImplementedError("an object of this kind takes one forward pass")

    def modified(self) -> tuple[str, ...]:
        """Return those of "x", "weight", "bias" and "grad_output" that no longer hold what was given.

        Where memory around them was written, also "around x" and so on.
        """
        return ()

    def now(self) -> Sequence[Any] | None:
        """Return the output and the gradients as they are now; None where what was given shows by itself."""
        return None


class Target(ABC):
    """A forward and backward pass under test.

    Attributes
    ----------
    name : str
        As reports call it.
    builtin : bool
        Whether it is one of convcheck's own formulations, which share one numeric gradient.
    merging : bool
        Whether several forward passes of a layer may be asked for in one call, as `merged` takes them.
    exact : bool
        False for an algorithm that rounds even on small integers.
    absent : mapping of str to str
        Gradients that it does not give, with the reason.
    averages : tuple of str
        Gradients that are means over the batch by design, of which the sums are given back; a mean rounds.
    unsaid : frozenset of str
        Options that it is told of inside another argument, so that it may take no notice of them.
    untold : frozenset of str
        Options that it is not told of at all, and has all the same.
    found : sequence of str
        How it is called, as far as that was found out by trying, and where it computes, in sentences.
    at_once : bool
        Whether it says that it may be called from two threads at once.
    inapplicable : mapping of str to str
        Conditions under which code of this form cannot be called, by their slugs, with the reason.
    differentiable : bool
        Whether code of this form can be asked for `second` and `tangent`.
    room : int or None
        Bytes that are free on the device on which it computes; None where that is the machine's own memory, or unknown.
    """

    name: str
    builtin: bool = False
    merging: bool = False
    exact: bool = True
    absent: Mapping[str, str] = {}
    averages: tuple[str, ...] = ()
    unsaid: frozenset[str] = frozenset()
    untold: frozenset[str] = frozenset()
    found: Sequence[str] = ()
    at_once: bool = False
    inapplicable: Mapping[str, str] = {}
    differentiable: bool = False
    room: int | None = None

    def begin(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Prepare for another layer."""

    def forget(self) -> None:  # noqa: B027 - what ran in this process is kept for good
        """Lose what is kept of all earlier calls, as far as that is possible: of code in a process of its own."""

    def unsupported(self, layer: Layer) -> str | None:
        """Return why it cannot take a layer; None if it can."""
        return None

    def other_kinds(self, layer: Layer) -> list[str]:
        """Return of which kinds a layer is, in words, that this is no code for: transposed, or padded in some way."""
        return []

    def takes_bias(self) -> bool:
        """Whether it can add a bias; a layer with one is checked without it otherwise."""
        return True

    def stop(self) -> None:  # noqa: B027 - most cannot be stopped
        """End what it is doing, from another thread; what is asked of it from now on fails."""

    def resume(self) -> None:  # noqa: B027 - most cannot be stopped
        """Serve again after it was stopped."""

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what it runs in; it is not used any more."""

    @abstractmethod
    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return the output of one forward pass."""

    def repeated(self, layer: Layer) -> AbstractContextManager[Forward]:
        """Return the settings of several forward passes that follow one another, and what makes one of them."""
        return nullcontext(self.forward)

    def merged(self, of: Layer, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Output:
        """Ask for the outputs of several forward passes of a layer, as those of one.

        Parameters
        ----------
        of : Layer
        layer : Layer
            The same, with as many more filters in each group as there are passes with weights of their own.
        x : array
            With as many times the batch as there are passes with inputs of their own.

        Returns
        -------
        array, or what waits for it
        """
        return self.forward(layer, x, weight, bias)

    @abstractmethod
    def run(self, layer: Layer, operands: Operands, how: How = PLAIN) -> Run:
        """Run the forward pass, called in a certain way; what comes of it can be followed by the backward pass."""

    def both(self, layer: Layer, operands: Operands, how: How = PLAIN, *, phases: bool = False) -> Run:
        """Run the forward pass, where nothing else is asked for before its backward pass.

        That one may run at once; what it gives, or raises, is told when it is asked for.

        Parameters
        ----------
        phases : bool, default False
            Whether it is asked what the forward pass alone has written into.
        """
        return self.run(layer, operands, how)

    def onward(self, before: Run | None, layer: Layer, operands: Operands, *, new_memory: bool = False) -> Run:
        """Do the same as `both` on the object of an earlier run, or on a new one where that takes no further pass."""
        if before is not None:
            with suppress(Exception, SystemExit):
                run = before.again(operands, layer, new_memory=new_memory)
                run.went_on = True
                return run
        return self.both(layer, operands)

    def ahead(self, layer: Layer) -> bool:
        """Whether `both` may be asked for again before what came of it has been looked at, so that the two run on."""
        return False

    def second(self, layer: Layer, operands: Operands, along: Operands) -> tuple[Any, Any, Any]:
        """Differentiate the backward pass: the sum of its gradients, weighted by x, weight and bias of ``along``.

        Returns
        -------
        by_output, by_input, by_weight
            The sum's derivatives by grad_output, x and weight; None for one that it is taken not to depend on.
        """
        raise NotImplementedError("code of this form gives no derivatives of its gradients")

    def tangent(self, layer: Layer, operands: Operands, along: Operands) -> Any:
        """Run the forward pass in forward mode: how the output changes along x, weight and bias of ``along``."""
        raise NotImplementedError("code of this form has no forward mode")


class BuiltIn(Target):
    """One of convcheck's own formulations."""

    builtin = merging = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._formulation = formulation(name)

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        return self._formulation.forward(layer, x, weight, bias)

    def run(self, layer: Layer, operands: Operands, how: How = PLAIN) -> Run:
        return _BuiltInRun(self, layer, operands)

    def backward(self, layer: Layer, operands: Operands) -> Gradients:
        """Run the backward pass."""
        return self._formulation.backward(layer, operands.x, operands.weight, operands.grad_output)


class _BuiltInRun(Run):
    def __init__(self, implementation: BuiltIn, layer: Layer, operands: Operands) -> None:
        self._of, self._layer, self._operands = implementation, layer, operands
        self.output = implementation.forward(layer, operands.x, operands.weight, operands.bias)

    def backward(self, grad_output: Array | None = None) -> Gradients:
        at = self._operands if grad_output is None else replace(self._operands, grad_output=grad_output)
        return self._of.backward(self._layer, at)

    def again(self, operands: Operands, layer: Layer | None = None, *, new_memory: bool = False) -> Run:
        return _BuiltInRun(self._of, layer or self._layer, operands)
