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


class TestFilesOfAPackage:
    """A file that imports from its neighbours is loaded as what it is: a module of a package, or under a root."""

    def files(self, folder, **files):
        for name, text in files.items():
            path = folder / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    @pytest.mark.parametrize("package", ["with", "without"])
    def test_imports_with_dots(self, tmp_path, package):
        self.files(
            tmp_path,
            nets__layers__conv="from .parts import Conv as P\nfrom ..common import Base\nclass Conv(P, Base): pass",
            nets__layers__parts="from tests.targets_for_tests import Right as Conv",
            nets__common="class Base: pass",
        )
        if package == "with":
            for folder in ("nets", "nets/layers"):
                (tmp_path / folder / "__init__.py").write_text("")
        assert verify(Layer(2, 3, 2), target=f"{tmp_path}/nets/layers/conv.py:Conv").passed

    def test_a_package_that_imports_the_file_itself(self, tmp_path):
        self.files(tmp_path, mine__conv="from .parts import Conv", mine__parts="from tests.targets_for_tests import *")
        (tmp_path / "mine" / "parts.py").write_text("from tests.targets_for_tests import Unflipped as Conv")
        (tmp_path / "mine" / "__init__.py").write_text("from .conv import Conv")
        assert not verify(Layer(2, 3, 2), target=f"{tmp_path}/mine/conv.py:Conv").passed

    def test_a_folder_that_is_called_like_a_module_of_pythons(self, tmp_path):
        self.files(
            tmp_path,
            code__conv="from .parts import Conv",
            code__parts="from tests.targets_for_tests import Right as Conv",
        )
        assert verify(Layer(2, 3, 2), target=f"{tmp_path}/code/conv.py:Conv").passed
        import code

        assert hasattr(code, "InteractiveConsole")

    def test_imports_from_a_root_above_the_file(self, tmp_path, monkeypatch):
        self.files(
            tmp_path,
            chapters__five__conv="from shared_of_book.im2col import Conv\nfrom helpers_of_book import number",
            shared_of_book__im2col="from tests.targets_for_tests import Right as Conv",
            chapters__helpers_of_book="number = 3",
        )
        monkeypatch.chdir(tmp_path)
        assert verify(Layer(2, 3, 2), target="chapters/five/conv.py:Conv").passed

    def test_nothing_above_the_current_folder_is_imported(self, tmp_path, monkeypatch):
        self.files(
            tmp_path, above_the_folder="number = 3", here__there__deep__conv="from above_the_folder import number"
        )
        monkeypatch.chdir(tmp_path / "here")
        with pytest.raises(TargetError, match="No module named 'above_the_folder'"):
            resolve("there/deep/conv.py:Conv", Path.cwd())

    def test_two_packages_of_the_same_name_are_kept_apart(self, tmp_path):
        for name, target in (("right", "Right"), ("wrong", "Unflipped")):
            self.files(
                tmp_path / name,
                nets__conv="from .parts import Conv",
                nets__parts=f"from tests.targets_for_tests import {target} as Conv",
            )
            passed = verify(Layer(2, 3, 2), target=f"{tmp_path}/{name}/nets/conv.py:Conv").passed
            assert passed == (name == "right")

    def test_what_is_missing_in_the_neighbour_is_said(self, tmp_path):
        self.files(tmp_path, nets__conv="from .parts import Conv", nets__parts="import no_such_module_of_all")
        with pytest.raises(TargetError, match="No module named 'no_such_module_of_all'"):
            resolve("nets/conv.py:Conv", tmp_path)
