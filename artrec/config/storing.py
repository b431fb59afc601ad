"""Sections about where everything is written."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from artrec.config.section import Section, key
from artrec.storage import S3Options

__all__ = ["S3Settings", "StoreSettings"]


class S3Settings(Section):
    """How S3 is asked, for sources too; region, endpoint and credentials are AWS's own affair."""

    checksums: bool = key(
        True,
        "Send a CRC32 with each object and check it when reading; false for servers that do not "
        "know these headers.",
        result=False,
    )
    retries: Literal["standard", "adaptive"] = key(
        "standard",
        "How boto3 tries again: standard, or adaptive, which also slows down for a busy server.",
        result=False,
    )
    seconds: PositiveFloat = key(
        300.0,
        "A server that has not answered for so long, all tries together, ends the job with 6; for "
        "gs:// and az:// too.",
        result=False,
        allow_inf_nan=False,
    )
    listers: int = key(
        8,
        "Requests of one list that are under way together, where there are subfolders; 1: page "
        "after page.",
        result=False,
        ge=1,
        le=32,
    )


class StoreSettings(Section):
    """Where everything is written."""

    root: str = key(
        "./artrec-out",
        "Root of the store, for runs, drafts and releases: a local path, file://, "
        "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
        result=False,
    )
    s3: S3Settings = S3Settings()
    lease_seconds: PositiveFloat = key(
        60.0,
        "A writer that has not renewed its lease for so long is taken for dead; it renews three "
        "times as often.",
        result=False,
        allow_inf_nan=False,
    )
    keep_releases: PositiveInt = key(
        7,
        "Releases that sweep keeps, the newest; the current and its previous one always.",
        result=False,
    )
    compact_share: float = key(
        0.3,
        "Appended segments (pictures, vectors, what is known of members) are written anew without "
        "the rows that nothing needs any more, where these are a greater share.",
        result=False,
        gt=0,
        le=1,
    )
    compact_segments: int = key(
        64,
        "Segments below 128 MB that a table may have; where there are more, they become one.",
        result=False,
        ge=2,
    )
    sweep_seconds: int = key(
        3600, "What was written in the last so many seconds is never swept.", result=False, ge=0
    )

    @property
    def options(self) -> S3Options:
        """What ``open_store`` wants to know."""
        return S3Options(**self.s3.model_dump())
