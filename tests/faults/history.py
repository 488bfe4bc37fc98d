"""The history checker: what must hold after every fault, over what the trials saw, the ledger and MLflow.

I1 nothing acknowledged is lost    I2 nothing is doubled or invented    I3 a trial keeps its recipe
I4 what ended never runs again     I5 resumed from a durable checkpoint, little lost, the same numbers again
I6 ledger and MLflow agree on every state    I7 means hold finished trials only
I8 attempts of a trial never overlap         I9 nothing is left behind

An attempt that was cut off may train on for a while, in its own folder: it must not end the trial (I8).
"""

from collections.abc import Callable, Collection, Container, Iterator
from itertools import pairwise
from math import isclose, isfinite, sqrt
from pathlib import Path
from statistics import fmean, stdev

from tests.faults.evidence import Evidence, Json, Run, leftovers, read_events, read_runs, read_sweeps, read_trials

STATUS = {"finished": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "stopped": "KILLED", None: "KILLED"}
SLACK_S = 0.5  # between an epoch and the line of it in the history


def check(
    store: Path,
    history: Path,
    *,
    launched: list[int],
    checkpoint_every_s: float = 0.0,
    complete: bool = True,
    tracking_uri: str | None = None,
    offline: bool = False,
    running: Container[int] = (),
    cut_off: Collection[tuple[str, int]] = (),
) -> None:
    """Assert every invariant. `complete`: every trial has to have ended. `offline`: there is no MLflow to look at.

    `running`: processes of a cluster that goes on. `cut_off`: attempts (trial, number) that nobody could end.
    """
    uri = tracking_uri or f"sqlite:///{store / 'mlflow.db'}"
    evidence = Evidence(
        events=read_events(history),
        trials=read_trials(store),
        sweeps=read_sweeps(store),
        runs=None if offline else read_runs(uri),
        leftovers=list(leftovers(store, history, launched, running)),
        cut_off=frozenset(cut_off),
    )
    found = violations(evidence, checkpoint_every_s=checkpoint_every_s, complete=complete)
    assert not found, "\n".join(found)


def violations(evidence: Evidence, *, checkpoint_every_s: float = 0.0, complete: bool = True) -> list[str]:
    """Return every violation as "I5: what and where"."""
    checks: dict[str, Callable[[], Iterator[str]]] = {
        "I1": lambda: _lost(evidence),
        "I2": lambda: _doubled(evidence),
        "I3": lambda: _changed_recipes(evidence),
        "I4": lambda: _run_again(evidence),
        "I5": lambda: _badly_resumed(evidence, checkpoint_every_s),
        "I6": lambda: _disagreeing(evidence, complete=complete),
        "I7": lambda: _wrong_means(evidence),
        "I8": lambda: _overlapping(evidence),
        "I9": lambda: iter(evidence.leftovers),
    }
    return [f"{name}: {text}" for name, check in checks.items() for text in check()]


def _lost(evidence: Evidence) -> Iterator[str]:
    """Every row that was kept is in its attempt's file, and in MLflow if the trial's curve still holds it."""
    seen: dict[tuple[str, int], Json] = {}
    for event in evidence.events:
        if event["event"] == "epoch" and not event["poisoned"]:
            seen[event["trial"], event["epoch"]] = event["metrics"]
        elif event["event"] == "kept":
            key, trial = event["trial"], evidence.trials.get(event["trial"])
            rows = trial.rows.get(event["attempt"], []) if trial else []
            known = {row["epoch"]: row["metrics"] for row in rows}
            for epoch in range(1, event["epoch"] + 1):
                if (key, epoch) in seen and known.get(epoch) != seen[key, epoch]:
                    yield f"{key[:12]}: epoch {epoch} was kept by attempt {event['attempt']}, not so in the ledger"
    for key, ends in evidence.trial_events("end").items():
        for end in (each for each in ends if each["counts"]):
            trial = evidence.trials.get(key)
            written = [] if trial is None else [trial.end, *trial.earlier_ends.values()]
            if not any(_is(end, each) for each in written):
                yield f"{key[:12]}: attempt {end['attempt']} ended as {end['state']}, not so in the ledger"
    yield from _missing_in_mlflow(evidence)


def _is(event: Json, end: Json | None) -> bool:
    return end is not None and all(end[name] == event[name] for name in ("attempt", "state"))


def _missing_in_mlflow(evidence: Evidence) -> Iterator[str]:
    for key, run in _trial_runs(evidence):
        trial = evidence.trials[key]
        last = trial.end["epochs"] if trial.end else len(trial.newest_rows)
        for row in trial.newest_rows[:last]:
            for name, value in row["metrics"].items():
                if (row["epoch"], value) not in run.metrics.get(name, []):
                    yield f"{key[:12]}: epoch {row['epoch']} of {name} is not in MLflow's {run.experiment}"
        for name, value in (trial.end or {"metrics": {}})["metrics"].items():
            if value not in [point[1] for point in run.metrics.get(name, [])]:
                yield f"{key[:12]}: {name} is not in MLflow's {run.experiment}"


