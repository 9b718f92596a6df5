"""Files beside the code that have the names of modules which convcheck needs: no such file is taken for the module."""

import subprocess
import sys

import pytest

from tests.shell import ROOT

#: Packages, beside the standard library.
PACKAGES = (
    "attr", "click", "hypothesis", "jax", "loky", "matplotlib", "ml_dtypes", "numpy", "onnx", "psutil", "pygments",
    "rich", "scipy", "sitecustomize", "threadpoolctl", "torch", "typer", "usercustomize", "yaml",
)  # fmt: skip

CODE = """
from convcheck.gradients import formulation
UNFOLD = formulation("unfold")
class Code:
    def forward(self, x, weight, bias, layer):
        self.kept = layer, x, weight
        return UNFOLD.forward(layer, x, weight, bias)
    def backward(self, grad_output):
        right = UNFOLD.backward(*self.kept, grad_output)
        return right.input, FACTOR * right.weight, right.bias
"""

CONFIG = "version: 1\ntarget: code.py:Code\nlayers: [{channels: 1, filters: 2, kernel: 2, input: 4}]\n"

COMMANDS = {
    "verify": ["verify", "config.yaml"],
    "judge": ["judge", "code.py:Code", "--seconds", "0.1"],
    "hunt": ["hunt", "code.py:Code", "--cases", "10", "--jobs", "2"],
}


@pytest.mark.parametrize(
    ("command", "factor", "status"), [*((command, 1, 0) for command in COMMANDS), ("verify", 2, 1)]
)
def test_none_is_imported(command, factor, status, tmp_path):
    for name in (*sys.stdlib_module_names, *PACKAGES):
        (tmp_path / f"{name}.py").write_text(f"open('imported.txt', 'a').write('{name}\\n')\nraise ImportError\n")
    (tmp_path / "code.py").write_text(CODE.replace("FACTOR", str(factor)))
    (tmp_path / "config.yaml").write_text(CONFIG)
    # As the installed command is started; `-m` itself would import from here.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "convcheck", *COMMANDS[command]], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, timeout=100,
    )  # fmt: skip
    imported = tmp_path / "imported.txt"
    assert not imported.exists(), imported.read_text()
    assert done.returncode == status, done.stdout + done.stderr
