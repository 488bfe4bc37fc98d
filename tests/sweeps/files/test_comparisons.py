"""What a cell is compared with, and which of the paper's numbers are its own, from the sweep file to the store."""

import json
from typing import Any

import pytest

from sweeps.files.expand import resolve
from sweeps.problems import Problems
from sweeps.resolved import Published, ResolvedSweep

FILE = """\
name: tiny
question: Does it?
seeds: [0]
baseline: hard
base: {data: {name: digits}, model: {name: resnet8}, crop: {kind: uniform, radius_px: 1}}
axes: {sigma: {field: crop.sigma, label: s, values: [0.1, 0.2]}}
arms:
  - {name: hard, published: [{table: "2", dataset: cifar10, model: resnet18, method: baseline}]}
  - {name: soft, set: {crop: {kind: gaussian}, softening: {apply_to: both}}, over: [sigma]}
  - {name: wide hard, set: {model: {width: 32}}}
  - name: wide soft
    set: {model: {width: 32}, crop: {kind: gaussian}, softening: {apply_to: both}}
    against: wide hard
scales:
  paper: {}
  small: {drop: [soft]}
"""


def pairs(sweep: ResolvedSweep) -> list[tuple[str, str]]:
    return [(cell.title, base.title) for cell, base in sweep.comparisons]


def stored(sweep: ResolvedSweep, *, without: tuple[str, ...] = ()) -> ResolvedSweep:
    values: dict[str, Any] = json.loads(sweep.model_dump_json())
    for cell in values["cells"]:
        for name in without:
            del cell[name]
    return ResolvedSweep.model_validate_json(json.dumps(values))


def test_a_cell_is_compared_with_the_arm_it_names_else_with_the_baseline() -> None:
    """wide hard is a baseline itself, and compared with nothing."""
    sweep = resolve(FILE, "f.yaml")
    assert pairs(sweep) == [("soft, sigma 0.1", "hard"), ("soft, sigma 0.2", "hard"), ("wide soft", "wide hard")]
    assert [sweep.compared_with(cell) for cell in sweep.cells if cell.arm in ("hard", "wide hard")] == [None, None]


def test_a_baseline_that_names_an_arm_is_compared_with_it() -> None:
    sweep = resolve(FILE.replace("width: 32}}}", "width: 32}}, against: hard}"), "f.yaml", scale="small")
    assert pairs(sweep) == [("wide hard", "hard"), ("wide soft", "wide hard")]


def test_a_scale_may_keep_some_arms_and_have_a_baseline_of_its_own() -> None:
    sweep = resolve(FILE + "  wide: {keep: [wide hard, wide soft], baseline: wide hard}\n", "f.yaml", scale="wide")
    assert ([cell.arm for cell in sweep.cells], sweep.baseline) == (["wide hard", "wide soft"], "wide hard")
    assert pairs(sweep) == [("wide soft", "wide hard")]


def test_the_papers_numbers_are_carried_to_the_cell() -> None:
    sweep = stored(resolve(FILE, "f.yaml"))
    reference = Published(table="2", dataset="cifar10", model="resnet18", method="baseline")
    assert [cell.published for cell in sweep.cells] == [[reference], [], [], [], []]


def test_a_sweep_stored_before_is_compared_with_its_baseline() -> None:
    sweep = stored(resolve(FILE, "f.yaml"), without=("published", "against"))
    assert pairs(sweep) == [
        ("soft, sigma 0.1", "hard"),
        ("soft, sigma 0.2", "hard"),
        ("wide hard", "hard"),
        ("wide soft", "hard"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "[soft]",
            "[wide hard]",
            "16: scales.small.drop[0]: wide soft is compared with wide hard, which is left out "
            "(drop both, or keep both)",
        ),
        (
            "against: wide hard",
            "against: soft",
            "13: arms[3].against: 2 cells at scale paper, must be one: other cells are compared with it "
            "(name an arm that runs over no axis)",
        ),
    ],
)
def test_what_cannot_be_compared_with_is_refused(old: str, new: str, expected: str) -> None:
    with pytest.raises(Problems) as caught:
        resolve(FILE.replace(old, new), "f.yaml")
    assert f"f.yaml:{expected}" in str(caught.value).splitlines()
