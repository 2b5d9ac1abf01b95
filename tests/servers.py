"""The S3 servers of the tests, each a child process on a free port of 127.0.0.1, ended by its own process id.

moto (serialised) is the everyday one; the emulator is strict about conditions under contention and lives in an
environment of its own, which is made on first use (``make bench`` and ``make prove`` make the same one).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
EMULATOR = "ministack==1.5.33"
STARTUP_S = 90.0
PORTS = 4
INSTALL_S = 300.0
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


class ServerFailed(Exception):
    """A server of the tests cannot be installed or started; the text says why."""


class S3Server(NamedTuple):
    """A running server; ``client`` is a bare botocore client for looking at objects past the library.

    ``bare`` is the endpoint of the same server without the lock that makes it keep its promises, where there is one.
    """

    endpoint: str
    client: Any
    bare: str = ""

    def url(self, bucket: str, prefix: str = "") -> str:
        """The URL of a store on this server."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region=us-east-1"


@contextlib.contextmanager
def moto_server(scratch: Path) -> Iterator[S3Server]:
    """A fresh serialised moto."""
    command = [sys.executable, str(ROOT / "tests" / "moto_locked.py")]
    log_path = scratch / "moto.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=scratch)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = process.stdout.readline().split()
            if len(said) != 3:
                raise ServerFailed(f"moto did not start:\n{_tail(log_path)}")
            yield server_at(int(said[1]))._replace(bare=f"http://127.0.0.1:{int(said[2])}")
        finally:
            process.stdin.close()
            process.stdout.close()
            end(process)


@contextlib.contextmanager
def emulator_server(scratch: Path) -> Iterator[S3Server]:
    """A fresh emulator, installed first if need be."""
    program, log_path = install_emulator(), scratch / "emulator.log"
    env = {**os.environ, "SERVICES": "s3", "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
    with log_path.open("wb") as log:
        for _ in range(PORTS):  # somebody else may take one before the emulator does
            port = free_port()
            env["GATEWAY_PORT"] = str(port)
            process = subprocess.Popen(
                [str(program)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=scratch, env=env
            )
            try:
                if _listens(process, port):
                    yield server_at(port)
                    return
            finally:
                end(process)
    raise ServerFailed(f"the emulator did not start:\n{_tail(log_path)}")


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server answers; whether it does and goes on (who answers may be somebody else)."""
    deadline = time.monotonic() + STARTUP_S
    while process.poll() is None and time.monotonic() < deadline:
        if answers(port):
            time.sleep(0.05)
            return process.poll() is None
        time.sleep(0.05)
    return False


def install_emulator() -> Path:
    """The emulator's program; made in its own environment unless it is there. Raises ``ServerFailed``."""
    folder = Path(os.environ.get("SWAMPSTORE_EMULATOR") or ROOT / ".venv-emulator")
    program, stamp = folder / "bin" / "ministack", folder / ".stamp"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock", timeout=INSTALL_S):
        if stamp.exists() and program.exists():
            return program
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", EMULATOR]
        done = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode or not program.exists():
            raise ServerFailed(f"{EMULATOR} could not be installed into {folder.name}:\n{done.stderr[-2000:]}")
        stamp.touch()
    return program


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child: ask, then insist."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def server_at(port: int, keys: tuple[str, str] | None = None) -> S3Server:
    """The server that listens on a port of this machine; ``keys`` if it knows others than those of the tests."""
    import botocore.session

    endpoint = f"http://127.0.0.1:{port}"
    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys[0] if keys else AWS_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys[1] if keys else AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )
    return S3Server(endpoint, client)


def answers(port: int) -> bool:
    """Whether somebody listens on a port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
            return line.getsockname() != line.getpeername()  # else it has met itself
    except OSError:
        return False


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
