"""The card for people: what an encoder is, how it came about, how good it is, how to load it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from artrec.encoders.architectures import architecture_named
from artrec.encoders.card import DECODER_FILE, Card
from artrec.encoders.checkpoints import Epoch
from artrec.encoders.comparing import Compared
from artrec.encoders.contest import Score
from artrec.encoders.recipes import Made

__all__ = ["lines_of_torch", "readme"]

SHOWN = 12
"""Epochs in the table: the first, the one taken and the last are among them."""


def readme(card: Card, made: Made, result: Compared, name: str) -> str:
    """README.md of a trained encoder, in Markdown; ``name`` is its id."""
    parts = [_what(card), _training(card), _curves(made), _evaluation(result), _loading(card, name)]
    return f"# {card.name}\n" + "".join(parts)


def _what(card: Card) -> str:
    seen, (height, width) = card.preprocess, card.preprocess.size
    licence = card.license or "not stated; that of the pictures may bind it too"
    return (
        f"\nAn encoder of artrec: pictures in, {card.dim} numbers out, to be compared by "
        f"{card.metric}.\n\n"
        f"- What: {card.notes}.\n"
        f"- Sees: the picture by {seen.fit} at {width}x{height} pixels ({seen.filter}), RGB, "
        f"values times {seen.scale:.6g}.\n"
        f"- Licence: {licence}.\n"
    )


def _training(card: Card) -> str:
    how = card.training
    if how is None:
        return ""
    best = ""
    if how.best_epoch is not None:
        best = (
            f" Taken is epoch {how.best_epoch} of {how.epochs}, with a loss of "
            f"{how.best_loss:.5f} on the held-out pictures."
        )
    settings = ", ".join(f"{name} {_word(value)}" for name, value in how.settings.items())
    decoder = f"\n- `{DECODER_FILE}` holds the half that repeats pictures." if how.decoder else ""
    return (
        "\n## Training\n\n"
        f"- On {how.pictures:,} pictures; {how.held_out:,} others were held out.{best}\n"
        f"- Settings of `train`: {settings}.\n"
        f"- Run `train/{how.run}`: its tables hold all curves and reconstructions.{decoder}\n"
    )


def _word(value: object) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return str(value) if value != "" else "(own)"


def _curves(made: Made) -> str:
    if not made.epochs:
        return ""
    head = "\n| epoch | loss | held-out loss | learning rate |\n|---|---|---|---|\n"
    return head + "\n".join(
        f"| {each.epoch}{' (taken)' if each is made.best else ''} | {each.train_loss:.5f} | "
        f"{each.held_out_loss:.5f} | {each.learning_rate:.3g} |"
        for each in _some(made.epochs, made.best)
    ) + "\n"  # fmt: skip


def _some(epochs: Sequence[Epoch], best: Epoch | None) -> Iterator[Epoch]:
    """All of them, or evenly spread ones with the one taken between."""
    step = max(1, -(-len(epochs) // SHOWN))
    for place, each in enumerate(epochs):
        if place % step == 0 or each is best or place == len(epochs) - 1:
            yield each


def _evaluation(result: Compared) -> str:
    rows = [("this encoder", result.trained), ("hand-made", result.handmade)]
    table = "\n".join(f"| {name} | {_scores(score)} |" for name, score in rows)
    what = (
        "mirrored and cropped copies ask for their originals"
        if result.trained.label == "copies"
        else f"each asks the others; right is who has the same {result.trained.label}"
    )
    return (
        f"\n## Evaluation\n\nOn {result.trained.queries:,} held-out pictures, {what}:\n\n"
        f"| | @1 | @5 |\n|---|---|---|\n{table}\n\n"
        "A small error in repeating pictures does not show that similar ones are found: compare "
        "encoders\nby what they find.\n"
    )


def _scores(score: Score) -> str:
    return f"{score.at_1:.3f} | {'' if score.at_5 is None else f'{score.at_5:.3f}'}"


def _loading(card: Card, name: str) -> str:
    lines = lines_of_torch(card) or [
        "from artrec import load_encoder, open_store",
        f'vectors = load_encoder(open_store("ROOT"), "{name}").encode(pictures)',
    ]
    height, width = card.preprocess.size
    return (
        f"\n## Loading\n\n`pictures` is `uint8 [n, {height}, {width}, 3]`; the files are data, "
        "nothing of them is executed.\n\n```python\n" + "\n".join(lines) + "\n```\n\n"
        f"`artrec export-encoder {name} DIR --format onnx|torch --root ROOT` writes it as one "
        "program.\n"
    )


def lines_of_torch(card: Card) -> list[str]:
    """Plain torch that makes ``vectors`` of ``pictures``; empty for what is no plain network."""
    family = architecture_named(card.architecture)
    if not hasattr(family, "plain"):
        return []
    parameters = family.checked(card)  # type: ignore[attr-defined]
    finish = "v"
    if parameters.center:
        finish = 'v - w["center"]'
    if parameters.unit:
        finish = f"F.normalize({finish})"
    return [
        "import torch, torch.nn.functional as F",
        "from safetensors.torch import load_file",
        'w = load_file("model.safetensors")',
        f"x = torch.as_tensor(pictures).permute(0, 3, 1, 2) * {card.preprocess.scale!r}",
        *family.plain(parameters),
        f"vectors = {finish}",
    ]
