"""``swamp datastore doctor``: findings, exit codes, repairs shown before they are done."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import swampstore
from swampstore.stores.local import LocalStore
from tests.cli.conftest import Swamp


@pytest.fixture
def filled(store: Path) -> Path:
    """A namespace with a shard, a large content and a log."""
    with swampstore.open(f"file://{store}?lanes=off") as opened:
        ns = opened.namespace("ops")
        ns.put_many({f"k{number:03}": b"x" * 100 for number in range(50)})
        ns.put("large", b"y" * 300_000)
        ns.compact()
        ns.put("late", b"1")
    return store / "ops"


def test_a_healthy_store(swamp: Swamp, filled: Path) -> None:
    done = swamp("datastore", "doctor")
    assert done.code == 0, done.err
    assert "ops: healthy; looked at 1 run, 3 segments in" in done.out
    deep = swamp("datastore", "doctor", "--deep", "--namespace", "ops", "--json").document
    (one,) = deep["namespaces"]
    assert (one["errors"], one["findings"], one["deep"]) == (0, [], True)
    assert one["counts"]["checked_contents"] == 52
    assert "52 contents (305.0 kB)" in swamp("datastore", "doctor", "--deep").out


def test_an_error_is_told_with_what_to_do_and_exit_1(swamp: Swamp, filled: Path) -> None:
    (blob,) = (filled / "blob").iterdir()
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"z")
    assert swamp("datastore", "doctor").code == 0
    done = swamp("datastore", "doctor", "--deep")
    assert done.code == 1
    assert "ops: 1 error" in done.out
    assert f"error   content-damaged ops/blob/{blob.name}" in done.out
    assert "-> restore it from a backup" in done.out
    shown = swamp("datastore", "doctor", "--deep", "--json")
    assert shown.code == 1
    (finding,) = shown.document["namespaces"][0]["findings"]
    assert set(finding) == {"code", "severity", "name", "text", "hint", "repair"}


def test_a_lost_root_is_shown_planned_and_repaired(swamp: Swamp, filled: Path) -> None:
    (filled / "root").unlink()
    assert swamp("object", "get", "k001", "--namespace", "ops").code == 1
    done = swamp("datastore", "doctor")
    assert done.code == 1
    assert "root-lost" in done.out
    plan = swamp("datastore", "doctor", "--namespace", "ops", "--repair")
    assert plan.code == 0
    assert "not brought back: index entries that had been folded and waited in the root" in plan.out
    assert (
        "nothing was changed; to do it: swamp datastore doctor --namespace ops --repair --yes --accept-loss" in plan.out
    )
    assert not (filled / "root").exists()
    refused = swamp("datastore", "doctor", "--namespace", "ops", "--repair", "--yes", "--alone")
    assert refused.code == 2
    assert "--accept-loss" in refused.err
    assert not (filled / "root").exists()
    command = ("datastore", "doctor", "--namespace", "ops", "--repair", "--yes", "--accept-loss", "--alone")
    done = swamp(*command, "--json")
    assert done.code == 0, done.out + done.err
    assert [step["code"] for step in done.document["repairs"][0]["steps"]] == ["root"]
    assert done.document["namespaces"][0]["errors"] == 0
    listed = swamp("object", "list", "--namespace", "ops", "--json").document
    assert len(listed["entries"] if isinstance(listed, dict) else listed) == 52
    assert "nothing to repair" in swamp(*command).out


def test_a_removed_shard_is_damage_with_a_way_on(swamp: Swamp, filled: Path) -> None:
    (shard,) = (filled / "shard").iterdir()
    shard.unlink()
    done = swamp("object", "get", "k001", "--meta", "--namespace", "ops", "--json")
    assert done.code == 1
    assert done.error["code"] == "missing-object"
    assert "doctor --deep" in done.error["hint"]
    assert "run-missing" in swamp("datastore", "doctor").out


def test_a_missing_namespace_is_said(swamp: Swamp, filled: Path) -> None:
    done = swamp("datastore", "doctor", "--namespace", "osp")
    assert done.code == 1
    assert "no namespace 'osp'" in done.err
    assert "it holds no namespace yet" in swamp("datastore", "doctor", "--store", filled / "log").out


@pytest.mark.parametrize(
    "flags", [("--yes",), ("--accept-loss",), ("--alone",), ("--sample", "5"), ("--deep", "--sample", "-1")]
)
def test_flags_that_make_no_sense(swamp: Swamp, filled: Path, flags: tuple[str, ...]) -> None:
    assert swamp("datastore", "doctor", *flags).code == 2
    assert filled.exists()


def test_one_damaged_namespace_does_not_hide_the_others(swamp: Swamp, filled: Path, store: Path) -> None:
    with swampstore.open(f"file://{store}?lanes=off") as opened:
        opened.namespace("other").put("a", b"1")
    root = filled / "root"
    root.chmod(0o600)
    root.write_bytes(b"junk")
    done = swamp("datastore", "doctor", "--json")
    assert done.code == 1
    assert {one["namespace"]: one["errors"] for one in done.document["namespaces"]} == {"ops": 1, "other": 0}


def test_what_killed_processes_left_in_a_store_without_a_namespace(
    store: Path, swamp: Swamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, proof = store / ".tmp" / f"999999999-{'0' * 16}.part", store / ".swamp-probe" / ("0" * 32)
    young = proof.with_name("1" * 32)
    for path in (half, proof, young):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1" * 17)
    assert swamp("datastore", "doctor", "--json").document["beside"] == {"findings": [], "steps": []}
    monkeypatch.setattr(LocalStore.clean_temp, "__defaults__", (-1.0,))  # as if it were a day old
    os.utime(proof, (time.time() - 90_000,) * 2)
    found = swamp("datastore", "doctor", "--json").document["beside"]["findings"]
    assert [(one["code"], one["name"]) for one in found] == [
        ("temp-files", ""),
        ("proof-left", f".swamp-probe/{proof.name}"),
    ]
    plan = swamp("datastore", "doctor", "--repair")
    assert "proof-left" in plan.out
    assert "nothing was changed" in plan.out
    assert half.exists()
    assert proof.exists()
    done = swamp("datastore", "doctor", "--repair", "--yes", "--json").document["beside"]
    assert [step["code"] for step in done["steps"] if step["done"]] == ["temp-files", "proof-left"]
    assert done["findings"] == []
    assert (half.exists(), proof.exists(), young.exists()) == (False, False, True)


def test_a_namespace_tells_what_is_left_of_proofs(filled: Path, swamp: Swamp) -> None:
    proof = filled.parent / ".swamp-probe" / ("0" * 32)
    proof.parent.mkdir(exist_ok=True)
    proof.write_bytes(b"1" * 17)
    os.utime(proof, (time.time() - 90_000,) * 2)
    assert "proof-left" in swamp("datastore", "doctor", "--no-guards").out
    swamp("datastore", "doctor", "--namespace", "ops", "--repair", "--yes", "--alone")
    assert not proof.exists()
