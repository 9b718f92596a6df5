"""Every public name says what it is, and every public function what it takes, gives and raises."""

import inspect
from itertools import pairwise

import pytest

import convcheck

NAMES = [name for name in convcheck.__all__ if not name.startswith("__")]

FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(convcheck, name))]


def sections(function):
    """The titles of the sections of a docstring: lines that are underlined."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    return {title for title, line in pairwise(lines) if line and line == "-" * len(title)}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring(name):
    value = getattr(convcheck, name)
    # A dataclass without one gets its signature.
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_says_what_it_takes_gives_and_raises(name):
    function = getattr(convcheck, name)
    assert {"Parameters", "Returns", "Raises"} <= sections(function)
    for parameter in inspect.signature(function).parameters:
        assert parameter in function.__doc__


def test_a_docstring_without_its_sections_would_be_noticed():
    def function(layer):
        """Do something.

        Parameters
        ----------
        layer : Layer
        """

    assert sections(function) == {"Parameters"}
