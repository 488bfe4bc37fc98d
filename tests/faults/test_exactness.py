"""The same recipe gives the same bits however it is run: whole, alone, in a reused process, cut off and resumed."""

import json
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

from softaug import arrays, data
from softaug.augment import Augmentation, draw
from softaug.batches import batches
from softaug.fit import fit
from softaug.recipe import Recipe
from tests.faults.evidence import read_trials
from tests.faults.scenes import Scene, tiny_sweep, until
from trainables.attempt import Place, RunningAttempt, to_bytes
from trainables.ledger import Attempt, TrialFolder
from trainables.store import open_store

CPU = torch.device("cpu")
SIDE = 8  # of a digit, in pixels
RECIPE = Recipe.model_validate(
    {
        "data": {"name": "digits", "train_images": 100},
        "model": {"name": "resnet8", "width": 4},
        "crop": {"kind": "gaussian", "sigma": 0.3},
        "softening": {"apply_to": "both", "k": 2.0},
        "optim": {"epochs": 5, "batch_size": 40},
        "seed": 1,
    }
)


def other(**parts: Any) -> Recipe:
    """Return the recipe with some parts changed."""
    return Recipe.model_validate(RECIPE.model_dump(mode="json") | parts)


def gaussian(sigma: float, **parts: Any) -> Recipe:
    """Return the recipe with another strength of the crop."""
    return other(crop={"kind": "gaussian", "sigma": sigma}, **parts)


def quantiles(recipe: Recipe, epoch: int) -> tuple[Any, Any]:
    """Return between which uniforms each offset of an epoch can have come from, by scipy's distribution."""
    assert recipe.crop is not None
    assert recipe.crop.kind == "gaussian"
    offsets = draw(recipe, 200, epoch=epoch).offsets
    assert offsets is not None
    std = recipe.crop.sigma * SIDE
    known = stats.truncnorm(-SIDE / std, SIDE / std, scale=std)
    low, high = offsets - (offsets <= 0).long(), offsets + (offsets >= 0).long()  # truncated toward zero
    return known.cdf(low.numpy()), known.cdf(high.numpy())


@pytest.mark.parametrize("epoch", [1, 2, 17])
def test_a_sample_meets_the_same_quantile_in_every_cell_of_a_seed(epoch: int) -> None:
    cells = [
        gaussian(0.1),
        gaussian(0.3, softening={"apply_to": "target", "k": 4.0}),
        gaussian(0.6, softening=None, label_smoothing=0.1),
        gaussian(1.0, optim={"epochs": 20, "batch_size": 7}),
    ]
    lows, highs = zip(*(quantiles(cell, epoch) for cell in cells), strict=True)
    low, high = lows[0], highs[0]
    for other_low, other_high in zip(lows[1:], highs[1:], strict=True):
        low, high = low.clip(min=other_low), high.clip(max=other_high)
    assert (low <= high + 1e-12).all(), "one uniform explains what every cell drew for a sample"
    strange_low, strange_high = quantiles(gaussian(0.3, seed=2), epoch)
    assert ((strange_low <= high) & (low <= strange_high)).mean() < 0.5, "another seed draws others"
    flips = [draw(cell, 200, epoch=epoch).mirrored for cell in cells]
    assert all(torch.equal(flips[0], each) for each in flips[1:] if flips[0] is not None and each is not None)


def test_the_batch_size_changes_nothing_that_a_sample_meets() -> None:
    splits = data.split(arrays.load("digits", None), RECIPE.data)

    def epoch(size: int, seed: int = 1) -> list[torch.Tensor]:
        recipe = other(optim={"epochs": 5, "batch_size": size}, seed=seed)
        whole = zip(*batches(Augmentation.of(recipe, torch.device("cpu")), splits.train, epoch=3), strict=True)
        return [torch.cat(part) for part in whole]

    seven, sixty_four = epoch(7), epoch(64)
    assert all(torch.equal(*pair) for pair in zip(seven, sixty_four, strict=True))
    assert not torch.equal(seven[0], epoch(7, seed=2)[0])


