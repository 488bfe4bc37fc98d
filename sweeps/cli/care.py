"""Commands around the launches: doctor, fetch, ui, schema."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sweeps.cli.options import STORE, DataOption, JsonOption, StoreOption, TrackingOption, tracking_uri_of, ui_url
from sweeps.cli.terminal import print_json, say
from sweeps.tracker.database import create_if_missing
from trainables.store import open_store

commands = typer.Typer()


@commands.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is found.")] = False,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    offline: Annotated[bool, typer.Option(help="Leave MLflow alone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find, explain and repair damaged files, dead launches and wrong runs in MLflow."""
    from sweeps.doctor.doctor import examine
    from sweeps.doctor.findings import checkup_json, print_checkup

    opened = open_store(store)
    checkup = examine(opened, None if offline else tracking_uri_of(opened, tracking_uri), fix=fix)
    if as_json:
        print_json(checkup_json(checkup))
    else:
        print_checkup(checkup, looked_at_mlflow=not offline)
    if checkup.findings:
        raise typer.Exit(1)


@commands.command()
def fetch(
    dataset: Annotated[
        Literal["digits", "fashion-mnist", "cifar10", "cifar100", "imagenet", "imagenet-v2"],
        typer.Argument(metavar="DATASET"),
    ],
    data: DataOption = None,
) -> None:
    """Download a data set, or say how to get it."""
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
    create_if_missing(uri)
    say(f"MLflow at {ui_url(uri, port)}; Ctrl-C ends it")
    arguments = ["-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])


@commands.command()
def schema() -> None:
    """Print the JSON schema of a sweep file, for editors."""
    from sweeps.files.sweep_file import schema as sweep_schema

    print_json(sweep_schema())
