"""A search's history as one Optuna study: for Optuna's plots in memory, for optuna-dashboard in a file.

Trial n is ask n, under its own number; cells that are still open are running. Every trial says in its user attributes
which cell and which trials of the ledger it is, and what became of it.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.history import Asked, History
from sweeps.search.search import Outcome, Parameter
from sweeps.search.study import distribution, frozen

MEANT = (  # beginnings of what Optuna and matplotlib warn of, and we mean or say in a caption
    "PedAnovaImportanceEvaluator computes",  # importance for low values
    "Some regimes for parameter",  # few cells have a parameter that is not always there
    "Contour plot will not be displayed because",  # two parameters that exclude each other
    "No contour levels were found",  # cells that are all equally good
    "Attempting to set identical low and high",  # the same
)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep warnings from users that are meant for callers, or that captions say better."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for said in MEANT:
            warnings.filterwarnings("ignore", said, UserWarning)
        yield


def study(history: History, *, storage: optuna.storages.BaseStorage | None = None) -> optuna.Study:
    """Return the search's study, in memory or in a storage, named as the experiment."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = history.search
    made = optuna.create_study(
        storage=storage, study_name=history.sweep.experiment, directions=["minimize"] * len(search.minimize)
    )
    with quiet_optuna():
        made.set_metric_names(search.minimize)
    for name, text in _about(history).items():
        made.set_user_attr(name, text)
    made.add_trials([_trial(history, each) for each in history.asked])
    return made


def write_study(history: History, file: Path) -> None:
    """Write the study as an SQLite file that optuna-dashboard opens, in the place of one that is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent, prefix=".softaug-") as folder:
        written = Path(folder) / file.name
        storage = optuna.storages.RDBStorage(f"sqlite:///{written}")
        try:
            study(history, storage=storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()
        os.replace(written, file)


def _about(history: History) -> dict[str, Any]:
    sweep, search = history.sweep, history.search
    return {
        "sweep": sweep.experiment,
        "question": sweep.question,
        "minimized": ", ".join(search.minimize),
        "sampler": search.sampler,
        "seeds of every cell": search.seeds,
        "labels": {parameter.name: parameter.label for parameter in search.parameters},
    }


def _trial(history: History, asked: Asked) -> FrozenTrial:
    search = history.search
    if asked.state == "open":
        known: Mapping[str, Parameter] = {parameter.name: parameter for parameter in search.parameters}
        distributions = {name: distribution(known[name]) for name in asked.ask.values}
        trial = create_trial(state=TrialState.RUNNING, params=dict(asked.ask.values), distributions=distributions)
    else:
        trial = frozen(search, asked.ask.values, Outcome(asked.state, asked.means, asked.steps))
    trial.user_attrs = _attributes(history, asked)
    first = min((each.started for each in history.asked if each.started is not None), default=0.0)
    started = asked.started or first  # Optuna wants a time of what never began, too
    trial.datetime_start = datetime.fromtimestamp(started)
    if asked.state != "open":
        trial.datetime_complete = datetime.fromtimestamp(max(asked.ended or first, started))
    return trial


def _attributes(history: History, asked: Asked) -> dict[str, Any]:
    attributes: dict[str, Any] = {"cell_key": asked.ask.cell_key}
    attributes |= {f"trial of seed {seed}": key for seed, key in asked.trials.items()}
    attributes |= {
        f"SE of {name}": value.se
        for name, value in zip(history.search.minimize, asked.values, strict=False)
        if value.se is not None
    }
    attributes |= {f"winner {each.number}": True for each in history.winners if each.asked.number == asked.number}
    attributes |= {arm: True for arm, values in history.arms.items() if values == asked.ask.values}
    if asked.ask.earlier:
        attributes["taken over from an earlier search"] = True
    if asked.ask.refused:
        attributes["refused"] = asked.ask.refused
    return attributes
