"""Pictures inside a page, so that it makes no request."""

import base64
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """An embedded picture: data URL and the text for readers who do not see it."""

    url: str
    alt: str


def picture(path: Path, alt: str) -> Picture:
    """Return an SVG or PNG file as a picture."""
    kind = {".svg": "svg+xml", ".png": "png"}[path.suffix]
    return Picture(f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}", alt)
