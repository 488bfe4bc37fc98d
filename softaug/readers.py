"""Readers of the data sets' own file formats. A file that does not hold what it should raises DamagedData, named."""

import gzip
import io
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softaug.datasets import DamagedData

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

IDX_UNSIGNED_BYTE = 8
CIFAR_SHAPE = (3, 32, 32)

_reconstruct: Any = np.empty(0).__reduce__()[0]  # numpy has no public name for it
ARRAY_CONSTRUCTORS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def read_idx(path: Path) -> Pixels:
    """Read an idx file of unsigned bytes, gzipped or not: MNIST's format, a big-endian header and the values."""
    content = _content(path)
    dimensions = content[3] if len(content) > 3 else 0
    header = 4 + 4 * dimensions
    if content[:3] != bytes((0, 0, IDX_UNSIGNED_BYTE)) or len(content) < header:
        raise DamagedData(f"{path}: no idx file of unsigned bytes; fetch the data set again")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, offset=4).tolist())
    values = np.frombuffer(content, np.uint8, offset=header)
    if values.size != np.prod(shape):
        raise DamagedData(f"{path}: its header says {shape}, but {values.size} values follow; fetch the data set again")
    return values.reshape(shape)


def read_cifar(path: Path) -> tuple[Pixels, Labels]:
    """Read one CIFAR python batch: images (N, 3, 32, 32) and labels (N,), the fine ones for CIFAR-100."""
    try:
        batch = ArraysOnly(io.BytesIO(_content(path)), encoding="bytes").load()
        images = np.asarray(batch[b"data"])
        labels = np.asarray(batch[b"fine_labels"] if b"fine_labels" in batch else batch[b"labels"], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedData(f"{path}: no CIFAR batch ({error}); fetch the data set again") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), int(np.prod(CIFAR_SHAPE))):
        raise DamagedData(
            f"{path}: {images.dtype} of shape {images.shape} for {len(labels)} labels, expected uint8 rows of "
            f"{np.prod(CIFAR_SHAPE)}; fetch the data set again"
        )
    return images.reshape(-1, *CIFAR_SHAPE), labels


class ArraysOnly(pickle.Unpickler):
    """An unpickler for builtins and numpy arrays alone: it refuses every other name, so it runs no foreign code."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return one of numpy's array constructors; raise UnpicklingError for anything else."""
        if (module_name, global_name) not in ARRAY_CONSTRUCTORS:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which no image batch needs")
        return ARRAY_CONSTRUCTORS[module_name, global_name]


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedData(f"{path}: damaged gzip file ({error}); fetch the data set again") from error
