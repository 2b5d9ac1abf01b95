"""Import of the large legacy index: time, memory, size of the manifest, and the first look-up in it."""

from __future__ import annotations

from typing import Any

from bench.children import run_job
from bench.harness import Report, median, say
from bench.lab import NAMESPACE, Lab

_LOOKUPS = 15


def run(lab: Lab, report: Report) -> None:
    """``--index-only`` into a local store, several times; then look-ups with clients that know nothing."""
    index = lab.index
    json_bytes = (index / ".datastore-index.json").stat().st_size
    done = [_import(lab, str(index), str(lab.folder("imported")), index_only=True) for _ in range(lab.scale.rounds)]
    seconds, memory = [one["seconds"] for one in done], [one["rss_mb"] for one in done]
    shown = f"{lab.scale.entries:,} entries, {json_bytes / 1e6:.0f} MB of JSON"
    report.target("import-seconds", median(seconds), figure="median", samples=seconds, note=shown)
    report.target("import-memory", max(memory), figure="max", samples=memory)
    manifest = done[-1]["value"]["manifest_bytes"]
    report.target("manifest-ratio", manifest / json_bytes, note=f"{manifest / 1e6:.1f} MB of manifest")
    _lookups(lab, report)
    if lab.scale.objects:
        _with_objects(lab, report)


def _import(lab: Lab, source: str, url: str, *, index_only: bool) -> dict[str, Any]:
    return run_job(
        "prepare:import_index",
        lab.env,
        timeout_s=600,
        source=source,
        url=url,
        namespace=NAMESPACE,
        index_only=index_only,
    )


def _lookups(lab: Lab, report: Report) -> None:
    place = lab.big_s3
    near, far = lab.s3.url(place, far=False), lab.s3.url(place, far=True)
    keys = lab.job("upkeep:keys", url=near, namespace=NAMESPACE, count=_LOOKUPS, seed=7)
    found = lab.job("upkeep:lookup", url=far, namespace=NAMESPACE, keys=keys)
    rounds, read = [one["rounds"] for one in found], [one["bytes"] for one in found]
    report.target("lookup-rounds", max(rounds), figure="max", samples=rounds)
    report.target("lookup-bytes", max(read), figure="max", samples=read)
    # The first of a process also loads and starts the S3 client.
    report.spread("point look-up, cold, S3 with 20 ms", [one["ms"] for one in found], "ms", note="with connecting")


def _with_objects(lab: Lab, report: Report) -> None:
    """Objects on disk, and the namespace in the same store, so that its entries refer to them where they are."""
    say(f"making {lab.scale.objects:,} legacy objects")
    place = lab.folder("objects")
    lab.job("prepare:make_objects", timeout_s=900, out=str(place), entries=lab.scale.objects)
    done = _import(lab, str(place), str(place), index_only=False)
    told = done["value"]
    if told["imported"] != lab.scale.objects or told["dangling"] or told["damaged"]:
        raise AssertionError(f"the import lost objects: {told}")
    note = f"{lab.scale.objects:,} objects, {told['hashes_checked']} hashes checked, peak {done['rss_mb']:.0f} MB; files warm in the page cache"
    report.target("import-objects", done["seconds"], note=note)
