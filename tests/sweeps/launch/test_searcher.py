"""The launch's Searcher: a search's trials first, arms while it waits, and nothing after a stop."""

from ray.tune.search import Searcher

from softaug.recipe import Recipe
from sweeps.launch.searcher import LedgerSearcher
from sweeps.resolved import ResolvedSweep, recipes_of
from tests.sweeps.ledgers import record_launch
from tests.sweeps.searches import LAUNCH, SPACE, Loop, sweep
from trainables import launches
from trainables.store import Store

SMALL = {"sigma": SPACE["sigma"], "k": SPACE["k"]}


def searcher(store: Store, wanted: ResolvedSweep, **how: object) -> tuple[LedgerSearcher, Loop]:
    loop = Loop(store)
    record_launch(store, LAUNCH)
    arms = [recipe for cell in wanted.cells for recipe in recipes_of(cell)]
    found = LedgerSearcher(
        store, LAUNCH, arms, changed=lambda *_: None, warn=lambda _: None, search=loop.run(wanted, **how)
    )
    return found, loop


def suggested(found: LedgerSearcher, trial: str) -> Recipe | None:
    config = found.suggest(trial)
    return Recipe.model_validate(config["recipe"]) if isinstance(config, dict) else None


def is_searched(recipe: Recipe | None) -> bool:
    assert recipe is not None
    return recipe.data.validation_images > 0


def test_arms_fill_the_slots_while_the_search_waits(store: Store) -> None:
    found, loop = searcher(store, sweep(SMALL, in_flight=2))
    first = [suggested(found, str(number)) for number in range(6)]
    assert [is_searched(recipe) for recipe in first] == [True, True, False, False, False, False]
    assert suggested(found, "6") is None, "not over: it waits"
    assert first[0] is not None
    loop.finish(first[0])
    found.on_trial_complete("0", {"state": "finished"})
    assert is_searched(suggested(found, "7"))


def test_a_configuration_says_at_which_epochs_to_report_what(store: Store) -> None:
    halving = {"kind": "asha", "grace_epochs": 2, "reduction": 2}
    found, _ = searcher(store, sweep(SMALL, in_flight=1, scheduler=halving, minimize=["val/nll"]))
    configs = [found.suggest(str(number)) for number in range(2)]
    assert [(config["rungs"], config["objective"]) for config in configs] == [([2, 4], "val/nll"), ([], "val/nll")]


def test_after_a_stop_nothing_comes(store: Store) -> None:
    found, loop = searcher(store, sweep(SMALL))
    assert suggested(found, "0") is not None
    launches.request_stop(store, LAUNCH)
    assert found.suggest("1") is None
    found.on_trial_complete("0", {"state": "interrupted"})
    assert found.suggest("2") == Searcher.FINISHED
    assert loop.said == []


def test_a_store_that_cannot_be_used_ends_the_search(store: Store) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    found, _ = searcher(store, sweep(SMALL), grown=broken)
    assert found.suggest("0") is None
    assert found.unsaved == f"the store {store.root} cannot be used: Input/output error"
    assert found.suggest("1") == Searcher.FINISHED


def test_without_a_search_the_list_is_all(store: Store) -> None:
    record_launch(store, LAUNCH)
    arms = [recipe for cell in sweep(SMALL).cells for recipe in recipes_of(cell)]
    found = LedgerSearcher(store, LAUNCH, arms, changed=lambda *_: None, warn=lambda _: None)
    assert [suggested(found, str(number)) for number in range(len(arms))] == arms
    for number in range(len(arms)):
        found.on_trial_complete(str(number), {"state": "finished"})
    assert found.suggest("end") == Searcher.FINISHED
