"""What the parts of a sweep file are made of: names, texts, values, seeds, recipe fields."""

from math import isfinite
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

T = TypeVar("T")
NAME_IN_WORDS = "1 to 64 letters, digits, dots, underscores or hyphens, the first a letter or digit"
RECIPE_FIELDS = "#/$defs/RecipeFields"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text in one line, without control characters")
    return text


def _unfolded(text: str) -> str:
    return _printable(" ".join(text.split()))


def _number_or_text(value: object) -> float | int | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("every value of an axis must be a number or a text")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value} is not finite")
    return value


def without_repeats(values: list[T]) -> list[T]:
    """Return the values, or raise ValueError if one is listed twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value} is listed twice; remove one")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description=f"a name of {NAME_IN_WORDS}")]
Text = Annotated[str, AfterValidator(_unfolded), Field(min_length=1, max_length=1000)]
Label = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=80)]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**32)]],
    Field(min_length=1, max_length=1000),
    AfterValidator(without_repeats),
]
AxisValue = Annotated[
    float | int | str, PlainValidator(_number_or_text), WithJsonSchema({"type": ["number", "string"]})
]
AxisValues = Annotated[list[AxisValue], Field(min_length=1, max_length=1000), AfterValidator(without_repeats)]
# pydantic refuses a $ref to what it did not make itself; schema() puts it right.
RecipeFields = Annotated[dict[str, Any], WithJsonSchema({"x-ref": RECIPE_FIELDS})]


class Entry(BaseModel):
    """Base of every part of a sweep file: frozen, no unknown fields, no silent conversions, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
