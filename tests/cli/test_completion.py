"""Shell completion, by the protocol that the scripts of the shells speak."""

import os
import subprocess
import sys

import pytest

from tests.cli.test_verify_command import SMALL
from tests.shell import ROOT


def offered(words, folder):
    """What bash is offered for the last word."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "_CONVCHECK_COMPLETE": "complete_bash",
        "COMP_WORDS": f"convcheck {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    ran = subprocess.run(
        [sys.executable, "-m", "convcheck"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.stderr == ""
    return [line for line in ran.stdout.split("\n") if line]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "texts").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("verify res", ["resnet50"]),
        ("verify sma", ["small.yaml"]),
        ("verify te", ["textbook", "texts/"]),
        ("verify small.yaml -k t", ["two"]),
        ("verify resnet50 -k conv", ["conv1"]),
        ("verify broken.yaml -k t", []),
        ("verify --check e", ["exact"]),
        ("verify --formulation unf", ["unfold"]),
        ("verify --output-format ju", ["junit"]),
        ("sch", ["schema"]),
        ("explain small.yaml --layer t", ["two"]),
        ("visualize res", ["resnet50"]),
        ("bench vgg", ["vgg16"]),
        ("mistakes kernel-not", ["kernel-not-flipped"]),
        ("init --form ca", ["cache"]),
    ],
)
def test_what_is_offered(folder, words, expected):
    assert offered(words, folder) == expected
