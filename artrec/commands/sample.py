"""artrec sample: an archive of procedural paintings."""

from __future__ import annotations

from pathlib import Path

__all__ = ["show"]


def show(out: Path, images: int, seed: int, broken: int) -> None:
    """Write the archive and say what is in it."""
    from artrec.sample import write_sample  # drawing needs packages that no other verb does

    report = write_sample(out, images, seed, broken)
    print(
        f"{out}: {report.members} members, {report.pictures} pictures in {report.styles} styles by "
        f"{report.artists} artists, {report.broken} broken, {report.bytes / 1e6:.1f} MB"
    )
