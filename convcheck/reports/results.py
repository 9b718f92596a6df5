"""What a verification found, as plain data; from its annotations follow the JSON, its schema and the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from convcheck.gradients import FORMULATIONS
from convcheck.layer.fields import FIELDS
from convcheck.layer.layer import Layer
from convcheck.layer.properties import in_common
from convcheck.reports.record import OnlyWith, encode, schema

SCHEMA_VERSION: Final = 1

#: Which array a result is about, in the order in which it is checked.
GRADIENTS = ("output", "input", "weight", "bias")

#: Kinds of check, in the order in which they run.
CHECKS = ("forward", "central", "exact", "projected", "accumulate", "conditions", "double")

STATUSES = ("passed", "failed", "skipped", "inconclusive", "error")

#: Why a condition was not tried: it was not to be, or what the code says begins like this.
SKIPPED_BY_HAND = "skipped by --skip-condition"
REFUSED = "refused under {}: "

#: The condition that explains results that were found without it too, by chance.
OUT_OF_BOUNDS = "out-of-bounds"

#: What was checked where there was no target.
NO_CODE_OF_YOURS = "convcheck's own formulations; no code of yours"

_Error = Annotated[float, {"minimum": 0}]
_Finite = Annotated[float, {"type": "number", "minimum": 0}]
_Probability = {"minimum": 0, "maximum": 1}


@dataclass(frozen=True)
class Worst:
    """The entry that is furthest beyond what is allowed.

    Of a projected check, which compares two sums instead of entries, it has no index, unless the entry behind the
    difference was found.
    """

    index: Annotated[tuple[int, ...], "Position; empty where two sums were compared."]
    analytic: Annotated[complex, "What the backward pass gave."]
    numeric: Annotated[complex, "What the forward pass implies."]


@dataclass(frozen=True)
class Diagnosis:
    """A known mistake that reproduces a wrong gradient, or what the gradient has in common with the right one."""

    code: Annotated[str, "The known mistake's code."]
    name: Annotated[str, "Its name in the catalogue."]
    explanation: Annotated[str, "What was done wrong."]
    fix: Annotated[str, "What to do about it."]


@dataclass(frozen=True)
class GradientResult:
    """The outcome of one check of one array of one implementation.

    The allowed error is that at the entry with the largest error where the check passed, and at the worst entry where
    it failed. So ``max_abs_error <= allowed_error`` holds exactly when the check passed.

    Attributes
    ----------
    waived : bool
        Whether it was skipped because the target is said not to give this gradient at all.
    on_integers : bool
        Whether it was compared on data on which nothing rounds, so that nothing but a gate is allowed.
    single_pass : bool
        Whether one forward and backward pass gave its numbers; not where a second call is compared with the first.
    digest : str or None
        Of the output and the gradient, where every entry was compared with differences that took long.
    """

    implementation: Annotated[str, "A built-in formulation's name, or the target as given."]
    gradient: Annotated[str, "What was checked; output is the forward pass.", {"enum": list(GRADIENTS)}]
    check: Annotated[str, "How it was checked.", {"enum": list(CHECKS)}]
    status: Annotated[str, "All but passed and skipped fail the layer.", {"enum": list(STATUSES)}]
    entries: Annotated[int, "Entries of the gradient."] = 0
    entries_checked: Annotated[int, "How many of them were compared one by one."] = 0
    evaluations: Annotated[int, "Perturbed forward passes that the check took."] = 0
    max_abs_error: Annotated[_Error, "Largest |analytic - numeric|."] = 0.0
    max_rel_error: Annotated[_Error, "The same, relative to the largest entry of both."] = 0.0
    allowed_error: Annotated[_Error, "Allowed |analytic - numeric|."] = 0.0
    mismatches: Annotated[int, "Entries, or random directions, beyond what is allowed."] = 0
    false_pass_probability: Annotated[
        float | None,
        "Bound on the probability with which a wrong gradient passes; null where every entry was compared.",
        _Probability,
    ] = None
    worst: Annotated[Worst | None, "The entry furthest beyond what is allowed; null where nothing differs."] = None
    diagnosis: Annotated[tuple[Diagnosis, ...], "Mistakes behind it."] = ()
    message: Annotated[str | None, "Where it is wrong, or why it was not decided; null if neither."] = None
    waived: bool = False
    on_integers: bool = False
    single_pass: bool = True
    digest: str | None = None
    condition: Annotated[str | None, "Which condition; for checks of that kind only.", OnlyWith("condition")] = None
    accumulates: Annotated[
        str | None, "Format in which its sums were found to be made, in words.", OnlyWith("accumulates")
    ] = None
    draws: Annotated[
        int | None,
        "Draws of the data that were compared, where sums are so long that data have zeros for them to stay exact.",
        OnlyWith("draws"),
    ] = None
    exercised: Annotated[
        float | None,
        "Share of the entries of input, weight and grad_output, whichever is smallest, that were no zero in a draw.",
        _Probability,
        OnlyWith("draws"),
    ] = None

    @property
    def passed(self) -> bool:
        """Whether this check ran and found nothing wrong."""
        return self.status == "passed"

    @property
    def spared(self) -> bool:
        """Whether no differences were made, as the arrays were those of an equal layer, where they were made."""
        return self.passed and self.digest is not None and not self.evaluations

    @property
    def kind(self) -> str:
        """How it was checked, in one word: the check, or the condition."""
        return self.condition or self.check

    @property
    def refused(self) -> str | None:
        """What the code says that refuses to be called under a condition; None where it does not refuse."""
        start = REFUSED.format(self.condition)
        said = self.message or ""
        return said.removeprefix(start) if self.status == "skipped" and said.startswith(start) else None

    @property
    def acceptable(self) -> bool:
        """Whether this result leaves the layer's verdict alone: passed, or skipped with a reason."""
        return self.status in ("passed", "skipped")


