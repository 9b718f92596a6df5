"""What a judgement says of code: the short answer that a training loop or a bot that reviews code needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from convcheck.reports.record import encode, schema
from convcheck.reports.results import ReportData, Smallest


@dataclass(frozen=True)
class Judgement:
    """The outcome of everything that was tried on code.

    Attributes
    ----------
    score : float
        Share of the checks that ran which passed.
    """

    FIRST_KEYS: ClassVar = ("schema_version", "passed", "score")

    passed: Annotated[bool, "Whether all that was checked passed."]
    score: Annotated[float, "Share of the checks that ran which passed.", {"minimum": 0, "maximum": 1}]
    mistakes: Annotated[tuple[str, ...], "Names of the mistakes that were found, the most frequent first."]
    smallest: Annotated[Smallest | None, "The smallest case on which the code fails; null where there is none."]
    limits: Annotated[tuple[str, ...], "What the code does not take, and what was not tried; a text each."]
    seed: Annotated[int, "Seed of all data, by which the judgement can be repeated."]
    report: Annotated[str | None, "File with the whole report; null where none was asked for."] = None

    @property
    def schema_version(self) -> Annotated[Literal[1], "Version of this format."]:
        """Version of this format; within one, keys may be added and nothing else changes."""
        return 1

    @classmethod
    def of(cls, report: ReportData, seed: int, path: str | None) -> Judgement:
        """Sum up a report."""
        results = [result for layer in report.layers for result in layer.results if result.status != "skipped"]
        names = [diagnosis.name for result in results if not result.passed for diagnosis in result.diagnosis]
        smallest = next((layer.smallest for layer in report.layers if layer.smallest is not None), None)
        return cls(
            report.passed,
            sum(result.passed for result in results) / len(results) if results else 0.0,
            tuple(sorted(dict.fromkeys(names), key=lambda name: -names.count(name))),
            smallest,
            (*report.limits, *report.left_out),
            seed,
            path,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data that can be written as JSON."""
        data: dict[str, Any] = encode(self)
        return data


def judgement_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a judgement, as plain data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convcheck judgement",
        "description": "The short answer of convcheck judge.",
        **schema(Judgement),
    }
