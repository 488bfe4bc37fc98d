"""A search's Optuna study, rebuilt from what the ledger says: what the sampler asks for next, and what plots draw.

Cell i is asked for from a study in which exactly the cells 0 ... i - in_flight have ended, whatever else has by then,
by a fresh sampler seeded by (search seed, i). So the cells are a function of the search's file and of its trials'
results, not of the order in which these came or of interruptions. No storage but memory: the samplers need no more.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from typing import cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from sweeps.search.search import Outcome, Parameter, Search, Value, Values

STARTUP_CELLS = 10  # that TPE draws at random, its default


STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Asker:
    """Asks for cells one after the other; `outcomes` are told in the cells' order, as far as they are needed."""

    def __init__(self, search: Search) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.search = search
        self.study = optuna.create_study(directions=["minimize"] * len(search.minimize))
        self.open: list[optuna.Trial] = []  # asked for and not told of, in order
        self.asked = 0
        self.grid = grid(search.parameters)
        self.points: set[frozenset[tuple[str, Value]]] = set()  # all that were asked for

    @property
    def told(self) -> int:
        """How many cells, from the first on, the study knows the outcome of."""
        return self.asked - len(self.open)

    def ask(self) -> Values | None:
        """Return the values of the next cell, None if a grid has no more."""
        if self.search.sampler == "grid":
            values = next((each for each in self.grid if not self._was_asked(each)), None)
            if values is not None:
                self.again(values)
            return values
        values = {}
        self.study.sampler = _sampler(self.search, self.asked)
        trial = self.study.ask()
        for parameter in self.search.parameters:
            if parameter.is_there(values):
                values[parameter.name] = parameter.exact(_suggest(trial, parameter))
        # TPE leaves notes in a trial that it drew, and reads them while that is open; one that is rebuilt has none.
        # So that both are alike, no open trial is one that it drew; it never looks at one that failed.
        self.study.tell(trial, state=TrialState.FAIL)
        self.again(values)
        return values

    def again(self, values: Values) -> None:
        """Take up a cell that was asked for earlier, as one that is still open."""
        self.study.sampler = RandomSampler(seed=0)  # not asked: the values are there
        self.study.enqueue_trial(values)
        trial = self.study.ask()
        for parameter in self.search.parameters:
            if parameter.name in values:
                _suggest(trial, parameter)
        self.open.append(trial)
        self._note(values)

    def tell(self, outcome: Outcome) -> None:
        """Tell how the first of the open cells ended."""
        trial = self.open.pop(0)
        if outcome.state == "complete":
            self.study.tell(trial, list(outcome.values))
            return
        for epoch, value in outcome.steps.items():
            trial.report(value, epoch)
        self.study.tell(trial, state=STATES[outcome.state])

    def ended(self, cells: Sequence[tuple[Values, Outcome]]) -> None:
        """Begin with cells that have ended, before any other."""
        self.study.add_trials([frozen(self.search, values, outcome) for values, outcome in cells])
        for values, _ in cells:
            self._note(values)

    def _note(self, values: Values) -> None:
        self.points.add(frozenset(values.items()))
        self.asked += 1

    def _was_asked(self, values: Values) -> bool:
        return frozenset(values.items()) in self.points


def frozen(search: Search, values: Values, outcome: Outcome) -> optuna.trial.FrozenTrial:
    """Return a cell that has ended as Optuna keeps it."""
    known = {parameter.name: parameter for parameter in search.parameters}
    return create_trial(
        state=STATES[outcome.state],
        values=list(outcome.values) if outcome.state == "complete" else None,
        params=dict(values),
        distributions={name: distribution(known[name]) for name in values},
        intermediate_values=dict(outcome.steps),
    )


def grid(parameters: Sequence[Parameter]) -> Iterator[Values]:
    """Yield every point of a grid, the last parameter running fastest; a parameter that is not there adds none."""

    def beyond(values: Values, left: Sequence[Parameter]) -> Iterator[Values]:
        if not left:
            yield values
        elif left[0].is_there(values):
            for value in left[0].grid():
                yield from beyond({**values, left[0].name: value}, left[1:])
        else:
            yield from beyond(values, left[1:])

    return beyond({}, parameters)


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return a parameter as Optuna knows it."""
    if parameter.kind == "choice":
        return CategoricalDistribution([choice.value for choice in parameter.choices])
    if parameter.kind == "int":
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=step)
    return FloatDistribution(float(parameter.low), float(parameter.high), log=parameter.log, step=parameter.step)


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Value:
    name, low, high = parameter.name, parameter.low, parameter.high
    if parameter.kind == "choice":
        return cast(Value, trial.suggest_categorical(name, [choice.value for choice in parameter.choices]))
    if parameter.kind == "int":
        return trial.suggest_int(name, int(low), int(high), step=int(parameter.step or 1), log=parameter.log)
    return trial.suggest_float(name, float(low), float(high), step=parameter.step, log=parameter.log)


def _sampler(search: Search, number: int) -> BaseSampler:
    """Return a sampler that has drawn nothing yet; `group`: TPE copes with parameters that are not always there."""
    seed = int.from_bytes(hashlib.sha256(f"{search.seed}/search/{number}".encode()).digest()[:4])
    if search.sampler == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, n_startup_trials=STARTUP_CELLS, multivariate=True, group=True, constant_liar=True)
