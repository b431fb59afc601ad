"""Text that others wrote (names, titles, reasons) as it is shown: short, and without hidden powers.

Nothing of it can steer a terminal, turn the direction of a line, or hide: what is not printable
stands there as its escape, such as ``\\u202e``. What HTML would obey is the templates' business.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

__all__ = ["LONGEST", "Text", "visible"]

LONGEST = 240
"""Characters of one piece of text; the rest is an ellipsis."""


def visible(text: str, longest: int = LONGEST) -> str:
    """The text with every character that cannot be seen escaped, and cut.

    >>> visible("a\\u202eb")
    'a\\\\u202eb'
    """
    shown = "".join(c if c.isprintable() else _escape(c) for c in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _cleaned(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return visible(value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_cleaned)]
"""A string of a model that is ``visible``."""
