import pytest

from convcheck import UsageError
from convcheck.suites.selection import selector

NAMES = ["conv1", "conv10", "layer1.0.conv2", "Stem", "and more"]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("conv", ["conv1", "conv10", "layer1.0.conv2"]),
        ("stem", ["Stem"]),
        ("conv and not conv1", ["layer1.0.conv2"]),
        ("stem or conv2", ["layer1.0.conv2", "Stem"]),
        ("not (conv or stem)", ["and more"]),
        ("not not stem", ["Stem"]),
        ('"conv1"', ["conv1"]),
        ("'and more' or \"Stem\"", ["Stem", "and more"]),
        ("layer1.0.", ["layer1.0.conv2"]),
        ("conv1 and conv2 or stem", ["Stem"]),
    ],
)
def test_chooses(expression, chosen):
    assert [name for name in NAMES if selector(expression)(name)] == chosen


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "it ends too early"),
        ("conv and", "it ends too early"),
        ("and conv", '"and" is not expected here'),
        ("(conv", "a parenthesis is not closed"),
        ("conv)", '")" is not expected here'),
        ("conv stem", '"stem" is not expected here'),
        ("'conv", "a quote is not closed"),
    ],
)
def test_refuses_what_it_cannot_read(expression, problem):
    with pytest.raises(UsageError) as caught:
        selector(expression)
    assert str(caught.value) == (
        f"select={expression!r}: {problem}; expected names joined by and, or, not and parentheses, for example "
        "'conv1 and not stem'"
    )
