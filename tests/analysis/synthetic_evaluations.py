"""Made-up evaluations: metrics with covered images, reliability, and images with what networks say of them."""

import base64
from dataclasses import replace
from typing import Any

import torch
from synthetic import cell, gaussian, made_up, sweep

from analysis.cells import CellRuns
from analysis.figures.reliability import Curve
from analysis.runs import TrialRun
from softaug.datasets import dataset
from softaug.occlusion import occluded_area, occlusion_side
from softaug.samples import png
from sweeps.resolved import Axis, Figure, FigureKind, ResolvedSweep
from trainables.evaluation import Asked, Evaluation, Example, Fill, Hard, Measurement, Origin, Prediction, places

PERCENTS = (0, 20, 40, 60, 80)
TEST_IMAGES = 60
ORIGIN = Origin(git_commit="c", git_dirty=False, device="cpu", cpu="c", threads=1, data_fingerprint="f", versions={})


def figure_1(data: str = "cifar100", kind: FigureKind = "offset-range") -> ResolvedSweep:
    """Hard uniform crops over their radius, hard and soft Gaussian ones over sigma, the soft ones at two k."""
    base: dict[str, Any] = {"data": {"name": data}, "model": {"name": "resnet18"}}
    seeds, side = [0, 1, 2], dataset(data).side_px
    cells = [cell("standard crop", base, seeds, {"crop": {"kind": "uniform", "radius_px": side // 8}})]
    cells += [
        cell("hard uniform crop", base, seeds, {"crop": {"kind": "uniform", "radius_px": radius}}, radius=radius)
        for radius in (side // 4, side // 2)
    ]
    cells += [cell("hard Gaussian crop", base, seeds, gaussian(sigma), sigma=sigma) for sigma in (0.1, 0.3)]
    cells += [
        cell("soft crop", base, seeds, {**gaussian(sigma), "softening": {"k": k, "apply_to": "both"}}, sigma=sigma, k=k)
        for sigma in (0.1, 0.3)
        for k in (1.0, 2.0)
    ]
    radius = Axis(field="crop.radius_px", label="offset range ±r (px)", values=[side // 4, side // 2])
    lines = {"soft crop": "k"} if kind == "offset-range" else {}
    made = sweep(cells, name="figure-1", scale="paper", figure=Figure(kind=kind, lines=lines))
    return made.model_copy(update={"axes": {**made.axes, "radius": radius}})


def evaluated(runs: list[TrialRun], fills: tuple[Fill, ...] = ("mean",)) -> list[TrialRun]:
    """The same runs with errors under occlusion."""
    return [replace(run, metrics={**run.metrics, **_covered(run, fills)}, evaluated=True) for run in runs]


def _covered(run: TrialRun, fills: tuple[Fill, ...]) -> dict[str, float]:
    error = run.metrics["test/top1_error"]
    return {
        f"test/occlusion_{percent}{'' if fill == 'mean' else f'_{fill}'}/top1_error": error + percent * (1 + number) / 2
        for number, fill in enumerate(fills)
        for percent in PERCENTS[1:]
    }


def runs_of(one: ResolvedSweep) -> list[TrialRun]:
    """Finished and evaluated runs of a sweep."""
    return evaluated(made_up(one))


def curve_of(one: CellRuns) -> Curve | None:
    """Return a reliability diagram that lies below the diagonal the more, the larger the calibration error."""
    ece = one.estimate("test/ece")
    if ece is None:
        return None
    centres = [0.05 + 0.1 * number for number in range(10)]
    count = (0, 2, 4, 8, 16, 32, 64, 120, 300, 951)
    accuracy = [round(centre * (1 - ece.mean / 50), 4) for centre in centres]
    return Curve(count, (0.0, *accuracy[1:]), (0.0, *centres[1:]))


def evaluation_of(run: TrialRun, data: str = "cifar100", fill: Fill = "mean") -> Evaluation:
    """Return what a network says: its trial key decides where it is wrong, the images are the same for all."""
    known = dataset(data)
    wrong = int(run.trial_key[:2], 16) % 3

    def prediction(label: int, percent: int, number: int) -> Prediction:
        right = (number + wrong) % 3 > 0 and percent < 60
        sure = round(0.95 - percent / 100 - 0.02 * number, 4)
        predicted = label if right else (label + 1 + number) % known.classes
        corner = (number % 2, 1) if percent else None
        return Prediction(predicted=predicted, confidence=sure, of_label=sure if right else 0.01, corner=corner)

    labels = [number * known.classes // 6 for number in range(6)]
    asked = places(TEST_IMAGES)
    return Evaluation(
        version=2,
        origin=ORIGIN,
        measurements=[
            Measurement(
                percent=percent,
                fill=fill if percent else None,
                seed=0 if percent else None,
                area=occluded_area(known.side_px, percent),
                measured=1.0,
                metrics={},
                reliability={},
                side_px=occlusion_side(known.side_px, percent),
                predictions=[prediction(label, percent, number) for number, label in enumerate(labels)],
            )
            for percent in PERCENTS
        ],
        examples=tuple(_example(data, 7 * number, label) for number, label in enumerate(labels)),
        hardest=tuple(
            Hard(
                **dict(_example(data, image, labels[5 - number])), prediction=prediction(labels[5 - number], 0, number)
            )
            for number, image in enumerate(asked[wrong : wrong + 6])
        ),
        asked=Asked.pack(TEST_IMAGES, [image % known.classes for image in asked], [0.5] * TEST_IMAGES),
    )


def _example(data: str, image: int, label: int) -> Example:
    known = dataset(data)
    rows = torch.arange(known.side_px)
    pixels = (rows[:, None] * (image + 3) + rows * 5 + torch.arange(known.channels)[:, None, None] * 60) % 256
    return Example(image=image, label=label, png=base64.b64encode(png(pixels.to(torch.uint8))).decode())
