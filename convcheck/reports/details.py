"""What is said about a check that has not passed: labelled lines, and the commands to see it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convcheck.gradients import FORMULATIONS
from convcheck.layer.data import as_yaml as data_as_yaml
from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml
from convcheck.reports.results import OUT_OF_BOUNDS, GradientResult, LayerReport, ReportData, Smallest
from convcheck.wording import GRADIENT_NAMES, VERDICTS, compact_against, counted, readable, told_apart

Details = tuple[tuple[str, str], ...]

#: Kinds of check, whole numbers first, and single entries before sums of all of them.
MOST_LEGIBLE_FIRST = ("exact", "conditions", "projected", "central", "forward", "accumulate", "double")

NO_REASON = "no reason was given"

#: Significant digits of an error that is no whole number.
_DIGITS = 3

#: Letters that the numbers of a case may take in a command.
_LONGEST = 1000

#: Options of a report that ``explain`` and ``visualize`` have too; each takes a value.
_SHARED_OPTIONS = ("--target", "--device", "--dtype")


@dataclass(frozen=True)
class Finding:
    """Something that a report says beyond its rows; every format lays it out in its own way, as text it is a paragraph.

    Attributes
    ----------
    names : tuple of str
        Where it is: layer, gradient, check and implementation.
    details : tuple of (str, str)
        Labels and what they say; the texts may have line breaks.
    traceback : str or None
        The user's own, whose lines stay as they are.
    commands : tuple of (str, str)
        What runs just this check again, and what shows its numbers; labels, and each command on one line.
    """

    status: str
    names: tuple[str, ...]
    details: Details
    traceback: str | None = None
    commands: Details = ()

    def __str__(self) -> str:
        # A text of several lines stays in its column.
        lines = [f"  {label:<9}  {text}".replace("\n", "\n" + " " * 13) for label, text in self.details]
        if self.traceback is not None:
            lines += ["  traceback", *(f"    {line}" for line in self.traceback.splitlines())]
        lines += [f"  {label:<9}  {command}" for label, command in self.commands]
        return "\n".join([f"{VERDICTS[self.status]}  {' · '.join(self.names)}", *lines])


def finding(report: ReportData, layer: LayerReport, result: GradientResult) -> Finding:
    """Return all that is known about one check."""
    names = (layer.name, GRADIENT_NAMES[result.gradient], result.kind, result.implementation)
    details = (*what(result), *place(layer, result), *smallest([(layer, result)]))
    return Finding(result.status, names, details, traceback(result), commands(report, layer, result))


def what(result: GradientResult) -> Details:
    """Return what is wrong, as far as it holds for every layer: the reason of what did not run, and the mistake."""
    reason = () if result.status == "failed" else (("reason", headline(result)),)
    mistakes = tuple(
        line
        for diagnosis in result.diagnosis
        for line in (("diagnosis", f"{diagnosis.name}: {diagnosis.explanation}"), ("fix", diagnosis.fix))
    )
    return reason + mistakes


def place(layer: LayerReport, result: GradientResult) -> Details:
    """Return where it is seen on one layer, and its numbers."""
    if result.status != "failed":
        return ()
    lines = []
    if layer.config is not None:
        # As editors and terminals link it.
        lines.append(("config", layer.config if layer.line is None else f"{layer.config}:{layer.line}"))
    if result.worst is not None:
        lines.append(("worst", worst_entry(result)))
    compared = result.entries_checked or result.check == "projected"
    if compared:
        [error], allowed = compact_against([result.max_abs_error], result.allowed_error, _DIGITS)
        if not result.allowed_error:
            error = readable(result.max_abs_error, _DIGITS)
        relative = readable(result.max_rel_error, _DIGITS)
        lines.append(("error", f"{error} (relative {relative}), allowed {allowed}"))
        lines.append(("differ", difference(result)))
    if result.message:
        # What has a wrong shape or type is not compared, so there is no place.
        lines.append(("where" if compared else "reason", result.message))
    return tuple(lines)


def smallest(places: Iterable[tuple[LayerReport, GradientResult]]) -> Details:
    """Return the smallest case that was found for one of some places."""
    for layer, result in places:
        case = layer.smallest
        if case is not None and _is_of(case, result):
            where = f"under the condition {case.condition}" if case.condition else None
            lines = [as_yaml(Layer(**case.layer)), case.what, where, case.note]
            return (("smallest", "\n".join(line for line in lines if line)),)
    return ()


def _is_of(case: Smallest | None, result: GradientResult) -> bool:
    if case is None or (case.along is None) == (result.check == "double"):
        return False
    # What a condition explains is shrunk under it, even where it fails without it.
    under = (result.condition, *(diagnosis.name for diagnosis in result.diagnosis))
    return case.gradient == result.gradient and case.condition in under


def headline(result: GradientResult) -> str:
    """Return the reason of a result in one line: of a traceback, the exception that ends it."""
    first, *rest = (result.message or NO_REASON).splitlines()
    frames = [number for number, line in enumerate(rest) if line.startswith('  File "')]
    raised = next((line for line in rest[frames[-1] + 1 :] if line[:1].strip()), "") if frames else ""
    if first.startswith("Traceback"):
        return raised or first
    return f"{first} {raised}".rstrip()


def traceback(result: GradientResult) -> str | None:
    """Return the lines that a headline leaves out, and those around them."""
    lines = (result.message or "").splitlines()
    return result.message if result.status != "failed" and len(lines) > 1 else None


def summary(result: GradientResult) -> str:
    """Return what is wrong in one sentence, with the diagnosis where there is one."""
    if result.status != "failed":
        return f"{result.status} ({result.kind} check): {headline(result)}"
    cause = f"error {readable(result.max_abs_error, _DIGITS)}"
    if result.diagnosis:
        cause = f"{result.diagnosis[0].name}: {result.diagnosis[0].explanation}"
    elif result.worst is not None:
        cause = worst_entry(result)
    return f"wrong in {difference(result)} ({result.kind} check); {cause}"


def worst_entry(result: GradientResult) -> str:
    """Return the worst entry's index and both its values, in a sentence; the result must have one."""
    assert result.worst is not None
    analytic, numeric = told_apart(result.worst.analytic, result.worst.numeric)
    if result.check == "double":
        values = f"the code gives {analytic}, the right derivative is {numeric}"
    elif result.gradient == "output":
        values = f"the forward pass gives {analytic}, the definition {numeric}"
    else:
        source = "the right one is" if result.condition else "the forward pass implies"
        values = f"the backward pass gives {analytic}, {source} {numeric}"
    return f"[{', '.join(map(str, result.worst.index))}]: {values}" if result.worst.index else f"sum: {values}"


