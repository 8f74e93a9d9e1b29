from pathlib import Path

import numpy as np
import pytest

from ss3d.errors import ConfigError, DataError
from ss3d.report.clouds import read_ply, write_cloud

CLOUD = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


@pytest.mark.parametrize("ascii", [False, True])
def test_a_ply_reads_back_bit_for_bit(ascii: bool, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "cloud.ply"
    write_cloud(path, CLOUD, ascii=ascii)
    np.testing.assert_array_equal(read_ply(path), CLOUD)


def test_the_header_says_what_other_programs_need(tmp_path: Path) -> None:
    write_cloud(tmp_path / "cloud.ply", CLOUD[:2], ascii=True)
    lines = (tmp_path / "cloud.ply").read_text().splitlines()
    assert lines[:2] == ["ply", "format ascii 1.0"]
    assert "element vertex 2" in lines
    assert [float(x) for x in lines[-1].split()] == pytest.approx(CLOUD[1].tolist())


def test_a_npy_holds_float32_without_pickle(tmp_path: Path) -> None:
    write_cloud(tmp_path / "cloud.npy", CLOUD)
    loaded = np.load(tmp_path / "cloud.npy", allow_pickle=False)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, CLOUD)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected \.ply or \.npy"):
        write_cloud(tmp_path / "cloud.obj", CLOUD)


@pytest.mark.parametrize("data", [b"", b"ply\nend_header\n", b"PNG"])
def test_what_is_not_a_ply_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "cloud.ply").write_bytes(data)
    with pytest.raises(DataError, match=r"cloud\.ply: not a \.ply cloud"):
        read_ply(tmp_path / "cloud.ply")
