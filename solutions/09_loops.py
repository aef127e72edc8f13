# %% [markdown]
# # Why does the order of loops matter?
#
# Lesson 09 · {minutes} · before it: [01 What does a model cost?](01_measure.ipynb)
#
# A matrix product is three nested loops. They can be nested in six orders. All six do the same multiplications and return the same result, but one of them takes several times as long as another. This lesson finds a fast order
# and proves that it still computes the same product.
#
# **You will be able to**
# 1. say which accesses of a loop nest miss in a cache, and check it by simulation and by the clock;
# 2. say from the dependences whether a new order of loops is legal;
# 3. turn a naive matrix product into one that is many times faster, step by step, and say what each step gained.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise, run everything, and come back.

# %%
import textwrap
from functools import cache
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch
from tqdm.auto import tqdm

from mini_lib import measure, native
from mini_lib.columns import aligned
from mini_lib.loops import (
    Cache,
    IllegalRewrite,
    classify,
    compile_nest,
    conv2d,
    count_accesses,
    dependences,
    estimate_time,
    evolutionary_search,
    gauss_seidel,
    jacobi,
    matmul,
    measure_machine_model,
    misses,
    nest,
    pointwise_chain,
    random_arguments,
    random_search,
    show_dependences,
    softmax,
    this_machine,
    time_native,
    to_c,
    trace,
)  # fmt: skip
from teach import animate, check, explore, figures, hold, ledger, log_of, predict, progress, reveal, show

torch.set_num_threads(1)  # one core against one core
figures.use_style()

# %% [markdown]
# The C compiler of your machine compiles the loops of this lesson. Without a compiler the lesson runs too, with `nan` for what could not be measured. (`python3 course.py lab` installs a compiler if your machine has none.)
#
# The next cell, which is folded, defines helpers: `race` times compiled nests in turns, `count` simulates caches, `in_order` makes a product with its loops in a given order, and `is_accepted` says whether the library allows a rewrite.

# %% tags=["hide-input"]
try:
    print("compiler:", native.find_compiler().version)
    FAST = ("-O1", *native.native_flags()[1:])  # -O1, for this machine's own vector instructions
    HAS_COMPILER = True
except native.NoCompiler as error:
    print(error)
    FAST, HAS_COMPILER = (), False

NOTHING = SimpleNamespace(misses=np.nan, references=np.nan, moved_bytes=np.nan)


class NotTimed:
    """Stands for a time where there is no compiler."""

    times_s, median_s, low_s, high_s = (np.nan,), np.nan, np.nan, np.nan

    def __str__(self):
        return "nan ms"


def race(nests, flags=("-O1",), repeats=5, others=(), restrict=()):
    """The time of each nest, compiled and run in turns: {name: Latency}. `others` are calls to be timed with them."""
    if not HAS_COMPILER:
        return {name: NotTimed() for name in (*nests, *dict(others))}
    calls = {}
    for name, one in nests.items():
        own = flags[name] if isinstance(flags, dict) else flags
        compiled = compile_nest(one, flags=own, restrict=name in restrict)
        calls[name] = compiled.prepare(**random_arguments(one, seed=0)).run
    with tqdm(total=2 * repeats + 1, desc="timing", leave=False) as bar:  # the bar moves between the calls, untimed
        turns = {**calls, **dict(others), "bar": bar.update}
        times = measure.compare_latency(turns, repeats=repeats, warmup=1)
    return {name: time for name, time in times.items() if name != "bar"}


def count(one, *caches):
    """What each cache sees of a nest. Without a compiler, only of a small one."""
    if not HAS_COMPILER and count_accesses(one) > 100_000:
        return (NOTHING,) * len(caches)
    return misses(one, *caches)


def in_order(order, size):
    """The square product of this size with its loops in an order such as "m k n"."""
    naive = matmul(size, size, size)
    return naive if order == "m n k" else naive.reorder(order)


def is_accepted(rewrite):
    """Whether the library carries out a rewrite. It refuses one that would change what is computed."""
    try:
        rewrite()
    except IllegalRewrite:
        return False
    return True


# %% [markdown]
# ## 1 Where elements lie
#
# Here is the matrix product in its plainest form. The library calls it a *nest*, and prints it as loops.

# %% name="out-naive"
print(matmul(4, 8, 2))

# %% [markdown]
# Memory is one long row of bytes. A matrix is stored row by row: `B[k, n + 1]` follows `B[k, n]`, and `B[k + 1, n]` is a whole row further on. The **stride** of an index is the distance, in elements, that one step of the index moves: 1 for the column index, the length of a row for the row index. **Padding** is empty elements after
# each row.
#
# By hand: rows of 8 floats of 4 bytes, no padding, and the matrix starts at byte 1024. Element [2, 3] is 2 · 8 + 3 = 19 elements after the first, so it is at byte 1024 + 19 · 4 = 1100.

# %% [markdown]
# ### Exercise 9.1 - Where does an element lie? (5 min)


# %% name="ex-9-1" tags=["exercise"]
def byte_address(i, j, columns, padding, element_bytes, base):
    """The address of element [i, j] of a matrix that is stored by rows.

    columns: elements in a row; padding: empty elements after each row; base: the address of element [0, 0].
    Returns a whole number of bytes.
    """
    ### BEGIN SOLUTION
    return base + (i * (columns + padding) + j) * element_bytes
    ### END SOLUTION


# %% tags=["check"]
check("9.1")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# How many elements are in memory before this one? Then turn elements into bytes.
# </details>
# <details><summary>Hint 2: padding</summary>
#
# Each row takes columns + padding elements, whether they are used or not.
# </details>

# %% [markdown]
# Memory is slow: while the processor waits for one number, it could do hundreds of additions. So a number is never fetched alone. A whole **line** comes with it: on most processors 64 adjacent bytes, or 16 floats. The line stays in a small fast memory, the **cache**. If the number is there, the access is a *hit*, otherwise a *miss*. When the cache is full, the line that has gone unused
# for the longest time is dropped (real caches come close to this rule).
#
# If you walk along the rows of a matrix, each line is fetched once and used 16 times. If you walk down a column, every step needs another line. Are these lines still in the cache when you come to the next column? By hand, with 4 elements per line: 8 rows and 8 columns are 64 elements in 16 lines. A cache of 8 lines holds one line of each row, so each line is fetched once: 16
# misses. A cache of 4 lines has dropped the first line long before the second column needs it: 64 misses.

# %% [markdown]
# ### Exercise 9.2 - How often does a walk down the columns miss? (8 min)


# %% name="ex-9-2" tags=["exercise"]
def column_misses(rows, columns, per_line, cache_lines):
    """The misses of a walk down one column after another that reads each element of the matrix once.

    per_line: elements in a line; it divides columns, and each row starts a new line.
    cache_lines: how many lines the cache holds, from anywhere; it is empty at first. Returns a whole number.
    """
    ### BEGIN SOLUTION
    if rows <= cache_lines:
        return rows * columns // per_line
    return rows * columns
    ### END SOLUTION


# %% tags=["check"]
check("9.2")

# %% [markdown]
# <details><summary>Hint 1: one column</summary>
#
# How many different lines does one column touch? Are all of them still in the cache at the top of the next column?
# </details>
# <details><summary>Hint 2: two cases</summary>
#
# If they are, each line is fetched once. If not, every access is a miss.
# </details>

# %% [markdown]
# Now the three loops. As the innermost loop, `k` walks down a column of B, `n` walks along rows of B and C, and `m` walks down columns of A and C.

# %%
predict(
    "9.a",
    "A matrix product of 256 x 256 x 256 runs in all six orders of its loops. How many times as long as the fastest order does the slowest take?",
    unit="times",
)

