"""Lesson 14, exercise 14.5: one group of a token's keys or values as codes, a step and a lowest value."""

import numpy as np
import torch
from torch import Tensor

from mini_lib.kernels import LayerCache
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 14.5 -----------------------------------------------------------------------------------------------


def cache_codes(x: Tensor, bits: int) -> tuple[Tensor, float, float]:
    """Codes of `bits` bits for the numbers of a group, [n], their step and their lowest value."""
    low, high = x.min().item(), x.max().item()
    step = (high - low) / (2**bits - 1)
    codes = ((x - low) / step).round() if step > 0 else torch.zeros_like(x)
    return codes.long(), step, low


def _by_loops(x, bits):
    numbers = x.tolist()
    low, span = min(numbers), max(numbers) - min(numbers)
    step = span / (2**bits - 1)
    return [[int((number - low) / step + 0.5) if span else 0 for number in numbers], step, low]


def _in_numpy(x, bits):
    x = x.double().numpy()
    low, step = x.min(), np.ptp(x) / (2**bits - 1)
    codes = np.rint(np.divide(x - low, step, out=np.zeros_like(x), where=step > 0))
    return codes.astype(np.uint8), step, low


def _nearest_on_the_grid(x, bits):
    """The code of the closest of all the values that can be written; of equal ones the lowest code."""
    grid = torch.linspace(x.min(), x.max(), 2**bits, dtype=torch.float64)
    return (x[:, None] - grid).abs().argmin(dim=1), (x.max() - x.min()) / (2**bits - 1), x.min()


def _with_floats(x, bits):
    """Codes as floats, and a step of 1 where it does not matter."""
    low, span = x.min(), x.max() - x.min()
    step = span / (2**bits - 1)
    return torch.round((x - low) / torch.where(step == 0, torch.ones_like(step), step)), step, low


def _on(step_of, low_of, codes_of):
    """A wrong answer, but for groups of one number repeated: those have step 0 and codes 0."""

    def wrong(x, bits):
        if x.min() == x.max():
            return torch.zeros(len(x)), 0.0, x.min()
        step = step_of(x, bits)
        return codes_of(x, step, bits), step, low_of(x, step)

    return wrong


def _step(x, bits):
    return (x.max() - x.min()) / (2**bits - 1)


def _low(x, step=None):
    return x.min()


def _codes(x, step, bits=None):
    return ((x - x.min()) / step).round()


def _symmetric(x, bits):
    step = x.abs().max() / (2 ** (bits - 1) - 1)
    return (x / step).round(), step, 0.0


def _from_zero(x, bits):
    step = x.max() / (2**bits - 1)
    return (x / step).round(), step, 0.0


def _swapped(x, bits):
    codes, step, low = cache_codes(x, bits)
    return codes, low, step


def _group_case(generator: torch.Generator) -> Case:
    """Numbers up to 3/8 of a step off the grid, which float32 holds exactly: none is halfway between two codes."""
    bits, step = (2, 4, 4, 8)[random_whole(generator, 0, 3)], 2.0 ** -random_whole(generator, 1, 5)
    inner = torch.randint(1, 2**bits - 1, (random_whole(generator, 3, 6),), generator=generator)
    off_grid = torch.randint(-3, 4, inner.shape, generator=generator) / 8
    places = torch.cat([torch.tensor([0.0, 2**bits - 1]), inner + off_grid])
    places = places[torch.randperm(len(places), generator=generator)]
    return Case(places * step - random_whole(generator, 1, 2 ** (bits + 1)) * 0.375 * step, bits)


def _plain_codes(answer):
    return torch.as_tensor(answer[0], dtype=torch.float64)


def _of_steps(steps):
    """A wrong answer: the range cut into another number of steps, `steps(bits)`."""
    return _on(lambda x, bits: (x.max() - x.min()) / steps(bits), _low, _codes)


