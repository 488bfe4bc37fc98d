"""The catalog's entries: the paper's recipes and numbers, every scale planned, and every smoke launched."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.files.catalog import catalog
from sweeps.files.expand import load
from sweeps.plan.plan import plan_of
from sweeps.resolved import Cell, Published, ResolvedSweep
from sweeps.survey import survey
from tests import servers
from tests.conftest import Softaug
from trainables.store import open_store

PUBLISHED = json.loads((Path(__file__).parents[3] / "analysis" / "published.json").read_text(encoding="utf-8"))
ENTRIES = {entry.name: entry for entry in catalog()}
NAMES_AND_SCALES = [(entry.name, scale) for entry in ENTRIES.values() for scale in entry.scales]
OF_THE_PAPER = [name for name in ENTRIES if name.startswith(("table-", "figure-"))]
FULL = [(name, scale) for name in OF_THE_PAPER for scale in ENTRIES[name].scales if scale in ("paper", "imagenet")]
SEARCHES = (
    "search-joint",
    "search-pareto",
)  # their smoke takes a minute; tests/faults/test_search_kills.py launches such sweeps
SMOKE_TRIALS = 22

DATA = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet1k": "imagenet", "imagenetv2": "imagenet"}
MODEL = {
    "resnet18": "resnet18",
    "simsiam_resnet18": "resnet18",
    "wideresnet28_10": "wide-resnet28-10",
    "pyramidnet272_a200_shakedrop": "pyramidnet272",
    "efficientnet_b0": "efficientnet-b0",
}
IMAGENET_MODEL = {"resnet50": "torchvision-resnet50", "resnet101": "torchvision-resnet101"}
POLICY = {"ra": "rand-augment", "randaugment": "rand-augment", "ta": "trivial-augment"}
SOFT = ("sa", "sa_crop", "sa_noise", "soft_augmentation", "sa_target_and_weight")

# What the paper prints and no arm is: other people's methods, and what its text says of Figure 3, of costs and sums.
QUOTED = {"energy_based", "duq", "sngp", "ddu", "5_ensemble", "manifold_mixup", "puzzle_mix", "co_mixup"}
QUOTED_TOO = {"baseline", "mixup", "cutout", "ra"}  # beside the paper's own
TEXT_OF_OTHERS = {"label_smoothing", "sa_target_only", "any"}  # figure-3's arms have axes; hours and days


def cells(scales: list[tuple[str, str]]) -> Iterator[Cell]:
    for name, scale in scales:
        yield from load(name, scale=scale).cells


def rows(reference: Published) -> list[dict[str, Any]]:
    """Return the paper's own rows that a reference selects."""
    wanted = {name: value for name, value in reference.model_dump().items() if value is not None}
    own = [row for row in PUBLISHED if "quoted_from" not in row]
    return [row for row in own if all(row.get(name) == value for name, value in wanted.items())]


REFERENCES = [(cell, reference) for cell in cells(FULL) for reference in cell.published]


@pytest.mark.parametrize(("name", "scale"), NAMES_AND_SCALES)
def test_every_scale_is_planned_and_says_what_it_costs(name: str, scale: str, tmp_path: Path) -> None:
    store, sweep = open_store(tmp_path), load(name, scale=scale)
    plan = plan_of(store, survey(store, sweep), slots=2)
    assert plan.forecast.known
    assert plan.disk_mb is not None
    assert plan.detectable
    assert sweep.cost
    if scale == "smoke" and sweep.search is None:
        assert len(sweep.trial_keys) <= SMOKE_TRIALS


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_what_reproduces_the_paper_has_its_seeds_and_three_scales(name: str) -> None:
    assert {"paper", "laptop", "smoke"} <= set(ENTRIES[name].scales)
    assert load(name, scale="laptop").seeds == [0, 1, 2]
    assert load(name, scale="paper").seeds == ([0] if name == "table-9" else [0, 1, 2])


@pytest.mark.parametrize(("cell", "reference"), REFERENCES, ids=lambda value: getattr(value, "arm", ""))
def test_a_reference_selects_one_number_of_a_metric_and_the_recipe_is_that_of_the_row(
    cell: Cell, reference: Published
) -> None:
    found = rows(reference)
    assert found
    assert max(Counter(row["metric"] for row in found).values()) == 1
    recipe = cell.recipe
    known_models = IMAGENET_MODEL if recipe["data"]["name"] == "imagenet" else {**MODEL, "resnet50": "resnet50"}
    assert recipe["data"]["name"] == DATA[reference.dataset]
    assert recipe["model"]["name"] == known_models[reference.model]
    assert ("simsiam" in recipe) == reference.model.startswith("simsiam")
    if "simsiam" not in recipe:
        parts = reference.method.split("+")
        assert recipe.get("policy", {}).get("kind") == next((POLICY[each] for each in parts if each in POLICY), None)
        assert (recipe["softening"] is not None) == any(each in SOFT for each in parts)
        assert ("noise" in recipe) == ("noise" in reference.method)
    else:
        weight = recipe["simsiam"]["pair_weight"]
        assert recipe["optim"]["lr"] == reference.lr
        assert reference.method == ("baseline" if weight is None else weight["form"].replace("sa", "sa#"))
        assert reference.k is None or weight["k"] == reference.k


