"""What Ray 2.60 says of dead workers, word by word."""

from __future__ import annotations

from ss3d.study.deaths import Death, read_death

KILLED = """Failure # 1 (occurred at 2026-01-01_00-00-00)
The actor died unexpectedly before finishing this task.
\tclass_name: JobTrainable
\tactor_id: 0c
\tpid: 7
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file.
"""
NODE = """Failure # 2 (occurred at 2026-01-01_00-01-00)
The actor died unexpectedly before finishing this task.
The actor died because its node has died. Node Id: 0d
\tthe actor's node was terminated expectedly
"""
RAISED = """Failure # 3 (occurred at 2026-01-01_00-02-00)
ray::JobTrainable.train() (pid=8, ip=10.0.0.1)
ss3d.errors.ServiceError: cannot write files: no space left on device
"""


GONE = """Failure # 4 (occurred at 2026-01-01_00-03-00)
The actor died unexpectedly before finishing this task.
\tclass_name:
\tactor_id: 0e
"""


def test_the_newest_of_the_deaths_counts() -> None:
    assert read_death(KILLED).is_killed
    assert read_death(KILLED).reason.startswith("The actor is dead because its worker process")
    assert not read_death(KILLED + NODE).is_killed
    assert read_death(NODE + RAISED) == Death(
        "ss3d.errors.ServiceError: cannot write files: no space left on device", is_killed=False
    )
    assert read_death(RAISED + KILLED).is_killed
    told = "ss3d.study.notice.LeavingError: t00001 goes on elsewhere: it got SIGTERM"
    assert read_death(KILLED + RAISED.splitlines()[0] + "\n" + told) == Death(told, False, True)
    assert read_death(NODE.replace("terminated expectedly", "preempted: by spot")).is_told
    assert read_death(GONE) == Death(
        "The actor died unexpectedly before finishing this task.", is_killed=False
    )
    assert read_death("") == Death("unknown", is_killed=False)
