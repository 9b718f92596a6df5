"""Programs as targets: the protocol, what breaks it, and that nothing is left behind."""

import os
import re
import sys
from contextlib import nullcontext

import numpy as np
import psutil
import pytest

from convcheck import Layer, TargetError, verify
from convcheck.targets import resolve
from convcheck.targets.programs.cases import Cases
from convcheck.targets.programs.one_shot import OneShot
from convcheck.targets.programs.process import Program
from convcheck.targets.programs.protocol import AnswerError, Request
from convcheck.targets.target import TargetContractError
from tests.programs import READ, ones

LAYER = Layer(2, 3, (3, 2), stride=(2, 1), padding=[(1, 0), (0, 2)], dilation=(1, 2), input=(5, 6))


def request_of(direction="forward", layer=LAYER):
    x, weight = np.arange(np.prod(layer.input_shape)), np.arange(np.prod(layer.weight_shape)) - 7
    arrays = {"x": x.reshape(layer.input_shape), "weight": weight.reshape(layer.weight_shape)}
    shapes = {"grad_input": layer.input_shape, "grad_weight": layer.weight_shape}
    if layer.bias:
        arrays["bias"], shapes["grad_bias"] = np.arange(layer.filters), layer.bias_shape
    if direction == "forward":
        shapes = {"output": layer.output_shape}
    else:
        arrays["grad_output"] = np.ones(layer.output_shape)
    return Request(direction, layer, {name: a.astype(layer.dtype) for name, a in arrays.items()}, shapes)


@pytest.fixture(autouse=True, scope="module")
def earlier():
    """Processes that other tests have left running on purpose, such as one that new ones are made from."""
    EARLIER.update(child.pid for child in psutil.Process().children(recursive=True))
    yield
    EARLIER.clear()


EARLIER = set()


def children():
    running = psutil.Process().children(recursive=True)
    return [c for c in running if c.pid not in EARLIER and c.status() != psutil.STATUS_ZOMBIE]


