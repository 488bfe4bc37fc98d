"""Launches on image files: refused if folders are missing; trained by Ray's processes with workers that decode."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import SOFTAUG, Softaug
from tests.softaug.photographs import BASE, HARD, SIDE_PX, SOFT, TEST, TRAIN, WNIDS, write_imagenet, write_v2

SWEEP = {
    "name": "image-files",
    "question": "Are image files trained on?",
    "seeds": [0],
    "baseline": "hard crop",
    "base": BASE | {"optim": {"epochs": 2, "batch_size": 8, "lr": 0.05, "warmup_epochs": 1}},
    "arms": [
        {"name": "hard crop", "set": {"crop": HARD}},
        {"name": "soft crop", "set": {"crop": SOFT, "softening": {"apply_to": "both"}}},
    ],
    "resources": {"cpus": 2},
}


def write_sweep(folder: Path) -> Path:
    path = folder / "image-files.yaml"
    base = {name: value for name, value in SWEEP["base"].items() if name != "seed"}
    path.write_text(yaml.safe_dump(SWEEP | {"base": base}))
    return path


def test_a_launch_without_imagenet_says_where_it_looked_and_what_to_do(softaug: Softaug, tmp_path: Path) -> None:
    (tmp_path / "imagenet" / "train" / "n01440764").mkdir(parents=True)
    ran = softaug("launch", write_sweep(tmp_path), "--store", tmp_path / "runs", "--data", tmp_path)
    assert ran.returncode == 2
    told = " ".join(ran.stderr.split())
    assert "data set 'imagenet' is in none of these folders" in told
    assert f"{tmp_path / 'imagenet'} (lacks val)" in told
    assert "softaug fetch imagenet" in told
    assert not (tmp_path / "runs").exists()
    fetched = softaug("fetch", "imagenet", "--data", tmp_path)
    assert fetched.returncode == 2
    assert "only registered users get it" in fetched.stderr


@pytest.mark.slow
def test_trials_decode_in_workers_and_a_damaged_folder_is_refused_before_any_of_them(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "imagenet")
    write_v2(tmp_path / "imagenet-v2", len(WNIDS))
    small = [len(WNIDS), SIDE_PX, TRAIN * len(WNIDS), TEST * len(WNIDS)]
    path = [str(Path(__file__).parents[1] / "small_imagenet"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "SMALL_IMAGENET": json.dumps(small)}

    def softaug(*arguments: str | Path, store: Path) -> "subprocess.CompletedProcess[str]":
        command = [SOFTAUG, *arguments, "--store", store, "--data", tmp_path, "--offline"]
        return subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    ran = softaug("launch", write_sweep(tmp_path), store=tmp_path / "runs")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "looking at the 36 images of ImageNet-1K" in ran.stdout
    ends = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("trials/*/*/end.json")]
    assert [(end["state"], end["epochs"], end["threads"]) for end in ends] == [("finished", 2, 2)] * 2
    assert all("pillow" in end["versions"] for end in ends)
    assert len(list((tmp_path / "runs").rglob("samples.png"))) == 2
    evaluated = softaug("evaluate", "image-files", "--test-on", "imagenet-v2", "--json", store=tmp_path / "runs")
    assert evaluated.returncode == 0, evaluated.stdout + evaluated.stderr
    for cell in json.loads(evaluated.stdout)["cells"]:
        assert cell["n"] == 1
        assert {"test/imagenet-v2/top1_error", "test/imagenet-v2/ece", "test/top1_error"} <= cell["metrics"].keys()
    (tmp_path / "imagenet" / "val" / WNIDS[1] / f"{WNIDS[1]}_0.JPEG").write_bytes(b"")
    shutil.copy(tmp_path / "imagenet" / "val" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG", tmp_path / "imagenet" / "val")
    refused = softaug("launch", write_sweep(tmp_path), store=tmp_path / "others")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert f"1 files are no whole images: {WNIDS[1]}/{WNIDS[1]}_0.JPEG (empty)" in " ".join(refused.stderr.split())
    assert list((tmp_path / "others").glob("trials/*/*/attempt-*")) == []
