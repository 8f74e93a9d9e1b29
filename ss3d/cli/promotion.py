"""Promote a trial: compare it with the champion, ask the gates, register it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import ReasonOption, StratumOption, parse_assignments
from ss3d.cli.output import JsonFlag, emit
from ss3d.cli.promotion_tables import say_outcome, say_picture, say_proposal, say_unwritten
from ss3d.errors import ConfigError
from ss3d.settings import Settings, load_settings
from ss3d.store.opening import open_store

if TYPE_CHECKING:
    from ss3d.store.protocol import Store
    from ss3d.tracking.candidate import Candidate
    from ss3d.tracking.gates import Gates
    from ss3d.tracking.proposal import Proposal


@dataclass(frozen=True)
class _Asked:
    """What the user asks of a promotion."""

    source: str
    model: str | None
    folder: Path | None
    where: dict[str, Any]
    gates: Path | None
    dry_run: bool
    picture: Path | None
    force: bool
    reason: str


def promote(
    source: Annotated[
        str, typer.Argument(metavar="STUDY[/t00017]|DIR", help="A study, a trial, or a directory.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="Name of the registered model.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write a plain folder instead, without MLflow.")
    ] = None,
    where: StratumOption = None,
    gates: Annotated[
        Path | None, typer.Option("--gates", help="TOML: search_spaces/gates/release.toml.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare with the champion; write nothing.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="The comparison: .png, .pdf or .svg.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Although a gate is closed; needs --reason.")
    ] = False,
    reason: ReasonOption = "",
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Register the best trial's network as a model's next version and its champion.

    The version that was champion keeps the alias `previous`. Gates compare it
    with the champion on the same validation models and look at seeds, lineage,
    rerun, size and speed; a closed gate is exit code 5, also of a --dry-run.

    Examples:
      ss3d promote quickstart --model chairs --dry-run --picture chairs.png
      ss3d promote paper --where data.labeled_ratio=0.1 --model chairs
      ss3d promote paper --model chairs --gates search_spaces/gates/release.toml
      ss3d promote runs/first --model chairs --force --reason "demo on Friday"
      ss3d promote paper/t00017 --to chairs-for-phones
    """
    settings = load_settings(home=home, store=store)
    asked = _Asked(
        source, model, to, parse_assignments(where), gates, dry_run, picture, force, reason
    )
    _check(asked)
    opened = open_store(settings.store_address)
    with _candidate(opened, asked) as candidate:
        proposal = _propose(opened, candidate, asked)
        if not as_json:
            say_proposal(proposal)
            if asked.picture is not None:
                say_picture(asked.picture, _missing(proposal))
        value = _describe(proposal, asked)
        if asked.dry_run or (proposal.closed and not asked.force):
            emit(value, as_json, lambda: say_unwritten(proposal))
            proposal.check()
            return
        value |= _carry_out(opened, settings, proposal, asked)
    emit(value, as_json, lambda: say_outcome(value))


def _check(asked: _Asked) -> None:
    from ss3d.report.challenge_picture import FORMATS
    from ss3d.store.layout import check_model_name

    if (asked.model is None) == (asked.folder is None):
        raise ConfigError("promote: expected one of --model NAME and --to DIR")
    if asked.model is not None:
        check_model_name(asked.model)
    if asked.force and not asked.reason.strip():
        raise ConfigError("--force: expected a --reason, which is kept in the ledger")
    if asked.picture is not None and asked.picture.suffix not in FORMATS:
        raise ConfigError(f"--picture: got {asked.picture.name!r}, expected {', '.join(FORMATS)}")


@contextmanager
def _candidate(store: Store, asked: _Asked) -> Iterator[Candidate]:
    from ss3d.store.layout import split_trial_path
    from ss3d.tracking.candidate import directory_candidate, trial_candidate

    source = asked.source
    if any((Path(source) / name).is_dir() for name in ("best", "checkpoint")):  # of `ss3d train`
        if asked.where:
            raise ConfigError("--where: names a stratum of a study; a directory has none")
        yield directory_candidate(Path(source))
        return
    study, trial = split_trial_path(source) if "/" in source else (source, None)
    if trial and asked.where:
        raise ConfigError(f"--where: chooses among a study's trials; {source} names one already")
    with trial_candidate(store, study, trial, asked.where) as candidate:
        yield candidate


def _propose(store: Store, candidate: Candidate, asked: _Asked) -> Proposal:
    """Ask the gates and draw the comparison."""
    from ss3d.tracking.proposal import propose

    proposal = propose(store, candidate, asked.model, _gates(asked.gates))
    if asked.picture is not None and not _missing(proposal):
        _draw(store, proposal, asked.picture)
    return proposal


def _missing(proposal: Proposal) -> str:
    """Return why no picture can compare candidate and champion; empty if one can."""
    found = proposal.challenge
    if found is None:
        return "there is no other champion whose measurements are kept"
    return "" if found.gain is not None else found.reason


def _gates(path: Path | None) -> Gates:
    from ss3d.study.toml_lines import TomlFile
    from ss3d.tracking.gates import OPEN, parse_gates

    if path is None:
        return OPEN
    file = TomlFile.read(path)
    return parse_gates(file.tree, file.error)


def _draw(store: Store, proposal: Proposal, path: Path) -> None:
    from ss3d.report.challenge_picture import draw_challenge
    from ss3d.report.previews import read_previews
    from ss3d.store.bundle import bundle_exists, get_bundle
    from ss3d.trial.history import trial_export

    found, head = proposal.challenge, proposal.ledger.head
    assert found is not None
    assert head is not None
    with tempfile.TemporaryDirectory(prefix="ss3d-champion-") as folder:
        champion = None
        prefix = trial_export(store, head.study, head.trial) if head.study else ""
        if prefix and bundle_exists(store, prefix):
            get_bundle(store, prefix, Path(folder))
            champion = read_previews(Path(folder))
        candidate = proposal.candidate
        title = f"{candidate.origin} against version {head.version} ({head.origin})"
        draw_challenge(path, found, read_previews(candidate.best), champion, title)


def _describe(proposal: Proposal, asked: _Asked) -> dict[str, Any]:
    """Return what is known before anything is written, as `--json` shows it."""
    candidate, head = proposal.candidate, proposal.ledger.head
    return {
        "model": asked.model,
        "version": None,
        "study": candidate.study,
        "trial": candidate.trial,
        "cd_l1": candidate.measured.cd_l1,
        "champion": None if head is None else {"version": head.version, "origin": head.origin},
        "challenge": proposal.challenge.as_values() if proposal.challenge else None,
        "gates": [answer.model_dump() for answer in proposal.answers],
        "open": not proposal.closed,
        "forced": bool(proposal.closed) and asked.force and not asked.dry_run,
        "reason": asked.reason,
        "picture": None if asked.picture is None or _missing(proposal) else str(asked.picture),
        "dry_run": asked.dry_run,
    }


def _carry_out(
    store: Store, settings: Settings, proposal: Proposal, asked: _Asked
) -> dict[str, Any]:
    from ss3d.tracking.folder import write_folder
    from ss3d.tracking.registration import register

    if asked.folder is not None:
        write_folder(asked.folder, proposal, asked.reason, asked.force)
        return {"folder": str(asked.folder)}
    return register(store, settings, proposal, asked.reason, asked.force)
