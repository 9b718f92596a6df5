"""``convcheck init`` as a new user: an empty folder, what it prints, a mistake, and the CI job that goes red."""

import importlib.util
import json

import numpy as np
import pytest
import yaml

import convcheck
from convcheck.suites import config
from convcheck.suites.starter import CI_FILES, FORMS, LANGUAGES, starter_files
from convcheck.targets import choice
from convcheck.targets.spec import STYLES
from convcheck.version import ORIGIN, REQUIREMENT
from tests.cli.test_verify_command import run
from tests.shell import shell

__all__ = ["run"]

every_form = pytest.mark.parametrize("form", FORMS)

#: Those whose skeleton is a module of Python; `tests/examples/test_skeletons.py` has the others.
in_python = pytest.mark.parametrize("form", [name for name, form in FORMS.items() if not form.languages])


def write(folder, form, ci=None):
    for name, text in starter_files(form, ci).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def module(folder, form):
    spec = importlib.util.spec_from_file_location(f"skeleton_{form}", folder / "my_conv.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_it_writes_the_files_and_says_what_is_next(run):
    status, out, err = run("init")
    assert (status, err) == (0, "")
    assert out.splitlines()[:6] == [
        "wrote convcheck.yaml", "wrote my_conv.py", "wrote .github/workflows/convcheck.yml", "", "next:",
        "  convcheck verify",
    ]  # fmt: skip


def test_what_it_prints_works(run, tmp_path):
    """The lines below "next:", in a shell."""
    _, out, _ = run("init", "new project")
    commands = [line for line in out.splitlines() if line.startswith("  ")]
    assert commands == ["  cd 'new project'", "  convcheck verify"]
    status, out, err = shell("\n".join(commands), tmp_path, tmp_path / "bin")
    assert status == 0, out + err
    assert "PASSED  5 layers of convcheck.yaml" in out
    assert "target       my_conv.py:MyConv" in out


def steps(folder, ci):
    job = yaml.safe_load((folder / CI_FILES[ci]).read_text(encoding="utf-8"))
    if ci == "gitlab":
        return job["convcheck"]["script"]
    return [step["run"] for step in job["jobs"]["convcheck"]["steps"] if "run" in step]


@pytest.mark.parametrize("ci", CI_FILES)
def test_the_ci_job_is_green_and_goes_red_with_the_right_words(run, tmp_path, ci):
    run("init", "--ci", ci)
    install, check = steps(tmp_path, ci)
    assert install == f"python -m pip install '{REQUIREMENT}'"
    config = tmp_path / "convcheck.yaml"
    summary = tmp_path / "summary.md"
    status, out, err = shell(check, tmp_path, tmp_path / "bin", GITHUB_STEP_SUMMARY=str(summary))
    assert status == 0, out + err
    assert json.loads((tmp_path / "convcheck.json").read_text())["passed"] is True

    code = (tmp_path / "my_conv.py").read_text()
    (tmp_path / "my_conv.py").write_text(code.replace("grad_padded[read] += ", "grad_padded[read] = "))
    status, out, err = shell(check, tmp_path, tmp_path / "bin", GITHUB_STEP_SUMMARY=str(summary))
    assert status == 1
    assert "FAILED; the report is in convcheck" in err
    assert json.loads((tmp_path / "convcheck.json").read_text())["passed"] is False
    if ci == "github":
        assert "::error file=convcheck.yaml,line=20,title=convcheck%3A stride%2C input dL/dX::FAIL" in out
        assert "PASSED" in summary.read_text(encoding="utf-8")
        assert "FAILED: 5 of 5 layers of convcheck.yaml" in summary.read_text(encoding="utf-8")
    else:
        assert "FAILED  5 of 5 layers of convcheck.yaml" in out
        assert 'failures="5"' in (tmp_path / "convcheck.xml").read_text(encoding="utf-8")

    config.write_text(config.read_text().replace("target:", "# target:"))
    status, _, err = shell(check, tmp_path, tmp_path / "bin")
    assert status == 2
    assert "convcheck.yaml: no code of yours" in err


@pytest.mark.parametrize("ci", CI_FILES)
@every_form
def test_the_ci_job_installs_what_pip_finds_and_says_how_it_gets_there(form, ci):
    job = starter_files(form, ci)[CI_FILES[ci]]
    extra = f"[{form}]" if form in ("torch", "jax") else ""
    assert f"python -m pip install '{REQUIREMENT}{extra}'" in job
    assert f"# {ORIGIN}\n" in job
    assert "@" not in job.replace("actions/", "").replace("@v", "")


@pytest.mark.parametrize("there", ["convcheck.yaml", "my_conv.py", ".github/workflows/convcheck.yml"])
def test_nothing_is_overwritten_without_being_told(run, tmp_path, there):
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_text("mine")
    status, out, err = run("init")
    assert (status, out) == (2, "")
    assert err == f"error: {there} already there; nothing was written; overwrite with --force\n"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [there]
    assert (tmp_path / there).read_text() == "mine"
    assert run("init", "--force")[0] == 0
    assert (tmp_path / there).read_text() != "mine"


def test_a_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = run("init", "file/below")
    assert status == 2
    assert err == "error: cannot make the folder file/below: Not a directory\n"


def test_an_unknown_form(run, tmp_path):
    known_languages = ["--language", "cobol", LANGUAGES]
    for option, given, known in (("--form", "keras", FORMS), ("--ci", "jenkins", [*CI_FILES, "none"]), known_languages):
        status, _, err = run("init", option, given)
        assert status == 2
        assert all(name in err for name in (option, given, *known))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("form", "language", "words"), [
    ("library", "rust", ["--language", '"rust"', "library", "expected one of c", "command"]),
    ("object", "c", ["--language", '"c"', "object", "expected one of python", "command, library"]),
])  # fmt: skip
def test_a_language_that_a_form_does_not_have(run, tmp_path, form, language, words):
    status, _, err = run("init", "--form", form, "--language", language)
    assert status == 2
    assert all(word in err for word in words), err
    assert not list(tmp_path.iterdir())


