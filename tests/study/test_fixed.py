"""Points that come first, and points that are enqueued while a study runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_board import make_board, progress
from test_proposals import METRIC, OBJECTIVES, finish, seal
from typer.testing import CliRunner

from ss3d.cli.main import app
from ss3d.config import canonical_json
from ss3d.errors import CheckpointError, ConfigError
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.study.board import Board
from ss3d.study.enqueued import WaitingPoints, enqueue, num_waiting, used
from ss3d.study.frozen import frozen_trial
from ss3d.study.job import Progress
from ss3d.study.proposals import propose
from ss3d.study.proposer import Proposer
from ss3d.study.space import Space, parse_space
from ss3d.study.toml_lines import TomlFile
from ss3d.trial.history import load_study_record
from ss3d.trial.records import TrialRecord

BASE = """strata = ["data.labeled_ratio"]
[base]
preset = "tiny"
[sampler]
n_startup_trials = 1
[parameters."semi.ema_decay"]
type = "float"
low = 0.9
high = 0.999
scale = "log1m"
[parameters."semi.aug_strength"]
type = "float"
low = 0.0
high = 1.0
[parameters."data.labeled_ratio"]
type = "categorical"
choices = [0.1, 0.5]
[parameters."model.decoder"]
type = "categorical"
choices = ["self_attention", "mlp"]
[parameters."model.num_heads"]
type = "int"
low = 1
high = 2
when = { "model.decoder" = "self_attention" }
"""
POINTS = """[[points]]
semi.ema_decay = 0.99
semi.aug_strength = 0
[[points]]
data.labeled_ratio = 0.5
"semi.aug_strength" = 1.0
[[points]]
model.decoder = "self_attention"
model.num_heads = 2
"""


def parse(text: str) -> Space:
    return parse_space(TomlFile(text, "x.toml"), "x")


def test_points_come_first_in_every_stratum_that_agrees() -> None:
    space = parse(BASE + POINTS)
    history = []
    specs = []
    for number in range(8):
        spec = seal(space, number, propose(space, history, number))
        specs.append(spec)
        history.append(frozen_trial(spec, finish(spec, "complete", 9.0, 1.0), OBJECTIVES))
    first, second, third = (
        [{**s.params, **s.stratum} for s in specs[n : n + 2]] for n in (0, 2, 4)
    )
    assert [(p["semi.ema_decay"], p["semi.aug_strength"]) for p in first] == [(0.99, 0.0)] * 2
    assert first[0]["semi.aug_strength"] is not False
    assert (second[0]["model.decoder"], second[0]["model.num_heads"]) == ("self_attention", 2)
    assert (second[1]["data.labeled_ratio"], second[1]["semi.aug_strength"]) == (0.5, 1.0)
    assert third[1]["model.num_heads"] == 2  # the second stratum had one point more
    assert len({spec.params["semi.ema_decay"] for spec in specs[2:]}) == 6  # the sampler's


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (
            "semi.ema_decay = 1.5",
            "x.toml:27: points.0.semi.ema_decay: got 1.5, expected 0.9 to 0.999 (log1m)",
        ),
        (
            'semi.aug_strength = 0.5\n"semi.lr" = 1.0',
            'x.toml:28: points.0."semi.lr": is no parameter of the space; it has semi.ema_decay, '
            "semi.aug_strength, data.labeled_ratio, model.decoder, model.num_heads",
        ),
        (
            "data.labeled_ratio = 0.1",
            "x.toml:26: points.0: a point fixes one parameter at least, of semi.ema_decay, "
            "semi.aug_strength, data.labeled_ratio, model.decoder, model.num_heads",
        ),
        (
            "model.num_heads = 2",
            "x.toml:27: points.0.model.num_heads: is active only with model.decoder = "
            "self_attention; fix that too",
        ),
        (
            'model.decoder = "mlp"\nmodel.num_heads = 2',
            "x.toml:28: points.0.model.num_heads: is not active with the point's other values",
        ),
        (
            'data.labeled_ratio = 0.2\nmodel.decoder = "mlp"',
            "x.toml:27: points.0.data.labeled_ratio: got 0.2, expected 0.1, 0.5",
        ),
    ],
)
def test_a_wrong_point_is_told_with_its_line(point: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"{BASE}[[points]]\n{point}\n")
    assert str(caught.value) == message


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def put_study(store: DirectoryStore, text: str, target: int = 8) -> Space:
    spec = {
        "name": "x",
        "seed": 0,
        "space": text,
        "budget": {"trials": target},
        "objective": {"metric": METRIC, "direction": "minimize"},
    }
    store.put_new(layout.study("x", "study.json"), canonical_json(spec).encode())
    return parse(text)


@contextmanager
def proposing(store: DirectoryStore, space: Space, target: int = 8) -> Iterator[Board]:
    """A session without Ray: the store's trials on a board that a proposer fills."""
    board = make_board(target=target, space=space)
    board.widen(1)
    for record in load_study_record(store, "x").trials:
        board.add(record.spec, {record.spec.pretrain_key})
    proposer = Proposer(board, store, "x", "d")
    proposer.start()
    try:
        yield board
    finally:
        proposer.close()
    assert proposer.failure is None


