"""Values of the shapes that weights and activations come in."""

import torch


def samples(kind, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, generator=generator)
    return {
        "normal": normal,
        "heavy tails": normal**3,
        "after a ReLU": normal.relu(),
        "uniform": torch.rand(count, generator=generator) * 2 - 0.7,
        "one outlier": torch.cat([normal[1:], torch.tensor([40.0])]),
        "all negative": -normal.abs() - 0.1,
    }[kind]


KINDS = ("normal", "heavy tails", "after a ReLU", "uniform", "one outlier", "all negative")
