"""What is wrong with a value, and what a key takes, in our own words."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

__all__ = ["limits_of", "said"]

_EXPECTED = {
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "tuple_type": "expected a list, such as [a, b]",
    "dict_type": "expected a mapping, such as {a: b}",
    "model_type": "expected a section, with keys of its own",
}


def said(problem: ErrorDetails) -> str:
    """One problem of a value: what was expected, and how to write it where that is known."""
    kind, value = problem["type"], problem["input"]
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if kind == "literal_error":
        return f"expected {problem['ctx']['expected']}"
    if kind == "tuple_type" and isinstance(value, str):
        return f"expected a list: write [{value}]"
    if kind == "string_type" and isinstance(value, bool):
        words, one = ("yes, on and true", "yes") if value else ("no, off and false", "no")
        return f'expected text: quote {words} where they are words, as in "{one}"'
    return _EXPECTED.get(kind, problem["msg"].replace("Input should be", "it has to be"))


def limits_of(field: FieldInfo) -> str:
    """Least and greatest value of a number, or how long a list may be; nothing where it is free."""
    found: dict[str, Any] = {}
    for limit in field.metadata:
        found |= {name: getattr(limit, name) for name in _LIMITS if hasattr(limit, name)}
    if "max_length" in found or "min_length" in found:
        texts = {"min_length": "at least {}", "max_length": "at most {}"}
        return ", ".join(text.format(found[name]) for name, text in texts.items() if name in found)
    whole = field.annotation is int
    low, high = _low(found, whole), _high(found, whole)
    if high is None:
        return "" if low is None else low if low.startswith("above") else f"from {low}"
    return f"{low} {high}" if low is not None else high.removeprefix("to ")


_LIMITS = ("gt", "ge", "lt", "le", "min_length", "max_length")


def _low(found: dict[str, Any], whole: bool) -> str | None:
    if "ge" in found:
        return _number(found["ge"])
    if "gt" in found:
        return f"{found['gt'] + 1:,}" if whole else f"above {found['gt']:g}"
    return None


def _high(found: dict[str, Any], whole: bool) -> str | None:
    if "le" in found:
        return f"to {_number(found['le'])}"
    if "lt" in found:
        return f"to {found['lt'] - 1:,}" if whole else f"and below {found['lt']:g}"
    return None


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
