"""Model files and modules -> configs: one file per source, all of which give a `Model`.

model         what an importer gives: layers, and what was left out and why; and that as the text of a config
onnx          an ONNX file
torch_module  a PyTorch module
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convcheck.errors import UsageError
from convcheck.suites.importing.model import Model


def import_model(source: str, input_size: Sequence[int] | None = None) -> Model:
    """Find the convolutions of a model.

    Parameters
    ----------
    source : str
        The path of an ONNX file (``.onnx``), or a PyTorch module: ``module:factory`` or ``path/to/file.py:factory``.
    input_size : sequence of int, optional
        Shape of the model's input with the batch, such as (1, 3, 224, 224). A PyTorch module needs it; in an ONNX file
        it takes the place of the shape of the first input.

    Raises
    ------
    UsageError, TargetError
        If the model cannot be read or has no convolution that convcheck can check.
    """
    if source.lower().endswith(".onnx"):
        from convcheck.suites.importing.onnx import import_onnx

        model = import_onnx(Path(source), input_size)
    elif ":" in source:
        from convcheck.suites.importing.torch_module import import_torch

        model = import_torch(source, input_size)
    else:
        raise UsageError(
            f"{source}: unknown format; expected a file that ends in .onnx, or a PyTorch module as module:factory or "
            "path/to/file.py:factory"
        )
    if not model.layers:
        raise UsageError(_nothing(model))
    return model


def _nothing(model: Model) -> str:
    if not model.left_out:
        return f"{model.source}: has no convolution; nothing to import"
    lines = [f"  {left_out}" for left_out in model.left_out]
    return "\n".join([f"{model.source}: has no convolution that can be imported; left out:", *lines])
