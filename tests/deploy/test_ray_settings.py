"""Ray's settings are in one file: Ray knows each of them, and every way to start a cluster reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_clusters import CLUSTER, JOB, ROOT, templates
from tests.deploy.test_compose import RAY
from tests.raylets import SETTINGS, settings

CONFIGURED = {name.removeprefix("RAY_"): value for name, value in settings().items() if name[4:5].islower()}
JOBS = ("RAY_JOB_STOP_WAIT_TIME_S",)  # read by the supervisor of jobs, not by Ray's core


def test_ray_knows_every_setting() -> None:
    import ray
    from ray._raylet import Config
    from ray.dashboard.modules.job import job_supervisor

    core = (Path(ray.__file__).parent / "core" / "src" / "ray" / "raylet" / "raylet").read_bytes()
    for name, value in CONFIGURED.items():
        assert f"RAY_{name}\0".encode() in core, f"Ray has no {name}: names are case-sensitive"
        assert not hasattr(Config, name) or int(value) != getattr(Config, name)(), f"{name} is Ray's default"
    source = Path(job_supervisor.__file__).read_text()
    assert all(f'"{name}"' in source for name in JOBS)
    assert set(settings()) == {*(f"RAY_{name}" for name in CONFIGURED), *JOBS, "RAY_USAGE_STATS_ENABLED", "TZ"}


def test_a_node_that_hangs_and_a_head_that_is_gone_are_noticed_in_time() -> None:
    """After F4 and F8: at most 20 s for a node, 30 s for a head."""
    period, timeout, delay = (
        int(CONFIGURED[f"health_check_{each}_ms"]) for each in ("period", "timeout", "initial_delay")
    )
    failures = int(CONFIGURED["health_check_failure_threshold"])
    assert failures * (period + timeout) <= 15_000, "five more seconds start the trial elsewhere"
    assert delay <= period
    assert int(CONFIGURED["gcs_rpc_server_reconnect_timeout_s"]) <= 20
    assert sum(int(CONFIGURED[f"grpc_client_keepalive_{each}_ms"]) for each in ("time", "timeout")) <= 10_000


def test_compose_reads_them(services: dict[str, Any]) -> None:
    for name in RAY:
        assert services[name]["environment"].items() >= settings().items()
    written = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert not set(written["x-ray-environment"]) & set(settings()), "said twice, one of them would be forgotten"


@pytest.mark.parametrize("node", ["head", "worker"])
def test_ray_up_reads_them_before_it_starts_ray(node: str) -> None:
    start = CLUSTER[f"{node}_start_ray_commands"][-1]
    assert CLUSTER["file_mounts"]["~/softaug"] == "."
    read, _, started = start.partition("; ray start")
    assert f"set -a; . ~/softaug/{SETTINGS.relative_to(ROOT)}; set +a;" in read
    assert started
    assert not any(f"{name}=" in start for name in settings())


def test_kuberay_reads_them() -> None:
    head_comment = (ROOT / "deploy" / "rayjob.yaml").read_text().partition("apiVersion")[0]
    for template in templates(JOB):
        (container,) = template["spec"]["containers"]
        (source,) = (each["configMapRef"]["name"] for each in container["envFrom"])
        assert f"kubectl create configmap {source} --from-env-file={SETTINGS.relative_to(ROOT)}" in head_comment
        assert not {each["name"] for each in container["env"]} & set(settings())
