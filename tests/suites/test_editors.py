"""What editors read: the schema of the config file, checked in, and the line of each config that names it."""

import json
import re
from pathlib import Path

import pytest
import yaml

from convcheck.errors import ConfigError
from convcheck.suites import config
from convcheck.suites.schema import config_schema

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
PUBLISHED = ROOT / "docs" / "config.schema.json"
MODELINE = re.compile(r"# yaml-language-server: \$schema=(\S+)")

every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def schema_of(path):
    """The schema that the editor finds: the path in the modeline is relative to the config."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    match = MODELINE.fullmatch(first)
    assert match, f"{path}: {first}"
    return json.loads((path.parent / match[1]).read_text(encoding="utf-8"))


def test_the_published_schema_is_this_one():
    again = "python -m convcheck schema > docs/config.schema.json"
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == config_schema(), again


@every_config
def test_shipped_configs_name_the_schema_and_keep_it(path):
    schema = schema_of(path)
    assert schema == config_schema()
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@every_config
@pytest.mark.parametrize(
    ("old", "new"),
    [("layers:", "layer:"), ("channels:", "chanels:"), ("kernel:", "kernels:"), ("version: 1", "version: 2")],
)
def test_the_schema_refuses_what_the_loader_refuses(path, old, new):
    text = path.read_text(encoding="utf-8")
    broken = re.sub(rf"^([^#]*){old}", rf"\g<1>{new}", text, count=1, flags=re.MULTILINE)
    assert broken != text
    assert not jsonschema.Draft202012Validator(schema_of(path)).is_valid(yaml.safe_load(broken))
    with pytest.raises(ConfigError):
        config.parse(broken, str(path))
