# %% [markdown]
# # How few bits does a weight need?
#
# Lesson 02 · {minutes} · before it: [01 What does a model cost?](01_measure.ipynb)
#
# A trained network is a long list of numbers, each stored in 32 bits. Halve the bits, and the model is half
# as large to download, to keep in memory and to move to the processor. How far down can you go before it stops working?
#
# **You will be able to**
# 1. put the weights of a layer on a grid of $2^n$ values, and say how large the error is;
# 2. decide which weights share a scale, where to clip, and when a codebook beats a grid, from measured error, bytes and accuracy;
# 3. say how many bits a trained model needs, with the spread over seeds, and how much a careful method gains at fewer bits.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back. Code that only draws is folded: one click shows it.

# %%
import copy
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from mini_lib import data, fit, measure, quantize, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import IntFormat, PerChannel, PerGroup, PerTensor
from studies.paired import paired
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # sums then repeat to the last digit
figures.use_style()

# %% [markdown]
# ## 1 A grid instead of a number line
#
# The model of this course is a small CNN that tells ten kinds of clothing apart. Here are the weights of its third convolution.

# %%
splits = data.fashion()
model = zoo.load("small_cnn", seed=0)
weight = model.conv3.weight.detach()
low, high = weight.flatten().quantile(torch.tensor([0.005, 0.995]))
print(f"{weight.numel():,} weights from {weight.min():.3f} to {weight.max():.3f};")
print(f"the middle 99% of them lie between {low:.3f} and {high:.3f}")


# %% name="fig-weights" tags=["hide-input"]
def draw_weights():
    figure, axes = plt.subplots(figsize=(8, 3))
    axes.hist(weight.flatten().numpy(), bins=120, color=figures.COLOURS["blue"])
    axes.set(xlabel="weight", ylabel="number of weights")
    return figure


show(
    draw_weights(),
    alt="Histogram of the weights of the third convolution: one narrow bell around zero with thin tails.",
)

# %% [markdown]
# A float32 number can take four billion values. This layer seems to need far fewer, most of them near zero. So lay a **grid** over the range: $2^n$ equally
# spaced values, numbered by **codes** that fit in $n$ bits. A weight is stored as the code of the nearest grid value.
#
# The distance between two neighbours is the **scale**. A *symmetric* signed grid has as many codes below zero as above it:
# with 3 bits the codes are -3, -2, ... 3. (The eighth code, -4, has no partner and is left out.) For a grid that just reaches the largest
# magnitude,
#
# $$\text{scale} = \frac{\max |w|}{2^{n-1} - 1}, \qquad \text{weight} \approx \text{code} \cdot \text{scale}.$$
#
# For the weights -0.6 and 0.5 and 3 bits: 0.6 / 3 = 0.2. The codes are -3 and, since 0.5 / 0.2 = 2.5 lies between 2 and 3, one of
# these two.

# %% [markdown]
# ### Exercise 2.1 - Scale of a symmetric grid (5 min)


# %% name="ex-2-1" tags=["exercise"]
def symmetric_scale(weight, bits):
    """The scale of the symmetric signed grid that just reaches the largest magnitude.

    weight: a tensor of any shape; bits: 2 or more. Returns one number.
    """
    ### BEGIN SOLUTION
    return weight.abs().max() / (2 ** (bits - 1) - 1)
    ### END SOLUTION


# %% tags=["check"]
check("2.1")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The largest code must land on the weight that is farthest from zero, on either side.
# </details>
# <details><summary>Hint 2: how many codes</summary>
#
# Write down the codes for 2 bits and for 3 bits. What is the largest one, in terms of the number of bits?
# </details>

# %% [markdown]
# A symmetric grid wastes half of its codes on values that are never negative, such as the outputs of a ReLU. An *affine* grid
# fits any range. It has codes from 0 to $2^n - 1$, and a **zero point**, the code whose value is exactly 0:
#
# $$\text{value} = (\text{code} - \text{zero point}) \cdot \text{scale}.$$
#
# Zero must be *exactly* on the grid. Padding consists of zeros and a ReLU produces zeros, so an error at zero would be repeated millions of
# times. The range is therefore stretched until it contains 0, and the zero point is a whole number.
#
# For the range -1 to 2 and 2 bits: four codes, three steps, scale 3 / 3 = 1, and -1 gets code 0, so 0 gets code 1.

# %% [markdown]
# ### Exercise 2.2 - An asymmetric grid that holds zero (8 min)


# %% name="ex-2-2" tags=["exercise"]
def affine_grid(low, high, bits):
    """The scale and the zero point of the unsigned grid that covers 0 and the range from low to high.

    low, high: numbers, low < high. Returns (scale, zero_point); the zero point is a whole number.
    """
    ### BEGIN SOLUTION
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)
    ### END SOLUTION


# %% tags=["check"]
check("2.2")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Stretch the range first: if both ends are positive, the low end becomes 0. Then count the steps.
# </details>
# <details><summary>Hint 2: the zero point</summary>
#
# Solve value = (code - zero point) * scale for the value `low` and the code 0. Then round.
# </details>

# %% [markdown]
# With a grid you can round. **Fake quantization** goes to the grid and straight back, so that the result is an ordinary float tensor with
# the values that the network *would* see. It has three steps: divide by the scale, round, and add the zero point; clamp to the codes that exist; go back.
#
# The rounding sends a tie to the even number: 0.5 becomes 0 and 1.5 becomes 2. (The zero point is added after the rounding.) If ties always went up, a layer full of them would drift up.

# %% [markdown]
# ### Exercise 2.3 - Round to the grid (8 min)


# %% name="ex-2-3" tags=["exercise"]
def fake_quantize(x, scale, zero_point, lowest, highest):
    """Move each value of the tensor x to the nearest value of the grid.

    lowest, highest: the first and the last code. Returns a tensor like x.
    """
    ### BEGIN SOLUTION
    codes = torch.clamp(torch.round(x / scale) + zero_point, lowest, highest)
    return (codes - zero_point) * scale
    ### END SOLUTION


# %% tags=["check"]
check("2.3")

# %% [markdown]
# <details><summary>Hint 1: the order</summary>
#
# lowest and highest are limits on *codes*. When in the three steps do you hold a code?
# </details>
# <details><summary>Hint 2: which functions</summary>
#
# `torch.round` rounds ties to even. `torch.clamp(x, low, high)` limits.
# </details>

# %% [markdown]
# Move the slider. Watch how many weights share each grid value, and how the error grows. As long as no weight is clipped, no error
# is larger than half a step.


