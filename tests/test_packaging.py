"""The wheel: what it holds, that it runs by itself, and (a long proof) that it installs into a clean environment."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from swampstore.version import __version__

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = {"swampstore", "swampstore_cli", f"swampstore-{__version__}.dist-info"}


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """What ``command`` prints; the test fails with all its output if the command does."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SWAMP"))}
    if path:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, text=True, capture_output=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    run(sys.executable, "-m", "pip", "wheel", *options, str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_both_packages_and_what_belongs_to_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == TOP_LEVEL
    assert {"swampstore/py.typed", "swampstore_cli/py.typed"} <= set(names)
    licences = [name for name in names if name.endswith("licenses/LICENSE")]
    assert licences
    assert b"Apache License" in zipfile.ZipFile(wheel).read(licences[0])
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "swampstore").rglob("*.py")}
    assert sources <= set(names)


def test_the_wheel_names_the_command_the_licence_and_bounded_dependencies(wheel: Path) -> None:
    held = zipfile.ZipFile(wheel)
    info = f"swampstore-{__version__}.dist-info"
    assert "swamp = swampstore_cli.__main__:run" in held.read(f"{info}/entry_points.txt").decode()
    metadata = held.read(f"{info}/METADATA").decode().split("\n\n")[0].splitlines()
    assert "License-Expression: Apache-2.0" in metadata
    needed = [line for line in metadata if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert needed
    assert all("<" in line for line in needed), "every dependency has an upper bound"


def test_the_wheel_runs_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    where = run(sys.executable, "-c", "import swampstore; print(swampstore.__file__)", cwd=tmp_path, path=unpacked)
    assert Path(where.strip()).is_relative_to(unpacked)
    script = "import sys; sys.argv = ['swamp', '--version']; from swampstore_cli.main import run; run()"
    assert __version__ in run(sys.executable, "-c", script, cwd=tmp_path, path=unpacked)


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_the_wheel_installs_and_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=True)
    python, swamp = clean / "bin" / "python", clean / "bin" / "swamp"
    run(python, "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    assert __version__ in run(swamp, "--version", cwd=tmp_path)
    store = tmp_path / "store"
    (tmp_path / "note.txt").write_bytes(b"hello")
    run(swamp, "datastore", "setup", "filesystem", str(store), cwd=tmp_path)
    run(swamp, "object", "put", "notes/a.txt", "note.txt", "--store", str(store), cwd=tmp_path)
    script = (
        "import sys, swampstore; s = swampstore.open(sys.argv[1]); print(s.namespace('default').read('notes/a.txt'))"
    )
    assert "hello" in run(python, "-c", script, str(store), cwd=tmp_path)
