"""The files for `ray up` and KubeRay fit the schemas of what reads them, and what they name is there."""

import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.test_compose import locked

ROOT = Path(__file__).parents[2]
CLUSTER = yaml.safe_load((ROOT / "deploy" / "ray-cluster.yaml").read_text())
CLAIM, POLICY, JOB = yaml.safe_load_all((ROOT / "deploy" / "rayjob.yaml").read_text())
RAY = str(next(iter(locked(ROOT / "deploy" / "requirements.lock")["ray"].specifier)).version)

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?$"}


def fields(required: str, **properties: Schema) -> Schema:
    """Return the schema of an object with these fields and no others; `required` names some of them."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


# The part of Kubernetes' and of KubeRay 1.7's resources (ray.io/v1) that the file uses, after their API references.
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}
PROBE = fields(
    "exec",
    exec=fields("command", command=listed(TEXT)),
    initialDelaySeconds=NUMBER,
    periodSeconds=NUMBER,
    timeoutSeconds=NUMBER,
    failureThreshold=NUMBER,
)
CONTAINER = fields(
    "name image",
    name=TEXT,
    image=TEXT,
    envFrom=listed(fields("configMapRef", configMapRef=fields("name", name=TEXT))),
    env=listed(fields("name value", name=TEXT, value=TEXT)),
    resources=fields("", requests=QUANTITIES, limits=QUANTITIES),
    securityContext=fields(
        "",
        allowPrivilegeEscalation=FLAG,
        readOnlyRootFilesystem=FLAG,
        capabilities=fields("", drop=listed(TEXT)),
    ),
    readinessProbe=PROBE,
    livenessProbe=PROBE,
    volumeMounts=listed(fields("name mountPath", name=TEXT, mountPath=TEXT, readOnly=FLAG)),
)
VOLUME = fields(
    "name",
    name=TEXT,
    persistentVolumeClaim=fields("claimName", claimName=TEXT),
    emptyDir=fields("", sizeLimit=QUANTITY),
    secret=fields("secretName", secretName=TEXT, defaultMode=NUMBER),
)
POD = fields(
    "spec",
    metadata=fields("", labels=TEXTS),
    spec=fields(
        "containers",
        securityContext=fields(
            "",
            runAsNonRoot=FLAG,
            runAsUser=NUMBER,
            runAsGroup=NUMBER,
            fsGroup=NUMBER,
            seccompProfile=fields("type", type={"enum": ["RuntimeDefault"]}),
        ),
        automountServiceAccountToken=FLAG,
        containers=listed(CONTAINER),
        volumes=listed(VOLUME),
    ),
)
RAYJOB = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?$"}),
    spec=fields(
        "entrypoint rayClusterSpec",
        entrypoint=TEXT,
        backoffLimit=NUMBER,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=NUMBER,
        rayClusterSpec=fields(
            "headGroupSpec",
            rayVersion=TEXT,
            enableInTreeAutoscaling=FLAG,
            autoscalerOptions=fields("", idleTimeoutSeconds=NUMBER),
            authOptions=fields("mode", mode={"enum": ["token", "disabled"]}, secretName=TEXT),
            headGroupSpec=fields("rayStartParams template", rayStartParams=TEXTS, template=POD),
            workerGroupSpecs=listed(
                fields(
                    "groupName minReplicas maxReplicas rayStartParams template",
                    groupName=TEXT,
                    replicas=NUMBER,
                    minReplicas=NUMBER,
                    maxReplicas=NUMBER,
                    rayStartParams=TEXTS,
                    template=POD,
                )
            ),
        ),
    ),
)


def templates(job: Any) -> list[Any]:
    spec = job["spec"]["rayClusterSpec"]
    return [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]


def test_kuberay_accepts_the_job() -> None:
    jsonschema.validate(JOB, RAYJOB)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.backofLimit", 3),
        ("spec.submissionMode", "HttpMode"),
        ("spec.rayClusterSpec.authOptions.mode", "none"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
    ],
)
def test_the_schema_finds_mistakes(path: str, value: object) -> None:
    wrong = copy.deepcopy(JOB)
    *folders, name = path.split(".")
    place = wrong
    for folder in folders:
        place = place[folder]
    place[name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, RAYJOB)


def test_the_job_is_retried_on_shared_storage_with_a_token() -> None:
    spec = JOB["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["entrypoint"].startswith("softaug launch ")
    assert spec["entrypoint"].endswith(" --address auto")
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == RAY
    assert cluster["authOptions"] == {"mode": "token", "secretName": "softaug-ray-token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    for template in templates(JOB):
        (container,) = template["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert volumes[mounts["/shared"]]["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
        assert set(mounts.values()) == set(volumes)
        environment = {each["name"]: each["value"] for each in container["env"]}
        assert environment["SOFTAUG_STORE"].startswith("/shared/")
        assert template["metadata"]["labels"] == POLICY["spec"]["podSelector"]["matchLabels"]


def test_pods_are_contained() -> None:
    for template in templates(JOB):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["limits"]) >= {"cpu", "memory"}
            assert re.search(r":\d+\.\d+\.\d+$", container["image"])


def test_ray_up_accepts_the_cluster() -> None:
    from ray.autoscaler._private import util

    prepared = util.prepare_config(copy.deepcopy(CLUSTER))
    util.validate_config(prepared)
    wrong = copy.deepcopy(CLUSTER)
    wrong["available_node_types"]["gpu"]["max_worker"] = 2
    with pytest.raises(jsonschema.ValidationError):
        util.validate_config(util.prepare_config(wrong))


def test_the_cluster_has_gpus_on_spot_a_token_and_a_shared_store() -> None:
    head, gpu = (CLUSTER["available_node_types"][name] for name in ("head", "gpu"))
    assert CLUSTER["head_node_type"] == "head"
    assert head["resources"]["CPU"] == 0
    assert gpu["resources"]["GPU"] == 1
    assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert gpu["min_workers"] >= 1
    assert CLUSTER["file_mounts"]["~/.ray/auth_token"] == "secrets/ray_token"
    assert {"secrets", ".env"} <= set(CLUSTER["rsync_exclude"])
    starts = [CLUSTER["head_start_ray_commands"][-1], CLUSTER["worker_start_ray_commands"][-1]]
    for start in starts:
        assert "chmod 600 ~/.ray/auth_token" in start
        for setting in ("RAY_AUTH_MODE=token", "SOFTAUG_STORE=/shared/runs"):
            assert setting in start
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert any("--require-hashes -r ~/softaug/deploy/requirements.lock" in line for line in CLUSTER["setup_commands"])


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "rayjob.yaml"])
def test_no_secret_is_in_the_files(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text()
    assert not re.search(r"[0-9a-f]{32}|[\w-]{43}", text.replace("service_completed_successfully", ""))
