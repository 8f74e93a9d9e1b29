"""`ss3d enqueue`: a point to try next, in a study that runs or will go on."""

from __future__ import annotations

from ss3d.cli.inspection import open_configured
from ss3d.cli.opening import HomeOption, StoreOption
from ss3d.cli.options import SetOption, StudyArgument, parse_assignments
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.settings import load_settings
from ss3d.store import layout


def enqueue(
    study: StudyArgument,
    assignments: SetOption = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let a study try these values next; the sampler chooses what is not set.

    The next trial takes the oldest point that waits, of its own stratum if the point names one.
    Trials of such points count in the budget.

    Examples:
      ss3d enqueue quickstart --set semi.ema_decay=0.99
      ss3d enqueue paper --set data.labeled_ratio=0.1 --set semi.aug_strength=0.5
    """
    from ss3d.study.enqueued import enqueue as put
    from ss3d.study.enqueued import num_waiting
    from ss3d.study.stored import stored_space
    from ss3d.trial.history import load_study_record, read_budget

    opened = open_configured(load_settings(home=home, store=store))
    record = load_study_record(opened, layout.check_study_name(study))
    values = parse_assignments(assignments)
    number = put(opened, study, stored_space(record.spec), values)
    waiting = num_waiting(opened, study, [trial.spec for trial in record.trials])
    left = read_budget(opened, study, record.spec) - len(record.trials)
    value = {"study": study, "entry": number, "values": values, "waiting": waiting, "left": left}

    def say() -> None:
        console.print(f"{study}: point {number} waits, {waiting} in all; {left} trials are left")
        if left < waiting:
            more = len(record.trials) + waiting
            console.print(f"next: ss3d search --name {study} --resume --trials {more}")

    emit(value, as_json, say)
