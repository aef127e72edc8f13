# %% [markdown]
# # What does a model cost?
#
# Lesson 01 · {minutes} · before it: nothing but a little Python and torch
#
# "This model is smaller." In which sense? It may have fewer parameters and more arithmetic, or fewer bytes and no more speed. Before you make
# a model cheaper, you learn to count its costs, and to measure those that cannot be counted.
#
# **You will be able to**
# 1. count the parameters, the multiply-accumulates (MACs) and the stored bytes of a model, by hand and with a tool;
# 2. measure a time together with its noise;
# 3. say which limit holds a layer back *on your machine*, arithmetic or memory, and why fewer FLOPs are not the same as less time.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back. Code that only draws is folded: one click shows it.
#
# Run the cells from the top, each with Shift+Enter. After a restart of the kernel, begin at the top again.

# %%
import os

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from mini_lib import data, fit, measure, roofline, zoo
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

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


# %% name="fig-data" tags=["hide-input"]
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
# **Parameters** are the numbers that training sets. A convolution has one bias for each output channel, and one square kernel for each pair of an output channel and
# an input channel that it reads. With *groups*, the channels are split into separate bundles, and an output channel reads only the input channels of its own bundle.
#
# Worked by hand: 1 input channel, 2 output channels, kernel 3: 2 · 1 · 3 · 3 = 18 weights and 2 biases, 20 in all.

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
# Count the numbers that one output channel needs. Then multiply by the number of output channels.
# </details>
# <details><summary>Hint 2: groups</summary>
#
# With 4 inputs and 4 groups, each output channel sees one input channel.
# </details>

# %% [markdown]
# A **MAC** (multiply-accumulate) is a multiplication and the addition that follows it. Each output of a convolution is a sum over all inputs under the kernel. So there is one MAC
# for each kernel number, each input channel, each output channel, and each *position of the output*. For a kernel of side $k$, padding $p$ and stride $s$, a picture of side $n$ has
#
# $$\left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1$$
#
# positions in each direction. Worked by hand: side 4, kernel 3, no padding and stride 1 give 2 positions in each direction, so 2 · 2 · 9 = 36 MACs for one input channel and one output channel.
#
# A MAC is two **FLOPs** (floating-point operations).

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
# **Bytes** have to be downloaded, kept and moved. They are not always four times the parameters: numbers come in different widths, and a model may store
# more than its parameters. Batch norm, for example, also keeps a running mean and a running variance. Such tensors are called *buffers*.

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
# `model.state_dict()` is the dict of tensors that is written to disk.
# </details>
# <details><summary>Hint 2: one tensor</summary>
#
# A tensor has `numel()` numbers of `element_size()` bytes each.
# </details>

# %%
predict(
    "1.a",
    "lenet_300_100 has over four times the parameters of small_cnn. Which one takes longer for one picture?",
    choices=("lenet_300_100", "small_cnn", "the same within 10%"),
)

# %%
pair = {name: models[name] for name in ("lenet_300_100", "small_cnn")}
accuracies = {name: fit.accuracy(model, splits.test) for name, model in pair.items()}
report = measure.report(pair, picture, accuracies)

ms = {row.name: row.median_s for row in report.rows}
ratio = ms["small_cnn"] / ms["lenet_300_100"]
slower = "small_cnn" if ratio > 1 else "lenet_300_100"
reveal("1.a", "the same within 10%" if abs(ratio - 1) < 0.1 else slower)

# %% name="out-report"
with hold("1.a"):
    print(report)

# %% tags=["solution-only"]
from teach import claim

lenet, small = report.rows
claim("lenet_300_100 has over four times the parameters of small_cnn", holds=lenet.parameters > 4 * small.parameters)
claim(
    "small_cnn has less than a quarter of the parameters and does 24 times the MACs",
    small.macs / lenet.macs,
    holds=small.parameters < lenet.parameters / 4,
)
claim("here 24 times the MACs take about 9 times as long", small.macs / lenet.macs, ratio, within=3)

