"""A real headless Chromium for tests of pages; tests that ask for it are skipped where there is none."""

from __future__ import annotations

import shutil

import pytest

from convcheck.explain.judged import judge
from convcheck.explain.page.case import Shown, limit_of
from convcheck.explain.page.html import page_of
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.trial import trial

#: What Debian, Ubuntu and others call it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium():
    """The browser, started once."""
    api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"there is no {' or '.join(NAMES)}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page in a browser that has no network, and what it complained of."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())

    def __call__(self, script, argument=None):
        return self.page.evaluate(script, argument)

    def cell(self, map_, place):
        """The cell of a map at a place that counts all its cells, as they are shown."""
        return self.page.locator(f'[data-map="{map_}"] td').nth(place)

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def comes(self, selector, words):
        """Wait until an element says something."""
        self.page.locator(selector, has_text=words).wait_for()

    def close(self):
        assert self.complaints == []
        # The page itself, and nothing else.
        assert len([url for url in self.requests if not url.startswith(("blob:", "data:"))]) == 1
        self.context.close()


@pytest.fixture
def visit(chromium, tmp_path):
    """Opens a page, and looks at the end whether it behaved."""
    open_ones = []

    def opened(html, **options):
        path = tmp_path / f"page{len(open_ones)}.html"
        path.write_text(html, encoding="utf-8")
        open_ones.append(Visit(chromium, path, **options))
        return open_ones[-1]

    yield opened
    for one in open_ones:
        one.close()


def shown(layer, target=None, data=None, command="convcheck explain s.yaml --layer it", **slices):
    """A case of the page, by default on the numbers that are easily read."""
    tried = trial(layer, target, data)
    chosen = Selection.of(tried.layer, **slices)
    judged = judge(tried, "convcheck verify s.yaml")
    return Shown(layer.name, tried.layer, tried.operands, chosen, "of a test", judged, command)


def page(*cases, megabytes=1):
    return page_of(cases, limit_of(megabytes), title="a test")
