"""artrec encoders: the encoders of a store, without loading one."""

from __future__ import annotations

from typing import Any

from artrec.commands.show import as_json, grid
from artrec.commands.stores import store_of
from artrec.errors import ConfigError, UsageError
from artrec.releases import Release, read_base
from artrec.storage import Store

__all__ = ["encoders_of", "show"]


def encoders_of(store: Store) -> list[dict[str, Any]]:
    """One row for each encoder, by id; of a card that cannot be read only the ``fault``."""
    from artrec.encoders.card import CARD_FILE  # with packages that other verbs do not need

    release = read_base(store).release
    used = _used(release) if release else None
    paths = [entry.path for entry in store.list("encoders")]
    cards = [path for path in paths if path.count("/") == 2 and path.endswith(f"/{CARD_FILE}")]
    return [_row(store, path, used) for path in cards]


def _used(release: Release) -> str:
    embed = release.stages.get("embed")
    return str(embed.notes.get("encoder_id", release.encoder) if embed else release.encoder)


def _row(store: Store, path: str, used: str | None) -> dict[str, Any]:
    from artrec.encoders.card import parse_card

    name = path.split("/")[1]
    row: dict[str, Any] = {"encoder": name, "current": name == used}
    try:
        card = parse_card(store.read(path))
    except ConfigError as error:
        return row | {"fault": str(error)}
    how = card.training
    return row | {
        "architecture": card.architecture,
        "dim": card.dim,
        "metric": card.metric,
        "training": how and how.model_dump(mode="json"),
    }


def show(root: str | None, json: bool) -> None:
    """Print id, architecture, dimension, metric, and what each was trained on."""
    store = store_of(root)
    rows = encoders_of(store)
    if json:
        as_json(rows)
    elif not rows:
        raise UsageError(f"{store.url}: no encoder is here; artrec train makes one")
    else:
        titles = ["encoder", "current", "architecture", "dim", "metric", "trained on"]
        grid(titles, map(_shown, rows))


def _shown(row: dict[str, Any]) -> list[object]:
    current = "current" if row["current"] else ""
    if "fault" in row:
        return [row["encoder"], current, row["fault"], "", "", ""]
    how = row["training"]
    trained = f"{how['pictures']:,} pictures" if how else ""
    if how and how["best_loss"] is not None:
        trained += f", loss {how['best_loss']:.5f}"
    return [row["encoder"], current, row["architecture"], row["dim"], row["metric"], trained]
