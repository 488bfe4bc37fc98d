"""Download a data set with torchvision's own downloaders, which check what they get."""

from pathlib import Path

from softaug.datasets import MissingData, dataset, locate


def fetch(name: str, folder: Path) -> str:
    """Download a data set into a folder, in the layout that `load` reads, and say in one line where it is.

    One that is there already is left alone. Raises ValueError for an unknown name, MissingData if a download fails.
    """
    title = dataset(name).title
    if name == "digits":
        return f"{title}: bundled with scikit-learn, nothing to fetch"
    try:
        return f"{title}: already in {locate(name, folder)}"
    except MissingData:
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
