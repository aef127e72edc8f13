"""Lottery tickets as an experiment: iterative magnitude pruning, its controls, and studies over many seeds."""

from mini_lib.prune.tickets.alone import train_alone
from mini_lib.prune.tickets.arms import random_mask, shuffled_mask
from mini_lib.prune.tickets.imp import Ticket, find_ticket, next_mask
from mini_lib.prune.tickets.net import Trained, weights_of, with_weights
from mini_lib.prune.tickets.recipe import Recipe, batch_order
from mini_lib.prune.tickets.results import Results, recorded
from mini_lib.prune.tickets.run import run_study
from mini_lib.prune.tickets.study import Run, State, Study, advance
from mini_lib.prune.tickets.together import train_together

__all__ = [
    "Recipe", "Results", "Run", "State", "Study", "Ticket", "Trained", "advance", "batch_order", "find_ticket",
    "next_mask", "random_mask", "recorded", "run_study", "shuffled_mask", "train_alone", "train_together",
    "weights_of", "with_weights",
]  # fmt: skip
