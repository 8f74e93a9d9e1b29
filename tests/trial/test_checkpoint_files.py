"""Checkpoint files: round trip, damage, being killed between two renames."""

import json

import pytest
import torch

from ss3d.errors import CheckpointError, ServiceError
from ss3d.trial.files import backup_of, read_checkpoint, write_checkpoint

PARTS = {"student": {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}}


@pytest.fixture
def checkpoint(tmp_path):
    write_checkpoint(tmp_path / "checkpoint", PARTS, {"epoch": 2})
    return tmp_path / "checkpoint"


def test_what_was_written_is_read_exactly(checkpoint):
    header, parts = read_checkpoint(checkpoint)
    assert header["epoch"] == 2
    assert torch.equal(parts["student"]["w"], PARTS["student"]["w"])
    assert parts["student"]["n"].dtype == torch.int64


def test_writing_again_replaces_and_leaves_nothing_beside(checkpoint):
    write_checkpoint(checkpoint, PARTS, {"epoch": 3})
    assert read_checkpoint(checkpoint)[0]["epoch"] == 3
    assert [p.name for p in checkpoint.parent.iterdir()] == ["checkpoint"]


def test_killed_between_the_two_renames_the_old_one_is_read(checkpoint):
    checkpoint.rename(backup_of(checkpoint))
    assert read_checkpoint(checkpoint)[0]["epoch"] == 2


@pytest.mark.parametrize("offset", [0, -1])
def test_a_flipped_bit_is_found(checkpoint, offset):
    path = checkpoint / "student.safetensors"
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"student\.safetensors is damaged: sha256"):
        read_checkpoint(checkpoint)


def test_a_missing_or_torn_file_is_named(checkpoint):
    (checkpoint / "student.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"student\.safetensors cannot be read"):
        read_checkpoint(checkpoint)
    (checkpoint / "state.json").write_text('{"schema": 1, ')
    with pytest.raises(CheckpointError, match=r"state\.json cannot be read"):
        read_checkpoint(checkpoint)


def test_a_checkpoint_of_a_newer_version_is_refused(checkpoint):
    path = checkpoint / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(CheckpointError, match="newer"):
        read_checkpoint(checkpoint)


def test_a_disk_that_cannot_be_written_keeps_the_old_checkpoint(checkpoint):
    blocked = checkpoint.with_name("checkpoint.new")
    blocked.write_text("a file where the new directory should be")
    with pytest.raises(ServiceError, match="cannot write checkpoint"):
        write_checkpoint(checkpoint, PARTS, {"epoch": 3})
    assert read_checkpoint(checkpoint)[0]["epoch"] == 2