def advance(folder: Path, epochs: int) -> str:
    """Take a trial on by that many epochs in a process of its own."""
    torch.set_num_threads(1)
    trial = TrialFolder(open_store(folder), RECIPE.key)
    trial.write_recipe(RECIPE)
    number = len(trial.attempts()) + 1
    begun = trial.begin(
        Attempt(number=number, launch="a@b-0001", host="h", pid=1, started=0.0, git_commit="c", git_dirty=False)
    )
    assert begun is not None
    attempt = RunningAttempt(
        begun,
        RECIPE,
        lambda: data.split(arrays.load("digits", None), RECIPE.data),
        place=Place(CPU, threads=1, data_fingerprint="f00d"),
        stop=lambda: attempt.boundary is not None and attempt.boundary.number >= number * epochs,
        checkpoint_every_s=60.0,
    )
    state: str = attempt.advance(60.0)
    return state


def results(store: Path) -> dict[str, Any]:
    """Return per trial the weights' bytes, the final metrics and every epoch's."""
    found = {}
    for key, trial in read_trials(store).items():
        assert trial.end is not None
        folder = store / "trials" / key[:2] / key / f"{trial.end['attempt']:04d}"
        rows = [row["metrics"] for row in trial.newest_rows]
        diagram = json.loads((folder / "reliability.json").read_text())
        found[key] = ((folder / "weights.safetensors").read_bytes(), trial.end["metrics"], rows, diagram)
    return found


@pytest.mark.slow
def test_resumed_at_every_epoch_each_time_in_another_process(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as processes:
        assert processes.submit(advance, whole, RECIPE.optim.epochs + 1).result() == "finished"
        states = [processes.submit(advance, cut, 1).result() for _ in range(RECIPE.optim.epochs)]
    assert states == ["interrupted"] * (RECIPE.optim.epochs - 1) + ["finished"]
    assert results(cut) == results(whole)


@pytest.mark.slow
def test_a_launched_trial_has_the_bits_of_a_loop_over_fit(killed_trial: Scene) -> None:
    """Also after its process was killed: half of the trials of this scene went on in another one."""
    torch.set_num_threads(1)
    launched = results(killed_trial.store)
    assert len(launched) == 6
    for key, (weights, metrics, rows, _) in launched.items():
        recipe = Recipe.model_validate(killed_trial.events("start", trial=key)[0]["recipe"])
        splits = data.split(arrays.load("digits", None), recipe.data)
        *_, last = epochs = list(fit(recipe, splits, device=CPU))
        assert last.final is not None
        assert [epoch.metrics for epoch in epochs] == rows
        assert last.final.metrics == metrics
        assert to_bytes(last.final.weights, {"trial": key}) == weights


@pytest.mark.slow
def test_alone_is_as_in_company(undisturbed: Scene, scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep())
    for seed in (2, 0, 1):
        scene.launch(sweep, "--seeds", seed, "--max-concurrent", 1).ended(0)
    assert len({start["pid"] for start in scene.events("start")}) >= 3, "each seed had a process of its own"
    assert results(scene.store) == results(undisturbed.store)


@pytest.mark.slow
def test_one_after_the_other_in_one_process_is_as_in_several(undisturbed: Scene, scene: Scene) -> None:
    scene.launch(scene.sweep(tiny_sweep()), "--max-concurrent", 1).ended(0)
    assert len({start["pid"] for start in scene.events("start")}) == 1, "the process was reused"
    assert len({start["pid"] for start in undisturbed.events("start")}) == 2, "there were two at a time"
    assert results(scene.store) == results(undisturbed.store)
    scene.check(checkpoint_every_s=60)


@pytest.mark.slow
def test_interrupted_and_launched_again_is_as_in_one_go(undisturbed: Scene, scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep())
    launch = scene.launch(sweep, poisons=[{"kind": "slow", "epoch": 6}])
    until(lambda: scene.events("strike"), "a trial in its sixth epoch")
    launch.process.send_signal(signal.SIGINT)
    launch.ended(130)
    scene.launch(sweep).ended(0)
    resumed = [start for start in scene.events("start") if start["epoch"] > 0]
    assert resumed, "a trial went on where it was"
    assert results(scene.store) == results(undisturbed.store)
    scene.check(checkpoint_every_s=60)
