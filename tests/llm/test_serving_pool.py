"""The block pool finds in one go what a pool that is counted anew in every step finds."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.serving import Window
from mini_lib.llm.serving.pool import BlockPool

TOKENS = st.lists(st.integers(1, 50), min_size=0, max_size=8)


def counted(tokens, block_tokens):
    return sum(ceil(one / block_tokens) for one in tokens)


@given(TOKENS, st.integers(1, 17), st.integers(0, 30), st.integers(0, 60), st.integers(0, 60))
def test_growth_and_the_steps_that_fit_are_those_that_one_counts(tokens, block_tokens, spare, before, most):
    """After some steps, so that the round is not at its start."""
    start = counted(tokens, block_tokens)
    grown = [one + before for one in tokens]
    blocks = counted(grown, block_tokens) + spare
    pool = BlockPool(blocks, block_tokens)
    for one in tokens:
        pool.take(one)
        pool.join(one)
    assert pool.used == start
    pool.grow(before)
    assert pool.used == pool.peak == counted(grown, block_tokens)
    assert pool.growth(most) == counted([one + most for one in grown], block_tokens) - pool.used
    steps = 0
    while steps < most and counted([one + steps + 1 for one in grown], block_tokens) <= blocks:
        steps += 1
    assert pool.steps_that_fit(most) == steps


@given(TOKENS, st.integers(1, 17), st.integers(0, 40))
def test_who_leaves_gives_back_what_it_held(tokens, block_tokens, steps):
    pool = BlockPool(10_000, block_tokens)
    for one in tokens:
        pool.take(one)
        pool.join(one)
    pool.grow(steps)
    for place, one in enumerate(tokens):
        pool.leave(one + steps)
        pool.give_back(one + steps)
        rest = [other + steps for other in tokens[place + 1 :]]
        assert pool.used == counted(rest, block_tokens)
        assert pool.growth(block_tokens) == len(rest)  # a round costs everyone one block
    assert pool.growth(1000) == 0


@given(st.integers(0, 100), st.integers(1, 20), st.integers(0, 5))
def test_what_fits_is_what_can_be_taken(tokens, block_tokens, spare):
    pool = BlockPool(4, block_tokens)
    pool.take(block_tokens)
    assert pool.fits(tokens, spare) == (1 + ceil(tokens / block_tokens) + spare <= 4)


WINDOW = st.builds(
    lambda tokens, layers, full: Window(tokens, layers, max(0, layers - full)),
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(0, 4),
)


def in_layers(tokens, window, block_tokens):
    """The blocks of each layer of each sequence, one after the other."""
    return sum(
        ceil((min(one, window.tokens) if layer < window.windowed_layers else one) / block_tokens)
        for one in tokens
        for layer in range(window.layers)
    )


@given(TOKENS, WINDOW, st.integers(1, 17), st.integers(0, 60), st.data())
def test_with_windows_each_layer_counts_for_itself(tokens, window, block_tokens, most, data):
    """The pool makes jumps that end where a window is full; some sequences leave on the way."""
    pool = BlockPool(10_000, block_tokens, window)
    for one in tokens:
        pool.take(one)
        pool.join(one)
    while most:
        jump = pool.steps_that_fit(most)
        most, tokens = most - jump, [one + jump for one in tokens]
        assert pool.growth(jump) == in_layers(tokens, window, block_tokens) - pool.used
        pool.grow(jump)
        stay = data.draw(st.integers(0, len(tokens)))
        for one in tokens[stay:]:
            pool.leave(one)
            pool.give_back(one)
        tokens = tokens[:stay]
        assert pool.used == in_layers(tokens, window, block_tokens)
        assert pool.held == sum(map(window.kept, tokens))
        read = [min(one, window.tokens - 1) * window.windowed_layers + one * window.full_layers for one in tokens]
        assert pool.context == sum(read)
        assert pool.growing == sum(window.layers if one < window.tokens else window.full_layers for one in tokens)


@given(TOKENS, WINDOW, st.integers(1, 17), st.integers(0, 30), st.integers(0, 60))
def test_with_windows_a_jump_ends_where_one_is_full_or_the_blocks_run_out(tokens, window, block_tokens, spare, most):
    blocks = ceil(in_layers(tokens, window, block_tokens) / window.layers) + spare
    pool = BlockPool(blocks, block_tokens, window)
    for one in tokens:
        pool.take(one)
        pool.join(one)
    steps = 0
    while steps < most and in_layers([one + steps + 1 for one in tokens], window, block_tokens) <= pool.blocks:
        steps += 1
        if window.windowed_layers and any(one + steps == window.tokens for one in tokens):
            break
    assert pool.steps_that_fit(most) == steps