# %% [markdown]
# Each order is compiled with `gcc -O1`, or with the compiler that you have, so that the loops run as they are written (section 5 shows what `-O3` does). A simulated cache of 32 KiB with lines of 64 bytes, as in many processors, counts the misses. Then the same for 48 x 48 x 48, where all three matrices fit into the cache. This takes about 5 seconds.

# %% name="run-orders"
L1 = Cache(32 * 1024, ways=8)
L2 = Cache(1024 * 1024, ways=16)
ORDERS = ("m k n", "k m n", "m n k", "n m k", "n k m", "k n m")
orders = {size: {order: in_order(order, size) for order in ORDERS} for size in (256, 48)}
order_times = {size: race(nests) for size, nests in orders.items()}
order_misses = {
    size: {order: count(one, L1)[0].misses / size**3 for order, one in nests.items()} for size, nests in orders.items()
}


# %% tags=["hide-input"]
def draw_orders():
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
    rows = range(len(ORDERS))
    for shift, size, colour in ((-0.2, 256, "blue"), (0.2, 48, "orange")):
        at = [row + shift for row in rows]
        times_ns = [1e9 * order_times[size][order].median_s / size**3 for order in ORDERS]
        hatch = "" if size == 256 else "//"
        look = {"height": 0.38, "color": figures.COLOURS[colour], "hatch": hatch, "edgecolor": "white"}
        left.barh(at, [order_misses[size][order] for order in ORDERS], **look)
        right.barh(at, times_ns, label=f"{size} x {size} x {size}", **look)
    left.set(xlabel="simulated misses\nper multiply-add", yticks=rows, yticklabels=ORDERS)
    right.set(xlabel="measured ns\nper multiply-add")
    left.invert_yaxis()
    right.legend(fontsize=12)
    return figure


ORDERS_ALT = "Bars for the six loop orders: simulated cache misses on the left, measured time on the right, for a large and a small matrix product."


def ratio_of_extremes(times):
    medians = [latency.median_s for latency in times.values()]
    return max(medians) / min(medians)


# %%
reveal("9.a", round(ratio_of_extremes(order_times[256]), 1), then=show(draw_orders(), alt=ORDERS_ALT))

# %% name="fig-orders" tags=["solution-only"]
show(draw_orders(), alt=ORDERS_ALT)  # the figure once more, for the slides

# %% name="out-orders" tags=["hide-input"]
with hold("9.a"):
    print("per multiply-add       256 x 256 x 256         48 x 48 x 48")
    print("loops                misses        time     misses        time")
    for order in ORDERS:
        cells = ""
        for size in (256, 48):
            time_ns = 1e9 * order_times[size][order].median_s / size**3
            cells += f"{order_misses[size][order]:11.3f} {time_ns:8.2f} ns"
        print(f"{order:<16}{cells}")

# %% [markdown]
# Look at 48 first. No order has more than a few misses there, and yet the two orders that end with `k` are slow. Their innermost loop adds to one element of C again and again, and each sum has to wait for the sum before it: this is **a chain**. So misses are not the only reason to be slow.
#
# Now compare the orders that end with `n` with those that end with `m`. For 48 they are about equal. For 256 the orders that walk down columns have two misses in each step, and only now are they slow. The
# instructions are the same and only the addresses differ, so the reason is memory: the caches, and perhaps also the page tables (the *TLB*). Section 4 changes nothing but the length of the rows.
#
# Watch it happen in a tiny cache: move the slider or press play. Then change the order in the cell.

# %% name="fig-animation" tags=["widget"]
tiny = Cache(256, ways=2, line_bytes=32)  # 8 lines of 8 floats
small = matmul(8, 8, 8).reorder("n k m")  # try "m k n"
animate(log_of(small, tiny), tiny)

# %% [markdown]
# > **Takeaway.** Memory comes in lines, so a fast innermost loop walks along rows, and its sums do not wait for one another.

# %% [markdown]
# ## 2 Which orders are legal?
#
# The simplest rewrite is to **split** a loop into an outer and an inner one. The iterations run in the same order as before, so a split is always legal.
# If the factor does not divide the number of iterations, a *guard* skips those beyond the end:

# %% name="out-split"
walk = nest("for i in range(n):\n    y[i] = 2 * x[i]", n=10)
print(walk.split("i", 4, guard=True))

# %% [markdown]
# By hand: 10 iterations in groups of four. Two outer iterations make 8, which is too few; three make 12, and the guard skips 2.

# %% [markdown]
# ### Exercise 9.3 - A split that does not come out even (5 min)


# %% name="ex-9-3" tags=["exercise"]
def guarded_split(n, factor):
    """The size of a loop of n iterations after a split by factor.

    Returns (iterations of the outer loop, iterations that the guard skips in total).
    """
    ### BEGIN SOLUTION
    outer = (n + factor - 1) // factor
    return outer, outer * factor - n
    ### END SOLUTION


# %% tags=["check"]
check("9.3")

# %% [markdown]
# <details><summary>Hint 1: check the even case</summary>
#
# For 8 iterations in groups of four the answer is (2, 0).
# </details>
# <details><summary>Hint 2: rounding up</summary>
#
# `(n + factor - 1) // factor`, or `-(-n // factor)`.
# </details>

# %% [markdown]
# Not every **reorder** is legal. Here is a stencil that works in place: each element becomes the mean of itself and its neighbour above and to the right.

# %% name="out-refused"
stencil = gauss_seidel(6, 6)
print(stencil)
try:
    stencil.reorder("j i")
except IllegalRewrite as refusal:
    print()
    print(textwrap.fill(str(refusal), 70))

# %% [markdown]
# The library refuses. It names two iterations that would change places although one reads an element that the other has written. It finds them through the **dependences**: pairs of iterations that touch the same element, at least one of which writes it. The *distance* of a dependence is the number of steps, in each loop, from the earlier iteration to the later one:

# %% name="out-dependences"
print(show_dependences(stencil))

# %% [markdown]
# The neighbour above and to the right was written one iteration of `i` earlier, at a `j` that is one larger: the distance is (1, -1). In the old order the first nonzero step is positive: the write comes first. Exchange
# the loops, and the distance reads (-1, 1): now the write would come *after* the read.
#
# **An order is legal if the first nonzero step of every distance is positive in the new order.**
#
# (A distance of all zeros stays within one iteration, so the order of the loops does not affect it.) Another stencil, `jacobi`, reads from one array and writes to another:

# %% name="out-jacobi"
print(jacobi(6, 6).reorder("j i"))
print(show_dependences(jacobi(6, 6)))
found = sorted({one.distance for one in dependences(matmul(4, 4, 4))})
print("matrix product, distances in the loops m, n, k:", found)

# %% [markdown]
# The only distance of the matrix product is one step in `k`, which is positive wherever `k` stands. So all six orders are legal. (If the order of a sum of floats changes, so does its rounding. Here each sum over `k` keeps its order.)

# %% [markdown]
# ### Exercise 9.4 - Is the new order legal? (10 min)


# %% name="ex-9-4" tags=["exercise"]
def is_legal(distances, order):
    """Whether loops may be put into a new order.

    distances: a list of tuples, each with one step per loop, in the old order, such as [(1, -1)].
    order: the old numbers of the loops in their new order, outermost first: (1, 0) exchanges two loops.
    Returns True or False.
    """
    ### BEGIN SOLUTION
    for distance in distances:
        steps = [distance[loop] for loop in order if distance[loop] != 0]
        if steps and steps[0] < 0:
            return False
    return True
    ### END SOLUTION


# %% tags=["check"]
check("9.4")

