"""Lesson 13, exercise 13.7: one price for a mix of tokens."""

import datetime as dt

import numpy as np
import torch

from mini_lib.llm import prices
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 13.7 -----------------------------------------------------------------------------------------------


def blended_usd(price_in: float, price_out: float, tokens_in: int, tokens_out: int) -> float:
    """USD per million tokens of a mix: for each `tokens_in` that are read, `tokens_out` are written."""
    price = prices.Price(dt.date(2024, 1, 1), False, "provider", "model", price_in, price_out, "exercise")
    return prices.blended_usd(price, tokens_out / (tokens_in + tokens_out))


def _blend_by_bill(price_in, price_out, tokens_in, tokens_out):
    bill = price_in * tokens_in + price_out * tokens_out
    return bill / (tokens_in + tokens_out)


def _blend_in_numpy(price_in, price_out, tokens_in, tokens_out):
    return np.average([price_in, price_out], weights=[tokens_in, tokens_out])


def _by_spend(price_in, price_out, tokens_in, tokens_out):
    spent_in, spent_out = price_in * tokens_in, price_out * tokens_out
    return (spent_in * price_in + spent_out * price_out) / (spent_in + spent_out)


def _by_dollar(price_in, price_out, tokens_in, tokens_out):
    return (tokens_in + tokens_out) / (tokens_in / price_in + tokens_out / price_out)


def _ratio_as_share(price_in, price_out, tokens_in, tokens_out):
    share = tokens_out / tokens_in
    return (1 - share) * price_in + share * price_out


def _mix_case(generator: torch.Generator) -> Case:
    price_in = random_whole(generator, 2, 60) / 20
    price_out = price_in * random_whole(generator, 2, 5)
    tokens_out = random_whole(generator, 50, 900)
    return Case(price_in, price_out, tokens_out + random_whole(generator, 50, 3000), tokens_out)


