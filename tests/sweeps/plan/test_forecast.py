"""The forecast: against a grid and simulations; what finished trials do to it; sums over factors are the total."""

import dataclasses
import random
from math import exp, log, sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.plan import forecast as module
from sweeps.plan.forecast import DRIFT, SPREAD, SPREAD_WEIGHT, Span, Work, forecast
from sweeps.resolved import Prior, Resources
from sweeps.survey import TrialState

CPU, GPU = Resources(), Resources(gpus=0.5)
PRIOR = Prior(minutes_per_trial=10, factor=2)


def recipe(model: str = "resnet8", epochs: int = 10, images: int = 100, **more: Any) -> dict[str, Any]:
    return {
        "data": {"name": "digits", "train_images": images, "validation_images": 0},
        "model": {"name": model, "width": 8},
        "optim": {"epochs": epochs},
        **more,
    }


def trial(
    state: TrialState = "pending",
    seconds: float = 0.0,
    epochs: int | None = None,
    *,
    arm: str = "a",
    seed: int = 0,
    **fields: Any,
) -> Work:
    whole = recipe(**fields)
    done = (whole["optim"]["epochs"] if state == "finished" else 0) if epochs is None else epochs
    return Work(whole, state, seconds, done, {"arm": arm, "seed": str(seed)})


def test_the_prior_alone_is_its_minutes_times_the_trials_within_its_factor() -> None:
    found = forecast([trial() for _ in range(6)], PRIOR, CPU)
    assert found.left.value == pytest.approx(1.0)
    assert (found.unit, found.to_do, found.spent, found.per_seed) == ("CPU-hours", 6, 0.0, pytest.approx(1.0))
    assert found.left.high / found.left.value == pytest.approx(found.left.value / found.left.low)
    assert found.left.high == pytest.approx(2**1.96, rel=0.05)


def test_the_minutes_are_of_a_mean_trial_and_single_ones_cost_by_epochs_and_images() -> None:
    works = [Work(recipe(), "pending"), Work(recipe(epochs=20, images=300), "pending")]
    found = forecast(works, PRIOR, CPU)
    assert found.left.value == pytest.approx(20 / 60)
    short, long = found.seconds_left
    assert long == pytest.approx(6 * short)


def test_a_network_may_have_minutes_of_its_own() -> None:
    prior = Prior(minutes_per_trial=10, minutes_by_model={"resnet20": 40}, factor=2)
    found = forecast([trial(), trial(model="resnet20")], prior, CPU)
    assert found.seconds_left == pytest.approx([600, 2400])


def test_validation_images_are_not_trained_on_and_a_data_set_has_a_usual_size() -> None:
    assert Work({**recipe(), "data": {"name": "cifar10", "validation_images": 5000}}, "pending").size == 10 * 45_000
    assert Work({**recipe(), "data": {"name": "cifar10"}}, "pending").size == 10 * 50_000


def test_hours_are_of_what_a_trial_takes_and_named_so() -> None:
    for resources, unit, hours in ((GPU, "GPU-hours", 0.5), (Resources(cpus=4), "CPU-hours", 4.0)):
        found = forecast([trial() for _ in range(6)], PRIOR, resources)
        assert (found.unit, found.left.value) == (unit, pytest.approx(hours))
        assert sum(found.seconds_left) == pytest.approx(3600), "seconds are a trial's, whatever it takes"
        assert found.factors[0].left == pytest.approx(hours)


def test_the_posterior_mean_is_that_of_a_grid() -> None:
    """Bayes' rule on a grid of rates, at the spread that the module plugs in."""
    seconds = [50.0, 61.0, 44.0]
    works = [trial("finished", each) for each in seconds] + [trial()]
    logs = [log(each) for each in seconds]
    mean = sum(logs) / 3
    spread = (4 * 0.2**2 + sum((each - mean) ** 2 for each in logs)) / 6
    grid = [mean + (index - 50_000) / 20_000 for index in range(100_001)]
    start = log(600) - 0.2**2 / 2
    densities = [
        exp(-((t - start) ** 2) / (2 * log(2) ** 2) - sum((each - t) ** 2 for each in logs) / (2 * spread))
        for t in grid
    ]
    expected = sum(t * density for t, density in zip(grid, densities, strict=True)) / sum(densities)
    assert forecast(works, PRIOR, CPU).left.value * 3600 == pytest.approx(exp(expected + spread / 2), rel=1e-6)


