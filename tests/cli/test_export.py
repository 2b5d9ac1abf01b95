"""``swamp datastore export``, and back again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from swampstore.testing.legacy_tree import Shape, make_tree
from tests.cli.conftest import Swamp
from tests.cli.test_endings import interrupted
from tests.conftest import Bucket
from tests.servers import AWS_ENVIRONMENT


@pytest.fixture
def filled(swamp: Swamp, store: Path) -> Swamp:
    swamp("object", "put", "outputs/a", stdin=b"one")
    swamp("object", "put", "outputs/b", stdin=b"two" * 10_000)
    swamp("data", "put", "aws/ec2:web", "state", stdin=b"v1")
    swamp("data", "put", "aws/ec2:web", "state", stdin=b"v2")
    return swamp


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("index", ["v1", "v2"])
def test_a_whole_namespace(filled: Swamp, user: Path, index: str) -> None:
    out = user / "out"
    done = filled("datastore", "export", out, "--index", index)
    assert done.code == 0
    assert done.out.startswith(f"exported 7 files of namespace default to file://{out}\n")
    found = files(out)
    assert found["outputs/a"] == b"one"
    assert found["data/aws/ec2/web/state/latest"] == b"2"
    again = filled("datastore", "export", out, "--index", index, "--json").document
    assert (again["written"], again["kept"], again["resumed"]) == (0, 7, True)
    back = filled("datastore", "import", out, "--copy")
    assert back.code == 0


def test_a_legacy_namespace(swamp: Swamp, user: Path, store: Path) -> None:
    made = make_tree(user / "legacy", Shape(namespace="ops"))
    assert swamp("datastore", "import", made.out, "--namespace", "ops", "--copy").code == 0
    assert swamp("datastore", "export", user / "out", "--namespace", "ops").code == 0
    live = {rel: body for rel, body in files(user / "out" / "ops").items() if "/latest" not in rel and "/.s" not in rel}
    mark = (".swamp-export.json", ".datastore-index.json", ".namespace.json")
    assert all((made.base / rel).read_bytes() == body for rel, body in live.items() if rel not in mark)
    assert json.loads((user / "out" / "ops" / ".namespace.json").read_text())["namespace"] == "ops"


def test_a_part(filled: Swamp, user: Path) -> None:
    assert filled("datastore", "export", user / "a", "--prefix", "outputs/", "--json").document["entries"] == 2
    model = filled("datastore", "export", user / "b", "--model", "aws/ec2:web", "--json").document
    assert (model["entries"], model["latest"]) == (5, 1)
    assert filled("datastore", "export", user / "b", "--model", "aws/ec2:web", "--prefix", "x").code == 2


def test_refusals(filled: Swamp, user: Path) -> None:
    done = filled("datastore", "export", user / "home" / "x", "--namespace", "none", "--json")
    assert done.error["code"] == "not-found"
    (user / "full").mkdir()
    (user / "full" / "file").write_bytes(b"")
    done = filled("datastore", "export", user / "full", "--json")
    assert (done.code, done.error["code"]) == (3, "conflict")
    assert "--force" in done.error["hint"]
    assert filled("datastore", "export", user / "y", "--index", "v9").code == 2


@pytest.mark.parametrize("after", [3, 6])
def test_interrupted_it_says_how_to_go_on(filled: Swamp, user: Path, after: int) -> None:
    out = user / "out"
    ended = interrupted("get", after, "datastore", "export", out, number=signal.SIGINT)
    assert ended.returncode == 130
    assert "run it again" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (out / ".datastore-index.json").exists()
    assert filled("datastore", "export", out).code == 0
    assert len(files(out)) == 7 + 2
    assert not [name for name in files(out) if "tmp" in name]


def test_to_a_bucket(filled: Swamp, user: Path, moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    url = moto_bucket.url("old")
    done = filled("datastore", "export", url, "--namespace", "default", "--index", "v2", "--json").document
    assert (done["entries"], done["written"]) == (7, 7)
    client, name = moto_bucket.server.client, moto_bucket.name
    keys = {item["Key"] for item in client.list_objects_v2(Bucket=name)["Contents"]}
    assert {"old/default/_index/_meta.json", "old/default/.namespace.json", "old/default/outputs/b"} <= keys
    again = filled("datastore", "export", url, "--namespace", "default", "--index", "v2", "--json").document
    assert (again["written"], again["kept"]) == (0, 7)
