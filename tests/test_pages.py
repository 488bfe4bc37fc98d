"""What a person opens, opened in Chromium: the report, and MLflow's pages of a cell and of a trial."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import servers
from tests.conftest import Softaug

pytestmark = pytest.mark.slow
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# MLflow's own page asks who is logged in; a server without users answers 404, and Chromium logs that.
RESIZED = "ResizeObserver loop completed with undelivered notifications"  # Chromium on MLflow's charts; harmless
NO_USERS = "/ajax-api/2.0/mlflow/users/current"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="module")
def report(mlflow: str, softaug: Softaug, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Launch the quickstart's smoke scale over HTTP and return the page of its report."""
    folder = tmp_path_factory.mktemp("pages")
    options = ("--scale", "smoke", "--store", folder / "runs", "--tracking-uri", mlflow)
    launched = softaug("launch", "quickstart", *options)
    assert launched.returncode == 0, launched.stdout + launched.stderr
    assert "not in MLflow" not in launched.stdout
    written = softaug("report", "quickstart", *options, "--out", folder / "report")
    assert written.returncode == 0, written.stdout + written.stderr
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return a page that fails the test at its end for anything that went wrong in it."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    wrong: list[str] = []
    refused: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    yield opened
    opened.close()
    assert [url for url in refused if not url.endswith(NO_USERS)] == []
    assert [text for text in wrong if "404" not in text and RESIZED not in text] == []
    assert sum("404" in text for text in wrong) == len(refused)


def runs(mlflow: str, kind: str) -> list[Run]:
    client = MlflowClient(mlflow)
    experiment = client.get_experiment_by_name("quickstart@smoke")
    found: list[Run] = client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'")
    return found


def html(report: Path) -> list[Path]:
    """Return all pages of a report."""
    return sorted(report.parent.rglob("*.html"))


def test_the_report_has_every_cell_and_run_and_makes_no_request(report: Path, page: Page, mlflow: str) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(report.as_uri())
    page.get_by_role("link", name="quickstart@smoke").first.click()
    for heading in ("quickstart@smoke", "Numbers", "Reliability", "Augmented images"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    assert page.locator("img").count() >= 8
    for arm in ("standard crop", "hard Gaussian crop", "label smoothing", "soft target", "soft weight"):
        expect(page.get_by_role("rowheader", name=arm, exact=True).first).to_be_visible()
    links = {link.get_attribute("href") for link in page.locator("a[href^=http]").all()}
    for run in runs(mlflow, "trial"):
        assert f"{mlflow}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" in links
    page.locator("tbody a[href*='#cell-']").first.click()
    expect(page.locator(".cell:target")).to_be_visible()
    expect(page.locator(".cell:target code")).to_contain_text("softaug why")
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []


def shows_its_pictures(page: Page) -> bool:
    """Load the pictures that wait until they are scrolled to, and say whether all are there and have a text."""
    page.evaluate("[...document.images].forEach(image => { image.loading = 'eager' })")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    return bool(page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)"))


@pytest.mark.parametrize("width", [400, 1600])
def test_every_page_fits_the_window_and_shows_its_pictures(report: Path, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for file in html(report):
        page.goto(file.as_uri())
        assert shows_its_pictures(page), file
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), file
        assert page.locator("h1").count() == 1


def test_tables_are_sorted_and_searched_by_the_keyboard(report: Path, page: Page) -> None:
    page.goto((report.parent / "quickstart@smoke" / "index.html").as_uri())
    table = page.locator("table").first
    heading = table.get_by_role("columnheader", name="top-1 error (%)")

    def errors() -> list[float]:
        return [
            float(text.split()[0]) for text in table.locator("tbody tr:visible td:nth-of-type(3)").all_inner_texts()
        ]

    declared = errors()
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert errors() == sorted(declared)
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert errors() == sorted(declared, reverse=True)
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") is None
    assert errors() == declared
    page.get_by_role("searchbox").first.fill("soft WEIGHT")
    names = table.locator("tbody tr:visible th").all_inner_texts()
    assert names
    assert set(names) == {"soft weight", "soft target & weight"} & set(names)
    expect(page.get_by_role("status").first).to_have_text(f"{len(names)} of {len(declared)} rows")


@pytest.mark.parametrize("kind", ["cell", "trial"])
def test_mlflow_shows_charts_and_pictures_of_a(kind: str, report: Path, mlflow: str, page: Page) -> None:
    assert report.exists()
    run = runs(mlflow, kind)[0]
    address = f"{mlflow}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    page.goto(f"{address}/model-metrics")
    expect(page.get_by_role("heading", name=run.info.run_name)).to_be_visible(timeout=30_000)
    expect(page.locator(".js-plotly-plot, .plotly").first).to_be_visible(timeout=30_000)
    page.goto(f"{address}/artifacts/samples.png")
    picture = page.get_by_role("main").locator("img, canvas").first
    expect(picture).to_be_visible(timeout=30_000)


@pytest.fixture(scope="module")
def searched(softaug: Softaug, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Launch a search in small and return the page of its report."""
    folder = tmp_path_factory.mktemp("searched")
    options = ("--scale", "smoke", "--store", folder / "runs")
    launched = softaug("launch", "search-joint", *options)
    assert launched.returncode == 0, launched.stdout + launched.stderr
    assert "warning" not in launched.stderr
    written = softaug("report", "search-joint", *options, "--out", folder / "report")
    assert written.returncode == 0, written.stdout + written.stderr
    assert "arning" not in written.stderr
    return folder / "report" / "search-joint@smoke" / "index.html"


def test_the_report_shows_a_search_its_winners_and_its_figures(searched: Path, page: Page) -> None:
    page.goto(searched.as_uri())
    for heading in ("Search", "Winners", "Contour: top-1 error", "Parallel coordinates"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    assert shows_its_pictures(page)
    asks = page.locator("table.asks")
    expect(asks).to_be_hidden()
    page.get_by_text("All 14 cells asked for").click()
    expect(asks).to_be_visible()
    assert asks.locator("tbody tr").count() == 14


@pytest.mark.parametrize("width", [400, 1600])
def test_the_report_of_a_search_fits_the_window(searched: Path, browser: Browser, width: int) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 900})
    opened.goto(searched.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shown = opened.evaluate("[...document.querySelectorAll('.search img')].map(image => image.width)")
    assert min(shown) >= 500, "letters stay readable; the figure scrolls within the page"
    opened.close()
