"""``convcheck visualize``: draw how the backward pass of a layer comes about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcheck.cli import completion
from convcheck.explain import DATA_HELP
from convcheck.explain.pictures.drawing import ANIMATIONS, FORMATS

if TYPE_CHECKING:
    from convcheck.layer.layer import Layer


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
            metavar="NAME",
            autocompletion=completion.layers,
            help="Draw this layer, by its name or as it stands in a config, such as "
            "'{channels: 1, filters: 1, kernel: 2}'; by default all. Repeatable for names.",
        ),
    ] = None,
    output_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Write into this folder; it is made if it is not there.")
    ] = Path("convcheck-figures"),
    format: Annotated[  # noqa: A002
        str,
        typer.Option(metavar="FORMAT", help=f"Pictures: {', '.join(FORMATS)}. The animation: {', '.join(ANIMATIONS)}."),
    ] = "png",
    sample: Annotated[int, typer.Option(metavar="N", help="Show this sample of the batch.")] = 0,
    channel: Annotated[int | None, typer.Option(metavar="N", help="Show this input channel.")] = None,
    filter: Annotated[int | None, typer.Option(metavar="N", help="Show this filter.")] = None,  # noqa: A002
    terminal: Annotated[bool, typer.Option("--terminal", help="Print the maps here instead of writing files.")] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Also draw what this code gets wrong, on the numbers of verify; by default what the config names.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DATA", help=DATA_HELP)] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where a PyTorch or JAX target runs, such as cuda.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="D", autocompletion=completion.dtypes, help="Data type of the layer, in place of its own."
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
    from convcheck.cli.output import require_writable_folder, screen, write_out
    from convcheck.errors import UsageError
    from convcheck.explain.pictures.errors import find
    from convcheck.explain.pictures.stories import stories_of
    from convcheck.explain.pictures.terminal import render
    from convcheck.explain.pictures.window import Selection
    from convcheck.explain.trial import target_of, trial
    from convcheck.suites.select import choose
    from convcheck.targets.isolation import output_to_stderr

    if format not in (*FORMATS, *ANIMATIONS):
        raise UsageError(f'--format "{format}" is unknown; expected one of {", ".join((*FORMATS, *ANIMATIONS))}')
    with output_to_stderr():
        suite, layers = choose(config, layer or [], seed, several=True, target=target, device=device, dtype=dtype)
    chosen = [(one, Selection.of(one, sample, channel, filter)) for one in layers]
    memory.require((f"layer {one.name}", one) for one in layers)
    if not terminal:
        from convcheck.explain.pictures.drawing.animation import input_gradient_animation, require
        from convcheck.explain.pictures.drawing.page import draw
        from convcheck.explain.pictures.drawing.saving import encode

        if format in ANIMATIONS:
            require(format)
        require_writable_folder(output_dir)
    # A name in a script that the font lacks is drawn as boxes; a warning per letter would not help.
    warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
    with output_to_stderr():
        code = target_of(suite, target, device, data)
    for one, selection in chosen:
        # What the code prints must not end up among the paths.
        with output_to_stderr():
            tried = trial(one, code, data)
            wrong, notes = find(tried)
        at = tried.operands
        for note in notes:
            typer.echo(note, err=True)
        if terminal:
            width, color = screen()
            for story in [*wrong, *stories_of(one, at, selection)]:
                write_out(render(story, one, width=width, color=color))
        elif format in FORMATS:
            # All pictures of a layer are made before the first is written.
            stories = [*wrong, *stories_of(one, at, selection)]
            files = [(story.name, encode(draw(story, one), format)) for story in stories]
            for name, content in files:
                _save(output_dir, f"{_file_stem(one)}-{name}.{format}", content)
        else:
            slices = {"sample": selection.sample, "channel": selection.channel, "filter": selection.filter}
            moving = input_gradient_animation(one, at.weight, at.grad_output, **slices)
            _save(output_dir, f"{_file_stem(one)}-input-gradient.{format}", moving.encode(format))


def _save(folder: Path, name: str, data: bytes) -> None:
    from convcheck.cli.output import write_out, write_whole
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
