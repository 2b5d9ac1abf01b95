"""``swamp data list``: the data of a model, of a workflow run, or the models there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swampstore.errors import Misuse
from swampstore_cli import datum, output
from swampstore_cli.model_ref import definitions, find_model
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.values.data_version import DataVersion

_IN_MEMORY = 1 << 20
_COLUMNS = ("TYPE", "NAME", "VERSION", "CONTENT TYPE", "SIZE", "AGE", "")
_NUMBERS = frozenset({4, 5})

app = new_app()


@command(
    app,
    "list",
    examples="""
    swamp data list
    swamp data list aws/ec2:web-1
    swamp data list web-1 --type resource --json
    swamp data list --workflow deploy
    """,
)
def list_data(
    session: Session,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="TYPE:ID, a name or an id; nothing: all models.", show_default=False),
    ] = "",
    type_: Annotated[
        str,
        typer.Option("--type", metavar="TYPE", help="Only this tag type, such as resource.", show_default=False),
    ] = "",
    workflow: Annotated[
        str,
        typer.Option("--workflow", metavar="NAME", help="Made by its latest run, of any model.", show_default=False),
    ] = "",
    run: Annotated[
        str, typer.Option("--run", metavar="ID", help="Made by this workflow run, of any model.", show_default=False)
    ] = "",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="At most so many.")] = None,
) -> None:
    """List the data of MODEL with their latest versions, or without MODEL the models that have data.

    A version whose number is not given yet is shown as pending. What has expired is not shown, nor names that lead to
    another one.
    """
    if limit is not None and limit < 1:
        raise Misuse(f"--limit {limit} makes no sense", hint="leave it out to list everything")
    if model and (workflow or run):
        raise Misuse("MODEL and --workflow or --run exclude each other")
    with session.opened() as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        opened.existing(namespace.name)
        if workflow or run:
            from swampstore_cli.provenance import made_by

            made = _typed(made_by(namespace, workflow, run), type_)
            _of_run(session, namespace, datum.Cut(made, limit))
        elif model:
            found = find_model(session.settings, namespace, model)
            rows = datum.Cut(_typed(namespace.search_data(model=found.model), type_), limit)
            head = {"modelId": found.model.id, "modelName": found.name, "modelType": found.model.type}
            if session.json:
                _print_groups(rows, head | {"namespace": namespace.name})
            else:
                _print_rows(rows, f"no data of model {found} in namespace {namespace.name}")
        else:
            _models(session, namespace, type_, limit)


def _typed(versions: Iterable[DataVersion], type_: str) -> Iterator[DataVersion]:
    return (one for one in versions if not datum.is_forward(one) and (not type_ or datum.kind(one) == type_))


def _print_rows(rows: datum.Cut, none: str) -> None:
    table = (
        (
            datum.kind(one),
            one.name,
            datum.shown_version(one),
            one.content_type,
            output.size(one.size),
            datum.age(one),
            datum.note(one),
        )
        for one in rows
    )
    count = datum.stream_table(_COLUMNS, table, _NUMBERS)
    if not count:
        output.note(none)
    elif rows.more:
        output.note("there are more: raise --limit")


def _print_groups(rows: datum.Cut, head: dict[str, Any]) -> None:
    """One document: the items by their tag type, each group kept aside in bounded memory until all are known."""
    groups: dict[str, SpooledTemporaryFile[str]] = {}
    for one in rows:
        group = groups.get(datum.kind(one))
        if group is None:
            group = groups[datum.kind(one)] = SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8")  # noqa: SIM115
        group.write(("," if group.tell() else "") + output.encoded(datum.brief(one)) + "\n")
    output.write(output.encoded(head)[:-1] + ', "groups": [')
    for at, (name, group) in enumerate(sorted(groups.items())):
        output.write(f'{"," if at else ""}{{"type": {output.encoded(name)}, "items": [')
        group.seek(0)
        for text in group:
            output.write(text)
        output.write("]}")
        group.close()
    output.line(f'], "total": {rows.count}, "limited": {"true" if rows.more else "false"}}}')


def _of_run(session: Session, namespace: Namespace, versions: datum.Cut) -> None:
    """Data of any models, as a list."""
    if session.json:
        datum.print_found(versions, {"namespace": namespace.name})
        return
    columns = ("MODEL", "TYPE", "NAME", "VERSION", "SIZE", "JOB", "STEP")
    datum.stream_table(
        columns,
        (
            (
                datum.model_name(one),
                datum.kind(one),
                one.name,
                datum.shown_version(one),
                output.size(one.size),
                str(one.owner.get("jobName") or ""),
                str(one.owner.get("stepName") or one.tags.get("step") or ""),
            )
            for one in versions
        ),
        frozenset({4}),
    )


def _models(session: Session, namespace: Namespace, type_: str, limit: int | None) -> None:
    """The models that have data: data come in the order of their models."""
    named = {one.model: one.name for one in definitions(session.settings)}
    rows: list[dict[str, Any]] = []
    for one in _typed(namespace.search_data(), type_):
        last = rows[-1] if rows else None
        if last is None or (last["modelType"], last["modelId"]) != (one.model.type, one.model.id):
            if len(rows) == limit:
                output.note("there are more: raise --limit")
                break
            last = {"modelType": one.model.type, "modelId": one.model.id, "modelName": named.get(one.model, "")}
            rows.append(last | {"items": 0, "size": 0, "newest": 0})
            last = rows[-1]
        last["modelName"] = last["modelName"] or one.tags.get("modelName", "")
        last["items"] += 1
        last["size"] += one.size
        last["newest"] = max(last["newest"], one.created)
    if session.json:
        for row in rows:
            row["newest"] = datum.when(row["newest"])
        output.document({"namespace": namespace.name, "models": rows, "total": len(rows)})
        return
    table = (
        (
            f"{row['modelType']}:{row['modelId']}",
            row["modelName"],
            f"{row['items']:,}",
            output.size(row["size"]),
            output.moment(row["newest"]),
        )
        for row in rows
    )
    if not datum.stream_table(("MODEL", "NAME", "DATA", "SIZE", "NEWEST"), table, frozenset({2, 3})):
        output.note(f"no data in namespace {namespace.name}; see: swamp data put --help")
