"""A Ray cluster that does not let us in says why in a line: address, token, versions."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.launch import preflight_ray
from sweeps.launch.preflight_ray import unreachable_ray
from tests import servers

TOKEN = secrets.token_hex(32)
MISMATCH = """Traceback (most recent call last):
RuntimeError: Version mismatch: The cluster was started with:
    Ray: 2.59.0
    Python: 3.11.7
This process on node was started with:
    Ray: 2.60.0
    Python: 3.12.1
"""


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """Start a Ray head that wants a token, and yield its address."""
    with servers.ray_head(cpus=1, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as running:
        yield running.address


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "token", "said"),
    [
        (None, None, ["it wants a token and we have none; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH"]),
        ("token", None, ["it wants a token and we have none; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH"]),
        ("token", secrets.token_hex(32), ["it refuses our token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH"]),
        ("token", TOKEN, []),
    ],
    ids=["no mode", "no token", "wrong token", "right token"],
)
def test_a_cluster_with_a_token(
    mode: str | None, token: str | None, said: list[str], head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in (("RAY_AUTH_MODE", mode), ("RAY_AUTH_TOKEN", token)):
        if value is not None:
            monkeypatch.setenv(name, value)
    problems = unreachable_ray(head)
    assert len(problems) == len(said), problems
    for problem, text in zip(problems, said, strict=True):
        assert problem.startswith(f"Ray address {head}: {text}")


def test_other_versions_are_told_in_a_line() -> None:
    assert preflight_ray._why(MISMATCH) == (
        "its versions are not ours: The cluster was started with: Ray: 2.59.0 Python: 3.11.7 This process on node was "
        "started with: Ray: 2.60.0 Python: 3.12.1; install the same versions of Ray and Python on both sides"
    )


@pytest.mark.parametrize("address", ["nonsense", "ray://127.0.0.1:10001", ":6379", "host:", "host:0", "host:70000"])
def test_what_is_no_address(address: str) -> None:
    (problem,) = unreachable_ray(address)
    assert "expected host:port of a cluster's head, as in 10.0.0.5:6379" in problem


def test_auto_is_the_cluster_of_a_job_and_never_what_happens_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (problem,) = unreachable_ray("auto")
    assert problem.startswith("Ray address auto: only a job of `softaug submit` has it; ")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")
    assert unreachable_ray("auto") == []
