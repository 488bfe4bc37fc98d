"""A sweep file, expanded: found, checked as a whole, and resolved into cells and trials at one scale."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from softaug import presets
from softaug.recipe import Recipe, canonical
from softaug.recipe_rules import check_shares, train_images
from sweeps.files.catalog import locate, read
from sweeps.files.explain import explain_file, explain_recipe
from sweeps.files.layers import Draft, at_scale, default_scale, drafts, layered, scale_names, size, with_entries
from sweeps.files.references import broken_references
from sweeps.files.search_file import ParameterEntry, SearchEntry
from sweeps.files.search_rules import MAY_BE_WRONG, wrong_search
from sweeps.files.strict_yaml import Node, parse
from sweeps.files.sweep_file import MAX_GPUS, SweepFile, number_fields
from sweeps.problems import Problem, Problems, known
from sweeps.resolved import Axis, Cell, Figure, Prior, ResolvedSweep, Resources
from sweeps.search.search import Budget, Choice, Halving, Parameter, Search, in_order, nested

MAX_TRIALS = 100_000


def load(
    sweep: str, *, scale: str | None = None, seeds: Sequence[int] | None = None, gpus: float | None = None
) -> ResolvedSweep:
    """Return a sweep at a scale, by default its default scale. Raises Problems with everything that is wrong.

    `sweep` is a catalog name or a path; `seeds` replace the file's, `gpus` those that one trial takes.
    """
    path = locate(sweep)
    return resolve(read(path), str(path), scale=scale, seeds=seeds, gpus=gpus)


def resolve(
    source: str, file: str, *, scale: str | None = None, seeds: Sequence[int] | None = None, gpus: float | None = None
) -> ResolvedSweep:
    """Return the sweep that a file's text describes; `file` is its name in messages. See `load`."""
    sweep = parse(source, file)
    problems = [*_wrong_fields(sweep), *_wrong_fields(_with_options(sweep, seeds, gpus)), *broken_references(sweep)]
    for name in scale_names(sweep):
        scaled = _with_options(at_scale(sweep, name), seeds, gpus)
        problems += _wrong_cells(scaled, name)
        if sweep.has("search"):
            wrong = list(_wrong_fields(scaled))
            problems += wrong
            if all(problem.field.startswith(MAY_BE_WRONG) for problem in wrong):
                problems += (each for each in wrong_search(scaled, name) if not _follows(each, wrong))
    chosen = default_scale(sweep) if scale is None else scale
    if chosen not in scale_names(sweep) and scale is not None:
        hint = known(scale, scale_names(sweep))
        problems.append(Problem("command line", None, "--scale", f"no scale is called {scale}", hint))
    if problems or chosen is None:
        raise Problems(problems)
    return _resolved(_with_options(at_scale(sweep, chosen), seeds, gpus), chosen, source)


def _with_options(sweep: Node, seeds: Sequence[int] | None, gpus: float | None) -> Node:
    """Return the sweep with what the command line overrides, each marked as written there."""
    options: dict[str, Node] = {}
    if seeds is not None:
        items = [Node(seed, "command line", None, f"--seeds[{index}]") for index, seed in enumerate(seeds)]
        options["seeds"] = Node(items, "command line", None, "--seeds")
    if gpus is not None:
        options["resources"] = with_entries(sweep.at("resources"), {"gpus": Node(gpus, "command line", None, "--gpus")})
    return with_entries(sweep, options)


def _wrong_fields(sweep: Node) -> Iterator[Problem]:
    try:
        SweepFile.model_validate(sweep.plain)
    except ValidationError as error:
        yield from explain_file(error, sweep)


def _follows(problem: Problem, others: Sequence[Problem]) -> bool:
    """Say whether a problem is about a field, or a part of one, that something else is wrong with already."""
    return any(
        problem.field.startswith(other.field) or other.field.startswith(problem.field) for other in others
    )  # fmt: skip


def _wrong_cells(sweep: Node, scale: str) -> Iterator[Problem]:
    """Yield what is wrong with a sweep's cells at one scale: their number, the baseline, recipes, twins."""
    arms = sweep.at("arms").items
    trials = sum(size(sweep, arm) for arm in arms) * len(sweep.at("seeds").items)
    if trials > MAX_TRIALS:
        yield sweep.at("arms").problem(f"{trials} trials at scale {scale}, at most {MAX_TRIALS}", "shorten the axes")
        return
    sizes = {str(arm.at("name").value): size(sweep, arm) for arm in arms}
    for node in (sweep.at("baseline"), *(arm.at("against") for arm in arms)):
        if sizes.get(str(node.value), 1) > 1:
            message = f"{sizes[str(node.value)]} cells at scale {scale}, must be one: other cells are compared with it"
            yield node.problem(message, "name an arm that runs over no axis")
    yield from _wrong_recipes(sweep, scale)


