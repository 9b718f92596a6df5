"""Every example of the documentation, run as a reader would run it.

A comment in front of a block says what it is besides its language: ``file: NAME`` writes it to a file, ``status: N`` is
the exit status of the commands, ``job: github`` and ``job: gitlab`` are CI jobs whose shell steps are run, ``needs: X``
is a package, or a program, without which the rest of the page is left out.
"""

import doctest
import html
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from convcheck.mistakes import MISTAKES
from convcheck.suites import config
from convcheck.version import REQUIREMENT
from tests.shell import ROOT, convcheck, shell

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]

BLOCK = re.compile(
    r"^(?:<!-- (?P<kind>file|status|job|needs): (?P<value>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

#: What installs convcheck is "sh": the continuous integration runs it, not a test.
LANGUAGES = {"console", "python", "yaml", "text", "sh", "c", "octave"}


class Block(NamedTuple):
    line: int
    language: str
    kind: str
    value: str
    text: str


def blocks(text):
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(line, match["language"], match["kind"] or "", match["value"] or "", match["text"])


class Page:
    """Runs the blocks of one page, which share a folder and the names of Python."""

    def __init__(self, folder):
        self.folder, self.bin = folder / "page", folder / "bin"
        self.folder.mkdir()
        self.names = {}

    def run(self, block):
        assert block.language in LANGUAGES
        if block.kind == "file":
            (self.folder / block.value).write_text(block.text, encoding="utf-8")
        elif block.kind == "job":
            self.job(block)
        elif block.language == "console":
            self.console(block)
        elif block.language == "python":
            exec(compile(block.text, "example", "exec"), self.names)
        elif block.language == "yaml":
            assert config.parse(block.text, "example").layers

    def console(self, block):
        expected_status = int(block.value) if block.kind == "status" else 0
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            # Without a process of its own where no shell is needed: that takes a tenth of the time.
            if command.startswith("convcheck ") and not set(command) & set("|<>&;$`*\n\\"):
                status, out, err = convcheck(shlex.split(command)[1:], self.folder)
            else:
                status, out, err = shell(command, self.folder, self.bin)
            assert status == expected_status, f"{command}\n{out}{err}"
            if expected:
                matches = doctest.OutputChecker().check_output(expected, out, doctest.ELLIPSIS)
                assert matches, f"$ {command}\n{out}\n--- expected\n{expected}"

    def job(self, block):
        job = yaml.safe_load(block.text)
        if block.value == "github":
            steps = [step["run"] for step in job["jobs"]["convcheck"]["steps"] if "run" in step]
        else:
            steps = job["convcheck"]["script"]
        install, *others = steps
        # The one step that needs the network; this checkout is already there.
        assert install == f"python -m pip install {REQUIREMENT}"
        for step in others:
            status, out, err = shell(step, self.folder, self.bin)
            assert status == 0, f"{step}\n{out}{err}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_examples_of_the_page(path, tmp_path):
    page = Page(tmp_path)
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.kind == "needs" and shutil.which(block.value) is None:
            pytest.importorskip(block.value)
        try:
            page.run(block)
        except Exception as error:
            raise AssertionError(f"{path}:{block.line}: {error}") from error


INSTALLS = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "convcheck").rglob("*.py"))]


@pytest.mark.parametrize("path", INSTALLS, ids=lambda path: path.name)
def test_nobody_is_told_to_install_what_is_on_no_index(path):
    """What pip can be told is in one place: `REQUIREMENT`."""
    told = re.findall(r"\bpip3? install (.*)", path.read_text(encoding="utf-8"))
    assert not [words for words in told if "convcheck" in words.replace(REQUIREMENT, "").replace("bin/convcheck", "")]


def test_blocks_are_found_with_what_is_said_of_them():
    text = "Text\n\n<!-- status: 1 -->\n```console\n$ x\n```\n\n```python\na\n\nb\n```\n"
    assert list(blocks(text)) == [
        Block(4, "console", "status", "1", "$ x\n"), Block(8, "python", "", "", "a\n\nb\n"),
    ]  # fmt: skip


def test_no_block_is_overlooked():
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert len(list(blocks(text))) * 2 == len(re.findall("^ *```", text, re.MULTILINE)), path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```console\n$ false\n```\n", "false"),
        ("```console\n$ echo no\nyes\n```\n", "--- expected"),
        ("```python\nassert 1 == 2, 'one'\n```\n", "one"),
        ("```yaml\nlayers: []\n```\n", "layers"),
    ],
)
def test_a_wrong_example_would_be_noticed(tmp_path, text, message):
    [block] = blocks(text)
    with pytest.raises(Exception, match=message):
        Page(tmp_path).run(block)


def generator():
    namespace = {"__file__": str(ROOT / "docs" / "generate.py"), "__name__": "generate"}
    exec(compile((ROOT / "docs" / "generate.py").read_text(encoding="utf-8"), "generate.py", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", ["ci.md", "config.md", "mistakes.md"])
def test_what_is_generated_from_the_code_is_in_step_with_it(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert generator()["PAGES"][name](text) == text, "python docs/generate.py"


def test_every_generated_page_is_tested():
    assert set(generator()["PAGES"]) == {"ci.md", "config.md", "mistakes.md"}


def test_the_catalogue_says_everything_of_every_mistake():
    page = html.unescape((ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8").replace("\\", ""))
    for known in MISTAKES:
        for words in (known.code, f"### {known.name}", known.title, known.explanation, known.why, known.fix):
            assert words in page, known.name


def test_every_page_is_in_the_navigation():
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = {name for entry in navigation for name in entry.values()}
    assert pages == {path.name for path in PAGES} - {"README.md"}


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    # As mkdocs' own command does it; a warning would be an error.
    status, out, err = shell(
        f"python -m mkdocs build --strict --site-dir '{tmp_path / 'site'}'", ROOT, tmp_path / "bin"
    )
    assert status == 0, out + err
    assert (Path(tmp_path) / "site" / "index.html").is_file()
