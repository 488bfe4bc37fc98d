"""The report: pages that hold everything, link each other, and ask for nothing."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
from mlflow import MlflowClient
from paper_runs import arms
from paper_runs import results as paper_results
from synthetic import lose, made_up, project, quickstart

from analysis.figures import figures
from analysis.figures.reliability_figure import spread_out
from analysis.report.paper_pages import write_paper_pages
from analysis.report.report import write_report
from analysis.report.run_pages import addresses, page_name, write_run_pages
from analysis.report.site import Site
from analysis.results import results_of
from analysis.tables.paper_layouts import Place
from sweeps.plan.course import Course
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


@pytest.fixture(scope="module")
def pages(index: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text("utf-8")) for file in sorted(index.parent.rglob("*.html"))}


def sweep_page(index: Path, sweep: ResolvedSweep) -> Page:
    return Page((index.parent / sweep.experiment / "index.html").read_text("utf-8"))


def run_page(index: Path, sweep: ResolvedSweep) -> Page:
    return Page((index.parent / sweep.experiment / "runs.html").read_text("utf-8"))


def test_cost_is_shown_where_launches_had_an_estimate(written: tuple[Path, MlflowClient], sweep: ResolvedSweep) -> None:
    index, client = written
    assert "took / expected" not in sweep_page(index, sweep).text
    estimate = CostEstimate(unit="CPU-hours", devices=1, trials=2, hours=1.0, low=0.5, high=2.0)
    courses = {sweep.experiment: [Course(f"{sweep.experiment}-0001", 0.0, estimate, 2.5, 2)]}
    out = index.parent.parent / "with-cost"
    page = write_report([sweep], tracking_uri=client.tracking_uri, out=out, ui_url=UI, courses=courses)
    text = "".join(sweep_page(page, sweep).text.split())
    assert "2of21(0.5–2)2.5CPU-hours2.50no" in text


def test_pages_ask_for_nothing_but_the_files_beside_them(index: Path, pages: dict[Path, Page]) -> None:
    assert len(pages) == 3
    for file, page in pages.items():
        for address in [*page.links, *(source for source, _ in page.sources)]:
            parts = urlsplit(address)
            if parts.scheme:
                assert address.startswith((f"{UI}/#/experiments/", "data:,"))
            else:
                target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
                assert target.is_file(), address
                assert index.parent in target.parents
                assert not parts.fragment or parts.fragment in pages[target].ids, address
        assert set(re.findall(r"https?://[^/\"'<\s]+", file.read_text("utf-8"))) <= {UI}
    for shared in (*index.parent.rglob("*.css"), *index.parent.rglob("*.js")):
        assert not re.search(r"https?://|url\(|@import|fetch|XMLHttpRequest", shared.read_text("utf-8"))
    for svg in index.parent.rglob("*.svg"):
        assert not re.search(r"(href|src)=\"(?!#)", svg.read_text("utf-8"))


def test_every_picture_has_words(pages: dict[Path, Page]) -> None:
    assert all(alt or source.endswith(".js") for page in pages.values() for source, alt in page.sources)


def test_every_cell_run_and_hole_is_named(written: tuple[Path, MlflowClient], sweep: ResolvedSweep) -> None:
    index, client = written
    overview, page, runs = Page(index.read_text("utf-8")), sweep_page(index, sweep), run_page(index, sweep)
    experiment = client.get_experiment_by_name(sweep.experiment).experiment_id
    for cell in sweep.cells[1:]:
        assert page.text.count(f"{cell.arm}, σ = {cell.axes['sigma']:g}") >= 1  # samples
        assert runs.text.count(f"{cell.arm}, σ = {cell.axes['sigma']:g}") == 1
    for run in client.search_runs([experiment], max_results=1000):
        assert f"{UI}/#/experiments/{experiment}/runs/{run.info.run_id}" in page.links
        assert f"{UI}/#/experiments/{experiment}/runs/{run.info.run_id}" in runs.links
    assert "hard Gaussian crop, σ = 0.1: 2/3 seeds; seed 1 diverged (loss is <nan> at epoch 12)" in page.text
    assert runs.text.count("diverged (loss is <nan> at epoch 12)") == 2  # of its cell and of its run
    assert "seed 2 missing" in page.text
    assert sweep.question in overview.text
    assert sweep.question in page.text
    assert sweep.expect in page.text
    assert "31/33" in overview.text
    assert "softaug launch quickstart --scale laptop --seeds 0,1,2" in page.text
    assert "another setting" in page.text


def test_every_number_leads_to_its_runs_and_to_why(index: Path, sweep: ResolvedSweep) -> None:
    page, runs = sweep_page(index, sweep), run_page(index, sweep)
    for cell in sweep.cells:
        anchor = f"cell-{cell.cell_key[:12]}"
        complete = page.links.count(f"runs.html#{anchor}")
        assert complete in (8, 2, 6), cell.title  # n, six numbers, images; a hole's n, images; the baseline's
        assert anchor in runs.ids
        assert f"softaug why {cell.cell_key[:12]} --sweep quickstart --scale laptop" in runs.text


def test_ids_are_unique(pages: dict[Path, Page]) -> None:
    assert all(len(page.ids) == len(set(page.ids)) for page in pages.values())


def test_files_lie_beside_the_page(index: Path, sweep: ResolvedSweep) -> None:
    folder = index.parent / sweep.experiment
    assert {path.name for path in folder.iterdir()} == {
        "index.html",
        "runs.html",
        "samples",
        *(f"softening-over-sigma.{kind}" for kind in ("csv", "svg")),
        *(f"reliability.{kind}" for kind in ("csv", "svg")),
        *(f"table.{kind}" for kind in ("md", "tex", "csv")),
    }


def test_many_cells_are_shown_on_several_pages_of_runs(tmp_path: Path) -> None:
    sigmas = tuple(round(0.001 * step, 3) for step in range(1, 45))
    wide = quickstart(sigmas=sigmas, seeds=(0,))  # 221 cells
    results, site = results_of(wide, made_up(wide)), Site(tmp_path)
    (tmp_path / wide.experiment).mkdir()
    old = tmp_path / wide.experiment / "runs-9.html"
    old.touch()
    write_run_pages(site, results, f"{UI}/#/experiments/1/runs")
    shown = {
        name: Page((tmp_path / wide.experiment / name).read_text("utf-8")).ids for name in map(page_name, range(3))
    }
    assert [sum(name.startswith("cell-") for name in ids) for ids in shown.values()] == [100, 100, 21]
    for cell in wide.cells:
        page, _, anchor = addresses(results)[cell.cell_key].partition("#")
        assert anchor in shown[page]
    assert not old.exists()


def test_tables_of_the_paper_have_pages_where_there_are_runs(tmp_path: Path) -> None:
    place = {method: Place("2", "cifar100", "resnet18", method) for method in ("baseline", "sa", "ra", "sa+ra")}
    one = arms({method: [each] for method, each in place.items()})
    errors = {
        "baseline": [20.7, 20.8, 20.9],
        "sa": [18.2, 18.3, 18.4],
        "ra": [21.9, 22.0, 22.1],
        "sa+ra": [18.0, 18.1, 18.3],
    }
    results, site = paper_results(one, errors), Site(tmp_path)
    site.begin()
    (tmp_path / "table-9.html").touch()  # of an earlier report
    (tmp_path / one.experiment).mkdir()
    found = write_paper_pages(site, [results])
    assert [(each["page"], each["filled"]) for each in found.tables] == [("table-2.html", 4)]
    assert found.claims[0]["page"] == "claims.html"
    page = Page((tmp_path / "table-2.html").read_text("utf-8"))
    for cell in results.cells:
        assert f"{quote(one.experiment)}/runs.html#cell-{cell.cell.cell_key[:12]}" in page.links
    assert "18.30 ± 0.06 (3)" in page.text
    written = {path.name for path in tmp_path.iterdir()}
    tables = {f"table-2.{kind}" for kind in ("html", "md", "tex", "csv")}
    assert written == {one.experiment, "claims.html", "report.css", "tables.js", *tables}
    assert write_paper_pages(site, []).tables == ()


def test_items_are_spread_out_evenly() -> None:
    assert spread_out("abc", 3) == list("abc")
    assert spread_out([str(number) for number in range(101)], 5) == ["0", "25", "50", "75", "100"]
    assert len(set(spread_out("abcdefghijklmnopqrst", 19))) == 19


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
    assert "nothing can be compared" in page.read_text("utf-8")
    assert "nothing can be compared" in sweep_page(page, sweep).text


def test_a_sweep_of_one_seed_without_a_figure_has_a_page(client: MlflowClient, tmp_path: Path) -> None:
    bare = quickstart(sigmas=(0.1,), seeds=(0,)).model_copy(update={"figure": None})
    project(client, bare, made_up(bare), tmp_path / "artifacts")
    page = sweep_page(write_report([bare], tracking_uri=client.tracking_uri, out=tmp_path, ui_url=UI), bare)
    assert not any(alt.startswith("Figure") for _, alt in page.sources)
    assert "soft target, σ = 0.1" in page.text


def test_the_analysis_imports_no_torch_and_no_ray() -> None:
    code = "import sys, analysis.report.report; sys.exit(bool({'torch', 'ray', 'scipy.stats'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