# %% name="fig-grid" tags=["hide-input", "widget"]
def draw_grid(bits):
    scale = quantize.symmetric_scale(weight, bits)
    highest = 2 ** (bits - 1) - 1
    rounded = quantize.fake_quantize(weight, scale, 0, -highest, highest)
    values, counts = rounded.unique(return_counts=True)
    error = (rounded - weight).square().mean().sqrt() / weight.square().mean().sqrt()
    figure, axes = plt.subplots(figsize=(8, 3.2))
    end = 1.05 * weight.abs().max().item()
    axes.bar(
        values.numpy(), 100 * counts.numpy() / weight.numel(), width=0.8 * scale.item(), color=figures.COLOURS["blue"]
    )
    axes.set(xlabel="value after rounding", ylabel="% of the weights", xlim=(-end, end))
    axes.set_title(f"{len(values)} values in use, error {100 * error:.1f}% of the signal", loc="left")
    return figure


explore(
    draw_grid,
    alt=lambda bits: f"How many weights land on each value of a {bits}-bit grid.",
    labels={"bits": "bits per weight"},
    bits=(8, 6, 5, 4, 3, 2),
)

# %% [markdown]
# ### How many bits, then?
#
# Round every weight of the model, with one scale per layer, and look at the accuracy on the *validation* images. (If you choose by the test images, no test is left.)

# %%
predict(
    "2.a",
    "Going down from 32 bits, at which width is the accuracy first more than one point below that of 32 bits?",
    choices=("16 bits", "8 bits", "6 bits", "5 bits", "4 bits", "3 bits", "2 bits"),
)


# %% name="out-widths"
def accuracy_at(model, fmt, **choices):
    return fit.accuracy(quantize.quantize_weights(model, fmt, **choices), splits.validation)


baseline = fit.accuracy(model, splits.validation)
widths = (16, 8, 6, 5, 4, 3, 2)
accuracies = {bits: accuracy_at(model, IntFormat(bits)) for bits in widths}
with hold("2.a"):
    print(f"32 bits  {100 * baseline:.1f}%")
    for bits, accuracy in accuracies.items():
        print(f"{bits:2} bits  {100 * accuracy:.1f}%")

reveal("2.a", next(f"{bits} bits" for bits in widths if accuracies[bits] < baseline - 0.01))

# %% tags=["solution-only"]
from teach import claim

claim("hardly moves for a long time", holds=accuracies[6] > baseline - 0.005, page="slides/02_bits.md")
claim("then falls off a cliff", holds=accuracies[4] < baseline - 0.1 and accuracies[2] < 0.13, page="slides/02_bits.md")

# %% [markdown]
# > **Takeaway.** A grid is a scale and a zero point: the scale sets the error, and zero itself must have none.

# %% [markdown]
# ## 2 Which weights share a scale?
#
# The single largest weight of a layer sets the scale of the whole layer. If the weights of one *output channel* are ten times smaller, that channel
# gets a tenth of the codes. So give each channel a scale of its own. That costs 32 bits per channel.
#
# For the layer `[[1.0, -2.0], [0.5, 0.25]]` and 2 bits (codes -1, 0, 1) the scales are 2.0 and 0.5: the largest magnitude of each row.

# %% [markdown]
# ### Exercise 2.4 - One scale per channel (5 min)


# %% name="ex-2-4" tags=["exercise"]
def channel_scales(weight, bits):
    """One symmetric scale for each output channel.

    weight: [out, in] of a linear layer or [out, in, height, width] of a convolution. Returns [out].
    """
    ### BEGIN SOLUTION
    return weight.flatten(1).abs().amax(dim=1) / (2 ** (bits - 1) - 1)
    ### END SOLUTION


# %% tags=["check"]
check("2.4")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# It is the first exercise again, once for every index along axis 0.
# </details>
# <details><summary>Hint 2: both kinds of layer at once</summary>
#
# `weight.flatten(1)` keeps axis 0 and makes one long row of the rest.
# </details>

# %% [markdown]
# How different are the channels? That depends on the layer, and on **batch norm**. At inference batch norm only multiplies and
# shifts each channel, so from here on it is *folded* into the convolution before the model is quantized (exercise 2.8). Its factors may differ a lot between channels.

# %%
networks = {  # three models of each kind, trained from different seeds
    name: [fold_batch_norm(zoo.load(name, seed=seed)) for seed in (0, 1, 2)] for name in ("small_cnn", "depthwise_cnn")
}
folded = networks["small_cnn"][0]


def channel_ranges(model):
    """For each layer: the largest magnitude of each output channel, relative to that of the layer, sorted."""
    ranges = {}
    for name, layer in model.named_modules():
        if quantize.is_weight_layer(name, layer):
            largest = layer.weight.detach().flatten(1).abs().amax(dim=1)
            ranges[name] = torch.sort(largest / largest.max()).values
    return ranges


# %% name="fig-ranges" tags=["hide-input"]
def draw_ranges():
    figure, both = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    for axes, (title, seeds) in zip(both, networks.items()):
        for name, values in channel_ranges(seeds[0]).items():
            colour, line = ("vermillion", "--") if name.startswith("depthwise") else ("blue", "-")
            at = torch.linspace(0, 100, len(values))
            axes.plot(at, values, color=figures.COLOURS[colour], linestyle=line, linewidth=1.5)
        axes.set(xlabel="channels of the layer, in %", title=title, ylim=(0, 1.02))
    both[0].set_ylabel("range of the channel /\nrange of the layer")
    return figure


show(
    draw_ranges(),
    alt="Sorted ranges of the channels of each layer, relative to the layer. Depthwise layers are dashed.",
)

# %%
predict(
    "2.b",
    "depthwise_cnn with batch norm folded, every weight at 4 bits. Which keeps more accuracy?",
    choices=("one scale per layer", "one scale per channel", "no difference beyond 1 point"),
)


# %% tags=["hide-input"]
def table(rows, columns, cell, corner=""):
    """Print a table of cell(row, column)."""
    print(f"{corner:<30}" + "".join(f"{column!s:>14}" for column in columns))
    for row in rows:
        print(f"{row!s:<30}" + "".join(f"{cell(row, column):>14}" for column in columns))


def percent(spread):
    return f"{100 * spread.mean:.1f} ± {100 * spread.std:.1f}%"


# %% [markdown]
# The next cell takes about 5 seconds.


