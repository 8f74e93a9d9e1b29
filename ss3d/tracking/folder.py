"""A promoted network as a plain folder, for those who have no MLflow."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from ss3d.errors import RefusedError
from ss3d.report.clouds import write_cloud
from ss3d.report.pictures import draw_reconstructions
from ss3d.tracking.candidate import Candidate
from ss3d.tracking.proposal import Proposal
from ss3d.tracking.run_files import read_examples

_FILES = ("student.safetensors", "config.json", "metrics.json")
_CLOUDS = 8
_ROWS = 3


def write_folder(target: Path, proposal: Proposal, reason: str = "", forced: bool = False) -> None:
    """Write weights, configuration, measurements, a model card, a picture and a few clouds.

    `ss3d predict --model DIR` takes the folder. It appears in one step.

    Args:
        target: must not exist.
        proposal: candidate and answers of the gates.
        reason: told in the card.
        forced: although a gate is closed.

    Raises:
        RefusedError: there is something already, or a gate is closed.
        CheckpointError: the candidate is damaged.
    """
    if not forced:
        proposal.check()
    if target.exists():
        raise RefusedError(f"--to: {target} exists already; choose another folder")
    candidate = proposal.candidate
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name in _FILES:
        shutil.copyfile(candidate.best / name, fresh / name)
    examples = read_examples(candidate.best)
    for example in examples[:_CLOUDS]:
        name = example.name.replace("/", "-")
        write_cloud(fresh / "clouds" / f"{name}.ply", example.predicted)
    if examples:
        draw_reconstructions(fresh / "reconstructions.png", examples[:_ROWS], candidate.origin)
    (fresh / "README.md").write_text(_card(candidate, proposal, reason), encoding="utf-8")
    fresh.rename(target)


def _card(candidate: Candidate, proposal: Proposal, reason: str) -> str:
    """Return the model card."""
    measured, config = candidate.measured, candidate.config
    lines = [
        f"# {candidate.origin}",
        "",
        "Single-view 3D reconstruction (SS3D): one image of an object in, a cloud of "
        f"{config.model.num_points} points out; unit ball, canonical frame, y up.",
        "",
        f"- `val/cd_l1` {measured.cd_l1:.3f} on {len(measured.distances)} validation models "
        f"(100 x L1 Chamfer distance), best epoch {measured.epoch}",
        f"- data `{measured.data_hash}`, labeled ratio {config.data.labeled_ratio:g}",
        f"- code `{candidate.code_version or 'not recorded'}`",
        f"- weights `{measured.weights_sha256}`",
        f"- written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        *([f"- reason: {reason}"] if reason else []),
    ]
    if proposal.answers:
        lines += ["", "| gate | | got | expected |", "|:--|:--|:--|:--|"]
        lines += [
            f"| {a.gate} | {'open' if a.passed else 'closed, forced'} | {a.got} | {a.expected} |"
            for a in proposal.answers
        ]
    lines += ["", "`ss3d predict IMAGE --model THIS_FOLDER -o cloud.ply`", ""]
    return "\n".join(lines)
