"""Lesson 07, exercise 7.7: what fewer MACs are worth in seconds, by the roofline."""

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

Layers = list[tuple[int, int]]


def times_faster(before: Layers, after: Layers, peak: float, bandwidth: float) -> float:
    """How many times faster `after` is than `before`, both lists of (MACs, moved bytes), one layer after the other."""
    return _seconds(before, peak, bandwidth) / _seconds(after, peak, bandwidth)


def _seconds(layers: Layers, peak: float, bandwidth: float) -> float:
    return sum(max(2 * macs / peak, moved / bandwidth) for macs, moved in layers)


def _faster_in_numpy(before, after, peak, bandwidth):
    first, second = (
        np.maximum(2 * np.array(layers)[:, 0] / peak, np.array(layers)[:, 1] / bandwidth) for layers in (before, after)
    )
    return first.sum() / second.sum()


def _faster_by_intensity(before, after, peak, bandwidth):
    seconds = []
    for layers in (before, after):
        seconds.append(0.0)
        for macs, moved in layers:
            flops = 2 * macs
            rate = min(peak, flops / moved * bandwidth)
            seconds[-1] += flops / rate
    return seconds[0] / seconds[1]


def _with_seconds(seconds):
    """A wrong answer: the ratio of what `seconds(layers, peak, bandwidth)` takes for the times."""
    return lambda before, after, peak, bandwidth: seconds(before, peak, bandwidth) / seconds(after, peak, bandwidth)


def _macs(layers: Layers) -> int:
    return sum(macs for macs, _ in layers)


def _bytes(layers: Layers) -> int:
    return sum(moved for _, moved in layers)


