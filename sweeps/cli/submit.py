"""Commands for a Ray cluster that is reached by its head's address: submit, follow; `stop` is with the launches."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from sweeps.cli.options import (
    BudgetOption,
    ClusterOption,
    ClusterStoreOption,
    GpusOption,
    LaunchedArgument,
    ScaleOption,
    SeedsOption,
    SweepArgument,
    seeds_of,
)
from sweeps.cli.terminal import say
from sweeps.launch.preflight import Refused

commands = typer.Typer()


@commands.command()
def submit(
    sweep: SweepArgument,
    cluster: ClusterOption,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    store: ClusterStoreOption = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow as the head sees it; default: its MLFLOW_TRACKING_URI.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder with the data sets, on the nodes.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at once; default: what fits.")] = None,
    gpus: GpusOption = None,
    budget: BudgetOption = None,
    retry_failed: Annotated[bool, typer.Option(help="Run failed and diverged trials again.")] = False,
    offline: Annotated[bool, typer.Option(help="Leave MLflow alone; `softaug sync` brings it level later.")] = False,
    checkpoint_every: Annotated[
        float | None, typer.Option(min=0, help="Seconds between a trial's checkpoints; default: 60.")
    ] = None,
    following: Annotated[bool, typer.Option("--follow/--no-follow", help="Show what the job prints.")] = True,
    relaunch: Annotated[bool, typer.Option(help="Launch again whenever the job or the head is lost.")] = False,
) -> None:
    """Launch a sweep on a Ray cluster, as a job of its head, and follow it."""
    from sweeps.jobs import submit as jobs
    from sweeps.jobs.relaunch import keep

    if relaunch and not following:
        raise Refused(["--relaunch: it has to follow the job to see that it is lost; leave --no-follow out"])

    resolved, known = jobs.checked(
        cluster, sweep, scale=scale, seeds=seeds_of(seeds), gpus=gpus, store=store, tracking_uri=tracking_uri
    )
    given = {
        "--seeds": seeds,
        "--tracking-uri": tracking_uri,
        "--data": data,
        "--max-concurrent": max_concurrent,
        "--gpus": gpus,
        "--budget": budget,
        "--checkpoint-every": checkpoint_every,
    }
    options = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    options += [name for name, wanted in (("--retry-failed", retry_failed), ("--offline", offline)) if wanted]
    wanted = jobs.prepare(sweep, resolved, store=store, options=options)
    job = jobs.submit(cluster, known, wanted)
    say(f"submitted to {cluster} as job {job}")
    if relaunch:
        raise typer.Exit(
            _or_interrupted(
                lambda: keep(cluster, wanted, job, show=_show, say=say),
                f"{resolved.experiment} is not launched again from here; {how_to_go_on(cluster, resolved.experiment)}",
            )
        )
    if following:
        raise typer.Exit(_followed(cluster, job, resolved.experiment))
    say(how_to_go_on(cluster, resolved.experiment))


@commands.command()
def follow(sweep: LaunchedArgument, cluster: ClusterOption, scale: ScaleOption = None) -> None:
    """Show what a submitted sweep prints, from its beginning until it ends; exits as it does."""
    from sweeps.jobs import dashboard
    from sweeps.jobs import submit as jobs

    job = jobs.job_of(dashboard.jobs(cluster), sweep, scale, cluster, running=False)
    raise typer.Exit(_followed(cluster, job.id, job.metadata["sweep"]))


def stop_on(cluster: str, sweep: str, scale: str | None) -> None:
    """Stop a submitted sweep; leaves the command with the exit code of the `softaug stop` that ran there."""
    from sweeps.jobs import dashboard
    from sweeps.jobs import submit as jobs

    job = jobs.job_of(dashboard.jobs(cluster), sweep, scale, cluster, running=True)
    say(f"asking job {job.id} on {cluster} to stop")
    raise typer.Exit(_until_its_end(cluster, jobs.stop(cluster, job)))


def how_to_go_on(cluster: str, experiment: str) -> str:
    """Return how a job is followed and stopped."""
    return (
        f"follow it with `softaug follow {experiment} --cluster {cluster}`, "
        f"stop it with `softaug stop {experiment} --cluster {cluster}`"
    )


def _followed(cluster: str, job: str, experiment: str) -> int:
    goes_on = f"job {job} goes on; {how_to_go_on(cluster, experiment)}"
    return _or_interrupted(lambda: _until_its_end(cluster, job), goes_on)


def _until_its_end(cluster: str, job: str) -> int:
    from sweeps.jobs import submit as jobs

    try:
        return jobs.follow(cluster, job, _show)
    except jobs.JobLost as lost:
        say(str(lost))
        return 1


def _or_interrupted(follow: Callable[[], int], goes_on: str) -> int:
    from sweeps.jobs.submit import INTERRUPTED

    try:
        return follow()
    except KeyboardInterrupt:
        say(goes_on)
        return INTERRUPTED


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
