"""The data sets: what is in them, how to normalise them, and where their files are looked for.

CIFAR constants are those of the released code (method §1.7), ImageNet's the usual ones; digits and Fashion-MNIST use
the mean and standard deviation of all their training pixels. This module imports neither torch nor numpy.

ImageNet's public validation images are its test set, since the labels of its own test set were never published: the
paper's errors are on them, so nothing may be selected on them; `validation_images` are held out of the training images
as everywhere. Its 1,000 classes are the folders' names (wnids) in lexical order. ImageNet-V2, in its variant
matched-frequency (D46), only has images to test on, in folders "0" to "999": numbers of the same classes, which as text
would sort 0, 1, 10, 100.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softaug.recipe import Data

DEFAULT_FOLDER = Path("data")


class MissingData(Exception):
    """A data set's files are in none of the folders looked in."""


class DamagedData(Exception):
    """A data set's file is there but does not hold what it should."""


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set without reading it.

    `mean` and `std` are per channel, in units of the pixel range 0..1. `official_test` is 0 where the images are one
    pool without a test set; then `default_train` images are for training unless the recipe says otherwise.
    `largest_train` is the largest class-balanced subset. `files` are the names in `folder`, gzipped or not.
    `image_folders` in their place: folders with a folder of image files per class, of any size, to train on and to test
    on, or to test on alone; `side_px` is then that of what the network sees. `numbered`: the class folders' names are
    the labels. `tests`: the data set on whose networks its images are a further test.
    """

    title: str
    class_names: tuple[str, ...]
    channels: int
    side_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    official_train: int
    official_test: int
    default_train: int
    largest_train: int
    folder: str
    files: tuple[str, ...] = ()
    image_folders: tuple[str, ...] = ()
    numbered: bool = False
    tests: str = ""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


_CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""

_IMAGENET_CLASSES = tuple(str(number) for number in range(1_000))  # by number: the folders bring the wnids
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        title="scikit-learn digits",
        class_names=tuple("0123456789"),
        channels=1,
        side_px=8,
        mean=(0.30531,),
        std=(0.37589,),
        official_train=1_797,
        official_test=0,
        default_train=1_200,
        largest_train=1_740,
        folder="",
    ),
    "fashion-mnist": Dataset(
        title="Fashion-MNIST",
        class_names=(
            "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
        ),
        channels=1,
        side_px=28,
        mean=(0.28604,),
        std=(0.35302,),
        official_train=60_000,
        official_test=10_000,
        default_train=60_000,
        largest_train=60_000,
        folder="FashionMNIST/raw",
        files=(
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ),
    ),
    "cifar10": Dataset(
        title="CIFAR-10",
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        channels=3,
        side_px=32,
        mean=(125.3 / 255, 123.0 / 255, 113.9 / 255),
        std=(63.0 / 255, 62.1 / 255, 66.7 / 255),
        official_train=50_000,
        official_test=10_000,
        default_train=50_000,
        largest_train=50_000,
        folder="cifar-10-batches-py",
        files=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    ),
    "cifar100": Dataset(
        title="CIFAR-100",
        class_names=tuple(_CIFAR100_CLASSES.split()),
        channels=3,
        side_px=32,
        mean=(0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
        std=(0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
        official_train=50_000,
        official_test=10_000,
        default_train=50_000,
        largest_train=50_000,
        folder="cifar-100-python",
        files=("train", "test"),
    ),
    "imagenet": Dataset(
        title="ImageNet-1K",
        class_names=_IMAGENET_CLASSES,
        channels=3,
        side_px=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        official_train=1_281_167,
        official_test=50_000,
        default_train=1_281_167,
        largest_train=732_000,
        folder="ILSVRC/Data/CLS-LOC",
        image_folders=("train", "val"),
    ),
    "imagenet-v2": Dataset(
        title="ImageNet-V2 matched-frequency",
        class_names=_IMAGENET_CLASSES,
        channels=3,
        side_px=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        official_train=0,
        official_test=10_000,
        default_train=0,
        largest_train=0,
        folder="imagenetv2-matched-frequency-format-val",
        image_folders=(".",),
        numbered=True,
        tests="imagenet",
    ),
}  # fmt: skip

# Where a package manager puts them: Debian's dataset-fashion-mnist.
_SYSTEM_FOLDERS = {"fashion-mnist": (Path("/usr/share/datasets/fashion-mnist"),)}


def dataset(name: str) -> Dataset:
    """Return what is known of a data set. Raises ValueError for an unknown name."""
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    return DATASETS[name]


def check_sizes(data: "Data", *, largest_train: int | None = None) -> None:
    """Raise ValueError if a recipe asks for more images than its data set has.

    `largest_train`: size of the largest class-balanced subset, None for that of the complete data set. All images of
    ImageNet are more than that, and allowed.
    """
    known = dataset(data.name)
    train_images = data.train_images or known.default_train
    largest = known.largest_train if largest_train is None else largest_train
    all_images = data.train_images is None and known.default_train > known.largest_train
    if train_images > largest and not all_images:
        raise ValueError(
            f"train_images: {train_images} is more than {data.name} has; at most {largest}, "
            f"balanced over the {known.classes} classes"
        )
    if data.validation_images >= train_images:
        raise ValueError(
            f"validation_images: {data.validation_images} are held out of the {train_images} training images of "
            f"{data.name}, which leaves none to train on; at most {train_images - 1}"
        )
    if data.validation_images > largest:
        raise ValueError(
            f"validation_images: {data.validation_images} is more than {data.name} has; at most {largest}, "
            f"balanced over the {known.classes} classes"
        )


def search_folders(name: str, data: Path | None) -> tuple[Path, ...]:
    """Return the folders that may hold a data set, in the order they are looked in.

    `data` is the folder that the user named, None for ./data. The digits come with scikit-learn: its own folder.
    """
    if name == "digits":
        package = find_spec("sklearn")
        return (Path(package.origin).parent,) if package is not None and package.origin is not None else ()
    root = data if data is not None else DEFAULT_FOLDER
    torchvision_layout = dataset(name).folder
    own = (root, root / name, root / torchvision_layout, root / name / torchvision_layout)
    return own + _SYSTEM_FOLDERS.get(name, ())


def locate(name: str, data: Path | None) -> Path:
    """Return the first folder that holds all files of a data set. Raises MissingData."""
    folders = search_folders(name, data)
    lacking = [(folder, missing_files(name, folder)) for folder in folders]
    for folder, missing in lacking:
        if not missing:
            return folder
    looked_in = "\n".join(f"  {folder} ({_explain(folder, missing)})" for folder, missing in lacking)
    raise MissingData(
        f"data set {name!r} is in none of these folders:\n{looked_in}\n"
        f"run `softaug fetch {name}`, or name its folder with --data or SOFTAUG_DATA"
    )


def missing_files(name: str, folder: Path) -> list[str]:
    """Return which of a data set's files, or folders of image files, are not in a folder."""
    known = dataset(name)
    if known.image_folders:
        return _missing_class_folders(known, folder)
    return [file for file in known.files if find_file(folder, file) is None]


