"""Pretrainings that occupy another share than trials."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_board import make_board, make_space, progress, seal

from ss3d.errors import ConfigError
from ss3d.settings import Settings
from ss3d.store.directory import DirectoryStore
from ss3d.study.board import Board
from ss3d.study.deaths import Death
from ss3d.study.definition import Request
from ss3d.study.driver import Watcher, search
from ss3d.study.environment import prepare_environment
from ss3d.study.job import Job, Progress, from_config
from ss3d.study.live import take_snapshot
from ss3d.study.machine import slots_on, why_crowded
from ss3d.study.room import slots_of
from ss3d.study.tables import Resources
from ss3d.trial.history import load_study_record

OWN = "[resources]\ncpus = 1\n[resources.pretrain]\ncpus = 2\n"


def resources(pretrain: dict[str, float], **trial: Any) -> Resources:
    return Resources.model_validate({**trial, "pretrain": pretrain})


def test_a_pretraining_occupies_what_a_trial_does_but_for_what_is_said() -> None:
    plain = Resources(cpus=3, gpus=0.5, accelerator="A100")
    assert plain.of("pretrain").as_bundle() == plain.as_bundle()
    own = resources({"gpus": 1}, cpus=3, gpus=0.5, accelerator="A100")
    assert own.of("trial").as_bundle() == own.of("control").as_bundle() == plain.as_bundle()
    assert own.of("pretrain").as_bundle() == plain.as_bundle() | {"GPU": 1}


@pytest.mark.parametrize(
    ("pretrain", "trial", "expected"),
    [
        ({}, {"cpus": 3}, 1),
        ({"cpus": 3}, {"cpus": 2}, 1),
        ({"cpus": 1}, {"cpus": 4}, 0.25),
        ({"gpus": 1}, {"gpus": 0.3333}, 3),
        ({"gpus": 1}, {"gpus": 0.4}, 2),  # of which two have room on a GPU
        ({"gpus": 2, "cpus": 1}, {"gpus": 1, "cpus": 8}, 2),
    ],
)
def test_it_takes_the_slots_of_the_trials_that_had_room_in_its_place(
    pretrain: dict[str, float], trial: dict[str, float], expected: float
) -> None:
    assert slots_of("pretrain", resources(pretrain, **trial)) == expected
    assert slots_of("trial", resources(pretrain, **trial)) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("cpus = 0", r"2: .*pretrain\.cpus: got 0, expected greater than 0"),
        ("gpus = 1.5", r"2: .*pretrain\.gpus: got 1.5, expected whole GPUs, or a share of one"),
        ("gpus = 1", r"1: .*pretrain: got {'gpus': 1}, expected gpus above 0 where a trial's are"),
        ("accelerator = 'T4'", r"2: .*pretrain\.accelerator: there is no such key"),
    ],
)
def test_a_bad_share_is_told_with_its_line(table: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"x\.toml:{message}"):
        make_space(f"[resources.pretrain]\n{table}\n")


def test_a_pretraining_that_fits_nowhere_is_told_before_anything_waits_for_it() -> None:
    nodes = [{"CPU": 4.0, "GPU": 1.0}] * 2
    assert slots_on(nodes, resources({"gpus": 1}, gpus=0.25)) == 8
    with pytest.raises(ConfigError, match="a pretraining asks for 1 CPUs and 2 GPUs on one node"):
        slots_on(nodes, resources({"gpus": 2}, gpus=0.25))
    note = why_crowded(resources({"cpus": 1}, cpus=2), 2)
    assert note.endswith(r"set [resources.pretrain] cpus = 2")


def board_of(slots: int, tables: str = OWN, keys: str = "aab") -> Board:
    board = make_board(space=make_space(tables))
    board.widen(slots)
    for number, key in enumerate(keys):
        board.add(seal(board, number, key), set())
    return board


def finish(board: Board, *names: str) -> None:
    for name in names:
        board.end(name, progress(5.0, is_done=True))


def names(jobs: dict[str, Job]) -> list[str]:
    return [job.name for job in jobs.values()]


def test_the_next_job_waits_for_its_room_and_no_later_one_goes_before_it() -> None:
    board = board_of(slots=3)
    assert board.take("p") == Job("pretrain", "t00000", "a")
    assert board.take("q") is None  # b's takes two slots as well, and one is left
    board.place("p")
    finish(board, "p")
    assert board.take("q") == Job("pretrain", "t00002", "b")
    assert board.take("t") is None  # nothing smaller, until it has its place
    board.place("q")
    assert board.take("t") == Job("trial", "t00000", "a")
    assert board.take("u") is None
    assert board.room.free() == 0


def test_what_is_larger_than_all_slots_runs_alone() -> None:
    board = board_of(slots=1)
    assert board.take("p") == Job("pretrain", "t00000", "a")
    assert board.take("q") is None
    finish(board, "p")
    assert board.take("q") == Job("pretrain", "t00002", "b")


def test_smaller_pretrainings_share_a_slot() -> None:
    board = board_of(1, "[resources]\ncpus = 2\n[resources.pretrain]\ncpus = 1\n", "abc")
    assert [board.take(key) for key in "abc"][2] is None
    finish(board, "a")
    assert board.take("c") == Job("pretrain", "t00002", "c")
    assert board.take("t") is None
    finish(board, "b", "c")
    assert [board.take(name) for name in "tu"] == [Job("trial", "t00000", "a"), None]


def test_a_larger_job_that_lost_its_place_holds_smaller_ones_up_again() -> None:
    board = board_of(slots=8, keys="ab")
    for name in "pq":  # of one size: neither waits for the other
        assert board.take(name) is not None
        board.place(name)
    finish(board, "p")
    board.die("q", Death("its node died", is_killed=False))
    assert board.take("t") is None
    board.place("q")
    assert board.take("t") == Job("trial", "t00000", "a")


def test_a_trial_without_a_place_is_shown_as_waiting() -> None:
    board = make_board()
    board.add(seal(board, 0), {"k"})
    states = []
    for step in (
        lambda: board.take("t"),
        lambda: board.place("t"),
        lambda: board.die("t", Death("its node died", is_killed=False)),
    ):
        step()
        states.append(take_snapshot(board, 0.0, 0).counts)
    assert states == [{"waiting": 1}, {"running": 1}, {"waiting": 1}]


@pytest.mark.cluster
@pytest.mark.slow
def test_each_job_of_a_search_has_its_share_and_workers_stay_with_theirs(
    tmp_path: Path, data_folder: Path, write_space: Callable[..., Path]
) -> None:
    prepare_environment(tmp_path)
    import ray

    from ss3d.study.trainable import JobTrainable

    log = tmp_path / "jobs.jsonl"

    class Telling(JobTrainable):
        """Tells what its worker was given, at the begin of a job and at its end."""

        def begin(self, config: dict[str, Any]) -> Iterator[Progress]:
            job, _ = from_config(config)
            given = ray.get_runtime_context().get_assigned_resources()
            line = {"job": job.name, "kind": job.kind, "cpus": given["CPU"], "pid": os.getpid()}

            def tell(is_end: bool) -> None:
                with log.open("a") as file:
                    file.write(json.dumps(line | {"is_end": is_end}) + "\n")

            tell(is_end=False)
            for made in super().begin(config):
                if made.is_done:
                    tell(is_end=True)
                yield made

    strata = """
[pruner]
name = "none"
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
"""
    space = write_space(OWN + strata, 'strata = ["model.num_heads"]\n')
    settings = Settings(home=tmp_path / "home")
    request = Request(space=space, data=str(data_folder), trials=5, slots=2)
    search(request, settings, None, Watcher(), Telling)
    record = load_study_record(DirectoryStore(Path(settings.store_address)), "fast")
    assert [trial.state for trial in record.trials] == ["complete"] * 5
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(line["kind"], line["cpus"]) for line in told} == {("pretrain", 2), ("trial", 1)}
    pids = {k: {line["pid"] for line in told if line["kind"] == k} for k in ("pretrain", "trial")}
    assert [len(pids["pretrain"]), len(pids["trial"])] == [1, 2]
    assert [line["is_end"] for line in told[:4]] == [False, True, False, True]
    assert [line["kind"] for line in told[:4]] == ["pretrain"] * 4
    assert len(told) == 2 * 7
