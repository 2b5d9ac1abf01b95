"""Run gc: records of old runs, outputs, and the data that lived for a run that is gone."""

from __future__ import annotations

import msgspec

from swampstore.env.blocking import run
from swampstore.values.entry import Inline, Meta, Record, put_record
from swampstore.workers.gc.report import GcReport
from swampstore.workers.gc.runs import RunAges, collect_runs
from tests.gc.support import datum, live_versions, version_records
from tests.workers.world import Process, World

DAY_MS = 86_400_000


def file(process: Process, key: str, text: str, *, days: float = 40) -> Record:
    made = process.place.clock.now_ms() - round(days * DAY_MS)
    meta = Meta(size=len(text), at=Inline(text.encode()), created=made, modified=made)
    return put_record(key, process.writer.new_version(), meta)


def gc_runs(process: Process, *, days: int = 30, dry_run: bool = False) -> GcReport:
    ages = RunAges(days * DAY_MS, days * DAY_MS)
    return run(collect_runs(process.place, process.reader, process.writer.append, ages, dry_run=dry_run))


def keys(world: World) -> set[str]:
    return {entry.key for entry in run(run(world.process().reader.open()).page()).entries}


RUN = "workflow-runs/w1/workflow-run-"


def test_only_what_has_ended_and_is_old(world: World, tiny: None) -> None:
    process = world.process()
    process.append(
        [
            file(process, f"{RUN}done.yaml", "id: done\nstatus: succeeded\n"),
            file(process, f"{RUN}done.log", "a log"),
            file(process, f"{RUN}failed.yaml", 'status: "failed"\n'),
            file(process, f"{RUN}young.yaml", "status: succeeded\n", days=29),
            file(process, f"{RUN}running.yaml", "steps:\n  - status: succeeded\nstatus: running\n"),
            file(process, f"{RUN}running.log", "a log"),
            file(process, f"{RUN}suspended.yaml", "status: suspended\n"),
            file(process, f"{RUN}silent.yaml", "id: silent\n"),
            file(process, f"{RUN}lost.log", "a log without its record"),
            file(process, "outputs/t/create/x-1.yaml", "id: 1\n"),
            file(process, "outputs/t/create/x-2.yaml", "status: running\n"),
            file(process, "outputs/t/create/x-3.yaml", "id: 3\n", days=1),
            file(process, "definitions-evaluated/d.yaml", "status: succeeded\n"),
        ]
    )
    process.compact()
    dry = gc_runs(world.process(), dry_run=True)
    assert dry.old_runs == 5
    report = gc_runs(world.process())
    assert (report.old_runs, report.bytes, report.segments) == (5, dry.bytes, 1)
    assert keys(world) == {
        f"{RUN}young.yaml",
        f"{RUN}running.yaml",
        f"{RUN}running.log",
        f"{RUN}suspended.yaml",
        f"{RUN}silent.yaml",
        "outputs/t/create/x-2.yaml",
        "outputs/t/create/x-3.yaml",
        "definitions-evaluated/d.yaml",
    }
    assert gc_runs(world.process()).entries == 0


def bound(process: Process, name: str, run_id: str, *, lifetime: str = "workflow", days: float = 40) -> list[Record]:
    made = process.place.clock.now_ms() - round(days * DAY_MS)
    owner = {"workflowId": "w1", "workflowRunId": run_id} if run_id else {}
    held = msgspec.structs.replace(datum(name, 1), owner=owner)
    raw, metadata = version_records(process, held, created=made)
    meta = Meta(size=1, at=Inline(b"x"), created=made, data=held, lifetime=lifetime)
    return [put_record(raw.key, raw.version, meta), metadata]


def test_data_of_a_run_goes_with_its_record(world: World, tiny: None) -> None:
    process = world.process()
    process.append(
        [
            file(process, f"{RUN}done.yaml", "status: succeeded\n"),
            file(process, f"{RUN}kept.yaml", "status: running\n"),
            *bound(process, "of-done", "done"),
            *bound(process, "of-kept", "kept"),
            *bound(process, "job", "done", lifetime="job"),
            *bound(process, "of-nobody", ""),
            *bound(process, "for-ever", "done", lifetime="infinite"),
            *bound(process, "young", "gone-long-ago", days=3),
            *bound(process, "old", "gone-long-ago"),
        ]
    )
    process.compact()
    report = gc_runs(world.process())
    assert (report.old_runs, report.run_gone, report.entries) == (1, 3, 7)
    there = {
        name for name in ("of-kept", "of-nobody", "for-ever", "young") if live_versions(process, datum(name, 1).item)
    }
    assert there == {"of-kept", "of-nobody", "for-ever", "young"}
    assert not any(live_versions(process, datum(name, 1).item) for name in ("of-done", "job", "old"))


def test_a_store_that_keeps_no_records_says_nothing_about_runs(world: World, tiny: None) -> None:
    """Absence is not deletion: a tree whose runs were never synced keeps its data."""
    process = world.process()
    process.append(bound(process, "a", "done"))
    process.compact()
    assert gc_runs(world.process()).entries == 0
