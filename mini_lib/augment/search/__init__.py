"""Searching for a policy: methods that ask and are told, and ways of judging what they ask for."""

from mini_lib.augment.search.controller import Controller, Learned
from mini_lib.augment.search.density_matching import DensityMatching, folds
from mini_lib.augment.search.policy_gradient import PPO, Reinforce
from mini_lib.augment.search.schedule import Schedule
from mini_lib.augment.search.space import SearchSpace
from mini_lib.augment.search.spent import Spent
