"""Download a data set with torchvision's own downloaders, which check what they get."""

from pathlib import Path

from softaug.datasets import dataset, locate


def fetch(name: str, folder: Path) -> str:
    """Download a data set into a folder, in the layout that `load` reads, and say in one line where it is.

    Raises ValueError for an unknown name and whatever torchvision raises when a download fails.
    """
    title = dataset(name).title
    if name == "digits":
        return f"{title}: bundled with scikit-learn, nothing to fetch"
    from torchvision import datasets as downloaders

    download = {
        "fashion-mnist": downloaders.FashionMNIST,
        "cifar10": downloaders.CIFAR10,
        "cifar100": downloaders.CIFAR100,
    }[name]
    download(str(folder), train=True, download=True)
    return f"{title}: in {locate(name, folder)}"