def test_one_finished_trial_nearly_replaces_a_wide_prior_and_bends_a_narrow_one_less() -> None:
    works = [trial("finished", 60.0), trial()]
    wide, narrow = (
        forecast(works, Prior(minutes_per_trial=10, factor=factor), CPU).left.value * 3600 for factor in (3.0, 1.05)
    )
    assert wide == pytest.approx(65, rel=0.1)
    assert narrow > 300


def test_without_a_prior_finished_trials_tell_and_without_either_nothing_is_known() -> None:
    found = forecast([trial("finished", 36.0), trial()], None, CPU)
    assert found.left.value == pytest.approx(0.01 * exp(0.02))
    nothing = forecast([trial(), trial(model="resnet20")], None, CPU)
    assert (nothing.known, nothing.unknown, nothing.left, nothing.per_seed) == (False, 2, Span(0, 0, 0), None)
    partly = forecast([trial("finished", 36.0), trial(), trial(model="resnet20")], None, CPU)
    assert (partly.known, partly.unknown) == (False, 1), "another network is another kind"


@pytest.mark.parametrize(
    "other",
    [
        {"simsiam": {}},
        {"model": {"name": "resnet8", "width": 16}},
        {"data": {"name": "cifar10", "train_images": 100}},
    ],
    ids=str,
)
def test_what_makes_another_kind(other: dict[str, Any]) -> None:
    works = [trial("finished", 36.0), Work({**recipe(), **other}, "pending")]
    assert forecast(works, None, CPU).unknown == 1
    same = [trial("finished", 36.0), Work({**recipe(epochs=99), "label_smoothing": 0.1}, "pending")]
    assert forecast(same, None, CPU).known


def test_a_trial_that_was_begun_costs_what_it_lacks_and_tells_from_a_tenth_on() -> None:
    begun = trial("running", 12.0, 5)
    assert forecast([trial("finished", 20.0), begun], None, CPU).seconds_left[0] == pytest.approx(
        0.5 * forecast([trial("finished", 20.0), begun, trial()], None, CPU).seconds_left[1]
    )
    assert forecast([begun], None, CPU).known
    assert not forecast([Work(recipe(epochs=100), "running", 3.0, 9)], None, CPU).known
    assert forecast([Work(recipe(epochs=100), "running", 3.0, 10)], None, CPU).known


def test_what_ended_otherwise_costs_nothing_more_and_tells_nothing() -> None:
    for state in ("failed", "diverged", "stopped", "damaged"):
        found = forecast([trial(state, 5.0, 1)], PRIOR, CPU)
        assert (found.to_do, found.left.value, found.spent) == (0, 0.0, pytest.approx(5 / 3600))
        assert not forecast([trial(state, 5.0, 1), trial()], None, CPU).known


def test_trials_of_other_devices_tell_nothing_and_are_in_no_sum() -> None:
    elsewhere = dataclasses.replace(trial("finished", 7200.0), like_devices=False)
    found = forecast([elsewhere, trial()], None, GPU)
    assert (found.unknown, found.spent, found.elsewhere_s) == (1, 0.0, 7200.0)


def test_trials_yet_to_be_asked_for_cost_like_those_of_their_recipe() -> None:
    known = [trial("finished", 36.0), trial()]
    with_them = forecast(known, None, CPU, future=[(recipe(), 3), (recipe(epochs=20), 1)])
    assert with_them.left.value == pytest.approx(6 * forecast(known, None, CPU).left.value)
    (row,) = [cost for cost in with_them.factors if cost.value == "not asked for yet"]
    assert (row.trials, row.to_do) == (4, 4)
    assert row.left == pytest.approx(5 / 6 * with_them.left.value)
    assert with_them.per_seed == pytest.approx(2 * forecast(known, None, CPU).left.value), "a seed more of the cells"


@pytest.mark.parametrize(("slots", "rounds"), [(1, 7), (2, 4), (3, 3), (7, 1), (50, 1)])
def test_the_time_left_is_the_rounds_of_the_slots(slots: int, rounds: int) -> None:
    found = forecast([trial() for _ in range(7)], PRIOR, CPU)
    time = found.time_left_s(slots)
    assert time.value == pytest.approx(600 * rounds)
    assert time.high / time.value == pytest.approx(found.left.high / found.left.value)


