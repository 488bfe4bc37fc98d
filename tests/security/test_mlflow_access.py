"""Who gets what from MLflow as shipped: users, names it answers to, scripts of other pages, paths out of its folder."""

import json

import pytest

from deploy.make_secrets import USER
from sweeps.launch.preflight_tracking import tracking_problems
from tests.security.shipped import Mlflow, answer, basic, status

pytestmark = pytest.mark.slow

SEARCH = "api/2.0/mlflow/experiments/search?max_results=1"
CREATE = "api/2.0/mlflow/experiments/create"
CLOSED = [
    *("", "version", "server-info", "metrics", "docs", "openapi.json", "signup", "graphql", SEARCH),
    *("ajax-api/2.0/mlflow/experiments/search?max_results=1", "get-artifact?path=x&run_uuid=1"),
    *("api/2.0/mlflow-artifacts/artifacts/1/x", "api/2.0/mlflow/users/list", "gateway/x", "ajax-api/3.0/jobs/x"),
]
OUTSIDE = [
    *("../../../etc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "/etc/passwd"),
    *("%252e%252e%252f%252e%252e%252fetc/passwd", "%2fetc%2fpasswd", "a/../../../etc/passwd"),
    *("file:%2f%2f%2fetc/passwd", "..%5c..%5cetc%5cpasswd"),
]


def new(name: str, **more: str) -> bytes:
    return json.dumps({"name": name, **more}).encode()


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_is_shown_without_a_user_or_with_a_wrong_password(mlflow: Mlflow, path: str) -> None:
    assert status(f"{mlflow.url}/{path}") == 401
    assert status(f"{mlflow.url}/{path}", authorization=basic(USER, "wrong")) == 401
    assert status(f"{mlflow.url}/{path}", authorization=basic("admin", mlflow.secrets.words["ray_token"])) == 401


def test_the_sweeps_user_gets_in_and_is_no_administrator(mlflow: Mlflow) -> None:
    url, sweeps, admin = mlflow.url, mlflow.secrets.user(USER), mlflow.secrets.user("admin")
    assert status(f"{url}/{SEARCH}", authorization=sweeps) == 200
    made = answer(f"{url}/{CREATE}", "POST", new("mine"), authorization=sweeps)
    assert made[0] == 200, made
    theirs = answer(f"{url}/{CREATE}", "POST", new("theirs"), authorization=admin)
    number = json.loads(theirs[1])["experiment_id"]
    for experiment in ("0", number):
        get = f"{url}/api/2.0/mlflow/experiments/get?experiment_id={experiment}"
        run = json.dumps({"experiment_id": experiment}).encode()
        assert status(get, authorization=sweeps) == 403
        assert status(get, authorization=admin) == 200
        assert status(f"{url}/api/2.0/mlflow/runs/create", "POST", run, authorization=sweeps) == 403
    user = json.dumps({"username": "eve", "password": "long enough 123"}).encode()
    raised = json.dumps({"username": USER, "is_admin": True}).encode()
    stolen = json.dumps({"username": "admin", "password": "long enough 123"}).encode()
    assert status(f"{url}/api/2.0/mlflow/users/create", "POST", user, authorization=sweeps) == 403
    assert status(f"{url}/api/2.0/mlflow/users/update-admin", "PATCH", raised, authorization=sweeps) == 403
    assert status(f"{url}/api/2.0/mlflow/users/update-password", "PATCH", stolen, authorization=sweeps) == 403
    assert status(f"{url}/{SEARCH}", authorization=admin) == 200, "the password is still the same"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mlflow:5000", 200),
        ("127.0.0.1:5000", 200),
        ("localhost:{port}", 200),
        ("127.0.0.1:{port}", 200),
        ("evil.example", 403),
        ("evil.example:{port}", 403),
        ("10.0.0.1:{port}", 403),
        ("mlflow.evil.example:5000", 403),
    ],
)
def test_it_answers_to_its_own_names_alone(mlflow: Mlflow, host: str, expected: int) -> None:
    asked = host.format(port=mlflow.port)
    assert status(f"{mlflow.url}/{SEARCH}", host=asked, authorization=mlflow.secrets.user(USER)) == expected


def test_a_name_that_it_does_not_know_is_told_before_a_launch(mlflow: Mlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow.secrets.words["mlflow_credentials"])
    assert tracking_problems(mlflow.url, "x@paper") == []
    (problem,) = tracking_problems(f"http://127.0.0.2:{mlflow.port}", "x@paper")
    assert f"start it with --allowed-hosts 127.0.0.2:{mlflow.port}, or ask for the permission" in problem


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://mlflow.evil.example:5000", "https://127.0.0.2"]
)
def test_a_page_from_elsewhere_changes_nothing(mlflow: Mlflow, origin: str) -> None:
    sweeps = mlflow.secrets.user(USER)
    said = answer(f"{mlflow.url}/{CREATE}", "POST", new(f"from {origin}"), origin=origin, authorization=sweeps)
    assert said == (403, "Cross-origin request blocked")
    ours = f"http://127.0.0.1:{mlflow.port}"
    assert status(f"{mlflow.url}/{CREATE}", "POST", new(origin), origin=ours, authorization=sweeps) == 200


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("user", [USER, "admin"])
def test_no_path_leads_out_of_the_folder_of_artifacts(mlflow: Mlflow, path: str, user: str) -> None:
    url, known = f"{mlflow.url}/api/2.0/mlflow-artifacts/artifacts/{path}", mlflow.secrets.user(user)
    before = sorted(mlflow.folder.parent.rglob("passwd"))
    code, text = answer(url, authorization=known)
    assert code == 403 if user == USER else code in (400, 404)
    assert "root:" not in text
    assert status(url, "PUT", b"x", authorization=known) in ((403,) if user == USER else (200, 400))
    assert sorted(mlflow.folder.parent.rglob("passwd")) == before
    assert all(each.is_relative_to(mlflow.folder / "artifacts") for each in mlflow.folder.parent.rglob("*passwd"))


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "https://evil.example/x"])
def test_no_experiment_makes_the_server_ask_another(mlflow: Mlflow, location: str) -> None:
    body = new(f"at {location}", artifact_location=location)
    code, text = answer(f"{mlflow.url}/{CREATE}", "POST", body, authorization=mlflow.secrets.user(USER))
    assert code == 400
    assert "'artifact_location' cannot use" in text
