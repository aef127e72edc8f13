"""Slips that an argument explains: it comes back as it was, or a factor or a term of its size is wrong."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from teach.slips.seen import CASES, Seen, Wrong, aligned, close, enough


def returned_as_it_came(wrong: Wrong) -> str:
    """An argument is returned unchanged."""
    if wrong.it != "it" or not enough([one.got for one in wrong.failing]):
        return ""
    cases = (*wrong.failing, *wrong.passing)
    for name in wrong.failing[0].arguments:
        pairs = [aligned(one.got, one.arguments.get(name)) for one in cases]
        if all(pair is not None and pair[0].numel() and bool(close(*pair).all()) for pair in pairs):
            return f"it is the argument `{name}`, unchanged"
    return ""


def of_an_argument(wrong: Wrong) -> str:
    """Every value is as many times too large or too small as an argument says, or as much."""
    cases = (*wrong.failing, *wrong.passing)
    if len(wrong.failing) < CASES or not enough([one.expected for one in wrong.failing]):
        return ""
    for relation, says in RELATIONS:
        sizes = [_size(one, relation) for one in cases]
        if any(size is None for size in sizes) or len({round(size, 9) for size in sizes}) < CASES:
            continue
        quantities = [dict(_quantities(one.arguments)) for one in cases]
        names = [name for name in quantities[0] if all(name in one for one in quantities)]
        for power, of in ((1, ""), (2, "the square of ")):
            found = [name for name in names if all(_is(n, q[name] ** power) for n, q in zip(sizes, quantities))]
            if len(found) == 1:
                return says.format(it=wrong.it, size=of + found[0])
    return ""


RELATIONS: tuple[tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], str], ...] = (
    (lambda mine, right: mine / right, "{it} is too large by a factor of {size}: divide by it, or leave it out"),
    (
        lambda mine, right: right / mine,
        "{it} is too small by a factor of {size}: multiply by it, or do not divide by it",
    ),
    (lambda mine, right: mine - right, "{it} is too large by {size}: subtract it, or leave it out"),
    (lambda mine, right: right - mine, "{it} is too small by {size}: add it, or do not subtract it"),
)


def _size(one: Seen, relation: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> float | None:
    """The factor or the difference in one case, where it is the same for all its values."""
    pair = aligned(one.got, one.expected)
    if pair is None or not pair[0].numel():
        return None
    sizes = relation(*pair)
    sizes = sizes[~sizes.isnan()]  # 0 / 0
    if not sizes.numel() or not bool(sizes.isfinite().all()):
        return None
    same = bool(torch.isclose(sizes, sizes[0], rtol=1e-5, atol=0.0).all())
    return float(sizes[0]) if same else None


def _is(size: float, quantity: float) -> bool:
    return math.isclose(size, quantity, rel_tol=1e-5, abs_tol=1e-12)


def _quantities(arguments: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers among the arguments, and how many items the others hold."""
    for name, thing in arguments.items():
        if isinstance(thing, (int, float)) and not isinstance(thing, bool):
            yield f"`{name}`", float(thing)
        elif isinstance(thing, torch.Tensor) and thing.ndim:
            yield f"the number of values in `{name}`", float(thing.numel())
            if thing.ndim > 1:
                yield f"the number of rows of `{name}`", float(thing.shape[0])
                yield f"the number of columns of `{name}`", float(thing.shape[1])
        elif isinstance(thing, (list, tuple)):
            yield f"the number of items in `{name}`", float(len(thing))
