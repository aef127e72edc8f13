"""Policy gradients: how a sampler of decisions learns from rewards that have no derivative.

A sampler draws decisions a with probability p(a), and is told a reward R. The gradient of the expected reward is

    grad E[R] = E[(R - b) * grad log p(a)]

for any baseline b that does not depend on a, since E[grad log p] = 0. Decisions that did better than the baseline
become likelier, the others less likely. **REINFORCE** takes one step along this gradient for each group of rewards.
**PPO** takes several. After the first step, the decisions come from a sampler that has changed since, so each is
weighted by the ratio r = p_now(a) / p_then(a). Once r has left [1 - clip, 1 + clip] in the direction that the reward
asks for, the decision has no more effect. An entropy bonus keeps the sampler from becoming sure too early.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True)
class Reinforce:
    """One step of Adam for each group of rewards.

    Attributes:
        learning_rate: of Adam.
        entropy_bonus: the value of a nat of entropy, in units of the reward; a tenth of the rewards' spread is a good
            start.
        baseline_decay: of the baseline, a moving average of the rewards: b <- decay * b + (1 - decay) * R.

    Raises:
        TypeError: a setting is not a number.
        ValueError: the learning rate is not positive, the bonus is negative, or the decay is outside [0, 1).

    Source: R. Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning",
    1992, section 4; B. Zoph, Q. Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 3.2.
    """

    learning_rate: float = 0.005
    entropy_bonus: float = 0.005
    baseline_decay: float = 0.95

    def __post_init__(self) -> None:
        _check(self)

    @property
    def epochs(self) -> int:
        """How many steps are taken for each group of rewards."""
        return 1

    def loss(self, log_p: Tensor, log_p_then: Tensor, advantages: Tensor) -> Tensor:
        """Return the loss, without the bonus: -mean over samples of advantage * log p(all decisions).

        log_p, log_p_then: log-probabilities [N, decisions], now and when drawn (which does not matter here);
        advantages: [N], reward minus baseline.

        >>> certain = torch.tensor([[0.0], [0.0]])
        >>> log_p = torch.tensor([[0.5], [0.25]]).log()
        >>> Reinforce().loss(log_p, certain, torch.tensor([1.0, -1.0]))          # -(ln(1/2) - ln(1/4)) / 2 = -ln(2) / 2
        tensor(-0.3466)
        """
        _need_samples(log_p, log_p_then, advantages)
        return -(advantages * log_p.sum(dim=1)).mean()


@dataclass(frozen=True)
class PPO:
    """Several steps of Adam for each group of rewards, with the probability ratio of each decision clipped.

    Attributes:
        learning_rate: of Adam.
        epochs: steps for each group; 1 makes it REINFORCE.
        clip: how far a ratio may leave 1, above 0; infinity never clips.
        entropy_bonus: the value of a nat of entropy, in units of the reward; a tenth of the rewards' spread is a good
            start.
        baseline_decay: of the baseline, a moving average of the rewards: b <- decay * b + (1 - decay) * R.

    Raises:
        TypeError: a setting is not a number.
        ValueError: the learning rate or the clip is not positive, there is no epoch, the bonus is negative, or the
            decay is outside [0, 1).

    Source: J. Schulman et al., "Proximal Policy Optimization Algorithms", 2017, equation 7.
    """

    learning_rate: float = 0.003
    epochs: int = 4
    clip: float = 0.2
    entropy_bonus: float = 0.005
    baseline_decay: float = 0.95

    def __post_init__(self) -> None:
        _check(self)
        require.checked(self, "epochs", require.whole, low=1, fix="1 makes it REINFORCE, 4 is common")
        if not (isinstance(self.clip, float) and self.clip == float("inf")):
            require.checked(self, "clip", require.positive, fix="0.2 is common, infinity never clips")

    def loss(self, log_p: Tensor, log_p_then: Tensor, advantages: Tensor) -> Tensor:
        """Return the loss, without the bonus: -mean over samples of sum of min(r * A, clipped r * A).

        log_p, log_p_then: log-probabilities [N, decisions], now and when drawn; advantages: [N], reward minus baseline.

        A decision that became twice as likely counts 1.2 times where the reward was good, and twice where it was bad:

        >>> then, now = torch.tensor([[0.25]]).log(), torch.tensor([[0.5]]).log()
        >>> PPO().loss(now, then, torch.tensor([1.0])), PPO().loss(now, then, torch.tensor([-1.0]))
        (tensor(-1.2000), tensor(2.))
        """
        _need_samples(log_p, log_p_then, advantages)
        ratio = (log_p - log_p_then).exp()
        if not ratio.isfinite().all():
            raise ValueError("log_p_then must be of decisions that were drawn, and one has a probability of 0")
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        each = advantages[:, None]
        return -torch.minimum(ratio * each, clipped * each).sum(dim=1).mean()


def _need_samples(log_p: Tensor, log_p_then: Tensor, advantages: Tensor) -> None:
    fix = "give [N, decisions] twice, and [N]"
    for name, values, dims in (("log_p", log_p, 2), ("log_p_then", log_p_then, 2), ("advantages", advantages, 1)):
        need_tensor(name, values, dims=dims, fix=fix)
    if log_p.shape != log_p_then.shape or len(advantages) != len(log_p):
        got = [list(values.shape) for values in (log_p, log_p_then, advantages)]
        raise ValueError(f"log_p, log_p_then and advantages must match, got {got}; {fix}")


def _check(update: Reinforce | PPO) -> None:
    require.checked(update, "learning_rate", require.positive, fix="0.005 suits some hundred trials")
    require.checked(update, "entropy_bonus", require.not_negative, fix="0 leaves it out")
    require.checked(update, "baseline_decay", require.share, zero=True, one=False, fix="0.95 averages about 20 trials")


def seeded(seed: int, count: int) -> torch.Generator:
    """Return a generator that depends on both numbers, and on nothing else.

    A method that draws its trials after the first `count` from `seeded(seed, count)` continues in the same way after a
    stop, however its state was restored.

    >>> torch.rand(1, generator=seeded(0, 1)) == torch.rand(1, generator=seeded(1, 0))
    tensor([False])
    """
    (first,) = torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(seed)).tolist()
    return torch.Generator().manual_seed(first + count)
