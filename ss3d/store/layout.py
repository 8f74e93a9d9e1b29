"""Names of all keys in the store. Nothing else builds a key."""

from __future__ import annotations

import re
from typing import Literal

from ss3d.errors import ConfigError

SharedKind = Literal["pretrain", "control"]
SHARED_KINDS: tuple[SharedKind, ...] = ("pretrain", "control")

PROBES = "doctor/"
WHAT_IFS = "what-ifs"
LOG_SUFFIX = ".jsonl"

_STUDY = re.compile(r"[a-z0-9-]{1,48}")
_MODEL = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRIAL = re.compile(r"t(\d{5,})")
_EPOCH = re.compile(r"a(\d+)(?:-(\d+))?(?:\.json)?")
_LOG = re.compile(r"[as](\d+)\.jsonl")


def check_study_name(name: str) -> str:
    """Return a study's name.

    Raises:
        ConfigError: it is not 1 to 48 of `a-z 0-9 -`.
    """
    if not _STUDY.fullmatch(name):
        raise ConfigError(f"study name: got {name!r}, expected 1 to 48 of a-z, 0-9 and '-'")
    return name


def check_model_name(name: str) -> str:
    """Return a registered model's name.

    Raises:
        ConfigError: it is not 1 to 64 of letters, digits, `.`, `_`, `-`, or only dots.
    """
    if not _MODEL.fullmatch(name) or not name.strip("."):
        raise ConfigError(
            f"model name: got {name!r}, expected 1 to 64 of letters, digits, '.', '_' and '-'"
        )
    return name


def trial_id(number: int) -> str:
    """Return the id of a trial number: 17 is `t00017`."""
    return f"t{number:05d}"


def trial_number(trial: str) -> int:
    """Return the number of a trial id: `t00017` is 17.

    Raises:
        ConfigError: it is not a trial id.
    """
    match = _TRIAL.fullmatch(trial)
    if match is None:
        raise ConfigError(f"trial: got {trial!r}, expected an id like t00017")
    return int(match.group(1))


def split_trial_path(path: str) -> tuple[str, str]:
    """Split `STUDY/t00017` into study and trial.

    Raises:
        ConfigError: it does not have that form.
    """
    study, slash, trial = path.partition("/")
    if not slash:
        raise ConfigError(f"trial: got {path!r}, expected STUDY/t00017")
    trial_number(trial)
    return check_study_name(study), trial


def study(name: str, *rest: str) -> str:
    """Return a key of a study: `study("a", "study.json")`."""
    return "/".join(("studies", check_study_name(name), *rest))


def trial(study_name: str, trial_name: str, *rest: str) -> str:
    """Return a key of a trial: `trial("a", "t00017", "spec.json")`."""
    trial_number(trial_name)
    return study(study_name, "trials", trial_name, *rest)


def export(study_name: str, trial_name: str, attempt: int) -> str:
    """Return the prefix of what an attempt exports at its end: its best weights and measurements.

    Each attempt has its own, so one that was given up and still writes touches no other's.
    """
    return trial(study_name, trial_name, "best", f"a{attempt}")


def stop_request(study_name: str, trial_name: str = "") -> str:
    """Return the key of a request to stop a study, or one of its trials."""
    if trial_name:
        trial_number(trial_name)
    return study(study_name, "requests", f"{trial_name or 'study'}.json")


def shared(kind: SharedKind, key: str, *rest: str) -> str:
    """Return a key of what trials share: a pretrained state or a supervised control."""
    return "/".join((f"{kind}s", key[:2], key, *rest))


def pretrain(key: str, *rest: str) -> str:
    """Return a key of a shared pretrained state."""
    return shared("pretrain", key, *rest)


def weights(sha256: str) -> str:
    """Return the key of backbone weights."""
    return f"weights/{sha256}.safetensors"


def ledger(model: str, *rest: str) -> str:
    """Return a key of a registered model's ledger of promotions."""
    return "/".join(("registry", check_model_name(model), "ledger", *rest))


def ledger_entry(model: str, number: int) -> str:
    """Return the key of an entry, numbered from 1.

    What was done is not in the name: a promotion and a rollback at once must not both be new.
    """
    return ledger(model, f"{number:06d}.json")


def promoted_metrics(model: str, sha256: str) -> str:
    """Return the key of what a promoted network's export measured, by the sha256 of its bytes."""
    return "/".join(("registry", check_model_name(model), "metrics", f"{sha256}.json"))


def reruns(study_name: str, trial_name: str) -> str:
    """Return the prefix of the recorded verdicts of a trial's reruns."""
    return trial(study_name, trial_name, "reruns") + "/"


def what_ifs(study_name: str, trial_name: str) -> str:
    """Return the prefix of the recorded runs of a trial with other values."""
    return trial(study_name, trial_name, WHAT_IFS) + "/"


def moment(prefix: str, now: float) -> str:
    """Return the key of what is written once, in the order of time, under a prefix.

    Args:
        prefix: ends in `/`.
        now: the store's clock in seconds.
    """
    return f"{prefix}{now * 1000:015.0f}.json"


def evaluations(data_hash: str) -> str:
    """Return the prefix of all recorded readings of a data set's test models."""
    return f"evaluations/{data_hash[:24]}/"


def evaluation(data_hash: str, number: int) -> str:
    """Return the key of one reading, numbered from 1."""
    return f"{evaluations(data_hash)}test-{number:06d}.json"


def prediction(key: str) -> str:
    """Return the key of what a launch was predicted to cost."""
    return f"predictions/{key}.json"


def probe(run: str, name: str) -> str:
    """Return the key of what `ss3d doctor` writes and deletes again."""
    return f"{PROBES}{run}-{name}"


def epoch_name(attempt: int, epoch: int) -> str:
    """Return the name that checkpoints and epoch files carry: `a1-000012`."""
    return f"a{attempt}-{epoch:06d}"


def attempt_and_epoch(key: str) -> tuple[int, int]:
    """Return what a key's last part says: `…/a1-000012` is (1, 12), `…/a3.json` is (3, 0).

    Raises:
        ConfigError: it is not such a key.
    """
    match = _EPOCH.fullmatch(key.rpartition("/")[2])
    if match is None:
        raise ConfigError(f"key: got {key!r}, expected one that ends like a1-000012")
    return int(match.group(1)), int(match.group(2) or 0)


def attempt_log(attempt: int) -> str:
    """Return the name of an attempt's log: `a1.jsonl`."""
    return f"a{attempt}{LOG_SUFFIX}"


def session_log(study_name: str, number: int) -> str:
    """Return the key of the log of a study's session, numbered from 1."""
    return study(study_name, "log", f"s{number:04d}{LOG_SUFFIX}")


def log_number(key: str) -> int:
    """Return the attempt or session that a log is of: `…/a3.jsonl` is of 3.

    Raises:
        ConfigError: it is not such a key.
    """
    match = _LOG.fullmatch(key.rpartition("/")[2])
    if match is None:
        raise ConfigError(f"key: got {key!r}, expected one that ends like a1.jsonl")
    return int(match.group(1))
