"""Real searches of the benchmark, a few trials each; three Ray sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from ss3d.bench.savings import WAYS, Bench, Table, Way
from ss3d.bench.savings_plot import draw_savings
from ss3d.bench.savings_summary import summarize
from ss3d.bench.shape import Shape
from ss3d.errors import RefusedError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_sharing_finds_exactly_what_plain_tune_finds_for_less(
    tmp_path: Path, data_folder: Path
) -> None:
    by_name = {way.name: way for way in WAYS}
    ways = tuple(by_name[name] for name in ("plain", "sharing", "peer"))
    table = Table(Shape(4, ratios=(0.5,), heads=(1,), is_quick=True), ways, goal=1.0)
    bench = Bench(tmp_path / "bench", str(data_folder), slots=2)
    said: list[tuple[Way, int]] = []
    cells = bench.measure(table, [0], lambda way, seed, ended: said.append((way, ended)))
    plain, sharing, peer = cells
    assert [said[0], said[-1]] == [(ways[0], 0), (ways[-1], 4)]

    assert [cell.num_pretrains for cell in cells] == [4, 1, 4]
    assert [len(cell.trials) for cell in cells] == [4, 4, 4]
    values = [sorted(trial.value for trial in cell.trials) for cell in (plain, sharing)]
    assert values[0] == values[1]  # bit for bit: the same trials, shared or not
    assert len(plain.complete) == len(sharing.complete) == 4
    assert peer.complete
    assert {trial.epoch for trial in peer.trials} <= {2, 8, 10}

    rows = summarize(table, cells).rows
    assert all(0 < row.spent_s < 2 * row.wall_s for row in rows)
    assert rows[0].ceiling == 1 < rows[1].ceiling
    picture = tmp_path / "savings.png"
    draw_savings(picture, [(table, cells)])
    assert picture.stat().st_size > 10_000

    begun = len(said)
    assert bench.measure(table, [0], lambda way, seed, ended: said.append((way, ended))) == cells
    assert {ended for _, ended in said[begun:]} == {0, 4}  # read, not searched again
    other = Bench(tmp_path / "bench", str(data_folder), slots=1)
    with pytest.raises(RefusedError, match="measured with other slots; choose another --output"):
        other.measure(table, [0])
