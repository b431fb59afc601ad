"""Encoders that are trained to be compared: one for each value of a setting."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings, load
from artrec.encoders.reader import check_engine
from artrec.encoders.recipes import READ_BY, preprocess_of
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError, UsageError
from artrec.releases import Draft, holding
from artrec.stages import train
from artrec.stages.compare import Wanted
from artrec.storage import Store

__all__ = ["held_out_of_all", "settings_over", "trained_over"]


def settings_over(wanted: Wanted) -> dict[str, Settings]:
    """Value -> the settings with it; ConfigError or UsageError for those that cannot be trained."""
    if wanted.swept is None:
        return {}
    if wanted.release is not None:
        raise UsageError("--over trains on the current release's pictures: leave --release out")
    key, values = wanted.swept
    found = {
        value: load(wanted.config, (*wanted.assignments, f"{key}={value}"))[0] for value in values
    }
    for settings in found.values():
        if settings.train.where != "driver":
            raise ConfigError("--over trains in this process: leave train.where=beside out")
        preprocess_of(Rules.of(settings.train))
        check_engine(settings.train.reader)
        _check_read(key, settings.train.recipe)
    _check_different(key, found)
    return found


def _check_read(key: str, recipe: str) -> None:
    """What a recipe does not read makes the same encoder again, under other names."""
    readers = READ_BY.get(key.removeprefix("train."), (recipe,))
    if recipe not in readers:
        raise UsageError(
            f"--over {key}: recipe {recipe} does not read it; {', '.join(readers)} would "
            "(--set train.recipe=NAME)"
        )


def _check_different(key: str, found: dict[str, Settings]) -> None:
    known: dict[tuple[object, ...], str] = {}
    for value, settings in found.items():
        train = settings.train
        meant = (Rules.of(train), train.max_pictures, train.held_out)
        if meant in known:
            raise UsageError(
                f"--over {key}: {known[meant]} and {value} train the same encoder; name one"
            )
        known[meant] = value


def held_out_of_all(settings: Iterable[Settings]) -> float:
    """The share of the pictures that none of these trainings sees."""
    return min(each.train.held_out for each in settings)


def trained_over(spark: SparkSession, root: Store, over: dict[str, Settings]) -> dict[str, str]:
    """Value -> the id of its encoder, which stands in the store; one trained before is found.

    Each training holds the lease, as ``artrec train`` does.
    """
    found: dict[str, str] = {}
    for value, settings in over.items():
        with holding(root, "artrec compare", settings.store.lease_seconds) as lease:
            draft = Draft.begin(root, None)
            draft.guard(lease)
            made = train.run(spark, settings, draft)
        found[value] = str(made.notes["trained"])
        log.get(stage="compare").info("trained", value=value, encoder=found[value])
    return found
