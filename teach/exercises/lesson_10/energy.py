"""Lesson 10, exercise 10.5: the energy of a layer."""

import math

import numpy as np
import torch

from mini_lib import loops
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def layer_energy(macs: int, cache_bytes: int, dram_bytes: int, pj: dict[str, float]) -> float:
    """Joules of a layer: its arithmetic, its cache accesses and its memory accesses."""
    arithmetic = macs * (pj["multiply"] + pj["add"])
    moving = cache_bytes / 8 * pj["cache word"] + dram_bytes / 8 * pj["dram word"]
    return (arithmetic + moving) * 1e-12


def _energy_in_numpy(macs, cache_bytes, dram_bytes, pj):
    names = ("multiply", "add", "cache word", "dram word")
    counts = np.array([macs, macs, cache_bytes / 8, dram_bytes / 8])
    return np.float64(counts @ np.array([pj[name] * 1e-12 for name in names]))


TABLE = {"multiply": 4.0, "add": 1.0, "cache word": 20.0, "dram word": 1500.0}  # rounded


OTHER = {"dram word": 600.0, "cache word": 10.0, "add": 0.5, "multiply": 2.0}  # in another order


def _energy_case(generator: torch.Generator) -> Case:
    macs, cache, dram = (random_whole(generator, 1, 100_000) for _ in range(3))
    return Case(macs, cache, dram, (TABLE, OTHER)[random_whole(generator, 0, 1)])


def _energy(
    moved=lambda cache, dram: (cache / 8, dram / 8), arithmetic=lambda macs, pj: macs * (pj["multiply"] + pj["add"])
):
    """A wrong answer: other words moved, or another price of the arithmetic."""

    def wrong(macs, cache_bytes, dram_bytes, pj):
        cache, dram = moved(cache_bytes, dram_bytes)
        return (arithmetic(macs, pj) + cache * pj["cache word"] + dram * pj["dram word"]) * 1e-12

    return wrong


