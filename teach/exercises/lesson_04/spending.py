"""Lesson 04, exercise 4.7: where the next byte is spent best."""

import itertools
import operator

import torch

from mini_lib import knapsack
from mini_lib.quantize import mixed
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

Layers = dict[str, list[tuple[int, int, float]]]

# 4.7 ------------------------------------------------------------------------------------------------


def spend(layers: Layers, budget: int) -> dict[str, int]:
    """Bits for each layer: starting from the fewest, always the affordable step that saves the most error per byte."""
    place = dict.fromkeys(layers, 0)
    left = budget - sum(options[0][1] for options in layers.values())
    while True:
        steps = [step for step in _steps(layers, place) if step[1] <= left]
        if not steps:
            return {name: layers[name][at][0] for name, at in place.items()}
        name, more, _ = max(steps, key=lambda step: step[2] / step[1])
        place[name] += 1
        left -= more


def _steps(layers: Layers, place: dict[str, int]) -> list[tuple[str, int, float]]:
    """For each layer that has a next option: (name, bytes more, error saved)."""
    found = []
    for name, options in layers.items():
        if place[name] + 1 < len(options):
            (_, now, error), (_, then, less) = options[place[name] : place[name] + 2]
            found.append((name, then - now, error - less))
    return found


def _spend_by_bytes(layers: Layers, budget: int) -> dict[str, int]:
    """The same, kept as bytes and found by sorting."""
    bits = {name: options[0][0] for name, options in layers.items()}
    spent = sum(options[0][1] for options in layers.values())
    open_layers = True
    while open_layers:
        ranked = []
        for name, options in layers.items():
            at = [option[0] for option in options].index(bits[name])
            for option in options[at + 1 : at + 2]:
                more = option[1] - options[at][1]
                ranked.append((-(options[at][2] - option[2]) / more, name, option[0], more))
        fitting = sorted(step for step in ranked if spent + step[3] <= budget)
        open_layers = bool(fitting)
        for _, name, width, more in fitting[:1]:
            bits[name] = width
            spent += more
    return bits


def _greedy(rank, *, pays=lambda now, then: then[1] - now[1], fits=operator.le, stop=False, late=False, most=99):
    """A wrong answer: step by step, the best by `rank(more bytes, error saved, option now, option then)`.

    Of equals the first is taken, or with `late` the last. It ends after `most` steps.
    """

    def wrong(layers: Layers, budget: int) -> dict[str, int]:
        place = dict.fromkeys(layers, 0)
        left = budget - sum(options[0][1] for options in layers.values())
        while True:
            steps = []
            for name, more, saved in _steps(layers, place) if sum(place.values()) < most else ():
                now, then = layers[name][place[name] : place[name] + 2]
                steps.append((rank(more, saved, now, then), name, pays(now, then)))
            if not stop:
                steps = [step for step in steps if fits(step[2], left)]
            best = max(steps[::-1] if late else steps, key=lambda step: step[0], default=None)
            if not best or not fits(best[2], left):
                return {name: layers[name][at][0] for name, at in place.items()}
            _, name, price = best
            place[name] += 1
            left -= price

    return wrong


def _total(options) -> int:
    return sum(option[1] for option in options)


def _same_for_all(layers: Layers, budget: int) -> dict[str, int]:
    counts = range(min(len(options) for options in layers.values()))
    affordable = [at for at in counts if _total(options[at] for options in layers.values()) <= budget]
    return {name: options[max(affordable)][0] for name, options in layers.items()}


def _best_of_all(layers: Layers, budget: int) -> dict[str, int]:
    every = itertools.product(*layers.values())
    best = min((one for one in every if _total(one) <= budget), key=lambda one: sum(option[2] for option in one))
    return {name: option[0] for name, option in zip(layers, best)}


def _one_by_one(layers: Layers, budget: int) -> dict[str, int]:
    left = budget - _total(options[0] for options in layers.values())
    bits = {}
    for name, options in layers.items():
        bits[name], cost, _ = max(option for option in options if option[1] - options[0][1] <= left)
        left -= cost - options[0][1]
    return bits


