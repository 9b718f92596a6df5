"""Runs in a worker process: both passes in one request, and what is left when the process ends between them."""

import os
import subprocess
import sys
from math import inf

import numpy as np
import psutil
import pytest

from convcheck import Layer, verify
from convcheck.checks.plan import plan
from convcheck.layer.data import integer_operands
from convcheck.layer.threads import BRIEFLY
from convcheck.targets import resolve
from convcheck.targets.process.host import Worker
from convcheck.targets.process.keepers import Keeper
from convcheck.targets.process.limits import COMPLETE_SECONDS, LAYER_SECONDS, Limits
from convcheck.targets.target import TargetContractError, TargetRaisedError
from tests.parts import expected, right_arrays
from tests.programs import ones
from tests.shell import ROOT

LAYER = Layer(2, 3, (2, 3), input=(4, 5), batch=2)
AT, OTHER = integer_operands(LAYER), integer_operands(LAYER, 1)

SOURCE = """
import ctypes
import numpy as np
from tests.targets_for_tests import Right
class Code(Right):
    place = None
    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer)
        {forward}
        return output
    def backward(self, grad_output):
        {backward}
        return super().backward(grad_output)
"""


@pytest.fixture
def asked(monkeypatch):
    """The verbs of all requests."""
    verbs, send = [], Worker.send

    def noted(worker, verb, *words):
        verbs.append(verb)
        return send(worker, verb, *words)

    monkeypatch.setattr(Worker, "send", noted)
    return verbs


@pytest.mark.parametrize(("complete", "seconds"), [(False, LAYER_SECONDS), (True, COMPLETE_SECONDS)])
def test_by_default_all_calls_of_a_layer_have_one_limit(complete, seconds, tmp_path):
    (tmp_path / "code.py").write_text(SOURCE.format(forward="__import__('time').sleep(0.5)", backward="pass"))
    target = resolve("code.py:Code", tmp_path, limits=Limits(in_process=False, complete=complete))
    operands = AT.x, AT.weight, AT.bias
    try:
        target.begin()
        left = [target.place.turn.left]
        for _ in range(2):
            target.forward(LAYER, *operands)
            left.append(target.place.turn.left)
        assert left[0] == seconds
        # The time in which it is waited for: it may begin before that.
        assert left[0] - left[1] >= 0.3 <= left[1] - left[2]
        target.place.turn.left = 0.05
        with pytest.raises(TargetContractError, match=f"within its timeout of {seconds:g} s"):
            target.forward(LAYER, *operands)
        with pytest.raises(TargetContractError, match=f"used up its timeout of {seconds:g} s for this layer"):
            target.forward(LAYER, *operands)
        target.begin()
        assert target.forward(LAYER, *operands).shape == LAYER.output_shape
    finally:
        target.close()


@pytest.fixture
def opened(tmp_path, asked):
    """Opens code in a worker, which ends with the test."""
    targets = []

    def of(forward="pass", backward="pass"):
        (tmp_path / "code.py").write_text(SOURCE.format(forward=forward, backward=backward))
        targets.append(resolve("code.py:Code", tmp_path, limits=Limits(in_process=False)))
        asked.clear()
        return targets[-1]

    yield of
    for target in targets:
        target.close()


def assert_right(run, at):
    right = right_arrays(at, LAYER)
    assert np.array_equal(run.output, right.pop("output"))
    assert all(np.array_equal(*pair) for pair in zip(run.backward(), right.values(), strict=True))


def test_both_passes_are_one_request_and_a_further_backward_pass_another(opened, asked):
    target = opened()
    run = target.both(LAYER, AT)
    assert_right(run, AT)
    assert asked == ["run"]
    assert np.array_equal(run.backward(OTHER.grad_output)[2], right_arrays(OTHER, LAYER)["bias"])
    onward = target.onward(run, LAYER, OTHER)
    assert_right(onward, OTHER)
    assert (run.went_on, onward.went_on) == (False, True)
    assert asked == ["run", "backward", "run"]


def test_the_backward_pass_waits_where_it_is_not_said_that_it_comes_next(opened, asked):
    run = opened(backward="grad_output[...] = 0").run(LAYER, AT)
    assert run.modified() == ()
    run.backward()
    assert asked == ["run", "backward"]


def test_what_each_pass_wrote_into_is_told_apart(opened):
    run = opened("x[...] = 0", "self.weight[...] = 0").both(LAYER, AT, phases=True)
    assert run.modified() == ("x",)
    run.backward()
    assert run.modified() == ("x", "weight")


def test_the_output_is_that_before_the_backward_pass(opened):
    run = opened("self.output = output", "self.output[...] = 0").both(LAYER, AT)
    assert np.array_equal(run.output, right_arrays(AT, LAYER)["output"])


