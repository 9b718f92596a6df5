"""convcheck: is the backward pass of a convolutional layer right, and if not, what is the mistake?

>>> import convcheck
>>> layer = convcheck.Layer(channels=3, filters=8, kernel=3, stride=2, padding=1, input=(9, 11), batch=2)
>>> convcheck.verify(layer).passed
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convcheck.version import __version__

if TYPE_CHECKING:
    from convcheck.errors import ConfigError, ConvcheckError, LayerError, TargetError, UsageError
    from convcheck.explain import figures
    from convcheck.gradients.passes import backward, forward
    from convcheck.layer.layer import Layer
    from convcheck.pytest_plugin import check_layer as check_layer
    from convcheck.reports.audit import Audit
    from convcheck.reports.report import Report
    from convcheck.reports.results import GradientResult, LayerReport
    from convcheck.suites import strategies as strategies
    from convcheck.suites.audit import audit
    from convcheck.suites.config import Suite, load
    from convcheck.verification import hunt, verify

#: Where each public name is defined. They are imported when first used, so that starting the command line stays quick.
_PUBLIC = {
    "Audit": "reports.audit",
    "ConfigError": "errors",
    "ConvcheckError": "errors",
    "GradientResult": "reports.results",
    "Layer": "layer.layer",
    "LayerError": "errors",
    "LayerReport": "reports.results",
    "Report": "reports.report",
    "Suite": "suites.config",
    "TargetError": "errors",
    "UsageError": "errors",
    "audit": "suites.audit",
    "backward": "gradients.passes",
    "check_layer": "pytest_plugin",
    "figures": "explain.figures",
    "forward": "gradients.passes",
    "hunt": "verification",
    "load": "suites.config",
    "strategies": "suites.strategies",
    "verify": "verification",
}

# Without what needs a package that may not be there: `check_layer` needs pytest, `strategies` Hypothesis.
__all__ = [
    "Audit", "ConfigError", "ConvcheckError", "GradientResult", "Layer", "LayerError", "LayerReport", "Report", "Suite",
    "TargetError", "UsageError", "__version__", "audit", "backward", "figures", "forward", "hunt", "load", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'convcheck' has no attribute {name!r}")
    module = import_module(f"convcheck.{_PUBLIC[name]}")
    # Two public names are modules themselves.
    return module if name in ("figures", "strategies") else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
