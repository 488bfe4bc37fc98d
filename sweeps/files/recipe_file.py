"""A recipe from a file: YAML or JSON written by hand, or a trial's recipe.json from a ledger.

What the ledger wrote holds the recipe beside the versions of its factors, and its key is the name of its folder; if
that does not fit, the file is damaged. Presets are not applied: a recipe is complete.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from softaug.recipe import Recipe
from softaug.versions import versions_in_use
from sweeps.files.explain import explain_recipe
from sweeps.files.layers import with_entries
from sweeps.files.strict_yaml import Node, as_node, parse, shown
from sweeps.problems import Problem, Problems
from trainables.folder_store import FolderStore
from trainables.ledger import TrialFolder

KEY = re.compile(r"[0-9a-f]{64}")
SEEDS = 2**32


def tree(text: str, path: Path) -> Node:
    """Return what a YAML file, or a JSON file by its suffix, holds. Raises Problems."""
    return _json_tree(text, str(path)) if path.suffix == ".json" else parse(text, str(path))


def is_recipe(root: Node) -> bool:
    """Say whether a file is a recipe rather than a sweep, as its outermost names tell."""
    names = root.entries.keys()
    return _is_of_a_ledger(root) or ("arms" not in names and bool(names & {"data", "model"}))


def recipe_in(root: Node, path: Path, warn: Callable[[str], None]) -> Recipe:
    """Return the recipe in a file. Raises Problems, and Damaged if it is a ledger's and its key is another.

    `warn` hears of a recipe that was trained by other versions of the factors than those at hand.
    """
    fields = root
    if _is_of_a_ledger(root):
        _check_key(path.absolute())
        fields = root.at("recipe")
    recipe = _recipe(fields)
    if fields is not root and (other := _other_versions(root.at("versions"), recipe)):
        warn(f"{path} was written with {other}; this is what the recipe does today")
    return recipe


def _recipe(fields: Node) -> Recipe:
    problems, seed = [], fields.at("seed")
    if type(seed.value) is not int or not 0 <= seed.value < SEEDS:
        got = f"got {shown(seed)}" if fields.has("seed") else "is missing"
        problems.append(seed.problem(f"{got}, must be a whole number at least 0 and below {SEEDS}"))
        fields = with_entries(fields, {"seed": replace(seed, value=0)})
    try:
        recipe = Recipe.model_validate(fields.plain)
    except ValidationError as error:
        problems += explain_recipe(error, fields, "")
    if problems:
        raise Problems(problems)
    return recipe


def _is_of_a_ledger(root: Node) -> bool:
    return root.entries.keys() == {"recipe", "versions"}


def _check_key(path: Path) -> None:
    """Check a recipe.json that still lies in its trial's folder. Raises Damaged."""
    key = path.parent.name
    if path.name == "recipe.json" and KEY.fullmatch(key) and path.parent.parent.name == key[:2]:
        TrialFolder(FolderStore(path.parents[3]), key).recipe()


def _other_versions(written: Node, recipe: Recipe) -> str:
    """Return the versions in a ledger's file that are not today's: "crop.gaussian 1 (now 2)"."""
    now = versions_in_use(recipe)
    then = {name: node.value for name, node in written.entries.items()}
    differing = [name for name in {**now, **then} if now.get(name) != then.get(name)]
    return ", ".join(f"{name} {then.get(name, 'unknown')} (now {now.get(name, 'not used')})" for name in differing)


def _json_tree(text: str, file: str) -> Node:
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise Problems([Problem(file, error.lineno, "", f"not JSON, column {error.colno}: {error.msg}")]) from None
    except (ValueError, RecursionError) as error:
        raise Problems([Problem(file, None, "", f"not JSON as it should be: {error}")]) from None
    if not isinstance(content, dict):
        raise Problems([Problem(file, None, "", "the file must be a mapping of recipe fields")])
    return as_node(content, file)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for key, _ in pairs:
        if sum(name == key for name, _ in pairs) > 1:
            raise ValueError(f"the key {key} stands twice")
    return found