# %% [markdown]
# <details><summary>Hint 1: one distance</summary>
#
# Write its steps down in the new order. Skip zeros from the left. What is the sign of the first step that is left?
# </details>
# <details><summary>Hint 2: how Python compares</summary>
#
# Python compares tuples from the left: `(0, -1) >= (0, 0)` is False.
# </details>

# %%
predict(
    "9.b",
    "The in-place stencil has the distance (1, -1). What makes it legal to exchange its loops?",
    choices=("splitting both loops first", "skewing j by i first", "neither"),
)

# %% [markdown]
# To **skew** a loop by an outer one means that it starts one step later in each iteration of the outer loop. The order of the iterations does not change, but the counter does: here `j.s = j + i`.

# %%
even = gauss_seidel(7, 7)  # 6 iterations in each loop
attempts = {
    "splitting both loops first": lambda: even.split("i", 2).split("j", 2).reorder("j.o j.i i.o i.i"),
    "skewing j by i first": lambda: even.skew("j", by="i").reorder("j.s i"),
}
accepted = [name for name, rewrite in attempts.items() if is_accepted(rewrite)]
reveal("9.b", accepted[0] if len(accepted) == 1 else "neither")

# %% name="out-skew"
skewed = stencil.skew("j", by="i")
with hold("9.b"):
    print(skewed)
    print(show_dependences(skewed))

# %% [markdown]
# In the new counter the distance reads (1, 0), and the loops may be exchanged. The same distances answer three more questions of a compiler:
#
# - **Tiling** (section 3) splits loops and moves the outer parts out. It is legal if no distance has a negative step in a tiled loop; such loops are *fully permutable*. The loops of the stencil, (1, -1), are not. Skewed, (1, 0), they are.
# - **Fusion** of two loops is legal if it reverses no dependence: no element is read before it is written, or overwritten before it is read.
# - A loop may be **parallel** if each distance has a 0 there, or a positive step in a loop further out.

# %% name="out-legal"
two_walks = nest("for i in range(8):\n    T[i] = 2 * X[i]\nfor j in range(8):\n    Y[j] = T[7 - j]")
questions = {
    "tile the stencil": lambda: even.tile("i j", 2),
    "skew it, then tile": lambda: even.skew("j", by="i").tile("i j.s", 2, guard=True),
    "fuse: T is read in the order it is written": lambda: pointwise_chain(8).fusion("i", "j"),
    "fuse: T is read backwards": lambda: two_walks.fusion("i", "j"),
    "parallel m in the product": lambda: matmul(8, 8, 8).parallelize("m"),
    "parallel k in the product": lambda: matmul(8, 8, 8).parallelize("k"),
}
legal = {name: is_accepted(rewrite) for name, rewrite in questions.items()}
print(aligned([(name, "legal" if yes else "refused") for name, yes in legal.items()], left=(0, 1)))

# %% tags=["solution-only"]
from teach import claim

claim(
    "The loops of the stencil, (1, -1), are not. Skewed, (1, 0), they are.",
    *dependences(stencil)[0].distance,
    *dependences(skewed)[0].distance,
    holds=legal["skew it, then tile"] and not legal["tile the stencil"],
)
times_48, times_256 = ({order: time.median_s for order, time in order_times[size].items()} for size in (48, 256))
claim("one of them takes several times as long as another", holds=ratio_of_extremes(order_times[256]) > 3)
claim(
    "the two orders that end with `k` are slow",
    holds=min(times_48[o] for o in ORDERS if o[-1] == "k") > max(times_48[o] for o in ORDERS if o[-1] != "k"),
)
claim(
    "For 48 they are about equal",
    None,
    holds=np.mean([times_48["n k m"], times_48["k n m"]]) < 1.4 * np.mean([times_48["m k n"], times_48["k m n"]]),
)
claim(
    "For 256 the orders that walk down columns have two misses in each step, and only now are they slow",
    None,
    holds=abs(order_misses[256]["n k m"] - 2) < 0.05
    and min(times_256["n k m"], times_256["k n m"]) > 1.5 * max(times_256["m k n"], times_256["k m n"]),
)

# %% [markdown]
# > **Takeaway.** A new order of loops is legal if, in that order, the first nonzero step of every distance is positive.

# %% [markdown]
# ## 3 Tiles and fused loops
#
# In the order `m k n`, one row of C and one row of B are used in full before the next `k`. Each `m` reads all of B. If B does not fit into the cache, it is fetched again for each `m`: 256 times. **Tiling** works on a small block at a
# time instead. Split all three loops, and move the inner parts inside. While one block each of A, B and C is in the cache, all the work on them is done.

# %% name="out-tiled"
print(in_order("m k n", 64).tile("m k n", 16))

# %% [markdown]
# How large should a tile be? Three square tiles must fit, and lines come whole, so the side is a multiple of the elements in a line. By hand, for a cache of 3072 bytes, 4 bytes per element and lines of 64 bytes: 3 · 16 · 16 · 4 = 3072, so the side is 16.

# %% [markdown]
# ### Exercise 9.5 - The largest tile that fits (8 min)


# %% name="ex-9-5" tags=["exercise"]
def largest_tile(cache_bytes, element_bytes, line_bytes):
    """The side of the largest square tile for which three tiles fit into a cache.

    The side is a multiple of the elements in a line. Returns a whole number of elements.
    """
    ### BEGIN SOLUTION
    per_line = line_bytes // element_bytes
    side = 0
    while 3 * (side + per_line) ** 2 * element_bytes <= cache_bytes:
        side += per_line
    return side
    ### END SOLUTION


# %% tags=["check"]
check("9.5")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# How many elements may one tile have? Its side is the square root; then round down to whole lines.
# </details>
# <details><summary>Hint 2: without a square root</summary>
#
# Start with side 0, and add one line at a time as long as three tiles still fit.
# </details>

# %%
predict(
    "9.c",
    "A product of 96 x 96 x 96 floats in a cache of 8 KiB. Which tile has the fewest misses?",
    choices=("8 x 8 x 8", "16 x 16 x 16", "32 x 32 x 32", "48 x 48 x 48", "no tiles"),
)

# %% [markdown]
# Simulate these tiles and a few more in caches of four sizes, and do the same for rows of 128 floats. This takes about 4 seconds.


# %% name="run-tiles"
def tiled(size, side):
    naive = in_order("m k n", size)
    return naive if side == size else naive.tile("m k n", side)


SIDES = {96: (4, 8, 16, 24, 32, 48, 96), 128: (4, 8, 16, 32, 64, 128)}
KIBIBYTES = (4, 8, 16, 256)
tile_misses = {
    (kib, size, side): count(tiled(size, side), Cache(kib * 1024, ways=8))[0].misses / size**3
    for size, side in tqdm([(size, side) for size, sides in SIDES.items() for side in sides], desc="tiles")
    for kib in KIBIBYTES
}

# %%
at_8_kib = {f"{side} x {side} x {side}": tile_misses[8, 96, side] for side in (8, 16, 32, 48)}
at_8_kib["no tiles"] = tile_misses[8, 96, 96]
FEWEST = "32 x 32 x 32"  # where nothing can be compiled: the result of the same simulation elsewhere
reveal("9.c", min(at_8_kib, key=at_8_kib.get) if HAS_COMPILER else FEWEST)

# %% [markdown]
# Move the size of the cache. Where does tiling help, and where does it not? And what is wrong with rows of 128 floats?


