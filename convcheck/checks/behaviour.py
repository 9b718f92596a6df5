"""What a target does beside its result: it keeps state, writes into its arguments, differs from call to call.

Each such finding fails the check of the array that it shows in, with the mistake's slug as its diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convcheck.checks.comparison import compare
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Fault, Observed, explained
from convcheck.layer.arrays import Array, wide
from convcheck.mistakes import MISTAKES, mistake
from convcheck.mistakes.resemblance import RESEMBLANCES
from convcheck.mistakes.tricks import TRICKS
from convcheck.mistakes.wrong_forward import name_forward
from convcheck.reports.results import Diagnosis, GradientResult
from convcheck.targets.isolation import FILLED

#: Where a finding about an array is shown, if that check ran: the strictest first.
_PREFERRED = ("forward", "exact", "projected", "central")

#: The result that shows that an argument was written into.
_SHOWN_IN = {"x": "input", "weight": "weight", "bias": "bias", "grad_output": "input"}

#: What may be found of one array.
_NAMES = frozenset(known.name for known in MISTAKES)

#: What is said of results that differ on integers.
RACE = "on whole numbers every order of a sum gives the same, so it is no rounding: a race, or results not waited for"

#: What is no mistake: the memory of a forward pass may be used up by its backward pass.
ONCE = "backward gives its result once per forward pass; a new object gives the same"


@dataclass(frozen=True, eq=False)
class Finding:
    """Something wrong with a target that comparing one result does not show.

    Attributes
    ----------
    diagnosis : Diagnosis or None
        The mistake; None where it is none.
    gradient : str
        The array that it shows in: "output", "input", "weight" or "bias".
    message : str
        One sentence; empty where the result says it already.
    values : array or None
        What another call gave for that array.
    status : str
        "failed" or "error"; "passed" for a note.
    """

    diagnosis: Diagnosis | None
    gradient: str
    message: str
    values: Array | None = None
    status: str = "failed"


def with_behaviour(results: Sequence[GradientResult], expected: Expected, observed: Observed) -> list[GradientResult]:
    """Return the results of a target with what its behaviour says about them.

    Parameters
    ----------
    results : sequence of GradientResult
        Of one target on one layer.
    observed : Observed
        With a second backward pass.
    """
    marked = list(results)
    for finding in findings_of(expected, observed):
        place = _place(marked, finding.gradient)
        if place is not None:
            marked[place] = _marked(marked[place], finding, observed)
    return marked


def findings_of(expected: Expected, observed: Observed) -> list[Finding]:
    """Return what a run with a second backward pass says about a target's behaviour."""
    findings = _written(observed) + _not_finite(observed) + _never_written(observed)
    findings += [
        Finding(_known(fault.slug), gradient, "")
        for gradient, fault in observed.faults.items()
        # Another process may give any name.
        if fault.slug in _NAMES
    ]
    if "output" in observed.arrays:
        findings += _second_forward(expected, observed)
    findings += _other_forward(expected, observed)
    findings += _second_backward(expected, observed)
    return findings


def _written(observed: Observed) -> list[Finding]:
    findings = []
    for phase, names in observed.modified.items():
        for name in names:
            gradient = "output" if phase == "forward" else _SHOWN_IN[name]
            message = f"the {phase} pass writes into its argument {name}"
            findings.append(Finding(_known("inputs-modified"), gradient, message))
    return findings


def _not_finite(observed: Observed) -> list[Finding]:
    findings = []
    for gradient, array in observed.arrays.items():
        count = int(np.count_nonzero(~np.isfinite(array)))
        if count:
            label = "output" if gradient == "output" else f"grad_{gradient}"
            message = f"{count:,} of {array.size:,} entries of {label} are NaN or infinite"
            findings.append(Finding(_known("non-finite"), gradient, message))
    return findings


def _never_written(observed: Observed) -> list[Finding]:
    findings = []
    for gradient, array in observed.arrays.items():
        each = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
        count = int((each == FILLED).all(axis=1).sum())
        if count:
            label = "output" if gradient == "output" else f"grad_{gradient}"
            message = f"{count:,} of {array.size:,} entries of {label} are as the memory was before it was handed out"
            findings.append(Finding(TRICKS["never-written"].diagnosis(), gradient, message))
    return findings


def _second_forward(expected: Expected, observed: Observed) -> list[Finding]:
    """The differences start from another forward pass on the same data: it must be the same."""
    first = observed.arrays["output"]
    try:
        second = expected.start
    except Exception as error:
        message = f"a second forward pass on the same data raised:\n{explained(error)}"
        return [Finding(None, "output", message, status="error")]
    if second.shape == first.shape and _agree(first, second, float(np.max(expected.forward_allowance))):
        return []
    message = "two forward passes on the same data give different outputs" + _race(expected)
    values = second if second.shape == first.shape else None
    return [Finding(_known("nondeterministic"), "output", message, values)]


