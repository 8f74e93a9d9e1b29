"""`ss3d doctor`: is the store one that studies can rely on?"""

from __future__ import annotations

from rich.markup import escape

from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import RefusedError, ServiceError
from ss3d.settings import load_settings
from ss3d.store.opening import open_store
from ss3d.store.probes import Finding, examine

_COLORS = {"ok": "green", "failed": "red", "away": "red"}


def doctor(home: HomeOption = None, store: StoreOption = None, as_json: JsonFlag = False) -> None:
    """Ask a store, a directory or s3://BUCKET/PREFIX, whether it does what studies rely on.

    Conditional writes, listing, large files, clock and latency; what it writes it deletes again.
    Ends with 4 if the store does not answer, with 5 if studies cannot rely on it.
    """
    opened = open_store(load_settings(home=home, store=store).store_address)
    if not as_json:
        console.print(escape(opened.address), soft_wrap=True)
    findings = []
    for finding in examine(opened):
        findings.append(finding)
        if not as_json:
            _say(finding)
    is_ok = all(finding.outcome == "ok" for finding in findings)
    value = {
        "store": opened.address,
        "ok": is_ok,
        "probes": [finding._asdict() for finding in findings],
    }
    emit(value, as_json, lambda: None)
    if any(finding.outcome == "away" for finding in findings):
        raise ServiceError(f"{opened.address} does not answer")
    if not is_ok:
        raise RefusedError(f"studies cannot rely on {opened.address}")


def _say(finding: Finding) -> None:
    color = _COLORS[finding.outcome]
    line = f"[{color}]{finding.outcome:<6}[/] {finding.probe:<14} {escape(finding.detail)}"
    console.print(line, soft_wrap=True, highlight=False)
    if finding.advice:
        console.print(f"{'':21} {escape(finding.advice)}", soft_wrap=True, highlight=False)
