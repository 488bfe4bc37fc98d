"""Matched controls: arms that share with a softened cell how much it softens on average, and not which images.

    label smoothing    alpha = 1 - mean p, and no softening: the true class has the same probability on average
    weights            the cell's weights alone, divided by their mean in every batch; targets not softened

Equal mean softness: the mean over the augmented training images of 1 - p, what the true class lacks, is the same as an
inspection finds it in the cell, to alpha's 4 digits. A cell that softens weights alone has no label smoothing control,
nor has one whose alpha would be 0; weights alone that have mean 1 already are their own. Cells share what is the same.
In a final phase softening is off and label smoothing is not. At another scale a pasted arm differs by that scale's base
alone: alpha, and what the arm itself sets, stay.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from softaug.recipe import Recipe, canonical
from sweeps.files.layers import Draft, at_scale, drafts, layered, with_entries
from sweeps.files.strict_yaml import Node, as_node, parse
from sweeps.files.sweep_file import SweepFile
from sweeps.inspected import Subject
from sweeps.resolved import Cell, ResolvedSweep

ALPHA_DIGITS = 4
LONGEST_NAME = 80
PARTS = ("softening", "label_smoothing", "loss")  # what a control has otherwise than its cell
LEFT_OUT = object()

Kind = Literal["label smoothing", "weights"]


@dataclass(frozen=True)
class Control:
    """An arm for a sweep file. `of`: titles of the cells it is for; `twin`: the sweep's own cell that is the same."""

    kind: Kind
    name: str
    set: dict[str, Any]
    recipe: Recipe
    of: tuple[str, ...]
    twin: str | None


def controls(cells: Subject, mean_confidences: Sequence[float]) -> list[Control]:
    """Return the controls of all softened cells; `mean_confidences`: of each cell, from its inspection."""
    others = cells.cells if cells.sweep is None else cells.sweep.cells
    names, existing = {cell.arm for cell in others}, {cell.cell_key: cell.title for cell in others}
    fields = _fields(cells)
    found: dict[str, Control] = {}
    for cell, mean_confidence in zip(cells.cells, mean_confidences, strict=True):
        for kind, recipe in _of_cell(cells.recipe(cell), mean_confidence):
            earlier = found.get(recipe.cell_key)
            if earlier is not None:
                found[recipe.cell_key] = replace(earlier, of=(*earlier.of, cell.title))
                continue
            name = _name(kind, recipe, cell, names)
            written = _written(recipe, fields[cell.cell_key])
            found[recipe.cell_key] = Control(kind, name, written, recipe, (cell.title,), existing.get(recipe.cell_key))
    return list(found.values())


def to_yaml(found: Sequence[Control], cells: Subject) -> str:
    """Return the controls as arms to paste under `arms:`, with what they are as comments."""
    scale = "" if cells.sweep is None else f" at scale {cells.sweep.scale}"
    lines = [
        f"# Matched controls{scale}, seed {cells.seed}: paste them under `arms:`.",
        "# Label smoothing: alpha = 1 - mean p, so that the true class has the same probability on average.",
        "# Weights: divided by their mean in every batch, on targets that are not softened.",
        "# Alpha depends on the data set and the crop: inspect every scale that you launch.",
    ]
    for control in found:
        if control.twin is not None:
            lines.append(f"# {control.kind} for {'; '.join(control.of)}: in the sweep already, {control.twin}")
            continue
        arm = [{"name": control.name, "set": control.set}]
        text = yaml.safe_dump(arm, default_flow_style=None, sort_keys=False, width=10_000, allow_unicode=True)
        lines += [f"# for {'; '.join(control.of)}", *text.splitlines()]
    if not found:
        lines = ["# No controls: nothing is softened here, or weights alone that have mean 1 already."]
    return "".join(f"  {line}\n" for line in lines)


def write(found: Sequence[Control], cells: Subject, folder: Path) -> Path:
    """Write all controls into a file in a folder that is there, and return it."""
    path = folder / "controls.yaml"
    path.write_text(to_yaml(found, cells), encoding="utf-8")
    return path


