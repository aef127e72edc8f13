"""Lesson 13, exercise 13.2: how much work one token is."""

import numpy as np
import torch

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward
from mini_lib.llm.cost.matrices import matrices
from mini_lib.llm.cost.operators import operators
from mini_lib.llm.cost.parameters import count_parameters
from mini_lib.llm.cost.step import step
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.exercises.lesson_13.counting import shape
from teach.variants import variants

# 13.2 -----------------------------------------------------------------------------------------------


def decode_flops(
    layers: int, hidden: int, heads: int, kv_heads: int, head_dim: int, width: int, vocabulary: int, context: int
) -> int:
    """FLOPs of one decoded token that looks at `context` tokens, including itself."""
    attention = Attention(heads, kv_heads, head_dim)
    model = Architecture("model", layers, hidden, vocabulary, attention, FeedForward(width))
    return int(sum(row.flops for row in operators(model, new_tokens=1, context=context - 1)))


def _flops_by_matrices(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context):
    query, key = (hidden, heads * head_dim), (hidden, kv_heads * head_dim)
    layer = [query, key, key, query[::-1], (hidden, width), (hidden, width), (width, hidden)]
    layer += [(head_dim, context), (context, head_dim)] * heads  # scores, then the weighted sum of the values
    macs = layers * sum(rows * columns for rows, columns in layer) + hidden * vocabulary
    return 2 * macs


def _flops_in_numpy(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context):
    weights = hidden * head_dim * np.array([heads, kv_heads, kv_heads, heads]).sum() + 3 * hidden * width
    return np.float64(2.0 * (layers * weights + hidden * vocabulary) + 4.0 * layers * context * heads * head_dim)


def _macs(
    layers,
    hidden,
    heads,
    kv_heads,
    head_dim,
    width,
    vocabulary,
    context,
    *,
    matrices=3,
    lookups=0,
    head=1,
    kv=None,
    out=1,
    products=2,
    attending=None,
    projected=None,
):
    """The MACs of a token, with a slip by each named argument; without one they are right."""
    inner = heads * head_dim if projected is None else projected
    projections = hidden * ((1 + out) * inner + 2 * (kv or kv_heads) * head_dim)
    attention = products * context * (attending or heads) * head_dim
    return layers * (projections + matrices * hidden * width + attention) + (head + lookups) * vocabulary * hidden


def _slip(**slip):
    """A wrong answer with one slip; a slip given as a name takes the value of that argument."""

    def wrong(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context):
        given = {"heads": heads, "kv_heads": kv_heads, "hidden": hidden}
        slips = {name: given.get(value, value) for name, value in slip.items()}
        return 2 * _macs(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context, **slips)

    return wrong


def _model_case(generator: torch.Generator) -> Case:
    layers, hidden, heads, kv_heads, head_dim = shape(generator)
    width, vocabulary = random_whole(generator, 20, 300), random_whole(generator, 50, 500)
    return Case(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, random_whole(generator, 2, 200))


def _plus(more):
    """A wrong answer: as many MACs too many, or too few, as `more(...)` says of the arguments by name."""

    def wrong(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context):
        right = _macs(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context)
        return 2 * right + 2 * more(
            dict(
                layers=layers,
                hidden=hidden,
                heads=heads,
                kv_heads=kv_heads,
                head_dim=head_dim,
                width=width,
                vocabulary=vocabulary,
                context=context,
                look=2 * context * heads * head_dim,
                projected=2 * hidden * head_dim * (heads + kv_heads),
                right=right,
                head=hidden * vocabulary,
            )
        )

    return wrong


