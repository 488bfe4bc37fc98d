"""`softaug evaluate` measures what is missing of the trials that finished, tells what it cannot, and shows the rest."""

import json
import signal
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from sweeps import evaluate as evaluate_module
from sweeps import launched
from sweeps.cli import evaluate as cli_evaluate
from sweeps.cli.evaluate_text import evaluation_json, print_evaluation, print_what_lacks, progress_on
from sweeps.cli.options import percents_of
from sweeps.evaluate import Job, Outcome, areas, cell_views, evaluate, unfit_tests
from sweeps.launch.preflight import Refused
from sweeps.survey import survey
from tests.conftest import Softaug
from tests.sweeps import ledgers
from trainables.evaluation import conditions, path_of
from trainables.ledger import AttemptFolder, TrialFolder
from trainables.store import Store, open_store

SWEEP = ledgers.small_sweep()
FIRST, SECOND, THIRD, LAST = SWEEP.trial_keys


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with a whole cell, and one of which a seed has finished and one has not."""
    store = open_store(tmp_path / "store")
    launched.save(store, SWEEP)
    for key, error in ((FIRST, 2.0), (SECOND, 4.0), (THIRD, 6.0)):
        ledgers.finish(ledgers.begin(store, key), error)
    return store


def folder(store: Store, key: str) -> AttemptFolder:
    return AttemptFolder(TrialFolder(store, key), 1)


def job(store: Store) -> Job:
    return Job(str(store.root), None, tuple(ledgers.FORTY), "c0ffee", False)


def run(store: Store, *, told: list[tuple[int, int]] | None = None) -> Outcome:
    tell: Callable[[int, int], None] = (lambda *_: None) if told is None else lambda *each: told.append(each)
    return evaluate(SWEEP, job(store), at_once=1, progress=tell)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let evaluations be made up; return the list to which every trial that is evaluated is added."""
    keys: list[str] = []

    def make_up(job: Job, key: str) -> str:
        keys.append(key)
        ledgers.evaluate(folder(open_store(job.store), key), {FIRST: 2.0, SECOND: 4.0}.get(key, 6.0))
        return ""

    monkeypatch.setattr(evaluate_module, "evaluate_one", make_up)
    return keys


def shown(store: Store, wanted: Any = ledgers.FORTY) -> list[str]:
    on = Console(file=StringIO(), width=120, color_system=None)
    views = cell_views(store, SWEEP, tuple(wanted))
    print_evaluation(on, views, [0, 40], "mean", areas(store, SWEEP))
    assert isinstance(on.file, StringIO)
    return [" ".join(line.split()) for line in on.file.getvalue().splitlines()]


def test_only_what_has_finished_and_lacks_something_is_evaluated(store: Store, asked: list[str]) -> None:
    ledgers.evaluate(folder(store, FIRST))
    ledgers.evaluate(folder(store, SECOND), wanted=ledgers.FORTY[:-1])
    told: list[tuple[int, int]] = []
    assert run(store, told=told) == Outcome({}, unfinished=1)
    assert asked == [SECOND, THIRD]
    assert told == [(0, 2), (1, 2), (2, 2)]
    del asked[:]
    run(store)
    assert asked == []


def test_a_cell_has_means_once_all_its_seeds_are_evaluated(store: Store, asked: list[str]) -> None:
    asked.append("the fixture is used")
    run(store)
    assert shown(store) == [
        "top-1 error %, by how much of every image is covered (mean colour; in whole pixels 40.0 %)",
        "cell n 0 % 40 %",
        "standard crop 2/2 3.00 ± 1.00 4.00 ± 1.00",
        "hard Gaussian crop, sigma 0.3 1/2 – –",
        "",
        "calibration, nothing covered",
        "cell n ECE % adaptive % classwise % NLL nats Brier score",
        "standard crop 2/2 1.50 ± 0.50 1.50 ± 0.50 – – –",
        "hard Gaussian crop, sigma 0.3 1/2 – – – – –",
    ]
    assert shown(store, conditions([20, 40], "mean", 3))[2] == "standard crop 0/2 – –", "not all that was asked for"
    told = evaluation_json(SWEEP, cell_views(store, SWEEP, tuple(ledgers.FORTY)), Outcome({LAST: "why"}, 0), {40: 39.1})
    assert [(cell["n"], cell["expected"]) for cell in told["cells"]] == [(2, 2), (1, 2)]
    assert told["cells"][0]["metrics"]["test/occlusion_40/top1_error"] == {"mean": 4.0, "se": 1.0}
    assert told["cells"][1]["metrics"] == {}
    assert json.loads(json.dumps(told))["problems"] == {LAST: "why"}


