"""Speed, as ratios: both sides measured in one run, on the same arrays, in turn.

Libraries leave threads behind that spin for a while in wait of more work, OpenBLAS's 2^28 ticks of the processor's
counter or a tenth of a second, and would take a core from whoever is next. So every turn begins with a pause until none
spins. Threads that are woken share a core until the system moves one, and what else runs on the machine takes from some
runs: so the turn's work is repeated for a while, and the fastest run of all but the first is what counts.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from math import exp, log, prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convcheck.checks import memory
from convcheck.checks.running import Progress
from convcheck.errors import ConvcheckError, TargetError
from convcheck.gradients import FASTEST, FORMULATIONS, formulation
from convcheck.layer.arrays import Array, Gradients, at_sites
from convcheck.layer.data import Operands, real_operands
from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer
from convcheck.suites.config import Suite
from convcheck.targets import builtin, resolve
from convcheck.targets.forms.torch_code import tensor_of
from convcheck.targets.loading import user_traceback
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.targets.target import Target
from convcheck.verification import hunt, verify
from convcheck.version import __version__
from convcheck.wording import counted, visible

SCHEMA_VERSION = 1

#: Seconds that are slept through to see whether threads spin, and the share of one core's time that says so.
_LOOK, _SPINNING = 0.02, 0.25

#: Seconds after which threads that still spin will not stop (``OMP_WAIT_POLICY=active``).
_LONGEST_PAUSE = 1.0

#: Seconds for which a turn's work is repeated.
_TURN = 0.1

TORCH = "torch"

#: Rows and columns of the matrices whose product gives the machine's rate: large enough for full speed.
_MATRIX_SIZE = 1024

#: Forward and backward passes that gradcheck may take on a layer to be timed: two per input entry, one per output.
_GRADCHECK_PASSES = 40_000

#: And the multiply-adds of all of them: about a minute.
_GRADCHECK_WORK = 1e11

_HEAD = (
    "Forward and backward, in turn on the same arrays: median (fastest–slowest) of rounds in milliseconds{clock}, "
    "ratio to {reference}'s, and share of the rate of NumPy's matrix product: {rates} multiply-adds a second; "
    "{threads}."
)


# ---------------------------------------------------------------------------------------------------------------------
# What was measured, as plain data


@dataclass(frozen=True)
class Timing:
    """Seconds that one piece of work took in each round, the fastest run of each."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The fastest and the slowest round, in seconds."""
        return min(self.seconds), max(self.seconds)