# %% name="out-sharing"
def spread(name, fmt, **choices):
    """Validation accuracy in the format fmt: mean and spread over the three seeds."""
    return fit.over_seeds(lambda seed: accuracy_at(networks[name][seed], fmt, **choices))


sharing = {"per layer": PerTensor(), "per channel": PerChannel()}
results = {}
for network, bits in tqdm([(network, bits) for network in networks for bits in (8, 4, 3)]):
    for name, granularity in sharing.items():
        results[f"{network}, {bits} bits", name] = spread(network, IntFormat(bits, granularity=granularity))
names = dict.fromkeys(row for row, _ in results)
with hold("2.b"):
    table(names, sharing, lambda *key: percent(results[key]), "validation, 3 seeds")

# %% tags=["solution-only"]
mean = {key: 100 * spread.mean for key, spread in results.items()}
four, eight = "depthwise_cnn, 4 bits", "depthwise_cnn, 8 bits"
claim(
    "At 4 bits, depthwise_cnn keeps 84% with one scale per channel and 18% with one per layer",
    None,
    mean[four, "per channel"],
    mean[four, "per layer"],
    within=0.5,
)
claim(
    "At 8 bits the two are within half a point for both models",
    None,
    holds=all(abs(mean[f"{n}, 8 bits", "per channel"] - mean[f"{n}, 8 bits", "per layer"]) < 0.5 for n in networks),
)
claim(
    "The choice of which weights share a scale can matter as much as the number of bits",
    holds=mean[four, "per channel"] - mean[four, "per layer"]
    > 0.8 * (mean[eight, "per layer"] - mean[four, "per layer"]),
)

# %%
row = "depthwise_cnn, 4 bits"
gain = results[row, "per channel"].mean - results[row, "per layer"].mean
better = "one scale per channel" if gain > 0 else "one scale per layer"
reveal("2.b", better if abs(gain) > 0.01 else "no difference beyond 1 point")

# %% [markdown]
# At 4 bits, `depthwise_cnn` keeps 84% with one scale per channel and 18% with one per layer. At 8 bits the two are within half a point for both models.
# A depthwise channel has only nine weights, and its scale takes 32 bits here. So compare at about *the same bytes*: one scale per channel at 4 bits, and one per layer at 8 bits. Only the depthwise layers are quantized here.
#
# The ± is the spread over *seeds*. The images are a sample too: at 90% right, another 2,000 would move an accuracy by $\sqrt{.09 / 2000}$ = 0.7 points (one standard error). With the same networks and
# images on both sides, much of that cancels in the *difference*.


# %%
def is_depthwise(name, layer):
    return name.startswith("depthwise") and quantize.is_weight_layer(name, layer)


formats = {
    "per channel, 4 bits": IntFormat(4, granularity=PerChannel()),
    "per layer, 8 bits": IntFormat(8),
    "per channel, 6 bits, fp16": IntFormat(6, granularity=PerChannel(), scale_dtype=torch.float16),
}
nine_weights = networks["depthwise_cnn"][0].depthwise2.weight.detach()


def right(fmt):
    """1 where a network with depthwise layers in this format classifies an image correctly, [3 seeds, images]."""
    small = [quantize.quantize_weights(network, fmt, where=is_depthwise) for network in networks["depthwise_cnn"]]
    answers = torch.stack([fit.predict(network, splits.validation.images).argmax(dim=1) for network in small])
    return (answers == splits.validation.labels).double()


answers = {name: right(fmt) for name, fmt in formats.items()}
seeds = {name: dict(enumerate(found.mean(dim=1).tolist())) for name, found in answers.items()}


gain = paired(seeds["per layer, 8 bits"], seeds["per channel, 4 bits"])
low, high = gain.interval()
by_image = (answers["per layer, 8 bits"] - answers["per channel, 4 bits"]).mean(dim=0)


# %% name="out-same-bytes" tags=["hide-input"]
def depthwise_row(name, column):
    if column == "accuracy":
        return percent(fit.Spread(tuple(seeds[name].values())))
    return f"{quantize.quantize(nine_weights, formats[name]).bits_per_weight:.2f}"


table(formats, ("bits stored", "accuracy"), depthwise_row, "depthwise layers")
print(f"difference {100 * gain.mean:.1f} points, over seeds {100 * low:.1f} to {100 * high:.1f} (95%)")
print(f"its standard error over images: {100 * by_image.std() / len(by_image) ** 0.5:.1f}")

# %% tags=["solution-only"]
claim("at 90% right, another 2,000 would move an accuracy by", None, len(by_image))
claim(
    "with 16 bits for a scale, codes of 6 bits fit into 6 + 16 / 9 = 7.8, and one scale per channel is level",
    *[None] * 5,
    quantize.quantize(nine_weights, formats["per channel, 6 bits, fp16"]).bits_per_weight,
    holds=abs(paired(seeds["per channel, 6 bits, fp16"], seeds["per layer, 8 bits"]).mean) < 0.007,
)
claim(
    "about one point, above both kinds of chance",
    holds=low > 0 and gain.mean > 2 * by_image.std() / len(by_image) ** 0.5,
)
claim(
    "then per layer wins, by about one point", holds=low > 0 and 0.5 < 100 * gain.mean < 1.5, page="slides/02_bits.md"
)

# %% [markdown]
# One scale per layer wins by about one point, above both kinds of chance. But that is the price of 32-bit scales: with 16 bits for a scale, codes of 6 bits fit into 6 + 16 / 9 = 7.8, and one scale per channel is level, in fewer bytes.
#
# Is there anything that *always* holds for one scale per channel? Multiply each output channel of conv3 by a factor, and let conv4, which reads
# these channels, divide by it. A ReLU lets a positive factor pass, so the model computes the same. In conv3 each row is multiplied as a whole, and one
# scale per channel does not notice. In conv4 the factors differ *within* each row. There one scale per input *and* output does not notice.