def _doubled(evidence: Evidence) -> Iterator[str]:
    """In MLflow one value per trial, metric and step, each from the ledger; one run per trial; none in Default.

    A cell's mean, at step 0, and a search's course are written anew when a failed seed is tried again.
    """
    retried = any(trial.earlier_ends for trial in evidence.trials.values())
    anew = ("cell", "search") if retried else ("cell",)
    for run in evidence.runs or []:
        if run.experiment == "Default":
            yield f"a run in experiment 0: {run.tags}"
        for name, points in run.metrics.items() if run.tags.get("kind") not in anew else ():
            steps = [step for step, _ in points]
            for step in sorted({step for step in steps if steps.count(step) > 1}):
                yield f"{_title(run)}: {name} at step {step} is there {steps.count(step)} times"
    for sweep in evidence.sweeps if evidence.runs is not None else []:
        for key in _keys(sweep):
            runs = [run for each, run in _trial_runs(evidence) if each == key and run.experiment == _name(sweep)]
            if len(runs) != (1 if evidence.trials.get(key) and evidence.trials[key].attempts else 0):
                yield f"{key[:12]}: has {len(runs)} runs in MLflow's {_name(sweep)}"
    for key, run in _trial_runs(evidence):
        trial = evidence.trials[key]
        known = {row["epoch"]: row["metrics"] for rows in trial.rows.values() for row in rows}
        ends = [end["metrics"] for end in (trial.end, *trial.earlier_ends.values()) if end is not None]
        for name, points in run.metrics.items():
            for step, value in points:
                if value not in [known.get(step, {}).get(name), *(end.get(name) for end in ends)]:
                    yield f"{_title(run)}: {name} = {value} at step {step} is nowhere in the ledger"
    for key, starts in evidence.trial_events("start").items():
        for start in starts:
            if key not in evidence.trials or start["attempt"] not in evidence.trials[key].attempts:
                yield f"{key[:12]}: attempt {start['attempt']} ran and is not in the ledger"


def _changed_recipes(evidence: Evidence) -> Iterator[str]:
    """All attempts at a trial trained the recipe in its folder, and no two trials the same one."""
    trained: dict[str, str] = {}
    wanted = {key for sweep in evidence.sweeps for key in _keys(sweep)}
    for key, starts in evidence.trial_events("start").items():
        if key not in wanted:
            yield f"{key[:12]}: ran and is in no sweep"
        for start in starts:
            trial = evidence.trials.get(key)
            if trial is None or trial.recipe is None or trial.recipe["recipe"] != start["recipe"]:
                yield f"{key[:12]}: attempt {start['attempt']} trained another recipe than its folder holds"
        other = trained.setdefault(str(starts[0]["recipe"]), key)
        if other != key:
            yield f"{key[:12]}: trained the recipe of {other[:12]}"


def _run_again(evidence: Evidence) -> Iterator[str]:
    """After a trial's end nothing of it runs, unless it had failed and was opened again."""
    for key, events in evidence.trial_events("start", "epoch", "end").items():
        ended: Json | None = None
        for event in events:
            if event["event"] == "end" and event["counts"]:
                ended = event
            elif ended is not None and event["event"] in ("start", "epoch") and not _cut_off(evidence, event):
                trial = evidence.trials.get(key)
                if ended["state"] == "finished" or trial is None or ended["attempt"] not in trial.earlier_ends:
                    yield f"{key[:12]}: ended ({ended['state']}), then attempt {event['attempt']} ran"
                ended = None


def _badly_resumed(evidence: Evidence, checkpoint_every_s: float) -> Iterator[str]:
    for key, events in evidence.trial_events("start", "epoch", "saved", "end").items():
        saved, last, attempt = 0, 0, None
        seen: dict[int, Json] = {}
        for event in events:
            what = f"{key[:12]}: attempt {event['attempt']}"
            if event["event"] == "start":
                yield from _bad_start(what, event, saved, seen, checkpoint_every_s)
                last, attempt = event["epoch"], event["attempt"]
            elif event["event"] == "saved" and event["attempt"] == attempt:
                saved = max(saved, event["epoch"])
            elif event["event"] == "epoch" and event["attempt"] == attempt:
                if event["metrics"] and event["epoch"] != last + 1:
                    yield f"{what} trained epoch {event['epoch']} after epoch {last}"
                before, last = seen.get(event["epoch"]), event["epoch"]
                poisoned = event["poisoned"] or before is None or before["poisoned"]
                if not poisoned and event["metrics"] and before["metrics"] and before["metrics"] != event["metrics"]:
                    yield f"{what} got other numbers in epoch {last} than attempt {before['attempt']}"
                seen[last] = event
            elif event["event"] == "end" and event["state"] in ("finished", "diverged"):
                saved, seen = 0, {}  # its checkpoints are deleted


