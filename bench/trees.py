"""Trees of files to sync: each with what a sync remembers of the large namespace, then with some new files per round.

A tree is a copy of one that was synced before: what the benchmarks measure is the daily sync, not the first one ever.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.children import run_job
from bench.lab import NAMESPACE, Lab

NEW_FILES = 25
BODY = b'{"decision": "provider-a", "reason": "cheapest that is up", "pad": "' + b"x" * 500 + b'"}'


class Trees:
    """Repos (each with its ``.swamp`` folder) that belong to one store."""

    def __init__(self, lab: Lab, url: str) -> None:
        self._lab = lab
        self.url = url
        self._grown = 0
        self._pattern = lab.folder("repo")
        (self._pattern / ".swamp").mkdir()
        run_job("sync:push", lab.env, timeout_s=600, url=url, namespace=NAMESPACE, tree=str(self._pattern / ".swamp"))

    def make(self, count: int) -> list[Path]:
        """``count`` repos; delete them when they have served."""
        made = []
        for _ in range(count):
            repo = self._lab.scratch / self._lab.fresh("repo")
            shutil.copytree(self._pattern, repo)
            made.append(repo)
        return made

    def grow(self, repo: Path) -> None:
        """Put ``NEW_FILES`` files into a repo that no other repo has."""
        self._grown += 1
        folder = repo / ".swamp" / "data" / "bench" / f"run-{self._grown}"
        folder.mkdir(parents=True)
        for at in range(NEW_FILES):
            (folder / f"{at}.json").write_bytes(BODY + str(at).encode())
