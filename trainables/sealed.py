"""Sealed files: JSON whose last field is a digest of all before it and of the place the file lies in.

So a file that was cut off, changed by a bit, edited by hand or copied from another trial is recognised whenever it is
read, and never taken for a result. Damage is told by name and left as it is; `softaug doctor` sets it aside.
"""

import hashlib
import re
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.store import Store

SEAL = re.compile(rb',\s*"digest":\s*"([0-9a-f]{16})"\s*\}\s*\Z')


class Damaged(Exception):
    """A file of the store cannot be believed; the message names it and says why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.path = path
        self.why = why


class OtherVersion(Damaged):
    """A file is whole, but another version of softaug wrote it."""


class Entry(BaseModel):
    """Base of what the ledger keeps as JSON: frozen, no unknown fields, sealed when it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def sealed(self, path: str, *, indent: int | None = None) -> bytes:
        """Return the content of a file, or of one of its lines, that is to lie at `path`."""
        text = self.model_dump_json(indent=indent).removesuffix("}").rstrip()
        comma, end = (f",\n{' ' * indent}", "\n}\n") if indent else (",", "}")
        return f'{text}{comma}"digest":{" " if indent else ""}"{_digest(path, text.encode())}"{end}'.encode()

    @classmethod
    def unsealed(cls, path: str, content: bytes) -> Self:
        """Return the entry that was sealed for `path`. Raises Damaged."""
        seal = SEAL.search(content)
        if seal is None:
            raise Damaged(path, "is cut off, or no entry of the ledger" if content else "is empty")
        text = content[: seal.start()]
        if _digest(path, text) != seal[1].decode():
            raise Damaged(path, "does not fit its digest: it was damaged, edited, or copied from elsewhere")
        try:
            return cls.model_validate_json(text + b"}")
        except ValidationError as error:
            raise OtherVersion(
                path, f"is of another version of softaug ({error.error_count()} fields differ)"
            ) from error

    @classmethod
    def read(cls, store: Store, path: str) -> Self:
        """Return the entry in a file. Raises FileNotFoundError and Damaged."""
        return cls.unsealed(path, store.read(path))


def _digest(path: str, text: bytes) -> str:
    return hashlib.sha256(path.encode() + b"\n" + text).hexdigest()[:16]
