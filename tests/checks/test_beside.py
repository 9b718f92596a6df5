"""Several searches at once: each draws its own cases, and what they find does not depend on which is faster."""

import pickle
import threading
from collections import Counter
from dataclasses import replace
from itertools import permutations
from queue import SimpleQueue
from types import SimpleNamespace
from typing import ClassVar

import pytest

from convcheck import Layer, TargetError, UsageError, hunt
from convcheck.checks import beside
from convcheck.checks.beside import Search, search_beside
from convcheck.checks.hunting import Hunter, Tally
from convcheck.targets.probing import Probe
from tests.hunts import only
from tests.parts import HUNTED, target
from tests.targets_for_tests import Right


@pytest.fixture(autouse=True)
def code(tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text(HUNTED)
    monkeypatch.chdir(tmp_path)


def silent():
    """Progress that keeps what it is told."""
    told = []
    return SimpleNamespace(start=lambda work: None, layer=lambda name: None, advance=told.append, told=told)


def test_searches_share_the_cases_and_right_code_is_not_accused():
    report = hunt("code.py:Right", seconds=600, cases=41, jobs=2, progress=(told := silent()))
    assert report.passed, report
    assert report.hunt.cases == 41
    assert sum(tried.cases for tried in report.hunt.conditions) == 41
    assert 0.8 < sum(told.told) < 1.001


def test_what_is_found_is_what_took_the_fewest_cases_and_is_confirmed():
    report = hunt("code.py:Groups", seconds=600, cases=4000, jobs=2, shrink=False)
    assert not report.passed
    hits = []
    for number in range(2):
        probe = Probe(target(only(lambda layer: layer.groups > 2)))
        options = {"seed": 0, "seconds": 600, "most": 2000, "max_error": None, "progress": silent()}
        hunter = Hunter(probe, (), **options, number=number)
        hits.append((hunter.drawn(), hunter.tally.cases))
    (case, _), (other, _) = sorted(hits, key=lambda hit: hit[1])
    assert case != other
    # In the end the layer is tried with the usual bias and dtype, too.
    as_usual = {"name": "found", "bias": True, "dtype": "float64"}
    assert report.layers[-1].layer == replace(case[0], **as_usual)


def test_code_that_cannot_be_sent_to_another_process():
    class Local(Right):
        pass

    with pytest.raises(UsageError, match=r"cannot be sent.*module:name"):
        hunt(Local, seconds=1, jobs=2)


@pytest.mark.parametrize("options", [{"jobs": 0}, {"jobs": 2, "in_process": True}])
def test_numbers_of_searches_that_cannot_be(options):
    with pytest.raises(UsageError, match="jobs"):
        hunt("code.py:Right", seconds=1, **options)


def test_a_search_that_ends_abruptly_is_an_error(monkeypatch):
    monkeypatch.setattr(beside, "_START", "raise SystemExit(3)")
    with pytest.raises(TargetError, match=r"ended abruptly.*jobs"):
        hunt("code.py:Right", seconds=600, cases=10, jobs=2)


def test_one_that_has_found_something_ends_those_that_have_tried_as_many(monkeypatch):
    """Of two that are told apart by what they find after how many cases, whichever says so first."""
    layers = [Layer(1, 1, number + 1, name="layer") for number in range(3)]
    for order in permutations(range(3)):
        sent = []
        said = {0: (layers[0], 9), 1: (layers[1], 4), 2: (None, 6)}
        pipes = {number: Pretended(sent, number, said[number], order) for number in said}
        monkeypatch.setattr(beside, "_started", lambda part, pipes=pipes: pipes[part.number])
        monkeypatch.setattr(beside, "_listened", lambda number, process, news: process.says(news))
        search = Search(b"", {}, (), 0, 600, 30, None, 1)
        found, _ = search_beside(search, 3, silent(), tally := Tally())
        assert found == layers[1]
        assert tally.cases == 19
        assert {number for number, most in sent if most == 4} == {0, 1, 2}


def test_interrupted_searches_say_what_they_have_tried(monkeypatch):
    class Interrupts:
        def __init__(self):
            self.waited = 0

        def put(self, said):
            queue.put(said)

        def get(self, timeout=None):
            self.waited += 1
            if self.waited == 1:
                raise KeyboardInterrupt
            return queue.get(timeout=timeout)

    sent, said, queue = [], {0: (None, 9), 1: (Layer(1, 1, 1), 4)}, SimpleQueue()
    pipes = {number: Pretended(sent, number, said[number], (0, 1)) for number in said}
    monkeypatch.setattr(beside, "SimpleQueue", Interrupts)
    monkeypatch.setattr(beside, "_started", lambda part: pipes[part.number])
    monkeypatch.setattr(beside, "_listened", lambda number, process, news: process.says(news))
    tried = Tally(cases=1)
    with pytest.raises(KeyboardInterrupt):
        search_beside(Search(b"", {}, (), 0, 600, 30, None, 1), 2, silent(), tried)
    assert tried.cases == 1 + 9 + 4
    assert sent == [(0, 1), (1, 1)]


class Pretended:
    """A search that says after the others, in a given order, what it has found."""

    turn = threading.Condition()
    done: ClassVar = []

    def __init__(self, sent, number, said, order):
        self.sent, self.number, self.said, self.before = sent, number, said, order[: order.index(number)]
        self.stdout = self.stdin = self
        self.done.clear()

    def says(self, news):
        with self.turn:
            self.turn.wait_for(lambda: len(self.done) == len(self.before))
            layer, cases = self.said
            news.put((self.number, (layer and (layer, None), Tally(cases=cases))))
            self.done.append(self.number)
            self.turn.notify_all()

    def write(self, data):
        self.sent.append((self.number, pickle.loads(data)))

    def flush(self):
        pass

    kill = wait = close = flush


def test_what_several_have_tried_adds_up():
    one, other = Tally(), Tally()
    layers = [Layer(2, 3, (2, 3), stride=2, batch=4), Layer(5, 1, 3, padding=1), Layer(1, 1, 1, groups=1)]
    together = Tally()
    for number, layer in enumerate(layers):
        (one if number % 2 else other).count(layer, "sparse" if number else None)
        together.count(layer, "sparse" if number else None)
    one.refused, other.refused, together.refused = 2, 3, 5
    one.refusals, other.refusals = {"no": layers[0]}, {"no": layers[1], "never": layers[2]}
    one.add(other)
    assert (one.cases, one.refused, one.conditions) == (3, 5, Counter({"sparse": 2, "plain": 1}))
    assert (one.sizes, one.properties) == (together.sizes, together.properties)
    assert sorted(map(str, one.judged)) == sorted(map(str, layers))
    assert one.refusals == {"no": layers[0], "never": layers[2]}
