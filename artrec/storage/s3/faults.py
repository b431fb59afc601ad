"""What S3 and its client complain about, as errors of a Store: what it is, and what to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from artrec.errors import (
    ArtrecError,
    ConditionFailed,
    ConfigError,
    CredentialsError,
    NotFound,
    StoreFull,
    StoreUnavailable,
    UsageError,
)

__all__ = ["FAILURES", "code_of", "explained", "is_passing", "redacted"]

PASSING = {
    *("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling"),
    *("ThrottlingException", "TooManyRequests", "RequestThrottled", "BadDigest"),
    *("ConditionalRequestConflict", "OperationAborted", "XMinioServerNotInitialized"),
}
"""Codes of faults that another try may not meet, whatever the status."""

EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
UNKNOWN = {
    *("InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "InvalidClientTokenId"),
    "XAdminUserNotFound",
}
SKEWED = {"RequestTimeTooSkewed", "RequestInTheFuture"}
ELSEWHERE = {
    *("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
    *("IncorrectEndpoint", "TemporaryRedirect", "301", "307"),
}
FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLargeForQuota"}
UNNAMABLE = {
    *("KeyTooLongError", "KeyTooLong", "414", "ExistingObjectIsDirectory", "ObjectParentIsFile"),
}
MISSING = {"NoSuchKey", "NoSuchUpload", "404"}

NEEDED = {
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "list_objects_v2": "s3:ListBucket",
    "list_object_versions": "s3:ListBucketVersions",
    "delete_object": "s3:DeleteObject",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_parts": "s3:ListMultipartUploadParts",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
}
"""The right that an operation needs; all others write."""

WITHOUT = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
)
FAILURES = (ClientError, boto.BotoCoreError, ResponseParserError)
"""All that a request may raise."""
UNANSWERED = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.FlexibleChecksumError,
    boto.ChecksumError,
    ResponseParserError,
)
SETTINGS = (
    boto.ConfigParseError,
    boto.ConfigNotFound,
    boto.InvalidConfigError,
    boto.InvalidRegionError,
    boto.NoRegionError,
    boto.ParamValidationError,
    boto.ProfileNotFound,
)

_SECRETS = (
    (re.compile(r"://[^/@\s]*@"), "://***@"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{8,}"), "***"),
    (
        re.compile(r"(?i)\b(X-Amz-[A-Za-z-]*|AWSAccessKeyId|Signature|Credential)=[^&\s]*"),
        r"\1=***",
    ),
)


def redacted(text: str) -> str:
    """``text`` without what looks like a key, a signed address or a password in one."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def code_of(error: Exception) -> str:
    """The code that the server gave, or its status; empty where it gave no answer."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", "") or _status(error))


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed in a while."""
    if isinstance(error, ClientError):
        code, status = code_of(error), _status(error)
        return code in PASSING or status == 429 or (status >= 500 and not _is_refusal(code, status))
    return isinstance(error, UNANSWERED) and not _is_distrust(error)


def _is_distrust(error: Exception) -> bool:
    """Whether it is a certificate that will not be better in a while."""
    return isinstance(error, boto.SSLError) and "CERTIFICATE" in str(error).upper()


def _is_refusal(code: str, status: int) -> bool:
    """A server may say with a 5xx that it never will."""
    return status in (501, 507) or code in FULL or code == "NotImplemented"


def explained(error: Exception, where: str, operation: str) -> ArtrecError:
    """The error of a Store, with a sentence for people; what the server said is redacted."""
    if isinstance(error, ClientError):
        return _answered(error, where, operation)
    if isinstance(error, WITHOUT):
        return CredentialsError(
            f"{where}: no usable credentials ({redacted(str(error))}); set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, sign in again (aws sso login), or give "
            "the machine a role"
        )
    if isinstance(error, SETTINGS):
        return ConfigError(f"{where}: {redacted(str(error))}; look at your AWS settings")
    if _is_distrust(error):
        return ConfigError(
            f"{where}: the server's certificate is not trusted ({redacted(str(error))}); name the "
            "authority that signed it in AWS_CA_BUNDLE"
        )
    return StoreUnavailable(
        f"{where}: {type(error).__name__}: {redacted(str(error))}; is the endpoint right? "
        "Run the same command again when it answers"
    )


def _answered(error: ClientError, where: str, operation: str) -> ArtrecError:
    code, status = code_of(error), _status(error)
    said = redacted(str(error.response.get("Error", {}).get("Message", "")))
    said = f"{code}: {said}" if said and said != code else code
    if code == "NoSuchBucket":
        return ConfigError(
            f"{where}: there is no such bucket; look at its spelling, the account and the endpoint"
        )
    if code in MISSING:
        return NotFound(f"{where}: no such object")
    if code in ("PreconditionFailed", "412"):
        return ConditionFailed(f"{where} exists already, or is another object than was expected")
    if code in FULL or status == 507:
        return StoreFull(f"{where}: no space left ({said}); free some and run the same again")
    if code in ELSEWHERE or status in (301, 307):
        return ConfigError(f"{where}: wrong region or endpoint{_region(error)} ({said})")
    if code in SKEWED:
        return CredentialsError(
            f"{where}: the clocks differ{_skew(error)}, so the signature is refused ({said}); set "
            "this machine's clock, or let it follow a time server"
        )
    if code in EXPIRED:
        return CredentialsError(
            f"{where}: the credentials have expired ({said}); get new ones and run the same "
            "command again, it goes on from here"
        )
    if code in UNKNOWN:
        return CredentialsError(
            f"{where}: the store does not know these credentials ({said}); look at "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, and at the "
            "endpoint that they are for"
        )
    if status in (401, 403):
        need = NEEDED.get(operation, "s3:PutObject")
        return CredentialsError(
            f"{where}: access denied ({said}); {operation or 'the request'} needs {need} there, "
            "and without s3:ListBucket a missing object is denied too (jobs/README.md has the "
            "whole policy)"
        )
    if code in UNNAMABLE:
        return UsageError(
            f"{where}: this server cannot have such a name ({said}); some take no path whose parts "
            "are longer than 255 bytes, or not both a and a/b"
        )
    if code in ("InvalidBucketName", "NotImplemented") or status == 501:
        return ConfigError(f"{where}: the store cannot do this ({operation}: {said})")
    if status >= 500 or code in PASSING:
        return StoreUnavailable(f"{where}: {said}; run the same command again")
    return ArtrecError(f"{where}: {operation} was refused: {said}")


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _headers(error: ClientError) -> dict[str, Any]:
    found: dict[str, Any] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return found


def _region(error: ClientError) -> str:
    told = error.response.get("Error", {})
    region = _headers(error).get("x-amz-bucket-region") or told.get("Region")
    return f": set AWS_REGION={region}" if region else "; look at AWS_REGION and AWS_ENDPOINT_URL"


def _skew(error: ClientError) -> str:
    try:
        theirs = parsedate_to_datetime(_headers(error)["date"])
    except (KeyError, ValueError):
        return ""
    ours = datetime.now(UTC)
    return f": here it is {ours:%Y-%m-%d %H:%M:%S} UTC, there {theirs:%Y-%m-%d %H:%M:%S} UTC"
