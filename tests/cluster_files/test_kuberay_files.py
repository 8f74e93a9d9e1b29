"""KubeRay's definitions take cluster/kuberay, and no misspelled key of it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cluster_documents import CLUSTER, keys, load, misspelled, schema_file

from ss3d.study.spool import Entry, Spool

DOCUMENTS = {
    "ray.io_rayclusters.yaml": load(CLUSTER / "kuberay" / "raycluster.yaml"),
    "ray.io_rayjobs.yaml": load(CLUSTER / "kuberay" / "rayjob.yaml"),
}
CLUSTER_SPEC = DOCUMENTS["ray.io_rayclusters.yaml"]["spec"]
JOB_SPEC = DOCUMENTS["ray.io_rayjobs.yaml"]["spec"]
WORKERS = CLUSTER_SPEC["workerGroupSpecs"][0]["template"]["spec"]
HEAD = CLUSTER_SPEC["headGroupSpec"]["template"]["spec"]
FREE = {"metadata", "rayStartParams", "requests", "limits", "clusterSelector"}


def strict(schema: Any) -> Any:
    """A definition as JSON schema that takes no unknown keys, as `kubectl` does when asked."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tree = {key: strict(value) for key, value in schema.items()}
    is_object = isinstance(schema.get("properties"), dict) and "type" in schema
    if is_object and not schema.get("x-kubernetes-preserve-unknown-fields"):
        tree.setdefault("additionalProperties", False)
    return tree


@pytest.fixture(scope="module", params=DOCUMENTS)
def checked(request: pytest.FixtureRequest) -> tuple[Any, jsonschema.Draft7Validator]:
    definition = load(schema_file(request.param))
    (version,) = [v for v in definition["spec"]["versions"] if v["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    return DOCUMENTS[request.param], jsonschema.Draft7Validator(schema)


def test_the_definition_takes_it(checked) -> None:
    document, validator = checked
    assert [error.message for error in validator.iter_errors(document)] == []


def test_every_misspelled_key_is_refused(checked) -> None:
    document, validator = checked
    paths = [path for path in keys(document) if not FREE & set(path[:-1])]
    assert len(paths) > 5
    accepted = [path for path in paths if validator.is_valid(misspelled(document, path))]
    assert accepted == []


def test_values_are_checked_too(checked) -> None:
    document, validator = checked
    assert not validator.is_valid({**document, "spec": {"backoffLimit": "three"}})
    assert not validator.is_valid({**document, "spec": {"rayVersion": 2.6}})


def test_the_token_is_the_operators_and_nobody_is_root() -> None:
    assert CLUSTER_SPEC["authOptions"] == {"mode": "token"}
    assert CLUSTER_SPEC["headGroupSpec"]["serviceType"] == "ClusterIP"
    for pod in (HEAD, WORKERS):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    sources = [pod["containers"][0]["envFrom"][0]["secretRef"]["name"] for pod in (HEAD, WORKERS)]
    assert sources == ["ss3d-driver", "ss3d-worker"]


def test_the_job_runs_on_the_cluster_and_shows_its_metrics_there() -> None:
    name = DOCUMENTS["ray.io_rayclusters.yaml"]["metadata"]["name"]
    assert JOB_SPEC["clusterSelector"] == {"ray.io/cluster": name}
    ports = {port["name"]: port["containerPort"] for port in HEAD["containers"][0]["ports"]}
    assert JOB_SPEC["entrypoint"].split()[-2:] == ["--metrics", f"0.0.0.0:{ports['metrics']}"]


def test_a_pod_that_must_go_waits_for_its_spool(tmp_path: Path) -> None:
    hook = WORKERS["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    environment = {**os.environ, "SS3D_CACHE": str(tmp_path)}
    assert subprocess.run(hook, env=environment, timeout=20).returncode == 0  # no spool yet
    spool = Spool(tmp_path, "s3://bucket/prefix")
    folder = spool.folder()
    (folder / "weights").write_bytes(b"1")
    spool.submit(folder, Entry("t00000", "bundle", "key"))
    ((entry, _),) = spool.claim()  # on its way
    with subprocess.Popen(hook, env=environment) as waiting:
        time.sleep(0.3)
        assert waiting.poll() is None
        spool.done(entry)
        assert waiting.wait(timeout=20) == 0
    grace_s = WORKERS["terminationGracePeriodSeconds"]
    assert grace_s > 100, "the hook waits for 100 seconds"
