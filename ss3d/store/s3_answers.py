"""What an S3 server's answer means for us: away, not allowed, damaged. No secret gets through."""

from __future__ import annotations

from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # botocore's own: not the built-in
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    ResponseStreamingError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

from ss3d.errors import AccessError, CheckpointError, ConfigError, ServiceError, Ss3dError

Failure = (
    BotoCoreError,
    ClientError,
    Boto3Error,
    RetriesExceededError,
    S3DownloadFailedError,
    OSError,
)
"""All that a call of boto3 raises when it does not succeed."""

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_TEMPORARY = _EXPIRED | {
    "BadDigest", "IncompleteBody", "NoSuchUpload", "OperationAborted", "PreconditionFailed",
    "RequestTimeout", "RequestTimeTooSkewed", "SlowDown", "ThrottlingException", "TooManyRequests",
}  # fmt: skip
_ADVICE = {
    "NoSuchBucket": "make the bucket, or correct the address",
    "AccessDenied": "it must allow GetObject, PutObject, DeleteObject and ListBucket to these keys",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the profile",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or the profile",
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
    "NotImplemented": "the server lacks what a store needs; ask it with: ss3d doctor",
} | dict.fromkeys(_EXPIRED, "the credentials have expired; renew them")
_IF_AWAY = "expected an S3 server: start it, or correct AWS_ENDPOINT_URL_S3 or the network"
_AWAY = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    RetriesExceededError,
    S3DownloadFailedError,  # replaced while it was read
)
_CREDENTIALS_AWAY = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)


def code_of(error: ClientError) -> str:
    """Return the server's code: `NoSuchKey`; of answers without a body the status: `404`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def has_expired(error: Exception) -> bool:
    """Return whether new credentials would help."""
    return isinstance(error, ClientError) and code_of(error) in _EXPIRED


def translate(what: str, error: Exception) -> Ss3dError:
    """Return our error for one of boto3's or the operating system's.

    Args:
        what: the store and key, for the message.
        error: one of `Failure`.
    """
    match error:
        case ClientError():
            return _translate_answer(what, error)
        case FlexibleChecksumError():
            return CheckpointError(f"{what} is damaged: its checksum is not the stored one")
        case OSError():
            return ServiceError(f"store: {what}: {error.strerror or error}")
        case NoCredentialsError():
            return ConfigError(
                f"store: {what}: there are no credentials; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where there is a role"
            )
    if isinstance(error, _CREDENTIALS_AWAY):  # their texts may quote what a program printed
        return ServiceError(f"store: {what}: credentials are not to be had: {type(error).__name__}")
    if isinstance(error, ConnectionError):
        return ServiceError(f"store: {what}: {_where(error)} does not answer; {_IF_AWAY}")
    kind = ServiceError if isinstance(error, _AWAY) else ConfigError
    return kind(f"store: {what}: {' '.join(str(error).split())}")


def _where(error: BotoCoreError) -> str:
    """Return the server that an error is about: its address names bucket and key as well."""
    address = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
    return f"{address.scheme}://{address.netloc}" if address.netloc else "the server"


def _translate_answer(what: str, error: ClientError) -> Ss3dError:
    code, status = code_of(error), error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    is_temporary = code in _TEMPORARY or (status >= 500 and status != 501) or status == 429
    advice = _ADVICE.get(code) or (_ADVICE["AccessDenied"] if status == 403 else "")
    text = f"store: {what}: the server answers {status} {code}" + (f": {advice}" if advice else "")
    if is_temporary:
        return ServiceError(text)
    return AccessError(text) if status in (401, 403) else ConfigError(text)
