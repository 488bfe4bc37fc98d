"""The sweeps that were launched into a store, as last launched: what status, report and sync work on."""

from sweeps.expand import load
from sweeps.preflight import Refused
from sweeps.resolved import ResolvedSweep
from trainables.store import Store


def save(store: Store, sweep: ResolvedSweep) -> None:
    """Keep a sweep as it is launched."""
    store.write(_path(sweep), sweep.model_dump_json(indent=1).encode())


def saved(store: Store) -> list[ResolvedSweep]:
    """Return all sweeps of a store."""
    names = [name for name in store.names("sweeps") if name.endswith(".json")]
    return [ResolvedSweep.model_validate_json(store.read(f"sweeps/{name}")) for name in names]


def all_launched(store: Store) -> list[ResolvedSweep]:
    """Return all sweeps of a store. Raises Refused if there are none."""
    found = saved(store)
    if not found:
        raise Refused([f"no sweep was launched into the store {store.root} yet; see `softaug launch --help`"])
    return found


def launched(store: Store, sweep: str, scale: str | None) -> ResolvedSweep:
    """Return a sweep, by name or file, as last launched, or as its file says if it never was."""
    found = saved(store)
    named = [each for each in found if each.name == sweep and scale in (None, each.scale)]
    if len(named) == 1:
        return named[0]
    resolved = load(sweep, scale=scale)
    return next((each for each in found if each.experiment == resolved.experiment), resolved)


def chosen(store: Store, names: list[str] | None, scale: str | None) -> list[ResolvedSweep]:
    """Return the sweeps of these names, or all, that were launched (at a scale). Raises Refused if one was not."""
    if not names:
        return [sweep for sweep in all_launched(store) if scale in (None, sweep.scale)]
    wanted = [launched(store, name, scale) for name in names]
    missing = [sweep for sweep in wanted if not store.exists(_path(sweep))]
    if missing:
        raise Refused([f"{each.experiment} was never launched into the store {store.root}" for each in missing])
    return wanted


def _path(sweep: ResolvedSweep) -> str:
    return f"sweeps/{sweep.experiment}.json"
