"""A scripted proxy in front of a real MLflow server: it hurts the requests it was told to, and counts what it did.

Faults by name: `slow` waits before forwarding; `429`, `500`, `503`, `400`, `403` answer so themselves; `drop` closes
the connection before forwarding; `lost` forwards, then closes it, so that what was asked for is done and nobody told;
`half` forwards and sends half of the answer.
"""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Fault:
    """Hurt the next `times` requests whose method and path hold this text, as in "POST /api/2.0/mlflow/runs/create"."""

    path: str
    kind: str
    times: int = 1
    seconds: float = 0.0
    after: int = 0  # so many of them pass unhurt before


@dataclass
class Proxy:
    """What is to be done to whom, and what was."""

    server: str
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    done: list[tuple[str, str]] = field(default_factory=list)  # (kind, path)
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, path: str) -> Fault | None:
        """Return what is to be done to a request, and count it."""
        with self.lock:
            self.seen.append(path)
            for fault in self.faults:
                if fault.path in path and fault.times:
                    if fault.after:
                        fault.after -= 1
                        return None
                    fault.times -= 1
                    self.done.append((fault.kind, path))
                    return fault
        return None


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.fault(f"{self.command} {self.path}")
            kind = fault.kind if fault else ""
            self.close_connection = True
            if fault and fault.seconds:
                time.sleep(fault.seconds)  # the fault itself
            if kind.isdigit():
                self.send_error(int(kind), "scripted")
            elif kind != "drop":
                try:
                    status, headers, content = self.forward(body)
                except (OSError, http.client.HTTPException):
                    return  # the server itself is away, or broke off
                if kind != "lost":
                    self.reply(status, headers, content, half=kind == "half")

        def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(urlsplit(proxy.server).netloc, timeout=60)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                connection.close()

        def reply(self, status: int, headers: list[tuple[str, str]], content: bytes, *, half: bool) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if half else content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def proxy_before(server: str) -> Iterator[Proxy]:
    """Run a proxy in front of the server at this address."""
    proxy = Proxy(server)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    listener.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
