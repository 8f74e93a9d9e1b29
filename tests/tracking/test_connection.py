from __future__ import annotations

import pytest

from ss3d.errors import ConfigError, ServiceError
from ss3d.settings import Settings
from ss3d.tracking.connection import mlflow_errors, without_password
from ss3d.tracking.server import serve_pages

REMOTE = Settings(tracking="http://user:canary@127.0.0.1:9/x")


def test_errors_tell_the_address_and_no_password() -> None:
    with pytest.raises(ServiceError) as refused, mlflow_errors(REMOTE):
        raise ConnectionError(f"API request to {REMOTE.tracking_uri}/api failed")
    told = str(refused.value)
    assert told == "MLflow at http://127.0.0.1:9/x: API request to http://127.0.0.1:9/x/api failed"
    with pytest.raises(ConfigError, match=r"ui: http://127\.0\.0\.1:9/x is a server already"):
        serve_pages(REMOTE, 0).__enter__()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://h:5000", "http://h:5000"),
        ("http://token@h", "http://h"),
        ("postgresql+psycopg://u:p@ss@h/db?x=a@b", "postgresql+psycopg://h/db?x=a@b"),
        ("http://u:p@h and https://u:q@i/", "http://h and https://i/"),
        (
            "sqlite:////home/a@b/mlflow.db, mail to a@b",
            "sqlite:////home/a@b/mlflow.db, mail to a@b",
        ),
    ],
)
def test_users_and_passwords_are_left_out_of_addresses(text: str, told: str) -> None:
    assert without_password(text) == told
