"""Names in a sweep file that must name something: arms, axes, scales, recipe fields."""

from collections.abc import Collection, Iterable, Iterator

from softaug.recipe import DEFAULT_WIDTH
from sweeps.files.layers import default_scale, left_out, scale_names
from sweeps.files.strict_yaml import Node
from sweeps.files.sweep_file import recipe_fields
from sweeps.problems import Problem, known

ONLY_OF = {"x": ("softening-over-sigma",), "lines": ("softening-over-sigma", "offset-range")}  # field -> kinds


def broken_references(sweep: Node) -> Iterator[Problem]:
    """Yield every name that names nothing, or the same thing twice."""
    yield from _arms(sweep)
    yield from _axes(sweep)
    yield from _figure(sweep)
    yield from _scales(sweep)
    if sweep.has("figure") and not any((*_arms(sweep), *_figure(sweep))):
        yield from _undrawn(sweep)


def _arms(sweep: Node) -> Iterator[Problem]:
    lines: dict[str, int | None] = {}
    for arm in sweep.at("arms").items:
        for name, node in _texts([arm.at("name")]):
            if name in lines:
                yield node.problem(f"a second arm is called {name}; the first is in line {lines[name]}", "rename one")
            lines.setdefault(name, node.line)
        yield from _over(sweep, arm)
        yield from _against(sweep, arm)
        if arm.at("over").items and arm.has("published"):
            yield arm.at("published").problem("only an arm without axes has the paper's numbers", "remove over, or it")
    yield from _unknown([sweep.at("baseline")], "arm", _arm_names(sweep))


def _over(sweep: Node, arm: Node) -> Iterator[Problem]:
    axes = sweep.at("axes").entries
    yield from _unknown(arm.at("over").items, "axis", axes)
    first: dict[str, str] = {}
    for name, node in _texts(arm.at("over").items):
        for field, _ in _texts([axes[name].at("field")] if name in axes else []):
            if field in first:
                yield node.problem(f"{first[field]} and {name} both run over {field}", "keep one of the two")
            first.setdefault(field, name)


def _against(sweep: Node, arm: Node) -> Iterator[Problem]:
    yield from _unknown([arm.at("against")], "arm", _arm_names(sweep))
    for name, node in _texts([arm.at("against")]):
        if name == arm.at("name").value:
            yield node.problem("an arm cannot be compared with itself", "name another one, or remove against")


def _axes(sweep: Node) -> Iterator[Problem]:
    used = {name for arm in sweep.at("arms").items for name, _ in _texts(arm.at("over").items)}
    for name, axis in sweep.at("axes").entries.items():
        yield from _unknown([axis.at("field")], "recipe field", recipe_fields())
        if name not in used:
            yield axis.problem("no arm runs over this axis", "name it in an arm's over, or remove it")


def _figure(sweep: Node) -> Iterator[Problem]:
    figure = sweep.at("figure")
    kind = figure.at("kind").value
    if kind == "softening-over-sigma" and not figure.has("x"):
        yield figure.at("x").problem("is missing: over which axis the figure is drawn", "name an axis")
    for name, kinds in ONLY_OF.items():
        if figure.has(name) and isinstance(kind, str) and kind not in kinds:
            yield figure.at(name).problem(f"a figure of the kind {kind} has none", "remove it")
    yield from _unknown([figure.at("x")], "axis", sweep.at("axes").entries)
    yield from _unknown([figure.at("examples")], "arm", _arm_names(sweep))
    if figure.has("examples") and figure.at("examples").value == sweep.at("baseline").value:
        yield figure.at("examples").problem("the baseline's predictions are shown always", "name the arm beside it")
    arms = {name: arm for arm in sweep.at("arms").items for name, _ in _texts([arm.at("name")])}
    for name, axis in figure.at("lines").entries.items():
        if name not in arms:
            yield axis.problem(f"no arm is called {name}", known(name, arms))
        else:
            over = [name for name, _ in _texts(arms[name].at("over").items)]
            yield from _unknown([axis], f"axis of the arm {name}", over)


