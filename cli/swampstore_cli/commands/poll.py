"""``swamp poll``: run a command on a schedule and keep what it says, one instance for each name."""

from __future__ import annotations

import random
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import FencedError, FixTheCall, Misuse, SwampError
from swampstore_cli import output
from swampstore_cli.moments import now_ms, pause_s
from swampstore_cli.options import command, new_app
from swampstore_cli.poll_run import Ended, run_command
from swampstore_cli.poll_schedule import JITTER_SHARE, SKIP, Schedule
from swampstore_cli.poll_turn import Turn
from swampstore_cli.poll_writing import ERROR_BYTES, Records, Run, Sink, Versions, Written
from swampstore_cli.session import Session
from swampstore_cli.spool_shown import SPOOLED_EXIT

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.protocols.queue import Waiting
    from swampstore_cli.stopping import StopSignals

app = new_app()


@command(
    app,
    "poll",
    examples="""
    swamp poll --every 30s --topic health -- curl -fsS http://127.0.0.1:8080/health
    swamp poll --every 5m --name disk --topic disks --run-limit 1m -- df -P /
    swamp poll --every 1h --data aws/ec2:web-1 --as state --only-changed -- ./describe.sh web-1
    swamp poll --every 1m --topic once --count 1 -- date
    """,
)
def poll(
    session: Session,
    line: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command.", show_default=False)],
    every: Annotated[str, typer.Option("--every", metavar="SPAN", help="Such as 30s, 5m or 1h.", show_default=False)],
    topic: Annotated[
        str,
        typer.Option("--topic", metavar="T", help="Write an audit record of every run here.", show_default=False),
    ] = "",
    data: Annotated[
        str,
        typer.Option("--data", metavar="MODEL", help="Or: a data version of every good output.", show_default=False),
    ] = "",
    as_: Annotated[
        str, typer.Option("--as", metavar="NAME", help="The data name, with --data.", show_default=False)
    ] = "",
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="One instance of this name runs, others stand by.", show_default="the topic"
        ),
    ] = "",
    jitter: Annotated[
        str,
        typer.Option("--jitter", metavar="SPAN", help="Up to so much later, by chance.", show_default="a tenth"),
    ] = "",
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="skip|queue", help="Ticks that pass while a run takes too long."),
    ] = SKIP,
    run_limit: Annotated[
        str,
        typer.Option("--run-limit", metavar="SPAN", help="Stop a run that takes longer.", show_default="none"),
    ] = "",
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", help="End after N runs.", show_default="go on for ever")
    ] = None,
    only_changed: Annotated[
        bool, typer.Option("--only-changed", help="With --data: no version when the output is the same.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="End with exit code 75 if another instance runs, instead of standing by.")
    ] = False,
) -> None:
    """Run CMD every so often, and write what it printed into the namespace.

    With --topic every run is one audit record: output, exit code, duration, the end of its errors. With --data the
    output of every run that ends with exit code 0 is a new version of a datum.

    One instance of a NAME runs at a time, on whatever machine: others wait in line and take over when it ends or dies.
    A run that fails is recorded and does not end the poller. Nor does a store that is away, missing or full: what could
    not be written is told and lost, and the poller goes on, to end with exit code 1. Ctrl-C or SIGTERM stops CMD,
    records that, and ends with exit code 0, or 76 when records still wait on this machine.
    """
    from swampstore_cli.stopping import StopSignals

    every_s = pause_s(every, "--every")
    jitter_s = pause_s(jitter, "--jitter") if jitter else every_s * JITTER_SHARE
    limit_s = pause_s(run_limit, "--run-limit") if run_limit else None
    schedule = Schedule(every_s, jitter_s, overlap, random.Random())
    if bool(topic) == bool(data) or bool(data) != bool(as_):
        raise Misuse("where to write to is not clear", hint="--topic T, or --data MODEL --as NAME")
    if limit_s is not None and limit_s <= 0:
        raise Misuse(f"--run-limit {run_limit} would stop every run", hint="leave it out to let runs take their time")
    if count is not None and count < 1:
        raise Misuse(f"--count {count} makes no sense", hint="1 or more; leave it out to go on for ever")
    if only_changed and not data:
        raise Misuse("--only-changed without --data", hint="every run is a record; leave it out")
    label = name or topic or f"{data}/{as_}"
    with StopSignals() as stop, session.opened() as opened, ExitStack() as ends:
        namespace = opened.face.namespace(session.settings.namespace)
        sink = _sink(session, namespace, label, line, topic, data, as_, only_changed=only_changed)
        poller = _Poller(session, line, sink, schedule, limit_s, count, label)
        queue = namespace.queue(f"poll/{label}", 1)
        said = _Standby(label, stays=not no_wait)
        held = queue.acquire(
            purpose=f"swamp poll --every {every}", on_wait=said.waits, deadline=0.0 if no_wait else None
        )
        try:
            with stop.interrupting():
                turn = ends.enter_context(Turn(opened.env, held))
        except KeyboardInterrupt:
            output.note("stopped before its turn")
            return
        output.note(f"polling every {every} as {output.printable(label)}; Ctrl-C stops")
        poller.go_on(turn, stop)
    raise typer.Exit(poller.exit_code)