def test_a_request_is_one_line_that_says_all_and_the_arrays_in_c_order():
    request = request_of("backward")
    words = "convcheck 1 backward float64 2 2 3 1 2 5 6 3 2 2 1 1 2 1 0 0 2 2 6 1"
    line, *arrays = map(bytes, request.chunks)
    assert line.decode() == words + "\n"
    assert [np.frombuffer(a).tolist() for a in arrays] == [a.ravel().tolist() for a in request.arrays.values()]
    turned = Request("forward", LAYER, {"x": np.asfortranarray(request.arrays["x"])}, {})
    assert turned.chunks[1] == arrays[0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_program_is_asked_again_and_again(tmp_path, dtype):
    program = Program(ones(tmp_path), tmp_path)
    layer = Layer(2, 3, 3, input=(5, 6), dtype=dtype)
    for direction in ("forward", "backward", "backward", "forward"):
        request = request_of(direction, layer)
        found = program.ask(request)
        assert {name: array.shape for name, array in found.items()} == request.shapes
        assert all((array == 1).all() and array.dtype == dtype for array in found.values())
    program.stop()


@pytest.mark.parametrize("last", ["", "sys.stderr.write('x' * 200000)"])
@pytest.mark.parametrize("size", [(250, 260), (60, 70)])
def test_neither_side_waits_for_the_other(tmp_path, size, last):
    """The program answers before it has read the request: in the larger case, each is more than a pipe holds."""
    read = 'given = size * (x + weight + bias + (output if direction == "backward" else 0))'
    late = 'answers.write(line + b"".join(arrays))\nanswers.flush()\nrequests.read(given)'
    program = Program(ones(tmp_path, read=read, answer=late, last=last), tmp_path, echo=False)
    layer = Layer(3, 4, 3, input=size)
    for direction in ("forward", "backward", "forward"):
        assert program.ask(request_of(direction, layer), limit=30)
    program.stop()


WRONG = {
    "ends at once": ({"start": "sys.exit(3)"}, ["ended with exit status 3", "without an answer"]),
    "crashes": ({"answer": "import os; os.kill(os.getpid(), 11)"}, ["SIGSEGV", "without an answer"]),
    "says why": ({"answer": "sys.exit('no such kernel')"}, ["ended with exit status 1", "no such kernel"]),
    "JSON": ({"answer": "answers.write(b'{\"ok\": [120]}\\n')"}, ["looks like JSON", "one line", "ok 72"]),
    "its input": ({"answer": "answers.write(b'convcheck 1 forward\\n')"}, ["request's own line"]),
    "an empty line": ({"answer": "answers.write(b'\\n')"}, ["an empty line"]),
    "binary": ({"answer": "answers.write(bytes(range(128, 256)) + b'\\n')"}, ["no text"]),
    "prints": ({"answer": "answers.write(b'debug: 3\\n' + line + arrays[0])"}, ["debug: 3", "standard error"]),
    "no newline": ({"answer": "answers.write(b'ok 72'); break"}, ["middle of its answer's line", '"ok 72"', "newline"]),
    "no line at all": ({"answer": "answers.write(one * 1000)"}, ["without a newline", "8,000 bytes"]),
    "no numbers": ({"answer": "answers.write(b'ok many\\n')"}, ['"ok many"', "how many entries of output"]),
    "too few counts": ({"answer": "answers.write(b'ok\\n')"}, ['"ok"', "ok 72"]),
    "a huge count": ({"answer": "answers.write(b'ok 99999999999\\n')"}, ["99,999,999,999 entries of output", "72"]),
    "half": ({"answer": "answers.write(line + arrays[0][:100]); break"}, ["100 of the 576 bytes of output", "72"]),
    "too much": ({"answer": "answers.write(line + arrays[0] + b'12345')"}, ["5 bytes more", "12345"]),
    "fails": ({"answer": "answers.write(b'error out of memory\\n')"}, ["says error: out of memory"]),
    "closes": ({"answer": "import os; os.close(1); import time; time.sleep(30)"}, ["closed its standard output"]),
}  # fmt: skip


@pytest.mark.parametrize("behaviour", WRONG)
def test_what_breaks_the_protocol_is_said(tmp_path, behaviour):
    code, words = WRONG[behaviour]
    program = Program(ones(tmp_path, **code), tmp_path, echo=False)
    with pytest.raises(TargetContractError) as caught:
        program.ask(request_of(), limit=30)
    assert all(word in str(caught.value) for word in words), caught.value
    assert isinstance(caught.value, AnswerError) == (behaviour != "fails")
    program.stop()
    assert not children()


#: Leaves a process with the program's standard output.
FORKS = "import os, time\nif not os.fork():\n    os.close(2)\n    time.sleep(1000)\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestOneThatLeavesAProcessWithItsOutput:
    @pytest.fixture(autouse=True)
    def ended_at_last(self):
        before = {process.pid for process in psutil.process_iter()}
        yield
        for process in psutil.process_iter():
            if process.pid not in before and "ones" in " ".join(process.cmdline()):
                process.kill()

    def test_its_end_is_seen_all_the_same(self, tmp_path):
        code = f"{FORKS}sys.exit(3)"
        program = Program(ones(tmp_path, answer=code), tmp_path, echo=False)
        with pytest.raises(AnswerError, match="ended with exit status 3 without an answer"):
            program.ask(request_of(), limit=30)
        program.stop()

    def test_it_ends_with_its_input(self, tmp_path):
        program = Program(ones(tmp_path, start=FORKS), tmp_path, echo=False)
        program.ask(request_of(), limit=30)
        assert program.finish(b"", 30) == (0, b"")


def test_one_that_closes_its_output_and_has_no_more_time_has_closed_it(tmp_path):
    program = Program(ones(tmp_path, **WRONG["closes"][0]), tmp_path, echo=False)
    with pytest.raises(AnswerError, match="closed its standard output"):
        program.ask(request_of(), limit=2)
    assert not children()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ({"read": "requests.read()"}, ["was stopped after 2 s", "without an answer", "flush"]),
        ({"answer": "answers.write(b'ok 72')", "last": "requests.read()"}, ["after 2 s", '"ok 72"', "newline"]),
        ({"answer": "answers.write(line)", "last": "requests.read()"}, ["after 2 s", "0 of the 576 bytes of output"]),
    ],
)
def test_one_that_hangs_is_stopped(tmp_path, code, words):
    program = Program(ones(tmp_path, **code), tmp_path)
    with pytest.raises(AnswerError) as caught:
        program.ask(request_of(), limit=2)
    assert all(word in str(caught.value) for word in words), caught.value
    assert not children()


