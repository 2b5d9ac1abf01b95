"""What ``swamp datastore setup`` does for every kind of store: prove, write down, say what next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swampstore.errors import Conflict, Misuse
from swampstore_cli import output
from swampstore_cli.config import FILE_NAME, KEYS, parse_section, read_document
from swampstore_cli.config_file import with_section, write_file
from swampstore_cli.session import Session

_OF_THE_STORE = ("type", "path", "config")


def set_up(session: Session, url: str, store: Mapping[str, Any], *, force: bool) -> None:
    """Make ``store`` (the keys for ``.swamp.yaml``) the repo's one, after proving that ``url`` is fit for use.

    Raises ``Conflict`` when the file names another store and ``force`` is not given, and what proving raises.
    """
    if session.flags.store is not None:
        raise Misuse("setup names the store itself", hint="leave out --store")
    file = session.settings.repo / FILE_NAME
    text = file.read_text("utf-8") if file.exists() else ""
    old = _old_keys(text)
    named = {key: old[key] for key in _OF_THE_STORE if key in old}
    if named and named != dict(store) and not force:
        raise Conflict(f"{file} names another store already", hint="replace it with --force; the old store is kept")
    kept = {key: value for key, value in old.items() if key not in _OF_THE_STORE}
    if session.named is not None:
        kept["namespace"] = session.named
    new = with_section(text, {**store, **kept})
    parse_section(new, file)
    where = _prove(session, url)
    if new != text:
        write_file(file, new)
    namespace = session.named or kept.get("namespace") or session.settings.namespace
    if session.json:
        output.document({"store": where, "namespace": namespace, "file": str(file), "changed": new != text})
        return
    output.line(f"{where} enforces conditional writes: it is fit for use")
    output.line(f"{'wrote' if new != text else 'unchanged:'} {file} (namespace {namespace})")
    output.line("next: swamp datastore sync, or swamp datastore status")


def _old_keys(text: str) -> dict[str, Any]:
    """The section as it stands, with any faults it has; only an unreadable file is refused (by parsing the new one)."""
    import yaml

    try:
        _, section = read_document(text)
    except (yaml.YAMLError, ValueError):
        return {}
    return {key: value for key, value in section.items() if key in KEYS} if isinstance(section, dict) else {}


def _prove(session: Session, url: str) -> str:
    """Open the store, making a missing directory, and try both forbidden writes; its URL."""
    from swampstore.client.blocking import finish
    from swampstore.stores.probe import cache_proof, prove_preconditions

    with session.opened(url=url, create=True) as opened:
        proof = finish(prove_preconditions(opened.core.bare, opened.env))
        cache_proof(opened.core.url, proof, opened.env)
        return opened.core.url
