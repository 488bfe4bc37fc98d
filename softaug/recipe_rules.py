"""What a recipe may not combine, each with its reason: what has no effect or no meaning. All raise ValueError."""

from typing import TYPE_CHECKING

from softaug.datasets import DATASETS
from softaug.recipe_parts import GaussianCrop, GaussianResizedCrop, RandomResizedCrop, UniformCrop

if TYPE_CHECKING:
    from softaug.recipe import Recipe

WITH_FEATURES = ("resnet8", "resnet20", "resnet18", "resnet50", "resnet101")


def check_effects(recipe: "Recipe") -> None:
    """Refuse parts without an effect: one training has one key."""
    _check_simsiam(recipe)
    _check_softening(recipe)
    _check_loss(recipe)
    _check_targets(recipe)
    _check_final_phase(recipe)


def check_images(recipe: "Recipe") -> None:
    """Refuse what the images or classes of the data set do not allow."""
    known = DATASETS[recipe.data.name]
    _check_crop(recipe)
    _check_evaluation(recipe)
    if isinstance(recipe.crop, UniformCrop) and recipe.crop.radius_px > known.side_px:
        raise ValueError(
            f"crop.radius_px: {recipe.crop.radius_px} px leaves the images of {recipe.data.name}, "
            f"{known.side_px} px wide; at most {known.side_px}"
        )
    if recipe.cutout is not None and recipe.cutout.side_px > known.side_px:
        raise ValueError(
            f"cutout.side_px: {recipe.cutout.side_px} px is more than the images of {recipe.data.name} are wide; "
            f"at most {known.side_px}"
        )
    if recipe.label_smoothing > 1 - 1 / known.classes:
        raise ValueError(
            f"label_smoothing: {recipe.label_smoothing} puts the true one of {known.classes} classes below chance; "
            f"at most {1 - 1 / known.classes:g}"
        )


def check_shares(recipe: "Recipe", train_images: int, processes: int) -> None:
    """Refuse a recipe whose batches cannot be shared by that many processes, of which each has a GPU."""
    size = recipe.optim.batch_size
    if recipe.simsiam is not None and processes > 1:
        raise ValueError("simsiam: trained by one process; give a trial one GPU")
    if size % processes:
        raise ValueError(
            f"optim.batch_size: {size} cannot be shared by {processes} processes, one per GPU; "
            f"use a multiple of {processes}"
        )
    last = train_images % size or size
    if last < processes:
        raise ValueError(
            f"optim.batch_size: the last batch of {train_images} images has {last}, too few for {processes} processes, "
            "one per GPU; choose another batch size or number of GPUs"
        )


def train_images(recipe: "Recipe") -> int:
    """Return how many images a recipe trains on."""
    return (recipe.data.train_images or DATASETS[recipe.data.name].default_train) - recipe.data.validation_images


def _check_simsiam(recipe: "Recipe") -> None:
    if recipe.simsiam is None:
        return
    of_labels = (
        "crop", "policy", "noise", "cutout", "mixup", "softening", "label_smoothing", "online_label_smoothing", "loss",
        "final_phase", "test_every_epochs",
    )  # fmt: skip
    for name in of_labels:
        if getattr(recipe, name) != type(recipe).model_fields[name].default:
            raise ValueError(
                f"{name}: simsiam trains on pairs of views without labels and has none; remove one of the two"
            )
    if recipe.model.name not in WITH_FEATURES:
        raise ValueError(
            f"model.name: simsiam needs the features of a residual network, which {recipe.model.name} does not give; "
            f"allowed: {', '.join(WITH_FEATURES)}"
        )
    if DATASETS[recipe.data.name].image_folders:
        raise ValueError(f"data.name: simsiam is for images of one size, those of {recipe.data.name} have many")


