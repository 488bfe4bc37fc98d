"""Commands that show results: report, figure, table, claims, why; sync, which all but why begin with; and inspect."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from sweeps.cli.options import (
    OUT,
    STORE,
    DataOption,
    FormatOption,
    JsonOption,
    OutOption,
    ScaleOption,
    StoreOption,
    SweepsArgument,
    TableArgument,
    TrackingOption,
    tracking_uri_of,
    ui_url,
    without_password,
)
from sweeps.cli.search import histories
from sweeps.cli.synced import readable, synced, synced_for_paper
from sweeps.cli.terminal import print_json, progress, say, say_on_stderr, say_wrapped, warn_of_damaged_sweeps
from sweeps.launch.preflight import Refused
from trainables.folder_store import unwritable
from trainables.store import open_store

commands = typer.Typer()
METHOD_FIGURES = ("figure-2",)  # without runs; `analysis.figures.figures` has the same, which a test compares


@commands.command()
def inspect(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RECIPE", help="A sweep's name or file, or a recipe's file.")],
    scale: ScaleOption = None,
    arm: Annotated[list[str] | None, typer.Option("--arm", metavar="NAME", help="Only this arm, or this cell.")] = None,
    data: DataOption = None,
    out: OutOption = Path("inspect"),
    as_json: JsonOption = False,
) -> None:
    """Show images and labels as training will see them; print matched controls."""
    from sweeps import controls, inspected
    from sweeps.cli import inspected_text

    subject = inspected.subject(what, scale=scale, arms=arm or [], warn=lambda text: say_on_stderr("warning", text))
    folder = out.expanduser().absolute() / subject.name
    if problems := unwritable(folder, "folder", "--out"):
        raise Refused(problems)
    with progress() as at:
        found = []
        for number, each in enumerate(inspected.look(subject, data), 1):
            found.append(each)
            at(f"{number} of {len(subject.cells)} cells looked at")
        at("drawing")
        matched = controls.controls(subject, [each.mean_confidence for each in found])
        from analysis.figures.inspection_data import Inspected
        from analysis.figures.inspection_figure import write_inspection

        cells = [Inspected(cell, each) for cell, each in zip(subject.cells, found, strict=True)]
        axes = subject.sweep.axes if subject.sweep is not None else {}
        files = write_inspection(cells, axes, caption=inspected_text.caption(subject, found), out=folder)
        files.append(controls.write(matched, subject, folder))
    if as_json:
        print_json(inspected_text.inspection_json(subject, found, matched, files))
        return
    inspected_text.print_inspection(subject, found, matched, folder)
    say(f"wrote {len(files)} files into {folder}: pictures, their numbers as CSV, controls.yaml")


@commands.command()
def report(
    sweep: SweepsArgument = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    out: OutOption = OUT,
) -> None:
    """Write a page with the tables and figures of sweeps, every number with n and its error."""
    wanted, uri = synced(sweep, scale, store, tracking_uri)
    from analysis.report.report import write_report
    from sweeps.plan.course import courses

    opened = open_store(store)
    with readable():
        page = write_report(
            wanted,
            tracking_uri=uri,
            out=out.absolute(),
            ui_url=ui_url(uri),
            courses={each.experiment: courses(opened, each) for each in wanted},
            searches=histories(opened, wanted),
        )
    say(f"wrote {page}")


@commands.command()
def figure(
    name: Annotated[str, typer.Argument(metavar="SWEEP|figure-2", help="A launched sweep, or a figure of the method.")],
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    out: OutOption = OUT,
) -> None:
    """Draw a sweep's figures, and those of its search: SVG, PDF, PNG, and their numbers as CSV."""
    folder = out.expanduser().absolute()
    if problems := unwritable(folder, "folder", "--out"):
        raise Refused(problems)
    written = _method_figure(name, folder) or _sweep_figures(name, scale, store, tracking_uri, folder)
    stems = dict.fromkeys(path.with_suffix("") for path in written)
    for stem in stems:
        kinds = [path.suffix for path in written if path.with_suffix("") == stem]
        say(f"wrote {stem}{', '.join(kinds)}")


def _method_figure(name: str, folder: Path) -> list[Path]:
    """Draw a figure that needs no runs; nothing if none is called so."""
    if name not in METHOD_FIGURES:
        return []
    from analysis.figures import figures

    with progress() as at:
        at("drawing")
        return figures.method_figure(name, out=folder)


