"""From the values of a search's parameters to cells, and back."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from softaug import presets
from softaug.recipe import Recipe, canonical
from sweeps.files.layers import layered
from sweeps.files.strict_yaml import as_node
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.search.search import Ask, Parameter, Search, Value, Values

ARM = "search"  # of the cells that are asked for
WINNER = "winner"  # of those that are confirmed, with a number
FORMER = "former winner"


def asked_cell(search: Search, values: Values) -> Cell:
    """Return the cell that these values describe. Raises ValidationError if no recipe can have them."""
    return cell_of(search, search.base, values, ARM, search.seeds)


def winner_cell(search: Search, values: Values, number: int, seeds: Sequence[int]) -> Cell:
    """Return a winner as it is confirmed: on the full schedule, without the validation split, with fresh seeds."""
    return cell_of(search, search.confirm_base, values, f"{WINNER} {number}", seeds)


def is_winner(cell: Cell) -> bool:
    """Say whether a cell of a sweep is one that its search found; no arm may be called so."""
    return cell.arm.startswith(f"{WINNER} ")


def confirming(sweep: ResolvedSweep, winners: Sequence[Cell]) -> ResolvedSweep:
    """Return the sweep with these winners among the cells that enter tables; former winners they are no more."""
    keys = {cell.cell_key for cell in winners}
    former = [cell for cell in sweep.former if cell.cell_key not in keys]
    return sweep.model_copy(update={"cells": [*sweep.cells, *winners], "former": former})


def cell_of(search: Search, base: dict[str, Any], values: Values, arm: str, seeds: Sequence[int]) -> Cell:
    """Return the cell of these values over these recipe fields."""
    layers = (as_node(parameter.fields(value), "") for parameter, value in there(search.parameters, values))
    fields = {name: node.plain for name, node in layered(as_node(base, ""), *layers).entries.items()}
    recipes = {seed: Recipe.model_validate({**presets.expand(search.preset, fields), "seed": seed}) for seed in seeds}
    one = recipes[seeds[0]]
    return Cell(
        arm=arm,
        axes=dict(values),
        cell_key=one.cell_key,
        recipe={name: value for name, value in canonical(one).items() if name != "seed"},
        trials={seed: recipe.key for seed, recipe in recipes.items()},
    )


def there(parameters: Sequence[Parameter], values: Values) -> Iterator[tuple[Parameter, Value]]:
    """Yield the parameters that have a value, with it."""
    return ((parameter, values[parameter.name]) for parameter in parameters if parameter.name in values)


def with_ask(sweep: ResolvedSweep, values: Values, *, earlier: bool = False) -> ResolvedSweep:
    """Return the sweep with one more cell asked for; one that no recipe can have is kept with the reason."""
    assert sweep.search is not None
    try:
        cell = asked_cell(sweep.search, values)
    except ValidationError as error:
        reason = "; ".join(details["msg"] for details in error.errors(include_url=False))
        return _with(sweep, Ask(values=values, refused=reason, earlier=earlier), [])
    is_new = all(cell.cell_key != known.cell_key for known in sweep.search_cells)
    return _with(sweep, Ask(values=values, cell_key=cell.cell_key, earlier=earlier), [cell] if is_new else [])


def _with(sweep: ResolvedSweep, ask: Ask, cells: list[Cell]) -> ResolvedSweep:
    assert sweep.search is not None
    search = sweep.search.model_copy(update={"asks": [*sweep.search.asks, ask]})
    return sweep.model_copy(update={"search": search, "search_cells": [*sweep.search_cells, *cells]})


def values_of(search: Search, recipe: dict[str, Any]) -> Values | None:
    """Return the values with which the search would ask for this recipe, None if it never would."""
    values: Values = {}
    for parameter in search.parameters:
        if parameter.is_there(values):
            value = _value(parameter, recipe)
            if value is None:
                return None
            values[parameter.name] = value
    return values


def _value(parameter: Parameter, recipe: dict[str, Any]) -> Value | None:
    if parameter.kind == "choice":
        fitting = [choice for choice in parameter.choices if _agree(choice.fields, recipe)]
        # Of several the one that says most: {} agrees with every recipe.
        return max(fitting, key=lambda choice: _size(choice.fields)).value if fitting else None
    found: Any = recipe
    for part in parameter.field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if not parameter.contains(found):
        return None
    return int(found) if parameter.kind == "int" else float(found)


def _size(fields: Any) -> int:
    return sum(map(_size, fields.values())) if isinstance(fields, dict) else 1


def _agree(fields: Any, recipe: Any) -> bool:
    if isinstance(fields, dict) and isinstance(recipe, dict):
        return all(_agree(value, recipe.get(name)) for name, value in fields.items())
    return bool(fields == recipe)
