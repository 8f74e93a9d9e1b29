import json

import pytest
from typer.testing import CliRunner

from ss3d.cli.model import app
from ss3d.cli.options import parse_assignments
from ss3d.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("16", 16),
        ("1_000", 1000),
        ("true", True),
        ("null", None),
        ("[16, 32, 32]", [16, 32, 32]),
        ("mlp", "mlp"),
        ('"mlp"', "mlp"),
        ("'mlp'", "mlp"),
        ("03", "03"),
        ("", ""),
    ],
)
def test_values_are_json_or_toml_or_text(text: str, value: object):
    assert parse_assignments([f"model.field={text}"]) == {"model.field": value}


def test_only_the_first_equals_sign_separates():
    assert parse_assignments(["a.b=c=d"]) == {"a.b": "c=d"}


@pytest.mark.parametrize("text", ["model.width", "=3", " = 3"])
def test_an_assignment_without_path_or_value_is_refused(text: str):
    with pytest.raises(ConfigError, match="expected PATH=VALUE"):
        parse_assignments([text])


def test_a_path_given_twice_is_refused():
    with pytest.raises(ConfigError, match=r"a\.b is given twice"):
        parse_assignments(["a.b=1", "a.b=2"])


def test_nothing_given_is_no_assignment():
    assert parse_assignments(None) == {}


def test_info_counts_a_preset_as_json():
    result = CliRunner().invoke(app, ["info", "--preset", "tiny", "--json"])
    document = json.loads(result.stdout)
    assert document["parameters"]["total"] == 393_523
    assert set(document) == {"parameters", "flops"}
    assert document["parameters"].keys() == document["flops"].keys()


def test_info_takes_assignments_and_prints_a_table():
    arguments = ["info", "--preset", "tiny", "--set", "model.decoder=mlp"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "shape_matching" in result.stdout


def test_info_names_a_wrong_value():
    arguments = ["info", "--preset", "tiny", "--set", "model.num_heads=5"]
    with pytest.raises(ConfigError, match=r"model\.num_heads: got 5"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
