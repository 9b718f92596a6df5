"""The JSON Schema of the report that ``--output-format json`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convcheck.layer.fields import FIELDS
from convcheck.reports.results import CHECKS, GRADIENTS, SCHEMA_VERSION, STATUSES

_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_VERDICT = {"type": "boolean"}
_NUMBER_OR_NULL = {"type": ["number", "null"]}
_ERROR = {"type": ["number", "null"], "minimum": 0}

_WORST = {
    "index": {"description": "Position; empty where two sums were compared.", "type": "array", "items": _COUNT},
    "analytic": {"description": "What the backward pass gave; null if not finite.", **_NUMBER_OR_NULL},
    "numeric": {"description": "What the forward pass implies; null if not finite.", **_NUMBER_OR_NULL},
}

_DIAGNOSIS = {
    "code": {"description": "The known mistake's code.", **_TEXT},
    "name": {"description": "Its name in the catalogue.", **_TEXT},
    "explanation": {"description": "What was done wrong.", **_TEXT},
    "fix": {"description": "What to do about it.", **_TEXT},
}


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the report.

    Every key is always there. Within one ``schema_version`` keys may be added and nothing else changes, so readers must
    pass over keys that they do not know.

    Returns
    -------
    dict
        A new schema at every call, plain data that can be written as JSON.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convcheck report",
        "description": "What a verification of the backward pass of convolutional layers found.",
        **_object(
            {
                "schema_version": {"description": "Version of this format.", "const": SCHEMA_VERSION},
                "convcheck_version": {"description": "The convcheck that wrote the report.", **_TEXT},
                "config": {"description": "The config files or suites, with commas between them.", **_TEXT},
                "passed": {"description": "Whether there are layers, and all of them passed.", **_VERDICT},
                "elapsed_seconds": {"type": "number", "minimum": 0},
                "layers": {"type": "array", "items": _layer()},
            }
        ),
    }


def _layer() -> dict[str, Any]:
    return _object(
        {
            "name": {"description": "The layer's name.", **_TEXT},
            "config": {"description": "Its config file or suite; null for a layer from no file.", **_TEXT_OR_NULL},
            "line": {"description": "Its line in the config file.", "type": ["integer", "null"], "minimum": 1},
            "passed": {"description": "Whether something was checked and nothing is bad.", **_VERDICT},
            "spec": {
                "description": "The layer, every value resolved.",
                **_object({name: field.resolved_schema() for name, field in FIELDS.items()}),
            },
            "results": {"type": "array", "items": _result()},
        }
    )


def _result() -> dict[str, Any]:
    return _object(
        {
            "implementation": {"description": "A built-in formulation's name, or the target as given.", **_TEXT},
            "gradient": {"description": "What was checked; output is the forward pass.", "enum": list(GRADIENTS)},
            "check": {"description": "How it was checked.", "enum": list(CHECKS)},
            "status": {"description": "All but passed and skipped fail the layer.", "enum": list(STATUSES)},
            "entries": {"description": "Entries of the gradient.", **_COUNT},
            "entries_checked": {"description": "How many of them were compared one by one.", **_COUNT},
            "evaluations": {"description": "Perturbed forward passes that the check took.", **_COUNT},
            "max_abs_error": {"description": "Largest |analytic - numeric|; null if not finite.", **_ERROR},
            "max_rel_error": {"description": "The same, relative to the largest entry; null if not finite.", **_ERROR},
            "allowed_error": {"description": "Allowed |analytic - numeric|; null if not finite.", **_ERROR},
            "mismatches": {"description": "Entries, or random directions, beyond what is allowed.", **_COUNT},
            "false_pass_probability": {
                "description": "Bound on the probability with which a wrong gradient passes; null where every entry "
                "was compared.",
                "type": ["number", "null"],
                "minimum": 0,
                "maximum": 1,
            },
            "worst": {
                "description": "The entry furthest beyond what is allowed; null where nothing differs.",
                "anyOf": [_object(_WORST), {"type": "null"}],
            },
            "diagnosis": {"description": "Mistakes behind it.", "type": "array", "items": _object(_DIAGNOSIS)},
            "message": {"description": "Where it is wrong, or why it was not decided; null if neither.",
                        **_TEXT_OR_NULL},
        }
    )  # fmt: skip


def _object(properties: Mapping[str, object]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}
