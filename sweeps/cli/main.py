"""The command line: launches and how they stand; the commands of the other `cli_` files are joined to it.

Each command imports what it needs when it runs: `--help`, `sweeps`, `plan`, `status` and `stop` need little.

Exit codes: 0 done, 1 some trials failed (of a search: confirmed ones, or all its cells) or cannot be evaluated or the
doctor's findings remain, 2 bad input and nothing started, 3 already running elsewhere, 130 interrupted after saving.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from softaug.datasets import DamagedData, MissingData
from sweeps.cli import care, evaluate, results, search, submit
from sweeps.cli.options import (
    STORE,
    BudgetOption,
    DataOption,
    GpusOption,
    JsonOption,
    LaunchedArgument,
    ScaleOption,
    SeedsOption,
    SlotsOption,
    StoreOption,
    SweepArgument,
    TrackingOption,
    named_tracking_uri,
    seeds_of,
)
from sweeps.cli.terminal import console, print_json, say, say_on_stderr, warn_of_damaged_sweeps
from sweeps.files.catalog import catalog
from sweeps.files.expand import load
from sweeps.jobs import submitted
from sweeps.jobs.submitted import JobRuns
from sweeps.launch.preflight import Refused
from sweeps.launched import all_launched, launched
from sweeps.problems import Problems
from sweeps.resolved import ResolvedSweep
from sweeps.search.failures import ended_well
from sweeps.search.growth import continued, with_winners
from sweeps.search.outcomes import Outcomes
from sweeps.search.text import search_json, search_line
from sweeps.survey import status_json, survey
from trainables.launches import AlreadyRunning
from trainables.sealed import Damaged
from trainables.store import Store, StoreFailed, StoreRefused, open_store

if TYPE_CHECKING:
    from sweeps.launch.launch import Outcome

app = typer.Typer(
    name="softaug",
    help="Sweeps for Soft Augmentation: a sweep is a file, launching it makes the results match it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
)


@app.command()
def sweeps() -> None:
    """List the sweeps that come with softaug."""
    table = Table(box=None, pad_edge=False)
    for column in ("sweep", "scales", "question"):
        table.add_column(column)
    for entry in catalog():
        table.add_row(entry.name, ", ".join(entry.scales), entry.question)
    console.print(table)


@app.command()
def plan(
    sweep: SweepArgument,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    store: StoreOption = STORE,
    gpus: GpusOption = None,
    slots: SlotsOption = None,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what launching a sweep would run, what it costs, and what its seeds can show."""
    from sweeps.cli import plan_text
    from sweeps.plan.plan import plan_json, plan_of

    opened = open_store(store)
    resolved = with_winners(opened, continued(opened, load(sweep, scale=scale, seeds=seeds_of(seeds), gpus=gpus)))
    found = plan_of(opened, survey(opened, resolved), slots=slots, budget_hours=budget)
    if as_json:
        print_json(plan_json(found))
    else:
        plan_text.print_plan(console, found)
    if found.objection:
        fits = found.verdict == "may not fit"
        say_on_stderr("warning" if fits else "error", f"--budget: {found.objection}")
        if not fits:
            raise typer.Exit(2)


@app.command()
def launch(
    sweep: SweepArgument,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    address: Annotated[
        str, typer.Option(help="host:port of a Ray cluster; local: started here; auto: in a job.")
    ] = "local",
    data: DataOption = None,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at once; default: what fits.")] = None,
    gpus: GpusOption = None,
    budget: BudgetOption = None,
    retry_failed: Annotated[bool, typer.Option(help="Run failed and diverged trials again.")] = False,
    offline: Annotated[bool, typer.Option(help="Leave MLflow alone; `softaug sync` brings it level later.")] = False,
    checkpoint_every: Annotated[float, typer.Option(min=0, help="Seconds between a trial's checkpoints.")] = 60.0,
    silent_after: Annotated[float, typer.Option(min=1, help="Seconds of silence after which a trial hangs.")] = 600.0,
    upload_weights: Annotated[bool, typer.Option(help="Put final weights into MLflow too.")] = False,
) -> None:
    """Run what the results lack of a sweep; run it again after a crash or with more seeds."""
    from sweeps.cli.live import live_view
    from sweeps.launch.launch import Settings
    from sweeps.launch.launch import launch as run

    loaded = load(sweep, scale=scale, seeds=seeds_of(seeds), gpus=gpus)
    submitted.check(loaded, store)
    opened = open_store(store)
    resolved = continued(opened, loaded)
    settings = Settings(
        store=opened,
        data=data.expanduser().absolute() if data else None,
        tracking_uri=None if offline else named_tracking_uri(opened, tracking_uri),
        address=address,
        max_concurrent=max_concurrent,
        retry_failed=retry_failed,
        checkpoint_every_s=checkpoint_every,
        silent_after_s=silent_after,
        upload_weights=upload_weights,
        budget_hours=budget,
    )
    with live_view(console, opened, resolved) as view:
        outcome = run(resolved, settings, view)
    if settings.tracking_uri is not None and resolved.search is not None and not outcome.missing_in_mlflow:
        search.show_figures(opened, [outcome.survey.sweep], settings.tracking_uri)
    _tell(outcome)


