"""`ss3d logs`: what a study's driver or the attempts at a trial told, also while they run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.text import Text

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import ConfigError
from ss3d.settings import load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.store.protocol import Store
    from ss3d.trial.log import Line

_POLL_S = 1.0
_STYLES = {"warning": "yellow", "error": "red"}


def logs(
    what: Annotated[str, typer.Argument(metavar="STUDY[/TRIAL]", help="Whose log.")],
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", min=0, help="Of a trial, or session of a study; default: last."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until it has ended.")] = False,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the log of a study's driver, or of an attempt at a trial, from the store.

    So it works from anywhere that reaches the store, while they run and after. A trial that has
    no attempt yet shows what pretrains for it. With --follow and --json each line is one JSON
    object.

    Examples:
      ss3d logs quickstart
      ss3d logs quickstart/t00003 --follow
      ss3d logs quickstart/t00003 --attempt 1 --json
    """
    from ss3d.trial.history import load_study_spec, load_trial_record

    opened = open_store(load_settings(home=home, store=store).store_address)
    study, trial = layout.split_trial_path(what) if "/" in what else (what, "")
    load_study_spec(opened, layout.check_study_name(study))
    if trial:
        load_trial_record(opened, study, trial)
    source = _Source(opened, study, trial, attempt)
    if follow:
        for line in source.follow():
            if as_json:
                print(json.dumps(line, ensure_ascii=False), flush=True)
            else:
                _say(line)
        return
    lines = source.read()
    emit(lines, as_json, lambda: _say_all(lines))


class _Source(NamedTuple):
    """The log that was asked for."""

    store: Store
    study: str
    trial: str
    attempt: int | None

    def read(self) -> list[Line]:
        """Return its lines so far.

        Raises:
            ConfigError: there is no such attempt.
        """
        from ss3d.trial.log import log_keys, read_lines

        keys = log_keys(self.store, self._folder)
        if self.attempt is not None and self.attempt not in keys:
            known = ", ".join(map(str, keys)) or "none"
            raise ConfigError(f"--attempt: got {self.attempt}, there are: {known}")
        if not keys and self.attempt is None and self.trial:
            keys = log_keys(self.store, layout.pretrain(self._pretrain_key))
        number = max(keys, default=0) if self.attempt is None else self.attempt
        return read_lines(self.store, keys[number]) if number in keys else []

    def follow(self) -> Iterator[Line]:
        """Yield lines as they come until what tells them has ended; attempts follow each other."""
        told: list[Line] = []
        is_over = False
        while True:
            lines = self.read()
            yield from lines[len(told) :] if lines[: len(told)] == told else lines
            told = lines
            if is_over:
                return
            if not (is_over := self._has_ended()):  # then once more: all of it is there now
                time.sleep(_POLL_S)

    def _has_ended(self) -> bool:
        from ss3d.study.stopping import is_driven

        key = layout.trial(self.study, self.trial, "result.json") if self.trial else ""
        return bool(key and self.store.get(key)) or not is_driven(self.store, self.study)

    @property
    def _folder(self) -> str:
        return layout.trial(self.study, self.trial) if self.trial else layout.study(self.study)

    @property
    def _pretrain_key(self) -> str:
        from ss3d.trial.history import load_trial_record

        return load_trial_record(self.store, self.study, self.trial).spec.pretrain_key


def _say_all(lines: list[Line]) -> None:
    for line in lines:
        _say(line)


def _say(line: Line) -> None:
    when = str(line.get("time", ""))[:19].replace("T", " ")
    level = str(line.get("level", ""))
    style = _STYLES.get(level, "")
    text = Text(f"{when} {level:<7} ", style="dim") + Text(str(line.get("message", "")), style)
    console.print(text, soft_wrap=True)
    if "traceback" in line:
        console.print(Text(str(line["traceback"]).rstrip(), style), soft_wrap=True)
