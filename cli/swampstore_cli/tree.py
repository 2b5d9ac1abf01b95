"""The command tree: every command's name, one line of help, and the module it lives in."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli.lazy import Lazy, LazyGroup

_HERE = "swampstore_cli.commands."

TREE = {
    "datastore": Lazy(
        "Set up, sync, compact and look after a store.",
        below={
            "setup": Lazy(
                "Name the store of a repo, after proving that it is fit for use.",
                below={
                    "filesystem": Lazy("A store in a local directory.", _HERE + "setup_filesystem"),
                    "s3": Lazy("A store in an S3 bucket.", _HERE + "setup_s3"),
                },
            ),
            "status": Lazy("Show sizes, log depth and the compactor of each namespace.", _HERE + "status"),
            "ui": Lazy("Serve a page with plots of the store's state, on this machine.", _HERE + "ui"),
            "doctor": Lazy("Say what is wrong with a namespace, mend what can be mended.", _HERE + "doctor"),
            "sync": Lazy("Make a repo's .swamp/ folder and the namespace alike, both ways.", _HERE + "sync"),
            "hydrate": Lazy("Bring contents here that a sync left in the namespace.", _HERE + "hydrate"),
            "compact": Lazy("Fold the log into the manifest, once or for ever.", _HERE + "compact"),
            "import": Lazy("Take over a datastore in the legacy layout.", _HERE + "import_legacy"),
            "snapshot": Lazy(
                "Keep what a namespace holds, look into it, go back to it.",
                below={
                    "create": Lazy("Keep what the namespace holds now.", _HERE + "snapshot_create"),
                    "list": Lazy("List the saved snapshots.", _HERE + "snapshot_list"),
                    "restore": Lazy("Go back to a snapshot, after a preview.", _HERE + "snapshot_restore"),
                    "delete": Lazy("Delete a snapshot.", _HERE + "snapshot_delete"),
                },
            ),
            "migrate": Lazy("Copy namespaces from one store to another.", _HERE + "migrate"),
            "export": Lazy("Write a namespace out in the legacy layout.", _HERE + "export"),
            "namespace": Lazy(
                "List namespaces, delete one.",
                below={
                    "list": Lazy("Names of the namespaces in the store.", _HERE + "namespace_list"),
                    "delete": Lazy("Delete a namespace, after a preview.", _HERE + "namespace_delete"),
                },
            ),
            "lock": Lazy(
                "See who holds a lock, pass a holder over.",
                below={
                    "status": Lazy("Show who holds and who waits for locks.", _HERE + "lock_status"),
                    "release": Lazy("Pass a lock's holder over by force.", _HERE + "lock_release"),
                },
            ),
            "queue": Lazy(
                "See queues, change their capacity.",
                below={
                    "list": Lazy("Names and lengths of the queues and locks.", _HERE + "queue_list"),
                    "show": Lazy("Show who holds and who waits in a queue.", _HERE + "queue_show"),
                    "set-capacity": Lazy("Say how many may run at once.", _HERE + "queue_capacity"),
                },
            ),
        },
    ),
    "object": Lazy(
        "Put, get, list, change and delete plain keys.",
        below={
            "put": Lazy("Store a file, or what comes in, under a key.", _HERE + "object_put"),
            "get": Lazy("Write out what is stored under a key.", _HERE + "object_get"),
            "list": Lazy("List keys in order.", _HERE + "object_list"),
            "delete": Lazy("Delete keys.", _HERE + "object_delete"),
            "update": Lazy("Change what is stored under a key by a command.", _HERE + "object_update"),
        },
    ),
    "data": Lazy(
        "Put, get, find and delete the versioned data of models.",
        below={
            "put": Lazy("Store a file, or what comes in, as a new version.", _HERE + "data_put"),
            "get": Lazy("Write out a version, or show what is known of it.", _HERE + "data_get"),
            "list": Lazy("List the data of a model, or the models.", _HERE + "data_list"),
            "versions": Lazy("List every version of a datum.", _HERE + "data_versions"),
            "search": Lazy("Find data by name, tag, age and more.", _HERE + "data_search"),
            "delete": Lazy("Delete versions, after a preview.", _HERE + "data_delete"),
            "rename": Lazy("Give a datum another name.", _HERE + "data_rename"),
            "gc": Lazy("Delete what has expired or is no longer kept, after a preview.", _HERE + "data_gc"),
            "prune": Lazy("Delete data of models that are gone, give back space.", _HERE + "data_prune"),
        },
        words="""\