def test_after_a_failure_the_next_request_finds_a_fresh_program(tmp_path):
    (tmp_path / "count").write_text("")
    start = "open('count', 'a').write('x')"
    program = Program(
        ones(tmp_path, start=start, answer="if number == 2: sys.exit(1)\nanswers.write(line + arrays[0])"),
        tmp_path, echo=False,
    )  # fmt: skip
    program.ask(request_of())
    with pytest.raises(AnswerError, match="exit status 1"):
        program.ask(request_of())
    program.ask(request_of())
    assert (tmp_path / "count").read_text() == "xx"
    program.stop()


@pytest.mark.parametrize("then", ["continue", "break"])
def test_a_refusal_is_one_whether_the_program_goes_on_or_ends(tmp_path, then):
    """Without having read the arrays, it can only end."""
    before = "" if then == "break" else READ_ALL
    refuse = f"answers.write(b'unsupported no groups\\n'); answers.flush(); {then}"
    read = f"if groups > 1:\n    {before}{refuse}\n{READ_ALL}"
    program = Program(ones(tmp_path, read=read), tmp_path)
    grouped = Layer(4, 4, 3, groups=2, input=(5, 6))
    for _ in range(2):
        with pytest.raises(NotImplementedError, match="no groups"):
            program.ask(request_of("forward", grouped))
        assert program.ask(request_of())
    program.stop()


READ_ALL = f"{READ};"


def test_a_refusal_skips_the_layer_and_one_in_backward_is_an_error(tmp_path):
    refuse = (
        "if direction == '{}': answers.write(b'unsupported too late\\n')\nelse: answers.write(line + b''.join(arrays))"
    )
    for direction, status in (("forward", "skipped"), ("backward", "error")):
        command = ones(tmp_path, answer=refuse.format(direction))
        found = verify(LAYER, target=resolved({"command": command}, tmp_path), checks=["exact"]).layers[0].results
        by_gradient = {result.gradient: result for result in found}
        assert by_gradient["input"].status == status
        assert "too late" in by_gradient["input"].message


def resolved(mapping, folder):
    """The mapping with its program as an absolute path: `verify` looks in the current folder."""
    command = [str(folder / word) if word.endswith(".py") else word for word in mapping["command"]]
    return {**mapping, "command": command}


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_an_array_of_the_wrong_size_is_a_finding_and_the_program_goes_on(tmp_path, direction):
    less = f"if direction == '{direction}':\n    counts[0] -= 1; arrays[0] = arrays[0][size:]\n"
    less += "    line = ('ok ' + ' '.join(map(str, counts)) + '\\n').encode()\nanswers.write(line + b''.join(arrays))"
    start = "open(sys.argv[0] + '.count', 'a').write('x')"
    target = resolved({"command": ones(tmp_path, start=start, answer=less)}, tmp_path)
    results = verify(LAYER, target=target).layers[0].results
    wrong = [r for r in results if r.gradient == ("output" if direction == "forward" else "input")]
    said = "output has shape (71,)" if direction == "forward" else "grad_input has shape (119,)"
    assert any(said in (r.message or "") and r.status == "failed" for r in wrong)
    assert (tmp_path / "ones.py.count").read_text() == "x"


def test_nan_is_found(tmp_path):
    answer = (
        "arrays[0] = array.array('d', [float('nan')]).tobytes() + arrays[0][8:]\nanswers.write(line + b''.join(arrays))"
    )
    report = verify(LAYER, target=resolved({"command": ones(tmp_path, answer=answer)}, tmp_path), checks=["exact"])
    assert not report.passed
    assert "non-finite" in str(report)


