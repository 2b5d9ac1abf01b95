"""What a poller writes of a run: an audit record of every run, or a data version of every good output.

Invariant: whatever a command prints and however it was called, its record can be written. Of command, output and errors
together no more is kept than a record may hold, and JSON that a record cannot hold as it is stays text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from swampstore.errors import FixTheCall
from swampstore_cli import output
from swampstore_cli.poll_run import Ended
from swampstore_cli.poll_schedule import Tick

if TYPE_CHECKING:
    from swampstore.client.audit_blocking import AuditTopic

RECORD_OUTPUT_BYTES = 128 * 1024
"""Of a run's output, in a record: with everything round it a record must stay below the limit of the store, also when
it is base64 and each byte of the errors is an escape."""
COMMAND_BYTES = 16 * 1024
VERSION_OUTPUT_BYTES = 64 * 1024 * 1024
ERROR_BYTES = 8 * 1024


class Run(NamedTuple):
    """One run: ``began`` is ms since the epoch."""

    tick: Tick
    began: int
    ended: Ended


class Written(NamedTuple):
    """``what`` says in a few words what was written; ``spooled`` that it waits on this machine for the store."""

    what: str
    spooled: bool = False


class Sink(Protocol):
    """Where runs go. ``output_bytes`` is how much of an output it takes."""

    output_bytes: int

    def write(self, run: Run) -> Written: ...


class Records:
    """Every run is a record of a topic. Written again after an unknown outcome, it stays one record."""

    output_bytes = RECORD_OUTPUT_BYTES

    def __init__(self, topic: AuditTopic, name: str, command: Sequence[str]) -> None:
        self._topic = topic
        self._name = name
        self._command = _shown(command)

    def write(self, run: Run) -> Written:
        """One append."""
        ack = self._topic.write(self._record(run), ts=run.began, record_id=self._id(run))
        return Written(f"record {ack.ids[0]}", ack.spooled)

    def _id(self, run: Run) -> str:
        who = hashlib.sha256(self._name.encode()).hexdigest()[:16]
        return f"poll-{who}-{run.began}-{run.tick.number}"

    def _record(self, run: Run) -> dict[str, Any]:
        ended = run.ended
        record: dict[str, Any] = {
            "poll": self._name,
            **self._command,
            "seconds": round(ended.seconds, 3),
            "exit": ended.code,
        }
        if ended.error:
            record["error"] = ended.error.decode(errors="backslashreplace")
        marks = {"cut": ended.cut, "missed": run.tick.missed, "timed_out": ended.timed_out, "stopped": ended.stopped}
        record |= {name: value for name, value in marks.items() if value}
        return next(whole for shown in _outputs(ended) if _fits(whole := record | shown))


def _shown(command: Sequence[str]) -> dict[str, Any]:
    """The arguments as text, with escapes for what is none, and how much was left out at their end."""
    shown, left, cut = [], COMMAND_BYTES, 0
    for argument in command:
        text = os.fsencode(argument).decode(errors="backslashreplace").encode()
        if left > 0:
            shown.append(text[:left].decode(errors="ignore"))
        cut += max(len(text) - max(left, 0), 0)
        left -= len(text) + 1  # the room of an empty argument
    return {"command": shown} | ({"command_cut": cut} if cut else {})


def _outputs(ended: Ended) -> Iterator[dict[str, Any]]:
    """The output as JSON if it is one, as text if it is text, else in base64: the first is best, the last always fits."""
    try:
        text = ended.output.decode()
    except UnicodeDecodeError:
        yield {"output_base64": base64.b64encode(ended.output).decode()}
        return
    if text.lstrip()[:1] in ("{", "[") and not ended.cut:
        with suppress(ValueError, RecursionError):  # text that only begins like JSON, or says what no number is
            yield {"output": json.loads(text, parse_constant=_number, parse_float=_number)}
    yield {"output": text}


def _fits(record: dict[str, Any]) -> bool:
    """Whether it can be a record: JSON knows integers without end and halves of characters, and may grow."""
    from swampstore.values.audit import encode_data

    try:
        encode_data(record)
    except FixTheCall:
        return False
    return True


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond all numbers")
    return value


class Versions:
    """Every output of a run that went well is a version of a datum; with ``only_changed`` not the same one twice.

    ``put`` writes one and returns its id. ``newest`` is the checksum of the newest version in the store, empty when there
    is none: asked for at the first output, which may be another process's next one, and after a write that failed.
    """

    output_bytes = VERSION_OUTPUT_BYTES

    def __init__(self, put: Callable[[bytes], str], newest: Callable[[], str], *, only_changed: bool) -> None:
        self._put = put
        self._newest = newest
        self._only_changed = only_changed
        self._last: str | None = None

    def write(self, run: Run) -> Written:
        """One append, or nothing."""
        ended = run.ended
        if ended.code or ended.timed_out or ended.stopped:
            return Written("no version: the command did not end well")
        if ended.cut:
            return Written(f"no version: the output is larger than {output.size(VERSION_OUTPUT_BYTES)}")
        checksum = hashlib.sha256(ended.output).hexdigest()
        if self._only_changed:
            if self._last is None:
                self._last = self._newest()
            if checksum == self._last:
                return Written("no version: unchanged")
        self._last = None
        name = self._put(ended.output)
        self._last = checksum
        return Written(f"version {name}")