def test_without_occlusion_there_is_one_table(store: Store) -> None:
    on = Console(file=StringIO(), width=120, color_system=None)
    ledgers.evaluate(folder(store, FIRST), 2.0)
    ledgers.evaluate(folder(store, SECOND), 4.0)
    print_evaluation(on, cell_views(store, SWEEP, tuple(ledgers.FORTY[:1])), [0], "mean", {})
    assert isinstance(on.file, StringIO)
    heading, row, _ = on.file.getvalue().splitlines()
    assert heading.split()[:4] == ["cell", "n", "top-1", "error"]
    assert " ".join(row.split()).startswith("standard crop 2/2 3.00 ± 1.00 1.50 ± 0.50")


def test_further_test_sets_have_a_table_each(store: Store) -> None:
    on, wanted = Console(file=StringIO(), width=120, color_system=None), conditions([], "mean", 3, ["imagenet-v2"])
    ledgers.evaluate(folder(store, FIRST), 2.0, wanted)
    ledgers.evaluate(folder(store, SECOND), 4.0, wanted)
    print_evaluation(on, cell_views(store, SWEEP, tuple(wanted)), [0], "mean", {}, ["imagenet-v2"])
    assert isinstance(on.file, StringIO)
    *_, gap, title, heading, row, _ = (" ".join(line.split()) for line in on.file.getvalue().splitlines())
    assert (gap, title) == ("", "ImageNet-V2 matched-frequency")
    assert heading.startswith("cell n top-1 error % ECE %")
    assert row.startswith("standard crop 2/2 3.00 ± 1.00")
    assert unfit_tests(SWEEP, ["imagenet-v2"]) == [
        "--test-on imagenet-v2 is for networks trained on imagenet; small@smoke trains on digits"
    ]


def test_why_trials_are_not_evaluated_is_told_with_cell_and_seed(
    store: Store, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(f"{TrialFolder(store, FIRST).path}/end.json", b"")
    made_up = evaluate_module.evaluate_one
    monkeypatch.setattr(
        evaluate_module, "evaluate_one", lambda job, key: "it differs" if key == SECOND else made_up(job, key)
    )
    outcome = run(store)
    assert asked == [THIRD]
    print_what_lacks(SWEEP, outcome)
    said = capsys.readouterr()
    assert said.out == "1 trial of 4 not finished, so not evaluated\n"
    damaged, differs = said.err.splitlines()
    assert damaged.startswith(f"error: standard crop, seed 0 (trial {FIRST[:12]}) is not evaluated: trials/")
    assert differs == f"error: standard crop, seed 1 (trial {SECOND[:12]}) is not evaluated: it differs"


def test_weights_that_cannot_be_believed_are_a_problem_of_that_trial_alone(store: Store) -> None:
    """The made-up ledger holds no tensors, so that the real evaluation refuses each of its trials."""
    outcome = run(store)
    assert list(outcome.problems) == [FIRST, SECOND, THIRD]
    assert "data set digits here has the fingerprint" in outcome.problems[FIRST]
    assert not store.exists(path_of(folder(store, FIRST)))


def test_what_torch_cannot_do_is_a_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables.evaluate import Evaluator

    def no_memory(*_: Any) -> None:
        raise RuntimeError("no memory\nfor this " + "x" * 1000)

    monkeypatch.setattr(Evaluator, "evaluate", no_memory)
    said = run(store).problems[FIRST]
    assert said.startswith("RuntimeError: no memory for this x")
    assert len(said) == 300


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), {"interrupted": True}),
        (OSError(28, "No space left on device"), {"trouble": "is full"}),
        (OSError(5, "Input/output error"), {"trouble": "cannot be used: Input/output error; once it can be"}),
    ],
)
def test_it_ends_early_with_what_it_has(
    store: Store, asked: list[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, expected: dict[str, Any]
) -> None:
    made_up = evaluate_module.evaluate_one

    def fail_at_the_second(job: Job, key: str) -> str:
        if key == SECOND:
            raise error
        return made_up(job, key)

    monkeypatch.setattr(evaluate_module, "evaluate_one", fail_at_the_second)
    before = signal.getsignal(signal.SIGTERM)
    outcome = run(store)
    assert signal.getsignal(signal.SIGTERM) == before
    assert outcome.interrupted == expected.get("interrupted", False)
    assert expected.get("trouble", "") in (outcome.trouble or "")
    assert asked == [FIRST]


def test_sigterm_is_what_ctrl_c_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_job: Job, _key: str) -> str:
        signal.raise_signal(signal.SIGTERM)
        return ""

    monkeypatch.setattr(evaluate_module, "evaluate_one", wait)
    assert run(store).interrupted