class TestWhereItIs:
    def refused(self, tmp_path, *command):
        with pytest.raises(TargetError) as caught:
            resolve({"command": list(command)}, tmp_path)
        return str(caught.value)

    def test_a_program_that_is_not_there(self, tmp_path):
        said = self.refused(tmp_path, "./my_conv", "--fast")
        assert all(word in said for word in ("./my_conv --fast", str(tmp_path), "does not exist", "build it first"))
        (tmp_path / "my_conv").mkdir()
        assert "is a folder" in self.refused(tmp_path, "./my_conv")

    def test_a_name_without_a_slash_is_on_the_path(self, tmp_path):
        assert "no program my_conv on the PATH" in self.refused(tmp_path, "my_conv")
        (tmp_path / "my_conv").write_text("")
        assert 'write "./my_conv"' in self.refused(tmp_path, "my_conv")

    def test_one_that_is_not_executable(self, tmp_path):
        (tmp_path / "my_conv.js").write_text("")
        said = self.refused(tmp_path, "./my_conv.js")
        assert all(word in said for word in ("not executable", "chmod +x", "[node, ./my_conv.js]"))

    def test_one_that_the_system_cannot_run(self, tmp_path):
        (tmp_path / "my_conv").write_text("no program")
        (tmp_path / "my_conv").chmod(0o755)
        for mapping in ({}, {"files": "raw"}):
            target = resolve({"command": ["./my_conv"], **mapping}, tmp_path)
            with pytest.raises(TargetError, match=r"cannot be run: Exec format error.*#!"):
                target.run(LAYER, operands())

    @pytest.mark.parametrize(
        ("mapping", "words"),
        [
            ({"command": "./my_conv --fast"}, ["target.command", "a list of words"]),
            ({"command": []}, ["target.command", "a list of words"]),
            ({"command": ["./my_conv", 3]}, ["target.command", "a list of words"]),
            ({"command": ["./my_conv"], "style": "torch"}, ["target.style", "not allowed beside command"]),
            ({"command": ["./my_conv"], "threads": True}, ["target.threads", "not allowed beside command"]),
            ({"command": ["./my_conv"], "call": "a:b"}, ["target.command", "not allowed beside call"]),
            ({"command": ["./my_conv"], "forward": "a"}, ["target.forward", "not allowed beside command"]),
            ({"command": ["./my_conv"], "files": "json"}, ["target.files", "raw, npy"]),
            ({"call": "a:b", "files": "raw"}, ["target.files", "is for a program"]),
            ({"library": "./a.so", "keep_case": "cases"}, ["target.keep_case", "is for a program"]),
        ],
    )
    def test_what_is_wrong_with_a_mapping(self, mapping, words):
        with pytest.raises(TargetError) as caught:
            resolve(mapping, None)
        assert all(word in str(caught.value) for word in words), caught.value


def operands(layer=LAYER):
    from convcheck.layer.data import integer_operands

    return integer_operands(layer)


class TestNothingIsLeft:
    def test_when_the_target_goes_the_program_ends(self, tmp_path):
        target = resolve({"command": ones(tmp_path, end="open('ended', 'w').close()")}, tmp_path)
        target.run(LAYER, operands())
        assert len(children()) == 1
        del target
        assert not children()
        assert (tmp_path / "ended").exists()

    def test_one_that_does_not_end_by_itself_is_ended_with_its_children(self, tmp_path):
        start = "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
        ended = tmp_path / "ended"
        end = f"import pathlib, time; time.sleep(60); pathlib.Path({str(ended)!r}).touch()"
        program = Program(ones(tmp_path, start=start, end=end), tmp_path)
        program.ask(request_of())
        assert len(children()) == 2
        del program
        assert not children()
        assert not ended.exists()

    def test_an_interruption_ends_it(self, tmp_path, monkeypatch):
        program = Program(ones(tmp_path, read="requests.read()"), tmp_path, Cases(tmp_path / "cases"))
        monkeypatch.setattr("convcheck.targets.programs.process._Process._answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            program.ask(request_of())
        assert not children()
        (case,) = (tmp_path / "cases").iterdir()
        assert "stopped before it had answered" in (case / "case.txt").read_text()


def interrupted(*_):
    raise KeyboardInterrupt


class TestCases:
    @pytest.mark.parametrize(
        ("answer", "word", "kept", "raises"),
        [
            ("answers.write(line + arrays[0][:100]); break", "100 of the 576 bytes", 106, True),
            ("answers.write(b'what?\\n')", "what?", 6, True),
            ("answers.write(b'error no memory\\n')", "no memory", None, True),
            ("answers.write(b'ok 71\\n' + arrays[0][8:])", "shape (71,)", None, False),
            (
                "answers.write(line + array.array('d', [float('inf')]).tobytes() + arrays[0][8:])",
                "not finite",
                None,
                False,
            ),
        ],
    )
    def test_what_goes_wrong_is_kept_whole_and_once(self, tmp_path, answer, word, kept, raises):
        folder = tmp_path / "deep" / "cases"
        program = Program(ones(tmp_path, answer=answer), tmp_path, Cases(folder))
        request = request_of()
        for _ in range(2):
            with pytest.raises(TargetContractError) if raises else nullcontext() as caught:
                program.ask(request)
            assert not raises or str(folder) in str(caught.value)
        (case,) = folder.iterdir()
        assert (case / "request.bin").read_bytes() == b"".join(request.chunks)
        text = (case / "case.txt").read_text()
        assert word in text
        assert all(part in text for part in ("convcheck 1 forward float64", "weight, shape (3, 2, 3, 2)", '"ok 72"'))
        if kept is not None:
            assert len((case / "answer.bin").read_bytes()) == kept
        program.stop()

    def test_what_is_right_or_refused_is_not(self, tmp_path):
        answer = "answers.write(b'unsupported\\n' if number == 2 else line + b''.join(arrays))"
        program = Program(ones(tmp_path, answer=answer), tmp_path, Cases(tmp_path / "cases"))
        program.ask(request_of())
        with pytest.raises(NotImplementedError, match="without a reason"):
            program.ask(request_of())
        assert not list((tmp_path / "cases").iterdir())
        program.stop()

    def test_while_a_request_is_unanswered_its_case_is_there(self, tmp_path):
        """As convcheck leaves it when it is itself ended meanwhile."""
        start = "import os; seen = [os.path.join(d, f) for d, _, files in os.walk('cases') for f in files]\n"
        start += "open('seen', 'w').write(' '.join(seen))"
        program = Program(ones(tmp_path, start=start), tmp_path, Cases(tmp_path / "cases"))
        program.ask(request_of())
        program.stop()
        seen = (tmp_path / "seen").read_text().split()
        assert {os.path.basename(path) for path in seen} == {"request.bin", "case.txt"}
        assert all(re.match(r"cases/unanswered-", path) for path in seen)

    def test_no_more_than_a_few_are_kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr("convcheck.targets.programs.cases._MOST", 2)
        program = Program(ones(tmp_path, answer="answers.write(b'error\\n')"), tmp_path, Cases(tmp_path / "cases"))
        for size in range(5, 9):
            with pytest.raises(TargetContractError):
                program.ask(request_of("forward", Layer(1, 1, 3, input=(size, 5))))
        assert len(list((tmp_path / "cases").iterdir())) == 2
        program.stop()

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "cases").write_text("")
        program = Program(ones(tmp_path), tmp_path, Cases(tmp_path / "cases"))
        with pytest.raises(TargetError, match="cannot keep a case in"):
            program.ask(request_of())


