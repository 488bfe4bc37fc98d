"""pydantic's complaints as sentences for a researcher, each at the place where the value was written.

What is allowed comes from the JSON schema, so every sentence names type and range: "got 0, must be a whole number
above 0 and at most 10000".
"""

import re
from collections.abc import Iterable, Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sweeps.files.entries import NAME_IN_WORDS
from sweeps.files.shapes import FILE, RECIPE, Shape, alternatives, choices, in_words, inside, keys, of_kind, types
from sweeps.files.strict_yaml import Node, shown
from sweeps.problems import Problem, did_you_mean, known

EXPONENT = re.compile(r"([-+]?[0-9]+)(\.[0-9]*)?e([-+]?)([0-9]+)", re.IGNORECASE)
DECIMAL = re.compile(r"[-+]?([0-9]+|[0-9]*\.[0-9]+)")


def explain_file(error: ValidationError, sweep: Node) -> Iterator[Problem]:
    """Yield what a sweep file's own fields have wrong."""
    for details in error.errors(include_url=False):
        yield _explain(details, sweep, FILE, "")


def explain_recipe(error: ValidationError, fields: Node, where: str) -> Iterator[Problem]:
    """Yield what a cell's recipe fields have wrong; `where` names the cell, for what depends on it."""
    for details in error.errors(include_url=False):
        yield _explain(details, fields, RECIPE, where)


def _explain(details: ErrorDetails, root: Node, shapes: list[Shape], where: str) -> Problem:
    kind, loc = details["type"], details["loc"]
    if loc[-1:] == ("[key]",):
        return _follow(loc[:-1], root, alternatives(shapes))[0].problem(f"a name has {NAME_IN_WORDS}")
    tag = ("kind",) if kind.startswith("union_tag_") else ()
    node, around, shapes = _follow((*loc, *tag), root, alternatives(shapes))
    if kind == "value_error":
        return _rule_broken(str(details["ctx"]["error"]), node, where)
    if kind == "extra_forbidden":
        return _unknown(str(loc[-1]), node, keys(around), where)
    if kind in ("missing", "union_tag_not_found"):
        return node.problem(f"is missing, must be {in_words(shapes)}", where)
    if kind == "too_long" and node.items:
        return node.problem(f"got a list of {len(node.items)}, must be {in_words(shapes)}")
    return node.problem(f"got {shown(node)}, must be {in_words(shapes)}", _way_out(node, shapes))


def _follow(loc: Iterable[str | int], node: Node, shapes: list[Shape]) -> tuple[Node, list[Shape], list[Shape]]:
    """Walk down to a place: return its node, the shapes of what holds it, and its own shapes.

    pydantic names the member of a union, such as gaussian, as if it were a place; that only narrows the shapes.
    """
    around = shapes
    for part in loc:
        if node.has(part) or part in keys(shapes):
            node, around, shapes = node.at(part), shapes, inside(shapes, part)
        else:
            shapes = of_kind(shapes, part)
    return node, around, shapes


def _unknown(key: str, node: Node, others: list[str], where: str) -> Problem:
    if node.field.endswith(key):
        return node.problem("unknown key", known(key, others))
    # The value of an axis, whose field has no place among what the arm sets.
    return node.problem(f"there is no {key} in a part with {', '.join(others)}", where)


def _rule_broken(rule: str, node: Node, where: str) -> Problem:
    """A rule between fields begins with the field that breaks it: "softening: there is no crop; ..."."""
    name, _, rest = rule.partition(": ")
    return node.at(name).problem(rest, where) if node.has(name) else node.problem(rule, where)


def _way_out(node: Node, shapes: list[Shape]) -> str:
    kinds = types(shapes)
    if isinstance(node.value, bool) and node.written and "string" in kinds:
        return f"{node.written} is the boolean {str(node.value).lower()}; write '{node.written}'"
    if not isinstance(node.value, str):
        return ""
    number = as_number(node.value)
    if number and {"integer", "number"} & set(kinds):
        return f"{node.value} is text; write {number}"
    return did_you_mean(node.value, choices(shapes))


def as_number(text: str) -> str:
    """Return how YAML 1.1 wants the number written that a text looks like, or nothing: 1e-3 -> 1.0e-3."""
    if exponent := EXPONENT.fullmatch(text):
        whole, fraction, sign, power = exponent.groups()
        return f"{whole}{fraction or '.0'}e{sign or '+'}{power}"
    if re.fullmatch(r"0o[0-7]+", text):
        return str(int(text, 0))
    return text if DECIMAL.fullmatch(text) else ""