# %% [markdown]
# Which model is "smaller"? Two counts give opposite answers: `small_cnn` has less than a quarter of the parameters and does 24 times the MACs. A linear layer uses
# each weight once per picture, a convolution uses it at every position. And arithmetic says too little about time: here 24 times the MACs take about 9 times as long.

# %% [markdown]
# > **Takeaway.** Parameters, MACs, bytes and milliseconds are four different costs: say which one you mean.

# %% [markdown]
# ## 2 A time is a distribution
#
# MACs can be counted. Seconds must be measured, and no two measurements agree: the first calls allocate memory and choose kernels, and the machine does other
# work at the same time.

# %%
predict(
    "1.b",
    "You time the same call 200 times, after a warm-up. How many times as long as the fastest run does the slowest one take?",
    unit="times",
)

# %%
network = models["small_cnn"]
with torch.no_grad():
    runs = measure.latency(lambda: network(picture), repeats=200, warmup=10)

reveal("1.b", max(runs.times_s) / min(runs.times_s))


# %% name="fig-noise" tags=["hide-input"]
def draw_noise():
    figure, axes = plt.subplots(figsize=(9, 3.4))
    times = 1000 * torch.tensor(runs.times_s)
    axes.plot(times, ".", color=figures.COLOURS["blue"], markersize=5)
    axes.axhline(1000 * runs.median_s, color=figures.COLOURS["vermillion"], linestyle="-", label="median")
    band = (1000 * runs.low_s, 1000 * runs.high_s)
    axes.axhspan(*band, color=figures.COLOURS["sky"], alpha=0.3, label="10th to 90th percentile")
    axes.set(xlabel="run", ylabel="time, in ms", ylim=(0, 1.1 * times.max().item()))
    axes.legend(loc="upper right")
    return figure


show(
    draw_noise(),
    alt="Time of each of 200 runs as dots, with the median as a line and the 10th to 90th percentile as a band.",
)

# %% [markdown]
# So a single time is not a measurement. Throw away the warm-up, take the **median**, which a few slow runs hardly move, and always give the spread of the runs.
# Worked by hand: the times 9, 1, 2, 6 with one run of warm-up leave 1, 2, 6. Their median is 2 and their range is 6 - 1 = 5.

# %% [markdown]
# ### Exercise 1.4 - A time with its noise (5 min)


