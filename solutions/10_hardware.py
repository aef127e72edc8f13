# %% [markdown]
# # How is a layer mapped onto the machine?
#
# Lesson 10 · {minutes} · before it: [09 Why does the order of loops matter?](09_loops.ipynb)
#
# A layer is a few nested loops over numbers. A machine has instructions that do a whole block at once, caches that move whole lines, and only a little fast memory; most of the data is somewhere else. How you map the loops onto the machine decides the time, the bytes and the energy. The arithmetic stays the same.
#
# **You will be able to**
# 1. compute how much of a block instruction a layer can use, and say why a depthwise layer uses so little;
# 2. count the bytes and the joules of a layout and a tiling, and compare the counts with a simulated cache and with the clock;
# 3. plan the memory of a network, and say when fetching ahead hides the loading time.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise, run everything, and come back. Code that only draws is folded: one click shows it.

# %%
import itertools
import textwrap
import threading
import weakref
import zlib
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from tqdm.auto import tqdm

from mini_lib import data, fit, measure, native, zoo
from mini_lib.loops import (
    HOROWITZ_45NM,
    Cache,
    Intrinsic,
    Step,
    best_mapping,
    chain,
    classify,
    compile_nest,
    conv2d_as_matmul,
    count_accesses,
    double_buffered_s,
    energy_j,
    estimate_time,
    live_ranges,
    mappings,
    matmul,
    miss_ratio_curve,
    misses,
    nest,
    plan_best_fit,
    plan_greedy_by_size,
    plan_naive,
    plan_optimal,
    random_arguments,
    reuse_distances,
    serial_s,
    simulate_caches,
    timeline,
    trace,
    transpose,
)
from mini_lib.loops.machine.mapping import AVX2_FP32, SYSTOLIC_128, TENSOR_CORE
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)
figures.use_style()
models = {name: zoo.load(name, seed=0) for name in ("small_cnn", "depthwise_cnn")}
picture = torch.zeros(1, 1, 28, 28)

# %% tags=["hide-input"]
# What every section uses: times of C code, simulated caches, and a printed table.
try:
    print("times of C code were measured with", native.find_compiler().version)
    FAST = native.native_flags()
except native.NoCompiler as error:
    print(f"No times of C code in this run, and smaller simulations: {error}")
    FAST = ()


def times_in_c(programs, flags=("-O1",), repeats=7, restrict=False):
    """The Latency of each nest on this machine, run in turns; None for each without a compiler."""
    try:
        calls = {}
        for name, program in programs.items():
            compiled = compile_nest(program, flags=flags, restrict=restrict)
            calls[name] = compiled.prepare(**random_arguments(program, seed=0)).run
    except native.NoCompiler:
        return dict.fromkeys(programs)
    return measure.compare_latency(calls, repeats=repeats, warmup=1)


def seen_by(program, *caches):
    """The statistics of each cache for a nest; None where that would take too long without a compiler."""
    if not FAST and count_accesses(program) > 300_000:
        return None
    return misses(program, *caches)


def count(stats, name):
    """One number of a cache as text."""
    return "-" if stats is None else f"{getattr(stats, name):,}"


def table(rows, columns, cell, corner="", left=30):
    """Print a table of cell(row, column); `columns` are names with their widths."""
    print(f"{corner:<{left}}" + "".join(f"{name:>{width}}" for name, width in columns.items()))
    for row in rows:
        cells = (f"{cell(row, name)!s:>{width}}" for name, width in columns.items())
        print(f"{row!s:<{left}}" + "".join(cells))


# %% [markdown]
# ## 1 One instruction computes a block
#
# A processor for neural networks does not multiply two numbers at a time. Its instruction multiplies two small *matrices*: 16 x 16 x 16 products in one go. The rewrite **tensorize** marks a group of loops as the work of this instruction.

# %% name="out-tensorize"
block = Intrinsic("mma 16x16x16", matmul(16, 16, 16), cycles=16)
tensorized = matmul(64, 64, 64).tile("m n k", 16).tensorize("m.i", block)
print(tensorized)

# %% name="out-tensorize-short" tags=["solution-only"]
# The same, cut to the width of a slide.
for line in str(tensorized).splitlines():
    print(line if len(line) <= 72 else line[:69] + "...")

# %% [markdown]
# An instruction is declared as the loops that it computes, so the match can be checked. Loops that do not fit are refused, such as those of a pointwise convolution with 14 x 14 = 196 pixels:

# %%
attempts = {
    "196 pixels, tiles of 16": lambda: matmul(64, 196, 32).tile("m n k", 16),
    "196 pixels, with a guard": lambda: (
        matmul(64, 196, 32)
        .split("n", 16, guard=True)
        .tile("m k", 16)
        .reorder("m.o n.o k.o m.i n.i k.i")
        .tensorize("m.i", block)
    ),
    "208 pixels, 12 of them zeros": lambda: matmul(64, 208, 32).tile("m n k", 16).tensorize("m.i", block),
}

# %% name="out-refused" tags=["hide-input"]
for name, attempt in attempts.items():
    try:
        attempt()
        print(f"{name}: fits")
    except ValueError as error:
        print(f"{name}: refused.")
        print(textwrap.fill(str(error), 76, initial_indent="    ", subsequent_indent="    "))

# %% [markdown]
# So a layer is **padded**: filled up with zeros to whole blocks. The unit takes as long for a zero as for any other number. Its **utilization** is the share of its work that the layer asked for:
#
# $$\text{utilization} = \prod_{\text{axes}} \frac{\text{size}}{\lceil \text{size} / \text{block} \rceil \cdot \text{block}}.$$
#
# Worked by hand: ten outputs on an axis of 16 use 10 / 16 = 0.625 of it. If the layer also uses 9 of 16 on the other axis, the utilization is 0.625 · 0.5625 = 0.35.

# %% [markdown]
# ### Exercise 10.1 - How much of a block is used (5 min)