# %% name="fig-tiles" tags=["widget", "hide-input"]
def draw_tiles(KiB):
    figure, axes = plt.subplots(figsize=(8, 3.8))
    for (size, sides), colour, line in zip(SIDES.items(), ("blue", "orange"), ("-", "--")):
        values = [tile_misses[KiB, size, side] for side in sides]
        axes.plot(sides, values, marker="o", color=figures.COLOURS[colour], linestyle=line, label=f"rows of {size}")
    fits = (KiB * 1024 / 12) ** 0.5
    axes.axvline(fits, color=figures.COLOURS["black"], linestyle=":", label="three tiles just fit")
    axes.set(xscale="log", xlim=(3.5, 190), xticks=(4, 8, 16, 32, 64, 128), xticklabels=(4, 8, 16, 32, 64, 128))
    axes.minorticks_off()
    axes.set(xlabel="side of a tile (the last point: no tiles)", ylabel="misses per\nmultiply-add", ylim=(0, 0.16))
    axes.legend(loc="upper right", fontsize=12)
    return figure


explore(
    draw_tiles,
    labels={"KiB": "size of the cache, in KiB"},
    alt=lambda KiB: (
        f"Misses over the side of a tile for two matrix sizes in a cache of {KiB} KiB, with a mark where three tiles just fit."
    ),
    KiB=KIBIBYTES,
)

# %% name="fig-tiles-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_tiles(8),
    alt="Misses over the side of a tile for rows of 96 and of 128 floats in a cache of 8 KiB, with a mark where three tiles just fit.",
)

# %% [markdown]
# When everything fits (256 KiB), tiling does nothing. Small tiles miss more often than larger ones, since less work is done with each tile that is fetched. The best tile may be larger than the rule says: in this order only the tile of B must stay, while A and C need one row at a time. The rule is a safe
# start, not the optimum. And in 8 KiB, rows of 128 floats miss far more often than rows of 96, with the same tiles of 16 or 32 (section 4).
#
# How much is there to gain? In any order of its multiply-adds, an n x n x n product moves, for large n, at least about $2 n^3 / \sqrt S$ numbers through a fast memory that holds S of them (Hong and Kung 1981; the 2 is due to Smith et al. 2019). Tiles of side $\sqrt{S/3}$ move
# $\sqrt 3 = 1.7$ times as many. By hand, for n = 96 in 8 KiB, S = 2048: 39,100 numbers, or 0.0028 lines per multiply-add.

# %% name="out-bound" tags=["hide-input"]
bound_lines = 2 / 2048**0.5 / 16  # lines of 16 floats per multiply-add
lines = [("side", "misses per multiply-add", "times the bound")]
lines += [(str(s), f"{tile_misses[8, 96, s]:.4f}", f"{tile_misses[8, 96, s] / bound_lines:.1f}") for s in SIDES[96]]
print(aligned(lines))

# %% tags=["solution-only"]
claim(
    "When everything fits (256 KiB), tiling does nothing",
    None,
    holds=max(
        max(tile_misses[256, size, side] for side in sides) / min(tile_misses[256, size, side] for side in sides)
        for size, sides in SIDES.items()
    )
    < 1.01,
)
claim(
    "The best tile may be larger than the rule says",
    holds=(8 * 1024 / 12) ** 0.5 < min(SIDES[96], key=lambda side: tile_misses[8, 96, side]) <= 48
    and min(at_8_kib, key=at_8_kib.get) == FEWEST,
)
claim(
    "rows of 128 floats miss far more often than rows of 96",
    None,
    None,
    holds=all(tile_misses[8, 128, side] > 5 * tile_misses[8, 96, side] for side in (16, 32)),
)
claim("39,100 numbers, or 0.0028 lines per multiply-add", 2 * 96**3 / 2048**0.5, bound_lines)

# %% [markdown]
# The other way to keep data close is **fusion**. The second of two nests reads an array that the first has written: by then the array may be gone from the cache. Fused, each iteration does both. A deep learning
# compiler fuses a scale, a shift and a ReLU in this way:

# %%
chain = pointwise_chain(2**20)
chains = {
    "two loops": chain,
    "fused": chain.fusion("i", "j"),
    "fused, T never stored": chain.compute_at("i", "j").unroll("i"),
}
chain_times = race(chains)

# %% name="out-fusion" tags=["hide-input"]
print(chains["fused"], "\n")
print("a million elements     bytes per element   time")
for name, one in chains.items():
    moved = count(one, L1)[0].moved_bytes / 2**20
    print(f"{name:<23}{moved:17.1f}   {chain_times[name]}")

# %% [markdown]
# Fused, T is still written to memory, since it is an array. Its bytes disappear altogether only when `compute_at` shrinks it to the one element that is needed. Next is the softmax of each row of a matrix: six loops, fused into one over the
# rows.

# %%
apart = softmax(256, 2048)
together = apart
for loop in "bdegi":
    together = together.fusion("a", loop)
softmaxes = {"six loops": apart, "fused by rows": together}
softmax_times = race(softmaxes, repeats=9)

# %% name="out-softmax" tags=["hide-input"]
print(together, "\n")
print("softmax of 256 x 2048    MB moved    time")
for name, one in softmaxes.items():
    print(f"{name:<22}{count(one, L1)[0].moved_bytes / 1e6:10.1f}      {softmax_times[name]}")

# %% [markdown]
# Compare the two columns, and mind the spread. Far fewer bytes do not always mean much less time. Where does the time go? Here is each of the loops alone:

# %% name="out-softmax-parts"
inner = "for a in range(256):\n    for c in range(2048):\n        "
parts = {
    "maximum (a chain)": "H[a] = max(H[a], X[a, c])",
    "exponential": "E[a, c] = exp(X[a, c] - H[a])",
    "sum (a chain)": "S[a] += E[a, c]",
    "division": "Y[a, c] = E[a, c] / S[a]",
}
part_times = race({name: nest(inner + statement) for name, statement in parts.items()})
print(aligned([(name, str(time)) for name, time in part_times.items()]))

# %% [markdown]
# The two chains take most of the time, although the exponential is the costly operation. **Fewer bytes mean less time only where bytes were the limit**, as in lesson 01.

# %% tags=["solution-only"]
moved = {name: count(one, L1)[0].moved_bytes for name, one in {**chains, **softmaxes}.items()}
part_s = {name: time.median_s for name, time in part_times.items()}
claim(
    "Its bytes disappear altogether only when `compute_at` shrinks it to the one element that is needed",
    holds=moved["fused, T never stored"] < 12.01 * 2**20 and moved["fused"] > 19 * 2**20,  # X in, Y in and out
)
claim(
    "Far fewer bytes do not always mean much less time",
    holds=(
        moved["fused by rows"] < 0.7 * moved["six loops"]
        and min(softmax_times["fused by rows"].times_s) > 0.75 * min(softmax_times["six loops"].times_s)
    ),
)
claim(
    "The two chains take most of the time, although the exponential is the costly operation",
    holds=(
        part_s["maximum (a chain)"] + part_s["sum (a chain)"] > 0.5 * sum(part_s.values())
        and part_s["exponential"] > part_s["division"]
    ),
)

# %% [markdown]
# > **Takeaway.** Tiling and fusion use data while it is still in the cache, and they save time only where the loops waited for memory.

# %% [markdown]
# ## 4 When a cache is unlucky
#
# A cache cannot search all of its lines for an address. So it is divided into **sets**, and each line may go to one set only: the number of the line modulo the number of sets. In a cache with 8 *ways*, a set has room for 8 lines. If a ninth line of the same set is needed, one of the eight has to go, even
# if the rest of the cache is empty: the next access to it is a **conflict** miss. (The other two of the "three C's" are *cold*, the first use of a line, and *capacity*, no room in the cache as a whole.)
#
# By hand: rows of 128 bytes, lines of 64 bytes, 4 sets. The 4 elements of a column are in lines 0, 2, 4 and 6. Modulo 4: sets 0, 2, 0 and 2. So two lines compete for set 0, two for set 2, and sets 1 and 3 stay empty.

