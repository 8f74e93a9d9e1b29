"""`ss3d doctor`: can studies rely on the servers, does all agree about one, are doors closed?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.errors import ConfigError, OutcomeError, RefusedError, ServiceError
from ss3d.settings import Settings, load_settings
from ss3d.store import layout
from ss3d.store.opening import open_store
from ss3d.store.probes import Finding, examine
from ss3d.tracking.connection import is_embedded, shown_address
from ss3d.tracking.probes import examine_tracking

if TYPE_CHECKING:
    from ss3d.store.protocol import Store
    from ss3d.trial.check import Check

_COLORS = {"ok": "green", "warn": "yellow", "failed": "red", "away": "red", "differs": "red"}
_SHOWN = 5
"""Differences of one check that the table shows; --json has all."""


def doctor(
    study: Annotated[
        str | None, typer.Argument(help="Name of a study; without it, the servers are probed.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every file of the study and verify its sha256.")
    ] = False,
    security: Annotated[
        bool, typer.Option("--security", help="Examine token, dashboard, encryption, telemetry.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="With --security: Ray cluster; default: this machine.")
    ] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Prove that store, Optuna's journal and MLflow agree about a study; or probe store and MLflow.

    With STUDY: trials, results, decisions, shared states, files, the journal and the
    runs of MLflow are compared, and nothing is written. While a driver runs the study
    only what is final is judged. Ends with 6 if anything differs, with 4 if MLflow is
    away (the rest is compared).

    Without: ask the store, a directory or s3://BUCKET/PREFIX, whether it does what
    studies rely on: conditional writes, listing, large files, clock and latency; what
    it writes it deletes again; and a tracking server whether it knows this user, and
    its version. Ends with 4 if one does not answer, with 5 if studies cannot rely on it.

    With --security: which doors of Ray, MLflow and the store's server stand open, with
    a line each that closes it. Ends with 5 if one does; a warning may be meant so.

    Examples:
      ss3d doctor --store s3://bucket/ss3d
      ss3d doctor quickstart
      ss3d doctor quickstart --deep
      ss3d doctor --security --address auto
    """
    if bool(study) + security > 1 or (address and not security):
        raise ConfigError("doctor: expected STUDY, or --security with or without --address")
    settings = load_settings(home=home, store=store, ray_address=address)
    if security:
        _examine_doors(settings, as_json)
        return
    opened = open_store(settings.store_address)
    if study is None:
        _probe(settings, opened, as_json)
    else:
        _tell(settings, opened, layout.check_study_name(study), deep, as_json)


def compare(
    settings: Settings, store: Store, study: str, is_deep: bool = False
) -> tuple[bool, list[Check]]:
    """Return whether a driver runs a study now, and what all checks of the study found.

    Raises:
        ConfigError: there is no such study.
        CheckpointError: its study.json is damaged.
    """
    from ss3d.study import examination
    from ss3d.tracking.examination import check_runs
    from ss3d.trial.history import read_budget, read_ended

    examined = examination.read_study(store, study)
    prefixes = track(
        examination.bundles(store, examined),
        "files",
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    record, is_running = examined.record, examined.is_running
    budget, ended = read_budget(store, study, record.spec), read_ended(store, study)
    return is_running, [
        *examination.check_records(store, examined),
        examination.check_files(store, examined, prefixes, is_deep),
        examination.check_journal(settings, examined),
        *check_runs(settings, record, budget, ended, is_running),
    ]


def _tell(settings: Settings, opened: Store, study: str, is_deep: bool, as_json: bool) -> None:
    is_running, checks = compare(settings, opened, study, is_deep)
    is_ok = all(check.outcome == "ok" for check in checks)
    value = {
        "study": study,
        "running": is_running,
        "ok": is_ok,
        "checks": [_as_value(check) for check in checks],
    }
    emit(value, as_json, lambda: _say_checks(study, is_running, checks))
    if any(check.outcome == "away" for check in checks):
        raise ServiceError("MLflow does not answer; the rest was compared")
    if not is_ok:
        count = sum(len(check.differences) for check in checks)
        raise OutcomeError(f"study {study}: store, journal and MLflow differ in {count} things")


def _as_value(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "outcome": check.outcome,
        "of": check.counted,
        "differences": check.differences,
        "advice": "" if check.outcome == "ok" else check.advice,
    }


def _say_checks(study: str, is_running: bool, checks: Sequence[Check]) -> None:
    table = Table("check", "of", "outcome", "what to do")
    for check in checks:
        shown = [f"[{_COLORS[check.outcome]}]{check.outcome}[/]"]
        shown += [escape(difference) for difference in check.differences[:_SHOWN]]
        if (more := len(check.differences) - _SHOWN) > 0:
            shown.append(f"and {more} more")
        advice = "" if check.outcome == "ok" else escape(check.advice)
        table.add_row(check.name, escape(check.counted), "\n".join(shown), advice)
    console.print(table)
    if is_running:
        console.print(f"study {study}: a driver runs it now; only what is final was judged")


def _probe(settings: Settings, opened: Store, as_json: bool) -> None:
    probed = {opened.address: _follow(opened.address, examine(opened), as_json)}
    value: dict[str, Any] = {"store": opened.address, **_as_report(probed[opened.address])}
    if not is_embedded(settings):
        address = shown_address(settings)
        probed[address] = _follow(address, examine_tracking(settings), as_json)
        value["tracking"] = {"address": address, **_as_report(probed[address])}
        value["ok"] &= value["tracking"]["ok"]
    emit(value, as_json, lambda: None)
    for address, findings in probed.items():
        if any(finding.outcome == "away" for finding in findings):
            raise ServiceError(f"{address} does not answer, or not to this user")
    for address, findings in probed.items():
        if any(finding.outcome == "failed" for finding in findings):
            raise RefusedError(f"studies cannot rely on {address}")


def _follow(address: str, findings: Iterable[Finding], as_json: bool) -> list[Finding]:
    """Tell findings as they come, and return them."""
    if not as_json:
        console.print(escape(address), soft_wrap=True)
    found = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            _say(finding)
    return found


def _as_report(findings: Sequence[Finding]) -> dict[str, Any]:
    is_ok = not any(finding.outcome in ("failed", "away") for finding in findings)
    return {"ok": is_ok, "probes": [finding._asdict() for finding in findings]}


def _examine_doors(settings: Settings, as_json: bool) -> None:
    from ss3d.study.security import examine_security

    head = settings.ray_address or "started by each search"
    findings = _follow(f"Ray: {head}", examine_security(settings, os.environ), as_json)
    emit({"ray": head, **_as_report(findings)}, as_json, lambda: None)
    if any(finding.outcome == "failed" for finding in findings):
        raise RefusedError("doors stand open; each line above says how to close one")


def _say(finding: Finding) -> None:
    color = _COLORS[finding.outcome]
    line = f"[{color}]{finding.outcome:<6}[/] {finding.probe:<14} {escape(finding.detail)}"
    console.print(line, soft_wrap=True, highlight=False)
    if finding.advice:
        console.print(f"{'':21} {escape(finding.advice)}", soft_wrap=True, highlight=False)