def _other_forward(expected: Expected, observed: Observed) -> list[Finding]:
    """Name what a forward pass computes that is not the definition's."""
    output = observed.output
    if output is None or not expected.exact_data or np.array_equal(output, expected.definition):
        return []
    variant = name_forward(expected.layer, expected.operands, output)
    return [] if variant is None else [Finding(variant.diagnosis, "output", variant.message)]


def _second_backward(expected: Expected, observed: Observed) -> list[Finding]:
    """What a second backward pass on the same object says, and, where it differs, a new object on the same data."""
    again, anew, findings = observed.again, observed.anew, []
    if again is None:
        return []
    # A target that spoils its own arguments cannot but differ the next time: that is one mistake, not two.
    written = any(observed.modified.values())
    renewed = isinstance(anew, Mapping) and all(
        _equal(expected, name, observed.arrays[name], anew[name]) for name in anew
    )
    if isinstance(again, Fault):
        if renewed:
            return [Finding(None, "input", ONCE, status="passed")]
        reason = again.message if anew is None or isinstance(anew, Mapping) else anew.message
        return [
            Finding(None, "input", f"a second backward pass, also of a new object, fails:\n{reason}", status="error")
        ]
    for name, second in again.items():
        first = observed.arrays[name]
        if second.shape == first.shape and _equal(expected, name, first, second):
            continue
        values = second if second.shape == first.shape else None
        if values is not None and np.array_equal(second, 2 * first):
            message = f"a second backward pass adds to the grad_{name} of the first"
            findings.append(Finding(_known("stale-accumulation"), name, message, values))
        elif renewed:
            findings.append(Finding(None, name, ONCE, status="passed"))
        elif not written:
            message = (
                f"a second backward pass on the same data gives another grad_{name}, and so does a new object; the "
                "numbers are the second one's against the first one's" + _race(expected)
            )
            findings.append(Finding(_known("nondeterministic"), name, message, values))
    return findings


def _race(expected: Expected) -> str:
    return f"; {RACE}" if expected.exact_data else ""


def _equal(expected: Expected, name: str, first: Array, second: Array) -> bool:
    allowed = 0.0 if expected.exact_data else float(getattr(expected.allowed, name).max())
    return first.shape == second.shape and _agree(first, second, allowed)


def _agree(first: Array, second: Array, allowed: float) -> bool:
    with np.errstate(invalid="ignore"):
        far = np.abs(wide(first) - second) > allowed
    return not far.any() and np.array_equal(np.isnan(first), np.isnan(second))


def _place(results: Sequence[GradientResult], gradient: str) -> int | None:
    """Return the position of the result that shows a finding: of the array itself, if it was checked."""
    candidates = [i for i, r in enumerate(results) if r.gradient == gradient and r.status != "skipped"]
    candidates = candidates or [i for i, r in enumerate(results) if r.status != "skipped"]
    return min(candidates, key=lambda i: _PREFERRED.index(results[i].check), default=None)


def _marked(result: GradientResult, finding: Finding, observed: Observed) -> GradientResult:
    """Return the result, failed on account of the finding, or with its note; numbers that say more are kept."""
    if finding.status == "passed":
        return replace(result, message="; ".join(part for part in (result.message, finding.message) if part))
    if result.status == "passed":
        result = replace(result, status=finding.status, message=None)
        if finding.values is not None and result.gradient == finding.gradient:
            # The first call passed, so it stands for what is right.
            comparison = compare(finding.values, observed.arrays[finding.gradient], 0.0)
            result = replace(
                result,
                max_abs_error=comparison.max_abs_error,
                max_rel_error=comparison.max_rel_error,
                allowed_error=comparison.allowed_error,
                mismatches=comparison.mismatches,
                worst=comparison.worst,
                single_pass=False,
            )
    message = "; ".join(part for part in (finding.message, result.message) if part)
    if finding.diagnosis is None or finding.diagnosis.name in [known.name for known in result.diagnosis]:
        return replace(result, message=message)
    # What a target that differs from call to call happened to resemble says nothing.
    others = () if _is(finding, "nondeterministic") else result.diagnosis
    # Nor does what the result of a forward pass resembles, where it is known what that pass computes.
    others = tuple(known for known in others if known.name not in RESEMBLANCES)
    return replace(result, message=message, diagnosis=(finding.diagnosis, *others))


def _is(finding: Finding, name: str) -> bool:
    return finding.diagnosis is not None and finding.diagnosis.name == name


def _known(name: str) -> Diagnosis:
    """Return what the catalogue says of a mistake."""
    return mistake(name).diagnosis()
