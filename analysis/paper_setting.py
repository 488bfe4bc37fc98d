"""Whether a recipe is of the paper's data, network and epochs: only then are its numbers comparable with the paper's.

Names on the left are those of published.json. Epochs: section 4.2 and appendix B; 501 are those of the released code.
"""

from collections.abc import Mapping
from typing import Any

DATA = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet1k": "imagenet", "imagenetv2": "imagenet"}
EPOCHS = {"cifar10": (500, 501), "cifar100": (500, 501), "imagenet": (270,)}
MODELS = {
    "efficientnet_b0": ("efficientnet-b0", 32),
    "resnet18": ("resnet18", 64),
    "resnet50": ("resnet50", 64),
    "wideresnet28_10": ("wide-resnet28-10", 160),
    "pyramidnet272_a200_shakedrop": ("pyramidnet272", 16),
    "simsiam_resnet18": ("resnet18", 64),
}
IMAGENET_MODELS = {"resnet50": ("torchvision-resnet50", 64), "resnet101": ("torchvision-resnet101", 64)}
PROBE_EPOCHS = 100


def departures(recipe: Mapping[str, Any], dataset: str, model: str) -> list[str]:
    """Return in what a cell's recipe is not the paper's, for a data set and a network of published.json; empty if not.

    "data fashion-mnist, not cifar100", "10000 training images, not all", "epochs 12, not 500".
    """
    data, optim, simsiam = recipe["data"], recipe["optim"], recipe.get("simsiam")
    wanted_data = DATA.get(dataset, "")
    models = IMAGENET_MODELS if wanted_data == "imagenet" else MODELS
    if not wanted_data or model not in models:
        return [f"the paper has no {model} on {dataset}"]
    name, width = models[model]
    found = []
    if data["name"] != wanted_data:
        found.append(f"data {data['name']}, not {wanted_data}")
    if data["train_images"] is not None:
        found.append(f"{data['train_images']} training images, not all")
    if (recipe["model"]["name"], recipe["model"]["width"]) != (name, width):
        found.append(f"network {recipe['model']['name']} of width {recipe['model']['width']}, not {name} of {width}")
    if optim["epochs"] not in EPOCHS[wanted_data]:
        found.append(f"epochs {optim['epochs']}, not {EPOCHS[wanted_data][0]}")
    if model.startswith("simsiam"):
        probe = simsiam["probe"]["epochs"] if simsiam else 0
        found += [] if probe == PROBE_EPOCHS else [f"probe of {probe} epochs, not {PROBE_EPOCHS}"]
    return found
