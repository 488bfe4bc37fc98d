"""The statistics for notebooks, against scipy and the report's own, and the notebook that shows them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from scipy import stats
from synthetic import lose, made_up, project, quickstart

from analysis.results import read_results
from analysis.statistics import cells, compare, detectable_effect, read
from sweeps import launched
from trainables.store import open_store

NOLOAD = "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"  # as in pyproject.toml
NOTEBOOK = Path(__file__).parents[2] / "docs" / "statistics.ipynb"


@pytest.fixture
def runs() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "cell_key": np.repeat(["a", "b", "c"], 4),
            "arm": np.repeat(["standard", "soft", "soft"], 4),
            "seed": [0, 1, 2, 3] * 3,
            "state": "finished",
            "test/top1_error": rng.normal(5, 1, 12),
        }
    )


def test_cells_are_scipys_mean_error_and_interval(runs: pd.DataFrame) -> None:
    found = cells(runs).set_index("cell_key")
    assert list(found.index) == ["a", "b", "c"]
    assert list(found["arm"]) == ["standard", "soft", "soft"]
    for key, group in runs.groupby("cell_key"):
        values = group["test/top1_error"]
        low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
        assert found.loc[key, ["mean", "se", "low", "high"]].to_list() == pytest.approx(
            [values.mean(), stats.sem(values), low, high], rel=1e-6
        )
        assert found.loc[key, ["n", "seeds"]].to_list() == [4, "4/4"]


@pytest.mark.parametrize(("column", "value"), [("state", "diverged"), ("test/top1_error", math.nan)])
def test_a_cell_without_all_its_seeds_has_no_mean(runs: pd.DataFrame, column: str, value: object) -> None:
    runs.loc[5, column] = value
    found = cells(runs).set_index("cell_key")
    assert found.loc["b", "seeds"] == "3/4"
    assert found.loc["b", ["mean", "se", "low", "high"]].isna().all()
    assert found.loc[["a", "c"], "mean"].notna().all()


def test_the_order_of_runs_changes_nothing_but_that_of_cells(runs: pd.DataFrame) -> None:
    shuffled = runs.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        cells(runs).sort_values("cell_key"), cells(shuffled).sort_values("cell_key").reset_index(drop=True)
    )


def test_comparisons_are_scipys_paired_test(runs: pd.DataFrame) -> None:
    a, b = (group.set_index("seed")["test/top1_error"] for _, group in list(runs.groupby("cell_key"))[:2])
    found = compare(a, b.sample(frac=1, random_state=2))
    oracle = stats.ttest_rel(a, b)
    interval = oracle.confidence_interval()
    assert found[["p", "low", "high"]].to_list() == pytest.approx(
        [oracle.pvalue, interval.low, interval.high], rel=1e-6
    )
    assert found["mean"] == pytest.approx(a.mean() - b.mean())
    assert compare(b, a)["mean"] == pytest.approx(-found["mean"])


def test_one_seed_and_equal_differences_are_not_tested() -> None:
    assert math.isnan(compare(pd.Series({0: 2.0}), pd.Series({0: 1.0}))["p"])
    assert math.isnan(compare(pd.Series({0: 2.0, 1: 3.0}), pd.Series({0: 1.0, 1: 2.0}))["p"])


@pytest.mark.parametrize(("n", "comparisons"), [(2, 1), (3, 1), (3, 15), (10, 1), (30, 4)])
def test_the_detectable_effect_has_its_power(n: int, comparisons: int) -> None:
    """By scipy's noncentral t; the other tail has less than a thousandth of it."""
    effect, sd = detectable_effect(n, 0.4, comparisons=comparisons), 0.4
    critical, delta = stats.t.ppf(1 - 0.025 / comparisons, n - 1), effect * math.sqrt(n) / sd
    assert stats.nct.sf(critical, n - 1, delta) == pytest.approx(0.8, abs=1e-3)


def test_mistakes_say_what_and_what_is_allowed(runs: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="runs lack seed"):
        cells(runs.drop(columns="seed"))
    with pytest.raises(ValueError, match="a seed twice"):
        cells(runs.assign(cell_key="one"))
    with pytest.raises(ValueError, match=r"a has \[0, 1\] and b has \[0, 2\]"):
        compare(pd.Series({0: 1.0, 1: 2.0}), pd.Series({0: 1.0, 2: 2.0}))
    with pytest.raises(ValueError, match="one number for each seed"):
        compare(pd.Series([1.0, 2.0], index=[0, 0]), pd.Series({0: 1.0}))
    with pytest.raises(ValueError, match="n must be at least 2"):
        detectable_effect(1, 0.2)
    with pytest.raises(ValueError, match="sd -1"):
        detectable_effect(3, -1)


def test_the_notebook_runs_and_says_what_the_report_says(client: MlflowClient, tmp_path: Path) -> None:
    """Its code cells, in order, in a fresh process in which warnings are errors; no kernel is needed for that."""
    sweep, store = quickstart(sigmas=(0.1, 0.3)), open_store(tmp_path / "runs")
    made = made_up(sweep)
    made[4] = lose(made[4], "diverged", "loss is nan")
    project(client, sweep, made, tmp_path / "artifacts", pictures=False)
    launched.save(store, sweep)
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert all(not cell.get("outputs") for cell in notebook["cells"]), "outputs are cleared"
    variables = {"SOFTAUG_STORE": str(store.root), "MLFLOW_TRACKING_URI": client.tracking_uri}
    code += "\nprint(table.to_json(orient='records'), file=__import__('sys').stderr)"
    command = [sys.executable, "-W", "error", "-W", NOLOAD, "-c", code]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stderr.splitlines()[-1])
    results = read_results(sweep, client)
    assert [(row["cell_key"], row["seeds"]) for row in shown] == [
        (cell.cell.cell_key, cell.seeds) for cell in results.cells
    ]
    for row, cell in zip(shown, results.cells, strict=True):
        known = cell.estimate("test/top1_error")
        assert (row["mean"], row["se"]) == ((None, None) if known is None else pytest.approx((known.mean, known.se)))


def test_runs_of_a_sweep_nobody_launched_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="has no sweep 'absent@paper'; it has none"):
        read(open_store(tmp_path), "absent@paper", tracking_uri="sqlite:///nowhere.db")
