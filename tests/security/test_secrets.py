"""Credentials and contents leave no trace: commands are run with marked ones, and everything that they print or write
is searched for the marks, whatever goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swampstore.errors import BadURL
from swampstore.stores.s3_faults import masked
from swampstore.stores.urls import parse_url
from tests.conftest import Bucket

SECRET, TOKEN, PASSWORD, CONTENTS = "mArKsEcReT0123456789", "mArKtOkEn0123456789", "mArKpAsSwOrD", b"mArKcOnTeNtS" * 600
MARKS = [SECRET.encode(), TOKEN.encode(), PASSWORD.encode(), CONTENTS[:12]]


class User:
    """A home and a repo; every command's output is kept."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.repo = home / "repo"
        (self.repo / ".git").mkdir(parents=True)
        (home / "outside").mkdir()
        self.said = b""
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home / "outside"),
            "AWS_ACCESS_KEY_ID": "AKIDMARKED",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    def swamp(self, *arguments: str, stdin: bytes = b"", **env: str) -> int:
        done = subprocess.run(
            [sys.executable, "-m", "swampstore_cli", *arguments],
            input=stdin, capture_output=True, cwd=self.repo, env=self.env | env, timeout=60, check=False,
        )  # fmt: skip
        self.said += done.stdout + done.stderr
        return done.returncode

    def traces(self, *, but: tuple[str, ...] = ()) -> list[str]:
        """Where a mark is found: in what was printed, in a file's name or in a file."""
        found = [f"printed: {mark!r}" for mark in MARKS if mark in self.said]
        for path in self.home.rglob("*"):
            rel = path.relative_to(self.home).as_posix()
            body = path.read_bytes() if path.is_file() and not rel.startswith(but) else b""
            found += [f"{rel}: {mark!r}" for mark in MARKS if mark in body or mark in rel.encode()]
        return found


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.mark.server
def test_a_day_with_a_bucket(user: User, moto_bucket: Bucket) -> None:
    endpoint = moto_bucket.server.endpoint
    assert user.swamp("datastore", "setup", "s3", moto_bucket.name, "--endpoint", endpoint, "--prefix", "team") == 0
    tree = user.repo / ".swamp"
    tree.mkdir(exist_ok=True)
    (tree / "large").write_bytes(CONTENTS)
    assert user.swamp("datastore", "sync") == 0
    assert user.swamp("object", "put", "small", "-", stdin=CONTENTS[:12]) in (0, 2)
    assert user.swamp("datastore", "doctor", "--deep") == 0
    user.swamp("object", "get", "nothing", SWAMP_DEBUG="1")
    user.swamp("object", "put", "bad//key", "-", stdin=CONTENTS)
    assert list((user.home / ".cache").rglob("proof-*"))
    assert not user.traces(but=("repo/.swamp/large",))


def test_a_bad_day(user: User) -> None:
    """Nobody answers, by proxy and by an endpoint of the environment; and URLs that hold what they must not."""
    nobody = "http://127.0.0.1:9"
    get = ("object", "get", "x", "--timeout", "0.3", "--store")
    calls = [
        ((*get, f"s3://bucket/p?endpoint={nobody}&region=eu"), {}),
        ((*get, "s3://bucket/p?region=eu"), {"AWS_ENDPOINT_URL": f"http://user:{PASSWORD}@127.0.0.1:9"}),
        (
            (*get, "s3://bucket/p?endpoint=http://nobody.invalid&region=eu"),
            {"HTTP_PROXY": f"http://user:{PASSWORD}@127.0.0.1:9", "NO_PROXY": ""},
        ),
    ]
    calls += [((*get, bad_urls()[0]), {})]
    calls += [(("object", "get", "x"), {"SWAMP_DATASTORE": bad_urls()[2]})]
    for arguments, env in calls:
        assert user.swamp(*arguments, SWAMP_DEBUG="1", **env) != 0
    assert user.swamp(*calls[1][0], **calls[1][1]) == 75
    assert user.said.count(b"***@") >= 2
    (user.repo / ".swamp.yaml").write_text(
        f"datastore:\n  type: s3\n  config:\n    bucket: team-bucket\n    secret_key: {PASSWORD}\n"
    )
    assert user.swamp("object", "get", "x") == 2
    assert not user.traces(but=("repo/.swamp.yaml",))


