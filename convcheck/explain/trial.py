"""On which numbers a layer is explained and drawn: those of `verify` where code is checked, else small ones to read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from convcheck.checks.check_layer import as_taken
from convcheck.checks.expected import Expected, Given
from convcheck.checks.observed import Observed
from convcheck.errors import Parameter, TargetError, UsageError
from convcheck.explain import DATA
from convcheck.explain.pictures.selection import require_real
from convcheck.layer.data import Operands, example_operands, integer_operands, real_operands
from convcheck.layer.layer import Layer
from convcheck.suites.config import Suite
from convcheck.suites.operands import parse_operands
from convcheck.targets import resolve
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import Target


@dataclass(frozen=True, eq=False)
class Trial:
    """A layer with its numbers, and what a target gave on them.

    Attributes
    ----------
    layer : Layer
        As the target takes it.
    expected : Expected or None
    observed : Observed or None
        None without a target, as is ``expected``.
    """

    layer: Layer
    operands: Operands
    expected: Expected | None = None
    observed: Observed | None = None

    @property
    def refusal(self) -> str | None:
        """What is to be said of a target that does not take the layer."""
        if self.observed is None or self.observed.refusal is None:
            return None
        name = self.observed.implementation.name
        return f"layer {self.layer.name}: {name} does not take it: {self.observed.refusal}"


def target_of(
    suite: Suite, target: str | None, device: str | None, data: str | None, limits: Limits = IN_PROCESS
) -> Target | None:
    """Find the code whose numbers are shown: the one given, or the suite's; None if there is none.

    Raises
    ------
    TargetError
        If it cannot be found, imported or used.
    UsageError
        If the options contradict each other.
    """
    if data is not None and data not in DATA and not _are_numbers(data):
        raise UsageError(
            Parameter("data", data),
            f" is unknown; expected one of {', '.join(DATA)}, or numbers, such as {{x: 1, weight: 1, grad_output: 1}}",
        )
    if data == "example" and target is not None:
        raise UsageError(
            Parameter("data", data), " has numbers of its own, on which no code is run; leave out it or ",
            Parameter("target"),
        )  # fmt: skip
    fitted = isinstance(suite.target, TargetSpec)
    wanted = suite.target if target is None or fitted else target
    if wanted is None or data == "example":
        if device is not None:
            raise UsageError(Parameter("device"), " is for a target; give one with ", Parameter("target"))
        return None
    # A target on the command line is relative to the current folder, one in a config to that config.
    folder = Path.cwd() if target is not None or suite.path is None else suite.path.parent
    return resolve(wanted, folder, device=device, limits=limits)


def trial(layer: Layer, target: Target | None, data: str | None = None) -> Trial:
    """Take a layer's numbers, drawn as `DATA` names them or given, and run the target on them, if there is one.

    Raises
    ------
    TargetError
        If the target raises.
    ConfigError, UsageError
        If the layer has no such numbers, or complex ones, which are not drawn.
    """
    require_real(layer)
    given = parse_operands(data, layer, "--data") if data is not None and _are_numbers(data) else None
    if target is None:
        if given is not None:
            return Trial(layer, given)
        if data == "integers":
            return Trial(layer, _there(layer, integer_operands(layer)))
        return Trial(layer, real_operands(layer) if data == "real" else example_operands(layer))
    target.begin()
    refusal = target.unsupported(layer)
    layer = as_taken(layer, target)
    if given is not None and not layer.bias:
        given = replace(given, bias=None)
    expected = Expected(layer, target, None, lambda evaluations: None)
    operands = expected.operands
    if given is not None:
        expected, operands = Given(layer, target, None, given), given
    elif data is not None:
        operands = expected.reals if data == "real" else _there(layer, expected.integers)
    if refusal is not None:
        return Trial(layer, operands, expected, Observed(target, {}, {}, refusal=refusal))
    observed = Observed.of(target, layer, operands)
    raised = next((fault for fault in observed.faults.values() if fault.status == "error"), None)
    if raised:
        raise TargetError(f"layer {layer.name}: {target.name} raised\n{raised.message}")
    return Trial(layer, operands, expected, observed)


def _are_numbers(data: str) -> bool:
    return data.lstrip().startswith("{")


def _there(layer: Layer, operands: Operands | None) -> Operands:
    if operands is None:
        raise UsageError(
            Parameter("data", "integers"),
            f": no integers keep the sums of layer {layer.name} exact in {layer.dtype}; take ",
            Parameter("data", "real"),
        )
    return operands
