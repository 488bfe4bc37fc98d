"""A search as a launch runs it: its space, what it minimises, its budget, and the cells it has asked for so far."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from softaug.presets import PresetName

Value = float | int | str
Values = dict[str, Value]  # of the parameters that are there, by name
SamplerName = Literal["tpe", "random", "grid"]
DIGITS = 4  # of a number without steps: more would only make tables hard to read


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(Frozen):
    """One value of a choice, and the recipe fields it sets."""

    value: Value
    fields: dict[str, Any]


class Parameter(Frozen):
    """A dimension of the space: a number of a recipe field between two bounds, or one of several choices.

    `when`: it is there only if each of these other parameters has one of the values listed.
    """

    name: str
    label: str
    kind: Literal["float", "int", "choice"]
    field: str = ""
    low: float | int = 0
    high: float | int = 0
    step: float | int | None = None
    log: bool = False
    choices: list[Choice] = []
    when: dict[str, list[Value]] = {}

    def is_there(self, values: Mapping[str, Value]) -> bool:
        """Say whether the parameter is there, given the values of those before it."""
        return all(name in values and values[name] in allowed for name, allowed in self.when.items())

    def fields(self, value: Value) -> dict[str, Any]:
        """Return the recipe fields that a value sets."""
        if self.kind == "choice":
            return next(choice.fields for choice in self.choices if choice.value == value)
        return nested(self.field, value)

    def grid(self) -> list[Value]:
        """Return all values of a choice, or of a number that has steps. Raises ValueError for one that has none."""
        if self.kind == "choice":
            return [choice.value for choice in self.choices]
        step = 1 if self.kind == "int" and self.step is None else self.step
        if step is None or self.log:
            raise ValueError(f"{self.name} has no steps, so no grid")
        steps = round((self.high - self.low) / step)
        return [
            self.low + number * step if self.kind == "int" else self._at(number, step) for number in range(steps + 1)
        ]

    def contains(self, value: object) -> bool:
        """Say whether this is a value of the parameter."""
        if self.kind == "choice":
            return value in [choice.value for choice in self.choices]
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        on_grid = (
            self.step is None or abs((value - self.low) / self.step - round((value - self.low) / self.step)) < 1e-9
        )
        return on_grid and (self.kind == "float" or value == int(value))

    def exact(self, value: Value) -> Value:
        """Return a value that a sampler drew as it is written: on its grid, or with as many digits as matter."""
        if self.kind != "float" or isinstance(value, str):
            return value
        if self.step is not None:
            return self._at(round((value - self.low) / self.step), self.step)
        return min(max(float(f"{value:.{DIGITS}g}"), float(self.low)), float(self.high))

    def _at(self, number: int, step: float) -> float:
        """Return a value of a grid without the noise of binary fractions: 0.3, not 0.30000000000000004."""
        return float(f"{self.low + number * step:.12g}")


def nested(field: str, value: Value) -> dict[str, Any]:
    """Return a recipe field as nested mappings: crop.sigma -> {"crop": {"sigma": ...}}."""
    fields: Any = value
    for part in reversed(field.split(".")):
        fields = {part: fields}
    return dict(fields)


def in_order(conditions: Mapping[str, Collection[str]]) -> list[str]:
    """Return parameters, each after those it depends on and else by name, so that their order in a file is nothing.

    `conditions`: names of the parameters that each one depends on. Those in a circle are left out.
    """
    found: list[str] = []
    while True:
        free = sorted(name for name, on in conditions.items() if name not in found and set(on) <= set(found))
        if not free:
            return found
        found += free


class Budget(Frozen):
    """When to ask for no more cells: whichever is reached first; None: not limited by it."""

    cells: int | None = None
    trials: int | None = None
    gpu_hours: float | None = None
    wall_hours: float | None = None


class Halving(Frozen):
    """Asynchronous successive halving: at each rung a trial goes on only if among the best 1/`reduction` so far."""

    grace_epochs: int
    reduction: int

    def rungs(self, epochs: int) -> list[int]:
        """Return the epochs after which a trial of so many epochs may be stopped, ascending."""
        found, rung = [], self.grace_epochs
        while rung < epochs:
            found.append(rung)
            rung *= self.reduction
        return found


class Ask(Frozen):
    """What the sampler asked for. `cell_key` is empty if no recipe has these values: `refused` says why.

    `earlier`: taken over from a search of another space, at no cost.
    """

    values: Values
    cell_key: str = ""
    refused: str = ""
    earlier: bool = False


class Search(Frozen):
    """A search over recipe fields. Its cells are those of `asks`, in that order; a cell asked for twice is one cell.

    `base` are recipe fields of the search's cells, `confirm_base` of the winners', both before the preset.
    """

    parameters: list[Parameter]
    base: dict[str, Any]
    confirm_base: dict[str, Any]
    preset: PresetName
    minimize: list[str]
    sampler: SamplerName
    seed: int
    seeds: list[int]
    budget: Budget
    in_flight: int
    halving: Halving | None
    winners: int
    asks: list[Ask] = []

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for one search to go on from the cells of another.

        Labels, budget, seeds and what becomes of the winners may change: then it grows.
        """
        own = ("base", "preset", "minimize", "sampler", "seed", "halving")
        parameters = [parameter.model_dump(exclude={"label"}) for parameter in self.parameters]
        return {**self.model_dump(include=set(own)), "parameters": parameters}


@dataclass(frozen=True)
class Outcome:
    """How a cell of a search ended. `values`: the means over its seeds; `steps`: a pruned one's, by epoch."""

    state: Literal["complete", "pruned", "failed"]
    values: tuple[float, ...] = ()
    steps: Mapping[int, float] = field(default_factory=dict)
