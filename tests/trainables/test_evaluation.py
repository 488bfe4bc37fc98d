"""Evaluations in the ledger: they grow, are never mixed over versions or origins, and damaged ones are not believed."""

from pathlib import Path

import pytest

from softaug.versions import EVALUATION
from tests.sweeps import ledgers
from tests.sweeps.ledgers import FORTY, made_up_evaluation
from tests.trainables.test_damage import DAMAGES, Damage
from trainables import evaluation
from trainables.evaluation import UNCOVERED, Condition, conditions
from trainables.ledger import AttemptFolder
from trainables.sealed import Damaged
from trainables.store import open_store

KEY = ledgers.small_sweep().trial_keys[0]


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptFolder:
    return ledgers.begin(open_store(tmp_path), KEY)


def measured(attempt: AttemptFolder) -> list[Condition]:
    found = evaluation.read(attempt)
    return [] if found is None else [each.condition for each in found.measurements]


def test_conditions_are_each_percentage_with_every_seed_after_the_uncovered_images() -> None:
    covered = [Condition(percent, "black", seed) for percent in (20, 40) for seed in range(2)]
    assert conditions([40, 0, 20, 40], "black", 2) == [UNCOVERED, *covered]
    assert conditions([], "mean", 3) == [UNCOVERED]
    further = [(0, None, None, "imagenet-v2")]
    assert conditions([20], "mean", 1, ["imagenet-v2"]) == [UNCOVERED, Condition(20, "mean", 0), *further]


def test_it_survives_the_round_trip(attempt: AttemptFolder) -> None:
    assert evaluation.read(attempt) is None
    evaluation.write(attempt, made_up_evaluation())
    assert evaluation.read(attempt) == evaluation.current(attempt) == made_up_evaluation()


def test_what_two_processes_measure_at_once_is_all_kept(attempt: AttemptFolder) -> None:
    first = made_up_evaluation(wanted=conditions([40], "mean", 3))
    evaluation.write(attempt, first)
    evaluation.write(attempt, made_up_evaluation(8.0, conditions([20], "mean", 3)))
    assert measured(attempt) == conditions([20, 40], "mean", 3)
    both = evaluation.read(attempt)
    assert both is not None
    assert [each for each in both.measurements if each.condition in FORTY] == first.measurements, "as they were"


@pytest.mark.parametrize("other", [{"version": EVALUATION - 1}, {"commit": "other"}])
def test_other_versions_and_origins_are_replaced_not_added_to(attempt: AttemptFolder, other: dict[str, int]) -> None:
    evaluation.write(attempt, made_up_evaluation(**other))
    assert (evaluation.current(attempt) is None) == ("version" in other)
    evaluation.write(attempt, made_up_evaluation(wanted=[UNCOVERED]))
    assert measured(attempt) == [UNCOVERED]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_one_is_named_not_believed_and_not_overwritten(attempt: AttemptFolder, damage: Damage) -> None:
    path = evaluation.path_of(attempt)
    evaluation.write(attempt, made_up_evaluation())
    wrong = damage(attempt.store.read(path), made_up_evaluation().sealed("trials/elsewhere/evaluation.json"))
    attempt.store.write(path, wrong)
    assert evaluation.current(attempt) is None
    with pytest.raises(Damaged, match=f"^{path} "):
        evaluation.write(attempt, made_up_evaluation())
    assert attempt.store.read(path) == wrong


def test_values_are_means_over_three_seeds_or_more() -> None:
    wanted = [*conditions([40], "black", 4), *conditions([20], "mean", 3)[1:], Condition(60, "mean", 0)]
    assert made_up_evaluation(7.0, wanted).values() == {
        "test/top1_error": (7.0, 2000.0),
        "test/adaptive_ece": (3.5, 2000.0),
        "test/occlusion_40_black/top1_error": (8.5, 2003.0),
        "test/occlusion_40_black/adaptive_ece": (3.5, 2003.0),
        "test/occlusion_20/top1_error": (8.0, 2002.0),
        "test/occlusion_20/adaptive_ece": (3.5, 2002.0),
    }


def test_the_digest_changes_with_any_number() -> None:
    same = [made_up_evaluation().digest for _ in range(2)]
    others = [made_up_evaluation(8.0), made_up_evaluation(commit="other"), made_up_evaluation(wanted=FORTY[:-1])]
    assert len({*same, *(each.digest for each in others)}) == 4
