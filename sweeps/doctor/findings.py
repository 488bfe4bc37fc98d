"""What `softaug doctor` finds: one value per finding, and how they are shown, alike ones together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sweeps.cli.terminal import say, say_wrapped
from trainables.sealed import Damaged, OtherVersion
from trainables.store import Store

Kind = Literal["unreadable", "incomplete", "dead launch", "leftover", "zombie", "double", "orphan", "not level"]
PLACES_SHOWN = 6


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. `where`: a path in the store or a run in MLflow; `what`: what it is and means.

    `fix`: what --fix does or, if `repair` is None, what a person may do. `repair` does it and says what it did.
    """

    kind: Kind
    where: str
    what: str
    fix: str
    repair: Callable[[], str] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Repaired:
    """A finding that is no more, and what was done."""

    finding: Finding
    done: str


@dataclass(frozen=True)
class Checkup:
    """What was looked at and found. `notes` are worth knowing, and nothing is wrong with them."""

    sweeps: int
    trials: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    repaired: tuple[Repaired, ...] = ()


def unreadable(
    store: Store, damaged: Damaged, means: str, *, fix: str = "sets it aside", then: Callable[[], object] | None = None
) -> Finding:
    """Return the finding of a damaged file. `means`: what follows; `then` is done once the file is out of the way.

    A file of another version of softaug is no damage: that version can read it.
    """
    if isinstance(damaged, OtherVersion):
        way_out = "use that version with this store; --fix leaves the file alone"
        return Finding("unreadable", damaged.path, f"The file {damaged.why}.", way_out)

    def repair() -> str:
        aside = store.set_aside(damaged.path)
        if then is not None:
            then()
        return f"now {aside}"

    return Finding("unreadable", damaged.path, f"The file {damaged.why}. {means}", fix, repair)


def repair(findings: Iterable[Finding]) -> tuple[Repaired, ...]:
    """Repair what can be, in order."""
    return tuple(Repaired(finding, finding.repair()) for finding in findings if finding.repair is not None)


def print_checkup(checkup: Checkup, *, looked_at_mlflow: bool) -> None:
    """Print findings, alike ones together, what was repaired, and a closing line."""
    for kind, fix, places in _groups([(each.finding, each.done) for each in checkup.repaired]):
        _print_group(f"{kind}, repaired", fix, places)
    for kind, fix, places in _groups([(finding, "") for finding in checkup.findings]):
        _print_group(kind, fix, places)
    for note in checkup.notes:
        say_wrapped(note)
    if checkup.notes:
        say("")
    say_wrapped(_closing_line(checkup, looked_at_mlflow=looked_at_mlflow))


def checkup_json(checkup: Checkup) -> dict[str, Any]:
    """Return what `softaug doctor --json` prints."""
    return {
        "sweeps": checkup.sweeps,
        "trials": checkup.trials,
        "findings": [_finding_json(finding) for finding in checkup.findings],
        "repaired": [{**_finding_json(each.finding), "done": each.done} for each in checkup.repaired],
        "notes": list(checkup.notes),
    }


def counted(number: int, noun: str) -> str:
    """Return "1 trial", "2 trials"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "where": finding.where,
        "what": finding.what,
        "fix": finding.fix,
        "repairable": finding.repair is not None,
    }


def _groups(found: Sequence[tuple[Finding, str]]) -> list[tuple[str, str, list[tuple[Finding, str]]]]:
    """Return kind, text of the fix and (finding, what was done) of those that read alike."""
    groups: dict[tuple[str, str, str], list[tuple[Finding, str]]] = {}
    for finding, done in found:
        fix = f"--fix {finding.fix}." if finding.repair is not None else f"To do: {finding.fix}."
        groups.setdefault((finding.kind, finding.what, fix), []).append((finding, done))
    return [(kind, fix, places) for (kind, _, fix), places in groups.items()]


def _print_group(heading: str, fix: str, places: list[tuple[Finding, str]]) -> None:
    say(f"{heading} ({len(places)})" if len(places) > 1 else heading)
    for finding, done in places[:PLACES_SHOWN]:
        say(f"  {finding.where}")
        if done:
            say(f"    {done}")
    if len(places) > PLACES_SHOWN:
        say(f"  … and {len(places) - PLACES_SHOWN} more; --json lists all")
    say_wrapped(places[0][0].what, indent=4)
    if not places[0][1]:
        say_wrapped(fix, indent=4)
    say("")


def _closing_line(checkup: Checkup, *, looked_at_mlflow: bool) -> str:
    looked_at = f"{counted(checkup.trials, 'trial')} of {counted(checkup.sweeps, 'sweep')}"
    where = "" if looked_at_mlflow else "; MLflow was not looked at"
    if checkup.repaired:
        left = f"{counted(len(checkup.findings), 'finding')} left" if checkup.findings else "nothing is left"
        return f"{counted(len(checkup.repaired), 'finding')} repaired, {left} in {looked_at}{where}"
    if not checkup.findings:
        return f"nothing wrong with {looked_at}{where}"
    repairable = sum(finding.repair is not None for finding in checkup.findings)
    way_out = (
        "run with --fix to repair" if repairable == len(checkup.findings) else f"--fix repairs {repairable or 'none'}"
    )
    return f"{counted(len(checkup.findings), 'finding')} in {looked_at}{where}; {way_out}"