# %%
def rescaled(model, factors):
    """A model that computes the same: conv3 makes each channel larger by its factor, and conv4 reads it smaller."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.conv3.weight *= factors[:, None, None, None]
        twin.conv3.bias *= factors
        twin.conv4.weight /= factors[:, None, None]
    return twin


factors = 2.0 ** torch.randint(-4, 5, (64,), generator=torch.Generator().manual_seed(0))
cases = {"as trained": folded, "rescaled": rescaled(folded, factors)}
columns = {"32 bits": None, "4, layer": PerTensor(), "4, channel": PerChannel(), "4, kernel": PerGroup(9)}
found = {}
for at in ("conv3", "conv4"):
    for case, network in cases.items():
        for column, granularity in columns.items():
            if granularity is None:
                accuracy = fit.accuracy(network, splits.validation)
            else:
                fmt = IntFormat(4, granularity=granularity)
                accuracy = accuracy_at(network, fmt, where=lambda name, _: name == at)
            found[f"{at}, {case}", column] = f"{100 * accuracy:.1f}%"

# %% name="out-rescaled" tags=["hide-input"]
table(dict.fromkeys(row for row, _ in found), columns, lambda *key: found[key], "one layer quantized, bits:")

# %% tags=["solution-only"]
number = {key: float(text.rstrip("%")) for key, text in found.items()}


def unmoved(layer, column):
    return number[f"{layer}, as trained", column] == number[f"{layer}, rescaled", column]


claim("so the model computes the same", holds=unmoved("conv3", "32 bits"))
claim(
    "one scale per channel does not notice", holds=unmoved("conv3", "4, channel") and not unmoved("conv3", "4, layer")
)
claim(
    "There one scale per input and output does not notice",
    holds=unmoved("conv4", "4, kernel") and number["conv4, rescaled", "4, channel"] < 60,
)
claim(
    "in the layer that reads it (conv4), one scale per channel notices as well",
    holds=number["conv4, rescaled", "4, channel"] < number["conv4, as trained", "4, channel"] - 20,
    page="slides/02_bits.md",
)

# %% [markdown]
# > **Takeaway.** Weights that share a scale share its error, so let weights of about the same size share one, and count the bits of the scales.

# %% [markdown]
# ## 3 Outliers: where to clip
#
# A scale that is set by the largest weight spends codes on a few outliers. Let the grid end earlier: the outliers are **clipped** to its
# end, but the step becomes finer for all other weights. The sum of the two errors has a lowest point in between.
#
# Worked by hand: the weights 0.9, 0.9, 0.9 and 2.0 at 2 bits. A grid that ends at 2 has the values -2, 0 and 2, so 0.9 becomes 0, and the squared error is
# 3 · 0.81 = 2.43. A grid that ends at 1 turns 0.9 into 1, an error of 3 · 0.01, and clips the last weight, an error of 1: 1.03 in all. Clipping wins.

# %% [markdown]
# ### Exercise 2.5 - Where to clip (8 min)
#
# You may call `quantize.fake_quantize(x, scale, zero_point, lowest, highest)`.


# %% name="ex-2-5" tags=["exercise"]
def best_clip(w, bits, ends):
    """The end of the symmetric grid that gives the lowest mean squared error.

    w: a tensor; ends: a list of numbers to choose from. Returns one of them.
    """
    ### BEGIN SOLUTION
    highest = 2 ** (bits - 1) - 1

    def error(end):
        rounded = quantize.fake_quantize(w, end / highest, 0, -highest, highest)
        return (w - rounded).square().mean()

    return min(ends, key=error)
    ### END SOLUTION


# %% tags=["check"]
check("2.5")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Try every end, measure the error, and keep the best end. The scale of a grid that ends at `end` is `end` divided by its largest code.
# </details>
# <details><summary>Hint 2: the shape of the code</summary>
#
# `min(ends, key=error)` where `error(end)` fake-quantizes w and returns a mean of squares.
# </details>

# %% [markdown]
# Move the end of the grid with the slider, and see how the two errors change.


# %%
def errors_of_end(end, bits=3):
    """Mean squared error from rounding and from clipping, for a grid that ends at `end`."""
    highest = 2 ** (bits - 1) - 1
    squares = (weight - quantize.fake_quantize(weight, end / highest, 0, -highest, highest)).square()
    clipped = weight.abs() > end
    return (squares * ~clipped).mean().item(), (squares * clipped).mean().item()


largest = weight.abs().max().item()
fractions = torch.linspace(15, 100, 35)
rounding, clipping = zip(*(errors_of_end(fraction / 100 * largest) for fraction in fractions.tolist()))


# %% name="fig-clipping" tags=["hide-input", "widget"]
def draw_clipping(end):
    both = sum(errors_of_end(end / 100 * largest))
    figure, axes = plt.subplots(figsize=(8, 4))
    axes.plot(fractions, rounding, color=figures.COLOURS["blue"], linestyle="--", label="rounding")
    axes.plot(fractions, clipping, color=figures.COLOURS["orange"], linestyle=":", label="clipping")
    total = [r + c for r, c in zip(rounding, clipping)]
    axes.plot(fractions, total, color=figures.COLOURS["black"], linestyle="-", label="both")
    axes.plot([end], [both], "o", color=figures.COLOURS["vermillion"], markersize=14)
    axes.set_title(f"3 bits, grid ends at {end}%: error {both:.5f}", loc="left")
    axes.set(xlabel="end of the grid, in % of the largest weight", ylabel="mean squared error")
    axes.set_ylim(0, 1.1 * rounding[-1])
    axes.legend(loc="upper center")
    return figure


explore(
    draw_clipping,
    alt=lambda end: (
        f"Rounding error, clipping error and their sum over the end of a 3-bit grid; a dot at {end} percent."
    ),
    labels={"end": "end of the grid, in % of the largest weight"},
    end=(30, 40, 50, 60, 80, 100),
)

# %% name="fig-clipping-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_clipping(50),
    alt="Rounding error falls and clipping error rises as the grid gets shorter; their sum has a lowest point.",
)

# %% [markdown]
# To choose the end from data is called **calibration**. Four ways are common: the largest magnitude (*min-max*), a
# *percentile*, the lowest squared error (*MSE*), and the smallest loss of information between the two histograms (*entropy*). An error
# in the weights is not yet a loss of accuracy, so measure the accuracy.

# %% name="out-observers"
observers = {
    "min-max": quantize.min_max,
    "percentile 99": quantize.percentile(99.0),
    "MSE": quantize.mse,
    "entropy": quantize.entropy,
}


by_range = {"min-max": results["small_cnn, 3 bits", "per channel"]}
for name in ("percentile 99", "MSE", "entropy"):
    fmt = IntFormat(3, granularity=PerChannel())
    by_range[name] = spread("small_cnn", fmt, observer=observers[name])
table(observers, ("accuracy",), lambda name, _: percent(by_range[name]), "small_cnn, 3 bits per channel")
steps = [mse - wide for mse, wide in zip(by_range["MSE"].values, by_range["min-max"].values)]
print("MSE minus min-max, seed by seed:", *(f"{100 * step:+.1f}" for step in steps), "points")

# %% tags=["solution-only"]
best_ways = {max(observers, key=lambda way: by_range[way].values[seed]) for seed in (0, 1, 2)}
claim(
    "with two networks it is several points better than min-max, and with the third about ten points worse",
    holds=sum(step > 0.03 for step in steps) == 2 and -0.15 < min(steps) < -0.07,
)
claim("None of the four wins here", holds=len(best_ways) > 1)
claim(
    "one network of three is better off with min-max than with MSE",
    holds=sum(step < 0 for step in steps) == 1,
    page="slides/02_bits.md",
)

# %% [markdown]
# None of the four wins here. MSE has the smallest error in the weights, and yet with two networks it is several points better than min-max, and with the third about ten points worse.

# %% [markdown]
# > **Takeaway.** Clipping trades the error of a few large weights for a finer step; the smallest error in the weights is not always the best accuracy.

# %% [markdown]
# ## 4 What is really stored?
#
# "4 bits" are the bits of a *code*. The scales are stored too. Cut a row of weights into groups of 32 and give each group a 16-bit scale: then each
# weight takes 4 + 16 / 32 = 4.5 bits.
#
# Worked by hand: 64 weights, 4 bits, groups of 32. The codes take 64 · 4 / 8 = 32 bytes. The scales of 2 groups take 2 bytes each. Together they take 36 bytes.

# %% [markdown]
# ### Exercise 2.6 - Bytes that are really stored (5 min)


# %% name="ex-2-6" tags=["exercise"]
def stored_bytes(count, bits, group_size, scale_bits=16):
    """Bytes of `count` packed codes of `bits` bits, and one scale for every group.

    group_size divides count. Returns a whole number of bytes.
    """
    ### BEGIN SOLUTION
    code_bytes = (count * bits + 7) // 8
    return code_bytes + (count // group_size) * scale_bits // 8
    ### END SOLUTION


# %% tags=["check"]
check("2.6")

# %% [markdown]
# <details><summary>Hint 1: two parts</summary>
#
# The codes, and the scales. Count the bits of each, then turn bits into bytes.
# </details>
# <details><summary>Hint 2: the last byte</summary>
#
# Ten codes of 3 bits are 30 bits. Three bytes hold 24 bits, which is too few; four bytes hold 32.
# </details>

# %% [markdown]
# Smaller groups have smaller errors and take more bytes.

# %% name="out-storage" tags=["hide-input", "nbval-check-output"]
sharing = {"layer": PerTensor(), "channel": PerChannel()}
sharing |= {f"group of {size}": PerGroup(size) for size in (96, 32, 16)}


def storage_row(name, column):
    fmt = IntFormat(4, granularity=sharing[name], scale_dtype=torch.float16)
    q = quantize.quantize(weight, fmt)
    error = (q.dequantize() - weight).norm() / weight.norm()
    cells = {"bits per weight": f"{q.bits_per_weight:.3f}", "bytes": f"{q.stored_bytes:,}"}
    return (cells | {"error": f"{100 * error:.1f}%"})[column]


table(sharing, ("bits per weight", "bytes", "error"), storage_row, "conv3, 4 bits, one scale per")

# %% [markdown]
# > **Takeaway.** A weight takes more bits than its code: divide the bytes of codes and scales by the number of weights.

# %% [markdown]
# ## 5 Codebooks: put the values where the weights are
#
# Most weights are near zero, but a uniform grid has as many values in the sparse tails as in the crowded middle. A **codebook** is a table of $2^n$
# values that may be anywhere; a code is the number of an entry in the table. To lower the squared error, **k-means** repeats two
# steps: every weight chooses the nearest entry, then every entry moves to the mean of the weights that chose it.
#
# Worked by hand: the weights 0.0, 0.2, 0.9 and 1.0 with the codebook (0, 1). The first two choose 0, the others choose 1. The new codebook is (0.1, 0.95).

# %% [markdown]
# ### Exercise 2.7 - One step of k-means (8 min)


# %% name="ex-2-7" tags=["exercise"]
def kmeans_step(w, codebook):
    """The codebook after one step: each entry moves to the mean of the weights that are nearest to it.

    w: a tensor of any shape; codebook: a 1-D tensor, in any order. An entry that is nearest to no weight stays where it is.
    Returns a new codebook.
    """
    ### BEGIN SOLUTION
    nearest = (w.flatten()[:, None] - codebook).abs().argmin(dim=1)
    moved = codebook.clone()
    for entry in nearest.unique():
        moved[entry] = w.flatten()[nearest == entry].mean()
    return moved
    ### END SOLUTION


# %% tags=["check"]
check("2.7")

# %% [markdown]
# <details><summary>Hint 1: all distances at once</summary>
#
# `w.flatten()[:, None] - codebook` has a row for each weight and a column for each entry. Which column is smallest in magnitude?
# </details>
# <details><summary>Hint 2: empty entries</summary>
#
# Start from `codebook.clone()` (the one you were given is not yours) and overwrite only the entries that some weight chose.
# </details>

# %%
predict(
    "2.c",
    "conv3 at 3 bits. The uniform grid is clipped where its error is smallest. How much of that error is left with k-means?",
    choices=("all of it", "three quarters or more", "about half", "a third or less"),
)


# %% name="out-codebooks"
def error_of(fmt, observer=quantize.min_max):
    rounded = quantize.quantize(weight, fmt, observer).dequantize()
    return ((rounded - weight).norm() / weight.norm()).item()


methods = {
    "grid, min-max": lambda bits: error_of(IntFormat(bits)),
    "grid, clipped by MSE": lambda bits: error_of(IntFormat(bits), quantize.mse),
    "affine grid, clipped by MSE": lambda bits: error_of(IntFormat(bits, symmetric=False), quantize.mse),
    "k-means codebook": lambda bits: error_of(quantize.CodebookFormat(bits)),
}
errors = {(name, bits): error(bits) for name, error in methods.items() for bits in (4, 3, 2)}
with hold("2.c"):
    table(methods, (4, 3, 2), lambda *key: f"{100 * errors[key]:.1f}%", "error of conv3, bits:")
ratio = errors["k-means codebook", 3] / errors["grid, clipped by MSE", 3]
nf4 = quantize.NF4Format()  # sixteen fixed values, one scale for every 64 weights
groups = IntFormat(4, granularity=PerGroup(32), scale_dtype=torch.float16)
for name, fmt in {"NF4": nf4, "grid, groups of 32": groups}.items():
    print(f"{name}, {quantize.quantize(weight, fmt).bits_per_weight} bits per weight: {100 * error_of(fmt):.1f}%")

# %% tags=["solution-only"]
of = {name: 100 * errors[name, 3] for name in methods}
claim(
    "At 3 bits the codebook has an error of 19% where the grid to the largest weight has 43%",
    None,
    of["k-means codebook"],
    of["grid, min-max"],
)
claim("But clipping alone brings the grid to 23%", of["grid, clipped by MSE"])
claim("and an affine grid, with one more code and a zero point, to 20%", of["affine grid, clipped by MSE"])
claim(
    "At the same 4.5 bits NF4 and a plain grid in groups of 32 are within half a point",
    quantize.quantize(weight, nf4).bits_per_weight,
    None,
    holds=abs(100 * (error_of(nf4) - error_of(groups))) < 0.5,
)
claim(
    "A codebook has a smaller error than one grid for the layer",
    holds=all(errors["k-means codebook", bits] <= errors[name, bits] for name in methods for bits in (4, 3, 2)),
)
claim(
    "Against a clipped grid the codebook gains far less than against one to the largest weight",
    holds=ratio > 0.75 and errors["k-means codebook", 3] < 0.5 * errors["grid, min-max", 3],
    page="slides/02_bits.md",
)

# %%
limits = {0.95: "all of it", 0.7: "three quarters or more", 0.36: "about half", 0.0: "a third or less"}
reveal("2.c", next(answer for limit, answer in limits.items() if ratio > limit))

# %% [markdown]
# At 3 bits the codebook has an error of 19% where the grid to the largest weight has 43%. But clipping alone brings the grid to 23%, and an affine grid, with one more code and a zero point, to 20%. Freely placed values add the remaining point. At the same 4.5 bits NF4 and a plain grid in groups of 32 are within half a point. (This does not test the values alone: NF4 has a 32-bit scale for 64 weights, the grid a 16-bit scale for 32.)
#
# On a grid, a product of codes is a product of *integers*, which is cheap in hardware.
# Codebook values must be looked up first and multiplied as floats.

# %% [markdown]
# > **Takeaway.** Compare a codebook with a clipped grid: most of its gain is clipping, and it loses integer arithmetic.

# %% [markdown]
# ## 6 The whole ladder, from 32 bits to 1
#
# At 1 bit there is no grid left: a weight is $+s$ or $-s$, where $s$ is the mean magnitude of its channel. At 16 bits the format is bfloat16. All other widths are
# symmetric grids per channel, calibrated by min-max. The cell takes about 7 seconds.

# %%
predict("2.d", "What is the test accuracy at 1 bit, without any further training? (Guessing gives 10%.)", unit="%")

# %%
folder = Path(tempfile.mkdtemp())
rows = {}
for bits in tqdm(quantize.LADDER):
    small = [quantize.quantize_weights(network, quantize.rung(bits)) for network in networks["small_cnn"]]
    accuracy = fit.over_seeds(lambda seed: fit.accuracy(small[seed], splits.test))
    path = folder / f"{bits}.safetensors"
    size = quantize.save_model(small[0], path)
    again = quantize.load_model(path, zoo.small_cnn).state_dict()
    same = all(torch.equal(tensor, again[name]) for name, tensor in small[0].state_dict().items())
    rows[bits] = (accuracy, measure.stored_bytes(small[0]), size.file_bytes, path.stat().st_size, same)

reveal("2.d", round(100 * rows[1][0].mean, 1))

# %% name="out-ladder" tags=["hide-input"]
print("bits  test, 3 seeds  tensors, B  file counted, B  on disk, B  identical")
for bits, (accuracy, tensors, counted, on_disk, same) in rows.items():
    sizes = f"{tensors:>12,}{counted:>17,}{on_disk:>12,}"
    print(f"{bits:4}  {percent(accuracy):<13}{sizes}  {'yes' if same else 'NO'}")


# %% name="fig-ladder" tags=["hide-input"]
def draw_ladder():
    figure, axes = plt.subplots(figsize=(8, 4.2))
    sizes = [on_disk / 1024 for _, _, _, on_disk, _ in rows.values()]
    means = [100 * accuracy.mean for accuracy, *_ in rows.values()]
    spreads = [100 * accuracy.std for accuracy, *_ in rows.values()]
    axes.errorbar(sizes, means, yerr=spreads, marker="o", capsize=5, color=figures.COLOURS["blue"])
    for bits, size, mean in zip(rows, sizes, means):
        axes.annotate(f"{bits}", (size, mean), xytext=(0, 10), textcoords="offset points", ha="center")
    axes.set(xscale="log", xticks=(10, 20, 50, 100, 200), xticklabels=(10, 20, 50, 100, 200), ylim=(0, 104))
    axes.minorticks_off()
    axes.set(xlabel="file on disk, in KiB (logarithmic)", ylabel="test accuracy, in %")
    return figure


show(
    draw_ladder(),
    alt="Test accuracy over file size for the seven widths of the ladder, in bits, with the spread over three seeds.",
)

# %% tags=["solution-only"]
claim("At 1 bit the file is 23 times smaller and not 32 times", None, rows[32][3] / rows[1][3], None)
claim("The last rungs save less than they promise", holds=rows[1][3] > rows[32][3] / 32, page="slides/02_bits.md")

# %% [markdown]
# "Identical" means that the file, loaded again, gives the same bits. At 1 bit the file is 23 times smaller and not 32 times: biases, scales and the names in the file's header do not shrink with the bits.

# %% [markdown]
# > **Takeaway.** The bytes fall with the bits, but more slowly at the end; the accuracy holds for a long time, and then falls off a cliff.

# %% [markdown]
# ## 7 Activations
#
# To compute with integers, you must also round the **activations**, the values that flow *between* the layers. Weights are known
# beforehand; activations are not, so their grids are calibrated on two hundred training images.
#
# A product is then $(a - z_a)(w - z_w)$ times two scales. Symmetric weights have $z_w = 0$, so a row is $\sum a w - z_a \sum w$: integers in a 32-bit *accumulator*, and a
# correction that is known beforehand. One multiplication per output brings the sum to the next grid (*requantization*). Lesson 04 builds this.
#
# First, batch norm is folded. For each output channel,
#
# $$\gamma \cdot \frac{(w * x + b) - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta$$
#
# is again a convolution. With one channel, $w = 2$, $b = 0$, $\mu = 1$, $\sigma^2 = 4$, $\gamma = 1$, $\beta = 0$ and $\varepsilon = 0$: the factor is
# 1 / 2, so the weight becomes 1 and the bias (0 - 1) / 2 = -0.5.

# %% [markdown]
# ### Exercise 2.8 - Fold batch norm into the convolution (8 min)


# %% name="ex-2-8" tags=["exercise"]
def fold(weight, bias, mean, variance, gamma, beta, eps):
    """The weight and the bias of one convolution that computes the same as the convolution and the batch norm after it.

    weight: [out, in, height, width]; all others but eps: [out]. Returns (weight, bias).
    """
    ### BEGIN SOLUTION
    factor = gamma / torch.sqrt(variance + eps)
    return weight * factor[:, None, None, None], (bias - mean) * factor + beta
    ### END SOLUTION


# %% tags=["check"]
check("2.8")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Call gamma / sqrt(variance + eps) the factor, and multiply the formula out. The term before x is the new weight, and the rest is the new bias.
# </details>
# <details><summary>Hint 2: which axis</summary>
#
# The factor has one entry for each *output* channel: axis 0 of the weight. `factor[:, None, None, None]` lines it up.
# </details>

# %%
predict(
    "2.e",
    "small_cnn again. Which loses more accuracy: 4-bit weights with 8-bit activations, or 8-bit weights with 4-bit activations?",
    choices=("4-bit weights", "4-bit activations", "the same within 1 point"),
)

# %% [markdown]
# The next cell takes about 4 seconds.

# %% name="out-activations"
calibration = splits.train.first(200).images


def with_activations(weight_bits, activation_bits):
    """Validation accuracy over three seeds; the activations' grids end at the largest value seen."""
    weight_fmt = IntFormat(weight_bits, granularity=PerChannel())
    activation_fmt = IntFormat(activation_bits, symmetric=False, signed=False)

    def accuracy(seed):
        network = networks["small_cnn"][seed]
        small = quantize.quantize_weights_and_activations(network, weight_fmt, activation_fmt, calibration)
        return fit.accuracy(small, splits.validation)

    return fit.over_seeds(accuracy)


