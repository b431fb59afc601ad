"""Where the settings come from: a file, the environment, and ``--set``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from artrec.config.model import PREFIX, Settings, documented, flat, walk
from artrec.config.wording import said
from artrec.errors import ConfigError, NotFound, meant
from artrec.storage import open_store, split_url

__all__ = ["Origins", "load"]

NOT_SETTINGS = ("ARTREC_FAILPOINT", "ARTREC_VENV")  # read elsewhere, under the same prefix

Origins = dict[str, str]
"""Dotted key -> where its value comes from."""


def load(
    file: str | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[Settings, Origins]:
    """Resolved settings and the origin of each value; ``file`` is a path or a store's URL.

    Raises ConfigError naming the key, the value's origin and what was expected.
    """
    layers = [("default", {}), *_file_layer(file), ("environment", _environment(environment))]
    layers += [(f"--set {text}", _assignment(text)) for text in assignments]
    nothing: dict[str, Any] = {}
    merged = reduce(_merge, (values for _, values in layers), nothing)
    origins = {key: name for name, values in layers for key in flat(values)}
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None
    return settings, {key: origins.get(key, "default") for key, _, _ in walk(settings)}


def _file_layer(file: str | None) -> list[tuple[str, dict[str, Any]]]:
    if file is None:
        return []
    try:
        values = yaml.safe_load(_text(file))
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the settings file: {error.strerror}") from None
    except NotFound:
        raise ConfigError(f"{file}: cannot read the settings file: no such object") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a YAML file: {error}") from None
    if not isinstance(values or {}, dict):
        raise ConfigError(f"{file}: expected sections of settings, found {type(values).__name__}")
    return [(file, values or {})]


def _text(file: str) -> str:
    """Of a local path, or an object of a store by its URL; a store's errors are its own."""
    if "://" not in file:
        return Path(file).read_text(encoding="utf-8")
    root, path = split_url(file)
    return open_store(root).read(path).decode()


def _environment(environment: Mapping[str, str] | None) -> dict[str, Any]:
    found = {
        key: value
        for key, value in (os.environ if environment is None else environment).items()
        if key.upper().startswith(PREFIX) and key.upper() not in NOT_SETTINGS
    }
    source = EnvSettingsSource(Settings)
    source.env_vars = {key.lower(): value for key, value in found.items()}
    for key in found:
        section = key[len(PREFIX) :].lower().split("__")[0]
        if section not in Settings.model_fields:
            raise ConfigError(
                f"{key}: the environment names an unknown section {section!r}{_meant(section)}"
            )
    try:
        return {name: value for name, value in source().items() if value is not None}
    except SettingsError as error:
        raise ConfigError(f"environment: {error}: write lists and sections as JSON") from None


def _assignment(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text}: write it as key=value, for example neighbors.k=20")
    try:
        parsed = value if not value or _is_text(key) else yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = value
    value_of: Any = reduce(lambda inner, part: {part: inner}, reversed(key.split(".")), parsed)
    return dict(value_of)


def _is_text(key: str) -> bool:
    """Whether the key holds text: a path with YAML's special characters is still a path."""
    parts = _general(key)
    known = {name: kind for keys in documented().values() for name, kind, _, _ in keys}
    texts = known.get(".".join(parts[:-1])) == "mapping of str to str"
    return texts or known.get(".".join(parts)) == "str"


def _general(key: str) -> list[str]:
    """The parts of a key as the settings' reference has it: names that users give are NAME."""
    parts = key.split(".")
    if parts[0] == "sources":
        parts[1:2] = ["NAME"]
    elif parts[:2] == ["neighbors", "tables"]:
        parts[2:3] = ["NAME"]
    return parts


def _meant(key: str) -> str:
    """What an unknown key was perhaps meant to be, to stand behind it; or nothing."""
    *within, name = _general(key)
    known = (other.split(".") for keys in documented().values() for other, _, _, _ in keys)
    beside = {
        parts[len(within)]
        for parts in known
        if parts[: len(within)] == within and len(parts) > len(within)
    }
    *before, _ = key.split(".")
    return meant(name, beside).replace("mean ", f"mean {'.'.join([*before, ''])}")


def _merge(low: Any, high: Any) -> Any:
    if isinstance(low, Mapping) and isinstance(high, Mapping):
        return dict(low) | {key: _merge(low.get(key), value) for key, value in high.items()}
    return high


def _overlap(one: str, other: str) -> bool:
    """Whether one dotted key is the other or lies within it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _explain(error: ValidationError, origins: Origins) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        value, hint = problem["input"], ""
        what = said(problem)
        if problem["type"] == "extra_forbidden":
            what, hint = "unknown key", _meant(key)
        elif problem["type"] == "value_error" and isinstance(value, Mapping | BaseModel):
            key = _concerned(what, key)
            lines.append(f"{key} ({_origin(key, origins)}): {what}")
            continue
        lines.append(f"{key} ({_origin(key, origins)}): {what}, found {value!r}{hint}")
    return "; ".join(lines) + ". All keys: artrec config show, or conf/README.md"


def _concerned(what: str, section: str) -> str:
    """The key that a sentence about a section begins with, or the section."""
    first = what.split(" ")[0]
    return first if first.startswith(f"{section}.") else section


def _origin(key: str, origins: Origins) -> str:
    """Where a key's value comes from; of a section, where any of its keys are set."""
    found = dict.fromkeys(o for k, o in origins.items() if _overlap(k, key))
    return ", ".join(found) or "default"