def _sweep_figures(name: str, scale: str | None, store: str, tracking_uri: str | None, folder: Path) -> list[Path]:
    (wanted,), uri = synced([name], scale, store, tracking_uri)
    from analysis.figures import figures

    with progress() as at, readable():
        at("drawing")
        written = figures.figure(wanted, tracking_uri=uri, out=folder)
    for experiment, now in histories(open_store(store), [wanted]).items():
        from analysis.search.figures import write_search_figures

        found, files = write_search_figures(now, folder / experiment)
        written += files
        for each in found:
            if each.drawing is None:
                say(f"{each.name}: {each.caption}")
    if not written:
        nothing = f"sweep {wanted.name}: its file declares no figure, and no cell has all its seeds"
        raise Refused([f"{nothing}; add `figure:` and launch it again"])
    if not any(path.stem == "hard-examples" for path in written):
        command = f"softaug evaluate {wanted.name} --scale {wanted.scale}"
        say(f"images covered and hard are not drawn: their predictions come with `{command}`")
    return written


@commands.command()
def table(
    name: TableArgument,
    sweep: Annotated[
        list[str] | None, typer.Option("--sweep", metavar="SWEEP", help="Fill the paper's table from it; default: all.")
    ] = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    form: FormatOption = "markdown",
) -> None:
    """Print a sweep's table, or one of the paper's with its numbers beside ours."""
    with readable():
        if name.isdigit():
            wanted, uri = synced_for_paper(store, tracking_uri, sweep, scale, number=name)
            from analysis.tables import paper_tables

            typer.echo(paper_tables.paper_table(name, wanted, tracking_uri=uri, form=form), nl=False)
            return
        if sweep:
            raise Refused([f"--sweep fills a table of the paper, as in `softaug table 2`; {name} is a sweep's own"])
        (only,), uri = synced([name], scale, store, tracking_uri)
        from analysis.tables import sweep_table

        typer.echo(sweep_table.table(only, tracking_uri=uri, form=form), nl=False)
    for number in sorted({each.table for cell in only.cells for each in cell.published if each.table.isdigit()}):
        say_on_stderr("note", f"`softaug table {number}` shows the paper's Table {number} with these runs")


@commands.command()
def claims(
    sweep: SweepsArgument = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    form: Annotated[
        Literal["text", "markdown", "latex", "csv", "html"], typer.Option("--format", help="csv: a line per row.")
    ] = "text",
) -> None:
    """Check the paper's sentences on its own numbers and on our runs."""
    with readable():
        wanted, uri = synced_for_paper(store, tracking_uri, sweep, scale)
        from analysis.claims import table as claims_table

        found = claims_table.claims(wanted, tracking_uri=uri)
    if form != "text":
        typer.echo(claims_table.claims_text(found, form), nl=False)
        return
    for indent, text in claims_table.lines(found):
        say_wrapped(text, indent)


@commands.command()
def sync(
    sweep: SweepsArgument = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    upload_weights: Annotated[bool, typer.Option(help="Put final weights into MLflow too.")] = False,
) -> None:
    """Bring MLflow level with the results; an empty MLflow is filled again."""
    wanted, uri = synced(sweep, scale, store, tracking_uri, upload_weights=upload_weights)
    for each in wanted:
        say(f"{each.experiment}: {len(each.trial_keys)} trials, level with MLflow at {without_password(uri)}")


@commands.command()
def why(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Its title, or the beginning of its or a trial's key.")],
    sweep: Annotated[str | None, typer.Option("--sweep", metavar="SWEEP", help="Where to look; default: all.")] = None,
    scale: ScaleOption = None,
    store: StoreOption = STORE,
    tracking_uri: TrackingOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs behind a number: seeds, attempts, commit, versions, device, pages."""
    from sweeps.cli import why_text
    from sweeps.why import why as ask
    from sweeps.why import why_json

    opened = open_store(store)
    warn_of_damaged_sweeps(opened)
    uri = tracking_uri_of(opened, tracking_uri)
    answer = ask(opened, cell, sweep=sweep, scale=scale, tracking_uri=uri)
    if as_json:
        print_json(why_json(answer))
    else:
        why_text.print_why(answer, served=uri.startswith("http"))
