"""The one family of errors that convcheck raises for a user's mistake.

Every message says what is wrong, where, what was expected and what to do. The command line prints it
without a traceback and exits with status 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convcheck.wording import at


@dataclass(frozen=True)
class Parameter:
    """A parameter within a message, and the value given: ``max_error=-1``; the command line writes ``--max-error -1``.

    Attributes
    ----------
    name : str
    value : object, optional
        None where the message is about the parameter alone.
    """

    name: str
    value: object = None

    def __str__(self) -> str:
        shown = repr(self.value) if isinstance(self.value, str) else str(self.value)
        return self.name if self.value is None else f"{self.name}={shown}"


class ConvcheckError(Exception):
    """Base of all errors that convcheck raises on purpose.

    The message comes in parts, so that each face can name a parameter in its own way: ``str(error)`` in Python's.
    """

    def __init__(self, *parts: str | Parameter) -> None:
        super().__init__(*parts)

    def __str__(self) -> str:
        return "".join(map(str, self.args))


class UsageError(ConvcheckError):
    """A command, option or argument that cannot be carried out as given."""


class TargetError(ConvcheckError):
    """A target that cannot be found, imported or used."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a layer's description.

    Attributes
    ----------
    path : tuple of str or int
        Where it is: the key, then positions inside its value, for example ``("padding", 1, 0)``.
    message : str
        What was given, what is allowed and what to do; does not repeat the path.
    """

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return f"{at(self.path)}: {self.message}"


class LayerError(ConvcheckError, ValueError):
    """A layer that cannot exist; carries all its problems at once.

    Attributes
    ----------
    problems : tuple of Problem
        Everything that is wrong.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


#: Errors of a file that are told; the others are counted.
MOST_ERRORS = 100


class ConfigError(ConvcheckError):
    """A config file that cannot be used; carries every error of the file, of which it tells the first hundred.

    Attributes
    ----------
    messages : tuple of str
        One per error, each starting with ``file:line:column``.
    """

    def __init__(self, messages: Sequence[str]) -> None:
        self.messages = tuple(messages)
        more = len(self.messages) - MOST_ERRORS
        told = [f"and {more:,} errors more"] if more > 0 else []
        super().__init__("\n".join([*self.messages[:MOST_ERRORS], *told]))