# %% name="ex-1-4" tags=["exercise"]
def typical_time(times, warmup):
    """The median of the times after the warm-up, and their range, slowest minus fastest.

    times: a list in the order in which the runs happened; warmup: how many of the first to leave out.
    Returns (median, range).
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
# Then the median is the mean of the two middle times. `statistics.median` knows that. `times.sort()` changes the list that you were given; `sorted(times)` does not.
# </details>

# %% [markdown]
# How many runs are enough? Cut the 200 runs above into short experiments. The slider sets the number of runs in each of them, and each mark is the
# median that one experiment would have reported.


# %% name="fig-median" tags=["hide-input", "widget"]
def draw_median(runs_taken):
    times = 1000 * torch.tensor(runs.times_s)
    medians = times.reshape(-1, runs_taken).quantile(0.5, dim=1)
    figure, axes = plt.subplots(figsize=(8, 3.2))
    axes.plot(medians, range(len(medians)), "|", markersize=18, markeredgewidth=2, color=figures.COLOURS["blue"])
    axes.set(xlabel="median, in ms", yticks=[], xlim=(0.9 * times.min().item(), 1.02 * times.quantile(0.99).item()))
    axes.set_title(f"{len(medians)} reports, {medians.min():.2f} to {medians.max():.2f} ms", loc="left")
    return figure


explore(
    draw_median,
    alt=lambda runs_taken: (
        f"The medians that experiments of {runs_taken} runs each would report, as marks on a time axis."
    ),
    labels={"runs_taken": "runs per experiment"},
    runs_taken=(1, 5, 20, 50),
)

# %% name="fig-median-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(draw_median(5), alt="The medians that 40 experiments of 5 runs each would report, as marks on a time axis.")

# %% [markdown]
# > **Takeaway.** A time is a median with its spread, and two candidates are timed in the same run.

# %% [markdown]
# ## 3 The roofline: what limits a layer?
#
# A processor does two things: it computes, at most *peak* FLOPs per second, and it fetches, at most *bandwidth* bytes per second. Which of the two limits
# a layer depends on how much the layer computes with each byte: its **arithmetic intensity**, in FLOPs per byte.
#
# A matrix product of $[m, k]$ and $[k, n]$ does $2mnk$ FLOPs. If each matrix crosses the memory bus once, it moves $4(mk + kn + mn)$ bytes in float32.
# Worked by hand: $m = n = k = 1$ gives 2 FLOPs and 12 bytes, an intensity of 0.167.

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
# The numerator counts FLOPs, not MACs. The denominator counts bytes, not numbers.
# </details>

# %% [markdown]
# At an intensity $I$, fetching allows $I \cdot$ bandwidth FLOPs per second, and computing allows the peak. Both limits hold, so the lower one counts. Plotted against
# $I$, the limit is a slope and then a flat roof. They meet at the **ridge**, where $I$ is peak / bandwidth.
#
# Worked by hand: with a peak of 100 and a bandwidth of 10, intensity 1 allows 10, intensity 20 allows 100, and the ridge is at 10.

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
# FLOPs per byte, times bytes per second, are FLOPs per second.
# </details>
# <details><summary>Hint 2: which limit</summary>
#
# Both limits hold at the same time.
# </details>

# %% [markdown]
# Now measure the roof over *your* machine. The peak is the best of several large matrix products; the bandwidth is the best of several passes over a buffer that does not fit in the cache.

# %% name="out-machine"
machine = roofline.measure_machine()
print(machine)

# %% [markdown]
# A linear layer with 1024 inputs and outputs reads four megabytes of weights, whatever the batch. With one picture it uses each weight once, with a large batch
# many times. Move the slider, and watch the layer climb. The filled dot is one layer that is called again and again. The hollow dot is the mean of 48 such
# layers called in turn, which are too many for a laptop's cache.

# %%
layers = [nn.Linear(1024, 1024, bias=False) for _ in range(48)]  # 192 MiB, more than the cache of a laptop
measured = {}
for batch in (1, 4, 16, 64):
    rows = torch.randn(batch, 1024, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        again_s = measure.latency(lambda: layers[0](rows), repeats=20).median_s
        in_turn_s = measure.latency(lambda: [layer(rows) for layer in layers], repeats=5, warmup=1).median_s / 48
    work = measure.flops(batch * 1024 * 1024)
    measured[batch] = (roofline.matmul_intensity(batch, 1024, 1024), work / again_s, work / in_turn_s)


# %% name="fig-roofline" tags=["hide-input", "widget"]
def draw_roofline(batch):
    figure, axes = plt.subplots(figsize=(8, 4.2))
    intensities = torch.logspace(-1, 2.5, 200).tolist()
    roof = [machine.attainable_flops_per_s(intensity) / 1e9 for intensity in intensities]
    axes.loglog(intensities, roof, color=figures.COLOURS["black"], linestyle="-")
    axes.axvline(machine.ridge, color=figures.COLOURS["black"], linestyle=":", linewidth=1)
    intensity, again, in_turn = measured[batch]
    style = {"linestyle": "", "markersize": 13, "markeredgewidth": 2, "color": figures.COLOURS["vermillion"]}
    axes.plot([intensity], [again / 1e9], "o", label="one layer, again and again", **style)
    axes.plot([intensity], [in_turn / 1e9], "o", fillstyle="none", label="48 layers in turn", **style)
    axes.legend(loc="lower right")
    axes.set_title(f"batch {batch}: {again / 1e9:.1f} and {in_turn / 1e9:.1f} GFLOP/s", loc="left")
    axes.set(xlabel="arithmetic intensity, in FLOPs per byte", ylabel="GFLOP/s", ylim=(1, 2 * max(roof)))
    return figure


explore(
    draw_roofline,
    alt=lambda batch: f"The roofline of this machine; a filled and a hollow dot for a linear layer at batch {batch}.",
    labels={"batch": "pictures per batch"},
    batch=tuple(measured),
)

# %% name="fig-roofline-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(draw_roofline(4), alt="The roofline of this machine; a filled and a hollow dot for a linear layer at batch 4.")

# %% tags=["solution-only"]
intensity, again, in_turn = measured[1]
slope = machine.attainable_flops_per_s(intensity)
claim("reads four megabytes of weights", holds=round(sum(w.nbytes for w in layers[0].parameters()) / 1e6) == 4)
claim("A dot may lie above the slope, as the filled one does at batch 1", holds=again > slope)
claim("The hollow dot, whose weights come from memory, lies below", holds=in_turn < slope)
claim("watch the layer climb", holds=measured[1][2] < measured[4][2] < measured[16][2] < measured[64][2])
claim(
    "the weights came from a cache, which the hollow dot shows",
    holds=in_turn < slope < again,
    page="slides/01_measure.md",
)
claim(
    "At batch 64 the layer is many times as fast per picture as at batch 1",
    holds=measured[64][2] > 3 * measured[1][2],
    page="slides/01_measure.md",
)

# %% [markdown]
# A dot may lie *above* the slope, as the filled one does at batch 1. The slope is drawn for data from memory, and the weights of one layer can stay in a
# cache. The hollow dot, whose weights come from memory, lies below. The flat roof is an estimate too: it is the best of a few matrix products, and another kernel can beat it.

# %% [markdown]
# > **Takeaway.** Below the ridge, memory limits a layer; above it, arithmetic does; and the roofline is a limit, not a forecast.

# %% [markdown]
# ## 4 Why FLOPs are not time
#
# `depthwise_cnn` splits each convolution in two: one filters each channel by itself (*depthwise*), and one mixes the channels at each position (*pointwise*).

# %% name="out-ratio"
pair = {name: models[name] for name in ("small_cnn", "depthwise_cnn")}
macs = {name: measure.macs(model, picture) for name, model in pair.items()}
print(f"small_cnn does {macs['small_cnn'] / macs['depthwise_cnn']:.1f} times the MACs of depthwise_cnn")

# %%
predict("1.c", "So how many times as fast is depthwise_cnn, on one picture? (Below 1 means slower.)", unit="times")

# %%
report = measure.report(pair, picture, {name: fit.accuracy(model, splits.test) for name, model in pair.items()})
faster = report.rows[0].median_s / report.rows[1].median_s
reveal("1.c", round(faster, 2))

# %% name="out-depthwise"
with hold("1.c"):
    print(report)

# %% tags=["solution-only"]
few_macs = macs["small_cnn"] > 4 * macs["depthwise_cnn"]
claim("It is much less arithmetic, and here no less time", holds=few_macs and faster < 1)

# %% [markdown]
# It is much less arithmetic, and here no less time. Maybe one picture is too little work? Take 64 at once, and look inside: which kinds of layers take the time, how many FLOPs per
# second they reach, and how many the roofline allows. (By convention, the MACs of batch norm are not counted.)

# %%
predict(
    "1.d",
    "depthwise_cnn on 64 pictures: what share of the time goes to layers whose MACs nobody counts (batch norm, ReLU, pooling)?",
    choices=("less than 20%", "20 to 50%", "more than 50%"),
)


# %%
def kind_of(layer):
    if isinstance(layer, nn.Conv2d):
        return "depthwise" if layer.groups > 1 else "pointwise" if layer.kernel_size == (1, 1) else "convolution"
    return "linear" if isinstance(layer, nn.Linear) else "none counted"


def time_by_kind(network, x):
    """Time each layer on its own input; add up MACs, seconds and the seconds that the roofline allows, by kind."""
    totals = {}
    for cost in measure.layer_costs(network, x):
        layer = network.get_submodule(cost.name)
        with torch.no_grad():
            seconds = measure.latency(lambda: layer(x), repeats=10).median_s
            x = layer(x)
        attainable_flops_per_s = machine.attainable_flops_per_s(roofline.layer_intensity(cost))
        at_best = measure.flops(cost.macs) / attainable_flops_per_s if cost.macs else 0.0
        so_far = totals.get(kind_of(layer), (0, 0.0, 0.0))
        totals[kind_of(layer)] = tuple(map(sum, zip(so_far, (cost.macs, seconds, at_best))))
    return totals


by_kind = {name: time_by_kind(network, splits.test.images[:64]) for name, network in pair.items()}
kinds = by_kind["depthwise_cnn"]
share = kinds["none counted"][1] / sum(seconds for _, seconds, _ in kinds.values())
reveal("1.d", "less than 20%" if share < 0.2 else "20 to 50%" if share <= 0.5 else "more than 50%")

# %% name="out-layers" tags=["hide-input"]
rates = {}
for name, kinds in by_kind.items():
    total = sum(seconds for _, seconds, _ in kinds.values())
    rates[name] = {kind: measure.flops(count) / seconds for kind, (count, seconds, _) in kinds.items()}
    with hold("1.d"):
        print(f"{name:<15}{'MMAC':>9}{'ms':>9}{'share':>8}{'GFLOP/s':>10}{'roofline':>10}")
        for kind, (count, seconds, at_best) in kinds.items():
            gflops = (measure.flops(count) / 1e9 / limit for limit in (seconds, at_best) if count)
            reached = "".join(f"{rate:10.1f}" for rate in gflops)
            print(f"  {kind:<13}{count / 1e6:9.2f}{1e3 * seconds:9.2f}{100 * seconds / total:7.0f}%{reached}")

# %% tags=["solution-only"]
slow, large = rates["depthwise_cnn"]["depthwise"], ("convolution", "pointwise")
claim(
    "the depthwise layers are the slowest of the large layers",
    holds=all(slow < rates["depthwise_cnn"][kind] for kind in large),
)
claim(
    "as that of a plain convolution is here",
    holds=by_kind["small_cnn"]["convolution"][1] < by_kind["small_cnn"]["convolution"][2],
)
claim("so the FLOPs that were saved were the fast ones", holds=2 * slow < rates["small_cnn"]["convolution"])
claim("they stay well below the slope as well", holds=slow < kinds["depthwise"][0] * 2 / kinds["depthwise"][2] / 1.3)
claim(
    "the depthwise layers are the slowest of the large ones, and below the roofline",
    holds=all(slow < rates["depthwise_cnn"][kind] for kind in large) and kinds["depthwise"][1] > kinds["depthwise"][2],
    page="slides/01_measure.md",
)
claim(
    "The layers without a counted MAC take a tenth of the time or more", holds=share >= 0.1, page="slides/01_measure.md"
)

# %% [markdown]
# Compare GFLOP/s: the depthwise layers are the slowest of the large layers, so the FLOPs that were saved were the fast ones. The layers without a counted MAC still read and write everything.
# A rate may be above its roofline, as that of a plain convolution is here: the roof is an estimate from matrix products, and the library may do fewer MACs than are counted.
#
# Do these numbers agree with an independent tool? `torch.profiler` records each operator inside a call of the whole model, with its own count of FLOPs. Put both next to each other, grouped by operator.

# %% name="out-profiler"
os.environ["KINETO_LOG_LEVEL"] = "99"  # or the profiler writes its own messages into the page
x, network = splits.test.images[:64], models["depthwise_cnn"]
with torch.no_grad():
    measure.latency(lambda: network(x), repeats=5)  # a warm-up, as for any measurement
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as recorded:
        for _ in range(20):
            network(x)
calls = {call.key: call for call in recorded.key_averages()}
profiled_ms = {
    "convolutions": calls["aten::conv2d"].cpu_time_total / 20 / 1000,
    "linear": calls["aten::linear"].cpu_time_total / 20 / 1000,
    "batch norm, ReLU": sum(calls[key].cpu_time_total for key in ("aten::batch_norm", "aten::relu")) / 20 / 1000,
}
profiled_flops = sum(call.flops for call in calls.values()) / 20

# %% name="out-profiled" tags=["hide-input"]
timed_ms = {
    "convolutions": sum(1e3 * kinds[kind][1] for kind in ("convolution", "depthwise", "pointwise")),
    "linear": 1e3 * kinds["linear"][1],
    "batch norm, ReLU": 1e3 * kinds["none counted"][1],
}
print(f"{'depthwise_cnn, 64 pictures':<30}{'profiler':>12}{'this lesson':>14}")
for name in timed_ms:
    print(f"{name + ', ms':<30}{profiled_ms[name]:12.2f}{timed_ms[name]:14.2f}")
print(f"{'FLOPs, in millions':<30}{profiled_flops / 1e6:12.2f}{measure.flops(measure.macs(network, x)) / 1e6:14.2f}")

# %% tags=["solution-only"]
claim("counts the same FLOPs", holds=profiled_flops == measure.flops(measure.macs(network, x)))
claim(
    "In both columns the convolutions take most of the time",
    holds=all(column["convolutions"] > sum(column.values()) / 2 for column in (profiled_ms, timed_ms)),
)

# %% [markdown]
# The profiler counts the same FLOPs. In both columns the convolutions take most of the time. The milliseconds do not agree, and on a busy machine they may differ severalfold: here they are medians of one layer that was timed again and again, with its input in the cache; the profiler
# gives the mean of whole calls, and recording takes time of its own. The profiler does not tell the depthwise and the pointwise layers apart (both are `conv2d`), so the table above is by layer.
#
# Why are depthwise layers slow? "They wait for memory" is the usual answer. But they stay well below the slope as well. Two controls change one thing each: a copy of as many
# bytes, with no arithmetic; and kernels of 1 x 1 on the same tensors, with a ninth of the arithmetic.


# %% name="out-controls"
def copy_of(moved_bytes):
    """Return a call that reads half of these bytes and writes the other half."""
    source, target = (torch.ones(moved_bytes // 8) for _ in range(2))
    return lambda: target.copy_(source)


times_s = {"depthwise layers, 3 x 3": 0.0, "with kernels of 1 x 1": 0.0, "a copy of as many bytes": 0.0}
x = splits.test.images[:64]
for cost in measure.layer_costs(models["depthwise_cnn"], x):
    layer = models["depthwise_cnn"].get_submodule(cost.name)
    with torch.no_grad():
        if kind_of(layer) == "depthwise":
            thin = nn.Conv2d(layer.in_channels, layer.out_channels, 1, layer.stride, groups=layer.groups, bias=False)
            calls = (lambda: layer(x), lambda: thin(x), copy_of(cost.moved_bytes))
            for name, latency in measure.compare_latency(dict(zip(times_s, calls)), repeats=20).items():
                times_s[name] += latency.median_s
        x = layer(x)
for name, seconds in times_s.items():
    print(f"{name:<25}{1e3 * seconds:6.2f} ms")

# %% tags=["solution-only"]
as_it_is, thin_s, copy_s = times_s.values()
claim("The copy takes less than half of the time", holds=copy_s < as_it_is / 2)
claim("With a ninth of the arithmetic, more than half of the time is left", holds=thin_s > as_it_is / 2)
claim(
    "a copy of as many bytes takes less than half of the time, a ninth of the arithmetic more than half",
    holds=copy_s < as_it_is / 2 < thin_s,
    page="slides/01_measure.md",
)

# %% [markdown]
# The copy takes less than half of the time, so the bytes are not the main cost. With a ninth of the arithmetic, more than half of the time is left, so the multiplications are not the main cost either. The rest may be
# short loops, numbers moved into another order, or the cost of a call: this table does not say.

# %% [markdown]
# > **Takeaway.** Saving FLOPs saves time only where those FLOPs take the time, so measure before and after.

# %% [markdown]
# ## 5 How much is there to gain?
#
# Before you make a part faster, ask how much that can gain. If a part takes half of the time and becomes twice as fast, the whole takes 0.5 + 0.25 = 0.75 of the time: it is
# 1.33 times as fast, not twice. This is **Amdahl's law**.

# %% [markdown]
# ### Exercise 1.7 - Faster as a whole (5 min)


# %% name="ex-1-7" tags=["exercise"]
def speedup(share, factor):
    """How many times as fast the whole becomes when `share` (0 to 1) of its time becomes `factor` times as fast."""
    ### BEGIN SOLUTION
    return 1 / ((1 - share) + share / factor)
    ### END SOLUTION


# %% tags=["check"]
check("1.7")

# %% [markdown]
# <details><summary>Hint 1: add times, not speeds</summary>
#
# Which part of the old time stays as it is? How long does the other part take now?
# </details>
# <details><summary>Hint 2: check with the case by hand</summary>
#
# A share of 0.5 and a factor of 2 must give 1.33, which is more than 1.
# </details>

# %%
print(
    f"If all layers with MACs took no time at all, depthwise_cnn would be {1 / share:.1f} times as fast, and never faster."
)

# %% [markdown]
# > **Takeaway.** The part that you leave alone limits the speedup: a share of 50% allows a factor of two at most.

# %% [markdown]
# ## Where counting stops working
#
# - MACs leave out everything that is not a multiply-accumulate, and memory altogether.
# - The roofline is an estimated *limit*, not a forecast: a layer may stay well below it.
# - A time belongs to one machine, one library and one number of threads. Compare only times of the same run.
#
# ## With pencil and paper
#
# **1.** A convolution has 16 input channels, 32 output channels and a kernel of 3 x 3, with bias. How many parameters has it? How many with 4 groups?
#
# <details><summary>Answer</summary>
#
# Without groups each output channel reads 16 channels: 32 · 16 · 9 + 32 = 4,640. With 4 groups it reads 16 / 4 = 4 channels: 32 · 4 · 9 + 32 = 1,184.
# </details>
#
# **2.** A machine computes 100 GFLOP/s and fetches 20 GB/s. A linear layer with 512 inputs and 512 outputs works on one picture, in float32. Count only the bytes of its weights. Which limit applies, and how
# many GFLOP/s does it allow?
#
# <details><summary>Answer</summary>
#
# Each weight is 4 bytes and takes part in one MAC, which is 2 FLOPs: the intensity is 2 / 4 = 0.5 FLOPs per byte. The ridge is at 100 / 20 = 5, so memory is the limit. It allows 0.5 · 20 = 10 GFLOP/s, a
# tenth of the peak. From a batch of 10 on, arithmetic is the limit.
# </details>
#
# **3.** A layer takes 80% of the time of a model. A better kernel makes the layer 4 times as fast. How many times as fast is the model? What is the most that any kernel for this layer can reach?
#
# <details><summary>Answer</summary>
#
# The new time is 0.2 + 0.8 / 4 = 0.4 of the old one, so the model is 2.5 times as fast. A kernel that takes no time at all leaves 0.2: a factor of 5.
# </details>
#
# ## The ledger
#
# Every lesson adds a row here. The first row is the model that the other lessons try to beat. Milliseconds of different runs cannot be compared. The last column therefore has a ratio to a model that was
# timed in the same run.

# %%
name = "small_cnn, as trained"
report = measure.report({name: models["small_cnn"]}, picture, {name: fit.accuracy(models["small_cnn"], splits.test)})
ledger(report.rows[0], lesson=1, beside=report.rows[0])

# %%
progress()

# %% [markdown]
# ## Summary
#
# - Parameters, MACs and bytes are counted, and they are three different things. A MAC is two FLOPs.
# - Time is measured: warm-up, median, spread, and both candidates in the same run.
# - Intensity says which limit applies, memory or arithmetic; the limit changes at the ridge of your machine. A layer may be far below both limits.
# - Fewer FLOPs take less time only where FLOPs take the time.
#
# **References.** Williams, Waterman and Patterson 2009, *Roofline: An Insightful Visual Performance Model for Multicore Architectures*. Howard et al. 2017, *MobileNets*.
# Amdahl 1967, *Validity of the single processor approach to achieving large scale computing capabilities*. Xiao, Rasul and Vollgraf 2017, *Fashion-MNIST*.
#
# **In the library.** [`mini_lib/costs.py`](../mini_lib/costs.py) counts, [`mini_lib/latency.py`](../mini_lib/latency.py) times, [`mini_lib/roofline.py`](../mini_lib/roofline.py) measures the machine.
#
# **Next:** [02 How few bits does a weight need?](02_bits.ipynb)
