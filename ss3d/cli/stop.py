"""`ss3d stop`: end a study that runs, or one of its trials, from anywhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.store.protocol import Store

_POLL_S = 0.5


def stop(
    what: Annotated[str, typer.Argument(metavar="STUDY[/TRIAL]", help="What is to end.")],
    wait: Annotated[bool, typer.Option(help="Wait until it has ended.")] = True,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """End a study that runs, on whatever machine, or one of its trials.

    A study ends as by Ctrl-C: nothing is lost and `ss3d search --resume` goes on with it.
    A trial that runs ends at its next epoch, one that waits never starts; it counts as
    pruned, and `ss3d why` says that the user wanted it. Ends with 5 if nobody runs the
    study or the trial has ended already.

    Examples:
      ss3d stop quickstart
      ss3d stop quickstart/t00003 --no-wait
    """
    from ss3d.study.stopping import ask_to_stop

    opened = open_store(load_settings(home=home, store=store).store_address)
    study, trial = layout.split_trial_path(what) if "/" in what else (what, "")
    ask_to_stop(opened, layout.check_study_name(study), trial)
    if wait and not as_json:
        errors.print(f"{what}: asked to stop; waiting (Ctrl-C leaves it to its driver)")
    is_over = wait and _wait(opened, study, trial)
    value = {"study": study, "trial": trial or None, "stopped": is_over}
    emit(value, as_json, lambda: console.print(_say(study, trial, is_over), soft_wrap=True))


def _wait(store: Store, study: str, trial: str) -> bool:
    """Wait until a trial has a result or nobody runs the study; return whether it has ended."""
    from ss3d.study.stopping import is_driven

    def has_ended() -> bool:
        return bool(trial) and store.get(layout.trial(study, trial, "result.json")) is not None

    while is_driven(store, study) and not has_ended():
        time.sleep(_POLL_S)
    return not trial or has_ended()


def _say(study: str, trial: str, is_over: bool) -> str:
    words = "stopped" if is_over else "asked to stop"
    if not trial:
        return f"study {study}: {words}; `ss3d search --name {study} --resume` goes on with it"
    if is_over:
        return f"trial {study}/{trial}: stopped; `ss3d why {study}/{trial}` says more"
    return f"trial {study}/{trial}: asked to stop; its driver obeys, now or after --resume"
