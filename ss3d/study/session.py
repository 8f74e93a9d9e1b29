"""A Ray session of our own: started for one search, or joined at an address."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, get_args

import grpc
import ray
from ray import tune
from ray._private.grpc_utils import init_grpc_channel
from ray.tune.execution import class_cache

from ss3d.errors import ConfigError, RefusedError, ServiceError
from ss3d.settings import Settings
from ss3d.study.board import Board
from ss3d.study.environment import TOKEN_ADVICE, host_of, port_of
from ss3d.study.job import JobKind, Place, from_config
from ss3d.study.machine import check_fits, offered_cpus, slots_on
from ss3d.study.moves import Moves
from ss3d.study.ray_watch import answers
from ss3d.study.searcher import Heartbeat, JobGenerator, JobSearcher, RungScheduler
from ss3d.study.tables import Resources
from ss3d.study.trainable import JobTrainable

_TRIES = 5
"""Times that a head is asked before Ray is, which would wait for many minutes."""
_ASK_S = 20.0
_TLS_ADVICE = "if its nodes talk encrypted, set RAY_USE_TLS and RAY_TLS_… here as there"
_OBJECT_STORE_BYTES = 100_000_000  # results are a few kB; Ray would take a third of the memory


@contextmanager
def ray_session(settings: Settings, resources: Resources, slots: int | None) -> Iterator[int]:
    """Start or join Ray; yield how many jobs it runs at once.

    Args:
        settings: the address to join; none starts Ray on this machine, for this process alone.
        resources: what one job occupies.
        slots: wanted by the user, instead of what fits.

    Raises:
        ConfigError: not even one job fits.
        RefusedError: the cluster does not take our token.
        ServiceError: Ray does not start, or the cluster does not answer.
        KeyboardInterrupt: SIGTERM came while Ray started.
    """
    folder = tempfile.mkdtemp(prefix="ss3d-ray-", dir="/tmp" if os.name == "posix" else None)
    try:
        if settings.ray_address:
            _init(settings.ray_address)
        else:
            check_fits(resources)
            _init(
                "local",
                num_cpus=offered_cpus(resources, slots),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=folder,
            )
        wanted = slots or resources.max_concurrent
        if not (wanted and settings.ray_address):  # a cluster may grow
            fitting = slots_on(_nodes(), resources)
            wanted = wanted or fitting
        yield wanted
    except SystemExit:  # Ray's own answer to SIGTERM while it starts
        raise KeyboardInterrupt from None
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Join a Ray cluster.

    Args:
        address: of the cluster.

    Raises:
        RefusedError: it does not take our token.
        ServiceError: it does not answer.
    """
    try:
        _init(address)
        yield
    finally:
        ray.shutdown()


def _init(address: str, **options: Any) -> None:
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    check_joinable(address)
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, namespace="ss3d", **options)
    except Exception as error:  # of no closer type, when its processes take too long to start
        raise ServiceError(f"Ray at {address} does not start or answer: {error}") from error


def head_address() -> tuple[str, int]:
    """Return host and port of the head of the Ray that was started or joined."""
    address = ray.get_runtime_context().gcs_address
    return host_of(address), port_of(address)


def check_joinable(address: str) -> None:
    """Ask for a head, which may be starting, and try our token; Ray itself finds `auto`.

    Raises:
        ConfigError: it is no address of a head.
        RefusedError: the head does not take our token.
        ServiceError: nobody answers.
    """
    if address in ("auto", "local"):
        return
    if not port_of(address):
        raise ConfigError(f"Ray's address: got {address!r}, expected HOST:PORT, e.g. head:6379")
    for _ in range(_TRIES):
        if answers((host_of(address), port_of(address))):
            break
        time.sleep(1)
    else:
        message = f"Ray at {address} does not answer; start its head, or give another address"
        raise ServiceError(message)
    _try_token(address)


def _try_token(address: str) -> None:
    """Ask a head for nothing: Ray itself would be refused for 20 s, and not say why."""
    channel: Any = init_grpc_channel(f"{host_of(address)}:{port_of(address)}")
    with channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")
        try:
            ask(b"", timeout=_ASK_S, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise RefusedError(f"Ray at {address} refuses our token; {TOKEN_ADVICE}") from error
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ServiceError(f"Ray at {address} says nothing; {_TLS_ADVICE}") from error


def run_jobs(
    board: Board,
    place: Place,
    interrupted: threading.Event,
    beat: Callable[[], None],
    trainable: type[JobTrainable] | None = None,
) -> None:
    """Run the board's jobs with Tune until none is left.

    Args:
        board: has the jobs.
        place: where workers find things.
        interrupted: ends the waiting for everything.
        beat: called at each step of Tune's loop.
        trainable: runs the jobs; None trains.

    Raises:
        KeyboardInterrupt: `interrupted` was set; running jobs die with the Ray session.
        ServiceError: a job was lost for good, by nothing of its own, or Ray is; all can be resumed.
    """
    moves = Moves(board)

    def on_step() -> None:
        beat()
        if interrupted.is_set() or board.loss:
            raise KeyboardInterrupt

    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(board.slots)
    _keep_credentials()
    with tempfile.TemporaryDirectory(prefix="ss3d-tune-") as folder, _signals(interrupted):
        tuner = tune.Tuner(
            tune.with_resources(trainable or JobTrainable, _groups(board.space.resources)),
            tune_config=tune.TuneConfig(
                search_alg=JobGenerator(JobSearcher(board, place, on_step, moves), board),
                scheduler=RungScheduler(board, moves),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=place.study,
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=-1),  # the board counts deaths
                callbacks=[Heartbeat(board, on_step)],
            ),
        )
        try:
            tuner.fit()
        except KeyboardInterrupt:
            if board.loss and not interrupted.is_set():
                interrupted.set()  # nobody waits for a store that is away
                raise ServiceError(f"{board.loss}; go on by --resume") from None
            raise


def _groups(resources: Resources) -> Callable[[dict[str, Any]], tune.PlacementGroupFactory]:
    """Return what tells Tune the resources of a job.

    Tune hands a worker on to another job if their resources are equal, and else ends it first.
    """
    groups: dict[JobKind, tune.PlacementGroupFactory] = {
        kind: tune.PlacementGroupFactory([resources.of(kind).as_bundle()])
        for kind in get_args(JobKind)
    }
    return lambda config: groups[from_config(config)[0].kind]


def _keep_credentials() -> None:
    """Let Tune not send the driver's AWS keys to workers: Ray writes them into its logs.

    Workers have their own, from their node's environment or role; here they are our children.
    """
    names = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in names if not name.startswith("AWS_")}


@contextmanager
def _signals(interrupted: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set the event; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def leave(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nodes() -> list[dict[str, float]]:
    """Return what the nodes of the cluster offer."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
