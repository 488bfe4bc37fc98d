"""How `softaug why` shows a cell and the runs behind its number."""

from softaug.estimate import Estimate
from sweeps.cli.terminal import say, say_wrapped
from sweeps.launch.stop import moment
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.why import NO_ANSWER, NOT_THERE, AttemptFacts, Occurrence, RunFacts, Why, differs

MEASURES = {  # name and unit of the final metrics
    "test/top1_error": ("top-1 error", " %"),
    "test/ece": ("ECE", " %"),
    "test/nll": ("NLL", " nats"),
    "test/brier": ("Brier score", ""),
}


def print_why(answer: Why, *, served: bool) -> None:
    """Print a cell, its numbers in every sweep that has it, and run by run what is behind them.

    `served`: whether a server shows MLflow's pages, or `softaug ui` must be started for that.
    """
    for occurrence in answer.occurrences:
        _print_occurrence(occurrence)
    say(f"  cell {answer.cell_key}")
    versions = {_versions(run) for run in answer.runs if run.status.end is not None}
    if len(versions) == 1:
        say_wrapped(f"versions: {next(iter(versions))}", indent=2)
    for run in answer.runs:
        _print_run(run, with_versions=len(versions) > 1)
    if not served and any(page.startswith("http") for run in answer.runs for page in run.pages.values()):
        say("")
        say("`softaug ui` serves these pages")


def _print_occurrence(each: Occurrence) -> None:
    say(f"{each.cell.title}, in {each.sweep.experiment}")
    for name, estimate in each.estimates.items():
        say(f"  {_estimate(name, estimate, of=len(each.cell.trials))}")
    if not each.estimates:
        say("  no seed has finished")
    say_wrapped(compared_text(each.sweep, each.cell), indent=2)


def _print_run(run: RunFacts, *, with_versions: bool) -> None:
    end = run.status.end
    say("")
    say(f"seed {run.seed}: {run.status.state}{_error(run)}")
    if run.status.reason:
        say_wrapped(run.status.reason, indent=2)
    if end is not None:
        threads = f"{end.threads} thread{'' if end.threads == 1 else 's'}"
        say_wrapped(f"{end.epochs} epochs in {end.seconds:.1f} s on {end.device} ({end.cpu}, {threads})", indent=2)
        say_wrapped(f"data {end.data_fingerprint}", indent=2)
    if end is not None and with_versions:
        say_wrapped(f"versions: {_versions(run)}", indent=2)
    for attempt in run.attempts:
        say_wrapped(_attempt(attempt), indent=2)
    say(f"  trial {run.trial_key}")
    say(f"  files {run.folder}")
    for page in dict.fromkeys(run.pages.values()):
        say(f"  {page}" if page in (NO_ANSWER, NOT_THERE) else f"  page {page}")


def _attempt(each: AttemptFacts) -> str:
    attempt = each.attempt
    if attempt is None:
        return f"attempt {each.number}: {each.ending}; who started it is lost"
    code = f"commit {attempt.git_commit[:12]}{', with changes' if attempt.git_dirty else ''}"
    where = f"{attempt.host}, process {attempt.pid}, {moment(attempt.started)}"
    return f"attempt {each.number}: {each.ending}; launch {attempt.launch} on {where}; {code}"


def _estimate(name: str, estimate: Estimate, *, of: int) -> str:
    called, unit = MEASURES.get(name, (name, ""))
    digits = 2 if unit == " %" else 4
    error = "" if estimate.se is None else f" ± {estimate.se:.{digits}f}"
    return f"{called} {estimate.mean:.{digits}f}{error}{unit} (n = {estimate.n} of {of})"


def _error(run: RunFacts) -> str:
    end = run.status.end
    name = "test/top1_error"
    return f", {MEASURES[name][0]} {end.metrics[name]:.2f} %" if end is not None and name in end.metrics else ""


def _versions(run: RunFacts) -> str:
    end = run.status.end
    return ", ".join(f"{name} {version}" for name, version in end.versions.items()) if end is not None else ""


def compared_text(sweep: ResolvedSweep, cell: Cell) -> str:
    """Return in what a cell differs from the one it is compared with, or that it is a baseline."""
    differences = "; ".join(_difference(name, own, other) for name, (own, other) in differs(sweep, cell).items())
    base = sweep.compared_with(cell)
    if base is None or not differences:
        return f"is {'the' if cell.arm == sweep.baseline else 'a'} baseline"
    called = f"the baseline, {base.arm}," if base.arm == sweep.baseline else base.arm
    return f"differs from {called} in {differences}"


def _difference(name: str, own: object, baseline: object) -> str:
    if own is None:
        return f"no {name}"
    return f"{name} {own}" if baseline is None else f"{name} {baseline} → {own}"