def _layer_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``Layer.spec()``: what the config file takes, resolved."""
    properties = {name: field.resolved_schema() for name, field in FIELDS.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _operands_schema() -> dict[str, Any]:
    """Return the JSON Schema of arrays as nested lists, the bias null where there is none."""
    shapes = {
        "x": "The input, [N, C, *input].",
        "weight": "The weight, [F, C/groups, *kernel].",
        "bias": "The bias, [F]; null where the layer has none.",
        "grad_output": "The gradient of the output, [N, F, *output].",
    }
    properties = {
        name: {"description": shape, "type": ["array", "null"] if name == "bias" else "array"}
        for name, shape in shapes.items()
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _weights_schema() -> dict[str, Any]:
    """Return the JSON Schema of what the gradients are multiplied with, entry by entry, as nested lists."""
    properties = {
        name: {"description": f"That of the {of} gradient.", "type": ["array", "null"] if name == "bias" else "array"}
        for name, of in (("x", "input's"), ("weight", "weight's"), ("bias", "bias's"))
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


@dataclass(frozen=True)
class Smallest:
    """The smallest case found on which a failed target still fails in the same way."""

    layer: Annotated[dict[str, Any], "The layer, every value resolved.", _layer_schema()]
    gradient: Annotated[str, "What is wrong on it; output is the forward pass.", {"enum": list(GRADIENTS)}]
    index: Annotated[tuple[int, ...], "A wrong entry; empty where there is no array to compare."]
    analytic: Annotated[complex, "What the code gave there."]
    numeric: Annotated[complex, "What the forward pass implies there, or of the output the definition."]
    operands: Annotated[
        dict[str, Any], "The data, as nested lists; complex numbers as pairs, [real, imaginary].", _operands_schema()
    ]
    condition: Annotated[str | None, "Under which condition it fails; null for none."]
    runs: Annotated[int, "Forward and backward passes that finding it took."]
    what: Annotated[str, "What is wrong there, in a sentence."]
    note: Annotated[str | None, "What else is to be said: a size that matters, a search that ended early."] = None
    along: Annotated[
        dict[str, Any] | None,
        "Of a second derivative, the weights of the gradients whose sum is differentiated, as nested lists.",
        _weights_schema(),
        OnlyWith("along"),
    ] = None


@dataclass(frozen=True)
class LayerReport:
    """Everything that was found for one layer.

    Attributes
    ----------
    layer : Layer
    """

    FIRST_KEYS: ClassVar = ("name", "config", "line", "passed", "spec", "results")

    layer: Layer
    results: Annotated[tuple[GradientResult, ...], "One per array, check and implementation."]
    config: Annotated[str | None, "Its config file or suite; null for a layer from no file."] = None
    line: Annotated[int | None, "The line of the config file on which it starts.", {"minimum": 1}] = None
    smallest: Annotated[Smallest | None, "The smallest case on which the target still fails.", OnlyWith("smallest")] = (
        None
    )

    @property
    def name(self) -> Annotated[str, "The layer's name."]:
        """The layer's name."""
        return self.layer.name

    @property
    def spec(self) -> Annotated[dict[str, Any], "The layer, every value resolved.", _layer_schema()]:
        """The layer as plain data."""
        return self.layer.spec()

    @property
    def passed(self) -> Annotated[bool, "Whether something was checked and nothing is bad."]:
        """True if no result is bad and something was really checked: being skipped is no pass.

        Every gradient must have passed some check; where there are any, the forward pass alone does not count.
        """
        results = [r for r in self.results if r.gradient != "output"] or self.results
        passed = {(r.implementation, r.gradient) for r in results if r.passed}
        needed = {(r.implementation, r.gradient) for r in results if not r.waived}
        return bool(passed) and needed <= passed and all(r.acceptable for r in self.results)


