import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("softaug.recipe, softaug.datasets, softaug.presets, softaug.estimate, softaug.versions", {"torch", "numpy"}),
        (
            "softaug.fit, softaug.data, softaug.samples, softaug.fetch",
            {"torchvision", "sklearn", "scipy", "ray", "mlflow"},
        ),
    ],
)
def test_heavy_libraries_are_imported_only_where_needed(modules: str, absent: set[str]) -> None:
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not absent & set(loaded)
