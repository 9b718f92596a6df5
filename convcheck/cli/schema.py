"""``convcheck schema``: the JSON Schema of the config file, of the report, or of an audit."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class _Document(StrEnum):
    CONFIG = "config"
    REPORT = "report"
    AUDIT = "audit"
    JUDGE = "judge"


def schema(
    document: Annotated[_Document, typer.Argument(help="What the schema describes.")] = _Document.CONFIG,
) -> None:
    """Print the JSON Schema of the config file, of the report, of what judge prints, or of an audit."""
    import json

    from convcheck.cli.output import write_out
    from convcheck.reports.audit import audit_schema
    from convcheck.reports.judgement import judgement_schema
    from convcheck.reports.results import report_schema
    from convcheck.suites.schema import config_schema

    schemas = {
        _Document.CONFIG: config_schema, _Document.REPORT: report_schema, _Document.JUDGE: judgement_schema,
        _Document.AUDIT: audit_schema,
    }  # fmt: skip
    write_out(json.dumps(schemas[document](), indent=2) + "\n")
