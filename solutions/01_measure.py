# %% [markdown]
# # What does a model cost?
#
# Lesson 01 · about 60 minutes · before it: nothing but a little Python and torch
#
# "This model is smaller." Smaller in what? It may have fewer parameters and more arithmetic, fewer bytes and no more speed. Before we make
# anything cheaper, we learn to count what there is to pay for, and to measure what cannot be counted.
#
# **You will be able to**
# 1. count the parameters, the multiply-accumulates (MACs) and the stored bytes of a model, by hand and with a tool;
# 2. measure a time together with its noise;
# 3. say whether arithmetic or memory limits a layer *on your machine*, and why fewer FLOPs are not the same as less time.
#
# Every answer is checked when you run the cell below it. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

from mini_lib import data, fit, measure, roofline, zoo
from mini_lib.teach import check, explore, figures, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one thread: times are steadier, and sums repeat to the last digit
figures.use_style()

# %% [markdown]
# ## 1 What is there to count?
#
# The course has three small models, all trained on the same task: which of ten kinds of clothing is in a picture of 28 by 28 pixels?
#
# - `lenet_300_100`: three linear layers, the classic of pruning.
# - `small_cnn`: four convolutions. This one runs through the whole course.
# - `depthwise_cnn`: its convolutions are split in two, as in the networks made for phones.

# %% name="out-data"
splits = data.fashion()
picture = splits.test.images[:1]
models = {name: zoo.load(name, seed=0) for name in ("lenet_300_100", "small_cnn", "depthwise_cnn")}
for name, split in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
    print(f"{name:<11}{len(split.labels):7,} pictures")

# %% name="fig-data"
def draw_pictures():
    figure, row = plt.subplots(1, 10, figsize=(10, 1.4))
    for label, axes in enumerate(row):
        index = int((splits.train.labels == label).nonzero()[0])
        axes.imshow(data.to_pixels(splits.train.images[index, 0]), cmap="gray_r")
        axes.set_title(str(label), fontsize=13)
        axes.axis("off")
    return figure


show(draw_pictures(), alt="One picture of each of the ten classes: shirts, trousers, dresses, shoes and bags, in grey.")

# %% [markdown]
# **Parameters** are the numbers that training sets. A convolution has, for each output channel, one square kernel for each input channel it looks
# at, and one bias. With *groups*, the channels are split into separate bundles, and each output channel looks only at its own.
#
# By hand: 1 input channel, 2 output channels, kernel 3: 2 · 1 · 3 · 3 = 18 weights and 2 biases, 20 in all.

# %% [markdown]
# ### Exercise 1.1 - Parameters of a convolution (5 min)

