"""The version of convcheck, and what pip is told to install."""

from __future__ import annotations

__version__ = "0.1.0"

#: What a project that uses convcheck gives to pip: in the CI jobs that ``convcheck init`` writes, and in the docs.
#: convcheck is on no package index yet, so a project carries it as a wheel. A release on one makes this "convcheck".
REQUIREMENT = f"./vendor/convcheck-{__version__}-py3-none-any.whl"

#: How the project comes by it, for the CI jobs; empty where the requirement says it all.
ORIGIN = (
    "convcheck is on no package index yet: in a checkout of it, make the wheel with "
    "python -m pip wheel --no-deps --wheel-dir PROJECT/vendor ."
)
