import io
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from softaug import image_folder
from softaug.arrays import fingerprint, load
from softaug.datasets import DamagedData
from softaug.image_folder import Folders, measure, scan
from tests.softaug.photographs import TEST, TRAIN, V2_CLASSES, WNIDS


@pytest.fixture
def copied(small_imagenet: Path, tmp_path: Path) -> Path:
    """Return a small ImageNet that may be damaged."""
    return Path(shutil.copytree(small_imagenet / "imagenet", tmp_path / "imagenet"))


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((23, 17)).save(content, "JPEG")
    return content.getvalue()


def test_images_and_labels_are_those_of_torchvisions_image_folder(small_imagenet: Path) -> None:
    folders = load("imagenet", small_imagenet)
    assert isinstance(folders, Folders)
    for index, part, count in ((folders.train, "train", TRAIN), (folders.test, "val", TEST)):
        peer = ImageFolder(str(small_imagenet / "imagenet" / part))
        found = [(index.path(position), label) for position, label in enumerate(index.labels.tolist())]
        assert found == peer.samples
        assert len(found) == count * len(WNIDS)
        for position, (path, _) in enumerate(peer.samples):
            with Image.open(path) as image:
                assert index.sizes[position].tolist() == [image.height, image.width]
            assert index.lengths[position] == Path(path).stat().st_size


def test_the_folders_of_imagenet_v2_are_numbers(small_imagenet: Path) -> None:
    folders = load("imagenet-v2", small_imagenet)
    assert isinstance(folders, Folders)
    assert len(folders.train.paths) == 0
    classes = [Path(folders.test.path(position)).parent.name for position in range(V2_CLASSES)]
    assert classes == [str(label) for label in range(V2_CLASSES)]
    assert folders.test.labels.tolist() == list(range(V2_CLASSES))
    assert folders.test.sizes[:, 0].tolist() == [40 + label for label in range(V2_CLASSES)]
    peer = ImageFolder(str(small_imagenet / "imagenet-v2"))
    assert peer.classes[2] == "10"  # what sorting them as texts does


def test_every_image_is_one_of_the_kinds_that_the_folder_should_hold(small_imagenet: Path) -> None:
    kinds = set()
    for path in (small_imagenet / "imagenet").glob("*/*/*"):
        with Image.open(path) as image:
            kinds |= {image.format, image.mode, "progressive" if "progressive" in image.info else "baseline"}
        kinds |= set() if path.read_bytes().endswith(b"\xff\xd9") else {"something after the end"}
    assert kinds == {"JPEG", "PNG", "RGB", "L", "CMYK", "progressive", "baseline", "something after the end"}


