"""Which store a URL names, and what is said about one that names none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import BadURL, StoreMissing
from swampstore.stores.base import Create
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.stores.open import open_store
from swampstore.stores.s3_choice import S3Store
from swampstore.stores.s3_options import S3Options
from swampstore.stores.urls import LocalPlace, MemoryPlace, parse_url

HERE = os.path.abspath(".")
HOME = os.path.expanduser("~")
GOOD = {
    "/data/team": LocalPlace("/data/team"),
    "/data/../team/": LocalPlace("/team"),
    "team": LocalPlace(f"{HERE}/team"),
    "./a b/c#d?e": LocalPlace(f"{HERE}/a b/c#d?e"),
    "~/team": LocalPlace(f"{HOME}/team"),
    "file:///data/a%20b%3Fc": LocalPlace("/data/a b?c"),
    "FILE://localhost/data": LocalPlace("/data"),
    "file:///data?durability=durable&lanes=auto": LocalPlace("/data"),
    "file:///data?durability=buffered": LocalPlace("/data", buffered=True),
    "file:///a%3Fb?lanes=off": LocalPlace("/a?b", lanes=False),
    "file:///data?lanes=on&durability=buffered": LocalPlace("/data", buffered=True, lanes=True),
    "filesystem:/data/team": LocalPlace("/data/team"),
    "filesystem:~/team": LocalPlace(f"{HOME}/team"),
    "memory://tests-1.a_b": MemoryPlace("tests-1.a_b"),
    "s3://bucket": S3Options(bucket="bucket"),
    "s3://bucket/": S3Options(bucket="bucket"),
    "s3://my.bucket/team/a%20b/": S3Options(bucket="my.bucket", prefix="team/a b"),
    "s3://bucket/p?endpoint=http://127.0.0.1:9000/&region=eu-1&path_style=no&profile=me": S3Options(
        bucket="bucket", prefix="p", endpoint="http://127.0.0.1:9000", region="eu-1", path_style=False, profile="me"
    ),
    "s3://bucket?sse=AES256&storage_class=STANDARD_IA": S3Options(
        bucket="bucket", sse="AES256", storage_class="STANDARD_IA"
    ),
    "s3://bucket?driver=botocore": S3Options(bucket="bucket", driver="botocore"),
    "s3://bucket?kms_key=arn:aws:kms:x": S3Options(bucket="bucket", sse="aws:kms", kms_key="arn:aws:kms:x"),
    's3:{"bucket": "bucket"}': S3Options(bucket="bucket"),
    's3:{"bucket": "bucket", "prefix": "a/b", "region": null, "forcePathStyle": true, "endpoint": "https://h:1"}': (
        S3Options(bucket="bucket", prefix="a/b", path_style=True, endpoint="https://h:1")
    ),
}
BAD = [
    "team?durability=buffered", "/data/team?lanes=off", "filesystem:/data?x=1&lanes=on",
    "", "  ", "a\0b", "http://host/x", "gs://bucket", "file:data", "file://host/data", "file:///data?x=1",
    "file:///data?durability=none", "file:///data?lanes=1", "file:///data?lanes", "file:///data?lanes=on&lanes=off",
    "filesystem:", "filesystem://data", "memory:", "memory://", "memory:///a", "memory://a/b", "memory://-a",
    "s3:", "s3://", "s3:bucket", "s3:///prefix", "s3://ab", "s3://b_cket!/x", "s3://bucket:80/x", "s3://bucket/a//b",
    "s3://bucket/../b", "s3://bucket/x#y", "s3://bucket?regoin=x", "s3://bucket?region=", "s3://bucket?region",
    "s3://bucket?region=a&region=b", "s3://bucket?bucket=other", "s3://bucket?prefix=p", "s3://bucket?path_style=maybe",
    "s3://bucket?endpoint=host:9000", "s3://bucket?endpoint=ftp://host", "s3://bucket?endpoint=http://h:x",
    "s3://bucket?sse=md5", "s3://bucket?sse=AES256&kms_key=k", "s3://bucket?storage_class=cold",
    "s3://bucket?driver=slow",
    "/x/st\udcff", "file:///st\udcff", "memory://\udcff", "s3://bucket/\udcff", "file:///st%FF", "s3://bucket/%FF",
    "s3:{", "s3:{}", 's3:{"bucket": 1}', 's3:{"bucket": "bucket", "prefix": 1}', 's3:{"bucket": "bucket", "x": "y"}',
    's3:{"bucket": "bucket", "path_style": true, "forcePathStyle": true}', 's3:{"bucket": "bucket", "region": 1}',
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_good(url: str) -> None:
    assert parse_url(url) == GOOD[url]


@pytest.mark.parametrize("url", BAD)
def test_bad(url: str) -> None:
    with pytest.raises(BadURL):
        parse_url(url)


def test_a_path_object_is_a_path_whatever_it_looks_like() -> None:
    assert parse_url(Path("s3:bucket")) == LocalPlace(f"{HERE}/s3:bucket")


def test_a_folder_whose_name_is_no_text_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.fsencode(tmp_path) + b"/st\xff"
    os.mkdir(folder)
    (tmp_path / "link").symlink_to(os.fsdecode(folder))
    monkeypatch.chdir(folder)
    for path in (tmp_path / "link", "here"):
        with pytest.raises(BadURL, match="UTF-8"):
            open_store(path, env=BlockingEnv(), create=True)


@pytest.mark.parametrize("url", ["s3://AKIA:hush@bucket/x", "s3://bucket?endpoint=http://u:hush@host"])
def test_credentials_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadURL) as caught:
        parse_url(url)
    assert "hush" not in f"{caught.value} {caught.value.hint}"
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


@pytest.mark.parametrize("url", [url for url, place in GOOD.items() if isinstance(place, S3Options)])
def test_the_url_of_a_store_names_the_same_place(url: str) -> None:
    place = parse_url(url)
    assert isinstance(place, S3Options)
    again = parse_url(S3Store(place, asynchronous=False).url)
    assert isinstance(again, S3Options)
    assert (again.bucket, again.prefix, again.endpoint) == (place.bucket, place.prefix, place.endpoint)


def test_no_single_wait_is_longer_than_half_the_deadline() -> None:
    place = S3Options(bucket="bucket")
    assert (place.bounded(30).read_seconds, place.bounded(30).connect_seconds) == (30, 5)
    assert (place.bounded(2).read_seconds, place.bounded(2).connect_seconds) == (2, 2)
    for asynchronous in (False, True):
        store: Any = open_store("s3://bucket", env=BlockingEnv(), asynchronous=asynchronous, timeout=6)
        assert store._options.read_seconds == 3


def test_open_chooses_the_driver(tmp_path: Path) -> None:
    env = BlockingEnv()
    assert isinstance(open_store("s3://bucket", env=env), S3Store)
    assert isinstance(open_store("s3://bucket", env=env, asynchronous=True), S3Store)
    assert isinstance(open_store(tmp_path, env=env, asynchronous=True), LocalStore)
    shared = open_store("memory://test-open", env=env)
    assert isinstance(shared, MemoryStore)
    assert open_store("memory://test-open", env=env) is shared


def test_options_win_over_the_url() -> None:
    store = open_store("s3://bucket/p?endpoint=http://a:1&region=x", env=BlockingEnv(), endpoint="http://b:2", sse=None)
    assert store.url == "s3://bucket/p?endpoint=http://b:2"
    with pytest.raises(BadURL, match="regoin"):
        open_store("s3://bucket", env=BlockingEnv(), regoin="x")


def test_s3_options_are_refused_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(BadURL, match="region"):
        open_store(tmp_path, env=BlockingEnv(), region="x")


def test_a_missing_directory(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/not%20yet/there"
    with pytest.raises(StoreMissing):
        open_store(url, env=BlockingEnv())
    assert not list(tmp_path.iterdir())
    store = open_store(url, env=BlockingEnv(), create=True)
    run(store.put("a", b"1", Create()))
    assert (tmp_path / "not yet" / "there" / "a").read_bytes() == b"1"
    with pytest.raises(BadURL, match="is a file"):
        open_store(tmp_path / "not yet" / "there" / "a", env=BlockingEnv())


def test_no_client_library_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; from swampstore.stores.open import open_store; from swampstore.env.blocking import BlockingEnv\n"
        f"open_store({str(tmp_path)!r}, env=BlockingEnv()); open_store('s3://bucket', env=BlockingEnv())\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('boto3', 'botocore', 'aiobotocore', 'aiohttp')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
