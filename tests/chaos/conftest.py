"""The table at the end: every case of the kill matrix with its outcome and seconds."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found = [
        (outcome, report)
        for outcome in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.stats.get(outcome, [])
        if "test_kill_matrix[" in getattr(report, "nodeid", "")
    ]
    if found:
        terminalreporter.section("kill matrix")
    for outcome, report in sorted(found, key=lambda item: item[1].nodeid):
        case = report.nodeid.partition("[")[2].rstrip("]")
        story = dict(report.user_properties).get("story", "")
        terminalreporter.line(f"{case:32} {outcome:8} {report.duration:6.1f} s  {story}")
