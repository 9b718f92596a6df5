"""Mutation testing, a module at a time: ``python -m tests.mutation checks.plan``; all of them without a name.

mutmut changes a module one small step at a time and tries each mutant on the module's own tests, which lie where the
rooms of ``tests/`` have them: ``tests/checks/test_plan.py``. So what survives costs as long as these take, and not as
long as all that reaches it. Every survivor is shown. It runs in a copy, and needs a system with ``fork``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: The core, on which a verdict rests.
MODULES = tuple(
    ".".join(path.relative_to(ROOT / "convcheck").with_suffix("").parts)
    for path in (
        *sorted((ROOT / "convcheck/gradients/numeric").glob("[!_]*.py")),
        *sorted((ROOT / "convcheck/checks").glob("[!_]*.py")),
        ROOT / "convcheck/mistakes/diagnose.py",
    )
)

CONFIGURATION = """
[tool.mutmut]
source_paths = ["convcheck"]
# In one process hypothesis would object to methods that several runs call, each on another object.
process_isolation = "forkserver"
# Tests that come from far away take long, and what they notice a near one should.
max_stack_depth = 8
# Of what the tests take undisturbed, and a second: a mutant that never ends is not waited for much longer.
timeout_multiplier = 5.0
only_mutate = ["{module}"]
also_copy = ["configs"]
pytest_add_cli_args = ["-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--hypothesis-profile=mutation"]
pytest_add_cli_args_test_selection = ["{tests}"]
"""


def tests_of(module):
    """The tests that a module's mutants are tried on."""
    room, *_, name = module.split(".")
    return f"tests/{room}/test_{name}.py"


def mutated(module, folder):
    """Try all mutants of a module in a folder of its own, and return {mutant: what became of it}."""
    for part in ("convcheck", "configs", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    path = f"convcheck/{module.replace('.', '/')}.py"
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + CONFIGURATION.format(
        module=path, tests=tests_of(module)
    )
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    mutmut(folder, "run", "--max-children", "1")
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    return dict(line.strip().split(": ") for line in lines if "__mutmut_" in line)


def mutmut(folder, *arguments):
    done = subprocess.run([sys.executable, "-m", "mutmut", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"mutmut {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}")
    options = parser.parse_args()
    unknown = [module for module in options.modules if module not in MODULES]
    if unknown:
        parser.error(f"no module {unknown[0]}; expected some of {', '.join(MODULES)}")
    for module in options.modules or MODULES:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as name:
            found = mutated(module, Path(name))
            left = [mutant for mutant, status in found.items() if status not in ("killed", "timeout")]
            for mutant in left:
                sys.stdout.write(mutmut(Path(name), "show", mutant))
        counts = Counter(found.values())
        killed, by_time = counts["killed"] + counts["timeout"], counts["timeout"]
        score = f"{killed} of {len(found)} killed, {killed / len(found):.1%}, {by_time} of them by time"
        sys.stdout.write(f"{module}: {score}; {time.perf_counter() - began:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
