"""A well-maintained library with the same ask and tell: Optuna's tree-structured Parzen estimator (TPE).

TPE splits the trials so far into good and bad ones, models the density of each group, and asks for policies that are
likely among the good and unlikely among the bad. Fast AutoAugment searches with it.
"""

from collections.abc import Sequence

from mini_lib import require
from mini_lib.augment.policy import Policy
from mini_lib.augment.search.policy_gradient import seeded
from mini_lib.augment.search.random_search import need_rewards
from mini_lib.augment.search.space import SearchSpace

_GET_OPTUNA = "Optuna is not installed; it comes with the packages of the tests: run `pip install 'optuna>=4.5,<6'`"


class OptunaTPE:
    """A search method that asks Optuna which policies to try.

    The operations are choices without an order; probabilities and magnitudes are ordered. Nothing is written to disk,
    and the same seed and rewards give the same policies.

    Args:
        space: the policies that are searched.
        seed: decides all draws.
        sub_policies: of each policy, 1 or more.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is below 1, or Optuna is not installed.

    Source: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011, section 4;
    T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", 2019.
    """

    def __init__(self, space: SearchSpace, *, seed: int, sub_policies: int = 5) -> None:
        seed = require.whole("seed", seed, low=0, fix="any whole number will do")
        sub_policies = require.whole("sub_policies", sub_policies, low=1, fix="the papers have 5")
        self.space, self.sub_policies = space, sub_policies
        self._seed = seed
        self._optuna = _optuna()
        self._choices = {
            f"{('operation', 'probability', 'magnitude')[gene % 3]} {gene}": self._distribution(gene, choices)
            for gene, choices in enumerate(space.choices * sub_policies)
        }
        self._study = self._empty_study()
        self._waiting = {}  # the trials that were asked for and not yet told, by their genes
        self._asked = self._told = 0

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide which policies are asked for, as plain values."""
        return {**self.space.settings, "seed": self._seed, "sub_policies": self.sub_policies}

    def ask(self, count: int) -> list[Policy]:
        """Return `count` policies to try, chosen with regard to those that still wait for their reward.

        Raises:
            TypeError: `count` is not a whole number.
            ValueError: it is below 1.
        """
        count = require.whole("count", count, low=1, fix="ask for at least one policy")
        policies = []
        for _ in range(count):
            seed = int(seeded(self._seed, self._asked).initial_seed() % 2**32)
            self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            trial = self._study.ask(self._choices)
            genes = tuple(trial.params[name] for name in self._choices)
            self._waiting.setdefault(genes, []).append(trial)
            self._asked += 1
            policies.append(self.space.policy(genes))
        return policies

    def tell(self, policies: Sequence[Policy], rewards: Sequence[float]) -> None:
        """Tell Optuna the rewards of policies, whether it asked for them or not.

        Raises:
            TypeError: a reward is not a number.
            ValueError: there are not as many rewards as policies, a reward is not finite, or a policy is one that it
                cannot ask for.
        """
        need_rewards(policies, rewards)
        for policy, reward in zip(policies, rewards):
            genes = self._genes(policy)
            if waiting := self._waiting.get(genes):
                self._study.tell(waiting.pop(0), reward)
            else:
                params = dict(zip(self._choices, genes))
                trial = self._optuna.trial.create_trial(params=params, distributions=self._choices, value=reward)
                self._study.add_trial(trial)
        self._told += len(policies)
        self._asked = max(self._asked, self._told)  # a replayed log was asked for in an earlier run

    def _genes(self, policy: Policy) -> tuple[int, ...]:
        if len(policy.sub_policies) != self.sub_policies:
            raise ValueError(
                f"this search asks for policies of {self.sub_policies} sub-policies, got one of "
                f"{len(policy.sub_policies)}; give its sub_policies when you make it"
            )
        return self.space.genes(policy)

    def _distribution(self, gene: int, choices: int) -> object:
        if gene % 3 == 0:  # an operation
            return self._optuna.distributions.CategoricalDistribution(range(choices))
        return self._optuna.distributions.IntDistribution(0, choices - 1)

    def _empty_study(self) -> object:
        before = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)  # otherwise it would announce the study
        try:
            return self._optuna.create_study(direction="maximize")
        finally:
            self._optuna.logging.set_verbosity(before)


def _optuna() -> object:
    try:
        import optuna
    except ImportError:
        raise ValueError(_GET_OPTUNA) from None
    return optuna
