"""Lesson 02, exercise 2.7: one step of k-means."""

import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.exercises.lesson_02.grids import weights
from teach.variants import of_tensors, variants

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
    codebook = weights(4, generator=generator)
    codebook[random_whole(generator, 0, 3)] = 5.0  # far from every weight: this entry stays empty
    return Case(weights(4, 6, generator=generator), codebook)


def _step(nearest=_nearest, centre=torch.mean):
    """A step with slips: of the entry that a weight chooses, and of what the entry becomes."""
    return lambda w, codebook: _moved(w, codebook, nearest(w, codebook), centre)


def _distances(w: Tensor, codebook: Tensor) -> Tensor:
    return w.flatten()[:, None] - codebook


def _masked(flat: Tensor, codebook: Tensor, nearest: Tensor) -> Tensor:
    """A step with a mask that may have another shape than the weights: then it raises as a learner's does."""
    moved = codebook.clone()
    for entry in range(len(codebook)):
        if (nearest == entry).any():
            moved[entry] = flat[nearest == entry].mean()
    return moved


def _until_it_stays(w, codebook):
    moved = _step()(w, codebook)
    return moved if torch.equal(moved, codebook) else _until_it_stays(w, moved)


def _while_moving(w, codebook):
    moved = codebook.clone()
    for entry in range(len(moved)):
        members = w.flatten()[_nearest(w, moved) == entry]
        if len(members):
            moved[entry] = members.mean()
    return moved


def _only_where_empty(got, expected, a):
    empty = [entry not in _nearest(a["w"], a["codebook"]) for entry in range(len(a["codebook"]))]
    return bool((got != expected).any()) and bool(torch.isclose(got, expected)[~tensor(empty)].all())


KMEANS_STEP = Exercise(
    id="2.7",
    title="One step of k-means",
    reference=kmeans_step,
    cases=(
        Case(tensor([0.0, 0.2, 0.9, 1.0]), tensor([0.0, 1.0])),
        Case(tensor([0.0, 0.3, 0.8, 1.0]), tensor([0.0, 1.0, 9.0])),
        Case(tensor([0.0, 0.2, 0.9, 1.0]), tensor([1.0, 0.0])),
        Case(tensor([[0.1, -0.2, 0.9]]), tensor([1.0, -1.0, 0.0])),
        Case(tensor([[-4.0, -2.0], [1.0, 2.0]]), tensor([-2.0, 2.0])),
        *random_cases(8, seed=28, make=_codebook_case),
    ),
    mistakes=(
        Mistake(
            lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.mean, empty=float("nan")),
            "The mean of no weights is not a number. An entry that no weight is nearest to stays where it is.",
        ),
        Mistake(
            _step(lambda w, codebook: torch.searchsorted(codebook, w.flatten()).clamp(max=len(codebook) - 1)),
            "A sorted search finds the next entry above, not the nearest one.",
        ),
        Mistake(
            lambda w, codebook: codebook[_nearest(w, codebook)].reshape(w.shape),
            "Those are the weights after they were replaced. Return the new codebook.",
        ),
        Mistake(
            lambda w, codebook: _nearest(w, codebook),
            "Those are the codes, the entry that each weight chose. Return the new codebook.",
        ),
        Mistake(
            lambda w, codebook: w.flatten()[_distances(w, codebook).abs().argmin(dim=0)],
            "That finds the weight nearest to each entry. Each *weight* chooses its entry: one row per weight, "
            "argmin along the entries.",
        ),
        Mistake(
            lambda w, codebook: _masked(w.flatten(), codebook, _distances(w, codebook).abs().argmin(dim=0)),
            "`dim` names the axis that disappears. Each weight chooses one entry, so it is the axis of the entries: "
            "dim=1 of [weights, entries].",
        ),
        Mistake(
            lambda w, codebook: _masked(w, codebook, (w[:, None] - codebook).abs().argmin(dim=1)),
            "`w` may be a matrix: flatten it first, or w[:, None] puts the new axis in the middle.",
        ),
        Mistake(
            _step(lambda w, codebook: torch.bucketize(w.flatten(), (codebook[1:] + codebook[:-1]) / 2)),
            "The codebook may be unsorted, so midpoints of neighbours do not tell which entry is nearest. Compare "
            "each weight with every entry.",
        ),
    ),
    symptoms=(
        of_tensors(
            lambda got, expected, a: got.shape != expected.shape and got.numel() == len(_nearest(**a).unique()),
            "An entry that no weight chose is missing. The codebook keeps its length, and that entry keeps its value.",
            (
                lambda w, codebook: torch.stack(
                    [_moved(w, codebook, _nearest(w, codebook), torch.mean)[k] for k in _nearest(w, codebook).unique()]
                ),
            ),
        ),
        of_tensors(
            _only_where_empty,
            "An entry that no weight is nearest to stays where it is; moved, it takes weights from its neighbours.",
            (
                lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.mean, empty=0.0),
                lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.mean, empty=w.mean()),
                lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.mean, empty=w.max()),
            ),
        ),
        variants(
            "Each entry moves to the *mean* of its weights: that is the value with the lowest squared error.",
            _step(centre=torch.median),
            _step(centre=lambda members: (members.min() + members.max()) / 2),
            _step(centre=lambda members: members.quantile(0.5)),
            lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.median, empty=0.0),
            lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.median, empty=float("nan")),
        ),
        variants(
            "Divide the sum of an entry's weights by the number that chose it: the mean is over those weights, not "
            "over all.",
            _step(centre=torch.sum),
            lambda w, codebook: _step(centre=lambda members: members.sum() / w.numel())(w, codebook),
            lambda w, codebook: _step(centre=lambda members: members.sum() / len(codebook))(w, codebook),
            lambda w, codebook: _moved(w, codebook, _nearest(w, codebook), torch.sum, empty=0.0),
        ),
        variants(
            "The old entry is not one of the weights: the entry moves all the way to their mean.",
            lambda w, codebook: (_step()(w, codebook) + codebook) / 2,
            lambda w, codebook: torch.stack(
                [
                    torch.cat([w.flatten()[_nearest(w, codebook) == at], codebook[at : at + 1]]).mean()
                    for at in range(len(codebook))
                ]
            ),
        ),
        variants(
            "The nearest entry is at the smallest *distance*: take the magnitude of the difference, then argmin.",
            _step(lambda w, codebook: _distances(w, codebook).argmin(dim=1)),
            _step(lambda w, codebook: _distances(w, codebook).abs().argmax(dim=1)),
            _step(lambda w, codebook: (-_distances(w, codebook)).argmin(dim=1)),
            _step(lambda w, codebook: (w.flatten().abs()[:, None] - codebook.abs()).abs().argmin(dim=1)),
            _step(lambda w, codebook: _distances(w, codebook).argmax(dim=1)),
        ),
        variants(
            "A weight keeps its sign: take the mean of the weights, not of their magnitudes.",
            _step(centre=lambda members: members.abs().mean()),
            lambda w, codebook: _step()(w.abs(), codebook),
        ),
        variants(
            "That is more than one step: all weights choose first, among the old entries, and then all entries move.",
            lambda w, codebook: _step()(w, _step()(w, codebook)),
            lambda w, codebook: _step()(w, _step()(w, _step()(w, codebook))),
            _until_it_stays,
            _while_moving,
        ),
        variants(
            "The entries keep their places, since the codes point to them: do not sort.",
            lambda w, codebook: _step()(w, codebook).sort().values,
            lambda w, codebook: _step()(w, codebook.sort().values),
        ),
    ),
    also_correct=(_kmeans_step_by_hand,),
    forbidden=(quantize.k_means,),
)
