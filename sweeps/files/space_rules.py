"""What is wrong with the space of a search: bounds, steps, conditions, parameters that set one field; its corners."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from sweeps.files.layers import as_fields
from sweeps.files.strict_yaml import Node, shown
from sweeps.files.sweep_file import number_fields, recipe_fields
from sweeps.problems import Problem, known
from sweeps.search.search import in_order

NOT_SEARCHED = ("data.name", "data.train_images", "data.validation_images", "optim.epochs", "simsiam.probe.epochs")
NO_SEED, SEEDS = "seed is no field of a cell", "list the seeds under search.seeds"
Values = dict[str, Node]  # parameter -> where its value is written


def dimensions(space: Node) -> list["Dimension"]:
    """Return the parameters of a space, each after those it depends on, those in a circle last."""
    entries = space.entries
    order = in_order({name: set(node.at("when").entries) & set(entries) for name, node in entries.items()})
    return [Dimension(name, entries[name]) for name in (*order, *(entries.keys() - set(order)))]


def wrong_space(parameters: list["Dimension"], *, grid: bool) -> Iterator[Problem]:
    """Yield what is wrong with the parameters, each by itself and together."""
    for parameter in parameters:
        yield from _wrong_parameter(parameter)
    conditions = list(_conditions(parameters))
    yield from conditions or _same_field(parameters)
    if grid:
        yield from _no_grid(parameters)


@dataclass(frozen=True)
class Dimension:
    """A parameter of a space and where it is written."""

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

    def sets(self) -> list[tuple[object, str, Node]]:
        """Return (value, dotted recipe field, where it is written) of all it may set; of a number the value is None."""
        if self.node.has("choices"):
            choices = self.node.at("choices").entries.items()
            return [(name, field, node) for name, option in choices for field, node in _leaves(option, "")]
        field = self.node.at("field")
        values = self.option_names() if self.is_choice else [None]
        return [(value, str(field.value), field) for value in values if field.value is not None]


def _wrong_parameter(parameter: Dimension) -> Iterator[Problem]:
    node = parameter.node
    numeric = [name for name in ("low", "high", "step", "log") if node.has(name)]
    kinds = [name for name in ("values", "choices") if node.has(name)] + (["low and high"] if numeric else [])
    if len(kinds) != 1:
        both = f"has {' and '.join(kinds)}" if kinds else "has no values"
        yield node.problem(both, "give low and high, or values, or choices")
        return
    wrong = list(_wrong_field(parameter, bool(numeric)))
    yield from wrong
    if numeric and not wrong:
        yield from _wrong_range(node)


def _wrong_field(parameter: Dimension, numeric: bool) -> Iterator[Problem]:
    node, field = parameter.node, parameter.node.at("field")
    if node.has("choices"):
        if node.has("field"):
            yield field.problem("named choices set recipe fields of their own", "remove field, or use values")
        for option in parameter.options():
            yield from _wrong_choice(option)
        return
    if not node.has("field"):
        yield node.problem("is missing its field", "name the recipe field, such as crop.sigma")
    elif field.value == "seed":
        yield field.problem(NO_SEED, SEEDS)
    elif field.value in NOT_SEARCHED:
        yield field.problem(f"{field.value} cannot be searched: all cells see the same data for equally long")
    elif field.value not in recipe_fields():
        yield field.problem(f"no recipe field is called {field.value}", known(str(field.value), recipe_fields()))
    elif numeric and field.value not in number_fields():
        yield field.problem(f"{field.value} holds no number", "list its values under values")


def _wrong_choice(option: Node) -> Iterator[Problem]:
    for name, node in _leaves(option, ""):
        if name == "seed":
            yield node.problem(NO_SEED, SEEDS)
        elif name in NOT_SEARCHED:
            yield node.problem(f"{name} cannot be searched: all cells see the same data for equally long")


def _leaves(fields: Node, prefix: str) -> Iterator[tuple[str, Node]]:
    """Yield the recipe fields in a mapping by their dotted name; one that is set to nothing is one itself."""
    for name, node in fields.entries.items():
        if node.entries:
            yield from _leaves(node, f"{prefix}{name}.")
        else:
            yield prefix + name, node


def _wrong_range(node: Node) -> Iterator[Problem]:
    ends = [node.at(name) for name in ("low", "high")]
    if missing := [end for end in ends if end.value is None]:
        yield from (end.problem("is missing, must be a number") for end in missing)
        return
    low, high = (number(end) for end in ends)
    step, log = node.at("step"), bool(node.at("log").value)
    whole = number_fields().get(str(node.at("field").value)) is int
    if whole:
        for each in (*ends, *([step] if step.value is not None else [])):
            if not isinstance(each.value, int):
                yield each.problem(f"got {shown(each)}, must be a whole number: so is {node.at('field').value}")
                return
    if low >= high:
        hint = "exchange them" if low > high else "a single value is none to search: set it in base"
        yield node.at("low").problem(f"{shown(ends[0])} is not below high, {shown(ends[1])}", hint)
        return
    if log and low <= 0:
        yield node.at("low").problem(f"{shown(ends[0])} has no logarithm", "a log scale begins above 0")
    if step.value is None:
        return
    if log:
        yield step.problem("a log scale has no steps", "remove step or log")
    elif number(step) > high - low:
        yield step.problem(
            f"{shown(step)} is larger than the range from {low:g} to {high:g}", f"at most {high - low:g}"
        )
    elif abs(round((high - low) / number(step)) * number(step) - (high - low)) > 1e-9 * high:
        reached = low + int((high - low) / number(step)) * number(step)
        yield step.problem(f"steps of {shown(step)} from {low:g} do not end at {high:g}", f"the last is {reached:g}")


def number(node: Node) -> float:
    """Return a number, 0 for anything else."""
    return float(node.value) if isinstance(node.value, int | float) else 0.0


def _conditions(parameters: list[Dimension]) -> Iterator[Problem]:
    by_name = {parameter.name: parameter for parameter in parameters}
    for parameter in parameters:
        others = {name: other for name, other in by_name.items() if other is not parameter}
        for name, allowed in parameter.node.at("when").entries.items():
            if name == parameter.name:
                continue  # a circle, see below
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


def _same_field(parameters: list[Dimension]) -> Iterator[Problem]:
    """Yield parameters that may set one field at once: no condition tells them apart."""
    for one, other in combinations(parameters, 2):
        if _apart(one, other):
            continue
        for value, field, _ in one.sets():
            for others_value, others_field, node in other.sets():
                both = _allows(other, one, value) and _allows(one, other, others_value)
                if both and _overlap(field, others_field):
                    yield node.problem(
                        f"{one.name} and {other.name} both set {others_field}", "keep one, or let when tell them apart"
                    )


def _overlap(one: str, other: str) -> bool:
    """Say whether two recipe fields are the same, or one holds the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _apart(one: Dimension, other: Dimension) -> bool:
    """Say whether a condition on a third parameter keeps two from being there at once."""
    whens = [
        {name: {str(value.value) for value in allowed.items} for name, allowed in each.node.at("when").entries.items()}
        for each in (one, other)
    ]
    return any(not whens[0][name] & whens[1][name] for name in whens[0].keys() & whens[1].keys())