grid = {(w, a): with_activations(w, a) for w, a in tqdm([(8, 8), (8, 4), (4, 8), (4, 4)])}
with hold("2.e"):
    table((8, 4), (8, 4), lambda w, a: percent(grid[w, a]), "weight bits / activation bits")

# %%
fewer_weight_bits = dict(enumerate(grid[4, 8].values))
margin = paired(fewer_weight_bits, dict(enumerate(grid[8, 4].values)))
low, high = (100 * end for end in margin.interval())
difference = grid[8, 4].mean - grid[4, 8].mean
worse = "4-bit weights" if difference > 0 else "4-bit activations"
with hold("2.e"):
    print(
        f"4-bit weights are better by {100 * margin.mean:.1f} points, 95% interval over seeds {low:.1f} to {high:.1f}"
    )
reveal("2.e", worse if abs(difference) > 0.01 else "the same within 1 point")

# %% [markdown]
# Two repairs need no training. **Bias correction**: rounding shifts the mean of a layer's output; the shift is measured on the calibration
# images and taken back in the bias. **Cross-layer equalization**: the rescaling of section 2 in the helpful direction, so that one scale fits
# all channels better. The next cell takes about 4 seconds.


# %% name="out-repairs"
def corrected(network, fmt, **choices):
    return quantize.correct_bias(network, quantize.quantize_weights(network, fmt, **choices), calibration)