def class_folders(known: Dataset, folder: Path) -> list[str]:
    """Return the names of a data set's class folders in the order of their labels: numbers, or all that are there."""
    if known.numbered:
        return list(known.class_names)
    return sorted({name for part in known.image_folders for name in _folders_in(folder / part)})


def _missing_class_folders(known: Dataset, folder: Path) -> list[str]:
    there = {part: _folders_in(folder / part) for part in known.image_folders}
    absent = ["class folders" if part == "." else part for part, names in there.items() if not names]
    classes = class_folders(known, folder)
    if len(classes) != known.classes:
        absent = absent or [f"{known.classes} class folders (it has {len(classes)})"]
    return absent or [str(Path(part, name)) for part, names in there.items() for name in classes if name not in names]


def _folders_in(folder: Path) -> set[str]:
    """Return the names of the folders in a folder, hidden ones left out; none if it is not there."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}


def find_file(folder: Path, file: str) -> Path | None:
    """Return the path of a file, or of its gzipped form, None if neither is there."""
    return next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)


def first_few(names: Sequence[str], few: int = 6) -> str:
    """Return names in a line, all of them or the first few and how many more there are."""
    more = len(names) - few
    return ", ".join(names[:few]) + (f" and {more:,} more" if more > 0 else "")


def _explain(folder: Path, missing: list[str]) -> str:
    return f"lacks {first_few(missing)}" if folder.is_dir() else "no such folder"
