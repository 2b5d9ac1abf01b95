"""What is installed is what was asked for: bounds on both sides, no package that does not fit another one.

``make check`` runs this. Known vulnerabilities are not looked up, which needs the network: see the security page.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]


@pytest.mark.parametrize("wanted", RUNTIME, ids=str)
def test_every_dependency_has_both_bounds_and_is_within(wanted: Requirement) -> None:
    operators = {part.operator for part in wanted.specifier}
    assert operators == {">=", "<"}, "a lower bound that was tested, and an upper one before the next break"
    assert wanted.specifier.contains(version(wanted.name)), version(wanted.name)
    assert wanted.url is None


def test_nothing_contradicts() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_code_that_is_known_for_holes_is_not_used() -> None:
    """No unpickling, no shell, no YAML that makes objects, no parser of XML in what is shipped."""
    root = Path(__file__).resolve().parents[2]
    banned = (
        "import pickle",
        "import marshal",
        "import shelve",
        "shell=True",
        "yaml.load(",
        "yaml.unsafe",
        "xml.etree",
        "os.system",
        "eval(",
        "exec(",
    )
    found = [
        f"{path.relative_to(root)}: {word}"
        for folder in ("swampstore", "cli")
        for path in (root / folder).rglob("*.py")
        for word in banned
        if word in path.read_text("utf-8").replace("plainyaml.load(", "")
    ]
    assert found == []