@pytest.mark.parametrize(
    ("forward", "verbs"),
    [("output = output[:, :1]", ["run", "backward"]), ("output = output.astype(np.float32)", ["run"])],
)
def test_no_backward_pass_runs_by_itself_after_an_output_of_another_shape(forward, verbs, opened, asked):
    run = opened(forward, "raise ValueError").both(LAYER, AT)
    assert run.output.dtype != LAYER.dtype or run.output.shape != LAYER.output_shape
    assert asked == ["run"]
    with pytest.raises(TargetRaisedError):
        run.backward()
    assert asked == verbs


def test_what_the_backward_pass_raises_is_raised_when_it_is_asked_for(opened, asked):
    run = opened(backward="raise NotImplementedError('not yet')").both(LAYER, AT)
    assert np.array_equal(run.output, right_arrays(AT, LAYER)["output"])
    with pytest.raises(NotImplementedError, match="not yet"):
        run.backward()
    assert asked == ["run"]


def test_a_crash_in_the_backward_pass_leaves_the_forward_pass(opened):
    target = opened("x[...] = 0", "ctypes.string_at(0)")
    run = target.both(LAYER, AT, phases=True)
    assert np.array_equal(run.output, right_arrays(AT, LAYER)["output"])
    assert run.modified() == ("x",)
    with pytest.raises(TargetContractError, match="SIGSEGV"):
        run.backward()
    with pytest.raises(TargetContractError, match="the process of the forward pass has ended"):
        run.backward()
    assert not target.onward(run, LAYER, AT).went_on


def test_a_crash_in_a_later_forward_pass_leaves_no_output_of_an_earlier_one(opened):
    target = opened("if x[0, 0, 0, 0] == 77: ctypes.string_at(0)")
    target.both(LAYER, AT).backward()
    marked = type(AT)(AT.x.copy(), AT.weight, AT.bias, AT.grad_output)
    marked.x[0, 0, 0, 0] = 77
    with pytest.raises(TargetContractError, match="SIGSEGV"):
        _ = target.both(LAYER, marked).output


@pytest.mark.parametrize("new_memory", [False, True])
def test_a_pass_of_the_same_layer_uses_the_same_memory_again(new_memory, opened):
    there = "self.place, before = x.ctypes.data, self.place; output = output + 1000 * (before == self.place)"
    target = opened(there)
    run = target.onward(target.both(LAYER, AT), LAYER, OTHER, new_memory=new_memory)
    assert np.all(run.output - right_arrays(OTHER, LAYER)["output"] == (0 if new_memory else 1000))


def test_what_it_does_not_take_is_known_without_asking(opened, asked):
    target = opened()
    assert target.unsupported(LAYER) is None
    assert asked == []


@pytest.mark.parametrize("key", ["modified", "found", "modified_at_last"])
@pytest.mark.parametrize("value", [7, "x", [7], ["x"] * 101])
def test_a_list_that_is_none_is_told(opened, monkeypatch, key, value):
    target = opened()
    receive = Worker.receive
    monkeypatch.setattr(Worker, "receive", lambda *words: {**receive(*words), key: value})
    with pytest.raises(TargetContractError, match=f"cannot be used: {key} is no list"):
        _ = target.run(LAYER, AT).output


def test_several_gradients_are_asked_for_before_the_first_is_waited_for(opened, asked, monkeypatch):
    # So that all passes of a gradient are one request, however slow the machine is.
    monkeypatch.setattr("convcheck.targets.process.remote._SECONDS", 1e6)
    target = opened()
    shared = expected(LAYER, target)
    assert shared.follows_definition
    asked.clear()
    steps = {(step.gradient, step.check): step for step in plan(LAYER, ("central", "exact"), inf)}
    shared.begin([steps["input", "central"], steps["weight", "exact"], steps["bias", "central"]])
    assert asked == ["merged", "forward", "forward", "forward"]
    of_built_in = expected(LAYER)
    for check, gradient in (("central", "bias"), ("exact", "weight"), ("central", "input")):
        found, right = (getattr(of, check)(gradient) for of in (shared, of_built_in))
        assert found.evaluations == right.evaluations
        assert np.allclose(found.values, right.values, rtol=1e-12)
    assert asked == ["merged", "forward", "forward", "forward"]
    # What was not asked for ahead is asked for when it is needed.
    shared.central("weight")
    assert asked[4:] == ["merged"]


@pytest.mark.parametrize("call", range(2, 9))
def test_code_that_raises_at_a_later_call_costs_its_gradients_and_not_the_run(call, tmp_path):
    late = f"Code.calls = getattr(Code, 'calls', 0) + 1\n        if Code.calls >= {call}: raise ValueError('late')"
    (tmp_path / "code.py").write_text(SOURCE.format(forward=late, backward="pass"))
    report = verify(LAYER, target=f"{tmp_path}/code.py:Code", in_process=False, shrink=False)
    wrong = [result for result in report.layers[0].results if not result.passed]
    assert wrong
    assert all(result.status == "error" and "late" in result.message for result in wrong)