BLENDED_USD = Exercise(
    id="13.7",
    title="One price for a mix",
    reference=blended_usd,
    cases=(
        Case(1.0, 5.0, 3, 1),
        Case(0.15, 0.60, 4, 1),
        Case(0.15, 0.60, 3, 1),
        Case(0.5, 1.5, 100, 900),
        *random_cases(8, seed=137, make=_mix_case),
    ),
    mistakes=(
        Mistake(
            lambda price_in, price_out, tokens_in, tokens_out: (price_in + price_out) / 2,
            "That is the mean of the two prices, as if as many tokens were written as read. Weigh each price by its "
            "tokens.",
        ),
        Mistake(
            lambda price_in, price_out, tokens_in, tokens_out: blended_usd(price_in, price_out, tokens_out, tokens_in),
            "The weights are swapped: tokens that are read cost price_in, and tokens that are written cost price_out.",
        ),
        Mistake(
            lambda price_in, price_out, tokens_in, tokens_out: price_in + price_out,
            "That is the price of a million of each kind, two million together. The blend is for one million tokens, "
            "and lies between the two prices.",
        ),
        Mistake(
            _by_spend,
            "That weighs each price by the money spent at it, and so counts the price twice. Blend by tokens, not by "
            "price.",
        ),
        Mistake(
            _by_dollar,
            "That is the harmonic mean, which is right for shares of the dollars. Here the tokens are given: add up "
            "what they cost, and divide by their number.",
        ),
        Mistake(
            _ratio_as_share,
            "A ratio is not a share: at 3 to 1, one token in four is written, and not one in three. Divide by all "
            "tokens.",
        ),
        Mistake(
            lambda price_in, price_out, tokens_in, tokens_out: price_in * tokens_in + price_out * tokens_out,
            "That adds up but does not divide: a blend lies between the two prices. Divide by the number of all "
            "tokens.",
        ),
    ),
    symptoms=(
        variants(
            "The prices are added before they are weighed. Multiply each price by its own tokens first.",
            lambda price_in, price_out, tokens_in, tokens_out: (price_in + price_out) / (tokens_in + tokens_out),
        ),
        variants(
            "One written token is assumed, whatever the arguments say. Weigh price_out by tokens_out.",
            lambda price_in, price_out, tokens_in, tokens_out: (price_in * tokens_in + price_out) / (tokens_in + 1),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, tuple)),
            "Those are several numbers. The blend is one price: add up both parts.",
            (lambda price_in, price_out, tokens_in, tokens_out: (price_in * tokens_in, price_out * tokens_out),),
        ),
        variants(
            "It is divided by only some of the tokens, or by the number of kinds. Divide by all tokens: tokens_in + "
            "tokens_out.",
            lambda price_in, price_out, tokens_in, tokens_out: (
                (price_in * tokens_in + price_out * tokens_out) / tokens_in
            ),
            lambda price_in, price_out, tokens_in, tokens_out: (
                (price_in * tokens_in + price_out * tokens_out) / tokens_out
            ),
            lambda price_in, price_out, tokens_in, tokens_out: (price_in * tokens_in + price_out * tokens_out) / 2,
            lambda price_in, price_out, tokens_in, tokens_out: (
                (price_in * tokens_in + price_out * tokens_out) / (tokens_in + tokens_out) / 2
            ),
        ),
        variants(
            "That is the bill for tokens_in and tokens_out tokens, not for a million. The prices are per million "
            "already: divide the sum by the number of tokens only.",
            lambda price_in, price_out, tokens_in, tokens_out: (price_in * tokens_in + price_out * tokens_out) / 1e6,
            lambda price_in, price_out, tokens_in, tokens_out: (
                (price_in * tokens_in + price_out * tokens_out) / (tokens_in + tokens_out) / 1e6
            ),
            lambda price_in, price_out, tokens_in, tokens_out: (
                (price_in * tokens_in + price_out * tokens_out) / (tokens_in + tokens_out) * 1e6
            ),
        ),
        variants(
            "That is a geometric mean. What you pay is a sum: price times tokens, for both kinds.",
            lambda price_in, price_out, tokens_in, tokens_out: (
                price_in ** (tokens_in / (tokens_in + tokens_out))
                * price_out ** (tokens_out / (tokens_in + tokens_out))
            ),
            lambda price_in, price_out, tokens_in, tokens_out: (price_in * price_out) ** 0.5,
        ),
        variants(
            "That is the price of one kind alone. Both are paid: weigh each price by its share of the tokens.",
            lambda price_in, price_out, tokens_in, tokens_out: price_in,
            lambda price_in, price_out, tokens_in, tokens_out: price_out,
            lambda price_in, price_out, tokens_in, tokens_out: max(price_in, price_out),
            lambda price_in, price_out, tokens_in, tokens_out: price_in * tokens_in / (tokens_in + tokens_out),
            lambda price_in, price_out, tokens_in, tokens_out: price_out * tokens_out / (tokens_in + tokens_out),
        ),
        variants(
            "That is the 3 to 1 mix of the text, whatever the arguments say. Weigh by tokens_in and tokens_out.",
            lambda price_in, price_out, tokens_in, tokens_out: (3 * price_in + price_out) / 4,
        ),
        variants(
            "A pair of brackets is missing: the *whole* bill is divided by the number of tokens.",
            lambda price_in, price_out, tokens_in, tokens_out: (
                price_in * tokens_in + price_out * tokens_out / (tokens_in + tokens_out)
            ),
        ),
        variants(
            "Each price is multiplied by its tokens, and the two products are added up.",
            lambda price_in, price_out, tokens_in, tokens_out: price_in / tokens_in + price_out / tokens_out,
            lambda price_in, price_out, tokens_in, tokens_out: (
                price_in * tokens_in * price_out * tokens_out / (tokens_in + tokens_out)
            ),
        ),
        variants(
            "Both prices have the same weight. The weight of the written tokens is their own share, tokens_out / "
            "(tokens_in + tokens_out).",
            lambda price_in, price_out, tokens_in, tokens_out: (
                (price_in + price_out) * tokens_in / (tokens_in + tokens_out)
            ),
            lambda price_in, price_out, tokens_in, tokens_out: (
                (price_in + price_out) * tokens_out / (tokens_in + tokens_out)
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                not min(arguments["price_in"], arguments["price_out"])
                <= got
                <= max(arguments["price_in"], arguments["price_out"])
            ),
            "A blend lies between the two prices, but this one does not. Add up what all tokens cost, and divide by "
            "their number.",
            (lambda price_in, price_out, tokens_in, tokens_out: price_in / 7,),
        ),
    ),
    also_correct=(_blend_by_bill, _blend_in_numpy),
    forbidden=(prices.blended_usd, prices.cheapest, prices.running_minimum),
)
