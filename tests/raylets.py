"""Real Ray clusters of several nodes on this machine: each node is a `ray start` with what it started, killed by pid.

They have the settings that are shipped (deploy/ray/settings.env), a token, explicit ports, and tell their nodes apart
by process. A node may live in a network namespace of its own.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.servers import START_S, free_port, short_folder

SETTINGS = Path(__file__).parents[1] / "deploy" / "ray" / "settings.env"
BIN = Path(sys.executable).parent
GONE_WITHIN_S = 20.0
LOOPBACK = "127.0.0.1"


def settings() -> dict[str, str]:
    """Return the settings that every node of a cluster has."""
    lines = [line for line in SETTINGS.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def gone(process: psutil.Process) -> bool:
    """Say whether a process has ended, whoever has yet to take note of it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass
class Node:
    """One `ray start` and all that it started."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def tree(self) -> list[psutil.Process]:
        """Return its processes, trials and jobs included; also those whose parent has died: they share its session."""
        found: dict[int, psutil.Process] = {}
        for each in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(each.pid) == self.process.pid:
                    for member in (each, *each.children(recursive=True)):
                        found[member.pid] = member
        return [each for each in found.values() if not gone(each)]

    def raylet(self) -> psutil.Process:
        """Return the process that makes it a node."""
        (found,) = [each for each in self.tree() if each.name() == "raylet"]
        return found

    def runs(self, pid: int) -> bool:
        """Say whether this is one of its processes."""
        return pid in {each.pid for each in self.tree()}

    def signal(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to all of its processes, also to those that start meanwhile; return them."""
        sent: dict[int, psutil.Process] = {}
        while new := [each for each in self.tree() if each.pid not in sent]:
            for each in new:
                sent[each.pid] = each
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(number)
        return list(sent.values())

    def kill(self) -> None:
        """Let it vanish as a machine does whose power fails, and see that it has."""
        stopped = self.signal(signal.SIGSTOP)
        for each in stopped:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(stopped, timeout=GONE_WITHIN_S)
        assert alive == []


@dataclass
class Cluster:
    """A head without CPUs and nodes with one each.

    `environment` is that of every node, and of the jobs and trials they start.
    """

    environment: Mapping[str, str]
    folder: Path = field(default_factory=short_folder)
    port: int = field(default_factory=free_port)
    dashboard_port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    host: str = LOOPBACK
    nodes: list[Node] = field(default_factory=list)
    head: Node | None = None
    started: int = 0

    @property
    def address(self) -> str:
        """Return where nodes and launches join it."""
        return f"{self.host}:{self.port}"

    @property
    def dashboard(self) -> str:
        """Return the head's HTTP address."""
        return f"http://{self.host}:{self.dashboard_port}"

    @property
    def login(self) -> dict[str, str]:
        """Return what a launch needs in its environment to be let in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def pids(self) -> set[int]:
        """Return all of its processes."""
        nodes = [*self.nodes, *([] if self.head is None else [self.head])]
        return {each.pid for node in nodes for each in node.tree()}

    def begin(self, *, namespace: str | None = None, dashboard: bool = True) -> Node:
        """Start the head, at the same address each time."""
        options = [
            "--head",
            "--no-monitor",
            f"--port={self.port}",
            "--num-cpus=0",
            f"--include-dashboard={str(dashboard).lower()}",
        ]
        options += [f"--dashboard-port={self.dashboard_port}", f"--dashboard-host={self.host}"]
        self.head = self._up(options, namespace, self.host)
        return self.head

    def add(self, count: int = 1, *, namespace: str | None = None, host: str = LOOPBACK) -> None:
        """Start so many nodes of one CPU."""
        for _ in range(count):
            self.nodes.append(self._up([f"--address={self.address}", "--num-cpus=1"], namespace, host))

    def node_of(self, pid: int) -> Node:
        """Return the node that runs a process."""
        (found,) = [node for node in self.nodes if node.runs(pid)]
        return found

    def lose(self, node: Node) -> None:
        """Kill a node and forget it."""
        node.kill()
        self.nodes.remove(node)

    def close(self) -> None:
        """Kill what is left of it, and delete its folder."""
        for node in [*self.nodes, *([] if self.head is None else [self.head])]:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _up(self, options: Sequence[str], namespace: str | None, host: str) -> Node:
        """Start a node and wait for it; once more if it does not come up: Ray gives itself 30 s."""
        begun = time.monotonic()
        node = self._start(options, namespace, host)
        if not _is_up(node):
            sys.stdout.write(f"a node did not come up, started again:\n{node.log.read_text()}\n")
            node.kill()
            node = self._start(options, namespace, host)
            assert _is_up(node), node.log.read_text()
        sys.stdout.write(f"a node is up after {time.monotonic() - begun:.1f} s\n")
        return node

    def _start(self, options: Sequence[str], namespace: str | None, host: str) -> Node:
        self.started += 1
        temporary = self.folder / str(self.started)
        temporary.mkdir(parents=True)
        command = [] if namespace is None else ["ip", "netns", "exec", namespace]
        command += [str(BIN / "ray"), "start", "--block", *options, f"--temp-dir={temporary}", "--disable-usage-stats"]
        command += [
            "--object-store-memory=100000000",
            "--include-log-monitor=false",
            *_ports(["dashboard-agent-listen", "dashboard-agent-grpc"]),
        ]
        command += _ports(["runtime-env-agent", "metrics-export", "node-manager", "object-manager"])
        command += [] if host == LOOPBACK else [f"--node-ip-address={host}"]
        path = os.pathsep.join([str(BIN), os.environ["PATH"]])
        environment = {**os.environ, **settings(), **self.login, "PATH": path, **self.environment}
        log = self.folder / f"{self.started}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=environment
            )
        return Node(process, log)


def _is_up(node: Node) -> bool:
    deadline = time.monotonic() + START_S
    while "Ray runtime started" not in node.log.read_text():
        if node.process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def driver(cluster: Cluster) -> list[psutil.Process]:
    """Return the process of the job that launches a sweep on the head, none if there is none now."""
    assert cluster.head is not None
    found = []
    for each in cluster.head.tree():
        with suppress(psutil.NoSuchProcess):
            if each.name() == "softaug" and not gone(each):
                found.append(each)
    return found


def _ports(names: Iterable[str]) -> list[str]:
    return [f"--{name}-port={free_port()}" for name in names]