LAYER_ENERGY = Exercise(
    id="10.5",
    title="The energy of a layer",
    reference=layer_energy,
    cases=(
        Case(1000, 0, 0, TABLE),
        Case(0, 80, 0, TABLE),
        Case(0, 0, 80, TABLE),
        Case(10, 80, 8, TABLE),
        Case(0, 12, 20, TABLE),
        Case(10, 80, 8, OTHER),
        *random_cases(6, seed=105, make=_energy_case),
    ),
    mistakes=(
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: (
                (macs * pj["multiply"] + cache_bytes / 8 * pj["cache word"] + dram_bytes / 8 * pj["dram word"]) * 1e-12
            ),
            "A multiply-accumulate is a multiplication and an addition.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, 8 * cache_bytes, 8 * dram_bytes, pj),
            "The table prices a word of 8 bytes. Divide the bytes by 8.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes / 8, dram_bytes / 8, pj),
            "A word of 64 bits is 8 bytes: divide by 8, not by 64.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes, dram_bytes, pj) * 1e12,
            "Those are picojoules. A picojoule is 1e-12 joules.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes, dram_bytes, pj) * 1e3,
            "A picojoule is 1e-12 joules; 1e-9 is a nanojoule.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, 0, dram_bytes, pj),
            "A word from the cache is cheaper than one from memory, but not free: count it too.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, 0, 0, pj),
            "That is the arithmetic alone. Moving the data takes most of the energy.",
        ),
        Mistake(
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes, dram_bytes, pj) * 1e24,
            "A joule is many picojoules: multiply the picojoules by 1e-12, not by 1e12.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: len(got) == 3 and math.isclose(sum(got), expected, rel_tol=1e-6),
            "Those are the three parts of the energy. Add them up.",
            examples=(
                lambda macs, cache_bytes, dram_bytes, pj: (
                    layer_energy(macs, 0, 0, pj),
                    layer_energy(0, cache_bytes, 0, pj),
                    layer_energy(0, 0, dram_bytes, pj),
                ),
            ),
        ),
        variants(
            "The prices are in `pj`, under their names. Another chip has other prices, perhaps in another order.",
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes, dram_bytes, TABLE),
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(
                macs, cache_bytes, dram_bytes, dict(zip(TABLE, pj.values(), strict=True))
            ),
        ),
        variants(
            "Part of a word costs its share: 12 bytes are one and a half words. Divide, and do not round.",
            _energy(lambda cache, dram: (cache // 8, dram // 8)),
            _energy(lambda cache, dram: (-(-cache // 8), -(-dram // 8))),
        ),
        variants(
            "A word has 8 bytes, in the cache and in memory. Divide both by 8: the price is per word.",
            _energy(lambda cache, dram: (cache * 8, dram * 8)),
            _energy(lambda cache, dram: (cache / 4, dram / 4)),
            _energy(lambda cache, dram: (cache, dram / 8)),
            _energy(lambda cache, dram: (cache / 8, dram)),
        ),
        variants(
            "Only words are divided by 8. The prices of a multiplication and of an addition are per operation.",
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes * 8, dram_bytes * 8, pj) / 8,
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(macs, cache_bytes, dram_bytes, pj) / 8,
            _energy(arithmetic=lambda macs, pj: macs / 8 * (pj["multiply"] + pj["add"])),
        ),
        variants(
            "Each multiply-accumulate is one multiplication and one addition: it costs both prices, once each.",
            _energy(arithmetic=lambda macs, pj: macs * pj["add"]),
            _energy(arithmetic=lambda macs, pj: macs * pj["multiply"] * pj["add"]),
            _energy(arithmetic=lambda macs, pj: 2 * macs * (pj["multiply"] + pj["add"])),
            _energy(arithmetic=lambda macs, pj: 2 * macs * pj["multiply"]),
            _energy(arithmetic=lambda macs, pj: macs / 2 * (pj["multiply"] + pj["add"])),
            _energy(arithmetic=lambda macs, pj: macs * pj["multiply"] + pj["add"]),
        ),
        variants(
            "The two prices are swapped: a word from memory (DRAM) is the expensive one.",
            lambda macs, cache_bytes, dram_bytes, pj: layer_energy(
                macs, cache_bytes, dram_bytes, pj | {"cache word": pj["dram word"], "dram word": pj["cache word"]}
            ),
        ),
        variants(
            "The arithmetic is missing: each multiply-accumulate costs a multiplication and an addition.",
            _energy(arithmetic=lambda macs, pj: 0),
        ),
        variants(
            "The memory is missing: its words are the most expensive.", _energy(lambda cache, dram: (cache / 8, 0))
        ),
        variants(
            "Nothing is subtracted: the bytes from the cache and from memory are counted separately, each at its own "
            "price.",
            _energy(lambda cache, dram: ((cache - dram) / 8, dram / 8)),
            _energy(lambda cache, dram: (cache / 8, (dram - cache) / 8)),
        ),
        variants(
            "The cache is charged for the memory's bytes as well. Each kind of byte has its own price.",
            _energy(lambda cache, dram: ((cache + dram) / 8, dram / 8)),
        ),
        variants(
            "Only the last term is converted to joules. Put the whole sum in parentheses before you multiply.",
            lambda macs, cache_bytes, dram_bytes, pj: (
                layer_energy(macs, cache_bytes, 0, pj) * 1e12 + layer_energy(0, 0, dram_bytes, pj)
            ),
        ),
        variants(
            "The three parts add up. The largest alone is not the total.",
            lambda macs, cache_bytes, dram_bytes, pj: max(
                layer_energy(macs, 0, 0, pj), layer_energy(0, cache_bytes, 0, pj), layer_energy(0, 0, dram_bytes, pj)
            ),
        ),
    ),
    also_correct=(_energy_in_numpy,),
    forbidden=(loops.energy_j,),
)
