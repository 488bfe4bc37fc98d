"""Passwords and tokens are planted, everything is used, and nothing that was written, shown or said holds one."""

import base64
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.make_secrets import USER
from sweeps.cli import options
from sweeps.jobs import submit
from sweeps.launch.preflight import Refused
from tests import servers
from tests.conftest import Softaug
from tests.faults.scenes import tiny_sweep
from tests.security.shipped import Mlflow, Secrets, answer, basic

LOOK_EVERY_S = 0.1


@dataclass
class Seen:
    """Texts by where they were seen."""

    texts: dict[str, bytes] = field(default_factory=dict)

    def add(self, where: str, text: str) -> None:
        """Add to what was seen there."""
        self.texts[where] = self.texts.get(where, b"") + text.encode()

    def add_files(self, folder: Path) -> None:
        """Add every file below a folder; of sqlite's also what a dump of it says."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.texts[str(path)] = path.read_bytes()
                if self.texts[str(path)].startswith(b"SQLite format 3"):
                    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                        self.texts[f"dump of {path}"] = "\n".join(database.iterdump()).encode()


def leaks(seen: Seen, words: dict[str, str]) -> list[str]:
    """Return where which secret was seen, as it is or as HTTP's basic authentication would write it."""
    forms = {name: [word.encode(), base64.b64encode(f"{USER}:{word}".encode())] for name, word in words.items()}
    return [
        f"{name} in {where}"
        for where, text in seen.texts.items()
        for name, written in forms.items()
        if any(form in text for form in written)
    ]


@pytest.fixture
def command_lines() -> Iterator[set[str]]:
    """Return all command lines that any process of this machine has shown so far, as `ps` would."""
    lines: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            for shown in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    lines.add(shown.read_text(errors="replace").replace("\0", " "))

    looking = threading.Thread(target=look)
    looking.start()
    yield lines
    over.set()
    looking.join()


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    """Else the test below could not fail."""
    words = {"token": "f00d" * 16, "password": "s3cr3t" * 8}
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("CREATE TABLE t (a TEXT)")
        database.execute("INSERT INTO t VALUES (?)", (words["token"],))
        database.commit()
    (tmp_path / "log").write_text(f"Authorization: {basic(USER, words['password'])}\n")
    (tmp_path / "clean").write_text("nothing")
    seen = Seen()
    seen.add_files(tmp_path)
    seen.add("ps", f"x --password {words['password']}")
    assert leaks(seen, words) == [
        f"password in {tmp_path / 'log'}",
        f"token in {tmp_path / 'x.db'}",
        f"token in dump of {tmp_path / 'x.db'}",
        "password in ps",
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_secret_is_written_shown_or_said(
    secrets: Secrets,
    mlflow: Mlflow,
    head: servers.RayHead,
    store: Path,
    command_lines: set[str],
    softaug: Softaug,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job with a token and MLflow's credentials in files, then a launch that has them in its environment."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(secrets.folder / "ray_token"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    seen, sweep = Seen(), tmp_path / "tiny.yaml"
    sweep.write_text(tiny_sweep(epochs=1, seeds=(0,)))
    password = secrets.words["mlflow_credentials"]
    tracked = mlflow.url.replace("://", f"://{USER}:{password}@")
    said(seen, softaug, ["submit", sweep, "--cluster", head.dashboard])
    token = {"authorization": f"Bearer {secrets.words['ray_token']}"}
    for path in ("api/jobs/", "api/jobs/tiny@paper-0001/logs", "logical/actors", "nodes?view=summary", "api/v0/tasks"):
        code, text = answer(f"{head.dashboard}/{path}", **token)
        assert code == 200, (path, text)
        seen.add(f"dashboard's {path}", text)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.words["ray_token"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked)
    monkeypatch.setenv("SOFTAUG_STORE", str(store))
    said(seen, softaug, ["launch", sweep, "--seeds", "0,1", "--address", head.address])
    for command in (
        ["status"],
        ["why", "standard crop"],
        ["sync"],
        ["doctor"],
        ["report", "--out", tmp_path / "report"],
    ):
        said(seen, softaug, command)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.replace(f"@127.0.0.1:{mlflow.port}", "@127.0.0.1:1"))
    refused = softaug("launch", sweep, "--seeds", "2")
    assert refused.returncode == 2
    seen.add("refused launch", refused.stdout + refused.stderr)
    for folder in (store, mlflow.folder, head.log.parent, tmp_path):
        seen.add_files(folder)
    seen.add("ps", "\n".join(command_lines))
    assert any(str(store) in where for where in seen.texts)
    assert any(where.startswith("dump of") and b"tiny@paper" in text for where, text in seen.texts.items())
    assert any("softaug launch tiny.yaml" in line for line in command_lines), "the job was seen"
    assert leaks(seen, secrets.words) == []


def said(seen: Seen, softaug: Softaug, arguments: Iterable[object]) -> None:
    """Run a command that must succeed; note what it says."""
    ran = softaug(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    seen.add(f"output of softaug {next(iter(arguments))}", ran.stdout + ran.stderr)


def test_a_job_is_given_no_password() -> None:
    """Its command line is shown by the dashboard, and by `ps` on the head."""
    with pytest.raises(Refused) as caught:
        submit.checked(
            "http://127.0.0.1:1",
            "quickstart",
            scale=None,
            seeds=None,
            gpus=None,
            store=None,
            tracking_uri="http://me:s3cr3t@mlflow:5000",
        )
    uri, cluster = caught.value.problems
    assert uri.startswith(
        "tracking URI http://***@mlflow:5000: a job's command line is shown to whoever sees the cluster"
    )
    assert "Connection refused" in cluster
    assert "s3cr3t" not in "".join(caught.value.problems)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://me:s3cr3t@mlflow:5000/", "http://mlflow:5000"),
        ("https://mlflow:5000/a", "https://mlflow:5000/a"),
        ("sqlite:////runs/mlflow.db", "http://127.0.0.1:5000"),
    ],
)
def test_links_to_mlflow_hold_no_password(uri: str, expected: str) -> None:
    assert options.ui_url(uri) == expected
