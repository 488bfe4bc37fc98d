"""Stored weights give the trial's numbers again, or nothing is written; what is measured is kept and never mixed."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load as tensors_from_bytes

from softaug import arrays, data
from softaug import network as network_module
from softaug.augment import Normalisation, normalise
from softaug.datasets import DATASETS, dataset
from softaug.image_folder import Folders
from softaug.metrics import calibration_errors, evaluate_logits, reliability
from softaug.network import network, predict
from softaug.occlusion import draw_occlusion, occlude
from softaug.recipe import Recipe
from softaug.training import State
from softaug.versions import EVALUATION
from tests.softaug import photographs
from tests.sweeps.ledgers import made_up_evaluation
from trainables import evaluate as evaluate_module
from trainables import evaluation
from trainables.attempt import Place, RunningAttempt, to_bytes
from trainables.evaluate import Evaluator, Network, NotEvaluated
from trainables.evaluation import UNCOVERED, Condition, Evaluation, conditions
from trainables.ledger import Attempt, AttemptFolder, End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store, open_store

CPU = torch.device("cpu")
FIELDS = {
    "data": {"name": "digits", "train_images": 100},
    "model": {"name": "resnet8", "width": 4},
    "optim": {"epochs": 2, "batch_size": 50},
    "precision": {"channels_last": True, "autocast": "bfloat16"},
}
ONE, OTHER = (Recipe.model_validate({**FIELDS, "seed": seed}) for seed in (0, 1))
TRIAL = TrialFolder(open_store("unused"), ONE.key).path
FORTY = conditions([40], "mean", 3)
GOLDEN = {
    "top1_error": 89.92339,
    "ece": 2.213761,
    "nll": 2.3125647,
    "brier": 0.90202094,
    "adaptive_ece": 2.598145,
    "classwise_ece": 1.340472,
}


def train(store: Store, recipe: Recipe, content: arrays.Arrays | Folders) -> None:
    trial = TrialFolder(store, recipe.key)
    trial.write_recipe(recipe)
    number = len(trial.numbers()) + 1
    folder = trial.begin(
        Attempt(number=number, launch="a@b-0001", host="h", pid=1, started=1.0, git_commit="c", git_dirty=False)
    )
    assert folder is not None
    place = Place(CPU, threads=1, data_fingerprint=arrays.fingerprint(content))
    splits = data.split(content, recipe.data)
    running = RunningAttempt(folder, recipe, lambda: splits, place=place, stop=lambda: False, checkpoint_every_s=60.0)
    assert running.advance(60) == "finished"


@pytest.fixture(scope="module")
def content() -> arrays.Arrays:
    torch.set_num_threads(1)
    return arrays.load("digits", None)


@pytest.fixture(scope="module")
def trained(content: arrays.Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with two finished trials; copy it, do not write to it."""
    root = tmp_path_factory.mktemp("trained")
    for recipe in (ONE, OTHER):
        train(open_store(root), recipe, content)
    return root


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Store:
    return open_store(shutil.copytree(trained, tmp_path / "store"))


def evaluator(store: Store, commit: str = "c0ffee") -> Evaluator:
    return Evaluator(store, None, git_commit=commit, git_dirty=False)


def evaluated(store: Store, number: int = 1) -> Evaluation:
    found = evaluation.read(AttemptFolder(TrialFolder(store, ONE.key), number))
    assert found is not None
    return found


def end_of(store: Store) -> End:
    end = TrialFolder(store, ONE.key).end()
    assert end is not None
    return end


def rewrite_end(store: Store, **update: Any) -> None:
    path = f"{TRIAL}/end.json"
    store.write(path, end_of(store).model_copy(update=update).sealed(path))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Condition]:
    """Return the list to which every measurement adds its condition."""
    seen: list[Condition] = []
    measure = Network.measure
    monkeypatch.setattr(
        Network, "measure", lambda self, condition: (seen.append(condition), measure(self, condition))[1]
    )
    return seen


