import gzip
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softaug.datasets import DamagedData
from softaug.readers import read_cifar, read_idx


def idx(values: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
BATCH = {b"data": np.arange(2 * 3072, dtype=np.uint64).astype(np.uint8).reshape(2, 3072), b"labels": [7, 1]}


@pytest.mark.parametrize("gzipped", [False, True])
def test_idx_files(gzipped: bool, tmp_path: Path) -> None:
    path = tmp_path / ("images.gz" if gzipped else "images")
    path.write_bytes(gzip.compress(idx(IMAGES)) if gzipped else idx(IMAGES))
    assert np.array_equal(read_idx(path), IMAGES)
    (tmp_path / "labels").write_bytes(idx(IMAGES[0, 0]))
    assert read_idx(tmp_path / "labels").tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", idx(IMAGES)[:-1], idx(IMAGES) + b"x", b"\0\0\x0d" + idx(IMAGES)[3:], idx(IMAGES)[:7], b"<html>"],
)  # fmt: skip
def test_a_damaged_idx_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(DamagedData, match=r"/images: .*fetch the data set again"):
        read_idx(tmp_path / "images")


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(idx(IMAGES))
    for content in (whole[:-9], b"not gzip", whole[:15] + b"\xff\xff\xff" + whole[18:]):
        (tmp_path / "images.gz").write_bytes(content)
        with pytest.raises(DamagedData, match=r"/images\.gz: damaged gzip file"):
            read_idx(tmp_path / "images.gz")


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("label_name", [b"labels", b"fine_labels"])
def test_cifar_batches(protocol: int, label_name: bytes, tmp_path: Path) -> None:
    content = {b"data": BATCH[b"data"], label_name: [7, 1], b"coarse_labels": [0, 0], b"filenames": [b"a", b"b"]}
    (tmp_path / "train").write_bytes(pickle.dumps(content, protocol=protocol))
    images, labels = read_cifar(tmp_path / "train")
    assert images.shape == (2, 3, 32, 32)
    assert images.dtype == np.uint8
    assert np.array_equal(images.reshape(2, -1), BATCH[b"data"])
    assert labels.tolist() == [7, 1]
    assert labels.dtype == np.int64


def test_python_2s_pickle_names_numpys_old_module(tmp_path: Path) -> None:
    # What the real files hold: protocol 2, str as bytes, numpy.core.multiarray. Written out by hand.
    row = bytes(range(256)) * 12
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01(K\x01M\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T\x00\x0c\x00\x00" + row + b"tb"
    )
    (tmp_path / "train").write_bytes(b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x05eu.")
    images, labels = read_cifar(tmp_path / "train")
    assert images.tobytes() == row
    assert labels.tolist() == [5]


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    (tmp_path / "train").write_bytes(pickle.dumps(BATCH | {b"labels": Harmful(trace)}, protocol=3))
    with pytest.raises(DamagedData, match=r"/train: .*mkdir, which no image batch needs"):
        read_cifar(tmp_path / "train")
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        pickle.dumps(BATCH, protocol=3)[:-20],
        pickle.dumps([1, 2], protocol=3),
        pickle.dumps({b"data": BATCH[b"data"]}, protocol=3),
        pickle.dumps(BATCH | {b"labels": [7]}, protocol=3),
        pickle.dumps(BATCH | {b"data": BATCH[b"data"].astype(np.int32)}, protocol=3),
        pickle.dumps(BATCH | {b"data": BATCH[b"data"][:, :100]}, protocol=3),
    ],
)
def test_a_damaged_cifar_batch_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "train").write_bytes(content)
    with pytest.raises(DamagedData, match=r"/train: .*fetch the data set again"):
        read_cifar(tmp_path / "train")
