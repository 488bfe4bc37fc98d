"""The sweep file: its fields, their types and ranges, and a JSON schema of it all for editors.

A scale may override `seeds`, `baseline`, `base`, axis values, `resources`, `prior` and single arms, and leave arms out.
Recipe fields are merged, all else is replaced: a scale whose `resources` name no `gpus` runs on the CPU.
"""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag

from softaug.presets import PresetName
from softaug.recipe import Recipe
from softaug.recipe_parts import Part
from sweeps.files.entries import AxisValues, Entry, Label, Name, RecipeFields, Seeds, Text
from sweeps.files.search_file import SearchEntry, SearchFields
from sweeps.resolved import Figure, Published

MAX_GPUS = 64
PAPER_SCALE = "paper"


def _whole_above_one(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"{gpus} GPUs: a trial takes a fraction of one GPU or a whole number of them")
    return gpus


Cost = Annotated[
    Annotated[Text, Tag("text")] | Annotated[dict[str, Text], Tag("mapping")],
    Discriminator(lambda cost: "mapping" if isinstance(cost, dict) else "text"),
]


class AxisEntry(Entry):
    """A recipe field to run over: its dotted name, its label in figures, its values in plot order."""

    field: str
    label: Label
    values: AxisValues


class ArmEntry(Entry):
    """A named line of the sweep: the recipe fields it sets and the axes it runs over, the first one outermost.

    An arm without axes may name the paper's numbers for it, `published`. `against`: the arm it is compared with if
    that is not the sweep's baseline, one with exactly one cell.
    """

    name: Label
    set: RecipeFields = {}
    over: list[str] = []
    published: list[Published] = []
    against: str | None = None


class ResourcesEntry(Entry):
    """What one trial takes: CPUs (also its torch threads) and GPUs (a fraction shares one)."""

    cpus: Annotated[int, Field(ge=1, le=1024)] = 1
    gpus: Annotated[float, AfterValidator(_whole_above_one), Field(ge=0, le=MAX_GPUS)] = 0.0


Minutes = Annotated[float, Field(gt=0, le=1_000_000)]


class PriorEntry(Entry):
    """What is expected of one trial before any has finished; finished trials correct it (`sweeps.plan.forecast`).

    `minutes_per_trial`: time inside fit, known within `factor` (log-normal; one standard deviation). `seed_sd`:
    standard deviation of test/top1_error between seeds, in points. `disk_mb_per_trial`: what it leaves in the store.
    `minutes_by_model`: minutes of a trial with these networks, where they differ from those of the others.
    """

    minutes_per_trial: Minutes
    minutes_by_model: dict[str, Minutes] = {}
    factor: Annotated[float, Field(gt=1, le=100)] = 2.0
    disk_mb_per_trial: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    seed_sd: Annotated[float, Field(gt=0, le=50)] | None = None


class ScaleEntry(Entry):
    """What is different at one scale. `arms` merges recipe fields into single arms.

    `drop` leaves arms out, `keep` all others, in which case the scale may need a `baseline` of its own.
    """

    seeds: Seeds = []
    baseline: str | None = None
    base: RecipeFields = {}
    axes: dict[str, AxisValues] = {}
    arms: dict[str, RecipeFields] = {}
    drop: list[str] = []
    keep: list[str] = []
    search: SearchFields = {}
    resources: ResourcesEntry = ResourcesEntry()
    prior: PriorEntry | None = None


class SweepFile(Entry):
    """A sweep: arms x axes x seeds, compared with the baseline, which is an arm with exactly one cell.

    Without `default_scale` it is `paper`, or the only one. A file without scales has one, `paper`, as it stands.
    """

    name: Name
    question: Text
    expect: Text = ""
    cost: Cost = ""
    default_scale: str = PAPER_SCALE
    seeds: Seeds
    baseline: str
    preset: PresetName = "paper"
    base: RecipeFields = {}
    axes: dict[Name, AxisEntry] = {}
    arms: Annotated[list[ArmEntry], Field(min_length=1, max_length=100)]
    search: SearchEntry | None = None
    figure: Figure | None = None
    resources: ResourcesEntry = ResourcesEntry()
    prior: PriorEntry | None = None
    scales: dict[Name, ScaleEntry] = {}


@cache
def recipe_fields() -> tuple[str, ...]:
    """Return the dotted names of all recipe fields that hold one value and may be set: data.name, crop.sigma, ..."""
    return tuple(dict.fromkeys(name for name, _ in _leaves(Recipe, "") if name != "seed"))


@cache
def number_fields() -> dict[str, type[int] | type[float]]:
    """Return the recipe fields that hold a number, and whether that may be a fraction."""
    found = {name: {float, int} & set(_types(annotation)) for name, annotation in _leaves(Recipe, "")}
    return {name: float if float in types else int for name, types in found.items() if types and name != "seed"}


def _leaves(part: type[Part], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in part.model_fields.items():
        inner = [each for each in _types(field.annotation) if isinstance(each, type) and issubclass(each, Part)]
        for each in inner:
            yield from _leaves(each, f"{prefix}{name}.")
        if not inner:
            yield prefix + name, field.annotation


def _types(annotation: Any) -> list[Any]:
    """Return the types that an annotation is made of."""
    arguments = get_args(annotation)
    return [each for argument in arguments for each in _types(argument)] if arguments else [annotation]


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of a sweep file, recipe fields included.

    Wherever recipe fields stand any may be left out, as another layer may set it; the seed always is.
    """
    whole = SweepFile.model_json_schema()
    recipe = Recipe.model_json_schema()
    parts = recipe.pop("$defs")
    del recipe["properties"]["seed"]
    for part in (recipe, *parts.values()):
        part.pop("required", None)
    search = {name: value for name, value in whole["$defs"]["SearchEntry"].items() if name != "required"}
    whole["$defs"] |= {**parts, "RecipeFields": recipe, "SearchFields": search}
    renamed: dict[str, Any] = _renamed(whole)
    return renamed


# Behind a validator pydantic leaves bounds in its own words. Without `kind`, which another layer may set, a crop
# fits several alternatives: anyOf.
_RENAMED = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum",
    "x-ref": "$ref", "oneOf": "anyOf",
}  # fmt: skip


def _renamed(part: Any) -> Any:
    if isinstance(part, list):
        return [_renamed(item) for item in part]
    if isinstance(part, dict):
        return {_RENAMED.get(key, key): _renamed(value) for key, value in part.items()}
    return part
