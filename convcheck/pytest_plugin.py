"""The pytest plugin: the fixture ``convcheck``, one test per check and condition, config files as files of tests.

pytest imports this module at every start of every project in whose environment convcheck is, so nothing is imported
here but pytest; the rest follows when a test needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from types import FunctionType

    from convcheck.reports.report import Report
    from convcheck.suites.config import Suite

Test = TypeVar("Test", bound="FunctionType")

#: Kinds of check that have a test of their own, besides the conditions.
_KINDS = ("forward", "central", "exact", "double")

_ENDINGS = (".yaml", ".yml")

#: A key ``layers`` at the top of a file, in YAML's block style or in JSON's.
_HAS_LAYERS = re.compile(r"""^(?:layers|["']layers["'])\s*:|[{,]\s*["']?layers["']?\s*:""", re.MULTILINE)

#: Far beyond the start of any real config's layers.
_LOOKED_AT = 100_000

#: A target in a file: ``path/to/file.py:name``.
_TARGET_IN_FILE = re.compile(r"(?P<file>[^{].*\.py):(?P<name>[^:]+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for config files."""
    group = parser.getgroup("convcheck", "backward passes of convolutional layers")
    group.addoption(
        "--convcheck-target",
        metavar="TARGET",
        help="Code that the layers of config files are checked with: module:name or path/to/file.py:name, relative to "
        "the current folder. By default what the config says; a file that says nothing is an error.",
    )
    group.addoption(
        "--convcheck-in-process",
        action="store_true",
        help="Run the code that config files name in pytest's own process, as a debugger needs it.",
    )
    group.addoption("--convcheck-complete", action="store_true", help="Compare every entry, however long it takes.")
    parser.addini(
        "convcheck_configs",
        "Config files that are collected wherever they are found, as patterns such as configs/*.yaml, relative to the "
        "root folder. Others are collected only where the command line names them.",
        type="args",
        default=[],
    )


class Checker:
    """What the fixture ``convcheck`` is. Relative paths start in ``folder`` where they are there, else as usual."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        # As it stands in the traceback of a test that fails.
        return "<the fixture convcheck>"

    def __call__(self, subject: Any = None, /, *, target: Any = None, **options: Any) -> Report:
        """Check layers; takes what ``convcheck.verify`` takes."""
        __tracebackhide__ = True
        from convcheck.verification import verify

        folder = self._folder
        return _passed(lambda: verify(_located(subject, folder), target=_located_target(target, folder), **options))

    def hunt(self, target: Any, subject: Any = (), /, **options: Any) -> Report:
        """Search for a layer and a condition on which code fails; takes what ``convcheck.hunt`` takes."""
        __tracebackhide__ = True
        from convcheck.verification import hunt

        folder = self._folder
        return _passed(lambda: hunt(_located_target(target, folder), _located(subject, folder), **options))


def _passed(run: Callable[[], Report]) -> Report:
    """Return a report that passed; fail the test with any other, and with what is wrong with the arguments."""
    __tracebackhide__ = True
    from convcheck.errors import ConvcheckError
    from convcheck.reports.cases import compact_report

    problem = ""
    report = None
    try:
        report = run()
    except ConvcheckError as error:
        problem = str(error)
    # Outside of the handler, so that the exception is not shown as well, with all its frames.
    if report is None or not report.passed:
        pytest.fail(problem if report is None else compact_report(report))
    return report


@pytest.fixture
def convcheck(request: pytest.FixtureRequest) -> Checker:
    """Check the backward pass of layers: ``convcheck("suite.yaml", target=MyConv)``, or with a ``convcheck.Layer``.

    With ``target=`` alone, on the suite that fits it; ``convcheck.hunt(MyConv, seconds=10)`` searches for a layer and a
    condition on which it fails.

    Takes what ``convcheck.verify`` takes. Relative paths start in the folder of the test's file if there is such a file
    there, else in the current folder. Fails the test with the report of what is wrong; gives the report otherwise.
    """
    return Checker(request.path.parent)


def check_layer(
    target: Any, subject: Any = None, *, expected_failures: Mapping[str, str] | None = None, **options: Any
) -> Callable[[Test], Test]:
    """Make a test function of pytest one test per kind of check and condition.

    The function has a parameter ``check`` and calls it::

        @convcheck.check_layer(MyConv, expected_failures={"tiny": "the kernel flushes subnormal numbers"})
        def test_my_conv(check):
            check()

    The tests are called ``test_my_conv[exact]``, ``test_my_conv[not-contiguous]`` and so on. All of them look at one
    verification, which runs with the first. A condition under which nothing could be run, because other checks fail
    or the code refuses it, is a skipped test.

    Parameters
    ----------
    target : str, mapping or callable
        As for `verify`.
    subject : Layer, Suite, str, path, or a sequence of these, optional
        As for `verify`: by default the suite that is fitted to what the target takes.
    expected_failures : mapping of str to str, optional
        Checks and conditions that are known to fail, each with the reason. Their tests are marked as such, and fail
        once the code is mended.
    **options
        Further arguments of `verify`.

    Returns
    -------
    callable
        The decorator.

    Raises
    ------
    UsageError
        If ``expected_failures`` names no check and no condition.
    """
    from convcheck.errors import UsageError
    from convcheck.mistakes.conditions import CONDITIONS
    from convcheck.wording import did_you_mean

    known = (*_KINDS, *CONDITIONS)
    expected = dict(expected_failures or {})
    for name in expected:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f'expected_failures has no check "{name}";{hint} expected some of {", ".join(known)}')

    def decorate(test: Test) -> Test:
        checked = _Checked(target, subject, options, Path(test.__code__.co_filename).parent)
        cases = [
            pytest.param(
                partial(checked.require, name),
                id=name,
                marks=pytest.mark.xfail(reason=expected[name], strict=True) if name in expected else (),
            )
            for name in known
        ]
        decorated: Test = pytest.mark.parametrize("check", cases)(test)
        return decorated

    return decorate


class _Checked:
    """One verification, of which several tests each look at a part."""

    def __init__(self, target: Any, subject: Any, options: Mapping[str, Any], folder: Path) -> None:
        self._target, self._subject = _located_target(target, folder), _located(subject, folder)
        self._options = options
        self._report: Report | None = None

    def require(self, kind: str) -> None:
        """Fail the test if a check of this kind, or under this condition, has not passed."""
        __tracebackhide__ = True
        from dataclasses import replace

        from convcheck.errors import ConvcheckError
        from convcheck.reports.cases import compact_report
        from convcheck.verification import verify

        problem = ""
        if self._report is None:
            try:
                self._report = verify(self._subject, target=self._target, **self._options)
            except ConvcheckError as error:
                problem = str(error)
        if self._report is None:
            pytest.fail(problem)
        layers = []
        for layer in self._report.layers:
            # Of a layer that is too large, directions stand in for every entry.
            kinds = (kind, "projected") if kind == "exact" else (kind,)
            layers.append(replace(layer, results=tuple(r for r in layer.results if r.kind in kinds)))
        results = [result for layer in layers for result in layer.results]
        if not all(result.acceptable for result in results):
            bad = tuple(layer for layer in layers if not all(result.acceptable for result in layer.results))
            pytest.fail(compact_report(replace(self._report, layers=bad)))
        if not any(result.passed for result in results):
            reasons = dict.fromkeys(result.message for result in results if result.message)
            pytest.skip("; ".join(reasons) or "not run: other checks do not pass, or the code cannot be asked")


def _located(subject: Any, folder: Path) -> Any:
    if isinstance(subject, (list, tuple)):
        return [_located(item, folder) for item in subject]
    if isinstance(subject, (str, Path)) and (folder / subject).is_file():
        return str(folder / subject)
    return subject


def _located_target(target: Any, folder: Path) -> Any:
    match = _TARGET_IN_FILE.fullmatch(target) if isinstance(target, str) else None
    if match and (folder / match["file"]).is_file():
        return f"{folder / match['file']}:{match['name']}"
    return target


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ConfigFile | None:
    """Collect config files that the command line names or the setting ``convcheck_configs`` asks for."""
    if file_path.suffix.lower() not in _ENDINGS:
        return None
    patterns = parent.config.getini("convcheck_configs")
    asked = any(file_path in parent.config.rootpath.glob(pattern) for pattern in patterns)
    # Other plugins collect YAML files too: of those on the command line, only what looks like a config is ours.
    if asked or (parent.session.isinitpath(file_path) and _looks_like_config(file_path)):
        collector: ConfigFile = ConfigFile.from_parent(parent, path=file_path)
        return collector
    return None


def _looks_like_config(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _HAS_LAYERS.search(file.read(_LOOKED_AT)) is not None
    except OSError:
        return False


class ConfigFile(pytest.File):
    """A config file; one test per layer."""

    def collect(self) -> Iterator[LayerItem]:
        """Read the config; every error of it is shown, without a traceback, and so is a missing target."""
        from dataclasses import replace

        from convcheck.errors import ConvcheckError
        from convcheck.suites.config import load

        try:
            suite = load(self.path)
        except ConvcheckError as error:
            raise self.CollectError(str(error)) from None
        # As the user would write it, for messages and for commands that can be copied.
        folder = self.config.invocation_params.dir
        named = self.path.relative_to(folder) if self.path.is_relative_to(folder) else self.path
        suite = replace(suite, name=str(named))
        if suite.target is None and self.config.option.convcheck_target is None:
            raise self.CollectError(
                f"{named}: no code of yours would be checked, only convcheck's own formulations; name yours in the "
                'file, with a line such as "target: my_conv.py:MyConv", or with --convcheck-target my_conv.py:MyConv'
            )
        for layer, line in zip(suite.layers, suite.lines, strict=True):
            single = replace(suite, layers=(layer,), lines=(line,))
            yield LayerItem.from_parent(self, name=layer.name, suite=single)


class LayerItem(pytest.Item):
    """One layer of a config file."""

    def __init__(self, *, suite: Suite, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._suite = suite

    def runtest(self) -> None:
        """Verify the layer."""
        from convcheck.verification import verify

        options = self.config.option
        report = verify(
            self._suite,
            target=options.convcheck_target,
            complete=options.convcheck_complete,
            in_process=options.convcheck_in_process,
        )
        if not report.passed:
            raise _LayerFailedError(report)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the report of what is wrong, or what is wrong with the target, in place of a traceback."""
        from convcheck.errors import ConvcheckError
        from convcheck.reports.cases import compact_report

        if isinstance(excinfo.value, _LayerFailedError):
            return compact_report(excinfo.value.report)
        if isinstance(excinfo.value, ConvcheckError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the file, the 0-based line and the layer's name."""
        line = self._suite.lines[0]
        return self.path, None if line is None else line - 1, f"layer {self.name}"


class _LayerFailedError(Exception):
    """A layer has not passed; carries the report to where it is shown."""

    def __init__(self, report: Report) -> None:
        super().__init__("the layer has not passed")
        self.report = report
