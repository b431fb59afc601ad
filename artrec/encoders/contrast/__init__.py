"""A small network that learns, without labels, which crops are of one picture.

``network`` is what sees, ``pyramid`` and ``altering`` make crops, ``learning`` trains, ``fitting``
makes encoders of the result, ``encoders`` are those, and take nothing of the training.
"""

from __future__ import annotations

__all__: list[str] = []
