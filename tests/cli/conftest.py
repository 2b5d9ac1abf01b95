"""A user of their own for every test: home, repo and stores in a temporary folder, nothing of the real user's."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swampstore_cli.main import main


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The one JSON line on standard error."""
        found: dict[str, str] = json.loads(self.err)
        return found


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of everything; the working folder is the repo below it."""
    for name in list(os.environ):
        if name.startswith(("SWAMP_", "AWS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    repo = tmp_path / "repo"
    for folder in (repo / ".git", tmp_path / "home", tmp_path / "store"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(repo)
    return tmp_path


@pytest.fixture
def repo(user: Path) -> Path:
    return user / "repo"


@pytest.fixture
def store(user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, configured by the environment."""
    monkeypatch.setenv("SWAMP_DATASTORE", str(user / "store"))
    return user / "store"


Swamp = Callable[..., Done]


@pytest.fixture
def swamp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Swamp:
    """Run a command line in this process."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(part) for part in arguments])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def process() -> Swamp:
    """Run a command line as a process of its own, as users do."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Done:
        line = [sys.executable, "-m", "swampstore_cli", *(str(part) for part in arguments)]
        done = subprocess.run(line, input=stdin, capture_output=True, timeout=60, check=False)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