def test_no_more_is_asked_for_ahead_than_there_is_room_for(opened, asked, monkeypatch):
    monkeypatch.setattr("convcheck.checks.expected._AHEAD", 0)
    shared = expected(LAYER, opened())
    assert shared.follows_definition
    asked.clear()
    shared.begin(plan(LAYER, ("central", "exact"), inf))
    assert asked == []
    assert np.allclose(shared.central("input").values, expected(LAYER).central("input").values, rtol=1e-12)


def test_a_gradient_whose_passes_end_the_process_leaves_the_others(opened):
    """Those that were asked for after it run in another process."""
    shared = expected(LAYER, opened("if (x != np.rint(x)).any(): __import__('os')._exit(3)"))
    assert shared.follows_definition
    shared.begin(step for step in plan(LAYER, ("central", "exact"), inf) if step.gradient == "weight")
    with pytest.raises(TargetContractError, match="exit status 3"):
        shared.central("weight")
    np.testing.assert_array_equal(shared.exact("weight").values, shared.reference.weight)


@pytest.mark.parametrize("own", [None, "20"])
def test_its_threads_do_not_spin_for_long_unless_the_user_says_so(own, opened, monkeypatch):
    name, cycles = BRIEFLY
    monkeypatch.delenv(name, raising=False)
    if own is not None:
        monkeypatch.setenv(name, own)
    keeper = Keeper()
    try:
        keeper.wait()
        assert psutil.Process(keeper.process.pid).environ()[name] == (own or cycles)
    finally:
        keeper.kill()


@pytest.mark.parametrize(
    ("own", "granted"),
    [({}, ["3", "3", "3"]), ({"OMP": "2"}, ["2", None, None]), ({"MKL": "2"}, ["3", "2", "3"])],
)
def test_libraries_that_it_loads_use_as_many_threads_as_it_is_granted(own, granted, tmp_path, monkeypatch):
    """Unless the user says how many: they go by OpenMP's variable where their own is not set."""
    names = [f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS")]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, number in own.items():
        monkeypatch.setenv(f"{name}_NUM_THREADS", number)
    said = f"assert [__import__('os').environ.get(name) for name in {names}] == {granted}"
    (tmp_path / "code.py").write_text(said + SOURCE.format(forward="pass", backward="pass"))
    target = resolve("code.py:Code", tmp_path, limits=Limits(in_process=False, threads=3))
    try:
        assert_right(target.both(LAYER, AT), AT)
    finally:
        target.close()


@pytest.mark.parametrize("place", ["-8", str(2**40), "9" * 30, "9" * 1900, "x"])
def test_a_place_of_the_output_that_there_cannot_be_costs_nothing_but_the_output(place, opened):
    """Which code has written down that could find the file for it."""
    lines = (
        "f = __import__('sys')._getframe()\n        while 'request' not in f.f_locals: f = f.f_back\n"
        f"        __import__('os').pwrite(205, f\"{{f.f_locals['request']['number']}} {place} "
        'float64 2 3 3 3\\n\\n".encode(), 0); ctypes.string_at(0)'
    )
    run = opened(backward=lines).both(LAYER, AT)
    with pytest.raises(TargetContractError, match="SIGSEGV"):
        _ = run.output


def test_what_it_is_started_with_is_no_option_of_the_codes(opened):
    target = opened(forward="__import__('argparse').ArgumentParser().parse_args()")
    assert_right(target.both(LAYER, AT), AT)


@pytest.mark.parametrize(("answer", "status"), [("unsupported", "skipped"), ("error", "error")])
def test_a_layer_that_a_program_refuses_is_skipped(answer, status, tmp_path):
    command = ones(tmp_path, answer=f"answers.write(b'{answer} this\\n')")
    target = {"command": [str(tmp_path / word) if word.endswith(".py") else word for word in command]}
    results = verify(LAYER, target=target, in_process=False, shrink=False).layers[0].results
    assert {(result.status, result.message) for result in results} == {
        (status, "this" if status == "skipped" else "the program says error: this")
    }


SCRIPT = """\
from convcheck import Layer, verify
from tests.targets_for_tests import Right

class Mine(Right):
    pass

GUARD
    print(verify(Layer(2, 3, 2), target=Mine, in_process=False).passed)
"""


@pytest.mark.parametrize(("guard", "passes"), [("if __name__ == '__main__':", True), ("if True:", False)])
def test_a_script_that_is_checked_by_itself_starts_no_process_after_the_other(guard, passes, tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT.replace("GUARD", guard))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)
    assert (ran.returncode == 0, ran.stdout == "True\n") == (passes, passes)
    assert passes or '__name__ == "__main__":' in ran.stderr
