"""Does the device path hold on this GPU?   make check-gpu   (python benchmarks/check_gpu.py [--device cuda])

Question: on a GPU, are the augmentations what they are on the CPU (the policies byte for byte, normalised images up to
1e-5), do the steps of an epoch run without a host synchronisation (torch.cuda's own check, set to raise), and how long
does a training step take with and without augmentation? Expected: equal, none, and at most 1.05 times as long. Ends
with status 1 if one of the first two does not hold. Cost: a minute.
`--device cpu` tries the script itself; there it cannot check synchronisation.
"""

import argparse
import sys
import time
from typing import Any

import torch

from softaug.augment import Augmentation, draw
from softaug.data import Images, Splits
from softaug.policies.kernels import apply_dense, apply_grouped
from softaug.policies.policy import Policy, RandAugment, TrivialAugmentWide
from softaug.recipe import Recipe
from softaug.supervised import Supervised

IMAGES, BATCH = 4_096, 512
SOFT: dict[str, Any] = {
    "crop": {"kind": "gaussian", "sigma": 0.3},
    "policy": {"kind": "rand-augment"},
    "softening": {"apply_to": "both"},
}
POLICIES: tuple[Policy, ...] = (
    RandAugment(),
    RandAugment(flavour="tensor"),
    TrivialAugmentWide(),
    TrivialAugmentWide(flavour="tensor"),
)


def recipe_of(parts: dict[str, Any]) -> Recipe:
    """Return a recipe of a ResNet-18 with these augmentations."""
    base = {
        "data": {"name": "cifar100"},
        "model": {"name": "resnet18"},
        "precision": {"autocast": "bfloat16", "channels_last": True},
        "optim": {"epochs": 3, "batch_size": BATCH},
        "seed": 0,
    }
    return Recipe.model_validate(base | parts)


def policies_are_equal(pixels: torch.Tensor, device: torch.device) -> bool:
    """Print and return whether every policy gives the same bytes on the device as on the CPU."""
    equal = True
    for policy in POLICIES:
        settings = policy.draw(policy.uniforms(len(pixels), generator=torch.Generator().manual_seed(1)))
        expected = pixels
        for chosen in settings.unbind(1):
            expected = apply_grouped(expected, chosen, policy.tables((32, 32), torch.device("cpu")))
        found, tables = pixels.to(device), policy.tables((32, 32), device)
        for chosen in settings.to(device).unbind(1):
            found = apply_dense(found, chosen, tables)
        wrong = int((found.cpu() != expected).sum())
        equal = equal and wrong == 0
        print(f"{policy}: {wrong} of {expected.numel()} bytes differ")
    return equal


def augmented_images_are_equal(pixels: torch.Tensor, device: torch.device) -> bool:
    """Print and return whether whole augmentations agree but for rounding."""
    recipe = recipe_of(SOFT | {"crop": {"kind": "gaussian", "sigma": 0.3, "fill": "const_noise"}, "cutout": {}})
    draws = draw(recipe, len(pixels), epoch=1)
    expected = Augmentation.of(recipe, torch.device("cpu")).apply(pixels, draws)
    found = Augmentation.of(recipe, device).apply(pixels.to(device), draws.to(device))
    worst = (found.images.cpu() - expected.images).abs().max().item()
    same = torch.equal(found.visibility.cpu(), expected.visibility)
    print(f"augmented images differ by at most {worst:.2g}, visibilities {'are equal' if same else 'DIFFER'}")
    return worst <= 1e-5 and same


def steps_do_not_synchronise(splits: Splits, device: torch.device) -> bool:
    """Print and return whether the host never waits from an epoch's first step to its last."""
    if device.type != "cuda":
        print("host synchronisation: not checked, there is no GPU")
        return True
    training = Supervised(recipe_of(SOFT), splits, device)
    training.train(1, lambda: False)  # tables, and cuDNN's choice of kernels
    left = iter(range(len(splits.train.labels) // BATCH - 1))

    def stop() -> bool:
        torch.cuda.set_sync_debug_mode("error")  # torch raises when the host waits for the GPU
        return next(left, None) is None

    try:
        training.train(2, stop)
    except RuntimeError as error:
        print(f"host synchronisation: {error}")
        return False
    finally:
        torch.cuda.set_sync_debug_mode("default")
    print("host synchronisation: none in an epoch's steps")
    return True


def step_seconds(parts: dict[str, Any], splits: Splits, device: torch.device) -> float:
    """Return the seconds of a training step, means over an epoch after a first one."""
    training = Supervised(recipe_of(parts), splits, device)
    training.train(1, lambda: False)
    started = time.perf_counter()
    training.train(2, lambda: False)  # ends with a read, so all of it is over
    return (time.perf_counter() - started) * BATCH / len(splits.train.labels)


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=IMAGES)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU that torch can use; --device cpu tries the script itself")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (arguments.images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    images = Images(pixels, torch.randint(0, 100, (arguments.images,), generator=generator))
    splits = Splits(images, None, images).to(device)
    print(f"{torch.cuda.get_device_name(device) if device.type == 'cuda' else device}, torch {torch.__version__}")
    holds = [policies_are_equal(pixels, device), augmented_images_are_equal(pixels, device)]
    holds.append(steps_do_not_synchronise(splits, device))
    plain, soft = (step_seconds(parts, splits, device) for parts in ({"flip": 0.0}, SOFT))
    print(f"step of {BATCH} images, ResNet-18, bfloat16: {1000 * plain:.1f} ms, augmented {1000 * soft:.1f} ms")
    print(f"ratio {soft / plain:.3f}  (target: at most 1.05)")
    sys.exit(0 if all(holds) else 1)


if __name__ == "__main__":
    main()
