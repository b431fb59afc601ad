"""Sections about encoders: which one, how it is trained, how it runs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from artrec.config.section import Section, key

__all__ = ["EmbedSettings", "EncoderSettings", "TrainSettings"]


class EncoderSettings(Section):
    """Which encoder makes the vectors."""

    id: str = key(
        "",
        "A built-in encoder's name (handmade), or the id of one in the store; empty: the current "
        "release's, on an empty store the better one of handmade and one that the night trains.",
    )


class TrainSettings(Section):
    """Training an encoder on the pictures themselves, without labels."""

    recipe: str = key(
        "auto",
        "How an encoder is made of the pictures. Autoencoders, which learn to repeat them: "
        "convolutional (the largest value of each channel), separable (80x60, few numbers, "
        "Euclidean), dense and small (100x100), tiny (thumbnails of 32x32). Hand-made features, "
        "projected as fitted, nothing learnt by gradient: descriptor, descriptor-fast. Contrastive "
        "(a small network learns which crops are of one picture), labelled (the same, and which "
        "pictures are by one artist, else of one style), combined (contrastive beside the features "
        "of descriptor); auto: combined, below 400 to train on descriptor.",
    )
    side: int = key(
        0,
        "Side of the square that the encoder sees, in pixels; 0: as the recipe has it "
        "(convolutional 64, other autoencoders as said there, the others 256). Least are separable "
        "17, small 12, tiny 10, those of 256 px 64.",
        ge=0,
    )
    latent: int = key(
        0,
        "Numbers in a vector; 0: as the recipe has it (separable 10, dense 128, tiny 32). The "
        "others have theirs from elsewhere.",
        ge=0,
    )
    center: bool = key(
        True,
        "Vectors less the mean of the training pictures', and of length 1; false: the code as the "
        "network gives it. Codes of separable always are.",
    )
    channels: tuple[int, ...] = key(
        (64, 128, 256, 512),
        "Channels of the blocks of convolutional; the last number is the length of a vector.",
        min_length=1,
    )
    epochs: PositiveInt = key(20, "Passes of an autoencoder over the training examples, at most.")
    steps: int = key(
        0,
        "Steps of contrastive, labelled and combined, each on 4 crops of 64 pictures; 0: 40 passes "
        "over the pictures, at most 3,360 steps.",
        ge=0,
    )
    batch: PositiveInt = key(32, "Examples in one step of an autoencoder's training.")
    loss: Literal["", "mse", "mae", "bce"] = key(
        "",
        "What a repeated picture is judged by: mse, mae (mean squared, mean absolute error) or bce "
        "(binary cross entropy); empty: the recipe's own (bce for dense, small and tiny, else "
        "mse).",
    )
    learning_rate: PositiveFloat = key(
        0.001,
        "Step size of an autoencoder's optimizer (Adam); dense takes a tenth of it, separable .3.",
    )
    schedule: Literal["constant", "cosine"] = key(
        "constant",
        "How that step size goes: constant, or cosine, which rises for the first twentieth and "
        "then falls to 0 at the last of the epochs.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = key(
        "auto",
        "Numbers in the training's products: auto is bfloat16 on a GPU that has it, for "
        "contrastive and its like on a processor too, else float32; weights and sums are float32 "
        "always.",
    )
    processes: PositiveInt = key(
        1,
        "Processes on the driver's machine that train an autoencoder together, each with a share "
        "of a batch; the other recipes take one.",
    )
    patience: PositiveInt = key(
        5,
        "An autoencoder's training ends after so many epochs without a better loss on held-out "
        "examples.",
    )
    seed: int = key(0, "Seed of the first weights and of the order of the examples.", ge=0)
    license: str = key("", "Licence that the encoder's card names; empty: none is stated.")
    where: Literal["driver", "beside"] = key(
        "driver",
        "Where a network is trained: driver, or beside, in a process of its own without a JVM; the "
        "stage then writes the examples and says how to go on (artrec train-encoder).",
        result=False,
    )
    max_pictures: PositiveInt = key(
        10_000, "Pictures to train on, held-out ones included; chosen by their hashes."
    )
    held_out: float = key(
        0.1,
        "Share of the pictures that the training never sees: the loss on them decides.",
        gt=0,
        lt=1,
    )
    reader: Literal["arrow", "petastorm"] = key(
        "arrow",
        "What reads the examples: arrow, or petastorm, which needs versions of its own "
        "(docker/constraints-petastorm.txt); both give the same rows in the same order.",
        result=False,
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """The decoder doubles a side for each block, so halving it must leave no rest."""
        if min(self.channels) < 1:
            raise ValueError(f"channels {self.channels} must be at least 1 each")
        least = 2 ** len(self.channels)
        if self.recipe == "convolutional" and self.side % least:
            raise ValueError(
                f"side {self.side} is no multiple of {least}, 2 for each of the "
                f"{len(self.channels)} channels"
            )
        return self


class EmbedSettings(Section):
    """Running the encoder."""

    batch: PositiveInt = key(
        32, "Pictures in one call of the encoder, on a processor.", result=False
    )
    device: Literal["auto", "cpu", "cuda"] = key(
        "auto",
        "Where an encoder of torch or of hand-made features runs: auto (the GPU that Spark gives "
        "the task, if it does, else the processor), cpu, cuda (or the job ends with 3).",
        result=False,
    )
    gpu_batch: PositiveInt = key(
        256,
        "The same on a GPU, at most: fewer, where its memory is short.",
        result=False,
    )
    precision: Literal["float32", "bfloat16"] = key(
        "float32",
        "Of the network's sums; bfloat16 is faster on a GPU, and its vectors are kept apart.",
    )
    slice_bytes: PositiveInt = key(
        256 << 20,
        "Picture bytes that one task encodes at most; fewer towards the end of a segment.",
        result=False,
    )
    segment_bytes: PositiveInt = key(
        4 << 30,
        "Picture bytes for each core between two points from which a killed job goes on.",
        result=False,
    )
