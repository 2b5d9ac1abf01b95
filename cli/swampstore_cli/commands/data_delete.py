"""``swamp data delete``: one version, a datum, or many data of a model, after a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse, NotFound
from swampstore_cli import confirm, datum, output
from swampstore_cli.deleting import delete_all
from swampstore_cli.model_ref import HELP, Found, find_model
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.values.data_version import DataVersion

_SHOWN = 20

app = new_app()


@command(
    app,
    "delete",
    examples="""
    swamp data delete aws/ec2:web-1 state              (only shows what would go)
    swamp data delete aws/ec2:web-1 state --yes
    swamp data delete web-1 state --version 3 --yes
    swamp data delete web-1 --prefix tmp- --dry-run
    """,
)
def delete(
    session: Session,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=HELP, show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The data name, such as state.", show_default=False)] = "",
    version: Annotated[
        str, typer.Option("--version", metavar="V", help="Only this one: a number or an id.", show_default=False)
    ] = "",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help="All names that begin so.", show_default=False)
    ] = "",
    all_: Annotated[bool, typer.Option("--all", help="All data of the model.")] = False,
    dry_run: confirm.DRY_RUN = False,
    yes: confirm.YES = False,
) -> None:
    """Delete the datum NAME of MODEL with all its versions, or with --version one version of it.

    Shows what would go first, and deletes only with --yes, or when a person at a terminal says yes. The space is given
    back by the next compactions, when nobody can be reading it any more.
    """
    confirm.check(yes=yes, dry_run=dry_run)
    if sum((bool(name), bool(prefix), all_)) != 1:
        raise Misuse("one of NAME, --prefix and --all says what to delete", hint="see: swamp data list MODEL")
    if version and not name:
        raise Misuse("--version goes with NAME")
    with session.namespace(one_shot=bool(name)) as namespace:
        found = find_model(session.settings, namespace, model)
        doomed = _doomed(namespace, found, name, version, prefix)
        count, size = len(doomed), sum(one.size for one in doomed)
        names = sorted({one.name for one in doomed})
        if not session.json:
            _preview(doomed, names)
            if not yes:
                output.line(f"would delete {_told(found, names, count, size, version)}")
        done = confirm.confirmed(
            f"delete {output.count(count, 'version')}?", yes=yes, dry_run=dry_run, json=session.json
        )
        if done:
            wanted = [(found.model, one) for one in names]
            gone = delete_all(namespace, wanted, doomed[0].id if version else None)
            count, size = gone.versions, gone.bytes
    if session.json:
        output.document(
            {
                "modelId": found.model.id,
                "modelName": found.name,
                "modelType": found.model.type,
                "namespace": namespace.name,
                "dataName": name or None,
                "dataNames": names,
                "versions": [one.ordinal if one.ordinal is not None else one.id for one in doomed],
                "versionsDeleted": count,
                "bytesReclaimed": size,
                "dryRun": not done,
            }
        )
    elif done:
        output.line(f"deleted {_told(found, names, count, size, version)}")


def _doomed(namespace: Namespace, found: Found, name: str, version: str, prefix: str) -> list[DataVersion]:
    """The versions to go. Raises ``NotFound``."""
    if name:
        there = list(namespace.data(found.model, name).versions())
        where = f"data {name!r} of model {found} in namespace {namespace.name!r}"
    else:
        there = [
            one for one in namespace.search_data(model=found.model, latest_only=False) if one.name.startswith(prefix)
        ]
        named = f" {prefix + '...'!r}" if prefix else ""
        where = f"data{named} of model {found} in namespace {namespace.name!r}"
    if not there:
        raise NotFound(f"no {where}", hint="see: swamp data list MODEL")
    if not version:
        return there
    chosen = datum.wanted(version)
    one = there[:1] if chosen == datum.LATEST else [one for one in there if chosen in (one.ordinal, one.id)]
    if not one:
        raise NotFound(f"no version {version} of {where}", hint=f"there are {datum.shown_versions(there)}")
    return one


def _told(found: Found, names: list[str], count: int, size: int, version: str) -> str:
    data = output.printable(names[0]) if len(names) == 1 else output.count(len(names), "datum", "data")
    which = "" if version else "all of "
    return f"{output.count(count, 'version')} ({output.size(size)}): {which}{data} of {output.printable(str(found))}"


def _preview(doomed: list[DataVersion], names: list[str]) -> None:
    rows = (
        (one.name, datum.shown_version(one), output.size(one.size), datum.age(one), datum.note(one))
        for one in doomed[:_SHOWN]
    )
    datum.stream_table(("NAME", "VERSION", "SIZE", "AGE", ""), rows, frozenset({2, 3}), indent="  ")
    if doomed[_SHOWN:]:
        output.line(f"  ... and {len(doomed) - _SHOWN:,} more in {output.count(len(names), 'datum', 'data')}")
