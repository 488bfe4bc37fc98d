"""Commands around the launches: fetch, ui, schema."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sweeps.options import STORE, DataOption, StoreOption, TrackingOption, tracking_uri_of, ui_url
from sweeps.terminal import print_json, say
from trainables.store import open_store

commands = typer.Typer()


@commands.command()
def fetch(
    dataset: Annotated[Literal["digits", "fashion-mnist", "cifar10", "cifar100"], typer.Argument(metavar="DATASET")],
    data: DataOption = None,
) -> None:
    """Download a data set."""
    from softaug import fetch as download

    say(download.fetch(dataset, (data or Path("data")).expanduser().absolute()))


@commands.command()
def ui(
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Browse the runs in MLflow, until Ctrl-C."""
    uri = tracking_uri_of(open_store(store), tracking_uri)
    if uri.startswith("http"):
        say(f"MLflow runs at {uri}")
        return
    say(f"MLflow at {ui_url(uri, port)}; Ctrl-C ends it")
    arguments = ["-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])


@commands.command()
def schema() -> None:
    """Print the JSON schema of a sweep file, for editors."""
    from sweeps.sweep_file import schema as sweep_schema

    print_json(sweep_schema())
