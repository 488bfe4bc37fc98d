"""Evaluate finished trials from their stored weights, without training. No Ray here, so a test is a `for` loop.

A trial is evaluated on the kind of device it was trained on, if there is one, with as many threads: its uncovered test
images must give the numbers of its end again. If they do not, data, weights or a library are not those of the training,
and nothing is written.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from torch import Tensor, nn

from softaug import arrays
from softaug.arrays import Arrays
from softaug.augment import Normalisation
from softaug.data import AnyImages, images_to_test_on, split
from softaug.datasets import Dataset, dataset
from softaug.image_folder import Folders
from softaug.metrics import calibration_errors, evaluate_logits, reliability
from softaug.network import network, predict
from softaug.occlusion import Occlusion, draw_occlusion, occluded_area
from softaug.recipe import Data, Recipe
from softaug.versions import EVALUATION
from trainables import evaluation
from trainables.attempt import cpu_name, device_name, metadata, versions
from trainables.evaluation import UNCOVERED, Condition, Evaluation, Measurement, Origin
from trainables.examples import ask, example_places, examples, predictions
from trainables.ledger import AttemptFolder, End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

WRITE_EVERY_S = 10.0
WEIGHTS = "weights.safetensors"
REPRODUCED = {"top1_error": 0.0, "nll": 1e-3}  # name -> how far it may be from the trial's end, as a part of it
EXACT = 1e-9


class NotEvaluated(Exception):
    """A trial cannot be evaluated; the message says why and what to do."""


@dataclass(frozen=True)
class Network:
    """A trained network, the test images it is asked about, on its device, and how it ended."""

    model: nn.Module
    test: AnyImages
    recipe: Recipe
    end: End

    def measure(self, condition: Condition) -> Measurement:
        """Predict the recipe's test images under a condition. Raises NotEvaluated if the logits are not finite."""
        known, device = dataset(self.recipe.data.name), self.test.device
        percent, fill, seed, _ = condition
        occlusion = None
        if fill is not None and seed is not None:
            drawn = draw_occlusion(len(self.test.labels), known, percent, fill=fill, seed=seed)
            occlusion = drawn.to(device)
        logits, labels = self._logits(self.test, known, occlusion, f"with {percent} % covered"), self.test.labels.cpu()
        shown = example_places(labels, known.classes)
        return Measurement(
            percent=percent,
            fill=fill,
            seed=seed,
            area=occluded_area(known.side_px, percent),
            measured=time.time(),
            metrics=evaluate_logits(logits, labels) | calibration_errors(logits, labels),
            reliability=reliability(logits, labels),
            side_px=0 if occlusion is None else occlusion.side_px,
            predictions=predictions(logits, labels, shown, occlusion),
        )

    def measure_further(self, name: str, images: AnyImages, fingerprint: str) -> Measurement:
        """Predict all images of a further test set, uncovered. Raises NotEvaluated if the logits are not finite."""
        images = images.to(self.test.device)
        logits, labels = self._logits(images, dataset(name), None, f"on {name}"), images.labels.cpu()
        return Measurement(
            percent=0,
            fill=None,
            seed=None,
            area=0.0,
            measured=time.time(),
            metrics=evaluate_logits(logits, labels) | calibration_errors(logits, labels),
            reliability=reliability(logits, labels),
            data=name,
            data_fingerprint=fingerprint,
        )

    def _logits(self, images: AnyImages, known: Dataset, occlusion: Occlusion | None, where: str) -> Tensor:
        logits = predict(self.model, images, Normalisation.of(known, images.device), occlusion)
        if not logits.isfinite().all():
            raise NotEvaluated(f"its weights give logits that are not finite {where}")
        return logits


