"""`ss3d delete`: remove a study from the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import StudyArgument
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.cli.pretrains import bytes_as_text
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store


def delete(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what.")] = False,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Delete a study with all its trials, for good.

    Refused while a driver runs it, and when a registered model came from one of
    its trials. Pretrained states and controls stay: `ss3d pretrains gc` removes
    those that no other study uses. Optuna's journal of this home forgets the study;
    MLflow keeps its runs. After a kill, the same command finishes what it began.

    Examples:
      ss3d delete quickstart
      ss3d delete quickstart --yes
    """
    from ss3d.study.journal import forget_study
    from ss3d.study.removal import delete_study, measure_study

    settings = load_settings(home=home, store=store)
    opened = open_store(settings.store_address)
    name = layout.check_study_name(study)
    remains = (delete_study if yes else measure_study)(opened, name)
    if yes:
        forget_study(settings.study_journal, name)

    def say() -> None:
        size = f"{remains.num_trials} trials, {bytes_as_text(remains.num_bytes)}"
        words = f"deleted study {study}" if yes else f"would delete study {study}"
        console.print(f"{words}: {size}{'' if yes else '; add --yes'}", highlight=False)

    emit({"deleted": yes} | asdict(remains), as_json, say)
