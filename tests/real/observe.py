"""What each S3 server says to the requests that matter here, as it was seen; the reference page is made of it.

    python -m tests.real.observe moto ceph       looks at these servers and keeps what is seen (default: all there are)
    python -m tests.real.observe --page          writes the page anew from what is kept

The tests look at the servers again and compare.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import quote, urlsplit

from tests.real.careless import CARELESS, careless_server
from tests.real.ceph import ceph, missing
from tests.real.races import Race, create_race, replace_race, signed
from tests.servers import AWS_ENVIRONMENT, EMULATOR, ROOT, S3Server, emulator_server, moto_server

KEPT = Path(__file__).with_name("observed.json")
PAGE = ROOT / "docs" / "reference" / "s3-servers.md"
MARKS = ("<!-- seen: made by tests/real/observe.py -->", "<!-- end of what was seen -->")
BUCKET = "observed"
SERVERS = ("moto", "emulator", "ceph", *CARELESS)
ROUNDS = 2


class Told(NamedTuple):
    """An answer: its status, its headers in lower case, its body."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(server: S3Server, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", cut: int = 0) -> Told:
    """One request on a connection of its own; without the last ``cut`` bytes."""
    place = urlsplit(server.endpoint)
    raw = signed(server.endpoint, method, path, headers, body)
    with socket.create_connection((place.hostname, place.port), timeout=10) as line:
        line.sendall(raw[: len(raw) - cut])
        if cut:
            line.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while found := line.recv(1 << 16):
                answer += found
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    told = {name.lower(): text.strip() for name, _, text in (one.partition(":") for one in lines)}
    return Told(int(first.split(" ")[1]) if " " in first else 0, told, rest)


def observe(server: S3Server) -> dict[str, Any]:
    """Everything, on a bucket of its own."""
    server.client.create_bucket(Bucket=BUCKET)
    return {name: look(server) for name, look in LOOKS.items()}


def _put(server: S3Server, key: str, headers: Mapping[str, str], body: bytes = b"2") -> int:
    return ask(server, "PUT", f"/{BUCKET}/{key}", headers, body).status


def _fresh(server: S3Server, key: str) -> str:
    etag: str = server.client.put_object(Bucket=BUCKET, Key=key, Body=b"1")["ETag"].strip('"')
    return etag


def _create_again(server: S3Server) -> int:
    _fresh(server, "again")
    return _put(server, "again", {"If-None-Match": "*"})


def _replace(form: str) -> Callable[[S3Server], int]:
    return lambda server: _put(server, "replaced", {"If-Match": form.format(_fresh(server, "replaced"))})


def _stale(server: S3Server) -> int:
    old = _fresh(server, "stale")
    server.client.put_object(Bucket=BUCKET, Key="stale", Body=b"newer")
    return _put(server, "stale", {"If-Match": old})


def _missing(server: S3Server) -> int:
    return _put(server, "never", {"If-Match": "0" * 32})


def _unchanged(form: str) -> Callable[[S3Server], int]:
    def look(server: S3Server) -> int:
        return ask(server, "GET", f"/{BUCKET}/same", {"If-None-Match": form.format(_fresh(server, "same"))}).status

    return look


def _delete(server: S3Server) -> str:
    _fresh(server, "deleted")
    told = ask(server, "DELETE", f"/{BUCKET}/deleted", {"If-Match": f'"{"0" * 32}"'})
    there = ask(server, "GET", f"/{BUCKET}/deleted", {}).status == 200
    return f"{told.status}, {'kept' if there else 'deleted'}"


def _in_parts(server: S3Server, key: str, headers: Mapping[str, str]) -> Told:
    upload = server.client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    etag = server.client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    words = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    return ask(server, "POST", f"/{BUCKET}/{key}?uploadId={quote(upload, safe='')}", headers, words.encode())


def _parts_create(server: S3Server) -> int:
    _fresh(server, "parts")
    return _in_parts(server, "parts", {"If-None-Match": "*"}).status


def _parts_etag(server: S3Server) -> str:
    told = _in_parts(server, "parts-etag", {}).body.partition(b"<ETag>")[2].partition(b"<")[0]
    return "told" if told else "empty"


def _clock(server: S3Server) -> str:
    return "told" if "date" in ask(server, "HEAD", f"/{BUCKET}", {}).headers else "missing"


