"""What happened, from Tune's loop to the recorder."""

from __future__ import annotations

from dataclasses import dataclass

from ss3d.study.rungs import Decision


@dataclass(frozen=True)
class Sealed:
    """A trial was proposed and its spec is in the store."""

    trial: str


@dataclass(frozen=True)
class Reported:
    """A trial brought an epoch."""

    trial: str


@dataclass(frozen=True)
class Decided:
    """A rule judged a trial at a rung."""

    trial: str
    epoch: int
    decision: Decision


@dataclass(frozen=True)
class Ended:
    """A trial is complete, pruned or failed; its result is not in the store yet."""

    trial: str


@dataclass(frozen=True)
class SharedEvent:
    """A shared pretraining or control brought an epoch or ended."""

    key: str


Event = Sealed | Reported | Decided | Ended | SharedEvent