@pytest.fixture
def image_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a small ImageNet and an ImageNet-V2 with an image of each of its classes."""
    photographs.write_imagenet(tmp_path / "data" / "imagenet")
    photographs.write_v2(tmp_path / "data" / "imagenet-v2", len(photographs.WNIDS))
    small, v2 = photographs.known("imagenet"), photographs.known("imagenet-v2")
    monkeypatch.setitem(DATASETS, "imagenet", small)
    v2 = replace(v2, class_names=small.class_names, official_test=small.classes)
    monkeypatch.setitem(DATASETS, "imagenet-v2", v2)
    return tmp_path / "data"


def test_further_test_images_are_those_of_the_other_set(image_net: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(photographs.BASE | {"crop": photographs.HARD})
    store, v2 = open_store(tmp_path / "store"), arrays.load("imagenet-v2", image_net)
    train(store, recipe, arrays.load("imagenet", image_net))
    wanted = conditions([], "mean", 3, ["imagenet-v2"])
    Evaluator(store, image_net, git_commit="c", git_dirty=False).evaluate(recipe.key, wanted)
    attempt = AttemptFolder(TrialFolder(store, recipe.key), 1)
    found, trained = evaluation.read(attempt), network(recipe, CPU)
    assert found is not None
    assert [each.condition for each in found.measurements] == wanted
    trained.load_state_dict(tensors_from_bytes(store.read(f"{attempt.path}/weights.safetensors")))
    images = data.images_to_test_on(v2, "imagenet-v2")
    logits = predict(trained, images, Normalisation.of(dataset("imagenet-v2"), CPU))
    further = found.measurements[1]
    assert further.metrics == evaluate_logits(logits, images.labels) | calibration_errors(logits, images.labels)
    assert further.reliability == reliability(logits, images.labels)
    assert (further.data_fingerprint, further.predictions) == (arrays.fingerprint(v2), [])
    assert found.values()["test/imagenet-v2/top1_error"].mean == further.metrics["top1_error"]
    assert found.values()["test/top1_error"].mean == found.measurements[0].metrics["top1_error"]


def test_other_classes_are_no_test(store: Store) -> None:
    with pytest.raises(NotEvaluated, match=r"^imagenet-v2 has other classes than digits, which it was trained on$"):
        evaluator(store).evaluate(ONE.key, conditions([], "mean", 3, ["imagenet-v2"]))
    assert evaluation.read(AttemptFolder(TrialFolder(store, ONE.key), 1)) is None


def test_uncovered_images_give_the_trials_own_numbers_to_the_last_bit(store: Store) -> None:
    evaluator(store).evaluate(ONE.key, [UNCOVERED])
    (found,) = evaluated(store).measurements
    ours = {f"test/{name}": value for name, value in found.metrics.items()}
    end = end_of(store).metrics
    assert {name: ours[name] for name in end} == end
    assert ours.keys() - end.keys() == {"test/adaptive_ece", "test/classwise_ece"}
    assert found.reliability == json.loads(store.read(f"{TRIAL}/0001/reliability.json"))
    assert found.area == 0


def test_covered_images_are_those_the_definition_gives(store: Store, content: arrays.Arrays) -> None:
    """Cover the whole test set at once and ask a network that was put together here."""
    evaluator(store).evaluate(ONE.key, conditions([20, 80], "black", 3))
    test = data.split(content, ONE.data).test
    model = network(ONE, CPU)
    model.load_state_dict(weights(store))
    images = normalise(test.pixels, Normalisation.of(dataset("digits"), CPU))
    by_condition = {each.condition: each for each in evaluated(store).measurements}
    assert list(by_condition) == conditions([20, 80], "black", 3), "in order, the uncovered ones too"
    for percent, area in ((20, 25.0), (80, 76.5625)):
        for seed in range(3):
            covered = occlude(images, draw_occlusion(1_697, dataset("digits"), percent, fill="black", seed=seed))
            with torch.no_grad():
                logits = torch.cat([model.eval()(part) for part in covered.split(512)])
            found = by_condition[Condition(percent, "black", seed)]
            assert found.metrics == evaluate_logits(logits, test.labels) | calibration_errors(logits, test.labels)
            assert found.reliability == reliability(logits, test.labels)
            assert found.area == area
            assert found.side_px == {20: 4, 80: 7}[percent]
            drawn = draw_occlusion(1_697, dataset("digits"), percent, fill="black", seed=seed)
            for example, said in zip(evaluated(store).examples, found.predictions, strict=True):
                assert example.label == test.labels[example.image]
                assert said.corner == tuple(drawn.corners[example.image].tolist())
                probabilities = logits[example.image].double().softmax(dim=0)
                assert said.predicted == probabilities.argmax()
                assert (said.confidence, said.of_label) == (probabilities.max(), probabilities[example.label])


def test_batches_are_covered_by_their_own_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    known, pixels = dataset("digits"), torch.randint(0, 256, (23, 1, 8, 8), dtype=torch.uint8)
    normalisation, occlusion = Normalisation.of(known, CPU), draw_occlusion(23, known, 40, seed=0)
    monkeypatch.setattr(network_module, "EVALUATION_BATCH", 5)
    seen = predict(torch.nn.Flatten(), data.Images(pixels, torch.zeros(23)), normalisation, occlusion)
    assert torch.equal(seen, occlude(normalise(pixels, normalisation), occlusion).flatten(1))


def test_only_what_is_missing_is_measured(store: Store, measured: list[Condition]) -> None:
    evaluator(store).evaluate(ONE.key, FORTY)
    assert measured == FORTY
    before = evaluated(store)
    evaluator(store).evaluate(ONE.key, conditions([20, 40], "mean", 4))
    added = [Condition(20, "mean", seed) for seed in range(4)] + [Condition(40, "mean", 3)]
    assert measured[len(FORTY) :] == [UNCOVERED, *added], "the uncovered images are the check"
    after = evaluated(store)
    assert [each for each in after.measurements if each.condition in FORTY] == before.measurements
    assert [each.condition for each in after.measurements] == conditions([20, 40], "mean", 4)


def test_every_seed_covers_other_parts(store: Store) -> None:
    evaluator(store).evaluate(ONE.key, FORTY)
    assert len({each.metrics["nll"] for each in evaluated(store).measurements}) == 4


@pytest.mark.parametrize(("name", "by"), [("test/top1_error", 100 / 1_697), ("test/nll", 0.05)])
def test_other_numbers_than_the_trials_end_are_refused_with_both(store: Store, name: str, by: float) -> None:
    metrics = end_of(store).metrics
    rewrite_end(store, metrics={**metrics, name: metrics[name] + by}, versions={"torch": "1.0"})
    with pytest.raises(NotEvaluated) as refused:
        evaluator(store).evaluate(ONE.key, FORTY)
    said = str(refused.value)
    assert f"its weights give {name} {metrics[name]:.6g}, its end says {metrics[name] + by:.6g} (" in said
    assert f"torch {evaluate_module.versions()['torch']}, then 1.0" in said
    assert "device" not in said, "which is the same"
    assert not store.exists(f"{TRIAL}/0001/evaluation.json")


def test_other_data_are_refused_with_both_fingerprints(store: Store, content: arrays.Arrays) -> None:
    rewrite_end(store, data_fingerprint="f00d")
    with pytest.raises(NotEvaluated, match=rf"{arrays.fingerprint(content)}, the one it was trained on f00d.*--data"):
        evaluator(store).evaluate(ONE.key, FORTY)
    assert not store.exists(f"{TRIAL}/0001/evaluation.json")


def test_data_that_cannot_be_read_are_told_from_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> arrays.Arrays:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(arrays, "load", broken)
    with pytest.raises(NotEvaluated, match=r"the data set digits cannot be read: .*Input/output error"):
        evaluator(store).evaluate(ONE.key, FORTY)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda _content, _other: None, "is gone"),
        (lambda content, _other: content[:-1], "bytes, the trial's end says"),
        (lambda content, _other: bytes(len(content)), "is no file of tensors any more"),
        (lambda _content, other: other, "is another trial's"),
    ],
    ids=["gone", "cut", "zeros", "another's"],
)
def test_damaged_weights_are_named(store: Store, damage: Callable[[bytes, bytes], bytes | None], said: str) -> None:
    path, other = (f"{TrialFolder(store, recipe.key).path}/0001/weights.safetensors" for recipe in (ONE, OTHER))
    wrong = damage(store.read(path), store.read(other))
    store.delete(path) if wrong is None else store.write(path, wrong)
    with pytest.raises(Damaged, match=f"^{path} .*{said}"):
        evaluator(store).evaluate(ONE.key, FORTY)


def weights(store: Store) -> State:
    return tensors_from_bytes(store.read(f"{TRIAL}/0001/weights.safetensors"))


def rewrite_weights(store: Store, tensors: State) -> None:
    path = f"{TRIAL}/0001/weights.safetensors"
    store.write(path, to_bytes(tensors, {"trial": ONE.key}))
    rewrite_end(store, weights_bytes=len(store.read(path)))


def test_changed_weights_are_noticed_also_where_no_image_changes_sides(store: Store) -> None:
    tensors = weights(store)
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] *= 1.5
    rewrite_weights(store, tensors)
    with pytest.raises(NotEvaluated, match="its weights give test/nll"):
        evaluator(store).evaluate(ONE.key, FORTY)


def test_weights_that_give_no_numbers_are_told(store: Store) -> None:
    tensors = weights(store)
    tensors["classifier.bias"][0] = float("nan")
    rewrite_weights(store, tensors)
    with pytest.raises(NotEvaluated, match="logits that are not finite with 0 % covered"):
        evaluator(store).evaluate(ONE.key, FORTY)


def test_weights_of_another_network_are_named(store: Store) -> None:
    tensors = weights(store)
    del tensors["classifier.bias"]
    rewrite_weights(store, tensors)
    with pytest.raises(Damaged, match="does not fit the network of its recipe"):
        evaluator(store).evaluate(ONE.key, FORTY)


@pytest.mark.parametrize("state", [None, "failed"])
def test_a_trial_that_has_not_finished_is_refused(store: Store, state: str | None) -> None:
    if state is None:
        store.delete(f"{TRIAL}/end.json")
    else:
        rewrite_end(store, state=state)
    with pytest.raises(NotEvaluated, match="has not finished" if state is None else "has failed"):
        evaluator(store).evaluate(ONE.key, FORTY)


def test_a_recipe_that_is_gone_is_named(store: Store) -> None:
    store.delete(f"{TRIAL}/recipe.json")
    with pytest.raises(Damaged, match=r"recipe\.json is gone"):
        evaluator(store).evaluate(ONE.key, FORTY)


def test_an_evaluation_of_an_earlier_version_is_made_anew(store: Store) -> None:
    evaluation.write(AttemptFolder(TrialFolder(store, ONE.key), 1), made_up_evaluation(version=EVALUATION - 1))
    evaluator(store).evaluate(ONE.key, [UNCOVERED])
    assert evaluated(store).version == EVALUATION
    assert [each.condition for each in evaluated(store).measurements] == [UNCOVERED]


def test_an_evaluation_without_images_is_read_and_made_anew(store: Store) -> None:
    """As version 1 wrote it: golden text, sealed by hand."""
    path = f"{TRIAL}/0001/evaluation.json"
    text = (Path(__file__).parent / "evaluation-1.json").read_text().rstrip().removesuffix("}").rstrip()
    digest = hashlib.sha256(f"{path}\n{text}".encode()).hexdigest()[:16]
    store.write(path, f'{text},\n "digest": "{digest}"\n}}\n'.encode())
    assert evaluated(store).version == 1
    assert evaluated(store).measurements[0].predictions == []
    evaluator(store).evaluate(ONE.key, [UNCOVERED])
    assert len(evaluated(store).examples) == len(evaluated(store).hardest) == 6
    assert len(evaluated(store).asked.unpack()) == 1_000


def test_an_evaluation_of_a_newer_version_is_left_alone(store: Store) -> None:
    newer = made_up_evaluation(version=EVALUATION + 1)
    evaluation.write(AttemptFolder(TrialFolder(store, ONE.key), 1), newer)
    with pytest.raises(NotEvaluated, match=f"a newer softaug .*version {EVALUATION + 1}"):
        evaluator(store).evaluate(ONE.key, FORTY)
    assert evaluated(store) == newer


def test_a_damaged_evaluation_is_named_and_left(store: Store) -> None:
    store.write(f"{TRIAL}/0001/evaluation.json", b"")
    with pytest.raises(Damaged, match=f"^{TRIAL}/0001/evaluation.json is empty"):
        evaluator(store).evaluate(ONE.key, FORTY)
    assert store.read(f"{TRIAL}/0001/evaluation.json") == b""


def cut_off_at(wanted: Condition, store: Store, conditions: list[Condition], commit: str = "c0ffee") -> None:
    """Evaluate until this condition is to be measured, then be interrupted, having written whatever could be."""
    measure = Network.measure

    def measure_or_stop(self: Network, condition: Condition) -> Any:
        if condition == wanted:
            raise KeyboardInterrupt
        return measure(self, condition)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "measure", measure_or_stop)
        patch.setattr(evaluate_module, "WRITE_EVERY_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            evaluator(store, commit).evaluate(ONE.key, conditions)


def test_cut_off_it_goes_on(store: Store, measured: list[Condition]) -> None:
    cut_off_at(FORTY[-1], store, FORTY)
    assert [each.condition for each in evaluated(store).measurements] == FORTY[:-1]
    del measured[:]
    evaluator(store).evaluate(ONE.key, FORTY)
    assert measured == [UNCOVERED, FORTY[-1]]


def test_what_another_code_measured_is_measured_again_and_none_of_it_is_lost(
    store: Store, measured: list[Condition]
) -> None:
    evaluator(store, "before").evaluate(ONE.key, FORTY)
    before, twenty = evaluated(store), conditions([20], "mean", 3)
    cut_off_at(FORTY[-1], store, twenty, "after")
    assert evaluated(store) == before, "until all of it is there again"
    del measured[:]
    evaluator(store, "after").evaluate(ONE.key, twenty)
    assert evaluated(store).origin.git_commit == "after"
    assert set(measured) == {each.condition for each in evaluated(store).measurements} == {*twenty, *FORTY}


def test_it_is_of_the_weights_it_measured_not_of_those_trained_later(store: Store, content: arrays.Arrays) -> None:
    evaluator(store).evaluate(ONE.key, [UNCOVERED])
    store.delete(f"{TRIAL}/end.json")
    train(store, ONE, content)
    assert end_of(store).attempt == 2
    assert evaluation.current(AttemptFolder(TrialFolder(store, ONE.key), 2)) is None
    evaluator(store).evaluate(ONE.key, [UNCOVERED])
    assert evaluated(store, 2).measurements[0].metrics == evaluated(store).measurements[0].metrics


def test_known_numbers_of_an_untrained_network(store: Store, content: arrays.Arrays) -> None:
    # Golden: raise softaug.versions.EVALUATION with them.
    assert EVALUATION == 2
    untrained = Network(network(ONE, CPU), data.split(content, ONE.data).test, ONE, end_of(store))
    found = untrained.measure(Condition(40, "noise", 0)).metrics
    for name in ("nll", "brier"):
        assert found[name] == pytest.approx(GOLDEN[name], rel=1e-5)
    assert found == pytest.approx(GOLDEN, abs=0.2), "on another CPU type an image or two may change sides"
