"""A suite's layers -> BenchReport."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

from convcheck import __version__, memory
from convcheck.bench.contenders import (
    TORCH,
    implementation_pass,
    matrix_product,
    torch_gradcheck,
    torch_is_installed,
    torch_pass,
)
from convcheck.bench.report import BenchReport, CheckBench, LayerBench
from convcheck.bench.timing import Timing, time_in_turn
from convcheck.config import Suite
from convcheck.formulations import FASTEST, FORMULATIONS
from convcheck.layer import Layer
from convcheck.operands import real_operands
from convcheck.running import Progress
from convcheck.targets import Implementation, builtin, resolve
from convcheck.verification import verify

__all__ = ["bench"]

#: Forward and backward passes that gradcheck may take on a layer to be timed: two per input entry, one per output.
_GRADCHECK_PASSES = 40_000

#: And the multiply-adds of all of them: about a minute.
_GRADCHECK_WORK = 1e11


def bench(
    suite: Suite,
    *,
    target: str | None = None,
    formulations: Sequence[str] = (),
    dtype: str | None = None,
    rounds: int = 5,
    progress: Progress,
) -> BenchReport:
    """Time forward and backward of every contender on every distinct layer, and the checks themselves.

    Parameters
    ----------
    suite : Suite
    target : str, optional
        Also timed; relative to the current folder.
    formulations : sequence of str, optional
        By default all.
    dtype : {"float64", "float32"}, optional
        By default each layer's own.
    rounds : int, default 5
    progress : Progress
    """
    layers = [layer if dtype is None else replace(layer, dtype=dtype) for layer in suite.layers]
    memory.require((f"layer {layer.name}", layer) for layer in layers)
    contenders = [builtin(name) for name in formulations or FORMULATIONS]
    if target is not None:
        contenders.append(resolve(target, Path.cwd()))
    distinct = _distinct(layers)
    rates = {name: _matrix_rate(name, rounds) for name in dict.fromkeys(layer.dtype for layer in layers)}
    progress.start(sum(layer.multiply_adds for layer in distinct))
    timed = []
    for layer, alike in distinct.items():
        progress.layer(layer.name)
        timed.append(LayerBench(layer, alike, _time_layer(layer, contenders, rounds)))
        progress.advance(layer.multiply_adds)
    names = tuple(timed[0].timings)
    return BenchReport(
        config=suite.name,
        contenders=names,
        matrix_rates=rates,
        layers=tuple(timed),
        checks=_time_checks(list(distinct), rounds),
        reference=TORCH if TORCH in names else FASTEST if FASTEST in names else names[0],
        convcheck_version=__version__,
    )


def _distinct(layers: Sequence[Layer]) -> dict[Layer, int]:
    """Return layers of different sizes, the first of each, with the number of layers alike."""
    first: dict[Layer, Layer] = {}
    counts: dict[Layer, int] = {}
    for layer in layers:
        kept = first.setdefault(replace(layer, name="any", seed=0), layer)
        counts[kept] = counts.get(kept, 0) + 1
    return counts


def _time_layer(layer: Layer, contenders: Sequence[Implementation], rounds: int) -> dict[str, Timing]:
    at = real_operands(layer)
    work = {contender.name: implementation_pass(contender, layer, at) for contender in contenders}
    if torch_is_installed():
        work[TORCH] = torch_pass(layer, at)
    return time_in_turn(work, rounds)


def _matrix_rate(dtype: str, rounds: int) -> float:
    run, multiply_adds = matrix_product(dtype)
    # The fastest round: the rate is what the machine can do, not what it did on average.
    return multiply_adds / min(time_in_turn({"product": run}, 2 * rounds)["product"].seconds)


def _time_checks(layers: Sequence[Layer], rounds: int) -> tuple[CheckBench, ...]:
    """Time a whole check of each layer on which gradcheck's complete mode can run in about a minute."""
    if not torch_is_installed():
        return ()
    return tuple(_time_check(layer, rounds) for layer in layers if _gradcheck_can_run(layer))


def _time_check(layer: Layer, rounds: int) -> CheckBench:
    at = real_operands(layer)
    work = {"verify": lambda: verify(layer), "gradcheck": torch_gradcheck(layer, at)}
    timings = time_in_turn(work, rounds, slow=5.0)
    return CheckBench(layer, timings["verify"], timings["gradcheck"])


def _gradcheck_can_run(layer: Layer) -> bool:
    # In float32 gradcheck's differences are mostly rounding, and it refuses or fails.
    passes = 2 * (prod(layer.input_shape) + prod(layer.weight_shape)) + prod(layer.output_shape)
    affordable = passes <= _GRADCHECK_PASSES and passes * layer.multiply_adds <= _GRADCHECK_WORK
    return layer.dtype == "float64" and affordable