# %% name="ex-1-1" tags=["exercise"]
def conv_parameters(inputs, outputs, kernel, groups=1, bias=True):
    """The parameters of a convolution with a square kernel.

    inputs, outputs: channels; groups divides both. Returns a whole number.
    """
    ### BEGIN SOLUTION
    weights = outputs * (inputs // groups) * kernel * kernel
    return weights + (outputs if bias else 0)
    ### END SOLUTION


# %% tags=["check"]
check("1.1")

# %% [markdown]
# <details><summary>Hint 1: one output channel</summary>
#
# Count the numbers that one output channel needs. Then multiply by the output channels.
# </details>
# <details><summary>Hint 2: groups</summary>
#
# With 4 inputs and 4 groups, each output channel sees one input channel.
# </details>

# %% [markdown]
# A **MAC** is a multiply and the add behind it. Each number that a convolution puts out is a sum over all inputs under the kernel, so there is one MAC
# for each kernel number, each input channel, each output channel, and each *position of the output*. With padding $p$ and stride $s$, a picture of side $n$ has
#
# $$\left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1$$
#
# positions in each direction. By hand: side 4, kernel 3, no padding, stride 1: 2 positions, 2 · 2 · 9 = 36 MACs for one channel in and one out.
#
# A MAC is two **FLOPs**, floating-point operations. Half of the arguments about "FLOPs" come from mixing the two. In the library, one function and no other
# turns MACs into FLOPs.

# %% [markdown]
# ### Exercise 1.2 - MACs of a convolution (8 min)

# %% name="ex-1-2" tags=["exercise"]
def conv_macs(inputs, outputs, kernel, size, stride=1, padding=0):
    """The multiply-accumulates of a convolution on one square picture of side `size`.

    Returns a whole number.
    """
    ### BEGIN SOLUTION
    side = (size + 2 * padding - kernel) // stride + 1
    return inputs * outputs * kernel**2 * side**2
    ### END SOLUTION


# %% tags=["check"]
check("1.2")

# %% [markdown]
# <details><summary>Hint 1: two factors</summary>
#
# MACs of one output position, times the number of positions.
# </details>
# <details><summary>Hint 2: positions</summary>
#
# The formula above gives the positions in *one* direction.
# </details>

# %% [markdown]
# **Bytes** are what has to be downloaded, kept and moved. They are not four times the parameters: numbers come in different widths, and a model stores
# more than parameters. Batch norm, say, also keeps a running mean and variance, which are *buffers*.

# %% [markdown]
# ### Exercise 1.3 - Bytes of a model (5 min)

# %% name="ex-1-3" tags=["exercise"]
def stored_bytes(model):
    """The bytes of all tensors that are stored with a model. Returns a whole number."""
    ### BEGIN SOLUTION
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    ### END SOLUTION


# %% tags=["check"]
check("1.3")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `model.state_dict()` is what is written to disk: a dict of tensors.
# </details>
# <details><summary>Hint 2: one tensor</summary>
#
# `numel()` numbers, `element_size()` bytes each.
# </details>

# %%
predict(
    "1.a",
    "lenet_300_100 has over four times the parameters of small_cnn. Which one takes longer for one picture?",
    choices=("lenet_300_100", "small_cnn", "the same within 10%"),
)

# %% name="out-report"
report = measure.report(models, picture, {name: fit.accuracy(model, splits.test) for name, model in models.items()})
print(report)

# %%
ms = {row.name: row.median_s for row in report.rows}
ratio = ms["small_cnn"] / ms["lenet_300_100"]
reveal("1.a", "the same within 10%" if abs(ratio - 1) < 0.1 else "small_cnn" if ratio > 1 else "lenet_300_100")

# %% [markdown]
# Four columns, four different orders. A linear layer uses each weight once for each picture. A convolution uses each weight at every position. So parameters say
# little about arithmetic, and as we shall see, arithmetic says too little about time.
#
# ## 2 A time is a distribution
#
# MACs can be counted. Seconds must be measured, and no two measurements agree: the first calls allocate memory and choose kernels, and the machine does other
# things meanwhile.

# %%
predict(
    "1.b",
    "The same call, 200 times, after a warm-up. How many times longer than the fastest run does the slowest take?",
    unit="times",
)

# %% name="fig-noise"
network = models["small_cnn"]
with torch.no_grad():
    runs = measure.latency(lambda: network(picture), repeats=200, warmup=10)


def draw_noise():
    figure, axes = plt.subplots(figsize=(9, 3.4))
    times = 1000 * torch.tensor(runs.times_s)
    axes.plot(times, ".", color=figures.COLOURS["blue"], markersize=5)
    axes.axhline(1000 * runs.median_s, color=figures.COLOURS["vermillion"], linestyle="-", linewidth=2, label="median")
    axes.axhspan(1000 * runs.low_s, 1000 * runs.high_s, color=figures.COLOURS["sky"], alpha=0.3, label="10th to 90th percentile")
    axes.set(xlabel="run", ylabel="time, in ms", ylim=(0, 1.1 * times.max().item()))
    axes.legend(loc="upper right")
    return figure


show(draw_noise(), alt="Time of each of 200 runs as dots, with the median as a line and the 10th to 90th percentile as a band.")

# %%
reveal("1.b", max(runs.times_s) / min(runs.times_s))

# %% [markdown]
# So one number is not a measurement. We throw away the warm-up, take the **median**, which a few slow runs do not move, and always say how far the runs spread.
# By hand: the times 9, 1, 2, 6 with one run of warm-up leave 1, 2, 6: median 2, range 6 - 1 = 5.

# %% [markdown]
# ### Exercise 1.4 - A time with its noise (5 min)

# %% name="ex-1-4" tags=["exercise"]
def typical_time(times, warmup):
    """The median of the times after the warm-up, and their range, slowest minus fastest.

    times: a list in the order in which the runs happened; warmup: how many of the first runs to leave out. Returns (median, range).
    """
    ### BEGIN SOLUTION
    kept = sorted(times[warmup:])
    middle = len(kept) // 2
    median = kept[middle] if len(kept) % 2 else (kept[middle - 1] + kept[middle]) / 2
    return median, kept[-1] - kept[0]
    ### END SOLUTION


# %% tags=["check"]
check("1.4")

# %% [markdown]
# <details><summary>Hint 1: the order of things</summary>
#
# Leave out the first runs *before* you sort.
# </details>
# <details><summary>Hint 2: an even number of runs</summary>
#
# Then the median is the mean of the two in the middle. `statistics.median` knows that. `times.sort()` changes the list you were given; `sorted(times)` does not.
# </details>

# %% [markdown]
# How many runs are enough? Move the slider: it takes the first runs of the list above, and shows the median that you would have reported.

# %% name="fig-median" tags=["widget"]
def draw_median(runs_taken):
    times = 1000 * torch.tensor(runs.times_s)
    medians = [times[start : start + runs_taken].median().item() for start in range(0, len(times) - runs_taken + 1, runs_taken)]
    figure, axes = plt.subplots(figsize=(8, 3.2))
    axes.plot(medians, range(len(medians)), "|", markersize=18, markeredgewidth=2, color=figures.COLOURS["blue"])
    axes.set(xlabel="median, in ms", yticks=[], xlim=(0.9 * times.min().item(), 1.02 * times.quantile(0.99).item()))
    axes.text(0.98, 0.92, f"median of {runs_taken} run{'s' if runs_taken > 1 else ''}:\n{len(medians)} reports, "
              f"{min(medians):.2f} to {max(medians):.2f} ms", transform=axes.transAxes, va="top", ha="right")
    return figure


explore(
    draw_median,
    alt=lambda runs_taken: f"The medians that repeated experiments of {runs_taken} runs each would report, as marks on a time axis.",
    runs_taken=(1, 5, 20, 50),
)

# %% [markdown]
# ## 3 The roofline: what limits a layer?
#
# A processor does two things: it computes, at most *peak* FLOPs a second, and it fetches, at most *bandwidth* bytes a second. Which of the two holds a
# layer back depends on how much it computes with each byte: its **arithmetic intensity**, in FLOPs per byte.
#
# A matrix product of $[m, k]$ and $[k, n]$ does $2mnk$ FLOPs. If each matrix crosses the memory bus once, it moves $4(mk + kn + mn)$ bytes in float32.
# By hand: for $m = n = k = 1$, 2 FLOPs and 12 bytes: 0.167.

# %% [markdown]
# ### Exercise 1.5 - Arithmetic intensity of a matrix product (8 min)

# %% name="ex-1-5" tags=["exercise"]
def matmul_intensity(m, n, k):
    """FLOPs for each byte moved, of a float32 product [m, k] x [k, n] -> [m, n]; each matrix moves once."""
    ### BEGIN SOLUTION
    moved_numbers = m * k + k * n + m * n
    return 2 * m * n * k / (4 * moved_numbers)
    ### END SOLUTION


# %% tags=["check"]
check("1.5")

# %% [markdown]
# <details><summary>Hint 1: three matrices</summary>
#
# Two are read and one is written. How many numbers has each?
# </details>
# <details><summary>Hint 2: units</summary>
#
# FLOPs, not MACs, above the line. Bytes, not numbers, below it.
# </details>

# %% [markdown]
# At an intensity $I$, fetching alone allows $I \cdot$ bandwidth FLOPs a second, and computing alone allows the peak. Both at once: the lower of the two. Drawn over
# $I$ this is a slope and a flat roof. Where they meet, at peak / bandwidth, is the **ridge**.
#
# By hand: peak 100, bandwidth 10. At intensity 1 at most 10, at intensity 20 at most 100, and the ridge is at 10.

# %% [markdown]
# ### Exercise 1.6 - Under the roofline (5 min)

# %% name="ex-1-6" tags=["exercise"]
def attainable(intensity, peak, bandwidth):
    """The FLOP/s that the roofline allows.

    intensity: FLOPs per byte; peak: FLOPs per second; bandwidth: bytes per second.
    """
    ### BEGIN SOLUTION
    return min(peak, intensity * bandwidth)
    ### END SOLUTION


# %% tags=["check"]
check("1.6")

# %% [markdown]
# <details><summary>Hint 1: units</summary>
#
# FLOP per byte, times bytes per second, is FLOP per second.
# </details>
# <details><summary>Hint 2: which limit</summary>
#
# Both hold at the same time.
# </details>

# %% [markdown]
# Now the roof over *your* machine, measured: the best of several large matrix products, and the best of several passes over a buffer that does not fit in the cache.

# %% name="out-machine"
machine = roofline.measure_machine()
print(machine)

# %%
def draw_roofline(points, labels):
    figure, axes = plt.subplots(figsize=(9, 4.2))
    intensities = torch.logspace(-1.5, 2.5, 200)
    axes.loglog(intensities, [machine.attainable_flops_per_s(i) / 1e9 for i in intensities.tolist()], color=figures.COLOURS["black"], linestyle="-")
    axes.axvline(machine.ridge, color=figures.COLOURS["black"], linestyle=":", linewidth=1)
    for (x, y), label, marker in zip(points, labels, "osD^vP*X"):
        axes.plot([x], [y / 1e9], marker, markersize=10, label=label)
    axes.set(xlabel="arithmetic intensity, in FLOPs per byte", ylabel="GFLOP/s", ylim=(machine.peak_flops_per_s / 1e9 / 3000, machine.peak_flops_per_s / 1e9 * 2))
    axes.legend(loc="lower right", fontsize=11)
    return figure


# %% [markdown]
# A linear layer with 1024 inputs and outputs reads four megabytes of weights, whatever the batch. With one picture it uses each weight once. With a large batch it uses
# each weight many times. Move the batch, and watch the layer climb.

# %% name="fig-roofline" tags=["widget"]
layer = nn.Linear(1024, 1024, bias=False)
measured = {}
with torch.no_grad():
    for batch in (1, 4, 16, 64, 256):
        rows = torch.randn(batch, 1024, generator=torch.Generator().manual_seed(0))
        seconds = measure.latency(lambda: layer(rows), repeats=20).median_s
        measured[batch] = (roofline.matmul_intensity(batch, 1024, 1024), measure.flops(batch * 1024 * 1024) / seconds)


def draw_batch(batch):
    return draw_roofline([measured[batch]], [f"1024 x 1024, batch {batch}"])


explore(
    draw_batch,
    alt=lambda batch: f"The roofline of this machine and a dot for a linear layer at batch {batch}.",
    batch=tuple(measured),
)

# %% [markdown]
# A dot may lie *above* the slope: the weights of this layer can stay in a cache, and then they do not cross the memory bus. The slope is drawn for data that comes from
# memory. No dot may lie above the flat roof by more than the noise.
#
# ## 4 Why FLOPs are not time
#
# `depthwise_cnn` splits a convolution in two: one looks at each channel alone (*depthwise*), one mixes the channels at each position (*pointwise*). Take a layer
# with 64 channels on a picture of 28 by 28.

# %% name="out-ratio"
def block(depthwise):
    if not depthwise:
        return nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False)).eval()
    return nn.Sequential(
        nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False), nn.Conv2d(64, 64, 1, bias=False)
    ).eval()


