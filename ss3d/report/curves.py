"""How trials learned: validation value against epoch as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ss3d.trial.records import EpochReport


def draw_curves(
    path: Path,
    curves: Mapping[str, Sequence[EpochReport]],
    metrics: Sequence[str] = ("val/cd_l1", "val/cd_l1_teacher"),
    title: str = "",
) -> None:
    """Write the validation curves of one phase.

    Args:
        path: of the PNG; its folder is made.
        curves: reports of one phase by trial; a dotted line marks each value at epoch 0.
        metrics: the first is drawn as a full line, others dashed in the same color.
        title: a line above.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 3.6), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for index, (name, reports) in enumerate(curves.items()):
        for place, metric in enumerate(metrics):
            points = [(r.epoch, r.metrics[metric]) for r in reports if metric in r.metrics]
            if not points:
                continue
            style = "-" if place == 0 else "--"
            label = name if place == 0 else f"{name} {metric.rpartition('/')[2]}"
            axes.plot(
                *zip(*points, strict=True), style, color=f"C{index % 10}", label=label,
                marker="o" if place == 0 else None, markersize=3, linewidth=1.6 - 0.6 * place,
            )  # fmt: skip
            if place == 0 and points[0][0] == 0:
                axes.axhline(points[0][1], color=f"C{index % 10}", linestyle=":", linewidth=0.9)
    axes.set_xlabel("epoch")
    axes.set_ylabel(metrics[0])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(color="#e4e4e7", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
