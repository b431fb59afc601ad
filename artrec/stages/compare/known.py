"""What a comparison stands on, looked at before Spark starts: encoders, and a release's sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from artrec.encoders import BUILTIN, Encoder, builtin_files, check_named
from artrec.encoders.brought.given import Given
from artrec.encoders.card import CARD_FILE, DECODER_FILE, Card, parse_card
from artrec.errors import NotFound, UsageError
from artrec.releases import Release, read_runs
from artrec.schemas import TABLES
from artrec.stages.encoding import worker_encoder
from artrec.storage import Store
from artrec.tables import Receipt, read_table

__all__ = ["Sampled", "card_of", "check_encoders", "known_encoder", "repeats", "sampled_of"]


@dataclass(frozen=True)
class Sampled:
    """The files of the images that a release's evaluation chose, and how many it compared."""

    root: Store
    receipts: tuple[Receipt, ...]
    images: int


def sampled_of(root: Store, release: Release) -> Sampled:
    """UsageError where nothing was evaluated, or fewer than two images were."""
    runs = read_runs(root, release.refs("evaluation"))
    if not runs:
        raise UsageError(
            f"release {release.release_id} was published without an evaluation, on whose images "
            "encoders are compared: name another with --release, or make one"
        )
    receipts = tuple(runs[0].receipts(TABLES["chosen_images"].name))
    places = (batch.column(0) for batch in read_table(root, receipts, ["sample_place"]))
    there = sum(len(each) - each.null_count for each in places)
    if there < 2:
        raise UsageError(f"release {release.release_id} has {there} images: 2 can be compared")
    return Sampled(root, receipts, there)


def check_encoders(root: Store, names: Sequence[str]) -> None:
    """ConfigError where one is missing or damaged, UsageError where two names are one encoder."""
    found: dict[str, str] = {}
    for name in names:
        encoder = known_encoder(root, name)
        repeats(root, name, card_of(root, name))
        if encoder.id in found:
            raise UsageError(f"{found[encoder.id]} and {name} are one encoder; name it once")
        found[encoder.id] = name


def known_encoder(root: Store, name: str) -> Encoder:
    """The encoder, in this process too; ConfigError where there is none, or it encodes nothing."""
    if name not in BUILTIN:
        check_named(root, name)
    encoder = worker_encoder(name, root)
    if isinstance(encoder, Given):
        raise encoder.unable()
    return encoder


def card_of(root: Store, name: str) -> Card:
    """Of an encoder that is built in, or that the store has."""
    files = builtin_files(name) if name in BUILTIN else None
    return parse_card(files[CARD_FILE] if files else root.read(f"encoders/{name}/{CARD_FILE}"))


def repeats(root: Store, name: str, card: Card) -> bool:
    """Whether it can repeat pictures; one that was copied without that half cannot.

    ConfigError where that half is not the card's.
    """
    if card.training is None or card.training.decoder is None:
        return False
    try:
        root.stat(f"encoders/{name}/{DECODER_FILE}")
    except NotFound:
        return False
    from artrec.encoders.networks.repeating import load_repeater  # with torch

    load_repeater(root, name)
    return True