def _with_jumps(layers: Layers, budget: int) -> dict[str, int]:
    place = dict.fromkeys(layers, 0)
    left = budget - _total(options[0] for options in layers.values())
    while True:
        jumps = []
        for name, options in layers.items():
            _, now, error = options[place[name]]
            for at, (_, then, less) in enumerate(options[place[name] + 1 :], place[name] + 1):
                if then - now <= left:
                    jumps.append(((error - less) / (then - now), name, at, then - now))
        if not jumps:
            return {name: layers[name][at][0] for name, at in place.items()}
        _, name, place[name], more = max(jumps)
        left -= more


def _from_the_top(layers: Layers, budget: int) -> dict[str, int]:
    place = {name: len(options) - 1 for name, options in layers.items()}

    def harm_per_byte(name):
        (_, less, more_error), (_, more, error) = layers[name][place[name] - 1 : place[name] + 1]
        return (more_error - error) / (more - less)

    while _total(layers[name][at] for name, at in place.items()) > budget:
        place[min((name for name, at in place.items() if at), key=harm_per_byte)] -= 1
    return {name: layers[name][at][0] for name, at in place.items()}


def _spend_case(generator: torch.Generator) -> Case:
    """Three layers of very different size, no two steps of equal worth."""
    while True:
        layers = {}
        for name in ("conv1", "conv2", "linear"):
            size, start = random_whole(generator, 4, 60), random_whole(generator, 20, 400)
            falls = [
                start,
                start * random_whole(generator, 30, 90) // 100,
                start * random_whole(generator, 5, 25) // 100,
            ]
            widths = ((2, 3, 4), (2, 4, 8))[random_whole(generator, 0, 1)]
            beside = random_whole(generator, 0, 200)  # what a layer stores at any width: its biases, its scales
            layers[name] = [(bits, size * bits + beside, error / 100) for bits, error in zip(widths, falls)]
        least, most = (_total(options[at] for options in layers.values()) for at in (0, -1))
        budget = random_whole(generator, least + 1, most - 1)
        worth = sorted(
            (options[at][2] - options[at + 1][2]) / (options[at + 1][1] - options[at][1])
            for options in layers.values()
            for at in (0, 1)
        )
        if all(high - low > 1e-4 for low, high in itertools.pairwise(worth)):
            return Case(layers, budget)


def _price(layers: Layers, bits: dict[str, int]) -> int:
    return sum(option[1] for name, options in layers.items() for option in options if option[0] == bits[name])


def _small_step_case(generator: torch.Generator) -> Case:
    """The best step is too dear at some time, and a smaller one still fits."""
    while True:
        case = _spend_case(generator)
        if _greedy(lambda more, saved, now, then: saved / more, stop=True)(*case.args) != spend(*case.args):
            return case


