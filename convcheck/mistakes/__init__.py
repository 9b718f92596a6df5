"""The known mistakes, and the search for the one behind a wrong gradient.

- ``catalogue/``: a file for each mistake, its words and the wrong arrays that it makes.
- `mistake`: what every mistake offers, and the scene (a layer with its arrays) on which it is made.
- `walks`: the backward pass with its index arithmetic open to change, of which most mistakes are made.
- `diagnose`: from an observed wrong gradient to the mistakes that reproduce it; `resemblance`, where none does, to what
  it has in common with the right one.
- `parts`: mistakes made along some axes only, in words; `crashes`: why code raises on one layer and not on another.
- `conditions`: data and orders of calls under which a gradient can be wrong that is right otherwise.
- `tricks`: ways in which wrong code has passed other checkers.
- `wrong_forward`: what a wrong forward pass computes in place of the definition.
- `blind_spots`: the mistakes that a passing suite could not have shown.
- `describe`: the catalogue as text, with examples.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TypeVar

from convcheck.errors import UsageError
from convcheck.mistakes import catalogue
from convcheck.mistakes.conditions import CONDITIONS, UNTRIED
from convcheck.mistakes.crashes import CRASHES
from convcheck.mistakes.mistake import Mistake, OtherName
from convcheck.mistakes.resemblance import RESEMBLANCES
from convcheck.mistakes.tricks import TRICKS
from convcheck.mistakes.wrong_forward import FORWARDS
from convcheck.wording import did_you_mean

_Named = TypeVar("_Named", bound=Mistake | OtherName)

#: What every mistake must say of itself.
_WORDS = ("code", "name", "title", "explanation", "why", "fix", "shows_on", "gradients")


def found_in(folders: Iterable[str], package: str) -> tuple[Mistake, ...]:
    """Return the mistakes of a package, one in each file of its folders, in the order of their codes.

    Raises
    ------
    ImportError
        If a file is not as it must be; the message names it.
    UsageError
        If Python has left out the docstrings.
    """
    if sys.flags.optimize > 1:
        raise UsageError(
            "convcheck takes its words from docstrings, which Python leaves out here; expected it to run without -OO, "
            "and without PYTHONOPTIMIZE=2"
        )
    found: dict[str, Mistake] = {}
    for file in pkgutil.iter_modules(folders):
        module = import_module(f"{package}.{file.name}")
        own = [each for each in vars(module).values() if getattr(each, "__module__", None) == module.__name__]
        classes = [each for each in own if isinstance(each, type) and issubclass(each, Mistake)]
        if len(classes) != 1:
            raise ImportError(f"{module.__file__}: has {len(classes)} classes of mistakes; expected one")
        missing = sorted(classes[0].__abstractmethods__) or [
            word for word in _WORDS if not getattr(classes[0](), word, None)
        ]
        if missing:
            raise ImportError(f"{module.__file__}: the mistake has no {' and no '.join(missing)}")
        mistake = classes[0]()
        # Names are unique as those of files are.
        if mistake.name.replace("-", "_") != file.name:
            raise ImportError(f'{module.__file__}: the mistake has another name: "{mistake.name}"')
        if mistake.code in found:
            raise ImportError(f'{module.__file__}: {mistake.code} is the code of "{found[mistake.code].name}" already')
        found[mistake.code] = mistake
    return tuple(found[code] for code in sorted(found))


#: Every known mistake, in the order of its code.
MISTAKES = found_in(catalogue.__path__, catalogue.__name__)

#: What else a report can give a name to: a gradient that no known mistake makes, a forward pass that is another's, code
#: that raises, what is wrong under one condition only, a trick, what was never tried.
OTHER_NAMES: tuple[OtherName, ...] = (
    *RESEMBLANCES.values(), *FORWARDS.values(), *CRASHES.values(), *CONDITIONS.values(), *TRICKS.values(),
    *(untried.words for untried in UNTRIED),
)  # fmt: skip


def mistake(name: str) -> Mistake:
    """Return the mistake with a name or code.

    Raises
    ------
    UsageError
        If there is none; the message gives the nearest spelling.
    """
    return _found(name, MISTAKES)


def named(name: str) -> Mistake | OtherName:
    """Return the mistake, or whatever else a report calls so; raises as `mistake` does."""
    everything: tuple[Mistake | OtherName, ...] = (*MISTAKES, *OTHER_NAMES)
    return _found(name, everything)


def _found(name: str, among: Sequence[_Named]) -> _Named:
    known = {key: item for item in among for key in (item.name, item.code) if key}
    wanted = name.strip().replace("_", "-")
    found = known.get(wanted.lower()) or known.get(wanted.upper())
    if found is not None:
        return found
    hint = did_you_mean(wanted, [item.name for item in among])
    raise UsageError(f'unknown mistake "{name}";{hint} `convcheck mistakes` lists them all')
