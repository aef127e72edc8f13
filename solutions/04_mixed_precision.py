# %% [markdown]
# # Which layer deserves which bits, on this machine?
#
# Lesson 04 · {minutes} · before it: [02 How few bits does a weight need?](02_bits.ipynb), and [03](03_train_few_bits.ipynb) for training
#
# Lesson 02 gave every layer the same number of bits, and the 4-bit model was no faster than the 32-bit one. Two things were missing. The first is a kernel that computes on packed codes. The second is a decision: layers differ in how much they suffer from a missing bit, and in what a bit costs on a given machine.
# In this lesson you measure both, and let an optimizer choose. Then the same network moves to two other machines, and the choice changes.
#
# **You will be able to**
# 1. say when packed weights make a layer faster, and measure it in a way that you can trust;
# 2. measure how much each layer suffers from fewer bits, and test that measure on whole models;
# 3. choose the bits of each layer under a budget of bytes or milliseconds, and say how far your choice is from the best one.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise, run everything, and come back. The next cell takes about 4 seconds.

# %%
import contextlib
import statistics
import warnings

import matplotlib.pyplot as plt
import torch
from scipy.stats import spearmanr
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from mini_lib import data, fit, measure, native, quantize, zoo
from mini_lib.columns import aligned
from mini_lib.fold import fold_batch_norm
from mini_lib.kernels import PACKED_WIDTHS, instruction_sets
from mini_lib.latency import milliseconds
from mini_lib.quantize import IntFormat, PerGroup, integer, mixed, train
from mini_lib.quantize.packed.race import READ, race_packed
from studies.paired import Paired
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # every kernel gets one core; sums then repeat to the last digit
figures.use_style()
COLOURS = figures.COLOURS

splits = data.fashion()
judges = splits.validation.first(1000)  # these choose; the test pictures wait for the ledger
calibration = splits.train.first(200).images
networks = [zoo.load("small_cnn", seed=seed) for seed in (0, 1, 2)]
folded = [fold_batch_norm(network) for network in networks]
model = folded[0]
LAYERS = [name for name, layer in model.named_modules() if quantize.is_weight_layer(name, layer)]
WIDTHS = (8, 4, 3, 2)

try:
    print("compiler:", native.find_compiler().version)
    HAS_COMPILER = True
except native.NoCompiler as error:
    print(error)
    HAS_COMPILER = False


def percent(spread):
    return f"{100 * spread.mean:.1f} ± {100 * spread.std:.1f}%"


# %% [markdown]
# ## 1 Reading is the work
#
# The layers of lesson 02 unpack their codes into float weights and then multiply as before. That is **fake quantization**: the accuracy of few bits at the speed of many. To gain time, a kernel must work on the packed codes themselves.
#
# When can that pay? Take a linear layer and a single input: a matrix times a vector. Each weight is used exactly once: one multiplication and one addition for every 4 bytes that are read. A core does many times more arithmetic in the time in which memory delivers 4 bytes.
# So if the weights come from memory, the time of this layer should be the time of *reading its weights*, and with fewer bits there is less to read.
#
# By hand: 4096 x 4096 weights are 16.8 million, or 67 MB in fp32. At 10 GB/s, reading them takes 6.7 ms. At 4 bits, with a 16-bit scale per group of 32, a weight takes 4 + 16 / 32 = 4.5 bits and the matrix 9.4 MB, so reading takes 0.94 ms. The kernel has to unpack and multiply within that time.
#
# How does it multiply codes? A weight is $(\text{code} - z) \cdot s$ with the zero point $z$ and the scale $s$, so the sum over a row is
#
# $$\sum_k (\text{code}_k - z) \, s \, x_k = s \cdot \Big( -z \sum_k x_k + \sum_k \text{code}_k \, x_k \Big).$$
#
# The scale is applied once, at the end. The first term in the brackets is the same for all rows, so the kernel computes it once and uses it as the **start value** of every sum. All that is left to do per weight is to extract four bits, multiply and add.
#
# By hand: the byte 0x98 holds the code 8 in its lower four bits and 9 in its upper four. The zero point is 8, the scale 0.5, and $x$ is (3, 2). The sum starts at -8 · (3 + 2) = -40. Adding 8 · 3 and 9 · 2 gives 2, and 2 · 0.5 = 1. Check: the weights are 0 and 0.5.

# %% [markdown]
# ### Exercise 4.1 - A dot product on packed codes (10 min)


# %% name="ex-4-1" tags=["exercise"]
def packed_dot(packed, x, scale, zero_point):
    """The sum of weight times x over one row of 4-bit weights, where weight = (code - zero_point) * scale.

    packed: bytes, a uint8 tensor [n / 2]; each holds two codes, the first in its lower four bits.
    x: [n]; scale: a number; zero_point: a whole number. Returns one number.
    """
    ### BEGIN SOLUTION
    low, high = packed & 15, packed >> 4
    codes = torch.stack([low, high], dim=1).flatten()
    return scale * ((codes * x).sum() - zero_point * x.sum())
    ### END SOLUTION


# %% tags=["check"]
check("4.1")

# %% [markdown]
# <details><summary>Hint 1: two codes from one byte</summary>
#
# `byte & 15` keeps the lower four bits, and `byte >> 4` moves the upper four down. Both work on a whole tensor.
# </details>
# <details><summary>Hint 2: the order</summary>
#
# Codes 0 and 1 come from byte 0, codes 2 and 3 from byte 1. Stack the two halves as columns, then flatten.
# </details>
# <details><summary>Hint 3: a trap</summary>
#
# A tensor of unsigned bytes stays unsigned when you subtract: 3 - 8 becomes 251. If you follow the formula, nothing has to be negative before it is multiplied by x.
# </details>

# %%
predict(
    "4.a",
    "4096 x 4096 weights times one vector, read from memory. How many times as fast as fp32 in torch is our C kernel on packed 4-bit codes?",
    unit="times",
)

# %% [markdown]
# One rule makes the race fair: **cold weights**. If you multiply by the same matrix twice, the second time it may still be in the cache. The 4-bit matrix fits there and the fp32 matrix does not, so the race would reward something that never happens in a large model, where all other layers pass through the cache before this one is used again. So each call gets another copy of
# its matrix, and together the copies are larger than the caches. Our kernel also rounds the *input* to 8 bits first, so that its inner loop adds whole numbers only. The next cell takes about 10 seconds.

# %% name="out-matvec"
with tqdm(total=1, desc="race") as bar:
    race = race_packed(repeats=10) if HAS_COMPILER else None
    bar.update()
with hold("4.a"):
    print(race or "no compiler, no race")


# %% name="out-matvec-short" tags=["solution-only"]
# The same, cut to the width of a slide, and compared with fp32.
def race_for_a_slide():
    yield "4096 x 4096 times a vector", "bits", "ms (median, p10-p90)", "of the limit", "vs fp32"
    for one in race.runners:
        time_taken = milliseconds(one.latency.median_s, one.latency.low_s, one.latency.high_s)
        times_faster = f"{race.times_faster(one.name, than='fp32, torch')[0]:.1f} x"
        stored = f"{8 * one.read_bytes / 4096**2:.2f}"
        if one.name == READ:
            stored = times_faster = "-"
        if "xnor" not in one.name and "avx2" not in one.name:
            yield one.name, stored, time_taken, f"{race.share_of_limit(one.name):.0%}", times_faster


print(aligned(list(race_for_a_slide())) if HAS_COMPILER else "no compiler, no race")

# %%
OURS = instruction_sets()[0]  # the best kernel that this processor can run
reveal("4.a", round(race.times_faster(f"int4, {OURS}", than="fp32, torch")[0], 1)) if HAS_COMPILER else None


# %% name="claims-race" tags=["solution-only"]
from teach import claim

if HAS_COMPILER:
    ours = f"int4, {OURS}"
    claim(
        "Our 4-bit kernel is several times as fast as torch in fp32.",
        holds=race.times_faster(ours, than="fp32, torch")[0] > 3,
    )
    claim("The ratio of the bytes is 6.4", race["fp32, torch"].read_bytes / race[ours].read_bytes)
    claim(
        "fewer bits take less time if the kernel computes on the packed codes.",
        holds=race[f"int2, {OURS}"].latency.median_s
        < race[ours].latency.median_s
        < race[f"int8, {OURS}"].latency.median_s,
    )
    claim(
        "The naive answer is the ratio of the bits: 32 / 5 = 6.4",
        None,
        8 * race[ours].read_bytes / 4096**2,
        race["fp32, torch"].read_bytes / race[ours].read_bytes,
        page="slides/04_mixed_precision.md",
    )


# %% name="fig-matvec" tags=["hide-input"]
def draw_matvec():
    theirs = ("fp32, torch", "bf16, torch", "int4, torch int4pack")
    ours = [f"int{bits}, {OURS}" for bits in PACKED_WIDTHS]
    shown = [race[name] for name in (*theirs, *ours, "int4, portable")]
    megabytes = [one.read_bytes / 1e6 for one in shown]
    ends = (0.7 * min(megabytes), 1.4 * max(megabytes))
    figure, axes = plt.subplots(figsize=(8, 4.8))
    limit = race[READ].bytes_per_s
    axes.plot(ends, [1e9 * end / limit for end in ends], color="black", linestyle=":", label="reading alone")
    for one, mb in zip(shown, megabytes):
        colour, marker = ("orange", "s") if one.name in theirs else ("blue", "o")
        if one.name == "int4, portable":
            colour, marker = "sky", "^"
        ms = 1000 * one.latency.median_s
        axes.plot(mb, ms, marker, color=COLOURS[colour], markersize=11)
        above = colour != "blue"
        place = {"xytext": (-10 if above else 8, 4 if above else -12), "ha": "right" if above else "left"}
        axes.annotate(one.name, (mb, ms), textcoords="offset points", fontsize=12, **place)
    axes.set(xscale="log", yscale="log", xlabel="MB to read (logarithmic)", ylabel="ms (logarithmic)")
    axes.set_xlim(ends[0] / 2, 2 * ends[1])
    axes.legend(loc="upper left")
    return figure