def _cut(server: S3Server) -> str:
    ask(server, "PUT", f"/{BUCKET}/cut", {}, b"x" * 1000, cut=500)
    return "kept" if ask(server, "GET", f"/{BUCKET}/cut", {}).status == 200 else "dropped"


def _race(run: Callable[[S3Server, str, str], Race]) -> Callable[[S3Server], dict[str, Any]]:
    def look(server: S3Server) -> dict[str, Any]:
        races = [run(server, BUCKET, f"{run.__name__}-{number}") for number in range(ROUNDS)]
        losers = {status for race in races for status in race.statuses if status != 200}
        return {"one wins": all(len(race.winners) == 1 for race in races), "losers": sorted(losers)}

    return look


LOOKS: dict[str, Callable[[S3Server], Any]] = {
    "create of what is there": _create_again,
    'replace, `If-Match: "etag"`': _replace('"{}"'),
    "replace, `If-Match: etag`": _replace("{}"),
    "replace of another version": _stale,
    "replace of what is not there": _missing,
    "32 creates at once": _race(create_race),
    "32 replaces at once": _race(replace_race),
    'unchanged, `If-None-Match: "etag"`': _unchanged('"{}"'),
    "unchanged, `If-None-Match: etag`": _unchanged("{}"),
    "delete with another's `If-Match`": _delete,
    "upload in parts as a create of what is there": _parts_create,
    "ETag of an upload in parts": _parts_etag,
    "clock (`Date`)": _clock,
    "upload that breaks off": _cut,
}


def agrees(seen: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """In which things a server has changed. Of a race, losers may be told less than all that was seen."""

    def differs(now: Any, then: Any) -> bool:
        if not isinstance(now, dict) or not isinstance(then, dict):
            return bool(now != then)
        return now["one wins"] != then["one wins"] or not set(now["losers"]) <= set(then["losers"])

    return [f"{name}: {seen[name]}, was {kept.get(name)}" for name in LOOKS if differs(seen[name], kept.get(name))]


# --- servers and page -------------------------------------------------------------------------------------------------


def absent(name: str) -> str:
    """Why a server cannot be looked at here; nothing if it can."""
    if name == "ceph":
        return missing()
    return CARELESS[name].missing if name in CARELESS else ""


@contextlib.contextmanager
def running(name: str, scratch: Path) -> Iterator[tuple[S3Server, str]]:
    """A fresh server and its version, with its keys in the environment."""
    with contextlib.ExitStack() as stack:
        if name == "ceph":
            cluster = stack.enter_context(ceph(scratch, gateways=1))
            found = cluster.gateways[0], f"Ceph RGW {cluster.version()}"
        elif name in CARELESS:
            access, secret = CARELESS[name].keys
            stack.enter_context(patch.dict(os.environ, {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}))
            found = stack.enter_context(careless_server(name, scratch)), f"{name} {CARELESS[name].told_version()}"
        elif name == "moto":
            found = stack.enter_context(moto_server(scratch)), f"moto {version('moto')}, behind a lock"
        else:
            found = stack.enter_context(emulator_server(scratch)), EMULATOR.replace("==", " ")
        yield found


def table(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """Things by servers, in Markdown."""
    names = [name for name in SERVERS if name in kept]
    lines = ["| | " + " | ".join(kept[name]["version"] for name in names) + " |", "|---|" + "---|" * len(names)]
    rows = [[thing, *(_said(kept[name]["seen"][thing]) for name in names)] for thing in LOOKS]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _said(seen: Any) -> str:
    if not isinstance(seen, dict):
        return str(seen)
    losers = ", ".join(map(str, seen["losers"]))
    return ("one wins" if seen["one wins"] else "**many win**") + (f", losers {losers}" if losers else "")


def page(text: str, kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with the table of what is kept."""
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    return f"{before}{MARKS[0]}\n\n{table(kept)}\n\n{MARKS[1]}{after}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", choices=[*SERVERS, []], default=[])
    parser.add_argument("--page", action="store_true", help="write the page from what is kept")
    chosen = parser.parse_args()
    os.environ.update(AWS_ENVIRONMENT)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name in chosen.servers or ([] if chosen.page else SERVERS):
        if why := absent(name):
            print(f"{name}: {why}", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as scratch, running(name, Path(scratch)) as (server, told):
            kept[name] = {"version": told, "seen": observe(server)}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    if chosen.page:
        PAGE.write_text(page(PAGE.read_text("utf-8"), kept), "utf-8")
    else:
        print(table(kept))


if __name__ == "__main__":
    main()
