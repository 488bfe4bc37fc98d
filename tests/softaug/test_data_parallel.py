import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from softaug.arrays import Arrays, load
from softaug.data import split
from softaug.data_parallel import fit_parallel
from softaug.fit import Epoch, fit
from softaug.ranks import Ranks
from softaug.recipe import Recipe
from tests.softaug import photographs

CPU = torch.device("cpu")
TWO = (CPU, CPU)
SOFT: dict[str, Any] = {
    "data": {"name": "digits", "train_images": 101, "validation_images": 10},
    "flip": 0.5,
    "crop": {"kind": "gaussian", "sigma": 0.3},
    "policy": {"kind": "rand-augment"},
    "softening": {"apply_to": "both"},
    "optim": {"epochs": 2, "batch_size": 32, "lr": 0.02},
}


def parallel(recipe: Recipe, digits: Arrays, **options: Any) -> list[Epoch]:
    return list(fit_parallel(recipe, split(digits, recipe.data), devices=TWO, **options))


def alone(recipe: Recipe, digits: Arrays, **options: Any) -> list[Epoch]:
    return list(fit(recipe, split(digits, recipe.data), device=CPU, **options))


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [SOFT, SOFT | {"loss": {"weight_norm": "mean1"}}, SOFT | {"softening": None, "online_label_smoothing": True}],
)
def test_two_processes_learn_what_one_learns(parts: dict[str, Any], make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(**parts)  # 91 images: the last batch has 14 and 13
    ours, theirs = parallel(recipe, digits), alone(recipe, digits)
    assert [each.number for each in ours] == [1, 2]
    for one, other in zip(ours, theirs, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=2e-3)
        state = other.state()
        assert one.state().keys() == state.keys()
        for name, tensor in one.state().items():
            torch.testing.assert_close(tensor, state[name], rtol=1e-2, atol=2e-4, msg=name)
    assert ours[-1].final is not None
    assert theirs[-1].final is not None
    assert ours[-1].final.metrics == pytest.approx(theirs[-1].final.metrics, rel=1e-2)


@pytest.mark.slow
def test_resumed_is_uninterrupted_and_a_stop_leaves_the_last_boundary(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(**SOFT | {"optim": {"epochs": 3, "batch_size": 32}})
    whole = parallel(recipe, digits)
    seen: list[Epoch] = []
    for epoch in fit_parallel(recipe, split(digits, recipe.data), devices=TWO, stop=lambda: bool(seen)):
        seen.append(epoch)
        assert len(seen) < 3
    rest = parallel(recipe, digits, resume=seen[-1].state())
    assert rest[-1].number == 3
    assert all(torch.equal(rest[-1].state()[name], tensor) for name, tensor in whole[-1].state().items())
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others_and_is_named(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(**SOFT)
    generator = fit_parallel(recipe, split(digits, recipe.data), devices=TWO)
    next(generator)
    victim = multiprocessing.active_children()[0]
    assert victim.pid is not None
    os.kill(victim.pid, 9)
    with pytest.raises(RuntimeError, match=r"rank \d of 2 ended with exit code -9"):
        list(generator)
    assert multiprocessing.active_children() == []


CALLER = """
import multiprocessing, sys, torch
from softaug.arrays import load
from softaug.data import split
from softaug.data_parallel import fit_parallel
from softaug.recipe import Recipe

if __name__ == "__main__":
    recipe = Recipe.model_validate_json(sys.argv[1])
    cpu = torch.device("cpu")
    for _ in fit_parallel(recipe, split(load("digits", None), recipe.data), devices=(cpu, cpu)):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


@pytest.mark.slow
def test_when_the_caller_is_killed_its_processes_end(make_recipe: Any, tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(CALLER)
    recipe = make_recipe(**SOFT | {"optim": {"epochs": 10_000, "batch_size": 32}})
    command = [sys.executable, str(script), recipe.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        waiting, stopped = (psutil.Process(int(pid)) for pid in caller.stdout.readline().split())
        stopped.suspend()  # the other one waits for it, so that it would notice nothing by itself
        caller.kill()
    assert psutil.wait_procs([waiting], timeout=20)[1] == []
    stopped.resume()
    assert psutil.wait_procs([stopped], timeout=20)[1] == []


@pytest.mark.slow
def test_what_a_rank_fails_with_reaches_the_caller(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(**SOFT)
    splits = split(digits, recipe.data)
    splits.train.labels[3] = 99  # no such class
    with pytest.raises((RuntimeError, IndexError), match=r"index 99|out of bounds"):
        list(fit_parallel(recipe, splits, devices=TWO))


@pytest.mark.slow
def test_two_processes_train_on_a_folder_of_photographs_as_one(
    small_imagenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The processes know the small ImageNet by a sitecustomize; each decodes its share with a worker of its own.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "sweeps" / "small_imagenet"))
    classes, train, test = len(photographs.WNIDS), photographs.TRAIN, photographs.TEST
    monkeypatch.setenv("SMALL_IMAGENET", json.dumps([classes, photographs.SIDE_PX, classes * train, classes * test]))
    soft = {"crop": photographs.SOFT, "softening": {"apply_to": "both"}, "policy": {"kind": "rand-augment"}}
    recipe = Recipe.model_validate(photographs.BASE | soft | {"optim": {"epochs": 2, "batch_size": 8, "lr": 0.01}})
    splits = split(load("imagenet", small_imagenet), recipe.data, workers=1)
    theirs = list(fit(recipe, splits, device=CPU))
    for one, other in zip(fit_parallel(recipe, splits, devices=TWO), theirs, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=2e-3)
        for name, tensor in one.state().items():
            torch.testing.assert_close(tensor, other.state()[name], rtol=1e-2, atol=5e-4, msg=name)
    assert multiprocessing.active_children() == []


def test_every_row_belongs_to_one_rank_and_every_batch_is_shared() -> None:
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    shares = [Ranks(rank, 4).rows(order, 16) for rank in range(4)]
    assert torch.equal(torch.cat(shares).sort().values, torch.arange(90))
    for start in range(0, 80, 16):
        here = {int(row) for share in shares for row in share[start // 4 :][:4]}
        assert here == set(order[start : start + 16].tolist())
    assert [len(share) for share in shares] == [23, 23, 22, 22]
    assert Ranks().rows(order, 16) is order


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"optim": {"batch_size": 33}}, "33 cannot be shared by 2 processes"),
        ({"data": {"name": "digits", "train_images": 100}, "optim": {"batch_size": 22}}, None),
        ({"data": {"name": "digits", "train_images": 101}, "optim": {"batch_size": 20}}, "101 images has 1, too few"),
        ({"simsiam": {}}, "simsiam: trained by one process"),
    ],
)
def test_what_cannot_be_shared_is_refused_first(
    parts: dict[str, Any], reason: str | None, make_recipe: Any, digits: Arrays
) -> None:
    recipe = make_recipe(**parts)
    epochs = fit_parallel(recipe, split(digits, recipe.data), devices=TWO)
    if reason is not None:
        with pytest.raises(ValueError, match=reason):
            next(epochs)
    epochs.close()
