"""Lesson 12, exercise 12.8: size, the second thing that makes a searched policy look good."""

import itertools

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 12.8 -----------------------------------------------------------------------------------------------

Policies = list[list[str]]


def size_matched(searched: Policies, rewards: list[float], drawn: Policies, top: int) -> tuple[list[str], list[str]]:
    """The best policies of a search joined into one, and as many sub-policies drawn at random."""
    best_first = sorted(range(len(searched)), key=lambda at: -rewards[at])
    joined = _flat(searched[at] for at in best_first[:top])
    return joined, _flat(drawn)[: len(joined)]


def _flat(policies) -> list[str]:
    return list(itertools.chain.from_iterable(policies))


def _matched_in_loops(searched, rewards, drawn, top):
    joined, left = [], list(zip(rewards, searched))
    for _ in range(top):
        best = max(left, key=lambda pair: pair[0])
        left.remove(best)
        for sub_policy in best[1]:
            joined.append(sub_policy)
    control = []
    for policy in drawn:
        for sub_policy in policy:
            if len(control) < len(joined):
                control.append(sub_policy)
    return joined, control


def _matched_in_numpy(searched, rewards, drawn, top):
    order = np.argsort(-np.array(rewards))[:top]
    joined = np.concatenate([searched[at] for at in order]).tolist()
    return joined, np.concatenate(drawn).tolist()[: len(joined)]


def _first_ones(searched, rewards, drawn, top):
    joined = _flat(searched[:top])
    return joined, _flat(drawn)[: len(joined)]


def _worst_ones(searched, rewards, drawn, top):
    joined = _flat(searched[at] for at in sorted(range(len(searched)), key=lambda at: rewards[at])[:top])
    return joined, _flat(drawn)[: len(joined)]


def _joined(searched, rewards, top):
    return size_matched(searched, rewards, [], top)[0]


def _last_of_the_search(searched, rewards, drawn, top):
    """The control from the search itself: the policies that it liked least."""
    joined = _joined(searched, rewards, top)
    worst = sorted(range(len(searched)), key=lambda at: rewards[at])
    return joined, _flat(searched[at] for at in worst)[: len(joined)]


def _one_drawn(searched, rewards, drawn, top):
    return _joined(searched, rewards, top), list(drawn[0])


def _best_alone(searched, rewards, drawn, top):
    best = searched[max(range(len(searched)), key=lambda at: rewards[at])]
    return list(best), _flat(drawn)[: len(best)]


def _as_many_policies(searched, rewards, drawn, top):
    return _joined(searched, rewards, top), _flat(drawn[:top])


def _nested(searched, rewards, drawn, top):
    best_first = sorted(range(len(searched)), key=lambda at: -rewards[at])
    return [searched[at] for at in best_first[:top]], drawn[:top]


def _policies_case(generator: torch.Generator) -> Case:
    """Searched policies of three sub-policies, drawn ones of two: as many policies are not as many sub-policies."""
    count, top = random_whole(generator, 4, 6), random_whole(generator, 2, 3)
    rewards = torch.randperm(count, generator=generator)
    if int(rewards[0]) == count - 1:
        rewards = rewards.roll(1)
    searched = [[f"s{policy}{one}" for one in "abc"] for policy in range(count)]
    drawn = [[f"d{policy}{one}" for one in "ab"] for policy in range(6)]
    return Case(searched, [round(0.5 + reward / 50, 2) for reward in rewards.tolist()], drawn, top)


def _ordered(searched, rewards, drawn, top):
    """The best ones joined in the order in which they were tried."""
    best = sorted(sorted(range(len(searched)), key=lambda at: -rewards[at])[:top])
    joined = _flat(searched[at] for at in best)
    return joined, _flat(drawn)[: len(joined)]


def _control(control):
    """A wrong answer: the right joined policy, and `control(drawn, joined, top)`."""

    def wrong(searched, rewards, drawn, top):
        joined = _joined(searched, rewards, top)
        return joined, control(drawn, joined, top)

    return wrong


def _of_size(number):
    """A wrong answer: another number of policies, `number(top, searched)`."""
    return lambda searched, rewards, drawn, top: size_matched(searched, rewards, drawn, number(top, searched))


def _worst_first(searched, rewards, drawn, top):
    joined = _flat(searched[at] for at in sorted(range(len(searched)), key=lambda at: rewards[at])[-top:])
    return joined, _flat(drawn)[: len(joined)]


def _rest_of_the_search(searched, rewards, drawn, top):
    joined = _joined(searched, rewards, top)
    return joined, _joined(searched, rewards, len(searched))[len(joined) :][: len(joined)]


def _whole_policies(drawn, joined, top):
    control = []
    for policy in drawn:
        if len(control) < len(joined):
            control += policy
    return control


def _one_of_each(searched, rewards, drawn, top):
    best_first = sorted(range(len(searched)), key=lambda at: -rewards[at])
    return [searched[at][0] for at in best_first[:top]], [policy[0] for policy in drawn[:top]]