def _layers_case(generator: torch.Generator) -> Case:
    """A convolution that computes for long, and a pair of which one part waits for memory."""
    peak, bandwidth = float(random_whole(generator, 20, 60) * 10**9), float(random_whole(generator, 4, 10) * 10**9)
    macs, moved = random_whole(generator, 20, 60) * 10**6, random_whole(generator, 1, 12) * 10**6
    light, heavy = macs // random_whole(generator, 30, 60), macs // random_whole(generator, 4, 10)
    pair = [(light, moved * random_whole(generator, 5, 20) // 10), (heavy, moved * random_whole(generator, 5, 9) // 10)]
    return Case([(macs, moved)], pair, peak, bandwidth)


def _of_times(compute, together, upside):
    """A wrong answer: `compute(macs, peak)` seconds of arithmetic, `together` with those of moving."""

    def seconds(layers, peak, bandwidth):
        return sum(together(compute(macs, peak), moved / bandwidth) for macs, moved in layers)

    def wrong(before, after, peak, bandwidth):
        ratio = seconds(before, peak, bandwidth) / seconds(after, peak, bandwidth)
        return 1 / ratio if upside else ratio

    return wrong


TIMES_FASTER = Exercise(
    id="7.7",
    title="Seconds, not MACs",
    reference=times_faster,
    cases=(
        Case([(500, 40)], [(100, 40)], peak=100.0, bandwidth=10.0),
        Case([(500, 40)], [(50, 40), (50, 60)], peak=100.0, bandwidth=10.0),
        Case([(500, 40)], [(50, 80), (50, 80)], peak=100.0, bandwidth=10.0),
        Case([(500, 40)], [(300, 10), (50, 30)], peak=100.0, bandwidth=10.0),
        *random_cases(8, seed=77, make=_layers_case),
    ),
    mistakes=(
        Mistake(
            _with_seconds(lambda layers, peak, bandwidth: _macs(layers)),
            "That is how many times fewer MACs. Fewer MACs do not yet mean less time: a layer that waits for memory "
            "gains nothing by them.",
        ),
        Mistake(
            _with_seconds(lambda layers, peak, bandwidth: _bytes(layers)),
            "Those are the bytes alone. A layer that computes for longer than it moves data takes the time of its "
            "arithmetic.",
        ),
        Mistake(
            _with_seconds(
                lambda layers, peak, bandwidth: sum(max(macs / peak, moved / bandwidth) for macs, moved in layers)
            ),
            "The peak counts FLOPs, and a MAC is two of them.",
        ),
        Mistake(
            _with_seconds(
                lambda layers, peak, bandwidth: sum(2 * macs / peak + moved / bandwidth for macs, moved in layers)
            ),
            "That adds the two times of a layer. The roofline lets a machine compute and fetch at once: the longer one "
            "decides.",
        ),
        Mistake(
            _with_seconds(
                lambda layers, peak, bandwidth: sum(min(2 * macs / peak, moved / bandwidth) for macs, moved in layers)
            ),
            "The layer is done when both are done: the longer time decides, not the shorter one.",
        ),
        Mistake(
            _with_seconds(lambda layers, peak, bandwidth: max(2 * _macs(layers) / peak, _bytes(layers) / bandwidth)),
            "That takes the two parts for one layer. They run one after the other, and while the first one waits for "
            "memory the second one cannot compute: the longer time of each, then the sum.",
        ),
        Mistake(
            _with_seconds(
                lambda layers, peak, bandwidth: max(max(2 * macs / peak, moved / bandwidth) for macs, moved in layers)
            ),
            "That is the time of the slowest part. The second part begins where the first one ends: add up.",
        ),
        Mistake(
            lambda before, after, peak, bandwidth: times_faster(after, before, peak, bandwidth),
            "That is upside down: the speedup is the old time over the new one.",
        ),
        Mistake(
            lambda before, after, peak, bandwidth: _seconds(before, peak, bandwidth) - _seconds(after, peak, bandwidth),
            "Those are the seconds that are saved. The speedup is a ratio.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: len(got) == 2,
            "Those are two numbers. Divide the old time by the new one.",
            [lambda before, after, peak, bandwidth: tuple(_seconds(one, peak, bandwidth) for one in (before, after))],
        ),
        variants(
            "That is a different comparison. The speedup is the old time divided by the new one, and nothing more.",
            *(
                lambda before, after, peak, bandwidth, of=of: of(
                    _seconds(before, peak, bandwidth), _seconds(after, peak, bandwidth)
                )
                for of in (
                    lambda old, new: old / new - 1,
                    lambda old, new: 100 * (old / new - 1),
                    lambda old, new: 1 - new / old,
                    lambda old, new: 100 * (1 - new / old),
                    lambda old, new: (old - new) / new,
                    lambda old, new: new,
                    lambda old, new: old,
                )
            ),
        ),
        variants(
            "The peak counts FLOPs, of which a MAC is two: 2 * macs / peak. It is not the only mistake; fix it first.",
            *(
                _of_times(lambda m, p, flops=flops: flops * m / p, together, upside)
                for flops in (1, 1 / 2)
                for together in (max, min, lambda a, b: a + b)
                for upside in (False, True)
                if (flops, together, upside) != (1, max, False)
            ),
            _with_seconds(lambda layers, peak, bandwidth: max(_macs(layers) / peak, _bytes(layers) / bandwidth)),
        ),
        variants(
            "A time is an amount divided by its own rate: FLOPs by `peak`, bytes by `bandwidth`.",
            *(
                _with_seconds(
                    lambda layers, peak, bandwidth, of=of: sum(
                        max(*of(2 * m, moved, peak, bandwidth)) for m, moved in layers
                    )
                )
                for of in (
                    lambda f, x, p, b: (f / b, x / p),
                    lambda f, x, p, b: (f * p, x * b),
                    lambda f, x, p, b: (p / f, b / x),
                    lambda f, x, p, b: (f / p, 8 * x / b),
                    lambda f, x, p, b: (f / p, x / 8 / b),
                )
            ),
        ),
        variants(
            "Those are rates, and rates do not add up. Take the seconds of each layer, and add these.",
            *(
                lambda before, after, peak, bandwidth, turn=turn, pick=pick: turn(
                    *(sum(pick(peak, 2 * m / x * bandwidth) for m, x in layers) for layers in (before, after))
                )
                for pick in (min, max)
                for turn in (lambda old, new: old / new, lambda old, new: new / old)
            ),
        ),
        variants(
            "All layers count, each with its own time: add the times of `before`, add those of `after`, then divide.",
            _with_seconds(lambda layers, peak, bandwidth: _seconds(layers[:1], peak, bandwidth)),
            _with_seconds(lambda layers, peak, bandwidth: _seconds(layers[-1:], peak, bandwidth)),
            _with_seconds(lambda layers, peak, bandwidth: _seconds(layers, peak, bandwidth) / len(layers)),
            lambda before, after, peak, bandwidth: sum(
                _seconds([one], peak, bandwidth) / _seconds([other], peak, bandwidth)
                for one, other in zip(before, after)
            ),
            lambda before, after, peak, bandwidth: sum(
                _seconds(before, peak, bandwidth) / _seconds([other], peak, bandwidth) for other in after
            ),
        ),
    ),
    also_correct=(_faster_in_numpy, _faster_by_intensity),
)
