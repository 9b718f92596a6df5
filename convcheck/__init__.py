"""convcheck: is the backward pass of a convolutional layer right, and if not, what is the mistake?

>>> import convcheck
>>> layer = convcheck.Layer(channels=3, filters=8, kernel=3, stride=2, padding=1, input=(9, 11), batch=2)
>>> convcheck.verify(layer).passed
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convcheck.config import Suite, load
    from convcheck.errors import ConfigError, ConvcheckError, LayerError, TargetError, UsageError
    from convcheck.layer import Layer
    from convcheck.passes import backward, forward
    from convcheck.report import GradientResult, LayerReport, Report
    from convcheck.verification import verify

__version__ = "0.1.0"

#: Where each public name is defined. They are imported when first used, so that starting the command line stays quick.
_PUBLIC = {
    "ConfigError": "errors",
    "ConvcheckError": "errors",
    "GradientResult": "report",
    "Layer": "layer",
    "LayerError": "errors",
    "LayerReport": "report",
    "Report": "report",
    "Suite": "config",
    "TargetError": "errors",
    "UsageError": "errors",
    "backward": "passes",
    "forward": "passes",
    "load": "config",
    "verify": "verification",
}

__all__ = [
    "ConfigError", "ConvcheckError", "GradientResult", "Layer", "LayerError", "LayerReport", "Report", "Suite",
    "TargetError", "UsageError", "__version__", "backward", "forward", "load", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'convcheck' has no attribute {name!r}")
    return getattr(import_module(f"convcheck.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
