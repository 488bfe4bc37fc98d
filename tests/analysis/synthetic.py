"""Made-up sweeps and runs, and their projection into MLflow in the tracker's form."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from PIL import Image, ImageDraw

from analysis.runs import TrialRun
from softaug.recipe import Recipe, canonical, flatten
from sweeps.resolved import Axis, Cell, Figure, ResolvedSweep

DIGITS = {
    "data": {"name": "digits", "train_images": 300},
    "model": {"name": "resnet8", "width": 8},
    "flip": 0.0,
    "optim": {"epochs": 150, "batch_size": 60},
}
CIFAR = {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}}
AXES = {
    "sigma": Axis(field="crop.sigma", label="σ", values=[0.1, 0.2, 0.3]),
    "k": Axis(field="softening.k", label="k", values=[1.0, 2.0]),
    "alpha": Axis(field="label_smoothing", label="α", values=[0.05, 0.1]),
}
FACTS = {
    "epochs": "150",
    "data_fingerprint": "5f3a",
    "device": "cpu",
    "cpu": "Example CPU",
    "torch": "2.14.1",
    "git_commit": "0123456789abcdef",
    "git_dirty": "false",
    "seconds": "2.5",
}


def cell(arm: str, base: dict[str, Any], seeds: list[int], recipe: dict[str, Any], **axes: float) -> Cell:
    """One cell of a sweep with real keys."""
    recipes = [Recipe.model_validate({**base, **recipe, "seed": seed}) for seed in seeds]
    values = {name: value for name, value in canonical(recipes[0]).items() if name != "seed"}
    trials = {recipe.seed: recipe.key for recipe in recipes}
    return Cell(arm=arm, axes=dict(axes), cell_key=recipes[0].cell_key, recipe=values, trials=trials)


def sweep(cells: list[Cell], *, name: str = "quickstart", scale: str = "laptop", **fields: Any) -> ResolvedSweep:
    """A sweep over the given cells, the baseline first."""
    used = {axis for one in cells for axis in one.axes}
    return ResolvedSweep(
        name=name,
        scale=scale,
        question="Do softened labels hold up as crops grow?",
        expect="Hard labels lose from sigma 0.2 on.",
        cost="two minutes on two CPU cores",
        baseline=cells[0].arm,
        seeds=list(cells[0].trials),
        axes={axis: AXES[axis] for axis in AXES if axis in used},
        cells=cells,
        figure=fields.pop("figure", Figure(kind="softening-over-sigma", x="sigma")),
        resources={"cpus": 1},
        source="name: quickstart\n",
        **fields,
    )


def baseline(base: dict[str, Any], seeds: list[int]) -> Cell:
    return cell("standard crop", base, seeds, {"crop": {"kind": "uniform", "radius_px": 1}})


def gaussian(sigma: float) -> dict[str, Any]:
    return {"crop": {"kind": "gaussian", "sigma": sigma}}


def quickstart(sigmas: tuple[float, ...] = (0.1, 0.2, 0.3), seeds: tuple[int, ...] = (0, 1, 2)) -> ResolvedSweep:
    """The quickstart sweep: five arms over sigma, one line each."""
    arms: dict[str, dict[str, Any]] = {
        "hard Gaussian crop": {},
        "label smoothing": {"label_smoothing": 0.1},
        "soft target": {"softening": {"apply_to": "target"}},
        "soft weight": {"softening": {"apply_to": "weight"}},
        "soft target & weight": {"softening": {"apply_to": "both"}},
    }
    cells = [
        cell(arm, DIGITS, list(seeds), {**fields, **gaussian(sigma)}, sigma=sigma)
        for arm, fields in arms.items()
        for sigma in sigmas
    ]
    return sweep([baseline(DIGITS, list(seeds)), *cells])


def figure_3(
    sigmas: tuple[float, ...], ks: tuple[float, ...], alphas: tuple[float, ...], base: dict[str, Any] = CIFAR
) -> ResolvedSweep:
    """The paper's Figure 3: label smoothing over sigma and alpha, three softenings over sigma and k."""
    seeds = [0, 1, 2]
    cells = [baseline(base, seeds)]
    cells += [cell("hard Gaussian crop", base, seeds, gaussian(sigma), sigma=sigma) for sigma in sigmas]
    cells += [
        cell("label smoothing", base, seeds, {**gaussian(sigma), "label_smoothing": alpha}, sigma=sigma, alpha=alpha)
        for sigma in sigmas
        for alpha in alphas
    ]
    for arm, apply_to in {"soft target": "target", "soft weight": "weight", "soft target & weight": "both"}.items():
        cells += [
            cell(arm, base, seeds, {**gaussian(sigma), "softening": {"apply_to": apply_to, "k": k}}, sigma=sigma, k=k)
            for sigma in sigmas
            for k in ks
        ]
    lines = {"label smoothing": "alpha"} | dict.fromkeys(("soft target", "soft weight", "soft target & weight"), "k")
    return sweep(
        cells, name="figure-3", scale="paper", figure=Figure(kind="softening-over-sigma", x="sigma", lines=lines)
    )


