"""What is being checked: a built-in formulation, or the user's own code.

To add a form: a class derived from `Form` in a file of `forms/`, and its entry in `choice.FORMS`, the one list to
choose from.

spec             the mapping that describes a target
target           what every target offers to the checks; the built-in formulations
calling          how a pass is called, as data
placement        arrays inside larger memory
device_memory    arrays in the memory of an NVIDIA device
concurrency      threads while a target runs
form             what all forms of the user's own code have in common
forms/           the forms, one file each
programs/        programs in any language: the protocol, and the processes that speak it
choice           which form a target has
binding          which parameter of the user's function or constructor takes what
attributes       where the user's object keeps what
layouts          the order of the target's axes
features         what a layer asks of a target
probing          what a target takes, found out by trying
isolation        what the user's code does to the process, and how it is undone
process/         the user's code in a process of its own
loading          finding and importing what a target names
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from convcheck.errors import Parameter, TargetError, UsageError
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import BuiltIn, Target


def builtin(name: str) -> Target:
    """Return a built-in formulation as something to check; raises UsageError if there is none of that name."""
    return BuiltIn(name)


def resolve(
    target: Any,
    folder: Path,
    *,
    device: str | None = None,
    limits: Limits = IN_PROCESS,
    beside: Target | None = None,
) -> Target:
    """Find what a target names.

    Parameters
    ----------
    target : str, mapping, TargetSpec or callable
        ``module:name``, ``path/to/file.py:name``, a mapping with the keys of `TargetSpec`, also as text in YAML's flow
        style (``{forward: f.py:forward, backward: f.py:backward}``), or the class or function itself.
    folder : Path
        Relative paths start here.
    device : str, optional
        Takes the place of the mapping's.
    limits : Limits
        Where it runs, and what it may use there.
    beside : Target, optional
        One that was found here before in the same folder, with which it shares imported files and its process.

    Raises
    ------
    TargetError
        If it cannot be found, imported or used.
    UsageError
        If a time limit cannot be kept here, or cases are to be kept of what is no program.
    """
    spec = spec_of(target)
    if device is not None:
        spec = replace(spec, device=device)
    if limits.keep_case is not None:
        if spec.command is None:
            raise UsageError(
                Parameter("keep_case"),
                f" is for a program, such as {{command: [./my_conv]}}, which {spec.named} is not",
            )
        spec = replace(spec, keep_case=str(limits.keep_case.absolute()))
    if not limits.in_process:
        from convcheck.targets.process.keepers import require_support, supported
        from convcheck.targets.process.place import Place
        from convcheck.targets.process.remote import Remote

        if supported():
            return Remote(beside.place if isinstance(beside, Remote) else Place(folder, limits), spec)
        if limits.memory is not None:
            require_support(Parameter("memory"))
    from convcheck.targets.choice import choose
    from convcheck.targets.isolation import Guarded, kept_settings

    files = beside.files if isinstance(beside, Guarded) else {}
    with kept_settings():
        found = choose(spec, folder, files)
    return Guarded(found, limits.timeout, files)


def spec_of(target: Any) -> TargetSpec:
    """Return what names a target as a `TargetSpec`; raises TargetError where a mapping is wrong."""
    if isinstance(target, TargetSpec):
        return target
    if isinstance(target, str) and target.lstrip().startswith("{"):
        target = _mapping(target)
    return TargetSpec.parse(target) if isinstance(target, Mapping) else TargetSpec(call=target)


def _mapping(text: str) -> Mapping[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TargetError(f"target {text}: not a mapping in YAML's flow style: {error}") from error
    if not isinstance(data, dict):
        raise TargetError(f"target {text}: expected a mapping such as {{call: layers.py:Conv, layout: NHWC}}")
    return data