@dataclass(frozen=True)
class LayerBench:
    """Forward and backward of one layer.

    Attributes
    ----------
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
    """A whole check of one layer against PyTorch's."""

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
    matrix_rates : dict of str to float
        Multiply-adds per second of NumPy's matrix product, per dtype.
    reference : str
        The contender that ratios are to.
    threads : dict of str to int
        How many each library may use, by its name and, of OpenBLAS, the processor that its kernels are for.
    processor_time : bool
        Whether seconds are of processor time, all threads together.
    hunted : float or None
        Cases per second of a hunt for failures of the fastest formulation as code under test, in this process; None
        without Hypothesis.
    hunted_apart : float or None
        The same with that code in a process of its own, as on the command line.
    """

    config: str
    contenders: tuple[str, ...]
    matrix_rates: dict[str, float]
    layers: tuple[LayerBench, ...]
    checks: tuple[CheckBench, ...]
    reference: str
    convcheck_version: str
    threads: dict[str, int]
    processor_time: bool = False
    hunted: float | None = None
    hunted_apart: float | None = None

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
            "threads": self.threads,
            "processor_time": self.processor_time,
            "matrix_product_multiply_adds_per_second": self.matrix_rates,
            "geometric_mean_ratios": {name: self.geometric_mean(name) for name in self.contenders},
            "hunt_cases_per_second": self.hunted,
            "hunt_cases_per_second_in_a_process_of_its_own": self.hunted_apart,
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


# ---------------------------------------------------------------------------------------------------------------------
# Who is timed, and how


def time_in_turn(
    work: Mapping[str, Callable[[], object]], rounds: int, slow: float = 2.0, processor_time: bool = False
) -> dict[str, Timing]:
    """Time every piece of work in each round: the fastest of its runs in a turn, without the first.

    Parameters
    ----------
    slow : float, default 2.0
        What takes longer than this many seconds in its first run is not run again: that run counts.
    processor_time : bool, default False
        Whether seconds are of processor time, all threads together, or the clock's.

    Returns
    -------
    dict of str to Timing
        In the order of ``work``.
    """
    first = {name: _seconds(run, processor_time) for name, run in work.items()}
    quick = [name for name, seconds in first.items() if seconds <= slow]
    counted: dict[str, list[float]] = {name: [] for name in quick}
    for _ in range(rounds):
        for name in quick:
            _wait_for_spinning_threads()
            end = time.perf_counter() + _TURN
            work[name]()
            runs = [_seconds(work[name], processor_time)]
            while time.perf_counter() < end:
                runs.append(_seconds(work[name], processor_time))
            counted[name].append(min(runs))
    return {name: Timing(tuple(counted.get(name) or [first[name]])) for name in work}


def _wait_for_spinning_threads() -> None:
    """Sleep until the process takes no processor time while its main thread sleeps."""
    for _ in range(round(_LONGEST_PAUSE / _LOOK)):
        before = time.process_time()
        time.sleep(_LOOK)
        if time.process_time() - before < _SPINNING * _LOOK:
            return


def _seconds(run: Callable[[], object], processor_time: bool) -> float:
    clock = time.process_time if processor_time else time.perf_counter
    start = clock()
    run()
    return clock() - start


def implementation_pass(implementation: Target, layer: Layer, at: Operands) -> Callable[[], object]:
    """Forward and backward of a formulation or a target."""

    def run() -> object:
        try:
            return implementation.run(layer, at).backward()
        except Exception as error:
            if implementation.builtin or isinstance(error, ConvcheckError):
                raise
            raise TargetError(
                f"{implementation.name} cannot be timed on layer {layer.name}:\n{user_traceback(error)}"
            ) from error

    return run


def torch_is_installed() -> bool:
    """Whether PyTorch can be imported; does not import it."""
    return importlib.util.find_spec("torch") is not None


def torch_pass(layer: Layer, at: Operands) -> Callable[[], object]:
    """PyTorch's convolution and its gradients by autograd, on the CPU, on the same arrays."""
    import torch

    operands = _torch_operands(at)
    grad_output = tensor_of(torch, at.grad_output)
    function = _torch_function(layer)

    def run() -> object:
        return torch.autograd.grad(function(*operands), operands, grad_output)

    return run


def torch_gradcheck(layer: Layer, at: Operands) -> Callable[[], object]:
    """``torch.autograd.gradcheck`` in its complete mode, on the same layer and arrays."""
    import torch

    operands = _torch_operands(at)
    return lambda: torch.autograd.gradcheck(_torch_function(layer), tuple(operands), fast_mode=False)


def matrix_product(dtype: str) -> tuple[Callable[[], object], int]:
    """NumPy's product of two square matrices, and its multiply-adds: the rate that is the limit of all the others."""
    left, right = (np.random.default_rng(seed).random((_MATRIX_SIZE, _MATRIX_SIZE)).astype(dtype) for seed in (0, 1))
    return lambda: left @ right, _MATRIX_SIZE**3


def _torch_operands(at: Operands) -> list[Any]:
    import torch

    arrays = [array for array in (at.x, at.weight, at.bias) if array is not None]
    return [tensor_of(torch, array).requires_grad_() for array in arrays]


