"""Lesson 11, exercise 11.6: two pictures become one, and what their label is then."""

import numpy as np
import torch
from torch import Tensor, tensor
from torch.nn import functional as F

from mini_lib.augment import Mixup
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 11.6 -----------------------------------------------------------------------------------------------

Mixed = tuple[Tensor, Tensor]


def mix_pairs(pictures: Tensor, labels: Tensor, partner: Tensor, shares: Tensor, classes: int) -> Mixed:
    """Pictures mixed with their partners, and labels as shares of the classes, float [N, classes]."""
    own = shares[:, None, None]
    hot = torch.eye(classes)[labels]
    return (own * pictures + (1 - own) * pictures[partner], own[:, 0] * hot + (1 - own[:, 0]) * hot[partner])


def _mix_by_loop(pictures, labels, partner, shares, classes):
    mixed, mixed_labels = [], []
    for at, (other, share) in enumerate(zip(partner.tolist(), shares.tolist())):
        mixed.append(share * pictures[at] + (1 - share) * pictures[other])
        row = [0.0] * classes
        row[labels[at]] += share
        row[labels[other]] += 1 - share
        mixed_labels.append(row)
    return torch.stack(mixed), mixed_labels


def _mix_in_numpy(pictures, labels, partner, shares, classes):
    pictures, labels, partner = pictures.numpy(), labels.numpy(), partner.numpy()
    hot = np.eye(classes)[labels]
    own = shares.numpy()[:, None]
    mixed = own[..., None] * pictures + (1 - own[..., None]) * pictures[partner]
    return mixed, own * hot + (1 - own) * hot[partner]


def _labels(pictures, labels, partner, shares, classes):
    return mix_pairs(pictures, labels, partner, shares, classes)[1]


def _two_ones(pictures, labels, partner, shares, classes):
    mixed, _ = mix_pairs(pictures, labels, partner, shares, classes)
    hot = F.one_hot(labels, classes).float()
    return mixed, (hot + hot[partner]).clamp(max=1)


def _overwritten(pictures, labels, partner, shares, classes):
    mixed, mixed_labels = mix_pairs(pictures, labels, partner, shares, classes)
    rows = torch.arange(len(labels))
    mixed_labels = torch.zeros_like(mixed_labels)
    mixed_labels[rows, labels] = shares
    mixed_labels[rows, labels[partner]] = 1 - shares
    return mixed, mixed_labels


def _pairs_case(generator: torch.Generator) -> Case:
    count, classes = random_whole(generator, 4, 6), random_whole(generator, 3, 4)
    labels = torch.randint(classes, (count,), generator=generator)
    labels[:3] = tensor([0, 1, 1])
    partner = tensor([1, 2, 0, *range(3, count)])  # the second has a partner of its own class; some are their own
    shares = torch.rand(count, generator=generator).round(decimals=2)
    shares[:2] = tensor([0.3, 0.8])
    return Case(torch.rand(count, 2, 2, generator=generator).round(decimals=1), labels, partner, shares, classes)


_PAIR = (tensor([[[0.0, 8.0]], [[4.0, 4.0]]]), tensor([0, 2]), tensor([1, 0]))


def _parts(mixed, label):
    """A wrong answer: how a picture, and how its label, is mixed from (own, partner's, own share)."""

    def wrong(pictures, labels, partner, shares, classes):
        own, hot = shares[:, None, None], torch.eye(classes)[labels]
        return mixed(pictures, pictures[partner], own), label(hot, hot[partner], own[:, 0])

    return wrong


def _by_share(own, other, share):
    return share * own + (1 - share) * other


def _exchanged(own, other, share):
    return (1 - share) * own + share * other


def _half(own, other, share):
    return (own + other) / 2


def _one_share(of):
    return lambda pictures, labels, partner, shares, classes: mix_pairs(
        pictures, labels, partner, of(shares).expand_as(shares), classes
    )


def _already_mixed(pictures, labels, partner, shares, classes):
    pictures, hot = pictures.clone(), torch.eye(classes)[labels]
    for at, (other, share) in enumerate(zip(partner.tolist(), shares.tolist())):
        pictures[at] = share * pictures[at] + (1 - share) * pictures[other]
        hot[at] = share * hot[at] + (1 - share) * hot[other]
    return pictures, hot


def _own_overwrites(pictures, labels, partner, shares, classes):
    mixed, mixed_labels = mix_pairs(pictures, labels, partner, shares, classes)
    rows, mixed_labels = torch.arange(len(labels)), torch.zeros_like(mixed_labels)
    mixed_labels[rows, labels[partner]] = 1 - shares
    mixed_labels[rows, labels] = shares
    return mixed, mixed_labels


