"""Searching for a policy: methods that ask for policies and are told rewards, and ways of judging policies."""

from mini_lib.augment.search.by_children import ByChildren
from mini_lib.augment.search.child_cnn import child_cnn
from mini_lib.augment.search.children import Child, ChildRecipe, train_children
from mini_lib.augment.search.controller import Controller, Learned
from mini_lib.augment.search.density_matching import DensityMatching, Matched, fast_autoaugment, folds
from mini_lib.augment.search.evolution import Evolution
from mini_lib.augment.search.forward_selection import ForwardSelection
from mini_lib.augment.search.policy_gradient import PPO, Reinforce
from mini_lib.augment.search.population import PopulationResult, explored, population_based
from mini_lib.augment.search.random_search import RandomSearch
from mini_lib.augment.search.run import Judged, SearchMethod, SearchOutcome, run_search
from mini_lib.augment.search.schedule import PolicySchedule
from mini_lib.augment.search.space import SearchSpace
from mini_lib.augment.search.spent import Spent