def _torch_function(layer: Layer) -> Callable[..., Any]:
    import torch

    functional, rank = torch.nn.functional, len(layer.input)
    uneven = any(before != after for before, after in layer.padding)
    padding = 0 if uneven else tuple(before for before, _ in layer.padding)
    options = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    if layer.transposed:
        convolve = getattr(functional, f"conv_transpose{rank}d")
        kept = at_sites(slice(axis.before, axis.before + axis.output_size) for axis in layer.axes)

        def transposed(x: Any, weight: Any, bias: Any = None) -> Any:
            output = convolve(x, weight, bias, padding=padding, output_padding=layer.output_padding, **options)
            return output[kept] if uneven else output

        return transposed
    convolve = getattr(functional, f"conv{rank}d")
    amounts = [amount for pair in reversed(layer.padding) for amount in pair]
    mode = "constant" if layer.padding_mode == ZEROS else layer.padding_mode
    padded = uneven or mode != "constant"

    def function(x: Any, weight: Any, bias: Any = None) -> Any:
        if padded:
            x = functional.pad(x, amounts, mode)
        return convolve(x, weight, bias, padding=0 if padded else padding, **options)

    return function


# ---------------------------------------------------------------------------------------------------------------------
# A suite -> BenchReport


def bench(
    suite: Suite,
    *,
    target: str | None = None,
    formulations: Sequence[str] = (),
    dtype: str | None = None,
    batch: int | None = None,
    rounds: int = 5,
    processor_time: bool = False,
    progress: Progress,
    limits: Limits = IN_PROCESS,
) -> BenchReport:
    """Time forward and backward of every contender on every distinct layer, and the checks themselves.

    Parameters
    ----------
    target : str, optional
        Also timed; relative to the current folder.
    formulations : sequence of str, optional
        By default all.
    dtype : {"float64", "float32"}, optional
        By default each layer's own.
    batch : int, optional
        By default each layer's own.
    rounds : int, default 5
    processor_time : bool, default False
        Whether the processor time of all threads of this process is counted, which says little of code in another.
    limits : Limits
        Where the target runs; in a worker process, the way there and back is timed too.
    """
    changes: dict[str, Any] = {"dtype": dtype, "batch": batch}
    changes = {field: value for field, value in changes.items() if value is not None}
    layers = [replace(layer, **changes) for layer in suite.layers]
    memory.require((f"layer {layer.name}", layer) for layer in layers)
    contenders = [builtin(name) for name in formulations or FORMULATIONS]
    if target is not None:
        contenders.append(resolve(target, Path.cwd(), limits=limits))
    distinct = _distinct(layers)
    rates = {
        name: _matrix_rate(name, rounds, processor_time) for name in dict.fromkeys(layer.dtype for layer in layers)
    }
    progress.start(sum(layer.multiply_adds for layer in distinct))
    timed = []
    for layer, alike in distinct.items():
        progress.layer(layer.name)
        timed.append(LayerBench(layer, alike, _time_layer(layer, contenders, rounds, processor_time)))
        progress.advance(layer.multiply_adds)
    names = tuple(timed[0].timings)
    return BenchReport(
        config=suite.name,
        contenders=names,
        matrix_rates=rates,
        layers=tuple(timed),
        checks=_time_checks(list(distinct), rounds, processor_time),
        reference=TORCH if TORCH in names else FASTEST if FASTEST in names else names[0],
        convcheck_version=__version__,
        threads=_threads(),
        processor_time=processor_time,
        hunted=_hunted(100 * rounds, in_process=True),
        hunted_apart=_hunted(100 * rounds, in_process=False),
    )


def _threads() -> dict[str, int]:
    """Return the threads of every library that is loaded by now."""
    from threadpoolctl import threadpool_info

    return {
        " for ".join(filter(None, (pool["prefix"], pool.get("architecture")))): pool["num_threads"]
        for pool in threadpool_info()
    }


