"""The command line: bad input is told in a line each and starts nothing; what answers at once imports little."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from analysis.figures import inspection_figure
from sweeps import launched
from sweeps.cli import inspected_text, synced
from sweeps.cli import results as cli_results
from sweeps.launch.preflight import Refused
from sweeps.tracker import tracker
from tests import servers
from tests.conftest import Softaug
from tests.sweeps import ledgers
from trainables.store import open_store

TABLES = ("cells.csv", "curves.csv", "histograms.csv", "samples.csv")
SMOKE = ("launch", "quickstart", "--scale", "smoke")
CIFAR = """
name: needs-data
question: Is it there?
seeds: [0]
baseline: standard crop
base: {data: {name: cifar100}, model: {name: resnet18}}
arms:
  - {name: standard crop, set: {crop: {kind: uniform, radius_px: 4}}}
"""


def refused(softaug: Softaug, store: Path, *arguments: object) -> list[str]:
    """Run a command that must be refused within seconds, leaving nothing; return the lines it says."""
    started = time.monotonic()
    ran = softaug(*arguments, "--store", store)
    assert time.monotonic() - started < 20
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert ran.stdout == ""
    assert not store.exists()
    return ran.stderr.splitlines()


def test_every_problem_of_a_sweep_file_is_a_line_with_file_line_and_field(softaug: Softaug, tmp_path: Path) -> None:
    sweep = tmp_path / "bad.yaml"
    sweep.write_text(CIFAR.replace("seeds: [0]", "seeds: [0, 0]").replace("cifar100", "cifr100") + "sed: 1\n")
    lines = refused(softaug, tmp_path / "runs", "launch", sweep)
    assert [line.split(": ")[1] for line in lines] == [f"{sweep}:4", f"{sweep}:6", f"{sweep}:9"]
    assert "did you mean cifar100" in lines[1]
    assert "did you mean seeds" in lines[2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "mapping"),
        ("name: [unclosed\n", ":"),
        ("name: a\nname: b\n", "name"),
    ],
)
def test_files_that_are_no_sweeps(softaug: Softaug, tmp_path: Path, content: str, said: str) -> None:
    sweep = tmp_path / "bad.yaml"
    sweep.write_text(content)
    lines = refused(softaug, tmp_path / "runs", "launch", sweep)
    assert str(sweep) in lines[0]
    assert said in "\n".join(lines)


def test_an_unknown_sweep_names_the_known_ones(softaug: Softaug, tmp_path: Path) -> None:
    (line,) = refused(softaug, tmp_path / "runs", "launch", "quickstat")
    assert "did you mean quickstart" in line


def test_missing_data_names_the_folders_and_the_command(softaug: Softaug, tmp_path: Path) -> None:
    sweep = tmp_path / "needs-data.yaml"
    sweep.write_text(CIFAR)
    lines = refused(softaug, tmp_path / "runs", "launch", sweep, "--data", tmp_path / "nowhere")
    assert "data set 'cifar100'" in lines[0]
    assert any(str(tmp_path / "nowhere") in line for line in lines)
    assert "softaug fetch cifar100" in lines[-1]


def test_a_store_in_a_file_is_refused(softaug: Softaug, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (line,) = refused(softaug, tmp_path / "file" / "runs", *SMOKE)
    assert "is a file, not a folder; choose another with --store" in line
    ran = softaug(*SMOKE, "--store", "gs://bucket/runs")
    assert ran.returncode == 2
    assert "give the path of a folder that every node sees, or s3://bucket/prefix" in ran.stderr


def test_a_store_that_takes_no_files_is_refused(softaug: Softaug) -> None:
    ran = softaug(*SMOKE, "--store", "/proc/softaug", "--offline")
    assert ran.returncode == 2
    assert "the store /proc/softaug cannot be used" in ran.stderr or "you may not write to" in ran.stderr


def test_an_unreachable_mlflow_and_ray_are_both_told(softaug: Softaug, tmp_path: Path) -> None:
    port = servers.free_port()
    lines = refused(
        softaug,
        tmp_path / "runs",
        *SMOKE,
        "--tracking-uri",
        f"http://127.0.0.1:{port}",
        "--address",
        f"127.0.0.1:{port}",
    )
    assert "launch with --offline" in lines[0]
    assert "start one with `ray start --head`" in lines[1]
    assert len(lines) == 2


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_tracking_folder_is_refused(softaug: Softaug, tmp_path: Path, uri: str) -> None:
    (line,) = refused(softaug, tmp_path / "runs", *SMOKE, "--tracking-uri", uri)
    assert "MLflow keeps no plain folders any more" in line


def test_something_that_listens_but_is_no_mlflow_or_ray(softaug: Softaug, tmp_path: Path) -> None:
    with servers.process([sys.executable, "-m", "http.server", "0"], tmp_path / "log"):
        port = servers.free_port()
    with servers.process(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], tmp_path / "log"
    ) as server:
        servers.wait_for(f"http://127.0.0.1:{port}", server, tmp_path / "log")
        (line,) = refused(softaug, tmp_path / "runs", *SMOKE, "--tracking-uri", f"http://127.0.0.1:{port}")
    assert "it answered 501" in line


@pytest.mark.parametrize(
    "option", [("--seeds", "0,0"), ("--seeds", "a"), ("--scale", "huge"), ("--gpus", "-1"), ("--seeds", "-1")]
)
def test_bad_options_are_refused(softaug: Softaug, tmp_path: Path, option: tuple[str, str]) -> None:
    lines = refused(softaug, tmp_path / "runs", "launch", "quickstart", *option)
    assert option[0] in "\n".join(lines)


def test_more_than_any_node_has_is_refused(softaug: Softaug, tmp_path: Path) -> None:
    sweep = tmp_path / "wide.yaml"
    sweep.write_text(
        CIFAR.replace("cifar100", "digits").replace("resnet18", "resnet8").replace("radius_px: 4", "radius_px: 1")
    )
    sweep.write_text(sweep.read_text() + "resources: {cpus: 1000}\n")
    ran = softaug("launch", sweep, "--store", tmp_path / "runs")
    assert ran.returncode == 2
    assert "a trial needs 1000 CPUs and 0 GPUs, the largest node has" in ran.stderr
    assert [path.name for path in (tmp_path / "runs").rglob("*")] == ["launches"], "the launch took itself back"


def test_plan_in_json_is_the_plan_and_nothing_else(softaug: Softaug, tmp_path: Path) -> None:
    ran = softaug("plan", "quickstart", "--json", "--store", tmp_path / "runs")
    plan = json.loads(ran.stdout)
    counts = {name: plan[name] for name in ("sweep", "scale", "cells", "trials", "done", "to_do", "failed")}
    assert counts == {
        "sweep": "quickstart", "scale": "laptop", "cells": 16, "trials": 48, "done": 0, "to_do": 48, "failed": 0,
    }  # fmt: skip
    assert plan["cost"]["left"]["value"] == pytest.approx(48 * 0.15 / 60)
    assert ran.stderr == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("sweep", ["quickstart", "unknown.yaml"])
def test_a_launch_above_its_budget_starts_nothing(softaug: Softaug, tmp_path: Path, sweep: str) -> None:
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text(
        CIFAR.replace("cifar100", "digits").replace("resnet18", "resnet8").replace("radius_px: 4", "radius_px: 1")
    )
    name = unknown if sweep == "unknown.yaml" else sweep
    (line,) = refused(softaug, tmp_path / "runs", "launch", name, "--budget", "0.05")
    said = "nothing is known of the cost of 1 trials" if name is unknown else "above the budget of 0.05; most is in"
    assert line.startswith("error: --budget: ")
    assert said in line


def test_status_of_a_sweep_that_was_never_launched_is_all_pending(softaug: Softaug, tmp_path: Path) -> None:
    ran = softaug("status", "quickstart", "--scale", "smoke", "--json", "--store", tmp_path / "runs")
    status = json.loads(ran.stdout)
    assert status["trials"] == {"finished": 0, "failed": 0, "diverged": 0, "running": 0, "pending": 12}
    assert {cell["n"] for cell in status["cells"]} == {0}


@pytest.mark.parametrize(
    "command", [("report",), ("sync",), ("status",), ("doctor",), ("doctor", "--fix"), ("why", "a cell")], ids=" ".join
)
def test_commands_on_an_empty_store_say_what_to_do(softaug: Softaug, tmp_path: Path, command: tuple[str, ...]) -> None:
    (line,) = refused(softaug, tmp_path / "runs", *command)
    assert "no sweep was launched into the store" in line


@pytest.mark.parametrize("command", ["report", "figure", "table", "sync", "evaluate"])
def test_results_of_a_sweep_that_was_never_launched_are_refused(softaug: Softaug, tmp_path: Path, command: str) -> None:
    (line,) = refused(softaug, tmp_path / "runs", command, "quickstart")
    assert "quickstart@laptop was never launched into the store" in line


def test_help_lists_every_command_once_launches_first(softaug: Softaug) -> None:
    lines = softaug("--help").stdout.partition("Commands:\n")[2].splitlines()
    launches, results = (
        "sweeps plan launch status stop submit follow",
        "evaluate inspect report figure table claims sync why",
    )
    assert [line.split()[0] for line in lines] == f"{launches} {results} export doctor fetch ui schema".split()


def test_inspect_refuses_mistakes_before_anything_is_written(softaug: Softaug, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {name: digits}\nmodel: {name: resnet8}\nflip: 2\n")
    (tmp_path / "file").write_text("")
    needs_data = tmp_path / "needs-data.yaml"
    needs_data.write_text(CIFAR)
    for arguments, said in (
        ([recipe], f"{recipe}:3: flip: got 2, must be a number at least 0 and at most 1"),
        (["quickstart", "--out", tmp_path / "file"], "is a file, not a folder; choose another with --out"),
        ([needs_data, "--data", tmp_path / "nowhere"], "softaug fetch cifar100"),
    ):
        ran = softaug("inspect", *arguments, cwd=tmp_path)
        assert ran.returncode == 2
        assert ran.stdout == ""
        assert said in ran.stderr
    assert not (tmp_path / "inspect").exists()


def test_inspect_in_json_is_what_was_found_and_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inspection_figure, "save", lambda _, stem, **__: [stem.with_name(f"{stem.name}.png")])
    arms = ["standard crop", "soft target"]
    cli_results.inspect("quickstart", scale="smoke", arm=arms, out=tmp_path, as_json=True)
    shown = capsys.readouterr()
    assert shown.err == ""
    found = json.loads(shown.out)
    assert (found["name"], found["scale"], found["seed"]) == ("quickstart@smoke", "smoke", 0)
    hard, soft = found["cells"]
    assert (hard["arm"], hard["mean_confidence"], hard["se_confidence"]) == ("standard crop", 1, 0)
    assert (soft["axes"], soft["images"], soft["epochs"]) == ({"sigma": 0.3}, 100, 2)
    assert 0.8 < soft["mean_confidence"] < 0.9
    assert sum(soft["histograms"]["visibility"]["counts"]) == 200
    assert [control["kind"] for control in found["controls"]] == ["label smoothing", "weights"]
    assert found["controls"][0]["arm"]["set"]["label_smoothing"] == round(1 - soft["mean_confidence"], 4)
    folder = tmp_path / "quickstart@smoke"
    assert found["files"] == [str(folder / name) for name in (*TABLES, "inspection.png", "controls.yaml")]
    assert all((folder / name).exists() for name in (*TABLES, "controls.yaml"))


@pytest.mark.parametrize(("most", "printed"), [(8, True), (1, False)])
def test_inspect_prints_a_row_per_cell_and_controls_unless_they_are_many(
    most: int,
    printed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(inspection_figure, "save", lambda *_, **__: [])
    monkeypatch.setattr(inspected_text, "CONTROLS_PRINTED", most)
    cli_results.inspect("quickstart", scale="smoke", arm=["soft weight", "soft target"], out=tmp_path)
    shown = capsys.readouterr().out
    rows = [line for line in shown.splitlines() if line.startswith("soft ")]
    assert [row.split()[:3] for row in rows] == [["soft", "target", "0.3"], ["soft", "weight", "0.3"]]
    assert "n = 100 training images of digits × 2 epochs; seed 0, the first of 0, 1." in shown
    controls = (tmp_path / "quickstart@smoke" / "controls.yaml").read_text()
    assert controls.count("- name") == 2
    assert (controls in shown) == printed
    assert ('--arm "soft target, sigma 0.3"' in " ".join(shown.split())) != printed


def test_sync_warns_of_what_it_could_not_bring_to_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for sweep in (ledgers.small_sweep(), ledgers.small_sweep(name="other")):
        launched.save(open_store(tmp_path), sweep)
    (tmp_path / "sweeps" / "other@smoke.json").write_text("")
    monkeypatch.setattr(tracker, "sync", lambda *_, **__: ["trial abc is not in MLflow: it is damaged"])
    (sweep,), _ = synced.synced(None, None, str(tmp_path), None)
    assert sweep.experiment == "small@smoke"
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" is ")[0] for line in said] == ["warning: sweeps/other@smoke.json", "warning: trial abc"]


def test_an_mlflow_that_fails_half_way_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise MlflowException("API request failed\nwith a long story")

    launched.save(open_store(tmp_path), ledgers.small_sweep())
    monkeypatch.setattr(tracker, "sync", fail)
    with pytest.raises(Refused, match=r"^MLflow at sqlite:.*: API request failed; try again$"):
        synced.synced(None, None, str(tmp_path), None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["sweeps"],
        ["plan", "quickstart"],
        ["status", "quickstart"],
        ["stop", "quickstart"],
        ["evaluate", "quickstart"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_answers_at_once_imports_none_of_the_big_packages(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sweeps.cli.main import app\n"
        "from sweeps.launch.preflight import Refused\n"
        f"try: app({arguments!r})\n"
        "except (SystemExit, Refused): pass\n"
        "big = {'torch', 'ray', 'mlflow', 'numpy', 'scipy', 'pandas', 'optuna', 'matplotlib', 'sklearn'}\n"
        "sys.exit(repr(big & set(sys.modules)) if big & set(sys.modules) else 0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
