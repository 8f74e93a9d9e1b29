import pytest
from typer.main import get_command

from ss3d.cli.main import app

WITH_STORE = (
    *("search", "studies", "status", "trials", "show", "why"),
    *("promote", "rollback", "registry", "predict", "ui", "sync", "figure", "weights add"),
    *("evaluate", "rerun", "train"),
)


@pytest.mark.parametrize("path", WITH_STORE)
def test_every_command_that_reads_the_store_takes_its_address(path: str) -> None:
    command = get_command(app)
    for name in path.split():
        command = command.commands[name]
    flags = [flag for option in command.params for flag in option.opts]
    assert {"--home", "--store"} <= set(flags)
