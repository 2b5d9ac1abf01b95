"""Data by the workflow run that made it: ``--workflow NAME`` and ``--run ID`` of the data commands.

A version says its run in its owner (``workflowName``, ``workflowRunId``); older ones say the workflow in a tag only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swampstore.errors import NotFound

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.values.data_version import DataVersion


def workflow_of(version: DataVersion) -> str:
    return str(version.owner.get("workflowName") or version.tags.get("workflow") or "")


def run_of(version: DataVersion) -> str:
    return str(version.owner.get("workflowRunId") or version.tags.get("workflowRunId") or "")


def made_by(namespace: Namespace, workflow: str, run: str) -> Iterator[DataVersion]:
    """The versions that ``run`` made, or else the workflow's latest run. Raises ``NotFound`` when there are none."""
    if not run:
        newest: DataVersion | None = None
        for version in namespace.search_data(latest_only=False):
            if workflow_of(version) == workflow and (newest is None or version.created > newest.created):
                newest = version
        if newest is None:
            raise NotFound(f"no data of a workflow {workflow!r} in namespace {namespace.name!r}")
        run = run_of(newest)
    some = False
    for version in namespace.search_data(latest_only=False):
        if run_of(version) == run and (not workflow or workflow_of(version) == workflow):
            some = True
            yield version
    if not some:
        raise NotFound(f"no data of a run {run!r} in namespace {namespace.name!r}")