@dataclass(frozen=True)
class BlindSpot:
    """A known mistake, or some forms of it, that a suite cannot show; or a circumstance that it never tried."""

    code: Annotated[str, "The mistake's code."]
    name: Annotated[str, "Its name in the catalogue."]
    forms: Annotated[tuple[str, ...], "Which gradients, and which variants of the mistake, go unseen."]
    change: Annotated[str, "What the layers lack, for example a stride."]
    layer: Annotated[str, "A layer that shows them, as one line of a config file; empty where no layer does."]


@dataclass(frozen=True)
class Power:
    """What a report that passed has ruled out."""

    entries_compared_exactly: Annotated[
        int, "Entries that were compared with zero tolerance; once per check and implementation."
    ]
    false_pass_probability: Annotated[
        _Finite,
        "Largest bound on the probability with which a wrong gradient passed; 0 where every entry was compared.",
        _Probability,
    ]
    mistakes_shown: Annotated[int, "Known mistakes that would have shown in each of their forms."]
    mistakes: Annotated[int, "All that can be made on layers with as many axes."]
    beyond_limits: Annotated[
        tuple[str, ...], "Known mistakes of which some form shows only on layers that the target does not take."
    ] = ()
    judged_on_smaller: Annotated[int, "Layers that this was found out for on smaller ones of the same kind."] = 0


@dataclass(frozen=True)
class Tried:
    """How often a hunt tried something."""

    what: Annotated[str, "A condition, or what layers have."]
    cases: Annotated[int, "Cases in which it was tried."]


@dataclass(frozen=True)
class Drawn:
    """Between which numbers a hunt drew a size."""

    field: Annotated[str, "The layer's field."]
    least: Annotated[int, "Smallest number, on any axis."]
    most: Annotated[int, "Largest number."]


@dataclass(frozen=True)
class Hunt:
    """What a hunt tried: cases, each a layer run forward and backward, plain or under one condition."""

    seed: Annotated[int, "From which layers and data are drawn; the same seed gives the same cases."]
    cases: Annotated[int, "Cases that ran and were compared exactly with the built-in gradients."]
    layers: Annotated[int, "Layers of these cases; code that is compiled for every shape is run in many ways on each."]
    refused: Annotated[int, "Cases that the code refused, by raising in its forward pass."]
    seconds: Annotated[_Finite, "How long the search took, without the checks of the layers reported."]
    sizes: Annotated[tuple[Drawn, ...], "Between which numbers each size was."]
    properties: Annotated[tuple[Tried, ...], "What the layers had that the plainest have not, and how often."]
    conditions: Annotated[tuple[Tried, ...], "How often each condition was tried; plain is none."]
    mistakes_shown: Annotated[int, "Known mistakes that would have shown in each of their forms."]
    mistakes: Annotated[int, "All that can be made within what the code takes; 0 after an interruption."]
    not_shown: Annotated[tuple[str, ...], "Known mistakes of which some form would not have shown."]
    not_tried: Annotated[tuple[str, ...], "What was never tried; a text each."]