def _allows(conditional: Dimension, other: Dimension, value: object) -> bool:
    """Say whether a parameter may be there while another one has this value."""
    allowed = conditional.node.at("when").at(other.name)
    return not allowed.items or value in [node.value for node in allowed.items]


def _no_grid(parameters: list[Dimension]) -> Iterator[Problem]:
    for parameter in parameters:
        node = parameter.node
        whole = number_fields().get(str(node.at("field").value)) is int
        if not parameter.is_choice and (node.at("log").value or not (whole or node.has("step"))):
            yield node.problem("a grid needs steps", "give a step, or list the values under values")


def corners(parameters: list[Dimension]) -> Iterator[Values]:
    """Yield the choices in all combinations, with all numbers at their least and at their largest."""

    def beyond(values: Values, left: list[Dimension], end: int, names: Mapping[str, object]) -> Iterator[Values]:
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


def _is_there(parameter: Dimension, names: Mapping[str, object]) -> bool:
    conditions = parameter.node.at("when").entries.items()
    return all(name in names and names[name] in [node.value for node in each.items] for name, each in conditions)


def title_of(parameters: list[Dimension], name: str, node: Node) -> str:
    """Return a value of a parameter as it is written."""
    parameter = next(each for each in parameters if each.name == name)
    if parameter.is_choice:
        return str(parameter.option_names()[parameter.options().index(node)])
    return str(node.value)