@pytest.mark.server
@pytest.mark.parametrize("day", ["short", pytest.param("long", marks=pytest.mark.prove)])
def test_a_day_of_pollers_metrics_and_copies(user: User, moto_bucket: Bucket, day: str) -> None:
    """The command that a poller runs needs the credentials, and says nothing; nor do metrics, spans, previews, reports."""
    endpoint = moto_bucket.server.endpoint
    assert user.swamp("datastore", "setup", "s3", moto_bucket.name, "--endpoint", endpoint, "--prefix", "team") == 0
    user.env |= {"SWAMPSTORE_METRICS": str(user.home / "outside" / "metrics.prom"), "SWAMPSTORE_OTEL": "1"}
    once = ("poll", "--every", "1h", "--jitter", "0s", "--count", "1", "--topic", "t", "--json")
    assert user.swamp(*once, "--", "sh", "-c", 'test -n "$AWS_SECRET_ACCESS_KEY"; echo $?; exit 3') == 0
    assert user.swamp("audit", "query", "t", "--json") == 0
    assert b'"exit": 3' in user.said or b'"exit":3' in user.said
    assert user.swamp(*once, "--", "/no/such/program") in (0, 1)
    if day == "long":
        copy, url = str(user.home / "copy"), moto_bucket.url("team")
        (user.repo / "file").write_bytes(CONTENTS)
        Path(copy).mkdir()
        for words in LONG_DAY:
            assert user.swamp(*(word.format(copy=copy, url=url) for word in words), SWAMP_DEBUG="1") == 0, user.said[
                -2000:
            ]
    assert (user.home / "outside" / "metrics.prom").exists()
    assert not user.traces(but=("repo/file", "copy", "old"))


LONG_DAY = [
    ("object", "put", "file", "file"), ("audit", "format", "parquet"), ("datastore", "compact"),
    ("audit", "sql", "select count(*) from audit"), ("datastore", "snapshot", "create", "now"),
    ("datastore", "snapshot", "restore", "now"), ("datastore", "status", "--queues", "--json"), ("datastore", "lock", "status"),
    ("data", "gc"), ("data", "prune"), ("run", "gc"), ("datastore", "migrate", "{url}", "{copy}"),
    ("datastore", "doctor", "--deep", "--json"),
]  # fmt: skip


def test_records_that_wait_know_no_password(user: User) -> None:
    """The endpoint of the environment holds one; what waits on this machine is the record, which is private."""
    endpoint = f"http://user:{PASSWORD}@127.0.0.1:9"
    put = ("audit", "append", "t", "-", "--store", "s3://bucket/p?region=eu", "--timeout", "0.3")
    user.env |= {"AWS_ENDPOINT_URL": endpoint, "SWAMPSTORE_METRICS": str(user.home / "outside" / "metrics.prom")}
    assert user.swamp(*put, stdin=b'{"a": 1}', SWAMP_DEBUG="1") == 76
    spooled = [path for path in user.home.rglob("*") if path.suffix == ".rec" or path.name == "spool.json"]
    assert len(spooled) == 2
    assert {path.stat().st_mode & 0o777 for path in spooled} == {0o600}
    for words in (("audit", "drain"), ("audit", "drain", "--show"), ("datastore", "status")):
        assert user.swamp(*words, "--store", "s3://bucket/p?region=eu", "--timeout", "0.3", SWAMP_DEBUG="1") != 0
    assert not user.traces()


def bad_urls() -> list[str]:
    return [
        f"s3://user:{PASSWORD}@bucket/p", f"s3://bucket/p?endpoint=http://user:{PASSWORD}@host",
        f"s3://bucket/p?endpoint=user:{PASSWORD}@host:9000", f"s3://bucket/p?secret_key={PASSWORD}",
        f"s3://bucket/p?endpoint=http://host/?key={PASSWORD}", f"file://user:{PASSWORD}@host/x",
        f"https://user:{PASSWORD}@host/bucket", f"sftp://user:{PASSWORD}@host/x",
        's3:{"bucket": "user:' + PASSWORD + '@b"}', 's3:{"bucket": "bucket", "secret": "' + PASSWORD + '"',
        's3:{"bucket": "bucket", "secret": "' + PASSWORD + '"}',
    ]  # fmt: skip


@pytest.mark.parametrize("url", bad_urls())
def test_what_is_refused_is_not_repeated(url: str) -> None:
    with pytest.raises(BadURL) as caught:
        parse_url(url)
    assert PASSWORD not in str(caught.value) + caught.value.hint


def test_urls_in_messages_are_masked() -> None:
    assert (
        masked("cannot reach http://user:pw@host:9/x and 'https://a@b/'")
        == "cannot reach http://***@host:9/x and 'https://***@b/'"
    )
    assert masked("s3://bucket/a@b") == "s3://bucket/a@b"


def test_the_search_finds_what_is_there(user: User) -> None:
    """The canary: a mark in a file, in a name and in what was printed."""
    (user.home / "outside" / f"a{SECRET}").write_bytes(b"x" + CONTENTS[:12])
    user.said = b"told " + PASSWORD.encode()
    assert len(user.traces()) == 3
