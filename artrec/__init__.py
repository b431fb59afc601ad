"""artrec: picture archives in, embeddings and neighbor tables out."""

__version__ = "0.1.0"
