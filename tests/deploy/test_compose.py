"""docker-compose.yml as docker compose reads it: it is valid, contained, and at the versions of the lock."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from deploy import make_secrets
from tests.deploy.conftest import FILES, ROOT, compose

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ONE_SHOT = "mlflow-prepare"
RAY = ("ray-head", "ray-worker")


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_docker_compose_finds_nothing_wrong(files: list[str], env_file: Path, tmp_path: Path) -> None:
    ran = compose(files, env_file, "--quiet")
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    (tmp_path / "empty").touch()
    without = compose(files, tmp_path / "empty", "--quiet")
    assert without.returncode != 0
    assert "SOFTAUG_UID" in without.stderr
    assert "run `make secrets` first" in without.stderr


def test_every_service_is_contained(services: dict[str, Any], env_file: Path) -> None:
    user, group = (line.partition("=")[2] for line in env_file.read_text().splitlines())
    assert user != "0"
    for name, service in services.items():
        assert service["user"] == f"{user}:{group}", name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert service["init"] is True
        assert int(service["mem_limit"]) <= 8 * 2**30
        assert float(service["cpus"]) <= 2
        assert 0 < service["pids_limit"] <= 4096
        assert not {"privileged", "network_mode", "pid", "ipc", "cap_add", "devices"} & set(service), name
        assert "docker.sock" not in json.dumps(service)
        assert service["restart"] == ("no" if name == ONE_SHOT else "unless-stopped")


def test_ports_are_open_on_this_machine_alone(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert {name: [port["target"] for port in found] for name, found in ports.items()} == {
        "mlflow": [5000],
        "ray-head": [8265],
    }
    assert {port["host_ip"] for found in ports.values() for port in found} == {"127.0.0.1"}


def test_what_has_no_port_reaches_nothing_but_the_stack(stack: dict[str, Any]) -> None:
    assert stack["networks"]["inside"]["internal"] is True
    for name, service in stack["services"].items():
        assert set(service["networks"]) == ({"inside", "outside"} if "ports" in service else {"inside"}), name


def test_services_are_healthy_before_others_build_on_them(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {ONE_SHOT}
    for service in services.values():
        for name, awaited in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if name == ONE_SHOT else "service_healthy"
            assert awaited["condition"] == wanted


def test_secrets_are_files_of_ours_and_nothing_else_is_one(stack: dict[str, Any]) -> None:
    assert {name: Path(secret["file"]).name for name, secret in stack["secrets"].items()} == {
        name: name for name in make_secrets.FILES
    }
    assert {Path(secret["file"]).parent for secret in stack["secrets"].values()} == {ROOT / "secrets"}
    for service in stack["services"].values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY|PASSFILE", name):
                assert value.startswith("/run/secrets/"), name
            assert not re.search(r"://[^/]*:[^/]*@", value), f"a password in {name}"


def test_each_service_sees_its_own_secrets_alone(services: dict[str, Any]) -> None:
    seen = {name: {each["source"] for each in service["secrets"]} for name, service in services.items()}
    assert seen["ray-worker"] == {"ray_token"}
    assert seen["ray-head"] == {"ray_token", "mlflow_credentials"}
    assert seen["postgres"] == {"postgres_password", "mlflow_pgpass"}
    assert not seen["mlflow"] & {"ray_token", "postgres_password"}


def test_ray_is_as_the_project_wants_it(services: dict[str, Any]) -> None:
    for name in RAY:
        environment, command = services[name]["environment"], services[name]["command"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
        assert environment["TZ"] == "UTC"
        (object_store,) = (part.partition("=")[2] for part in command if part.startswith("--object-store-memory"))
        assert int(services[name]["shm_size"]) >= 1.5 * int(object_store)
        mounts = {volume["target"]: volume for volume in services[name]["volumes"]}
        assert mounts[environment["SOFTAUG_STORE"]]["source"] == str(ROOT / "runs")
        assert mounts[environment["SOFTAUG_DATA"]]["read_only"] is True
    assert "--num-cpus=0" in services["ray-head"]["command"]
    assert services["ray-head"]["command"][:2] == ["sh", "/opt/softaug/deploy/ray/head.sh"]


def test_the_head_shows_itself_on_the_network_that_the_workers_are_on(services: dict[str, Any]) -> None:
    """On two networks Ray takes the address of the one with the way out, where no worker reaches it."""
    start = (ROOT / "deploy" / "ray" / "head.sh").read_text()
    (asked,) = re.findall(r"connect\(\('([a-z]+)', \d+\)\)", start)
    assert set(services[asked]["networks"]) == {"inside"} == set(services["ray-worker"]["networks"])
    assert 'exec ray start --head --block --node-ip-address="$address" "$@"' in start


def test_the_head_has_time_to_stop(services: dict[str, Any]) -> None:
    assert services["ray-head"]["stop_grace_period"] == "1m0s"


def test_mlflow_knows_its_names_and_its_users(services: dict[str, Any], env_file: Path) -> None:
    command = services["mlflow"]["command"]
    hosts = command[command.index("--allowed-hosts") + 1].split(",")
    tracking = services["ray-head"]["environment"]["MLFLOW_TRACKING_URI"]
    (port,) = services["mlflow"]["ports"]
    assert {tracking.removeprefix("http://"), f"127.0.0.1:{port['published']}", f"localhost:{port['published']}"} <= {
        *hosts
    }
    assert "*" not in hosts
    assert "--serve-artifacts" in command
    assert "basic-auth" in (ROOT / "deploy" / "mlflow" / "serve.sh").read_text()
    assert "default_permission = NO_PERMISSIONS" in (env_file.parent / "secrets" / "mlflow_auth.ini").read_text()
    for name in ("mlflow", "ray-head"):
        assert services[name]["environment"]["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_the_gpu_override_adds_gpus_to_the_workers_alone(env_file: Path) -> None:
    plain, gpu = (json.loads(compose(files, env_file, "--format", "json").stdout) for files in FILES.values())
    reserved = gpu["services"]["ray-worker"].pop("deploy")
    assert reserved["resources"]["reservations"]["devices"] == [
        {"capabilities": ["gpu"], "driver": "nvidia", "count": -1}
    ]
    assert gpu == plain


def test_images_are_pinned(services: dict[str, Any]) -> None:
    images = {service["image"] for service in services.values()}
    assert images == {f"softaug:{PROJECT['version']}", "postgres:17.6-bookworm"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=python:3\.11\.\d+-slim-bookworm$", dockerfile, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${PYTHON}"}
    assert "--require-hashes -r /build/requirements.lock" in dockerfile
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["10001:10001"]


def locked(path: Path) -> dict[str, Requirement]:
    """Return the requirements of a lock by name; hashes are no part of them."""
    lines = [line.partition(" --hash")[0].rstrip(" \\") for line in path.read_text().splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith((" ", "#"))]
    return {each.name.lower().replace("_", "-"): each for each in requirements}


def test_the_image_has_the_versions_of_the_lock_and_every_file_a_hash() -> None:
    image, ours = locked(ROOT / "deploy" / "requirements.lock"), locked(ROOT / "requirements.lock")
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["server"]):
        wanted = Requirement(text)
        (pinned,) = image[wanted.name.lower()].specifier
        assert wanted.specifier.contains(pinned.version), text
    assert {name: image[name].specifier for name in image if name in ours} == {
        name: ours[name].specifier for name in image if name in ours
    }
    blocks = re.split(r"\n(?=\S)", (ROOT / "deploy" / "requirements.lock").read_text().strip())
    assert len(blocks) == len(image)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)


def test_the_image_gets_no_secret_and_no_result() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert not {"secrets", ".env", "runs", "data", "."} & allowed
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == allowed


def test_secrets_are_random_private_and_kept(tmp_path: Path) -> None:
    made = make_secrets.make(tmp_path)
    assert set(made) == {*(f"secrets/{name}" for name in make_secrets.FILES), ".env"}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    before = {}
    for name in make_secrets.FILES:
        path = tmp_path / "secrets" / name
        assert path.stat().st_mode & 0o777 == 0o600
        before[name] = path.read_text()
    (tmp_path / "secrets" / "ray_token").unlink()
    assert make_secrets.make(tmp_path) == ["secrets/ray_token"]
    after = {name: (tmp_path / "secrets" / name).read_text() for name in make_secrets.FILES}
    assert after.pop("ray_token") != before.pop("ray_token")
    assert after == before
    words = [re.findall(r"[\w-]{43,}", text) for text in before.values()]
    assert [len(found) for found in words] == [1] * len(words)
    assert len({found[0] for found in words}) == len(words)


def test_an_env_file_of_ones_own_is_added_to(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MLFLOW_PORT=5001\n")
    assert ".env" in make_secrets.make(tmp_path)
    assert re.fullmatch(r"MLFLOW_PORT=5001\nSOFTAUG_UID=\d+\nSOFTAUG_GID=\d+\n", (tmp_path / ".env").read_text())


def test_git_never_sees_a_secret() -> None:
    for name in ("secrets/ray_token", ".env", "runs/x", "data/x"):
        subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=True)


def test_shell_scripts_stop_at_the_first_error() -> None:
    for path in (*(ROOT / "deploy").rglob("*.sh"),):
        assert "\nset -eu\n" in path.read_text(), path
        subprocess.run(["sh", "-n", str(path)], check=True)


def test_the_yaml_files_have_no_double_key() -> None:
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: Strict, node: yaml.MappingNode) -> dict[str, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), keys
        loader.flatten_mapping(node)
        return dict(loader.construct_pairs(node))

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for path in (*ROOT.glob("docker-compose*.yml"), *(ROOT / "deploy").glob("*.yaml")):
        assert list(yaml.load_all(path.read_text(), Strict)), path
