"""Cases -> the page: one file that holds its data, its program and its style, and needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from convcheck.errors import UsageError
from convcheck.explain.page.case import Shown, case_of
from convcheck.explain.page.packing import size_of
from convcheck.explain.page.still import still
from convcheck.explain.sums.notation import NOTATIONS, Notation
from convcheck.mistakes import MISTAKES
from convcheck.version import __version__

#: Part of what a page may hold that the known mistakes may take.
_SHARE_OF_MISTAKES = 0.4

#: The files of the program, in the order in which they build on each other; views are found by themselves.
_SCRIPTS = ("model", "notation", "state", "links", "maps", "equation", "svg", "controls", "quiz")


def page_of(shown: Sequence[Shown], limit: int, *, title: str, facts: str = "", style: str = "") -> str:
    """Return the page of some cases.

    Parameters
    ----------
    shown : sequence of Shown
        At least one; the page starts with the first.
    limit : int
        Bytes that their data may take. Cases that no longer fit are left out, which the page says.
    title, facts, style : str
        HTML of the title and of what stands above the page, and how that looks.

    Raises
    ------
    UsageError
        If the first case is larger than that.
    """
    cases: list[dict[str, Any]] = []
    left = limit
    for one in shown:
        try:
            # What the known mistakes give is as much as there is room for; further cases need some too.
            cases.append(case_of(one, left, share=_SHARE_OF_MISTAKES / len(shown)))
        except UsageError as error:
            if not cases:
                raise
            cases[0]["left_out"].append(f"{one.title}: {error}")
            continue
        left -= size_of(cases[-1])
    drawing, lines = still(shown[0])
    data = {
        "version": __version__,
        "cases": cases,
        "notations": [_described(writing) for writing in NOTATIONS.values()],
        "catalogue": {
            mistake.name: {"title": mistake.title, "explanation": mistake.explanation, "fix": mistake.fix}
            for mistake in MISTAKES
            if any(made["name"] == mistake.name for case in cases for made in case["mistakes"])
        },
    }
    # Nothing in the data can end the element that holds them.
    told = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Template(_file("page.html")).substitute(
        title=title, style=style + _file("page.css"), facts=facts or f"<h1>{title}</h1>", still=drawing,
        equation="\n".join(map(escape, lines)), data=told, program=program(),
    )  # fmt: skip


def _described(writing: Notation) -> dict[str, Any]:
    symbols = {name: [one.text, one.latex, one.fraction] for name, one in writing.symbols.items()}
    return {
        "name": writing.name, "about": writing.about, "symbols": symbols, "layout": writing.layout,
        "times": writing.times,
    }  # fmt: skip


@cache
def program() -> str:
    """Return the page's program: its files, one after another."""
    folder = files(__package__).joinpath("script")
    views = sorted(each.name for each in folder.joinpath("views").iterdir() if each.name.endswith(".js"))
    names = [*(f"{name}.js" for name in _SCRIPTS), *(f"views/{name}" for name in views), "app.js"]
    return '(() => {\n"use strict";\n' + "\n".join(_file(f"script/{name}") for name in names) + "})();\n"


@cache
def _file(name: str) -> str:
    """Read a file of the page, without its comments and what its lines are indented by, which is a sixth of it."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    lines = map(str.strip, text.splitlines())
    text = "\n".join(line for line in lines if line and not line.startswith(("//", "/*"))) + "\n"
    if name.endswith(".css"):
        # In a style sheet, blanks around these say nothing.
        for sign in (":", ";", ",", "{", "}"):
            text = text.replace(f"{sign} ", sign)
        text = text.replace(" {", "{").replace(" }", "}").replace("\n", "")
    return text
