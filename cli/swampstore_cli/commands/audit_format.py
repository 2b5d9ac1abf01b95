"""``swamp audit format``: what the archives of audit records are."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "format",
    examples="""
    swamp audit format
    swamp audit format parquet
    swamp audit format blocks
    """,
)
def format_(
    session: Session,
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="blocks or parquet.", show_default=False)] = "",
) -> None:
    """Show, or with FORMAT change, what the archives of audit records in the namespace are.

    blocks, the default, is the library's own format. Parquet is read in place by DuckDB, pandas, Polars, Spark and Trino; the
    compactor and the readers then need the extra: pip install 'swampstore[parquet]'. It holds for archives to come, and for
    small ones that are rewritten with them.
    """
    from swampstore.values.audit_parquet import available

    with session.namespace() as namespace:
        found = namespace.set_audit_format(form) if form else namespace.status().audit_format
    if found == "parquet" and not available():
        output.note(
            "pyarrow is not installed here; who compacts and who reads needs it: pip install 'swampstore[parquet]'"
        )
    if session.json:
        output.document({"namespace": namespace.name, "format": found})
    else:
        output.line(found)
