"""Which commit a trial is of: git's, or in an image, which has no git, the one it was built from."""

import pytest

from sweeps.launch import provenance
from sweeps.launch.provenance import Code, code


def test_an_image_says_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_git", lambda *_arguments: None)
    monkeypatch.delenv("SOFTAUG_COMMIT", raising=False)
    assert code() == Code("unknown", False)
    monkeypatch.setenv("SOFTAUG_COMMIT", "c0ffee")
    assert code() == Code("c0ffee", False)


def test_a_checkout_knows_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTAUG_COMMIT", "c0ffee")
    monkeypatch.setattr(provenance, "_git", lambda *arguments: "abc" if arguments[0] == "rev-parse" else " M file")
    assert code() == Code("abc", True)
