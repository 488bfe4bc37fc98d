"""Options that several commands take, and what follows from them."""

from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

import typer

from sweeps.launch.preflight import Refused, unfit_tracking
from trainables.folder_store import FolderStore
from trainables.store import Store

SweepArgument = Annotated[str, typer.Argument(metavar="SWEEP", help="A name from `softaug sweeps`, or a file's path.")]
LaunchedArgument = Annotated[str, typer.Argument(metavar="SWEEP", help="A launched sweep's name, or its file.")]
TableArgument = Annotated[
    str, typer.Argument(metavar="SWEEP|NUMBER", help="A sweep's name or file; 1 to 9: the paper's table.")
]
SweepsArgument = Annotated[list[str] | None, typer.Argument(metavar="[SWEEP]...", help="Default: all launched.")]
StoreOption = Annotated[
    str, typer.Option("--store", envvar="SOFTAUG_STORE", help="Folder or s3://bucket/prefix that holds the results.")
]
TrackingOption = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="Default: sqlite, in <store>/mlflow.db."),
]
ScaleOption = Annotated[str | None, typer.Option("--scale", help="paper, laptop or smoke; default: the file's.")]
SeedsOption = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="In place of the file's seeds.")]
GpusOption = Annotated[float | None, typer.Option("--gpus", help="GPUs per trial, e.g. 0.25; default: the scale's.")]
SlotsOption = Annotated[int | None, typer.Option("--slots", min=1, help="Trials at once; default: what fits here.")]
DataOption = Annotated[Path | None, typer.Option("--data", envvar="SOFTAUG_DATA", help="Folder with the data sets.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
ClusterOption = Annotated[
    str, typer.Option("--cluster", metavar="URL", help="Dashboard of a Ray head, as in http://127.0.0.1:8265.")
]
ClusterStoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Folder or s3:// URL that every node sees; default: the head's SOFTAUG_STORE."),
]
FormatOption = Annotated[Literal["markdown", "latex", "csv", "html"], typer.Option("--format", help="Of the table.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for what is written.")]


def _budget(hours: float | None) -> float | None:
    if hours is not None and not (isfinite(hours) and hours > 0):
        raise typer.BadParameter(f"{hours} is no budget; give hours above 0")
    return hours


BudgetOption = Annotated[
    float | None,
    typer.Option(
        "--budget",
        metavar="HOURS",
        callback=_budget,
        help="Refuse what is expected to take more GPU-hours (CPU-hours without GPUs).",
    ),
]

STORE = "runs"
OUT = Path("report")


def seeds_of(text: str | None) -> list[int] | None:
    """Return the seeds in "0,1,2", or refuse."""
    if text is None:
        return None
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of seeds; write them as 0,1,2", param_hint="--seeds") from None


def percents_of(text: str) -> list[int]:
    """Return the percentages in "0,20,40", ascending, or refuse."""
    try:
        percents = sorted({int(percent) for percent in text.split(",")})
    except ValueError:
        percents = [-1]
    if percents[0] < 0 or percents[-1] > 99:
        said = f"{text!r} is no list of whole percentages of 0 to 99; write them as 0,20,40"
        raise typer.BadParameter(said, param_hint="--occlusion")
    return percents


def tracking_uri_of(store: Store, given: str | None) -> str:
    """Return where MLflow is: as given, or in the store. Raises Refused if the store is a URL and that is no server."""
    uri = named_tracking_uri(store, given)
    if problems := unfit_tracking(store, uri):
        raise Refused(problems)
    return uri


def named_tracking_uri(store: Store, given: str | None) -> str:
    """Return the same, whatever it is; "" if none is given and the store is a URL, which holds no database."""
    return given or (f"sqlite:///{store.place('mlflow.db')}" if isinstance(store, FolderStore) else "")


def ui_url(uri: str, port: int = 5000) -> str:
    """Return the address of MLflow's pages: the server's, without user and password, or that of `softaug ui`."""
    if not uri.startswith("http"):
        return f"http://127.0.0.1:{port}"
    scheme, _, place = uri.rstrip("/").partition("://")
    return f"{scheme}://{place.rpartition('@')[2]}"


def without_password(uri: str) -> str:
    """Return a URI that may be shown."""
    return uri if "@" not in uri else uri.partition("://")[0] + "://***@" + uri.rpartition("@")[2]
