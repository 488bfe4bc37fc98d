from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from softaug.datasets import (
    DATASETS,
    MissingData,
    check_sizes,
    class_folders,
    dataset,
    find_file,
    first_few,
    locate,
    missing_files,
    search_folders,
)
from softaug.recipe import Data


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("cifar10", ""),
        ("cifar10", "cifar10"),
        ("cifar10", "cifar-10-batches-py"),
        ("cifar100", "cifar100/cifar-100-python"),
        ("fashion-mnist", "FashionMNIST/raw"),
    ],
)
def test_a_set_is_found_in_every_layout(name: str, layout: str, tmp_path: Path) -> None:
    folder = tmp_path / layout
    folder.mkdir(parents=True, exist_ok=True)
    for file in dataset(name).files:
        (folder / f"{file}.gz").touch()
    assert locate(name, tmp_path) == folder
    assert missing_files(name, folder) == []


def test_a_missing_set_names_the_folders_the_files_and_the_command(tmp_path: Path) -> None:
    (tmp_path / "train").touch()
    with pytest.raises(MissingData) as error:
        locate("cifar100", tmp_path)
    message = str(error.value)
    assert f"{tmp_path} (lacks test)" in message
    assert all(str(folder) in message for folder in search_folders("cifar100", tmp_path))
    assert "no such folder" in message
    assert "softaug fetch cifar100" in message


def test_without_a_folder_it_looks_in_data_and_where_debian_puts_it() -> None:
    folders = search_folders("fashion-mnist", None)
    assert folders[0] == Path("data")
    assert Path("/usr/share/datasets/fashion-mnist") in folders


def test_the_digits_are_where_scikit_learn_is(tmp_path: Path) -> None:
    assert locate("digits", tmp_path).name == "sklearn"


def test_the_plain_file_goes_before_the_gzipped_one(tmp_path: Path) -> None:
    assert find_file(tmp_path, "train") is None
    (tmp_path / "train.gz").touch()
    assert find_file(tmp_path, "train") == tmp_path / "train.gz"
    (tmp_path / "train").touch()
    assert find_file(tmp_path, "train") == tmp_path / "train"


def make_folders(folder: Path, names: Iterable[object]) -> None:
    for name in names:
        (folder / str(name)).mkdir(parents=True)


@pytest.mark.parametrize("layout", ["", "imagenet", "ILSVRC/Data/CLS-LOC"])
def test_imagenet_is_found_by_its_class_folders(layout: str, tmp_path: Path) -> None:
    wnids = [f"n{number:08}" for number in range(1_000)]
    for part in ("train", "val"):
        make_folders(tmp_path / layout / part, wnids)
    assert locate("imagenet", tmp_path) == tmp_path / layout
    assert class_folders(dataset("imagenet"), tmp_path / layout) == wnids
    (tmp_path / layout / "val" / wnids[17]).rmdir()
    with pytest.raises(MissingData, match=rf"{tmp_path / layout} \(lacks val/n00000017\)"):
        locate("imagenet", tmp_path)
    (tmp_path / layout / "train" / wnids[17]).rmdir()
    assert missing_files("imagenet", tmp_path / layout) == ["1000 class folders (it has 999)"]


def test_a_missing_imagenet_says_what_is_lacking_where(tmp_path: Path) -> None:
    make_folders(tmp_path / "imagenet" / "train", ["n00000001"])
    (tmp_path / "imagenet" / "val").mkdir()
    (tmp_path / "imagenet" / "val" / "ILSVRC2012_val_00000001.JPEG").touch()  # as the archive has them
    with pytest.raises(MissingData) as error:
        locate("imagenet", tmp_path)
    assert f"{tmp_path} (lacks train, val)" in str(error.value)
    assert f"{tmp_path / 'imagenet'} (lacks val)" in str(error.value)
    assert "run `softaug fetch imagenet`" in str(error.value)


def test_imagenet_v2s_folders_are_numbers_in_their_order(tmp_path: Path) -> None:
    assert missing_files("imagenet-v2", tmp_path) == ["class folders"]
    make_folders(tmp_path, range(999))
    assert missing_files("imagenet-v2", tmp_path) == ["999"]
    make_folders(tmp_path, ["999", ".cache", "other"])
    assert locate("imagenet-v2", tmp_path) == tmp_path
    assert class_folders(dataset("imagenet-v2"), tmp_path)[9:12] == ["9", "10", "11"]


def test_the_first_few_of_many_names() -> None:
    assert first_few(["a", "b"]) == "a, b"
    assert first_few([str(number) for number in range(2_000)], 3) == "0, 1, 2 and 1,997 more"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'mnist'; known: digits, fashion-mnist, cifar10, cifar100"):
        search_folders("mnist", None)


@pytest.mark.parametrize("name", DATASETS)
def test_the_table_is_consistent(name: str) -> None:
    known = dataset(name)
    assert len(known.mean) == len(known.std) == known.channels
    classes = {"cifar100": 100, "imagenet": 1_000, "imagenet-v2": 1_000}.get(name, 10)
    assert len(set(known.class_names)) == known.classes == classes
    assert known.default_train <= known.official_train
    assert known.default_train <= known.largest_train or known.default_train == known.official_train
    assert known.largest_train <= known.official_train
    assert known.largest_train % known.classes == 0
    if known.official_train:
        check_sizes(Data.model_validate({"name": name, "train_images": known.largest_train}))
        check_sizes(Data.model_validate({"name": name}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "digits", "train_images": 1_741}, "1741 is more than digits has; at most 1740"),
        ({"name": "cifar10", "train_images": 50_001}, "at most 50000"),
        ({"name": "digits", "validation_images": 1_200}, "held out of the 1200 training images of digits"),
        ({"name": "imagenet", "train_images": 732_001}, "732001 is more than imagenet has; at most 732000, balanced"),
        ({"name": "imagenet", "validation_images": 732_001}, "validation_images: .* at most 732000, balanced"),
        ({"name": "imagenet-v2"}, "imagenet-v2 only has images to test on; train on another data set"),
    ],
)
def test_more_images_than_there_are_is_refused_with_the_numbers(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Data.model_validate(fields)


def test_a_file_with_fewer_images_than_published_is_refused_by_its_own_numbers() -> None:
    with pytest.raises(ValueError, match="200 is more than cifar10 has; at most 100"):
        check_sizes(Data(name="cifar10", train_images=200), largest_train=100)
