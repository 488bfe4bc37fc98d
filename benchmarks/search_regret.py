"""Does TPE find a better cell than random search?   python benchmarks/search_regret.py

Question: the regret after 40 cells, that is how much worse than the optimum the cell is that looks best, by its true
value, for TPE and for random search, on a synthetic surface shaped like the paper's Figure 3: top-1 error over sigma
and k, least at sigma 0.3 and k 2, seed noise of standard deviation 0.2. Both ask through the project's own Asker with
four cells open at once. 50 repetitions, paired by the search's seed (so both begin with the same ten random cells).
Expected: TPE's mean regret is lower, and the 95 % t interval of the paired difference excludes 0. Cost: about a minute.
"""

import argparse
import math
import random
import statistics

from scipy import stats

from sweeps.search.search import Budget, Outcome, Parameter, SamplerName, Search, Values
from sweeps.search.study import Asker

CELLS, REPETITIONS, IN_FLIGHT = 40, 50, 4
BEST_SIGMA, BEST_K, LEAST, WORSE = 0.3, 2.0, 18.0, 5.0  # percent of top-1 error: the least, and how much worse it gets
SEED_NOISE = 0.2
SIGMA = Parameter(name="sigma", label="σ", kind="float", field="crop.sigma", low=0.05, high=0.8)
K = Parameter(name="k", label="k", kind="float", field="softening.k", low=0.5, high=6.0, log=True)


def search(sampler: SamplerName, seed: int) -> Search:
    """Return a search over sigma and k."""
    return Search(
        parameters=[K, SIGMA],
        base={},
        confirm_base={},
        preset="paper",
        minimize=["val/top1_error"],
        sampler=sampler,
        seed=seed,
        seeds=[0],
        budget=Budget(cells=CELLS),
        in_flight=IN_FLIGHT,
        halving=None,
        winners=1,
    )


def error(values: Values) -> float:
    """Return the true top-1 error: a bowl in log sigma and log k that levels off, steeper in sigma."""
    away = (math.log(float(values["sigma"]) / BEST_SIGMA) / 0.6) ** 2 + math.log(float(values["k"]) / BEST_K) ** 2
    return LEAST + WORSE * (1 - math.exp(-away / 2))


def regret(sampler: SamplerName, seed: int) -> float:
    """Return the regret of one search: cells end in the order they were asked for, `IN_FLIGHT` open at once."""
    noise, asker = random.Random(seed), Asker(search(sampler, seed))
    asked: list[Values] = []
    measured: list[float] = []
    for number in range(CELLS):
        while asker.told < number - IN_FLIGHT + 1:
            asker.tell(Outcome("complete", (measured[asker.told],)))
        values = asker.ask()
        if values is None:
            raise SystemExit("only a grid has an end")
        asked.append(values)
        measured.append(error(values) + noise.gauss(0, SEED_NOISE))
    return error(asked[measured.index(min(measured))]) - LEAST


def main() -> None:
    """Print both regrets and their difference."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    number = parser.parse_args().repetitions
    samplers: tuple[SamplerName, SamplerName] = ("tpe", "random")
    found = {sampler: [regret(sampler, seed) for seed in range(number)] for sampler in samplers}
    for sampler, regrets in found.items():
        error_of_mean = statistics.stdev(regrets) / math.sqrt(number)
        print(f"{sampler:7} regret {statistics.fmean(regrets):.3f} ± {error_of_mean:.3f} % points (n = {number})")
    differences = [tpe - drawn for tpe, drawn in zip(*found.values(), strict=True)]
    mean, spread = statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(number)
    reach = float(stats.t.ppf(0.975, number - 1)) * spread
    verdict = "excludes 0" if mean + reach < 0 or mean - reach > 0 else "includes 0"
    interval = f"[{mean - reach:+.3f}, {mean + reach:+.3f}]"
    print(f"TPE - random {mean:+.3f}, 95 % interval {interval}: {verdict} (target: below 0)")


if __name__ == "__main__":
    main()