show(
    draw_matvec(),
    alt="Milliseconds of each kernel against the megabytes that it has to read, both logarithmic, with a dotted line for reading alone; kernels near the line gain only by reading fewer bytes.",
) if HAS_COMPILER else None

# %% [markdown]
# The row "read only" reads memory and does nothing with it. That estimates the limit, from a few calls. A kernel near 100% of the limit can gain only by reading fewer bytes; in the figure it lies on the dotted line. Where the share is lower, something else takes time as well: arithmetic, unpacking, or loads that arrive too late. This table does not say which. (Shares above 100% mean that something else was using the memory while the limit was measured. Run the cell again on a quiet machine.)
#
# Our 4-bit kernel is several times as fast as torch in fp32. The ratio of the bytes is 6.4; a factor above it means that fp32 is further from the limit. Now compare our 4-bit kernels with torch's. All of them multiply 4-bit codes in groups of 32, but torch's kernel keeps the input in 16 bits, and ours rounds it to 8, so they differ in more than the code. ("Portable" is C with vectors for any processor, and "plain" is C without them; the others use special instructions of your processor.)
# Then follow our widths from 8 bits down to 1. From which width on does the time fall by less than the bits? (The scales of our kernels have 32 bits, hence 4 + 32 / 32 = 5 bits per weight; with 16-bit scales it is 4.5.)

# %% [markdown]
# ### And in a whole model?
#
# In a whole model, reading is not always what takes the time. With a *batch*, each weight is read once and used for every input of the batch. A *convolution* uses each weight at every position in the picture: conv3 reads 18,432 weights and uses each of them 14 · 14 = 196 times. Then reading is a small part of the work, and reading less saves little.
# (Our kernels may still gain because they multiply 8-bit integers, and many processors do several of those in the time of one float.) In a small layer, the call itself also takes time.

# %%
predict(
    "4.b",
    "small_cnn with all weights packed at 4 bits, one picture at a time. Compared with fp32 in torch, it is",
    choices=("faster", "slower", "no different beyond the spread"),
)


# %%
def packed_at(network, bits):
    """The network on packed codes: all layers at `bits`."""
    return quantize.pack_for_speed(quantize.quantize_weights(network, quantize.rung(bits)))


# %% tags=["hide-input"]
def variants(network):
    found = {"fp32": network}
    if HAS_COMPILER:
        found |= {"packed, 8 bits": packed_at(network, 8), "packed, 4 bits": packed_at(network, 4)}
    with warnings.catch_warnings(), contextlib.suppress(RuntimeError):  # deprecated, and not in every build
        warnings.simplefilter("ignore")
        found["torch dynamic int8"] = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear})
    return found


contestants = {"lenet_300_100": variants(zoo.load("lenet_300_100")), "small_cnn": variants(model)}
contestants["small_cnn"].pop("torch dynamic int8", None)  # it has no convolutions

# %%
images = splits.validation.images
whole_times = {}
for title, nets in contestants.items():
    for count in (1, 100):
        calls = {name: (lambda net=net, batch=images[:count]: net(batch)) for name, net in nets.items()}
        with torch.no_grad():
            whole_times[title, count] = measure.compare_latency(calls, repeats=30)

# %% name="out-models" tags=["hide-input"]
sizes = {
    (title, name): measure.stored_bytes(net) / 1024
    for title, nets in contestants.items()
    for name, net in nets.items()
    if "torch" not in name
}
lines = [("", "pictures", "", "KiB", "ms (median, p10-p90)", "vs fp32")]
for (title, count), took in whole_times.items():
    for name, latency in took.items():
        kib = f"{sizes[title, name]:.1f}" if (title, name) in sizes else "-"
        ratio = took["fp32"].median_s / latency.median_s
        cells = kib, str(latency).removesuffix(" ms"), f"{ratio:.2f} x"
        lines.append((title, str(count), name, *cells) if name == "fp32" else ("", "", name, *cells))
with hold("4.b"):
    print(aligned(lines, left=(0, 2)))


# %% name="out-models-short" tags=["solution-only"]
# The same, cut to a slide: medians, fp32 = 1.
def models_for_a_slide():
    kinds = ("packed, 8 bits", "packed, 4 bits", "torch dynamic int8")
    yield "times as fast as fp32", *(kind.replace("dynamic ", "") for kind in kinds)
    for (net, number), taken in whole_times.items():
        ratios = (f"{taken['fp32'].median_s / taken[kind].median_s:.2f} x" if kind in taken else "-" for kind in kinds)
        yield f"{net}, {number} picture{'s' * (number > 1)}", *ratios
    for net in ("lenet_300_100", "small_cnn"):
        stored = (f"{sizes[net, kind]:.1f}" if (net, kind) in sizes else "-" for kind in kinds)
        yield f"KiB, {net} (fp32: {sizes[net, 'fp32']:.1f})", *stored


print(aligned(list(models_for_a_slide())))

# %% tags=["hide-input"]
if HAS_COMPILER:
    one_picture = whole_times["small_cnn", 1]
    plain, small = one_picture["fp32"], one_picture["packed, 4 bits"]
    apart = small.high_s < plain.low_s or plain.high_s < small.low_s
    faster = "faster" if small.median_s < plain.median_s else "slower"
reveal("4.b", faster if apart else "no different beyond the spread") if HAS_COMPILER else None


# %% name="claims-models" tags=["solution-only"]
def four_less_eight(net, count):
    """By what share 4 bits are slower than 8; negative where they are faster."""
    took = whole_times[net, count]
    return took["packed, 4 bits"].median_s / took["packed, 8 bits"].median_s - 1


if HAS_COMPILER:
    claim("halving the bits changes the time by less than a quarter", holds=abs(four_less_eight("small_cnn", 1)) < 0.25)
    claim(
        "the bytes shrink in every row",
        holds=all(
            sizes[net, "packed, 4 bits"] < sizes[net, "packed, 8 bits"] < sizes[net, "fp32"]
            for net in ("lenet_300_100", "small_cnn")
        ),
    )

# %% [markdown]
# Whatever the times are on your machine, the bytes shrink in every row. Time is another matter. Compared with fp32 in torch, two things differ: the kernel and the bits. The rows of 8 and 4 bits differ in the bits, and in the inner loop for them. With one picture in small_cnn, halving the bits changes the time by less than a quarter. In which of the other rows does it pay to halve the bits? (With 100 pictures each weight is used 100 times, so reading is not a good explanation. The two inner loops are another one, and this table does not separate them.) Also look for rows below 1: packed, and slower than fp32.

# %% [markdown]
# > **Takeaway.** With one input at a time and weights that come from memory, fewer bits take less time if the kernel computes on the packed codes.

# %% [markdown]
# ## 2 Integers all the way
#
# So far the weights are codes and the inputs are floats. A chip made for inference goes further: the inputs are codes as well, and the whole network runs on whole numbers. What does that take?
#
# Now both factors have a zero point. Multiply out:
#
# $$\sum (a - z_a)(b - z_b) = \sum a b \; - \; z_b \sum a \; - \; z_a \sum b \; + \; n \, z_a z_b.$$
#
# Such a chip is built for the first sum: products of 8-bit codes, added up in 32 bits. The other terms are corrections. If $b$ are the weights, $\sum b$ is known in advance and joins the bias. With a symmetric grid $z_b$ is 0, and two of the three corrections vanish. That is why weights mostly get a symmetric grid where the arithmetic is whole numbers.
#
# By hand: $a$ = (3, 5) with $z_a$ = 2, and $b$ = (1, 4) with $z_b$ = 1. Directly, 1 · 0 + 3 · 3 = 9. In codes, the products add up to 3 + 20 = 23 and the codes to 8 and 5, so the result is 23 - 1 · 8 - 2 · 5 + 2 · 2 · 1 = 9.

# %% [markdown]
# ### Exercise 4.2 - The cross terms of two zero points (6 min)


# %% name="ex-4-2" tags=["exercise"]
def without_zero_points(product, sum_a, sum_b, count, zero_a, zero_b):
    """The sum of (a - zero_a) * (b - zero_b) over `count` pairs of codes.

    product: the sum of a * b; sum_a, sum_b: the sums of the codes. All are whole numbers. Returns a whole number.
    """
    ### BEGIN SOLUTION
    corrections = zero_b * sum_a + zero_a * sum_b
    return product - corrections + count * zero_a * zero_b
    ### END SOLUTION


# %% tags=["check"]
check("4.2")

# %% [markdown]
# <details><summary>Hint 1: one pair first</summary>
#
# Multiply out (a - zero_a) · (b - zero_b) for a single pair. There are four terms.
# </details>
# <details><summary>Hint 2: then add up</summary>
#
# Which of the four terms depend on a, which on b, and which is the same for every pair?
# </details>

# %% [markdown]
# This sum counts in steps of $s_a s_b$. The next layer expects codes in steps of its own scale $s_{\text{out}}$, so the sum must be multiplied by $M = s_a s_b / s_{\text{out}}$, a small real number. The integer machine writes $M$ as a whole number and a shift, $M \approx m / 2^{\text{shift}}$. It multiplies by $m$, shifts with rounding, adds the zero point of the output, and clamps:
# **requantization**. A ReLU is free, since it is the clamp at the code of zero.
#
# By hand: let $M$ be 0.3 and the shift 8. Then 0.3 · 256 = 76.8, so $m$ = 77. The sum 102 becomes 102 · 77 = 7854. Adding half of 256 gives 7982, and shifting by 8 gives 31 (exactly, 0.3 · 102 = 30.6). With zero point 3 the code is 34. Real kernels use a 31-bit $m$, which is off by less than one part in a billion.

