"""The project's own promises: the lock fits pyproject.toml, files and functions stay small, no machine is named."""

import ast
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("softaug", "trainables", "sweeps", "analysis")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK = {
    requirement.name.lower().replace("_", "-"): requirement
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if (requirement := Requirement(line))
}


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *EXTRAS["s3"], *EXTRAS["dev"]])
def test_the_lock_holds_every_dependency_at_an_allowed_exact_version(text: str) -> None:
    wanted = Requirement(text)
    if wanted.name == PROJECT["name"]:
        assert wanted.extras <= EXTRAS.keys()
        return
    (pinned,) = LOCK[wanted.name.lower()].specifier
    assert pinned.operator == "=="
    assert wanted.specifier.contains(pinned.version)
    assert metadata.version(wanted.name) == pinned.version, "this environment is not the lock's: make install"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_and_classes_have_docstrings_and_types(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module says what it is for"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            public_base = isinstance(node, ast.ClassDef) and node.name in ("Entry", "Frozen")
            assert ast.get_docstring(node) or public_base, node.name


def test_no_path_of_a_machine_is_in_the_project() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if name.endswith((".py", ".md", ".yaml", ".toml", ".lock")) or name in ("Makefile", ".ci/run"):
            assert not re.search(r"(^|[^\w.-])/(home|root|Users)/", (ROOT / name).read_text()), name


def test_ci_runs_what_the_readme_says() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make .*", run, flags=re.MULTILINE) == ["make system-packages", "make test", "make test-slow"]