def _bad_start(what: str, start: Json, saved: int, seen: dict[int, Json], every_s: float) -> Iterator[str]:
    epoch = start["epoch"]
    if epoch < saved:
        yield f"{what} goes on from epoch {epoch}, though the checkpoint of epoch {saved} was durable"
    if epoch > 0 and epoch not in seen:
        yield f"{what} goes on from epoch {epoch}, which nobody trained"
    lost = [seen[number]["time"] for number in sorted(seen) if number > epoch]
    if len(lost) > 1 and (every_s == 0 or lost[-2] - lost[0] > every_s + SLACK_S):
        yield f"{what} lost {len(lost)} epochs, {lost[-2] - lost[0]:.1f} s of work, with checkpoints every {every_s} s"


def _disagreeing(evidence: Evidence, *, complete: bool) -> Iterator[str]:
    """Every trial of every sweep has one state, in the ledger and in MLflow; nothing is RUNNING."""
    for sweep in evidence.sweeps:
        for key in _keys(sweep):
            trial = evidence.trials.get(key)
            if complete and (trial is None or trial.end is None):
                yield f"{key[:12]}: has not ended"
    for run in evidence.runs or []:
        if run.status == "RUNNING":
            yield f"{_title(run)}: is RUNNING in MLflow"
    for key, run in _trial_runs(evidence):
        end = evidence.trials[key].end
        state = end["state"] if end else None
        if run.status != STATUS[state] or run.tags.get("state") != (state or "interrupted"):
            yield f"{_title(run)}: is {state} in the ledger, {run.status} ({run.tags.get('state')}) in MLflow"


def _wrong_means(evidence: Evidence) -> Iterator[str]:
    """A cell's run shows n, mean and standard error of its finished trials and of no other."""
    for sweep in evidence.sweeps if evidence.runs is not None else []:
        for cell in _cells(sweep):
            trials = [evidence.trials.get(key) for key in cell["trials"].values()]
            ends = [trial.end for trial in trials if trial is not None and trial.end is not None]
            if len(ends) < len(trials):
                continue
            runs = [
                run
                for run in evidence.runs or []
                if (run.experiment, run.tags.get("kind"), run.tags.get("cell_key"))
                == (_name(sweep), "cell", cell["cell_key"])
            ]
            if len(runs) != 1:
                yield f"{cell['arm']}: has {len(runs)} runs in MLflow"
                continue
            finished = [end["metrics"] for end in ends if end["state"] == "finished"]
            for name, value in _expected(finished).items():
                shown = runs[0].metrics.get(name, [(0, float("nan"))])[-1][1]
                if not (isfinite(shown) and isclose(shown, value, rel_tol=1e-12, abs_tol=1e-12)):
                    yield f"{cell['arm']}: {name} is {shown} in MLflow, {value} over its finished trials"


def _expected(finished: list[Json]) -> dict[str, float]:
    values: dict[str, float] = {"n": float(len(finished))}
    for name in finished[0] if finished else ():
        numbers = [metrics[name] for metrics in finished]
        values[f"mean/{name}"] = fmean(numbers)
        if len(numbers) > 1:
            values[f"se/{name}"] = stdev(numbers) / sqrt(len(numbers))
    return values


def _overlapping(evidence: Evidence) -> Iterator[str]:
    """Each attempt is one process, and once a later one has started the earlier one is never heard of again."""
    for key, events in evidence.trial_events("start", "epoch", "kept", "saved", "end").items():
        starts = [event for event in events if event["event"] == "start"]
        trained = [event for event in events if event["event"] != "end"]  # the launch's, if the process died
        for number in sorted({start["attempt"] for start in starts}):
            if sum(start["attempt"] == number for start in starts) > 1:
                yield f"{key[:12]}: attempt {number} was started twice"
            if len({event["pid"] for event in trained if event["attempt"] == number}) > 1:
                yield f"{key[:12]}: attempt {number} ran in several processes"
        heard = [event for event in trained if not _cut_off(evidence, event)]
        for before, after in pairwise(heard):
            if after["attempt"] < before["attempt"]:
                yield f"{key[:12]}: attempt {after['attempt']} reported after attempt {before['attempt']} had"
        newest = 0
        for event in events:
            newest = max(newest, event["attempt"])
            if event["event"] == "end" and event["counts"] and event["attempt"] < newest:
                yield f"{key[:12]}: attempt {event['attempt']} ended the trial after attempt {newest} had begun"


def _cut_off(evidence: Evidence, event: Json) -> bool:
    return (event["trial"], event["attempt"]) in evidence.cut_off


def _trial_runs(evidence: Evidence) -> list[tuple[str, Run]]:
    runs = [run for run in evidence.runs or [] if run.tags.get("kind") == "trial"]
    return [(run.tags["trial_key"], run) for run in runs if run.tags["trial_key"] in evidence.trials]


def _keys(sweep: Json) -> list[str]:
    return [key for cell in _cells(sweep) for key in cell["trials"].values()]


def _cells(sweep: Json) -> list[Json]:
    return [*sweep["search_cells"], *sweep["cells"], *sweep["former"]]


def _name(sweep: Json) -> str:
    return f"{sweep['name']}@{sweep['scale']}"


def _title(run: Run) -> str:
    return f"{run.experiment}/{run.tags.get('mlflow.runName')}"
