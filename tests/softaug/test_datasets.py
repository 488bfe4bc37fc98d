from pathlib import Path
from typing import Any

import pytest

from softaug.datasets import (
    DATASETS,
    MissingData,
    check_sizes,
    dataset,
    find_file,
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


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'mnist'; known: digits, fashion-mnist, cifar10, cifar100"):
        search_folders("mnist", None)


@pytest.mark.parametrize("name", DATASETS)
def test_the_table_is_consistent(name: str) -> None:
    known = dataset(name)
    assert len(known.mean) == len(known.std) == known.channels
    assert len(set(known.class_names)) == known.classes == (100 if name == "cifar100" else 10)
    assert known.default_train <= known.largest_train <= known.official_train
    assert known.largest_train % known.classes == 0
    check_sizes(Data.model_validate({"name": name, "train_images": known.largest_train}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "digits", "train_images": 1_741}, "1741 is more than digits has; at most 1740"),
        ({"name": "cifar10", "train_images": 50_001}, "at most 50000"),
        ({"name": "digits", "validation_images": 1_200}, "held out of the 1200 training images of digits"),
    ],
)
def test_more_images_than_there_are_is_refused_with_the_numbers(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Data.model_validate(fields)


def test_a_file_with_fewer_images_than_published_is_refused_by_its_own_numbers() -> None:
    with pytest.raises(ValueError, match="200 is more than cifar10 has; at most 100"):
        check_sizes(Data(name="cifar10", train_images=200), largest_train=100)
