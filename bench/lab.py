"""What the benchmarks of one session share: a scratch folder, the S3 server, the big index, stores that hold it.

Everything is made on first use, once, in processes of its own, and goes away with the session.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.children import ROOT, run_job
from bench.harness import say
from bench.servers import CREDENTIALS, S3, s3_server

DELAY_MS = 20.0
NAMESPACE = "bench"


@dataclass(frozen=True)
class Scale:
    """How much. ``objects`` is how many real legacy objects to import (0: left out); ``suite`` times the tests too.

    ``crowd`` is how many increment one counter at once, ``kills`` how many holders of a queue are killed, ``callers`` how
    many come to a bounded queue; ``storm`` is signals, streams, iterations; ``window_s`` how long commits are counted.
    """

    name: str
    entries: int
    sizes: tuple[int, ...]
    appends: int
    rounds: int
    starts: int
    objects: int
    suite: bool
    crowd: int
    kills: int
    callers: int
    storm: tuple[int, int, int]
    window_s: float


_SMALL_CROWD: Any = {"crowd": 8, "kills": 1, "callers": 30, "storm": (3, 8, 2), "window_s": 1.0}
_WHOLE_CROWD: Any = {"crowd": 100, "kills": 5, "callers": 300, "storm": (10, 200, 8), "window_s": 5.0}
QUICK = Scale("quick", 5_000, (1_000, 5_000), 40, 1, 3, 2_000, suite=False, **_SMALL_CROWD)
NORMAL = Scale("normal", 262_000, (1_000, 100_000), 300, 5, 15, 0, suite=False, **_WHOLE_CROWD)
FULL = Scale("full", 262_000, (1_000, 100_000, 1_000_000), 300, 5, 15, 262_000, suite=True, **_WHOLE_CROWD)
SCALES = {scale.name: scale for scale in (QUICK, NORMAL, FULL)}


class Lab:
    """One session. ``env`` is what worker processes get: no credentials, proxies or caches of the user."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self._stack = contextlib.ExitStack()
        self._names = 0

    def __enter__(self) -> Self:
        self.scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="swampstore-bench-")))
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "SWAMP_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation is compiled: a start must not do that again
        self.env = {
            **kept,
            **CREDENTIALS,
            "XDG_CACHE_HOME": str(self.scratch / "cache"),
            "XDG_STATE_HOME": str(self.scratch / "state"),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")]),
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def fresh(self, what: str) -> str:
        """A name that was not given before."""
        self._names += 1
        return f"{what}-{self._names}"

    def folder(self, what: str) -> Path:
        """A new folder."""
        path = self.scratch / self.fresh(what)
        path.mkdir()
        return path

    def new_store(self, what: str, *, s3: bool) -> str:
        """The URL of a store that nobody has used yet: a folder, or a prefix on S3 with the delay."""
        return self.s3.url(self.fresh(what), far=True) if s3 else str(self.folder(what))

    def job(self, job: str, *, timeout_s: float = 300.0, **args: Any) -> Any:
        """Run a job that is preparation, not measurement; its value."""
        return run_job(job, self.env, timeout_s=timeout_s, **args)["value"]

    @cached_property
    def s3(self) -> S3:
        say("starting the S3 emulator and its proxy")
        return self._stack.enter_context(s3_server(self.scratch, DELAY_MS))

    @cached_property
    def index(self) -> Path:
        """The folder of a legacy index of ``scale.entries`` entries, without objects."""
        say(f"making a legacy index of {self.scale.entries:,} entries")
        out = self.folder("index")
        self.job("prepare:make_index", out=str(out), entries=self.scale.entries)
        return out

    def filled(self, entries: int, *, s3: bool) -> str:
        """The prefix (S3) or folder (local) of a new store whose namespace holds ``entries`` entries, compacted."""
        say(f"filling a namespace with {entries:,} entries {'on S3' if s3 else 'locally'}")
        place = self.fresh(f"filled{entries}") if s3 else str(self.folder(f"filled{entries}"))
        self.job(
            "prepare:fill",
            timeout_s=900,
            url=self.s3.url(place, far=False) if s3 else place,
            namespace=NAMESPACE,
            entries=entries,
        )
        return place

    @cached_property
    def big_s3(self) -> str:
        """The prefix of a store on S3 into which the index was imported."""
        index = self.index
        say("importing the index into a store on S3")
        place = self.fresh("big")
        self._import(index, self.s3.url(place, far=False))
        return place

    @cached_property
    def big_local(self) -> Path:
        """A local store into which the index was imported."""
        index = self.index
        say("importing the index into a local store")
        place = self.folder("big")
        self._import(index, str(place))
        return place

    def _import(self, index: Path, url: str) -> None:
        self.job(
            "prepare:import_index",
            timeout_s=600,
            source=str(index),
            url=url,
            namespace=NAMESPACE,
            index_only=True,
        )