def validated(name, build):
    """Validation accuracy over three seeds of what `build` makes of each network."""
    return fit.over_seeds(lambda seed: fit.accuracy(build(networks[name][seed]), splits.validation))


per_layer, per_channel = IntFormat(4), IntFormat(4, granularity=PerChannel())
builds = {
    "bias corrected": lambda net: corrected(net, per_layer),
    "equalized": lambda net: quantize.quantize_weights(quantize.equalize(net), per_layer),
    "equalized, bias corrected": lambda net: corrected(quantize.equalize(net), per_layer),
    "per channel, bias corrected": lambda net: corrected(net, per_channel),
}
repairs = {name: results["depthwise_cnn, 4 bits", name] for name in ("per layer", "per channel")}
repairs |= {name: validated("depthwise_cnn", build) for name, build in tqdm(builds.items())}
table(repairs, ("accuracy",), lambda name, _: percent(repairs[name]), "depthwise_cnn, 4 bits")

# %% tags=["solution-only"]
both, control = repairs["equalized, bias corrected"], repairs["per channel, bias corrected"]
claim("Together they bring 18% to 89%", 100 * repairs["per layer"].mean, 100 * both.mean, within=0.5)
claim("one scale per channel and corrected, is level", holds=abs(both.mean - control.mean) < 0.015)
claim("With both repairs, one scale per layer keeps 89%", 100 * both.mean, within=0.5, page="slides/02_bits.md")

