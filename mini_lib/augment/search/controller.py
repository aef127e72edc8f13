"""AutoAugment's controller: a recurrent network that writes policies, decision by decision, and learns from rewards.

For each step of each sub-policy it makes three decisions: which operation, with which probability, at which magnitude.
A decision is drawn from a softmax over the choices, and the drawn choice is the network's next input. So a decision may
depend on all earlier ones. A policy of 5 sub-policies of 2 steps takes 30 decisions. The reward has no derivative with
respect to them, so the network learns by policy gradients (`policy_gradient.py`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib import require
from mini_lib.augment.policy import Policy, need_policy
from mini_lib.augment.search.policy_gradient import PPO, Reinforce, seeded
from mini_lib.augment.search.random_search import need_rewards
from mini_lib.augment.search.space import SearchSpace, need_space

_KINDS = 3  # of decision: operation, probability, magnitude


@dataclass(frozen=True, eq=False)
class Learned:
    """How likely a controller makes each choice: tensors [sub_policies, steps, choices], whose last axis adds up to 1.

    The choices are in the order of the search space's operations, probabilities and magnitudes.
    """

    operation: Tensor
    probability: Tensor
    magnitude: Tensor


class Controller:
    """AutoAugment's search: an LSTM draws the policies that `ask` returns, and learns from the rewards given to `tell`.

    All randomness comes from the seed: the same rewards lead to the same policies. Rewards may be of any scale, since
    Adam divides by the size of the gradient; only the entropy bonus is in units of the reward. The paper has 100 units,
    PPO with a learning rate of 0.00035, an entropy bonus of 0.00001 and 15,000 trials. With hundreds of trials both
    must be larger, as they are here: the controller soon becomes sure, and at times too soon.

    Args:
        space: the policies that are searched.
        seed: decides the initial weights, uniform in [-0.1, 0.1], and all draws.
        sub_policies: of each policy, 1 or more.
        units: of the LSTM, and of the embedding that it reads.
        update: how it learns, `Reinforce(...)` or `PPO(...)`.

    Raises:
        TypeError: the space or the update is of another type, or a count is not a whole number.
        ValueError: a count is below 1.

    Source: E. Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", 2019, section 3;
    B. Zoph, Q. Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 3.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        sub_policies: int = 5,
        units: int = 100,
        update: Reinforce | PPO = PPO(),  # noqa: B008 - it is frozen
    ) -> None:
        seed = require.whole("seed", seed, low=0, fix="any whole number will do")
        sub_policies = require.whole("sub_policies", sub_policies, low=1, high=2**14, fix="the paper has 5")
        units = require.whole("units", units, low=1, high=2**14, fix="the paper has 100")
        need_space(space)
        require.of_type("update", update, (Reinforce, PPO), fix="use PPO()")
        self.space, self.sub_policies, self.update = space, sub_policies, update
        self.net = _Recurrent(space.choices[:_KINDS], sub_policies * space.steps, units, seed)
        self._optimizer = torch.optim.Adam(self.net.parameters(), lr=update.learning_rate)
        self._baseline: float | None = None  # until the first reward
        self._seed = seed
        self._asked = self._told = 0  # trials; with the seed, they decide what is drawn next

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide which policies are asked for, as plain values."""
        own = {"seed": self._seed, "sub_policies": self.sub_policies, "units": self.net.lstm.hidden_size}
        return {**self.space.settings, **own, "update": type(self.update).__name__, **asdict(self.update)}

    def ask(self, count: int) -> list[Policy]:
        """Return `count` policies, drawn from the network in its present state.

        Raises:
            TypeError: `count` is not a whole number.
            ValueError: it is below 1.
        """
        count = require.whole("count", count, low=1, fix="ask for at least one policy")
        genes, _ = self.net.draw(count, seeded(self._seed, self._asked))
        self._asked += count
        return [self.space.policy(row) for row in genes.tolist()]

    def tell(self, policies: Sequence[Policy], rewards: Sequence[float]) -> None:
        """Learn from the rewards of policies: those above the baseline become likelier, those below less likely.

        The policies are assumed to be drawn from the network in its present state: tell their rewards before you ask
        again.

        Raises:
            TypeError: a reward is not a number.
            ValueError: there are no policies, or not as many rewards as policies; a reward is not finite, or this
                controller cannot draw a policy.
        """
        rewards = need_rewards(policies, rewards)
        genes = self._genes(policies)
        start = sum(rewards) / len(rewards) if self._baseline is None else self._baseline
        advantages = torch.tensor([reward - start for reward in rewards])
        with torch.no_grad():
            log_p_then, _ = self.net(genes)
        for _ in range(self.update.epochs):
            log_p, entropy = self.net(genes)
            loss = self.update.loss(log_p, log_p_then, advantages) - self.update.entropy_bonus * entropy.mean()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
        for reward in rewards:
            start = self.update.baseline_decay * start + (1 - self.update.baseline_decay) * reward
        self._baseline = start
        self._told += len(rewards)
        self._asked = max(self._asked, self._told)  # a replayed log was asked for in an earlier run

    def log_probabilities(self, policies: Sequence[Policy]) -> Tensor:
        """Return the logarithm of how likely the network draws each policy, [N], with a gradient to `net`'s weights.

        Raises:
            ValueError: there is no policy, or one that this controller cannot draw.
        """
        return self.net(self._genes(policies))[0].sum(dim=1)

    def probabilities(self, samples: int = 256) -> Learned:
        """Return how likely the network makes each choice, as the mean over `samples` policies drawn for it.

        A choice may depend on those before it, so this is a mean over the choices that may have come before. It does
        not change the draws of `ask`.

        Raises:
            TypeError: `samples` is not a whole number.
            ValueError: it is below 1.
        """
        samples = require.whole("samples", samples, low=1, high=2**20, fix="256 gives smooth figures")
        _, shares = self.net.draw(samples, seeded(self._seed, 0))
        shape = (self.sub_policies, self.space.steps, -1)
        return Learned(*(torch.stack(shares[kind::_KINDS]).reshape(shape) for kind in range(_KINDS)))

    def _genes(self, policies: Sequence[Policy]) -> Tensor:
        """The decisions [N, decisions] that policies are made of."""
        require.of_type("policies", policies, (list, tuple), fix="give a list, as `ask` returns it")
        if not policies:
            raise ValueError("a controller needs at least one policy, got none; ask for some")
        for policy in policies:
            need_policy(policy)
            if len(policy.sub_policies) != self.sub_policies:
                raise ValueError(
                    f"this controller draws policies of {self.sub_policies} sub-policies, got one of "
                    f"{len(policy.sub_policies)}; give its sub_policies when you make it"
                )
        return torch.tensor([self.space.genes(policy) for policy in policies])


class _Recurrent(nn.Module):
    """An LSTM with one softmax per kind of decision; its input is the previous decision."""

    def __init__(self, choices: Sequence[int], steps: int, units: int, seed: int) -> None:
        super().__init__()
        self.decisions = _KINDS * steps
        with torch.random.fork_rng(devices=[]):  # layers draw weights when made; the paper's replace them
            self.embed = nn.Embedding(1 + sum(choices), units)  # the choice made; 0 before the first decision
            self.lstm = nn.LSTM(units, units, batch_first=True)
            self.heads = nn.ModuleList(nn.Linear(units, count) for count in choices)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                weight.uniform_(-0.1, 0.1, generator=generator)
        firsts = torch.tensor([1, 1 + choices[0], 1 + choices[0] + choices[1]])  # the row of each kind's first choice
        self.register_buffer("firsts", firsts.repeat(steps))

    def forward(self, genes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities [N, decisions] of decisions, and the entropy [N] of their distributions."""
        read = F.pad(genes[:, :-1] + self.firsts[:-1], (1, 0))
        states, _ = self.lstm(self.embed(read))
        chosen, entropy = [], 0.0
        for kind, head in enumerate(self.heads):
            log_p = F.log_softmax(head(states[:, kind::_KINDS]), dim=2)  # [N, steps, choices]
            chosen.append(log_p.gather(2, genes[:, kind::_KINDS, None]))
            entropy = entropy - (log_p.exp() * log_p).sum(dim=(1, 2))
        return torch.cat(chosen, dim=2).flatten(1), entropy

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
        """Return decisions [count, decisions], and for each decision the mean probabilities [choices] that it was drawn
        by."""
        read, memory = torch.zeros(count, 1, dtype=torch.int64), None
        genes, shares = [], []
        for decision in range(self.decisions):
            state, memory = self.lstm(self.embed(read), memory)
            p = self.heads[decision % _KINDS](state[:, 0]).softmax(dim=1)
            drawn = torch.multinomial(p, 1, generator=generator)
            genes.append(drawn)
            shares.append(p.mean(dim=0))
            read = drawn + self.firsts[decision]
        return torch.cat(genes, dim=1), shares
