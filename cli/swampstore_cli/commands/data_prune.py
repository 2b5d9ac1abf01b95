"""``swamp data prune``: data of models that are no more, and space that nobody can reach, go after a preview."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swampstore_cli import confirm, datum, output
from swampstore_cli.deleting import Deleted, delete_all
from swampstore_cli.model_ref import definitions
from swampstore_cli.moments import now_ms, span_ms
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.values.data import Model
    from swampstore.workers.prune import PruneReport

ALWAYS_LIVE = ("workflow", "swamp")
"""First parts of types whose models are defined elsewhere than in ``models/``: never taken for orphans."""
_SHOWN = 20

app = new_app()


@dataclass
class Orphan:
    """The data of a model that has no definition."""

    model: Model
    name: str = ""
    names: set[str] = field(default_factory=set)
    versions: int = 0
    bytes: int = 0
    newest: int = 0


@command(
    app,
    "prune",
    examples="""
    swamp data prune --dry-run
    swamp data prune --yes
    swamp data prune --space --yes
    swamp data prune --older-than 30d --json
    """,
)
def prune(
    session: Session,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="SPAN", help="Models without newer data than this.")
    ] = "1d",
    space: Annotated[bool, typer.Option("--space", help="Only give back space; leave all data.")] = False,
    dry_run: confirm.DRY_RUN = False,
    yes: confirm.YES = False,
) -> None:
    """Delete the data of models that have no definition in the repo, and give back space that nobody can reach.

    A model is there when a file below models/ or .swamp/auto-definitions/ says its id, in the folder of its type; models
    of workflows and of the server are always there. In a namespace that several repos share, the models of the others
    look orphaned from here: look at the list first. A repo without any definition deletes no data.

    Space is what crashed processes have left, what nothing names any more and whose grace is over, and packs that are
    more than half dead. Shows what would go first, and deletes only with --yes, or when a person at a terminal says yes.
    """
    confirm.check(yes=yes, dry_run=dry_run)
    before = now_ms() - span_ms(older_than, "--older-than")
    with session.opened() as opened:
        namespace = opened.face.namespace(opened.existing(session.settings.namespace))
        live = set() if space else {one.model for one in definitions(session.settings)}
        found = _orphans(namespace, live, before) if live else []
        report = namespace.prune(dry_run=True)
        if not session.json:
            if not live and not space:
                output.note(f"no definitions in {session.settings.repo}/models: no data is taken for orphaned")
            _preview(found, report, namespace.name)
        done = bool(found or report.removed) and confirm.confirmed(
            "delete all that?", yes=yes, dry_run=dry_run, json=session.json
        )
        gone = Deleted()
        if done:
            gone = delete_all(namespace, [(one.model, name) for one in found for name in sorted(one.names)])
            report = namespace.prune(dry_run=False)
    if session.json:
        _document(found, gone, report, namespace.name, dry_run=not yes)
    elif done:
        output.line(
            f"deleted {output.count(gone.versions, 'version')} of {output.count(len(found), 'model')}"
            f" ({output.size(gone.bytes)}); {_space(report)}"
        )


def _orphans(namespace: Namespace, live: set[Model], before: int) -> list[Orphan]:
    """Models whose definition is gone and that nobody has written to since ``before``."""
    found: dict[Model, Orphan] = {}
    for version in namespace.search_data(latest_only=False):
        if version.model in live or version.model.type.partition("/")[0] in ALWAYS_LIVE:
            continue
        one = found.setdefault(version.model, Orphan(version.model))
        one.name = one.name or version.tags.get("modelName", "")
        one.names.add(version.name)
        one.versions += 1
        one.bytes += version.size
        one.newest = max(one.newest, version.created)
    return [one for one in found.values() if one.newest <= before]


def _preview(found: list[Orphan], report: PruneReport, namespace: str) -> None:
    rows = (
        (
            str(one.model),
            one.name,
            f"{len(one.names):,}",
            f"{one.versions:,}",
            output.size(one.bytes),
            output.moment(one.newest),
        )
        for one in found[:_SHOWN]
    )
    header = ("MODEL", "NAME", "DATA", "VERSIONS", "SIZE", "NEWEST")
    datum.stream_table(header, rows, frozenset({2, 3, 4}), indent="  ")
    if found[_SHOWN:]:
        output.line(f"  ... and {len(found) - _SHOWN:,} more models")
    if not found and not report.removed:
        output.line(f"nothing to prune in namespace {namespace}")
        return
    versions, size = sum(one.versions for one in found), sum(one.bytes for one in found)
    output.line(
        f"would delete {output.count(versions, 'version')} of {output.count(len(found), 'model')}"
        f" without a definition ({output.size(size)}); {_space(report)}"
    )


def _space(report: PruneReport) -> str:
    """What happens, or would, to space."""
    verb = "would give" if report.dry_run else "gave"
    parts = [f"{verb} back {output.size(report.bytes)}"]
    if report.repacked:
        parts.append(f"{output.size(report.repacked_bytes)} of {output.count(report.repacked, 'pack')} in a day")
    if report.waiting:
        parts.append(f"{output.size(report.waiting_bytes)} wait for their grace")
    return ", ".join(parts)


def _document(found: list[Orphan], gone: Deleted, report: PruneReport, namespace: str, *, dry_run: bool) -> None:
    models: list[dict[str, Any]] = [
        {
            "type": one.model.type,
            "modelId": one.model.id,
            "modelName": one.name,
            "dataNames": sorted(one.names),
            "versions": one.versions,
            "bytes": one.bytes,
            "newest": datum.when(one.newest),
        }
        for one in found
    ]
    output.document(
        {
            "namespace": namespace,
            "dryRun": dry_run,
            "modelsReclaimed": len(found),
            "reclaimedModels": models,
            "versionsDeleted": sum(one.versions for one in found) if dry_run else gone.versions,
            "bytesReclaimed": sum(one.bytes for one in found) if dry_run else gone.bytes,
            "space": {
                "bytes": report.bytes,
                "garbage": report.garbage,
                "orphans": report.orphans,
                "leftovers": report.leftovers,
                "repacked": report.repacked,
                "repackedBytes": report.repacked_bytes,
                "waiting": report.waiting,
                "waitingBytes": report.waiting_bytes,
            },
        }
    )