# %% [markdown]
# ### Exercise 4.3 - From a sum back to a code (8 min)


# %% name="ex-4-3" tags=["exercise"]
def requantize(accumulator, multiplier, shift, zero_point, lowest, highest):
    """The code of the next layer: accumulator * multiplier / 2**shift, rounded to nearest, moved and clamped.

    All are whole numbers, and shift is 1 or more. Nothing lies exactly half-way. Returns a whole number.
    """
    ### BEGIN SOLUTION
    half = 1 << (shift - 1)
    code = (accumulator * multiplier + half >> shift) + zero_point
    return min(max(code, lowest), highest)
    ### END SOLUTION


# %% tags=["check"]
check("4.3")

# %% [markdown]
# <details><summary>Hint 1: rounding with a shift</summary>
#
# `>>` always rounds down. What must you add first so that 30.6 becomes 31 and 30.4 becomes 30?
# </details>
# <details><summary>Hint 2: the order</summary>
#
# Multiply, round and shift, add the zero point, clamp.
# </details>

# %% [markdown]
# Chain these steps for all layers, and a whole CNN runs without floats between its input and its logits. Its **twin** is the fake-quantized model, which rounds to the same grids and computes in floats. How close are the two? Compare every code that passes from one layer to the next, for 200 validation pictures, at 8 bits: how many codes differ, and by how much at most?

# %%
predict(
    "4.c",
    "How many of the codes that pass between the layers differ between the integer network and its fake-quantized twin?",
    choices=(
        "fewer than 1 in 10,000",
        "between 1 in 10,000 and 1 in 100",
        "between 1 in 100 and 1 in 3",
        "more than 1 in 3",
    ),
)

# %%
per_channel_8 = quantize.rung(8)
twin = quantize.quantize_weights_and_activations(model, per_channel_8, quantize.UNSIGNED_8_BITS, calibration)
pictures = splits.validation.first(200)
twins = {"float biases": twin, "integer biases": integer.with_integer_biases(twin)}
nets = {title: integer.to_integers(rounded, pictures.images) for title, rounded in twins.items()}
found = {title: integer.code_differences(rounded, nets[title], pictures.images) for title, rounded in twins.items()}

# %% name="out-integers" tags=["hide-input"]
lines = [("twin with", "", *(part for title in twins for part in (title, "by at most")))]
for rows in zip(*found.values()):
    cells = (part for row in rows for part in (f"{row.differ:,}", str(row.largest)))
    lines.append((f"read by {rows[0].layer}", f"of {rows[0].codes:,}", *cells))
with hold("4.c"):
    print(aligned(lines))
    print(
        f"accuracy: integers {fit.accuracy(nets['float biases'], pictures):.1%}, twin {fit.accuracy(twin, pictures):.1%}"
    )

# %% name="claims-integers" tags=["solution-only"]
rows_of = found["integer biases"]
claim("next to no code differs", holds=sum(row.differ for row in rows_of) < 1e-4 * sum(row.codes for row in rows_of))
claim(
    "So fake quantization predicts the accuracy of the integer machine: here both are the same, on 200 pictures.",
    len(pictures.labels),
    holds=fit.accuracy(nets["float biases"], pictures) == fit.accuracy(twin, pictures),
)

# %% tags=["hide-input"]
share_that_differs = sum(row.differ for row in found["float biases"]) / sum(row.codes for row in found["float biases"])
in_words = {0.33: "more than 1 in 3", 0.01: "between 1 in 100 and 1 in 3", 0.0001: "between 1 in 10,000 and 1 in 100"}
reveal("4.c", next((say for limit, say in in_words.items() if share_that_differs > limit), "fewer than 1 in 10,000"))

# %% [markdown]
# With biases rounded to the unit of the sum, as an integer machine stores them, next to no code differs. The few that do must lie very close to half-way between two steps of the grid, where the last bits of a float or of the multiplier $m$ decide. (Such a code also changes a few of the codes that are computed from it.) So fake quantization predicts the accuracy of the integer machine: here both are the same, on 200 pictures. (This integer network is written to be read. It is slower than floats.)

# %% [markdown]
# > **Takeaway.** Between input and logits a quantized network needs only whole numbers: products of codes, corrections for the zero points, and one multiplication with a shift per output.

# %% [markdown]
# ## 3 Which layer suffers?
#
# Now to the choice. First the problem: all layers get the same width, the three networks come from different seeds, and nothing is trained afterward. The grids are clipped where the squared error is smallest (lesson 02).

# %%
clipped = {"observer": quantize.mse}


def quantized(network, bits):
    """The network with its layers at these widths; bits is one number, or one per layer."""
    per_layer = bits if isinstance(bits, dict) else dict.fromkeys(LAYERS, bits)
    return quantize.quantize_weights(network, per_layer, **clipped)


everywhere = {bits: [quantized(network, bits) for network in folded] for bits in (32, *WIDTHS)}
uniform = {
    bits: fit.over_seeds(lambda seed, nets=nets: fit.accuracy(nets[seed], judges)) for bits, nets in everywhere.items()
}

# %% name="out-uniform" tags=["hide-input"]
lines = [("bits everywhere", "bytes", "validation, 3 seeds")]
for bits, accuracy in uniform.items():
    lines.append((str(bits), f"{measure.stored_bytes(everywhere[bits][0]):,}", percent(accuracy)))
print(aligned(lines))

# %% name="claims-uniform" tags=["solution-only"]
claim("Down to 4 bits about two points at most are lost", holds=uniform[32].mean - uniform[4].mean < 0.022)

# %% [markdown]
# Down to 4 bits about two points at most are lost, so no more than that can be gained. Between 4 bits and 2 the networks fall apart. There the choice matters: perhaps only one layer cannot live on 2 bits.
#
# How do you ask a single layer? Quantize it alone, and see what changes. But which quantity should you look at? Accuracy is coarse: most pictures stay on their side of the border even when the outputs move a lot. The loss needs labels. The **Kullback-Leibler divergence** compares all ten probabilities with those of the float network, picture by picture, and needs no labels:
#
# $$\text{KL}(p \,\|\, q) = \sum_c p_c \, (\log p_c - \log q_c), \qquad p \text{ before}, \; q \text{ after}.$$
#
# It is 0 if nothing has changed, and never negative. By hand: two classes have the probabilities ½ and ½ before, and ¾ and ¼ after. Then the KL is ½ log(½ / ¾) + ½ log(½ / ¼) = -0.203 + 0.347 = 0.144.

# %% [markdown]
# ### Exercise 4.4 - How far the outputs move (6 min)


# %% name="ex-4-4" tags=["exercise"]
def output_divergence(logits, changed):
    """The mean over the images of KL(p || q), natural logarithms.

    logits: [images, classes], of the float network, gives p; changed: the same of the quantized one, gives q.
    Returns one number.
    """
    ### BEGIN SOLUTION
    before, after = logits.log_softmax(1), changed.log_softmax(1)
    return (before.exp() * (before - after)).sum(1).mean()
    ### END SOLUTION


# %% tags=["check"]
check("4.4")

# %% [markdown]
# <details><summary>Hint 1: from logits to logarithms of probabilities</summary>
#
# `logits.log_softmax(dim=1)` gives log p, one row per image. Its `exp` is p.
# </details>
# <details><summary>Hint 2: two axes</summary>
#
# Sum over the classes, then take the mean over the images.
# </details>

# %%
by_kl = mixed.sensitivity_by_kl(model, WIDTHS, calibration, **clipped)

# %% name="out-kl" tags=["hide-input"]
lines = [("KL, one layer quantized", "weights", *(f"{bits} bits" for bits in WIDTHS))]
counts = {name: model.get_submodule(name).weight.numel() for name in LAYERS}
for name in LAYERS:
    lines.append((name, f"{counts[name]:,}", *(f"{by_kl[name][bits]:.4f}" for bits in WIDTHS)))
print(aligned(lines))

# %% [markdown]
# Go down the column of 2 bits, and compare it with the number of weights. Do the large layers suffer most?
#
# ### Without running the quantized network
#
# A network with 50 layers and four widths needs 200 such runs. A cheaper way is to look at the *curvature*. After training, the loss lies near the bottom of a bowl, and rounding moves the weights of a layer up its wall. How high depends on how far they move and how steep the wall is. The steepness is in the **Hessian** $H$, the matrix of second derivatives. For conv4 it has 36,864 · 36,864 entries,
# more than a billion. Two facts help. First, the product $Hv$ with a vector $v$ takes two backward passes, without $H$. Second, if each entry of $v$ is +1 or -1 at random, then $v \cdot Hv$ is on average the **trace** of $H$, the sum of its diagonal. A diagonal element is multiplied by $v_i v_i = 1$, and any other element by $v_i v_j$, which is +1 as often as -1. This is Hutchinson's estimate.
#
# By hand: $H$ = `[[2, 1], [1, 3]]`. For $v$ = (1, -1), $Hv$ = (1, -2) and $v \cdot Hv$ = 3. For $v$ = (1, 1), $Hv$ = (3, 4) and $v \cdot Hv$ = 7. The mean is 5, and so is the trace.

# %% [markdown]
# ### Exercise 4.5 - The trace of a matrix that nobody has (6 min)


# %% name="ex-4-5" tags=["exercise"]
def trace_estimate(times_hessian, probes):
    """Hutchinson's estimate of the trace of H: the mean of v . (H v) over the probes v.

    times_hessian(v) returns H v, [n]; probes: [k, n], each row a vector of +1 and -1. Returns one number.
    """
    ### BEGIN SOLUTION
    found = [probe @ times_hessian(probe) for probe in probes]
    return sum(found) / len(found)
    ### END SOLUTION


