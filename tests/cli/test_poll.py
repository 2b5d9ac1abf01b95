"""``swamp poll``: when it runs, what it writes, who runs, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import FencedError, Misuse, SpoolFull, StoreMissing, StoreUnavailable, SwampError
from swampstore.protocols.queue_grant import Grant
from swampstore_cli import poll_run, poll_turn, poll_writing
from swampstore_cli.commands import poll
from swampstore_cli.main import _terminated
from swampstore_cli.poll_schedule import QUEUE, QUEUED, SKIP, Schedule
from tests.cli.conftest import Swamp
from tests.cli.test_poll_run import ONCE, begin


def schedule(overlap: str = SKIP, every: float = 10.0, jitter: float = 0.0) -> Schedule:
    return Schedule(every, jitter, overlap, random.Random(1))


def records(store: Path, topic: str, namespace: str = "default") -> list[dict[str, Any]]:
    with swampstore.open(str(store)) as opened:
        found = [record.data for record in opened.namespace(namespace).audit(topic).read()]
    assert all(isinstance(data, dict) for data in found)
    return found  # type: ignore[return-value]


class TestSchedule:
    def test_a_late_run_does_not_move_the_ticks_behind_it(self) -> None:
        plan = schedule()
        assert [plan.next(now)[:2] for now in (0.001, 3.0, 19.9, 20.0)] == [(0, 0.0), (1, 10.0), (2, 20.0), (3, 30.0)]

    def test_ticks_that_passed_are_left_out_and_counted(self) -> None:
        plan = schedule()
        plan.next(0.0)
        assert plan.next(35.0) == (4, 40.0, 3)
        assert plan.next(41.0) == (5, 50.0, 0)

    def test_ticks_that_passed_are_run_one_behind_the_other(self) -> None:
        plan = schedule(QUEUE)
        plan.next(0.0)
        assert [plan.next(35.0)[:2] for _ in range(4)] == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0)]

    def test_but_not_all_of_a_night(self) -> None:
        plan = schedule(QUEUE)
        plan.next(0.0)
        assert plan.next(100_000.0) == (10_000 - QUEUED, (10_000 - QUEUED) * 10.0, 10_000 - QUEUED - 1)

    def test_jitter_moves_each_tick_by_itself(self) -> None:
        plan = schedule(jitter=5.0)
        moved = [plan.next(0.0).at - number * 10.0 for number in range(50)]
        assert all(0 <= late <= 5.0 for late in moved)
        assert max(moved) - min(moved) > 3.0

    @pytest.mark.parametrize(("every", "jitter", "overlap"), [(0.0, 0.0, SKIP), (1.0, 2.0, SKIP), (1.0, 0.0, "both")])
    def test_what_makes_no_sense_is_refused(self, every: float, jitter: float, overlap: str) -> None:
        with pytest.raises(Misuse):
            Schedule(every, jitter, overlap, random.Random(1))


class TestRecords:
    def test_a_run_is_a_record(self, swamp: Swamp, store: Path) -> None:
        done = swamp(
            "poll", *ONCE, "--topic", "t", "--json", "--", "sh", "-c", 'echo "{\\"a\\": 1}"; echo no >&2; exit 3'
        )
        assert done.code == 0
        assert json.loads(done.out)["exit"] == 3
        (record,) = records(store, "t")
        assert record.pop("seconds") >= 0
        assert record["command"][:2] == ["sh", "-c"]
        assert record | {"command": []} == {"poll": "t", "command": [], "exit": 3, "output": {"a": 1}, "error": "no\n"}

    @pytest.mark.parametrize(
        ("script", "kept"),
        [
            ("printf 'plain'", {"output": "plain"}),
            ("printf '{broken'", {"output": "{broken"}),
            ("printf '[NaN]'", {"output": "[NaN]"}),
            ("printf '\\377'", {"output_base64": "/w=="}),
            ("echo '[18446744073709551616]'", {"output": "[18446744073709551616]\n"}),
            ("printf %s '[\"\\ud800\"]'", {"output": '["\\ud800"]'}),
            ("printf '[1e999]'", {"output": "[1e999]"}),
        ],
    )
    def test_any_output_is_kept(self, swamp: Swamp, store: Path, script: str, kept: dict[str, str]) -> None:
        swamp("poll", *ONCE, "--topic", "t", "--", "sh", "-c", script)
        (record,) = records(store, "t")
        assert {name: record[name] for name in record if name.startswith("output")} == kept

    def test_an_output_that_is_too_large_is_cut_and_says_so(self, swamp: Swamp, store: Path) -> None:
        swamp("poll", *ONCE, "--topic", "t", "--", "sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x")
        (record,) = records(store, "t")
        assert (len(record["output"]), record["cut"]) == (131_072, 200_000 - 131_072)

    def test_a_record_always_fits(self, swamp: Swamp, store: Path) -> None:
        script = "head -c 200000 /dev/zero | tr '\\0' '\\377' | tee /dev/stderr"
        long = "a" * 100_000
        done = swamp("poll", *ONCE, "--topic", "t", "--", "sh", "-c", script, os.fsdecode(b"\xff"), long, long)
        assert done.code == 0
        (record,) = records(store, "t")
        assert record["command"][:4] == ["sh", "-c", script, "\\xff"]
        assert sum(map(len, record["command"])) + record["command_cut"] == 2 + 2 + len(script) + 4 + 200_000
        assert len(record["error"]) == 4 * poll_writing.ERROR_BYTES

    def test_json_that_grows_beyond_a_record_stays_text(self, swamp: Swamp, store: Path, tmp_path: Path) -> None:
        text = "[" + ",".join(["0.5"] * 32_000) + "]"
        (tmp_path / "text").write_text(text)
        assert swamp("poll", *ONCE, "--topic", "t", "--", "cat", tmp_path / "text").code == 0
        (record,) = records(store, "t")
        assert record["output"] == text

    def test_a_run_without_a_process_is_told_and_does_not_end_it(
        self, swamp: Swamp, store: Path, monkeypatch: Any
    ) -> None:
        real, tried = poll.run_command, []

        def run(*given: Any, **more: Any) -> poll_run.Ended:
            tried.append(given)
            if len(tried) == 1:
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            return real(*given, **more)

        monkeypatch.setattr(poll, "run_command", run)
        done = swamp("poll", "--every", "60ms", "--jitter", "0s", "--count", "2", "--topic", "t", "--", "true")
        assert (done.code, len(records(store, "t"))) == (1, 1)
        assert "could not be started: Resource temporarily" in done.err

    @pytest.mark.parametrize("error", [StoreUnavailable, SpoolFull, StoreMissing])
    def test_a_store_that_is_away_does_not_end_it(
        self, swamp: Swamp, store: Path, monkeypatch: Any, error: type[SwampError]
    ) -> None:
        from swampstore.client.audit_blocking import AuditTopic

        wrote, real = [], AuditTopic.write

        def write(self: AuditTopic, data: object, **more: Any) -> Any:
            wrote.append(data)
            if len(wrote) == 1:
                raise error("no route")
            return real(self, data, **more)

        monkeypatch.setattr(AuditTopic, "write", write)
        done = swamp("poll", "--every", "60ms", "--jitter", "0s", "--count", "2", "--topic", "t", "--", "true")
        assert done.code == 1
        assert "no route" in done.err
        assert "1 run could not be written" in done.err
        assert len(records(store, "t")) == 1


class TestVersions:
    def test_good_outputs_are_versions_when_they_changed(self, swamp: Swamp, store: Path, tmp_path: Path) -> None:
        count = tmp_path / "count"
        script = f"echo x >> {count}; n=$(wc -l < {count}); [ $n -lt 4 ] || exit 1; [ $n -gt 2 ] && echo b || echo a"
        line = ("poll", "--every", "60ms", "--jitter", "0s", "--count", "4", "--data", "t/m:one", "--as", "state")
        done = swamp(*line, "--only-changed", "--", "sh", "-c", script)
        assert done.code == 0
        assert [text.split("  ")[-1].split()[0] for text in done.out.splitlines()] == ["version", "no", "version", "no"]
        with swampstore.open(str(store)) as opened:
            versions = list(opened.namespace("default").data("t/m:one", "state").versions())
            assert len(versions) == 2
            assert opened.namespace("default").data("t/m:one", "state").read() == b"b\n"

    def test_the_one_before_may_be_of_another_process(self, swamp: Swamp, store: Path) -> None:
        line = ("poll", *ONCE, "--data", "t/m:one", "--as", "state", "--only-changed", "--")
        assert "version 0" in swamp(*line, "echo", "a").out
        assert "no version: unchanged" in swamp(*line, "echo", "a").out
        assert "version 0" in swamp(*line, "echo", "b").out
        swamp("data", "delete", "t/m:one", "state", "--force")
        assert "version 0" in swamp(*line, "echo", "b").out

    @pytest.mark.parametrize(
        "wrong", [(), ("--topic", "t", "--data", "m", "--as", "n"), ("--data", "m"), ("--topic", "t", "--only-changed")]
    )
    def test_where_to_write_to_must_be_clear(self, swamp: Swamp, store: Path, wrong: tuple[str, ...]) -> None:
        done = swamp("poll", *ONCE, *wrong, "--", "true")
        assert done.code == 2
        assert not any(store.iterdir())


class TestOneInstance:
    def test_another_one_ends_at_once_when_told_not_to_wait(self, swamp: Swamp, store: Path) -> None:
        with swampstore.open(str(store)) as opened, opened.namespace("default").queue("poll/t", 1).acquire():
            done = swamp("poll", *ONCE, "--topic", "t", "--no-wait", "--", "true")
        assert done.code == 75
        assert "standing by" not in done.err
        assert records(store, "t") == []

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_one_that_stands_by_is_stopped_like_one_that_runs(
        self, swamp: Swamp, store: Path, monkeypatch: Any, number: int
    ) -> None:
        monkeypatch.setattr(poll._Standby, "waits", lambda *_: os.kill(os.getpid(), number))
        before = signal.signal(signal.SIGTERM, _terminated)
        try:
            with swampstore.open(str(store)) as opened, opened.namespace("default").queue("poll/t", 1).acquire():
                done = swamp("poll", "--every", "1s", "--topic", "t", "--", "true")
        finally:
            signal.signal(signal.SIGTERM, before)
        assert (done.code, done.out) == (0, "")
        assert "stopped before its turn" in done.err

    @pytest.mark.parametrize("count", ["0", "-1"])
    def test_it_does_not_go_on_for_ever_when_told_to_run_no_time(self, swamp: Swamp, store: Path, count: str) -> None:
        done = swamp("poll", "--every", "1s", "--count", count, "--topic", "t", "--", "true")
        assert (done.code, records(store, "t")) == (2, [])

    def test_a_limit_that_would_stop_every_run_is_refused(self, swamp: Swamp, store: Path) -> None:
        assert swamp("poll", *ONCE, "--topic", "t", "--run-limit", "0s", "--", "true").code == 2
        assert swamp("poll", *ONCE, "--topic", "t", "--run-limit", "9s", "--", "true").code == 0

    def test_without_a_count_it_is_not_refused(self, swamp: Swamp, store: Path) -> None:
        with swampstore.open(str(store)) as opened, opened.namespace("default").queue("poll/t", 1).acquire():
            assert swamp("poll", "--every", "1s", "--topic", "t", "--no-wait", "--", "true").code == 75

    def test_a_store_that_is_away_holds_up_neither_a_run_nor_the_end(
        self, swamp: Swamp, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        back = threading.Event()

        async def away(self: Grant) -> None:
            back.wait(20)

        with monkeypatch.context() as cut:
            cut.setattr(poll_turn, "LOOK_S", 0.05)
            cut.setattr(poll_turn, "RELEASE_S", 0.05)
            cut.setattr(Grant, "check", away)
            cut.setattr(Grant, "release", away)
            done = swamp("poll", "--every", "50ms", "--count", "2", "--topic", "t", "--", "true")
            assert not back.is_set()
        back.set()
        assert done.code == 0
        assert len(records(store, "t")) == 2
        assert done.err.count("is not known") == 2
        assert "could not be given back" in done.err

    def test_a_look_that_comes_back_late_counts_at_the_next_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        back, looked = threading.Event(), threading.Event()

        class Late:
            def check(self) -> None:
                back.wait(20)
                looked.set()
                raise FencedError("passed on")

        monkeypatch.setattr(poll_turn, "LOOK_S", 0.05)
        with poll_turn.Turn(BlockingEnv(), nullcontext(Late())) as turn:  # type: ignore[arg-type]
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    turn.check()
            back.set()
            assert looked.wait(20)
            with pytest.raises(FencedError):
                until_known(turn)

    def test_who_was_passed_over_runs_no_more(self, swamp: Swamp, store: Path, monkeypatch: Any) -> None:
        real = Grant.check

        async def check(self: Grant) -> None:
            await self.queue.finish(self.number)
            await real(self)

        monkeypatch.setattr(Grant, "check", check)
        done = swamp("poll", *ONCE, "--topic", "t", "--", "true")
        assert done.code == FencedError.exit_code == 3
        assert records(store, "t") == []

    def test_a_second_one_stands_by_and_takes_over_from_a_killed_one(self, store: Path, tmp_path: Path) -> None:
        first = begin(store, "--every", "50ms", "--topic", "t", "--", "echo", "first")
        assert first.stdout is not None
        first.stdout.readline()
        second = begin(store, "--every", "50ms", "--topic", "t", "--", "echo", "second")
        assert second.stdout is not None
        assert second.stderr is not None
        assert b"standing by" in second.stderr.readline()
        first.kill()
        first.wait()
        assert b"record poll-" in second.stdout.readline()
        second.send_signal(signal.SIGTERM)
        _, said = second.communicate(timeout=100)
        assert second.returncode == 0
        assert b"stopped after" in said
        outputs = [record["output"] for record in records(store, "t")]
        assert outputs == sorted(outputs)
        assert set(outputs) == {"first\n", "second\n"}


def until_known(turn: poll_turn.Turn) -> None:
    while True:
        with suppress(StoreUnavailable):
            turn.check()
