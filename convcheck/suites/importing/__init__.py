"""Models and lists of shapes -> configs: one file per format, all of which give a `Model`.

model       what a reader gives: layers, how often they occur, what was left out and why; and that as a config
onnx        an ONNX file
torch       a PyTorch module
benchdnn, miopen, aten, deepbench, kernelbench
            lists of shapes; one with ``recognises(text)`` is found by what is in the file

A new format is a file with ``load(source, input_size)``, and its name in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from convcheck.errors import ConfigError, Parameter, UsageError
from convcheck.suites.importing.model import Model, together
from convcheck.targets.process.limits import Limits

#: Every format, in the order in which a file is tried.
FORMATS = ("onnx", "torch", "kernelbench", "aten", "miopen", "deepbench", "benchdnn")

#: Bytes of the beginning of a file by which it is recognised.
_HEAD = 100_000


def import_model(
    source: str | Sequence[str],
    input_size: Sequence[int] | None = None,
    format: str | None = None,  # noqa: A002 - the option's name
    limits: Limits = Limits(in_process=False),  # noqa: B008 - immutable
) -> Model:
    """Find the convolutions of a model, of a list of shapes, or of several of them.

    Parameters
    ----------
    source : str, or sequence of str
        The path of a file, or a PyTorch module: ``module:factory`` or ``path/to/file.py:factory``.
    input_size : sequence of int, optional
        Shape of the model's input with the batch, such as (1, 3, 224, 224). A PyTorch module needs it, unless its file
        has ``get_inputs``; in an ONNX file it takes the place of the shape of the first input.
    format : str, optional
        One of `FORMATS`; by default what the file looks like.
    limits : Limits
        Where a PyTorch module runs, and what it may use there; by default a process of its own.

    Raises
    ------
    ConfigError, UsageError, TargetError
        If it cannot be read or has no convolution that convcheck can check; of several, if none of them has one.
    """
    sources = [source] if isinstance(source, str) else list(source)
    if len(sources) > 1 and input_size is not None:
        raise UsageError(Parameter("input_size"), " is the size of one model's input; import the models one by one")
    models: list[Model] = []
    problems: list[str] = []
    for each in sources:
        try:
            models.append(read(each, input_size, format, limits))
        except ConfigError as error:
            problems += error.messages
    if problems:
        raise ConfigError(problems)
    model = together(models)
    if not model.found:
        raise nothing(model)
    return model


def read(
    source: str,
    input_size: Sequence[int] | None = None,
    format: str | None = None,  # noqa: A002 - the option's name
    limits: Limits = Limits(in_process=False),  # noqa: B008 - immutable
) -> Model:
    """Read one source, which may have no convolution; else as `import_model`."""
    if format is not None and format not in FORMATS:
        raise UsageError(Parameter("format", format), f" is not known; expected one of {', '.join(FORMATS)}")
    chosen = format or recognised(source)
    if chosen is None:
        known = ", ".join(FORMATS[2:])
        missing = "" if Path(source).exists() else f", or the path of a file that is there: {source} is not"
        raise UsageError(
            f"{source}: unknown format; expected a file that ends in .onnx, or a PyTorch module as module:factory or "
            f"path/to/file.py:factory, or a list of shapes of {known}, perhaps with ",
            Parameter("format"),
            missing,
        )
    if input_size is not None and chosen not in FORMATS[:2]:
        raise UsageError(f"{source}: has sizes of its own; leave out ", Parameter("input_size"))
    # Of all formats this one alone runs somebody's code.
    more = {"limits": limits} if chosen == "torch" else {}
    model: Model = _module(chosen).load(source, input_size, **more)
    return model


def recognised(source: str) -> str | None:
    """Return the format of a source by its name or by what is in it; None for one that is in none."""
    if source.lower().endswith(".onnx"):
        return "onnx"
    path = Path(source)
    if ":" in source and not path.is_file():
        return "torch"
    if not path.is_file():
        return None
    with path.open("rb") as file:
        text = file.read(_HEAD).decode("utf-8-sig", "replace")
    readers = ((name, getattr(_module(name), "recognises", None)) for name in FORMATS)
    return next((name for name, recognises in readers if recognises and recognises(text)), None)


def _module(name: str) -> ModuleType:
    # A file called torch.py would be taken for the package by whoever runs it from its folder.
    return import_module(f"{__name__}.{'torch_module' if name == 'torch' else name}")


def nothing(model: Model) -> UsageError:
    """Return the error for sources without a convolution, with what was left out and why."""
    if not model.left_out:
        return UsageError(f"{model.source}: has no convolution; nothing to import")
    lines = [f"  {left_out}" for left_out in model.left_out]
    return UsageError("\n".join([f"{model.source}: has no convolution that can be imported; left out:", *lines]))
