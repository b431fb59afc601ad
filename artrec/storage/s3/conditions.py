"""The probe at start: does this server honour conditions, as the protocol needs it?"""

from __future__ import annotations

from contextlib import suppress

from artrec.errors import ArtrecError, ConditionFailed, ConfigError, NotFound
from artrec.storage.s3.client import Asking
from artrec.storage.s3.reading import read_object
from artrec.storage.s3.writing import begin_upload, complete_upload, put_object, send_part

__all__ = ["check_conditions"]


def check_conditions(ask: Asking, key: str) -> None:
    """ConfigError for a server that lets two writers win; ``key`` is written and removed."""
    try:
        first = put_object(ask, key, b"first", None)
        _expect_refusal(ask, key, None)
        second = put_object(ask, key, b"second", first.etag)
        _expect_refusal(ask, key, first.etag)
        _expect_completion_refused(ask, key)
        found = read_object(ask, key, 0, None, second.etag)
        if found != b"second":
            raise _unfit(ask, f"read {found!r} where b'second' was written just before")
    finally:
        with suppress(ArtrecError):
            ask("delete_object", Key=key)


def _expect_refusal(ask: Asking, key: str, if_etag: str | None) -> None:
    try:
        put_object(ask, key, b"overwritten", if_etag)
    except (ConditionFailed, NotFound):
        return
    name = "If-None-Match" if if_etag is None else "If-Match"
    raise _unfit(ask, f"it overwrote an object in spite of {name}")


def _expect_completion_refused(ask: Asking, key: str) -> None:
    upload = begin_upload(ask, key, {})
    try:
        part = send_part(ask, key, upload, 1, b"overwritten")
        complete_upload(ask, key, upload, [part])
    except ConditionFailed:
        with suppress(ArtrecError):
            ask("abort_multipart_upload", Key=key, UploadId=upload)
        return
    raise _unfit(ask, "it completed an upload in parts over an object in spite of If-None-Match")


def _unfit(ask: Asking, what: str) -> ConfigError:
    return ConfigError(
        f"{ask.where}: this store does not honour conditional writes ({what}), so two jobs could "
        "both publish; use one that does, such as S3 itself or a newer version of this server"
    )