#: A program that is run for every pass; FORMAT is how it reads and writes an array.
ONCE = """
import sys
from pathlib import Path
folder = Path(sys.argv[-1])
words = (folder / "request.txt").read_text().split()
START
import numpy as np
import convcheck
n, c, f, groups, rank, *sizes = map(int, words[4:])
per_axis = [sizes[i * rank : (i + 1) * rank] for i in range(7)]
layer = convcheck.Layer(c, f, per_axis[1], stride=per_axis[2], dilation=per_axis[3],
    padding=[list(pair) for pair in zip(*per_axis[4:6])], groups=groups, bias=bool(sizes[-1]), input=per_axis[0],
    batch=n, dtype=words[3])
def read(name, shape):
    if "FORMAT" == "npy":
        return np.load(folder / f"{name}.npy")
    return np.fromfile(folder / f"{name}.bin", words[3]).reshape(shape)
def write(name, array):
    if "FORMAT" == "npy":
        np.save(folder / f"{name}.npy", np.asfortranarray(array))
    else:
        array.tofile(folder / f"{name}.bin")
x, weight = read("x", layer.input_shape), read("weight", layer.weight_shape)
if words[2] == "forward":
    results = {"output": convcheck.forward(layer, x, weight, read("bias", (f,)) if layer.bias else None)}
else:
    gradients = convcheck.backward(layer, x, weight, read("grad_output", layer.output_shape))
    results = dict(zip(("grad_input", "grad_weight", "grad_bias"), gradients))
MIDDLE
for name, array in results.items():
    if array is not None:
        write(name, array)
print("done")
END
"""


HUGE = "open(folder / '{}', 'wb').truncate(2**40)"


def once(folder, files="raw", start="", middle="", end=""):
    text = ONCE.replace("FORMAT", files).replace("START", start).replace("MIDDLE", middle).replace("END", end)
    (folder / "once.py").write_text(text)
    return [sys.executable, "once.py"]


