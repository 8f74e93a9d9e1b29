"""An S3 bucket as a store: conditional writes, streamed files, the server's clock.

An answer may be lost: the write arrived, the reply did not, boto3 sends it again, and the server
says that the object exists. Every conditional write therefore carries a token of its own in the
object's metadata; a refused write looks at the object and has succeeded if the token is there. So
`put_new` of two writers has one winner even if both write the same bytes. When boto3 gives up, the
ServiceError leaves open whether the write arrived; whoever tries again compares bytes, as
`study.patience.put_once` and `put_bundle` do.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from ss3d.errors import CheckpointError, ConfigError, ConflictError, ServiceError
from ss3d.store.keys import check_key, check_prefix, is_key
from ss3d.store.protocol import Blob
from ss3d.store.s3_answers import Failure, code_of, has_expired, translate
from ss3d.store.s3_client import Client
from ss3d.store.staging import check_sha256, staged

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TRANSFER = TransferConfig(
    multipart_threshold=8 << 20, multipart_chunksize=8 << 20, max_concurrency=4
)
_KEYS_PER_PAGE = 1000
_WRITE = "ss3d-write"
_REFUSED = frozenset({"PreconditionFailed", "NoSuchKey", "412"})
_COLLISION = "ConditionalRequestConflict"
_COLLISIONS = 5


class S3Store:
    """Store under a prefix of a bucket. The version of an object is its ETag.

    A process that is killed during a large `put_file` leaves parts behind that no reader sees;
    `leftovers`, or a lifecycle rule of the bucket, removes them.

    Args:
        bucket: name of the bucket, which must exist.
        prefix: of all keys, without a '/' at its end; may be empty.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = Client()

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the store at `s3://BUCKET/PREFIX`.

        Raises:
            ConfigError: it is not such an address.
        """
        parts = urlsplit(address)
        if "@" in parts.netloc:
            raise ConfigError(
                "store: the s3:// address has an '@': credentials do not go into an address; "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
            )
        prefix = parts.path.strip("/")
        is_plain = parts.scheme == "s3" and not parts.query and not parts.fragment
        if not is_plain or not _BUCKET.fullmatch(parts.netloc) or (prefix and not is_key(prefix)):
            raise ConfigError(
                f"store: got address {address!r}, expected s3://BUCKET/PREFIX with a bucket of "
                "a-z 0-9 . - and a prefix of A-Z a-z 0-9 . _ - between '/'"
            )
        return cls(parts.netloc, prefix)

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self._bucket, self._prefix.removesuffix("/"))

    def __repr__(self) -> str:
        return f"S3Store({self.address!r})"

    @property
    def address(self) -> str:
        """Return `s3://BUCKET/PREFIX`."""
        return f"s3://{self._bucket}/{self._prefix}".removesuffix("/")

    def get(self, key: str) -> Blob | None:
        """Return the object's bytes and ETag, or None."""
        check_key(key)
        with self._asking(key) as client:
            try:
                answer = client.get_object(**self._at(key))
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise
            return Blob(answer["Body"].read(), answer["ETag"])

    def put_new(self, key: str, data: bytes) -> str:
        """Write an object that must not exist; ConflictError if it does."""
        return self._put(key, data, f"{key} exists already", IfNoneMatch="*")

    def put_if(self, key: str, data: bytes, version: str) -> str:
        """Replace an object that must still have this version; ConflictError otherwise."""
        return self._put(key, data, f"{key} was changed by somebody else", IfMatch=version)

    def put_file(self, key: str, path: Path) -> str:
        """Write a file's bytes under a key, in parts if it is large; return their sha256."""
        check_key(key)
        with self._asking(key) as client, path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            client.upload_fileobj(file, self._bucket, self._prefix + key, Config=_TRANSFER)
        return sha256

    def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write an object's bytes to a file in one step; CheckpointError if damaged or missing."""
        check_key(key)
        with self._asking(key) as client, staged(path) as stage:
            with stage.open("w+b") as file:  # a pipe would get the bytes of a retry twice
                self._download(client, key, file)
                file.seek(0)
                found = hashlib.file_digest(file, "sha256").hexdigest()
            check_sha256(key, found, sha256)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix in order of their characters; not all servers keep it."""
        yield from self.sizes(prefix)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of the objects under a prefix: a listing tells them."""
        top = self._prefix + check_prefix(prefix)
        with self._asking(prefix) as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=top, PaginationConfig={"PageSize": _KEYS_PER_PAGE}
            )
            items = [item for page in pages for item in page.get("Contents", ())]
        found = {item["Key"].removeprefix(self._prefix): int(item["Size"]) for item in items}
        return {key: found[key] for key in sorted(filter(is_key, found))}

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        check_key(key)
        with self._asking(key) as client:
            client.delete_object(**self._at(key))

    def leftovers(self, older_s: float, remove: bool = False) -> dict[str, int]:
        """Return the uploads in parts that were never completed, by key and id."""
        before = self.now() - older_s
        found: dict[str, int] = {}
        with self._asking("uploads") as client:
            uploads = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for upload in [one for page in uploads for one in page.get("Uploads", ())]:
                if upload["Initiated"].timestamp() > before:
                    continue
                named = {
                    "Bucket": self._bucket,
                    "Key": upload["Key"],
                    "UploadId": upload["UploadId"],
                }
                pages = client.get_paginator("list_parts").paginate(**named)
                size = sum(int(part["Size"]) for page in pages for part in page.get("Parts", ()))
                found[f"{upload['Key'].removeprefix(self._prefix)} {upload['UploadId']}"] = size
                if remove:
                    client.abort_multipart_upload(**named)
        return found

    def now(self) -> float:
        """Return the server's clock, in whole seconds: the Date of an answer."""
        with self._asking("clock") as client:
            try:
                answer = client.get_object(**self._at(".clock"))
            except ClientError as error:
                if code_of(error) != "NoSuchKey":
                    raise
                answer = error.response
            date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date is None:
            raise ConfigError(f"store: {self.address}: the server's answers have no Date")
        return parsedate_to_datetime(date).timestamp()

    def _put(self, key: str, data: bytes, conflict: str, **condition: str) -> str:
        """Write under a condition; an answer that was lost is no conflict."""
        token = uuid.uuid4().hex
        place = self._at(check_key(key))
        with self._asking(key) as client:
            for _ in range(_COLLISIONS):
                try:
                    answer = client.put_object(
                        **place, Body=data, Metadata={_WRITE: token}, **condition
                    )
                    return str(answer["ETag"])
                except ClientError as error:
                    if code_of(error) in _REFUSED:
                        if version := self._version_written_by(client, key, token):
                            return version
                        raise ConflictError(conflict) from error
                    if code_of(error) != _COLLISION:
                        raise
                time.sleep(random.uniform(0.02, 0.2))
        raise ServiceError(f"store: {key}: others write to it all the time; try again")

    def _version_written_by(self, client: Any, key: str, token: str) -> str | None:
        """Return the version of an object if the write with this token made it."""
        try:
            answer = client.head_object(**self._at(key))
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchKey"):
                return None
            raise
        return str(answer["ETag"]) if answer["Metadata"].get(_WRITE) == token else None

    def _download(self, client: Any, key: str, file: BinaryIO) -> None:
        try:
            client.download_fileobj(self._bucket, self._prefix + key, file, Config=_TRANSFER)
        except ClientError as error:
            if code_of(error) not in ("404", "NoSuchKey") or self.get(key) is not None:
                raise
            raise CheckpointError(f"{self.address}: there is no {key}") from error

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    @contextmanager
    def _asking(self, key: str) -> Iterator[Any]:
        """Give the client; turn what it raises into our errors."""
        try:
            yield self._client.get()
        except Failure as error:
            if has_expired(error):
                self._client.forget()
            raise translate(f"{self.address}: {key}", error) from error
