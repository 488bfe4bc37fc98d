"""A resolved sweep: every cell and trial of one sweep at one scale, as the store and the analysis know it.

It is what a launch makes the ledger match, and what status, sync and report read back from
`<store>/sweeps/<name>@<scale>.json`, so that they never depend on the sweep file still being as it was.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from softaug.recipe import Recipe
from sweeps.search.search import Frozen, Search
from trainables.sealed import Entry

FigureKind = Literal["softening-over-sigma", "offset-range", "error-over-occlusion"]


class Axis(Frozen):
    """A recipe field that arms run over. `field` is dotted, `label` is for figures, `values` are in plot order."""

    field: str
    label: str
    values: list[float | int | str]


class Figure(Frozen):
    """The figure a sweep draws.

    `softening-over-sigma` (the paper's Figure 3) has the axis `x`; an arm has one line per value of the axis that
    `lines` names for it. In `offset-range` (Figure 1) every arm runs over at most one axis but that of its lines, and
    has its panel by it: hard uniform crops over the radius in px, Gaussian ones over sigma. `error-over-occlusion`
    (Figure 5) has a line per cell, from what `softaug evaluate` measures. `examples`: the arm whose predictions stand
    beside the baseline's wherever images are shown; its last cell, by default the sweep's last.
    """

    kind: FigureKind
    x: str | None = None
    lines: dict[str, str] = {}
    examples: str | None = None


class Resources(Frozen):
    """What one trial takes: CPUs (also its torch threads) and GPUs (a fraction shares one)."""

    cpus: int = 1
    gpus: float = 0.0


class Prior(Frozen):
    """What is expected of one trial before any has finished; units and meaning as in a sweep file (`PriorEntry`)."""

    minutes_per_trial: float
    minutes_by_model: dict[str, float] = {}
    factor: float = 2.0
    disk_mb_per_trial: float | None = None
    seed_sd: float | None = None


class Published(Frozen):
    """Rows of the paper's numbers (`analysis/published.json`), all metrics: those with these values.

    `lr` and `k` are for methods that a table has with several; None: whatever they are.
    """

    table: str
    dataset: str
    model: str
    method: str
    lr: float | None = None
    k: float | None = None


class Cell(Frozen):
    """One recipe without its seed. `axes`: the value of every axis its arm runs over. `trials`: seed -> trial key.

    `published`: the paper's numbers for it. `against`: the arm it is compared with, None: see `compared_with`.
    """

    arm: str
    axes: dict[str, float | int | str]
    cell_key: str
    recipe: dict[str, Any]  # canonical JSON values, no seed
    trials: dict[int, str]
    published: list[Published] = []
    against: str | None = None

    @property
    def title(self) -> str:
        """The cell's name for people: its arm and the values of its axes."""
        return ", ".join([self.arm, *(f"{name} {short(value)}" for name, value in self.axes.items())])


def short(value: float | int | str) -> str:
    """Return a value for names: a number that a search drew with three significant digits, any other as it is."""
    rounded = value if isinstance(value, str | int) else float(f"{value:.3g}")
    return str(rounded)


def recipes_of(cell: Cell) -> Iterator[Recipe]:
    """Yield the recipe of every trial of a cell."""
    for seed in cell.trials:
        yield Recipe.model_validate({**cell.recipe, "seed": seed})


class ResolvedSweep(Entry):
    """Arms x axes x seeds of one sweep at one scale; the baseline's cell first, the others in file order.

    Of a sweep with a search, `search_cells` are those the search has asked for so far, and `cells` end with its
    winners, once they are known. Only `cells` enter tables and figures. `former`: what were winners until the search
    went on; their trials have ended and stay known.
    """

    name: str
    scale: str
    question: str
    expect: str
    cost: str
    baseline: str  # the arm that others are compared with; it has exactly one cell
    seeds: list[int]
    axes: dict[str, Axis]
    cells: list[Cell]
    figure: Figure | None
    resources: Resources
    source: str  # the sweep file's text
    prior: Prior | None = None  # None also for sweeps that were launched before there were priors
    search: Search | None = None
    search_cells: list[Cell] = []
    former: list[Cell] = []

    @property
    def experiment(self) -> str:
        """Name of the sweep at its scale: the MLflow experiment and the file in the store."""
        return f"{self.name}@{self.scale}"

    @property
    def data_names(self) -> set[str]:
        """The data sets of all cells, those that a search may yet ask for included: it has one."""
        searched = set() if self.search is None else {self.search.base["data"]["name"]}
        return searched | {cell.recipe["data"]["name"] for cell in self.cells}

    @property
    def all_cells(self) -> list[Cell]:
        """Those of the search, then those that enter tables, then former winners."""
        return [*self.search_cells, *self.cells, *self.former]

    @property
    def trial_keys(self) -> list[str]:
        """Keys of all trials, all seeds of a cell adjacent; those of a search first, then the baseline's."""
        return [key for cell in self.all_cells for key in cell.trials.values()]

    def compared_with(self, cell: Cell) -> Cell | None:
        """Return the cell that this one is compared with: that of the arm it names, else the baseline's.

        None for the baseline, and for other arms that are compared with and name none: they are baselines, too.
        """
        return _compared_with(cell, self.baseline, self._baselines())

    @property
    def comparisons(self) -> list[tuple[Cell, Cell]]:
        """Every one of `cells` that is compared with another one, and that one."""
        baselines = self._baselines()
        pairs = ((cell, _compared_with(cell, self.baseline, baselines)) for cell in self.cells)
        return [(cell, base) for cell, base in pairs if base is not None]

    def _baselines(self) -> dict[str, Cell]:
        names = {self.baseline, *(cell.against for cell in self.cells)}
        return {cell.arm: cell for cell in self.cells if cell.arm in names}

    def recipes(self) -> Iterator[Recipe]:
        """Yield the recipe of every trial in the order of `trial_keys`."""
        for cell in self.all_cells:
            yield from recipes_of(cell)


def _compared_with(cell: Cell, baseline: str, baselines: Mapping[str, Cell]) -> Cell | None:
    return None if cell.against is None and cell.arm in baselines else baselines[cell.against or baseline]
