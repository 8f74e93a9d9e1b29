"""`ray up` takes cluster/aws.yaml and cluster/ssh.yaml, and no misspelled key of them."""

from __future__ import annotations

import copy
import json
import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import jsonschema
import pytest
from botocore.validate import ParamValidator
from cluster_documents import CLUSTER, Keys, keys, load, misspelled

from ss3d.settings import load_settings
from ss3d.study.security import examine_security

AWS, SSH = load(CLUSTER / "aws.yaml"), load(CLUSTER / "ssh.yaml")

# The schema's; what Ray does without `provider`, and with a `docker` that names no image.
REFUSALS = (jsonschema.ValidationError, KeyError, AssertionError)


def checked(document: Any) -> dict[str, Any]:
    """As `ray up` does: defaults first, then the schema."""
    # Private, because Ray has no other way to check a file without starting machines.
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(copy.deepcopy(document))
    validate_config(config)
    return config


def closed(document: Any) -> list[Keys]:
    """Where the schema takes no other keys: the rest is free (`provider`) or EC2's."""
    free = {"provider", "file_mounts", "node_config", "resources", "available_node_types"}
    return [
        path
        for path in keys(document)
        if not free & set(path[:-1])
        or (path[0] == "available_node_types" and len(path) == 3)  # of a node type
    ]


def test_the_launcher_takes_the_files() -> None:
    aws, ssh = checked(AWS), checked(SSH)
    assert aws["available_node_types"]["head"]["max_workers"] == 0
    assert ssh["max_workers"] == len(SSH["provider"]["worker_ips"])
    assert ssh["docker"] == {}


@pytest.mark.parametrize("document", [AWS, SSH], ids=["aws", "ssh"])
def test_every_misspelled_key_is_refused(document: Any) -> None:
    for path in closed(document):
        with pytest.raises(REFUSALS):
            checked(misspelled(document, path))


@pytest.fixture(scope="module")
def run_instances() -> Any:
    client = boto3.client("ec2", region_name="us-east-1")
    return client.meta.service_model.operation_model("RunInstances").input_shape


@pytest.mark.parametrize("node", AWS["available_node_types"])
def test_ec2_takes_what_the_nodes_are(node: str, run_instances: Any) -> None:
    def faults(config: Any) -> str:
        counted = {**config, "MinCount": 1, "MaxCount": 1}
        return ParamValidator().validate(counted, run_instances).generate_report()

    config = AWS["available_node_types"][node]["node_config"]
    assert faults(config) == ""
    for path in keys(config):
        assert f"{path[-1]}s" in faults(misspelled(config, path)), path


def test_workers_are_spot_instances_and_end() -> None:
    workers = AWS["available_node_types"]["gpu"]
    assert workers["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert workers["min_workers"] == 0
    assert AWS["provider"]["cache_stopped_nodes"] is False
    assert AWS["available_node_types"]["head"]["resources"] == {"CPU": 0}


@pytest.mark.parametrize("document", [AWS, SSH], ids=["aws", "ssh"])
def test_doors_are_closed(document: Any) -> None:
    (head,) = [line for line in document["head_start_ray_commands"] if "--head" in line]
    assert "--dashboard-host=127.0.0.1" in head
    assert document["file_mounts"]["~/secrets"] == "cluster/secrets/nodes"


def test_the_head_may_start_and_end_nodes_of_this_cluster_only() -> None:
    from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME

    policy = json.loads((CLUSTER / "policies" / "autoscaler.json").read_text())
    statements = {statement["Sid"]: statement for statement in policy["Statement"]}
    ends = statements["EndNodesOfThisCluster"]
    assert ends["Condition"] == {
        "StringEquals": {f"ec2:ResourceTag/{TAG_RAY_CLUSTER_NAME}": AWS["cluster_name"]}
    }
    nodes = AWS["available_node_types"]
    profiles = {name: node["node_config"]["IamInstanceProfile"] for name, node in nodes.items()}
    role = statements["GiveWorkersTheirRole"]["Resource"].rpartition("/")[2]
    assert profiles["gpu"] == {"Name": role} != profiles["head"]
    assert "*" not in "".join(str(statement["Action"]) for statement in statements.values())


def test_a_certificate_names_its_nodes_and_is_believed(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no program openssl")
    script, folder = CLUSTER / "certificate", tmp_path / "nodes"
    subprocess.run([script, folder, "10.0.0.7", "gpu-2.example", "fd00::1"], check=True)
    assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "node.crt", "node.key"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    for option, name, is_named in (
        ("-verify_ip", "10.0.0.7", True),
        ("-verify_ip", "127.0.0.1", True),
        ("-verify_ip", "fd00::1", True),
        ("-verify_hostname", "gpu-2.example", True),
        ("-verify_ip", "10.0.0.8", False),
    ):
        words = ["openssl", "verify", "-CAfile", folder / "ca.crt", option, name]
        verified = subprocess.run([*words, folder / "node.crt"], capture_output=True)
        assert (verified.returncode == 0) == is_named, name
    assert subprocess.run([script, folder], capture_output=True).returncode == 2


def test_the_environment_over_ssh_is_one_that_the_doctor_takes(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    for name in ("ray-token", "ca.crt", "node.crt", "node.key"):
        (secrets / name).touch(mode=0o600)
    (secrets / "worker.env").write_text("AWS_ACCESS_KEY_ID=worker\n")
    line = f". {shlex.quote(str(CLUSTER / 'ssh.env'))}; env -0"
    told = subprocess.run(["sh", "-c", line], env={"HOME": str(tmp_path)}, capture_output=True)
    environment = dict(text.split("=", 1) for text in told.stdout.decode().split("\0") if text)
    assert environment["AWS_ACCESS_KEY_ID"] == "worker"
    ours = {name: value for name, value in environment.items() if name.startswith("SS3D_")}
    with patch.dict(os.environ, ours):
        settings = load_settings()
    nobody = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1"}
    findings = list(examine_security(settings, environment | nobody))
    assert {finding.probe: finding.outcome for finding in findings} == {
        finding.probe: "ok" for finding in findings
    }
    assert "ray tls" in {finding.probe for finding in findings}
