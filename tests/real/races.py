"""Races on a server that are decided on the server: many requests are released on their last byte at once.

Each racer has a socket of its own; its request is signed and sent beforehand, all but the last byte. Then one loop sends
the last bytes, within a fraction of a millisecond. Threads that each send a whole request arrive one after the other, too
far apart to show a server that looks first and writes later.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.servers import AWS_ENVIRONMENT, S3Server

RACERS = 32
SETTLE_S = 0.05
ANSWER_S = 60.0
BODY_BYTES = 4 << 10


class Race(NamedTuple):
    """What came of a race: the statuses, who was told that they had won, and whose bytes stand there in the end."""

    statuses: Counter[int]
    told: tuple[int, ...]
    stands: int

    @property
    def winners(self) -> set[int]:
        """Everybody who has won: who was told so, and who is there though nobody told them."""
        return {*self.told, self.stands}


def signed(endpoint: str, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as it goes over the wire, signed with the keys of the environment."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    known = AWS_ENVIRONMENT | os.environ
    keys = Credentials(known["AWS_ACCESS_KEY_ID"], known["AWS_SECRET_ACCESS_KEY"])
    request = AWSRequest(method, f"{endpoint}{path}", dict(headers), body)
    request.context["client_config"] = None
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
    sent = {
        "Host": urlsplit(endpoint).netloc,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **request.headers,
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def burst(endpoints: Sequence[str], requests: Sequence[bytes]) -> list[int]:
    """Release all requests at once, in turn to each of ``endpoints``; the status of each (0: no answer)."""
    with contextlib.ExitStack() as stack:
        lines: list[socket.socket] = []
        for number, request in enumerate(requests):
            place = urlsplit(endpoints[number % len(endpoints)])
            line = stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=ANSWER_S))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.sendall(request[:-1])
            lines.append(line)
        time.sleep(SETTLE_S)  # until the server has read what there is
        for line, request in zip(lines, requests, strict=True):
            line.send(request[-1:])
        return _statuses(lines)


def _statuses(lines: Sequence[socket.socket]) -> list[int]:
    answers = [b""] * len(lines)
    ends = time.monotonic() + ANSWER_S
    with selectors.DefaultSelector() as selector:
        for number, line in enumerate(lines):
            selector.register(line, selectors.EVENT_READ, number)
        while selector.get_map() and time.monotonic() < ends:
            for key, _ in selector.select(1.0):
                line: Any = key.fileobj
                try:
                    found = line.recv(1 << 16)
                except OSError:
                    found = b""
                answers[key.data] += found
                if not found:
                    selector.unregister(line)
    return [int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0 for answer in answers]


def create_race(
    server: S3Server,
    bucket: str,
    key: str,
    racers: int = RACERS,
    endpoints: Sequence[str] = (),
) -> Race:
    """All create one new object, at the server or in turn at ``endpoints`` of it."""
    return _race(server, bucket, key, {"If-None-Match": "*"}, racers, endpoints)


def replace_race(
    server: S3Server,
    bucket: str,
    key: str,
    racers: int = RACERS,
    endpoints: Sequence[str] = (),
) -> Race:
    """All replace one version of an object."""
    etag = server.client.put_object(Bucket=bucket, Key=key, Body=b"first")["ETag"].strip('"')
    return _race(server, bucket, key, {"If-Match": etag}, racers, endpoints)


def _race(
    server: S3Server,
    bucket: str,
    key: str,
    condition: Mapping[str, str],
    racers: int,
    endpoints: Sequence[str],
) -> Race:
    places = list(endpoints) or [server.endpoint]
    bodies = [b"%04d" % number * (BODY_BYTES // 4) for number in range(racers)]
    requests = [
        signed(places[number % len(places)], "PUT", f"/{bucket}/{key}", condition, body)
        for number, body in enumerate(bodies)
    ]
    statuses = burst(places, requests)
    stands = server.client.get_object(Bucket=bucket, Key=key)["Body"].read()
    told = tuple(number for number, status in enumerate(statuses) if status == 200)
    return Race(Counter(statuses), told, bodies.index(stands) if stands in bodies else -1)