DAMAGES = {
    "empty": b"",
    "no image": b"<html>404</html>",
    "image file is truncated": jpeg()[:-9],
    "Truncated File Read": jpeg()[: len(jpeg()) // 2],
}


def test_damaged_files_of_every_kind_are_named_and_counted_in_one_error(copied: Path) -> None:
    for number, content in enumerate(DAMAGES.values()):
        files = sorted((copied / ("train", "val")[number % 2] / WNIDS[number % 3]).iterdir())
        files[number].write_bytes(content)
    (copied / "train" / WNIDS[0] / "n01443537_999.JPEG").symlink_to(copied / "nowhere")
    with pytest.raises(DamagedData) as error:
        load("imagenet", copied.parent)
    text = str(error.value)
    assert f"{copied / 'train'} is not whole:\n  3 files are no whole images: " in text
    assert f"{copied / 'val'} is not whole:\n  2 files are no whole images: " in text
    assert [reason for reason in DAMAGES if f"({reason}" not in text] == []
    assert f"{WNIDS[0]}/n01443537_999.JPEG (No such file or directory)" in text
    assert f"\n  {TRAIN * 3 + 1} files, expected {TRAIN * 3}" in text
    assert text.endswith("restore them; `softaug fetch imagenet` says from where")


def test_the_first_few_of_many_damaged_files_are_named(copied: Path) -> None:
    for path in (copied / "train").glob("*/*"):
        path.write_bytes(b"")
    with pytest.raises(
        DamagedData, match=rf"{TRAIN * 3} files are no whole images: (\S+ \(empty\),? ){{6}}and 18 more"
    ):
        load("imagenet", copied.parent)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole, path = jpeg(), tmp_path / "cut.JPEG"
    path.write_bytes(whole)
    assert measure(str(path)) == (17, 23, len(whole))
    for end in (*range(0, len(whole) - 6, 5), *range(len(whole) - 6, len(whole))):
        path.write_bytes(whole[:end])
        with pytest.raises((ValueError, OSError, SyntaxError)):
            measure(str(path))


def test_only_doubtful_files_are_decoded(small_imagenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(image_folder.Image, "open", lambda file: decoded.append(file.name) or Image.new("L", (1, 1)))
    load("imagenet", small_imagenet)
    assert len(decoded) == 4  # three with bytes after the end, one PNG


def test_an_unusual_header_is_left_to_pillow(tmp_path: Path) -> None:
    whole, path = jpeg(), tmp_path / "unusual.JPEG"
    path.write_bytes(whole[:2] + b"\xff" + whole[2:])  # a marker may be preceded by any number of such bytes
    assert measure(str(path)) == (17, 23, len(whole) + 1)
    comment = b"\xff\xfe" + (20_002).to_bytes(2, "big") + 20_000 * b"\xd9"
    path.write_bytes(whole[:2] + 4 * comment + whole[2:])  # longer than any buffer
    assert measure(str(path))[:2] == (17, 23)


def test_class_folders_that_are_missing_empty_or_too_many_are_named(small_imagenet: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_imagenet / "imagenet" / "val", tmp_path / "val"))
    shutil.rmtree(folder / WNIDS[1])
    for path in (folder / WNIDS[2]).iterdir():
        path.unlink()
    (folder / "n99999999").mkdir()
    (folder / ".cache").mkdir()
    (folder / "README").touch()
    with pytest.raises(DamagedData) as error:
        scan(folder, WNIDS, images=12)
    assert str(error.value).splitlines() == [
        f"{folder} is not whole:",
        f"  1 class folders are missing: {WNIDS[1]}",
        f"  1 class folders are empty: {WNIDS[2]}",
        "  1 class folders are of no known class: n99999999",
        "  4 files, expected 12",
    ]


def test_a_class_folder_that_may_not_be_read_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:  # root may read everything, so permissions alone would not do
        if path.name == WNIDS[1]:
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(image_folder.os, "listdir", refuse)
    with pytest.raises(DamagedData, match=rf"1 files are no whole images: {WNIDS[1]} \(Permission denied\)"):
        scan(copied / "val", WNIDS, images=12)


def test_hidden_files_are_passed_over_and_the_number_of_classes_is_checked(copied: Path) -> None:
    before = load("imagenet", copied.parent)
    for name in (".DS_Store", f"._{WNIDS[0]}_0.JPEG"):
        (copied / "train" / WNIDS[0] / name).write_bytes(b"\0")
    assert fingerprint(load("imagenet", copied.parent)) == fingerprint(before)
    for part in ("train", "val"):
        shutil.rmtree(copied / part / WNIDS[0])
    with pytest.raises(DamagedData, match="2 class folders, expected 3; see `softaug fetch imagenet`"):
        image_folder.load_folders("imagenet", copied)


def test_the_fingerprint_sees_names_labels_sizes_and_lengths_but_not_the_place(
    small_imagenet: Path, copied: Path
) -> None:
    folders = load("imagenet", small_imagenet)
    assert isinstance(folders, Folders)
    whole = fingerprint(folders)
    assert whole == fingerprint(load("imagenet", copied.parent))
    for part in ("train", "test"):
        index = getattr(folders, part)
        for field in ("paths", "labels", "sizes", "lengths"):
            changed = getattr(index, field).copy()
            changed[-1] = b"another" if field == "paths" else changed[-1] + 1
            assert fingerprint(replace(folders, **{part: replace(index, **{field: changed})})) != whole


def test_arrays_are_shared_between_processes_not_copied(small_imagenet: Path) -> None:
    folders, buffers = load("imagenet", small_imagenet), []
    rest = pickle.dumps(folders, protocol=5, buffer_callback=buffers.append)  # as Ray does
    assert len(rest) < 1_200
    assert len(buffers) == 8
    again = pickle.loads(rest, buffers=[np.frombuffer(buffer, np.uint8) for buffer in buffers])
    assert fingerprint(again) == fingerprint(folders)
    assert all(array.flags.c_contiguous for array in vars(again.train).values() if isinstance(array, np.ndarray))
