from pathlib import Path

import pytest
import torchvision

from softaug.datasets import MissingData, dataset
from softaug.fetch import fetch


@pytest.mark.parametrize(
    ("name", "downloader"), [("fashion-mnist", "FashionMNIST"), ("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")]
)
def test_torchvision_downloads_into_the_folder_that_is_read(
    name: str, downloader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(root: str, *, train: bool, download: bool) -> None:
        assert train
        assert download
        folder = Path(root) / dataset(name).folder
        folder.mkdir(parents=True)
        for file in dataset(name).files:
            (folder / file).touch()

    monkeypatch.setattr("softaug.datasets._SYSTEM_FOLDERS", {})
    monkeypatch.setattr(torchvision.datasets, downloader, download)
    assert fetch(name, tmp_path) == f"{dataset(name).title}: in {tmp_path / dataset(name).folder}"


def test_torchvisions_layout_is_the_one_we_read() -> None:
    assert torchvision.datasets.CIFAR10.base_folder == dataset("cifar10").folder
    assert torchvision.datasets.CIFAR100.base_folder == dataset("cifar100").folder
    both = (*torchvision.datasets.CIFAR10.train_list, *torchvision.datasets.CIFAR10.test_list)
    assert tuple(file for file, _ in both) == dataset("cifar10").files


def test_the_digits_are_bundled(tmp_path: Path) -> None:
    assert "bundled" in fetch("digits", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown data set 'mnist'"):
        fetch("mnist", tmp_path)


def test_what_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", None)  # calling it would raise
    for file in dataset("cifar10").files:
        (tmp_path / file).touch()
    assert fetch("cifar10", tmp_path) == f"CIFAR-10: already in {tmp_path}"


@pytest.mark.parametrize(
    ("name", "archive"),
    [("imagenet", "ILSVRC2012_devkit_t12.tar.gz"), ("imagenet-v2", "imagenetv2-matched-frequency.tar.gz")],
)
def test_what_cannot_be_downloaded_is_explained(name: str, archive: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData) as error:
        fetch(name, tmp_path)
    assert str(error.value).startswith(f"{dataset(name).title} is not in {tmp_path}; ")
    assert archive in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_torchvision_unpacks_imagenet_into_the_folders_that_are_read(tmp_path: Path) -> None:
    from torchvision.datasets import imagenet

    assert {archive for archive, _ in imagenet.ARCHIVE_META.values()} == {
        "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz",
    }  # fmt: skip
    folders = []
    for part in dataset("imagenet").image_folders:
        made = imagenet.ImageNet.__new__(imagenet.ImageNet)
        made.root, made.split = str(tmp_path), part
        folders.append(made.split_folder)
    assert folders == [str(tmp_path / part) for part in ("train", "val")]


def test_an_imagenet_that_is_there_is_left_alone(small_imagenet: Path) -> None:
    assert fetch("imagenet", small_imagenet) == f"ImageNet-1K: already in {small_imagenet / 'imagenet'}"


def test_a_failed_download_says_which_files_to_get_and_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "CIFAR100", refuse)
    with pytest.raises(MissingData, match=r"no route to host; get its files elsewhere \(train, test\)"):
        fetch("cifar100", tmp_path)
