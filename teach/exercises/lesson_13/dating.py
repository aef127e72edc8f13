"""Lesson 13, exercise 13.9: which constant of an engine changed, read from two operator tables."""

import torch

from mini_lib.llm.cost.step import step
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 13.9 -----------------------------------------------------------------------------------------------

PARTS = {"attention": "kv_reread", "all-reduce": "collective_s", "starting kernels": "launch_s"}


def what_changed(old_ms: dict[str, float], new_ms: dict[str, float]) -> tuple[str, float]:
    """The constant that changed between two engines, and the new price per token as a share of the old one."""
    changed = [part for part in old_ms if new_ms[part] != old_ms[part]]
    constant = PARTS[changed[0]] if len(changed) == 1 and changed[0] in PARTS else "bandwidth"
    return constant, sum(new_ms.values()) / sum(old_ms.values())


def _by_cases(old_ms, new_ms):
    if new_ms["matrices"] != old_ms["matrices"]:
        name = "bandwidth"
    elif new_ms["attention"] != old_ms["attention"]:
        name = "kv_reread"
    elif new_ms["all-reduce"] != old_ms["all-reduce"]:
        name = "collective_s"
    else:
        name = "launch_s"
    before = after = 0.0
    for part, ms in old_ms.items():
        before, after = before + ms, after + new_ms[part]
    return [name, after / before]


def _tables(matrices: float, attention: float, exchange: float, start: float, constant: str, factor: float) -> Case:
    old = {"matrices": matrices, "attention": attention, "all-reduce": exchange, "starting kernels": start}
    slower = {"bandwidth": ("matrices", "attention")}.get(constant, [p for p, c in PARTS.items() if c == constant])
    return Case(old, {part: ms * factor if part in slower else ms for part, ms in old.items()})


def _engine_case(generator: torch.Generator) -> Case:
    constants = ("kv_reread", "collective_s", "launch_s", "bandwidth")
    times = (float(random_whole(generator, 2, 20)) for _ in range(4))
    return _tables(*times, constants[random_whole(generator, 0, 3)], 0.25 * random_whole(generator, 1, 3))


def _with(share):
    """A wrong answer: the right constant, and `share(old, new)` for the price."""
    return lambda old_ms, new_ms: (what_changed(old_ms, new_ms)[0], share(old_ms, new_ms))


def _of_changed(old_ms, new_ms):
    part = next(part for part in old_ms if new_ms[part] != old_ms[part])
    return new_ms[part] / old_ms[part]


def _longest(old_ms, new_ms):
    part = max(old_ms, key=old_ms.get)
    return PARTS.get(part, "bandwidth"), what_changed(old_ms, new_ms)[1]


def _mean_of_shares(old_ms, new_ms):
    shares = [new_ms[part] / ms for part, ms in old_ms.items() if ms]
    return sum(shares) / len(shares)


def _without_starts(old_ms, new_ms):
    return sum(ms for part, ms in new_ms.items() if part != "starting kernels") / sum(
        ms for part, ms in old_ms.items() if part != "starting kernels"
    )


def _part_itself(old_ms, new_ms):
    part = next(part for part in old_ms if new_ms[part] != old_ms[part])
    return part, what_changed(old_ms, new_ms)[1]


def _last_changed(old_ms, new_ms):
    part = [part for part in old_ms if new_ms[part] != old_ms[part]][-1]
    return PARTS.get(part, "bandwidth"), what_changed(old_ms, new_ms)[1]


def _named(name):
    """A wrong answer: the right share, and `name(old, new)` for the constant."""
    return lambda old_ms, new_ms: (name(old_ms, new_ms), what_changed(old_ms, new_ms)[1])


def _pick(parts):
    part = next(iter(parts), "matrices")
    return PARTS.get(part, "bandwidth")


