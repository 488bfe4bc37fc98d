"""What the JSON schema of a sweep file allows, in words. A shape is a schema, or one of several alternatives."""

from typing import Any

from sweeps.files.entries import RECIPE_FIELDS
from sweeps.files.sweep_file import schema

Shape = dict[str, Any]

FILE: list[Shape] = [{"$ref": "#"}]
RECIPE: list[Shape] = [{"$ref": RECIPE_FIELDS}]
WORDS = {
    "integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "null",
}  # fmt: skip
BOUNDS = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}


def alternatives(shapes: list[Shape]) -> list[Shape]:
    """Return the shapes with references followed and unions taken apart."""
    found: list[Shape] = []
    for shape in shapes:
        if "$ref" in shape:
            found += alternatives([_referred(shape["$ref"])])
        elif "anyOf" in shape:
            found += alternatives(shape["anyOf"])
        else:
            found.append(shape)
    return found


def inside(shapes: list[Shape], key: str | int) -> list[Shape]:
    """Return what is allowed below a key or index; nothing if it has no place there."""
    if isinstance(key, int):
        return alternatives([shape["items"] for shape in shapes if "items" in shape])
    named = [shape["properties"][key] for shape in shapes if key in shape.get("properties", {})]
    return alternatives(named or [free for shape in shapes for free in _free_entries(shape)])


def of_kind(shapes: list[Shape], kind: str | int) -> list[Shape]:
    """Return the members of a union that `kind` selects; those without a kind stay."""
    return [shape for shape in shapes if shape.get("properties", {}).get("kind", {}).get("const", kind) == kind]


def keys(shapes: list[Shape]) -> list[str]:
    """Return the names of all fields."""
    return list(dict.fromkeys(key for shape in shapes for key in shape.get("properties", {})))


def choices(shapes: list[Shape]) -> list[str]:
    """Return the values of an enumeration."""
    listed = [shape.get("enum", [shape["const"]] if "const" in shape else []) for shape in shapes]
    return [str(value) for values in listed for value in values]


def types(shapes: list[Shape]) -> list[str]:
    """Return the JSON types."""
    found = [[shape["type"]] if isinstance(shape["type"], str) else shape["type"] for shape in shapes]
    return list(dict.fromkeys(kind for kinds in found for kind in kinds))


def in_words(shapes: list[Shape]) -> str:
    """Return type and range, such as "a whole number above 0 and at most 10000 or null"."""
    listed = choices(shapes)
    words = [f"one of {', '.join(listed)}"] if len(listed) > 1 else listed
    words += [_type_in_words(shape) for shape in shapes if not {"const", "enum"} & shape.keys()]
    return " or ".join(dict.fromkeys(words))


def _type_in_words(shape: Shape) -> str:
    if "pattern" in shape:
        return str(shape["description"])
    kinds = " or ".join(WORDS[kind] for kind in types([shape]))
    bounds = " and ".join(f"{word} {shape[bound]}" for bound, word in BOUNDS.items() if bound in shape)
    size = ""
    if "minItems" in shape:
        size = f"of {shape['minItems']} to {shape['maxItems']} values"
    if "minLength" in shape:
        size = f"of {shape['minLength']} to {shape['maxLength']} characters"
    return " ".join(word for word in (kinds, bounds, size) if word)


def _free_entries(shape: Shape) -> list[Shape]:
    """Return what is allowed below names of the user's choice, such as those of axes."""
    free = [shape.get("additionalProperties"), *shape.get("patternProperties", {}).values()]
    return [entry for entry in free if isinstance(entry, dict)]


def _referred(reference: str) -> Shape:
    place: Shape = schema()
    for key in reference.split("/")[1:]:
        place = place[key]
    return place
