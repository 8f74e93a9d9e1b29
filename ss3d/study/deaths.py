"""How a job's worker ended: by an error of its own, killed, with its node, or as it was told."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BEGIN = "Failure # "
"""Of each report in the file in which Tune collects them."""
_PROCESS_DIED = ("worker process has died", "running low on memory")
"""What Ray says of an actor whose process ended, by a signal or a crash, while its node lives."""

_TOLD = ("LeavingError", "node was preempted", "inferred to be dead due to draining")
"""Our workers' word, and Ray's for a node that ended after it was drained."""

_FACTS = re.compile(r"(class_name|actor_id|pid|name|namespace|ip):")
"""What of a report only says which worker it was."""


@dataclass(frozen=True)
class Death:
    """The end of a worker that had a job."""

    reason: str
    is_killed: bool
    """Whether its process was killed or crashed: for lack of memory, most of all."""
    is_told: bool = False
    """Whether it had to leave a node that goes away: no fault of the job, however often."""


def read_death(reports: str) -> Death:
    """Return the newest of the deaths that Tune noted of a job.

    Args:
        reports: the text of Tune's error file; may be empty.
    """
    newest = reports.rpartition(_BEGIN)[2]
    lines = [line.strip() for line in newest.splitlines()]
    lines = [line for line in lines if line and not _FACTS.match(line)]
    is_killed = any(words in newest for words in _PROCESS_DIED)
    is_told = any(words in newest for words in _TOLD)
    return Death(lines[-1] if lines else "unknown", is_killed and not is_told, is_told)