blocks = {"convolution": block(False), "depthwise + pointwise": block(True)}
activations = torch.randn(8, 64, 28, 28, generator=torch.Generator().manual_seed(0))
macs = {name: measure.macs(layers, activations) for name, layers in blocks.items()}
print(f"the convolution does {macs['convolution'] / macs['depthwise + pointwise']:.2f} times the MACs of the split one")

# %%
predict("1.c", "How many times faster is the split layer than the convolution?", unit="times")

# %% name="out-depthwise"
report = measure.report(blocks, activations)
print(report)
faster = report.rows[0].median_s / report.rows[1].median_s

# %%
reveal("1.c", faster)

# %% [markdown]
# To see why, look at the layers one by one: their intensity, the FLOPs a second they reach, and what the roofline would allow.

# %% name="out-layers"
def layer_table(network, example):
    print(f"{'layer':<12}{'MMAC':>9}{'FLOP/byte':>11}{'GFLOP/s':>9}{'roofline':>10}{'ms':>24}")
    total = 0.0
    x = example
    for cost in measure.layer_costs(network, example):
        layer = network.get_submodule(cost.name)
        with torch.no_grad():
            time = measure.latency(lambda: layer(x), repeats=15)
            x = layer(x)
        total += time.median_s
        at = roofline.layer_intensity(cost)
        print(f"{cost.name:<12}{cost.macs / 1e6:>9.2f}{at:>11.2f}{measure.flops(cost.macs) / time.median_s / 1e9:>9.1f}"
              f"{machine.attainable_flops_per_s(at) / 1e9:>10.1f}{time!s:>24}")
    print(f"together {1000 * total:.2f} ms")


