"""``swamp data rename``: another name for a datum; the old one leads to it."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.model_ref import HELP, find_model
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "rename",
    examples="""
    swamp data rename aws/ec2:web-1 state machine-state
    """,
)
def rename(
    session: Session,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=HELP, show_default=False)],
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name it has.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A name that nothing has.", show_default=False)],
) -> None:
    """Give the datum OLD of MODEL the name NEW.

    Its latest version becomes the first one of NEW, and OLD leads there from now on. The older versions stay readable
    under OLD by their numbers. A program that goes on writing under OLD ends the forwarding: tell it the new name.
    """
    with session.namespace(one_shot=True) as namespace:
        found = find_model(session.settings, namespace, model)
        namespace.data(found.model, old).rename(new)
    if session.json:
        output.document(
            {
                "modelId": found.model.id,
                "modelName": found.name,
                "modelType": found.model.type,
                "namespace": namespace.name,
                "oldName": old,
                "newName": new,
            }
        )
        return
    output.line(f"renamed {output.printable(old)} to {output.printable(new)} of {output.printable(str(found))}")
    output.line(f"{output.printable(old)} leads there now; what writes under the old name ends that")
