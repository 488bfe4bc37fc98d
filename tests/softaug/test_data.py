import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from softaug import datasets
from softaug.arrays import Arrays, fingerprint, load
from softaug.data import Images, split, stratified_order
from softaug.datasets import DamagedData, MissingData
from softaug.recipe import Data

CPU = torch.device("cpu")


def rows(images: Images) -> set[bytes]:
    return {image.numpy().tobytes() for image in images.pixels}


def spread(labels: torch.Tensor, classes: int = 10) -> int:
    counts = torch.bincount(labels, minlength=classes)
    return int(counts.max() - counts.min())


def test_the_digits_are_those_of_scikit_learn(digits: Arrays) -> None:
    oracle = load_digits()
    assert np.array_equal(digits.train_images[:, 0], np.rint(oracle.images * 255 / 16))
    assert np.array_equal(digits.train_labels, oracle.target)
    assert digits.train_images.shape == (1_797, 1, 8, 8)
    assert digits.train_images.dtype == np.uint8
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 255)
    assert digits.train_labels.dtype == np.int64
    assert len(digits.test_labels) == 0
    assert all(array.flags.c_contiguous for array in vars(digits).values())
    pixels = digits.train_images / 255
    assert (pixels.mean(), pixels.std()) == (pytest.approx(0.30531, abs=1e-5), pytest.approx(0.37589, abs=1e-5))


def test_fashion_mnists_own_files() -> None:
    arrays = load("fashion-mnist", None)
    assert arrays.train_images.shape == (60_000, 1, 28, 28)
    assert np.bincount(arrays.test_labels).tolist() == [1_000] * 10
    assert arrays.train_labels[:5].tolist() == [9, 0, 0, 3, 0]
    pixels = arrays.train_images / np.float32(255)
    assert (pixels.mean(), pixels.std()) == (pytest.approx(0.28604, abs=1e-5), pytest.approx(0.35302, abs=1e-5))
    splits = split(arrays, Data(name="fashion-mnist"))
    assert splits.train.pixels.data_ptr() == arrays.train_images.ctypes.data  # no copy
    assert splits.test.pixels.data_ptr() == arrays.test_images.ctypes.data
    assert split(arrays, Data(name="fashion-mnist", validation_images=5_000)).test.pixels.shape[0] == 10_000


@pytest.fixture
def small_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's files with four images in each of five batches, and ten test images."""
    known = replace(
        datasets.DATASETS["cifar10"], official_train=20, official_test=10, default_train=20, largest_train=20
    )
    monkeypatch.setitem(datasets.DATASETS, "cifar10", known)
    for number, file in enumerate(known.files):
        count = 10 if file == "test_batch" else 4
        labels = [(4 * number + i) % 10 for i in range(count)]
        pixels = np.full((count, 3072), number, dtype=np.uint8)
        (tmp_path / file).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=3))
    return tmp_path


def test_cifar_batches_are_joined_in_order(small_cifar: Path) -> None:
    arrays = load("cifar10", small_cifar)
    assert arrays.train_images[:, 0, 0, 0].tolist() == [n for n in range(5) for _ in range(4)]
    assert arrays.train_labels.tolist() == [*range(10), *range(10)]
    assert arrays.test_images.shape == (10, 3, 32, 32)


def test_a_set_with_too_few_images_or_wrong_labels_is_damaged(small_cifar: Path) -> None:
    batch = {b"data": np.zeros((3, 3072), dtype=np.uint8), b"labels": [1, 2, 3]}
    (small_cifar / "data_batch_3").write_bytes(pickle.dumps(batch, protocol=3))
    with pytest.raises(DamagedData, match=r"cifar10, training images: .*\(19, 3, 32, 32\).*expected \(20, 3, 32, 32\)"):
        load("cifar10", small_cifar)
    batch = {b"data": np.zeros((4, 3072), dtype=np.uint8), b"labels": [1, 2, 3, 77]}
    (small_cifar / "data_batch_3").write_bytes(pickle.dumps(batch, protocol=3))
    with pytest.raises(DamagedData, match="labels from 0 to 77"):
        load("cifar10", small_cifar)


