"""The demo runs, tells its story, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent.parent / "bench" / "demo.py"


def test_a_small_demo(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    line = [sys.executable, str(DEMO), "--entries", "2000", "--files", "3", "--folder", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 succeeded" in done.stdout
    assert "18 of 18 pushed files are in the namespace" in done.stdout
    assert "folded" in done.stdout
    assert not folder.exists()