# %% [markdown]
# ### Exercise 9.6 - Lines that compete for one set (8 min)


# %% name="ex-9-6" tags=["exercise"]
def busiest_set(rows, row_bytes, sets, line_bytes):
    """The most lines of one column that fall into the same set.

    The element of row i starts at byte i * row_bytes. Returns a whole number of lines.
    """
    ### BEGIN SOLUTION
    lines = {i * row_bytes // line_bytes for i in range(rows)}
    in_set = [0] * sets
    for line in lines:
        in_set[line % sets] += 1
    return max(in_set)
    ### END SOLUTION


# %% tags=["check"]
check("9.6")

# %% [markdown]
# <details><summary>Hint 1: from the address to the set</summary>
#
# The line is address // line_bytes. The set is line % sets.
# </details>
# <details><summary>Hint 2: short rows</summary>
#
# If a row is shorter than a line, several elements share one. A Python set of line numbers counts each once.
# </details>

# %% [markdown]
# Rows of 512 doubles are 4096 bytes, or 64 lines. A cache with 64 sets puts a whole column into *one* of them. With 8 columns of padding, a row is 65 lines long, and the lines of a column are spread over all sets. Now time a walk down the columns of square matrices, for sizes around a power of two. This takes about 3 seconds.


# %% name="run-walks"
def column_walk(size, padding=0):
    down = nest("for j in range(n):\n    for i in range(n):\n        s[i] += A[i, j]", n=size, dtype="f64")
    return down.pad("A", axis=1, elements=padding) if padding else down


sizes = tuple(range(960, 1089, 16))
walks = {size: column_walk(size) for size in sizes} | {"1024, padded": column_walk(1024, padding=8)}
walk_times = race(walks, repeats=15)
walk_misses = {name: count(one, L1, L2)[1].misses for name, one in walks.items()}


# %% name="fig-padding" tags=["hide-input"]
def draw_padding():
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 5), sharex=True)
    for axes, values, name in (
        (upper, {key: 1e9 * time.median_s for key, time in walk_times.items()}, "measured ns\nper element"),
        (lower, walk_misses, "simulated misses\nin 1 MiB, per element"),
    ):
        axes.plot(sizes, [values[size] / size**2 for size in sizes], marker="o", color=figures.COLOURS["blue"])
        axes.plot(
            [1024],
            [values["1024, padded"] / 1024**2],
            "D",
            color=figures.COLOURS["vermillion"],
            markersize=11,
            label="1024 with 8 columns of padding",
        )
        axes.set(ylabel=name, ylim=(0, None))
    upper.legend(loc="upper left", fontsize=12)
    lower.set(xlabel="rows and columns of the matrix (doubles)", xticks=sizes[::2])
    return figure


show(
    draw_padding(),
    alt="Time and simulated misses per element of a walk down the columns, over the size of the matrix; a peak at 1024, and a diamond for 1024 with padding.",
)

# %% [markdown]
# In the simulation one size stands out, although its neighbours have nearly as many elements. Does your machine agree? (Its second cache may have another size.) Of which kind are the misses?

# %%
WALKS = ((256, L1), (512, L1), (512, L2)) if HAS_COMPILER else ((256, L1),)
kinds_of = {
    (size, padding, level): classify(trace(column_walk(size, padding)), level)
    for size, level in WALKS
    for padding in (0, 8)
}

# %% name="out-three-cs" tags=["hide-input"]
print("misses                        cold   capacity   conflict")
for (size, padding, level), kinds in kinds_of.items():
    name = f"{size} rows{' + 8' if padding else ''} in {'32 KiB' if level == L1 else '1 MiB'}"
    print(f"{name:<24}{kinds.cold:10,}{kinds.capacity:11,}{kinds.conflict:11,}")

# %% [markdown]
# A column of 256 elements takes 256 lines, half of the small cache. There is room, and every miss except the cold ones is a conflict. Padding removes these conflicts. A column of 512 takes as many lines as the small cache has, and the sum needs some too: these misses are *capacity*, and padding
# removes none of them (it even adds some: the column now drives out the sum as well). The larger cache has room, and padding helps again. Ask which of the three kinds you have: the cure for one kind may not help with another.
#
# Now measure whole matrix products in an order that walks down columns, `n k m`: the product of 256 floats from section 1, and one of 512 doubles. Only the rows of A and C become longer. The loops, the instructions and nearly all pages stay the same. (The misses are counted for 32 columns of C.)

# %%
predict(
    "9.d",
    "A matrix product of 512 x 512 x 512 doubles in the order n k m. How many times faster is it when A and C get 8 columns of padding?",
    unit="times",
)

# %% [markdown]
# This takes about 8 seconds.


# %% tags=["hide-input"]
def down_columns(size, dtype, columns, padding):
    """The product C = A @ B of square matrices in the order n k m, for the first columns of C."""
    source = """
for n in range(columns):
    for k in range(size):
        for m in range(size):
            C[m, n] += A[m, k] * B[k, n]
"""
    shapes = dict.fromkeys("CAB", (size, size))
    product = nest(source, shapes=shapes, dtype=dtype, columns=columns, size=size)
    for name in "AC" if padding else "":
        product = product.pad(name, axis=1, elements=padding)
    return product


# %% name="run-padding"
padded_pairs = {
    "256 floats": (256, "f32", 0),
    "256 + 16 floats": (256, "f32", 16),
    "512 doubles": (512, "f64", 0),
    "512 + 8 doubles": (512, "f64", 8),
}
pair_times = race(
    {name: down_columns(size, dtype, size, extra) for name, (size, dtype, extra) in padded_pairs.items()}, repeats=3
)
pair_misses = {
    name: [level.misses / (size * size * 32) for level in count(down_columns(size, dtype, 32, extra), L1, L2)]
    for name, (size, dtype, extra) in padded_pairs.items()
}

# %%
reveal("9.d", round(pair_times["512 doubles"].median_s / pair_times["512 + 8 doubles"].median_s, 1))

# %% name="out-padding" tags=["hide-input"]
with hold("9.d"):
    print("per multiply-add        misses in 32 KiB   in 1 MiB       time")
    for name, (size, _, _) in padded_pairs.items():
        first, second = pair_misses[name]
        print(f"rows of {name:<16}{first:14.3f}{second:13.3f}{1e9 * pair_times[name].median_s / size**3:9.2f} ns")

# %% [markdown]
# With 16 more floats per row, the slow order of section 1 is several times as fast, and close to the orders that walk along rows: the length of its rows was most of the trouble. Now it misses far less often in the first cache. The doubles miss less often in the second cache. In both products, addresses 4096 bytes
# apart can also delay a load after a store, and padding changes this as well; the lesson does not separate the two effects. (The walk in the figure above has few such pairs, and shows the peak all the same.)

# %% tags=["solution-only"]
claim(
    "every miss except the cold ones is a conflict",
    holds=(kinds_of[256, 0, L1].capacity == 0 < kinds_of[256, 0, L1].conflict and kinds_of[256, 8, L1].conflict == 0),
)
claim(
    "padding removes none of them",
    holds=(kinds_of[512, 0, L1].conflict == 0 and kinds_of[512, 8, L1].capacity >= kinds_of[512, 0, L1].capacity),
)
claim(
    "In the simulation one size stands out",
    holds=walk_misses[1024] > 3 * max(walk_misses[size] for size in sizes if size != 1024),
)
pair_ns = {name: 1e9 * pair_times[name].median_s / size**3 for name, (size, _, _) in padded_pairs.items()}
claim(
    "the slow order of section 1 is several times as fast, and close to the orders that walk along rows",
    None,
    holds=pair_ns["256 floats"] > 2 * pair_ns["256 + 16 floats"]
    and pair_ns["256 + 16 floats"] < 2 * 1e9 * max(times_256["m k n"], times_256["k m n"]) / 256**3,
)
claim(
    "The doubles miss less often in the second cache",
    holds=(
        pair_misses["512 + 8 doubles"][1] < 0.1 * pair_misses["512 doubles"][1]
        and abs(pair_misses["512 + 8 doubles"][0] - pair_misses["512 doubles"][0]) < 0.01
        and pair_ns["512 doubles"] > 2 * pair_ns["512 + 8 doubles"]
    ),
)

