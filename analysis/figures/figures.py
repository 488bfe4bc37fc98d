"""All figures by name: those that sweep files declare, those that any evaluated sweep has, and those of the method."""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from analysis.artifacts import Artifacts
from analysis.figures.examples_figure import draw_hard_examples, draw_occlusion_examples
from analysis.figures.occlusion_figure import error_over_occlusion
from analysis.figures.offset_range_figure import offset_range
from analysis.figures.reliability_figure import reliability
from analysis.figures.softening_figure import softening_over_sigma
from analysis.figures.style import Drawn
from analysis.results import Results, read_results
from sweeps.resolved import FigureKind, ResolvedSweep

DECLARED: Mapping[FigureKind, Callable[[Results], Drawn]] = {
    "softening-over-sigma": softening_over_sigma,
    "offset-range": offset_range,
    "error-over-occlusion": error_over_occlusion,
}
# With torch: imported when asked for.
OF_THE_METHOD = {"figure-2": "analysis.figures.softening_curves:softening_curves"}


def figure(sweep: ResolvedSweep, *, tracking_uri: str, out: Path) -> list[Path]:
    """Write all figures of a sweep into `out`/<sweep>@<scale> as CSV, SVG, PDF and PNG, and return the files."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # else a bar for each small file
    client = MlflowClient(tracking_uri)
    results = read_results(sweep, client)
    with TemporaryDirectory(prefix="softaug-") as folder:
        drawn = all_figures(results, Artifacts(client, Path(folder)))
        return [path for each in drawn for path in each.write(out / sweep.experiment)]


def all_figures(results: Results, artifacts: Artifacts) -> list[Drawn]:
    """Return the declared figure, the reliability diagrams and, of what was evaluated, occlusion and examples."""
    evaluated = any(run.evaluated for run in results.runs)
    kind = results.sweep.figure.kind if results.sweep.figure is not None else None
    found = [DECLARED[kind](results)] if kind is not None else []
    if evaluated and kind != "error-over-occlusion":
        found.append(error_over_occlusion(results))
    beside = (
        reliability(results, artifacts.curve),
        draw_occlusion_examples(results, artifacts.evaluation),
        draw_hard_examples(results, artifacts.evaluation),
    )
    return found + [each for each in beside if each is not None]


def method_figure(name: str, *, out: Path) -> list[Path]:
    """Write a figure of the method itself into `out`/<name>; `name` is one of OF_THE_METHOD."""
    module, function = OF_THE_METHOD[name].split(":")
    drawn: Drawn = getattr(import_module(module), function)()
    return drawn.write(out / name)
