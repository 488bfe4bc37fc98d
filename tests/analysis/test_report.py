"""The report: one page that holds everything and asks for nothing."""

import base64
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mlflow import MlflowClient
from synthetic import lose, made_up, project, quickstart

from analysis import figures
from analysis.report import write_report
from sweeps.course import Course
from sweeps.resolved import ResolvedSweep
from trainables.launches import CostEstimate

UI = "http://tracker.example:5000"
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects a page's links, pictures and text, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.sources: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if "href" in given:
            self.links.append(given["href"])
        if "src" in given:
            self.sources.append((given["src"], given.get("alt", "")))
        if "id" in given:
            self.ids.append(given["id"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def sweep() -> ResolvedSweep:
    return quickstart(sigmas=(0.1, 0.3))


@pytest.fixture(scope="module")
def written(
    empty_database: Path, sweep: ResolvedSweep, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, MlflowClient]:
    """A report on a sweep with a diverged and a missing run, and the MLflow it came from."""
    folder = tmp_path_factory.mktemp("written")
    client = MlflowClient(f"sqlite:///{shutil.copy(empty_database, folder / 'mlflow.db')}")
    runs = made_up(sweep)
    runs[4] = lose(runs[4], "diverged", "loss is <nan> at epoch 12")
    runs[8] = lose(runs[8], "missing")
    project(client, sweep, runs, folder / "artifacts")
    return write_report([sweep], tracking_uri=client.tracking_uri, out=folder / "report", ui_url=UI), client


@pytest.fixture(scope="module")
def index(written: tuple[Path, MlflowClient]) -> Path:
    return written[0]


def test_cost_is_shown_where_launches_had_an_estimate(written: tuple[Path, MlflowClient], sweep: ResolvedSweep) -> None:
    index, client = written
    assert "took / expected" not in index.read_text("utf-8")
    estimate = CostEstimate(unit="CPU-hours", devices=1, trials=2, hours=1.0, low=0.5, high=2.0)
    courses = {sweep.experiment: [Course(f"{sweep.experiment}-0001", 0.0, estimate, 2.5, 2)]}
    out = index.parent.parent / "with-cost"
    page = write_report([sweep], tracking_uri=client.tracking_uri, out=out, ui_url=UI, courses=courses)
    text = "".join(Page(page.read_text("utf-8")).text.split())
    assert "2of21(0.5–2)2.5CPU-hours2.50no" in text


def test_the_page_asks_for_nothing(index: Path) -> None:
    text = index.read_text(encoding="utf-8")
    page = Page(text)
    assert all(source.startswith("data:image/") and alt for source, alt in page.sources)
    assert all(link.startswith((f"{UI}/#/experiments/", "#", "data:,")) for link in page.links)
    assert set(re.findall(r"https?://[^/\"'<\s]+", text)) == {UI}
    assert "<script" not in text
    assert "url(" not in text
    for source, _ in page.sources:
        if "svg" in source[:20]:
            svg = base64.b64decode(source.split(",")[1]).decode()
            assert not re.search(r"(href|src)=\"(?!#)", svg)


def test_the_page_names_every_cell_run_and_hole(written: tuple[Path, MlflowClient], sweep: ResolvedSweep) -> None:
    index, client = written
    page = Page(index.read_text(encoding="utf-8"))
    experiment = client.get_experiment_by_name(sweep.experiment).experiment_id
    for cell in sweep.cells[1:]:
        assert page.text.count(f"{cell.arm}, σ = {cell.axes['sigma']:g}") >= 4  # samples, and each run
    for run in client.search_runs([experiment], max_results=1000):
        assert f"{UI}/#/experiments/{experiment}/runs/{run.info.run_id}" in page.links
    assert "hard Gaussian crop, σ = 0.1: 2/3 seeds; seed 1 diverged (loss is <nan> at epoch 12)" in page.text
    assert page.text.count("diverged (loss is <nan> at epoch 12)") == 2  # among the holes and among the runs
    assert "seed 2 missing" in page.text
    assert sweep.question in page.text
    assert sweep.expect in page.text
    assert "softaug launch quickstart --scale laptop --seeds 0,1,2" in page.text
    assert "another setting" in page.text


def test_ids_are_unique(index: Path) -> None:
    ids = Page(index.read_text(encoding="utf-8")).ids
    assert len(ids) == len(set(ids))


def test_files_lie_beside_the_page(index: Path, sweep: ResolvedSweep) -> None:
    folder = index.parent / sweep.experiment
    assert {path.name for path in folder.iterdir()} == {
        *(f"softening-over-sigma.{kind}" for kind in ("csv", "svg", "pdf", "png")),
        *(f"reliability.{kind}" for kind in ("svg", "pdf", "png")),
        *(f"table.{kind}" for kind in ("md", "tex", "csv")),
    }


def test_the_same_runs_give_the_same_figure(client: MlflowClient, sweep: ResolvedSweep, tmp_path: Path) -> None:
    project(client, sweep, made_up(sweep), tmp_path / "artifacts")
    first, second = (
        figures.figure(sweep, tracking_uri=client.tracking_uri, out=tmp_path / name) for name in ("one", "two")
    )
    assert first[0] == tmp_path / "one" / "quickstart@laptop" / "softening-over-sigma.csv"
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_sweep_of_which_nothing_finished_has_a_page(
    client: MlflowClient, sweep: ResolvedSweep, tmp_path: Path
) -> None:
    running = [lose(run, "running") for run in made_up(sweep)]
    project(client, sweep, running, tmp_path / "artifacts")
    page = write_report([sweep], tracking_uri=client.tracking_uri, out=tmp_path, ui_url=UI)
    assert "nothing can be compared" in page.read_text(encoding="utf-8")


def test_a_sweep_of_one_seed_without_a_figure_has_a_page(client: MlflowClient, tmp_path: Path) -> None:
    bare = quickstart(sigmas=(0.1,), seeds=(0,)).model_copy(update={"figure": None})
    project(client, bare, made_up(bare), tmp_path / "artifacts")
    page = Page(write_report([bare], tracking_uri=client.tracking_uri, out=tmp_path, ui_url=UI).read_text("utf-8"))
    assert not any(alt.startswith("Figure") for _, alt in page.sources)
    assert "soft target, σ = 0.1" in page.text


def test_the_analysis_imports_no_torch_and_no_ray() -> None:
    code = "import sys, analysis.report; sys.exit(bool({'torch', 'ray', 'scipy.stats'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