@dataclass(frozen=True)
class ReportData:
    """The outcome of a verification.

    Attributes
    ----------
    max_error : float or None
        The gate: largest allowed relative error; None where the derived bounds decide.
    options : tuple of str
        Options of ``convcheck verify`` that the run of any part of this report again needs, for example
        ``("--target", "my.py:MyConv", "--complete")``.
    as_object : bool
        Whether the target was given as an object, or in a mapping, which no command is written for.
    strict : bool
        Whether a blind spot is a failure.
    """

    FIRST_KEYS: ClassVar = (
        "schema_version", "convcheck_version", "config", "passed", "elapsed_seconds", "layers", "target", "checked",
    )  # fmt: skip

    layers: Annotated[tuple[LayerReport, ...], "What was found, layer by layer."]
    config: Annotated[str, "The config files or suites, with commas between them."]
    target: Annotated[str | None, "The code that was checked; null for convcheck's own formulations."] = None
    max_error: float | None = None
    elapsed_seconds: Annotated[_Finite, "Seconds that the verification took."] = 0.0
    convcheck_version: Annotated[str, "The convcheck that wrote the report."] = ""
    options: tuple[str, ...] = ()
    as_object: bool = False
    power: Annotated[Power | None, "What has been ruled out, where that was asked for.", OnlyWith("power")] = None
    blind_spots: Annotated[
        tuple[BlindSpot, ...], "What these layers cannot show or never tried; there with power.", OnlyWith("power")
    ] = ()
    strict: bool = False
    seed: Annotated[
        int | None, "Seed of the data of all layers, where one was given or drawn for them.", OnlyWith("seed")
    ] = None
    fitted: Annotated[bool, "Whether the layers were chosen from what the target takes.", OnlyWith("fitted")] = False
    limits: Annotated[
        tuple[str, ...],
        "What the target does not take, as far as it was found out by trying; a text each.",
        OnlyWith("limits"),
    ] = ()
    found: Annotated[
        tuple[str, ...],
        "What else was found out about the target, by trying or from the framework it runs in; a text each.",
        OnlyWith("found"),
    ] = ()
    left_out: Annotated[
        tuple[str, ...], "What was not tried or not checked, and why not; a text each.", OnlyWith("left_out")
    ] = ()
    hunt: Annotated[Hunt | None, "What a hunt tried.", OnlyWith("hunt")] = None
    unchecked: Annotated[
        tuple[str, ...],
        "Names of the layers that were not checked, because the run was interrupted or stopped at the first failure.",
        OnlyWith("unchecked"),
    ] = ()

    @property
    def schema_version(self) -> Annotated[Literal[1], "Version of this format."]:
        """Version of the JSON report; within one, keys may be added and nothing else changes."""
        return SCHEMA_VERSION

    @property
    def own_only(self) -> tuple[str, ...]:
        """The configs on whose layers only convcheck's own formulations were checked."""
        own = [layer for layer in self.layers if all(r.implementation in FORMULATIONS for r in layer.results)]
        return tuple(dict.fromkeys(layer.config or layer.name for layer in own if layer.results))

    @property
    def checked(self) -> Annotated[str, "What was checked, in words; says where it was no code of the user's."]:
        """What was checked, in words."""
        if self.target is None:
            return NO_CODE_OF_YOURS
        return f"{self.target}; on {', '.join(self.own_only)} {NO_CODE_OF_YOURS}" if self.own_only else self.target

    @property
    def passed(self) -> Annotated[bool, "Whether there are layers, and all of them passed."]:
        """True if there is a layer, every layer was checked and passed, and, where that is strict, nothing is blind."""
        blind = self.strict and bool(self.blind_spots)
        complete = bool(self.layers) and not self.unchecked
        return complete and all(layer.passed for layer in self.layers) and not blind

    @property
    def common(self) -> Annotated[str | None, "What failing layers have in common and passing ones have not, if any."]:
        """What all layers with a result that is bad have, and none of those that passed; None if there is nothing."""
        bad = [report.layer for report in self.layers if not all(result.acceptable for result in report.results)]
        passed = [report.layer for report in self.layers if report.passed]
        return in_common(bad, passed, ("failing", "passing"))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as the versioned JSON envelope; NaN and infinity become None, as JSON has neither.

        ``power`` and ``blind_spots`` are there where they were asked for, ``unchecked`` where some layers were not.
        """
        data: dict[str, Any] = encode(self)
        return data


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the report.

    Within one ``schema_version`` keys may be added and nothing else changes, so readers must pass over keys that they
    do not know.

    Returns
    -------
    dict
        Plain data that can be written as JSON.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convcheck report",
        "description": "What a verification of the backward pass of convolutional layers found.",
        **schema(ReportData),
    }