class TestAProcessForEveryPass:
    @pytest.mark.parametrize("files", ["raw", "npy"])
    @pytest.mark.parametrize("layer", [LAYER, Layer(2, 2, 3, bias=False, input=(5,), dtype="float32")])
    def test_right_code_gives_what_it_should(self, tmp_path, files, layer, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", os.getcwd())
        target = resolve({"command": once(tmp_path, files), "files": files}, tmp_path)
        from convcheck.gradients import FASTEST, formulation

        right, given = formulation(FASTEST), operands(layer)
        run = target.run(layer, given)
        expected = right.forward(layer, given.x, given.weight, given.bias)
        assert np.array_equal(run.output, expected)
        assert run.output.dtype == layer.dtype
        gradients = zip(run.backward(), right.backward(layer, given.x, given.weight, given.grad_output), strict=True)
        assert all(one is other is None or np.array_equal(one, other) for one, other in gradients)

    def test_a_wrong_gradient_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", os.getcwd())
        spoil = "if words[2] == 'backward': results['grad_bias'] = -results['grad_bias']"
        command = resolved({"command": once(tmp_path, middle=spoil)}, tmp_path)
        layer = Layer(1, 2, 1, input=(2, 3))
        report = verify(layer, target={**command, "files": "raw"}, checks=["exact"], shrink=False)
        assert "sign-flipped" in str(report)
        assert not report.passed

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ({"start": "sys.exit('no licence')"}, ["ended with exit status 1", "expected 0", "no licence"]),
            ({"start": "sys.exit(0)"}, ["left no file output.bin"]),
            ({"start": "(folder / 'outputs.bin').write_text(''); sys.exit(0)"}, ["output.bin", "it left outputs.bin"]),
            ({"start": "(folder / 'output.bin').write_text('abc'); sys.exit(0)"}, ["3 bytes", "no whole number of"]),
            ({"start": "(folder / 'answer.txt').write_text('error too slow'); sys.exit(1)"}, ["says error: too slow"]),
            ({"start": f"{HUGE.format('output.bin')}; sys.exit(0)"}, [f"{2**40:,} bytes, which were not read"]),
            ({"start": f"{HUGE.format('answer.txt')}; sys.exit(3)"}, ["exit status 3"]),
        ],
    )
    def test_what_goes_wrong_is_said_and_kept(self, tmp_path, code, words):
        program = OneShot(once(tmp_path, **code), tmp_path, "raw", Cases(tmp_path / "cases"))
        with pytest.raises(TargetContractError) as caught:
            program.ask(request_of())
        assert all(word in str(caught.value) for word in words), caught.value
        (case,) = (tmp_path / "cases").iterdir()
        there = {path.name for path in case.iterdir()}
        assert {"request.txt", "x.bin", "weight.bin", "bias.bin", "case.txt"} <= there
        if "outputs.bin" in code["start"]:
            assert "outputs.bin" in there

    @pytest.mark.parametrize(
        "written",
        [
            "b'not npy'", "b'\\x93NUMPY\\x01\\x00\\x28\\x23' + b'(' * 8999 + b'\\n'",
            "b'\\x93NUMPY\\x01\\x00\\x46\\x00' + b\"{'descr': '<f8', 'fortran_order': False, \" + "
            "b\"'shape': (%d,)}\\n\" % 10**17",
        ],
    )  # fmt: skip
    def test_a_file_that_is_no_array(self, tmp_path, written):
        start = f"(folder / 'output.npy').write_bytes({written}); sys.exit(0)"
        with pytest.raises(AnswerError, match=r"output\.npy cannot be read"):
            OneShot(once(tmp_path, "npy", start=start), tmp_path, "npy").ask(request_of())

    def test_it_may_refuse(self, tmp_path):
        start = "(folder / 'answer.txt').write_text('unsupported no padding\\n'); sys.exit(0)"
        with pytest.raises(NotImplementedError, match="no padding"):
            OneShot(once(tmp_path, start=start), tmp_path, "raw").ask(request_of())

    def test_the_folder_can_stand_anywhere_and_goes_in_the_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        code = "import sys, pathlib; pathlib.Path('seen').write_text(sys.argv[1])"
        program = OneShot([sys.executable, "-I", "-S", "-c", code, "run('{folder}')"], tmp_path, "raw")
        with pytest.raises(AnswerError):
            program.ask(request_of())
        seen = (tmp_path / "seen").read_text()
        assert seen.startswith(f"run('{tmp_path / 'temporary'}")
        assert not list((tmp_path / "temporary").iterdir())
