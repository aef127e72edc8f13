"""The KV cache in blocks: who holds how many, and how long they last.

A sequence gets its blocks as it grows, so at most one block of each is partly empty.

Source: Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention",
SOSP 2023, section 4.2.
"""


class BlockPool:
    """Counts the blocks of `block_tokens` tokens that sequences hold, of which there are `blocks`.

    Every growing sequence gains one token a step, so it needs a new block every `block_tokens` steps.
    It is enough to remember how many of them are at which point of that round: the blocks needed after
    a million steps cost no more to find than those after one.

    Two sequences of 4 and 6 tokens in blocks of 4 hold 1 + 2 blocks. The next step takes one more for the
    first; after 4 steps they have 8 and 10 tokens, in 2 + 3 blocks:

    >>> pool = BlockPool(blocks=6, block_tokens=4)
    >>> for tokens in (4, 6):
    ...     pool.take(tokens)
    ...     pool.join(tokens)
    >>> pool.used, pool.growth(1), pool.growth(4)
    (3, 1, 2)

    Three blocks are free. They go at the steps 1 and 5 to the first, at step 3 to the second, and step 7 finds none:

    >>> pool.steps_that_fit(100)
    6
    """

    def __init__(self, blocks: int, block_tokens: int) -> None:
        self.blocks = blocks
        self.block_tokens = block_tokens
        self.used = self.peak = 0
        self.growing = 0
        self._step = 0
        # at place p: the sequences that fill their last block when (p + steps made) is a multiple of block_tokens
        self._places = [0] * block_tokens

    def blocks_for(self, tokens: int) -> int:
        """Return the blocks that hold so many tokens: the last may be partly empty."""
        return -(-tokens // self.block_tokens)

    def fits(self, tokens: int, spare: int = 0) -> bool:
        """Return whether so many tokens find room now, and `spare` blocks stay free."""
        return self.used + self.blocks_for(tokens) + spare <= self.blocks

    def take(self, tokens: int) -> None:
        """Take the blocks of a sequence with so many tokens."""
        self.used += self.blocks_for(tokens)
        self.peak = max(self.peak, self.used)

    def give_back(self, tokens: int) -> None:
        """Give back the blocks of a sequence with so many tokens."""
        self.used -= self.blocks_for(tokens)

    def join(self, tokens: int) -> None:
        """Let a sequence that holds so many tokens grow by one in each step."""
        self._places[(tokens - self._step) % self.block_tokens] += 1
        self.growing += 1

    def leave(self, tokens: int) -> None:
        """End the growth of a sequence that holds so many tokens by now."""
        self._places[(tokens - self._step) % self.block_tokens] -= 1
        self.growing -= 1

    def growth(self, steps: int) -> int:
        """Return the blocks that so many steps would take."""
        rounds, rest = divmod(steps, self.block_tokens)
        return rounds * self.growing + sum(
            self._places[-(self._step + step) % self.block_tokens] for step in range(rest)
        )

    def grow(self, steps: int) -> None:
        """Make so many steps."""
        self.used += self.growth(steps)
        self.peak = max(self.peak, self.used)
        self._step += steps

    def steps_that_fit(self, most: int) -> int:
        """Return after how many steps, `most` at the most, the blocks run out."""
        free = self.blocks - self.used
        if free >= self.growing * self.blocks_for(most):
            return most
        rounds = free // self.growing
        free -= rounds * self.growing
        steps = rounds * self.block_tokens
        while steps < most:
            free -= self._places[-(self._step + steps) % self.block_tokens]
            if free < 0:
                break
            steps += 1
        return min(steps, most)
