"""Gates: what must hold before a candidate becomes the champion, from a TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ss3d.errors import ConfigError

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Gates(BaseModel):
    """Which gates there are; those that are left out are open."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Better than the champion by so much of `val/cd_l1`, paired by model, on the same data."""
    confirmed_seeds: Annotated[int, Field(ge=2)] | None = None
    """`ss3d confirm` ran it again with so many seeds, and mean - sd of the gain keeps `margin`."""
    clean_lineage: bool = False
    """Trained by the code that is here, on the data that its study names."""
    rerun: Literal["bitwise", "within tolerance"] | None = None
    """The newest `ss3d rerun` repeated its numbers at least so well."""
    most_mib: Amount | None = None
    """Peak memory of one image, the network included, measured now on the CPU."""
    most_latency_ms: Amount | None = None
    """Median time of one image, measured now on the CPU."""
    read_test_once: bool = False
    """The test models were read once, by these weights, after training."""


OPEN = Gates()
"""No gate at all."""


def parse_gates(
    tree: Mapping[str, Any], error: Callable[[tuple[str, ...], str], ConfigError]
) -> Gates:
    """Return the gates of a file.

    Args:
        tree: its parsed TOML.
        error: makes an error that names file and line of a key.

    Raises:
        ConfigError: a key is not known or a value not allowed.
    """
    try:
        return Gates.model_validate(dict(tree))
    except ValidationError as failure:
        first = failure.errors()[0]
        where = tuple(str(part) for part in first["loc"][:1])
        if first["type"] == "extra_forbidden":
            known = ", ".join(Gates.model_fields)
            raise error(where, f"there is no such gate; there are: {known}") from failure
        raise error(where, f"got {first['input']!r}: {first['msg']}") from failure
