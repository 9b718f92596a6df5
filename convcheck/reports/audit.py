"""What a set of layers could show, as plain data, and that as text."""

from __future__ import annotations

import io
import json
import textwrap
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from convcheck.reports.record import encode, schema
from convcheck.wording import counted, visible

SCHEMA_VERSION: Final = 1

FORMATS = ("table", "json")


@dataclass(frozen=True)
class Visibility:
    """Which forms of a known mistake some layers show."""

    code: Annotated[str, "The mistake's code."]
    name: Annotated[str, "Its name in the catalogue."]
    shown: Annotated[tuple[str, ...], "Forms that show: a gradient, or one variant in a gradient."]
    missing: Annotated[tuple[str, ...], "Forms that show on other layers with as many axes, and on none of these."]
    layers: Annotated[tuple[str, ...], "The layers on which some form shows."]

    @property
    def verdict(self) -> Annotated[str, "every form, some forms or never."]:
        """How much of it shows, in words."""
        return ("some forms" if self.missing else "every form") if self.shown else "never"


@dataclass(frozen=True)
class Lacking:
    """A circumstance in which there is no layer."""

    code: Annotated[str, "Its code."]
    name: Annotated[str, "Its name."]
    lacking: Annotated[str, "What there is not."]


@dataclass(frozen=True)
class Addition:
    """A layer to add."""

    layer: Annotated[str, "One line of a config file."]
    shows: Annotated[tuple[str, ...], "Known mistakes of which it shows forms that nothing before it shows."]
    tries: Annotated[tuple[str, ...], "Circumstances that are tried with it."]


@dataclass(frozen=True)
class Audit:
    """What layers could show, if code is checked on them, and each of their gradients is compared.

    Attributes
    ----------
    source : str
        Where the layers come from.
    layers : int
    judged_on_smaller : int
        Layers for which it was found out on smaller ones of the same kind.
    mistakes : tuple of Visibility
        Every known mistake that can show on layers with as many axes.
    untried : tuple of Lacking
        Circumstances in which there is no layer.
    additions : tuple of Addition
        Few layers that fill every gap.
    left_out : tuple of str
        What else there was, and why nothing is known of it.
    command_status : int or None
        Exit status of the command from which the layers were recorded.
    required : int or None
        How many mistakes must show in every form.
    """

    FIRST_KEYS: ClassVar = ("schema_version", "source", "passed", "layers")

    source: Annotated[str, "Where the layers come from."]
    layers: Annotated[int, "How many there are."]
    judged_on_smaller: Annotated[int, "Layers for which this was found out on smaller ones of the same kind."]
    mistakes: Annotated[tuple[Visibility, ...], "Every known mistake that can show on layers with as many axes."]
    untried: Annotated[tuple[Lacking, ...], "Circumstances in which there is no layer."]
    additions: Annotated[tuple[Addition, ...], "Few layers that fill every gap."]
    left_out: Annotated[tuple[str, ...], "What else there was, and why nothing is known of it."] = ()
    command_status: Annotated[int | None, "Exit status of the recorded command; null where none was."] = None
    required: Annotated[int | None, "How many known mistakes must show in every form; null if none."] = None

    @property
    def schema_version(self) -> Annotated[int, "The version of this format."]:
        """The version of the JSON."""
        return SCHEMA_VERSION

    @property
    def mistakes_shown(self) -> Annotated[int, "Known mistakes that would show in every form."]:
        """Known mistakes that would show in every form."""
        return sum(mistake.verdict == "every form" for mistake in self.mistakes)

    @property
    def passed(self) -> Annotated[bool, "Whether as many would show as are required."]:
        """Whether as many mistakes would show in every form as are required."""
        return self.mistakes_shown >= (self.required or 0)

    def __str__(self) -> str:
        return render(self, "table")


def audit_schema() -> dict[str, Any]:
    """Return the JSON Schema of an audit as JSON."""
    return schema(Audit)


def render(audit: Audit, format: str, *, width: int = 100, color: bool = False) -> str:  # noqa: A002
    """Write an audit in one of `FORMATS`, with a line break at its end."""
    if format == "json":
        return json.dumps(encode(audit), indent=2, ensure_ascii=False) + "\n"
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("code", "known mistake", "shows in", "on"):
        table.add_column(head, no_wrap=True)
    table.add_column("never shows in")
    styles = {"every form": "green", "some forms": "yellow", "never": "red"}
    for mistake in audit.mistakes:
        verdict = Text(mistake.verdict, styles[mistake.verdict])
        layers = counted(len(mistake.layers), "layer") if mistake.layers else ""
        table.add_row(mistake.code, Text(mistake.name, "bold"), verdict, layers, Text(_told(mistake.missing)))
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=width, force_terminal=color, no_color=not color, highlight=False, legacy_windows=False
    )
    console.print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, "", *_summary(audit, width)]) + "\n"


def _told(forms: tuple[str, ...]) -> str:
    """Return forms in few words: those of one gradient by their number, where there are several."""
    variants: dict[str, list[str]] = {}
    for form in forms:
        gradient, _, variant = form.partition(": ")
        variants.setdefault(gradient, []).append(variant)
    return "; ".join(
        f"{gradient} in {len(told)} forms" if len(told) > 1 else f"{gradient}: {told[0]}" if told[0] else gradient
        for gradient, told in variants.items()
    )


def _summary(audit: Audit, width: int) -> list[str]:
    verdicts = [mistake.verdict for mistake in audit.mistakes]
    some, never = verdicts.count("some forms"), verdicts.count("never")
    said = [
        f"{counted(audit.layers, 'layer')} of {visible(audit.source)} could show {audit.mistakes_shown} of "
        f"{counted(len(verdicts), 'known mistake')} in every form, {some} in some forms, {never} never."
    ]
    if audit.judged_on_smaller:
        said.append(f"{counted(audit.judged_on_smaller, 'layer')} judged on smaller ones of the same kind.")
    said += [f"Left out: {visible(words)}" for words in audit.left_out]
    if audit.untried:
        said.append(f"Never tried: {'; '.join(lack.lacking for lack in audit.untried)}.")
    if audit.command_status is not None:
        said.append(f"The recorded command ended with status {audit.command_status}.")
    if audit.required is not None:
        verdict = "PASSED" if audit.passed else "FAILED"
        said.append(f"{verdict}  {audit.mistakes_shown} of at least {audit.required} that are required.")
    lines = [line for text in said for line in _wrapped(text, width, "", "  ")]
    if audit.additions:
        lines += ["", f"With {counted(len(audit.additions), 'more layer')} there is no gap left:", "layers:"]
        for addition in audit.additions:
            lines += _wrapped(", ".join((*addition.shows, *addition.tries)), width, "  # ", "  # ")
            lines.append(f"  - {addition.layer}")
    return lines


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text, max(width, 40), initial_indent=first, subsequent_indent=others, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
