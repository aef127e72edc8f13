"""Lesson 06, exercise 6.5: what a ticket is compared with."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole

Tensors = dict[str, Tensor]

# 6.5 ------------------------------------------------------------------------------------------------


def controls(mask: Tensors, initial: Tensors, other: Tensors, chance: Tensors) -> tuple[Tensors, Tensors]:
    """The starts of two controls: the ticket's mask with other weights, and the ticket's weights at other places."""
    reinit = {name: other[name] * keep for name, keep in mask.items()}
    shuffled = {name: initial[name] * _best(chance[name], int(keep.sum())) for name, keep in mask.items()}
    return reinit, shuffled


def _best(chance: Tensor, count: int) -> Tensor:
    """True for the `count` highest numbers."""
    keep = torch.zeros(chance.numel(), dtype=torch.bool)
    keep[chance.flatten().argsort(descending=True)[:count]] = True
    return keep.reshape(chance.shape)


def _controls_in_numpy(mask, initial, other, chance):
    reinit, shuffled = {}, {}
    for name, keep in mask.items():
        reinit[name] = np.where(keep, other[name], 0)
        threshold = np.sort(chance[name].numpy(), axis=None)[-int(keep.sum())]
        shuffled[name] = np.where(chance[name] >= threshold, initial[name], 0)
    return reinit, shuffled


def _controls_by_hand(mask, initial, other, chance):
    reinit, shuffled = {}, {}
    for name in mask:
        keep, drawn = mask[name].flatten().tolist(), chance[name].flatten().tolist()
        lucky = sorted(range(len(drawn)), key=lambda at: -drawn[at])[: sum(keep)]
        first, second = initial[name].flatten().tolist(), other[name].flatten().tolist()
        reinit[name] = tensor([w if k else 0.0 for w, k in zip(second, keep)]).reshape(mask[name].shape)
        shuffled[name] = tensor([w if at in lucky else 0.0 for at, w in enumerate(first)]).reshape(mask[name].shape)
    return reinit, shuffled


def _across_layers(mask, initial, other, chance):
    total = sum(int(keep.sum()) for keep in mask.values())
    threshold = torch.cat([one.flatten() for one in chance.values()]).sort(descending=True).values[total - 1]
    shuffled = {name: initial[name] * (chance[name] >= threshold) for name in mask}
    return controls(mask, initial, other, chance)[0], shuffled


def _same_share(mask, initial, other, chance):
    density = sum(int(keep.sum()) for keep in mask.values()) / sum(keep.numel() for keep in mask.values())
    shuffled = {name: initial[name] * _best(chance[name], round(density * keep.numel())) for name, keep in mask.items()}
    return controls(mask, initial, other, chance)[0], shuffled


def _new_mask_in_reinit(mask, initial, other, chance):
    reinit = {name: other[name] * _best(chance[name], int(keep.sum())) for name, keep in mask.items()}
    return reinit, controls(mask, initial, other, chance)[1]


def _new_weights_in_shuffled(mask, initial, other, chance):
    shuffled = {name: other[name] * _best(chance[name], int(keep.sum())) for name, keep in mask.items()}
    return controls(mask, initial, other, chance)[0], shuffled


def _among_the_kept(mask, initial, other, chance):
    shuffled = {name: initial[name] * _best(chance[name] * keep, int(keep.sum())) for name, keep in mask.items()}
    return controls(mask, initial, other, chance)[0], shuffled


def _dense_reinit(mask, initial, other, chance):
    return {name: other[name].clone() for name in mask}, controls(mask, initial, other, chance)[1]


def _layers_case(generator: torch.Generator) -> Case:
    """Two layers of densities far apart, as a global ranking makes them; all numbers of chance are different."""
    shapes, kept = {"linear1.weight": (4, 5), "linear2.weight": (2, 4)}, {}
    kept["linear1.weight"] = random_whole(generator, 3, 6)  # of 20
    kept["linear2.weight"] = random_whole(generator, 5, 7)  # of 8
    drawn = torch.randperm(28, generator=generator).add(1).div(32).split([20, 8])
    mask, initial, other, chance = {}, {}, {}, {}
    for (name, shape), numbers in zip(shapes.items(), drawn):
        mask[name] = _best(torch.randperm(numbers.numel(), generator=generator).reshape(shape), kept[name])
        initial[name], other[name] = torch.randn(2, *shape, generator=generator).round(decimals=2)
        chance[name] = numbers.reshape(shape)
    return Case(mask, initial, other, chance)


def _control(at: int, says: str, wrong) -> Symptom:
    """The symptom that control number `at` is what one of `wrong` gives, whatever the other one is."""

    def shows(got, expected, given):
        right = expected[at]
        if all(torch.equal(got[at][name], right[name]) for name in right):
            return False
        found = [one(**given) for one in wrong]
        return any(all(torch.allclose(got[at][name], one[name].float()) for name in right) for one in found)

    def example(one):
        def answer(mask, initial, other, chance):
            both = list(controls(mask, initial, other, chance))
            both[at] = one(mask, initial, other, chance)
            return tuple(both)

        return answer

    return Symptom(shows, says, [example(one) for one in wrong])


def _moved(weight: Tensor, keep: Tensor, places: Tensor) -> Tensor:
    """A wrong control: the kept weights, in their order, at the first of other places."""
    moved = torch.zeros(weight.numel())
    moved[places[: int(keep.sum())]] = weight[keep]
    return moved.reshape(weight.shape)


def _first_control(says: str, *wrong) -> Symptom:
    return _control(0, says, wrong)


def _second_control(says: str, *wrong) -> Symptom:
    return _control(1, says, wrong)


CONTROLS = Exercise(
    id="6.5",
    title="Two controls",
    reference=controls,
    cases=(
        Case(
            {"weight": tensor([[True, False, False]])},
            {"weight": tensor([[1.0, 2.0, 3.0]])},
            {"weight": tensor([[-4.0, -5.0, -6.0]])},
            {"weight": tensor([[0.2, 0.1, 0.9]])},
        ),
        Case(
            {"a": tensor([True, True]), "b": tensor([True, False, False])},
            {"a": tensor([1.0, 2.0]), "b": tensor([3.0, 4.0, 5.0])},
            {"a": tensor([-1.0, -2.0]), "b": tensor([-3.0, -4.0, -5.0])},
            {"a": tensor([0.1, 0.4]), "b": tensor([0.2, 0.9, 0.8])},
        ),
        *random_cases(8, seed=65, make=_layers_case),
    ),
    mistakes=(
        Mistake(
            _across_layers,
            "Places move between layers. Rank the chances of each layer separately: a layer keeps as many weights as "
            "the ticket has there.",
        ),
        Mistake(
            _same_share,
            "Each layer now keeps the same share. The ticket has its own share in each layer, and shuffling must keep "
            "that: count layer by layer.",
        ),
        Mistake(
            _new_mask_in_reinit,
            "In the first control the mask changed along with the weights. Change one thing at a time: reinit has the "
            "ticket's own mask.",
        ),
        Mistake(
            _new_weights_in_shuffled,
            "In the second control the weights changed along with the mask. Change "
            "one thing at a time: shuffled has the ticket's initial weights.",
        ),
        Mistake(
            _among_the_kept,
            "Only places that the ticket keeps can win, so the mask is the "
            "ticket's again. All places of the layer take part in the draw.",
        ),
        Mistake(
            _dense_reinit,
            "The first control is not pruned at all. It has other weights at the ticket's places, and zeros elsewhere.",
        ),
        Mistake(
            lambda mask, initial, other, chance: controls(mask, initial, other, chance)[::-1],
            "The two are swapped: first other weights at the ticket's places, then the ticket's weights at other "
            "places.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: isinstance(got, dict),
            "That is one of the two controls. Return both: (reinit, shuffled).",
            [
                lambda mask, initial, other, chance: controls(mask, initial, other, chance)[0],
                lambda mask, initial, other, chance: controls(mask, initial, other, chance)[1],
            ],
        ),
        Symptom(
            lambda got, expected, given: all(one.dtype == torch.bool for one in got[1].values()),
            "Those are masks. The controls are weights: multiply by the mask.",
            [
                lambda mask, initial, other, chance: (
                    mask,
                    {name: one != 0 for name, one in controls(mask, initial, other, chance)[1].items()},
                )
            ],
        ),
        _first_control(
            "The first control has the weights of `other`. Yours are the ticket's own, so it is the ticket.",
            lambda mask, initial, other, chance: {name: initial[name] * keep for name, keep in mask.items()},
            lambda mask, initial, other, chance: {name: one.clone() for name, one in initial.items()},
        ),
        _first_control(
            "The mask of the first control is the wrong way round: True means kept.",
            lambda mask, initial, other, chance: {name: other[name] * ~keep for name, keep in mask.items()},
        ),
        Symptom(
            lambda got, expected, given: any(got[1][name].ndim == 1 < one.ndim for name, one in expected[1].items()),
            "The second control is flat. Each tensor has the shape of its layer: reshape it at the end.",
            [lambda *given: (controls(*given)[0], {name: one.flatten() for name, one in controls(*given)[1].items()})],
        ),
        _second_control(
            "That is the new mask. The second control is the initial weights, multiplied by it.",
            lambda mask, initial, other, chance: {
                name: _best(chance[name], int(keep.sum())).float() for name, keep in mask.items()
            },
        ),
        _second_control(
            "The ticket's mask still counts in the second control. The drawn places replace it: initial weights there "
            "stay, whether the ticket keeps them or not.",
            lambda mask, initial, other, chance: {
                name: initial[name] * keep * _best(chance[name], int(keep.sum())) for name, keep in mask.items()
            },
        ),
        _second_control(
            "`argsort` gives the places in order, not the rank of each place. Keep the first of these places.",
            lambda mask, initial, other, chance: {
                name: initial[name] * (chance[name].flatten().argsort(descending=True).reshape(keep.shape) < keep.sum())
                for name, keep in mask.items()
            },
        ),
        _second_control(
            "The second control keeps the places with the *highest* chances, in each layer as many as the ticket keeps "
            "there.",
            *(
                lambda mask, initial, other, chance, pick=pick: {
                    name: initial[name] * pick(chance[name], keep) for name, keep in mask.items()
                }
                for pick in (
                    lambda drawn, keep: _best(-drawn, int(keep.sum())),
                    lambda drawn, keep: _best(drawn, int(keep.sum()) + 1),
                    lambda drawn, keep: _best(drawn, int(keep.sum()) - 1),
                    lambda drawn, keep: _best(drawn, keep.numel() - int(keep.sum())),
                    lambda drawn, keep: drawn < keep.float().mean(),
                    lambda drawn, keep: drawn > 1 - keep.float().mean(),
                    lambda drawn, keep: drawn >= 1 - keep.float().mean(),
                    lambda drawn, keep: drawn > keep.float().mean(),
                    lambda drawn, keep: drawn > 0.5,
                    lambda drawn, keep: keep.flatten()[drawn.flatten().argsort()].reshape(drawn.shape),
                    lambda drawn, keep: keep.flatten()[drawn.flatten().argsort(descending=True)].reshape(drawn.shape),
                )
            ),
        ),
        _second_control(
            "The second control is not pruned at all. It has the ticket's weights at the drawn places, and zeros "
            "elsewhere.",
            lambda mask, initial, other, chance: {name: one.clone() for name, one in initial.items()},
        ),
        _second_control(
            "In the second control the places change, and each weight stays at its own place: the initial weight that "
            "is there.",
            *(
                lambda mask, initial, other, chance, falling=falling: {
                    name: (initial[name] * keep)
                    .flatten()[chance[name].flatten().argsort(descending=falling)]
                    .reshape(keep.shape)
                    for name, keep in mask.items()
                }
                for falling in (True, False)
            ),
            lambda mask, initial, other, chance: {
                name: _moved(initial[name], keep, chance[name].flatten().argsort(descending=True))
                for name, keep in mask.items()
            },
            lambda mask, initial, other, chance: {
                name: _moved(initial[name], keep, _best(chance[name], int(keep.sum())).flatten().nonzero()[:, 0])
                for name, keep in mask.items()
            },
        ),
        _second_control(
            "The chances only say which places are kept. The weights there are the initial ones.",
            lambda mask, initial, other, chance: {name: chance[name] * keep for name, keep in mask.items()},
            lambda mask, initial, other, chance: {
                name: chance[name] * _best(chance[name], int(keep.sum())) for name, keep in mask.items()
            },
        ),
        _second_control(
            "Both controls have the weights of `other`. The second one has the ticket's initial weights, at other "
            "places.",
            lambda mask, initial, other, chance: {name: other[name] * keep for name, keep in mask.items()},
        ),
    ),
    also_correct=(_controls_in_numpy, _controls_by_hand),
)
