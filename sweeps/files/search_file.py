"""The `search:` of a sweep file: a space of recipe fields, what to minimise, and how much to spend.

A sweep with a search finds cells on a validation split, with seeds of its own, and confirms the best of them beside the
sweep's arms: with the sweep's seeds, on the full schedule, without that split. Only confirmed cells enter tables.
A scale may override any of it; mappings are merged.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from sweeps.files.entries import AxisValues, Entry, Label, Name, RecipeFields, Seeds, without_repeats

Objective = Literal["val/top1_error", "val/ece", "val/nll", "val/brier"]
SamplerName = Literal["tpe", "random", "grid"]
SEARCH_FIELDS = "#/$defs/SearchFields"
# What a scale overrides of a search; the whole is looked at once it is merged.
SearchFields = Annotated[dict[str, Any], WithJsonSchema({"x-ref": SEARCH_FIELDS})]


class ParameterEntry(Entry):
    """A dimension of the space.

    Either a number of a `field` from `low` to `high`, both included, in steps or on a log scale; or one of the `values`
    of a field; or one of named `choices`, each of which sets recipe fields. `when`: only if another parameter has
    one of these values; otherwise the parameter is not there.
    """

    field: str | None = None
    label: Label | None = None
    low: float | None = None
    high: float | None = None
    step: Annotated[float, Field(gt=0)] | None = None
    log: bool = False
    values: AxisValues | None = None
    choices: Annotated[dict[Label, RecipeFields], Field(min_length=1, max_length=100)] | None = None
    when: dict[Name, AxisValues] = {}


class BudgetEntry(Entry):
    """When to ask for no more cells: whichever is reached first. What runs then still ends.

    Hours of GPUs are those inside fit; wall hours are those of all launches together.
    """

    cells: Annotated[int, Field(ge=1, le=100_000)] | None = None
    trials: Annotated[int, Field(ge=1, le=100_000)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    wall_hours: Annotated[float, Field(gt=0)] | None = None


class HalvingEntry(Entry):
    """Asynchronous successive halving (ASHA).

    After `grace_epochs`, and `reduction` times as many, and so on, a trial goes on only if it is among the best
    1/`reduction` of those that came so far.
    """

    kind: Literal["asha"]
    grace_epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    reduction: Annotated[int, Field(ge=2, le=10)] = 3


class SearchEntry(Entry):
    """A search. `base`: recipe fields of its cells alone, such as the validation split and a shorter schedule.

    `seeds`: of every cell of the search; the mean over them is what is minimised. `seed`: of the sampler. At most
    `in_flight` cells are open at once; `winners`: how many of the best are confirmed.
    """

    space: Annotated[dict[Name, ParameterEntry], Field(min_length=1, max_length=50)]
    minimize: Annotated[
        list[Objective], Field(min_length=1, max_length=2), AfterValidator(without_repeats)
    ] = ["val/top1_error"]  # fmt: skip
    sampler: SamplerName = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    seeds: Seeds = [0]
    budget: BudgetEntry
    in_flight: Annotated[int, Field(ge=1, le=1000)] = 4
    scheduler: HalvingEntry | None = None
    base: RecipeFields = {}
    winners: Annotated[int, Field(ge=1, le=20)] = 1