MIX_PAIRS = Exercise(
    id="11.6",
    title="Mix the labels as you mix the pictures",
    reference=mix_pairs,
    cases=(
        Case(*_PAIR, tensor([0.75, 0.625]), 3),
        Case(*_PAIR, tensor([1.0, 0.25]), 3),
        Case(_PAIR[0], tensor([1, 1]), tensor([1, 0]), tensor([0.25, 0.75]), 2),
        Case(
            tensor([[[0.0, 8.0]], [[4.0, 4.0]], [[8.0, 0.0]]]),
            tensor([0, 1, 1]),
            tensor([1, 2, 0]),
            tensor([0.625, 0.25, 0.75]),
            2,
        ),
        *random_cases(8, seed=116, make=_pairs_case),
    ),
    mistakes=(
        Mistake(
            _parts(_exchanged, _by_share),
            "The shares of the pictures are swapped: shares[i] is for picture i itself, and the rest for its partner.",
        ),
        Mistake(
            _parts(_exchanged, _exchanged),
            "Both shares are swapped: shares[i] is how much of picture i itself stays, and the rest is its partner's.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (pictures, torch.eye(classes)[labels]),
            "Each picture is mixed with itself, so nothing changes. Its partner is `pictures[partner]`, with the label "
            "`labels[partner]`.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                F.one_hot(labels, classes).float(),
            ),
            "The labels are not mixed. Three quarters of a 6 and a quarter of a 1 would be labelled as a 6 only.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                _labels(pictures, labels, partner, 1 - shares, classes),
            ),
            "The shares of the labels are swapped: shares[i] is for picture i itself, and the rest for its partner.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: mix_pairs(
                pictures, labels, partner, shares[:1].expand_as(shares), classes
            ),
            "One share for the whole batch. Picture i has its own, shares[i].",
        ),
        Mistake(
            _two_ones,
            "Both classes get a 1. A label consists of shares that add up to 1: `shares[i]` for its own class, the "
            "rest for the other.",
        ),
        Mistake(
            _overwritten,
            "Where both pictures are of one class, the second share overwrites the first. Add them up: that "
            "class has 1.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                pictures,
                _labels(pictures, labels, partner, shares, classes),
            ),
            "The labels are mixed, and the pictures are not.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                (_labels(pictures, labels, partner, shares, classes) > 0.5).float(),
            ),
            "Rounded, the label forgets the smaller part again. Leave the shares as they are.",
        ),
    ),
    symptoms=(
        variants(
            "That takes half of each, for every pair. Picture i keeps its own share, shares[i], and so does its label.",
            _parts(_half, _half),
            _parts(_by_share, _half),
        ),
        variants(
            "The two parts add up to more or less than 1. Picture i has shares[i], and its partner the rest: "
            "1 - shares[i].",
            _parts(lambda own, other, share: share * own + other, lambda own, other, share: share * own + other),
            lambda pictures, labels, partner, shares, classes: (
                shares[:, None, None] * pictures + (shares[:, None, None] * pictures)[partner],
                shares[:, None] * torch.eye(classes)[labels] + (shares[:, None] * torch.eye(classes)[labels])[partner],
            ),
            _parts(lambda own, other, share: own + (1 - share) * other, _by_share),
            _parts(lambda own, other, share: share * own + other, _by_share),
        ),
        variants(
            "`partner` is not used: the batch is mixed with itself back to front. Picture i's partner is "
            "`pictures[partner[i]]`.",
            lambda pictures, labels, partner, shares, classes: mix_pairs(
                pictures, labels, torch.arange(len(labels)).flip(0), shares, classes
            ),
        ),
        variants(
            "One share for the whole batch, their mean. Picture i has its own, shares[i].", _one_share(Tensor.mean)
        ),
        variants(
            "Each picture is one of the two, and not a mixture: add up shares[i] of it and 1 - shares[i] of its "
            "partner.",
            _parts(lambda own, other, share: torch.where(share > 0.5, own, other), _by_share),
            _parts(lambda own, other, share: torch.where(share >= 0.5, own, other), _by_share),
        ),
        variants(
            "Where both pictures are of one class, the picture's own share overwrites its partner's. Add them up: "
            "that class has 1.",
            _own_overwrites,
        ),
        variants(
            "That is the label of the partner alone. Mix both, in the proportion of the pictures.",
            _parts(_by_share, lambda own, other, share: other),
        ),
        variants(
            "Both classes get a whole 1, so a label adds up to 2. Its parts are shares[i] and 1 - shares[i].",
            _parts(_by_share, lambda own, other, share: own + other),
        ),
        variants(
            "`partner` is taken for a class. It is the number of a picture, and the class is `labels[partner]`.",
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                shares[:, None] * torch.eye(9)[labels][:, :classes]
                + (1 - shares[:, None]) * torch.eye(9)[partner][:, :classes],
            ),
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                _by_share(torch.eye(classes)[labels], torch.eye(classes)[partner % classes], shares[:, None]),
            ),
        ),
        variants(
            "Some partners were already mixed when they were used. Mix from the pictures as they came: write into a "
            "new "
            "tensor.",
            _already_mixed,
            lambda *given: (_already_mixed(*given)[0], _labels(*given)),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got[1].shape[1] == int(arguments["labels"].max()) + 1 < expected[1].shape[1]
            ),
            "A row has only as many places as labels occur. There are `classes` of them, whether they occur or not.",
            (lambda *given: mix_pairs(*given[:4], int(given[1].max()) + 1),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got[1].shape == expected[1].T.shape
                and not torch.equal(got[1], expected[1])
                and torch.allclose(got[1].double(), expected[1].double().T)
            ),
            "The labels are [classes, N]. Return one row per picture: [N, classes].",
            (_parts(_by_share, lambda own, other, share: _by_share(own, other, share).T),),
        ),
        Symptom(
            lambda got, expected, arguments: got[1].ndim == 1,
            "The labels are one number per picture, but a class number cannot be a mixture. Return a row of shares per "
            "picture, [N, classes].",
            (
                _parts(_by_share, lambda own, other, share: own.argmax(dim=1)),
                _parts(
                    _by_share, lambda own, other, share: _by_share(own.argmax(dim=1), other.argmax(dim=1), share[:, 0])
                ),
            ),
        ),
    ),
    also_correct=(_mix_by_loop, _mix_in_numpy),
    forbidden=(Mixup.__call__,),
)
