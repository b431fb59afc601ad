"""Facts to render: a small release in which every section has something to show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from artrec.report import (
    Became,
    Beside,
    Churn,
    Cluster,
    Clusters,
    Copy,
    Curve,
    Duplicate,
    Entry,
    Facts,
    Fresh,
    Gate,
    Hub,
    Image,
    MapView,
    Measured,
    Morning,
    NearGroup,
    Neighbor,
    NightCost,
    Point,
    Query,
    Reason,
    Reconstruction,
    Renamed,
    Ruled,
    Sample,
    Stage,
    Step,
    Training,
    Turned,
)

__all__ = ["ENCODER", "STYLES", "bare", "full", "image", "measures", "morning", "points"]

ENCODER = "conv-7f3a9c21"
STYLES = ("Baroque", "Cubism", "Impressionism", "Realism", "Ukiyo e")
PAINTERS = ("rembrandt", "juan gris", "berthe morisot", "rosa bonheur", "hokusai")


def image(number: int, thumb: str | None = None) -> Image:
    place = number % 5
    return Image(
        image_id=f"wikiart/{STYLES[place]}/{PAINTERS[place]}_work-{number}.jpg",
        style=STYLES[place],
        artist=PAINTERS[place],
        title=f"work {number}",
        thumb=thumb,
    )


def bare() -> Facts:
    """What is known of any release."""
    return Facts(
        release="2026-01-02",
        created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        encoder=ENCODER,
        metric="cosine",
        dim=128,
        k=50,
        listed=0,
        stored=0,
        rejected=0,
    )


def points(count: int, thumbs: Sequence[str] = ()) -> tuple[Point, ...]:
    """A spiral, so that the map has a form."""
    return tuple(
        Point(
            x=math.cos(n / 9) * n,
            y=math.sin(n / 9) * n,
            image=image(n, thumbs[n % len(thumbs)] if thumbs else None),
        )
        for n in range(count)
    )


def measures(encoder: str = ENCODER) -> tuple[Measured, ...]:
    """Rows of ``evaluation`` that are over all classes."""
    levels = {encoder: 0.62, "histogram": 0.31, "pixels": 0.22, "chance": 0.11}
    found = [
        _measured(name, measure, "catalog", label, variant, average, k, level * share)
        for label, share in (("style", 1.0), ("artist", 0.8))
        for variant in ("all", "no_same_artist", "no_duplicates", "no_same_artist_or_duplicates")
        for measure, ks in (("precision", (1, 5, 10, 50)), ("map", (50,)))
        for k in ks
        for average in ("micro", "macro")
        for name, level in levels.items()
    ]
    for measure, value in (("index_recall", 0.963), ("table_recall", 0.998)):
        found.append(_measured(encoder, measure, "catalog", "", "all", "micro", 10, value))
    for measure, value in (("near_groups", 31), ("near_largest", 9), ("near_images", 0.0625)):
        found.append(_measured(encoder, measure, "catalog", "", "", "", 0, value))
    for rank in (1, 2, 3):
        for share in (0.25, 0.5, 0.75):
            row = _measured(encoder, "distance", "catalog", "", "rank", "", rank, rank * share / 10)
            found.append(row.model_copy(update={"group": str(share)}))
    found.append(_measured(encoder, "anisotropy", "catalog", "", "all", "micro", 0, 0.12))
    return tuple(found)


def _measured(
    encoder: str, measure: str, pool: str, label: str, variant: str, average: str, k: int,
    value: float,
) -> Measured:  # fmt: skip
    interval = {"low": value - 0.02, "high": value + 0.02} if encoder == ENCODER else {}
    if "recall" in measure:
        interval = {"low": value - 0.004, "high": min(1.0, value + 0.002)}
    return Measured(
        encoder=encoder, measure=measure, pool=pool, label=label, variant=variant,
        average=average, group="", k=k, queries=2000, value=value, **interval,
    )  # fmt: skip


def classes(names: Sequence[str] = STYLES) -> Iterator[Measured]:
    for variant in ("all", "no_same_artist_or_duplicates"):
        for n, name in enumerate(names):
            found = _measured(
                ENCODER, "precision", "catalog", "style", variant, "class", 10, 0.9 - 0.15 * n
            )
            yield found.model_copy(update={"group": name, "queries": 40 - n})


def morning(thumbs: Sequence[str] = ()) -> Morning:
    """A night with everything, seven releases before it."""

    def seen(n: int) -> Image:
        return image(n, thumbs[n % len(thumbs)] if thumbs else None)

    def entries(first: int, count: int, gone: int = 0) -> tuple[Entry, ...]:
        return tuple(
            Entry(rank=n + 1, distance=0.05 * n, image=seen(first + n), gone=n < gone)
            for n in range(count)
        )

    nights = tuple(
        NightCost(
            release=f"2025-12-{25 + n}", created=datetime(2025, 12, 25 + n, 5, tzinfo=UTC),
            images=1100 + n, seconds=90.0 + 7 * n, expected_seconds=100.0, written=4_200_000 + n,
            expected_written=4_000_000, expected_read=9_000_000, money=0.02, expected_money=0.025,
        )
        for n in range(7)
    )  # fmt: skip
    return Morning(
        since="2026-01-01",
        became=(
            Became(kind="new", count=9, samples=tuple(
                Renamed(image_id=f"wikiart/Realism/new_{n}.jpg") for n in range(6))),
            Became(kind="gone", count=3, samples=(Renamed(image_id="wikiart/Baroque/gone.jpg"),)),
            Became(kind="moved", count=1, samples=(
                Renamed(image_id="to/here.jpg", other_id="from/there.jpg"),)),
            Became(kind="healed", count=0),
        ),
        hubs=(seen(4),),
        orphans=(seen(7), seen(8)),
        new_orphans=5,
        beside=(
            Beside(name="rejects", now=0.0137, before=0.0125, low=0.01, high=0.013, nights=7,
                   share=True),
            Beside(name="mean vector moved, of the spread", now=0.0123, before=None),
            Beside(name="median distance at rank 10", now=0.25, before=0.25),
        ),
        fresh=(
            Fresh(image=seen(20), kind="new", neighbors=tuple(
                Neighbor(rank=r, distance=0.05 * r, image=seen(20 + r)) for r in range(1, 11))),
            Fresh(image=seen(21), kind="healed"),
        ),
        all_fresh=9,
        turned=(
            Turned(image=seen(3), came=12, went=2, entered=entries(30, 10), left=entries(50, 2, 1)),
            Turned(image=seen(5), came=1, went=0, entered=entries(60, 1)),
        ),
        all_turned=200,
        nights=(*nights, NightCost(release="2026-01-02", images=1150, seconds=44.0, written=10**6,
                                   expected_seconds=40.0, expected_written=2 * 10**6,
                                   expected_read=5 * 10**6, expected_money=0.01)),
    )  # fmt: skip


def full(thumbs: Sequence[str] = ()) -> Facts:
    """A release with everything; the names of small pictures are taken in turns."""

    def thumb(n: int) -> str | None:
        return thumbs[n % len(thumbs)] if thumbs else None

    return bare().model_copy(
        update={
            "previous": "2026-01-01",
            "listed": 1166,
            "stored": 1150,
            "rejected": 16,
            "reasons": (
                Reason(stage="ingest", reason="truncated", count=11, samples=(
                    Sample(image_id="wikiart/Baroque/half.jpg", detail="ends after 600 bytes"),)),
                Reason(stage="ingest", reason="not_a_picture", count=5),
            ),
            "stages": (
                Stage(name="ingest", seconds=17.1, counters={"read": 1166, "stored": 1150,
                      "worker_peak_bytes": 247070720, "task_milliseconds": 9}),
                Stage(name="embed", seconds=7.9, counters={"encoded": 1150},
                      notes={"encoder": ENCODER}),
                Stage(name="neighbors", seconds=0, kept_from="2026-01-01"),
            ),
            "gates": (
                Gate(gate="balance", passed=True, found="0 lost", expected="0 lost"),
                Gate(gate="index_recall", passed=True, found="0.959", expected="at least 0.95"),
                Gate(gate="drift", passed=False, overridden="a test", found="0.31",
                     expected="at most 0.2"),
            ),
            "training": Training(
                trained=ENCODER,
                chosen=ENCODER,
                why="mAP 0.31 on held-out pictures, before 0.27 of the hand-made one",
                notes={"epochs": "30", "pictures": "1040"},
                curves=(
                    Curve(measure="train_loss", points=tuple(
                        (e, 1.4 * math.exp(-e / 8) + 0.2) for e in range(1, 31))),
                    Curve(measure="valid_loss", points=tuple(
                        (e, 1.3 * math.exp(-e / 8) + 0.3 + e / 400) for e in range(1, 31))),
                    Curve(measure="valid_map", points=tuple(
                        (e, 0.31 - 0.2 * math.exp(-e / 6)) for e in range(1, 31))),
                ),
                reconstructions=tuple(
                    Reconstruction(error=0.01 * n, original=thumbs[n], reconstruction=thumbs[n],
                                   difference=thumbs[n], steps=tuple(
                        Step(epoch=epoch, error=0.1 / epoch, picture=thumbs[n])
                        for epoch in (1, 2, 3) if n == 0))
                    for n in range(min(4, len(thumbs)))
                ),
            ),
            "measures": measures(),
            "classes": tuple(classes()),
            "queries": tuple(
                Query(image=image(n, thumb(n)), neighbors=tuple(
                    Neighbor(rank=r, distance=0.05 * r, image=image(n + 3 * r, thumb(n + r)))
                    for r in range(1, 11)))
                for n in range(12)
            ),
            "ruled": (
                Ruled(name="in_style", rule="within the same style", k=50, lists=1150, rows=57_000,
                      reasons={"few_candidates": 20, "no_label": 3}),
                Ruled(name="two", rule="at most 2 of each artist", k=50, lists=1150, rows=57_500),
            ),
            "hubs": tuple(Hub(image=image(n, thumb(n)), lists=400 - n) for n in range(12)),
            "duplicates": (Duplicate(thumb=thumb(1), names=("a/one.jpg", "b/two.jpg"), count=7),),
            "duplicate_names": 9,
            "near": (NearGroup(count=8, copies=(
                Copy(image=image(1, thumb(1)), bits=0, distance=0.0),
                Copy(image=image(6, thumb(2)), bits=4, distance=0.0125),
                Copy(image=image(11, thumb(3)), bits=2))),),
            "churn": Churn(since="2026-01-01", images=1150, new=7, gone=3, lists=1143, changed=200,
                           first=20, entries=57150, came=1143, went=1150, insert=1500,
                           delete=1300, update=12, kinds={"new": 7, "gone": 3, "moved": 0}),
            "morning": morning(thumbs),
            "points": points(300, thumbs),
            "maps": (
                MapView(name="pca", clusters=tuple(n % 3 for n in range(300)), places=tuple(
                    (math.cos(n / 9) * n, math.sin(n / 9) * n, n / 3) for n in range(300))),
                MapView(name="tsne", places=tuple((n % 17, n % 19, None) for n in range(300))),
            ),
            "clusters": Clusters(wanted=3, inertia=40.5, silhouette=0.123, silhouette_of=300,
                clusters=(
                    Cluster(number=1, images=700, vectors=690, inertia=30.0, silhouette=0.2,
                            nearest=tuple(image(n, thumb(n)) for n in range(8))),
                    Cluster(number=2, images=450, vectors=450, inertia=10.5),
                )),
            "settings": {"neighbors.k": "50", "sources.main.url": "wikiart.zip"},
            "versions": {"artrec": "0.1.0", "python": "3.11.2"},
        }
    )  # fmt: skip