# %% name="ex-10-1" tags=["exercise"]
def utilization(sizes, blocks):
    """The share of the instruction's products that the layer asked for.

    sizes: the length of each loop; blocks: the length of the instruction along it. Returns 0 to 1.
    """
    ### BEGIN SOLUTION
    share = 1.0
    for size, length in zip(sizes, blocks):
        calls = -(-size // length)
        share *= size / (calls * length)
    return share
    ### END SOLUTION


# %% tags=["check"]
check("10.1")

# %% [markdown]
# <details><summary>Hint 1: one axis</summary>
#
# How many blocks does an axis take? An axis of 17 on blocks of 16 takes two blocks, which have room for 32.
# </details>
# <details><summary>Hint 2: several axes</summary>
#
# Half of the rows and half of the columns is a quarter of the block.
# </details>

# %% [markdown]
# Which loop goes on which axis? The axes of a matrix unit have **roles**: m indexes A and C, n indexes B and C, and k is summed. An axis takes only loops of its role. A unit of independent lanes is freer, and takes any two loops. A convolution has many loops: outputs, inputs, rows, columns. So the compiler tries every assignment.
#
# Worked by hand: the loops are out = 10 and in = 8, and the unit has 8 x 8 independent lanes. With `out` on an axis, 10 of 16 places are used; with `in`, 8 of 8.

# %% [markdown]
# ### Exercise 10.2 - Which loop on which axis (8 min)


# %% name="ex-10-2" tags=["exercise"]
def best_axes(loops, rows, columns):
    """The two loops that give a unit of rows x columns the highest utilization.

    loops: a dict of lengths, such as {"out": 17, "in": 16, "x": 32}. Returns the two names:
    (the loop on the rows, the loop on the columns); if several pairs are equally good, any of them.
    """

    ### BEGIN SOLUTION
    def used(size, length):
        return size / (-(-size // length) * length)

    pairs = [(down, across) for down in loops for across in loops if down != across]
    return max(pairs, key=lambda two: used(loops[two[0]], rows) * used(loops[two[1]], columns))
    ### END SOLUTION


# %% tags=["check"]
check("10.2")

# %% [markdown]
# <details><summary>Hint 1: try all</summary>
#
# There are only a few pairs. Compute the utilization of each, and keep the best. (a, b) and (b, a) are two different pairs.
# </details>
# <details><summary>Hint 2: the shape of the code</summary>
#
# A list of pairs with two `for`s and an `if`, then `max(pairs, key=...)`.
# </details>

# %% [markdown]
# As a matrix product, a convolution has the pixels along m, the output channels along n, and the terms of each sum along k: input channels times the 3 x 3 taps. A **depthwise** convolution is many small products, one per channel. Each has one output channel, and nine numbers to sum.

# %%
predict(
    "10.a",
    "A tensor core does 16 x 8 x 16 products at once. How much of it do the products of a depthwise 3x3 layer use?",
    unit="% of the peak",
)


# %% tags=["hide-input"]
# Bookkeeping: a forward pass shows the shapes of each layer.
def problems(model):
    """Each convolution and linear layer of a model, as a matrix product."""
    found, handles = {}, []

    def note(name):
        def hook(layer, inputs, output):
            if isinstance(layer, torch.nn.Linear):
                sizes = (layer.in_features, layer.out_features, (1, 1), (1, 1))
                found[name] = conv2d_as_matmul(*sizes)
            else:
                sizes = (layer.in_channels, layer.out_channels, layer.kernel_size, tuple(output.shape[2:]))
                found[name] = conv2d_as_matmul(*sizes, groups=layer.groups)

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            handles.append(layer.register_forward_hook(note(name)))
    with torch.no_grad():
        model(picture)
    for handle in handles:
        handle.remove()
    return found


# %%
layers = {name: problems(model) for name, model in models.items()}
depthwise = layers["depthwise_cnn"]["depthwise2"]
mapped = best_mapping(depthwise, [TENSOR_CORE])
reveal("10.a", round(100 * mapped.share_of_peak, 1))

# %% name="fig-utilization" tags=["hide-input"]
units = {
    "tensor core": (TENSOR_CORE, "blue", ""),
    "CPU vectors": (AVX2_FP32, "orange", "//"),
    "systolic array": (SYSTOLIC_128, "green", ".."),
}


def draw_utilization():
    figure, both = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True, gridspec_kw={"width_ratios": (5, 10)})
    for axes, (title, found) in zip(both, layers.items()):
        places = np.arange(len(found))
        for number, (name, (unit, colour, hatch)) in enumerate(units.items()):
            shares = [100 * best_mapping(p, [unit]).share_of_peak for p in found.values()]
            axes.bar(
                places + 0.27 * (number - 1),
                shares,
                width=0.27,
                label=name,
                color=figures.COLOURS[colour],
                hatch=hatch,
                edgecolor="white",
            )
        axes.set_xticks(places, found, rotation=60, ha="right", fontsize=12)
        axes.set_title(title)
    both[0].set(ylabel="highest utilization, in %", ylim=(0, 122), yticks=range(0, 101, 20))
    both[1].legend(loc="upper right", fontsize=12, ncols=3)
    return figure


show(
    draw_utilization(),
    alt="The highest utilization that each layer of two networks can reach on three units. The depthwise layers use little of the tensor core and next to nothing of the systolic array.",
)

# %% [markdown]
# By hand: the layer uses 1 of 8 columns, and has 9 taps where 16 would fit: 1/8 · 9/16 = 0.07. (The padding of the pixels wastes a little more.)
#
# The lanes of a matrix unit *share* their operands, which is what makes it cheap. The channels (groups) of a depthwise layer share nothing, so all columns but one do no useful work. In a vector unit each lane brings its own operands, and then each lane can take its own channel. Here are the best mappings of one depthwise layer, and of the pointwise layer after it:

# %% name="out-mappings" tags=["hide-input", "nbval-check-output"]
for name, found in (("depthwise2", depthwise), ("pointwise2", layers["depthwise_cnn"]["pointwise2"])):
    print(f"{name}: {found}")
    for mapping in mappings(found, [TENSOR_CORE, AVX2_FP32])[:6]:
        loops = ", ".join(mapping.loops)
        print(f"    {mapping.unit.name:<24}({loops:<12}) {100 * mapping.share_of_peak:6.1f}% of the peak")

# %% [markdown]
# Could the *channels* of the depthwise layer go on an axis of the matrix unit? The refusal shows why not: X would have to be the same for all channels, but its subscripts include the channel.

# %% name="out-refused-depthwise"
depthwise_nest = nest(
    """
for g in range(64):
    for p in range(208):
        for t in range(16):
            Y[g, p] += W[g, t] * X[g, p, t]
"""
)
try:
    depthwise_nest.tile("g p t", 16).tensorize("g.i", block)
except ValueError as error:
    print(textwrap.fill(str(error), 76))

# %% [markdown]
# The **dataflow** of a unit says what stays in place while the rest passes by: weights (*weight-stationary*, as in the TPU), sums (*output-stationary*), or a row of weights with a row of the picture and their sums (*row-stationary*, as in Eyeriss). It decides how often each operand is read.

# %% tags=["solution-only"]
from teach import claim

best_of = {
    (net, layer, unit): best_mapping(problem, [units[unit][0]]).share_of_peak
    for net, found in layers.items()
    for layer, problem in found.items()
    for unit in units
}
claim(
    "1/8 · 9/16 = 0.07. (The padding of the pixels wastes a little more.)",
    None,
    None,
    None,
    None,
    1 / 8 * 9 / 16,
    holds=best_of["depthwise_cnn", "depthwise2", "tensor core"] < 1 / 8 * 9 / 16,
)
claim(
    "The depthwise layers use little of the tensor core and next to nothing of the systolic array",
    holds=all(
        best_of[key] < (0.08 if key[2] == "tensor core" else 0.002)
        for key in best_of
        if key[1].startswith("depthwise") and key[2] != "CPU vectors"
    ),
)
claim(
    "then each lane can take its own channel",
    holds=all(best_of[key] > 0.9 for key in best_of if key[1].startswith("depthwise") and key[2] == "CPU vectors"),
)

# %% [markdown]
# Utilization was counted. Now the clock: how many multiply-accumulates per second does this CPU reach in each layer? (PyTorch, one thread, batch 32.) The last column is a control: the time to copy the layer's input. This takes about 4 seconds.


# %% name="out-layer-speed" tags=["hide-input"]
def layer_speed(model):
    """The MACs of each convolution, its time, and the time to copy its input."""
    images = torch.rand(32, 1, 28, 28)
    calls, work = {}, {}
    with torch.no_grad():
        for name, layer in model.named_children():
            if isinstance(layer, torch.nn.Conv2d):
                calls[name] = lambda layer=layer, images=images: layer(images)
                calls[name, "copy"] = lambda images=images: images.clone()
                work[name] = measure.macs(layer, images)
            images = layer(images)
        times = measure.compare_latency(calls, repeats=7)
    return {name: (work[name], times[name], times[name, "copy"]) for name in work}


speeds_of = [layer_speed(model) for model in tqdm(models.values(), desc="networks")]
layer_speeds = {}
for name, (macs, latency, copied) in itertools.chain.from_iterable(found.items() for found in speeds_of):
    speed = macs / latency.median_s / 1e9
    quickest = min(latency.times_s)
    layer_speeds[name] = macs / quickest, min(copied.times_s) / quickest
    row = f"{name:<12}{macs / 1e6:6.1f} M MACs {latency!s:>22}{speed:6.1f} G MACs/s"
    print(f"{row}   copy {1e3 * copied.median_s:.3f} ms")

# %% [markdown]
# The depthwise layers reach fewer multiply-accumulates per second than the pointwise layers after them, although they could fill the vectors. Memory alone is not the reason: copying their input takes a fraction of their time.

# %% tags=["solution-only"]
claim(
    "The depthwise layers reach fewer multiply-accumulates per second than the pointwise layers after them",
    holds=all(layer_speeds[f"depthwise{n}"][0] < layer_speeds[f"pointwise{n}"][0] for n in (1, 2, 3, 4)),
)
claim(
    "copying their input takes a fraction of their time",
    holds=all(layer_speeds[f"depthwise{n}"][1] < 0.5 for n in (1, 2, 3, 4)),
)

# %% [markdown]
# > **Takeaway.** The losses from padding multiply over the axes, and groups share no operands, so a depthwise layer uses little of a matrix unit.

# %% [markdown]
# ## 2 Layout: what is next to what
#
# A picture with channels has three axes, and only one of them can have its elements next to each other in memory. **NCHW** puts the pixels of a channel together, **NHWC** the channels of a pixel. A cache fetches lines of 64 bytes, which is sixteen floats. A walk along the wrong axis uses one float of each line.
#
# Worked by hand: 17 adjacent floats are in two lines. 10 floats that are 100 floats apart are in ten lines.

# %% [markdown]
# ### Exercise 10.3 - Cache lines of a walk (5 min)


# %% name="ex-10-3" tags=["exercise"]
def lines_of_walk(count, stride, element_bytes=4, line_bytes=64):
    """How many cache lines are touched by `count` elements that are `stride` elements apart.

    The first one is at the start of a line. No element is split between two lines.
    """
    ### BEGIN SOLUTION
    return len({at * stride * element_bytes // line_bytes for at in range(count)})
    ### END SOLUTION


# %% tags=["check"]
check("10.3")

# %% [markdown]
# <details><summary>Hint 1: the addresses</summary>
#
# Element number `at` begins at byte `at * stride * element_bytes`. In which line is that?
# </details>
# <details><summary>Hint 2: count each line once</summary>
#
# A set holds each of its members once. Or think: when the stride is a line or longer, every element has a line of its own.
# </details>

# %% [markdown]
# A pointwise convolution has three loops: output channel `o`, input channel `c`, pixel `p`. Here are three orders of these loops. `layout` changes where the elements are in memory, not the loops.
#
# Each nest is compiled twice. A C compiler must assume that the arrays may overlap: a store to Y might change X or W. "No overlap" is the same nest with the promise that they do not (`restrict`, lesson 09).

# %%
pointwise = nest(
    """
for o in range(16):
    for c in range(64):
        for p in range(3136):
            Y[o, p] += W[o, c] * X[c, p]
"""
)
print(pointwise)

# %%
predict(
    "10.b",
    "Pixels innermost, as printed. X and Y change from NCHW to NHWC. By what factor does the number of L1 misses grow?",
)

# %%
L1, L2 = Cache(32 * 1024, ways=8), Cache(1024 * 1024, ways=16)
orders = {
    "pixels innermost: o c p": pointwise,
    "inputs innermost: p o c": pointwise.reorder("p o c"),
    "outputs innermost: p c o": pointwise.reorder("p c o"),
}
layouts = {"NCHW": lambda n: n, "NHWC": lambda n: n.layout("X", (1, 0)).layout("Y", (1, 0)).layout("W", (1, 0))}
nests = {f"{o}, {lay}": put(orders[o]) for o in orders for lay, put in layouts.items()}
seen = {name: seen_by(program, L1) for name, program in nests.items()}
timed, timed_restrict = times_in_c(nests, FAST), times_in_c(nests, FAST, restrict=True)

# %% tags=["hide-input"]
near, far = (seen[f"pixels innermost: o c p, {layout}"] for layout in layouts)
if near and far:
    grown = far[0].misses / near[0].misses
reveal("10.b", round(grown, 1)) if near and far else print("not simulated without a compiler")


# %% name="out-layouts" tags=["hide-input"]
def layout_row(row, column):
    if column == "L1 misses":
        return count(seen[row] and seen[row][0], "misses")
    latency = (timed if column == "time, ms" else timed_restrict)[row]
    return str(latency or "no compiler").removesuffix(" ms")


columns = {"L1 misses": 10, "time, ms": 20, "no overlap, ms": 23}
with hold("10.b"):
    table(nests, columns, layout_row, "pointwise, 64 to 16, 56 x 56", left=30)

# %% [markdown]
# Why so many? In NHWC two neighboring pixels of one channel are 64 floats apart. Each access to X takes a line of its own: sixteen times as many lines. Then Y, which also uses one float of each line, does not stay in the cache either, and misses as often as X: that doubles the misses.
#
# So neither layout is "the good one": it depends on the loops. With pixels innermost, pixels should be adjacent. With inputs or outputs innermost, both layouts miss equally often.
#
# Without the promise, these two orders also take about the same time in both layouts. The promise makes all four of these nests faster, and then the layout matters. With inputs innermost, NHWC is several times as fast: its *outputs* are adjacent. With outputs innermost, NCHW is the faster one: there the *pixels* are adjacent. So "keep the innermost axis adjacent" is not a law: a compiler that knows that nothing overlaps may vectorize a loop other than the innermost one. (Whether it did so here was not tested.)
#
# Without the promise, the first row has many times the misses of the last four, and is the fastest. With it, the times of those four differ several-fold, though the simulation counts the same misses for all of them. (It follows the nest, not the code that the compiler makes from it.) **Misses are one cost among several.**
#
# Libraries have loops for both layouts. Here are two whole networks in PyTorch, each in both layouts:

# %% name="out-channels-last"
images = torch.rand(32, 1, 28, 28)
calls = {}
for name, model in models.items():
    last = zoo.load(name, seed=0).to(memory_format=torch.channels_last)
    calls[f"{name}, NCHW"] = lambda model=model: model(images)
    calls[f"{name}, NHWC"] = lambda model=last: model(images)
with torch.no_grad():
    for name, latency in measure.compare_latency(calls, repeats=7).items():
        print(f"{name:<22} {latency}")

# %% [markdown]
# ### Padding: when all rows compete for the same places
#
# Some bits of the address decide which **set** a line goes into, and here a set has room for eight lines (lesson 09). Rows of 256 floats begin 1,024 bytes apart, so a walk down a column falls into the same few sets again and again: **conflict misses**. The cure costs a few bytes: `pad` makes each row a little longer than a power of two.

# %%
predict(
    "10.c",
    "The transpose of 256 x 256 floats. How many times as fast is it if each row of B gets 16 floats of padding?",
    unit="times",
)

# %%
plain = transpose(256, 256)
variants = {"256 floats per row": plain, "272 floats per row": plain.pad("B", axis=1, elements=16)}
speeds = times_in_c(variants, repeats=31)
reasons = {name: classify(trace(program), L1) for name, program in variants.items()}

# %% tags=["hide-input"]
before, after = speeds.values()
if before:
    faster = before.median_s / after.median_s
reveal("10.c", round(faster, 1)) if before else print("not measured without a compiler")

# %% name="out-padding" tags=["hide-input"]
with hold("10.c"):
    for name, program in variants.items():
        stats = seen_by(program, L1, L2)
        first, second = (count(stats and stats[level], "misses") for level in (0, 1))
        clocked = speeds[name] or "no compiler"
        print(f"{name}: {first:>7} L1 misses {second:>6} L2 misses  {clocked}")
    for name, kinds in reasons.items():
        print(f"{name}: cold {kinds.cold:,}, capacity {kinds.capacity:,}, conflict {kinds.conflict:,}")

# %% [markdown]
# All misses of L1 except the cold ones are conflicts. Padding removes every conflict, and changes little else: the instructions and the L2 misses stay the same, and the number of memory pages touched hardly changes. So here the conflicts are the likely cause of the longer time. (At 512 x 512 a column has as many lines as a cache of 32 KiB. There the same misses count as *capacity* misses, and padding still helps on a machine whose cache is larger than that.)

# %% tags=["solution-only"]
unpadded, spread_out = reasons.values()
claim(
    "All misses of L1 except the cold ones are conflicts. Padding removes every conflict",
    holds=(unpadded.capacity == 0 < unpadded.conflict and spread_out.conflict == spread_out.capacity == 0),
)
claim("the L2 misses stay the same", holds=len({seen_by(p, L1, L2)[1].misses for p in variants.values()}) == 1)
claim("So here the conflicts are the likely cause", holds=faster > 2)
wide = {extra: transpose(512, 512).pad("B", axis=1, elements=extra) for extra in (16, 32)} | {0: transpose(512, 512)}
whole = classify(trace(wide[0]), L1)
larger = [misses(wide[extra], Cache(48 * 1024, ways=12))[0].misses for extra in (0, 16)]
claim(
    "There the same misses count as *capacity* misses, and padding still helps on a machine whose cache is larger than that",
    holds=(whole.conflict == 0 < whole.capacity and larger[1] < 0.2 * larger[0]),
)
claim("sixteen times as many lines. Then Y", holds=2 * 15 < grown < 2 * 16.1)
claim(
    "both layouts miss equally often",
    holds=all(seen[f"{o}, NCHW"][0].misses == seen[f"{o}, NHWC"][0].misses for o in list(orders)[1:]),
)
others = [name for name in nests if "pixels" not in name]
claim(
    "the first row has many times the misses of the last four, and is the fastest",
    holds=(
        seen[next(iter(nests))][0].misses > 10 * max(seen[name][0].misses for name in others)
        and timed[next(iter(nests))].median_s < min(timed[name].median_s for name in others)
    ),
)
plain_s, promised_s = ({name: min(one[name].times_s) for name in nests} for one in (timed, timed_restrict))
inputs_nchw, inputs_nhwc, outputs_nchw, outputs_nhwc = others
claim(
    "Without the promise, these two orders also take about the same time in both layouts",
    holds=all(
        2 / 3 < plain_s[one] / plain_s[other] < 3 / 2
        for one, other in ((inputs_nchw, inputs_nhwc), (outputs_nchw, outputs_nhwc))
    ),
)
claim(
    "The promise makes all four of these nests faster", holds=all(promised_s[name] < plain_s[name] for name in others)
)
claim(
    "With inputs innermost, NHWC is several times as fast",
    holds=promised_s[inputs_nchw] > 2.5 * promised_s[inputs_nhwc],
)
claim(
    "With outputs innermost, NCHW is the faster one: there the *pixels* are adjacent",
    holds=promised_s[outputs_nhwc] > 2.5 * promised_s[outputs_nchw],
)
claim(
    "the times of those four differ several-fold, though the simulation counts the same misses for all of them",
    holds=(
        len({seen[name][0].misses for name in others}) == 1
        and max(promised_s[name] for name in others) > 4 * min(promised_s[name] for name in others)
    ),
)

# %% [markdown]
# > **Takeaway.** Whether a layout is good depends on the order of the loops and on what the compiler may do with them.

# %% [markdown]
# ## 3 What has to move, and what it costs
#
# Take C += A · B with 64 x 512 numbers in A and 512 x 64 in B. If the cache held everything, each number would be read once. It does not, so we **tile**: one tile of C stays in the cache for all of k, while rows of A and columns of B stream past. For the next tile they stream past again:
#
# $$\text{bytes} = \Big( \underbrace{m k \cdot \lceil n / t_n \rceil}_{A} + \underbrace{k n \cdot \lceil m / t_m \rceil}_{B} + \underbrace{2\, m n}_{C} \Big) \cdot \text{bytes per element}.$$
#
# Worked by hand: m = 8, n = 4, k = 3, tiles of 4 x 4, one byte per element. A has 24 numbers, read once: 24. B has 12, read for two rows of tiles: 24. C has 32, read and written: 64. Together 112.

# %% [markdown]
# ### Exercise 10.4 - Bytes moved by a tiled matrix product (10 min)


# %% name="ex-10-4" tags=["exercise"]
def tiled_traffic(m, n, k, tile_m, tile_n, element_bytes=4):
    """Bytes between cache and memory for C[m,n] += A[m,k] B[k,n], one tile of C after the other.

    A tile of C stays in the cache for all of k; A and B do not stay from one tile to the next.
    """
    ### BEGIN SOLUTION
    tiles_down, tiles_across = -(-m // tile_m), -(-n // tile_n)
    a_elements = m * k * tiles_across
    b_elements = k * n * tiles_down
    return (a_elements + b_elements + 2 * m * n) * element_bytes
    ### END SOLUTION


# %% tags=["check"]
check("10.4")

# %% [markdown]
# <details><summary>Hint 1: which matrix is read again?</summary>
#
# Tiles that are next to each other (along n) need the same rows of A. Tiles that are one above the other (along m) need the same columns of B.
# </details>
# <details><summary>Hint 2: how often?</summary>
#
# All of A, m · k numbers, is read once for each *column of tiles*. Round the number of tiles up.
# </details>

# %% [markdown]
# Does the formula hold? We simulate a cache of 8 KiB three times: with any line allowed in any place, with 4 ways, and with 4 ways and padded rows.

# %%
predict(
    "10.d",
    "Tiles grow from 2 x 2 to 64 x 64, where a tile of C is twice as large as the cache. What do the simulated bytes do?",
    choices=("they fall all the way", "they fall, then rise", "they follow the formula exactly"),
)


# %% tags=["hide-input"]
def moved_bytes(stats):
    """All bytes between a cache and memory, with those that are still to be written at the end."""
    return stats.moved_bytes + stats.dirty_lines * stats.cache.line_bytes


def padded(program):
    """The same matrix product with rows that do not all begin in the same few sets."""
    for name in "ABC":
        program = program.pad(name, axis=1, elements=16)
    return program


# %%
def counted(tile):
    across, down = -(-n // tile), -(-m // tile)
    return 4 * (m * k * across + k * n * down + 2 * m * n)


m, n, k = 64, 64, 512
product, tiles = matmul(m, n, k), (2, 4, 8, 16, 32, 64)
kinds = {
    "any line anywhere": (product, Cache(8192, ways=128)),
    "4 ways": (product, Cache(8192, ways=4)),
    "4 ways, rows padded": (padded(product), Cache(8192, ways=4)),
}
simulated = {}
for name, (program, cache) in kinds.items():
    for tile in tiles:
        tiled = program.tile({"m": tile, "n": tile}).reorder("m.o n.o k m.i n.i")
        found = seen_by(tiled, cache)
        simulated[name, tile] = moved_bytes(found[0]) if found else None

# %% tags=["hide-input"]
fully = [simulated["any line anywhere", tile] for tile in tiles]
if fully[0]:
    shape = "they fall, then rise" if fully[-1] > min(fully) else "they fall all the way"
reveal("10.d", shape) if fully[0] else print("not simulated without a compiler")


# %% name="fig-traffic" tags=["hide-input"]
def draw_traffic():
    figure, axes = plt.subplots(figsize=(9, 4.8))
    looks = dict(zip(kinds, (("o", "blue"), ("s", "vermillion"), ("^", "orange"))))
    axes.plot(tiles, [counted(t) / 1e6 for t in tiles], color="black", linestyle=":", label="the formula")
    for name, (marker, colour) in looks.items():
        values = [(simulated[name, tile] or np.nan) / 1e6 for tile in tiles]
        line = "--" if marker == "^" else "-"
        axes.plot(tiles, values, marker=marker, color=figures.COLOURS[colour], linestyle=line, label=name)
    axes.set(xscale="log", yscale="log", xticks=tiles, xticklabels=tiles)
    axes.minorticks_off()
    axes.set_yticks((0.5, 1, 2, 5, 10, 20, 40), ("0.5", "1", "2", "5", "10", "20", "40"))
    axes.set(xlabel="side of the tile of C", ylabel="megabytes moved")
    axes.legend(fontsize=12)
    return figure


show(
    draw_traffic(),
    alt="Megabytes moved over the side of the tile. The formula falls. The simulated caches are above it for small tiles, meet it at 16 and 32, and leave it when the tile is too large. Without padding, four ways never meet it.",
)

# %% tags=["hide-input"]
with hold("10.d"):
    for tile, found in zip(tiles, fully):
        simulation = f"{found:>10,}" if found else "-"
        print(f"tile {tile:2}: formula {counted(tile):>10,} bytes, simulated {simulation}")

# %% tags=["solution-only"]
claim(
    "At 16 and 32 the formula is right",
    None,
    None,
    holds=all(simulated["any line anywhere", tile] == counted(tile) for tile in (16, 32)),
)
claim(
    "Small tiles move more than the formula says",
    holds=all(simulated["any line anywhere", tile] > 1.4 * counted(tile) for tile in (2, 4, 8)),
)
claim("A tile that does not fit moves far more", holds=simulated["any line anywhere", 64] > 10 * counted(64))
claim(
    "Without padding, the rows fall into a few sets",
    holds=all(simulated["4 ways", tile] > 2 * simulated["4 ways, rows padded", tile] for tile in (8, 16, 32)),
)

# %% [markdown]
# Small tiles move more than the formula says, since a cache moves whole lines and a tile of 2 uses a fraction of each. At 16 and 32 the formula is right. A tile that does not fit moves far more. Without padding, the rows fall into a few sets, but the formula assumes a cache that can put a line anywhere.
#
# ### Several levels
#
# Real machines have two or three caches. Here are five schedules of one matrix product on a small machine: its caches hold 8 KiB, 64 KiB and 512 KiB, so 256 x 256 is already large.

# %%
machine = Cache(8 * 1024, ways=4), Cache(64 * 1024, ways=8), Cache(512 * 1024, ways=16)
side = 256
base = matmul(side, side, side)
small_tiles = padded(base).tile({"m": 4, "n": 16}).reorder("m.o n.o k m.i n.i").split("k", 32)
small_tiles = small_tiles.reorder("k.o m.o n.o k.i m.i n.i").vectorize("n.i").unroll("m.i")
in_registers = small_tiles.cache_write("C", at="n.o", scope="register")
schedules = {
    "m n k": base,
    "m k n": base.reorder("m k n"),
    "tiles of 16": base.tile("m n k", 16),
    "tiles, padded": padded(base).tile("m n k", 16),
    "in registers": in_registers.cache_read("B", at="k.i", scope="register"),
}
levels = {name: seen_by(program, *machine) for name, program in schedules.items()}
clock = times_in_c(schedules, repeats=5)


# %% name="out-levels" tags=["hide-input"]
def level_row(name, column):
    if column == "time at -O1":
        return clock[name] or "no compiler"
    stats = levels[name]
    if stats is None:
        return "-"
    if column == "accesses":
        return f"{stats[0].references:,}"
    level = ("L1, MB", "L2, MB", "L3, MB").index(column)
    return f"{moved_bytes(stats[level]) / 1e6:.1f}"


columns = {"accesses": 12, "L1, MB": 10, "L2, MB": 10, "L3, MB": 10, "time at -O1": 22}
table(schedules, columns, level_row, "256^3", left=14)

# %% [markdown]
# The megabytes are the traffic between a level and the one below it: "L3" is the traffic with memory. The schedule in the last line of the table pads the rows of the matrices, and keeps a tile of C and a row of B in registers.
#
# Each level catches part of what the one above lets through; a good tiling keeps the traffic in the levels close to the core. Without padding, tiling alone does not help the first level: the conflicts are back. Registers are the level above the first cache: a number that stays there needs no memory access at all.
#
# The bytes are those of our small machine; the time is that of *yours*, whose caches are larger. Padding the tiles removes nearly all of the first level's traffic but saves hardly any time.

# %% tags=["solution-only"]
first_level = {name: moved_bytes(levels[name][0]) for name in schedules}
clock_s = {name: min(clock[name].times_s) for name in schedules}  # the quickest runs
claim(
    "Without padding, tiling alone does not help the first level",
    holds=(
        first_level["tiles of 16"] > 0.95 * first_level["m n k"]
        and first_level["tiles, padded"] < 0.05 * first_level["m n k"]
    ),
)
claim(
    "Padding the tiles removes nearly all of the first level's traffic but saves hardly any time",
    holds=(
        first_level["tiles, padded"] < 0.05 * first_level["tiles of 16"]
        and clock_s["tiles, padded"] > 0.7 * clock_s["tiles of 16"]
    ),
)

# %% [markdown]
# ### One number decides: the reuse distance
#
# How large must a cache be? For each access, ask: how many *other* lines have been touched since this line was last used? This number is the **reuse distance**. A cache that holds more lines than that still has the line. So one pass over the trace gives the misses for every size. The curves are for a cache that can put a line anywhere; the dots are simulated caches with four ways.

# %%
small = matmul(32, 32, 32)
walks = {"m n k": small, "m k n": small.reorder("m k n"), "tiles of 8": small.tile("m n k", 8)}
traces = {name: trace(program) for name, program in walks.items()}
distances = {name: reuse_distances(accesses) for name, accesses in traces.items()}

# %% name="fig-reuse" tags=["hide-input"]
sizes = [2**power for power in range(8, 16)]  # bytes


def draw_reuse():
    figure, axes = plt.subplots(figsize=(9, 4.6))
    for (name, accesses), colour in zip(traces.items(), ("vermillion", "blue", "green")):
        fine = np.unique(np.geomspace(256, 32768, 200).astype(int) // 64)
        curve = 100 * miss_ratio_curve(distances[name], fine)
        axes.plot(fine * 64, curve, color=figures.COLOURS[colour], label=name)
        seen = [simulate_caches(accesses, Cache(size, ways=4)).levels[0] for size in sizes]
        dots = [100 * stats.miss_ratio for stats in seen]
        axes.plot(sizes, dots, "o", color=figures.COLOURS[colour], markersize=6)
    axes.set(xscale="log", yscale="log", ylim=(0.1, 70))
    axes.set_yticks((0.1, 1, 10, 50), ("0.1", "1", "10", "50"))
    axes.set_xticks(sizes, [f"{size / 1024:g}" for size in sizes])
    axes.minorticks_off()
    axes.set(xlabel="size of the cache, in KiB", ylabel="misses, in % of the accesses")
    axes.legend(fontsize=13)
    return figure


show(
    draw_reuse(),
    alt="Miss ratio over cache size for three orders of one matrix product: curves from reuse distances, dots from simulated four-way caches. Each curve falls in steps.",
)

# %% [markdown]
# The curves fall in steps. At each step, the data of one more loop begins to fit.
#
# ### Where the joules go
#
# A battery pays not only for multiplications, but also for moving numbers, and for the instructions that do both. The energies in the next cell, published in 2014, are for 45 nm chips, which were made from about 2008 on. Down to 7 nm, arithmetic has become cheaper; an access to ordinary DRAM (DDR) has not, so the gap between the two has grown (Jouppi et al. 2021).

# %% name="out-energies" tags=["hide-input"]
prices = HOROWITZ_45NM
print(textwrap.fill(f"{prices.source}; {prices.name}", 76))
for name in ("int8_add", "int8_mul", "fp32_add", "fp32_mul"):
    print(f"    {name:<28}{prices.operation_j[name] * 1e12:8.2f} pJ")
for size, joules in prices.cache_j.items():
    print(f"    {f'{prices.access_bytes} bytes, cache of {size // 1024} KB':<28}{joules * 1e12:8.2f} pJ")
low, high = (1e12 * joules for joules in prices.dram_j)
print(f"    {f'{prices.access_bytes} bytes, DRAM':<28}{low:8.0f} to {high:.0f} pJ")

# %% [markdown]
# Worked by hand, with round prices: 4 pJ per multiplication, 1 pJ per addition, 20 pJ per cache word and 1,500 pJ per DRAM word, and a word has 8 bytes. Then 10 MACs take 50 pJ, 80 bytes from the cache 200 pJ, and 8 bytes from memory 1,500 pJ.

# %% [markdown]
# ### Exercise 10.5 - The energy of a layer (5 min)


# %% name="ex-10-5" tags=["exercise"]
def layer_energy(macs, cache_bytes, dram_bytes, pj):
    """The energy of a layer in joules, from its multiply-accumulates, cache bytes and memory bytes.

    pj: picojoules as {"multiply": 4.0, "add": 1.0, "cache word": 20.0, "dram word": 1500.0};
    a word has 8 bytes.
    """
    ### BEGIN SOLUTION
    arithmetic = macs * (pj["multiply"] + pj["add"])
    moving = cache_bytes / 8 * pj["cache word"] + dram_bytes / 8 * pj["dram word"]
    return 1e-12 * (arithmetic + moving)
    ### END SOLUTION


# %% tags=["check"]
check("10.5")

# %% [markdown]
# <details><summary>Hint 1: three parts</summary>
#
# Arithmetic, cache, memory. A MAC is two operations. The prices of the last two are for 8 bytes.
# </details>
# <details><summary>Hint 2: the unit</summary>
#
# A picojoule is a millionth of a millionth of a joule.
# </details>

# %% [markdown]
# The table leaves out the cost of fetching an instruction and steering it through the core. According to the same source, this costs about 70 pJ in a simple core, whatever the instruction computes. We charge it as well; the model of lesson 09 counts the instructions. A vector instruction is charged the same, although a wide one costs more.

# %%
predict("10.e", "The matrix product as written (m n k). What share of its energy is arithmetic?", unit="%")

# %%
with_instructions = replace(prices, operation_j={**prices.operation_j, "instruction": 70e-12})


def energy_of(name):
    stats = levels[name]
    macs = side**3
    scalars = stats[0].references
    if name == "in registers":  # there, only the loads of A are scalar: one per 16 MACs
        scalars = macs // 16
    moved = {
        machine[0].size_bytes: 8 * scalars + 64 * (stats[0].references - scalars),
        machine[1].size_bytes: moved_bytes(stats[0]),
        machine[2].size_bytes: moved_bytes(stats[1]),
    }
    instructions = int(estimate_time(schedules[name], sample=1000).work.instructions)
    operations = {"fp32_mul": macs, "fp32_add": macs, "instruction": instructions}
    return energy_j(operations, moved, moved_bytes(stats[2]), with_instructions)


energies = {name: energy_of(name) for name in schedules if levels[name]}

# %% tags=["hide-input"]
if energies:
    energy = energies["m n k"]
    share = sum(energy.parts_j[key][0] for key in ("fp32_mul", "fp32_add")) / energy.low_j
reveal("10.e", round(100 * share, 1)) if energies else print("not simulated without a compiler")


# %% name="fig-energy" tags=["hide-input"]
def draw_energy():
    figure, axes = plt.subplots(figsize=(10, 4.2))
    parts = {
        "multiply and add": ("fp32_mul", "fp32_add"),
        "instructions": ("instruction",),
        "L1": ("cache 8 KB",),
        "L2": ("cache 64 KB",),
        "L3": ("cache 512 KB",),
        "DRAM": ("DRAM",),
    }
    left = np.zeros(len(energies))
    looks = (("black", ""), ("purple", "\\\\"), ("sky", "//"), ("blue", ""), ("orange", ".."), ("vermillion", "xx"))
    for (part, keys), (colour, hatch) in zip(parts.items(), looks):
        values = [1e3 * sum(energy.parts_j[key][0] for key in keys) for energy in energies.values()]
        axes.barh(
            list(energies), values, left=left, label=part, color=figures.COLOURS[colour], hatch=hatch, edgecolor="white"
        )
        left += values
    axes.invert_yaxis()
    axes.set(xlabel="millijoules (45 nm, DRAM at its low figure)")
    axes.legend(fontsize=12, loc="lower right")
    return figure


show(
    draw_energy(),
    alt="Energy of five schedules of one matrix product, split into arithmetic, instructions, three caches and memory. The arithmetic is the same small bar in each; all other parts except memory differ a lot.",
)

# %% tags=["hide-input"]
with hold("10.e"):
    for name, energy in energies.items():
        print(f"{name:<16}{1e3 * energy.low_j:7.2f} to {1e3 * energy.high_j:.2f} mJ")

# %% [markdown]
# (A scalar access is charged as a whole word of 8 bytes, a vector of 16 floats as eight words.) This is a sum of table prices, not a measurement, and it leaves out leakage (the power that a chip draws even when it does nothing). The last row saves twice: fewer accesses, and fewer instructions for the same work.

# %% tags=["solution-only"]
low_j = {name: energy.low_j for name, energy in energies.items()}
claim("Moving a number costs more than multiplying it", holds=prices.cache_j[8 * 1024] > prices.operation_j["fp32_mul"])
claim("Most of the joules of the naive order can be saved", holds=low_j["in registers"] < 0.2 * low_j["m n k"])
parts_j = {name: {key: part[0] for key, part in energy.parts_j.items()} for name, energy in energies.items()}
claim(
    "The arithmetic is the same small bar in each; all other parts except memory differ a lot",
    holds=(
        len({one["fp32_mul"] for one in parts_j.values()}) == 1
        and all(
            max(one[key] for one in parts_j.values()) > 3 * min(one[key] for one in parts_j.values())
            for key in ("instruction", "cache 8 KB", "cache 64 KB", "cache 512 KB")
        )
    ),
)
claim(
    "The last row saves twice: fewer accesses, and fewer instructions for the same work",
    holds=all(
        parts_j["in registers"][key] < 0.5 * parts_j["tiles, padded"][key] for key in ("instruction", "cache 8 KB")
    ),
)
claim(
    "here these take most of the energy",
    holds=all(one["fp32_mul"] + one["fp32_add"] < 0.5 * low_j[name] for name, one in parts_j.items()),
)

# %% [markdown]
# > **Takeaway.** The arithmetic stays the same; the schedule decides how many bytes move and how many instructions run, and here these take most of the energy.

# %% [markdown]
# ## 4 Memory: a place for each tensor
#
# While a network runs, each layer writes a tensor and the next one reads it. A tensor is **alive** from the step that writes it to the last step that reads it. Programs for microcontrollers often have no allocator, and some runtimes for phones choose to do without one: all places are planned in advance, in one block of memory, the *arena*.

# %%
small_layers = [(cost.name, cost.output_bytes) for cost in measure.layer_costs(models["small_cnn"], picture)]
steps = chain(small_layers)
ranges = live_ranges(steps, {"input": picture.nbytes})
print(f"{len(ranges)} tensors, {sum(live.size_bytes for live in ranges):,} bytes together")


# %% name="fig-live" tags=["hide-input"]
def draw_live(ranges, names):
    figure, axes = plt.subplots(figsize=(9, 0.28 * len(ranges) + 1.3))
    largest = max(live.size_bytes for live in ranges)
    for row, live in enumerate(ranges):
        axes.barh(
            row,
            live.steps,
            left=live.first_step,
            height=0.15 + 0.75 * live.size_bytes / largest,
            align="center",
            color=figures.COLOURS["blue"],
        )
        axes.text(
            live.first_step + live.steps + 0.1, row, f"{live.size_bytes / 1024:.1f} KiB", va="center", fontsize=12
        )
    axes.set_yticks(range(len(ranges)), [live.name for live in ranges], fontsize=12)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="left", fontsize=12)
    axes.tick_params(axis="x", labelbottom=False, labeltop=True, bottom=False, top=False)
    axes.set_xlim(0, len(names) + 1.5)
    axes.invert_yaxis()
    return figure


show(
    draw_live(ranges, [step.name for step in steps]),
    alt="The tensors of small_cnn as bars over the layers at which they are alive. Larger tensors have thicker bars; all but two cover two layers.",
)

# %% [markdown]
# No plan can need fewer bytes than are alive at any one moment. Worked by hand: x (8 bytes) is alive in steps 0 and 1, y (4) in 1 and 2, z (6) in 2 and 3. At step 1 that is 12, at step 2 it is 10. So a plan needs at least 12.

# %% [markdown]
# ### Exercise 10.6 - The most bytes alive at once (6 min)


# %% name="ex-10-6" tags=["exercise"]
def peak_live_bytes(ranges):
    """The most bytes that are alive at one step.

    ranges: a list of (bytes, first step, last step); a tensor is alive at both of these steps.
    """
    ### BEGIN SOLUTION
    moments = range(max(last for _, _, last in ranges) + 1)
    alive = [sum(b for b, first, last in ranges if first <= now <= last) for now in moments]
    return max(alive)
    ### END SOLUTION


# %% tags=["check"]
check("10.6")

# %% [markdown]
# <details><summary>Hint 1: look at one step</summary>
#
# At step 3, which ranges have first <= 3 and 3 <= last? Add up their bytes.
# </details>
# <details><summary>Hint 2: all steps</summary>
#
# Do that for every step from 0 to the last one, and take the largest.
# </details>

# %% [markdown]
# Does a real forward pass need this much? PyTorch frees a tensor once nothing refers to it. The next cell counts each output when its layer is done, and takes it out of the count when PyTorch frees it.


# %% tags=["hide-input"]
def watched_peak(model, x):
    """The most bytes of tensors that are alive at the end of a layer, in a real forward pass."""
    alive, most = {"input": x.nbytes}, 0

    def hook(layer, inputs, output):
        nonlocal most
        key = object()  # no other tensor has the same key
        alive[key] = output.nbytes
        weakref.finalize(output, alive.pop, key)
        most = max(most, sum(alive.values()))

    handles = [layer.register_forward_hook(hook) for layer in model.children()]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return most


# %% name="out-watched" tags=["nbval-check-output"]
kept = live_ranges(steps, {"input": picture.nbytes}, keep=("input",))  # our caller holds the image
print(f"counted from live ranges: {plan_naive(kept).bound_bytes:,} bytes")
print(f"watched in PyTorch:       {watched_peak(models['small_cnn'], picture):,} bytes")

# %% [markdown]
# Knowing the peak is not yet a plan. Each tensor needs an **offset**, and two tensors that are alive together must not overlap. A planner takes the tensors in some order and puts each into a gap. The simplest rule is *first fit*: the lowest place that is free.
#
# Worked by hand: bytes 0 to 7 and 12 to 15 are taken. A tensor of 4 bytes fits at 8. A tensor of 6 bytes does not, and goes on top, at 16.

# %% [markdown]
# ### Exercise 10.7 - The lowest place that is free (10 min)


# %% name="ex-10-7" tags=["exercise"]
def first_fit(size, taken):
    """The lowest offset where `size` bytes are free.

    taken: a list of (first byte, first byte after it) for the tensors that are alive at the same time as this
    one, in any order. They may overlap each other.
    """
    ### BEGIN SOLUTION
    lowest = 0
    for start, end in sorted(taken):
        if start - lowest >= size:
            break
        lowest = max(lowest, end)
    return lowest
    ### END SOLUTION


# %% tags=["check"]
check("10.7")

# %% [markdown]
# <details><summary>Hint 1: go upwards</summary>
#
# Sort the taken places by their start. Keep the lowest byte that may be free, 0 at first, and walk past each taken place in turn.
# </details>
# <details><summary>Hint 2: the gap</summary>
#
# The gap before a taken place goes from your byte to its start. Is it `size` or more? Then stop. Otherwise go on after that place, but never downwards.
# </details>

# %% [markdown]
# In a chain of layers nearly any rule works. It gets interesting where tensors live long: shortcuts and branches. Here are three graphs: our CNN, the same CNN with batch norm and ReLU **in place** (they overwrite their input), and a block whose four branches are joined at the end, as in GoogLeNet.


# %% tags=["hide-input"]
# The block with four branches: each step, the tensors that it reads, and the bytes of those that it writes.
def floats(channels, side):
    return 4 * channels * side * side


branches = (
    Step("stem", ("input",), {"x": floats(16, 28)}),
    Step("1x1", ("x",), {"a": floats(16, 14)}),
    Step("3x3 reduce", ("x",), {"b1": floats(24, 14)}),
    Step("3x3", ("b1",), {"b": floats(32, 14)}),
    Step("5x5 reduce", ("x",), {"c1": floats(8, 14)}),
    Step("5x5", ("c1",), {"c": floats(16, 14)}),
    Step("pool", ("x",), {"d1": floats(16, 14)}),
    Step("pool 1x1", ("d1",), {"d": floats(8, 14)}),
    Step("concat", ("a", "b", "c", "d"), {"joined": floats(72, 14)}),
    Step("conv", ("joined",), {"z": floats(64, 7)}),
    Step("linear", ("z",), {"logits": 40}),
)

# %%
in_place = [name for name, _ in small_layers if name.endswith(("_bn", "_relu"))]
graphs = {
    "small_cnn": ranges,
    "small_cnn, in place": live_ranges(chain(small_layers, in_place), {"input": picture.nbytes}),
    "four branches": live_ranges(branches, {"input": picture.nbytes}),
}
planners = {
    "each its own": plan_naive,
    "best fit": plan_best_fit,
    "largest first": plan_greedy_by_size,
    "optimum": plan_optimal,
}

# %%
predict(
    "10.f",
    "Four branches. The tensors are placed in the order in which they appear. How far above the optimum is the memory that this takes?",
    choices=("no difference", "up to 10%", "10 to 30%", "more than 30%"),
)

# %%
plans = {(graph, name): planners[name](graphs[graph]) for graph in graphs for name in planners}

# %% tags=["hide-input"]
above = plans["four branches", "best fit"].peak_bytes / plans["four branches", "optimum"].peak_bytes - 1
answers = {0.3: "more than 30%", 0.1: "10 to 30%", 0.0: "up to 10%"}
reveal("10.f", next((text for limit, text in answers.items() if above > limit), "no difference"))


# %% name="out-plans" tags=["hide-input", "nbval-check-output"]
def plan_row(graph, name):
    if name == "bound":
        return f"{plans[graph, 'optimum'].bound_bytes:,}"
    return f"{plans[graph, name].peak_bytes:,}"


columns = {"each its own": 14, "best fit": 10, "largest first": 15, "optimum": 10, "bound": 10}
with hold("10.f"):
    table(graphs, columns, plan_row, "bytes", left=20)

# %% [markdown]
# Choose a planner, and see where it puts each tensor of the graph with four branches. (*Each its own* reuses nothing. *Best fit* takes the tensors in order of time and puts each into the smallest gap that is large enough. *Largest first* takes them in order of size.) White is free; the dotted line is the bound.


# %% name="fig-plans" tags=["hide-input", "widget"]
def draw_plan(planner, graph="four branches"):
    plan = plans[graph, planner]
    figure, axes = plt.subplots(figsize=(8, 4))
    palette = ("blue", "orange", "green", "sky", "purple", "vermillion")
    for number, live in enumerate(plan.ranges):
        low = plan.offsets[live.name] / 1024
        axes.bar(
            live.first_step,
            live.size_bytes / 1024,
            width=live.steps,
            bottom=low,
            align="edge",
            color=figures.COLOURS[palette[number % len(palette)]],
            edgecolor="white",
            linewidth=1.5,
        )
        if live.size_bytes > 0.04 * plan.peak_bytes:
            middle = live.first_step + live.steps / 2, low + live.size_bytes / 2048
            axes.text(*middle, live.name, ha="center", va="center", fontsize=12)
    axes.axhline(plan.bound_bytes / 1024, color="black", linestyle=":", linewidth=2)
    axes.set_title(f"{plan.peak_bytes:,} bytes", loc="left")
    axes.set(xlabel="step", ylabel="memory, in KiB")
    axes.grid(visible=False)
    return figure


explore(
    draw_plan,
    alt=lambda planner: f"Where each tensor of the four branches is in memory over time, with the planner: {planner}.",
    planner=tuple(planners),
)

# %% name="fig-plans-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_plan("optimum"),
    alt="Where each tensor of the graph with four branches is in memory over time in the best plan, which touches the dotted bound.",
)

# %% [markdown]
# Placing tensors in order of time (best fit) puts a small tensor where a large one would have fit later. *Largest first* sees the future, and is simple. Finding the optimum takes a search, since the problem is NP-hard (*dynamic storage allocation*). Working in place lowers the bound itself: the gain comes from fewer tensors, not from better places. (It is allowed only where nothing reads the old values any more.) Where the graph leaves a choice, the bound also depends on the *order* of the steps:

# %% name="out-orders" tags=["nbval-check-output"]
first, middle, end = branches[:1], branches[1:8], branches[8:]
bounds = {}
for order in itertools.permutations(middle):
    place = {step.name: at for at, step in enumerate(order)}
    if all(
        place[before] < place[after]
        for before, after in (("3x3 reduce", "3x3"), ("5x5 reduce", "5x5"), ("pool", "pool 1x1"))
    ):
        ranges_ = live_ranges((*first, *order, *end), {"input": picture.nbytes})
        bounds[tuple(place)] = plan_naive(ranges_).bound_bytes
print(
    f"{len(bounds)} legal orders of the four branches: bounds from {min(bounds.values()):,} to {max(bounds.values()):,} bytes"
)

# %% tags=["solution-only"]
at_peak = {name: plans["four branches", name].peak_bytes for name in planners}
claim(
    "In a chain of layers nearly any rule works",
    holds=(plans["small_cnn", "best fit"].peak_bytes < 1.05 * plans["small_cnn", "optimum"].peak_bytes),
)
claim(
    "Placing tensors in order of time (best fit) puts a small tensor where a large one would have fit later",
    holds=(at_peak["best fit"] > 1.3 * at_peak["largest first"]),
)
claim(
    "Working in place lowers the bound itself",
    holds=(plans["small_cnn, in place", "optimum"].bound_bytes < plans["small_cnn", "optimum"].bound_bytes),
)
claim("the bound also depends on the *order* of the steps", holds=min(bounds.values()) < max(bounds.values()))

# %% [markdown]
# > **Takeaway.** Memory must at least hold the tensors that are alive together; the best plans here need no more than that, and working in place or another order of the steps changes this bound.

# %% [markdown]
# ## 5 Fetching: hide the waiting
#
# A tile has to be loaded before the machine can work on it. If loading and computing take turns, a loop over tiles takes the *sum* of the two times. With a second buffer the next tile is loaded **while** the machine works on this one: *double buffering*. Then, for equal tiles,
#
# $$\text{time} = \text{load} + (\text{tiles} - 1) \cdot \max(\text{load}, \text{compute}) + \text{compute}.$$
#
# Worked by hand: three tiles, load 1, compute 4. Taking turns: 3 · 5 = 15. Double-buffered: 1 + 2 · 4 + 4 = 13.


# %% name="fig-gantt" tags=["hide-input"]
def draw_gantt(rows, load_s, compute_s):
    figure, all_axes = plt.subplots(len(rows), 1, figsize=(10, 1.5 * len(rows) + 0.7), sharex=True, squeeze=False)
    for axes, (title, buffers) in zip(all_axes[:, 0], rows.items()):
        spans = timeline(load_s, compute_s, buffers)
        for span in spans:
            loads = span.kind == "load"
            axes.barh(
                "load" if loads else "compute",
                span.end_s - span.start_s,
                left=span.start_s,
                color=figures.COLOURS["orange" if loads else "blue"],
                hatch="//" if loads else "",
                edgecolor="white",
            )
            axes.text((span.start_s + span.end_s) / 2, span.kind, span.tile, ha="center", va="center")
        axes.set_title(f"{title}: {spans[-1].end_s:g}", loc="left", fontsize=13)
        axes.grid(visible=False)
    axes.set_xlabel("time")
    return figure


buffers = {"one buffer": 1, "two buffers": 2, "three buffers": 3}
show(
    draw_gantt(buffers, [1, 1, 5, 1, 5, 1], [4, 2, 2, 4, 2, 4]),
    alt="When each of six uneven tiles is loaded and computed, with one, two and three buffers. With one they take turns; with two they overlap; the third helps a little more.",
)

# %% [markdown]
# The tiles in the figure are not all equal. Work out the rule for unequal tiles: while tile 0 is worked on, tile 1 is loaded; the next round begins when **both** are done.

# %% [markdown]
# ### Exercise 10.8 - The time of a double-buffered loop (8 min)


# %% name="ex-10-8" tags=["exercise"]
def pipelined_time(loads, computes):
    """The time for all tiles with two buffers: while a tile is worked on, the next one is loaded.

    loads, computes: lists, one number per tile. Tile 2 needs the buffer of tile 0.
    """
    ### BEGIN SOLUTION
    total = loads[0]
    for following, compute in zip(loads[1:], computes):
        total += max(following, compute)
    return total + computes[-1]
    ### END SOLUTION


# %% tags=["check"]
check("10.8")

# %% [markdown]
# <details><summary>Hint 1: three parts</summary>
#
# The first load (nothing else runs yet), the rounds in the middle, and the last computation (nothing is left to load).
# </details>
# <details><summary>Hint 2: one round</summary>
#
# In a round tile t is worked on and tile t + 1 is loaded. It takes as long as the slower of the two.
# </details>

# %% [markdown]
# How much can it help? Guess first, then move the sliders.

# %%
predict(
    "10.g",
    "Sixteen tiles, and loading takes as long as computing. Two buffers are how many times as fast as one?",
    unit="times",
)


# %%
def gain(load, tiles):
    """How many times as fast two buffers are, when a tile takes 1 in all, and `load` of that is loading."""
    loads, computes = [load] * tiles, [1 - load] * tiles
    return serial_s(loads, computes) / double_buffered_s(loads, computes)


reveal("10.g", round(gain(0.5, 16), 2))


# %% name="fig-ratio" tags=["hide-input", "widget"]
def draw_ratio(load, tiles):
    figure, both = plt.subplots(2, 1, figsize=(7.5, 4.8), gridspec_kw={"height_ratios": (2, 1.2)})
    shares = np.linspace(0.01, 0.99, 99)
    both[0].plot(100 * shares, [gain(s, tiles) for s in shares], color=figures.COLOURS["blue"])
    both[0].plot([load], [gain(load / 100, tiles)], "o", color=figures.COLOURS["vermillion"], markersize=13)
    both[0].set(xlabel="loading, in % of the work", ylabel="times as fast", ylim=(0.95, 2.05))
    share, shown = load / 100, min(tiles, 8)
    for span in timeline([share] * shown, [1 - share] * shown, buffers=2):
        loads = span.kind == "load"
        both[1].barh(
            span.kind,
            span.end_s - span.start_s,
            left=span.start_s,
            color=figures.COLOURS["orange" if loads else "blue"],
            hatch="//" if loads else "",
            edgecolor="white",
        )
    both[1].set(xlabel="time (the first tiles)")
    both[1].grid(visible=False)
    return figure


explore(
    draw_ratio,
    labels={"tiles": "number of tiles", "load": "loading, in % of the work"},
    alt=lambda load, tiles: (
        f"Speed-up of double buffering over the share of loading, with the tiles at {tiles} and a dot at {load} percent; "
        "below it, the timeline of the first tiles."
    ),
    tiles=(1, 16),
    load=(20, 50, 80),
)

# %% [markdown]
# The best case is when loading takes as long as computing: then nearly half of the time is hidden. Far from this balance, a second buffer helps little: loading that is nine tenths of the work cannot hide behind computing that is one tenth, and the reverse is no better. With one tile there is nothing to overlap. And two buffers take twice the scratch memory, so the tiles may have to be smaller.
#
# ### The rewrite
#
# `cache_read` makes the loop copy its tile into a scratch buffer first. `double_buffer` gives that buffer two slots and fetches one tile ahead.

# %% name="out-double-buffer"
stream = nest(
    """
for t in range(2048):
    for i in range(1024):
        y[t, i] = 3 * x[t, i] + 1
"""
)
staged = stream.cache_read("x", at="t")
buffered = staged.double_buffer("t", "x.scratch")
print(buffered)

# %%
predict(
    "10.h",
    "On this CPU: what does double_buffer do to the time of the loop with the copy?",
    choices=("faster by a third or more", "within a third", "slower by a third or more"),
)

# %%
cases = {"no copy": stream, "copy, one slot": staged, "copy, two slots": buffered}
taken = times_in_c(cases, FAST, repeats=31)

# %% tags=["hide-input"]
one, two = taken["copy, one slot"], taken["copy, two slots"]
if one:
    ratio = two.median_s / one.median_s
    limits = {4 / 3: "slower by a third or more", 3 / 4: "within a third", 0: "faster by a third or more"}
    said = next(text for limit, text in limits.items() if ratio > limit)
reveal("10.h", said) if one else print("not measured without a compiler")

# %% name="out-double-time" tags=["hide-input"]
with hold("10.h"):
    for name, latency in taken.items():
        print(f"{name:<18}{latency or 'no compiler, not measured'}")

# %% [markdown]
# Here nothing copies *during* the work: one core does both, whatever the loop says. The loop without a copy is the fastest of the three; a second slot may help or harm. A CPU has other ways to avoid waiting (not varied here). Its **prefetcher** recognizes a walk and fetches ahead, and the core starts later instructions while earlier ones wait. The rewrite is for machines with a copy engine: GPUs, DSPs, accelerators.
#
# A CPU can overlap the two when a second thread does the loading. A data loader does exactly this. Here a "load" unpacks compressed numbers and "compute" is a matrix product. First the two take turns; then loading runs one tile ahead. This takes about 5 seconds.

# %%
TILES = 12
numbers = np.random.default_rng(0).integers(0, 16, 500_000, dtype=np.int16)
packed = zlib.compress(numbers.tobytes(), 1)
square = torch.rand(600, 600)


def load():
    return zlib.decompress(packed, bufsize=numbers.nbytes)


def compute():
    return square @ square


def in_turns():
    for _ in range(TILES):
        load()
        compute()


def one_ahead():
    load()
    for tile in range(TILES):
        helper = threading.Thread(target=load)
        if tile + 1 < TILES:  # after the last tile there is nothing to load
            helper.start()
        compute()
        if tile + 1 < TILES:
            helper.join()


# %% name="out-threads" tags=["hide-input"]
rounds = {"one tile": ({"load": load, "compute": compute}, 9), "all": ({"turns": in_turns, "ahead": one_ahead}, 15)}
one_tile, clocked = (
    measure.compare_latency(calls, repeats=repeats, warmup=1)
    for calls, repeats in tqdm(rounds.values(), desc="times of one tile, then of all")
)
load_s, compute_s = ([latency.median_s] * TILES for latency in one_tile.values())
predicted = {"turns": serial_s(load_s, compute_s), "ahead": double_buffered_s(load_s, compute_s)}
print(f"one tile: load {one_tile['load']}, compute {one_tile['compute']}")
for name, latency in clocked.items():
    quickest = 1e3 * min(latency.times_s)
    print(f"{name}: predicted {1e3 * predicted[name]:5.1f} ms, measured {latency}, quickest {quickest:.1f} ms")

# %% [markdown]
# When loading and computing take turns, the formula is about right. When loading runs one tile ahead, no run beats the formula by much. How close a run comes depends on whether a second core is free all the time: compare the quickest run and the spread. (Two threads also share caches, memory and Python's lock; the formula leaves that out.) Where other programs keep the second core busy, little is gained.

# %% tags=["solution-only"]
claim(
    "The best case is when loading takes as long as computing: then nearly half of the time is hidden",
    holds=1.9 < gain(0.5, 64) < 2,
)
claim(
    "loading that is nine tenths of the work cannot hide behind computing that is one tenth, and the reverse is no better",
    holds=gain(0.9, 16) < 1.12 and gain(0.1, 16) < 1.12,
)
quickest_s = {name: min(latency.times_s) for name, latency in {**taken, **clocked, **one_tile}.items()}
claim(
    "The loop without a copy is the fastest of the three",
    holds=quickest_s["no copy"] < min(quickest_s["copy, one slot"], quickest_s["copy, two slots"]),
)
claim(
    "When loading and computing take turns, the formula is about right",
    holds=abs(quickest_s["turns"] / serial_s([quickest_s["load"]] * TILES, [quickest_s["compute"]] * TILES) - 1) < 0.15,
)
ahead_s = double_buffered_s([quickest_s["load"]] * TILES, [quickest_s["compute"]] * TILES)
claim("no run beats the formula by much", holds=quickest_s["ahead"] > 0.85 * ahead_s)

# %% [markdown]
# > **Takeaway.** Two buffers turn a sum into a maximum, if another core or a copy engine does the loading.

# %% [markdown]
# ## 6 Where it stops working
#
# **Utilization is not speed.** It says what a mapping *can* reach when the data is always there and no call costs anything.
#
# **A simulated cache is not your cache.** Ours evicts the least recently used line, fetches nothing ahead and sees no other program. Misses say which schedule moves less, not which is faster.
#
# **A plan is for one shape.** Another batch or picture size needs another plan, and memory grows with the batch:

# %% name="out-batches" tags=["hide-input", "nbval-check-output"]
model = models["small_cnn"]
for batch in (1, 8, 32, 128):
    costs = measure.layer_costs(model, torch.zeros(batch, 1, 28, 28))
    steps = chain([(cost.name, cost.output_bytes) for cost in costs], in_place)
    best = plan_greedy_by_size(live_ranges(steps, {"input": batch * picture.nbytes}))
    weights = measure.stored_bytes(model)
    print(f"batch {batch:>3}: weights {weights:,} bytes, activations {best.peak_bytes:>12,} bytes")

# %% [markdown]
# **Fetching ahead hides latency, not traffic.** If the memory is busy all the time, fetching earlier makes nothing faster. Then only fewer bytes help: tiling, fusion, fewer bits.

# %% [markdown]
# > **Takeaway.** A count says what a schedule moves or could reach; only the clock says which schedule is faster.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A linear layer has 300 inputs and 10 outputs. It is a matrix product with m = pictures, n = 10, k = 300. How much of a tensor core of 16 x 8 x 16 does it use for one picture (m on the axis of length 16, n on the axis of length 8)? And for sixteen pictures?
#
# <details><summary>Answer</summary>
#
# One picture: m uses 1 of 16 rows. n takes two blocks of 8, so 10 of 16 places. k takes 19 blocks of 16, so 300 of 304. The utilization is 1/16 · 10/16 · 300/304 = 0.0625 · 0.625 · 0.987 = 0.039. Sixteen pictures fill the rows: 1 · 0.625 · 0.987 = 0.617, sixteen times as much.
# </details>
#
# **2.** C += A · B has m = n = k = 1,024 in float32, and the cache holds 32 KiB. How many bytes move, by the formula, with tiles of 64 x 64? By what factor would tiles of 128 x 128 lower that, and can this cache use them?
#
# <details><summary>Answer</summary>
#
# Each matrix has 1,024 · 1,024 = 1,048,576 numbers. With tiles of 64, A and B are read 16 times each, and C is read and written: 16 + 16 + 2 = 34 passes, so 34 · 1,048,576 · 4 = 142,606,336 bytes, about 143 MB. With tiles of 128 it would be 8 + 8 + 2 = 18 passes, fewer by a factor of 34 / 18 = 1.9. But a tile of C would take 128 · 128 · 4 = 65,536 bytes, 64 KiB, which does not fit. A tile of 64 x 64 takes 16 KiB.
# </details>
#
# **3.** Eight equal tiles take 3 ms each to load and 5 ms each to compute. How long does the loop take if loading and computing take turns, and how long with two buffers? And if loading becomes twice as fast?
#
# <details><summary>Answer</summary>
#
# Taking turns: 8 · (3 + 5) = 64 ms. With two buffers: 3 + 7 · 5 + 5 = 43 ms, 1.5 times as fast. With loads of 1.5 ms: 8 · 6.5 = 52 ms when taking turns, and 1.5 + 7 · 5 + 5 = 41.5 ms with two buffers. Once the loading is hidden, making it faster hardly helps.
# </details>

# %% [markdown]
# ## The ledger
#
# This lesson's row is the same network in NHWC: same weights, same bytes, same MACs, and the same accuracy or nearly so. Its timing runs alternate with those of the usual layout. With a memory plan, and with layers that work in place, its activations would need only the second number of bytes that the cell prints. PyTorch makes no such plan.

# %%
splits = data.fashion()
last = zoo.load("small_cnn", seed=0).to(memory_format=torch.channels_last)
name = "small_cnn, channels last"
pair = {"small_cnn": models["small_cnn"], name: last}
accuracies = {each: fit.accuracy(model, splits.test) for each, model in pair.items()}
usual, row = measure.report(pair, splits.test.images[:1], accuracies=accuracies).rows
best = plans["small_cnn, in place", "optimum"].peak_bytes
naive = plans["small_cnn", "each its own"].peak_bytes
print(f"activations of one image: {naive:,} bytes if none is freed, {best:,} bytes planned and in place")
ledger(row, lesson=10, beside=usual)

# %% tags=["solution-only"]
claim("the same accuracy or nearly so", holds=abs(row.accuracy - usual.accuracy) < 0.001)
claim(
    "copying their input takes a fraction of their time",
    holds=all(layer_speeds[f"depthwise{n}"][1] < 0.5 for n in (1, 2, 3, 4)),
    page="slides/10_hardware.md",
)
claim(
    "far fewer misses than the first, and without the promise all slower",
    holds=seen[next(iter(nests))][0].misses > 10 * max(seen[name][0].misses for name in others)
    and timed[next(iter(nests))].median_s < min(timed[name].median_s for name in others),
    page="slides/10_hardware.md",
)
claim(
    "With the promise all four are faster, and the layout counts: NHWC with inputs innermost, NCHW with outputs innermost",
    holds=(
        all(promised_s[name] < plain_s[name] for name in others)
        and promised_s[inputs_nchw] > 2.5 * promised_s[inputs_nhwc]
        and promised_s[outputs_nhwc] > 2.5 * promised_s[outputs_nchw]
    ),
    page="slides/10_hardware.md",
)
claim(
    "all misses except the cold ones are conflicts",
    holds=unpadded.capacity == 0 < unpadded.conflict,
    page="slides/10_hardware.md",
)
claim(
    "the clock hardly sees it",
    holds=clock_s["tiles, padded"] > 0.7 * clock_s["tiles of 16"],
    page="slides/10_hardware.md",
)
claim(
    "another order of the steps changes the bound itself",
    holds=min(bounds.values()) < max(bounds.values()),
    page="slides/10_hardware.md",
)
claim(
    "In turns the formula is about right",
    holds=abs(quickest_s["turns"] / serial_s([quickest_s["load"]] * TILES, [quickest_s["compute"]] * TILES) - 1) < 0.15,
    page="slides/10_hardware.md",
)
claim(
    "same weights, same bytes, same MACs",
    holds=((row.parameters, row.stored_bytes, row.macs) == (usual.parameters, usual.stored_bytes, usual.macs)),
)

# %%
progress()

# %% [markdown]
# ## Summary
#
# - A block instruction is only as good as the layer that fills it. The losses from padding multiply over the axes, and groups share no operands.
# - No layout is good in itself: whether it is good depends on the order of the loops and on what the compiler may do with them. Rows whose length is a power of two may need padding.
# - The size of a tile decides how often the other operands are read again. The formula holds where whole lines are used and the tile fits.
# - Moving a number costs more than multiplying it. Most of the joules of the naive order can be saved by moving fewer bytes and running fewer instructions.
# - Memory must at least hold the tensors that are alive at once, and the best plans here needed no more than this bound. Working in place lowers the bound, and the order of the steps changes it.
# - Two buffers turn a sum into a maximum, if another core or a copy engine does the loading.
#
# **References.** Chen et al. 2018, *TVM: An Automated End-to-End Optimizing Compiler for Deep Learning*. Jouppi et al. 2017, *In-Datacenter Performance Analysis of a Tensor Processing Unit*. Jouppi et al. 2021, *Ten Lessons From
# Three Generations Shaped Google's TPUv4i*. Chen, Emer and Sze 2016, *Eyeriss*. Horowitz 2014, *Computing's Energy Problem (and what we can do about it)*. Mattson et al. 1970, *Evaluation Techniques for Storage Hierarchies*.
# Pisarchyk and Lee 2020, *Efficient Memory Management for Deep Neural Net Inference*. Liberis and Lane 2019, *Neural networks on microcontrollers: saving memory at inference via operator reordering*.
#
# **In the library.** In [`mini_lib/loops`](../mini_lib/loops/__init__.py), [`machine`](../mini_lib/loops/machine/__init__.py) has the matrix units, the prices of energy and the pipeline, [`caches`](../mini_lib/loops/caches/__init__.py) has the caches and the reuse distances, and [`memory`](../mini_lib/loops/memory/__init__.py) has the live ranges and the plans.
#
# **Next:** [11 When does augmentation hurt?](11_augment.ipynb)