# %% tags=["check"]
check("4.5")

# %% [markdown]
# <details><summary>Hint 1: one probe</summary>
#
# `times_hessian(v)` is a vector. How do you get from two vectors to one number?
# </details>
# <details><summary>Hint 2: several probes</summary>
#
# Each of them estimates the whole trace.
# </details>
#
# Now estimate the traces of the five layers. This takes about 4 seconds.

# %%
PROBES = 8
with tqdm(total=1, desc="Hessian") as bar:
    traces = mixed.hessian_traces(model, splits.train.first(200), probes=PROBES, seed=0)
    bar.update()

# %% name="out-traces" tags=["hide-input"]
lines = [("layer", "trace", "± error", "per weight")]
for name, found in traces.items():
    per_weight = found.mean / counts[name]
    lines.append((name, f"{found.mean:.3g}", f"{found.standard_error:.2g}", f"{per_weight:.1e}"))
print(f"{PROBES} probes on 200 training pictures")
print(aligned(lines))

# %% name="claims-traces" tags=["solution-only"]
length = {name: float(model.get_submodule(name).weight.detach().norm()) for name in ("conv3", "conv4")}
claim("are 26 times as long as those of conv3", length["conv4"] / length["conv3"])

# %% [markdown]
# An estimate without its error is worth little: where the error is as large as the trace, more probes are needed. And a trace alone is not a sensitivity. The trace of conv4 is tiny, in large part because its weights, with batch norm folded in, are 26 times as long as those of conv3, so a step of the same length means less. HAWQ-V2 multiplies the mean curvature, trace / $n$, by the squared distance that rounding moves the weights. In the product, this scale cancels.
#
# ### Which measure can you trust?
#
# All these measures assume that the harm done to a network is the *sum* of the harms done to its layers. That is certainly wrong, since each layer receives the errors of those before it. But a choice needs only the right **order**. So here is the test: draw 100 random allocations, take the KL of the whole network on validation pictures as the truth, and compute **Spearman's rank correlation** between truth and sum.
# It is 1 if the order is the same, and about 0 for a random order. (Does that favor the KL? The last column takes the loss of the whole network as the truth.) There are seven candidates. Four look at data: the loss, the KL, the output error of a single layer, and the Hessian. Three never do: the squared error of the weights, the same error as a share of the layer's squared weights, and the bytes saved. The test takes about 4 seconds.

# %%
predict(
    "4.d",
    "Add up the KLs of single layers, and rank 100 random allocations of the whole network by the sum. What is Spearman's rank correlation with the truth?",
    unit="",
)

# %%
trials = mixed.Trials(model, WIDTHS, **clipped)
drawn = torch.randint(len(WIDTHS), (100, len(LAYERS)), generator=torch.Generator().manual_seed(0))
allocations = [{name: WIDTHS[place] for name, place in zip(LAYERS, row)} for row in drawn.tolist()]
unseen = splits.validation.first(200)
reference, truth, true_loss = trials.logits({}, unseen.images), [], []
for bits in tqdm(allocations, desc="allocations"):
    logits = trials.logits(bits, unseen.images)
    truth.append(mixed.kl_divergence(reference, logits))
    true_loss.append(float(cross_entropy(logits, unseen.labels)))

# %% tags=["hide-input"]
by_weight = mixed.sensitivity_by_weight(model, WIDTHS, **clipped)
by_hessian = {
    name: {bits: max(0.0, traces[name].mean) / counts[name] * error for bits, error in row.items()}
    for name, row in by_weight.items()
}
lengths = {name: float(model.get_submodule(name).weight.detach().square().sum()) for name in LAYERS}
relative = {name: {bits: error / lengths[name] for bits, error in row.items()} for name, row in by_weight.items()}
measures = {
    "KL of the outputs": by_kl,
    "loss": mixed.sensitivity_by_loss(model, WIDTHS, splits.train.first(200), **clipped),
    "Hessian trace": by_hessian,
    "output error of the layer": mixed.sensitivity_by_output(model, WIDTHS, calibration, **clipped),
    "relative error of the weights": relative,
    "squared error of the weights": by_weight,
    "bytes saved": mixed.sensitivity_by_bytes(model, WIDTHS, **clipped),
}


# %%
def summed(sensitivity, bits):
    """The harm that a sensitivity predicts for a whole allocation: the sum over its layers."""
    return sum(sensitivity[name][width] for name, width in bits.items())


sums = {what: [summed(sensitivity, bits) for bits in allocations] for what, sensitivity in measures.items()}
ranks = {what: float(spearmanr(found, truth).statistic) for what, found in sums.items()}

# %% name="out-ranks" tags=["hide-input"]
lines = [("Spearman, sum of", "with the true KL", "with the true loss")]
for what, found in sums.items():
    lines.append((what, f"{ranks[what]:.2f}", f"{spearmanr(found, true_loss).statistic:.2f}"))
with hold("4.d"):
    print(aligned(lines))

# %%
reveal("4.d", round(ranks["KL of the outputs"], 2))


# %% name="claims-ranks" tags=["solution-only"]
claim(
    "Divided by the squared weights, the same error ranks at 0.74", ranks["relative error of the weights"], within=0.03
)
claim(
    "Here conv4's long weights make nearly all of it, and conv4 matters least.",
    holds=by_weight["conv4"][2] > 0.95 * sum(row[2] for row in by_weight.values())
    and min(by_kl, key=lambda name: by_kl[name][2]) == "conv4",
)
claim(
    "But nothing in it could know that conv1 suffers most.",
    holds=max(by_kl, key=lambda name: by_kl[name][2]) == "conv1",
)
claim(
    "without labels; the squared error of the weights fails.",
    holds=ranks["KL of the outputs"] > 0.9 and abs(ranks["squared error of the weights"]) < 0.35,
)
claim(
    "As a share of the layer's squared weights it ranks at 0.74",
    ranks["relative error of the weights"],
    within=0.03,
    page="slides/04_mixed_precision.md",
)


# %% name="fig-ranks" tags=["hide-input"]
def draw_ranks():
    shown = ("KL of the outputs", "output error of the layer", "squared error of the weights")
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True)
    for axes, what, (colour, marker) in zip(panels, shown, (("blue", "o"), ("orange", "s"), ("vermillion", "^"))):
        axes.plot(sums[what], truth, marker, color=COLOURS[colour], markersize=6, alpha=0.7)
        axes.set(xscale="log", yscale="log", title=f"Spearman {ranks[what]:.2f}")
        axes.set_xlabel(f"{what},\nsum over layers", fontsize=14)
        axes.minorticks_off()
    panels[0].set_ylabel("KL of the whole\nnetwork, in nats")
    return figure


show(
    draw_ranks(),
    alt="Three scatter plots of the true KL of 100 random allocations against the sum of a sensitivity: KL of the outputs lies along a rising line, the output error scatters more, and the squared error of the weights forms a cloud.",
)

# %% [markdown]
# The left cloud is thin, and the right one is hardly more than noise. Yet the right one shows the error that most people compute first. Here conv4's long weights make nearly all of it, and conv4 matters least. Divided by the squared weights, the same error ranks at 0.74: a fair attempt, still without data. But nothing in it could know that conv1 suffers most. **Look at what the network says, not only at how far its numbers moved.**

# %% [markdown]
# > **Takeaway.** Test a sensitivity against whole allocations before you believe it: the KL of the outputs passes without labels; the squared error of the weights fails.

# %% [markdown]
# ## 4 What does a bit cost here?
#
# One bit more per weight is 144 bits in conv1, or 18 bytes. In conv4 it is 36,864 bits, or 4,608 bytes. So the price in bytes is easy to count. The price in milliseconds depends on the machine, so it is measured: whole networks run on packed codes, in mixtures in which each layer has each width once, and a clock is read before and after every layer. (A layer that is timed alone in a loop finds its input in the nearest cache. In a network it may not.)

# %%
predict(
    "4.e",
    "conv4 at 2 bits instead of 8, one picture at a time, on this machine. What share of the time at 8 bits does it take? (In proportion to the bits it would be 2/8, or 25%.)",
    unit="%",
)

# %%
example = splits.validation.images[:1]
costs = mixed.measure_costs(model, example, WIDTHS, repeats=100, **clipped)

# %% name="out-costs" tags=["hide-input"]
lines = [("µs (p10-p90)", *(f"{bits} bits" for bits in WIDTHS), "bytes at 8", "at 2")]
for name, row in costs.costs.items():
    times = (f"{1e6 * cost.median_s:.1f} ({1e6 * cost.low_s:.0f}-{1e6 * cost.high_s:.0f})" for cost in row.values())
    lines.append((name, *times, *(f"{row[bits].stored_bytes:,}" for bits in (8, 2))))
with hold("4.e"):
    print(costs.device)
    print(aligned(lines))
    print(f"the rest of the network: {1e6 * costs.rest.median_s:.1f} µs, {costs.rest.stored_bytes:,} bytes")

# %%
conv4 = costs.costs["conv4"]
reveal("4.e", round(100 * conv4[2].median_s / conv4[8].median_s))

# %% name="claims-costs" tags=["solution-only"]
macs = {row.name: row.macs for row in measure.layer_costs(model, example)}
claim(
    "Along a row the bits change, and the time hardly does",
    holds=all(
        max(cost.median_s for cost in row.values()) < 1.4 * min(cost.median_s for cost in row.values())
        for row in costs.costs.values()
    ),
)
claim(
    "conv1 takes about as long as conv4, with a sixteenth of its MACs",
    holds=0.6 < costs.costs["conv1"][8].median_s / conv4[8].median_s < 1.7
    and round(macs["conv4"] / macs["conv1"]) == 16,
)

