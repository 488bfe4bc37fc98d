"""The files of the report: its pages from templates, the style and the script they share. No page makes a request."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parents[1] / "templates"
SHARED = ("report.css", "tables.js")


@dataclass(frozen=True)
class Picture:
    """A picture beside a page: its address from there, and the text for readers who do not see it."""

    url: str
    alt: str


@dataclass(frozen=True)
class Site:
    """A folder of pages that link each other by relative addresses, and so can be opened, moved and mailed."""

    folder: Path

    def begin(self) -> None:
        """Make the folder and put what all pages share into it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in SHARED:
            shutil.copyfile(TEMPLATES / name, self.folder / name)

    def write(self, path: str, template: str, **values: Any) -> Path:
        """Write the page at a path of the site from a template; return its file."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        root = "../" * path.count("/")
        file.write_text(self._templates.get_template(template).render(root=root, **values), encoding="utf-8")
        return file

    @cached_property
    def _templates(self) -> Environment:
        return Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
