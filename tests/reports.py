"""Reports built by hand, one per situation that an output format must show."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from convcheck.layer.layer import Layer
from convcheck.reports.report import Report
from convcheck.reports.results import BlindSpot, Diagnosis, GradientResult, LayerReport, Power, Worst

FORMULATIONS = ("index_sum", "dilate_flip", "unfold")
TARGET = "my_layers.py:MyConv"

CONV = Layer(
    name="conv1", channels=3, filters=8, kernel=(3, 5), stride=(2, 1), padding=((1, 1), (0, 2)), input=(10, 11)
)
VIDEO = Layer(name="video", channels=32, filters=32, kernel=3, groups=32, dilation=2, bias=False, input=(15, 17, 9))

UNFLIPPED = Diagnosis("C01", "kernel-not-flipped", "grad_input uses the kernel unrotated.", "Rotate it by 180 degrees.")


def entries_of(layer: Layer, gradient: str) -> int:
    shapes = {
        "output": layer.output_shape,
        "input": layer.input_shape,
        "weight": layer.weight_shape,
        "bias": layer.bias_shape,
    }
    return prod(shapes[gradient])


def passing(layer: Layer, implementation: str, gradient: str, check: str) -> GradientResult:
    entries = entries_of(layer, gradient)
    result = GradientResult(implementation, gradient, check, "passed", entries, entries, evaluations=27)
    if check == "central":
        return replace(result, max_abs_error=1.234e-15, max_rel_error=3.21e-16, allowed_error=4.31e-13)
    if check == "projected":
        return replace(result, entries_checked=0, false_pass_probability=2.0**-31)
    return result


def failing(layer: Layer, implementation: str, gradient: str, check: str = "exact") -> GradientResult:
    return replace(
        passing(layer, implementation, gradient, check),
        status="failed",
        max_abs_error=2.0,
        max_rel_error=0.5,
        allowed_error=0.0,
        mismatches=54,
        worst=Worst((0, 1, 2, 2), 1.0, 3.0),
        diagnosis=(UNFLIPPED,),
        message="only rows 6, 7, 8 of 0..8",
    )


def skipped(layer: Layer, implementation: str, gradient: str, check: str, reason: str) -> GradientResult:
    entries = entries_of(layer, gradient)
    return GradientResult(implementation, gradient, check, "skipped", entries, message=reason)


def results(layer: Layer, implementations: tuple[str, ...] = FORMULATIONS) -> tuple[GradientResult, ...]:
    """All checks of all gradients, passed."""
    gradients = ("input", "weight", "bias") if layer.bias else ("input", "weight")
    return tuple(
        passing(layer, name, gradient, check)
        for name in implementations
        for gradient, check in [("output", "forward"), *((g, c) for g in gradients for c in ("central", "exact"))]
    )


def report_of(*layers: LayerReport, target: str | None = None, max_error: float | None = None) -> Report:
    options = () if target is None else ("--target", target)
    return Report(layers, "suite.yaml", target, max_error, 0.41, convcheck_version="0.1.0", options=options)


def layer_report(layer: Layer, found: tuple[GradientResult, ...] | None = None) -> LayerReport:
    return LayerReport(layer, results(layer) if found is None else found, "suite.yaml", 6)


def named(name: str) -> Layer:
    return Layer(name=name, channels=64, filters=256, kernel=3, padding=1, bias=False, input=(56, 56), batch=1)


def passed_report() -> Report:
    return report_of(layer_report(CONV), layer_report(VIDEO))


def failed_report(result: GradientResult | None = None) -> Report:
    found = [r for r in results(CONV, (TARGET,)) if (r.gradient, r.check) != ("input", "exact")]
    wrong = failing(CONV, TARGET, "input") if result is None else result
    return report_of(layer_report(CONV, (*found, wrong)), layer_report(VIDEO, results(VIDEO, (TARGET,))), target=TARGET)


def long_report() -> Report:
    return report_of(*(layer_report(named(f"layer{number // 4}.{number % 4}.conv1")) for number in range(53)))


def powerful_report() -> Report:
    """A pass that says what it has ruled out and what not."""
    spot = BlindSpot("C05", "stride-ignored", ("input", "weight"), "a stride", "{channels: 1, filters: 1, kernel: 2}")
    return replace(passed_report(), power=Power(1234, 2.0**-31, 26, 27), blind_spots=(spot,))


def interrupted_report() -> Report:
    return replace(passed_report(), unchecked=("later", "last"))


def many_situations() -> list[Report]:
    huge = Layer(name="huge", channels=1000, filters=1000, kernel=7, input=(1009, 1013), batch=2)
    projected = tuple(passing(huge, name, "input", "projected") for name in FORMULATIONS)
    inconclusive = GradientResult("unfold", "bias", "central", "inconclusive", 8, 0, message="forward differs")
    return [
        passed_report(),
        failed_report(),
        long_report(),
        report_of(layer_report(huge, (*results(huge), *projected))),
        report_of(layer_report(CONV, (*results(CONV), inconclusive))),
        report_of(layer_report(named("a" * 150)), layer_report(named("畳み込み"))),
        report_of(layer_report(CONV, results(CONV, tuple(f"some/deep/folder/module_{i}.py:Class" for i in range(9))))),
    ]