# %% [markdown]
# Compare the bytes with the milliseconds, layer by layer. Along a row the bits change, and the time hardly does: in these layers, reading weights is not what takes the time. Nor is it the multiplications alone: conv1 takes about as long as conv4, with a sixteenth of its MACs. All of these times include what each layer does with its input, whatever the bits. That holds for this processor and this kernel. Other machines differ.
#
# ### Two other machines
#
# - A **bit-serial** accelerator (such as UNPU; the earlier Stripes takes the activations bit by bit) multiplies by one bit of the weight at a time. Three bits take three quarters of the time of four.
# - A **GPU** has units of fixed widths, here 4 and 8 bits (the figures are those of NVIDIA's T4). Three bits are stored and multiplied as 4, and five bits as 8.
#
# Neither machine is measured. Both are descriptions, printed below with all their assumptions.
#
# Whatever the unit, the weights have to be read as well. A machine reads the next weights while it multiplies, so the longer of the two times counts: the roofline of lesson 01 once more.
#
# By hand: a layer has 1,000,000 MACs and 300,000 weights of 5 bits. The 4-bit unit is too narrow, and the 8-bit unit does 2 · 10⁹ MACs per second, so computing takes 0.5 ms. At 8 bits the weights are 300,000 bytes, and reading them at 10⁹ bytes per second takes 0.3 ms. The layer takes 0.5 ms. With 4 bits, on a 4-bit unit that is twice as fast, it would take 0.25 ms.

# %% [markdown]
# ### Exercise 4.6 - What a bit costs on a machine with fixed widths (8 min)


# %% name="ex-4-6" tags=["exercise"]
def layer_seconds(macs, weights, bits, macs_per_s, bytes_per_s):
    """The seconds that a layer takes: computing or reading its weights, whichever is longer.

    macs_per_s: for the width of each unit its MACs per second, such as {4: 4e9, 8: 2e9}. The layer uses the narrowest
    unit that is wide enough for weights of `bits` bits (there is one), and its weights are stored at that width.
    """
    ### BEGIN SOLUTION
    unit = min(width for width in macs_per_s if width >= bits)
    computing, reading = macs / macs_per_s[unit], weights * unit / 8 / bytes_per_s
    return max(computing, reading)
    ### END SOLUTION


# %% tags=["check"]
check("4.6")

# %% [markdown]
# <details><summary>Hint 1: which unit</summary>
#
# Take the smallest width that is `bits` or more. Iterating over a dict gives its keys. The same width says how many bytes are read.
# </details>
# <details><summary>Hint 2: two times</summary>
#
# Compute both in seconds: MACs divided by MACs per second, and bytes divided by bytes per second. Eight bits are a byte.
# </details>

# %%
accelerators = {"bit-serial": mixed.BIT_SERIAL, "GPU, 4 and 8 bits": mixed.INT4_INT8_GPU}
machines = {"this processor": costs}
for name, accelerator in accelerators.items():
    machines[name] = mixed.accelerator_costs(model, example, WIDTHS, accelerator)

# %% name="out-machines" tags=["hide-input"]
for accelerator in accelerators.values():
    print(f"{accelerator.name}:", *accelerator.assumptions, sep="\n  - ")
lines = [("µs at 8, 4, 3, 2 bits", *machines)]
for layer in LAYERS:
    cells = (
        " ".join(f"{1e6 * table.costs[layer][bits].median_s:.3g}" for bits in WIDTHS) for table in machines.values()
    )
    lines.append((layer, *cells))
print(aligned(lines))


# %% name="fig-machines" tags=["hide-input"]
def draw_machines():
    figure, panels = plt.subplots(1, 3, figsize=(11, 4.2), sharey=True)
    looks = (("blue", "o"), ("orange", "s"), ("green", "^"), ("vermillion", "D"), ("purple", "v"))
    for axes, (title, table) in zip(panels, machines.items()):
        for name, (colour, marker) in zip(LAYERS, looks):
            row = table.costs[name]
            shares = [100 * row[bits].median_s / row[8].median_s for bits in WIDTHS]
            axes.plot(WIDTHS, shares, marker=marker, color=COLOURS[colour], label=name)
        axes.plot(WIDTHS, [100 * bits / 8 for bits in WIDTHS], color="black", linestyle=":", linewidth=1.5)
        axes.set(xlabel="bits per weight", title=title, xticks=WIDTHS, ylim=(0, None))
    panels[0].set_ylabel("time, % of the time at 8 bits")
    panels[0].legend(fontsize=12, loc="lower right")
    return figure


show(
    draw_machines(),
    alt="Time of each layer against its bits, relative to 8 bits, on three machines. On this processor the lines are flat or even fall toward 8 bits, on the bit-serial machine they follow the dotted line of proportional time, and on the GPU they are stairs.",
)

# %% [markdown]
# The dotted line is what fewer bits promise: a quarter of the bits, a quarter of the time. Which of the machines keeps that promise, and for which layers?
#
# What do real units multiply? Today's formats are not only integers. Lesson 03 has **FP8**, **MXFP4** (32 neighbors share a power of two: 4 + 8 / 32 = 4.25 bits per weight) and **NVFP4** (16 share an FP8 scale: 4.5). The next table has their stored bits and the error that they make in two layers, next to an integer grid in groups of 32 that also takes 4.5 bits.


# %%
def error_and_bits(fmt, layer):
    """The error that a format makes in a layer, in % of the length of its weights, and the bits per weight stored."""
    weight = model.get_submodule(layer).weight.detach()
    stored = quantize.quantize(weight, fmt)
    return 100 * float((stored.dequantize() - weight).norm() / weight.norm()), stored.bits_per_weight


# %% name="out-formats" tags=["hide-input"]
formats = {
    "int8 per channel": IntFormat(8, granularity=quantize.PerChannel()),
    "FP8 E4M3 per channel": quantize.FP8Format("e4m3", quantize.PerChannel()),
    "MXFP8 (E4M3)": quantize.MXFP8,
    "int4 per channel": IntFormat(4, granularity=quantize.PerChannel()),
    "int4, groups of 32": IntFormat(4, granularity=PerGroup(32), scale_dtype=torch.float16),
    "NVFP4": quantize.NVFP4Format(),
    "MXFP4": quantize.MXFP4,
}
lines = [("format", "bits per weight", *(f"{name}, error" for name in ("conv3", "conv4")))]
for title, fmt in formats.items():
    (error_3, _), (error_4, stored_bits) = (error_and_bits(fmt, name) for name in ("conv3", "conv4"))
    lines.append((title, f"{stored_bits:.3f}", f"{error_3:.1f}%", f"{error_4:.1f}%"))
print(aligned(lines))

# %% name="claims-formats" tags=["solution-only"]
in_groups, in_nvfp4 = (
    [error_and_bits(formats[title], layer) for layer in ("conv3", "conv4")] for title in ("int4, groups of 32", "NVFP4")
)
claim(
    "At 4.5 bits the integer grid and NVFP4 are level, to within half a percentage point.",
    in_nvfp4[0][1],
    holds=all(abs(one[0] - other[0]) < 0.5 for one, other in zip(in_groups, in_nvfp4)),
)

# %% [markdown]
# At 4.5 bits the integer grid and NVFP4 are level, to within half a percentage point.

# %% [markdown]
# > **Takeaway.** A bit has no price of its own: you can count its bytes, but its milliseconds belong to a machine, a kernel and a batch, and have to be measured there.

# %% [markdown]
# ## 5 Spend the budget
#
# Each layer has four widths, each width has a cost and a harm, and the budget holds for the whole model. This is a **knapsack problem**: fill a bag of limited size with the most valuable items. (Lesson 08 meets it again.) Our budget is the bytes of 2 bits everywhere, plus 10%.
#
# The classic method is **greedy**. Start with 2 bits everywhere, and look at the steps that take one layer to its next width. Among those that still fit, take the step that removes the most error per byte. Repeat until nothing fits.
#
# By hand: layer a takes 10 bytes at 2 bits with error 1.0, and 20 bytes at 4 bits with error 0.5. Layer b takes 100 bytes with error 1.0, or 200 with error 0.25. The budget is 210, and 110 are spent at the start. The step of a removes 0.5 for 10 bytes, or 0.05 per byte; the step of b removes 0.75 for 100 bytes, or 0.0075 per byte. So a gets its step first. Then 90 bytes are left, and the step of b no longer fits. The errors add up to 1.5. (With the step of b alone they would add up to 1.25: greedy is good, but not the best.)

# %% [markdown]
# ### Exercise 4.7 - Where the next byte is spent best (10 min)


# %% name="ex-4-7" tags=["exercise"]
def spend(layers, budget):
    """The bits of each layer, step by step: always the affordable step that removes the most error per byte.

    layers: for each name a list of (bits, bytes, error), fewest bits first, with rising bytes and falling errors.
    All layers start at their first option, which the budget can pay for. Returns {name: bits}.
    """
    ### BEGIN SOLUTION
    place = dict.fromkeys(layers, 0)
    left = budget - sum(options[0][1] for options in layers.values())
    while True:
        steps = []
        for name, options in layers.items():
            if place[name] + 1 < len(options):
                (_, now, error), (_, then, less) = options[place[name] : place[name] + 2]
                if then - now <= left:
                    steps.append(((error - less) / (then - now), then - now, name))
        if not steps:
            return {name: layers[name][at][0] for name, at in place.items()}
        _, more, name = max(steps)
        place[name], left = place[name] + 1, left - more
    ### END SOLUTION


# %% tags=["check"]
check("4.7")

