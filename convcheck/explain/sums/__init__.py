"""One entry term by term, or a layer's derivation step by step.

terms       layer, data and an entry -> Explanation: every term of its sum, as data
notation    how the teaching texts write things
entry       Explanation -> Document
derivation  layer -> Document
document    headings, sentences, formulas and tables
text, latex, markdown   Document -> str, pure functions
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from convcheck.errors import Parameter, UsageError

if TYPE_CHECKING:
    from convcheck.explain.sums.document import Document, Renderer

#: Each is a module of this package.
FORMATS = ("text", "latex", "markdown")


def render(document: Document, format: str) -> str:  # noqa: A002
    """Write a document in a format.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    if format not in FORMATS:
        raise UsageError(Parameter("output_format", format), f" is unknown; expected one of {', '.join(FORMATS)}")
    return cast("Renderer", import_module(f"{__name__}.{format}")).render(document)