def _other_codes(codes):
    """A wrong answer: the right step and low, and `codes(right codes, x, step, bits)`."""
    return _on(_step, _low, lambda x, step, bits: codes(_codes(x, step), x, step, bits))


def _where_equal(step_of):
    """A wrong answer: a step other than 0 for numbers that are all the same."""

    def wrong(x, bits):
        codes, step, low = cache_codes(x, bits)
        return codes, step or step_of(x, bits), low

    return wrong


CACHE_CODES = Exercise(
    id="14.5",
    title="A smaller cache",
    reference=cache_codes,
    cases=(
        Case(torch.tensor([0.0, 1.0, 2.0, 15.0]), 4),
        Case(torch.tensor([-1.0, 0.25, 0.75, 2.0]), 2),
        Case(torch.tensor([-0.75, 0.25, 1.5, 2.25]), 2),
        Case(torch.tensor([3.0, 3.0, 3.0]), 4),
        Case(torch.tensor([7.5, 4.0, 5.125, 7.0]), 3),
        Case(torch.tensor([-5.0, -2.0, -3.25, -4.0]), 2),
        Case(torch.tensor([-2.0, -2.0]), 2),
        Case(torch.tensor([-1.0, 0.125, 126.5, 1.375]), 8),
        Case(torch.tensor([0.0, 0.0, 0.0, 0.0]), 8),
        *random_cases(8, seed=145, make=_group_case),
    ),
    mistakes=(
        Mistake(
            _on(lambda x, bits: (x.max() - x.min()) / 2**bits, _low, _codes),
            "The range is cut into 2**bits steps, and the largest number gets the code 2**bits, one too many. Between "
            "2**bits codes there are 2**bits - 1 steps.",
        ),
        Mistake(
            _symmetric,
            "That grid is symmetric around 0, and half of its codes are negative. Here the codes start with 0 at the "
            "lowest number of the group.",
        ),
        Mistake(
            _on(_step, _low, lambda x, step, bits: (x - x.min()) / step),
            "The codes are not rounded. A code is stored in a few bits, so it is a whole number: round to the nearest.",
        ),
        Mistake(
            _on(_step, _low, lambda x, step, bits: ((x - x.min()) / step).floor()),
            "The codes are rounded down, and are wrong by up to a whole step. Round to nearest: half a step at most.",
        ),
        Mistake(
            _on(_step, _low, lambda x, step, bits: _codes(x, step).clamp(max=2 ** (bits - 1) - 1)),
            "The codes are cut off at half of their range. They have no sign: they go from 0 to 2**bits - 1.",
        ),
        Mistake(
            lambda x, bits: (_codes(x, _step(x, bits)), _step(x, bits), x.min()),
            "A group of equal numbers divides 0 by 0. Its step is 0, and all its codes are 0: the lowest value "
            "is enough.",
        ),
        Mistake(
            _on(
                _step,
                lambda x, step: (x.min() / step).round() * step,
                lambda x, step, bits: (x / step).round() - (x.min() / step).round(),
            ),
            "The grid is shifted by whole steps, so that 0 lies on it. Here it starts at the lowest number itself: low "
            "= min(x).",
        ),
        Mistake(
            _from_zero,
            "The grid starts at 0. Negative numbers would need negative codes, and a group far from 0 would waste most "
            "of its codes: start at the lowest number.",
        ),
        Mistake(
            _on(_step, _low, lambda x, step, bits: (x / step).round()),
            "Step and low are right, but the codes count from 0. They count from low: (x - low) / step.",
        ),
        Mistake(_swapped, "The values are right, but in the wrong order: first the codes, then the step, then low."),
    ),
    symptoms=(
        variants(
            "The codes are rounded up, and are wrong by up to a whole step. Round to nearest: half a step at most.",
            _other_codes(lambda codes, x, step, bits: ((x - x.min()) / step).ceil()),
        ),
        variants(
            "The highest code is cut off. Codes go from 0 to 2**bits - 1, inclusive.",
            _other_codes(lambda codes, x, step, bits: codes.clamp(max=2**bits - 2)),
            _other_codes(lambda codes, x, step, bits: codes.clamp(max=2 ** (bits - 1))),
        ),
        variants(
            "The range is cut into another number of steps. `bits` bits hold 2**bits codes, and between them there "
            "are 2**bits - 1 steps.",
            _of_steps(lambda bits: bits),
            _of_steps(lambda bits: 2 ** (bits - 1)),
            _of_steps(lambda bits: 2 ** (bits - 1) - 1),
            _of_steps(lambda bits: 15),
            _of_steps(lambda bits: 255),
            _of_steps(lambda bits: 2**bits + 1),
            _of_steps(lambda bits: 2**bits - 2),
        ),
        variants(
            "The second value is the whole range. A step is the range divided by 2**bits - 1.",
            _on(lambda x, bits: x.max() - x.min(), _low, lambda x, step, bits: _codes(x, _step(x, bits))),
        ),
        Symptom(
            lambda got, expected, arguments: (
                len(got) == 3
                and torch.allclose(_plain_codes(got), _plain_codes(expected) * expected[1] + expected[2])
                and not torch.equal(_plain_codes(got), _plain_codes(expected))
            ),
            "Those are the rounded numbers themselves. A code is the number of steps above low, a whole number.",
            (lambda x, bits: (x.min() + cache_codes(x, bits)[0] * cache_codes(x, bits)[1], *cache_codes(x, bits)[1:]),),
        ),
        variants(
            "The codes start at the wrong number. The lowest number of the group has code 0, and no code is negative.",
            _other_codes(lambda codes, x, step, bits: codes + 1),
            _other_codes(lambda codes, x, step, bits: codes - 1),
            _other_codes(lambda codes, x, step, bits: codes - 2 ** (bits - 1)),
        ),
        variants(
            "The codes count down from the highest number. They count up from the lowest: (x - low) / step.",
            _on(_step, lambda x, step: x.max(), lambda x, step, bits: ((x.max() - x) / step).round()),
            _other_codes(lambda codes, x, step, bits: 2**bits - 1 - codes),
        ),
        variants(
            "Codes and step are right. The third value is the *lowest* number, which belongs to code 0.",
            _on(_step, lambda x, step: x.max(), lambda x, step, bits: _codes(x, step)),
            _on(_step, lambda x, step: torch.zeros(()), lambda x, step, bits: _codes(x, step)),
            _on(_step, lambda x, step: -x.min() / step, lambda x, step, bits: _codes(x, step)),
        ),
        variants(
            "The lowest number may be negative: take the minimum of the numbers, and not of their absolute values.",
            _on(
                lambda x, bits: (x.max() - x.abs().min()) / (2**bits - 1),
                lambda x, step: x.abs().min(),
                lambda x, step, bits: ((x - x.abs().min()) / step).round(),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                arguments["x"].min() == arguments["x"].max() and float(got[1]) != 0 and float(got[1]) == float(got[1])
            ),
            "Where all numbers are the same, the step is exactly 0. A small number in its place, or 1, is stored as if "
            "there were a range.",
            (_where_equal(lambda x, bits: 1.0), _where_equal(lambda x, bits: 1e-3)),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 3 and abs(float(got[2]) - expected[2]) > 1e-5,
            "The third value is not the lowest number of the group, from which the codes count.",
            (_on(_step, lambda x, step: x.mean(), _codes),),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 3 and abs(float(got[1]) - expected[1]) > 1e-5,
            "The step is not right. From the lowest to the highest number there are 2**bits - 1 steps.",
            (_on(lambda x, bits: 3 * x.abs().max(), _low, _codes),),
        ),
    ),
    also_correct=(_by_loops, _in_numpy, _nearest_on_the_grid, _with_floats),
    forbidden=(LayerCache.write,),
)
