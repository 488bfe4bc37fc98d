"""The command that evaluates finished trials from their stored weights."""

from typing import Annotated, Literal

import typer

from sweeps.cli.options import (
    STORE,
    DataOption,
    JsonOption,
    LaunchedArgument,
    ScaleOption,
    StoreOption,
    TrackingOption,
    percents_of,
    tracking_uri_of,
)
from sweeps.cli.synced import bring_level
from sweeps.cli.terminal import console, print_json, say_on_stderr
from sweeps.launch.preflight import Refused, unreachable_tracking
from sweeps.launched import chosen
from sweeps.resolved import ResolvedSweep
from trainables.evaluation import FEWEST_SEEDS, Fill, conditions
from trainables.store import Store, open_store

commands = typer.Typer()
FurtherTest = Literal["imagenet-v2"]


@commands.command()
def evaluate(
    sweep: LaunchedArgument,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    data: DataOption = None,
    occlusion: Annotated[
        str, typer.Option(metavar="0,20,...", help="How much of every test image to cover, percent.")
    ] = "0,20,40,60,80",
    occlusion_seeds: Annotated[
        int, typer.Option(min=FEWEST_SEEDS, max=100, help="Places of the patch to average over.")
    ] = FEWEST_SEEDS,
    fill: Annotated[Fill, typer.Option(help="What the patch shows.")] = "mean",
    test_on: Annotated[FurtherTest | None, typer.Option(help="A further test set.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at once; default: what fits.")] = None,
    offline: Annotated[bool, typer.Option(help="Leave MLflow alone; `softaug sync` brings it level later.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure finished trials under occlusion and on further test sets, from stored weights; nothing is trained."""
    from sweeps.cli.evaluate_text import evaluation_json, print_evaluation, print_what_lacks, progress_on
    from sweeps.evaluate import Job, areas, cell_views, unfit_tests
    from sweeps.evaluate import evaluate as run
    from sweeps.launch.provenance import code

    percents = percents_of(occlusion)
    opened = open_store(store)
    (wanted,) = chosen(opened, [sweep], scale)
    # What enters no table is not evaluated on test images.
    wanted = wanted.model_copy(update={"search_cells": [], "former": []})
    uri = None if offline else tracking_uri_of(opened, tracking_uri)
    further = [test_on] if test_on else []
    problems = unfit_tests(wanted, further) + (unreachable_tracking(uri, wanted.experiment) if uri else [])
    if problems:
        raise Refused(problems)
    source, folder = code(), data.expanduser().absolute() if data else None
    every = tuple(conditions(percents, fill, occlusion_seeds, further))
    job = Job(opened.location, folder, every, git_commit=source.commit, git_dirty=source.dirty)
    with progress_on(console, quiet=as_json) as progress:
        outcome = run(wanted, job, at_once=max_concurrent, progress=progress)
    if outcome.interrupted:
        say_on_stderr("interrupted", f"evaluate again to go on: `softaug evaluate {wanted.name}`")
        raise typer.Exit(130)
    if outcome.trouble:
        say_on_stderr("error", outcome.trouble)
        raise typer.Exit(1)
    if uri:
        _sync(opened, wanted, uri)
    views, covered = cell_views(opened, wanted, job.wanted), areas(opened, wanted)
    if as_json:
        print_json(evaluation_json(wanted, views, outcome, covered))
    else:
        print_evaluation(console, views, percents, fill, covered, further)
        print_what_lacks(wanted, outcome)
    if outcome.problems:
        raise typer.Exit(1)


def _sync(store: Store, sweep: ResolvedSweep, uri: str) -> None:
    """Bring MLflow level; what was measured is safe if that fails."""
    try:
        bring_level(store, [sweep], uri)
    except Refused as refused:
        say_on_stderr("warning", f"{refused}: run `softaug sync {sweep.name}`")
