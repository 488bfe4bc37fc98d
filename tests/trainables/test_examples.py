"""Images that figures show: the same for every network, their pixels and what is said of them as they are."""

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from softaug.augment import Normalisation, normalise
from softaug.data import Images
from softaug.datasets import dataset
from softaug.occlusion import draw_occlusion
from trainables.evaluation import MOST_ASKED, Asked, places
from trainables.examples import HARDEST, ask, example_places, examples, predictions

KNOWN = dataset("cifar10")
CPU = torch.device("cpu")


def test_examples_are_the_first_images_of_classes_spaced_over_all() -> None:
    labels = torch.tensor([9, 3, 3, 0, 1, 8, 2, 0, 5, 6, 7])
    assert example_places(labels, 10) == [3, 4, 1, 8, 9, 5]  # classes 0 1 3 5 6 8
    assert example_places(torch.arange(100).flip(0), 100) == [99, 83, 66, 49, 33, 16]
    assert example_places(torch.tensor([1, 0]), 2) == [1, 0]
    assert example_places(torch.tensor([4, 5]), 10) == [1], "no image of the others"


@pytest.mark.parametrize(("name", "channels"), [("cifar10", 3), ("digits", 1)])
def test_pixels_are_kept_as_they_are(name: str, channels: int) -> None:
    side = dataset(name).side_px
    pixels = torch.randint(0, 256, (5, channels, side, side), dtype=torch.uint8)
    shown = examples(Images(pixels, torch.tensor([3, 1, 4, 1, 5])), [4, 2])
    assert [(each.image, each.label) for each in shown] == [(4, 5), (2, 4)]
    for each in shown:
        seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(each.png)))).transpose(2, 0, 1)
        assert (seen == pixels[each.image].expand(3, -1, -1).numpy()).all()


def test_predictions_by_hand() -> None:
    logits = torch.tensor([[9.0, 9.0], [0.0, 3.0**0.5], [2.0, 0.0]])
    sure = 1 / (1 + float(torch.exp(torch.tensor(-2.0, dtype=torch.float64))))
    occlusion = draw_occlusion(3, KNOWN, 40, seed=0)
    (last,) = predictions(logits, torch.tensor([0, 0, 1]), [2], occlusion)
    assert (last.predicted, last.corner) == (0, tuple(occlusion.corners[2].tolist()))
    assert (last.confidence, last.of_label) == pytest.approx((sure, 1 - sure))
    assert predictions(logits, torch.tensor([0, 0, 1]), [0])[0].corner is None


@given(st.integers(1, 60_000))
def test_places_are_spaced_over_the_test_set_each_once(images: int) -> None:
    found = places(images)
    assert found[0] == 0
    assert len(found) == len(set(found)) == min(images, MOST_ASKED)
    gaps = np.diff(np.array([*found, images]))
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


@given(st.lists(st.tuples(st.integers(0, 999), st.floats(0, 1, width=32)), max_size=20))
def test_what_is_packed_comes_out_again(said: list[tuple[int, float]]) -> None:
    packed = Asked.pack(len(said), [one for one, _ in said], [sure for _, sure in said])
    assert Asked.model_validate_json(packed.model_dump_json()).unpack() == dict(enumerate(said))


def test_the_hardest_are_those_with_the_least_confidence_in_their_class() -> None:
    """A network that reads logits in ten pixels, against a literal ranking."""
    pixels = torch.randint(0, 256, (1_200, 3, 32, 32), dtype=torch.uint8)
    test = Images(pixels, torch.randint(0, 10, (1_200,)))
    network = torch.nn.Sequential(torch.nn.Flatten(), Tens())
    asked, hardest = ask(network, test, KNOWN)
    logits = normalise(pixels, Normalisation.of(KNOWN, CPU)).flatten(1)[:, :10].double()
    probabilities = logits.softmax(dim=1)
    said = [(int(row.argmax()), float(row.max())) for row in probabilities[places(1_200)]]
    assert list(asked.unpack()) == places(1_200)
    assert [one for one, _ in asked.unpack().values()] == [one for one, _ in said]
    assert [sure for _, sure in asked.unpack().values()] == pytest.approx([sure for _, sure in said], rel=1e-5)
    of_label = {at: float(probabilities[at, test.labels[at]]) for at in places(1_200)}
    assert [each.image for each in hardest] == sorted(of_label, key=of_label.__getitem__)[:HARDEST]
    for each in hardest:
        assert each.prediction.of_label == pytest.approx(of_label[each.image], rel=1e-5)


class Tens(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :10]
