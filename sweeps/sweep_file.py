"""The sweep file: its fields, their types and ranges, and a JSON schema of it all for editors.

A scale may override `seeds`, `base`, axis values, `resources`, `prior` and single arms, and drop arms. Recipe fields
are merged, all else is replaced: a scale whose `resources` name no `gpus` runs on the CPU.
"""

from collections.abc import Iterator
from functools import cache
from math import isfinite
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from softaug.presets import PresetName
from softaug.recipe import Recipe
from softaug.recipe_parts import Part
from sweeps.resolved import Figure

T = TypeVar("T")
MAX_GPUS = 64
PAPER_SCALE = "paper"
NAME_IN_WORDS = "1 to 64 letters, digits, dots, underscores or hyphens, the first a letter or digit"
RECIPE_FIELDS = "#/$defs/RecipeFields"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text in one line, without control characters")
    return text


def _unfolded(text: str) -> str:
    return _printable(" ".join(text.split()))


def _number_or_text(value: object) -> float | int | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("every value of an axis must be a number or a text")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value} is not finite")
    return value


def _without_repeats(values: list[T]) -> list[T]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value} is listed twice; remove one")
    return values


def _whole_above_one(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"{gpus} GPUs: a trial takes a fraction of one GPU or a whole number of them")
    return gpus


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description=f"a name of {NAME_IN_WORDS}")]
Text = Annotated[str, AfterValidator(_unfolded), Field(min_length=1, max_length=1000)]
Label = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=80)]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**32)]],
    Field(min_length=1, max_length=1000),
    AfterValidator(_without_repeats),
]
AxisValue = Annotated[
    float | int | str, PlainValidator(_number_or_text), WithJsonSchema({"type": ["number", "string"]})
]
AxisValues = Annotated[list[AxisValue], Field(min_length=1, max_length=1000), AfterValidator(_without_repeats)]
# pydantic refuses a $ref to what it did not make itself; schema() puts it right.
RecipeFields = Annotated[dict[str, Any], WithJsonSchema({"x-ref": RECIPE_FIELDS})]
Cost = Annotated[
    Annotated[Text, Tag("text")] | Annotated[dict[str, Text], Tag("mapping")],
    Discriminator(lambda cost: "mapping" if isinstance(cost, dict) else "text"),
]


class Entry(BaseModel):
    """Base of every part of a sweep file: frozen, no unknown fields, no silent conversions, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AxisEntry(Entry):
    """A recipe field to run over: its dotted name, its label in figures, its values in plot order."""

    field: str
    label: Label
    values: AxisValues


class ArmEntry(Entry):
    """A named line of the sweep: the recipe fields it sets and the axes it runs over, the first one outermost."""

    name: Label
    set: RecipeFields = {}
    over: list[str] = []


class ResourcesEntry(Entry):
    """What one trial takes: CPUs (also its torch threads) and GPUs (a fraction shares one)."""

    cpus: Annotated[int, Field(ge=1, le=1024)] = 1
    gpus: Annotated[float, AfterValidator(_whole_above_one), Field(ge=0, le=MAX_GPUS)] = 0.0


class PriorEntry(Entry):
    """What is expected of one trial before any has finished; finished trials correct it (`sweeps.forecast`).

    `minutes_per_trial`: time inside fit, known within `factor` (log-normal; one standard deviation). `seed_sd`:
    standard deviation of test/top1_error between seeds, in points. `disk_mb_per_trial`: what it leaves in the store.
    """

    minutes_per_trial: Annotated[float, Field(gt=0, le=1_000_000)]
    factor: Annotated[float, Field(gt=1, le=100)] = 2.0
    disk_mb_per_trial: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    seed_sd: Annotated[float, Field(gt=0, le=50)] | None = None


class ScaleEntry(Entry):
    """What is different at one scale. `arms` merges recipe fields into single arms, `drop` leaves arms out."""

    seeds: Seeds = []
    base: RecipeFields = {}
    axes: dict[str, AxisValues] = {}
    arms: dict[str, RecipeFields] = {}
    drop: list[str] = []
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
    figure: Figure | None = None
    resources: ResourcesEntry = ResourcesEntry()
    prior: PriorEntry | None = None
    scales: dict[Name, ScaleEntry] = {}


@cache
def recipe_fields() -> tuple[str, ...]:
    """Return the dotted names of all recipe fields that hold one value and may be set: data.name, crop.sigma, ..."""
    return tuple(dict.fromkeys(name for name in _leaves(Recipe, "") if name != "seed"))


def _leaves(part: type[Part], prefix: str) -> Iterator[str]:
    for name, field in part.model_fields.items():
        inner = _parts(field.annotation)
        for each in inner:
            yield from _leaves(each, f"{prefix}{name}.")
        if not inner:
            yield prefix + name


def _parts(annotation: Any) -> list[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [annotation]
    return [part for argument in get_args(annotation) for part in _parts(argument)]


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
    whole["$defs"] |= {**parts, "RecipeFields": recipe}
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
