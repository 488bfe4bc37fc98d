"""Commands on a sweep's search: export; and its figures, which the commands that bring MLflow level draw for it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.options import STORE, ScaleOption, StoreOption, SweepArgument, without_password
from sweeps.cli.terminal import say, say_on_stderr, warn_of_damaged_sweeps
from sweeps.launch.preflight import Refused
from sweeps.launched import chosen
from sweeps.resolved import ResolvedSweep
from trainables.folder_store import unwritable
from trainables.store import Store, open_store

if TYPE_CHECKING:
    from sweeps.search.history import History

commands = typer.Typer()


@commands.command()
def export(
    sweep: SweepArgument,
    optuna: Annotated[Path, typer.Option("--optuna", metavar="FILE", help="SQLite file, for optuna-dashboard.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
) -> None:
    """Write a search as an Optuna study, for optuna-dashboard and your own analysis."""
    opened = open_store(store)
    (wanted,) = chosen(opened, [sweep], scale)
    warn_of_damaged_sweeps(opened)
    file = optuna.expanduser().absolute()
    problems = [] if wanted.search is not None else [f"sweep {wanted.name} has no search, so no study to write"]
    if file.is_dir():
        problems.append(f"--optuna {file} is a folder; name a file in it")
    elif file.exists() and not force:
        problems.append(f"--optuna {file} is there already; replace it with --force, or name another file")
    if problems or (problems := unwritable(file.parent, "folder", "--optuna")):
        raise Refused(problems)
    from sweeps.search.export import write_study
    from sweeps.search.history import history

    now = history(opened, wanted)
    write_study(now, file)
    say(f"wrote {len(now.asked)} cells into {file}; look at them with `optuna-dashboard sqlite:///{file}`")


def histories(store: Store, wanted: list[ResolvedSweep]) -> "dict[str, History]":
    """Return how the searches of these sweeps went, by experiment."""
    searched = [each for each in wanted if each.search is not None]
    if not searched:
        return {}
    from sweeps.search.history import history

    return {each.experiment: history(store, each) for each in searched}


def show_figures(store: Store, wanted: list[ResolvedSweep], uri: str) -> None:
    """Draw the searches' figures into MLflow, where they are not yet; that this fails is a warning.

    Not while a launch goes on and more cells may come: it draws them at its end.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from trainables import launches

    alive = {launch.sweep for launch in launches.alive(store).values()}
    for experiment, now in histories(store, wanted).items():
        if experiment in alive and not now.over:
            continue
        try:
            _show(store, now, uri)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            reason = f"MLflow at {without_password(uri)}: {str(error).splitlines()[0]}"
            say_on_stderr("warning", f"the figures of {experiment} are not in MLflow; run softaug sync ({reason})")


def _show(store: Store, now: "History", uri: str) -> None:
    from sweeps.tracker import search_run
    from sweeps.tracker.runs import Experiment

    experiment = Experiment(store, now.sweep, uri)
    run = search_run.run_without_figures(experiment, now)
    if run is None:
        return
    from analysis.search.figures import write_search_figures

    with TemporaryDirectory(prefix="softaug-") as folder:
        _, files = write_search_figures(now, Path(folder))
        search_run.upload_figures(experiment, run, now, [file for file in files if file.suffix != ".pdf"])
