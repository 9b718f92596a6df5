"""What ``convcheck init`` writes: a config, a target skeleton and a CI job, made from the templates in ``files``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convcheck.version import ORIGIN, REQUIREMENT

_TEMPLATES = Path(__file__).resolve().parent / "files"


@dataclass(frozen=True)
class Language:
    """A language in which a program or library can be started.

    Attributes
    ----------
    file : str
        The skeleton.
    target : str
        What the config names, in YAML.
    build : str
        The command that makes what the config names from the skeleton; empty where nothing is to be made.
    """

    file: str
    target: str
    build: str = ""


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
    languages : mapping of str to Language
        For other languages than Python alone, the first is the usual one; each has its own target.
    """

    words: str
    target: str
    edit: str
    extra: str = ""
    any_padding: bool = True
    languages: Mapping[str, Language] = field(default_factory=dict)

    def language(self, name: str | None) -> Language:
        """Return one of its languages, the usual one if none is named."""
        languages = self.languages or {"python": Language("my_conv.py", self.target)}
        return languages[name or next(iter(languages))]


#: The forms, by the names of the option ``--form``: one for every style of `convcheck.targets.spec`, a program and a
#: library.
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
    "command": Form(
        "a program in any language", "{command: [./my_conv]}", "forward and backward",
        languages={
            "c": Language("my_conv.c", "{command: [./my_conv]}", "cc -O2 -o my_conv my_conv.c"),
            "cpp": Language("my_conv.cpp", "{command: [./my_conv]}", "c++ -std=c++17 -O2 -o my_conv my_conv.cpp"),
            "rust": Language("my_conv.rs", "{command: [./my_conv]}", "rustc --edition 2021 -O my_conv.rs"),
            "javascript": Language("my_conv.js", "{command: [node, my_conv.js]}"),
            "python": Language("my_conv.py", "{command: [python3, my_conv.py]}"),
        },
    ),
    "library": Form(
        "a shared library", "{library: ./libmy_conv.so}", "forward and backward",
        languages={
            "c": Language(
                "my_conv.c", "{library: ./libmy_conv.so}", "cc -O2 -shared -fPIC -o libmy_conv.so my_conv.c"
            ),
        },
    ),
}  # fmt: skip

#: The languages, by the names of the option ``--language``.
LANGUAGES = tuple(dict.fromkeys(name for form in FORMS.values() for name in form.languages))

#: Where each CI system looks for its jobs, by the names of the option ``--ci``.
CI_FILES = {"github": ".github/workflows/convcheck.yml", "gitlab": ".gitlab-ci.yml"}

#: The word of that option for no job.
NO_CI = "none"


def starter_files(form: str, ci: str | None, language: str | None = None) -> dict[str, str]:
    """Return the files to start from: paths relative to the project's folder, and their texts.

    Parameters
    ----------
    form : str
        A key of `FORMS`.
    ci : str or None
        A key of `CI_FILES`; None for no CI job.
    language : str, optional
        One of the form's.
    """
    chosen = FORMS[form]
    code = chosen.language(language)
    more = _template("more_layers").rstrip("\n") if chosen.any_padding else ""
    config = _template("convcheck.yaml").replace("@TARGET@", code.target).replace("@MORE@", more)
    skeleton = _template(form + Path(code.file).suffix).replace("@LOOPS@", _template("loops.c"))
    files = {"convcheck.yaml": config.rstrip("\n") + "\n", code.file: skeleton}
    if form == "library":
        # Not with the command line: it brings NumPy along.
        from convcheck.targets.forms.library import HEADER

        files[HEADER.name] = HEADER.read_text(encoding="utf-8")
    if ci is not None:
        requirement = REQUIREMENT + (f"[{chosen.extra}]" if chosen.extra else "")
        job = _template(f"{ci}.yml").replace("@REQUIREMENT@", requirement)
        job = "".join(line for line in job.splitlines(keepends=True) if code.build or "@BUILD@" not in line)
        job = job.replace("@BUILD@", code.build)
        files[CI_FILES[ci]] = job.replace("@ORIGIN@", f"# {ORIGIN}" if ORIGIN else "")
    return files


def _template(name: str) -> str:
    return (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")