# %% [markdown]
# > **Takeaway.** Rows whose length is a power of two can put a whole column into a few sets of a cache, and a little padding then removes the conflicts.

# %% [markdown]
# ## 5 From naive to fast
#
# Now everything comes together, on a product of 512 x 512 x 512 floats. Each rewrite is proved legal before it is made. Two rewrites are new:
#
# - **Vectorize.** One instruction works on 4, 8 or 16 neighbouring floats at once. The loop must be innermost, and its elements must be adjacent in memory.
# - **Hold C in registers.** `cache_write` works on a copy of a block of C, for example 8 rows of 32 columns. If the loops over the block are unrolled, the copy is 16 vector registers of 16 floats, and the loop over `k` neither loads nor stores C. Each number
#   of B that is fetched is used 8 times, and each number of A 32 times.

# %%
predict("9.e", "How many times as fast as the naive order will the last schedule be, on one core?", unit="times")

# %%
# THE SCHEDULES OF THE PATH. Change a number, then run this cell and the following ones.
LANES = this_machine().vector_bytes // 4  # the floats that a vector register of your machine holds
ROWS = 8 if this_machine().vector_registers >= 32 else 4  # rows of C: AVX-512 and NEON have 32 registers, AVX2 has 16
BLOCK = 128  # the part of k that is done at a time

naive = matmul(512, 512, 512)
path = {
    "m n k, as written": naive,
    "m k n": naive.reorder("m k n"),
    "tiled, B padded": naive.pad("B", axis=1, elements=16).tile({"k": 64, "n": 64}).reorder("k.o n.o m k.i n.i"),
    "vectorized": naive.reorder("m k n").split("n", LANES).vectorize("n.i"),
}
in_registers = (
    naive.tile({"m": ROWS, "n": 2 * LANES})
    .split("n.i", LANES)
    .split("k", BLOCK)
    .split("k.i", 4)
    .reorder("k.o n.o m.o k.i.o k.i.i m.i n.i.o n.i.i")
    .vectorize("n.i.i")
    .unroll("k.i.i m.i n.i.o")
    .cache_write("C", at="m.o", scope="register")
)
path["C in registers"] = in_registers
path["B packed"] = in_registers.cache_read("B", at="n.o")

print(path["B packed"])

# %% [markdown]
# The last step copies a strip of B so that it has no gaps (libraries call this *packing*). All schedules are compiled alike, with `-O2` and without the compiler's own vectorizing, so that you see the effect of the schedule and not of the compiler.
# "Predicted" is the result of a model that looks at the loops and at a few numbers of your machine, and runs nothing. As a control, the naive order is compiled twice at `-O3`: as it is, and with `restrict`, the promise that no two of the arrays overlap. The last row is torch's library, also on one core. This takes about 10 seconds.

# %% name="run-path"
matrices = list(torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(0)))
flags = dict.fromkeys(path, ("-O2", "-fno-tree-vectorize", *FAST[1:]))
racers = dict(path)
CONTROLS = ("m n k at -O3", "-O3 with restrict")
if HAS_COMPILER:
    for name in CONTROLS:
        racers[name], flags[name] = naive, native.native_flags()
    machine = measure_machine_model()
torch_mm = {"torch.mm": lambda: torch.mm(matrices[0], matrices[1], out=matrices[2])}
path_times = race(racers, flags, repeats=5, others=torch_mm, restrict=CONTROLS[1:])
path_misses = {name: count(path[name], L1)[0].misses / 512**3 for name in tqdm(path, desc="simulating", leave=False)}
start_s = path_times["m n k, as written"].median_s
best = min(path, key=lambda name: path_times[name].median_s)

# %%
reveal("9.e", round(start_s / path_times["B packed"].median_s, 1))

# %% name="out-path" tags=["hide-input"]
with hold("9.e"):
    print("                  misses  speed-up over the naive order")
    print("                 per MAC  predicted (bound by)  measured  time")
    for name, time in path_times.items():
        simulated, predicted, bound = "", "", ""
        if name in path:
            simulated = f"{path_misses[name]:.4f}"
        if name in path and HAS_COMPILER:
            expected = estimate_time(path[name], machine)
            predicted = f"{estimate_time(naive, machine).seconds / expected.seconds:.1f}"
            bound = f"({expected.bound})"
        row = f"{name:<17}{simulated:>7}{predicted:>9} {bound:<14}"
        print(f"{row}{start_s / time.median_s:8.1f}  {time}")

# %% [markdown]
# The order `m k n` is faster, with a sixteenth of the misses. Tiles that fit remove nearly all of the other misses, but save hardly any time: this loop did not wait for them. Vectors are the largest step, with as many misses as `m k n`. A block in registers is faster again. Packing removes more misses; the clock says whether the copy pays. And the compiler? At `-O3`
# it must assume that a store to C may change A or B. With the promise of `restrict` it is many times as fast, from the same loops. The block in registers is faster still.

# %% tags=["solution-only"]
path_s = {name: time.median_s for name, time in path_times.items()}
claim(
    "with a sixteenth of the misses",
    holds=(0.9 < 16 * path_misses["m k n"] / path_misses["m n k, as written"] < 1.1 and path_s["m k n"] < start_s),
)
claim(
    "Tiles that fit remove nearly all of the other misses, but save hardly any time",
    holds=(
        path_misses["tiled, B padded"] < 0.1 * path_misses["m k n"]
        and path_s["tiled, B padded"] > 0.7 * path_s["m k n"]
    ),
)
steps = {name: path_s[before] / path_s[name] for before, name in zip(path, list(path)[1:])}
claim(
    "Vectors are the largest step, with as many misses as `m k n`. A block in registers is faster again",
    holds=(
        steps["vectorized"] == max(steps.values())
        and abs(path_misses["vectorized"] - path_misses["m k n"]) < 1e-3
        and path_s["C in registers"] < path_s["vectorized"]
    ),
)
claim(
    "With the promise of `restrict` it is many times as fast, from the same loops",
    holds=(path_s["m n k at -O3"] > 4 * path_s["-O3 with restrict"]),
)
claim("The block in registers is faster still", holds=path_s["C in registers"] < path_s["-O3 with restrict"])

# %% [markdown]
# For an honest ratio, the best of our schedules and the library's product run alone, in turns. The ratio compares their quickest runs, which other programs disturb least; mind the spread next to each median:

# %% name="out-torch"
final = race({best: path[best]}, flags, repeats=31, others=torch_mm)
ratio = min(final[best].times_s) / min(final["torch.mm"].times_s)
print(f"{best}: {final[best]}")
print(f"torch.mm, one thread: {final['torch.mm']}")
print(f"ours takes {ratio:.2f} times as long (quickest runs)")

# %% [markdown]
# Which of the two is faster depends on the machine and on the size: our schedule was written for these loops, while the library takes any shape. Either way, the difference between them is small compared with the distance from the naive order to either.

# %% tags=["solution-only"]
claim(
    "the difference between them is small compared with the distance from the naive order to either",
    holds=max(ratio, 1 / ratio) < 0.1 * start_s / max(time.median_s for time in final.values()),
)


