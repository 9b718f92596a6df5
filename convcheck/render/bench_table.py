"""BenchReport -> text: medians, spreads, ratios, and the share of the machine's matrix product rate."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from convcheck.render.words import counted, visible

if TYPE_CHECKING:
    from convcheck.bench.report import BenchReport, CheckBench, LayerBench

__all__ = ["render"]

_HEAD = (
    "Forward and backward, in turn on the same arrays: median (fastest–slowest) in milliseconds, ratio to "
    "{reference}'s, and share of the rate of NumPy's matrix product: {rates} multiply-adds a second."
)


def render(report: BenchReport, *, width: int, color: bool = False) -> str:
    """Render a benchmark as tables.

    Parameters
    ----------
    report : BenchReport
    width : int
        Columns.
    color : bool, default False
    """
    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, force_jupyter=False, legacy_windows=False, no_color=not color,
        color_system="standard" if color else None, markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    rates = ", ".join(f"{rate / 1e9:.0f} billion in {dtype}" for dtype, rate in report.matrix_rates.items())
    console.print(Text(_HEAD.format(reference=report.reference, rates=rates)), soft_wrap=False)
    for layer in report.layers:
        _print_layer(console, report, layer)
    _print_summary(console, report)
    if report.checks:
        _print_checks(console, report.checks)
    return out.getvalue()


def _print_layer(console: Console, report: BenchReport, bench: LayerBench) -> None:
    layer = bench.layer
    alike = f" · {bench.alike} layers alike" if bench.alike > 1 else ""
    sizes = "×".join(map(str, layer.input))
    taps, strides = ("×".join(map(str, numbers)) for numbers in (layer.kernel, layer.stride))
    facts = f"{layer.channels} → {layer.filters} · kernel {taps} · stride {strides} · {sizes} · {layer.dtype}{alike}"
    console.print()
    console.print(Text(visible(layer.name), style="bold") + Text(f" · {facts}", style="not bold"))
    table = _table("contender", "median", "spread", "ratio", "of rate")
    for name, timing in bench.timings.items():
        low, high = timing.spread
        ratio = bench.ratio(name, report.reference)
        table.add_row(
            visible(name),
            _milliseconds(timing.median),
            f"{_milliseconds(low)}–{_milliseconds(high)}",
            "–" if ratio is None else f"{ratio:.2f}",
            f"{report.share(bench, name):.0%}",
        )
    console.print(table)


def _print_summary(console: Console, report: BenchReport) -> None:
    console.print()
    console.print(Text(f"All {counted(len(report.layers), 'distinct layer')} of {report.config}", style="bold"))
    table = _table("contender", f"ratio to {report.reference}", "largest", "smallest", "of rate, largest")
    for name in report.contenders:
        ratios, mean = report.ratios(name), report.geometric_mean(name)
        share = max(report.share(layer, name) for layer in report.layers if name in layer.timings)
        table.add_row(visible(name), f"{mean:.2f}", f"{max(ratios):.2f}", f"{min(ratios):.2f}", f"{share:.0%}")
    console.print(table)
    console.print(Text("The ratio of all layers is their geometric mean."))


def _print_checks(console: Console, checks: tuple[CheckBench, ...]) -> None:
    console.print()
    console.print(Text("A whole check of a layer: convcheck.verify, and torch.autograd.gradcheck in its complete mode"))
    table = _table("layer", "verify", "gradcheck", "gradcheck / verify")
    for check in checks:
        times = (_milliseconds(timing.median) for timing in (check.verify, check.gradcheck))
        table.add_row(visible(check.layer.name), *times, f"{check.ratio:.1f}")
    console.print(table)


def _table(name: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(Text(name), overflow="fold")
    for head in numbers:
        table.add_column(Text(head), justify="right", no_wrap=True)
    return table


def _milliseconds(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"
