"""Sweeps as jobs of a Ray cluster: submitted, followed and stopped through the head's Jobs API.

The job is `softaug launch` on the head; the cluster's own softaug runs it and its store keeps it. What travels is the
sweep file, if it is no catalog name. The job's id is the sweep's name and a number, so of two submissions at once one
is refused by the head; whether another launch of the sweep runs without the head's knowledge, the store knows.
"""

import asyncio
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.cli.options import without_password
from sweeps.files.catalog import CATALOG, locate, read
from sweeps.files.expand import load
from sweeps.jobs import dashboard, submitted
from sweeps.jobs.dashboard import JobEntry
from sweeps.jobs.submitted import JobRuns
from sweeps.launch.preflight import Refused
from sweeps.launch.stop import moment
from sweeps.problems import Problems, known
from sweeps.resolved import ResolvedSweep
from trainables.store import StoreRefused, place_in_s3

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

RECONNECT_S = 1.0
QUIET_S = 90.0  # a launch says something once a minute; a connection that was cut says nothing for ever
AWAY_S = 60.0  # a head that comes back after longer has forgotten its jobs
INTERRUPTED = 130
LOST = -1  # no exit code at all


def checked(
    cluster: str,
    sweep: str,
    *,
    scale: str | None,
    seeds: Sequence[int] | None,
    gpus: float | None,
    store: str | None,
    tracking_uri: str | None = None,
) -> tuple[ResolvedSweep, list[JobEntry]]:
    """Return the sweep and the cluster's jobs. Raises Refused with everything that is wrong with either."""
    problems: list[str] = []
    resolved, jobs = None, None
    try:
        resolved = load(sweep, scale=scale, seeds=seeds, gpus=gpus)
    except Problems as wrong:
        problems += map(str, wrong.problems)
    problems += _unfit_store(store)
    if "@" in (tracking_uri or ""):
        problems.append(
            f"tracking URI {without_password(str(tracking_uri))}: a job's command line is shown to whoever sees the "
            "cluster; leave user and password out, and put them into ~/.mlflow/credentials on the head"
        )
    try:
        jobs = dashboard.jobs(cluster)
    except Refused as refused:
        problems += refused.problems
    if problems or resolved is None or jobs is None:
        raise Refused(problems)
    return resolved, jobs


def _unfit_store(store: str | None) -> list[str]:
    """Return a problem if this cannot be the store of every node, as far as it can be said from here."""
    try:
        if store is None or place_in_s3(store) is not None or Path(store).is_absolute():
            return []
    except StoreRefused as refused:
        return [str(refused)]
    return [f"store {store}: give its absolute path on the cluster's nodes, or s3://bucket/prefix, with --store"]


class JobLost(Exception):
    """A job whose end nobody will tell: its head is gone, or another one that knows nothing of it answers."""


@dataclass(frozen=True)
class Submission:
    """What is sent to a cluster to launch a sweep, as often as it takes. `told`: what the head keeps with the job."""

    experiment: str
    command: tuple[str, ...]
    told: dict[str, str]
    files: dict[str, str]


def prepare(sweep: str, resolved: ResolvedSweep, *, store: str | None, options: Sequence[str]) -> Submission:
    """Return the submission of a sweep with these options of `softaug launch`."""
    path = locate(sweep)
    uploaded = path.parent != CATALOG
    named = f"{resolved.name}.yaml" if uploaded else path.stem
    described = f"{submitted.VARIABLE}={submitted.described(resolved)}"
    command = ["env", described, "softaug", "launch", named, "--address", "auto", "--scale", resolved.scale]
    told = {"sweep": resolved.experiment} | ({} if store is None else {"store": store})
    files = {named: read(path)} if uploaded else {}
    return Submission(resolved.experiment, (*command, *_store(told), *options), told, files)


def submit(cluster: str, jobs: Sequence[JobEntry], wanted: Submission) -> str:
    """Launch a sweep on the cluster that knows these jobs; return the new job's id. Raises JobRuns."""
    running = job_that_runs(jobs, wanted.experiment)
    if running is not None:
        raise JobRuns(_runs_already(running, cluster))
    number = max([_number(job.id, wanted.experiment) or 0 for job in jobs], default=0) + 1
    return _submit(cluster, f"{wanted.experiment}-{number:04d}", wanted.command, wanted.told, wanted.files)


def job_that_runs(jobs: Sequence[JobEntry], experiment: str) -> JobEntry | None:
    """Return the job that launches a sweep now."""
    return next((job for job in jobs if job.runs and _number(job.id, experiment)), None)


def stop(cluster: str, job: JobEntry) -> str:
    """Let another job on the cluster run `softaug stop`, so that trials keep their last epoch; return its id.

    The Jobs API's own stop kills after three seconds, unless the head was started with another time.
    """
    name, _, scale = job.metadata["sweep"].rpartition("@")
    command = ["softaug", "stop", name, "--scale", scale, *_store(job.metadata)]
    return _submit(cluster, f"stop-{job.id}-{time.time_ns():x}", command, {}, {})


