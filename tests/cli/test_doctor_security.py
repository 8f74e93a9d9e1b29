"""`ss3d doctor --security`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ss3d.cli.main import run


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ss3d", "doctor", "--security", *arguments])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


def test_open_doors_end_with_5_and_say_how_to_close_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    assert call(monkeypatch, "--home", str(tmp_path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["ray"]) == (True, "started by each search")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert call(monkeypatch, "--home", str(tmp_path)) == 5
    printed = capsys.readouterr()
    head, door, remedy = printed.out.splitlines()[:3]
    assert head == "Ray: started by each search"
    assert door.split()[:3] == ["failed", "ray", "token"]
    assert remedy.strip() == "unset RAY_AUTH_MODE"
    assert "doors stand open" in printed.err
    assert call(monkeypatch, "study", "--home", str(tmp_path)) == 2
