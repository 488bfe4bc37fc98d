"""Real servers for tests, on free ports of this machine, ended by their own process group."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

START_S = 90.0


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(command: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command, its output in a file, and kill it with all that it started after."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield running
        finally:
            tree = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
            for each in tree:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            running.wait()
            psutil.wait_procs(tree, timeout=20)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run a real MLflow server on sqlite with served artifacts; yield its address."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}"),
        *("--artifacts-destination", str(folder / "served")),
    ]
    url = f"http://127.0.0.1:{port}"
    with process(command, folder / "server.log") as server:
        wait_for(f"{url}/health", server, folder / "server.log")
        yield url


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
