"""The pytest plugin: the fixture ``convcheck``, and config files as test files with one test per layer.

pytest imports this module at every start of every project in whose environment convcheck is, so nothing is imported
here but pytest; the rest follows when a test needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from convcheck.reports.report import Report
    from convcheck.suites.config import Suite

#: What a fixture ``convcheck`` is: called with what `convcheck.verify` takes, it fails the test or gives the report.
Check = Callable[..., "Report"]

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


@pytest.fixture
def convcheck(request: pytest.FixtureRequest) -> Check:
    """Check the backward pass of layers: ``convcheck("suite.yaml", target=MyConv)``, or with a ``convcheck.Layer``.

    With ``target=`` alone, on the suite that fits it.

    Takes what ``convcheck.verify`` takes. Relative paths start in the folder of the test's file if there is such a file
    there, else in the current folder. Fails the test with the report of what is wrong; gives the report otherwise.
    """
    folder = request.path.parent

    def check(subject: Any = None, /, *, target: Any = None, **options: Any) -> Report:
        __tracebackhide__ = True
        from convcheck.errors import ConvcheckError
        from convcheck.reports.cases import compact_report
        from convcheck.verification import verify

        problem = ""
        report = None
        try:
            report = verify(_located(subject, folder), target=_located_target(target, folder), **options)
        except ConvcheckError as error:
            problem = str(error)
        # Outside of the handler, so that the exception is not shown as well, with all its frames.
        if report is None or not report.passed:
            pytest.fail(problem if report is None else compact_report(report))
        return report

    return check


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