# %% name="fig-path" tags=["hide-input"]
def draw_path():
    figure, axes = plt.subplots(figsize=(9, 4))
    names = list(path_times)
    colours = ["orange" if name in ("torch.mm", *CONTROLS) else "blue" for name in names]
    speeds = [2 * 512**3 / time.median_s / 1e9 for time in path_times.values()]
    bars = axes.barh(names, speeds, color=[figures.COLOURS[colour] for colour in colours])
    axes.bar_label(bars, fmt=" %.1f", fontsize=13)
    axes.invert_yaxis()
    axes.set(xscale="log" if HAS_COMPILER else "linear")
    axes.set(xlabel="billion operations per second, one core (logarithmic)")
    return figure


show(
    draw_path(),
    alt="Bars of the speed of each schedule on the way from the naive order to the packed one, with torch for comparison.",
)

# %% [markdown]
# Legal rewrites preserve the result, and one run checks this: it compares all schedules with a product in double precision, on the same random matrices. The heart of the fast schedule, in C, is short enough to read:

# %% name="out-same"
a, b, c = (matrix.numpy() for matrix in matrices)
expected = c.astype("float64") + a.astype("float64") @ b.astype("float64")
for name, one in path.items() if HAS_COMPILER else ():
    got = compile_nest(one, flags=flags[name])(A=a, B=b, C=c)["C"]
    print(f"{name}: largest relative error {np.abs(got / expected - 1).max():.1e}")

# %% name="out-c" tags=["hide-input"]
heart = matmul(8, 32, 64).tile({"m": 2, "n": 8}).reorder("m.o n.o k m.i n.i")
heart = heart.vectorize("n.i").unroll("m.i").cache_write("C", at="n.o", scope="register")
print(to_c(heart).split("void matmul")[-1])

# %% [markdown]
# ### Exercise 9.7 - Ten times faster (15 min)
#
# Write a schedule that makes a product at least ten times as fast as the naive order, on one core. It is tried on `matmul(64, 128, 128)` and on `matmul(128, 192, 128)`. Each is timed in turns
# with the naive order, and the fastest of several runs counts; a close result is timed again. The nest must still compute `C += A @ B`. (Where nothing can be compiled, and when notebooks are graded, the model of the core judges instead of the clock.)


# %% name="ex-9-7" tags=["exercise"]
def schedule(nest):
    """A fast schedule of a matrix product of floats with the loops m, n and k.

    nest: such as matmul(64, 128, 128); 16 divides each size. Returns the rewritten nest.
    """
    ### BEGIN SOLUTION
    block = nest.tile({"m": 8, "n": 16}).reorder("m.o n.o k m.i n.i")
    return block.vectorize("n.i").unroll("m.i").cache_write("C", at="n.o", scope="register")
    ### END SOLUTION


# %% tags=["check"]
check("9.7")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# You need two things: instructions that work on neighbouring elements, and sums that do not wait for one another. Which loop walks along rows of both B and C?
# </details>
# <details><summary>Hint 2: a simple schedule that is enough</summary>
#
# `reorder` so that n is innermost, `split` n by 16 (or 8), and `vectorize` the inner part.
# </details>
# <details><summary>Hint 3: faster still</summary>
#
# Hold a block of C in registers: `tile` m and n, `reorder` so that k runs between the outer and the inner parts, `vectorize`, `unroll`, then `cache_write("C", at=..., scope="register")`.
# </details>

# %% [markdown]
# > **Takeaway.** A loop becomes fast when one instruction works on many numbers, and when the numbers stay in registers instead of being loaded again.

# %% [markdown]
# ## 6 Let the machine search
#
# There are too many tile sizes, orders, unrolled and vectorized loops to try all schedules. So a search samples them. A *model* ranks many schedules, and only the best few are timed: the model is the guide, the clock is the judge. Random search is the control: evolution, which
# changes and mixes the best schedules so far, gets the same number of trials. This takes about 20 seconds.

# %% name="run-search"
goal = matmul(128, 128, 128)


@cache
def predicted_s(one):
    try:
        to_c(one)
    except ValueError:  # a block of registers whose loops are not unrolled: there is no such C
        return np.inf
    return estimate_time(one, machine).seconds


def judge_s(one):
    return time_native(one, flags=FAST, repeats=3).median_s


SEARCHES = {"random": random_search, "evolutionary": evolutionary_search}
RUNS = (("random", 0), ("random", 1), ("evolutionary", 2), ("evolutionary", 3))  # seeds in common would share draws
found = {}
for name, seed in tqdm(RUNS if HAS_COMPILER else (), desc="searches"):
    # the model ranks 24, the clock judges the best 4 of them
    search = SEARCHES[name]
    found[name, seed] = search(goal, trials=24, seed=seed, cost=predicted_s, measure=judge_s, finalists=4)
tried = {trial.nest for one in found.values() for trial in one.trials}
tried = sorted((one for one in tried if predicted_s(one) < np.inf), key=predicted_s)
some = {*(one.best.nest for one in found.values()), *tried[::5]}
goal_times = race({"naive": goal} | {one: one for one in some}, FAST)

# %% name="out-search" tags=["hide-input"]
winners = {key: one.best.nest for key, one in found.items()}
print("24 trials each          predicted    measured")
for (name, seed), one in winners.items():
    print(f"{name:<14}seed {seed}{1e3 * predicted_s(one):>10.3f} ms    {goal_times[one]}")
print(f"{'the naive order':<23}{1e3 * predicted_s(goal) if HAS_COMPILER else np.nan:7.3f} ms    {goal_times['naive']}")
print(f"{len(tried)} different schedules in total, {len(some)} of them in the figure")


# %% name="fig-search" tags=["hide-input"]
def draw_search():
    figure, axes = plt.subplots(figsize=(8, 4.4))
    measured_ms = [1e3 * goal_times[one].median_s for one in some]
    predicted_ms = [1e3 * predicted_s(one) for one in some]
    axes.scatter(predicted_ms, measured_ms, s=60, color=figures.COLOURS["blue"], label="a schedule")
    if some:
        ends = [min(predicted_ms + measured_ms), max(predicted_ms + measured_ms)]
        axes.plot(ends, ends, color=figures.COLOURS["black"], linestyle=":", label="the model is right")
        axes.set(xscale="log", yscale="log")
    axes.set(xlabel="predicted, in ms (logarithmic)", ylabel="measured, in ms\n(logarithmic)")
    axes.legend(loc="upper left")
    return figure


show(
    draw_search(),
    alt="Measured against predicted time of schedules that the two searches tried, with the line on which the model would be right.",
)

# %% [markdown]
# A guide does not have to be right in milliseconds. It must rank good schedules above bad ones, so that a good schedule is among the few that are timed. And did evolution
# beat chance? Two runs of each cannot tell: an answer takes many seeds, and the same number of trials for both.

# %% [markdown]
# > **Takeaway.** A model may choose which schedules are timed, but the clock chooses among them, and random search is the control.

