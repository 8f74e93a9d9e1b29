"""The policies of worker, driver and gc are sufficient for what each does, and for no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from s3.fault_proxy import running
from s3.policies import Asked, Policy, PolicyProxy, needed
from s3.s3_server import S3Server

from ss3d.config import TrialConfig, canonical_json
from ss3d.data.dataset import open_dataset
from ss3d.errors import ConfigError
from ss3d.report.predicted import Prediction, write_prediction
from ss3d.store import layout
from ss3d.store.directory import DirectoryStore
from ss3d.store.lease import take_lease
from ss3d.store.opening import open_store
from ss3d.store.probes import examine
from ss3d.store.protocol import Store
from ss3d.study.attempt import run_job
from ss3d.study.collection import Scope, collect
from ss3d.study.inventory import find_shared, retry_failed
from ss3d.study.job import Job, Place
from ss3d.study.reconcile import reconcile
from ss3d.study.spool import Entry, Kind
from ss3d.study.stopping import ask_to_stop
from ss3d.study.uploader import send
from ss3d.study.worker import Worker
from ss3d.tracking.ledger import keep_metrics
from ss3d.trial.objectives import objectives_of
from ss3d.trial.readings import TestReading, record_reading
from ss3d.trial.records import TrialSpec
from ss3d.trial.weights import add_weights, cached_weights

PRETRAIN, CONTROL, DIVERGING, UNUSED = (letter * 64 for letter in "abcd")
ROOM = "arn:aws:s3:::bucket/ss3d"
TRIAL = f"{ROOM}/studies/s/trials/t00000"
GET, PUT, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"


@pytest.mark.parametrize(
    ("role", "action", "resources"),
    [
        ("worker", GET, [f"{ROOM}/registry/m/ledger/000001.json", f"{ROOM}/evaluations/d/1.json"]),
        (
            "worker",
            PUT,
            [f"{TRIAL}/result.json", f"{TRIAL}/spec.json", f"{ROOM}/studies/s/study.json"],
        ),
        ("worker", PUT, [f"{ROOM}/studies/s/driver.lease", f"{ROOM}/pretrains/aa/a/lease"]),
        ("worker", PUT, [f"{ROOM}/registry/m/ledger/000001.json", "arn:aws:s3:::bucket/data/x"]),
        ("worker", DELETE, [f"{TRIAL}/spec.json", f"{TRIAL}/epochs/a1-000001.json"]),
        ("driver", DELETE, [f"{TRIAL}/result.json", f"{TRIAL}/spec.json", f"{TRIAL}/epochs/x"]),
        ("driver", DELETE, [f"{ROOM}/registry/m/ledger/000001.json", f"{ROOM}/weights/x"]),
        ("driver", PUT, ["arn:aws:s3:::bucket/data/x", "arn:aws:s3:::other/ss3d/studies/x"]),
        ("gc", PUT, [f"{TRIAL}/result.json", f"{TRIAL}/best/student.safetensors"]),
        ("gc", DELETE, [f"{TRIAL}/result.json", f"{TRIAL}/spec.json", f"{TRIAL}/epochs/x"]),
        ("gc", DELETE, [f"{ROOM}/studies/s/decisions/x", f"{ROOM}/registry/m/ledger/000001.json"]),
        ("gc", DELETE, [f"{ROOM}/weights/x", "arn:aws:s3:::bucket/data/x"]),
    ],
)
def test_what_a_role_may_not(role: str, action: str, resources: list[str]) -> None:
    policy = Policy(role, {"BUCKET": "bucket", "PREFIX": "ss3d", "DATA": "data"})
    assert [name for name in resources if policy.allows(Asked(action, name))] == []


def test_what_requests_need() -> None:
    assert needed("GET", "/b?list-type=2&prefix=p%2F") == ("s3:ListBucket", "arn:aws:s3:::b")
    assert needed("HEAD", "/b/p/a%20b") == (GET, "arn:aws:s3:::b/p/a b")
    assert (
        needed("POST", "/b/p/k?uploads") == needed("PUT", "/b/p/k") == (PUT, "arn:aws:s3:::b/p/k")
    )
    assert needed("DELETE", "/b/p/k?uploadId=1").action == "s3:AbortMultipartUpload"


class Roles:
    """The store of each role, behind a proxy that knows its policy."""

    def __init__(
        self, address: str, proxies: dict[str, PolicyProxy], assume: Callable[[str], None]
    ):
        self.address, self.proxies, self.assume = address, proxies, assume

    def store(self, role: str) -> Store:
        """Return the store with the rights of a role."""
        self.assume(self.proxies[role].endpoint)
        store = open_store(self.address)
        store.get(layout.study("none", "study.json") if role != "worker" else "weights/none")
        return store


@pytest.fixture
def roles(s3_access: S3Server, s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Roles]:
    prefix = s3_address.removeprefix(f"s3://{s3_access.bucket}/")
    names = {"BUCKET": s3_access.bucket, "PREFIX": prefix, "DATA": f"{prefix}-data"}
    with ExitStack() as stack:
        proxies = {
            role: stack.enter_context(running(PolicyProxy(s3_access.endpoint, Policy(role, names))))
            for role in ("worker", "driver", "gc")
        }
        yield Roles(s3_address, proxies, lambda at: monkeypatch.setenv("AWS_ENDPOINT_URL_S3", at))


@pytest.mark.slow
def test_each_role_does_its_work_and_needs_all_that_it_may(
    roles: Roles, s3_access: S3Server, data_folder: Path, quick_config: TrialConfig, tmp_path: Path
) -> None:
    published = open_store(f"{roles.address}-data")  # by whoever prepares data
    for key in DirectoryStore(data_folder).list(""):
        published.put_file(key, data_folder / key)
    driver = roles.store("driver")
    dataset = open_dataset(open_store(f"{roles.address}-data"))  # with the driver's rights
    begin(driver, quick_config, dataset.manifest.content_hash)
    sha256 = add_weights(driver, data_folder / "manifest.json")

    worker = roles.store("worker")
    place = Place("s", roles.address, f"{roles.address}-data", str(tmp_path / "node"), False)
    work(Worker(place))
    cached_weights(worker, sha256, tmp_path / "node")
    resend(worker, tmp_path / "worker")
    with pytest.raises(ConfigError, match="403 AccessDenied"):
        worker.put_new(layout.trial("s", "t00000", "result.json"), b"{}")
    forged = roles.proxies["worker"].refused.pop()
    assert forged.resource.endswith("/studies/s/trials/t00000/result.json")

    end(driver, tmp_path / "driver")
    driver.put_new(layout.probe("dead", "x"), b"")
    prefix = roles.address.removeprefix(f"s3://{s3_access.bucket}/")
    open_upload(s3_access, f"{prefix}/pretrains/x")
    sweep(roles.store("gc"), tmp_path / "no-cache")
    for proxy in roles.proxies.values():
        assert proxy.refused == set()
        assert proxy.unused() == []


def begin(driver: Store, config: TrialConfig, data_hash: str) -> None:
    """Seal a study of three trials, the second of which diverges, and use other commands."""
    put_tree(driver, layout.study("s", "study.json"), {"schema": 1, "budget": {"trials": 3}})
    short = config.override({"pretrain.steps": 2, "semi.steps": 2, "semi.epochs": 1})
    for number, config in enumerate((short, short.override({"pretrain.lr": 1e30}), short)):
        put_spec(driver, number, config, DIVERGING if number == 1 else PRETRAIN, data_hash)
    with take_lease(driver, layout.study("s", "driver.lease"), "study s"):
        ask_to_stop(driver, "s", "t00000")
        driver.delete(layout.stop_request("s", "t00000"))
    with take_lease(driver, layout.pretrain(PRETRAIN, "lease"), "a pretrain"):
        pass
    numbers = dict.fromkeys(Prediction.model_fields, 1) | {"device": "cpu"}
    write_prediction(driver, layout.prediction("k"), Prediction.model_validate(numbers))
    reading = TestReading(
        model="s/t00000", weights_sha256="w", data_hash=data_hash, split_hash="h", count=1,
        cd_l1=1.0, cd_l1_category_mean=1.0, code_version="c", read_at=1.0,
    )  # fmt: skip
    record_reading(driver, reading)
    keep_metrics(driver, "m", b"{}")
    entry: dict[str, object] = {"schema": 1, "model": "m", "study": "s", "trial": "t00000"}
    put_tree(driver, layout.ledger_entry("m", 1), entry)
    assert [
        finding
        for finding in examine(driver)
        if finding.outcome != "ok" and finding.probe != "latency"
    ] == []


def end(driver: Store, folder: Path) -> None:
    """Commit results, send what a node's spool still has, and try failures again."""
    assert reconcile(driver, "s", objectives_of({})).num_committed == 2
    resend(driver, folder)
    retry_failed(driver, find_shared(driver, DIVERGING))
    driver.delete(layout.shared("control", UNUSED, "failed.json"))


