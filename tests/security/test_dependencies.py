"""What is installed is what was asked for: bounds on both sides, no package that does not fit another one.

``make check`` runs this. Known vulnerabilities are looked up where that is possible (``tests.security.audit``); what it
makes of its answers is tested here, without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from swampstore.errors import SwampError
from swampstore.stores.s3_listing import read_listing
from tests.security.audit import NOT_DONE, shipped, verdict

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]


ALLOWED = {("s3_listing.py", "xml.etree")}
"""It refuses type declarations, and so entities, before it parses; a page is bounded."""


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
        if word in path.read_text("utf-8").replace("plainyaml.load(", "") and (path.name, word) not in ALLOWED
    ]
    assert found == []


HELD = {"one": "1.0", "two": "2.0"}
CLEAN = [{"name": "one", "version": "1.0", "vulns": []}, {"name": "two", "version": "2.0", "vulns": []}]
KNOWN = [CLEAN[0], {"name": "two", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}]
SKIPPED = [CLEAN[0], {"name": "two", "skip_reason": "not found"}]


@pytest.mark.parametrize(
    ("said", "good", "line"),
    [
        (json.dumps({"dependencies": CLEAN}), True, "no known vulnerabilities in 2 packages"),
        (json.dumps({"dependencies": KNOWN}), False, "two 2.0: CVE-1, mended in 2.1"),
        (json.dumps({"dependencies": SKIPPED}), None, f"{NOT_DONE} for 1 of 2 packages, such as two: not found"),
        ("", None, f"{NOT_DONE}: the advisory service could not be asked (no route)"),
        ("[]", None, NOT_DONE),
    ],
)
def test_an_audit_that_was_not_done_is_told_from_a_clean_one(said: str, good: bool | None, line: str) -> None:
    found, lines = verdict(subprocess.CompletedProcess([], 1, said, "Traceback\nno route"), HELD)
    assert found is good
    assert line in "\n".join(lines)


def test_the_parser_of_listings_never_sees_an_entity() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><ListBucketResult>&b;</ListBucketResult>'
    for page in (bomb, bomb.decode().encode("utf-16"), b"\xff" + bomb):
        with pytest.raises(SwampError):
            read_listing(page)


def test_everything_that_is_shipped_is_asked_about() -> None:
    assert {requirement.name.lower() for requirement in RUNTIME} <= set(shipped())
    assert "botocore" in shipped()  # through boto3
    assert not {"pytest", "moto", "mypy"} & set(shipped())