def _undrawn(sweep: Node) -> Iterator[Problem]:
    """Yield the axes that arms run over and the figure does not show."""
    figure = sweep.at("figure")
    kind = figure.at("kind").value
    if kind == "error-over-occlusion":  # every cell is a line
        return
    for arm in sweep.at("arms").items:
        name = str(arm.at("name").value)
        beside = [(axis, node) for axis, node in _texts(arm.at("over").items) if axis != _line(figure, name)]
        x = beside[0][0] if kind == "offset-range" and beside else figure.at("x").value
        for axis, node in beside:
            if axis != x:
                yield node.problem(f"the figure shows no {axis} of {name}", f"add {{{name}: {axis}}} to figure.lines")


def _line(figure: Node, arm: str) -> object:
    return figure.at("lines").at(arm).value


def _scales(sweep: Node) -> Iterator[Problem]:
    names = scale_names(sweep)
    if default_scale(sweep) is None and not sweep.has("default_scale"):
        hint = f"name one of {', '.join(names)}"
        yield sweep.at("default_scale").problem("is missing, and no scale is called paper", hint)
    yield from _unknown([sweep.at("default_scale")], "scale", names)
    yield from _unknown_keys(sweep.at("cost"), "scale", names)
    yield from _unknown_keys(sweep.at("prior").at("minutes_by_model"), "network", DEFAULT_WIDTH)
    for scale in sweep.at("scales").entries.values():
        if scale.has("search") and not sweep.has("search"):
            yield scale.at("search").problem("the sweep has no search that a scale could change", "add search")
        yield from _unknown_keys(scale.at("axes"), "axis", sweep.at("axes").entries)
        yield from _unknown_keys(scale.at("arms"), "arm", _arm_names(sweep))
        for name in ("drop", "keep"):
            yield from _unknown(scale.at(name).items, "arm", _arm_names(sweep))
        yield from _unknown([scale.at("baseline")], "arm", _arm_names(sweep))
        yield from _unknown_keys(scale.at("prior").at("minutes_by_model"), "network", DEFAULT_WIDTH)
        yield from _left_out(sweep, scale)


def _left_out(sweep: Node, scale: Node) -> Iterator[Problem]:
    """Yield the arms that a scale leaves out though others are compared with them."""
    gone = left_out(sweep, scale)
    places = dict(_texts(scale.at("drop").items))
    baseline = scale.at("baseline") if scale.has("baseline") else sweep.at("baseline")
    for name in gone:
        place = places.get(str(name), scale.at("keep"))
        if name == baseline.value:
            yield place.problem("the baseline cannot be dropped", "every other arm is compared with it")
        for other in _compared_with(sweep, str(name)):
            if other not in gone:
                message = f"{other} is compared with {name}, which is left out"
                yield place.problem(message, "drop both, or keep both")


def _unknown(nodes: Iterable[Node], what: str, names: Collection[str]) -> Iterator[Problem]:
    for name, node in _texts(nodes):
        if name not in names:
            yield node.problem(f"no {what} is called {name}", known(name, names))


def _unknown_keys(mapping: Node, what: str, names: Collection[str]) -> Iterator[Problem]:
    for name, node in mapping.entries.items():
        if name not in names:
            yield node.problem(f"no {what} is called {name}", known(name, names))


def _compared_with(sweep: Node, name: str) -> list[str]:
    """Return the arms that name this one in `against`."""
    return [str(arm.at("name").value) for arm in sweep.at("arms").items if arm.at("against").value == name]


def _arm_names(sweep: Node) -> list[str]:
    return [name for arm in sweep.at("arms").items for name, _ in _texts([arm.at("name")])]


def _texts(nodes: Iterable[Node]) -> Iterator[tuple[str, Node]]:
    """Yield the nodes that hold text; the others are reported as wrong types elsewhere."""
    for node in nodes:
        if isinstance(node.value, str):
            yield node.value, node