# %% [markdown]
# Together they bring 18% to 89%; the control, one scale per channel and corrected, is level.

# %% [markdown]
# > **Takeaway.** Correct the biases and equalize before you give up a width: both repairs cost no training.

# %% [markdown]
# ## 8 Where it stops working
#
# **Few bits need care.** The ladder used a symmetric grid and corrected nothing. Now use the same bits with more care. This takes about 8 seconds.

# %% name="out-cliff"
careful = {
    "symmetric grid per channel": lambda bits: IntFormat(bits, granularity=PerChannel()),
    "affine grid per channel": lambda bits: IntFormat(bits, granularity=PerChannel(), symmetric=False),
    "k-means codebook per layer": quantize.CodebookFormat,
}
cliff = {}
for name, choice in tqdm(careful.items()):
    cliff[name, "3, corrected"] = validated("small_cnn", lambda net: corrected(net, choice(3)))
    cliff[name, "2"] = spread("small_cnn", choice(2))
    cliff[name, "2, corrected"] = validated("small_cnn", lambda net: corrected(net, choice(2)))
columns = ("3, corrected", "2", "2, corrected")
table(careful, columns, lambda *key: percent(cliff[key]), "small_cnn, min-max, bits:")

# %% tags=["solution-only"]
left = {key: 100 * spread.mean for key, spread in cliff.items()}
symmetric, affine, codebook = careful
plain_3 = 100 * results["small_cnn, 3 bits", "per channel"].mean
full = 100 * results["small_cnn, 8 bits", "per channel"].mean
best = max(left[name, "2, corrected"] for name in careful)
claim(
    "At 3 bits bias correction alone takes the grid from 73% to 85%",
    None,
    plain_3,
    left[symmetric, "3, corrected"],
    within=0.5,
)
claim("At 2 bits an affine grid with corrected biases keeps 68%", None, left[affine, "2, corrected"], within=0.6)
claim("and a codebook 61%", left[codebook, "2, corrected"], within=0.6)
claim("36% with one network", 100 * min(cliff[codebook, "2, corrected"].values), within=0.5)
claim("has three values and not four, keeps 23%", left[symmetric, "2, corrected"], within=0.6)
claim("at 2 bits more than ten points", None, holds=best < full - 10)
claim(
    "Correct the biases before you judge a width: at 3 bits that was worth more than ten points",
    None,
    holds=left[symmetric, "3, corrected"] > plain_3 + 10,
)
claim(
    "bias correction alone takes the grid from 73% to 85%",
    plain_3,
    left[symmetric, "3, corrected"],
    within=0.5,
    page="slides/02_bits.md",
)
claim(
    "An affine grid of 2 bits, corrected, keeps 68%",
    None,
    left[affine, "2, corrected"],
    within=0.6,
    page="slides/02_bits.md",
)

