"""What an S3 policy allows, and a proxy that lets nothing else through to the real server."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from s3.fault_proxy import FaultProxy, Forward

FOLDER = Path(__file__).parents[2] / "cluster" / "policies"


class Asked(NamedTuple):
    """What a request needs."""

    action: str
    resource: str


class Policy:
    """A policy of `cluster/policies`, of Allow statements alone.

    Args:
        role: worker, driver or gc.
        names: for the words BUCKET, PREFIX and DATA.
    """

    def __init__(self, role: str, names: dict[str, str]) -> None:
        text = re.sub("|".join(names), lambda m: names[m[0]], (FOLDER / f"{role}.json").read_text())
        self.grants = [
            Asked(action, resource)
            for statement in json.loads(text)["Statement"]
            for action in _as_list(statement["Action"])
            for resource in _as_list(statement["Resource"])
        ]

    def allows(self, asked: Asked) -> bool:
        return any(grants(grant, asked) for grant in self.grants)


def grants(grant: Asked, asked: Asked) -> bool:
    """Return whether a grant covers a request; '*' stands for any text, slashes included."""
    return grant.action == asked.action and fnmatchcase(asked.resource, grant.resource)


def needed(method: str, path: str) -> Asked:
    """Return what a path-style request needs, as the S3 documentation lists it."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    name = unquote(parts.path).strip("/")
    if "/" not in name:
        action = "ListBucketMultipartUploads" if "uploads" in query else "ListBucket"
    elif "uploadId" in query and method in ("GET", "DELETE"):
        action = "ListMultipartUploadParts" if method == "GET" else "AbortMultipartUpload"
    else:
        action = {"GET": "GetObject", "HEAD": "GetObject", "DELETE": "DeleteObject"}.get(
            method, "PutObject"
        )
    return Asked(f"s3:{action}", f"arn:aws:s3:::{name}")


class PolicyProxy(FaultProxy):
    """Refuses what a policy does not allow; remembers what was asked."""

    def __init__(self, target: str, policy: Policy) -> None:
        super().__init__(target, _Guarded)
        self.policy = policy
        self.asked: set[Asked] = set()
        self.refused: set[Asked] = set()

    def unused(self) -> list[Asked]:
        """Return the grants that no request needed."""
        return [g for g in self.policy.grants if not any(grants(g, one) for one in self.asked)]


class _Guarded(Forward):
    server: PolicyProxy

    def forward(self) -> None:
        asked = needed(self.command, self.path)
        self.server.asked.add(asked)
        if self.server.policy.allows(asked):
            super().forward()
        else:
            self.server.refused.add(asked)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.refuse("AccessDenied")


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
