"""With this folder on PYTHONPATH every process of a launch takes the tests' small ImageNet for the large one,
and an ImageNet-V2 with an image of each of its classes.

It imports nothing heavy: `SMALL_IMAGENET` holds its classes, side, training images and test images as JSON.
"""

import json
import os
from dataclasses import replace

if "SMALL_IMAGENET" in os.environ:
    from softaug.datasets import DATASETS

    classes, side_px, train, test = json.loads(os.environ["SMALL_IMAGENET"])
    DATASETS["imagenet"] = replace(
        DATASETS["imagenet"],
        class_names=tuple(str(number) for number in range(classes)),
        side_px=side_px,
        official_train=train,
        official_test=test,
        default_train=train,
        largest_train=train,
    )
    DATASETS["imagenet-v2"] = replace(
        DATASETS["imagenet-v2"],
        class_names=DATASETS["imagenet"].class_names,
        side_px=side_px,
        official_test=classes,
    )
