import multiprocessing
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from softaug import decoding
from softaug.datasets import DamagedData
from softaug.decoding import Request, decode, decoded


def requests(folder: Path) -> list[Request]:
    """Return a request per training image: every second one is resized, of every third one a region is wanted."""
    made = []
    for number, path in enumerate(sorted((folder / "imagenet" / "train").glob("*/*"))):
        image = default_loader(path)
        size = (image.height, image.width)
        canvas = (size[0] + 9, size[1] // 2) if number % 2 else size
        region = (3, 1, canvas[0] - 5, canvas[1] - 4) if number % 3 else (0, 0, *canvas)
        made.append(Request(str(path), size, canvas, region))
    return made


def test_pixels_are_bit_for_bit_those_of_torchvisions_loader_resize_and_crop(image_files: Path) -> None:
    for request in requests(image_files):
        image = transforms.functional.resize(default_loader(request.path), list(request.canvas))
        expected = np.array(transforms.functional.crop(image, *request.region))
        assert np.array_equal(decode(request), expected)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_workers_changes_no_bit_and_no_order(
    workers: int, image_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "AT_ONCE", 5)
    wanted = requests(image_files)
    before = torch.get_rng_state()
    found = list(decoded(iter(wanted), workers=workers))
    assert torch.equal(torch.get_rng_state(), before)
    assert len(found) == len(wanted) == 24
    for image, request in zip(found, wanted, strict=True):
        assert torch.equal(image, torch.from_numpy(decode(request)))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_decoded_is_named(workers: int, image_files: Path, tmp_path: Path) -> None:
    wanted = requests(image_files)
    content = Path(wanted[20].path).read_bytes()
    (tmp_path / "cut.JPEG").write_bytes(content[:-100])
    wanted[20] = wanted[20]._replace(path=str(tmp_path / "cut.JPEG"))
    with pytest.raises(DamagedData) as error:
        list(decoded(wanted, workers=workers))
    assert str(error.value).startswith(f"{tmp_path / 'cut.JPEG'}: cannot be decoded (image file is truncated")
    wanted[20] = wanted[20]._replace(path=str(tmp_path / "gone.JPEG"))
    with pytest.raises(DamagedData, match=r"gone\.JPEG: cannot be decoded .*No such file"):
        list(decoded(wanted, workers=workers))


def test_a_file_that_changed_since_the_launch_looked_at_it_is_refused(image_files: Path) -> None:
    request = requests(image_files)[0]
    with pytest.raises(DamagedData, match=r"JPEG: 34 x 33 px, but 35 x 33 when the launch looked at it"):
        decode(request._replace(size=(35, 33)))


def test_workers_end_when_nobody_wants_more(image_files: Path) -> None:
    def endless() -> Iterator[Request]:
        while True:
            yield from requests(image_files)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream = decoded(endless(), workers=2)
        next(stream)
        assert len(multiprocessing.active_children()) == 2
        stream.close()
    assert multiprocessing.active_children() == []
