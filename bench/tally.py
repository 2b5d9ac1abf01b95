"""A TCP forwarder on loopback that counts the HTTP requests that pass it, whoever sends them.

Requests are told by their request lines (which no body of these benchmarks holds), so it counts what any client of any
library asks, retries included.
"""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_REQUEST = re.compile(rb"(GET|PUT|POST|DELETE|HEAD) /[^ \r\n]* HTTP/1\.1\r\n")
_PIECE = 1 << 16
_LONGEST = 4096
"""A request line that is split over two pieces is found as long as it is no longer than this."""


class Tally:
    """Forwards to ``server_port`` and counts. ``port`` is where clients connect; :meth:`taken` answers and forgets."""

    def __init__(self, server_port: int) -> None:
        self._server = server_port
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def taken(self) -> dict[str, int]:
        """Requests by method since the last call."""
        with self._lock:
            found, self._counts = self._counts, {}
        return found

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, count: bool) -> None:
        held = b""
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                if count:
                    held = self._count(held + piece)
                target.sendall(piece)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _count(self, data: bytes) -> bytes:
        """Count the request lines of ``data``; what may still be the beginning of one."""
        end = 0
        for found in _REQUEST.finditer(data):
            end = found.end()
            method = found[1].decode()
            with self._lock:
                self._counts[method] = self._counts.get(method, 0) + 1
        return data[max(end, len(data) - _LONGEST) :]