# %% [markdown]
# ## Where it stops working
#
# - **Fewer misses do not always mean less time.** Tiling removed nearly all misses of `m k n`, but saved hardly any time.
# - **Fewer loads do not mean fewer misses.** Vector loads save most *references*, but they fetch just as many lines. The block in registers does fetch fewer.
# - **The model is only a model.** The simulated cache fetches nothing ahead of time; your processor does. The simulation knows sets and lines, but no page tables.
# - **A schedule belongs to one machine and one size.** This is why libraries are tuned for each.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A cache has 64 sets of 8 ways, and lines of 64 bytes. A program walks down a column of 64 floats (4 bytes each) in a matrix with rows of 512 floats. Into how many sets do the lines of the column go, and do they all fit? Do they fit with 16 floats of padding per row?
#
# <details><summary>Answer</summary>
#
# A row is 512 · 4 / 64 = 32 lines, so the column is in lines 0, 32, 64, 96 and so on. Modulo 64, these are sets 0 and 32 only: 32 lines for each of them, with room for 8. They do not fit. With padding, a row is 528 · 4 / 64 = 33 lines. The numbers 0, 33, 66 and so on give 64 different sets, because 33 and 64 have no common factor: one line per set, and all of them fit.
# </details>
#
# **2.** The dependences of two loops `i` and `j` have the distances (1, -2) and (0, 1). Are both orders of the loops legal? By how many steps per iteration of `i` must `j` be skewed before the loops can be tiled?
#
# <details><summary>Answer</summary>
#
# In the old order the first nonzero steps are 1 and 1, so this order is legal. Exchanged, the distances read (-2, 1) and (1, 0): the first begins with -2, so the new order is not legal. If `j` is skewed by s, the first distance becomes (1, s - 2), and the second stays (0, 1). No step is negative from s = 2 on: (1, 0) and (0, 1). Then the loops can be tiled, and exchanged too.
# </details>
#
# **3.** A core has 16 vector registers of 8 floats. A block of C of r rows and 16 columns stays in registers. Each step of `k` loads two vectors of B, and one number of A for each row. Two registers hold the vectors of B, and one register holds the number of A. How many rows fit, and how many vector multiply-adds does the loop do per load? Compare this with a block of one row.
#
# <details><summary>Answer</summary>
#
# Each row takes 16 / 8 = 2 registers: 2r + 2 + 1 must be at most 16, so r = 6. Each step of `k` does 2 · 6 = 12 vector multiply-adds and 2 + 6 = 8 loads: 1.5 per load. One row has 2 multiply-adds and 3 loads: 0.67 per load.
# </details>

# %% [markdown]
# ## The ledger
#
# The order of loops changes no weight, no stored byte, no MAC and no accuracy, only the time of a layer. Here is the third convolution of this course's model, as written and scheduled. The schedule makes output channels innermost, in the loops and in memory, and holds 7 positions by 16
# output channels in registers. Both versions are compiled alike and timed in turns.

# %%
channels_last = nest(
    """
for y in range(14):
    for x in range(14):
        for c in range(32):
            for dy in range(3):
                for dx in range(3):
                    for o in range(64):
                        Y[y, x, o] += X[c, y + dy, x + dx] * W[c, dy, dx, o]
""",
    shapes={"X": (32, 16, 16)},
)
layers = {
    "conv3 alone, naive loops": conv2d(64, 32, 14, 14),
    "conv3 alone, scheduled loops": channels_last.split("o", 16)
    .split("x", 7)
    .reorder("o.o y x.o c dy dx x.i o.i")
    .vectorize("o.i")
    .unroll("x.i")
    .cache_write("Y", at="x.o", scope="register"),
}

# %% name="out-conv" tags=["hide-input"]
picture, kernel = torch.rand(1, 32, 14, 14), torch.rand(64, 32, 3, 3)
layer_times = race(layers, FAST, others={"torch": lambda: torch.conv2d(picture, kernel, padding=1)})
print(aligned([(name, str(time)) for name, time in layer_times.items()]))

# %% tags=["hide-input"]
for name in layers if HAS_COMPILER else ():
    time = layer_times[name]
    row = measure.Row(
        name=name,
        parameters=kernel.numel(),
        macs=kernel.numel() * 14 * 14,
        stored_bytes=4 * kernel.numel(),
        median_s=time.median_s,
        low_s=time.low_s,
        high_s=time.high_s,
    )
    first = row if name == next(iter(layers)) else first
    table = ledger(row, lesson=9, beside=first)  # times are compared with the naive loops of the same run
table if HAS_COMPILER else ledger()

# %% tags=["solution-only"]
claim(
    "Vector loads save most *references*, but they fetch just as many lines",
    holds=(
        count_accesses(path["vectorized"]) < 0.3 * count_accesses(path["m k n"])
        and abs(path_misses["vectorized"] / path_misses["m k n"] - 1) < 0.01
    ),
)
claim("The block in registers does fetch fewer", holds=path_misses["C in registers"] < 0.5 * path_misses["vectorized"])
claim("turn a naive matrix product into one that is many times faster", holds=path_s[best] < start_s / 10)
claim("make a naive matrix product many times faster", holds=path_s[best] < start_s / 10, page="README.md")
claim(
    "Tiling removes nearly all misses, but saves hardly any time. Vectors are the largest step.",
    holds=path_misses["tiled, B padded"] < 0.1 * path_misses["m k n"]
    and path_s["tiled, B padded"] > 0.7 * path_s["m k n"]
    and steps["vectorized"] == max(steps.values()),
    page="slides/09_loops.md",
)
claim(
    "it is many times as fast",
    holds=path_s["m n k at -O3"] > 4 * path_s["-O3 with restrict"],
    page="slides/09_loops.md",
)
claim(
    "the best tiles here are within a small factor of it",
    holds=min(tile_misses[8, 96, side] for side in SIDES[96]) < 3 * bound_lines,
    page="slides/09_loops.md",
)
claim(
    "the chains of the maximum and of the sum take most of it",
    holds=part_s["maximum (a chain)"] + part_s["sum (a chain)"] > 0.5 * sum(part_s.values()),
    page="slides/09_loops.md",
)
claim(
    "with padded rows it is close to the fast orders",
    holds=pair_ns["256 + 16 floats"] < 2 * 1e9 * max(times_256["m k n"], times_256["k m n"]) / 256**3,
    page="slides/09_loops.md",
)

# %%
progress()

# %% [markdown]
# ## Summary
#
# - Memory comes in lines. Elements that are adjacent in memory should be used together, and soon.
# - An order is legal if the first nonzero step of every distance stays positive. Splitting and skewing keep the order of the iterations, and are always legal.
# - There are three ways to miss less: tiles that fit, fused loops, and padding. Each helps only where misses were the trouble.
# - Vectors were the largest step of the path: many numbers in one instruction. Registers came next: a number that stays there is not loaded again.
# - Simulate, predict and measure, in this order, and believe the measurement.
#
# **References.** Hong and Kung 1981, *I/O Complexity: The Red-Blue Pebble Game*. Smith et al. 2019, *A Tight I/O Lower Bound for Matrix Multiplication* (arXiv:1702.02017). Wolfe 1986, *Loop Skewing: The Wavefront Method Revisited*. Wolf and Lam 1991, *A Data Locality Optimizing Algorithm*. Allen and Kennedy 2001, *Optimizing Compilers for Modern Architectures*. Hill and Smith 1989, *Evaluating Associativity in CPU Caches*. Goto and van de Geijn
# 2008, *Anatomy of High-Performance Matrix Multiplication*. Ragan-Kelley et al. 2013, *Halide*. Chen et al. 2018, *TVM* and *Learning to Optimize Tensor Programs*.
#
# **In the library.** In [`mini_lib/loops`](../mini_lib/loops/__init__.py), [`rewrites`](../mini_lib/loops/rewrites/__init__.py) has the rewrites, [`legality`](../mini_lib/loops/legality/__init__.py) proves them, [`caches`](../mini_lib/loops/caches/__init__.py) simulates, [`codegen`](../mini_lib/loops/codegen/__init__.py) writes the C, and [`machine`](../mini_lib/loops/machine/__init__.py) predicts.
#
# **Next:** [10 How is a layer mapped onto the machine?](10_hardware.ipynb)
