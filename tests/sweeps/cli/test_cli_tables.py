"""`table` and `claims` on the command line: what is refused, what is said without a run."""

from pathlib import Path

import pytest

from sweeps import launched
from sweeps.cli import synced
from sweeps.cli.synced import synced_for_paper
from sweeps.files.expand import load
from sweeps.launch.preflight import Refused
from tests.conftest import Softaug
from trainables.store import open_store


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("table", "12"), "error: table 12: the paper has Tables 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (("table", "2"), "no sweep was launched into the store"),
        (("table", "2", "--sweep", "table-2"), "table-2@paper was never launched into the store"),
        (("table", "quickstart", "--sweep", "table-2"), "--sweep fills a table of the paper"),
        (("claims", "table-2"), "table-2@paper was never launched into the store"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_told_in_a_line(softaug: Softaug, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = softaug(*arguments, "--store", tmp_path / "runs")
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert said in line
    assert not (tmp_path / "runs").exists()


def test_claims_without_a_run_are_those_on_the_papers_numbers(softaug: Softaug, tmp_path: Path) -> None:
    ran = softaug("claims", "--store", tmp_path / "runs")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "holds in 3 of 4 rows; fails in ImageNet-1K ResNet-50, SA+RA (−0.45)" in ran.stdout
    assert ran.stdout.count("our runs: not tested: ") == 14
    assert max(map(len, ran.stdout.splitlines())) <= 120
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("scales", [("laptop", "smoke"), ("paper", "laptop")])
def test_scales_are_not_mixed(tmp_path: Path, scales: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(tmp_path / "runs")
    for scale in scales:
        launched.save(open_store(store), load("table-1", scale=scale))
    with pytest.raises(Refused, match="one table holds runs of one scale; choose it with --scale"):
        synced_for_paper(store, None, None, None, number="1")
    reached: list[str] = []
    monkeypatch.setattr(synced, "level", lambda _, wanted, __: reached.extend(each.experiment for each in wanted))
    synced_for_paper(store, None, None, scales[0], number="1")
    assert reached == [f"table-1@{scales[0]}"]


def test_a_table_that_no_launched_sweep_fills(tmp_path: Path) -> None:
    store = str(tmp_path / "runs")
    launched.save(open_store(store), load("quickstart", scale="smoke"))
    with pytest.raises(Refused, match="no sweep that was launched has a number in Table 2"):
        synced_for_paper(store, None, None, None, number="2")
    assert synced_for_paper(store, None, None, None)[0] == []
