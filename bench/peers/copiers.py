"""Programs that copy a bucket's prefix into a folder: aws s3 sync, s5cmd, rclone, in an environment of their own.

Each with what its manual recommends for many small files: s5cmd's 256 workers are its default, rclone gets 64 transfers
instead of 4, aws its default of 10 (which it only takes from a configuration file, so it is given one with 64).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from bench.children import ROOT, JobFailed
from bench.servers import BUCKET

_TIMEOUT_S = 600
_AWS = "[default]\nregion = us-east-1\ns3 =\n  max_concurrent_requests = 64\n  max_queue_size = 10000\n"


class Copiers:
    """The programs, on one server. Raises ``JobFailed`` if they are not installed."""

    def __init__(self, scratch: Path, env: Mapping[str, str]) -> None:
        self._bin = Path(os.environ.get("SWAMPSTORE_PEERS") or ROOT / ".venv-peers") / "bin"
        if not (self._bin / "s5cmd").exists():
            raise JobFailed(f"there is nothing to compare with in {self._bin.parent.name}: `make bench` installs it")
        config = scratch / "aws-config"
        config.write_text(_AWS)
        self._env = {**env, "AWS_CONFIG_FILE": str(config), "AWS_REGION": "us-east-1", "HOME": str(scratch)}

    def pull(self, program: str, port: int, prefix: str, folder: Path) -> float:
        """Copy what lies under ``prefix`` into ``folder`` (which is empty); the seconds from start to end."""
        endpoint = f"http://127.0.0.1:{port}"
        source = f"s3://{BUCKET}/{prefix}/"
        quiet = ["--no-progress", "--only-show-errors"]
        side_by_side = ["--transfers", "64", "--checkers", "64", "--fast-list"]
        commands = {
            "aws": ["aws", "--endpoint-url", endpoint, "s3", "sync", *quiet, source, str(folder)],
            "s5cmd": ["s5cmd", "--endpoint-url", endpoint, "--log", "error", "sync", f"{source}*", f"{folder}/"],
            "rclone": ["rclone", "--config", os.devnull, "sync", *side_by_side],
        }
        commands["rclone"] += [self._remote(endpoint, prefix), str(folder)]
        return self._run(commands[program])

    def push(self, port: int, folder: Path, prefix: str) -> float:
        """Copy ``folder`` to ``prefix``."""
        endpoint = f"http://127.0.0.1:{port}"
        command = ["s5cmd", "--endpoint-url", endpoint, "--log", "error", "--numworkers", "16", "cp"]
        return self._run([*command, f"{folder}/", f"s3://{BUCKET}/{prefix}/"])

    @staticmethod
    def _remote(endpoint: str, prefix: str) -> str:
        options = f"provider=Other,env_auth=true,force_path_style=true,region=us-east-1,endpoint='{endpoint}'"
        return f":s3,{options}:{BUCKET}/{prefix}"

    def _run(self, command: list[str]) -> float:
        began = time.perf_counter()
        done = subprocess.run(
            [str(self._bin / command[0]), *command[1:]],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            raise JobFailed(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
        return seconds