def sweep(gc: Store, cache: Path) -> None:
    """Collect everything, uploads that are young as well."""
    found = collect(gc, Scope(1, cache, with_caches=False, remove=True))
    kinds = {item.kind for item in found.items}
    assert kinds == {"checkpoints", "weights", "pretrain", "control", "unread", "probe"}
    assert len(gc.leftovers(0, remove=True)) == 1
    for kind in layout.SHARED_KINDS:  # as where a state is used again meanwhile
        gc.put_new(layout.shared(kind, UNUSED, "manifest.json"), b"{}")


def work(worker: Worker) -> None:
    """Train what two trials share and both, one of them twice; a third one diverges."""
    jobs = [Job("pretrain", "t00000", PRETRAIN), Job("control", "t00000", CONTROL)]
    jobs += [Job("trial", name, PRETRAIN) for name in ("t00000", "t00002", "t00002")]
    for job in jobs:
        assert list(run_job(worker, job))[-1].failure == "", job
    for job in (Job("pretrain", "t00001", DIVERGING), Job("trial", "t00001", DIVERGING)):
        assert list(run_job(worker, job))[-1].failure
    worker.uploader.close(10)


def resend(store: Store, folder: Path) -> None:
    """Send what an uploader sends, and again what it may have sent before it died."""
    folder.mkdir()
    (folder / "x").write_text('{"schema": 1, "reports": [], "final": false}')
    places = [layout.shared(kind, UNUSED) for kind in layout.SHARED_KINDS]
    for place in (layout.trial("s", "t00001"), *places):
        export = "best/a1" if "trials" in place else "checkpoint/a1"
        sent: list[tuple[Kind, str]] = [("bundle", export)] * 2
        sent += [("checkpoint", f"checkpoints/a1-00000{epoch}") for epoch in (1, 2, 3)]
        names = ("epochs/a9.json", "log/a9.txt", "attempts/a9.json", "config.json", "failed.json")
        sent += [("file", name) for name in names if "trials" not in place or "/" in name]
        for kind, name in sent:
            send(store, Entry("job", kind, f"{place}/{name}"), folder)


def put_spec(store: Store, number: int, config: TrialConfig, key: str, data_hash: str) -> None:
    spec = TrialSpec(
        study="s", trial=layout.trial_id(number), params={}, distributions={}, stratum={},
        config=config, pretrain_key=key, control_key=CONTROL, code_version="c",
        data_hash=data_hash, versions={}, attrs={}, proposed_at=0.0,
    )  # fmt: skip
    store.put_new(layout.trial("s", spec.trial, "spec.json"), spec.to_json())


def put_tree(store: Store, key: str, tree: dict[str, object]) -> None:
    store.put_new(key, canonical_json(tree).encode())


def open_upload(server: S3Server, key: str) -> None:
    begun = server.client.create_multipart_upload(Bucket=server.bucket, Key=key)
    place = {"Bucket": server.bucket, "Key": key, "UploadId": begun["UploadId"]}
    server.client.upload_part(**place, PartNumber=1, Body=b"x")