def test_every_number_of_the_papers_own_belongs_to_an_arm() -> None:
    """All rows of Tables 1 to 9 and of the text but those named above."""
    of_arms = [row for _, reference in REFERENCES for row in rows(reference)]
    others = [row for row in PUBLISHED if row not in of_arms]
    quoted = [row for row in others if "quoted_from" in row]
    assert {row["method"] for row in quoted} == QUOTED | QUOTED_TOO
    texts = [row for row in others if row["table"] == "text" and row not in quoted]
    assert [row for row in others if row not in quoted and row not in texts] == []
    of_no_arm = {row["method"] for row in texts if row["model"] == "resnet18" or row["method"] == "any"}
    assert of_no_arm - {"baseline", "sa+ra"} == TEXT_OF_OTHERS
    assert {(row["model"], row["method"]) for row in texts if row["method"] not in TEXT_OF_OTHERS} == {
        ("resnet18", "baseline"),  # by how much it beats other papers' baselines
        ("resnet18", "sa+ra"),  # the differences of Tables 2 and 3 once more
        ("wideresnet28_10", "sa+ta"),
    }


@pytest.mark.parametrize("cell", list(cells(FULL)), ids=lambda cell: cell.arm)
def test_the_papers_training(cell: Cell) -> None:
    """Method 1.9, by hand."""
    recipe = cell.recipe
    data, model, optim = recipe["data"]["name"], recipe["model"]["name"], recipe["optim"]
    trained = {name: optim[name] for name in ("epochs", "batch_size", "weight_decay", "nesterov")}
    gaussian = (recipe["crop"] or {}).get("kind") == "gaussian"
    if data == "imagenet":
        assert trained == {"epochs": 270, "batch_size": 256, "weight_decay": 1e-4, "nesterov": False}
        assert (optim["lr"], optim["warmup_epochs"]) == (0.1, 5)
    elif "simsiam" in recipe:
        assert trained == {"epochs": 500, "batch_size": 512, "weight_decay": 5e-4, "nesterov": False}
        assert recipe["simsiam"]["probe"] == {"epochs": 100, "batch_size": 256, "lr": 10.0}
    else:
        assert trained == {"epochs": 500, "batch_size": 128, "weight_decay": 5e-4, "nesterov": True}
        assert optim["lr"] == (0.025 if model == "efficientnet-b0" else 0.1)
    assert recipe["final_phase"] == ({"start": 0.96} if gaussian and data == "cifar100" else None)
    assert (recipe["data"]["train_images"], recipe["data"]["validation_images"]) == (None, 0)


@pytest.mark.parametrize(("name", "scale"), FULL)
def test_the_papers_training_is_in_float32_but_that_of_figure_3(name: str, scale: str) -> None:
    formats = {cell.recipe["precision"]["autocast"] for cell in load(name, scale=scale).cells}
    assert formats == {"bfloat16" if name == "figure-3" else "float32"}


@pytest.mark.parametrize(("name", "scale"), NAMES_AND_SCALES)
def test_a_cell_is_compared_with_one_of_its_own_network_and_data(name: str, scale: str) -> None:
    sweep = load(name, scale=scale)
    for cell, base in sweep.comparisons:
        same = [part for part in ("data", "model") if cell.recipe[part] == base.recipe[part]]
        assert same == ["data", "model"], (cell.title, base.title)


def test_sweeps_share_the_trials_that_they_have_in_common() -> None:
    def keys(name: str, scale: str) -> set[str]:
        return set(load(name, scale=scale).trial_keys)

    imagenet = keys("table-7", "paper")
    assert imagenet == keys("figure-5", "paper")
    assert imagenet < keys("table-2", "imagenet")
    assert keys("table-7", "laptop") == keys("figure-5", "laptop")
    assert keys("table-7", "laptop") < keys("table-1", "laptop")
    assert len(keys("table-1", "laptop") & keys("table-2", "laptop")) == 12
    assert len(keys("table-1", "paper") & keys("table-2", "paper")) == 12
    assert len(keys("table-4", "paper") & keys("table-9", "paper")) == 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return a Ray head's address, and a store in which sweeps find each other's trials."""
    with servers.ray_head(cpus=2) as head:
        yield head.address, tmp_path_factory.mktemp("runs")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in SEARCHES])
def test_every_smoke_ends_well(name: str, shared: tuple[str, Path], softaug: Softaug) -> None:
    address, store = shared
    launched = softaug("launch", name, "--scale", "smoke", "--address", address, "--store", store, "--offline")
    assert launched.returncode == 0, launched.stdout + launched.stderr
    status = json.loads(softaug("status", name, "--scale", "smoke", "--store", store, "--json").stdout)
    sweep: ResolvedSweep = load(name, scale="smoke")
    assert status["trials"]["finished"] == len(sweep.trial_keys)
