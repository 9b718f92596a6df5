"""What a benchmark measured, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Any

from convcheck.bench.timing import Timing
from convcheck.layer import Layer

__all__ = ["SCHEMA_VERSION", "BenchReport", "CheckBench", "LayerBench"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LayerBench:
    """Forward and backward of one layer.

    Attributes
    ----------
    layer : Layer
    alike : int
        How many layers of the suite have these very sizes.
    timings : dict of str to Timing
        Per contender.
    """

    layer: Layer
    alike: int
    timings: dict[str, Timing]

    def ratio(self, contender: str, reference: str) -> float | None:
        """Median time of a contender divided by the reference's; None where one was not timed."""
        if contender not in self.timings or reference not in self.timings:
            return None
        return self.timings[contender].median / self.timings[reference].median

    def rate(self, contender: str) -> float:
        """Multiply-adds per second: forward, and a gradient each for input and weight, cost the same."""
        return 3 * self.layer.multiply_adds / self.timings[contender].median


@dataclass(frozen=True)
class CheckBench:
    """A whole check of one layer against PyTorch's.

    Attributes
    ----------
    layer : Layer
    verify, gradcheck : Timing
    """

    layer: Layer
    verify: Timing
    gradcheck: Timing

    @property
    def ratio(self) -> float:
        """How many times longer gradcheck takes."""
        return self.gradcheck.median / self.verify.median


@dataclass(frozen=True)
class BenchReport:
    """What a benchmark measured.

    Attributes
    ----------
    config : str
    contenders : tuple of str
    matrix_rates : dict of str to float
        Multiply-adds per second of NumPy's matrix product, per dtype.
    layers : tuple of LayerBench
    checks : tuple of CheckBench
    reference : str
        The contender that ratios are to.
    convcheck_version : str
    """

    config: str
    contenders: tuple[str, ...]
    matrix_rates: dict[str, float]
    layers: tuple[LayerBench, ...]
    checks: tuple[CheckBench, ...]
    reference: str
    convcheck_version: str

    def ratios(self, contender: str) -> list[float]:
        """Ratios of a contender to the reference, of all layers on which both were timed."""
        found = (layer.ratio(contender, self.reference) for layer in self.layers)
        return [ratio for ratio in found if ratio is not None]

    def geometric_mean(self, contender: str) -> float | None:
        """Geometric mean of a contender's ratios; None where there is none."""
        ratios = self.ratios(contender)
        return exp(sum(map(log, ratios)) / len(ratios)) if ratios else None

    def share(self, layer: LayerBench, contender: str) -> float:
        """Share of the machine's matrix product rate that a contender reaches on a layer."""
        return layer.rate(contender) / self.matrix_rates[layer.layer.dtype]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as data that can be written as JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "convcheck_version": self.convcheck_version,
            "config": self.config,
            "reference": self.reference,
            "matrix_product_multiply_adds_per_second": self.matrix_rates,
            "geometric_mean_ratios": {name: self.geometric_mean(name) for name in self.contenders},
            "layers": [self._layer_to_dict(layer) for layer in self.layers],
            "checks": [
                {
                    "name": check.layer.name,
                    "spec": check.layer.spec(),
                    "verify_seconds": list(check.verify.seconds),
                    "gradcheck_seconds": list(check.gradcheck.seconds),
                    "ratio": check.ratio,
                }
                for check in self.checks
            ],
        }

    def _layer_to_dict(self, layer: LayerBench) -> dict[str, Any]:
        return {
            "name": layer.layer.name,
            "alike": layer.alike,
            "spec": layer.layer.spec(),
            "contenders": {
                name: {
                    "seconds": list(timing.seconds),
                    "median_seconds": timing.median,
                    "ratio": layer.ratio(name, self.reference),
                    "share_of_matrix_product_rate": self.share(layer, name),
                }
                for name, timing in layer.timings.items()
            },
        }
