"""What is wrong with a search: its space, its names, budget, seeds, and recipes at the corners of its space."""

from collections.abc import Iterator
from itertools import islice

from pydantic import ValidationError

from softaug import presets
from softaug.recipe import Recipe
from sweeps.files.explain import explain_recipe
from sweeps.files.layers import layered
from sweeps.files.space_rules import NO_SEED, SEEDS, Dimension, corners, dimensions, number, title_of, wrong_space
from sweeps.files.strict_yaml import Node
from sweeps.problems import Problem
from sweeps.search.cells import ARM, FORMER, WINNER

MAX_CORNERS = 300
MAY_BE_WRONG = tuple(
    f"search.{name}" for name in ("budget", "minimize[", "sampler", "scheduler", "in_flight", "winners")
)


def wrong_search(sweep: Node, scale: str) -> Iterator[Problem]:
    """Yield what is wrong with the search of a sweep at one scale; but for `MAY_BE_WRONG` its types are right."""
    search = sweep.at("search")
    parameters = dimensions(search.at("space"))
    yield from _names(sweep, parameters)
    yield from _spending(sweep, search, scale)
    yield from _seeds(sweep, search)
    problems = list(wrong_space(parameters, grid=search.at("sampler").value == "grid"))
    if search.at("base").has("seed"):
        problems.append(search.at("base").at("seed").problem(NO_SEED, SEEDS))
    yield from problems or _recipes(sweep, search, parameters, scale)


def _names(sweep: Node, parameters: list[Dimension]) -> Iterator[Problem]:
    for parameter in parameters:
        if sweep.at("axes").has(parameter.name):
            yield parameter.node.problem(f"an axis is called {parameter.name} too", "rename one of the two")
    for arm in sweep.at("arms").items:
        name = str(arm.at("name").value)
        if name in (ARM, FORMER) or name.startswith(f"{WINNER} "):
            yield arm.at("name").problem(f"{name} is what the cells of a search are called", "rename the arm")


def _spending(sweep: Node, search: Node, scale: str) -> Iterator[Problem]:
    budget, scheduler = search.at("budget"), search.at("scheduler")
    limits = {name: node for name, node in budget.entries.items() if node.value is not None}
    if not limits and search.at("sampler").value != "grid":
        yield budget.problem("limits nothing", "give cells, trials, gpu_hours or wall_hours")
    if "gpu_hours" in limits and not number(sweep.at("resources").at("gpus")):
        yield limits["gpu_hours"].problem(f"trials use no GPU at scale {scale}", "give wall_hours, cells or trials")
    if not scheduler.value:
        return
    if len(search.at("minimize").items) > 1:
        yield scheduler.problem("a scheduler judges by one objective", "minimize one, or remove the scheduler")
    if len(search.at("seeds").items) > 1:
        yield scheduler.problem("a scheduler screens cells with one seed", "list one under search.seeds")


def _seeds(sweep: Node, search: Node) -> Iterator[Problem]:
    confirming = {node.value for node in sweep.at("seeds").items}
    seeds = search.at("seeds").items or [Node(0, search.file, search.line, "search.seeds")]
    for node in seeds:
        if node.value in confirming:
            yield node.problem(
                f"seed {node.value} confirms the winners too", "winners are run again with fresh seeds: use others"
            )


def _recipes(sweep: Node, search: Node, parameters: list[Dimension], scale: str) -> Iterator[Problem]:
    """Yield why recipes at the corners of the space, of the search and of its winners, cannot be."""
    preset: presets.PresetName = "authors" if sweep.at("preset").value == "authors" else "paper"
    searched, confirmed = layered(sweep.at("base"), search.at("base")), sweep.at("base")
    for values in islice(corners(parameters), MAX_CORNERS):
        titles = ", ".join(f"{name} {title_of(parameters, name, node)}" for name, node in values.items())
        for base, what in ((searched, ARM), (confirmed, WINNER)):
            layers = (each.fields(values[each.name]) for each in parameters if each.name in values)
            fields = layered(base, *layers)
            where = f"in {what} ({titles}) at scale {scale}"
            try:
                plain = {name: node.plain for name, node in fields.entries.items()}
                recipe = Recipe.model_validate({**presets.expand(preset, plain), "seed": 0})
            except ValidationError as error:
                yield from explain_recipe(error, fields, where)
                continue
            yield from _wrong_schedule(sweep, search, recipe, what)


def _wrong_schedule(sweep: Node, search: Node, recipe: Recipe, what: str) -> Iterator[Problem]:
    held_out = recipe.data.validation_images
    if what == ARM and not held_out:
        yield (
            search.at("base")
            .at("data")
            .at("validation_images")
            .problem(
                "a search needs a validation split: test data selects nothing",
                "set data.validation_images in search.base",
            )
        )
    if what == WINNER and held_out:
        yield (
            sweep.at("base")
            .at("data")
            .at("validation_images")
            .problem("winners are confirmed with all training images", "set it in search.base alone")
        )
    grace = search.at("scheduler").at("grace_epochs")
    if what == ARM and search.at("scheduler").value:
        if recipe.simsiam is not None:
            yield search.at("scheduler").problem("simsiam has no validation error before its probe", "remove it")
        elif (int(number(grace)) or 1) >= recipe.optim.epochs:
            yield grace.problem(f"a trial has {recipe.optim.epochs} epochs and would never be stopped", "lower it")
