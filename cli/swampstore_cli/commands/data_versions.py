"""``swamp data versions``: every version of a datum, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse, NotFound
from swampstore_cli import datum, output
from swampstore_cli.model_ref import HELP, find_model
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.values.data_version import DataVersion

_COLUMNS = ("VERSION", "CREATED", "SIZE", "CONTENT TYPE", "LIFETIME", "ID", "")
_NUMBERS = frozenset({2})

app = new_app()


@command(
    app,
    "versions",
    examples="""
    swamp data versions aws/ec2:web-1 state
    swamp data versions web-1 state --limit 5 --json
    """,
)
def versions(
    session: Session,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=HELP, show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The data name, such as state.", show_default=False)],
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="Only the newest N.")] = None,
) -> None:
    """List the versions of NAME of MODEL, newest first.

    ID is the stable id that a version has from the moment it is written; its number is given when the log is folded, and
    is shown as pending until then. Both are taken by swamp data get --version.
    """
    if limit is not None and limit < 1:
        raise Misuse(f"--limit {limit} makes no sense", hint="leave it out to list everything")
    with session.namespace() as namespace:
        found = find_model(session.settings, namespace, model)
        item = namespace.data(found.model, name)
        there = item.versions(limit=limit + 1 if limit else None)
        if not there:
            raise NotFound(
                f"no data {name!r} of model {found} in namespace {namespace.name!r}", hint="see: swamp data list MODEL"
            )
        latest = item.get(follow=False)
    more = limit is not None and len(there) > limit
    there = there[:limit]
    latest_id = latest.id if latest else ""
    if session.json:
        output.document(
            {
                "dataName": name,
                "modelId": found.model.id,
                "modelName": found.name,
                "modelType": found.model.type,
                "namespace": namespace.name,
                "versions": [_shape(one, latest_id) for one in there],
                "total": len(there),
                "limited": more,
            }
        )
        return
    datum.stream_table(_COLUMNS, (_row(one, latest_id) for one in there), _NUMBERS)
    if more:
        output.note("there are more: raise --limit")


def _shape(one: DataVersion, latest_id: str) -> dict[str, object]:
    shape: dict[str, object] = {
        "version": one.ordinal,
        "id": one.id,
        "pending": one.pending,
        "createdAt": datum.when(one.created),
        "size": one.size,
        "checksum": datum.checksum(one),
        "contentType": one.content_type,
        "lifetime": one.lifetime or "infinite",
        "expiresAt": datum.when(one.expires),
        "isLatest": one.id == latest_id,
    }
    optional = {"lifecycle": one.lifecycle if one.deleted else "", "renamedTo": one.renamed_to}
    return shape | {key: value for key, value in optional.items() if value}


def _row(one: DataVersion, latest_id: str) -> tuple[str, ...]:
    notes = [text for text in ("latest" if one.id == latest_id else "", datum.note(one)) if text]
    return (
        datum.shown_version(one),
        output.moment(one.created),
        output.size(one.size),
        one.content_type,
        one.lifetime or "infinite",
        one.id,
        ", ".join(notes),
    )
