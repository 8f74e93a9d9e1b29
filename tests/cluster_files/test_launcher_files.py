"""`ray up` takes cluster/aws.yaml and cluster/ssh.yaml, and no misspelled key of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import boto3
import jsonschema
import pytest
from botocore.validate import ParamValidator
from cluster_documents import CLUSTER, Keys, keys, load, misspelled

# Private, because Ray has no other way to check a file without starting machines.
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME

AWS, SSH = load(CLUSTER / "aws.yaml"), load(CLUSTER / "ssh.yaml")

# The schema's; what Ray does without `provider`, and with a `docker` that names no image.
REFUSALS = (jsonschema.ValidationError, KeyError, AssertionError)


def checked(document: Any) -> dict[str, Any]:
    """As `ray up` does: defaults first, then the schema."""
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
