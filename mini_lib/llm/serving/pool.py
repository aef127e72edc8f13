"""The KV cache in blocks: how many each sequence holds, and how long the free ones last.

A sequence gets its blocks as it grows, so at most one block of each is partly empty. A layer with a window stops
growing when the window is full: each further token replaces the oldest one.

Source: Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention",
SOSP 2023, section 4.2.
"""

from heapq import heappop, heappush

from mini_lib.llm.serving.window import Window


class BlockPool:
    """Counts the blocks of `block_tokens` tokens that sequences hold, of which each layer has `blocks`.

    Every growing sequence gains one token per step, so it needs a new block every `block_tokens` steps. It is enough to
    count how many sequences are at each point of that cycle: finding the blocks needed after a million steps takes no
    longer than after one.

    Two sequences of 4 and 6 tokens in blocks of 4 hold 1 + 2 blocks. The next step takes one more for the
    first; after 4 steps they have 8 and 10 tokens, in 2 + 3 blocks:

    >>> pool = BlockPool(blocks=6, block_tokens=4)
    >>> for tokens in (4, 6):
    ...     pool.take(tokens)
    ...     pool.join(tokens)
    >>> pool.used, pool.growth(1), pool.growth(4)
    (3, 1, 2)

    Three blocks are free. The first sequence takes one at step 1 and one at step 5, the second takes one at step 3, and
    at step 7 none is left:

    >>> pool.steps_that_fit(100)
    6

    With a window, the blocks of each layer are counted separately, `blocks` in each of the `layers`; without one all
    layers hold the same tokens, and count as one. Where one of two layers sees 6 tokens, 9 tokens take 3 + 2 blocks of
    4:

    >>> BlockPool(blocks=6, block_tokens=4, window=Window(6, layers=2, windowed_layers=1)).blocks_for(9)
    5
    """

    def __init__(self, blocks: int, block_tokens: int, window: Window | None = None) -> None:
        self.window = window = window or _NO_WINDOW
        self.layers, self._full, self._windowed = window.layers, window.full_layers, window.windowed_layers
        self.blocks = blocks * self.layers
        self.block_tokens = block_tokens
        self.used = self.peak = 0
        self.growing = 0  # the layers of growing sequences that gain a token in a step
        self.context = 0  # the tokens in all of their layers that the next step reads, besides the new ones
        self._step = 0
        # at place p: the layers that fill their last block when (p + steps made) is a multiple of block_tokens
        self._places = [0] * block_tokens
        self._at_window = 0  # growing sequences whose window is full
        self._until_window: dict[int, int] = {}  # the step that fills windows -> of how many growing sequences
        self._window_steps: list[int] = []  # these steps as a heap

    def blocks_for(self, tokens: int) -> int:
        """Return the blocks that hold this many tokens of a sequence; the last may be partly empty."""
        blocks = self.layers * -(-tokens // self.block_tokens)
        if self._windowed and tokens > self.window.tokens:
            blocks -= self._windowed * (-(-tokens // self.block_tokens) - -(-self.window.tokens // self.block_tokens))
        return blocks

    def fits(self, tokens: int, spare: int = 0) -> bool:
        """Return whether there is room now for this many tokens of a sequence, with `spare` blocks left free."""
        return self.used + self.blocks_for(tokens) + spare <= self.blocks

    def take(self, tokens: int) -> None:
        """Take the blocks of a sequence with this many tokens."""
        self.used += self.blocks_for(tokens)
        self.peak = max(self.peak, self.used)

    def give_back(self, tokens: int) -> None:
        """Give back the blocks of a sequence with this many tokens."""
        self.used -= self.blocks_for(tokens)

    def join(self, tokens: int) -> None:
        """Let a sequence that holds this many tokens grow by one in each step."""
        self._count(tokens, +1)

    def leave(self, tokens: int) -> None:
        """End the growth of a sequence that now holds this many tokens."""
        self._count(tokens, -1)

    def _count(self, tokens: int, sign: int) -> None:
        layers, read = self.layers, self.layers * tokens
        if self._windowed:
            window = self.window.tokens
            if tokens >= window:
                self._at_window += sign
                layers, read = self._full, self._full * tokens + self._windowed * (window - 1)
            else:
                step = self._step + window - tokens
                if step not in self._until_window:
                    self._until_window[step] = 0
                    heappush(self._window_steps, step)
                self._until_window[step] += sign
        self._places[(tokens - self._step) % self.block_tokens] += sign * layers
        self.growing += sign * layers
        self.context += sign * read

    @property
    def held(self) -> int:
        """The tokens that all layers of the growing sequences hold together.

        A full window holds one token more than a step reads: the oldest, which the new token replaces.
        """
        return self.context + self._windowed * self._at_window

    def growth(self, steps: int) -> int:
        """Return the blocks that this many steps would take, as long as no window is full before their end."""
        rounds, rest = divmod(steps, self.block_tokens)
        return rounds * self.growing + sum(
            self._places[-(self._step + step) % self.block_tokens] for step in range(rest)
        )

    def grow(self, steps: int) -> None:
        """Make this many steps, of which only the last may fill a window."""
        self.used += self.growth(steps)
        self.peak = max(self.peak, self.used)
        self.context += self.growing * steps
        self._step += steps
        if self._window_steps and self._window_steps[0] == self._step:
            full = self._until_window.pop(heappop(self._window_steps))
            self._places[(self.window.tokens - self._step) % self.block_tokens] -= full * self._windowed
            self.growing -= full * self._windowed
            self.context -= full * self._windowed
            self._at_window += full

    def steps_that_fit(self, most: int) -> int:
        """Return after how many steps, at most `most`, the blocks run out or a window is full."""
        while self._window_steps:
            if self._until_window[self._window_steps[0]]:
                most = min(most, self._window_steps[0] - self._step)
                break
            del self._until_window[heappop(self._window_steps)]  # the sequences that would have filled it have left
        free = self.blocks - self.used
        if free >= self.growing * -(-most // self.block_tokens):
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


_NO_WINDOW = Window(tokens=1, layers=1, windowed_layers=0)
