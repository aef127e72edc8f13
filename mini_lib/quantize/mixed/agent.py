"""Bits by reinforcement learning, in the manner of HAQ: an agent walks through the layers and gives each its bits.

At each layer it sees a few numbers (which layer, how large, how dear, what the layer before got), and picks a width. At
the end of the walk, layers are lowered in turn until the budget is met; the whole model is measured; and the reward is
the better, the smaller the error. Picks that were followed by a better reward than usual become more likely.

HAQ trains a DDPG actor-critic, whose action is one real number that is rounded to bits. This is its little sister:
REINFORCE, with a softmax over the widths and the mean of the last rewards as a baseline.
"""

from __future__ import annotations

from contextlib import suppress
from math import log

import torch
from torch import Tensor, nn

from mini_lib.quantize.mixed.allocate import Allocation, Budget, Prices
from mini_lib.quantize.mixed.cost_table import CostTable
from mini_lib.quantize.mixed.evaluations import Evaluations, OutOfEvaluations, lowered
from mini_lib.require import positive, whole

CURIOSITY = 0.5  # what an entropy of one nat is worth, in standard deviations of the reward: it keeps the agent asking


def search_rl(
    table: CostTable,
    evaluate: Evaluations,
    *,
    budget_bytes: float | None = None,
    budget_s: float | None = None,
    budget_joules: float | None = None,
    seed: int = 0,
    learning_rate: float = 0.05,
    walks: int = 4,
) -> Allocation:
    """Return the best allocation within the budget that the agent meets before the evaluations run out.

    Args:
        table: what each layer costs at each width; the layers are walked in its order.
        evaluate: measures an allocation, and counts; a new one for each search.
        budget_bytes, budget_s, budget_joules: exactly one, for the whole model.
        seed: of the agent's weights and of its picks; the global random state is left as it was found.
        learning_rate: of Adam.
        walks: after so many of them the agent learns.

    Raises:
        TypeError, ValueError: as `allocate`; or `learning_rate` is not positive, or `walks` below 1.

    Source: K. Wang et al., "HAQ: Hardware-Aware Automated Quantization with Mixed Precision", 2019, section 3;
    R. Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992.
    """
    budget = Budget.one_of(budget_bytes, budget_s, budget_joules)
    prices, room = budget.prices(table)
    positive("learning_rate", learning_rate, fix="0.05 is a good start")
    whole("walks", walks, low=1, fix="4 are a good start")
    generator = torch.Generator().manual_seed(whole("seed", seed, fix="any will do"))
    policy = _policy(len(table.widths), generator)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    rewards: list[float] = []
    with suppress(OutOfEvaluations):
        for _ in range(5 * evaluate.limit // walks):  # an agent that is sure of itself asks nothing new
            losses = []
            for _ in range(walks):
                bits, log_probability, entropy = _walk(policy, prices, room, generator)
                error = evaluate(lowered(bits, prices, room, table.layers))
                rewards.append(-log(error + 1e-9))  # to halve the error is worth the same at any size
                usual = torch.tensor(rewards[-32:])
                advantage = (rewards[-1] - usual.mean()) / (usual.std(correction=0) + 1e-6)
                losses.append(-advantage * log_probability - CURIOSITY * entropy)
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
    return evaluate.best(table, budget)


def _policy(widths: int, generator: torch.Generator) -> nn.Module:
    """A small network from what the agent sees to a logit for each width: at first all widths are equally likely."""
    policy = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, widths))
    with torch.no_grad():
        for weights in policy.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) / 32**0.5)
        policy[2].weight.zero_(), policy[2].bias.zero_()
    return policy


def _walk(
    policy: nn.Module, prices: Prices, room: float, generator: torch.Generator
) -> tuple[dict[str, int], Tensor, Tensor]:
    """Pick a width for each layer; return the bits, the log of the probability of these picks, and their entropy."""
    bits: dict[str, int] = {}
    log_probability, entropy = torch.zeros(()), torch.zeros(())
    for name, row in prices.items():
        logs = policy(_state(bits, prices, room)).log_softmax(dim=0)
        pick = int(torch.multinomial(logs.exp(), 1, generator=generator))
        bits[name] = list(row)[pick]
        log_probability = log_probability + logs[pick]
        entropy = entropy - (logs.exp() * logs).sum()
    return bits, log_probability, entropy


def _state(bits: dict[str, int], prices: Prices, room: float) -> Tensor:
    """What the agent sees at the layer that is next: six numbers, each between 0 and 2.

    Its place; whether it is the first or the last; its share of the dearest model, also as a root, which tells small
    layers apart; the bits of the layer before, of the widest; and what share of the room is spent.
    """
    place, last = len(bits), len(prices) - 1
    dearest = [max(row.values()) for row in prices.values()]
    share = dearest[place] / (sum(dearest) or 1.0)
    before = list(bits.values())[-1] / max(max(row) for row in prices.values()) if bits else 1.0
    spent = sum(prices[name][width] for name, width in bits.items())
    return torch.tensor(
        [place / max(1, last), float(place in (0, last)), share, share**0.5, before, min(2.0, spent / room)]
    )
