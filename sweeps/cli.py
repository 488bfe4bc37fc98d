"""The command line. Each command imports what it needs when it runs: `--help`, `sweeps` and `plan` need little.

Exit codes: 0 done, 1 some trials failed, 2 bad input and nothing started, 3 already running elsewhere,
130 interrupted after saving.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softaug.datasets import DamagedData, MissingData
from sweeps.catalog_files import catalog
from sweeps.expand import load
from sweeps.launched import all_launched, chosen, launched
from sweeps.options import (
    OUT,
    STORE,
    DataOption,
    FormatOption,
    JsonOption,
    OutOption,
    ScaleOption,
    SeedsOption,
    StoreOption,
    SweepArgument,
    SweepsArgument,
    TrackingOption,
    seeds_of,
    tracking_uri_of,
    ui_url,
    without_password,
)
from sweeps.preflight import Refused, unreachable_tracking
from sweeps.problems import Problems
from sweeps.resolved import ResolvedSweep
from sweeps.survey import status_json, survey
from trainables.launches import AlreadyRunning
from trainables.store import StoreRefused, open_store

app = typer.Typer(
    name="softaug",
    help="Sweeps for Soft Augmentation: a sweep is a file, launching it makes the results match it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
)
console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else 120, highlight=False)


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
    as_json: JsonOption = False,
) -> None:
    """Show what launching a sweep would run."""
    resolved = load(sweep, scale=scale, seeds=seeds_of(seeds))
    now = survey(open_store(store), resolved)
    trials, done = len(now.trials), now.ended
    if as_json:
        counts = {"cells": len(resolved.cells), "trials": trials, "done": done, "to_do": trials - done}
        _print_json({"sweep": resolved.name, "scale": resolved.scale, **counts})
        return
    from sweeps.live import print_plan

    print_plan(console, now)


@app.command()
def launch(
    sweep: SweepArgument,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    address: Annotated[str, typer.Option(help="host:port of a Ray cluster; local: started here.")] = "local",
    data: DataOption = None,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at once; default: what fits.")] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs per trial, e.g. 0.25; default: the scale's.")] = None,
    retry_failed: Annotated[bool, typer.Option(help="Run failed and diverged trials again.")] = False,
    offline: Annotated[bool, typer.Option(help="Leave MLflow alone; `softaug sync` brings it level later.")] = False,
    checkpoint_every: Annotated[float, typer.Option(min=0, help="Seconds between a trial's checkpoints.")] = 60.0,
    silent_after: Annotated[float, typer.Option(min=1, help="Seconds of silence after which a trial hangs.")] = 600.0,
    upload_weights: Annotated[bool, typer.Option(help="Put final weights into MLflow too.")] = False,
) -> None:
    """Run what the results lack of a sweep; run it again after a crash or with more seeds."""
    from sweeps.launch import Settings
    from sweeps.launch import launch as run
    from sweeps.live import live_view, print_outcome

    resolved = load(sweep, scale=scale, seeds=seeds_of(seeds), gpus=gpus)
    opened = open_store(store)
    settings = Settings(
        store=opened,
        data=data.expanduser().absolute() if data else None,
        tracking_uri=None if offline else tracking_uri_of(opened, tracking_uri),
        address=address,
        max_concurrent=max_concurrent,
        retry_failed=retry_failed,
        checkpoint_every_s=checkpoint_every,
        silent_after_s=silent_after,
        upload_weights=upload_weights,
    )
    with live_view(console, opened, resolved) as view:
        outcome = run(resolved, settings, view)
    print_outcome(console, outcome.survey)
    if outcome.missing_in_mlflow:
        _say(f"{outcome.missing_in_mlflow} trials not in MLflow: run softaug sync")
    if outcome.trouble:
        _say(outcome.trouble)
        raise typer.Exit(1)
    if outcome.interrupted:
        _say("interrupted; launch again to go on")
        raise typer.Exit(130)
    if outcome.survey.count("failed") or outcome.survey.count("diverged"):
        _say("some trials failed; try them again with --retry-failed")
        raise typer.Exit(1)
    if outcome.survey.count("damaged"):
        _say("some trials were left alone because of damaged files; see `softaug doctor`")
        raise typer.Exit(1)


@app.command()
def status(
    sweep: Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="Default: a line per launched sweep.")] = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show how a sweep stands: its trials, and the mean so far of every cell."""
    from sweeps.live import print_outcome, progress_line

    opened = open_store(store)
    wanted = all_launched(opened) if sweep is None else [launched(opened, sweep, scale)]
    surveys = [survey(opened, each) for each in wanted]
    if as_json:
        _print_json([status_json(now) for now in surveys] if sweep is None else status_json(surveys[0]))
        return
    for now in surveys:
        _say(f"{now.sweep.experiment}: {progress_line(now, 1)}")
    if sweep is not None:
        print_outcome(console, surveys[0])