def job_of(jobs: Sequence[JobEntry], sweep: str, scale: str | None, cluster: str, *, running: bool) -> JobEntry:
    """Return the newest job of a sweep, given by name, name@scale or file; one that runs. Raises Refused."""
    name, _, shown = (load(sweep, scale=scale).name if sweep.endswith((".yaml", ".yml")) else sweep).partition("@")
    scale = scale or shown or None
    ours = [job for job in jobs if "sweep" in job.metadata]
    found = [job for job in ours if job.metadata["sweep"].rpartition("@")[0] == name]
    found = [job for job in found if scale in (None, job.metadata["sweep"].rpartition("@")[2])]
    if not found:
        wanted = f"{name}@{scale}" if scale else name
        hint = known(wanted, sorted({job.metadata["sweep"] for job in ours}))
        raise Refused([f"{wanted} was not submitted to {cluster} ({hint})"])
    able = [job for job in found if job.runs or not running]
    if not able:
        last = max(found, key=lambda job: job.since)
        raise Refused([f"{last.metadata['sweep']} is not running on {cluster}: job {last.id} is {last.status}"])
    scales = sorted({job.metadata["sweep"].rpartition("@")[2] for job in able})
    if running and len(scales) > 1:
        raise Refused([f"sweep {name} runs at several scales ({', '.join(scales)}): say which with --scale"])
    return max(able, key=lambda job: job.since)


def follow(cluster: str, job: str, show: Callable[[str], None]) -> int:
    """Show what a job prints until it ends, from its beginning; return its exit code. Raises KeyboardInterrupt.

    Raises JobLost if the head knows no such job, or does not answer for `AWAY_S`, or the job ended without a code.
    """
    client = _client(cluster)
    shown, heard = 0, time.monotonic()
    while True:
        shown = asyncio.run(_tail(client, job, shown, show))
        try:
            found = dashboard.job(cluster, job)
            heard = time.monotonic()
        except (OSError, HTTPException, ValueError, LookupError) as error:
            if time.monotonic() - heard > AWAY_S:
                gone = f"{cluster} does not answer ({_in_a_line(error)}); if the head is gone, so is job {job}"
                raise JobLost(gone) from None
        else:
            if found is None:
                raise JobLost(f"{cluster} knows no job {job}: the head that ran it is gone")
            if not found.runs:
                break
        time.sleep(RECONNECT_S)
    if found.status == "STOPPED":
        return INTERRUPTED
    if found.exit_code is None:
        raise JobLost(f"job {job}: {_in_a_line(found.message or 'it never started')}")
    return found.exit_code


async def _tail(client: "JobSubmissionClient", job: str, shown: int, show: Callable[[str], None]) -> int:
    """Show a job's output after the first `shown` characters while the connection lasts and is not quiet for long.

    Returns how many characters there were.
    """
    from aiohttp import ClientError

    seen = 0
    told = aiter(client.tail_job_logs(job))
    try:
        while (text := await asyncio.wait_for(anext(told, None), QUIET_S)) is not None:
            new = text[max(shown - seen, 0) :]
            seen += len(text)
            if new:
                show(new)
    except (OSError, RuntimeError, ClientError):  # a TimeoutError is an OSError
        pass  # the connection broke: whoever asks again begins with the first character
    return max(seen, shown)


def _in_a_line(said: object) -> str:
    return " ".join(str(said).split())[:300]


def _submit(cluster: str, job: str, command: Sequence[str], told: dict[str, str], files: dict[str, str]) -> str:
    with tempfile.TemporaryDirectory(prefix="softaug-submit-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        environment: dict[str, Any] = {"working_dir": folder} if files else {}
        try:
            _client(cluster).submit_job(
                entrypoint=shlex.join(command), submission_id=job, metadata=told, runtime_env=environment
            )
        except (OSError, RuntimeError) as error:
            if "already exists" in str(error):
                raise JobRuns(
                    f"{told.get('sweep', job)} was submitted to {cluster} by somebody else just now"
                ) from None
            raise Refused([f"cluster {cluster}: {_in_a_line(error)}"]) from None
    return job


def _store(told: Mapping[str, str]) -> list[str]:
    return ["--store", told["store"]] if "store" in told else []


def _client(cluster: str) -> "JobSubmissionClient":
    import logging

    from ray.job_submission import JobSubmissionClient

    for name in ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return JobSubmissionClient(cluster, headers=dashboard.headers(dashboard.token()))


def _number(job: str, experiment: str) -> int | None:
    found = re.fullmatch(re.escape(experiment) + r"-(\d+)", job)
    return int(found[1]) if found else None


def _runs_already(job: JobEntry, cluster: str) -> str:
    sweep = job.metadata.get("sweep", job.id)
    return (
        f"{sweep} is already running on {cluster}: job {job.id}, since {moment(job.since)}; "
        f"follow it with `softaug follow {sweep} --cluster {cluster}`"
    )
