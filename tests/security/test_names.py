"""Names that users give become no path out of the store, no command and no traceback; versions are above holes."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from sweeps import launched
from sweeps.cli import main as cli
from sweeps.files.sweep_file import SweepFile
from tests.sweeps import ledgers
from trainables.store import open_store

ROOT = Path(__file__).parents[2]
NAMES = [
    *("../bait", "../../bait", "/etc/passwd", "..", ".", "", "a/../../bait", "..\\bait", "-rf", "a\nb", "a;touch x"),
    *("$(touch x)", "`touch x`", "a\0b", "x" * 300, "‮evil", "bait@../../x", "%2e%2e/bait", "*"),
]
FLOORS = {
    "ray": "2.56",
    "mlflow": "3.11",
    "torch": "2.10",
}  # fixed: CVE-2025-62593, -2026-27482; -2026-4137; -2025-32434


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a store with one sweep in it, and bait around it that looks like one; the current folder is another."""
    folder = tmp_path / "a" / "runs"
    opened = open_store(folder)
    launched.save(opened, ledgers.small_sweep())
    (saved,) = (folder / "sweeps").iterdir()
    for place in (tmp_path, tmp_path / "a", folder):
        (place / "bait.json").write_bytes(saved.read_bytes())
        (place / "bait@smoke.json").write_bytes(saved.read_bytes())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "command",
    [
        ["status", "NAME"],
        ["plan", "NAME"],
        ["launch", "NAME", "--offline"],
        ["stop", "NAME"],
        ["report", "NAME"],
        ["evaluate", "NAME"],
        ["why", "NAME"],
        ["launch", "small", "--scale", "NAME", "--offline"],
        ["status", "small", "--scale", "NAME"],
    ],
    ids=" ".join,
)
def test_a_name_leads_nowhere_else(
    command: list[str],
    name: str,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = tree(tmp_path)
    given = [name if part == "NAME" else part for part in command]
    monkeypatch.setattr("sys.argv", ["softaug", given[0], "--store", str(store), *given[1:]])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2, said
    assert said.out == ""
    assert re.match("error: |Usage: ", said.err), said.err
    assert "root:" not in said.err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_no_sweep_file_has_such_a_name(name: str) -> None:
    pattern = SweepFile.model_json_schema()["properties"]["name"]["pattern"]
    assert re.search(pattern, "figure-3")
    assert not re.search(pattern, name)


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.lock"])
def test_versions_are_not_below_the_ones_that_mended_what_was_known(lock: str) -> None:
    lines = [line.partition(" --hash")[0].rstrip(" \\") for line in (ROOT / lock).read_text().splitlines()]
    pinned = {each.name: each for each in map(Requirement, (line for line in lines if line and line[0] not in " #"))}
    for name, floor in FLOORS.items():
        (exactly,) = pinned[name].specifier
        assert Version(exactly.version) >= Version(floor), name
