"""What checks cost, each beside what it is measured against: ``python -m tests.cost_of_checks [PART]...``.

- ``resnet50``: the complete exact check of all its layers, and as its floor the matrix products alone of the forward
  passes that it takes. ``--jobs 2`` checks two layers side by side, each with one thread.
- ``gradcheck``: the complete exact check of PyTorch's ``conv2d`` with 16 channels and filters, 28×28 and a 3×3 kernel,
  and ``torch.autograd.gradcheck`` in its complete mode of the same on the same layer, about a minute.
- ``transposed``: the same of ``conv_transpose3d`` with 16 channels and filters, 12×12×12 and a 3×3×3 kernel; gradcheck,
  whose matrices would not fit into memory there, with 1, 2 and 4 channels.
- ``small``: what the checks of a small layer take beside the code under test, which is the fast formulation; and what
  they take of one with PyTorch's ``conv2d``, that included.
- ``random``: many random layers, all checks of the built-in formulations; ``--count 10000 --jobs 2``.

Without a part, all of them. Nothing is judged: the numbers depend on the machine, and on what else runs there.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import replace

import numpy as np

from convcheck import Layer, load, verify
from convcheck.bench import torch_gradcheck, torch_is_installed
from convcheck.checks.plan import gradients_of
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import direction_count
from convcheck.layer.data import real_operands
from convcheck.layer.similar import SMALL
from convcheck.targets.features import KINDS
from tests.false_alarms import random_layer

#: On which gradcheck takes about a minute.
MINUTE = Layer(16, 16, 3, input=(28, 28), batch=1, name="16→16, 28×28, 3×3")

#: A transposed layer of three axes, and channels with which gradcheck takes up to a few minutes.
TRANSPOSED = Layer(16, 16, 3, padding=1, transposed=True, input=(12, 12, 12), batch=1, name="transposed, 12×12×12")
CUT = (1, 2, 4)

#: A small one.
ONE = Layer(3, 4, 3, padding=1, input=(7, 6), name="PyTorch's conv2d, 3→4, 7×6, 3×3")


def complete(layers, jobs):
    """Seconds of the complete exact check of the fast formulation, and the entries that it compares."""
    began = time.perf_counter()
    report = verify(list(layers), complete=True, checks=["exact"], formulations=[FASTEST], jobs=jobs)
    assert report.passed
    taken = time.perf_counter() - began
    return taken, sum(result.entries for layer in report.layers for result in layer.results)


def products(layers, repeats=3):
    """Seconds of the matrix products alone of that check, of filters times columns, and how many: one an evaluation.

    Of layers that are equal but for their names, the check evaluates the first alone.
    """
    taken, count = 0.0, 0
    for layer in {layer.alike(name="any") for layer in layers}:
        terms, sites = layer.channels_per_group * int(np.prod(layer.kernel)), int(np.prod(layer.output))
        shapes = (layer.groups, layer.filters_per_group, terms), (layer.groups, terms, layer.batch * sites)
        left, right = (np.ones(shape, layer.dtype) for shape in shapes)
        evaluations = sum(
            packing_for(layer, gradient).evaluations(direction_count(gradient, layer))
            for gradient in gradients_of(layer)
        )
        taken += evaluations * min(seconds(lambda left=left, right=right: left @ right, repeats))
        count += evaluations
    return taken, count


def seconds(run, repeats, clock=time.perf_counter):
    """Seconds of every run but the first."""
    found = []
    for _ in range(repeats + 1):
        began = clock()
        run()
        found.append(clock() - began)
    return found[1:]


def our_seconds(layer, clock=time.perf_counter, checks=("exact",)):
    """Seconds of checks of PyTorch's convolution, complete ones."""
    target = f"torch.nn.functional:conv{'_transpose' if layer.transposed else ''}{len(layer.input)}d"

    def check():
        assert verify(layer, target=target, complete=True, checks=checks, in_process=True).passed

    return min(seconds(check, 5, clock))


def against_gradcheck(layer, clock=time.perf_counter):
    """Seconds of both complete checks of PyTorch's convolution."""
    ours = our_seconds(layer, clock)
    gradcheck = torch_gradcheck(layer, real_operands(layer))
    began = clock()
    assert gradcheck()
    return ours, clock() - began


class Timed:
    """The fast formulation as code under test, which notes how long it takes."""

    spent = 0.0

    def forward(self, x, weight, bias, layer):
        began = time.process_time()
        self.saved = layer, x, weight
        output = formulation(FASTEST).forward(layer, x, weight, bias)
        Timed.spent += time.process_time() - began
        return output

    def backward(self, grad_output):
        began = time.process_time()
        gradients = formulation(FASTEST).backward(*self.saved, grad_output)
        Timed.spent += time.process_time() - began
        return gradients


def own_time(layers, checks, repeats):
    """Processor seconds for each layer, beside the code's own; the fastest of several runs."""
    found = []
    for _ in range(repeats + 1):
        Timed.spent, began = 0.0, time.process_time()
        assert verify(layers, target={"call": Timed, "supports": sorted(KINDS)}, checks=checks).passed
        found.append((time.process_time() - began - Timed.spent) / len(layers))
    return min(found[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("resnet50", "gradcheck", "transposed", "small", "random")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000, help="random layers")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; expected {', '.join(parts)}")
    wanted, write = options.parts or parts, sys.stdout.write
    if "resnet50" in wanted:
        layers = load("resnet50").layers
        (taken, entries), (alone, count) = complete(layers, options.jobs), products(layers)
        write(f"complete exact check of resnet50, {entries:,} entries: {taken:.1f} s, ")
        write(f"{taken / alone:.2f} times as long as its {count:,} matrix products in turn, {alone:.1f} s\n")
    if "gradcheck" in wanted and torch_is_installed():
        ours, theirs = against_gradcheck(MINUTE)
        write(f"{MINUTE.name}: {1000 * ours:.1f} ms, gradcheck {theirs:.1f} s, {theirs / ours:,.0f} times as long\n")
    if "transposed" in wanted and torch_is_installed():
        clock = time.process_time
        write(f"{TRANSPOSED.name}, 16 channels: {our_seconds(TRANSPOSED, clock):.2f} processor seconds\n")
        for channels in CUT:
            ours, theirs = against_gradcheck(replace(TRANSPOSED, channels=channels, filters=channels), clock)
            write(f"{channels} channels: {1000 * ours:.1f} ms, gradcheck {theirs:.1f} s, of processor time\n")
    if "small" in wanted:
        layers = [layer for suite in ("textbook", "hostile") for layer in load(suite).layers]
        layers = [replace(layer, name=str(n)) for n, layer in enumerate(layers) if layer.multiply_adds <= SMALL]
        for checks in (["forward", "central", "exact"], None):
            words = ", ".join(checks or ["all checks and conditions"])
            write(f"{words}: {1000 * own_time(layers, checks, 3):.2f} ms for each of {len(layers)} small layers\n")
        if torch_is_installed():
            taken = our_seconds(ONE, time.process_time, ["forward", "central", "exact"])
            write(f"{ONE.name}, forward, central, exact: {1000 * taken:.2f} ms of processor time\n")
    if "random" in wanted:
        generator = random.Random(0)
        layers = [replace(random_layer(generator), name=f"layer{n}") for n in range(options.count)]
        began = time.perf_counter()
        report = verify(layers, jobs=options.jobs)
        words = "passed" if report.passed else "did not pass"
        write(f"{len(layers):,} random layers {words}: {time.perf_counter() - began:.1f} s, {options.jobs} at a time\n")


if __name__ == "__main__":
    main()