def test_every_form_of_target_has_a_skeleton_and_is_in_the_help(run):
    assert set(FORMS) - {"command", "library"} == set(STYLES) == {*choice.FORMS, "cache", "tape"}
    status, out, _ = run("init", "--help")
    assert status == 0
    assert all(f"{name} ({form.words})" in " ".join(out.split()) for name, form in FORMS.items())


@every_form
def test_every_starter_config_loads(tmp_path, form):
    write(tmp_path, form)
    suite = config.load(tmp_path / "convcheck.yaml")
    assert suite.target is not None
    assert len(suite.layers) >= 3


@in_python
def test_every_skeleton_is_right(tmp_path, form):
    """By its own calling convention, whatever forms of target there are."""
    write(tmp_path, form)
    if form in ("torch", "jax"):
        pytest.importorskip(form)
    for layer in config.load(tmp_path / "convcheck.yaml").layers:
        random = np.random.default_rng(0)
        shapes = layer.input_shape, layer.weight_shape, layer.bias_shape, layer.output_shape
        x, w, b, grad = (random.integers(-4, 5, shape).astype(float) for shape in shapes)
        output, gradients = CALLS[form](module(tmp_path, form), layer, x, w, b if layer.bias else None, grad)
        np.testing.assert_array_equal(output, convcheck.forward(layer, x, w, b if layer.bias else None))
        for found, expected in zip(gradients, convcheck.backward(layer, x, w, grad), strict=True):
            assert expected is None or np.array_equal(found, expected)


def call_object(module, layer, x, w, b, grad):
    conv = module.MyConv()
    return conv.forward(x, w, b, layer), conv.backward(grad)


def call_cache(module, layer, x, w, b, grad):
    output, cache = module.conv_forward(x, w, b, {"stride": layer.stride[0], "pad": layer.padding[0][0]})
    return output, module.conv_backward(grad, cache)


def call_torch(module, layer, x, w, b, grad):
    import torch

    tensors = [torch.tensor(array, requires_grad=True) for array in (x, w, b)]
    output = module.my_conv(*tensors, stride=layer.stride, padding=tuple(p for p, _ in layer.padding))
    output.backward(torch.tensor(grad))
    return output.detach().numpy(), [tensor.grad.numpy() for tensor in tensors]


def call_layer(module, layer, x, w, b, grad):
    conv = module.MyConv(layer.channels, layer.filters, layer.kernel, layer.stride, layer.padding[0][0])
    conv.weight, conv.bias = w, b
    output = conv.forward(x)
    return output, (conv.backward(grad), conv.grad_weight, conv.grad_bias)


def call_jax(module, layer, x, w, b, grad):
    import jax

    with jax.enable_x64(True):
        output, pull = jax.vjp(lambda *operands: module.my_conv(*operands, layer.stride, layer.padding), x, w, b)
        return output, pull(jax.numpy.asarray(grad))


def call_tape(module, layer, x, w, b, grad):
    tensors = [None if array is None else module.Tensor(array) for array in (x, w, b)]
    output = module.my_conv(*tensors, stride=layer.stride[0], padding=layer.padding[0][0])
    output.backward(grad)
    return output.data, [None if tensor is None else tensor.grad for tensor in tensors]


CALLS = {
    "tape": call_tape,
    "object": call_object,
    "cache": call_cache,
    "layer": call_layer,
    "torch": call_torch,
    "jax": call_jax,
}


#: Where windows overlap, = for +=, in the words of each skeleton.
OVERWRITTEN = {"cache": ("dpadded[read] +=", "dpadded[read] ="), "jax": ("[read].add(", "[read].set(")}


@in_python
def test_every_skeleton_verifies_and_a_mistake_in_it_is_named(run, tmp_path, form):
    if form in ("torch", "jax"):
        pytest.importorskip(form)
    status, out, err = run("init", "--form", form)
    assert status == 0, out + err
    status, out, err = run("verify", "--require-target", "-k", "stride")
    assert status == 0, out + err
    assert "PASSED  1 layer of convcheck.yaml" in out

    before, after = OVERWRITTEN.get(form, ("grad_padded[read] +=", "grad_padded[read] ="))
    code = (tmp_path / "my_conv.py").read_text()
    assert before in code
    (tmp_path / "my_conv.py").write_text(code.replace(before, after))
    status, out, _ = run("verify", "--require-target", "-k", "stride", "--check", "exact")
    assert status == 1
    assert "overlap-overwritten" in out


def test_a_strict_run_says_what_the_starter_config_lacks(run):
    run("init", "--form", "layer")
    status, out, _ = run("verify", "--strict")
    assert status == 1
    assert "FAILED  the suite lacks " in out
    assert "FAIL  " not in out
    assert "FAILED  3 layers of convcheck.yaml passed" in out
