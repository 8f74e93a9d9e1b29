"""The Compose specification takes cluster/compose.yaml, and no misspelled key of it."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from cluster_documents import CLUSTER, keys, load, misspelled, schema_file, texts

COMPOSE = load(CLUSTER / "compose.yaml")
SERVICES = COMPOSE["services"]
FREE = {"environment", "networks", "volumes", "depends_on"}
NAMES = ("services", "configs")  # their keys are ours


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(schema_file("compose-spec.json").read_text()))


def test_the_specification_takes_it(validator) -> None:
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []


def test_every_misspelled_key_is_refused(validator) -> None:
    paths = [
        path
        for path in keys(COMPOSE)
        if not FREE & set(path[:-1])
        and not (path[0] in NAMES and len(path) == 2)
        and not str(path[0]).startswith("x-")
    ]
    assert len(paths) > 30
    accepted = [path for path in paths if validator.is_valid(misspelled(COMPOSE, path))]
    assert accepted == []


def test_every_port_is_on_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_in_the_file_and_each_is_asked_for() -> None:
    text = (CLUSTER / "compose.yaml").read_text()
    names = set(re.findall(r"\$\{(\w+)", text))
    assert names == set(re.findall(r"\$\{(\w+):\?", text)), "an empty password would be taken"
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|SESSION", name):
                assert re.fullmatch(r"\$\{\w+(:\?[^}]*)?\}", value), name


def test_the_keys_are_json_and_the_logins_agree() -> None:
    content = COMPOSE["configs"]["keys.json"]["content"]
    identities = json.loads(re.sub(r"\$\{(\w+)[^}]*\}", r"\1", content))["identities"]
    secret = {i["name"]: i["credentials"][0]["secretKey"] for i in identities}
    assert set(secret) == {"admin", "ss3d", "mlflow"}
    for service in SERVICES.values():
        environment = service.get("environment", {})
        if key := environment.get("AWS_ACCESS_KEY_ID"):
            assert environment["AWS_SECRET_ACCESS_KEY"].startswith(f"${{{secret[key]}")
    for identity in identities[1:]:
        assert {action.partition(":")[2] for action in identity["actions"]} == {identity["name"]}


def test_what_is_referred_to_is_there() -> None:
    for service in SERVICES.values():
        assert {config["source"] for config in service.get("configs", ())} <= set(
            COMPOSE["configs"]
        )
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert "postgres/mlflow_auth" in "".join(texts(COMPOSE["configs"]["auth.ini"]))
    assert COMPOSE["configs"]["auth.sql"]["content"] == "CREATE DATABASE mlflow_auth;"


def test_services_that_stay_are_watched() -> None:
    stays = {name for name, service in SERVICES.items() if service["restart"] == "unless-stopped"}
    assert stays == {name for name, service in SERVICES.items() if "healthcheck" in service}


def test_the_tracking_server_is_closed() -> None:
    mlflow: dict[str, Any] = SERVICES["mlflow"]
    assert "--app-name basic-auth" in mlflow["command"]
    assert mlflow["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert mlflow["environment"]["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert "password" not in mlflow["command"]