SIZE_MATCHED = Exercise(
    id="12.8",
    title="A control of the same size",
    reference=size_matched,
    cases=(
        Case([["a", "b"], ["c", "d"], ["e", "f"]], [0.5, 0.75, 0.625], [["u"], ["v"], ["w"], ["x"], ["y"]], 1),
        Case([["a", "b"], ["c", "d"], ["e", "f"]], [0.5, 0.75, 0.625], [["u"], ["v"], ["w"], ["x"], ["y"]], 2),
        Case([["a"], ["b", "c"]], [0.25, 0.5], [["u", "v"], ["w", "x"]], 2),
        *random_cases(6, seed=128, make=_policies_case),
    ),
    mistakes=(
        Mistake(
            _one_drawn,
            "The control is a single policy, and the searched one is several policies joined. Then the comparison may "
            "measure variety only: the control needs as many sub-policies.",
        ),
        Mistake(
            _as_many_policies,
            "The control has as many *policies*, but these may differ in length. Count sub-policies: a picture draws "
            "from them.",
        ),
        Mistake(
            _last_of_the_search,
            "The control comes from the search itself, and it is the worst that the search has found. A control is "
            "drawn at random, without looking at any reward.",
        ),
        Mistake(_best_alone, "That is the best policy alone. Join the `top` best ones into one list of sub-policies."),
        Mistake(_first_ones, "Those are the policies that were tried first. Sort them by their rewards, best first."),
        Mistake(_worst_ones, "Those are the worst ones: sort by the rewards in *descending* order."),
        Mistake(_nested, "Those are lists of policies. A joined policy is one list of sub-policies."),
        Mistake(
            lambda searched, rewards, drawn, top: (_joined(searched, rewards, top), _flat(drawn)),
            "The control has all the sub-policies that were drawn. It must be as large as the joined policy: cut it to "
            "the same length.",
        ),
        Mistake(
            lambda searched, rewards, drawn, top: size_matched(searched, rewards, drawn, top)[::-1],
            "The two lists are swapped: first the searched policies, then the control.",
        ),
    ),
    symptoms=(
        variants("The policies are right, but in the wrong order: the best one comes first.", _ordered, _worst_first),
        variants(
            "`top` counts *policies*. Join all sub-policies of the `top` best ones.",
            lambda searched, rewards, drawn, top: (_joined(searched, rewards, top)[:top], _flat(drawn)[:top]),
            _one_of_each,
            lambda searched, rewards, drawn, top: (_one_of_each(searched, rewards, drawn, top)[0], _flat(drawn)[:top]),
        ),
        variants(
            "The number of policies is not `top`. Take exactly the `top` best ones.",
            _of_size(lambda top, searched: top - 1),
            _of_size(lambda top, searched: len(searched)),
            _of_size(lambda top, searched: top + 1),
        ),
        variants(
            "The joined policy is right. The control has a different size: it needs as many *sub-policies* as the "
            "joined one, so cut it to the same length.",
            _control(lambda drawn, joined, top: _flat(drawn)[:top]),
            _control(_whole_policies),
        ),
        Symptom(
            lambda got, expected, arguments: any(isinstance(one, (list, tuple)) for one in got[1]),
            "The joined policy is right. The control holds policies: join their sub-policies into one list, then "
            "cut it.",
            (_control(lambda drawn, joined, top: drawn[: len(joined)]),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got[0] == expected[0] and got[1] != expected[1] and set(got[1]) <= set(_flat(arguments["searched"]))
            ),
            "The control comes from the search, so it was chosen by rewards. Take the policies that were drawn at "
            "random.",
            (_rest_of_the_search,),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got[0] == expected[0]
                and got[1] != expected[1]
                and len(got[1]) == len(expected[1])
                and set(got[1]) <= set(_flat(arguments["drawn"]))
            ),
            "The control has the right size. It consists of the *first* drawn sub-policies, in their order.",
            (_control(lambda drawn, joined, top: _flat(drawn)[-len(joined) :]),),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got[0], str) or len(got) != 2,
            "That is one list. Return two: the joined policy, and its control.",
            (
                lambda searched, rewards, drawn, top: _joined(searched, rewards, top),
                lambda searched, rewards, drawn, top: size_matched(searched, rewards, drawn, top)[1],
            ),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got[0], set) or isinstance(got[1], set),
            "A set has no order. Return lists: the best policy first.",
            (lambda searched, rewards, drawn, top: tuple(map(set, size_matched(searched, rewards, drawn, top))),),
        ),
        Symptom(
            lambda got, expected, arguments: bool(got[0]) and all(isinstance(one, int) for one in got[0]),
            "Those are the numbers of the policies. Return their sub-policies.",
            (lambda searched, rewards, drawn, top: (list(range(top)), list(range(top))),),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and got[0] == expected[0] and got[1] != expected[1],
            "The joined policy is right, and the control is not. It consists of the first drawn sub-policies, as "
            "many as "
            "the joined policy has.",
            (_control(lambda drawn, joined, top: ["x", *_flat(drawn)][: len(joined) + 2]),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                len(got) == 2 and set(got[0]) <= set(_flat(arguments["searched"])) and set(got[0]) != set(expected[0])
            ),
            "Those are not the sub-policies of the `top` policies with the highest rewards.",
            (lambda searched, rewards, drawn, top: (_flat(searched)[:1], _flat(drawn)[:1]),),
        ),
    ),
    also_correct=(_matched_in_loops, _matched_in_numpy),
)
