"""A real PostgreSQL server for tests, Debian's: it refuses to run as root, so it is nobody's then."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import free_port, wait_for_text

DEBIAN = "/usr/lib/postgresql"
NOBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}


@dataclass
class Postgres:
    """A server that can crash and come back as it was. `folder` is its own and can be reached by nobody."""

    folder: Path
    port: int = field(default_factory=free_port)
    running: "subprocess.Popen[bytes] | None" = None
    starts: int = 0

    @property
    def url(self) -> str:
        """Return the address of its only database."""
        return f"postgresql+psycopg://mlflow@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make its data folder."""
        command = [_program("initdb"), "--pgdata", str(self.folder / "data"), "--username=mlflow", "--auth=trust"]
        subprocess.run([*command, "--no-sync"], check=True, capture_output=True, cwd=self.folder, timeout=120, **NOBODY)

    def start(self) -> None:
        """Start it and wait until it takes connections, recovered if it had crashed."""
        self.starts += 1
        log = self.folder / f"{self.starts}.log"
        command = [_program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1"]
        with log.open("wb") as output:
            self.running = subprocess.Popen(
                [*command, "-k", str(self.folder)], stdout=output, stderr=subprocess.STDOUT, cwd=self.folder, **NOBODY
            )
        wait_for_text("ready to accept connections", self.running, log)

    def crash(self) -> None:
        """End it as a crash does: at once, with nothing written out; and see that it is gone."""
        assert self.running is not None
        self.running.send_signal(signal.SIGQUIT)
        self.running.wait(20)

    @property
    def log(self) -> str:
        """Return what it has said since its last start."""
        return (self.folder / f"{self.starts}.log").read_text()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server on a database of its own."""
    folder = Path(tempfile.mkdtemp(prefix="softaug-postgres-"))
    if NOBODY:
        shutil.chown(folder, NOBODY["user"], NOBODY["group"])
    server = Postgres(folder)
    try:
        server.create()
        server.start()
        yield server
    finally:
        if server.running is not None and server.running.poll() is None:
            server.crash()
        shutil.rmtree(folder)


def _program(name: str) -> str:
    newest = sorted(Path(DEBIAN).glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, newest), os.environ["PATH"]]))
    assert found, f"no {name} in {DEBIAN} or on the PATH: make system-packages"
    return found
