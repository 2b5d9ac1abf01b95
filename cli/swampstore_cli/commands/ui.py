"""``swamp datastore ui``: a page of the store's state over time, on this machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import BadConfig
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore_cli.stopping import StopSignals
    from swampstore_cli.watch.sample import Watched

app = new_app()


@command(
    app,
    "ui",
    examples="""
    swamp datastore ui
    swamp datastore ui --port 8600 --interval 5s --namespace ops
    swamp datastore ui --metrics /run/swamp/writers.prom
    """,
)
def ui(
    session: Session,
    port: Annotated[int, typer.Option("--port", metavar="N", help="The port; 0 takes a free one.")] = 0,
    interval: Annotated[str, typer.Option("--interval", metavar="SPAN", help="Between two looks at the store.")] = "2s",
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="FILE|URL",
            help="p99 of each phase, from what a writer publishes.",
            show_default=False,
        ),
    ] = "",
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Serve a page with plots of what swamp datastore status --watch shows, until Ctrl-C.

    Read-only, on the loopback address alone, for whoever has the address that is printed: it ends with a key. Nothing is
    loaded from anywhere else. With --json the address is printed as one JSON line.

    A look costs two requests for each namespace, however many browsers are open.
    """
    from swampstore_cli.stopping import StopSignals
    from swampstore_cli.watch.server import PageServer
    from swampstore_cli.watch.watching import interval_of, watched_of

    seconds = interval_of(interval)
    with session.opened() as opened, StopSignals() as stop:
        watched = watched_of(session, opened, metrics)
        try:
            server = PageServer(watched, opened.face.url, seconds, port)
        except (OSError, OverflowError) as error:
            raise BadConfig(
                f"port {port} cannot be used: {error}", hint="leave --port out, or name a free one"
            ) from None
        with server:
            threading.Thread(target=server.serve_forever, daemon=True, name="swamp-ui").start()
            if session.json:
                output.line(output.encoded({"address": server.address}))
            else:
                output.line(server.address)
                output.note("Ctrl-C stops")
            output.flush()
            if open_browser:
                import webbrowser

                webbrowser.open(server.address)
            _look_until(stop, watched, seconds)
            server.shutdown()


def _look_until(stop: StopSignals, watched: Sequence[Watched], seconds: float) -> None:
    from swampstore.env.blocking import run

    while True:
        for one in watched:
            one.look()
        if run(stop.wait(seconds)):
            return
