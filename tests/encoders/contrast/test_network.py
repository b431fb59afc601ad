"""The network: its sizes, and that folding changes nothing of what it sees."""

from __future__ import annotations

import numpy as np
import torch

from artrec.encoders.contrast.network import WIDTHS, Body, Learner, folded, pooled, shapes


def test_it_has_as_many_parameters_as_stated() -> None:
    learner = Learner(WIDTHS)
    counts = [sum(p.numel() for p in part.parameters()) for part in (learner.body, learner)]
    assert counts == [311_904, 608_480]
    maps = learner.body.eval()(torch.zeros(2, 3, 64, 64))
    assert [tuple(each.shape) for each in maps] == [
        (2, 32, 16, 16), (2, 64, 8, 8), (2, 128, 4, 4)
    ]  # fmt: skip


def test_pooling_gives_mean_and_standard_deviation_of_each_channel() -> None:
    maps = torch.tensor([[[[1.0, 3.0], [1.0, 3.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    found = pooled(maps)[0].tolist()
    assert np.allclose(found, [2, 5, 1, 0], atol=0.004)  # a root of 1e-5 stands in for 0


def test_a_folded_body_sees_what_the_trained_one_sees() -> None:
    torch.manual_seed(1)
    body = Body((4, 6, 6, 8))
    with torch.no_grad():
        for _ in range(3):
            body(torch.rand(8, 3, 32, 32) * 255)
        for name, each in body.named_parameters():
            if each.ndim == 1:
                each.copy_(torch.rand(len(each)) + (0.5 if name.endswith("weight") else 0))
    plain = Body((4, 6, 6, 8), plain=True)
    weights = folded(body)
    assert {name: each.shape for name, each in weights.items()} == shapes((4, 6, 6, 8))
    plain.load_state_dict({name: torch.tensor(each) for name, each in weights.items()})
    pictures = torch.rand(3, 3, 48, 32) * 255
    with torch.inference_mode():
        pairs = zip(body.eval()(pictures), plain.eval()(pictures), strict=True)
        for one, other in pairs:
            assert one.abs().max() > 0.1
            assert torch.allclose(one, other, atol=1e-4)
