"""The sections of the settings: each key with its default, its limits and one sentence."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from artrec.storage import S3Options

__all__ = [
    "CatalogSettings",
    "EmbedSettings",
    "EncoderSettings",
    "EvaluateSettings",
    "FINAL_GATES",
    "GATES",
    "GatesSettings",
    "IndexSettings",
    "IngestSettings",
    "NeighborsSettings",
    "ReportSettings",
    "S3Settings",
    "Section",
    "Source",
    "StoreSettings",
    "TrainSettings",
]

GATES = (
    *("balance", "identity", "lists", "images", "shards", "vectors"),
    *("reject_rate", "reject_rates", "index_recall", "table_recall", "shrinkage", "drift"),
)
"""The checks that can refuse a release, in the order in which they are reported."""
FINAL_GATES = ("balance", "identity", "lists", "images", "shards")
"""Those that no override lets pass: such a release is not whole, or there is nothing in it."""


class Section(BaseModel):
    """What every section is: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


def _key(default: Any, text: str, *, result: bool = True, **limits: Any) -> Any:
    """A field; ``result`` says whether its value can change what a stage writes."""
    return Field(default, description=text, json_schema_extra={"result": result}, **limits)


class Source(Section):
    """One archive or folder of pictures, under a name that never changes."""

    url: str = _key(
        "",
        "Where it is: a local path, file://, s3://bucket/path, gs://bucket/path or "
        "az://container/path. A zip, tar, tar.gz, tar.zst or Parquet file, a folder of pictures, "
        "or one of Parquet files.",
        result=False,
    )
    kind: Literal["auto", "zip", "tar", "folder", "parquet"] = _key(
        "auto",
        "What it is: auto (what its bytes show), zip, tar (compressed ones too), folder (each file "
        "is a member), parquet (each row is one).",
        result=False,
    )
    id_prefix: str = _key(
        "", "Put before each member's path to make its image_id; frozen once used."
    )
    template: str = _key(
        "{style}/{artist}_{title}",
        "Labels from the end of a member's path; split at the first of each separator.",
    )
    labels: str = _key(
        "",
        "Folder of label lists under WikiArt's names: style_train.csv, style_val.csv, "
        "style_class.txt, and the same for artist and genre.",
        result=False,
    )


class S3Settings(Section):
    """How S3 is asked, for sources too; region, endpoint and credentials are AWS's own affair."""

    checksums: bool = _key(
        True,
        "Send a CRC32 with each object and check it when reading; false for servers that do not "
        "know these headers.",
        result=False,
    )
    retries: Literal["standard", "adaptive"] = _key(
        "standard",
        "How boto3 tries again: standard, or adaptive, which also slows down for a busy server.",
        result=False,
    )
    seconds: PositiveFloat = _key(
        300.0,
        "A server that has not answered for so long, all tries together, ends the job with 6; for "
        "gs:// and az:// too.",
        result=False,
        allow_inf_nan=False,
    )
    listers: int = _key(
        8,
        "Requests of one list that are under way together, where there are subfolders; 1: page "
        "after page.",
        result=False,
        ge=1,
        le=32,
    )


class StoreSettings(Section):
    """Where everything is written."""

    root: str = _key(
        "./artrec-out",
        "Root of the store, for runs, drafts and releases: a local path, file://, "
        "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
        result=False,
    )
    s3: S3Settings = S3Settings()
    lease_seconds: PositiveFloat = _key(
        60.0,
        "A writer that has not renewed its lease for so long is taken for dead; it renews three "
        "times as often.",
        result=False,
        allow_inf_nan=False,
    )
    keep_releases: PositiveInt = _key(
        7,
        "Releases that sweep keeps, the newest; the current and its previous one always.",
        result=False,
    )
    sweep_seconds: int = _key(
        3600, "What was written in the last so many seconds is never swept.", result=False, ge=0
    )

    @property
    def options(self) -> S3Options:
        """What ``open_store`` wants to know."""
        return S3Options(**self.s3.model_dump())


class IngestSettings(Section):
    """Reading members and checking that they are pictures."""

    max_side: int = _key(
        0, "Longest side of a stored picture in pixels; 0 keeps the original bytes.", ge=0
    )
    formats: tuple[str, ...] = _key(
        ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF"), "Picture formats that are accepted."
    )
    max_bytes: PositiveInt = _key(256 << 20, "Largest member, in bytes.")
    max_pixels: PositiveInt = _key(200_000_000, "Largest picture, in pixels (width x height).")
    max_picture_side: PositiveInt = _key(65_000, "Largest width or height, in pixels.")
    background: tuple[int, int, int] = _key(
        (255, 255, 255), "Colour behind transparent pixels, RGB."
    )
    decode_seconds: PositiveInt = _key(30, "A picture that takes longer to decode is rejected.")
    decode_memory: PositiveInt = _key(
        4 << 30, "Memory of the child process that decodes at a second attempt, in bytes."
    )
    slice_bytes: PositiveInt = _key(
        256 << 20,
        "Bytes of an archive that one task reads at most; fewer towards the end of a segment.",
        result=False,
    )
    segment_bytes: PositiveInt = _key(
        4 << 30,
        "Bytes of an archive for each core between two points from which a killed job goes on.",
        result=False,
    )


class EncoderSettings(Section):
    """Which encoder makes the vectors."""

    id: str = _key(
        "",
        "A built-in encoder's name (handmade), or the id of one in the store; empty: the current "
        "release's, on an empty store the better one of handmade and one that the night trains.",
    )


