"""What a worker is handed, and what it answers: plain values, as Ray carries them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

from ss3d.trial.records import EpochReport

JobKind = Literal["trial", "pretrain", "control"]


@dataclass(frozen=True)
class Job:
    """A trial, or the pretraining or the supervised control that several trials share."""

    kind: JobKind
    trial: str
    """The trial; of a shared job, one of those that need it: its spec has the configuration."""
    key: str
    """The pretrain key, or the key of the control."""
    killed: str = ""
    """Why it is not tried again: its workers were killed; the next one tells it as its end."""
    avoid: str = ""
    """The node, by Ray's ID, that it was moved from and does not begin on."""

    @property
    def name(self) -> str:
        """Return a short unique name."""
        return self.trial if self.kind == "trial" else f"{self.kind}-{self.key[:12]}"


@dataclass(frozen=True)
class Place:
    """Where a worker finds things; the same on every node."""

    study: str
    store: str
    data: str
    cache_dir: str
    """Of the driver; a node's own `SS3D_CACHE` goes before it."""
    gpus: float
    """That a job occupies; a fraction shares one with others."""
    cache_bytes: float = math.inf
    """Of decoded data sets that a node keeps; its own `SS3D_CACHE_GIB` goes before it."""
    spool_bytes: float = math.inf
    """That may wait on a node for their way into the store."""
    compared_epochs: tuple[int, ...] = ()
    """Epochs of the teacher-student phase whose reports keep the values of single models."""


class Node(NamedTuple):
    """Where a worker runs."""

    id: str = ""
    """Ray's."""
    host: str = ""
    kind: str = ""
    """What nodes have in common on which an epoch should take as long: the device, most of all."""

    def __str__(self) -> str:
        return f"{self.host} ({self.id[:8]})"


_UNKNOWN = Node()


@dataclass(frozen=True)
class Progress:
    """What a worker reports after each epoch."""

    attempt: int
    reports: tuple[EpochReport, ...]
    """New ones; the first of an attempt brings all that were known before."""
    is_done: bool = False
    failure: str = ""
    """Why the job failed by itself; empty otherwise."""
    is_too_large: bool = False
    """Whether it failed because it needs more memory than there is, or kills its workers."""
    node: Node = _UNKNOWN
    has_let_go: bool = False
    """Whether it has the job no longer: all of it is in the store, for another node."""

    def to_json(self) -> str:
        """Return one text, which Tune's result dictionaries leave alone."""
        tree = asdict(self) | {"reports": [r.model_dump(mode="json") for r in self.reports]}
        return json.dumps(tree)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        tree = json.loads(text)
        reports = tuple(EpochReport.model_validate(report) for report in tree.pop("reports"))
        return cls(reports=reports, node=Node(*tree.pop("node")), **tree)


def to_config(job: Job, place: Place) -> dict[str, Any]:
    """Return what Tune hands to the worker."""
    return {"job": asdict(job), "place": asdict(place)}


def from_config(config: dict[str, Any]) -> tuple[Job, Place]:
    """Undo `to_config`."""
    return Job(**config["job"]), Place(**config["place"])
