"""What is left to do of a sweep, in hours, from the prior in its file, corrected by what its trials took so far.

A trial's size is its epochs times its training images; it takes size x exp(t + e) seconds. t, the log rate, is the same
for all trials of a kind (network, data set, supervised or SimSiam, devices); e ~ N(0, s2) is a trial's own.

    prior        t ~ N(t0, log(factor)^2), t0 such that a mean trial of the kind takes `minutes_per_trial`, or what
                 `minutes_by_model` says for its network
    spread       s2 = (n0 s0^2 + S) / (n0 + n - 1), S the squares of the n log rates known around their mean;
                 s0 = 0.2 at n0 = 4 until trials tell (scaled inverse chi square)
    after n      t ~ N(m, v), 1/v = 1/log(factor)^2 + n/s2, m = v (t0/log(factor)^2 + n mean/s2)

The prior thus counts as s2 / log(factor)^2 observations: the wider its factor, the sooner the first trial replaces it
(Gelman et al., Bayesian Data Analysis, 3rd ed., 2.5-2.6, with s2 plugged in). Finished trials are observations, others
from a tenth of their epochs on. A trial to come is expected to take size x exp(m + s2/2), one that was begun the part
of it that it lacks. The 95 % interval of a sum is log-normal around it, of the variances of every kind's mean and of
single trials, with a t quantile at Satterthwaite's degrees of freedom; a mean is never known better than `DRIFT`, since
machines are faster in some hours than in others. Only time inside fit is counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heapreplace
from math import exp, expm1, fsum, inf, log, log1p, sqrt
from typing import Any, Literal

from softaug.datasets import DATASETS
from softaug.estimate import t_975
from sweeps.resolved import Prior, Resources
from sweeps.survey import TrialState

SPREAD, SPREAD_WEIGHT = 0.2, 4  # s0 and n0
DRIFT = 0.1  # sd of a log rate between what has run and what is to run
TELLING_PART = 0.1  # of its epochs, from which on an unfinished trial tells of the rate
SEARCHED = {"arm": "not asked for yet"}

Unit = Literal["CPU-hours", "GPU-hours"]
Kind = tuple[object, ...]


@dataclass(frozen=True)
class Work:
    """One trial: its canonical recipe, how it stands, seconds inside fit and epochs so far.

    `factors`: what its cost is summed by, such as {"arm": "soft target", "sigma": "0.3", "seed": "0"}. `like_devices`:
    False if it ran on other devices than the trials to come will, so that its seconds tell nothing of theirs.
    """

    recipe: Mapping[str, Any]
    state: TrialState
    seconds: float = 0.0
    epochs: int = 0
    factors: Mapping[str, str] = field(default_factory=dict)
    like_devices: bool = True

    @property
    def to_do(self) -> bool:
        """Whether there is cost to come."""
        return self.state in ("running", "pending")

    @cached_property
    def size(self) -> float:
        """Epochs x training images of the whole trial."""
        data = self.recipe["data"]
        images = (data.get("train_images") or DATASETS[data["name"]].default_train) - data.get("validation_images", 0)
        return float(self.recipe["optim"]["epochs"] * images)

    @property
    def part_done(self) -> float:
        """Part of the epochs that is done, 0 to 1."""
        if self.state == "finished":
            return 1.0
        return min(self.epochs / int(self.recipe["optim"]["epochs"]), 1.0)

    @cached_property
    def kind(self) -> Kind:
        """What trials share that have one rate."""
        model, data = self.recipe["model"], self.recipe["data"]
        simsiam = self.recipe.get("simsiam") is not None
        return (model["name"], model["width"], data["name"], data.get("evaluation_px"), simsiam)

    @property
    def log_rate(self) -> float | None:
        """Log of the seconds per epoch and training image, None if it tells nothing of it."""
        told = self.state == "finished" or (self.to_do and self.part_done >= TELLING_PART)
        if not told or not self.like_devices or self.seconds <= 0:
            return None
        return log(self.seconds / (self.size * self.part_done))


@dataclass(frozen=True)
class Rate:
    """A kind's log rate, N(mean, variance); `spread`: variance of single trials, known with `freedom` degrees."""

    mean: float
    variance: float
    spread: float
    freedom: float

    def seconds(self, size: float) -> float:
        """Return what a trial of this size is expected to take."""
        return size * exp(self.mean + self.spread / 2)


