"""The environment in which programs live that ours is compared with: none of them is a dependency of ours."""

from __future__ import annotations

import os
from pathlib import Path

from bench.children import ROOT, JobFailed


def peers_python(needs: str = "lmdb") -> str:
    """Its interpreter. Raises ``JobFailed`` when it is not there or lacks ``needs``."""
    home = Path(os.environ.get("SWAMPSTORE_PEERS") or ROOT / ".venv-peers")
    python = home / "bin" / "python"
    if not python.exists() or not any((home / "lib").glob(f"python*/site-packages/{needs}*")):
        raise JobFailed(f"there is nothing to compare with in {home.name}: `make bench` installs it")
    return str(python)
