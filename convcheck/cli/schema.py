"""``convcheck schema``: the JSON Schema of the config file."""

from __future__ import annotations

__all__ = ["schema"]


def schema() -> None:
    """Print the JSON Schema of the config file."""
    import json

    from convcheck.cli.output import write_out
    from convcheck.schema import config_schema

    write_out(json.dumps(config_schema(), indent=2) + "\n")
