"""Evaluate the finished trials of a sweep from their stored weights: a few at a time, only what is missing.

Trials that ran on CPUs are evaluated on CPUs, each in a process with as many threads, so that the numbers can be the
same to the last bit; those that ran on a GPU one after another, in this process. What has been measured is in the store
within seconds, so it may be interrupted at any time. Torch is imported by whoever measures.
"""

import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softaug.child_process import end_with_parent
from softaug.datasets import dataset
from softaug.estimate import Estimate
from sweeps.launch.preflight import Refused, missing_data
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.survey import Survey, TrialStatus, evaluation_estimates, survey
from trainables import evaluation
from trainables.evaluation import Condition, Evaluation
from trainables.ledger import AttemptFolder, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store, open_store

if TYPE_CHECKING:
    from trainables.evaluate import Evaluator

MOST_PROCESSES = 8  # unless more are asked for: each holds torch and a data set
LONGEST_PROBLEM = 300
DIED = "a process that evaluated died, perhaps for lack of memory; try again with a smaller --max-concurrent"


@dataclass(frozen=True)
class Job:
    """What all evaluations of one command share."""

    store: str
    data: Path | None
    wanted: tuple[Condition, ...]
    git_commit: str
    git_dirty: bool


@dataclass(frozen=True)
class Outcome:
    """How it went. `problems`: trial key -> why it could not be evaluated; `trouble`: why it could not go on."""

    problems: Mapping[str, str]
    unfinished: int
    interrupted: bool = False
    trouble: str | None = None


@dataclass(frozen=True)
class CellView:
    """A cell with the number of its seeds of which all was measured, and no estimates unless that is all of them."""

    cell: Cell
    done: int
    estimates: Mapping[str, Estimate]


def evaluate(sweep: ResolvedSweep, job: Job, *, at_once: int | None, progress: Callable[[int, int], None]) -> Outcome:
    """Evaluate what lacks any of the wanted conditions; `progress(done, of)` is called at first and after each trial.

    Raises Refused if no trial has finished or a data set is missing, and DamagedData.
    """
    store = open_store(job.store)
    now = survey(store, sweep)
    finished = {key: trial for key, trial in now.trials.items() if trial.state == "finished"}
    problems = {key: trial.reason for key, trial in now.trials.items() if trial.state == "damaged"}
    if not finished:
        raise Refused([f"no trial of {sweep.experiment} has finished; see `softaug status {sweep.name}`"])
    to_do = [key for key, trial in finished.items() if _lacking(store, key, trial, job.wanted)]
    missing = missing_data({*sweep.data_names, *further_tests(job)}, job.data) if to_do else []
    if missing:
        raise Refused(missing)
    outcome = Outcome(problems, len(now.trials) - len(finished) - len(problems))
    try:
        with (
            _handled(signal.SIGTERM, signal.default_int_handler),
            closing(_results(job, to_do, _processes(now, to_do, at_once))) as results,
        ):
            progress(0, len(to_do))
            for done, (key, problem) in enumerate(results, start=1):
                problems |= {key: problem} if problem else {}
                progress(done, len(to_do))
    except KeyboardInterrupt:
        return Outcome(problems, outcome.unfinished, interrupted=True)
    except BrokenProcessPool:
        return Outcome(problems, outcome.unfinished, trouble=DIED)
    except OSError as error:
        what = store.explain(error).partition(";")[0]
        return Outcome(problems, outcome.unfinished, trouble=f"{what}; once it can be, evaluate again")
    return outcome


def further_tests(job: Job) -> set[str]:
    """Return the further test sets that are wanted."""
    return {condition.data for condition in job.wanted if condition.data is not None}


def unfit_tests(sweep: ResolvedSweep, names: Sequence[str]) -> list[str]:
    """Return a problem for every further test set that has other classes than the networks of the sweep."""
    return [
        f"--test-on {name} is for networks trained on {dataset(name).tests}; "
        f"{sweep.experiment} trains on {', '.join(sorted(others))}"
        for name in names
        if (others := sweep.data_names - {dataset(name).tests})
    ]


def cell_views(store: Store, sweep: ResolvedSweep, wanted: tuple[Condition, ...]) -> list[CellView]:
    """Return how the evaluation of every cell stands."""
    now = survey(store, sweep)
    views = []
    for cell in sweep.cells:
        trials = {key: now.trials[key] for key in cell.trials.values()}
        done = sum(
            trial.state == "finished" and not _lacking(store, key, trial, wanted) for key, trial in trials.items()
        )
        added = evaluation_estimates(TrialFolder(store, key) for key in trials) if done == len(trials) else {}
        views.append(CellView(cell, done, {**now.estimates(cell), **added} if added else {}))
    return views


def areas(store: Store, sweep: ResolvedSweep) -> dict[int, float]:
    """Return the percentages truly covered by those asked for, as far as they are the same in all evaluations."""
    found: dict[int, set[float]] = {}
    for key, trial in survey(store, sweep).trials.items():
        evaluated = _current(store, key, trial)
        for each in evaluated.measurements if evaluated else ():
            found.setdefault(each.percent, set()).add(each.area)
    return {percent: next(iter(same)) for percent, same in found.items() if len(same) == 1}


def _current(store: Store, key: str, trial: TrialStatus) -> Evaluation | None:
    if trial.end is None or trial.end.state != "finished":
        return None
    return evaluation.current(AttemptFolder(TrialFolder(store, key), trial.end.attempt))


def _lacking(store: Store, key: str, trial: TrialStatus, wanted: tuple[Condition, ...]) -> bool:
    found = _current(store, key, trial)
    return found is None or bool(found.missing(wanted))


def _processes(now: Survey, to_do: list[str], at_once: int | None) -> int:
    ends = [end for key in to_do if (end := now.trials[key].end) is not None]
    if any(end.device != "cpu" for end in ends):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max((end.threads for end in ends), default=1)
    return max(1, min(at_once or min(cores // max(threads, 1), MOST_PROCESSES), len(to_do)))


def _results(job: Job, keys: list[str], processes: int) -> Generator[tuple[str, str], None, None]:
    """Yield every trial and why it could not be evaluated, nothing if it could, as they end."""
    if processes == 1:
        for key in keys:
            yield key, evaluate_one(job, key)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        try:
            with _handled(signal.SIGINT, signal.SIG_IGN):  # the processes, which begin here, inherit it
                keys_of = {pool.submit(evaluate_one, job, key): key for key in keys}
            for future in as_completed(keys_of):
                yield keys_of[future], future.result()
        except BaseException:
            for process in active_children():
                process.terminate()
            raise


def evaluate_one(job: Job, key: str) -> str:
    """Evaluate a trial; return why it cannot be, or nothing. Raises OSError if the store cannot be used."""
    from trainables.evaluate import NotEvaluated

    try:
        _evaluator(job).evaluate(key, job.wanted)
    except (NotEvaluated, Damaged) as problem:
        return str(problem)
    except RuntimeError as error:  # torch's, for whatever it cannot do: no memory, no such kernel
        return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_PROBLEM]
    return ""


@cache
def _evaluator(job: Job) -> "Evaluator":
    from trainables.evaluate import Evaluator

    return Evaluator(open_store(job.store), job.data, git_commit=job.git_commit, git_dirty=job.git_dirty)


@contextmanager
def _handled(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Have a signal handled so for a while."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