def wait_for(board: Board, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(board.trials) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_one(board: Board) -> str:
    """Run the next trial to its end, with what it needs; return its name."""
    while (job := board.take("job")) and job.kind != "trial":
        board.end("job", Progress(1, (), is_done=True))
    assert job
    board.end("job", progress(5.0, 4.0, is_done=True))
    spec, result = board.ended(job.trial)
    board.committed(job.trial, result)
    return spec.trial


def trials_of(store: DirectoryStore) -> tuple[TrialRecord, ...]:
    return load_study_record(store, "x").trials


def test_enqueued_points_are_tried_next_each_once_and_in_order(store: DirectoryStore) -> None:
    space = put_study(store, BASE)
    with proposing(store, space) as board:
        wait_for(board, 2)
        enqueue(store, "x", space, {"semi.aug_strength": 0.25})
        enqueue(store, "x", space, {"semi.aug_strength": 0.5, "data.labeled_ratio": 0.1})
        enqueue(store, "x", space, {"semi.aug_strength": 0.75})
        for count in (3, 4):
            run_one(board)
            wait_for(board, count)
    assert num_waiting(store, "x", [t.spec for t in trials_of(store)]) == 1
    with proposing(store, space) as board:  # another driver, from the store alone
        for _ in range(3):  # four were open
            run_one(board)
        wait_for(board, 5)
    found = {t.spec.trial: t.spec.attrs.get("enqueued") for t in trials_of(store)}
    assert found | {"t00000": None, "t00001": None} == found
    assert sorted(n for n in found.values() if n) == [1, 2, 3]
    by_entry = {t.spec.attrs.get("enqueued"): t.spec for t in trials_of(store)}
    assert [by_entry[n].params["semi.aug_strength"] for n in (1, 2, 3)] == [0.25, 0.5, 0.75]
    assert by_entry[2].stratum == {"data.labeled_ratio": 0.1}
    assert used(t.spec for t in trials_of(store)) == {1, 2, 3}


def test_points_of_the_file_come_before_enqueued_ones(store: DirectoryStore) -> None:
    space = put_study(store, BASE + POINTS)
    enqueue(store, "x", space, {"semi.aug_strength": 0.25})
    with proposing(store, space) as board:
        wait_for(board, 2)
    assert all("enqueued" not in t.spec.attrs for t in trials_of(store))


def test_a_grid_goes_on_round_an_enqueued_cell(store: DirectoryStore) -> None:
    text = """[base]
preset = "tiny"
[sampler]
name = "grid"
[parameters."semi.aug_strength"]
type = "float"
low = 0.1
high = 0.4
step = 0.1
"""
    space = put_study(store, text, target=4)
    enqueue(store, "x", space, {"semi.aug_strength": 0.3})
    with proposing(store, space, target=4) as board:
        wait_for(board, 2)
        for count in (3, 4):
            run_one(board)
            wait_for(board, count)
    values = [t.spec.params["semi.aug_strength"] for t in trials_of(store)]
    assert (values[0], sorted(values)) == (0.3, [0.1, 0.2, 0.3, 0.4])


def test_a_damaged_entry_is_named(store: DirectoryStore) -> None:
    space = put_study(store, BASE)
    store.put_new(layout.study("x", "queue", "0001.json"), b'{"values": {"semi.lr": 1}}')
    with pytest.raises(CheckpointError, match=r"studies/x/queue/0001.json is damaged: semi.lr"):
        WaitingPoints(store, "x", space).oldest({}, set())


def enqueue_command(store: DirectoryStore, *words: str) -> Any:
    return CliRunner().invoke(app, ["enqueue", "x", *words, "--store", store.address])


def test_the_command_says_what_waits(store: DirectoryStore) -> None:
    put_study(store, BASE, target=1)
    result = enqueue_command(store, "--set", "semi.aug_strength=0.5", "--json")
    assert json.loads(result.stdout) == {
        "study": "x",
        "entry": 1,
        "values": {"semi.aug_strength": 0.5},
        "waiting": 1,
        "left": 1,
    }
    result = enqueue_command(store, "--set", "model.decoder=mlp")
    assert result.stdout.splitlines() == [
        "x: point 2 waits, 2 in all; 1 trials are left",
        "next: ss3d search --name x --resume --trials 2",
    ]
    status = CliRunner().invoke(app, ["status", "x", "--store", store.address])
    assert "2 enqueued points wait" in status.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a point fixes one parameter at least"),
        (["--set", "semi.aug_strength=2"], "semi.aug_strength: got 2, expected 0.0 to 1.0"),
        (["--set", "semi.lr=1"], "semi.lr: is no parameter of the space"),
        (["--set", "data.labeled_ratio=0.3"], "data.labeled_ratio: got 0.3, expected 0.1, 0.5"),
    ],
)
def test_nothing_waits_after_a_mistake(
    store: DirectoryStore, words: list[str], message: str
) -> None:
    put_study(store, BASE)
    result = enqueue_command(store, *words)
    if message.startswith("data"):
        words += ["--set", "semi.aug_strength=0.5"]
        result = enqueue_command(store, *words)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert not list(store.list("studies/x/queue/"))
