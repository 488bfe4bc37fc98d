"""Versions of the factors a recipe uses, part of every key; and of what `softaug evaluate` measures, part of none.

Raise a factor's version in the commit that changes its numbers: results made before then keep their key and are
never mixed with new ones. The golden tests go red when numbers change and the version does not. No torch here.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softaug.recipe import Recipe

VERSIONS = {
    "fit": 1,  # epoch order, batching, initialisation, SGD, final metrics
    "schedule": 1,
    "warmup": 1,
    "loss": 1,  # target, weight, reduction
    "flip": 1,
    "crop.uniform": 1,
    "crop.gaussian": 1,
    "crop.random-resized": 1,
    "crop.gaussian-resized": 1,
    "softening": 1,
    "policy.rand-augment": 1,
    "policy.trivial-augment": 1,
    "noise": 1,
    "cutout": 1,
    "mixup": 1,
    "online-labels": 1,
    "focal": 1,
    "simsiam": 1,
    "model.resnet8": 1,
    "model.resnet18": 1,
    "model.wide-resnet": 1,
    "model.pyramidnet": 1,
    "model.torchvision": 1,
    "data.digits": 1,
    "data.fashion-mnist": 1,
    "data.cifar10": 1,
    "data.cifar100": 1,
    "data.imagenet": 1,  # decoding and the cut for evaluation are part of it
}

# Occlusion, and the metrics of finished networks. Raised, it makes no other trials: they are evaluated again.
EVALUATION = 2

MODEL_FAMILY = {
    "resnet8": "model.resnet8",
    "resnet20": "model.resnet8",
    "resnet18": "model.resnet18",
    "resnet50": "model.resnet18",
    "resnet101": "model.resnet18",
    "wide-resnet28-10": "model.wide-resnet",
    "pyramidnet272": "model.pyramidnet",
    "efficientnet-b0": "model.torchvision",
    "torchvision-resnet50": "model.torchvision",
    "torchvision-resnet101": "model.torchvision",
}


def versions_in_use(recipe: "Recipe") -> dict[str, int]:
    """Return name and version of every factor that this recipe uses."""
    names = ["fit", "schedule", "loss", f"data.{recipe.data.name}", MODEL_FAMILY[recipe.model.name]]
    optional = {
        "warmup": recipe.optim.warmup_epochs > 0,
        "flip": recipe.flip > 0,
        "softening": recipe.softening is not None,
        "noise": recipe.noise is not None,
        "cutout": recipe.cutout is not None,
        "mixup": recipe.mixup is not None,
        "online-labels": recipe.online_label_smoothing,
        "focal": recipe.loss.focal_gamma > 0,
        "simsiam": recipe.simsiam is not None,
    }
    names += [name for name, used in optional.items() if used]
    names += [f"crop.{recipe.crop.kind}"] if recipe.crop is not None else []
    names += [f"policy.{recipe.policy.kind}"] if recipe.policy is not None else []
    return {name: VERSIONS[name] for name in names}
