"""MLflow brought level with the ledger: what `report`, `figure`, `table` and `claims` do before they show anything."""

from collections.abc import Iterator
from contextlib import contextmanager

from sweeps.cli.options import tracking_uri_of, without_password
from sweeps.cli.search import show_figures
from sweeps.cli.terminal import say_on_stderr, warn_of_damaged_sweeps
from sweeps.launch.preflight import Refused, unreachable_tracking
from sweeps.launched import chosen, saved
from sweeps.resolved import ResolvedSweep
from trainables.store import Store, open_store


def synced_for_paper(
    store: str, tracking_uri: str | None, names: list[str] | None, scale: str | None, *, number: str | None = None
) -> tuple[list[ResolvedSweep], str]:
    """Bring MLflow level with the sweeps that have numbers in a table of the paper, or in any; return them and its URI.

    For no table in particular that may be none. Raises Refused if they are of several scales.
    """
    from analysis.tables.paper_layouts import LAYOUTS
    from analysis.tables.paper_results import check_scales, fills

    if number is not None and number not in LAYOUTS:
        raise Refused([f"table {number}: the paper has Tables {', '.join(LAYOUTS)}"])
    opened = open_store(store)
    known = chosen(opened, names, scale) if names or saved(opened) or number else []
    wanted = [
        each for each in known if any(fills(each, table) for table in (number and [number]) or [*LAYOUTS, "text"])
    ]
    if number is not None and not wanted:
        raise Refused([f"no sweep that was launched has a number in Table {number}; see `softaug sweeps`"])
    try:
        check_scales(wanted)
    except ValueError as error:
        raise Refused([str(error)]) from error
    uri = tracking_uri_of(opened, tracking_uri)
    level(opened, wanted, uri)
    return wanted, uri


@contextmanager
def readable() -> Iterator[None]:
    """Tell in a line why what MLflow holds cannot be shown."""
    from analysis.runs import Unreadable

    try:
        yield
    except Unreadable as error:
        raise Refused([str(error)]) from error


def synced(
    names: list[str] | None, scale: str | None, store: str, tracking_uri: str | None, *, upload_weights: bool = False
) -> tuple[list[ResolvedSweep], str]:
    """Bring MLflow level with the sweeps chosen; return them and its URI."""
    opened = open_store(store)
    uri = tracking_uri_of(opened, tracking_uri)
    wanted = chosen(opened, names, scale)
    level(opened, wanted, uri, upload_weights=upload_weights)
    return wanted, uri


def level(opened: Store, wanted: list[ResolvedSweep], uri: str, *, upload_weights: bool = False) -> None:
    """Bring MLflow level with these sweeps, figures of searches included. Raises Refused if it does not answer."""
    warn_of_damaged_sweeps(opened)
    for each in wanted:
        problems = unreachable_tracking(uri, each.experiment)
        if problems:
            raise Refused(problems)
    bring_level(opened, wanted, uri, upload_weights=upload_weights)
    show_figures(opened, wanted, uri)


def bring_level(opened: Store, wanted: list[ResolvedSweep], uri: str, *, upload_weights: bool = False) -> None:
    """Project these sweeps into an MLflow that answers; what cannot be is a warning. Raises Refused if it goes away."""
    from mlflow.exceptions import MlflowException

    from sweeps.tracker import tracker

    tracker.be_brief()
    try:
        for sweep in wanted:
            for problem in tracker.sync(opened, sweep, uri, upload_weights=upload_weights):
                say_on_stderr("warning", problem)
    except MlflowException as error:
        raise Refused([f"MLflow at {without_password(uri)}: {str(error).splitlines()[0]}; try again"]) from error
