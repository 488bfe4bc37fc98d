"""Hosts of a network of their own: namespaces on a switch, and cables that can be pulled. Needs root, as CI is.

This machine is the first host of it. The switch is in a namespace too, so that nothing of this machine's own network,
nor its firewall, is touched.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

SUBNET = f"10.213.{os.getpid() % 256}"  # two of them at once have to differ
GONE_WITHIN_S = 20.0


@dataclass
class Network:
    """Hosts by name: `addresses`; `namespaces` says where their processes have to be started."""

    prefix: str
    addresses: dict[str, str] = field(default_factory=dict)
    here: str = f"{SUBNET}.1"

    def namespace(self, host: str) -> str:
        """Return the namespace of a host."""
        return f"{self.prefix}-{host}"

    def cut(self, host: str) -> None:
        """Pull a host's cable, at the switch, and see that it is out."""
        self._set(host, "down")

    def mend(self, host: str) -> None:
        """Plug it in again."""
        self._set(host, "up")

    def _set(self, host: str, state: str) -> None:
        port = f"{self.prefix}{host}s"
        _ip("-n", f"{self.prefix}-switch", "link", "set", port, state)
        shown = _ip("-n", f"{self.prefix}-switch", "link", "show", port)
        assert ("LOWER_UP" in shown) == (state == "up"), shown


@contextmanager
def network(hosts: Sequence[str]) -> Iterator[Network]:
    """Make a network of this machine and these hosts, whose names are short: an interface's name has 15 letters."""
    made = Network(f"sa{os.getpid() % 100_000}")
    switch = f"{made.prefix}-switch"
    _ip("netns", "add", switch)
    try:
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        _plug(made, switch, "here", None, made.here)
        for number, host in enumerate(hosts, start=2):
            made.addresses[host] = f"{SUBNET}.{number}"
            _ip("netns", "add", made.namespace(host))
            _plug(made, switch, host, made.namespace(host), made.addresses[host])
        yield made
    finally:
        for host in made.addresses:
            _ip("netns", "delete", made.namespace(host))
        _ip("netns", "delete", switch)  # its ends of the cables go with it, and so do ours
    deadline = time.monotonic() + GONE_WITHIN_S  # the kernel takes interfaces away a little later
    while made.prefix in _ip("link") + _ip("netns", "list"):
        assert time.monotonic() < deadline, f"{made.prefix} is still there"
        time.sleep(0.05)


def _plug(made: Network, switch: str, host: str, namespace: str | None, address: str) -> None:
    cable, port = f"{made.prefix}{host}", f"{made.prefix}{host}s"
    _ip("link", "add", cable, "type", "veth", "peer", "name", port, "netns", switch)
    inside = [] if namespace is None else ["-n", namespace]
    if namespace is not None:
        _ip("link", "set", cable, "netns", namespace)
        _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "add", f"{address}/24", "dev", cable)
    _ip(*inside, "link", "set", cable, "up")
    _ip("-n", switch, "link", "set", port, "master", "bridge", "up")


def _ip(*arguments: str) -> str:
    ran = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 0, f"ip {' '.join(arguments)}: {ran.stderr}"
    return ran.stdout
