"""All settings as one model, and its keys as they are documented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from artrec.config.encoding import EmbedSettings, EncoderSettings, TrainSettings
from artrec.config.ingesting import IngestSettings, Source
from artrec.config.judging import CatalogSettings, EvaluateSettings, GatesSettings, ReportSettings
from artrec.config.searching import IndexSettings, NeighborsSettings
from artrec.config.section import Section
from artrec.config.storing import StoreSettings
from artrec.config.watching import LogSettings, PlanSettings
from artrec.config.wording import limits_of

__all__ = ["Key", "PREFIX", "Settings", "documented", "flat", "ranges", "walk"]

PREFIX = "ARTREC_"

Key = tuple[str, str, Any, str]
"""(dotted key, type, default, sentence)."""


class Settings(BaseSettings):
    """All settings of a run, resolved and frozen."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    sources: dict[str, Source] = Field(
        default_factory=dict,
        description="Archives and folders by name; the name is part of each key.",
    )
    store: StoreSettings = StoreSettings()
    ingest: IngestSettings = IngestSettings()
    train: TrainSettings = TrainSettings()
    encoder: EncoderSettings = EncoderSettings()
    embed: EmbedSettings = EmbedSettings()
    catalog: CatalogSettings = CatalogSettings()
    index: IndexSettings = IndexSettings()
    neighbors: NeighborsSettings = NeighborsSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    gates: GatesSettings = GatesSettings()
    report: ReportSettings = ReportSettings()
    plan: PlanSettings = PlanSettings()
    log: LogSettings = LogSettings()

    @field_validator("sources")
    @classmethod
    def _names(cls, sources: dict[str, Source]) -> dict[str, Source]:
        for name in sources:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a name: use letters, digits and underscores")
        return sources

    @classmethod
    def settings_customise_sources(cls, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return (
            kwargs["init_settings"],
        )  # the layers are merged in load(), which knows their origins

    def results(self) -> dict[str, Any]:
        """Only what can change the rows of a release."""
        return {key: value for key, value, field in walk(self) if _is_result(field)}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def documented() -> dict[str, list[Key]]:
    """Every section with its keys, in order, for the generated reference."""
    sections: dict[str, list[Key]] = {}
    for name, model in _sections(Settings):
        sections[name] = _keys(name, model)
        sections |= {f"{name}.{part}": _keys(f"{name}.{part}", m) for part, m in _sections(model)}
    return sections


def ranges() -> dict[str, str]:
    """Of each key with limits what it may be, as the reference says it."""
    models = [*_sections(Settings)]
    models += [(f"{name}.{part}", m) for name, model in models for part, m in _sections(model)]
    found = {
        f"{section}.{name}": limits_of(field)
        for section, model in models
        for name, field in model.model_fields.items()
    }
    return {key: text for key, text in found.items() if text}


def _sections(model: type[BaseModel]) -> Iterator[tuple[str, type[Section]]]:
    """Sections within a model; those that users name have ``NAME`` in the place of the name."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation
        elif (named := _named(field)) is not None:
            yield f"{name}.NAME", named


def _named(field: FieldInfo) -> type[Section] | None:
    """The kind of section of which a field holds some by their names."""
    kinds = get_args(field.annotation) if get_origin(field.annotation) is dict else ()
    found = kinds[-1] if kinds else None
    return found if isinstance(found, type) and issubclass(found, Section) else None


def _keys(section: str, model: type[Section]) -> list[Key]:
    inner = {name.removesuffix(".NAME") for name, _ in _sections(model)}
    return [
        (f"{section}.{name}", _type_name(field), field.default, field.description or "")
        for name, field in model.model_fields.items()
        if name not in inner
    ]


def _type_name(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if getattr(kind, "__name__", "") == "dict":
        return "mapping of " + " to ".join(map(_plain_name, get_args(kind)))
    if getattr(kind, "__name__", "") == "tuple":
        return "list of " + " ".join(
            dict.fromkeys(_plain_name(a) for a in get_args(kind) if a is not ...)
        )
    return getattr(kind, "__name__", str(kind))


def _plain_name(kind: Any) -> str:
    """Of a type with validators, the type."""
    return str(getattr(kind, "__origin__", kind).__name__)


def walk(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    """(dotted key, value, field) of every setting, those of named sources too."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from walk(value, f"{prefix}{name}.")
        elif isinstance(value, dict) and (value or name == "sources"):
            for entry, child in value.items():
                if isinstance(child, BaseModel):
                    yield from walk(child, f"{prefix}{name}.{entry}.")
                else:
                    yield f"{prefix}{name}.{entry}", child, field
        else:
            yield f"{prefix}{name}", value, field


def _is_result(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("result"))