A datum is named by its model, as TYPE:ID (or a name or id that is known), and
a name. Every put makes a new version of it. A version has an id at once, and
gets its number (v1, v2 ...) when the log is folded next; until then it is
shown as pending, and is the latest all the same.

\b
A minute with data:
  swamp data put aws/ec2:web-1 state state.json --keep 10
  swamp data get aws/ec2:web-1 state
  swamp data versions aws/ec2:web-1 state
  swamp data search --tag type=resource --since 1d
  swamp data gc --dry-run""",
    ),
    "run": Lazy(
        "Look after the records of workflow runs.",
        below={"gc": Lazy("Delete old records of runs, after a preview.", _HERE + "run_gc")},
    ),
    "stream": Lazy(
        "Append to ordered streams of records, read and follow them.",
        below={
            "append": Lazy("Append records, if the stream is still as you saw it.", _HERE + "stream_append"),
            "tail": Lazy("Print the position after the last record.", _HERE + "stream_tail"),
            "read": Lazy("Print records in order, and those to come.", _HERE + "stream_read"),
        },
    ),
    "audit": Lazy(
        "Write audit records, find them again, query them with SQL.",
        below={
            "append": Lazy("Write a record; it is never lost silently.", _HERE + "audit_append"),
            "query": Lazy("Print records by time and by what is in them.", _HERE + "audit_query"),
            "tail": Lazy("Print the newest records, and those to come.", _HERE + "audit_tail"),
            "topics": Lazy("List the topics.", _HERE + "audit_topics"),
            "drain": Lazy("Deliver what waits on this machine.", _HERE + "audit_drain"),
            "export": Lazy("Write records into a file.", _HERE + "audit_export"),
            "sql": Lazy("Ask DuckDB about all records.", _HERE + "audit_sql"),
            "format": Lazy("Show or change what the archives are.", _HERE + "audit_format"),
        },
    ),
    "bench": Lazy(
        "Measure the store you have, and see where time goes.",
        below={
            "burst": Lazy("Many appends at the same moment.", _HERE + "bench_burst"),
            "append": Lazy("One append after the other.", _HERE + "bench_append"),
            "sync": Lazy("Syncs of a tree with new files.", _HERE + "bench_sync"),
            "fold": Lazy("Folds of the log.", _HERE + "bench_fold"),
            "read": Lazy("Reads of single keys.", _HERE + "bench_read"),
            "rmw": Lazy("Updates of counters.", _HERE + "bench_rmw"),
        },
    ),
    "poll": Lazy("Run a command on a schedule, keep what it says.", _HERE + "poll"),
}


class _Root(LazyGroup):
    table = TREE


app = typer.Typer(
    cls=_Root,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="""\b
A minute with swamp:
  swamp object put notes/a.txt README.md
  swamp object get notes/a.txt
  swamp datastore setup s3 my-bucket --prefix team
  swamp datastore sync
  swamp datastore compact --watch

\b
Environment (flags win over it, it wins over .swamp.yaml):
  SWAMP_DATASTORE   the store, as --store
  SWAMP_NAMESPACE   the namespace, as --namespace
  SWAMP_REPO_DIR    the repo, as --repo-dir
  SWAMP_TIMEOUT     seconds, as --timeout
  SWAMP_SPOOL_DIR   where audit records wait while the store is away
  SWAMP_DEBUG=1     show the traceback of an error

\b
Exit codes:
  0 ok, 1 error, 2 wrong usage, 3 conflict, 75 try again (no answer, or a deadline),
  76 audit records wait on this machine, 130 interrupted""",
)


def _version(wanted: bool) -> None:
    if wanted:
        from swampstore.version import __version__

        typer.echo(f"swamp {__version__}")
        raise typer.Exit(0)


@app.callback()
def swamp(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A datastore for processes that share one S3 bucket or one directory.

    Writers append to a log without any lock, a compactor folds it behind them, readers see every acknowledged write.
    """
