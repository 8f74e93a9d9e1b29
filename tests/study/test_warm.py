"""Learning from earlier studies: what is copied, what is refused, and what a rebuilt study has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from study_records import put_result, put_spec

from ss3d.data.items import Shape
from ss3d.data.procedural import prepare_procedural
from ss3d.errors import CheckpointError, ConfigError, RefusedError
from ss3d.store.directory import DirectoryStore
from ss3d.study.definition import Request, Study, define_study
from ss3d.study.frozen import frozen_trial
from ss3d.study.proposals import propose
from ss3d.study.removal import delete_study
from ss3d.study.samplers import as_founder
from ss3d.trial.history import load_study_record

HEADS = """
[parameters."model.num_heads"]
type = "categorical"
choices = [1, 2]
"""
TPE = '[sampler]\nname = "tpe"\nn_startup_trials = 3\n'
Write = Callable[[str], Path]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def earlier(store: DirectoryStore, data_folder: Path, write_space: Write) -> Study:
    """A study with five pruned trials and one that runs."""
    request = Request(space=write_space(HEADS), data=str(data_folder), name="earlier")
    study = define_study(store, request)
    specs = [put_spec(store, "earlier", study.space, number) for number in range(6)]
    for number, spec in enumerate(specs[:5]):
        put_result(store, spec, 1 + number % 3)
    return study


def start(
    store: DirectoryStore, space: Path, data: Path, name: str = "later", resume: bool = False
) -> Study:
    request = Request(space=space, data=str(data), name=name, resume=resume, warm_from=("earlier",))
    return define_study(store, request)


@pytest.mark.usefixtures("earlier")
def test_finished_trials_are_copied_and_outlive_their_study(
    store: DirectoryStore, data_folder: Path, write_space: Write
) -> None:
    copied = load_study_record(store, "earlier").trials[:5]
    study = start(store, write_space(TPE + HEADS), data_folder)
    assert [(w["study"], w["trials"]) for w in study.spec["warm"]] == [("earlier", 5)]
    assert [(t.spec, t.result) for t in study.warm] == [(t.spec, t.result) for t in copied]
    history = [
        as_founder(frozen_trial(t.spec, t.result, study.space.objectives)) for t in study.warm
    ]
    assert propose(study.space, history, 0).params != propose(study.space, [], 0).params
    delete_study(store, "earlier")
    resumed = define_study(store, Request(name="later", resume=True))
    assert resumed.warm == study.warm
    assert load_study_record(store, "later").trials == ()


@pytest.mark.usefixtures("earlier")
def test_a_copy_that_was_changed_is_refused(
    store: DirectoryStore, data_folder: Path, write_space: Write
) -> None:
    start(store, write_space(HEADS), data_folder)
    (key,) = store.list("studies/later/warm/")
    store.delete(key)
    store.put_new(key, b"{}")
    with pytest.raises(CheckpointError, match=r"warm/earlier-.* is missing or was changed"):
        define_study(store, Request(name="later", resume=True))


@pytest.mark.usefixtures("earlier")
def test_a_study_learns_from_the_same_studies_for_ever(
    store: DirectoryStore, data_folder: Path, write_space: Write
) -> None:
    space = write_space(HEADS)
    define_study(store, Request(space=space, data=str(data_folder), name="alone"))
    with pytest.raises(RefusedError, match="study alone learns from no other study; it is immut"):
        start(store, space, data_folder, name="alone", resume=True)
    start(store, space, data_folder)
    assert start(store, space, data_folder, resume=True).warm


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize(
    ("tables", "error", "message"),
    [
        (HEADS.replace("2]", "2, 4]"), RefusedError, "has other parameters: model.num_heads$"),
        ("", RefusedError, "has other parameters: model.num_heads$"),
        (
            HEADS + '[objective]\nmetric = "val/f_score"\ndirection = "maximize"\n',
            RefusedError,
            "it searches for minimize val/cd_l1, this study for maximize val/f_score",
        ),
        ('[sampler]\nname = "qmc"\n' + HEADS, ConfigError, "no effect with sampler qmc"),
    ],
)
def test_a_study_that_says_nothing_about_this_space_is_refused(
    store: DirectoryStore,
    data_folder: Path,
    write_space: Write,
    tables: str,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=f"--warm-from.*{message}"):
        start(store, write_space(tables), data_folder)
    assert not list(store.list("studies/later/"))


@pytest.mark.usefixtures("earlier")
def test_a_study_of_other_data_is_refused(
    store: DirectoryStore, write_space: Write, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shape = Shape(num_views=1, image_size=32, num_points=64)
    prepare_procedural(DirectoryStore(other), "other", 8, 1, shape, None)
    with pytest.raises(RefusedError, match=r"--warm-from earlier: was made with data .*…, this"):
        start(store, write_space(HEADS), other)


def test_a_study_without_results_or_that_is_not_there_is_refused(
    store: DirectoryStore, data_folder: Path, write_space: Write
) -> None:
    space = write_space(HEADS)
    with pytest.raises(ConfigError, match="study 'earlier': not in the store"):
        start(store, space, data_folder)
    define_study(store, Request(space=space, data=str(data_folder), name="earlier"))
    with pytest.raises(RefusedError, match="has no complete or pruned trial"):
        start(store, space, data_folder)