def test_a_missing_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="softaug fetch cifar10"):
        load("cifar10", tmp_path)


@given(n=st.integers(10, 1_740), held_out=st.integers(0, 300))
@settings(max_examples=25, deadline=None)
def test_splits_are_disjoint_balanced_and_complete(n: int, held_out: int, digits: Arrays) -> None:
    held_out = min(held_out, n - 1)
    splits = split(digits, Data(name="digits", train_images=n, validation_images=held_out))
    held = 0 if splits.validation is None else len(splits.validation.labels)
    assert (len(splits.train.labels), held, len(splits.test.labels)) == (n - held_out, held_out, 1_797 - n)
    parts = [part for part in (splits.train, splits.validation, splits.test) if part is not None]
    assert sum(len(rows(part)) for part in parts) == len(
        rows(Images(*map(torch.from_numpy, (digits.train_images, digits.train_labels))))
    )
    assert spread(splits.train.labels) <= 1
    if splits.validation is not None:
        assert spread(splits.validation.labels) <= 2


@given(small=st.integers(1, 800), more=st.integers(0, 800))
@settings(max_examples=10, deadline=None)
def test_smaller_subsets_are_the_beginning_of_larger_ones(small: int, more: int, digits: Arrays) -> None:
    one, other = (split(digits, Data(name="digits", train_images=n)).train for n in (small, small + more))
    assert torch.equal(one.pixels, other.pixels[:small])
    assert torch.equal(one.labels, other.labels[:small])


def test_the_test_set_does_not_depend_on_validation(digits: Arrays) -> None:
    without, with_validation = (
        split(digits, Data(name="digits", train_images=300, validation_images=held_out)) for held_out in (0, 60)
    )
    assert len(without.test.labels) == 1_497
    assert torch.equal(without.test.pixels, with_validation.test.pixels)
    assert len(split(digits, Data(name="digits")).train.labels) == 1_200


def test_labels_stay_with_their_images(digits: Arrays) -> None:
    label_of = {image.tobytes(): label for image, label in zip(digits.train_images, digits.train_labels, strict=True)}
    train = split(digits, Data(name="digits", train_images=200)).train
    assert all(label_of[image.numpy().tobytes()] == label for image, label in zip(*train, strict=True))


def test_the_order_is_fixed() -> None:
    # Golden: another order would be other data under the same name.
    assert stratified_order(torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])).tolist() == [0, 3, 8, 6, 1, 4, 7, 5, 2]


def test_too_many_images_are_refused_with_the_numbers(digits: Arrays) -> None:
    with pytest.raises(ValueError, match="train_images: 1741 is more than digits has; at most 1740"):
        split(digits, Data(name="digits", train_images=1_741))


def test_read_only_arrays_are_viewed_without_a_warning(digits: Arrays) -> None:
    locked = Arrays(*(array.copy() for array in vars(digits).values()))
    for array in vars(locked).values():
        array.flags.writeable = False
    assert len(split(locked, Data(name="digits", train_images=50)).train.labels) == 50


def test_splits_on_the_device_they_are_on_are_not_copied(digits: Arrays) -> None:
    splits = split(digits, Data(name="digits", train_images=50, validation_images=10))
    moved = splits.to(CPU)
    assert moved.train.pixels is splits.train.pixels
    assert moved.validation is not None
    assert moved.test.labels is splits.test.labels


def test_the_fingerprint_sees_every_pixel_and_label(digits: Arrays) -> None:
    assert len(fingerprint(digits)) == 16
    assert fingerprint(digits) == fingerprint(load("digits", None))
    for field in ("train_images", "train_labels"):
        changed = getattr(digits, field).copy()
        changed.flat[-1] += 1
        assert fingerprint(replace(digits, **{field: changed})) != fingerprint(digits)


def test_images_of_one_size_have_no_cuts() -> None:
    images = Images(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.arange(3))
    assert [part.labels.tolist() for part in images.stream(torch.tensor([2, 0, 1]), 2)] == [[2, 0], [1]]
    with pytest.raises(ValueError, match="are not cut out of larger ones"):
        next(images.stream(torch.arange(3), 2, torch.zeros(3, 6)))