# %% [markdown]
# At 3 bits bias correction alone takes the grid from 73% to 85%. At 2 bits an affine grid with corrected biases keeps 68%, and a codebook 61% (36% with one network). The symmetric grid, which has three values and not four, keeps 23%.
# So the method makes much of the cliff. The rest, at 2 bits more than ten points, is where lesson 03 starts.
#
# **Fewer bits are not more speed.** These layers unpack their codes and then compute in 32 bits. That saves bytes, not time. More speed
# needs an instruction that multiplies the codes themselves, or a kernel that reads packed codes in a layer whose time goes into moving weights (lesson 04).

# %% name="out-time"
small = quantize.quantize_weights(folded, quantize.rung(4))
images = splits.test.images[:100]
calls = {"32 bits": lambda: folded(images), "4 bits": lambda: small(images)}
with torch.no_grad():
    times = measure.compare_latency(calls)
for name, latency in times.items():
    print(f"{name:<8} {latency}")

# %% tags=["solution-only"]
claim("That saves bytes, not time", holds=times["4 bits"].median_s > 0.9 * times["32 bits"].median_s)
claim(
    "These layers unpack the codes and compute in 32 bits. That saves bytes, not time.",
    holds=times["4 bits"].median_s > 0.9 * times["32 bits"].median_s,
    page="slides/02_bits.md",
)

# %% [markdown]
# > **Takeaway.** Below 4 bits the method decides how much is left, and no width is faster without a kernel that uses it.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A layer has the weights -1.2, 0.3, 0.5 and 0.9. Round them to the symmetric grid of 3 bits that just reaches the largest magnitude. What are the scale, the codes and the largest error?
#
# <details><summary>Answer</summary>
#
# The largest code is 3, so the scale is 1.2 / 3 = 0.4. Divided by the scale, the weights are -3, 0.75, 1.25 and 2.25; the codes are -3, 1, 1 and 2. The values are -1.2, 0.4, 0.4 and 0.8, and the largest
# error is 0.1, less than half a step (0.2).
# </details>
#
# **2.** An activation lies between 0.5 and 3.5. What are the scale and the zero point of its affine grid of 2 bits?
#
# <details><summary>Answer</summary>
#
# The range is stretched to 0 to 3.5. Four codes have three steps, so the scale is 3.5 / 3 = 1.17. The value 0 is the low end, so the zero point is 0.
# </details>
#
# **3.** You store a layer of 256 x 256 weights in 4 bits. How many bytes does it take with one 32-bit scale per output channel, and how many with one 16-bit scale per group of 64? How many bits per weight are these?
#
# <details><summary>Answer</summary>
#
# The codes take 65,536 · 4 / 8 = 32,768 bytes. With 256 channels the scales take 1,024 bytes: 33,792 bytes, or 4.125 bits per weight. With 65,536 / 64 = 1,024 groups they take 2,048 bytes: 34,816 bytes,
# or 4.25 bits per weight.
# </details>
#
# ## The ledger
#
# The row is the lowest width in the table of section 2, with one scale per channel, whose *validation* accuracy is within one point of 32 bits.

# %%
at_32_bits = spread("small_cnn", quantize.rung(32)).mean
at = {bits: results[f"small_cnn, {bits} bits", "per channel"].mean for bits in (8, 4, 3)}
kept = min(bits for bits, accuracy in at.items() if accuracy >= at_32_bits - 0.01)
name = f"small_cnn, {kept} bits per channel"
report = measure.report(
    {name: quantize.quantize_weights(folded, quantize.rung(kept)), "small_cnn": model},
    splits.test.images[:1],
    accuracies={name: rows[kept][0].values[0], "small_cnn": rows[32][0].values[0]},
)
ledger(report.rows[0], lesson=2, beside=report.rows[1])

# %%
progress()

# %% [markdown]
# ## Summary
#
# - A grid is a scale and a zero point; zero is exactly on it; ties in x / scale go to the even number.
# - The choice of which weights share a scale can matter as much as the number of bits, and it depends on the model.
# - Clipping trades one error for another. A codebook has a smaller error than one grid for the layer, and loses the integer arithmetic.
# - Correct the biases before you judge a width: at 3 bits that was worth more than ten points.
# - A weight takes more bits than its code: count the scales.
# - Fewer bits are fewer bytes. They save time only where a kernel uses them.
#
# **References.** Jacob et al. 2018, *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*.
# Nagel et al. 2019, *Data-Free Quantization Through Weight Equalization and Bias
# Correction*. Nagel et al. 2021, *A White Paper on Neural Network Quantization*. Han et al. 2016, *Deep Compression*. Dettmers et al. 2023, *QLoRA*.
# Rastegari et al. 2016, *XNOR-Net*.
#
# **In the library.** [`mini_lib/quantize/affine.py`](../mini_lib/quantize/affine.py) has the grid, [`granularity.py`](../mini_lib/quantize/granularity.py) the sharing of scales, [`observers.py`](../mini_lib/quantize/observers.py) calibration, [`formats/codebook.py`](../mini_lib/quantize/formats/codebook.py)
# k-means, and [`mini_lib/packing.py`](../mini_lib/packing.py) the packing of codes.
#
# **Next:** [03 Can a network learn to live on 2 bits, on 1?](03_train_few_bits.ipynb)
