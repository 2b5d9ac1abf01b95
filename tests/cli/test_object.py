"""``swamp object``: put, get, list, delete."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import swampstore
from swampstore.limits import PART_BYTES
from swampstore_cli import whole_file
from swampstore_cli.session import Opened
from tests.cli.conftest import Swamp

pytestmark = pytest.mark.usefixtures("store")


def test_a_file_comes_back_as_it_was(swamp: Swamp, repo: Path) -> None:
    body = bytes(range(256)) * 40
    (repo / "f").write_bytes(body)
    assert swamp("object", "put", "a/b", "f").out == "put a/b (10.2 kB) in namespace default\n"
    done = swamp("object", "get", "a/b", "--output", "g")
    assert done.out == "wrote 10.2 kB to g\n"
    assert (repo / "g").read_bytes() == body
    assert sorted(os.listdir(repo)) == [".git", "f", "g"]


@pytest.mark.parametrize("file", [[], ["-"]])
def test_standard_input_to_standard_output(process: Swamp, file: list[str]) -> None:
    assert process("object", "put", "k", *file, stdin=b"\x00hello\n").code == 0
    done = process("object", "get", "k")
    assert (done.code, done.out, done.err) == (0, "\x00hello\n", "")


def test_large_input_goes_through_a_temporary_file(swamp: Swamp, repo: Path, store: Path) -> None:
    body = os.urandom(1 << 20) * (PART_BYTES // (1 << 20)) + b"tail"
    assert swamp("object", "put", "big", stdin=body).code == 0
    (repo / "same").write_bytes(body)
    assert swamp("object", "put", "file", "same", "--json").document["size"] == len(body)
    for key in ("big", "file"):
        assert swamp("object", "get", key, "--output", "out", "--json").document["size"] == len(body)
        assert (repo / "out").read_bytes() == body


def test_a_pipe_is_read_to_its_end(swamp: Swamp, repo: Path) -> None:
    os.mkfifo(repo / "pipe")
    writer = threading.Thread(target=lambda: (repo / "pipe").write_bytes(b"x" * 100))
    writer.start()
    assert swamp("object", "put", "k", "pipe", "--json").document["size"] == 100
    writer.join()


def test_labels_are_kept(swamp: Swamp) -> None:
    labels = ("--content-type", "text/plain", "--tag", "type=note", "--tag", "by=me=you", "--expires-in", "30d")
    put = swamp("object", "put", "k", *labels, "--json", stdin=b"hi").document
    assert put["durable"] is True
    found = swamp("object", "get", "k", "--meta", "--json").document
    assert found["version"] == put["version"]
    assert (found["contentType"], found["tags"]) == ("text/plain", {"type": "note", "by": "me=you"})
    assert found["expires"] - found["created"] == pytest.approx(30 * 86_400_000, abs=60_000)
    assert "tags:" in swamp("object", "get", "k", "--meta").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("put", "../x"),
        ("put", "a//b"),
        ("put", "k", "--tag", "x"),
        ("put", "k", "--tag", "=x"),
        ("put", "k", "--expires-in", "soon"),
        ("put", "k", "--expires-in", "0d"),
        ("put", "k", "--expires-in", "-1d"),
        ("put", "k", "--timeout", "0"),
        ("get", "k", "--json"),
        ("get", "/k"),
        ("list", "--limit", "0"),
        ("list", "--limit", "few"),
        ("delete",),
        ("put",),
        ("put", "k", "--unknown"),
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(swamp: Swamp, store: Path, arguments: tuple[str, ...]) -> None:
    done = swamp("object", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(("error: ", '{"error": '))
    assert "hint" in done.err
    assert not (store / "default").exists()


def test_a_missing_key_is_an_error_with_a_hint(swamp: Swamp) -> None:
    for more in ((), ("--meta",), ("--output", "f")):
        done = swamp("object", "get", "nope", *more)
        assert (done.code, done.out) == (1, "")
        assert "error: no entry 'nope' in namespace 'default'\nhint: " in done.err
    assert not Path("f").exists()
    assert swamp("object", "get", "nope", "--meta", "--json").error["code"] == "not-found"


def test_a_missing_file_is_an_error(swamp: Swamp) -> None:
    done = swamp("object", "put", "k", "no-such-file")
    assert (done.code, done.err) == (1, "error: no-such-file: No such file or directory\n")
    assert swamp("object", "put", "k", ".").code == 1


@pytest.fixture
def filled(store: Path) -> list[str]:
    keys = [f"{folder}/{number:02d}" for folder in ("a", "b") for number in range(5)] + ["top"]
    with swampstore.open(str(store)) as opened:
        opened.namespace("default").put_many(dict.fromkeys(keys, b"x" * 1234))
    return keys


def test_listing(swamp: Swamp, filled: list[str]) -> None:
    assert swamp("object", "list").out.split() == filled
    assert swamp("object", "list", "b/").out.split() == filled[5:10]
    assert swamp("object", "list", "--start-after", "b/02").out.split() == ["b/03", "b/04", "top"]
    assert swamp("object", "list", "--delimiter", "/").out.split() == ["a/", "b/", "top"]
    assert "1.2 kB" in swamp("object", "list", "--long", "top").out
    assert swamp("object", "list", "none/").out == ""


def test_a_limited_listing_says_that_there_is_more(swamp: Swamp, filled: list[str]) -> None:
    cut = swamp("object", "list", "--limit", "3")
    assert cut.out.split() == filled[:3]
    assert "more" in cut.err
    assert swamp("object", "list", "--limit", "11").err == ""
    assert swamp("object", "list", "--limit", "2", "--delimiter", "/").out.split() == ["a/", "b/"]


@pytest.mark.parametrize(
    ("arguments", "keys", "prefixes", "more"),
    [((), 11, [], False), (("--limit", "3"), 3, [], True), (("--delimiter", "/"), 1, ["a/", "b/"], False)],
)
def test_a_listing_as_json_is_one_document(
    swamp: Swamp, filled: list[str], arguments: tuple[str, ...], keys: int, prefixes: list[str], more: bool
) -> None:
    done = swamp("object", "list", "--json", *arguments)
    found = json.loads(done.out)
    assert [entry["key"] for entry in found["entries"]] == [key for key in filled if prefixes == [] or "/" not in key][
        :keys
    ]
    assert (found["prefixes"], found["more"], done.err) == (prefixes, more, "")


def test_deleting_is_one_append(swamp: Swamp, filled: list[str]) -> None:
    done = swamp("object", "delete", "a/00", "top", "never/there", "--json").document
    assert (done["deleted"], done["absent"]) == (["a/00", "top"], ["never/there"])
    assert swamp("object", "list").out.split() == [key for key in filled if key not in ("a/00", "top")]
    assert swamp("object", "delete", "a/01").out == "deleted 1 key in namespace default\n"
    done = swamp("object", "delete", "a/01", "a/02", "a/02")
    assert (done.code, done.out) == (0, "deleted 1 key in namespace default (1 key not there)\n")
    assert swamp("object", "delete", "a/01", "--json").document == {
        "deleted": [],
        "absent": ["a/01"],
        "namespace": "default",
        **dict.fromkeys(["lane", "slot", "durable"]),
    }


@pytest.mark.parametrize(
    "arguments",
    [
        "object list",
        "object list --delimiter /",
        "object list --json",
        "object delete a/00",
        "datastore compact",
        "datastore status",
    ],
)
def test_a_namespace_that_does_not_exist_is_said_and_not_made(
    swamp: Swamp, filled: list[str], store: Path, arguments: str
) -> None:
    done = swamp(*arguments.split(), "--namespace", "defualt")
    assert (done.code, done.out) == (1, "")
    assert "no namespace 'defualt'" in done.err
    assert "there are: default" in done.err or arguments == "datastore status"
    assert not (store / "defualt").exists()
    assert swamp(*arguments.split()).code == 0


def test_without_that_look_a_slip_would_pass_in_silence(
    swamp: Swamp, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Opened, "existing", lambda _self, name: name)
    done = swamp("object", "list", "--namespace", "defualt")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_name_of_standard_output_is_written_through(process: Swamp, repo: Path, name: str) -> None:
    """Where the shell has sent standard output into a file, that very file gets the bytes, behind what it holds."""
    process("object", "put", "k", stdin=b"contents")
    with open("log", "wb") as log:
        log.write(b"before,")
    node = os.stat("log").st_ino
    line = [sys.executable, "-m", "swampstore_cli", "object", "get", "k", "-o", name]
    with open("log", "ab") as log:
        done = subprocess.run(line, stdout=log, stderr=subprocess.PIPE, timeout=60, check=True)
    assert (repo / "log").read_bytes() == b"before,contents"
    assert os.stat("log").st_ino == node
    assert b"wrote 8 B" in done.stderr


@pytest.mark.parametrize("guarded", [True, False])
def test_a_descriptors_file_is_not_replaced(
    swamp: Swamp, repo: Path, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """... as it would be if the name of a descriptor were followed like a link."""
    swamp("object", "put", "k", stdin=b"contents")
    if not guarded:
        monkeypatch.setattr(whole_file, "_DESCRIPTOR", re.compile("(?!)"))
    with open("log", "wb") as log:
        node = os.fstat(log.fileno()).st_ino
        assert swamp("object", "get", "k", "-o", f"/dev/fd/{log.fileno()}").code == 0
    assert (repo / "log").read_bytes() == b"contents"
    assert (os.stat("log").st_ino == node) is guarded


def test_a_pipe_is_written_through_and_a_folder_refused(swamp: Swamp, repo: Path) -> None:
    swamp("object", "put", "k", stdin=b"contents")
    os.mkfifo("pipe")
    taken: list[bytes] = []
    reader = threading.Thread(target=lambda: taken.append((repo / "pipe").read_bytes()))
    reader.start()
    assert swamp("object", "get", "k", "-o", "pipe").code == 0
    reader.join()
    assert taken == [b"contents"]
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    os.mkdir("folder")
    assert swamp("object", "get", "k", "-o", "folder").code == 2


def test_json_without_a_place_for_the_contents_says_what_to_add(swamp: Swamp) -> None:
    swamp("object", "put", "k", stdin=b"contents")
    done = swamp("object", "get", "k", "--json")
    assert "--meta" in done.error["hint"]
    assert "--output" in done.error["hint"]


def test_namespaces_are_apart(swamp: Swamp) -> None:
    swamp("object", "put", "k", "--namespace", "one", stdin=b"1")
    swamp("object", "put", "k", "--namespace", "two", stdin=b"2")
    assert swamp("object", "get", "k", "--namespace", "one").out == "1"
    assert swamp("object", "list").out == ""


def test_keys_that_would_drive_a_terminal_are_escaped(swamp: Swamp) -> None:
    swamp("object", "put", "a\x1b[2Jb", stdin=b"x")
    assert swamp("object", "list").out == "a\\x1b[2Jb\n"
    assert swamp("object", "list", "--json").document["entries"][0]["key"] == "a\x1b[2Jb"


def test_a_damaged_content_leaves_no_file(swamp: Swamp, store: Path, repo: Path) -> None:
    swamp("object", "put", "k", stdin=os.urandom(500_000))
    (blob,) = (store / "default" / "blob").iterdir()
    blob.chmod(0o600)
    blob.write_bytes(os.urandom(500_000))
    done = swamp("object", "get", "k", "--output", "out", "--json")
    assert done.code == 1
    assert done.error["code"] == "corrupt-object"
    assert os.listdir(repo) == [".git"]
