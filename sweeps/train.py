"""One Ray Tune Tuner over the trials that are to do: it places them, reuses their processes and replaces dead ones.

Tune keeps nothing that matters: results are in the ledger the moment a trial has them, its folder is deleted after.
"""

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import ray
from ray import tune

from softaug.arrays import fingerprint, load
from softaug.recipe import Recipe
from sweeps.provenance import code
from sweeps.resolved import ResolvedSweep
from sweeps.searcher import LedgerSearcher
from trainables.trial import Job, Trial

if TYPE_CHECKING:
    from sweeps.launch import Settings

MAX_PROCESS_DEATHS = 3


def train(
    sweep: ResolvedSweep,
    to_do: list[Recipe],
    settings: "Settings",
    launch: str,
    slots: int,
    *,
    changed: Callable[[str, bool], None],
    warn: Callable[[str], None],
) -> None:
    """Run these recipes, `slots` at a time; `changed(trial key, ended)` is called whenever one moved on."""
    arrays = {name: load(name, settings.data) for name in {recipe.data.name for recipe in to_do}}
    source = code()
    job = Job(
        store=str(settings.store.root),
        launch=launch,
        cpus=sweep.resources.cpus,
        gpus=sweep.resources.gpus,
        checkpoint_every_s=settings.checkpoint_every_s,
        git_commit=source.commit,
        git_dirty=source.dirty,
        fingerprints={name: fingerprint(content) for name, content in arrays.items()},
    )
    shared = {name: ray.put(content) for name, content in arrays.items()}
    trainable = tune.with_resources(
        tune.with_parameters(Trial, job=job, data=shared),
        {"cpu": sweep.resources.cpus, "gpu": sweep.resources.gpus},
    )
    searcher = LedgerSearcher(settings.store, launch, to_do, changed=changed, warn=warn)
    folder = settings.store.root / f"tune-{launch}"
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=slots, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name=launch,
            storage_path=str(folder),
            failure_config=tune.FailureConfig(max_failures=MAX_PROCESS_DEATHS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
