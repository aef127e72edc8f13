"""The role of a part of the model: how it is counted, stored and timed depends on its role, never on its name."""

from enum import StrEnum, auto


class Role(StrEnum):
    """The role of a matrix, and of an operator in a step.

    >>> Role.QKV in PROJECTIONS, Role.ATTENTION in PROJECTIONS
    (True, False)
    """

    EMBEDDING = auto()  # a row of the table for each token
    QKV = auto()  # queries, keys and values from the hidden state, in one product
    LATENT = auto()  # latent attention: queries, and the compressed vector of keys and values
    UNFOLD = auto()  # latent attention: keys and values from the compressed vector
    ATTENTION = auto()  # scores and weighted sums, which have no weights
    ATTENTION_OUT = auto()  # from the heads back to the hidden state
    MLP = auto()  # a feed-forward block that every token goes through
    EXPERT = auto()  # a layer with a mixture of experts: its router, experts and shared expert
    ELEMENTWISE = auto()  # norms, sums, activations
    COLLECTIVE = auto()  # an exchange among the devices
    HEAD = auto()  # from the hidden state to a score for each token of the vocabulary


PROJECTIONS = frozenset({Role.QKV, Role.LATENT, Role.UNFOLD, Role.ATTENTION_OUT})
"""The matrices of attention."""
