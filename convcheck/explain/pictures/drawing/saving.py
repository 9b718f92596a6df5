"""Pictures to bytes."""

from __future__ import annotations

import hashlib
import io
import re
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from convcheck.errors import UsageError
from convcheck.explain.pictures.drawing import FORMATS
from convcheck.explain.pictures.drawing.page import Picture

#: Dots per inch: enough for print.
_DPI = 200


def encode(picture: Picture, format: str) -> bytes:  # noqa: A002
    """Return a picture as the bytes of a file.

    Parameters
    ----------
    format : {"png", "svg"}
        SVG keeps text as text, has a title and a description for screen readers, and is the same to the byte each time.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    if format not in FORMATS:
        raise UsageError(f'format "{format}" is not one of {", ".join(FORMATS)}')
    return _svg(picture) if format == "svg" else _png(picture)


def _png(picture: Picture) -> bytes:
    drawn, buffer = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(picture).print_figure(drawn, format="png", dpi=_DPI)
    about = PngInfo()
    about.add_text("Title", picture.title)
    about.add_itxt("Description", picture.description)
    # Flat colours: a palette keeps them, in a third of the size.
    image = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(buffer, "PNG", dpi=(_DPI, _DPI), optimize=True, pnginfo=about)
    return buffer.getvalue()


def _svg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    # Text as text, no random identifiers, no date and no version: equal pictures are equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "convcheck"}):
        about = {"Title": picture.title, "Date": None, "Creator": None}
        FigureCanvasSVG(picture).print_figure(buffer, format="svg", metadata=about)
    text = buffer.getvalue().decode("utf-8")
    title = f"<title>{escape(picture.title)}</title>"
    described = (
        f'<title id="title">{escape(picture.title)}</title>\n <desc id="desc">{escape(picture.description)}</desc>'
    )
    text = text.replace(title, described, 1).replace("<svg ", '<svg role="img" aria-labelledby="title desc" ', 1)
    # Identifiers of its own, so that several pictures fit on one page.
    own = f"p{hashlib.sha256(text.encode('utf-8')).hexdigest()[:10]}-"
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{own}", text)
    text = text.replace('aria-labelledby="title desc"', f'aria-labelledby="{own}title {own}desc"', 1)
    return text.encode("utf-8")