def _tell(outcome: "Outcome") -> None:
    """Say how a launch went. Raises Exit with its code unless all is well."""
    from sweeps.cli.live import print_outcome
    from sweeps.plan.course import course_text

    print_outcome(console, outcome.survey)
    if outcome.course is not None:
        say(course_text(outcome.course))
    if outcome.missing_in_mlflow:
        say(f"{outcome.missing_in_mlflow} trials not in MLflow: run softaug sync")
    if outcome.trouble:
        say(outcome.trouble)
        raise typer.Exit(1)
    if outcome.interrupted:
        say("interrupted; launch again to go on")
        raise typer.Exit(130)
    if outcome.survey.in_tables("failed") or outcome.survey.in_tables("diverged"):
        say("some trials failed; try them again with --retry-failed")
        raise typer.Exit(1)
    if not ended_well(outcome.survey):
        say("the search found nothing; try its cells again with --retry-failed, or change its space")
        raise typer.Exit(1)
    if outcome.survey.count("damaged"):
        say("some trials were left alone because of damaged files; see `softaug doctor`")
        raise typer.Exit(1)


@app.command()
def status(
    sweep: Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="Default: a line per launched sweep.")] = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show how a sweep stands: its trials, and the mean so far of every cell."""
    from sweeps.cli.live import print_outcome, progress_line

    opened = open_store(store)
    wanted = all_launched(opened) if sweep is None else [launched(opened, sweep, scale)]
    warn_of_damaged_sweeps(opened)
    surveys = [survey(opened, each) for each in wanted]
    if as_json:
        found = [status_json(now) | _search_json(opened, now.sweep) for now in surveys]
        print_json(found if sweep is None else found[0])
        return
    for now in surveys:
        say(f"{now.sweep.experiment}: {progress_line(now, max(now.count('running'), 1))}")
        if now.sweep.search is not None:
            say(f"{now.sweep.experiment}: {search_line(now.sweep, Outcomes(opened, now.sweep.search))}")
    if sweep is not None:
        print_outcome(console, surveys[0])


def _search_json(store: Store, sweep: ResolvedSweep) -> dict[str, Any]:
    return {} if sweep.search is None else {"search": search_json(sweep, Outcomes(store, sweep.search))}


@app.command()
def stop(
    sweep: LaunchedArgument,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    cluster: Annotated[
        str | None, typer.Option(metavar="URL", help="Where it was submitted to, if the store is not at hand.")
    ] = None,
) -> None:
    """End a launch from another shell: its trials keep their last epoch."""
    if cluster is not None:
        submit.stop_on(cluster, sweep, scale)
    from sweeps.launch.stop import running_launch
    from sweeps.launch.stop import stop as ask

    opened = open_store(store)
    if not ask(opened, running_launch(opened, sweep, scale), say):
        raise typer.Exit(1)


app.add_typer(submit.commands)
app.add_typer(evaluate.commands)
app.add_typer(results.commands)
app.add_typer(search.commands)
app.add_typer(care.commands)


def main() -> None:
    """Run the command line; problems become lines on stderr and an exit code, never a traceback."""
    try:
        app()
    except (Problems, Refused, StoreRefused, StoreFailed, MissingData, DamagedData) as problem:
        say_on_stderr("error", str(problem))
        sys.exit(2)
    except Damaged as damaged:
        say_on_stderr("error", f"{damaged}; `softaug doctor` explains what that means and repairs it")
        sys.exit(2)
    except (AlreadyRunning, JobRuns) as running:
        say_on_stderr("error", str(running))
        sys.exit(3)
