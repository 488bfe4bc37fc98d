"""From sweep file to cells: a cell's recipe fields are layers, each over the one before, that know where they stand.

base, the scale's base, the arm's set, the scale's words on the arm, axis values: later wins, mappings are merged,
but a mapping whose `kind` changes replaces the old one. All of this works on nodes, valid or not, so that every
problem of a file can be named at once and in its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from math import prod

from softaug import presets
from softaug.recipe import Recipe
from sweeps.files.strict_yaml import Node
from sweeps.files.sweep_file import PAPER_SCALE, recipe_fields


@dataclass(frozen=True)
class Draft:
    """A cell whose recipe fields are not known to be valid yet. `axes`: axis name -> value."""

    arm: Node
    axes: dict[str, Node]
    fields: Node

    @property
    def title(self) -> str:
        """The arm and its axis values, for messages: soft target (sigma 0.1, k 2.0)."""
        values = ", ".join(f"{name} {node.value}" for name, node in self.axes.items())
        return f"{self.arm.at('name').value}" + (f" ({values})" if values else "")

    def recipe(self, preset: presets.PresetName, seed: int) -> Recipe:
        """Return the recipe of one trial, or raise pydantic's ValidationError."""
        fields = {name: node.plain for name, node in self.fields.entries.items()}
        return Recipe.model_validate({**presets.expand(preset, fields), "seed": seed})


def at_scale(sweep: Node, scale: str) -> Node:
    """Return the sweep as it stands at one scale, itself a sweep without scales."""
    override = sweep.at("scales").at(scale)
    fields = {name: node for name, node in sweep.entries.items() if name not in ("scales", "default_scale")}
    fields |= {name: override.at(name) for name in ("seeds", "baseline", "resources", "prior") if override.has(name)}
    fields["base"] = layered(sweep.at("base"), override.at("base"))
    fields["axes"] = with_entries(sweep.at("axes"), _axes(sweep, override))
    if sweep.at("search").value is not None:
        fields["search"] = layered(sweep.at("search"), override.at("search"))
    fields["arms"] = replace(sweep.at("arms"), value=list(_arms(sweep, override)))
    return replace(sweep, value=fields)


def scale_names(sweep: Node) -> list[str]:
    """Return the names of a sweep's scales; one without scales has one, `paper`."""
    return list(sweep.at("scales").entries) or [PAPER_SCALE]


def default_scale(sweep: Node) -> str | None:
    """Return the default scale, `paper`, or the only one; None if that leaves a choice or names none."""
    names = scale_names(sweep)
    default = sweep.at("default_scale").value if sweep.has("default_scale") else PAPER_SCALE
    if default in names:
        return str(default)
    return names[0] if len(names) == 1 and not sweep.has("default_scale") else None


def drafts(sweep: Node) -> Iterator[Draft]:
    """Yield the cells of a sweep at its scale: arms in file order, the first axis of `over` outermost."""
    for arm in sweep.at("arms").items:
        over = axes_of(sweep, arm)
        place = replace(arm.at("set"), line=arm.line)
        fields = [str(axis.at("field").value).split(".") for axis in over.values()]
        for values in product(*(scalars(axis) for axis in over.values())):
            on_axes = [as_fields(place, parts, value) for parts, value in zip(fields, values, strict=True)]
            chosen = dict(zip(over, values, strict=True))
            yield Draft(arm, chosen, layered(sweep.at("base"), arm.at("set"), *on_axes))


def size(sweep: Node, arm: Node) -> int:
    """Return how many cells an arm has."""
    return prod(len(scalars(axis)) for axis in axes_of(sweep, arm).values())


def axes_of(sweep: Node, arm: Node) -> dict[str, Node]:
    """Return the axes that an arm runs over, as far as they run over a recipe field."""
    names = [node.value for node in arm.at("over").items if isinstance(node.value, str)]
    axes = {name: sweep.at("axes").at(name) for name in names}
    return {name: axis for name, axis in axes.items() if axis.at("field").value in recipe_fields()}


def scalars(axis: Node) -> list[Node]:
    """Return the values of an axis that can be values of a recipe field."""
    return [node for node in axis.at("values").items if type(node.value) in (int, float, str)]


def layered(lowest: Node, *layers: Node) -> Node:
    """Return recipe fields merged from mappings; what is none is left out."""
    ground = lowest if isinstance(lowest.value, dict) else replace(lowest, value={})
    return reduce(_merged, (layer for layer in layers if isinstance(layer.value, dict)), ground)


def _merged(lower: Node, upper: Node) -> Node:
    both = isinstance(lower.value, dict) and isinstance(upper.value, dict)
    if not both or _changes_kind(lower, upper):
        return upper
    shared = {name: _merged(lower.at(name), node) for name, node in upper.entries.items() if lower.has(name)}
    return with_entries(lower, {**upper.entries, **shared})


def _changes_kind(lower: Node, upper: Node) -> bool:
    return lower.has("kind") and upper.has("kind") and lower.at("kind").value != upper.at("kind").value


def with_entries(node: Node, entries: dict[str, Node]) -> Node:
    """Return a mapping with some entries replaced or added."""
    return replace(node, value={**node.entries, **entries})


def _axes(sweep: Node, override: Node) -> dict[str, Node]:
    axes = sweep.at("axes")
    replaced = override.at("axes").entries.items()
    return {name: with_entries(axes.at(name), {"values": values}) for name, values in replaced if axes.has(name)}


def _arms(sweep: Node, override: Node) -> Iterator[Node]:
    gone = left_out(sweep, override)
    for arm in sweep.at("arms").items:
        name = arm.at("name").value
        if isinstance(arm.value, dict) and name not in gone:
            more = override.at("arms").at(name) if isinstance(name, str) else arm.at("set")
            yield with_entries(arm, {"set": layered(arm.at("set"), more)})


def left_out(sweep: Node, override: Node) -> list[object]:
    """Return the names of the arms that a scale drops, or does not keep if it says which."""
    dropped, kept = ([node.value for node in override.at(name).items] for name in ("drop", "keep"))
    names = [arm.at("name").value for arm in sweep.at("arms").items]
    return [name for name in names if name in dropped or (kept and name not in kept)]


def as_fields(place: Node, parts: list[str], value: Node) -> Node:
    """Return a value of an axis or of a search as recipe fields; the parts around it count as written at `place`."""
    if not parts:
        return value
    return replace(place, value={parts[0]: as_fields(place.at(parts[0]), parts[1:], value)})
