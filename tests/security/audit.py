"""``python -m tests.security.audit``: what is installed for the library at run time, against known vulnerabilities.

The auditor lives in an environment of its own. Where it cannot be installed, or its advisory service cannot be reached, a
line says so and nothing fails: a check that must run offline cannot know more. ``--strict`` fails then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
AUDITOR = "pip-audit==2.10.1"
INSTALL_S = 180.0
AUDIT_S = 120.0
NOT_DONE = "dependency audit: NOT DONE"


def shipped(name: str = "swampstore") -> dict[str, str]:
    """The packages that ``name`` needs at run time, here, with their versions: what it requires, and what those do."""
    found: dict[str, str] = {}
    left = [name]
    while left:
        for line in requires(left.pop()) or ():
            wanted = Requirement(line)
            name = canonicalize_name(wanted.name)
            if name in found or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
                continue
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
            left.append(name)
    return dict(sorted(found.items()))


def auditor() -> Path:
    """The auditor's program, installed first if need be. Raises ``OSError`` or ``SubprocessError`` when that fails."""
    folder = Path(os.environ.get("SWAMPSTORE_AUDIT") or ROOT / ".venv-audit")
    program = folder / "bin" / "pip-audit"
    if not program.exists():
        venv.create(folder, with_pip=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", AUDITOR]
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)
    return program


def audit(program: Path, packages: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Ask about exactly these versions; nothing is installed or resolved for it."""
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "requirements.txt"
        listed.write_text("".join(f"{name}=={number}\n" for name, number in packages.items()))
        command = [str(program), "-r", str(listed), "--no-deps", "--disable-pip", "--format", "json"]
        command += ["--progress-spinner", "off", "--timeout", "15", "--cache-dir", str(Path(scratch) / "cache")]
        return subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_S, check=False)


def verdict(done: subprocess.CompletedProcess[str], packages: dict[str, str]) -> tuple[bool | None, list[str]]:
    """Whether nothing is known against the packages (``None``: nobody could tell), and the lines that say so."""
    try:
        told = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return None, [f"{NOT_DONE}: the advisory service could not be asked ({reason[:160]})"]
    wrong = [
        f"{one['name']} {one['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no version'}"
        for one in told
        for found in one.get("vulns", ())
    ]
    missed = sorted(set(packages) - {canonicalize_name(one["name"]) for one in told if "vulns" in one})
    if wrong:
        return False, ["dependency audit: known vulnerabilities", *wrong]
    if missed:
        reason = next((one["skip_reason"] for one in told if "skip_reason" in one), "it gave no answer")
        return None, [f"{NOT_DONE} for {len(missed)} of {len(packages)} packages, such as {missed[0]}: {reason[:160]}"]
    return True, [f"dependency audit: no known vulnerabilities in {len(packages)} packages"]


def main(words: Sequence[str]) -> int:
    packages = shipped()
    try:
        good, lines = verdict(audit(auditor(), packages), packages)
    except (OSError, subprocess.SubprocessError) as error:
        good, lines = None, [f"{NOT_DONE}: the auditor cannot be installed or run here ({type(error).__name__})"]
    print("\n".join(lines))
    return 1 if good is False or (good is None and "--strict" in words) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
