"""Targets are found by file or module, and what goes wrong is said with the user's own traceback."""

from pathlib import Path

import pytest

from convcheck import Layer, TargetError, verify
from convcheck.targets import resolve

RIGHT = """
from tests.targets_for_tests import Right
class MyConv(Right):
    pass
class Space:
    Inner = MyConv
number = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_layers.py").write_text(RIGHT)
    return tmp_path


def test_a_file_relative_to_the_folder(folder):
    assert resolve("my_layers.py:MyConv", folder).name == "my_layers.py:MyConv"
    assert resolve("my_layers.py:Space.Inner", folder).name == "my_layers.py:Space.Inner"


def test_a_file_imports_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_target.py").write_text(RIGHT)
    (tmp_path / "main_target.py").write_text("from neighbour_of_target import MyConv")
    assert verify(Layer(2, 3, 2), target=f"{tmp_path}/main_target.py:MyConv").passed


def test_a_module_and_an_object():
    assert verify(Layer(2, 3, 2), target="tests.targets_for_tests:Right").passed
    assert not verify(Layer(2, 3, 2), target="tests.targets_for_tests:Unflipped").passed


def test_a_target_in_a_config_is_relative_to_the_config(folder, monkeypatch):
    (folder / "suite.yaml").write_text(
        "target: my_layers.py:MyConv\nlayers:\n- {channels: 2, filters: 3, kernel: 2, input: [5, 6]}\n"
    )
    monkeypatch.chdir(Path("/"))
    report = verify(folder / "suite.yaml")
    assert report.passed
    assert report.target == "my_layers.py:MyConv"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("MyConv", ["not allowed", "module:name", "path/to/file.py:name"]),
        ("my_layers.py:", ["not allowed", "module:name", "path/to/file.py:name"]),
        ("my_layers.py:MyCnv", ['my_layers.py has no "MyCnv"', 'did you mean "MyConv"']),
        ("my_layers.py:zzz", ['my_layers.py has no "zzz"', "expected"]),
        ("no_such_module_at_all:MyConv", ["no module no_such_module_at_all", "expected"]),
        ("my_layers.py:number", ["int cannot be called", "forward(x, weight, bias, layer)", "backward(grad_output)"]),
        ("other.py:MyConv", ["no file @FOLDER@/other.py"]),
    ],
)
def test_what_cannot_be_found(folder, target, words):
    with pytest.raises(TargetError) as caught:
        resolve(target, folder)
    said = str(caught.value)
    assert said.startswith("target ")
    assert all(word.replace("@FOLDER@", str(folder)) in said for word in (target, *words))


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("def f(:\n", "SyntaxError: invalid syntax"),
        ("import no_such_thing_either", "ModuleNotFoundError: No module named 'no_such_thing_either'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_what_cannot_be_imported_shows_the_users_own_traceback(tmp_path, source, last):
    (tmp_path / "broken_target.py").write_text(source)
    with pytest.raises(TargetError) as caught:
        resolve("broken_target.py:MyConv", tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == 'target "broken_target.py:MyConv" cannot be imported:'
    assert lines[-1] == last
    assert "targets/loading.py" not in str(caught.value)
    assert any("broken_target.py" in line for line in lines[1:])


@pytest.mark.parametrize("how", ["mylayers_of_two:Conv", "main_of_two.py:Conv"])
def test_two_configs_with_targets_of_the_same_name_are_checked_with_their_own_code(tmp_path, how):
    for name, target in (("right", "Right"), ("wrong", "Unflipped")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "mylayers_of_two.py").write_text(f"from tests.targets_for_tests import {target} as Conv")
        (folder / "main_of_two.py").write_text("from mylayers_of_two import Conv")
        (folder / "c.yaml").write_text(f"target: {how}\nlayers: [{{channels: 2, filters: 3, kernel: 2}}]\n")
    for order in (["right", "wrong"], ["wrong", "right"]):
        report = verify([tmp_path / name / "c.yaml" for name in order])
        assert [layer.passed for layer in report.layers] == [name == "right" for name in order]
