"""What each section of the settings is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Section",
    "key",
]


class Section(BaseModel):
    """What every section is: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


def key(default: Any, text: str, *, result: bool = True, **limits: Any) -> Any:
    """A field; ``result`` says whether its value can change what a stage writes."""
    return Field(default, description=text, json_schema_extra={"result": result}, **limits)