# %% [markdown]
# <details><summary>Hint 1: what to remember</summary>
#
# The place of each layer in its list, and the bytes that are left.
# </details>
# <details><summary>Hint 2: one round</summary>
#
# For each layer that is not at its last option, compute the bytes that the next step needs and the error that it removes. Drop the steps that need more bytes than are left. Of the others, take the step that removes the most error per byte.
# </details>
# <details><summary>Hint 3: the end</summary>
#
# When no step is left, look up the bits at each layer's place.
# </details>

# %% [markdown]
# ### How good is greedy?
#
# Five layers and four widths give 1,024 networks. That is few enough to try **all of them**, which is hardly ever possible: the truth is then known, not estimated. (To be quick, networks that begin alike share their first layers.) The truth here is the KL of the whole network on the 200 calibration pictures. This takes about 4 seconds.


# %% tags=["hide-input"]
def every_allocation(trials, images, progress):
    """The KL of every allocation on these images, by its widths in the order of the layers."""
    reference, found = trials.logits({}, images), {}
    steps = list(trials.model.named_children())

    @torch.no_grad()
    def walk(at, passed, widths):
        while at < len(steps) and steps[at][0] not in trials.layers:
            passed, at = steps[at][1](passed), at + 1
        if at == len(steps):
            found[widths] = mixed.kl_divergence(reference, passed)
            progress()
            return
        name, layer = steps[at]
        for bits in trials.widths:
            lent = {"weight": trials.weights[name][bits]}
            walk(at + 1, functional_call(layer, lent, (passed,)), (*widths, bits))

    walk(0, images, ())
    return found


with tqdm(total=len(WIDTHS) ** len(LAYERS), desc="all networks") as bar:
    harm = every_allocation(trials, calibration, bar.update)


# %% name="out-truth"
def in_truth(bits):
    """The brute-forced KL of one allocation."""
    return harm[tuple(bits[name] for name in LAYERS)]


def cost_of(widths):
    return costs.total(dict(zip(LAYERS, widths))).stored_bytes


budget = int(1.1 * cost_of((2,) * len(LAYERS)))
affordable = {widths: kl for widths, kl in harm.items() if cost_of(widths) <= budget}
best = min(affordable, key=affordable.get)
typical = statistics.median(affordable.values())
print(f"{budget:,} bytes: {len(affordable)} of {len(harm):,} networks fit, with a median KL of {typical:.2f}")
print(f"the best of them: {best} bits, {cost_of(best):,} bytes, KL {affordable[best]:.3f}")

# %% [markdown]
# Now the contest. **Greedy** and the **exact** knapsack see only the 20 KLs of single layers and add them up. **Evolution** crosses and mutates allocations. A small **reinforcement-learning agent** in the manner of HAQ walks through the layers and learns from the results of its choices. These two measure *whole* networks, and so does the control, **chance**. All methods get the same number of evaluations: with a real network, evaluations are what takes the time.

# %%
predict(
    "4.f",
    "Which one comes closest to the best network after only 20 evaluations?",
    choices=("exact, on sums of single layers", "evolution", "the agent", "chance"),
)

# %%
EVALUATIONS, SEEDS = (5, 10, 20), range(10)
searches = {"evolution": mixed.search_evolution, "the agent": mixed.search_rl, "chance": mixed.search_random}
found = {
    f"{method}, on sums": {20: [in_truth(mixed.allocate(costs, by_kl, budget_bytes=budget, method=method).bits)]}
    for method in ("exact", "greedy")
}
for name, limit in tqdm([(name, limit) for name in searches for limit in EVALUATIONS], desc="searches"):
    found.setdefault(name, {})[limit] = [
        searches[name](costs, mixed.Evaluations(in_truth, limit=limit), budget_bytes=budget, seed=seed).error
        for seed in SEEDS
    ]


# %% name="out-search" tags=["hide-input"]
def gap(kls):
    """How far from the best KL, in % of it: mean and spread over the seeds; and how many of them found the best."""
    over = [100 * (kl / affordable[best] - 1) for kl in kls]
    hits = sum(kl == affordable[best] for kl in kls)
    spread = f" ± {statistics.stdev(over):.0f}" if len(over) > 1 else ""
    return f"{statistics.mean(over):.0f}{spread}% ({hits} of {len(kls)})"


lines = [("above the least KL", *(f"{limit} evaluations" for limit in EVALUATIONS))]
for name, by_limit in found.items():
    lines.append((name, *(gap(by_limit[limit]) if limit in by_limit else "-" for limit in EVALUATIONS)))
with hold("4.f"):
    print(aligned(lines))
    print("in brackets: how many of the seeds found the best network")

# %% tags=["hide-input"]
at_20 = {name: statistics.mean(by_limit[20]) for name, by_limit in found.items() if not name.startswith("greedy")}
nearest = min(at_20, key=at_20.get)
reveal("4.f", "exact, on sums of single layers" if nearest.startswith("exact") else nearest)


# %% name="claims-search" tags=["solution-only"]
def behind(one, other):
    """By how much the KL of one search is above that of another after 20 evaluations: the ends of the interval."""
    return Paired(tuple(a - b for a, b in zip(found[one][20], found[other][20]))).interval()


claim("here it finds the best network all the same", holds=found["exact, on sums"][20][0] == affordable[best])
claim("And chance is a strong opponent where 46 networks fit and 20 are tried", len(affordable), EVALUATIONS[-1])
claim(
    "the agent is no nearer than chance, and evolution's lead is within the spread",
    holds=behind("the agent", "chance")[1] > 0 and behind("evolution", "chance")[1] > 0,
)
claim(
    "After 20 evaluations the agent is no nearer than chance",
    EVALUATIONS[-1],
    holds=behind("the agent", "chance")[1] > 0,
    page="slides/04_mixed_precision.md",
)

# %% [markdown]
# Note three things. The exact method is exact for the *sum*, and the sum is not the truth: here it finds the best network all the same. A search needs no such assumption, but it pays with evaluations. And chance is a strong opponent where 46 networks fit and 20 are tried: the agent is no nearer than chance, and evolution's lead is within the spread. With 50 layers there would be 10³⁰ networks to draw from, and the contest would be a different one.
#
# ### What is it worth?
#
# An allocation has to beat simple ideas that need no search. So here are three networks with the same budget, and these controls:
#
# - **2 bits everywhere**, and the old rule of thumb **8/2/8**: 8 bits for the first and the last layer, 2 for all others.
# - **Batch norm re-estimated.** Rounding shifts the mean and the variance of the inputs of each batch norm. To measure them again, a few hundred training pictures pass through the network; no weight changes. This repair is open to *all* arms, so all of them get it.
# - **Trained with the grid in place** (lesson 03), for a short while.
#
# The comparison takes about 20 seconds.

# %%
predict(
    "4.g",
    "No training, and a budget of the bytes of 2 bits everywhere plus 10%. How many points of validation accuracy does the mixed network gain over 2 bits everywhere, on average over three seeds?",
    unit="points",
)

# %% name="controls"
some = splits.train.first(2000)
TWO = dict.fromkeys(LAYERS, 2)
RULE = TWO | {LAYERS[0]: 8, LAYERS[-1]: 8}


def chosen_for(seed, budget_bytes):
    """The exact choice for one of the three networks, by its own sensitivities."""
    return mixed.allocate(costs, sensitivities[seed], budget_bytes=budget_bytes).bits


def arms(seed, bits):
    """Validation accuracy of one network at these bits: as it is, batch norm re-estimated, and trained."""
    rough = quantized(networks[seed], bits)
    repaired = train.reestimate_batch_norm(rough, some.images[:250])
    start = train.prepare(networks[seed], bits)
    tuned = fit.fit(start, some, judges.first(100), epochs=1, seed=seed, learning_rate=1e-3).model
    return [fit.accuracy(one, judges) for one in (rough, repaired, train.export(tuned))]


sensitivities = [mixed.sensitivity_by_kl(network, WIDTHS, calibration, **clipped) for network in folded]
picks = {seed: chosen_for(seed, budget) for seed in (0, 1, 2)}
choices = {"2 bits everywhere": [TWO] * 3, "8/2/8": [RULE] * 3, "mixed": list(picks.values())}
pairs = [(name, seed) for name in choices for seed in (0, 1, 2)]
each = {(name, seed): arms(seed, choices[name][seed]) for name, seed in tqdm(pairs, desc="networks")}
results = {name: [fit.Spread(values) for values in zip(*(each[name, seed] for seed in (0, 1, 2)))] for name in choices}

# %% name="out-controls" tags=["hide-input"]
lines = [("validation, 3 seeds", "bytes", "as it is", "re-estimated", "trained a little")]
for name, spreads in results.items():
    stored = costs.total(choices[name][0]).stored_bytes
    lines.append((name, f"{stored:,}", *map(percent, spreads)))
same_bytes = [chosen_for(seed, costs.total(RULE).stored_bytes) for seed in (0, 1, 2)]
with hold("4.g"):
    print(aligned(lines))
    print("mixed:", ", ".join("/".join(map(str, bits.values())) for bits in picks.values()))
    print("with the bytes of 8/2/8:", ", ".join("/".join(map(str, bits.values())) for bits in same_bytes))

# %%
reveal("4.g", round(100 * (results["mixed"][0].mean - results["2 bits everywhere"][0].mean), 1))

# %% name="claims-controls" tags=["solution-only"]
mixed_over_two = [100 * (one.mean - other.mean) for one, other in zip(results["mixed"], results["2 bits everywhere"])]
claim(
    "part of the gain turns out to have been *batch norm* and not the choice of bits. Trained, the arms come closer still.",
    holds=mixed_over_two[0] > mixed_over_two[1] + 10 and mixed_over_two[1] > mixed_over_two[2] + 5 > 5,
)
more_bytes = 100 * (costs.total(picks[0]).stored_bytes / costs.total(RULE).stored_bytes - 1)
claim(
    'To beat it, "mixed" takes 5% more bytes, spent on conv2',
    more_bytes,
    holds=all(bits["conv2"] > 2 for bits in picks.values()),
)
claim(
    "the optimizer chooses the rule itself for two of the three networks",
    holds=sum(bits == RULE for bits in same_bytes) == 2,
)
claim('"Mixed" takes 5% more bytes than 8/2/8', more_bytes, None, None, None, page="slides/04_mixed_precision.md")

