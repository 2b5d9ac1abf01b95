"""``swamp data search``: data of all models by what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import datum, output
from swampstore_cli.commands.object_put import pairs
from swampstore_cli.model_ref import find_model
from swampstore_cli.moments import moment_ms
from swampstore_cli.options import command, new_app
from swampstore_cli.provenance import run_of, workflow_of
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.values.data_version import DataVersion

LIMIT = 50
_COLUMNS = ("MODEL", "NAME", "VERSION", "TYPE", "CONTENT TYPE", "SIZE", "AGE", "")
_NUMBERS = frozenset({5, 6})

app = new_app()


@command(
    app,
    "search",
    examples="""
    swamp data search
    swamp data search vpc --since 7d
    swamp data search --model web-1 --type resource --json
    swamp data search --tag env=prod --tag team=platform --limit 500
    swamp data search --name 'subnet-*' --all-versions
    """,
)
def search(
    session: Session,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Text in a name, model, tag or type.", show_default=False)
    ] = "",
    type_: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="The tag type: resource, file ...", show_default=False)
    ] = "",
    name: Annotated[
        str, typer.Option("--name", metavar="GLOB", help="The data name, such as 'subnet-*'.", show_default=False)
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="TYPE:ID, a name or an id.", show_default=False)
    ] = "",
    model_type: Annotated[
        str, typer.Option("--model-type", metavar="TYPE", help="Models of this type.", show_default=False)
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="Has this tag; repeatable: all of them.")
    ] = None,
    lifetime: Annotated[
        str, typer.Option("--lifetime", metavar="TEXT", help="Such as infinite, 30d, job.", show_default=False)
    ] = "",
    owner_type: Annotated[
        str, typer.Option("--owner-type", metavar="TYPE", help="Such as model-method, manual.", show_default=False)
    ] = "",
    workflow: Annotated[
        str, typer.Option("--workflow", metavar="NAME", help="Made by this workflow.", show_default=False)
    ] = "",
    run: Annotated[
        str, typer.Option("--run", metavar="ID", help="Made by this workflow run.", show_default=False)
    ] = "",
    output_id: Annotated[
        str, typer.Option("--output", metavar="ID", help="Made for this model output.", show_default=False)
    ] = "",
    content_type: Annotated[
        str, typer.Option("--content-type", metavar="TYPE", help="Of this media type.", show_default=False)
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Not older: 2h, 7d, or a time.", show_default=False)
    ] = "",
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="Not newer: 2h, 7d, or a time.", show_default=False)
    ] = "",
    streaming: Annotated[bool, typer.Option("--streaming", help="Only what is written line by line.")] = False,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Not only the latest version of each.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many; 0: all.")] = LIMIT,
) -> None:
    """Find data by what is known of them; everything that is said must hold.

    Looks at the latest version of each datum, also one whose number is still pending. Without any condition it lists all
    there are. Results come in the order of models and names.
    """
    if limit < 0:
        raise Misuse(f"--limit {limit} makes no sense", hint="0 is without limit")
    tags = pairs(tag, "tag", "env=prod")
    tests: list[Callable[[DataVersion], bool]] = []
    if query:
        tests.append(_mentions(query.casefold()))
    if type_:
        tests.append(lambda one: datum.kind(one) == type_)
    if owner_type:
        tests.append(lambda one: one.owner.get("ownerType") == owner_type)
    if workflow:
        tests.append(lambda one: workflow_of(one) == workflow)
    if run:
        tests.append(lambda one: run_of(one) == run)
    if output_id:
        tests.append(lambda one: output_id in (one.owner.get("outputId"), one.tags.get("outputId")))
    if streaming:
        tests.append(lambda one: one.streaming)
    with session.opened() as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        opened.existing(namespace.name)
        results = datum.Cut(
            (
                one
                for one in namespace.search_data(
                    model=find_model(session.settings, namespace, model).model if model else None,
                    model_type=model_type or None,
                    name=name or None,
                    tags=tags,
                    lifetime=lifetime or None,
                    content_type=content_type or None,
                    since=moment_ms(since, "--since") if since else None,
                    until=moment_ms(until, "--until") if until else None,
                    latest_only=not all_versions,
                )
                if (all_versions or not datum.is_forward(one)) and all(test(one) for test in tests)
            ),
            limit or None,
        )
        if session.json:
            datum.print_found(results, {"query": query, "namespace": namespace.name})
        elif not datum.stream_table(_COLUMNS, (_row(one) for one in results), _NUMBERS):
            output.note(f"nothing found in namespace {namespace.name}")
        elif results.more:
            output.note(f"the first {limit:,}; there are more: raise --limit")


def _mentions(text: str) -> Callable[[DataVersion], bool]:
    def mentioned(one: DataVersion) -> bool:
        said = (one.name, one.model.type, one.model.id, one.content_type, *one.tags, *one.tags.values())
        return any(text in part.casefold() for part in said)

    return mentioned


def _row(one: DataVersion) -> tuple[str, ...]:
    return (
        datum.model_name(one),
        one.name,
        datum.shown_version(one),
        datum.kind(one),
        one.content_type,
        output.size(one.size),
        datum.age(one),
        datum.note(one),
    )
