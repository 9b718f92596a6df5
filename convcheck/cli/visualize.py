"""``convcheck visualize``: draw how the backward pass of a layer comes about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcheck.cli import completion

if TYPE_CHECKING:
    from convcheck.explain.pictures.panel import Story
    from convcheck.explain.pictures.window import Selection
    from convcheck.layer.layer import Layer
    from convcheck.suites.config import Suite

#: What --format takes; the last three are animations.
_FORMATS = ("png", "svg", "gif", "webp", "apng")


def visualize(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]",
            autocompletion=completion.configs,
            help="A config file, or the name of a suite that ships with convcheck; without one, convcheck.yaml in the "
            "current folder, or else a worked example with stride 2.",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", autocompletion=completion.layers, help="Draw this layer; by default all. Repeatable."
        ),
    ] = None,
    output_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Write into this folder; it is made if it is not there.")
    ] = Path("convcheck-figures"),
    format: Annotated[  # noqa: A002
        str, typer.Option(metavar="FORMAT", help="Pictures: png, svg. The animation: gif, webp, apng.")
    ] = "png",
    sample: Annotated[int, typer.Option(metavar="N", help="Show this sample of the batch.")] = 0,
    channel: Annotated[int | None, typer.Option(metavar="N", help="Show this input channel.")] = None,
    filter: Annotated[int | None, typer.Option(metavar="N", help="Show this filter.")] = None,  # noqa: A002
    terminal: Annotated[bool, typer.Option("--terminal", help="Print the maps here instead of writing files.")] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="Also draw what this code gets wrong: module:name or path/to/file.py:name."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the data, in place of each layer's own.")
    ] = None,
) -> None:
    """Draw how the backward pass of layers comes about, step by step, with their numbers.

    Prints the paths of the files. Exit status: 0 if they were written, 2 for a wrong option, config or target.
    """
    import warnings

    from convcheck.checks import memory
    from convcheck.cli.files import require_writable_folder
    from convcheck.errors import UsageError
    from convcheck.explain.pictures.window import Selection
    from convcheck.suites.select import choose

    if format not in _FORMATS:
        raise UsageError(f'--format "{format}" is unknown; expected one of {", ".join(_FORMATS)}')
    suite, layers = choose(config, layer or [], seed, several=True)
    chosen = [(one, Selection.of(one, sample, channel, filter)) for one in layers]
    memory.require((f"layer {one.name}", one) for one in layers)
    if not terminal:
        _require_format(format)
        require_writable_folder(output_dir)
    # A name in a script that the font lacks is drawn as boxes; a warning per letter would not help.
    warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
    for one, selection in chosen:
        wrong = _errors(one, suite, target)
        if terminal:
            _print(one, selection, wrong)
        elif format in ("png", "svg"):
            _write(one, selection, wrong, output_dir, format)
        else:
            _animate(one, selection, output_dir, format)


def _require_format(format: str) -> None:  # noqa: A002
    if format not in ("png", "svg"):
        from convcheck.explain.pictures.drawing.animation import require

        require(format)


def _errors(layer: Layer, suite: Suite, target: str | None) -> tuple[Story, ...]:
    """Run the target, if there is one, and return the story of every wrong array."""
    import contextlib
    import sys

    from convcheck.explain.pictures.wrong import find
    from convcheck.targets import resolve

    wanted = target if target is not None else suite.target
    if wanted is None:
        return ()
    folder = Path.cwd() if target is not None or suite.path is None else suite.path.parent
    with contextlib.redirect_stdout(sys.stderr):
        findings = find(layer, resolve(wanted, folder))
    for note in findings.notes:
        typer.echo(note, err=True)
    return findings.stories


def _stories(layer: Layer, chosen: Selection, wrong: tuple[Story, ...]) -> list[Story]:
    from convcheck.explain.pictures.data import example_operands
    from convcheck.explain.pictures.stories import stories_of

    return [*wrong, *stories_of(layer, example_operands(layer), chosen)]


def _print(layer: Layer, chosen: Selection, wrong: tuple[Story, ...]) -> None:
    from convcheck.cli.output import screen, write_out
    from convcheck.explain.pictures.terminal import render

    width, color = screen()
    for story in _stories(layer, chosen, wrong):
        write_out(render(story, layer, width=width, color=color))


def _write(layer: Layer, chosen: Selection, wrong: tuple[Story, ...], folder: Path, format: str) -> None:  # noqa: A002
    from convcheck.explain.pictures.drawing.page import draw, layer_line
    from convcheck.explain.pictures.drawing.saving import encode

    stories = _stories(layer, chosen, wrong)
    # All pictures of a layer are made before the first is written.
    files = [(story.name, encode(draw(story, layer_line(layer)), format)) for story in stories]
    for name, data in files:
        _save(folder, f"{_file_stem(layer)}-{name}.{format}", data)


def _animate(layer: Layer, chosen: Selection, folder: Path, format: str) -> None:  # noqa: A002
    from convcheck.explain.pictures.data import example_operands
    from convcheck.explain.pictures.drawing import input_gradient_animation

    at = example_operands(layer)
    moving = input_gradient_animation(
        layer, at.weight, at.grad_output, sample=chosen.sample, channel=chosen.channel, filter=chosen.filter
    )
    _save(folder, f"{_file_stem(layer)}-input-gradient.{format}", moving.encode(format))


def _save(folder: Path, name: str, data: bytes) -> None:
    from convcheck.cli.files import write_whole
    from convcheck.cli.output import write_out
    from convcheck.errors import UsageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    write_whole(folder / name, data)
    write_out(f"{folder / name}\n")


def _file_stem(layer: Layer) -> str:
    """Return a layer's name as a file name: what is special in paths or shells becomes an underscore."""
    import hashlib
    import re

    stem = re.sub(r"[^\w.-]", "_", layer.name).lstrip(".-")[:80]
    if stem == layer.name:
        return stem
    # Different names stay different files.
    return f"{stem}-{hashlib.sha256(layer.name.encode()).hexdigest()[:6]}"
