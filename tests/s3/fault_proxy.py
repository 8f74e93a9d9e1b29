"""A proxy in front of the real S3 server: loses, cuts, damages and refuses answers on demand."""

import http.client
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, TypeVar
from urllib.parse import urlsplit

Refusal = Literal[
    "SlowDown", "ExpiredToken", "ConditionalRequestConflict", "PreconditionFailed", "AccessDenied"
]
Fault = Literal["lose", "cut", "flip"] | Refusal
_STATUS = {
    "SlowDown": 503,
    "ExpiredToken": 400,
    "ConditionalRequestConflict": 409,
    "PreconditionFailed": 412,
    "AccessDenied": 403,
}


Proxy = TypeVar("Proxy", bound="FaultProxy")


class FaultProxy(ThreadingHTTPServer):
    """Forwards everything but the planned faults, each of which meets one request of its method.

    None lets one through. lose: the request arrives, the answer does not. cut: the second half of
    the answer is missing. flip: its last byte is another. Others: the server refuses with this.
    """

    daemon_threads = True

    def __init__(self, target: str, handler: type[BaseHTTPRequestHandler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Forward)
        self.target = str(urlsplit(target).netloc)
        self.plan: deque[tuple[str, Fault | None]] = deque()
        self.seen: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


def proxied(target: str) -> AbstractContextManager[FaultProxy]:
    return running(FaultProxy(target))


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    with proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


class Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def do_GET(self) -> None:
        self.forward()

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815  (names that http.server calls)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.command)
        plan = self.server.plan
        fault = plan.popleft()[1] if plan and plan[0][0] == self.command else None
        if fault in _STATUS:
            self.refuse(fault)
            return
        status, headers, answer = self._ask(body)
        if fault == "lose":
            self.close_connection = True
            return
        if fault == "flip":
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        if fault == "cut":
            self.close_connection = True
            answer = answer[: len(answer) // 2]
        if self.command != "HEAD":
            self.wfile.write(answer)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()

    def refuse(self, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>on demand</Message></Error>".encode()
        self.send_response(_STATUS[code])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
