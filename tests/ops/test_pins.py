"""The pin files are complete, hashed, without addresses, and agree with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = ROOT / "ops/pins"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(==\s*(?P<exact>[^\s;,]+))?")


def pinned(name: str) -> dict[str, str]:
    """The version of each package in a pin file; fail if a package has no hash."""
    versions = {}
    for block in re.split(r"\n(?=\w)", (PINS / f"{name}.txt").read_text()):
        if (match := re.match(r"([\w.-]+)==(\S+)", block)) is not None:
            assert "--hash=sha256:" in block, f"{match[1]} has no hash in {name}.txt"
            versions[match[1].lower()] = match[2]
    return versions


def wanted(name: str) -> list[str]:
    """The requirements that pyproject.toml names for a pin file."""
    groups = PROJECT["dependency-groups"]

    def group(key: str) -> list[str]:
        parts = [group(one["include-group"]) if isinstance(one, dict) else [one] for one in groups[key]]
        return [requirement for part in parts for requirement in part]

    own: list[str] = PROJECT["project"]["dependencies"]
    return own if name == "worker" else own + group(name)


@pytest.mark.parametrize("name", ["worker", "demo", "dev", "build"])
def test_no_file_names_an_address(name: str) -> None:
    text = (PINS / f"{name}.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links)\b", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["worker", "demo", "dev"])
def test_every_requirement_is_pinned_to_what_pyproject_allows(name: str) -> None:
    versions = pinned(name)
    for requirement in wanted(name):
        match = _REQUIREMENT.match(requirement)
        assert match is not None
        package = re.sub(r"[-_.]+", "-", match[1]).lower()
        assert package in versions, f"{requirement} is not in {name}.txt: run ops/pins/update"
        if match["exact"] is not None:
            assert versions[package] == match["exact"], f"{requirement} differs: run ops/pins/update"


def test_the_sets_contain_each_other() -> None:
    worker, demo, dev, build = (pinned(name).items() for name in ("worker", "demo", "dev", "build"))
    assert worker <= demo <= dev
    assert {name: version for name, version in build if name in dict(dev)}.items() <= dev


def test_the_corrected_libraries_are_pinned_exactly() -> None:
    # worker/broker corrects the behaviour of exactly these versions.
    exact = {re.split(r"[\[=]", one)[0] for one in PROJECT["project"]["dependencies"] if "==" in one}
    assert {"celery", "kombu", "redis"} <= exact
