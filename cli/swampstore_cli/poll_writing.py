"""What a poller writes of a run: an audit record of every run, or a data version of every good output."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from swampstore_cli import output
from swampstore_cli.poll_run import Ended
from swampstore_cli.poll_schedule import Tick

if TYPE_CHECKING:
    from swampstore.client.audit_blocking import AuditTopic

RECORD_OUTPUT_BYTES = 128 * 1024
"""Of a run's output, in a record: with everything round it a record must stay below the limit of the store."""
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
        self._command = list(command)

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
            "command": self._command,
            "seconds": round(ended.seconds, 3),
            "exit": ended.code,
            **_output(ended),
        }
        if ended.error:
            record["error"] = ended.error.decode(errors="backslashreplace")
        marks = {"cut": ended.cut, "missed": run.tick.missed, "timed_out": ended.timed_out, "stopped": ended.stopped}
        return record | {name: value for name, value in marks.items() if value}


def _output(ended: Ended) -> dict[str, Any]:
    """The output as JSON if it is one, as text if it is text, else in base64."""
    try:
        text = ended.output.decode()
    except UnicodeDecodeError:
        return {"output_base64": base64.b64encode(ended.output).decode()}
    if text.lstrip()[:1] in ("{", "[") and not ended.cut:
        try:
            return {"output": json.loads(text, parse_constant=_refuse)}
        except (ValueError, RecursionError):
            pass  # text that only begins like JSON
    return {"output": text}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


class Versions:
    """Every output of a run that went well is a version of a datum; with ``only_changed`` not the same one twice.

    ``put`` writes one and returns its id.
    """

    output_bytes = VERSION_OUTPUT_BYTES

    def __init__(self, put: Callable[[bytes], str], *, only_changed: bool) -> None:
        self._put = put
        self._only_changed = only_changed
        self._last = b""

    def write(self, run: Run) -> Written:
        """One append, or nothing."""
        ended = run.ended
        if ended.code or ended.timed_out or ended.stopped:
            return Written("no version: the command did not end well")
        if ended.cut:
            return Written(f"no version: the output is larger than {output.size(VERSION_OUTPUT_BYTES)}")
        digest = hashlib.sha256(ended.output).digest()
        if self._only_changed and digest == self._last:
            return Written("no version: unchanged")
        name = self._put(ended.output)
        self._last = digest
        return Written(f"version {name}")