def test_nothing_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no trial of small@smoke has finished; see `softaug status small`"):
        run(open_store(tmp_path))


def test_data_are_needed_only_if_something_is_to_do(
    store: Store, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_module, "missing_data", lambda *_: ["data set 'digits' is not there"])
    with pytest.raises(Refused, match="data set 'digits'"):
        run(store)
    assert asked == []
    for key in (FIRST, SECOND, THIRD):
        ledgers.evaluate(folder(store, key))
    assert run(store) == Outcome({}, unfinished=1)


@pytest.mark.parametrize(
    ("device", "threads", "at_once", "processes"),
    [("cpu", 1, None, 6), ("cpu", 2, None, 3), ("cpu", 8, None, 1), ("cpu", 1, 2, 2), ("NVIDIA A100", 1, None, 1)],
)
def test_as_many_processes_as_threads_fit_on_the_cores_and_one_for_a_gpu(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    threads: int,
    at_once: int | None,
    processes: int,
) -> None:
    monkeypatch.setattr(evaluate_module.os, "sched_getaffinity", lambda _: set(range(6)))
    end = TrialFolder(store, FIRST).end()
    assert end is not None
    path = f"{TrialFolder(store, FIRST).path}/end.json"
    store.write(path, end.model_copy(update={"device": device, "threads": threads}).sealed(path))
    now = survey(store, SWEEP)
    assert evaluate_module._processes(now, [FIRST] * 40, at_once) == processes
    assert evaluate_module._processes(now, [FIRST], at_once) == 1


def test_progress_is_a_line_at_first_every_few_seconds_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("sweeps.cli.evaluate_text.time.monotonic", lambda: float(next(clock)))
    on = Console(file=StringIO(), width=120, color_system=None)
    with progress_on(on) as progress:
        for done in range(7):
            progress(done, 6)
    assert isinstance(on.file, StringIO)
    lines = on.file.getvalue().splitlines()
    assert lines[0] == "0 of 6 trials evaluated"
    assert lines[-1] == "6 of 6 trials evaluated"
    assert len(lines) == 3
    assert any("left" in line for line in lines[1:-1])


def test_progress_in_a_terminal_is_a_bar_and_quiet_is_nothing() -> None:
    for quiet in (False, True):
        on = Console(file=StringIO(), width=120, force_terminal=True, color_system=None)
        with progress_on(on, quiet=quiet) as progress:
            progress(0, 2)
            progress(1, 2)
        assert isinstance(on.file, StringIO)
        assert ("1 of 2 trials evaluated" in on.file.getvalue()) != quiet


def test_an_mlflow_that_goes_away_meanwhile_is_a_warning(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: Any) -> None:
        raise Refused(["MLflow at http://mlflow: gone"])

    monkeypatch.setattr(cli_evaluate, "bring_level", gone)
    cli_evaluate._sync(store, SWEEP, "http://mlflow")
    assert capsys.readouterr().err == "warning: MLflow at http://mlflow: gone: run `softaug sync small`\n"


def test_percentages_are_whole_and_below_a_hundred() -> None:
    assert percents_of("40, 0,20,40") == [0, 20, 40]
    for text in ("", "a", "0.2", "100", "-20", "20,,40"):
        with pytest.raises(typer.BadParameter, match="whole percentages of 0 to 99"):
            percents_of(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("quickstart", "--occlusion", "100"), "'100' is no list of whole percentages"),
        (("quickstart", "--occlusion-seeds", "2"), "greater than or equal to 3"),
    ],
    ids=["percentage", "seeds"],
)
def test_bad_input_is_refused(softaug: Softaug, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = softaug("evaluate", *arguments, "--store", tmp_path / "runs")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert not (tmp_path / "runs").exists()