DECODE_FLOPS = Exercise(
    id="13.2",
    title="The work of one token",
    reference=decode_flops,
    cases=(
        Case(1, 2, 1, 1, 2, width=4, vocabulary=10, context=1),
        Case(1, 2, 1, 1, 2, width=4, vocabulary=10, context=5),
        Case(1, 4, 2, 1, 2, width=6, vocabulary=10, context=3),
        Case(2, 6, 4, 2, 5, width=7, vocabulary=11, context=3),
        Case(2, 4, 1, 1, 2, width=3, vocabulary=5, context=2),
        *random_cases(8, seed=132, make=_model_case),
        Case(32, 4096, 32, 8, 128, 14336, 128256, 1000).called("Llama-3-8B and a context of 1000"),
    ),
    mistakes=(
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context: _macs(
                layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context
            ),
            "Those are MACs. A multiplication and the addition after it are two FLOPs.",
        ),
        Mistake(
            _slip(lookups=1),
            "The embedding is counted as a product. It is a look-up: one row of a table is copied, and nothing is "
            "multiplied.",
        ),
        Mistake(
            _slip(products=0, lookups=1),
            "Two FLOPs for every parameter is a rule of thumb. It counts the embedding, which is only looked up, and "
            "leaves out the look back at the context.",
        ),
        Mistake(
            _slip(products=0),
            "Those are the products with weights. The token also looks back: in every layer each query head scores "
            "`context` keys and adds up as many values.",
        ),
        Mistake(
            _slip(head=0),
            "The head is missing. The last vector is multiplied by a row for every word of the vocabulary.",
        ),
        Mistake(_slip(matrices=2), "That feed-forward has two matrices. A gated one has three: gate, up and down."),
        Mistake(
            _slip(kv="heads"),
            "Keys and values are made for the KV heads only: their two matrices are hidden x (kv_heads * head_dim).",
        ),
        Mistake(
            _slip(attending="kv_heads"),
            "Sharing keys and values saves memory, not arithmetic. Every query head computes its own scores and its "
            "own sum.",
        ),
        Mistake(
            _slip(products=1),
            "That is one of the two products with the context, or both at one FLOP per MAC. Query times keys gives the "
            "scores, and scores times values the result.",
        ),
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context: (
                2 * _macs(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context + 1)
            ),
            "That looks at one token too many. `context` has the new token in it already.",
        ),
        Mistake(
            _slip(out=0),
            "Query, key and value are there. The output projection is missing: the heads' results are multiplied back "
            "to `hidden`.",
        ),
        Mistake(
            _slip(projected="hidden"),
            "Query and output projections are taken as hidden x hidden. The heads together are heads * head_dim wide, "
            "which does not have to be `hidden`.",
        ),
    ),
    symptoms=(
        variants(
            "The head is counted in every layer. It comes once, after the last one: add it outside the product with "
            "`layers`.",
            _plus(lambda a: (a["layers"] - 1) * a["head"]),
        ),
        variants(
            "Some part is counted for one layer only. Projections, feed-forward and the look back happen in every "
            "layer; "
            "the head alone comes once.",
            _plus(lambda a: (1 - a["layers"]) * a["look"]),
            _plus(lambda a: (1 - a["layers"]) * (a["right"] - a["head"]) / a["layers"]),
            _plus(lambda a: (1 - a["layers"]) * a["projected"]),
            _plus(lambda a: (1 - a["layers"]) * 3 * a["hidden"] * a["width"]),
        ),
        variants(
            "The projections are taken as hidden x hidden. Query and output are hidden x (heads * head_dim), keys and "
            "values hidden x (kv_heads * head_dim).",
            _plus(lambda a: a["layers"] * (4 * a["hidden"] ** 2 - a["projected"])),
            _plus(lambda a: a["layers"] * (2 * a["hidden"] ** 2 - 2 * a["hidden"] * a["kv_heads"] * a["head_dim"])),
        ),
        variants(
            "The look back is as wide as the query heads together, heads * head_dim: it is not `hidden`, and not the "
            "width of one head.",
            _plus(lambda a: a["layers"] * (2 * a["context"] * a["hidden"] - a["look"])),
            _plus(lambda a: a["layers"] * (2 * a["context"] * a["head_dim"] - a["look"])),
        ),
        variants(
            "Keys *and* values are made from the new token: two matrices of hidden x (kv_heads * head_dim).",
            _plus(lambda a: -a["layers"] * a["hidden"] * a["kv_heads"] * a["head_dim"]),
            _plus(lambda a: -2 * a["layers"] * a["hidden"] * a["kv_heads"] * a["head_dim"]),
        ),
        variants(
            "Queries and outputs are as wide as the *query* heads, heads * head_dim. Only keys and values are as "
            "wide as "
            "the KV heads.",
            _plus(lambda a: 2 * a["layers"] * a["hidden"] * a["head_dim"] * (a["kv_heads"] - a["heads"])),
        ),
        variants(
            "One new token is decoded. It looks back at `context` tokens once, and all other products are for itself "
            "alone.",
            _plus(lambda a: a["layers"] * (a["context"] - 1) * a["look"]),
            _plus(lambda a: (a["context"] - 1) * (a["right"] - a["layers"] * a["look"])),
            _plus(lambda a: (a["context"] - 1) * a["right"]),
        ),
        variants(
            "That looks at one token too few. `context` has the new token in it, and nothing is subtracted.",
            lambda layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context: (
                2 * _macs(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context - 1)
            ),
        ),
        variants(
            "A multiplication and an addition are two FLOPs in every product, including the head and the look back.",
            _plus(lambda a: -a["head"] / 2),
        ),
        variants(
            "That feed-forward has one matrix. A gated one has three of hidden x width: gate, up and down.",
            _plus(lambda a: -2 * a["layers"] * a["hidden"] * a["width"]),
        ),
        variants(
            "The feed-forward is missing: three matrices of hidden x width in every layer.",
            _plus(lambda a: -3 * a["layers"] * a["hidden"] * a["width"]),
        ),
        variants(
            "Those are MACs, and the gated feed-forward lacks a matrix: it has three, and a MAC is two FLOPs.",
            lambda layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context: _macs(
                layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context, matrices=2
            ),
        ),
    ),
    also_correct=(_flops_by_matrices, _flops_in_numpy),
    forbidden=(operators, matrices, count_parameters, step),
)
