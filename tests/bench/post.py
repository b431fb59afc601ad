"""Codes of autoencoders as they are, less their mean, and projected: how well each finds.

    python -m tests.bench.post STORE ARCHIVE ENCODER...

The encoders are those of a store; the archive's pictures ask all others, as in ``quality.py``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artrec.encoders import load_encoder
from artrec.encoders.fitted import Fit, unit
from artrec.encoders.networks import Network
from artrec.storage import Store, open_store
from tests.bench.quality import Set, encoded, measured, opened

Floats = NDArray[np.float32]

POWERS = (0.25, 0.5)


def codes(store: Store, encoder_id: str, of: Set) -> Floats:
    """As the network gives them."""
    encoder = load_encoder(store, encoder_id)
    if not isinstance(encoder, Network):
        raise SystemExit(f"{encoder_id} is no autoencoder")
    encoder.center, encoder.unit = None, False
    return encoded(encoder, of.data)


def ways(found: Floats) -> Iterator[tuple[str, Floats, str]]:
    """What may follow the network: its name, the vectors, the metric."""
    yield "as it is, cosine", unit(found), "cosine"
    yield "as it is, euclidean", found, "euclidean"
    yield "less the mean, cosine", unit(found - found.mean(axis=0)), "cosine"
    fit = Fit(found.shape[1])
    fit.add(found)
    for power in POWERS:
        projection = fit.projection(256, power)
        yield f"{projection.dim} projected, eigenvalue^-{power}", projection(found), "cosine"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store")
    parser.add_argument("archive", type=Path)
    parser.add_argument("encoders", nargs="+")
    given = parser.parse_args()
    store, of = open_store(given.store), opened(given.archive)
    for each in given.encoders:
        for name, vectors, metric in ways(codes(store, each, of)):
            found = measured(vectors, of, metric)
            print(json.dumps({"encoder": each, "way": name, **found}), flush=True)


if __name__ == "__main__":
    main()
