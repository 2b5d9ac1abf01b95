"""The S3 server of the benchmarks: a strict emulator in an environment of its own, and the proxy that makes it far away.

Both are children of this process: they are ended when the block is left, and end by themselves if this process dies
(the proxy) or at the latest with it (the emulator is terminated, then killed).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.children import ROOT, JobFailed

BUCKET = "bench"
STARTUP_S = 60.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3(NamedTuple):
    """Where the server is: ``near`` without, ``far`` with the delay on every request."""

    near_port: int
    far_port: int

    def url(self, prefix: str, *, far: bool) -> str:
        """The URL of a store in the server's bucket."""
        port = self.far_port if far else self.near_port
        return f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{port}&path_style=true&region=us-east-1"


@contextlib.contextmanager
def s3_server(scratch: Path, delay_ms: float) -> Iterator[S3]:
    """A fresh server with an empty bucket, and its proxy. Raises ``JobFailed`` if the emulator is not installed."""
    with contextlib.ExitStack() as stack:
        near = stack.enter_context(_emulator(scratch))
        far = stack.enter_context(proxy(near, delay_ms))
        _make_bucket(near)
        yield S3(near, far)


def _installed() -> Path:
    folder = Path(os.environ.get("SWAMPSTORE_EMULATOR") or ROOT / ".venv-emulator")
    program = folder / "bin" / "ministack"
    if not program.exists():
        raise JobFailed(f"there is no S3 emulator in {folder.name}: `make bench` installs it")
    return program


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _emulator(scratch: Path) -> Iterator[int]:
    port = _free_port()
    env = {"SERVICES": "s3", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING"}
    with (scratch / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [str(_installed())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=scratch,
            env={**os.environ, **env},
        )
        try:
            _wait_for(port, process)
            yield port
        finally:
            _end(process)


@contextlib.contextmanager
def proxy(server_port: int, delay_ms: float, *, p99_ms: float = 0.0, seed: int = 0) -> Iterator[int]:
    """The port of a proxy that makes a server far away; see :mod:`bench.proxy`."""
    command = [sys.executable, "-m", "bench.proxy", str(server_port), "--delay-ms", str(delay_ms)]
    command += ["--p99-ms", str(p99_ms), "--seed", str(seed)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = process.stdout.readline().split()
        if len(said) != 2:
            raise JobFailed("the proxy did not start")
        yield int(said[1])
    finally:
        process.stdin.close()
        process.stdout.close()
        _end(process)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise JobFailed("the S3 emulator did not start; the end of its log is in emulator.log")


def _make_bucket(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("PUT", f"/{BUCKET}")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise JobFailed(f"the S3 emulator refused to make a bucket: {status}")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
