"""Bits by reinforcement learning, in the manner of HAQ: an agent walks through the layers and gives each its bits.

At each layer the agent sees a few numbers (which layer, its size, its cost, the bits of the layer before), and picks a
width. At the end of the walk, layers are lowered in turn until the budget is met, and the whole model is measured: the
smaller its error, the better the reward. Picks that led to a better reward than usual become more likely.

HAQ trains a DDPG actor-critic, whose action is one real number that is rounded to bits. This is a simpler relative:
REINFORCE, with a softmax over the widths and the mean of the last rewards as a baseline.
"""

from __future__ import annotations

from contextlib import suppress
from math import ceil, log

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from mini_lib.quantize.mixed.allocate import Allocation, Budget, Prices
from mini_lib.quantize.mixed.cost_table import CostTable
from mini_lib.quantize.mixed.evaluations import Evaluations, OutOfEvaluations, lowered, need_evaluations
from mini_lib.require import positive, whole

CURIOSITY = 0.5  # the worth of one nat of entropy, in standard deviations of the reward: it keeps the agent exploring


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
    """Return the best allocation within the budget that the agent finds before the evaluations run out.

    Args:
        table: the cost of each layer at each width; the agent walks through the layers in its order.
        evaluate: measures an allocation, and counts its calls; a new one for each search.
        budget_bytes, budget_s, budget_joules: exactly one, for the whole model.
        seed: decides the agent's weights and its picks; the global random state is left as it was found.
        learning_rate: of Adam.
        walks: the number of walks after which the agent learns.

    Raises:
        TypeError: `evaluate` is not an Evaluations.
        TypeError, ValueError: as `allocate`; or `learning_rate` is not positive, or `walks` below 1.

    Source: K. Wang et al., "HAQ: Hardware-Aware Automated Quantization with Mixed Precision", 2019, section 3;
    R. Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992.
    """
    budget = Budget.one_of(budget_bytes, budget_s, budget_joules)
    prices, room = budget.prices(table)
    need_evaluations(evaluate)
    learning_rate = positive("learning_rate", learning_rate, fix="0.05 is a good start")
    if learning_rate > 100:
        raise ValueError(f"learning_rate must be at most 100, got {learning_rate:g}; 0.05 is a good start")
    walks = whole("walks", walks, low=1, fix="4 are a good start")
    generator = torch.Generator().manual_seed(whole("seed", seed, fix="any will do"))
    policy = _policy(len(table.widths), generator)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    rewards: list[float] = []
    with suppress(OutOfEvaluations):
        for _ in range(ceil(5 * evaluate.limit / walks)):  # an agent that is sure of itself tries nothing new
            plans, log_probabilities, entropies = _walks(policy, prices, room, walks, generator)
            rewards += [-log(evaluate(lowered(bits, prices, room, table.layers)) + 1e-9) for bits in plans]
            usual = torch.tensor(rewards[-max(32, walks) :])  # logs: halving the error is worth the same at any size
            advantages = (usual[-walks:] - usual.mean()) / (usual.std(correction=0) + 1e-6)
            loss = -(advantages * log_probabilities + CURIOSITY * entropies).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return evaluate.best(table, budget)


def _policy(widths: int, generator: torch.Generator) -> nn.Module:
    """A small network from the agent's input to a logit per width: at first all widths are equally likely."""
    # Without the weights that torch would draw, from the global generator.
    policy = nn.Sequential(skip_init(nn.Linear, 6, 32), nn.Tanh(), skip_init(nn.Linear, 32, widths))
    with torch.no_grad():
        for weights in policy.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) / 32**0.5)
        policy[2].weight.zero_(), policy[2].bias.zero_()
    return policy


def _walks(
    policy: nn.Module, prices: Prices, room: float, walks: int, generator: torch.Generator
) -> tuple[list[dict[str, int]], Tensor, Tensor]:
    """Walk several times: return the bits picked, the log of the probability of the picks, and their entropy."""
    plans: list[dict[str, int]] = [{} for _ in range(walks)]
    log_probabilities, entropies = torch.zeros(walks), torch.zeros(walks)
    for name, row in prices.items():
        logs = policy(torch.tensor([_state(bits, prices, room) for bits in plans])).log_softmax(dim=1)
        picks = torch.multinomial(logs.detach().exp(), 1, generator=generator)
        log_probabilities = log_probabilities + logs.gather(1, picks)[:, 0]
        entropies = entropies - (logs.exp() * logs).sum(dim=1)
        for bits, pick in zip(plans, picks[:, 0].tolist(), strict=True):
            bits[name] = list(row)[pick]
    return plans, log_probabilities, entropies


def _state(bits: dict[str, int], prices: Prices, room: float) -> list[float]:
    """The agent's input at the next layer: six numbers, each between 0 and 2.

    They are the layer's place; whether it is the first or the last; its share of the cost of the most expensive model,
    also as a root, which separates small layers; the bits of the layer before, as a share of the widest; and the share
    of the budget's room that is spent.
    """
    place, last = len(bits), len(prices) - 1
    dearest = [max(row.values()) for row in prices.values()]
    share = dearest[place] / (sum(dearest) or 1.0)
    before = list(bits.values())[-1] / max(max(row) for row in prices.values()) if bits else 1.0
    spent = sum(prices[name][width] for name, width in bits.items())
    return [place / max(1, last), float(place in (0, last)), share, share**0.5, before, min(2.0, spent / (room or 1.0))]
