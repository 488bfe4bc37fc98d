"""The plan of a sweep in a ledger: counts, cost, disk, what seeds can show; in JSON, in a terminal, with a budget."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sweeps.cli.main import app
from sweeps.cli.plan_text import print_plan
from sweeps.files.expand import load
from sweeps.launch.preflight import Refused
from sweeps.plan import budget, work_left
from sweeps.plan.plan import Plan, plan_json, plan_of
from sweeps.resolved import Prior, ResolvedSweep, Resources
from sweeps.survey import survey
from tests.sweeps import ledgers
from trainables.ledger import End, TrialFolder
from trainables.store import Store, open_store

PRIOR = Prior(minutes_per_trial=6, factor=1.5, disk_mb_per_trial=2.0, seed_sd=0.5)
SWEEP = ledgers.small_sweep(prior=PRIOR)
BARE = ledgers.small_sweep()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def shown(plan: Plan, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    print_plan(console, plan)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def half_done(store: Store) -> None:
    """The baseline at errors 2 and 4 after 360 s each, of the other cell one seed failed and one is to do."""
    first, second, third, _ = SWEEP.trial_keys
    ended(store, first, 2.0, 360.0)
    ended(store, second, 4.0, 360.0)
    ledgers.fail(ledgers.begin(store, third), "diverged", "the loss is nan", epochs=36)


def ended(store: Store, key: str, error: float, seconds: float, **fields: Any) -> None:
    folder = ledgers.begin(store, key)
    epochs = SWEEP.cells[0].recipe["optim"]["epochs"]
    metrics = {"test/top1_error": error, "test/ece": 1.0}
    values: dict[str, Any] = {"state": "finished", "attempt": 1, "epochs": epochs, "metrics": metrics, "ended": 2000.0}
    folder.trial.finish(End.model_validate({**values, "seconds": seconds, **fields}))


def test_json_holds_everything_under_these_names(store: Store) -> None:
    half_done(store)
    found = json.loads(json.dumps(plan_json(plan_of(store, survey(store, SWEEP), slots=2, budget_hours=1))))
    assert (found["cells"], found["trials"], found["done"], found["to_do"], found["failed"]) == (2, 4, 2, 1, 1)
    assert "stopped" not in found
    assert set(found) == {
        "sweep", "scale", "cells", "trials", "done", "to_do", "failed", "cost", "budget", "factors", "spread",
        "comparisons", "detectable", "by_cell", "search",
    }  # fmt: skip
    cost = found["cost"]
    assert set(cost) == {
        "unit", "left", "spent", "unknown_trials", "seconds_on_other_devices", "slots", "time_left_s", "disk_mb_left",
        "per_seed",
    }  # fmt: skip
    assert cost["unit"] == "CPU-hours"
    assert cost["left"]["value"] == pytest.approx(0.1, rel=0.05)
    assert cost["spent"] == pytest.approx((720 + 36) / 3600)
    assert cost["time_left_s"]["value"] == pytest.approx(cost["left"]["value"] * 3600)
    assert cost["per_seed"] == pytest.approx(2 * cost["left"]["value"])
    assert found["budget"] == {"hours": 1, "verdict": "fits"}
    assert {(row["factor"], row["value"]) for row in found["factors"]} == {
        ("arm", "standard crop"), ("arm", "hard Gaussian crop"), ("sigma", "none"), ("sigma", "0.3"), ("seed", "0"),
        ("seed", "1"),
    }  # fmt: skip
    assert [cell["failed"] for cell in found["by_cell"]] == [0, 1]
    assert [row["n"] for row in found["detectable"]] == [2, 3, 4, 8]
    assert set(found["detectable"][0]) == {"n", "se", "alone", "holm", "more_hours"}
    assert found["spread"]["cells"] == 1
    assert found["spread"]["seed_sd"] == pytest.approx(((2 * 0.25 + 2.0) / 3) ** 0.5)


def test_differences_from_the_baseline_are_paired_by_seed(store: Store) -> None:
    errors = {0: (2.0, 1.0), 1: (4.0, 3.5)}
    for seed, pair in errors.items():
        for cell, error in zip(BARE.cells, pair, strict=True):
            ended(store, cell.trials[seed], error, 360.0)
    found = work_left.spread_of(survey(store, BARE))
    assert found is not None
    assert found.difference_sd == pytest.approx(0.125**0.5)
    assert found.pairs == 1


def test_without_prior_and_results_nothing_is_known_and_the_plan_says_what_to_do(store: Store) -> None:
    found = plan_of(store, survey(store, BARE))
    text = shown(found)
    assert "nothing is known yet of the cost of 4 trials to do" in text
    assert "prior: {minutes_per_trial: 10, factor: 2}" in " ".join(text.split())
    assert "left:" not in text
    as_json = plan_json(found)
    assert (as_json["cost"]["left"], as_json["cost"]["time_left_s"], as_json["detectable"]) == (None, None, [])
    assert as_json["cost"]["unknown_trials"] == 4


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_counts_cost_and_what_seeds_can_show_in_its_width(store: Store, width: int) -> None:
    half_done(store)
    lines = shown(plan_of(store, survey(store, SWEEP), slots=3), width).splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "2 cells, 4 trials: 2 done, 1 to do, 1 failed" in text
    assert "spent 0.21 CPU-hours" in text
    assert "with 3 trials at once" in text
    assert "SD between seeds 0.91" in text
    assert "hard Gaussian crop, sigma 0.3 0 1 1" in text


def test_a_plan_with_nothing_to_do_says_what_was_spent(store: Store) -> None:
    for key in SWEEP.trial_keys:
        ended(store, key, 2.0, 360.0)
    found = plan_of(store, survey(store, SWEEP), budget_hours=0.001)
    assert "4 done, 0 to do, 0 failed" in shown(found)
    assert "spent 0.40 CPU-hours" in shown(found)
    assert found.objection == ""


def test_hours_of_gpus_are_called_so_and_those_on_cpus_not_added_to_them(store: Store) -> None:
    on_gpus = SWEEP.model_copy(update={"resources": Resources(gpus=2.0)})
    ended(store, SWEEP.trial_keys[0], 2.0, 3600.0, device="cpu")
    ended(store, SWEEP.trial_keys[1], 2.0, 1800.0, device="Tesla V100")
    found = plan_of(store, survey(store, on_gpus))
    assert (found.forecast.unit, found.forecast.spent) == ("GPU-hours", pytest.approx(1.0))
    assert "spent 1.0 GPU-hours, and 1.0 trial-hours on other devices" in " ".join(shown(found).split())


def test_disk_left_is_the_priors_until_a_finished_trial_can_be_measured(store: Store) -> None:
    assert work_left.disk_mb_left(store, survey(store, SWEEP)) == 8.0
    assert work_left.disk_mb_left(store, survey(store, BARE)) is None
    ledgers.finish(ledgers.begin(store, SWEEP.trial_keys[0]), 2.0)
    folder = store.root / TrialFolder(store, SWEEP.trial_keys[0]).path
    (folder / "0001" / "weights.safetensors").write_bytes(bytes(3_000_000))
    assert work_left.disk_mb_left(store, survey(store, SWEEP)) == pytest.approx(9.0, rel=0.01)


def test_failed_trials_cost_again_if_they_are_tried_again(store: Store) -> None:
    half_done(store)
    now = survey(store, SWEEP)
    once, again = (work_left.forecast_of(now, retry_failed=each) for each in (False, True))
    assert (once.to_do, again.to_do) == (1, 2)
    assert again.left.value == pytest.approx(2 * once.left.value)
    assert again.spent == once.spent


@pytest.mark.parametrize(
    ("hours", "verdict", "said"),
    [
        (
            0.39,
            "does not fit",
            "above the budget of 0.39; most is in standard crop (0.20), each seed (0.20): leave some out",
        ),
        (0.41, "may not fit", "the upper end is above the budget of 0.41"),
        (1.0, "fits", ""),
    ],
)
def test_a_budget_is_held_against_the_expected_hours_and_then_the_interval(
    store: Store, hours: float, verdict: str, said: str
) -> None:
    now = survey(store, SWEEP)
    found = plan_of(store, now, budget_hours=hours)
    assert found.verdict == verdict
    assert said in found.objection
    warnings: list[str] = []
    if verdict == "does not fit":
        with pytest.raises(Refused, match=r"^--budget: 0\.40 \(0\.1[0-9]–0\.9[0-9]\) CPU-hours expected for 4 trials"):
            budget.launch_estimate(now, hours, warnings.append, retry_failed=False)
    else:
        estimate = budget.launch_estimate(now, hours, warnings.append, retry_failed=False)
        assert estimate is not None
        assert (estimate.trials, estimate.unit, estimate.hours) == (4, "CPU-hours", pytest.approx(0.4))
    assert len(warnings) == (verdict == "may not fit")


def test_no_budget_can_be_kept_of_what_is_unknown_and_none_is_needed_for_nothing(store: Store) -> None:
    with pytest.raises(Refused, match="nothing is known of the cost of 4 trials"):
        budget.launch_estimate(survey(store, BARE), 100.0, print, retry_failed=False)
    assert budget.launch_estimate(survey(store, BARE), None, print, retry_failed=False) is None
    for key in BARE.trial_keys:
        ended(store, key, 2.0, 360.0)
    assert budget.launch_estimate(survey(store, BARE), 0.001, print, retry_failed=False) is None


def test_what_to_trim_names_the_dearest_of_every_factor(store: Store) -> None:
    sweep = load("figure-3", scale="laptop")
    found = plan_of(store, survey(store, sweep), budget_hours=0.1)
    assert "most is in soft weight (0.23), sigma 0.1 (0.57), each seed (0.42): leave some out" in found.objection


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "x"])
@pytest.mark.parametrize("command", ["plan", "launch"])
def test_no_budgets(command: str, hours: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, [command, "quickstart", "--budget", hours, "--store", str(tmp_path / "runs")])
    assert ran.exit_code == 2
    assert "--budget" in ran.output
    assert not (tmp_path / "runs").exists()


def test_the_command_prints_the_plan_and_then_refuses_what_does_not_fit(tmp_path: Path) -> None:
    arguments = ["plan", "quickstart", "--store", str(tmp_path), "--slots", "4", "--budget"]
    fits = CliRunner().invoke(app, [*arguments, "10"])
    assert fits.exit_code == 0
    assert "with 4 trials at once" in fits.output
    refused = CliRunner().invoke(app, [*arguments, "0.01", "--json"])
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["budget"] == {"hours": 0.01, "verdict": "does not fit"}


@pytest.mark.parametrize("name", ["quickstart", "figure-3"])
def test_the_catalog_has_priors_at_every_scale(name: str) -> None:
    scales = {"quickstart": ["laptop", "smoke"], "figure-3": ["paper", "laptop", "smoke"]}[name]
    for scale in scales:
        prior = load(name, scale=scale).prior
        assert prior is not None
        assert None not in prior.model_dump().values()
    assert load("figure-3", scale="paper").prior == Prior(
        minutes_per_trial=150, factor=1.5, disk_mb_per_trial=45, seed_sd=0.25
    )


def test_a_sweep_saved_before_there_were_priors_is_readable(store: Store) -> None:
    old = BARE.model_dump_json(exclude={"prior"})
    assert "prior" not in old
    read = ResolvedSweep.model_validate_json(old)
    assert read == BARE
    path = "sweeps/small@smoke.json"
    store.write(path, SWEEP.sealed(path, indent=1))
    assert ResolvedSweep.read(store, path) == SWEEP


def test_a_machine_fits_at_least_one_trial() -> None:
    assert work_left.slots_here(Resources(cpus=1000)) == 1
    assert work_left.slots_here(Resources(cpus=1)) >= 1
