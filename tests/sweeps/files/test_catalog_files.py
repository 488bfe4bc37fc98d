"""The catalog loads at every scale, its schema accepts it, and what is no sweep file is refused in one line."""

import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from sweeps.files.catalog import CATALOG, MAX_BYTES, catalog
from sweeps.files.expand import load
from sweeps.files.sweep_file import recipe_fields, schema
from sweeps.problems import Problems

FILES = sorted(CATALOG.glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(schema())


def complaint(sweep: str) -> str:
    with pytest.raises(Problems) as caught:
        load(sweep)
    [problem] = caught.value.problems
    return str(problem)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_called_like_its_sweep(path: Path) -> None:
    assert load(path.stem).name == path.stem


def test_the_catalog_lists_every_file_and_each_of_its_scales_loads() -> None:
    assert [entry.name for entry in catalog()] == [path.stem for path in FILES]
    for entry in catalog():
        assert [load(entry.name, scale=scale).scale for scale in entry.scales] == entry.scales
        assert load(entry.name).scale == entry.default_scale


def test_the_smoke_scale_is_there_for_every_sweep() -> None:
    assert all("smoke" in entry.scales for entry in catalog())


def test_a_path_loads_like_the_name() -> None:
    assert load(str(CATALOG / "quickstart.yaml")) == load("quickstart")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_schema_accepts_the_catalog(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs: 150", "epochs: 0"),
        ("lr: 0.1", "lr: 0"),
        ("flip: 0.0", "flip: 2"),
        ("flip: 0.0", "seed: 2"),
        ("name: digits", "name: digit"),
        ("seeds: [0, 1, 2]", "seeds: []"),
        ("baseline:", "baselin:"),
        ("radius_px: 1}", "radius: 1}"),
        ("model: {width: 4}", "model: {widht: 4}"),
    ],
)
def test_the_schema_refuses_mistakes(old: str, new: str) -> None:
    text = (CATALOG / "quickstart.yaml").read_text()
    assert old in text
    assert not VALIDATOR.is_valid(yaml.safe_load(text.replace(old, new)))


def test_recipe_fields_are_the_leaves_of_the_recipe() -> None:
    assert {"data.name", "crop.radius_px", "crop.sigma", "softening.k", "label_smoothing"} < set(recipe_fields())
    assert not {"seed", "crop", "optim"} & set(recipe_fields())


@pytest.mark.parametrize("sweep", ["quikstart", "no/such.yaml", "../evil", "a\0b", "x" * 5000])
def test_a_missing_sweep_names_the_known_ones(sweep: str) -> None:
    message = complaint(sweep)
    assert f"known: {', '.join(path.stem for path in FILES)}" in message
    assert ("did you mean quickstart" in message) == (sweep == "quikstart")


def test_a_folder_is_no_sweep(tmp_path: Path) -> None:
    assert complaint(str(tmp_path)) == f"{tmp_path}: is no file (name a .yaml file or a sweep of the catalog)"


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in complaint(str(tmp_path / "pipe"))


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    assert complaint(str(large)) == f"{large}: is larger than 1 MB (a sweep file is a few kilobytes of text)"


def test_undecodable_bytes_are_named_with_their_line(tmp_path: Path) -> None:
    bad = tmp_path / "latin.yaml"
    bad.write_bytes(b"name: a\nquestion: \xe9\n")
    assert complaint(str(bad)) == f"{bad}:2: the byte 0xe9 is not UTF-8 (save the file as UTF-8)"


def test_planning_a_sweep_imports_no_heavy_library() -> None:
    code = (
        "import sys; from sweeps.files.expand import load; load('figure-3', scale='smoke');"
        "heavy = {'torch', 'numpy', 'ray', 'mlflow', 'scipy', 'pandas', 'optuna'} & sys.modules.keys();"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CATALOG.parent.parent)
