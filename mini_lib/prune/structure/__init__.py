"""Structured pruning: whole channels, blocks, and n of every m weights."""

from mini_lib.prune.structure.blocks import keep_blocks
from mini_lib.prune.structure.channels import channel_scores, keep_channels
from mini_lib.prune.structure.groups import ChannelGroup, channel_groups
from mini_lib.prune.structure.nm import keep_n_of_m
from mini_lib.prune.structure.remove import mask_channels, remove_channels