@dataclass(frozen=True)
class Span:
    """An expected value and its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Span":
        """Return the same in another unit."""
        return Span(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class FactorCost:
    """Trials with one value of a factor, how many of them are to do, and hours left and spent."""

    factor: str
    value: str
    trials: int
    to_do: int
    left: float
    spent: float


@dataclass(frozen=True)
class Forecast:
    """What is left of a sweep. `unit` is that of all hours: GPU-hours if a trial needs GPUs, else CPU-hours.

    `unknown`: trials to do of which nothing is known, in no sum. `elsewhere_s`: seconds inside fit of trials that ran
    on other devices, in no sum. `per_seed`: hours of one more seed of every cell, None if a rate is unknown.
    """

    unit: Unit
    to_do: int
    unknown: int
    left: Span
    spent: float
    elsewhere_s: float
    per_seed: float | None
    factors: Sequence[FactorCost]
    seconds_left: Sequence[float]  # of the trials to do, those that run first

    @property
    def known(self) -> bool:
        """Whether something is known of every trial to do."""
        return self.unknown == 0

    def time_left_s(self, slots: int) -> Span:
        """Return the time until all trials have ended, `slots` at a time, each slot taking the next trial."""
        total = fsum(self.seconds_left)
        return self.left.times(_makespan(self.seconds_left, slots) / self.left.value) if total else Span(0, 0, 0)


def forecast(
    trials: Sequence[Work],
    prior: Prior | None,
    resources: Resources,
    *,
    future: Iterable[tuple[Mapping[str, Any], int]] = (),
) -> Forecast:
    """Return what is left of these trials, which are in the order they run in; no sum depends on it.

    `future`: canonical recipes, and how many trials of each a search has yet to ask for.
    """
    works = [*trials, *(Work(recipe, "pending", factors=SEARCHED) for recipe, count in future for _ in range(count))]
    unit: Unit = "GPU-hours" if resources.gpus else "CPU-hours"
    hours = (resources.gpus or resources.cpus) / 3600
    rates = {kind: rate for kind, alike in _by_kind(works).items() if (rate := _rate(alike, prior)) is not None}
    left_s = [_left_s(work, rates) for work in works]
    spent_s = [work.seconds if work.like_devices else 0.0 for work in works]
    to_do = [index for index, work in enumerate(works) if work.to_do]
    return Forecast(
        unit=unit,
        to_do=len(to_do),
        unknown=sum(work.to_do and work.kind not in rates for work in works),
        left=_interval(works, left_s, rates).times(hours),
        spent=fsum(spent_s) * hours,
        elsewhere_s=fsum(work.seconds for work in works if not work.like_devices),
        per_seed=_per_seed(works, rates, hours),
        factors=_by_factor(works, [left * hours for left in left_s], [spent * hours for spent in spent_s]),
        seconds_left=[left_s[index] for index in sorted(to_do, key=lambda index: works[index].state != "running")],
    )


def _by_kind(works: Iterable[Work]) -> dict[Kind, list[Work]]:
    alike: dict[Kind, list[Work]] = {}
    for work in works:
        alike.setdefault(work.kind, []).append(work)
    return alike


def _rate(alike: Sequence[Work], prior: Prior | None) -> Rate | None:
    """Return the rate of a kind, None without a prior and without an observation."""
    seen = [rate for work in alike if (rate := work.log_rate) is not None]
    n, spread, freedom = len(seen), SPREAD**2, inf
    mean = fsum(seen) / n if n else 0.0
    if n:
        freedom = SPREAD_WEIGHT + n - 1
        spread = (SPREAD_WEIGHT * SPREAD**2 + fsum((each - mean) ** 2 for each in seen)) / freedom
    if prior is None:
        return Rate(mean, spread / n, spread, freedom) if n else None
    size = fsum(work.size for work in alike) / len(alike)
    weight = 1 / log(prior.factor) ** 2
    variance = 1 / (weight + n / spread)
    minutes = prior.minutes_by_model.get(alike[0].recipe["model"]["name"], prior.minutes_per_trial)
    expected = log(60 * minutes / size) - SPREAD**2 / 2
    return Rate(variance * (weight * expected + n * mean / spread), variance, spread, freedom)


def _left_s(work: Work, rates: Mapping[Kind, Rate]) -> float:
    if not work.to_do or work.kind not in rates:
        return 0.0
    return rates[work.kind].seconds(work.size) * (1 - work.part_done)


def _interval(works: Sequence[Work], left_s: Sequence[float], rates: Mapping[Kind, Rate]) -> Span:
    """Return the sum of what is left, in seconds, with its 95 % interval."""
    total = fsum(left_s)
    if total == 0:
        return Span(0.0, 0.0, 0.0)
    left: dict[Kind, list[float]] = {}
    for work, seconds in zip(works, left_s, strict=True):
        if seconds:
            left.setdefault(work.kind, []).append(seconds)
    variances = {
        kind: expm1(rates[kind].variance + DRIFT**2) * fsum(each) ** 2
        + expm1(rates[kind].spread) * fsum(seconds**2 for seconds in each)
        for kind, each in left.items()
    }
    variance = fsum(variances.values())
    inverse = fsum((part / variance) ** 2 / rates[kind].freedom for kind, part in variances.items())
    freedom = int(min(1 / inverse, 1e6)) if inverse else 10**6
    quantile = t_975(max(freedom, 1)) if freedom < 10**6 else 1.959964
    width = exp(quantile * sqrt(log1p(variance / total**2)))
    return Span(total, total / width, total * width)


def _per_seed(works: Sequence[Work], rates: Mapping[Kind, Rate], hours: float) -> float | None:
    seeds = {work.factors["seed"] for work in works if "seed" in work.factors}
    seeded = [work for work in works if "seed" in work.factors]
    if not seeds or any(work.kind not in rates for work in seeded):
        return None
    return fsum(rates[work.kind].seconds(work.size) for work in seeded) * hours / len(seeds)


def _by_factor(works: Sequence[Work], left: Sequence[float], spent: Sequence[float]) -> list[FactorCost]:
    """Return the cost by every value of every factor; trials without a factor are under "none" of it."""
    costs = []
    for factor in dict.fromkeys(name for work in works for name in work.factors):
        groups: dict[str, list[int]] = {}
        for index, work in enumerate(works):
            groups.setdefault(work.factors.get(factor, "none"), []).append(index)
        for value, indices in groups.items():
            to_do = sum(works[index].to_do for index in indices)
            sums = (fsum(hours[index] for index in indices) for hours in (left, spent))
            costs.append(FactorCost(factor, value, len(indices), to_do, *sums))
    return costs


def _makespan(seconds: Sequence[float], slots: int) -> float:
    """Return when the last of these is over if each of the slots takes the next one as soon as it is free."""
    free = [0.0] * max(min(slots, len(seconds)), 1)
    heapify(free)
    for each in seconds:
        heapreplace(free, free[0] + each)
    return max(free)