def _wrong_recipes(sweep: Node, scale: str) -> Iterator[Problem]:
    # With an unknown preset, which is a problem of its own, the fields themselves can still be looked at.
    preset: presets.PresetName = "authors" if sweep.at("preset").value == "authors" else "paper"
    twins: dict[str, Draft] = {}
    for draft in drafts(sweep):
        if draft.fields.has("seed"):
            yield draft.fields.at("seed").problem("seed is no field of a cell", "list the seeds under seeds")
        where = f"in {draft.title} at scale {scale}"
        try:
            recipe = draft.recipe(preset, seed=0)
        except ValidationError as error:
            yield from explain_recipe(error, draft.fields, where)
            continue
        yield from _unshared(recipe, sweep, where)
        twin = twins.setdefault(recipe.cell_key, draft)
        if twin.arm is not draft.arm:  # within an arm only a repeated value does that, and it is known
            yield draft.arm.problem(f"{draft.title} and {twin.title} are the same cell at scale {scale}", "drop one")


def _unshared(recipe: Recipe, sweep: Node, where: str) -> Iterator[Problem]:
    """Yield why a trial cannot use the GPUs it asks for."""
    gpus = sweep.at("resources").at("gpus")
    if isinstance(gpus.value, int | float) and 1 < gpus.value <= MAX_GPUS and gpus.value == int(gpus.value):
        try:
            check_shares(recipe, train_images(recipe), int(gpus.value))
        except ValueError as error:
            yield gpus.problem(f"{gpus.value:g} GPUs: {error}", where)


def _resolved(sweep: Node, scale: str, source: str) -> ResolvedSweep:
    file = SweepFile.model_validate(sweep.plain)
    cells = [_cell(draft, file) for draft in drafts(sweep)]
    arms = {cell.arm for cell in cells}
    search = _search(file.search, sweep, file)
    return ResolvedSweep(
        name=file.name,
        scale=scale,
        question=file.question,
        expect=file.expect,
        cost=file.cost if isinstance(file.cost, str) else file.cost.get(scale, ""),
        baseline=file.baseline,
        seeds=file.seeds,
        axes={name: Axis(**axis.model_dump()) for name, axis in file.axes.items()} | _searched_axes(search),
        cells=sorted(cells, key=lambda cell: cell.arm != file.baseline),
        figure=None if file.figure is None else _figure(file.figure, arms),
        resources=Resources(**file.resources.model_dump()),
        source=source,
        prior=None if file.prior is None else Prior(**file.prior.model_dump()),
        search=search,
    )


def _figure(figure: Figure, arms: set[str]) -> Figure:
    """Return the figure of a sweep that has these arms at its scale."""
    lines = {arm: axis for arm, axis in figure.lines.items() if arm in arms}
    return figure.model_copy(update={"lines": lines, "examples": figure.examples if figure.examples in arms else None})


def _search(entry: SearchEntry | None, sweep: Node, file: SweepFile) -> Search | None:
    if entry is None:
        return None
    searched = layered(sweep.at("base"), sweep.at("search").at("base"))
    order = in_order({name: each.when for name, each in entry.space.items()})
    return Search(
        parameters=[_parameter(name, entry.space[name]) for name in order],
        base={name: node.plain for name, node in searched.entries.items()},
        confirm_base=file.base,
        preset=file.preset,
        minimize=list(entry.minimize),
        sampler=entry.sampler,
        seed=entry.seed,
        seeds=entry.seeds,
        budget=Budget(**entry.budget.model_dump()),
        in_flight=entry.in_flight,
        halving=None if entry.scheduler is None else Halving(**entry.scheduler.model_dump(exclude={"kind"})),
        winners=entry.winners,
    )


def _parameter(name: str, entry: ParameterEntry) -> Parameter:
    label, field = entry.label or name, entry.field or ""
    if entry.choices is not None:
        choices = [Choice(value=value, fields=fields) for value, fields in entry.choices.items()]
        return Parameter(name=name, label=label, kind="choice", choices=choices, when=entry.when)
    if entry.values is not None:
        choices = [Choice(value=value, fields=nested(field, value)) for value in entry.values]
        return Parameter(name=name, label=label, kind="choice", field=field, choices=choices, when=entry.when)
    assert entry.low is not None
    assert entry.high is not None
    number = number_fields()[field]
    return Parameter(
        name=name,
        label=label,
        kind="int" if number is int else "float",
        field=field,
        low=number(entry.low),
        high=number(entry.high),
        step=None if entry.step is None else number(entry.step),
        log=entry.log,
        when=entry.when,
    )


def _searched_axes(search: Search | None) -> dict[str, Axis]:
    """Return the parameters of a search as axes, of which winners have values."""
    parameters = [] if search is None else search.parameters
    return {each.name: Axis(field=each.field or each.name, label=each.label, values=[]) for each in parameters}


def _cell(draft: Draft, file: SweepFile) -> Cell:
    recipes = {seed: draft.recipe(file.preset, seed) for seed in file.seeds}
    one = recipes[file.seeds[0]]
    arm = next(arm for arm in file.arms if arm.name == draft.arm.at("name").value)
    return Cell(
        arm=arm.name,
        axes={name: node.value for name, node in draft.axes.items()},
        cell_key=one.cell_key,
        recipe={name: value for name, value in canonical(one).items() if name != "seed"},
        trials={seed: recipe.key for seed, recipe in recipes.items()},
        published=arm.published,
        against=arm.against,
    )