class Evaluator:
    """Evaluates one trial after another; a data set is read once as long as trials share it."""

    def __init__(self, store: Store, data: Path | None, *, git_commit: str, git_dirty: bool) -> None:
        self.store = store
        self.data = data
        self.git_commit = git_commit
        self.git_dirty = git_dirty
        self.loaded: tuple[Data, AnyImages, str] | None = None
        self.further: dict[tuple[str, int | None], tuple[AnyImages, str]] = {}

    def evaluate(self, key: str, wanted: Sequence[Condition]) -> None:
        """Measure what the trial's evaluation lacks of these conditions, and keep it.

        If another code or another kind of machine made what is there, all of it is measured again. Raises
        NotEvaluated, Damaged, and OSError if the store cannot be used.
        """
        attempt, end = self._finished(key)
        there = evaluation.read(attempt)
        if there is not None and there.version > EVALUATION:
            raise NotEvaluated(f"a newer softaug has evaluated it (version {there.version}); use that one")
        trained = self._network(attempt, end)
        found = self._uncovered(trained)
        anew = there is not None and there.version == EVALUATION and there.origin != found.origin
        if there is not None and anew:
            wanted = [*wanted, *(each.condition for each in there.measurements)]
        found, written = found.extended(there), time.monotonic()
        for condition in found.missing(wanted):
            found = found.model_copy(update={"measurements": [*found.measurements, self._measure(trained, condition)]})
            if not anew and time.monotonic() - written >= WRITE_EVERY_S:
                evaluation.write(attempt, found)
                written = time.monotonic()
        evaluation.write(attempt, found)

    def _measure(self, trained: Network, condition: Condition) -> Measurement:
        if condition.data is None:
            return trained.measure(condition)
        name, evaluation_px = condition.data, trained.recipe.data.evaluation_px
        if dataset(name).tests != trained.recipe.data.name:
            raise NotEvaluated(f"{name} has other classes than {trained.recipe.data.name}, which it was trained on")
        if (name, evaluation_px) not in self.further:
            content = self._load(name)
            images = images_to_test_on(content, name, evaluation_px)
            self.further[name, evaluation_px] = images, arrays.fingerprint(content)
        return trained.measure_further(name, *self.further[name, evaluation_px])

    def _finished(self, key: str) -> tuple[AttemptFolder, End]:
        trial = TrialFolder(self.store, key)
        end = trial.end()
        if end is None or end.state != "finished":
            raise NotEvaluated("it has not finished" if end is None else f"it has {end.state}, it left no weights")
        return AttemptFolder(trial, end.attempt), end

    def _network(self, attempt: AttemptFolder, end: End) -> Network:
        recipe = _recipe(attempt.trial)
        test = self._test(recipe.data, end)
        device = torch.device("cuda" if end.device != "cpu" and torch.cuda.is_available() else "cpu")
        if device.type == "cpu":
            torch.set_num_threads(max(end.threads, 1))
        model = network(recipe, device)
        try:
            model.load_state_dict(_weights(attempt, end))
        except RuntimeError as error:
            raise Damaged(f"{attempt.path}/{WEIGHTS}", "does not fit the network of its recipe") from error
        return Network(model, test.to(device), recipe, end)

    def _test(self, data: Data, end: End) -> AnyImages:
        """Return the test images. Raises NotEvaluated if the data set is not the one the trial was trained on."""
        if self.loaded is None or self.loaded[0] != data:
            content = self._load(data.name)
            self.loaded = (data, split(content, data).test, arrays.fingerprint(content))
        _, images, here = self.loaded
        if here != end.data_fingerprint:
            raise NotEvaluated(
                f"the data set {data.name} here has the fingerprint {here}, the one it was trained on "
                f"{end.data_fingerprint}; give the folder of that one with --data"
            )
        return images

    def _load(self, name: str) -> Arrays | Folders:
        try:
            return arrays.load(name, self.data)
        except OSError as error:  # which must not be taken for the store's
            raise NotEvaluated(f"the data set {name} cannot be read: {error}") from error

    def _uncovered(self, trained: Network) -> Evaluation:
        """Return an evaluation of the uncovered images alone. Raises NotEvaluated if it is not as the trial's end."""
        device, end = trained.test.device, trained.end
        origin = Origin(
            git_commit=self.git_commit,
            git_dirty=self.git_dirty,
            device=device_name(device),
            cpu=cpu_name(),
            threads=torch.get_num_threads(),
            data_fingerprint=end.data_fingerprint,
            versions=versions(),
        )
        found = trained.measure(UNCOVERED)
        for name, part in REPRODUCED.items():
            then, now = end.metrics[f"test/{name}"], found.metrics[name]
            if abs(now - then) > part * abs(then) + EXACT:
                raise NotEvaluated(
                    f"its weights give test/{name} {now:.6g}, its end says {then:.6g}{_differences(end, origin)}; "
                    "nothing was written: evaluate it where and with what it was trained"
                )
        known, test = dataset(trained.recipe.data.name), trained.test
        asked, hardest = ask(trained.model, test, known)
        return Evaluation(
            version=EVALUATION,
            origin=origin,
            measurements=[found],
            examples=tuple(examples(test, example_places(test.labels.cpu(), known.classes))),
            hardest=tuple(hardest),
            asked=asked,
        )


def _recipe(trial: TrialFolder) -> Recipe:
    try:
        return Recipe.model_validate(trial.recipe())
    except FileNotFoundError as error:
        raise Damaged(f"{trial.path}/recipe.json", "is gone") from error
    except ValidationError as error:
        raise NotEvaluated(
            f"its recipe is of another version of softaug ({error.error_count()} fields differ)"
        ) from error


def _weights(attempt: AttemptFolder, end: End) -> dict[str, Tensor]:
    """Return a finished trial's weights. Raises Damaged."""
    path = f"{attempt.path}/{WEIGHTS}"
    try:
        content = attempt.store.read(path)
    except FileNotFoundError as error:
        raise Damaged(path, "is gone") from error
    if len(content) != end.weights_bytes:
        raise Damaged(path, f"has {len(content)} bytes, the trial's end says {end.weights_bytes}")
    try:
        tensors: dict[str, Tensor] = tensors_from_bytes(content)
    except SafetensorError as error:
        raise Damaged(path, "is no file of tensors any more") from error
    if metadata(content).get("trial") != attempt.trial.key:
        raise Damaged(path, "is another trial's")
    return tensors


def _differences(end: End, origin: Origin) -> str:
    """Return in brackets what the evaluation does not share with the training, nothing if that is nothing."""
    then = {"device": end.device, "cpu": end.cpu, **end.versions}
    now = {"device": origin.device, "cpu": origin.cpu, **origin.versions}
    parts = [f"{name} {value}, then {then.get(name)}" for name, value in now.items() if value != then.get(name)]
    return f" ({'; '.join(parts)})" if parts else ""
