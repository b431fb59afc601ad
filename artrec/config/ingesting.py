"""Sections about what comes in: sources, their members, pictures."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from artrec.config.section import Section, key

__all__ = ["IngestSettings", "Source"]


class Source(Section):
    """One archive or folder of pictures, under a name that never changes."""

    url: str = key(
        "",
        "Where it is: a local path, file://, s3://bucket/path, gs://bucket/path or "
        "az://container/path. A zip, tar, tar.gz, tar.zst or Parquet file, a folder of pictures, "
        "or one of Parquet files.",
        result=False,
    )
    kind: Literal["auto", "zip", "tar", "folder", "parquet"] = key(
        "auto",
        "What it is: auto (what its bytes show), zip, tar (compressed ones too), folder (each file "
        "is a member), parquet (each row is one).",
        result=False,
    )
    id_prefix: str = key(
        "", "Put before each member's path to make its image_id; frozen once used."
    )
    template: str = key(
        "{style}/{artist}_{title}",
        "Labels from the end of a member's path; split at the first of each separator.",
    )
    labels: str = key(
        "",
        "Folder of label lists under WikiArt's names: style_train.csv, style_val.csv, "
        "style_class.txt, and the same for artist and genre.",
        result=False,
    )


class IngestSettings(Section):
    """Reading members and checking that they are pictures."""

    max_side: int = key(
        0, "Longest side of a stored picture in pixels; 0 keeps the original bytes.", ge=0
    )
    formats: tuple[str, ...] = key(
        ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF"), "Picture formats that are accepted."
    )
    max_bytes: PositiveInt = key(256 << 20, "Largest member, in bytes.")
    max_pixels: PositiveInt = key(200_000_000, "Largest picture, in pixels (width x height).")
    max_picture_side: PositiveInt = key(65_000, "Largest width or height, in pixels.")
    background: tuple[int, int, int] = key(
        (255, 255, 255), "Colour behind transparent pixels, RGB."
    )
    decode_seconds: PositiveInt = key(30, "A picture that takes longer to decode is rejected.")
    decode_memory: PositiveInt = key(
        4 << 30, "Memory of the child process that decodes at a second attempt, in bytes."
    )
    retry_rejects: bool = key(
        False,
        "Read members again that were rejected, whatever the reason; --retry-rejects does so once.",
        result=False,
    )
    slice_bytes: PositiveInt = key(
        256 << 20,
        "Bytes of an archive that one task reads at most; fewer towards the end of a segment.",
        result=False,
    )
    segment_bytes: PositiveInt = key(
        4 << 30,
        "Bytes of an archive for each core between two points from which a killed job goes on.",
        result=False,
    )
