"""Jobs made by hand, and what stands in for whatever runs them."""

from math import inf
from pathlib import Path
from typing import ClassVar

from convcheck.checks.check_layer import Demand
from convcheck.checks.jobs import Job
from convcheck.checks.pools import Subjects
from tests.parts import SUITE


class Recorder:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.started, self.names, self.done = [], [], []

    def start(self, total_work):
        self.started.append(total_work)

    def layer(self, name):
        self.names.append(name)

    def advance(self, work):
        self.done.append(work)


class Sent:
    """A target that is found by its name where it is taken, as by another process."""

    known: ClassVar = {}
    taken: ClassVar = []

    def __init__(self, name, code):
        self.name = name
        self.known[name] = code

    def __call__(self):
        return self.known[self.name]()

    def __reduce__(self):
        return (_taken, (self.name,))


def _taken(name):
    Sent.taken.append(name)
    return Sent.known[name]


def jobs(target=None, formulations=("unfold",), layers=SUITE.layers, checks=("forward", "exact")):
    subjects = Subjects(target, Path.cwd(), formulations=formulations)
    demand = Demand(checks, inf, None)
    return [Job(layer, subjects, subjects.find(), demand, "suite", None, None) for layer in layers]
