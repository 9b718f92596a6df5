"""What an explanation is made of, whatever it is written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Heading:
    """A heading."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    text: str


@dataclass(frozen=True)
class Formula:
    """A formula, in characters and in LaTeX; several lines belong together.

    Attributes
    ----------
    text, latex : tuple of str
        One per line. A LaTeX line has its alignment mark, ``&``.
    """

    text: tuple[str, ...]
    latex: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table; what its columns hold is said by the first row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Formula | Table


@dataclass(frozen=True)
class Document:
    """A title and blocks."""

    title: str
    blocks: tuple[Block, ...]


class Renderer(Protocol):
    """What the module of a format offers."""

    def render(self, document: Document) -> str:
        """Return the document as text with a line break at its end."""
