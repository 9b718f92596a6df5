"""Imports point one way, without a circle, and heavy libraries are imported only when used."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import convcheck

PACKAGE = Path(convcheck.__file__).parent

#: The rooms and loose files, from the ground up: each imports only what stands above it here.
ROOMS = (
    "version", "wording", "errors", "layer", "gradients", "reports", "targets", "mistakes", "suites", "checks",
    "verification", "explain", "bench", "pytest_plugin", "cli", "__init__", "__main__",
)  # fmt: skip

#: What a room must not know although it stands below: {room: rooms}.
STRANGERS = {
    "gradients.numeric": ["gradients.index_sum", "gradients.dilate_flip", "gradients.unfold", "gradients.passes"],
}

HEAVY = {"torch", "jax", "onnx", "matplotlib"}


def imports(path, *, at_start=False):
    """Names of the modules that a file imports; only those that run when it is imported, if asked for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _run_at_import(tree) if at_start else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _run_at_import(tree):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _run_at_import(node)


def modules(package=PACKAGE):
    """Every file of the package by its dotted name without the package's: "layer.axis", "layer" for its __init__."""
    named = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return named


def arrows(named, *, at_start=False):
    """Pairs (importing, imported) of modules of the package; `TYPE_CHECKING` and lazy imports too, unless at_start."""
    for name, path in named.items():
        for module in imports(path, at_start=at_start):
            package, _, target = module.partition(".")
            if package == "convcheck":
                # What is imported is a module, or a name in one.
                target = target if target in named else target.rpartition(".")[0] or "__init__"
                if target != name:
                    yield name, target


def room(module):
    return module.partition(".")[0]


def test_every_room_is_in_the_plan():
    assert {room(name) for name in modules()} == set(ROOMS)


def test_imports_point_one_way():
    """Also those in functions: an arrow upwards is one, whenever it is followed."""
    for importer, imported in arrows(modules()):
        assert ROOMS.index(room(imported)) <= ROOMS.index(room(importer)), f"{importer} imports {imported}"


def test_no_file_is_part_of_a_circle():
    graph = {}
    for importer, imported in arrows(modules()):
        graph.setdefault(importer, set()).add(imported)
    tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("part", STRANGERS)
def test_some_rooms_do_not_know_each_other(part):
    for importer, imported in arrows(modules()):
        if importer.startswith(part):
            assert imported not in STRANGERS[part], f"{importer} imports {imported}"


def test_at_most_nine_rooms_and_eight_loose_files():
    rooms = [path for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))]
    assert len(rooms) <= 9
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_heavy_libraries_are_not_imported_with_the_package_outside_the_pictures():
    for path in PACKAGE.rglob("*.py"):
        if "drawing" not in path.parts:
            assert HEAVY.isdisjoint(module.partition(".")[0] for module in imports(path, at_start=True)), path


def test_the_tests_above_would_notice(tmp_path):
    (tmp_path / "layer").mkdir()
    path = tmp_path / "layer" / "axis.py"
    path.write_text("import torch.nn\nfrom convcheck.cli import app\ndef f():\n    import jax\n")
    (tmp_path / "cli.py").write_text("def f():\n    from convcheck.layer import axis\n")
    assert "torch.nn" in list(imports(path, at_start=True))
    assert "jax" not in list(imports(path, at_start=True))
    assert "jax" in list(imports(path))
    assert set(arrows(modules(tmp_path))) == {("layer.axis", "cli"), ("cli", "layer.axis")}


def test_nothing_prints_outside_the_command_line():
    for path in PACKAGE.rglob("*.py"):
        if "cli" in path.parts:
            continue
        calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        assert not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls), path
