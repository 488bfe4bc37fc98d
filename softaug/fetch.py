"""Download a data set with torchvision's own downloaders, which check what they get, or say where else it is got."""

from pathlib import Path

from softaug.datasets import MissingData, dataset, locate

# What only registered users may download, or who takes it from elsewhere unpacks better himself.
BY_HAND = {
    "imagenet": (
        "only registered users get it: from https://image-net.org/download take ILSVRC2012_img_train.tar, "
        "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz into {folder}/imagenet; torchvision unpacks them into "
        "train and val there, with a folder per class as softaug needs them:\n"
        "  python -c \"from torchvision.datasets import ImageNet as I; I('{folder}/imagenet', 'train'); "
        "I('{folder}/imagenet', 'val')\""
    ),
    "imagenet-v2": (
        "take imagenetv2-matched-frequency.tar.gz from https://huggingface.co/datasets/vaishaal/ImageNetV2 and unpack "
        "it in {folder}: its images are in imagenetv2-matched-frequency-format-val, in folders 0 to 999"
    ),
}


def fetch(name: str, folder: Path) -> str:
    """Download a data set into a folder, in the layout that `load` reads, and say in one line where it is.

    One that is there already is left alone. Raises ValueError for an unknown name, MissingData if a download fails or
    is not possible: it then says what to do.
    """
    title = dataset(name).title
    if name == "digits":
        return f"{title}: bundled with scikit-learn, nothing to fetch"
    try:
        return f"{title}: already in {locate(name, folder)}"
    except MissingData as missing:
        if name in BY_HAND:
            raise MissingData(f"{title} is not in {folder}; {BY_HAND[name].format(folder=folder)}") from missing
        _download(name, folder)
    return f"{title}: in {locate(name, folder)}"


def _download(name: str, folder: Path) -> None:
    from torchvision import datasets as downloaders

    download = {
        "fashion-mnist": downloaders.FashionMNIST,
        "cifar10": downloaders.CIFAR10,
        "cifar100": downloaders.CIFAR100,
    }[name]
    try:
        download(str(folder), train=True, download=True)
    except (OSError, RuntimeError) as error:
        known = dataset(name)
        raise MissingData(
            f"{known.title} could not be downloaded: {error}; "
            f"get its files elsewhere ({', '.join(known.files)}) and put them into {folder / known.folder}"
        ) from error
