"""``convcheck schema``: the JSON Schema of the config file, or of the report."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class _Document(StrEnum):
    CONFIG = "config"
    REPORT = "report"


def schema(
    document: Annotated[_Document, typer.Argument(help="What the schema describes.")] = _Document.CONFIG,
) -> None:
    """Print the JSON Schema of the config file, or of the report."""
    import json

    from convcheck.cli.output import write_out
    from convcheck.reports.results import report_schema
    from convcheck.suites.schema import config_schema

    described = config_schema() if document is _Document.CONFIG else report_schema()
    write_out(json.dumps(described, indent=2) + "\n")