def test_a_slot_takes_the_next_trial_as_soon_as_it_is_free() -> None:
    works = [Work(recipe(epochs=epochs), "pending") for epochs in (40, 10, 10, 20, 20)]
    found = forecast(works, PRIOR, CPU)
    unit = found.seconds_left[1]
    assert found.time_left_s(2).value == pytest.approx(6 * unit)
    assert forecast([], PRIOR, CPU).time_left_s(2) == Span(0, 0, 0)


def test_what_runs_already_ends_first() -> None:
    found = forecast([trial(), trial("running", 0.0, 9)], PRIOR, CPU)
    assert found.seconds_left[0] < found.seconds_left[1]


states = st.sampled_from(["finished", "failed", "running", "pending"])
some_trials = st.lists(
    st.builds(
        lambda state, seconds, arm, seed, model, images, axis: dataclasses.replace(
            trial(state, seconds, {"running": 4, "failed": 2}.get(state), seed=seed, model=model, images=images),
            factors={"arm": arm, "seed": str(seed), **({"sigma": axis} if axis else {})},
        ),
        states,
        st.floats(0.5, 5e4),
        st.sampled_from("ab"),
        st.integers(0, 2),
        st.sampled_from(["resnet8", "resnet20"]),
        st.sampled_from([100, 300]),
        st.sampled_from(["", "0.1", "0.3"]),
    ),
    min_size=1,
    max_size=12,
)


@given(some_trials, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_sums_over_every_factor_are_the_total_and_the_order_does_not_matter(
    works: list[Work], with_prior: bool, shuffle: random.Random
) -> None:
    found = forecast(works, PRIOR if with_prior else None, CPU)
    for factor in {cost.factor for cost in found.factors}:
        costs = [cost for cost in found.factors if cost.factor == factor]
        assert sum(cost.left for cost in costs) == pytest.approx(found.left.value)
        assert sum(cost.spent for cost in costs) == pytest.approx(found.spent)
        assert sum(cost.trials for cost in costs) == len(works)
        assert sum(cost.to_do for cost in costs) == found.to_do
    assert 0 <= found.left.low <= found.left.value <= found.left.high
    shuffled = list(works)
    shuffle.shuffle(shuffled)
    again = forecast(shuffled, PRIOR if with_prior else None, CPU)
    assert again.left.value == pytest.approx(found.left.value)
    assert again.left.high == pytest.approx(found.left.high)
    assert again.per_seed == pytest.approx(found.per_seed)


@given(st.integers(0, 12), st.floats(1, 1e4), st.booleans())
@settings(max_examples=60)
def test_every_further_trial_that_takes_as_long_as_the_others_narrows_the_interval(
    n: int, seconds: float, with_prior: bool
) -> None:
    prior = PRIOR if with_prior else None
    widths = [
        forecast([*[trial("finished", seconds)] * count, *[trial()] * 5], prior, CPU).left for count in (n, n + 1)
    ]
    if widths[0].value:
        assert widths[1].high / widths[1].low < widths[0].high / widths[0].low


@pytest.mark.parametrize(("finished", "to_do"), [(0, 12), (1, 12), (3, 30), (10, 5), (2, 1)])
def test_the_interval_holds_what_it_says_in_simulated_sweeps(finished: int, to_do: int) -> None:
    """Draw spread, rate, drift and trials as the model says, 3,000 times; 95 % of the sums should be inside."""
    numbers = random.Random(f"{finished} {to_do}")
    inside = 0
    for _ in range(3000):
        spread = sqrt(SPREAD_WEIGHT * SPREAD**2 / numbers.gammavariate(SPREAD_WEIGHT / 2, 2))  # chi square, inverse
        rate = numbers.gauss(log(600), log(2))
        later = rate + numbers.gauss(0, DRIFT)
        seen = [exp(numbers.gauss(rate, spread)) for _ in range(finished)]
        took = sum(exp(numbers.gauss(later, spread)) for _ in range(to_do))
        found = forecast([*[trial("finished", each) for each in seen], *[trial()] * to_do], PRIOR, CPU)
        inside += found.left.low <= took / 3600 <= found.left.high
    assert 0.93 <= inside / 3000 <= 0.97


def test_the_simulation_would_see_an_interval_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "t_975", lambda _: 1.5)
    with pytest.raises(AssertionError):
        test_the_interval_holds_what_it_says_in_simulated_sweeps(3, 30)
