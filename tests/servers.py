"""Real servers for tests, on free ports of this machine, ended by their own process group."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

START_S = 240.0  # on a machine that trains meanwhile


def free_port() -> int:
    """Return a port nobody listens on now."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Return so many different ports that nobody listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def short_folder() -> Path:
    """Make a folder with a short path: far below it lie Ray's sockets, whose paths have at most 107 letters."""
    return Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))


@contextmanager
def process(command: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command, its output in a file, and kill it with all that it started after."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=env)
        try:
            yield running
        finally:
            tree: list[psutil.Process] = []
            with suppress(psutil.NoSuchProcess):  # it may have ended by itself
                tree = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
            for each in tree:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            running.wait()
            psutil.wait_procs(tree, timeout=20)


@dataclass
class MlflowServer:
    """A real MLflow server with served artifacts, that can be killed and come back as it was.

    `database`: its address, sqlite in the folder unless given. A host other than this one has a network namespace.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    running: "subprocess.Popen[bytes] | None" = None
    database: str = ""
    host: str = "127.0.0.1"
    namespace: str | None = None

    @property
    def url(self) -> str:
        """Return its address, the same each time."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            *([] if self.namespace is None else ["ip", "netns", "exec", self.namespace]),
            *(sys.executable, "-m", "mlflow", "server", "--host", self.host, "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", self.database or f"sqlite:///{self.folder / 'server.db'}"),
            *("--artifacts-destination", str(self.folder / "served")),
        ]
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self.running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        wait_for(f"{self.url}/health", self.running, log)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes: they are a group of their own."""
        assert self.running is not None
        os.killpg(self.running.pid, number)

    def kill(self) -> None:
        """Kill it with all its processes, and see that they are gone."""
        if self.running is None:
            return
        tree = [psutil.Process(self.running.pid), *psutil.Process(self.running.pid).children(recursive=True)]
        self.signal(signal.SIGKILL)
        self.running.wait()
        _, alive = psutil.wait_procs(tree, timeout=20)
        assert alive == []
        self.running = None


@dataclass(frozen=True)
class RayHead:
    """A Ray head of this machine; `dashboard` is its HTTP address, "" without one. `pid`: of `ray start`."""

    address: str
    dashboard: str
    log: Path
    pid: int


@contextmanager
def ray_head(*, cpus: int, with_dashboard: bool = False, **environment: str) -> Iterator[RayHead]:
    """Run a Ray head with this environment; without a token unless it or ours wants one, whatever is in ~/.ray."""
    folder, port, dashboard, bin_folder = short_folder(), free_port(), free_port(), Path(sys.executable).parent
    log = folder / "head.log"
    command = [str(bin_folder / "ray"), "start", "--head", "--block", f"--port={port}", f"--num-cpus={cpus}"]
    command += ["--object-store-memory=200000000", f"--temp-dir={folder}", "--disable-usage-stats"]
    command += [f"--include-dashboard={str(with_dashboard).lower()}", f"--dashboard-port={dashboard}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-agent-listen-port={free_port()}"]
    command += [f"--ray-client-server-port={free_port()}"]  # else a second head on the machine finds 10001 taken
    path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
    try:
        with process(
            command, log, env={"RAY_AUTH_MODE": "disabled", **os.environ, "PATH": path, **environment}
        ) as head:
            wait_for_text("Ray runtime started", head, log)
            yield RayHead(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}" if with_dashboard else "", log, head.pid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run a real MLflow server on sqlite with served artifacts; yield its address."""
    server = MlflowServer(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.kill()


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Poll until a page answers; fail with the server's output if it ends or takes too long."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return


def wait_for_text(text: str, running: "subprocess.Popen[bytes]", log: Path) -> None:
    """Poll until a process has said something; fail with its output if it ends or takes too long."""
    deadline = time.monotonic() + START_S
    while text not in log.read_text():
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
