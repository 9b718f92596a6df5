import pytest

from convcheck import UsageError
from convcheck.suites.select import selector

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
        ("if or lambda or layer1 or a-b/c", ["layer1.0.conv2"]),
    ],
)
def test_chooses(expression, chosen):
    assert [name for name in NAMES if selector(expression)(name)] == chosen


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "too early"),
        ("conv and", "too early"),
        ("and conv", '"and" is not expected'),
        ("(conv", "parenthesis is not closed"),
        ("conv)", '")" is not expected'),
        ("conv stem", '"stem" is not expected'),
        ("conv (stem)", '"(" is not expected'),
        ("conv and 'a' 'b'", "'b' is not expected"),
        ("()", '")" is not expected'),
        ("'conv", "quote is not closed"),
        ("(" * 5000 + "conv" + ")" * 5000, "nested too deeply"),
        ("not " * 100_000 + "conv", "nested too deeply"),
    ],
)
def test_refuses_what_it_cannot_read(expression, problem):
    with pytest.raises(UsageError) as caught:
        selector(expression)
    message = str(caught.value)
    assert message.startswith(f"-k {expression!r}: ")
    assert problem in message
    assert "and, or, not" in message
