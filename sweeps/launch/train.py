"""One Ray Tune Tuner over the trials that are to do: it places them, reuses their processes and replaces dead ones.

Tune keeps nothing that matters: results are in the ledger the moment a trial has them, its folder is deleted after.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import TuneError

from softaug.arrays import Arrays, fingerprint, load
from softaug.datasets import dataset
from softaug.image_folder import Folders
from softaug.recipe import Recipe
from sweeps.launch import tune_repairs
from sweeps.launch.cluster import FOLDER
from sweeps.launch.deaths import MAX_PROCESS_DEATHS, Deaths
from sweeps.launch.provenance import code
from sweeps.launch.searcher import LedgerSearcher
from sweeps.launch.tune_at_scale import Forget, InOrder
from sweeps.launch.waiting import Waiting
from sweeps.resolved import ResolvedSweep
from sweeps.search.halving import HalvingScheduler
from trainables.trial import Job, Trial

if TYPE_CHECKING:
    from sweeps.launch.launch import Settings
    from sweeps.search.run import SearchRun


def train(
    sweep: ResolvedSweep,
    to_do: list[Recipe],
    search: "SearchRun | None",
    settings: "Settings",
    launch: str,
    slots: int,
    *,
    changed: Callable[[str, bool], None],
    warn: Callable[[str], None],
) -> str | None:
    """Run these recipes and what the search asks for, `slots` at a time; `changed(trial key, ended)` is called
    whenever one moved on.

    Returns why it could not go on to the end: the store cannot be written to, or Ray is lost.
    """
    tune_repairs.repair()
    names = {recipe.data.name for recipe in to_do} if search is None else sweep.data_names
    loaded = {name: _load(name, settings.data, warn) for name in names}
    job = _job(sweep, settings, launch, loaded)
    shared = {name: ray.put(content) for name, content in loaded.items()}
    trainable = tune.with_resources(
        tune.with_parameters(Trial, job=job, data=shared),
        {"cpu": sweep.resources.cpus, "gpu": sweep.resources.gpus},
    )
    searcher = LedgerSearcher(settings.store, launch, to_do, changed=changed, warn=warn, search=search)
    deaths = Deaths(settings.store, launch, silent_after_s=settings.silent_after_s, changed=changed, warn=warn)
    folder = tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-tune-")  # Tune's own state, which nobody reads
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=InOrder() if search is None else HalvingScheduler(settings.store, search, warn=warn),
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=launch,
            storage_path=folder,
            callbacks=[deaths, Waiting(sweep.resources, warn), Forget()],
            failure_config=tune.FailureConfig(max_failures=MAX_PROCESS_DEATHS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except (TuneError, RayError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"Ray Tune gave up: {lines[-1][:300]}"  # Tune's own errors hold a traceback, whose last line says what
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return searcher.unsaved


def _job(sweep: ResolvedSweep, settings: "Settings", launch: str, loaded: Mapping[str, Arrays | Folders]) -> Job:
    source = code()
    return Job(
        store=settings.store.location,
        launch=launch,
        cpus=sweep.resources.cpus,
        gpus=sweep.resources.gpus,
        checkpoint_every_s=settings.checkpoint_every_s,
        silent_after_s=settings.silent_after_s,
        git_commit=source.commit,
        git_dirty=source.dirty,
        fingerprints={name: fingerprint(content) for name, content in loaded.items()},
    )


def _load(name: str, data: Path | None, say: Callable[[str], None]) -> Arrays | Folders:
    known = dataset(name)
    if known.image_folders:
        say(f"looking at the {known.official_train + known.official_test:,} images of {known.title}")
    return load(name, data)
