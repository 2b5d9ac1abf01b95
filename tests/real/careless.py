"""Servers that take no notice of conditions: rclone's own and s3rver. Opening a store must refuse them.

rclone is among what pulls are compared with, s3rver comes from npm; ``make controls`` installs both.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.servers import AWS_ENVIRONMENT, ROOT, STARTUP_S, S3Server, ServerFailed, answers, end, free_port, server_at

KEYS = (AWS_ENVIRONMENT["AWS_ACCESS_KEY_ID"], AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"])


class Careless(NamedTuple):
    """One such server: its program, the arguments for a folder and a port, the keys it wants, how it tells its version."""

    program: Path
    arguments: Callable[[Path, int], Sequence[str]]
    keys: tuple[str, str]
    version: Sequence[str]

    @property
    def missing(self) -> str:
        """Why it cannot be used here; nothing if it can."""
        return "" if self.program.exists() else f"{self.program.name} is not installed: make controls"

    def told_version(self) -> str:
        """Its own word for its version."""
        done = subprocess.run(
            [str(self.program), *self.version], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.split("\n")[0].removeprefix("rclone ").strip()


def _folder(name: str, default: str) -> Path:
    return Path(os.environ.get(name) or ROOT / default)


CARELESS = {
    "rclone": Careless(
        _folder("SWAMPSTORE_PEERS", ".venv-peers") / "bin" / "rclone",
        lambda folder, port: [
            "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(KEYS), "--config", os.devnull,
        ],
        KEYS,
        ["version"],
    ),
    "s3rver": Careless(
        _folder("SWAMPSTORE_CONTROLS", ".venv-controls") / "node_modules" / ".bin" / "s3rver",
        lambda folder, port: ["-d", str(folder), "-a", "127.0.0.1", "-p", str(port), "--no-vhost-buckets", "--silent"],
        ("S3RVER", "S3RVER"),
        ["--version"],
    ),
}  # fmt: skip


@contextlib.contextmanager
def careless_server(name: str, scratch: Path) -> Iterator[S3Server]:
    """A fresh server of ``CARELESS``."""
    server, port, log_path = CARELESS[name], free_port(), scratch / f"{name}.log"
    folder = scratch / name
    folder.mkdir()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [str(server.program), *server.arguments(folder, port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=scratch,
        )
        try:
            deadline = time.monotonic() + STARTUP_S
            while not answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServerFailed(f"{name} did not start:\n{log_path.read_text(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield server_at(port, server.keys)
        finally:
            end(process)
