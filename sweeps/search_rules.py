"""What is wrong with a search: bounds, conditions, grids, budgets, seeds, and recipes at the corners of its space."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice

from pydantic import ValidationError

from softaug import presets
from softaug.recipe import Recipe
from sweeps.explain import explain_recipe
from sweeps.layers import as_fields, layered
from sweeps.problems import Problem, known
from sweeps.search import in_order
from sweeps.search_cells import ARM, WINNER
from sweeps.strict_yaml import Node, shown
from sweeps.sweep_file import number_fields, recipe_fields

MAX_CORNERS = 300
NOT_SEARCHED = ("data.name", "data.train_images", "data.validation_images", "optim.epochs", "simsiam.probe.epochs")
Values = dict[str, Node]  # parameter -> where its value is written


def wrong_search(sweep: Node, scale: str) -> Iterator[Problem]:
    """Yield what is wrong with the search of a sweep at one scale, whose fields have the right types."""
    search = sweep.at("search")
    entries = search.at("space").entries
    order = in_order({name: set(node.at("when").entries) & set(entries) for name, node in entries.items()})
    parameters = [_Parameter(name, entries[name]) for name in (*order, *(entries.keys() - set(order)))]
    problems = [problem for parameter in parameters for problem in _wrong_parameter(parameter)]
    problems += _conditions(parameters)
    problems += _names(sweep, parameters)
    problems += _same_field(parameters)
    if search.at("sampler").value == "grid":
        problems += _no_grid(parameters)
    problems += _spending(sweep, search, scale)
    problems += _seeds(sweep, search)
    yield from problems
    if not problems:
        yield from _recipes(sweep, search, parameters, scale)


@dataclass(frozen=True)
class _Parameter:
    name: str
    node: Node

    @property
    def is_choice(self) -> bool:
        return self.node.has("values") or self.node.has("choices")

    def options(self) -> list[Node]:
        """Return where the values of a choice are written; named choices stand for their recipe fields."""
        return self.node.at("values").items or list(self.node.at("choices").entries.values())

    def option_names(self) -> list[object]:
        """Return the values of a choice."""
        return [node.value for node in self.node.at("values").items] or list(self.node.at("choices").entries)

    def ends(self) -> list[Node]:
        """Return where the values at the corners of the space are written."""
        return self.options() if self.is_choice else [self.node.at("low"), self.node.at("high")]

    def fields(self, value: Node) -> Node:
        """Return what a value sets, as recipe fields."""
        if self.node.has("choices"):
            return value
        return as_fields(self.node, str(self.node.at("field").value).split("."), value)


def _wrong_parameter(parameter: _Parameter) -> Iterator[Problem]:
    node = parameter.node
    numeric = [name for name in ("low", "high", "step", "log") if node.has(name)]
    kinds = [name for name in ("values", "choices") if node.has(name)] + (["low and high"] if numeric else [])
    if len(kinds) != 1:
        both = f"has {' and '.join(kinds)}" if kinds else "has no values"
        yield node.problem(both, "give low and high, or values, or choices")
        return
    yield from _wrong_field(parameter, bool(numeric))
    if numeric:
        yield from _wrong_range(node)


def _wrong_field(parameter: _Parameter, numeric: bool) -> Iterator[Problem]:
    node, field = parameter.node, parameter.node.at("field")
    if node.has("choices"):
        if node.has("field"):
            yield field.problem("named choices set recipe fields of their own", "remove field, or use values")
        return
    if not node.has("field"):
        yield node.problem("is missing its field", "name the recipe field, such as crop.sigma")
    elif field.value in NOT_SEARCHED:
        yield field.problem(f"{field.value} cannot be searched: all cells see the same data for equally long")
    elif field.value not in recipe_fields():
        yield field.problem(f"no recipe field is called {field.value}", known(str(field.value), recipe_fields()))
    elif numeric and field.value not in number_fields():
        yield field.problem(f"{field.value} holds no number", "list its values under values")


def _wrong_range(node: Node) -> Iterator[Problem]:
    ends = [node.at(name) for name in ("low", "high")]
    if missing := [end for end in ends if end.value is None]:
        yield from (end.problem("is missing, must be a number") for end in missing)
        return
    low, high = (_number(end) for end in ends)
    step, log = node.at("step"), bool(node.at("log").value)
    whole = number_fields().get(str(node.at("field").value)) is int
    if whole:
        for each in (*ends, *([step] if step.value is not None else [])):
            if not isinstance(each.value, int):
                yield each.problem(f"got {shown(each)}, must be a whole number: so is {node.at('field').value}")
                return
    if low >= high:
        yield node.at("low").problem(f"{shown(ends[0])} is not below high, {shown(ends[1])}", "exchange them")
        return
    if log and low <= 0:
        yield node.at("low").problem(f"{shown(ends[0])} has no logarithm", "a log scale begins above 0")
    if step.value is None:
        return
    if log:
        yield step.problem("a log scale has no steps", "remove step or log")
    elif _number(step) > high - low:
        yield step.problem(f"{shown(step)} is larger than the range from {low:g} to {high:g}")
    elif abs(round((high - low) / _number(step)) * _number(step) - (high - low)) > 1e-9 * high:
        reached = low + int((high - low) / _number(step)) * _number(step)
        yield step.problem(f"steps of {shown(step)} from {low:g} do not end at {high:g}", f"the last is {reached:g}")


def _number(node: Node) -> float:
    return float(node.value) if isinstance(node.value, int | float) else 0.0


def _conditions(parameters: list[_Parameter]) -> Iterator[Problem]:
    by_name = {parameter.name: parameter for parameter in parameters}
    for parameter in parameters:
        others = {name: other for name, other in by_name.items() if other is not parameter}
        for name, allowed in parameter.node.at("when").entries.items():
            if name not in others:
                yield allowed.problem(f"no other parameter is called {name}", known(name, others))
            elif not others[name].is_choice:
                yield allowed.problem(f"{name} is a number: a condition names values of a choice")
            else:
                options = others[name].option_names()
                unknown = [node for node in allowed.items if node.value not in options]
                yield from (
                    node.problem(f"{name} is never {shown(node)}", known(str(node.value), map(str, options)))
                    for node in unknown
                )
    conditions = {name: set(each.node.at("when").entries) & set(by_name) for name, each in by_name.items()}
    for name in set(conditions) - set(in_order(conditions)):
        yield by_name[name].node.at("when").problem(f"{name} depends on itself", "conditions must not form a circle")


def _names(sweep: Node, parameters: list[_Parameter]) -> Iterator[Problem]:
    for parameter in parameters:
        if sweep.at("axes").has(parameter.name):
            yield parameter.node.problem(f"an axis is called {parameter.name} too", "rename one of the two")
    for arm in sweep.at("arms").items:
        name = str(arm.at("name").value)
        if name == ARM or name.startswith(f"{WINNER} "):
            yield arm.at("name").problem(f"{name} is what the cells of a search are called", "rename the arm")


def _same_field(parameters: list[_Parameter]) -> Iterator[Problem]:
    """Yield parameters that may set one field at once: no condition on a third tells them apart."""
    for one, other in combinations(parameters, 2):
        field = other.node.at("field")
        if field.value is None or one.node.at("field").value != field.value:
            continue
        whens = [
            {
                name: {str(value.value) for value in allowed.items}
                for name, allowed in each.node.at("when").entries.items()
            }
            for each in (one, other)
        ]
        apart = any(not whens[0][name] & whens[1][name] for name in whens[0].keys() & whens[1].keys())
        if not apart:
            yield field.problem(f"{one.name} and {other.name} both set {field.value}", "keep one of the two")


def _no_grid(parameters: list[_Parameter]) -> Iterator[Problem]:
    for parameter in parameters:
        node = parameter.node
        whole = number_fields().get(str(node.at("field").value)) is int
        if not parameter.is_choice and (node.at("log").value or not (whole or node.has("step"))):
            yield node.problem("a grid needs steps", "give a step, or list the values under values")


def _spending(sweep: Node, search: Node, scale: str) -> Iterator[Problem]:
    budget, scheduler = search.at("budget"), search.at("scheduler")
    limits = {name: node for name, node in budget.entries.items() if node.value is not None}
    if not limits and search.at("sampler").value != "grid":
        yield budget.problem("limits nothing", "give cells, trials, gpu_hours or wall_hours")
    if "gpu_hours" in limits and not _number(sweep.at("resources").at("gpus")):
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


def _recipes(sweep: Node, search: Node, parameters: list[_Parameter], scale: str) -> Iterator[Problem]:
    """Yield why recipes at the corners of the space, of the search and of its winners, cannot be."""
    preset: presets.PresetName = "authors" if sweep.at("preset").value == "authors" else "paper"
    searched, confirmed = layered(sweep.at("base"), search.at("base")), sweep.at("base")
    for values in islice(_corners(parameters), MAX_CORNERS):
        titles = ", ".join(f"{name} {_title(parameters, name, node)}" for name, node in values.items())
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
        elif (int(_number(grace)) or 1) >= recipe.optim.epochs:
            yield grace.problem(f"a trial has {recipe.optim.epochs} epochs and would never be stopped", "lower it")


def _corners(parameters: list[_Parameter]) -> Iterator[Values]:
    """Yield the choices in all combinations, with all numbers at their least and at their largest."""

    def beyond(values: Values, left: list[_Parameter], end: int, names: Mapping[str, object]) -> Iterator[Values]:
        if not left:
            yield values
            return
        first, rest = left[0], left[1:]
        if not _is_there(first, names):
            yield from beyond(values, rest, end, names)
        elif first.is_choice:
            for name, node in zip(first.option_names(), first.options(), strict=True):
                yield from beyond({**values, first.name: node}, rest, end, {**names, first.name: name})
        else:
            yield from beyond({**values, first.name: first.ends()[end]}, rest, end, names)

    for low, high in zip(beyond({}, parameters, 0, {}), beyond({}, parameters, 1, {}), strict=True):
        yield low
        yield high


def _is_there(parameter: _Parameter, names: Mapping[str, object]) -> bool:
    conditions = parameter.node.at("when").entries.items()
    return all(name in names and names[name] in [node.value for node in each.items] for name, each in conditions)


def _title(parameters: list[_Parameter], name: str, node: Node) -> str:
    parameter = next(each for each in parameters if each.name == name)
    if parameter.is_choice:
        return str(parameter.option_names()[parameter.options().index(node)])
    return str(node.value)