class TrainSettings(Section):
    """Training an encoder on the pictures themselves, without labels."""

    side: PositiveInt = _key(64, "Side of the square that the network sees, in pixels.")
    channels: tuple[int, ...] = _key(
        (64, 128, 256, 512),
        "Channels of the network's blocks; the last number is the length of a vector.",
        min_length=1,
    )
    epochs: PositiveInt = _key(20, "Passes over the training examples, at most.")
    batch: PositiveInt = _key(32, "Examples in one step of the training.")
    learning_rate: PositiveFloat = _key(0.001, "Step size of the optimizer (Adam).")
    patience: PositiveInt = _key(
        5, "Training ends after so many epochs without a better loss on held-out examples."
    )
    seed: int = _key(0, "Seed of the first weights and of the order of the examples.", ge=0)
    max_pictures: PositiveInt = _key(
        20_000, "Pictures to train on, held-out ones included; chosen by their hashes."
    )
    held_out: float = _key(
        0.1,
        "Share of the pictures that the training never sees: the loss on them decides.",
        gt=0,
        lt=1,
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """The decoder doubles a side for each block, so halving it must leave no rest."""
        if min(self.channels) < 1:
            raise ValueError(f"channels {self.channels} must be at least 1 each")
        least = 2 ** len(self.channels)
        if self.side % least:
            raise ValueError(
                f"side {self.side} is no multiple of {least}, 2 for each of the "
                f"{len(self.channels)} channels"
            )
        return self


class EmbedSettings(Section):
    """Running the encoder."""

    batch: PositiveInt = _key(32, "Pictures in one call of the encoder.", result=False)
    slice_bytes: PositiveInt = _key(
        256 << 20,
        "Picture bytes that one task encodes at most; fewer towards the end of a segment.",
        result=False,
    )
    segment_bytes: PositiveInt = _key(
        4 << 30,
        "Picture bytes for each core between two points from which a killed job goes on.",
        result=False,
    )


class IndexSettings(Section):
    """The Annoy shards that look-ups ask."""

    shard_rows: PositiveInt = _key(1_000_000, "Vectors in one shard, about.")
    shards: int = _key(
        0, "Number of shards; 0: as many as index.shard_rows asks for.", ge=0, le=10_000
    )
    trees: PositiveInt = _key(20, "Trees in each shard: more find more and take more space.")
    search_k: int = _key(
        0,
        "Candidates that a look-up examines in each shard; 0: 20 for each tree and neighbor asked "
        "for.",
        ge=0,
    )
    seed: int = _key(1, "Start of the random numbers that trees are cut by.", ge=0, lt=1 << 31)


class NeighborsSettings(Section):
    """The neighbor table."""

    k: PositiveInt = _key(50, "Neighbors listed for each image.", le=1000)
    slack: int = _key(14, "Entries kept in the pool beyond k, used up by deletions.", ge=0)
    block_rows: PositiveInt = _key(
        16_384, "Vectors in one block of the join, at most.", result=False
    )
    pairs_from: PositiveInt = _key(
        32_768,
        "From so many vectors on they are laid out by cells, and each product is computed once.",
        result=False,
    )


class ReportSettings(Section):
    """The report of a release."""

    queries: PositiveInt = _key(12, "Images drawn at random to show their neighbors.", le=100)
    neighbors: PositiveInt = _key(10, "Neighbors shown of each of them.", le=50)
    thumbnails: int = _key(600, "Small pictures at most, beyond those that have to be.", ge=0)
    side: PositiveInt = _key(160, "Longest side of a small picture, in pixels.", ge=32, le=512)


class CatalogSettings(Section):
    """The catalog and what is published with it."""

    embeddings: bool = _key(True, "Write the embeddings table (large catalogs may drop it).")


class EvaluateSettings(Section):
    """Measuring a release before it is published."""

    queries: PositiveInt = _key(
        2000, "Random images whose lists are judged; all, where there are fewer.", le=10_000
    )
    sample: PositiveInt = _key(
        5000,
        "Random images among which the encoder is compared with histograms and pixels.",
        le=20_000,
    )
    map_points: PositiveInt = _key(8000, "Random images on the flat map.", le=50_000)
    block_rows: PositiveInt = _key(
        1024, "Queries that one task of the evaluation answers.", result=False, le=10_000
    )


class GatesSettings(Section):
    """Limits beyond which a release is refused; changing one measures nothing anew."""

    reject_rate: float = _key(
        0.05, "Largest share of the listed members that may be rejects.", result=False, ge=0, le=1
    )
    reject_rates: dict[str, float] = _key(
        {}, "The same for single reasons, by name, such as bad_crc.", result=False
    )
    index_recall: float = _key(
        0.9,
        "Least recall at every cut of the index shards; the lower end of the interval counts.",
        result=False,
        ge=0,
        le=1,
    )
    shrinkage: float = _key(
        0.1,
        "Largest share by which the catalog may be smaller than the last release's.",
        result=False,
        ge=0,
        le=1,
    )
    drift: float = _key(
        0.2,
        "How far the mean vector may have moved since the last release, in mean distances of "
        "vectors from it; twice the error of the two samples is added.",
        result=False,
        ge=0,
    )
    override: dict[str, str] = _key(
        {}, "Publish although these gates refuse: the gate's name, and why.", result=False
    )

    @field_validator("reject_rates")
    @classmethod
    def _shares(cls, rates: dict[str, float]) -> dict[str, float]:
        for reason, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"the share of {reason} must lie between 0 and 1")
        return rates

    @field_validator("override")
    @classmethod
    def _reasons(cls, override: dict[str, str]) -> dict[str, str]:
        for gate, reason in override.items():
            if gate not in GATES:
                raise ValueError(f"there is no gate {gate}; there are: {', '.join(GATES)}")
            if gate in FINAL_GATES:
                raise ValueError(
                    f"gate {gate} cannot be overridden: a release that it refuses is not whole; "
                    "find the cause"
                )
            if not reason.strip():
                raise ValueError(f"say why gate {gate} is overridden")
        return override
