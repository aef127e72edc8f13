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

from mini_lib.quantize.mixed.allocate import Allocation, Budget
from mini_lib.quantize.mixed.cost_table import CostTable
from mini_lib.quantize.mixed.evaluations import Evaluations, OutOfEvaluations, lowered
from mini_lib.require import positive, whole


def search_rl(
    table: CostTable,
    evaluate: Evaluations,
    *,
    budget_bytes: float | None = None,
    budget_s: float | None = None,
    budget_joules: float | None = None,
    seed: int = 0,
    learning_rate: float = 0.03,
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
    budget.need_enough_for(table)
    positive("learning_rate", learning_rate, fix="0.03 is a good start")
    whole("walks", walks, low=1, fix="4 are a good start")
    generator = torch.Generator().manual_seed(whole("seed", seed, fix="any will do"))
    policy = _policy(table, budget, generator)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    rewards: list[float] = []
    with suppress(OutOfEvaluations):
        for _ in range(20 * evaluate.limit):  # an agent that is sure of itself asks nothing new
            losses = []
            for _ in range(walks):
                bits, log_probability = _walk(policy, table, budget, generator)
                error = evaluate(lowered(bits, table, budget, table.layers))
                rewards.append(-log(error + 1e-9))  # half the error is as good wherever one starts from
                usual = torch.tensor(rewards[-32:])
                advantage = (rewards[-1] - usual.mean()) / (usual.std(correction=0) + 1e-6)
                losses.append(-advantage * log_probability)
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
    return evaluate.best(table, budget)


def _policy(table: CostTable, budget: Budget, generator: torch.Generator) -> nn.Module:
    """A small network from what the agent sees to a logit for each width; at first about equally likely."""
    policy = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, len(table.widths)))
    with torch.no_grad():
        for weights in policy.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) / 32**0.5)
        policy[2].weight *= 0.1
        policy[2].bias.zero_()
    return policy


def _walk(
    policy: nn.Module, table: CostTable, budget: Budget, generator: torch.Generator
) -> tuple[dict[str, int], Tensor]:
    """Pick a width for each layer; return the bits, and the log of the probability of these picks."""
    bits: dict[str, int] = {}
    log_probability = torch.zeros(())
    for name in table.layers:
        logs = policy(_state(name, bits, table, budget)).log_softmax(dim=0)
        pick = int(torch.multinomial(logs.exp(), 1, generator=generator))
        bits[name] = table.widths[pick]
        log_probability = log_probability + logs[pick]
    return bits, log_probability


def _state(name: str, bits: dict[str, int], table: CostTable, budget: Budget) -> Tensor:
    """What the agent sees at a layer, each about between 0 and 1."""
    dearest = {layer: max(budget.cost(cost) for cost in row.values()) for layer, row in table.costs.items()}
    largest = {layer: max(cost.stored_bytes for cost in row.values()) for layer, row in table.costs.items()}
    spent = sum(budget.cost(table.costs[layer][width]) for layer, width in bits.items())
    room = budget.amount - budget.cost(table.rest)
    place, last = table.layers.index(name), len(table.layers) - 1
    return torch.tensor(
        [
            place / max(1, last),
            float(place in (0, last)),
            dearest[name] / sum(dearest.values()),
            log(1 + largest[name]) / log(1 + max(largest.values())),
            bits[table.layers[place - 1]] / max(table.widths) if place else 1.0,
            min(2.0, spent / room) if room > 0 else 2.0,
        ]
    )
