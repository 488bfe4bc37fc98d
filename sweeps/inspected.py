"""What `softaug inspect` looks at: the cells of a sweep at a scale, or one recipe.

Of every cell the first seed is looked at: offsets and flips differ between seeds, their distribution does not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from softaug import datasets
from softaug.recipe import Data, Recipe, canonical
from sweeps.files.catalog import locate, read
from sweeps.files.expand import load
from sweeps.files.recipe_file import is_recipe, recipe_in, tree
from sweeps.problems import Problem, Problems, known
from sweeps.resolved import Cell, ResolvedSweep

if TYPE_CHECKING:
    from softaug.data import Images
    from softaug.inspection import Inspection, Seen


@dataclass(frozen=True)
class Subject:
    """The cells to look at. `name`: of the folder for what is written; `sweep` is None for a recipe of its own."""

    name: str
    seed: int
    cells: tuple[Cell, ...]
    sweep: ResolvedSweep | None

    def recipe(self, cell: Cell) -> Recipe:
        """Return the recipe of a cell's first seed."""
        return Recipe.model_validate({**cell.recipe, "seed": self.seed})


def subject(text: str, *, scale: str | None = None, arms: Sequence[str] = (), warn: Callable[[str], None]) -> Subject:
    """Return what a sweep's name or a file's path names; `arms`, names or titles of cells, restrict a sweep.

    Raises Problems with everything that is wrong, and Damaged for a recipe of a ledger that is.
    """
    path = locate(text)
    root = tree(read(path), path)
    if is_recipe(root):
        _refuse_for_a_recipe(scale, arms)
        return _of_recipe(recipe_in(root, path, warn), path)
    sweep = load(text, scale=scale)
    return Subject(sweep.experiment, sweep.seeds[0], _chosen(sweep, arms), sweep)


def look(cells: Subject, data: Path | None) -> "Iterator[Inspection]":
    """Yield the inspection of each cell in turn. Cells that differ in labels alone are augmented once.

    Raises MissingData, before anything is read, and DamagedData.
    """
    recipes = [cells.recipe(cell) for cell in cells.cells]
    _refuse_what_it_cannot_show(recipes)
    names = dict.fromkeys(recipe.data.name for recipe in recipes)
    for name in names:
        datasets.locate(name, data)
    from softaug.arrays import load as load_arrays
    from softaug.data import split
    from softaug.inspection import augment, augmentation_key, inspect

    arrays = {name: load_arrays(name, data) for name in names}
    train: dict[Data, Images] = {}
    seen: dict[str, Seen] = {}
    for recipe in recipes:
        if recipe.data not in train:
            train[recipe.data] = cast("Images", split(arrays[recipe.data.name], recipe.data).train)
        key = augmentation_key(recipe)
        if key not in seen:
            seen[key] = augment(recipe, train[recipe.data])
        yield inspect(recipe, train[recipe.data], seen[key])


def _refuse_what_it_cannot_show(recipes: Iterable[Recipe]) -> None:
    """Raise Problems for recipes whose images are no tensor, or whose training knows no labels."""
    for recipe in recipes:
        reason = ""
        if datasets.dataset(recipe.data.name).image_folders:
            reason = f"it looks at images of one size, those of {recipe.data.name} have many"
        elif recipe.simsiam is not None:
            reason = "simsiam trains on pairs of views without labels, so there is nothing softened to show"
        if reason:
            raise Problems([Problem("command line", None, "inspect", reason, "choose other cells with --arm")])


def _of_recipe(recipe: Recipe, path: Path) -> Subject:
    values = {name: value for name, value in canonical(recipe).items() if name != "seed"}
    name = f"recipe-{recipe.key[:12]}" if path.stem == "recipe" else path.stem  # every trial's file is recipe.json
    cell = Cell(arm=name, axes={}, cell_key=recipe.cell_key, recipe=values, trials={recipe.seed: recipe.key})
    return Subject(name, recipe.seed, (cell,), None)


def _chosen(sweep: ResolvedSweep, arms: Sequence[str]) -> tuple[Cell, ...]:
    unknown = [arm for arm in arms if not any(arm in (cell.arm, cell.title) for cell in sweep.cells)]
    names = dict.fromkeys(cell.arm for cell in sweep.cells)
    if unknown:
        message = "no arm or cell at scale {} is called {}"
        raise Problems(
            Problem("command line", None, "--arm", message.format(sweep.scale, arm), known(arm, names))
            for arm in unknown
        )
    return tuple(cell for cell in sweep.cells if not arms or cell.arm in arms or cell.title in arms)


def _refuse_for_a_recipe(scale: str | None, arms: Sequence[str]) -> None:
    given = [name for name, value in (("--scale", scale), ("--arm", arms)) if value]
    if given:
        raise Problems(Problem("command line", None, name, "a recipe has none", "remove it") for name in given)