WHAT_CHANGED = Exercise(
    id="13.9",
    title="What did the new engine change?",
    reference=what_changed,
    cases=(
        _tables(4.0, 4.0, 0.0, 2.0, "kv_reread", 0.5),
        _tables(4.0, 4.0, 0.0, 2.0, "launch_s", 0.5),
        _tables(4.0, 2.0, 6.0, 1.0, "collective_s", 0.5),
        _tables(6.0, 3.0, 1.0, 2.0, "bandwidth", 0.5),
        _tables(8.0, 2.0, 1.0, 1.0, "kv_reread", 2.0),
        _tables(8.0, 2.0, 1.0, 1.0, "collective_s", 3.0),
        _tables(8.0, 2.0, 1.0, 1.0, "bandwidth", 2.0),
        _tables(2.0, 8.0, 1.0, 1.0, "bandwidth", 0.5),
        *random_cases(8, seed=139, make=_engine_case),
    ),
    mistakes=(
        Mistake(
            _named(lambda old, new: _pick(part for part in old if new[part] < old[part])),
            "That looks only at parts that became faster. A constant may also have become worse: look for parts that "
            "*differ*.",
        ),
        Mistake(
            _named(lambda old, new: _pick([max(old, key=lambda part: old[part] - new[part])])),
            "That is the part that gained most. Look for every part that differs: where two do, or one became slower, "
            "the largest gain misleads.",
        ),
        Mistake(
            _named(lambda old, new: _pick([max(old, key=lambda part: abs(old[part] - new[part]))])),
            "That is the part that changed most. Where matrices *and* attention changed, it is the bandwidth, "
            "whichever of them changed more.",
        ),
        Mistake(
            _with(lambda old, new: sum(old.values()) / sum(new.values())),
            "That is how many times faster the new engine is. The rent per hour is the same, so a token that takes "
            "less time costs less: new over old.",
        ),
        Mistake(
            _with(_of_changed),
            "That is the share for the part that changed. Everything else still takes its time: add up all parts.",
        ),
        Mistake(
            _with(lambda old, new: sum(old.values()) - sum(new.values())),
            "That is a difference in milliseconds. The price is proportional to the time: divide the new sum by the "
            "old one.",
        ),
        Mistake(
            _with(lambda old, new: 1 - sum(new.values()) / sum(old.values())),
            "That is the share that was saved. Return the share of the old price that is still paid.",
        ),
        Mistake(_longest, "The longest part may not be the one that changed: compare the two tables part by part."),
        Mistake(
            _last_changed,
            "Where matrices and attention changed together, their common limit changed: both wait for memory.",
        ),
        Mistake(
            lambda old_ms, new_ms: what_changed(old_ms, new_ms)[::-1],
            "The two values are swapped: first the name of the constant, then the share of the price.",
        ),
        Mistake(
            _part_itself,
            "That is the name of a row in the table. Return the constant that it depends on: attention depends on "
            "kv_reread, the all-reduce on collective_s, starting kernels on launch_s, and the matrices on bandwidth.",
        ),
        Mistake(
            _with(_mean_of_shares),
            "That is the mean of the shares of the parts, as if each part took the same time. Add up the times first, "
            "then divide.",
        ),
        Mistake(
            _with(lambda old, new: max(new.values()) / max(old.values())),
            "The parts follow one another, so the longest does not hide the others: a token takes the sum of them.",
        ),
        Mistake(
            _with(_without_starts),
            "Nothing is computed while kernels are started, but the rent runs on: that time belongs to the sum, too.",
        ),
        Mistake(
            _with(lambda old, new: 100 * sum(new.values()) / sum(old.values())),
            "That is in percent. Return a share: 0.8 where the price falls by a fifth.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: (
                isinstance(got, (tuple, list))
                and isinstance(got[0], str)
                and got[0] not in (*PARTS.values(), "bandwidth", *PARTS)
            ),
            'The name is not one of the constants. They are "kv_reread", "collective_s", "launch_s" and "bandwidth".',
            (_named(lambda old, new: "speed"),),
        ),
        Symptom(
            lambda got, expected, arguments: got[0] == "bandwidth" != expected[0],
            "That is bandwidth in every case. Compare the tables part by part: only where matrices changed it was the "
            "bandwidth.",
            (_named(lambda old, new: "bandwidth"),),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got[0], (list, tuple)),
            "The first value is a list. One constant differs: where matrices and attention changed together, it is the "
            "bandwidth.",
            (_named(lambda old, new: [PARTS.get(part, "bandwidth") for part in old if old[part] != new[part]]),),
        ),
        variants(
            "That is a time in milliseconds. The price is a share: divide the new sum by the old one.",
            _with(lambda old, new: sum(new.values())),
            _with(lambda old, new: sum(new.values()) - sum(old.values())),
            _with(lambda old, new: sum(new.values()) / 1000),
        ),
        variants(
            "That is a change in the price. The share is what is still paid: new sum over old sum, without minus 1.",
            _with(lambda old, new: sum(new.values()) / sum(old.values()) - 1),
        ),
        variants(
            "Each part counts the same there, or some are left out. Add up all four times, then divide the new sum by "
            "the old one.",
            _with(lambda old, new: sum(new[part] / old[part] if old[part] else 1 for part in old) / 4),
            _with(lambda old, new: (new["matrices"] + new["attention"]) / (old["matrices"] + old["attention"])),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and got[0] == expected[0] and got[1] != expected[1],
            "The constant is right, and the share is not. Add up all parts of both tables, and divide the new sum "
            "by the "
            "old one.",
            (_with(lambda old, new: 0.125),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                len(got) == 2
                and got[0] != expected[0]
                and got[0] in (*PARTS.values(), "bandwidth")
                and abs(got[1] / expected[1] - 1) < 1e-6
            ),
            "The share is right, and the constant is not. See which parts differ, and which constant each depends on: "
            "the all-reduce on collective_s, starting kernels on launch_s, attention alone on kv_reread.",
            (_named(lambda old, new: "kv_reread"),),
        ),
    ),
    also_correct=(_by_cases,),
    forbidden=(step,),
)
