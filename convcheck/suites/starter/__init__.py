"""What ``convcheck init`` writes: a config, a target skeleton and a CI job, made from the templates in ``files``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convcheck.version import ORIGIN, REQUIREMENT

_TEMPLATES = Path(__file__).resolve().parent / "files"

_CODE_FILE = "my_conv.py"


@dataclass(frozen=True)
class Form:
    """A form of target to start from.

    Attributes
    ----------
    words : str
        What it is.
    target : str
        What the config names, in YAML.
    edit : str
        What in the skeleton is there to be replaced.
    extra : str
        The extra of convcheck that the CI job installs.
    any_padding : bool
        Whether it takes steps and padding that differ by axis and side.
    """

    words: str
    target: str
    edit: str
    extra: str = ""
    any_padding: bool = True


#: The forms, by the names of the option ``--form``: one for every style of `convcheck.targets.spec`.
FORMS = {
    "object": Form("an object with forward and backward", "my_conv.py:MyConv", "MyConv.forward and MyConv.backward"),
    "cache": Form(
        "two functions with a cache",
        "{style: cache, forward: my_conv.py:conv_forward, backward: my_conv.py:conv_backward}",
        "conv_forward and conv_backward",
        any_padding=False,
    ),
    "layer": Form(
        "an object that holds its parameters", "{style: layer, call: my_conv.py:MyConv}",
        "MyConv.forward and MyConv.backward", any_padding=False,
    ),
    "torch": Form(
        "a PyTorch function", "{style: torch, call: my_conv.py:my_conv}", "MyConv.forward and MyConv.backward", "torch",
        any_padding=False,
    ),
    "jax": Form(
        "a JAX function", "{style: jax, call: my_conv.py:my_conv, tuples: true}", "forward and backward", "jax",
        any_padding=False,
    ),
    "tape": Form(
        "tensors of an autograd of one's own",
        "{style: tape, call: my_conv.py:my_conv, tensor: my_conv.py:Tensor}",
        "Tensor and my_conv",
        any_padding=False,
    ),
}  # fmt: skip

#: Where each CI system looks for its jobs, by the names of the option ``--ci``.
CI_FILES = {"github": ".github/workflows/convcheck.yml", "gitlab": ".gitlab-ci.yml"}

#: The word of that option for no job.
NO_CI = "none"


def starter_files(form: str, ci: str | None) -> dict[str, str]:
    """Return the files to start from: paths relative to the project's folder, and their texts.

    Parameters
    ----------
    form : str
        A key of `FORMS`.
    ci : str or None
        A key of `CI_FILES`; None for no CI job.
    """
    chosen = FORMS[form]
    more = _template("more_layers").rstrip("\n") if chosen.any_padding else ""
    config = _template("convcheck.yaml").replace("@TARGET@", chosen.target).replace("@MORE@", more)
    files = {"convcheck.yaml": config.rstrip("\n") + "\n", _CODE_FILE: _template(f"{form}.py")}
    if ci is not None:
        requirement = REQUIREMENT + (f"[{chosen.extra}]" if chosen.extra else "")
        job = _template(f"{ci}.yml").replace("@REQUIREMENT@", requirement)
        files[CI_FILES[ci]] = job.replace("@ORIGIN@", f"# {ORIGIN}" if ORIGIN else "")
    return files


def _template(name: str) -> str:
    return (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")