# %% [markdown]
# Read the table column by column. As it is, the gain is large. With batch norm re-estimated, all arms are better, and part of the gain turns out to have been *batch norm* and not the choice of bits. Trained, the arms come closer still. Whoever shows only the first column sells a repair as a discovery.
#
# Also compare "mixed" with 8/2/8, a rule that takes no measurement at all. The rule is hard to beat: in the network of section 3 conv1 suffers most, and both layers of the rule are cheap. To beat it, "mixed" takes 5% more bytes, spent on conv2. With exactly the bytes of 8/2/8, the optimizer chooses the rule itself for two of the three networks (last line).
#
# At 4 bits there is little left to gain: no more than 4 bits everywhere have lost. Here is the same contest with that budget. Compare the difference with the spread before you call it a gain.

# %%
four = cost_of((4,) * len(LAYERS))
rivals = {
    "4 bits everywhere": lambda seed: quantized(folded[seed], 4),
    "mixed, as many bytes": lambda seed: quantized(folded[seed], chosen_for(seed, four)),
    "32 bits": lambda seed: folded[seed],
}
at_four = {name: fit.over_seeds(lambda seed: fit.accuracy(build(seed), judges)) for name, build in rivals.items()}
_, here, there = (accuracy.values for accuracy in reversed(at_four.values()))
gained = Paired(tuple(100 * (one - other) for one, other in zip(here, there)))
low, high = gained.interval()

# %% name="out-ties" tags=["hide-input"]
lines = [("", "validation, 3 seeds")]
lines += [(name, percent(accuracy)) for name, accuracy in at_four.items()]
print(aligned(lines))
print(f"mixed minus 4 bits everywhere, seed by seed: {gained.mean:+.1f} points, 95% interval {low:+.1f} to {high:+.1f}")

# %% name="claims-ties" tags=["solution-only"]
claim("The interval contains 0: with three seeds, you cannot claim a difference here.", None, holds=low < 0 < high)

# %% [markdown]
# The interval contains 0: with three seeds, you cannot claim a difference here.

# %% [markdown]
# > **Takeaway.** Mixed precision pays most where the budget is tight and nothing is trained afterward, so give every arm the same repairs before you count the gain.

# %% [markdown]
# ## 6 The whole front
#
# A budget is a point on a curve. The figure shows the bytes and the KL of all 1,024 networks, and the **Pareto front**: the networks that no other network beats with the same bytes or fewer. Move the budget up from the bytes of 2 bits everywhere, and watch what it buys: the bits of each layer, and the milliseconds that each of them takes on this machine. The next cell takes about 6 seconds.

# %% name="fig-explore" tags=["widget", "hide-input"]
front, least = [], float("inf")
for widths in sorted(harm, key=lambda widths: (cost_of(widths), harm[widths])):
    if harm[widths] < least:
        least = harm[widths]
        front.append(widths)
two_bits = cost_of((2,) * len(LAYERS))
MORE = (0, 5, 10, 20, 50, 100)
on_slider = {more: mixed.allocate(costs, by_kl, budget_bytes=int((1 + more / 100) * two_bits)) for more in MORE}
accuracies = {more: fit.accuracy(quantized(model, choice.bits), judges) for more, choice in on_slider.items()}


def draw_budget(percent_more):
    choice = on_slider[percent_more]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.4), width_ratios=(1.5, 1, 1))
    left.plot([cost_of(w) / 1000 for w in harm], list(harm.values()), ".", color="#999999", markersize=3)
    left.plot([cost_of(w) / 1000 for w in front], [harm[w] for w in front], color=COLOURS["blue"], label="Pareto front")
    at = choice.cost.stored_bytes / 1000
    left.plot(at, in_truth(choice.bits), "D", markersize=13, color=COLOURS["vermillion"], label="chosen")
    left.axvline((1 + percent_more / 100) * two_bits / 1000, color="black", linestyle=":", linewidth=1.5)
    left.set(yscale="log", xlabel="kB stored", ylabel="KL, in nats", title=f"accuracy {accuracies[percent_more]:.1%}")
    left.legend(fontsize=12, loc="lower left")
    places = range(len(LAYERS))[::-1]
    middle.barh(places, [choice.bits[name] for name in LAYERS], color=COLOURS["blue"])
    middle.set(xlabel="bits", xlim=(0, 8.4), xticks=(2, 3, 4, 8), yticks=places, yticklabels=LAYERS)
    each = [costs.costs[name][choice.bits[name]] for name in LAYERS]
    ms = [1000 * cost.median_s for cost in each]
    spread = [[1000 * max(0, c.median_s - c.low_s) for c in each], [1000 * max(0, c.high_s - c.median_s) for c in each]]
    right.barh(places, ms, xerr=spread, color=COLOURS["orange"])
    right.set(xlabel="ms, measured", yticks=places, yticklabels=(), xlim=(0, longest_ms))
    right.set_title(f"all: {1000 * choice.cost.median_s:.2f} ms")
    return figure


longest_ms = 1600 * max(cost.median_s for row in costs.costs.values() for cost in row.values())
explore(
    draw_budget,
    labels={"percent_more": "bytes beyond 2 bits per weight, in %"},
    alt=lambda percent_more: (
        f"KL against bytes of all 1,024 networks with the front; the choice for 2-bit bytes plus {percent_more}% has "
        f"{'/'.join(map(str, on_slider[percent_more].bits.values()))} bits; bars show the measured milliseconds of each layer."
    ),
    percent_more=MORE,
)

# %% [markdown]
# The choices are made from sums over single layers, which know nothing of the cloud. How far above its lower edge do they lie?

# %%
lowest = {
    more: min(kl for widths, kl in harm.items() if cost_of(widths) <= (1 + more / 100) * two_bits) for more in MORE
}
gaps = {more: 100 * (in_truth(choice.bits) / lowest[more] - 1) for more, choice in on_slider.items()}

# %% name="out-gaps" tags=["hide-input"]
lines = [("budget, 2 bits +", "chosen", "KL", "least KL that fits", "above it")]
for more, choice in on_slider.items():
    bits = "/".join(map(str, choice.bits.values()))
    lines.append((f"{more}%", bits, f"{in_truth(choice.bits):.3f}", f"{lowest[more]:.3f}", f"{gaps[more]:.0f}%"))
print(aligned(lines))

# %% name="claims-gaps" tags=["solution-only"]
claim(
    "At five of the six budgets, the choice is the best network that fits.",
    holds=sum(above < 1e-6 for above in gaps.values()) == 5 and len(gaps) == 6,
)
claim("At +50% it lies 33% above.", None, gaps[50], within=2)

# %% [markdown]
# At five of the six budgets, the choice is the best network that fits. At +50% it lies 33% above. Which layers get their bits first, and why? Also look at the bars of milliseconds while you move the budget: as long as the budget is in bytes, the choice ignores where the time goes.
#
# ### A budget in milliseconds
#
# Now let the budget be time: 30% of the way from the fastest allocation to the slowest. The cost table *predicts* the time of a network as the sum of the times of its layers and of the rest. To test the table, the chosen network is built, packed, and measured as a whole, and so are a few others.


# %%
def between(table, share):
    """A budget in seconds: this share of the way from the fastest allocation to the slowest."""
    fastest, slowest = (
        table.rest.median_s + sum(choose(cost.median_s for cost in row.values()) for row in table.costs.values())
        for choose in (min, max)
    )
    return fastest + share * (slowest - fastest)


chosen = {
    "for time": mixed.allocate(costs, by_kl, budget_s=between(costs, 0.3)).bits,
    "for +10% bytes": on_slider[10].bits,
    "for +50% bytes": on_slider[50].bits,
    "8/2/8": RULE,
    "2 everywhere": TWO,
}
built = {name: mixed.deploy(model, bits, **clipped) for name, bits in chosen.items()}
measured = mixed.time_in_use(built, example, repeats=100)

# %% name="out-latency" tags=["hide-input"]
lines = [("ms, one picture", "bits", "kB", "predicted", "measured", "off by", "accuracy")]
for name, bits in chosen.items():
    predicted = costs.total(bits)
    off = measured[name].median_s / predicted.median_s - 1
    cells = (
        "/".join(map(str, bits.values())),
        f"{predicted.stored_bytes / 1000:.1f}",
        f"{1000 * predicted.median_s:.3f}",
    )
    accuracy = fit.accuracy(built[name], judges)
    lines.append((name, *cells, str(measured[name]).removesuffix(" ms"), f"{100 * off:+.0f}%", f"{accuracy:.1%}"))
print(aligned(lines))

# %% name="claims-latency" tags=["solution-only"]
times = [latency.median_s for latency in measured.values()]
claim(
    "the five times lie within 15% of each other, whatever the bytes",
    None,
    holds=max(times) < 1.15 * min(times) and len(times) == 5,
)

# %% [markdown]
# The column "off by" tests the whole idea. A table of single layers is useful only if their sum predicts the network. Where it is off by much more than the spread of the measurement, one of the two has costs that the other lacks (reading the clocks around the layers, say), or the machine has changed in between.
#
# Then compare the first row with the last. Is there anything to trade at all? On the machine that made this page the five times lie within 15% of each other, whatever the bytes. So a time budget does not ask for fewer bits here; only a byte budget does. You know it only because you measured. For wide linear layers, look back at the race of section 1.

# %% [markdown]
# > **Takeaway.** A predicted cost is a claim about the machine: choose from a table, then measure the choice.

