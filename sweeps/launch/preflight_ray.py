"""Whether a Ray cluster can be joined: a TCP connection first, then a process with a deadline.

`ray.init` on a dead address hangs for minutes, and it tells what is wrong over many lines.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

CONNECT_TIMEOUT_S = 5.0
JOIN_TIMEOUT_S = 40.0  # a cluster that refuses the token takes 20
HINT = "start one with `ray start --head`, or leave --address out to run on this machine"
TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds the cluster's token"


def unreachable_ray(address: str) -> list[str]:
    """Return a problem if no Ray cluster lets us in at host:port within seconds."""
    if address == "auto":
        return (
            []
            if os.environ.get("RAY_ADDRESS")
            else [f"Ray address auto: only a job of `softaug submit` has it; {HINT}"]
        )
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address.startswith("ray://") or not host or not port.isdigit() or not 0 < int(port) < 65536:
        return [f"Ray address {address}: expected host:port of a cluster's head, as in 10.0.0.5:6379; {HINT}"]
    refused = refused_connection(host, int(port))
    if refused:
        return [f"Ray address {address}: {refused}; {HINT}"]
    join = f"import ray; ray.init(address={address!r}, log_to_driver=False, logging_level='ERROR')"
    try:
        joined = subprocess.run(
            [sys.executable, "-P", "-c", join], capture_output=True, text=True, timeout=JOIN_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [f"Ray address {address}: no Ray answered within {JOIN_TIMEOUT_S:.0f} s; {HINT}"]
    return [] if joined.returncode == 0 else [f"Ray address {address}: {_why(joined.stderr)}"]


def refused_connection(host: str, port: int) -> str | None:
    """Return why nothing accepts a TCP connection there, None if something does."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return f"{error.strerror or error}"
    return None


def _why(stderr: str) -> str:
    """Return in a sentence what ray.init said over many lines, and the way out."""
    if "Version mismatch:" in stderr:
        said = " ".join(stderr.partition("Version mismatch:")[2].split())
        return f"its versions are not ours: {said}; install the same versions of Ray and Python on both sides"
    if "AuthToken" in stderr or "AuthenticationError" in stderr or "authentication token" in stderr.lower():
        return f"it refuses our token; {TOKEN}" if _has_token() else f"it wants a token and we have none; {TOKEN}"
    said = (stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"{said}; {HINT}"


def _has_token() -> bool:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return False
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or file.is_file()
