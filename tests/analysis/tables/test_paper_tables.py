"""Tables 1 to 9: every published number in its place, ours beside it, holes and refusals."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from mlflow import MlflowClient
from paper_runs import SMALL, arms, results, runs, with_facts
from scipy import stats
from synthetic import lose, project

from analysis.compare import holm
from analysis.published import published
from analysis.results import read_results, results_of
from analysis.runs import Unreadable
from analysis.tables.formats import FORMATS, to_csv, to_markdown
from analysis.tables.paper_layouts import LAYOUTS, TABLE_1, TABLE_2, TABLE_3, TABLE_9, Place
from analysis.tables.paper_results import check_scales, fill, fills
from analysis.tables.paper_tables import judged, paper_table, table_of
from analysis.tables.table import Table

V2_ERROR = "test/imagenet-v2/top1_error"
METHODS = ("baseline", "sa", "ra", "sa+ra")
R18 = {method: Place("2", "cifar100", "resnet18", method) for method in METHODS}
NAMED = {method: [place] for method, place in R18.items()}
SWEEP = arms(NAMED)
ERRORS = {
    "baseline": [20.7, 20.8, 20.9],
    "sa": [18.2, 18.31, 18.41],
    "ra": [21.9, 22.02, 22.1],
    "sa+ra": [18.0, 18.1, 18.3],
}


def places(table: Table, name: str) -> dict[str, list[str]]:
    """The four rows of a line of Table 2, by what they are."""
    names = [[entry.text for entry in row.entries] for row in table.rows]
    start = next(number for number, row in enumerate(names) if row[1] == name)
    return {row[2]: row[3:] for row in names[start : start + 4]}


def test_what_mlflow_holds_fills_a_table(client: MlflowClient, tmp_path: Path) -> None:
    project(client, SWEEP, runs(SWEEP, ERRORS), tmp_path, pictures=False)
    stranger = arms({"baseline": []}, name="stranger")  # has no number in the table, and is not in MLflow
    text = paper_table("2", [SWEEP, stranger], tracking_uri=client.tracking_uri, form="csv")
    assert text == to_csv(table_of(TABLE_2, [results(SWEEP, ERRORS)]))


def test_an_mlflow_without_the_sweep_is_refused(client: MlflowClient) -> None:
    with pytest.raises(Unreadable, match="no experiment 'table-2@paper'"):
        paper_table("2", [SWEEP], tracking_uri=client.tracking_uri, form="markdown")


def test_links_lead_to_the_cells(client: MlflowClient, tmp_path: Path) -> None:
    project(client, SWEEP, runs(SWEEP, ERRORS), tmp_path, pictures=False)
    pages = {("table-2@paper", cell.cell_key): f"http://ui/{cell.arm}" for cell in SWEEP.cells}
    table = table_of(TABLE_2, [read_results(SWEEP, client)], pages=pages)
    links = [link for row in table.rows for entry in row.entries for link in entry.links]
    assert [link.url for link in links] == [f"http://ui/{method}" for method in METHODS]
    assert links[0].text == "20.80 ± 0.06 (3)"


def test_every_published_number_of_the_tables_has_one_place() -> None:
    """And no place is without a number; the oracle is published.json."""
    placed = [place.published for layout in LAYOUTS.values() for _, place in layout.places]
    expected = [row for row in published() if row.table != "text"]
    assert len(placed) == len(expected) == 162
    assert sorted(placed, key=repr) == sorted(expected, key=repr)
    assert all(row.table == number for number, layout in LAYOUTS.items() for row in
               (place.published for _, place in layout.places))  # fmt: skip


@pytest.mark.parametrize(
    ("number", "name", "mean"),
    [
        ("1", "Mixup Kim et al. [20]", 22.43),
        ("1", "Focal Loss (α = 5) the authors", 20.69),
        ("2", "CIFAR-100 ResNet-18, RA", 20.99),
        ("2", "CIFAR-10 WideResNet-28, SA+RA", 2.45),
        ("2", "ImageNet-V2 ResNet-101, SA", 31.81),
        ("3", "SNGP [30], CIFAR-10 ECE", 1.80),
        ("3", "SA + TrivialAugment, CIFAR-100 top-1 error", 14.24),
        ("4", "CIFAR-100, SA#2 (lr 0.1)", 37.39),
        ("5", "Kim et al. [21] Puzzle Mix", 19.62),
        ("6", "SA-Noise (k = 1)", 19.20),
        ("7", "ImageNet-V2, RA", 8.84),
        ("8", "CIFAR-100 lr 0.4, SA#1", 37.68),
        ("9", "k = 3", 36.34),
    ],
)
def test_places_hold_what_the_paper_prints_under_that_name(number: str, name: str, mean: float) -> None:
    """Read in the paper, by row and column."""
    assert dict(LAYOUTS[number].places)[name].published.mean == mean


def test_numbers_by_hand() -> None:
    table = table_of(TABLE_2, [results(SWEEP, ERRORS)])
    found = places(table, "ResNet-18")
    assert found["ours (n)"] == ["20.80 ± 0.06 (3)", "18.31 ± 0.06 (3)", "22.01 ± 0.06 (3)", "18.13 ± 0.09 (3)"]
    assert found["paper"] == ["20.80 ± 0.11", "18.31 ± 0.17", "20.99 ± 0.11", "18.10 ± 0.20"]
    assert [text.split(" [")[0] for text in found["difference"]] == ["+0.00", "−0.00", "+1.02", "+0.03"]
    assert [text.split(" (")[0] for text in found["verdict"]] == ["agrees", "agrees", "differs", "agrees"]


def test_bold_is_better_by_a_paired_test_over_the_family() -> None:
    """SA and SA+RA are better, RA is worse: three comparisons in the family."""
    found = {each.filled.place: each for all_ in judged(TABLE_2, [results(SWEEP, ERRORS)]).values() for each in all_}
    base = ERRORS["baseline"]
    expected = holm([stats.ttest_rel(base, ERRORS[method]).pvalue for method in METHODS[1:]])
    assert [found[R18[method]].p_holm for method in METHODS[1:]] == pytest.approx(expected)
    assert found[R18["baseline"]].p_holm is None
    assert max(expected) < 0.05
    assert [found[R18[method]].bold for method in METHODS] == [False, True, False, True]


def test_a_hole_stays_in_the_family() -> None:
    """With two of three comparisons lost the third is still corrected for three."""
    lost = [
        lose(run, "diverged") if run.arm in ("ra", "sa+ra") and run.seed == 0 else run for run in runs(SWEEP, ERRORS)
    ]
    found = judged(TABLE_2, [results_of(SWEEP, lost)])[R18["sa"]]
    p = stats.ttest_rel(ERRORS["baseline"], ERRORS["sa"]).pvalue
    assert found[0].p_holm == pytest.approx(3 * p)


def test_a_lost_seed_is_a_hole_with_its_reason() -> None:
    lost = [
        lose(run, "failed", "CUDA error") if (run.arm, run.seed) == ("sa", 1) else run for run in runs(SWEEP, ERRORS)
    ]
    table = table_of(TABLE_2, [results_of(SWEEP, lost)])
    found = places(table, "ResNet-18")
    assert found["ours (n)"][1] == "2/3"
    assert (found["paper"][1], found["difference"][1], found["verdict"][1]) == ("18.31 ± 0.17", "–", "")
    assert "CIFAR-100 ResNet-18, SA (sa): seed 1 failed (CUDA error)" in table.notes


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("epochs", "9", "seeds differ in epochs: 150 (seeds 0, 2), 9 (seed 1)"),
        ("data_fingerprint", "aa", "seeds differ in data_fingerprint: 5f3a (seeds 0, 2), aa (seed 1)"),
        ("torch", "2.13.0", "seeds differ in torch: 2.14.1 (seeds 0, 2), 2.13.0 (seed 1)"),
        ("device", "NVIDIA V100", "seeds differ in device class: CPU (seeds 0, 2), GPU (seed 1)"),
    ],
)
def test_unequal_seeds_are_never_averaged(fact: str, value: str, said: str) -> None:
    mixed = [
        with_facts(run, **{fact: value}) if (run.arm, run.seed) == ("sa", 1) else run for run in runs(SWEEP, ERRORS)
    ]
    (found,) = judged(TABLE_2, [results_of(SWEEP, mixed)])[R18["sa"]]
    assert (found.ours, found.filled.hole) == (None, said)


def test_another_setting_is_not_compared_with_the_paper() -> None:
    table = table_of(TABLE_2, [results(arms(NAMED, base=SMALL, scale="laptop"), ERRORS)])
    found = places(table, "ResNet-18")
    assert found["ours (n)"][0] == "20.80 ± 0.06 (3)"
    assert found["difference"] == ["–"] * 4
    assert found["verdict"] == ["not comparable: laptop scale"] * 4
    assert (
        "Not comparable with the paper: data digits, not cifar100; 300 training images, not all; network resnet8 of "
        "width 16, not resnet18 of 64; epochs 9, not 500." in table.notes
    )


def test_scales_are_never_mixed() -> None:
    laptop, smoke = (arms(NAMED, base=SMALL, scale=scale) for scale in ("laptop", "smoke"))
    check_scales([laptop, arms(NAMED, base=SMALL, name="other", scale="laptop")])
    paper, imagenet = (arms(NAMED, scale=scale) for scale in ("paper", "imagenet"))
    check_scales([paper, imagenet])
    with pytest.raises(ValueError, match=r"table-2@laptop, table-2@smoke: one table holds .* with --scale"):
        check_scales([laptop, smoke])
    with pytest.raises(ValueError, match=r"table-2@paper, table-2@laptop: one table holds"):
        check_scales([paper, laptop])


def test_two_recipes_of_two_sweeps_for_a_number_are_a_hole() -> None:
    other = arms({"baseline": [], "mine": [R18["sa"]]}, base={**SMALL}, name="other")
    errors = {"baseline": [1.0, 2.0, 3.0], "mine": [1.0, 2.0, 3.0]}
    (found,) = fill(R18["sa"], [results(SWEEP, ERRORS), results(other, errors)])
    assert found.values == {}
    assert found.hole == (
        "different recipes for one number: mine of other@paper, sa of table-2@paper; name one with --sweep"
    )


def test_a_cell_of_two_sweeps_counts_once_and_the_complete_one_counts() -> None:
    twin = arms(NAMED, name="twin")
    lost = [lose(run, "running") if run.arm == "sa" else run for run in runs(SWEEP, ERRORS)]
    (found,) = fill(R18["sa"], [results_of(SWEEP, lost), results(twin, ERRORS)])
    assert (found.source, len(found.values)) == ("twin@paper", 3)


def test_several_arms_for_a_number_are_each_shown() -> None:
    place = Place("1", "cifar100", "resnet18", "label_smoothing")
    one = arms({"baseline": [], "LS 0.1": [place], "LS 0.2": [place]}, name="table-1")
    errors = {"baseline": [20.7, 20.8, 20.9], "LS 0.1": [19.4, 19.5, 19.7], "LS 0.2": [19.0, 19.1, 19.3]}
    table = table_of(TABLE_1, [results(one, errors)])
    rows = [[entry.text for entry in row.entries[:3]] for row in table.rows]
    at = rows.index(["Label Smoothing", "the authors: LS 0.1", "19.53 ± 0.09 (3)"])
    assert rows[at + 1] == ["", "the authors: LS 0.2", "19.13 ± 0.09 (3)"]
    assert (
        sum(each.p_holm is not None for all_ in judged(TABLE_1, [results(one, errors)]).values() for each in all_) == 2
    )


def test_calibration_error_is_its_own_metric() -> None:
    place = Place("3", "cifar100", "wideresnet28_10", "baseline")
    one = arms(
        {"baseline": [place]}, base={**SMALL, "model": {"name": "wide-resnet28-10", "width": 16}}, name="table-3"
    )
    shown = table_of(TABLE_3, [results(one, {"baseline": [18.0, 18.2, 18.4]}, eces={"baseline": [4.0, 4.5, 5.0]})])
    (row,) = (row for row in shown.rows if row.entries[0].text == "Baseline")
    assert [entry.text for entry in row.entries[2:4]] == ["18.20 ± 0.12 (3)", "4.50 ± 0.29 (3)"]


def test_the_k_of_an_arm_chooses_its_row() -> None:
    reference = Place("9", "cifar100", "simsiam_resnet18", "sa#1")
    one = arms({"baseline": [], "k = 3": [reference]}, name="table-9", seeds=(0,))
    only = one.cells[1].model_copy(update={"published": [one.cells[1].published[0].model_copy(update={"k": 3.0})]})
    one = one.model_copy(update={"cells": [one.cells[0], only]})
    table = table_of(TABLE_9, [results(one, {"baseline": [38.0], "k = 3": [36.5]})])
    assert [row.entries[1].text for row in table.rows] == ["no runs", "no runs", "36.50 (1)", "no runs"]


def test_v2_is_not_imagenets_own_error() -> None:
    place = Place("2", "imagenetv2", "resnet50", "sa")
    one = arms({"baseline": [], "sa": [place]})
    (found,) = fill(place, [results(one, {"baseline": [3.0] * 3, "sa": [3.0] * 3})])
    hole = "0 of 3 seeds were evaluated: run `softaug evaluate --test-on imagenet-v2`"
    assert (found.values, found.hole) == ({}, hole)
    measured = results(one, {"baseline": [3.0] * 3, "sa": [3.0] * 3})
    cells = tuple(
        replace(cell, runs=tuple(replace(run, evaluated={V2_ERROR: 30.0 + run.seed}) for run in cell.runs))
        for cell in measured.cells
    )
    (found,) = fill(place, [replace(measured, cells=cells)])
    assert (dict(found.values), found.hole) == ({0: 30.0, 1: 31.0, 2: 32.0}, "")


def test_quoted_numbers_are_no_holes() -> None:
    rows = [row for row in table_of(TABLE_1, []).rows if row.entries[-1].text == "quoted, not run"]
    assert len(rows) == 6
    assert not any(entry.hole for row in rows for entry in row.entries)


def test_csv_has_a_record_per_place_unrounded() -> None:
    records = list(csv.DictReader(StringIO(to_csv(table_of(TABLE_2, [results(SWEEP, ERRORS)])))))
    assert len(records) == 56
    (sa,) = (each for each in records if each["arm"] == "sa")
    assert float(sa["ours"]) == pytest.approx(sum(ERRORS["sa"]) / 3)
    assert (sa["published"], sa["published_se"], sa["ours_n"], sa["sweep"]) == ("18.31", "0.17", "3", "table-2@paper")
    assert sum(each["hole"] == "no runs" for each in records) == 52


@pytest.mark.parametrize("number", list(LAYOUTS))
def test_every_table_is_written_in_every_format_without_a_run(number: str) -> None:
    table = table_of(LAYOUTS[number], [])
    for write in FORMATS.values():
        assert f"Table {number}. " in write(table) or write is to_csv
    assert to_markdown(table).count("no runs") > 0
    assert not fills(SWEEP, number) or number == "2"
