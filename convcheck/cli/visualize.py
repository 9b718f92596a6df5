"""``convcheck visualize``: draw how the backward pass of a layer comes about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcheck.cli import completion
from convcheck.cli.running import Device, InProcess, Memory, Timeout, limits_of
from convcheck.explain import DATA_HELP, MEGABYTES, MOST_MEGABYTES
from convcheck.explain.pictures.drawing import ANIMATIONS, FORMATS, MOVING

if TYPE_CHECKING:
    from convcheck.explain.pictures.selection import Selection
    from convcheck.explain.trial import Trial

#: The format of the interactive page.
_PAGE = "html"


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
        typer.Option(
            metavar="FORMAT",
            help=f"Pictures: {', '.join(FORMATS)}. Animations: {', '.join(ANIMATIONS)}. A page in which every entry "
            f"can be touched: {_PAGE}.",
        ),
    ] = "png",
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            autocompletion=completion.pictures,
            help="Draw this picture, such as input-gradient or wires; by default all. Repeatable.",
        ),
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option(
            metavar="ENTRY",
            help="Work out this entry in every picture, such as 'input[0,1,2,2]'; by default the worst of what the "
            "code gets wrong, else one near the origin.",
        ),
    ] = None,
    sample: Annotated[int | None, typer.Option(metavar="N", help="Show this sample of the batch.")] = None,
    channel: Annotated[int | None, typer.Option(metavar="N", help="Show this input channel.")] = None,
    filter: Annotated[int | None, typer.Option(metavar="N", help="Show this filter.")] = None,  # noqa: A002
    terminal: Annotated[bool, typer.Option("--terminal", help="Print the maps here instead of writing files.")] = False,
    show: Annotated[
        bool, typer.Option("--open", help="Open what is written: a file, or the folder of several.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Also draw what this code gets wrong, on the numbers of verify; by default what the config names.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DATA", help=DATA_HELP)] = None,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    in_process: InProcess = False,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="D", autocompletion=completion.dtypes, help="Data type of the layer, in place of its own."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the data, in place of each layer's own.")
    ] = None,
    page_limit: Annotated[
        int, typer.Option(metavar="MB", help=f"Size that a page may have, up to {MOST_MEGABYTES} MB.")
    ] = MEGABYTES,
) -> None:
    """Draw how the backward pass of layers comes about, step by step, with their numbers.

    Prints the paths of the files. Exit status: 0 if they were written, 2 for a wrong option, config or target.
    """
    import warnings

    from convcheck.checks.memory import require as require_memory
    from convcheck.cli.output import require_writable_folder, screen, write_out, write_picture
    from convcheck.cli.progress import Progress
    from convcheck.errors import UsageError
    from convcheck.explain.page.case import limit_of
    from convcheck.explain.pictures.errors import find
    from convcheck.explain.pictures.selection import Selection
    from convcheck.explain.pictures.stories import ERROR, require_kinds, stories_of
    from convcheck.explain.pictures.stories import kinds as known_kinds
    from convcheck.explain.pictures.terminal import render
    from convcheck.explain.trial import target_of, trial
    from convcheck.suites.select import choose
    from convcheck.targets.isolation import output_to_stderr

    limits = limits_of(timeout, memory, in_process)
    if format not in (known := (*FORMATS, *ANIMATIONS, _PAGE)):
        raise UsageError(f'--format "{format}" is unknown; expected one of {", ".join(known)}')
    limit, as_page = limit_of(page_limit), format == _PAGE and not terminal
    kinds = kind or []
    if as_page and kinds:
        raise UsageError(f"--kind is for pictures, and a page ({_PAGE}) has all views; leave out one of them")
    require_kinds(kinds, MOVING if format in ANIMATIONS and not terminal else known_kinds())
    if show and terminal:
        raise UsageError("--open is about files, and --terminal writes none; leave out one of them")
    with output_to_stderr():
        suite, layers = choose(
            config, layer or [], seed, several=True, target=target, device=device, dtype=dtype, limits=limits
        )
    require_memory(((f"layer {one.name}", one) for one in layers), done="drawn and explained")
    chosen = [(one, Selection.of(one, sample, channel, filter, entry)) for one in layers]
    if not terminal:
        from convcheck.explain.pictures.drawing import animation
        from convcheck.explain.pictures.drawing.page import draw
        from convcheck.explain.pictures.drawing.saving import encode

        if format in ANIMATIONS:
            animation.require(format)
        require_writable_folder(output_dir)
    # A name in a script that the font lacks is drawn as boxes; a warning per letter would not help.
    warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
    with output_to_stderr():
        code = target_of(suite, target, device, data, limits)
    written: list[Path] = []
    try:
        with Progress(quiet=terminal) as progress:
            progress.start(len(chosen))
            for one, selection in chosen:
                progress.layer(one.name)
                # What the code prints must not end up among the paths.
                with output_to_stderr():
                    tried = trial(one, code, data)
                    if as_page:
                        options = {"--target": target, "--data": data, "--device": device, "--dtype": dtype}
                        page = _page(tried, selection, entry, suite.name, config, options, limit)
                    else:
                        wrong, notes = find(tried)
                if as_page:
                    written.append(write_picture(output_dir, one.name, None, _PAGE, page.encode()))
                    progress.advance(1)
                    continue
                one, at, observed = tried.layer, tried.operands, tried.observed
                for note in notes:
                    typer.echo(note, err=True)
                if wrong and (sample, channel, filter, entry) == (None,) * 4:
                    selection = Selection.of(one, entry=wrong[0].entry)
                stories = [*(wrong if not kinds or ERROR in kinds else [])]
                if terminal:
                    width, color = screen()
                    for story in [*stories, *stories_of(one, at, selection, kinds)]:
                        write_out(render(story, one, width=width, color=color))
                elif format in FORMATS:
                    stories += stories_of(one, at, selection, kinds)
                    # All pictures of a layer are made before the first is written.
                    files = []
                    for story in stories:
                        files.append((story.name, encode(draw(story, one), format)))
                        progress.advance(1 / len(stories))
                    for name, content in files:
                        written.append(write_picture(output_dir, one.name, name, format, content))
                else:
                    given = None if observed is None else (observed.implementation.name, observed.arrays)
                    for name in kinds or MOVING:
                        film = animation.of_layer(name, one, at, selection, given)
                        written.append(write_picture(output_dir, one.name, name, format, film.encode(format)))
                        progress.advance(1 / len(kinds or MOVING))
    finally:
        # The bar is gone by now: on a terminal it would run into the paths.
        write_out("".join(f"{path}\n" for path in written))
    if show and written and typer.launch(str(written[0] if len(written) == 1 else output_dir)):
        typer.echo(f"note: nothing here opens {output_dir}; the files are written", err=True)


def _page(
    tried: Trial,
    selection: Selection,
    entry: str | None,
    suite: str,
    config: str | None,
    options: dict[str, str | None],
    limit: int,
) -> str:
    """Return the interactive page of a layer."""
    import shlex
    from html import escape

    from convcheck.explain.judged import judge
    from convcheck.explain.page.case import NUMBERS, Shown
    from convcheck.explain.page.html import page_of
    from convcheck.explain.pictures.selection import parse_entry
    from convcheck.reports.details import selection as name_of

    layer = tried.layer
    words = {name: [name, value] for name, value in options.items() if value is not None}
    source, seed = [config] if config is not None else [], ["--seed", str(layer.seed)]
    # verify takes its own numbers.
    of_verify = [word for name, pair in words.items() if name != "--data" for word in pair]
    name = name_of(layer.name)
    again = None if name is None else shlex.join(["convcheck", "verify", *source, *of_verify, "-k", name, *seed])
    chosen = [word for pair in words.values() for word in pair]
    explain = shlex.join(["convcheck", "explain", *source, "--layer", layer.name, *chosen, *seed])
    data = options["--data"] or ("example" if tried.observed is None else "integers")
    numbers = f"{NUMBERS[data]}, seed {layer.seed}"
    shown = Shown(
        layer.name, layer, tried.operands, selection, numbers, judge(tried, again), explain,
        entry=None if entry is None else parse_entry(entry, layer),
    )  # fmt: skip
    return page_of([shown], limit, title=escape(f"{layer.name} of {suite}: the backward pass"))