@app.command()
def report(
    sweep: SweepsArgument = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    out: OutOption = OUT,
) -> None:
    """Write a page with the tables and figures of sweeps, every number with n and its error."""
    wanted, uri = _synced(sweep, scale, store, tracking_uri)
    from analysis.report import write_report

    page = write_report(wanted, tracking_uri=uri, out=out.absolute(), ui_url=ui_url(uri))
    _say(f"wrote {page}")


@app.command()
def figure(
    sweep: SweepArgument,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    out: OutOption = OUT,
) -> None:
    """Draw a sweep's figure: SVG, PDF, PNG, and its numbers as CSV."""
    (wanted,), uri = _synced([sweep], scale, store, tracking_uri)
    if wanted.figure is None:
        raise Refused([f"sweep {wanted.name}: its file declares no figure; add `figure:` and launch it again"])
    from analysis import figures

    for path in figures.figure(wanted, tracking_uri=uri, out=out.absolute()):
        _say(f"wrote {path}")


@app.command()
def table(
    sweep: SweepArgument,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    form: FormatOption = "markdown",
) -> None:
    """Print a sweep's table."""
    (wanted,), uri = _synced([sweep], scale, store, tracking_uri)
    from analysis import tables

    typer.echo(tables.table(wanted, tracking_uri=uri, form=form))


@app.command()
def sync(
    sweep: SweepsArgument = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    upload_weights: Annotated[bool, typer.Option(help="Put final weights into MLflow too.")] = False,
) -> None:
    """Bring MLflow level with the results; an empty MLflow is filled again."""
    wanted, uri = _synced(sweep, scale, store, tracking_uri, upload_weights=upload_weights)
    for each in wanted:
        _say(f"{each.experiment}: {len(each.trial_keys)} trials, level with MLflow at {without_password(uri)}")


@app.command()
def fetch(
    dataset: Annotated[Literal["digits", "fashion-mnist", "cifar10", "cifar100"], typer.Argument(metavar="DATASET")],
    data: DataOption = None,
) -> None:
    """Download a data set."""
    from softaug import fetch as download

    _say(download.fetch(dataset, (data or Path("data")).expanduser().absolute()))


@app.command()
def ui(
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Browse the runs in MLflow, until Ctrl-C."""
    uri = tracking_uri_of(open_store(store), tracking_uri)
    if uri.startswith("http"):
        _say(f"MLflow runs at {uri}")
        return
    _say(f"MLflow at {ui_url(uri, port)}; Ctrl-C ends it")
    arguments = ["-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])


@app.command()
def schema() -> None:
    """Print the JSON schema of a sweep file, for editors."""
    from sweeps.sweep_file import schema as sweep_schema

    _print_json(sweep_schema())


def main() -> None:
    """Run the command line; problems become lines on stderr and an exit code, never a traceback."""
    try:
        app()
    except (Problems, Refused, StoreRefused, MissingData, DamagedData) as problem:
        for line in str(problem).splitlines():
            errors.print(Text(f"error: {line}"), soft_wrap=True)
        sys.exit(2)
    except AlreadyRunning as running:
        errors.print(Text(f"error: {running}"), soft_wrap=True)
        sys.exit(3)


def _say(text: str) -> None:
    console.print(Text(text), soft_wrap=True)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def _synced(
    names: list[str] | None, scale: str | None, store: str, tracking_uri: str | None, *, upload_weights: bool = False
) -> tuple[list[ResolvedSweep], str]:
    """Bring MLflow level with the sweeps chosen; return them and its URI."""
    opened = open_store(store)
    uri = tracking_uri_of(opened, tracking_uri)
    wanted = chosen(opened, names, scale)
    problems = unreachable_tracking(uri)
    if problems:
        raise Refused(problems)
    from mlflow.exceptions import MlflowException

    from sweeps import tracker

    tracker.be_brief()
    try:
        for sweep in wanted:
            tracker.sync(opened, sweep, uri, upload_weights=upload_weights)
    except MlflowException as error:
        raise Refused([f"MLflow at {without_password(uri)}: {str(error).splitlines()[0]}; try again"]) from error
    return wanted, uri