# %% [markdown]
# ## 7 One network, three machines
#
# The network, the sensitivities and the kind of budget stay the same: 30% of the way from the fastest allocation to the slowest. Only the cost table differs.

# %%
predict(
    "4.h",
    "This processor, the bit-serial accelerator, and the GPU with units for 4 and 8 bits: how many different allocations do they get?",
    choices=("1", "2", "3"),
)

# %%
answers = {title: mixed.allocate(table, by_kl, budget_s=between(table, 0.3)) for title, table in machines.items()}

# %% name="out-three" tags=["hide-input"]
lines = [("machine", *LAYERS, "µs: 2 bits", "8 bits", "chosen")]
for title, table in machines.items():
    ends = [1e6 * table.total(dict.fromkeys(LAYERS, bits)).median_s for bits in (2, 8)]
    times = [*ends, 1e6 * answers[title].cost.median_s]
    lines.append((title, *(str(answers[title].bits[name]) for name in LAYERS), *(f"{us:.2f}" for us in times)))
with hold("4.h"):
    print(aligned(lines))

# %%
reveal("4.h", str(len({tuple(answer.bits.values()) for answer in answers.values()})))

# %% [markdown]
# Why? An optimizer spends where a microsecond removes the most harm. So for each machine, divide the KL that more bits remove by the microseconds that they cost. "Free" means that the wider layer is not slower. (On this processor most widths differ by no more than the spread of a time. Some of the "free" entries may change when you run the cells again.)

# %% name="out-why" tags=["hide-input"]
lines = [("KL removed per µs", "", *LAYERS)]
for title, table in machines.items():
    for low, high in ((2, 4), (4, 8)):
        cells = []
        for name in LAYERS:
            row = table.costs[name]
            dearer = 1e6 * (row[high].median_s - row[low].median_s)
            cells.append("free" if dearer <= 0 else f"{(by_kl[name][low] - by_kl[name][high]) / dearer:.3g}")
        lines.append((title if low == 2 else "", f"{low} to {high} bits", *cells))
print(aligned(lines, left=(0, 1)))

# %% name="claims-three" tags=["solution-only"]
claim(
    "the bit-serial machine gives each layer as few bits as either of the others, or fewer",
    holds=all(answers["bit-serial"].bits[name] <= one.bits[name] for one in answers.values() for name in LAYERS),
)


def per_second(table, name, low, high):
    row = table.costs[name]
    return (by_kl[name][low] - by_kl[name][high]) / (row[high].median_s - row[low].median_s)


gpu = machines["GPU, 4 and 8 bits"]
claim(
    "here the layers come in the order of their weights, fewest first",
    holds=sorted(LAYERS, key=lambda name: -per_second(gpu, name, 4, 8)) == sorted(LAYERS, key=counts.get),
)

# %% [markdown]
# For one machine, go from its largest number to its smallest: in about this order the layers get their bits. A number is large where the layer suffers much or the step is cheap. On the bit-serial machine the time of a bit is proportional to the MACs of its layer (except for linear, which waits for its weights). On the GPU all steps up to 4 bits are free, and from 4 to 8 a bit costs the time to read it: here the layers come in the order of their weights, fewest first. On this processor a bit costs little, and from 4 bits to 8
# next to nothing. The sensitivities of all rows are the same, and the bit-serial machine gives each layer as few bits as either of the others, or fewer. So there is no single "best mixed-precision model". There is one for each machine, kernel and batch.

# %% [markdown]
# > **Takeaway.** The network says what a bit is worth, the machine says what it costs, and on another machine the best choice may be another one.

# %% [markdown]
# ## 8 Where it stops working
#
# - **At 4 bits and more** the layers suffer little, so there is little to allocate. Take 4 bits everywhere, or the width that your machine likes best.
# - **After training** the differences shrank here. If you can train, train first, and see whether the choice still matters.
# - **Harms do not add up.** The sum over single layers ranks allocations well here, with five layers and one network. A deep network has many more layers in which errors can add up or cancel. Test the ranks.
# - **A cost table is a snapshot** of this machine, this batch, this compiler, this room temperature. If you move the network, measure again.
# - **Reading is not always the work.** In convolutions and in small layers, packed codes may save little time, or lose some. Mixed precision then saves bytes, but no time.
# - **One network, ten classes.** The rank correlations here are those of one small CNN. The test carries over, its result does not.

# %% [markdown]
# > **Takeaway.** Before you search for an allocation, check that there is something to gain: here little suffers at 4 bits, and training shrinks the differences.

# %% [markdown]
# ## The ledger
#
# Which network do we keep? Of the budgets on the slider, take the smallest whose choice is within one point of 32 bits on the validation pictures, with batch norm re-estimated. The test pictures are used here for the first time. (A network chosen for its accuracy on some pictures tends to look better on these than on others. Compare the gap on the test pictures with the one point that we allowed.) The next cell takes about 4 seconds.


# %% name="out-ledger"
def repaired(more):
    return train.reestimate_batch_norm(quantized(networks[0], on_slider[more].bits), some.images[:250])


whole = fit.accuracy(networks[0], splits.validation)
good = (more for more in MORE if fit.accuracy(repaired(more), splits.validation) >= whole - 0.01)
with tqdm(total=1, desc="budgets") as bar:
    kept = next(good, max(MORE))  # MORE is in ascending order
    bar.update()
name = f"small_cnn, {'/'.join(map(str, on_slider[kept].bits.values()))} bits"
candidates = {"small_cnn": networks[0], name: quantize.pack_for_speed(repaired(kept))}
report = measure.report(
    candidates, example, accuracies={title: fit.accuracy(net, splits.test) for title, net in candidates.items()}
)
print(report)
ledger(report.rows[1], lesson=4, beside=report.rows[0])

# %%
progress()

# %% [markdown]
# ## With pencil and paper
#
# **1.** A layer has 1024 x 1024 weights. How many bytes do they take in int4 with a 16-bit scale per group of 64, in MXFP4, and in NVFP4 (ignore its one scale per tensor)? The memory delivers 20 GB/s. What is the shortest possible time of a matrix-vector product in each format?
#
# <details><summary>Answer</summary>
#
# int4: 4 + 16 / 64 = 4.25 bits, so 1,048,576 · 4.25 / 8 = 557,056 bytes. MXFP4: 4 + 8 / 32 = 4.25 bits, the same number of bytes. NVFP4: 4 + 8 / 16 = 4.5 bits, so 589,824 bytes. At 20 GB/s: 27.9 µs, 27.9 µs and 29.5 µs. In fp32 it would be 210 µs.
# </details>
#
# **2.** A network has 50 layers and four widths per layer. How many allocations are there? How long would it take to try all of them at one millisecond each? How many runs do the sensitivities of single layers take?
#
# <details><summary>Answer</summary>
#
# 4⁵⁰ = 2¹⁰⁰, about 1.3 · 10³⁰. At one millisecond each that is 1.3 · 10²⁷ s; the universe is about 4 · 10¹⁷ s old. The sensitivities take 50 · 4 = 200 runs, plus one of the float network.
# </details>
#
# **3.** A machine has units for 4 and 8 bits. A layer suffers 0.9 at 2 bits, 0.5 at 3 and 0.1 at 4. Which widths come into question for it if the budget is time and the layer is bound by arithmetic? And if the budget is bytes *on disk*, where codes are packed at any width?
#
# <details><summary>Answer</summary>
#
# For time, 4 bits or 8: 2 and 3 bits run on the 4-bit unit, cost exactly as much as 4, and suffer more. For bytes on disk, each width has its own price, and all four are candidates.
# </details>
#
# ## Summary
#
# - Few bits are fast where reading the weights takes the time and the kernel computes on packed codes. Measure with cold weights.
# - A quantized network can run on whole numbers only, and its fake-quantized twin predicts the accuracy.
# - Measure the harm to a layer at the outputs (KL), and test the measure on whole allocations. The squared error of the weights failed this test.
# - The cost of a bit belongs to a machine. Measure it layer by layer, and compare the sum with the whole.
# - A knapsack solver makes the choice. Its gap to the truth is known where all networks can be tried.
# - The controls decide what the choice is worth: the rule of thumb, batch norm re-estimated for all, training.
#
# **References.** Jacob et al. 2018, *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*. Wang et al. 2019, *HAQ: Hardware-Aware Automated Quantization with Mixed Precision*. Dong et al. 2019, *HAWQ: Hessian AWare Quantization of Neural Networks with Mixed-Precision*. Dong et al. 2020, *HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks*. Yao et al. 2021, *HAWQ-V3: Dyadic
# Neural Network Quantization*. Cai et al. 2020, *ZeroQ: A Novel Zero Shot Quantization Framework*. Hutchinson 1990, *A Stochastic Estimator of the Trace of the Influence Matrix*. Lee et al. 2018, *UNPU: A 50.6TOPS/W Unified Deep Neural Network Accelerator with 1b-to-16b Fully-Variable Weight Bit-Precision*. Judd et al. 2016, *Stripes: Bit-Serial Deep Neural Network Computing*. Horowitz 2014, *Computing's Energy Problem (and what we can do about it)*. Open Compute Project 2023, *OCP Microscaling Formats (MX) Specification*.
#
# **In the library.** [`mini_lib/quantize/packed`](../mini_lib/quantize/packed/__init__.py) has the layers that compute on packed codes, and [`mini_lib/kernels/packed.c`](../mini_lib/kernels/packed.c) the loop that does it. [`mini_lib/quantize/integer`](../mini_lib/quantize/integer/__init__.py) is integer inference; [`mini_lib/quantize/mixed`](../mini_lib/quantize/mixed/__init__.py) has sensitivities, cost tables, allocation and the searches.
#
# **Next:** [05 What can be taken away?](05_prune.ipynb)
