"""The lottery-ticket method: iterative magnitude pruning, its controls, and training, of one net or many at once."""

from mini_lib.prune.tickets.alone import train_alone
from mini_lib.prune.tickets.arms import random_mask, shuffled_mask
from mini_lib.prune.tickets.imp import Ticket, find_ticket, next_mask
from mini_lib.prune.tickets.net import Trained, weights_of, with_weights
from mini_lib.prune.tickets.recipe import Recipe, batch_order
from mini_lib.prune.tickets.together import train_together
