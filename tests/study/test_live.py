"""What a search shows of its budget."""

from __future__ import annotations

import pytest
from rich.console import Console
from test_ledger import epochs, make, run_one, shown

from ss3d.cli.live_table import draw


def drawn(budget: str) -> str:
    board, _, clock = make(budget)
    run_one(board, 0, "a", epochs(8, 0.125))
    clock.wait(1.5)
    console = Console(width=160)
    with console.capture() as capture:
        console.print(draw(shown(board), "heads", "val/cd_l1"))
    return capture.get()


@pytest.mark.parametrize(
    ("budget", "left", "refused"),
    [
        ("hours = 3", "1.5 of 3 hours left", ""),
        ("hours = 2", "0.5 of 2 hours left", "0.5 of 2 hours left, a trial needs 1"),
        ("target = 9", "", "target 9 reached by t00000"),
        ("", "", ""),
    ],
)
def test_the_head_says_what_is_left_and_why_nothing_new_starts(
    budget: str, left: str, refused: str
) -> None:
    lines = drawn(budget).splitlines()
    assert lines[0].startswith("heads: 1 of 8 trials (1 complete)")
    assert lines[0].rstrip().endswith(left)
    assert ("left" in lines[0]) == bool(left)
    said = [line.strip() for line in lines if line.startswith("nothing new")]
    assert said == ([f"nothing new is started: {refused}"] if refused else [])
