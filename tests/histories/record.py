"""The history of a run of many processes: one line per event, in one file per process, kept by the kernel.

An operation is *invoked*, then ends ``ok`` (with what it gave), ``fail`` (nothing happened, and it is known) or ``unknown``
(nobody can tell; so does what was invoked by a process that was killed). Times are of the clock that all processes of a
machine share.

Invariant: a line is one ``write`` to a file opened for appending, so a killed process has written whole lines only, and
what it was about to do stands there before it did it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from swampstore.errors import SwampError, Undecided

FOREVER = 1 << 62


class Op(msgspec.Struct):
    """One operation. ``about`` is what was asked, ``gave`` what came of it, ``tried`` what it said on its way."""

    process: str
    kind: str
    about: dict[str, Any]
    begin: int
    end: int = FOREVER
    how: str = "unknown"
    gave: Any = None
    tried: list[Any] = []

    @property
    def ok(self) -> bool:
        return self.how == "ok"

    @property
    def unknown(self) -> bool:
        return self.how == "unknown"


class Doing:
    """An operation under way: set ``gave``; :meth:`trying` says on the way what may take effect."""

    def __init__(self, recorder: Recorder, number: int) -> None:
        self._recorder = recorder
        self._number = number
        self.gave: Any = None

    def trying(self, what: Any) -> None:
        self._recorder.say(self._number, "trying", {"what": what})


class Recorder:
    """Writes the events of one process to a file of its own."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count = 0
        self.folder = path.parent

    def say(self, number: int, event: str, more: Mapping[str, Any]) -> None:
        line = {"op": number, "event": event, "at": time.monotonic_ns(), **more}
        os.write(self._fd, json.dumps(line).encode() + b"\n")

    def invoke(self, kind: str, **about: Any) -> int:
        self._count += 1
        self.say(self._count, "invoke", {"kind": kind, "about": about})
        return self._count

    def end(self, number: int, how: str, gave: Any = None) -> None:
        self.say(number, how, {"gave": gave})

    @contextmanager
    def doing(self, kind: str, *, fails: tuple[type[SwampError], ...] = (), **about: Any) -> Iterator[Doing]:
        """Record one operation. Errors of ``fails`` mean that nothing happened, and are swallowed; the rest is unknown.

        An unknown outcome of a write is swallowed too; anything else is recorded and raised: the caller is surprised.
        """
        number = self.invoke(kind, **about)
        doing = Doing(self, number)
        try:
            yield doing
        except fails as error:
            self.end(number, "fail", error.describe())
        except Undecided as error:
            self.end(number, "unknown", error.describe())
        except BaseException as error:
            self.end(number, "unknown", {"error": repr(error)})
            raise
        else:
            self.end(number, "ok", doing.gave)


def load(paths: Iterable[Path]) -> list[Op]:
    """The operations of all processes, by the time they began. An operation without an end is unknown for ever.

    A last line without its end was being written when its process was killed: it says nothing.
    """
    found: list[Op] = []
    for path in paths:
        ops: dict[int, Op] = {}
        for line in path.read_bytes().split(b"\n")[:-1]:
            event = json.loads(line)
            if event["event"] == "invoke":
                ops[event["op"]] = Op(path.stem, event["kind"], event["about"], event["at"], tried=[])
                continue
            op = ops[event["op"]]
            if event["event"] == "trying":
                op.tried.append(event["what"])
                continue
            op.how, op.gave = event["event"], event["gave"]
            if not op.unknown:
                op.end = event["at"]
        found.extend(ops.values())
    return sorted(found, key=lambda op: op.begin)