def _of_cell(recipe: Recipe, mean_confidence: float) -> Iterator[tuple[Kind, Recipe]]:
    """Yield the recipes of a cell's controls."""
    if recipe.softening is None:
        return
    values = recipe.model_dump()
    if recipe.softening.apply_to in ("target", "both"):
        alpha = round(1 - mean_confidence, ALPHA_DIGITS)
        loss = {**values["loss"], "weighting": "per_sample", "weight_norm": "none"}
        if alpha > 0:
            yield "label smoothing", _changed(values, softening=None, label_smoothing=alpha, loss=loss)
    softening = {**values["softening"], "apply_to": "weight"}
    loss = {**values["loss"], "weighting": "per_sample", "weight_norm": "mean1"}
    weights = _changed(values, softening=softening, loss=loss)
    if weights != recipe:
        yield "weights", weights


def _changed(values: dict[str, Any], **changes: Any) -> Recipe:
    return Recipe.model_validate({**values, **changes})


def _name(kind: Kind, recipe: Recipe, cell: Cell, taken: Collection[str]) -> str:
    """Return an arm's name that is short enough, printable, and none of the sweep's."""
    form = (
        f"label smoothing {recipe.label_smoothing:g} for {{}}" if kind == "label smoothing" else "weights of {}, mean 1"
    )
    name = form.format(cell.title)
    fits = len(name) <= LONGEST_NAME and name.isprintable() and name not in taken
    return name if fits else form.format(f"cell {cell.cell_key[:12]}")


@dataclass(frozen=True)
class _Fields:
    """What an arm sets besides the controls' parts, over which base; a recipe of its own has no base."""

    own: dict[str, Any]
    base: Node
    file: SweepFile | None

    def make(self, parts: dict[str, Any], seed: int) -> Recipe:
        """Return the recipe that these fields and parts make in the sweep. Raises ValidationError."""
        merged = layered(self.base, as_node(self.given(parts), "control"))
        preset = "paper" if self.file is None else self.file.preset
        return Draft(self.base, {}, merged).recipe(preset, seed)

    def given(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Return the recipe fields to write."""
        return {**self.own, **{name: value for name, value in parts.items() if value is not LEFT_OUT}}


def _fields(cells: Subject) -> dict[str, _Fields]:
    """Return by cell key what the arm of each cell sets at its scale, axis values included."""
    nothing = as_node({}, "control")
    if cells.sweep is None:
        whole = cells.recipe(cells.cells[0]).model_dump(mode="json", exclude={"seed", *PARTS})
        return {cells.cells[0].cell_key: _Fields(whole, nothing, None)}
    return _fields_of(cells.sweep, nothing)


def _fields_of(sweep: ResolvedSweep, nothing: Node) -> dict[str, _Fields]:
    scaled = at_scale(parse(sweep.source, sweep.name), sweep.scale)
    file = SweepFile.model_validate(scaled.plain)
    bare = with_entries(scaled, {"base": nothing})
    found = {}
    for draft, alone in zip(drafts(scaled), drafts(bare), strict=True):
        own = {name: node.plain for name, node in alone.fields.entries.items() if name not in PARTS}
        found[draft.recipe(file.preset, sweep.seeds[0]).cell_key] = _Fields(own, scaled.at("base"), file)
    return found


def _written(recipe: Recipe, fields: _Fields) -> dict[str, Any]:
    """Return what to write to make a recipe: of each part as little as base and preset leave to say."""
    parts: dict[str, Any] = {part: value for part, value in recipe.model_dump(mode="json").items() if part in PARTS}
    if fields.file is not None:
        for part in PARTS:
            shorter = [{**parts, part: form} for form in _forms(recipe, part)]
            parts = next((each for each in shorter if _makes(each, recipe, fields)), parts)
    return fields.given(parts)


def _forms(recipe: Recipe, part: str) -> list[Any]:
    """Return shorter ways to write a part, the shortest first."""
    loss = recipe.loss.model_dump(mode="json", exclude_defaults=True)
    weights = recipe.loss.model_dump(mode="json", include={"weighting", "weight_norm"})
    return [LEFT_OUT, loss, weights] if part == "loss" else [LEFT_OUT, canonical(recipe)[part]]


def _makes(parts: dict[str, Any], recipe: Recipe, fields: _Fields) -> bool:
    try:
        return fields.make(parts, recipe.seed) == recipe
    except ValidationError:
        return False