SPEND = Exercise(
    id="4.7",
    title="Where the next byte is spent best",
    reference=spend,
    cases=(
        Case({"a": [(2, 10, 1.0), (4, 20, 0.5)], "b": [(2, 10, 1.0), (4, 20, 0.0)]}, 30),
        Case({"a": [(2, 10, 1.0), (4, 20, 0.5)], "b": [(2, 100, 1.0), (4, 200, 0.25)]}, 210),
        Case({"a": [(2, 10, 1.0), (3, 15, 0.5), (4, 20, 0.25)], "b": [(2, 100, 9.0), (4, 200, 0.0)]}, 120),
        Case({"a": [(2, 10, 1.0), (4, 11, 0.0)], "b": [(2, 10, 9.0), (4, 20, 0.0)]}, 30),
        Case({"a": [(2, 10, 1.0), (3, 20, 0.75), (4, 30, 0.0)], "b": [(2, 10, 1.0), (4, 20, 0.625)]}, 40),
        Case({"a": [(2, 10, 2.0), (3, 30, 1.0), (4, 40, 0.6)], "b": [(2, 10, 1.0), (4, 50, 0.5)]}, 30),
        *random_cases(9, seed=47, make=_spend_case),
        *random_cases(3, seed=470, make=_small_step_case),
    ),
    mistakes=(
        Mistake(
            _greedy(lambda more, saved, now, then: saved),
            "That takes the step that saves the most error, whatever it costs. Divide by the bytes: ten small steps "
            "may save more for the same price.",
        ),
        Mistake(
            _greedy(lambda more, saved, now, then: -more),
            "That takes the cheapest step first. A cheap step may save nothing worth having: compare error saved per "
            "byte.",
        ),
        Mistake(
            _greedy(lambda more, saved, now, then: -then[2]),
            "That looks at the error that is left after the step. A step buys the *difference*.",
        ),
        Mistake(
            _greedy(lambda more, saved, now, then: saved / more, stop=True),
            "You stopped at the first step that does not fit. A smaller step elsewhere may still fit: leave out only "
            "those that are too expensive.",
        ),
        Mistake(
            _greedy(lambda more, saved, now, then: saved / more, fits=operator.lt),
            "A step that spends exactly the rest of the budget is affordable: <=, not <.",
        ),
        Mistake(
            _same_for_all,
            "All layers have the same bits. That is the control: layers differ in how much they cost and in how much "
            "they suffer.",
        ),
        Mistake(
            _one_by_one,
            "The first layer takes all it can get, and the others share the rest. In each step, compare all layers.",
        ),
        Mistake(
            _with_jumps, "That may jump over a width. A step leads to the *next* option of a layer: compare only those."
        ),
        Mistake(
            _from_the_top,
            "That starts with the most bits and takes away until it fits. Start with the fewest, and add: what is left "
            "at the end may still pay for a small step.",
        ),
        Mistake(
            _best_of_all,
            "That tries every combination and finds the best one, which is more than was asked for. With 4 widths and "
            "50 layers there are 10**30 of them: go step by step.",
        ),
    ),
    symptoms=(
        variants(
            "Rank the steps by the error that a step *removes* divided by the bytes that it adds, and take the "
            "largest.",
            *(
                _greedy(rank, stop=stop, late=late)
                for rank in (
                    lambda more, saved, now, then: now[2],
                    lambda more, saved, now, then: now[2] / more,
                    lambda more, saved, now, then: -then[2] / more,
                    lambda more, saved, now, then: -saved / more,
                    lambda more, saved, now, then: saved * more,
                    lambda more, saved, now, then: saved / (then[0] - now[0]),
                    lambda more, saved, now, then: saved / then[1],
                )
                for stop in (False, True)
                for late in (False, True)
            ),
            *(_greedy(lambda more, saved, now, then: saved, stop=True, late=late) for late in (False, True)),
        ),
        variants(
            "A step costs the *difference* in bytes between the next option and the present one.",
            *(
                _greedy(rank, pays=pays)
                for rank, pays in (
                    (lambda more, saved, now, then: saved / more, lambda now, then: then[1]),
                    (lambda more, saved, now, then: saved / then[1], lambda now, then: then[1]),
                )
            ),
        ),
        variants(
            "You stopped although a step still fits. Go on until no step is affordable.",
            lambda layers, budget: {name: options[0][0] for name, options in layers.items()},
            _greedy(lambda more, saved, now, then: saved / more, most=1),
            _greedy(lambda more, saved, now, then: saved / more, most=2),
        ),
        Symptom(
            lambda got, expected, given: {name: given["layers"][name][at][0] for name, at in got.items()} == expected,
            "Those are places in the lists of options. Return the bits at those places.",
            [
                lambda layers, budget: {
                    name: [option[0] for option in layers[name]].index(bits)
                    for name, bits in spend(layers, budget).items()
                }
            ],
        ),
        Symptom(
            lambda got, expected, given: _price(given["layers"], got) > given["budget"],
            "That costs more than the budget. The budget pays for the first options too: subtract their bytes before "
            "the first step, and after each step the bytes that it adds.",
            [
                lambda layers, budget: {name: options[-1][0] for name, options in layers.items()},
                lambda layers, budget: spend(layers, budget + _total(options[0] for options in layers.values())),
            ],
        ),
    ),
    also_correct=(_spend_by_bytes,),
    forbidden=(knapsack.exact, knapsack.greedy, knapsack.evolutionary, mixed.allocate),
)
