"""Shell completion, by the protocol that the scripts of the shells speak."""

import pytest

from tests.cli.test_verify_command import SMALL
from tests.shell import convcheck


def offered(words, folder):
    """What bash is offered for the last word."""
    variables = {
        "_CONVCHECK_COMPLETE": "complete_bash",
        "COMP_WORDS": f"convcheck {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    _, out, err = convcheck([], folder, **variables)
    assert err == ""
    return [line for line in out.split("\n") if line]


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
