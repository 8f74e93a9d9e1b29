"""A promoted network as a plain folder, for those who have no MLflow."""

from __future__ import annotations

import shutil
from pathlib import Path

from ss3d.errors import RefusedError
from ss3d.report.clouds import write_cloud
from ss3d.report.pictures import draw_reconstructions
from ss3d.tracking.model_card import model_card
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
    card = model_card(candidate, proposal.answers, reason)
    (fresh / "README.md").write_text(card, encoding="utf-8")
    fresh.rename(target)