def _check_crop(recipe: "Recipe") -> None:
    """Images of many sizes need a crop that gives them one; those that have one need no such crop."""
    known, name = DATASETS[recipe.data.name], recipe.data.name
    resized = isinstance(recipe.crop, RandomResizedCrop | GaussianResizedCrop)
    if known.image_folders and not resized:
        kind = "no crop" if recipe.crop is None else f"crop.kind {recipe.crop.kind}"
        raise ValueError(
            f"crop: the images of {name} have many sizes, and {kind} leaves them so; "
            "set crop.kind to random-resized or gaussian-resized"
        )
    if not known.image_folders and resized and recipe.crop is not None:
        raise ValueError(
            f"crop.kind: {recipe.crop.kind} is for images of many sizes, those of {name} are all {known.side_px} px "
            "wide; set it to uniform or gaussian"
        )


def _check_evaluation(recipe: "Recipe") -> None:
    known, short_edge_px = DATASETS[recipe.data.name], recipe.data.evaluation_px
    if short_edge_px is None:
        return
    if not known.image_folders:
        raise ValueError(f"data.evaluation_px: the images of {recipe.data.name} are evaluated as they are; remove it")
    if short_edge_px < known.side_px:
        raise ValueError(
            f"data.evaluation_px: {short_edge_px} px is less than the central crop takes; at least {known.side_px}"
        )


def _check_softening(recipe: "Recipe") -> None:
    softening = recipe.softening
    if softening is None:
        return
    if softening.k is not None and recipe.crop is None:
        raise ValueError(
            "softening: there is no crop, so visibility is always 1; set crop, or remove softening "
            "(to soften by noise alone, set softening.k to null)"
        )
    if softening.noise_k is not None and recipe.noise is None:
        raise ValueError("softening.noise_k: there is no noise; set noise or remove noise_k")


def _check_loss(recipe: "Recipe") -> None:
    loss = recipe.loss
    weighted = recipe.softening is not None and recipe.softening.apply_to in ("weight", "both")
    if (loss.weighting != "per_sample" or loss.weight_norm != "none") and not weighted:
        raise ValueError(
            "loss: weighting and weight_norm have no effect unless softening.apply_to is weight or both; remove them"
        )
    if loss.weighting == "batch_mean" and loss.weight_norm == "mean1":
        raise ValueError("loss: a batch mean of weights rescaled to mean 1 is always 1; choose one of the two")


def _check_targets(recipe: "Recipe") -> None:
    """Refuse two makers of targets where only one can be: focal and online label smoothing start from hard labels."""
    makers = {
        "label_smoothing": recipe.label_smoothing > 0,
        "mixup": recipe.mixup is not None,
        "softening.apply_to target or both": recipe.softening is not None and recipe.softening.apply_to != "weight",
        "online_label_smoothing": recipe.online_label_smoothing,
    }
    others = [name for name, used in makers.items() if used]
    if recipe.loss.focal_gamma > 0 and others:
        raise ValueError(
            f"loss.focal_gamma: focal loss is defined for one true class, not for the targets of {others[0]}; "
            "choose one of the two"
        )
    if recipe.online_label_smoothing and len(others) > 1:
        raise ValueError(
            f"online_label_smoothing: it learns the targets from hard labels, which {others[0]} does not leave; "
            "choose one of the two"
        )


def _check_final_phase(recipe: "Recipe") -> None:
    phase = recipe.final_phase
    if phase is None:
        return
    if isinstance(recipe.crop, GaussianResizedCrop):
        raise ValueError(
            "final_phase: it would switch the gaussian-resized crop off, without which images of many sizes have no "
            "common shape; set it to null (the paper has none on ImageNet, D43)"
        )
    soft = isinstance(recipe.crop, GaussianCrop) or recipe.noise is not None
    more = recipe.cutout is not None or recipe.mixup is not None
    if not soft and not (more and phase.turns_off == "all"):
        hint = ", or turns_off to all, to switch Cutout and Mixup off" if more else ""
        raise ValueError(
            f"final_phase: it switches a Gaussian crop or noise off and there is none; set it to null{hint}"
        )
    if phase.turns_off == "all" and not more:
        raise ValueError("final_phase.turns_off: there is no Cutout and no Mixup, so `all` is `soft`; remove it")
