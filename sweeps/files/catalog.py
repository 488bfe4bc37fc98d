"""Sweep files: where they are and what they hold as text; the catalog is the folder of those that come with softaug."""

from dataclasses import dataclass
from pathlib import Path

from sweeps.files.layers import default_scale, scale_names
from sweeps.files.strict_yaml import parse
from sweeps.files.sweep_file import SweepFile
from sweeps.problems import Problem, Problems, known

CATALOG = Path(__file__).parents[1] / "catalog"
MAX_BYTES = 2**20


@dataclass(frozen=True)
class CatalogEntry:
    """A sweep of the catalog, as `softaug sweeps` lists it."""

    name: str
    question: str
    default_scale: str
    scales: list[str]


def catalog() -> list[CatalogEntry]:
    """Return the sweeps of the catalog, by name."""
    return [_entry(path) for path in sorted(CATALOG.glob("*.yaml"))]


def locate(sweep: str) -> Path:
    """Return the file of a sweep that is named by its catalog name or its path, or raise Problems."""
    names = [path.stem for path in sorted(CATALOG.glob("*.yaml"))]
    if sweep in names:
        return CATALOG / f"{sweep}.yaml"
    path = Path(sweep)
    try:
        path.stat()
    except (OSError, ValueError):
        raise Problems([Problem(sweep, None, "", "no such sweep or file", known(sweep, names))]) from None
    return path


def read(path: Path) -> str:
    """Return the text of a sweep file: at most 1 MB of UTF-8. Raises Problems."""
    if not path.is_file():
        raise Problems([Problem(str(path), None, "", "is no file", "name a .yaml file or a sweep of the catalog")])
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Problems([Problem(str(path), None, "", f"cannot be read: {error.strerror}")]) from None
    if len(content) > MAX_BYTES:
        raise Problems([Problem(str(path), None, "", "is larger than 1 MB", "a sweep file is a few kilobytes of text")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        raise Problems([Problem(str(path), line, "", message, "save the file as UTF-8")]) from None


def _entry(path: Path) -> CatalogEntry:
    root = parse(read(path), str(path))
    sweep = SweepFile.model_validate(root.plain)
    return CatalogEntry(sweep.name, sweep.question, default_scale(root) or "", scale_names(root))