def _sink(
    session: Session,
    namespace: Namespace,
    label: str,
    line: list[str],
    topic: str,
    data: str,
    as_: str,
    *,
    only_changed: bool,
) -> Sink:
    if topic:
        return Records(namespace.audit(topic), label, line)
    from swampstore_cli.model_ref import find_model

    found = find_model(session.settings, namespace, data)
    tags = {"poll": label} | ({"modelName": found.name} if found.name != found.model.id else {})
    item = namespace.data(found.model, as_)

    def newest() -> str:
        version = item.get(follow=False)
        return "" if version is None or version.deleted else version.sha256

    return Versions(lambda contents: item.put(contents, tags=tags).id, newest, only_changed=only_changed)


class _Standby:
    """Says once whom this instance stands by for."""

    def __init__(self, label: str, *, stays: bool) -> None:
        self._label = label
        self._stays = stays
        self._said = False

    def waits(self, waiting: Waiting) -> None:
        if self._said:
            return
        self._said = True
        holder = waiting.holder
        who = f" on {holder.host} (process {holder.pid})" if holder else ""
        output.note(
            f"another instance of {output.printable(self._label)} runs{who}{'; standing by' if self._stays else ''}"
        )


class _Poller:
    """The loop: wait for a tick, run, write, say so."""

    def __init__(
        self,
        session: Session,
        line: list[str],
        sink: Sink,
        schedule: Schedule,
        limit_s: float | None,
        count: int | None,
        label: str,
    ) -> None:
        self._session = session
        self._line = line
        self._sink = sink
        self._schedule = schedule
        self._limit_s = limit_s
        self._count = count
        self._label = label
        self._runs = 0
        self._lost = 0
        self._spooled = False

    @property
    def exit_code(self) -> int:
        """1 when a run could not be written, 76 when the last ones still wait on this machine."""
        return 1 if self._lost else SPOOLED_EXIT if self._spooled else 0

    def go_on(self, turn: Turn, stop: StopSignals) -> None:
        """Until ``stop`` is set or the runs are done. Raises ``FencedError`` once another instance has taken over."""
        from swampstore.env.blocking import run as finish

        start = time.monotonic()
        while not stop.is_set() and (self._count is None or self._runs < self._count):
            tick = self._schedule.next(time.monotonic() - start)
            if finish(stop.wait(max(start + tick.at - time.monotonic(), 0.0))):
                break
            try:
                turn.check()  # who slept through its turn must not run beside its successor
            except FencedError:
                raise
            except SwampError as error:  # not known: it goes on
                self._problem(error)
            if stop.is_set():
                break
            began = now_ms()
            ended = self._ran(turn, stop)
            self._runs += 1
            if ended is not None:
                self._write(Run(tick, began, ended))
        output.note(f"stopped after {output.count(self._runs, 'run')}")
        if self._lost:
            output.note(f"{output.count(self._lost, 'run')} could not be written")

    def _ran(self, turn: Turn, stop: StopSignals) -> Ended | None:
        """The run, or ``None`` when there was no process left for it."""
        try:
            return run_command(
                self._line,
                stop,
                limit_s=self._limit_s,
                output_bytes=self._sink.output_bytes,
                error_bytes=ERROR_BYTES,
                keep=turn.files,
            )
        except OSError as error:
            self._lost += 1
            self._problem(SwampError(f"the command could not be started: {error.strerror or error}"))
            return None

    def _write(self, run: Run) -> None:
        try:
            written = self._sink.write(run)
        except FixTheCall:
            raise  # what is written always fits, so the topic or the datum has a name that will never be right
        except SwampError as error:
            self._lost += 1
            self._problem(error)
            output.note(f"the run of {output.moment(run.began)} (exit {run.ended.code}) was not written")
            return
        self._spooled = written.spooled
        self._tell(run, written)

    def _tell(self, run: Run, written: Written) -> None:
        ended = run.ended
        if self._session.json:
            told = {
                "began": run.began,
                "seconds": round(ended.seconds, 3),
                "exit": ended.code,
                "missed": run.tick.missed,
                "timed_out": ended.timed_out,
                "written": written.what,
                "spooled": written.spooled,
            }
            output.line(output.encoded(told))
        else:
            how = "ran too long, stopped" if ended.timed_out else f"exit {ended.code}"
            missed = f", {run.tick.missed} missed before" if run.tick.missed else ""
            spooled = " (waits on this machine for the store)" if written.spooled else ""
            output.line(f"{output.moment(run.began)}  {how}, {ended.seconds:.2f} s{missed}  {written.what}{spooled}")
        sys.stdout.flush()

    def _problem(self, error: SwampError) -> None:
        output.problem(**error.describe(), json=self._session.json)