def finished(one: Cell, errors: list[float], eces: list[float] | None = None) -> list[TrialRun]:
    """Finished runs of a cell, one per seed, with these errors and calibration errors."""
    eces = eces or [1.0] * len(errors)
    return [
        TrialRun(
            arm=one.arm,
            cell_key=one.cell_key,
            trial_key=key,
            seed=seed,
            state="finished",
            attempt=1,
            metrics={"test/top1_error": error, "test/ece": ece, "test/nll": error / 30, "test/brier": error / 70},
            facts=FACTS,
        )
        for (seed, key), error, ece in zip(one.trials.items(), errors, eces, strict=True)
    ]


def made_up(one: ResolvedSweep) -> list[TrialRun]:
    """Runs for every trial with errors near those of a real quickstart, the same in every call."""
    runs = []
    for c in one.cells:
        error, ece = _mean_error(c), 14.0 if c.recipe["label_smoothing"] else 1.4
        wobbles = [_wobble(key) for key in c.trials.values()]
        shared = [0.3 * _wobble(str(seed)) for seed in c.trials]
        errors = [round(error + s + 0.15 * w, 4) for s, w in zip(shared, wobbles, strict=True)]
        runs += finished(c, errors, [ece * (1 + 0.1 * w) for w in wobbles])
    return runs


def lose(run: TrialRun, state: Any, reason: str = "") -> TrialRun:
    """The same run, ended otherwise: without test metrics."""
    return replace(run, state=state, reason=reason, metrics={})


def project(
    client: MlflowClient, one: ResolvedSweep, runs: list[TrialRun], artifacts: Path, *, pictures: bool = True
) -> str:
    """Write parents and children as the tracker does; runs with state "missing" are left out."""
    experiment = client.create_experiment(one.experiment, artifact_location=(artifacts / one.experiment).as_uri())
    by_key = {run.trial_key: run for run in runs}
    for c in one.cells:
        common = {"sweep": one.name, "arm": c.arm, "cell_key": c.cell_key}
        parent = client.create_run(experiment, tags={"kind": "cell", "mlflow.runName": c.arm, **common})
        for key in c.trials.values():
            if by_key[key].state != "missing":
                _project_trial(client, experiment, parent.info.run_id, c, by_key[key], common, pictures)
        client.set_terminated(parent.info.run_id)
    return str(experiment)


def _project_trial(
    client: MlflowClient, experiment: str, parent: str, c: Cell, run: TrialRun, common: dict[str, str], pictures: bool
) -> None:
    tags = {"kind": "trial", "mlflow.parentRunId": parent, "trial_key": run.trial_key, "seed": str(run.seed)}
    tags |= {"attempt": str(run.attempt), "state": run.state, **common, **run.facts}
    if run.reason:
        tags["reason"] = run.reason
    run_id = client.create_run(experiment, tags=tags).info.run_id
    step = int(run.facts.get("epochs", 0))
    metrics = [Metric(name, value, 0, step) for name, value in run.metrics.items()]
    params = [Param(name, str(value)) for name, value in flatten({**c.recipe, "seed": run.seed}).items()]
    client.log_batch(run_id, metrics=metrics, params=params, tags=[RunTag("python", "3.11")])
    if pictures and run.state == "finished":
        with TemporaryDirectory() as folder:
            (Path(folder) / "reliability.json").write_text(json.dumps(_reliability(run)))
            _samples(run).save(Path(folder) / "samples.png")
            client.log_artifacts(run_id, folder)
    client.set_terminated(run_id, "FINISHED" if run.state == "finished" else "FAILED")


def _reliability(run: TrialRun) -> dict[str, Any]:
    tilt = (run.metrics["test/ece"] - 4) / 100
    centres = [0.05 + 0.1 * i for i in range(10)]
    count = [0, 2, 4, 8, 16, 32, 64, 120, 300, 951]
    return {
        "edges": [0.1 * i for i in range(11)],
        "count": count,
        "confidence": [c if n else 0.0 for c, n in zip(centres, count, strict=True)],
        "accuracy": [
            min(1.0, max(0.0, c + 2 * tilt * (1 - c) * 4 * c + 0.05 * _wobble(f"{run.trial_key}{c}"))) if n else 0.0
            for c, n in zip(centres, count, strict=True)
        ],
    }


def _samples(run: TrialRun) -> Image.Image:
    picture = Image.new("RGB", (8 * 56, 2 * 70), "white")
    draw = ImageDraw.Draw(picture)
    for i in range(16):
        left, top = 56 * (i % 8), 70 * (i // 8)
        shade = int(120 + 100 * _wobble(f"{run.trial_key}{i}"))
        draw.rectangle((left + 4, top + 4, left + 51, top + 51), fill=(shade, shade, shade))
        draw.text((left + 14, top + 54), f"{0.5 + shade / 512:.2f}", fill="black")
    return picture


def _mean_error(c: Cell) -> float:
    sigma, softening = c.axes.get("sigma", 0.1), c.recipe["softening"]
    if c.recipe["crop"]["kind"] == "uniform":
        return 3.2
    slope = {None: 8.0, "target": 2.5, "weight": 6.5, "both": 2.0}[softening and softening["apply_to"]]
    k = softening["k"] if softening else 2.0
    return 2.5 + slope * (float(sigma) - 0.1) + 0.1 * abs(k - 2) - 3 * float(c.recipe["label_smoothing"] > 0) * 0.08


def _wobble(text: str) -> float:
    """A number in -1..1 that depends on the text only."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**31 - 1