print("depthwise + pointwise")
layer_table(blocks["depthwise + pointwise"], activations)
print("\nconvolution")
layer_table(blocks["convolution"], activations)

# %% [markdown]
# The depthwise layer does nine multiplications for each number that it reads. It has the lowest intensity of all, so it waits for memory (and its loops are too short to
# keep the arithmetic units busy). It saved the cheap FLOPs.
#
# An extreme case: a ReLU does **no** MAC at all.

# %%
predict(
    "1.d",
    "small_cnn on 64 pictures: what share of the time goes to layers that do no MACs at all (batch norm, ReLU, pooling)?",
    choices=("less than 5%", "5 to 20%", "more than 20%"),
)

# %% name="out-no-macs"
def share_without_macs(network, example):
    spent = {True: 0.0, False: 0.0}
    x = example
    for cost in measure.layer_costs(network, example):
        layer = network.get_submodule(cost.name)
        with torch.no_grad():
            spent[cost.macs == 0] += measure.latency(lambda: layer(x), repeats=10).median_s
            x = layer(x)
    return spent[True] / (spent[True] + spent[False])


share = share_without_macs(network, splits.test.images[:64])
print(f"{100 * share:.0f}% of the time goes to layers without a MAC")

# %%
reveal("1.d", "less than 5%" if share < 0.05 else "5 to 20%" if share <= 0.2 else "more than 20%")

