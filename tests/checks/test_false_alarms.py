"""The search for false alarms, in a small number; the full one is ``python -m tests.false_alarms --count 10000``."""

import random

import pytest
from hypothesis import given, settings

from convcheck import Layer, verify
from convcheck.layer.fields import DTYPES
from tests.false_alarms import false_alarm, main, random_layer
from tests.strategies import layers
from tests.targets_for_tests import Fourier, Right


@pytest.mark.parametrize("seed", range(40))
def test_no_right_target_is_accused(seed):
    assert false_alarm(random_layer(random.Random(seed))) is None


@settings(max_examples=30, deadline=None)
@given(layers(dtypes=tuple(DTYPES)))
def test_no_right_target_is_accused_whatever_the_layer(layer):
    assert false_alarm(layer) is None


@pytest.mark.long
@pytest.mark.parametrize("start", range(1000, 2000, 100))
def test_no_right_target_is_accused_in_a_long_search(start):
    for seed in range(start, start + 100):
        assert false_alarm(random_layer(random.Random(seed))) is None, seed


@pytest.mark.parametrize("code", [Right, Fourier])
def test_it_would_notice_a_false_alarm(monkeypatch, code):
    monkeypatch.setattr(code, "backward", lambda self, grad_output: (None, None, None))
    alarm = false_alarm(Layer(1, 2, 2))
    assert alarm is not None
    assert "input central: failed" in alarm
    assert code.__name__ in alarm
    assert verify(Layer(1, 2, 2)).passed


def test_the_search_is_over_all_dtypes_and_takes_up_where_it_left_off(monkeypatch, capsys):
    generator = random.Random(0)
    drawn = [random_layer(generator) for _ in range(60)]
    assert {layer.dtype for layer in drawn} == set(DTYPES)
    tried = []
    monkeypatch.setattr("tests.false_alarms.false_alarm", lambda layer: tried.append(layer) or "accused")
    monkeypatch.setattr("sys.argv", ["false_alarms", "--count", "10", "--skip", "50"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert tried == drawn[50:]
    assert "round 51: " in capsys.readouterr().out


def test_the_command_says_how_many(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["false_alarms", "--count", "3"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("3 layers, 0 false alarms, ")
