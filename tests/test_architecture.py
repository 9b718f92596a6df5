"""Imports point one way, and heavy libraries are imported only when used."""

import ast
from pathlib import Path

import pytest

import convcheck

PACKAGE = Path(convcheck.__file__).parent

#: What each part must not know of.
FORBIDDEN = {
    "axis.py": ["convcheck"],
    "layer.py": ["convcheck.formulations", "convcheck.numeric", "convcheck.targets", "convcheck.report"],
    "formulations": ["convcheck.numeric", "convcheck.targets", "convcheck.report", "convcheck.verification"],
    "numeric": ["convcheck.formulations", "convcheck.targets", "convcheck.report", "convcheck.verification"],
    "targets": ["convcheck.verification", "convcheck.render", "convcheck.cli", "convcheck.numeric"],
    "checks": ["convcheck.verification", "convcheck.render", "convcheck.cli"],
    "mistakes": ["convcheck.verification", "convcheck.render", "convcheck.cli", "convcheck.targets"],
    "render": ["convcheck.verification", "convcheck.cli", "convcheck.checks", "convcheck.numeric", "convcheck.targets"],
    "figures": ["convcheck.verification", "convcheck.cli", "convcheck.targets"],
    "report.py": ["convcheck.verification", "convcheck.cli", "convcheck.checks", "convcheck.targets"],
    "verification.py": ["convcheck.cli", "convcheck.render", "convcheck.figures"],
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
            yield node.module


def _run_at_import(tree):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _run_at_import(node)


def files(part):
    path = PACKAGE / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_point_one_way(part):
    for path in files(part):
        for module in imports(path, at_start=True):
            assert not any(module == f or module.startswith(f + ".") for f in FORBIDDEN[part]), f"{path}: {module}"


def test_heavy_libraries_are_not_imported_with_the_package_outside_the_figures():
    for path in PACKAGE.rglob("*.py"):
        if "figures" not in path.parts:
            assert HEAVY.isdisjoint(module.partition(".")[0] for module in imports(path, at_start=True)), path


def test_the_tests_above_would_notice(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text("import torch.nn\nfrom convcheck.cli import app\ndef f():\n    import jax\n")
    assert list(imports(path, at_start=True)) == ["torch.nn", "convcheck.cli"]
    assert "jax" in list(imports(path))


def test_nothing_prints_outside_the_command_line():
    for path in PACKAGE.rglob("*.py"):
        if "cli" in path.parts:
            continue
        calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        assert not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls), path
