"""`ss3d doctor`: what it says of good, careless and absent stores, and that it cleans up."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ss3d.cli.main import run
from ss3d.errors import ConflictError
from ss3d.store.directory import DirectoryStore
from ss3d.store.opening import open_store
from ss3d.store.probes import Finding, examine

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ss3d", "doctor", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, " ".join(err.split())

    return call


def test_a_good_store_passes_and_is_as_it_was(each_address: str, call: Call) -> None:
    code, out, err = call("--store", each_address, "--json")
    assert code == 0, (out, err)
    told = json.loads(out)
    assert (told["store"], told["ok"]) == (each_address, True)
    assert [probe["probe"] for probe in told["probes"]] == [
        "clock", "put if absent", "put if match", "listing", "large file", "latency"
    ]  # fmt: skip
    assert list(open_store(each_address).list("")) == []


def test_it_tells_line_by_line(tmp_path: Path, call: Call) -> None:
    code, out, _ = call("--store", str(tmp_path))
    assert code == 0
    assert out.splitlines()[0] == str(tmp_path)
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["ok"] * 6


class Overwriting(DirectoryStore):
    """A store that does not know put-if-absent, as some S3 servers."""

    def put_new(self, key: str, data: bytes) -> str:
        try:
            return super().put_new(key, data)
        except ConflictError:
            super().delete(key)
            return super().put_new(key, data)


class Unconditional(DirectoryStore):
    """A store that replaces whatever the version."""

    def put_if(self, key: str, data: bytes, version: str) -> str:
        super().delete(key)
        return self.put_new(key, data)


class Stale(DirectoryStore):
    """A store whose listings are late."""

    def list(self, prefix: str):  # type: ignore[no-untyped-def]
        return iter(())


class Damaging(DirectoryStore):
    """A store that changes the end of files."""

    def put_file(self, key: str, path: Path) -> str:
        with path.open("rb") as file:
            self.put_new(key, file.read()[:-1])
        return "0" * 64


class Late(DirectoryStore):
    """A store whose clock is an hour behind."""

    def now(self) -> float:
        return super().now() - 3600


@pytest.mark.parametrize(
    ("kind", "probe", "detail"),
    [
        (Overwriting, "put if absent", "a second put_new of a key was accepted"),
        (Unconditional, "put if match", "put_if with an old version was accepted"),
        (Stale, "listing", "of 3 keys written and 1 deleted, 0 are listed"),
        (Damaging, "large file", "is damaged"),
        (Late, "clock", "differs from this machine's by -3600 s"),
    ],
)
def test_what_a_store_does_not_do_is_found(
    tmp_path: Path, kind: type[DirectoryStore], probe: str, detail: str
) -> None:
    findings = list(examine(kind(tmp_path)))
    assert len(findings) == 6
    (failed,) = [finding for finding in findings if finding.outcome != "ok"]
    assert (failed.probe, failed.outcome) == (probe, "failed")
    assert detail in failed.detail
    assert failed.advice


def test_a_bucket_that_is_not_there_ends_with_5(s3_address: str, call: Call) -> None:
    code, out, err = call("--store", "s3://no-such-bucket/x")
    assert code == 5
    assert "failed clock" in out
    assert "NoSuchBucket: make the bucket, or correct the address" in out
    assert err == "ss3d: studies cannot rely on s3://no-such-bucket/x"


def test_a_store_that_is_away_ends_with_4(
    s3_address: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    code, out, _ = call("--store", s3_address, "--json")
    assert code == 4
    findings = [Finding(**probe) for probe in json.loads(out)["probes"]]
    assert [finding.outcome for finding in findings] == ["away"]
    assert findings[0].advice.startswith("start the server")


def test_a_read_only_directory_ends_with_4(tmp_path: Path, call: Call) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = call("--store", str(tmp_path / "file"))
    assert code == 4
    assert "name a directory that you may write into" in out
    assert "does not answer" in err
