"""The one family of errors that convcheck raises for a user's mistake.

Every message says what is wrong, where, what was expected and what to do. The command line prints it
without a traceback and exits with status 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convcheck.wording import at


class ConvcheckError(Exception):
    """Base of all errors that convcheck raises on purpose."""


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


class ConfigError(ConvcheckError):
    """A config file that cannot be used; carries every error of the file.

    Attributes
    ----------
    messages : tuple of str
        One per error, each starting with ``file:line:column``.
    """

    def __init__(self, messages: Sequence[str]) -> None:
        self.messages = tuple(messages)
        super().__init__("\n".join(self.messages))
