"""The browser of the tests of the interactive page."""

from tests.browser import chromium, visit  # noqa: F401 - fixtures