class _Fastest:
    """The fastest formulation as somebody's code."""

    def forward(self, x: Array, weight: Array, bias: Array | None, layer: Layer) -> Array:
        self._saved = layer, x, weight
        return formulation(FASTEST).forward(layer, x, weight, bias)

    def backward(self, grad_output: Array) -> Gradients:
        return formulation(FASTEST).backward(*self._saved, grad_output)


def _hunted(cases: int, *, in_process: bool) -> float | None:
    if importlib.util.find_spec("hypothesis") is None:
        return None
    # The first one makes what every other uses.
    how: dict[str, Any] = {"seconds": 600, "in_process": in_process}
    _, tried = (hunt(_Fastest, cases=number, **how).hunt for number in (1, cases))
    assert tried is not None
    return tried.cases / tried.seconds


def _distinct(layers: Sequence[Layer]) -> dict[Layer, int]:
    """Return layers of different sizes, the first of each, with the number of layers alike."""
    first: dict[Layer, Layer] = {}
    counts: dict[Layer, int] = {}
    for layer in layers:
        kept = first.setdefault(replace(layer, name="any", seed=0), layer)
        counts[kept] = counts.get(kept, 0) + 1
    return counts


def _time_layer(layer: Layer, contenders: Sequence[Target], rounds: int, processor_time: bool) -> dict[str, Timing]:
    at = real_operands(layer)
    work = {contender.name: implementation_pass(contender, layer, at) for contender in contenders}
    if torch_is_installed():
        work[TORCH] = torch_pass(layer, at)
    return time_in_turn(work, rounds, processor_time=processor_time)


def _matrix_rate(dtype: str, rounds: int, processor_time: bool) -> float:
    run, multiply_adds = matrix_product(dtype)
    # The fastest round: the rate is what the machine can do, not what it did on average.
    return multiply_adds / min(
        time_in_turn({"product": run}, 2 * rounds, processor_time=processor_time)["product"].seconds
    )


def _time_checks(layers: Sequence[Layer], rounds: int, processor_time: bool) -> tuple[CheckBench, ...]:
    """Time a whole check of each layer on which gradcheck's complete mode can run in about a minute."""
    if not torch_is_installed():
        return ()
    return tuple(_time_check(layer, rounds, processor_time) for layer in layers if _gradcheck_can_run(layer))


def _time_check(layer: Layer, rounds: int, processor_time: bool) -> CheckBench:
    at = real_operands(layer)
    work = {"verify": lambda: verify(layer), "gradcheck": torch_gradcheck(layer, at)}
    timings = time_in_turn(work, rounds, slow=5.0, processor_time=processor_time)
    return CheckBench(layer, timings["verify"], timings["gradcheck"])


def _gradcheck_can_run(layer: Layer) -> bool:
    # In float32 gradcheck's differences are mostly rounding, and it refuses or fails.
    passes = 2 * (prod(layer.input_shape) + prod(layer.weight_shape)) + prod(layer.output_shape)
    affordable = passes <= _GRADCHECK_PASSES and passes * layer.multiply_adds <= _GRADCHECK_WORK
    return layer.dtype == "float64" and affordable


# ---------------------------------------------------------------------------------------------------------------------
# BenchReport -> text


def render(report: BenchReport, *, width: int, color: bool = False) -> str:
    """Render a benchmark as tables.

    Parameters
    ----------
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
    threads = ", ".join(f"{library} with {counted(count, 'thread')}" for library, count in report.threads.items())
    clock = " of processor time" if report.processor_time else ""
    console.print(Text(_HEAD.format(reference=report.reference, rates=rates, threads=threads, clock=clock)))
    for layer in report.layers:
        _print_layer(console, report, layer)
    _print_summary(console, report)
    if report.checks:
        _print_checks(console, report.checks)
    if report.hunted is not None and report.hunted_apart is not None:
        rates = f"{report.hunted:,.0f} cases a second in one process, and {report.hunted_apart:,.0f} with that code"
        words = f"\nA hunt of {FASTEST} as code under test tries {rates} in a process of its own."
        console.print(Text(words), soft_wrap=False)
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
