"""Choosing layers by name with an expression: ``-k 'conv and not (stem or "conv10")'``.

A bare word stands for every name that contains it, whatever the case; a quoted one for that very name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from convcheck.errors import Parameter, UsageError

if TYPE_CHECKING:
    from convcheck.suites.config import Suite

_TOKEN = re.compile(r"""\s*(?:(?P<paren>[()])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s()"']+))""")

Predicate = Callable[[str], bool]


def selector(expression: str) -> Predicate:
    """Turn an expression into a test of a layer's name.

    Raises
    ------
    UsageError
        If the expression cannot be read.
    """
    parser = _Parser(expression)
    predicate = parser.disjunction()
    parser.expect_end()
    return predicate


def restricted(suite: Suite, expression: str | None) -> Suite:
    """Return a suite with only the layers that an expression selects; all of them without one.

    Raises
    ------
    UsageError
        If it cannot be read, or selects nothing.
    """
    if expression is None:
        return suite
    selects = selector(expression)
    chosen = [(layer, line) for layer, line in zip(suite.layers, suite.lines, strict=True) if selects(layer.name)]
    if not chosen:
        raise nothing_selected(expression, [suite])
    layers, lines = zip(*chosen, strict=True)
    return replace(suite, layers=layers, lines=lines)


def nothing_selected(expression: str, suites: Sequence[Suite]) -> UsageError:
    """Return the error for an expression that selects no layer, with the layers that there are."""
    names = ", ".join(layer.name for suite in suites for layer in suite.layers)
    places = ", ".join(suite.name for suite in suites)
    return UsageError(Parameter("select", expression), f" selects no layer of {places}; its layers are {names}")


class _Parser:
    """Recursive descent: disjunction of conjunctions of negations of names and parentheses."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens: list[tuple[str, str]] = []
        end = len(expression.rstrip())
        position = 0
        while position < end:
            match = _TOKEN.match(expression, position)
            if match is None:
                raise self.error("a quote is not closed")
            kind = match.lastgroup or ""
            self.tokens.append((kind, match[kind]))
            position = match.end()
        self.position = 0

    def error(self, problem: str) -> UsageError:
        return UsageError(
            Parameter("select", self.expression),
            f": {problem}; expected names joined by and, or, not and parentheses, for example 'conv1 and not stem'",
        )

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.position] if self.position < len(self.tokens) else ("end", "")

    def take(self, *token: str) -> bool:
        taken = self.peek() == token
        self.position += taken
        return taken

    def expect_end(self) -> None:
        if self.peek() != ("end", ""):
            raise self.error(f'"{self.peek()[1]}" is not expected here')

    def disjunction(self) -> Predicate:
        terms = [self.conjunction()]
        while self.take("word", "or"):
            terms.append(self.conjunction())
        return lambda name: any(term(name) for term in terms)

    def conjunction(self) -> Predicate:
        terms = [self.negation()]
        while self.take("word", "and"):
            terms.append(self.negation())
        return lambda name: all(term(name) for term in terms)

    def negation(self) -> Predicate:
        negated = False
        while self.take("word", "not"):
            negated = not negated
        operand = self.operand()
        return lambda name: operand(name) != negated

    def operand(self) -> Predicate:
        if self.take("paren", "("):
            inner = self.disjunction()
            if not self.take("paren", ")"):
                raise self.error("a parenthesis is not closed")
            return inner
        kind, text = self.peek()
        self.position += 1
        if kind == "word" and text not in ("and", "or"):
            return lambda name: text.casefold() in name.casefold()
        if kind in ("single", "double"):
            return lambda name: name == text
        raise self.error("it ends too early" if kind == "end" else f'"{text}" is not expected here')