# %% [markdown]
# ## 5 How much is there to win?
#
# Before you make a part faster, ask what it can bring. If a part takes half of the time and becomes twice as fast, the whole takes 0.5 + 0.25 = 0.75 of the time: it is
# 1.33 times faster, not twice. This is **Amdahl's law**.

# %% [markdown]
# ### Exercise 1.7 - Faster as a whole (5 min)

# %% name="ex-1-7" tags=["exercise"]
def speedup(share, factor):
    """How many times faster the whole gets when `share` (0 to 1) of its time gets `factor` times faster."""
    ### BEGIN SOLUTION
    return 1 / ((1 - share) + share / factor)
    ### END SOLUTION


# %% tags=["check"]
check("1.7")

# %% [markdown]
# <details><summary>Hint 1: add times, not speeds</summary>
#
# What part of the old time stays? What becomes of the other part?
# </details>
# <details><summary>Hint 2: check with the case by hand</summary>
#
# A share of 0.5 and a factor of 2 must give 1.33.
# </details>

# %%
print(f"If all convolutions of small_cnn took no time at all, it would be {1 / share:.1f} times faster. Never more.")

# %% [markdown]
# ## Where counting stops working
#
# - MACs leave out everything that is not a multiply-accumulate, and memory altogether.
# - The roofline is a *limit*, not a forecast: short loops, small pictures and the cost of starting a kernel keep a layer well below it.
# - A time belongs to one machine, one library and one number of threads. Compare only what was measured in the same run.
#
# ## The ledger
#
# Every lesson adds a row here. The first is the model that all others want to beat.

# %%
report = measure.report({"small_cnn, as trained": models["small_cnn"]}, picture, {"small_cnn, as trained": fit.accuracy(models["small_cnn"], splits.test)})
ledger(report.rows[0], lesson=1)

# %%
progress()

# %% [markdown]
# ## Summary
#
# - Parameters, MACs and bytes are counted, and they are three different things. A MAC is two FLOPs.
# - Time is measured: warm-up, median, spread, and both candidates in the same run.
# - Intensity says whether memory or arithmetic is the limit; the ridge of your machine is where it changes.
# - Fewer FLOPs are less time only where FLOPs were the limit.
#
# **References.** Williams, Waterman and Patterson 2009, *Roofline: An Insightful Visual Performance Model for Multicore Architectures*. Howard et al. 2017, *MobileNets*.
# Amdahl 1967, *Validity of the single processor approach to achieving large scale computing capabilities*. Xiao, Rasul and Vollgraf 2017, *Fashion-MNIST*.
#
# **In the library.** `mini_lib/costs.py` counts, `mini_lib/latency.py` times, `mini_lib/roofline.py` measures the machine.
#
# **Next:** [02 How few bits does a weight need?](02_bits.ipynb)
