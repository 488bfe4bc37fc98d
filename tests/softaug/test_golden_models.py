"""Logits of freshly drawn small networks, kept: they change only in a commit that raises their family's version.

After such a change, write them anew:   python tests/softaug/test_golden_models.py
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from softaug.models.registry import build
from softaug.versions import MODEL_FAMILY, VERSIONS

GOLDEN = Path(__file__).parent / "golden" / "models.json"
WIDTHS = {"resnet18": 4, "resnet50": 4, "wide-resnet28-10": 4, "pyramidnet272": 1, "efficientnet-b0": 32}


def measure(name: str) -> dict[str, Any]:
    """Return the version of a network's family, and what it says of one image when seeded with 0."""
    torch.manual_seed(0)
    model = build(name, WIDTHS[name], in_channels=1, classes=4).double().eval()
    image = torch.linspace(-1, 1, 256, dtype=torch.float64).view(1, 1, 16, 16)
    with torch.no_grad():
        logits = model(image)[0]
    return {"version": VERSIONS[MODEL_FAMILY[name]], "logits": logits.tolist()}


@pytest.mark.parametrize("name", WIDTHS)
def test_networks_change_only_with_a_version(name: str) -> None:
    golden, found = json.loads(GOLDEN.read_text())[name], measure(name)
    assert found["version"] == golden["version"], "a version was raised: write the golden numbers anew"
    assert found["logits"] == pytest.approx(golden["logits"], rel=1e-3, abs=0)  # some are tiny


def test_every_family_is_looked_at() -> None:
    assert {MODEL_FAMILY[name] for name in WIDTHS} | {"model.resnet8"} == set(MODEL_FAMILY.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.write_text(json.dumps({name: measure(name) for name in WIDTHS}, indent=2) + "\n")
