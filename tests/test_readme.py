"""Every `softaug` command of the README runs, in its order, on a copy in small; its make targets exist."""

import os
import pickle
import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import servers
from tests.conftest import SOFTAUG, Softaug

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [line.split("  #")[0].strip() for kind, block in BLOCKS if not kind for line in block.splitlines()]
# What makes a command small enough to run here; each must still be in the README as it stands on the left.
IN_SMALL = {
    "--scale laptop": "--scale smoke --seeds 0",
    "--scale paper": "--scale smoke --seeds 0",
    "--gpus 0.5": "--gpus 0",
    "launch mine.yaml": "launch mine.yaml --seeds 0",
    "--store /shared/runs": "--store shared",
}
SMALL = r"(plan|launch|submit|status|inspect|evaluate|report|figure|table) quickstart|(report|export) search-joint"
SMOKE = re.compile(rf"^softaug ({SMALL})")


def in_small(command: str, *, head: servers.RayHead, mlflow: str) -> str:
    addresses = {"10.0.0.5:6379": head.address, "http://127.0.0.1:8265": head.dashboard, "http://mlflow:5000": mlflow}
    for written, small in {**IN_SMALL, **addresses}.items():
        command = command.replace(written, small)
    return f"{command} --scale smoke" if SMOKE.match(command) else command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what a reader of the README has: its sweep files, and CIFAR-100 where `fetch` puts it."""
    home = tmp_path_factory.mktemp("readme")
    own, search = (block for kind, block in BLOCKS if kind == "yaml")
    small = own.replace("name: fashion-mnist, train_images: 2000", "name: digits, train_images: 100")
    small = small.replace("epochs: 20", "epochs: 1")
    assert "digits" in small
    assert "epochs: 1," in small
    (home / "mine.yaml").write_text(small)
    (home / "my-search.yaml").write_text(search)
    cifar = home / "data" / "cifar-100-python"
    cifar.mkdir(parents=True)
    for name in ("train", "test"):
        content = {b"data": np.zeros((1, 3072), np.uint8), b"fine_labels": [0]}
        (cifar / name).write_bytes(pickle.dumps(content))
    return home


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[servers.RayHead]:
    """Start a real Ray head with token authentication; its jobs use the folder's store."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    with servers.ray_head(cpus=2, with_dashboard=True, SOFTAUG_STORE=str(folder / "runs")) as head:
        yield head
    del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(900)  # a dozen launches' worth of processes
def test_every_softaug_command_runs(softaug: Softaug, folder: Path, cluster: servers.RayHead, mlflow: str) -> None:
    commands = [command for command in COMMANDS if command.startswith("softaug")]
    assert len(commands) >= 15
    for text in IN_SMALL:
        assert text in README
    for command in commands:
        if command == "softaug ui":
            continue
        ran = softaug(*shlex.split(in_small(command, head=cluster, mlflow=mlflow))[1:], cwd=folder)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    assert (folder / "report" / "index.html").exists()
    assert (folder / "shared" / "trials").exists()
    assert not (folder / "shared" / "mlflow.db").exists(), "the cluster's runs went to the server"


@pytest.mark.slow
def test_softaug_ui_serves_mlflow(folder: Path, tmp_path: Path) -> None:
    assert "softaug ui" in COMMANDS
    port = servers.free_port()
    command = [str(SOFTAUG), "ui", "--port", str(port), "--store", str(folder / "runs")]
    with servers.process(command, tmp_path / "log") as ui:
        servers.wait_for(f"http://127.0.0.1:{port}/health", ui, tmp_path / "log")
    assert f"MLflow at http://127.0.0.1:{port}" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)", README))))
def test_the_make_targets_exist(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_inline_commands_exist(softaug: Softaug) -> None:
    helped = softaug("--help").stdout
    for name in set(re.findall(r"`(?:softaug )?([a-z]+)(?: [A-Za-z.-]+)*`", README)) & {
        "schema",
        "plan",
        "report",
        "table",
    }:
        assert f"  {name} " in helped


def test_the_readme_links_to_what_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