def difference(result: GradientResult) -> str:
    """Return how much of the gradient differs."""
    if result.check == "projected":
        directions = counted(result.mismatches, "random direction")
        return f"the sum of all {result.entries:,} entries, weighted by {directions}"
    return f"{result.mismatches:,} of {counted(result.entries_checked, 'entry', 'entries')}"


def commands(report: ReportData, layer: LayerReport, result: GradientResult) -> Details:
    """Return shell commands for one check of one layer, by label, quoted for a POSIX shell.

    One runs just this check; where a single pass on the layer's own data shows what is wrong, others write its worst
    entry out and draw it, with the numbers of the report. Of what was made smaller, all are about the smallest layer.
    None for a layer that no command can name: the code was given as an object, or its name cannot be selected.
    """
    in_file = layer.config is not None and layer.line is not None
    builtin = ["--formulation", result.implementation] if result.implementation in FORMULATIONS else []
    if report.as_object or result.status == "skipped":
        return ()
    if not (layer.config is not None or builtin or "--target" in report.options):
        return ()
    config = [layer.config] if layer.config is not None else []
    case = layer.smallest if _is_of(layer.smallest, result) else None
    if case is not None and len(data_as_yaml(case.operands)) > _LONGEST:
        case = None
    one = layer.layer if case is None else Layer(**case.layer)
    index = result.worst.index if result.worst is not None else ()
    chosen = named = ["--layer", as_yaml(one)]
    on_reals = result.check == "central" or (result.check == "forward" and not result.on_integers)
    data = ["--data", "real"] if on_reals else []
    if case is None and (in_file or (report.fitted and report.hunt is None)):
        # A fitted suite is found again from the target alone.
        quoted = selection(layer.name)
        chosen, named = [] if quoted is None else ["-k", quoted], ["--layer", layer.name]
    elif case is not None:
        index, data = case.index, ["--data", data_as_yaml(case.operands)]
    # The config file need not say the seed that was used, so the commands always do.
    seed = ["--seed", str(one.seed)]
    found = []
    if chosen:
        under = any(diagnosis.name == OUT_OF_BOUNDS for diagnosis in result.diagnosis)
        checks = dict.fromkeys([result.check, "conditions"] if under else [result.check])
        words = ["verify", *config, *report.options, *builtin, *chosen]
        found.append(("reproduce", [*words, *(word for check in checks for word in ("--check", check)), *seed]))
    if index and result.single_pass and not (builtin or result.condition or result.check == "double" or one.is_complex):
        entry = f"{result.gradient}[{','.join(map(str, index))}]"
        words = [*config, *named]
        shared = [*_shared_options(report.options), *data, *(seed if case is None else [])]
        found.append(("explain", ["explain", *words, "--entry", entry, *shared]))
        found.append(("picture", ["visualize", *words, *shared]))
    return tuple((label, shlex.join(["convcheck", *words])) for label, words in found)


def _shared_options(options: tuple[str, ...]) -> Iterator[str]:
    for place, option in enumerate(options):
        if option in _SHARED_OPTIONS:
            yield from options[place : place + 2]


def selection(name: str) -> str | None:
    """Return the expression that selects the layer of this name and no other.

    Always the name in quotes, which ask for all of it: a bare name may also be part of the name of a layer that the
    config has and the report, made with ``-k`` or ``-x``, has not. None for a name with both kinds of quotes, which
    no expression can hold.
    """
    quote = next((quote for quote in "\"'" if quote not in name), None)
    return None if quote is None else f"{quote}{name}{quote}"
