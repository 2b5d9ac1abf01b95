"""The deep examination looks for the contents of saved snapshots, which no entry of today may name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import swampstore
from swampstore.client.blocking import Namespace
from swampstore.errors import MissingObject
from swampstore.values.entry import Blob
from swampstore.workers.doctor import deep, deep_saved
from swampstore.workers.doctor.finding import Finding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store" / "ops"


@pytest.fixture
def ns(tmp_path: Path) -> Iterator[Namespace]:
    """A blob and a pack that only the saved snapshot names."""
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        namespace = store.namespace("ops")
        namespace.put("blob", b"x" * 400_000)
        namespace.put("inline", b"x")
        namespace.put_many({f"pack/{number}": bytes([number]) * 20_000 for number in range(5)})
        namespace.save("snap")
        namespace.delete("blob")
        for number in range(5):
            namespace.delete(f"pack/{number}")
        namespace.compact()
        yield namespace


def found(ns: Namespace) -> list[Finding]:
    return ns.doctor(deep=True, guards=False).findings


def one_in(folder: Path) -> Path:
    (path,) = folder.iterdir()
    path.chmod(0o600)
    return path


def test_a_whole_one(ns: Namespace) -> None:
    assert found(ns) == []


@pytest.mark.parametrize("kind", ["blob", "pack"])
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_contents_that_are_gone_or_cut(ns: Namespace, folder: Path, kind: str, how: str) -> None:
    path = one_in(folder / kind)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    (one,) = found(ns)
    assert (one.code, one.severity, one.name) == ("saved-damaged", "error", "ops/saved/snap")
    assert path.name in one.text
    assert ("is gone" if how == "gone" else "bytes and not") in one.text
    with pytest.raises(MissingObject):
        ns.restore("snap", dry_run=False)


def test_without_the_check_it_is_healthy(ns: Namespace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_in(folder / "blob").unlink()

    async def nothing(*_: object) -> list[Finding]:
        return []

    monkeypatch.setattr(deep, "check_saved_contents", nothing)
    assert found(ns) == []


def test_every_snapshot_that_needs_it_is_named(ns: Namespace, folder: Path) -> None:
    ns.restore("snap", dry_run=False)
    ns.save("again")
    ns.delete("blob")
    ns.compact()
    one_in(folder / "blob").unlink()
    assert [one.name for one in found(ns)] == ["ops/saved/again", "ops/saved/snap"]


def test_a_snapshot_deleted_meanwhile_is_not_told(ns: Namespace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ns.snapshot(saved="snap").get("blob")
    assert entry is not None
    assert isinstance(entry.meta.at, Blob)
    one_in(folder / "blob").unlink()
    plain = deep_saved._Saved._find

    async def deleting(self: object) -> None:
        await plain(self)  # type: ignore[arg-type]
        (folder / "saved" / "snap").unlink(missing_ok=True)

    monkeypatch.setattr(deep_saved._Saved, "_find", deleting)
    assert found(ns) == []
