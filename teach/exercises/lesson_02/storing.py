"""Lesson 02, exercises 2.5 to 2.7: clipping, stored bytes, codebooks."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.exercises.lesson_02.grids import weights

# 2.5 ------------------------------------------------------------------------------------------------


def _clipped(w: Tensor, bits: int, end: float) -> Tensor:
    highest = 2 ** (bits - 1) - 1
    return quantize.fake_quantize(w, end / highest, 0, -highest, highest)


def best_clip(w: Tensor, bits: int, ends: list[float]) -> float:
    """The end of the symmetric grid, among `ends`, that gives the lowest mean squared error."""
    return min(ends, key=lambda end: (w - _clipped(w, bits, end)).square().mean().item())


def _best_clip_by_hand(w: Tensor, bits: int, ends: list[float]) -> np.float64:
    values, highest = w.numpy().astype(np.float64), 2 ** (bits - 1) - 1
    errors = []
    for end in ends:
        codes = np.clip(np.rint(values / (end / highest)), -highest, highest)
        errors.append(((values - codes * end / highest) ** 2).sum())
    return np.float64(ends[int(np.argmin(errors))])


def _heavy_tailed(generator: torch.Generator) -> Case:
    w = weights(64, generator=generator) ** 3 * 25  # most weights near zero, a few far out
    largest = w.abs().max().item()
    return Case(w, random_whole(generator, 3, 4), [round(largest * k / 10, 4) for k in range(1, 11)])


BEST_CLIP = Exercise(
    id="2.5",
    title="Where to clip",
    reference=best_clip,
    cases=(
        Case(tensor([0.9, 0.9, 0.9, 2.0]), 2, [1.0, 2.0]),
        Case(tensor([0.1, 0.2, -0.3, 3.0]), 3, [0.3, 1.0, 3.0]),
        *random_cases(8, seed=26, make=_heavy_tailed),
    ),
    mistakes=(
        Mistake(
            lambda w, bits, ends: max(ends),
            "Never clipping spends the codes on a few outliers. A shorter "
            "grid has a finer step for all the others: measure both.",
        ),
        Mistake(
            lambda w, bits, ends: min(
                ends, key=lambda end: (w - _clipped(w, bits, end))[w.abs() <= end].square().sum().item()
            ),
            "Count the clipped weights too: their error is the price of the shorter grid.",
        ),
        Mistake(
            lambda w, bits, ends: min(ends, key=lambda end: (w - _clipped(w, bits, end)).abs().mean().item()),
            "That is the mean absolute error. Squared, one large error weighs more than many small ones.",
        ),
        Mistake(
            lambda w, bits, ends: min(ends, key=lambda end: (w - _clipped(w, bits, end)).abs().max().item()),
            "That is the worst single error. The mean squared error looks at all weights.",
        ),
        Mistake(
            lambda w, bits, ends: ends.index(best_clip(w, bits, ends)),
            "That is its position in the list. Return the end itself.",
        ),
    ),
    also_correct=(_best_clip_by_hand,),
)

# 2.6 ------------------------------------------------------------------------------------------------


def stored_bytes(count: int, bits: int, group_size: int, scale_bits: int = 16) -> int:
    """Bytes of `count` codes of `bits` bits and one scale for every group."""
    return math.ceil(count * bits / 8) + (count // group_size) * scale_bits // 8


def _stored_bytes_by_packing(count: int, bits: int, group_size: int, scale_bits: int = 16) -> np.int64:
    code_bits = np.zeros(count * bits, dtype=np.uint8)
    scales = np.zeros((count // group_size) * (scale_bits // 8), dtype=np.uint8)
    return np.int64(np.packbits(code_bits).nbytes + scales.nbytes)


def _storage_case(generator: torch.Generator) -> Case:
    group = int(torch.randint(2, 9, (), generator=generator)) * 4
    groups = int(torch.randint(2, 40, (), generator=generator))
    return Case(
        group * groups, random_whole(generator, 1, 7), group, scale_bits=(16, 32)[random_whole(generator, 0, 1)]
    )


STORED_BYTES = Exercise(
    id="2.6",
    title="Bytes that are really stored",
    reference=stored_bytes,
    cases=(
        Case(64, 4, 32),
        Case(10, 3, 5),
        Case(256, 4, 128, scale_bits=32),
        *random_cases(8, seed=27, make=_storage_case),
    ),
    mistakes=(
        Mistake(
            lambda count, bits, group_size, scale_bits=16: math.ceil(count * bits / 8),
            "The scales are stored too, one for every group: without them nobody can read the codes.",
        ),
        Mistake(
            lambda count, bits, group_size, scale_bits=16: count + (count // group_size) * scale_bits // 8,
            "That gives every code a byte of its own. Packed, codes of n bits take n bits each.",
        ),
        Mistake(
            lambda count, bits, group_size, scale_bits=16: math.ceil(count * bits / 8) + scale_bits // 8,
            "That is one scale for the whole tensor. There is one for each of the count // group_size groups.",
        ),
        Mistake(
            lambda count, bits, group_size, scale_bits=16: count * bits + (count // group_size) * scale_bits,
            "Those are bits. A byte has 8.",
        ),
        Mistake(
            lambda count, bits, group_size, scale_bits=16: count * bits // 8 + (count // group_size) * scale_bits // 8,
            "A file has whole bytes: when the codes do not fill the last byte, it is stored all the same. Round up.",
        ),
    ),
    also_correct=(
        _stored_bytes_by_packing,
        lambda count, bits, group_size, scale_bits=16: -(-count * bits // 8) + count / group_size * (scale_bits / 8),
    ),
)

# 2.7 ------------------------------------------------------------------------------------------------


def _nearest(w: Tensor, codebook: Tensor) -> Tensor:
    return (w.flatten()[:, None] - codebook).abs().argmin(dim=1)


def kmeans_step(w: Tensor, codebook: Tensor) -> Tensor:
    """The codebook after one step: each entry moves to the mean of the weights nearest to it."""
    nearest = _nearest(w, codebook)
    moved = codebook.clone()
    for entry in nearest.unique():
        moved[entry] = w.flatten()[nearest == entry].mean()
    return moved


def _kmeans_step_by_hand(w: Tensor, codebook: Tensor) -> list[float]:
    entries = codebook.tolist()
    members: list[list[float]] = [[] for _ in entries]
    for value in w.flatten().tolist():
        nearest = min(range(len(entries)), key=lambda k: abs(value - entries[k]))
        members[nearest].append(value)
    return [sum(group) / len(group) if group else entry for group, entry in zip(members, entries)]


def _moved(w: Tensor, codebook: Tensor, nearest: Tensor, centre, empty: float | None = None) -> Tensor:
    """A k-means step with something wrong in it: the neighbours, the centre, or the empty entries."""
    flat, moved = w.flatten(), codebook.clone()
    for entry in range(len(codebook)):
        members = flat[nearest == entry]
        if len(members):
            moved[entry] = centre(members)
        elif empty is not None:
            moved[entry] = empty
    return moved


def _codebook_case(generator: torch.Generator) -> Case:
    codebook = torch.sort(weights(4, generator=generator)).values
    codebook[3] = 5.0  # far from every weight: this entry stays empty
    return Case(weights(24, generator=generator), codebook)


KMEANS_STEP = Exercise(
    id="2.7",
    title="One step of k-means",
    reference=kmeans_step,
    cases=(
        Case(tensor([0.0, 0.2, 0.9, 1.0]), tensor([0.0, 1.0])),
        Case(tensor([0.0, 0.3, 0.8, 1.0]), tensor([0.0, 1.0, 9.0])),
        *random_cases(8, seed=28, make=_codebook_case),
    ),
    mistakes=(
        Mistake(
            lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.mean, empty=float("nan")),
            "The mean of no weights is not a number. An entry that no weight is nearest to stays where it is.",
        ),
        Mistake(
            lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.mean, empty=0.0),
            "An entry that no weight is nearest to stays where it "
            "is; moved to zero, it takes weights from its neighbours.",
        ),
        Mistake(
            lambda w, codebook: _moved(
                w, codebook, torch.searchsorted(codebook, w.flatten()).clamp(max=len(codebook) - 1), torch.mean
            ),
            "A sorted search finds the next entry above, not the nearest one.",
        ),
        Mistake(
            lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.median),
            "That is the median. The value with the lowest squared error is the mean.",
        ),
        Mistake(
            lambda w, codebook: codebook[_nearest(w, codebook)].reshape(w.shape),
            "Those are the weights after they were replaced. Return the new codebook.",
        ),
    ),
    also_correct=(_kmeans_step_by_hand,),
    forbidden=(quantize.k_means,),
)
