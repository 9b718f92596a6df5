"""The skeletons of programs and of a library that ``convcheck init`` writes: built, right, and wrong in a named way."""

import shlex
import shutil
import subprocess

import pytest

from convcheck.suites.fitting import as_config, fit
from convcheck.suites.starter import CI_FILES, FORMS, starter_files
from convcheck.targets.spec import TargetSpec
from tests.shell import convcheck

#: What builds or runs each language.
TOOLS = {"c": "cc", "cpp": "c++", "rust": "rustc", "javascript": "node", "python": "python3"}

SKELETONS = [(form, language) for form in ("command", "library") for language in FORMS[form].languages]


@pytest.fixture(scope="module", params=SKELETONS, ids="-".join)
def skeleton(request, tmp_path_factory):
    """A folder with a skeleton, its language, and what builds it there."""
    form, language = request.param
    if shutil.which(TOOLS[language]) is None:
        pytest.skip(f"{TOOLS[language]} is not installed")
    folder = tmp_path_factory.mktemp(f"{form}-{language}")
    return form, language, write(form, language, folder)


def write(form, language, folder, before="", after=""):
    for name, text in starter_files(form, None, language).items():
        if name == FORMS[form].language(language).file:
            assert before in text, before
            text = text.replace(before, after)
        (folder / name).write_text(text, encoding="utf-8")
    build = FORMS[form].language(language).build
    if build:
        built = subprocess.run(shlex.split(build), cwd=folder, capture_output=True, text=True)
        assert (built.returncode, built.stderr) == (0, "")
    return folder


def target_of(form, language):
    return ["--target", FORMS[form].language(language).target]


def test_the_skeleton_passes_its_own_config(skeleton):
    _, _, folder = skeleton
    status, out, err = convcheck(["verify", "--require-target", "--check", "exact", "--check", "central"], folder)
    assert status == 0, out + err
    assert "PASSED  5 layers of convcheck.yaml" in out


def test_every_option_in_one_to_three_axes(skeleton):
    form, language, folder = skeleton
    few = "all-different-1d or all-different-3d or groups or padding-over-kernel"
    options = ["-k", few, "--dtype", "float64", "--check", "exact", "--no-shrink"]
    status, out, err = convcheck(["verify", "hostile", *options, *target_of(form, language)], folder)
    assert status == 0, out + err


@pytest.mark.long
@pytest.mark.parametrize("suite", ["hostile", "textbook"])
def test_all_of(skeleton, suite):
    form, language, folder = skeleton
    # The library has functions for float64 alone.
    options = ["--dtype", "float64"] if form == "library" else []
    if language == "python" and suite == "hostile":
        # Without NumPy, a pass of the largest layer takes seconds.
        options += ["-k", "not beyond-a-tile"]
    status, out, err = convcheck(["verify", suite, *options, *target_of(form, language)], folder)
    assert status == 0, out + err


def test_what_it_takes_is_found_by_trying(skeleton):
    form, language, folder = skeleton
    if language not in ("c", "javascript"):
        pytest.skip("two of them tell what the others would")
    status, out, err = convcheck(["probe", FORMS[form].language(language).target], folder)
    assert status == 0, out + err
    assert ("float32" in out.partition("does not take")[2]) == (form == "library")


@pytest.mark.parametrize("ci", CI_FILES)
@pytest.mark.parametrize(("form", "language"), SKELETONS, ids=map("-".join, SKELETONS))
def test_the_ci_job_builds_it_before_it_is_checked(form, language, ci):
    job = starter_files(form, ci, language)[CI_FILES[ci]]
    build = FORMS[form].language(language).build
    lines = [line.strip().removeprefix("- ").removeprefix("run: ") for line in job.splitlines()]
    before, _, _ = job.partition("convcheck verify")
    assert "@BUILD@" not in job
    assert not build or (build in lines and build in before)
    # Whatever the skeleton's language, what checks it is the same.
    assert sum(line.startswith("convcheck verify") for line in lines) == 1


#: In each language: overlapping windows overwrite each other; the weight's taps are read in reverse order.
OVERWRITTEN = {
    "c": ("grad_input[at] += weight[w] * g", "grad_input[at] = weight[w] * g"),
    "cpp": ("grad_input[at] += weight[tap] * g[out]", "grad_input[at] = weight[tap] * g[out]"),
    "rust": ("grad_input[at] += weight[tap]", "grad_input[at] = weight[tap]"),
    "javascript": ("gradInput[at] += weight[tap]", "gradInput[at] = weight[tap]"),
    "python": ("grad_input[at] += weight[tap]", "grad_input[at] = weight[tap]"),
}


@pytest.mark.parametrize(("form", "language"), SKELETONS, ids=map("-".join, SKELETONS))
def test_a_mistake_in_it_is_named(form, language, tmp_path):
    if shutil.which(TOOLS[language]) is None:
        pytest.skip(f"{TOOLS[language]} is not installed")
    write(form, language, tmp_path, *OVERWRITTEN[language])
    options = ["-k", "plain", "--check", "exact", "--no-shrink"]
    status, out, err = convcheck(["verify", *options], tmp_path)
    assert status == 1, out + err
    assert "overlap-overwritten" in out
    assert "weight dL/dW  exact       54      0" in out


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_suite_that_is_kept_elsewhere_finds_the_program(tmp_path, monkeypatch):
    write("library", "c", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("my_conv", "my_conv.py"):
        (tmp_path / name).write_text("")
    fitted = fit({"library": "./libmy_conv.so", "forward": "my_conv_forward"})
    for folder, mapping, said in (
        ("suites", None, "library: ../libmy_conv.so"),
        ("suites", None, "forward: my_conv_forward"),
        ("suites", {"command": ["./my_conv", "--fast"]}, "command: [../my_conv, --fast]"),
        ("suites", {"command": ["my_conv", "my_conv.py"]}, "command: [my_conv, ../my_conv.py]"),
        ("suites", {"command": ["/bin/sh", "-c", "exec ./my_conv"]}, "command: [/bin/sh, -c, exec ./my_conv]"),
        (".", {"command": ["./my_conv"]}, "command: [./my_conv]"),
    ):
        spec = fitted.spec if mapping is None else TargetSpec.parse(mapping)
        assert f"  {said}\n" in as_config(fitted._replace(spec=spec), tmp_path / folder)


@pytest.mark.parametrize(("name", "said"), [("my_conv", "command: [./my_conv]"), ("a.so", "library: ./a.so")])
def test_a_program_that_is_named_like_a_module_is_proposed_as_one(tmp_path, name, said):
    (tmp_path / name).write_text("")
    status, _, err = convcheck(["verify", "--target", f"./{name}"], tmp_path)
    assert (status, said in err) == (2, True)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_layers_side_by_side_have_a_program_each(tmp_path):
    write("command", "c", tmp_path)
    status, out, err = convcheck(["verify", "-j", "2", "--check", "exact"], tmp_path)
    assert status == 0, out + err
    assert "PASSED  5 layers" in out
