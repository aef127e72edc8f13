# %% [markdown]
# # Is a depthwise-separable convolution the same thing for less?
#
# Lesson 07 · {minutes} · before it: [01 What does a model cost?](01_measure.ipynb)
#
# In 2017 a network called MobileNet split nearly every convolution in two: one part looks around within a channel, and the other mixes the channels. Its authors report eight to nine times fewer multiplications, and a network that is nearly as good.
# So people say: "a depthwise-separable convolution gives almost the same as a convolution, for less". That sentence makes three claims: that it computes the same, that it computes *almost* the same, and that it takes less.
# You can test each of them, and each is true in some cases and wrong in others.
#
# **You will be able to**
# 1. count what a convolution, a grouped convolution and a depthwise-separable pair cost, and say from which multiplier on the pair saves nothing;
# 2. say when a pair *is* a given convolution, how far it is from it otherwise before you build it, and what the difference does to a trained net;
# 3. say from a measurement whether fewer MACs became less time.
#
# Every answer is checked when you run the cell below it. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back.

# %%
import copy
import itertools
import random
from dataclasses import replace
from fractions import Fraction
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch import nn
from tqdm.auto import tqdm

from mini_lib import data, fit, measure, roofline, surgery, zoo
from mini_lib.columns import aligned
from mini_lib.factorize import cost, layers, separable
from mini_lib.factorize.model import is_separable, separate_model
from mini_lib.fold import fold_batch_norm
from mini_lib.latency import milliseconds
from studies.factorize import record
from studies.factorize.clean_process import in_clean_process
from studies.factorize.speed import measure_peak
from studies.paired import paired
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one core against one core; sums then repeat to the last digit
figures.use_style()
splits = data.fashion()
picture = splits.test.images[:1]
small_cnn = zoo.load("small_cnn", seed=0)
COLOURS = figures.COLOURS

# %% [markdown]
# ## 1 What is counted
#
# A convolution does two things at once. It looks around, in a window of $K \times K$ pixels, and it mixes channels: each of its $N$ output channels looks at all $M$ input channels. So it has a kernel of $K^2$ weights for each pair of an output and an input channel, and it applies them all at every place of its output:
#
# $$\text{MACs} = \text{places} \cdot N \cdot M \cdot K^2.$$
#
# By hand: 3 to 8 channels, 3 x 3, an image of 8 x 8. That is $64 \cdot 8 \cdot 3 \cdot 9 = 13{,}824$. A stride of 2 leaves 4 x 4 places, and a quarter of the work.
#
# A convolution gets cheaper if not every output channel looks at every input channel. In a **grouped** convolution, channels meet only within their group. A **depthwise** convolution is one extreme: each channel is a group and sees only itself. A **pointwise** convolution is the other: the window is one pixel, and only the mixing is left. Here is which channel looks at which, and through how many weights.


# %% name="fig-connections" tags=["hide-input"]
def connections(layer):
    """How many weights lie between each output and each input channel: [outputs, inputs]."""
    per_group, blocks = len(layer.weight) // layer.groups, []
    for _ in range(layer.groups):
        blocks.append(torch.full((per_group, layer.weight.shape[1]), layer.weight[0, 0].numel()))
    return torch.block_diag(*blocks)


def draw_connections():
    kinds = {
        "plain": layers.grouped(8, 8, 3, groups=1, bias=False),
        "grouped, 2": layers.grouped(8, 8, 3, groups=2, bias=False),
        "depthwise": layers.depthwise(8, 3, bias=False),
        "pointwise": layers.pointwise(8, 8, bias=False),
    }
    figure, four = plt.subplots(1, 4, figsize=(12, 3.9), sharey=True)
    for axes, (name, layer) in zip(four, kinds.items()):
        counts = connections(layer)
        axes.imshow(counts, vmin=0, vmax=9, cmap="Blues")
        for output, inputs in itertools.product(range(8), repeat=2):
            number = int(counts[output, inputs])
            axes.text(
                inputs,
                output,
                number or "",
                ha="center",
                va="center",
                color="white" if number > 5 else "black",
                fontsize=12,
            )
        axes.set(title=f"{name}\n{layer.weight.numel()} weights", xlabel="input channel", xticks=(), yticks=())
        axes.grid(False)
    four[0].set_ylabel("output channel")
    return figure


show(
    draw_connections(),
    alt="Four tables of 8 output by 8 input channels with the number of weights between them: plain, 9 everywhere; grouped, 9 in two blocks; depthwise, 9 on the diagonal; pointwise, 1 everywhere.",
)

# %% [markdown]
# ### Exercise 7.1 - What a convolution costs (6 min)


# %% name="ex-7-1" tags=["exercise"]
def macs_of_convolution(inputs, outputs, kernel, size, stride, groups):
    """MACs of a convolution on one image.

    inputs, outputs: channels. kernel: pixels of its side, an odd number; the padding is kernel // 2. size: pixels of the
    image's side. groups: channels meet only within their group. Returns a whole number.
    """
    ### BEGIN SOLUTION
    side = (size + 2 * (kernel // 2) - kernel) // stride + 1
    return side**2 * outputs * (inputs // groups) * kernel**2
    ### END SOLUTION


# %% tags=["check"]
check("7.1")

# %% [markdown]
# <details><summary>Hint 1: the places</summary>
#
# The kernel is put down at the first pixel, and then at every stride-th pixel. With 5 pixels and a stride of 2, how many places is that?
# </details>
# <details><summary>Hint 2: what one output channel sees</summary>
#
# All output channels are computed in every case. The groups change how many input channels each of them looks at.
# </details>

# %% [markdown]
# Now the **pair**: a depthwise convolution, then a pointwise one. The first looks at each input channel separately, and the second mixes the results. The depthwise part can also look at each channel in several ways: with a **multiplier** of $r$, each channel gets $r$ kernels, and the pointwise part mixes $M r$ channels. There is nothing between the two parts.
#
# By hand, the layer from above with a multiplier of 1: at each of 64 places there are 3 kernels with 9 products each, and 8 outputs that read 3 channels. $64 \cdot (27 + 24) = 3{,}264$.

# %% [markdown]
# ### Exercise 7.2 - What the pair costs (6 min)


# %% name="ex-7-2" tags=["exercise"]
def macs_of_pair(inputs, outputs, kernel, places, multiplier):
    """MACs of a depthwise convolution and the pointwise convolution after it, on one image.

    places: the number of pixels of the output. multiplier: kernels per input channel. Returns a whole number.
    """
    ### BEGIN SOLUTION
    between = inputs * multiplier
    return places * between * (kernel**2 + outputs)
    ### END SOLUTION


# %% tags=["check"]
check("7.2")

# %% [markdown]
# <details><summary>Hint 1: how many channels lie between</summary>
#
# Each input channel turns into `multiplier` channels. The first part makes them, the second reads them all.
# </details>

# %% [markdown]
# Divide the MACs of the pair by those of the convolution. Places and input channels cancel, and the ratio is
#
# $$\frac{\text{pair}}{\text{plain}} = r \left( \frac{1}{N} + \frac{1}{K^2} \right).$$
#
# By hand: 16 outputs, 3 x 3, a multiplier of 1. $1/16 + 1/9 = 25/144$, about a sixth. With a multiplier of 6 it is $150/144$: the pair costs more than the convolution.

# %%
predict(
    "7.a",
    "small_cnn has four 3 x 3 convolutions, from 1 to 16, 32, 64 and 64 channels. All of them become pairs with a multiplier of 1. How many times fewer MACs does the model then have?",
    unit="times",
)

# %% [markdown]
# ### Exercise 7.3 - What is saved, and until when (8 min)


# %% name="ex-7-3" tags=["exercise"]
def share_and_limit(outputs, kernel, multiplier):
    """The cost of a pair relative to the convolution, and the largest multiplier that still saves MACs.

    Returns (the share of the convolution's MACs, the largest whole multiplier at which the share is below 1; 0 if none).
    """
    ### BEGIN SOLUTION
    plain, pair = outputs * kernel**2, outputs + kernel**2
    return multiplier * pair / plain, (plain - 1) // pair
    ### END SOLUTION


# %% tags=["check"]
check("7.3")

# %% [markdown]
# <details><summary>Hint 1: the limit</summary>
#
# The share grows in proportion to the multiplier. At which number, whole or not, is it 1?
# </details>
# <details><summary>Hint 2: exactly at the limit</summary>
#
# If that number is whole, the pair costs as much as the convolution there and saves nothing: take one less.
# </details>

# %% [markdown]
# A formula is a claim, too. The next cell builds and runs layers of random shapes, and counts their MACs as they happen.

# %%
draw = random.Random(0)
built = []
for _ in range(8):
    inputs, outputs, kernel = draw.randint(2, 40), draw.randint(9, 80), draw.choice((3, 5))
    stride, multiplier, size = draw.choice((1, 2)), draw.choice((1, 1, 2, 3)), draw.randint(8, 30)
    image = torch.zeros(1, inputs, size, size)
    plain = measure.macs(layers.grouped(inputs, outputs, kernel, 1, stride=stride), image)
    pair = measure.macs(
        layers.depthwise_separable(inputs, outputs, kernel, stride=stride, multiplier=multiplier), image
    )
    formula = cost.cost_ratio(outputs, kernel, multiplier)
    built.append((inputs, outputs, kernel, stride, multiplier, plain, pair, Fraction(pair, plain), formula))

# %% name="out-costs" tags=["hide-input"]
lines = [("channels", "kernel", "stride", "r", "plain MACs", "pair MACs", "counted", "r (1/N + 1/K²)")]
for inputs, outputs, kernel, stride, multiplier, *counts, counted, formula in built:
    shape = (f"{inputs} -> {outputs}", f"{kernel} x {kernel}", f"{stride}", f"{multiplier}")
    lines.append((*shape, *(f"{macs:,}" for macs in counts), f"{counted}", f"{formula}"))
print(aligned(lines))

# %% tags=["solution-only"]
from teach import claim

claim("The fractions are the same, to the last digit.", holds=all(line[-2] == line[-1] for line in lines[1:]))

# %%
pairs = separate_model(small_cnn, picture, 1)
reveal("7.a", round(measure.macs(small_cnn, picture) / measure.macs(pairs.model, picture), 2))

# %% [markdown]
# The fractions are the same, to the last digit. The kernel's term $1/K^2$ is a floor, so a 3 x 3 pair never saves more than 9 times, however many channels there are.

# %% [markdown]
# > **Takeaway.** A pair costs $r \, (1/N + 1/K^2)$ of the convolution, so the size of the kernel limits the saving, however many channels there are.

# %% [markdown]
# ## 2 When is it the same?
#
# Both parts consist of sums and products only. So the pair is linear, and **a pair is a convolution**: one kernel, applied in two steps. Which kernel? The middle channel $(i, j)$ is the result of kernel $j$ of input $i$, and output $n$ takes the share $p_{n, ij}$ of it. So the kernel from input $i$ to output $n$ is
#
# $$W[n, i] = \sum_{j=1}^{r} p_{n,ij} \, d_{ij}.$$
#
# By hand: one input, one output, two kernels $(1, 2)$ and $(3, 4)$, mixed with 10 and 1. The convolution is $10 \cdot (1, 2) + 1 \cdot (3, 4) = (13, 24)$.

# %% [markdown]
# ### Exercise 7.4 - The convolution that a pair is (8 min)


# %% name="ex-7-4" tags=["exercise"]
def composed_kernel(spatial, mixing, multiplier):
    """The kernel of the one convolution that does what the pair does.

    spatial: [M * multiplier, 1, K, K], the depthwise part; the kernels of one input channel are next to each other.
    mixing: [N, M * multiplier, 1, 1], the pointwise part. Returns a tensor [N, M, K, K].
    """
    ### BEGIN SOLUTION
    products = mixing * spatial[:, 0]
    return products.unflatten(1, (-1, multiplier)).sum(dim=2)
    ### END SOLUTION


# %% tags=["check"]
check("7.4")

# %% [markdown]
# <details><summary>Hint 1: which index stays</summary>
#
# Each output `n` and each middle channel contribute one number times one kernel. Add up the middle channels of the same input.
# </details>
# <details><summary>Hint 2: products</summary>
#
# `mixing` is [N, M r, 1, 1] and `spatial[:, 0]` is [M r, K, K]. What is the shape of their product?
# </details>
# <details><summary>Hint 3: sums of neighbours</summary>
#
# `unflatten(1, (-1, multiplier))` turns [N, M r, K, K] into [N, M, r, K, K].
# </details>

# %% [markdown]
# Now the other way round: which convolutions are pairs? Take all kernels that look at input channel $i$, one per output, and write each as a row. The result is a matrix of $N \times K^2$, the **slice** $W[:, i]$. In a pair with a multiplier of 1, all rows are multiples of one kernel, so the slice has rank 1. With $r$ kernels to mix, its rank is at most $r$. And every matrix of rank $r$ can be written as such a mixture. That is the whole answer:
#
# **A pair with multiplier $r$ is a given convolution exactly if each of its slices $W[:, i]$ has rank $r$ or less.**
#
# Here is one slice from each of three layers, with its eight largest kernels.


# %% name="fig-slices" tags=["hide-input"]
def largest_slice(conv, outputs=8):
    """The slice with the largest norm: [outputs, K, K], of the outputs in which it is largest."""
    weight = conv.weight.detach()
    channel = weight.flatten(2).norm(dim=(0, 2)).argmax()
    kernels = weight[:, channel]
    return kernels[kernels.flatten(1).norm(dim=1).argsort(descending=True)[:outputs]]


def draw_slices():
    rows = {
        "a pair, r = 1": separable.as_convolution(separable.separate(small_cnn.conv3, 1).layer),
        "trained conv3": small_cnn.conv3,
        "trained conv4": small_cnn.conv4,
    }
    figure, grid = plt.subplots(3, 8, figsize=(12, 4.6))
    for line, (name, conv) in zip(grid, rows.items()):
        kernels = largest_slice(conv)
        for axes, kernel in zip(line, kernels):
            axes.imshow(kernel, cmap="PuOr", vmin=-kernels.abs().max(), vmax=kernels.abs().max())
            axes.set(xticks=(), yticks=())
            axes.grid(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


show(
    draw_slices(),
    alt="Eight kernels of 3 by 3 that look at one input channel, in three rows. Of a pair: all the same except for their strength. Of conv3: all different. Of conv4: mostly one shape in several strengths.",
)

# %%
predict(
    "7.b",
    "A convolution from 16 to 32 channels has slices of rank 2, and a pair has a multiplier of 2. How much do their outputs on random pictures differ, relative to their size?",
    choices=("by nothing but roundings", "by less than 1%, but more than roundings", "by 1% or more"),
)

# %% name="out-identity"
chance = torch.Generator().manual_seed(0)
conv = nn.Conv2d(16, 32, 3, stride=2, padding=1)
with torch.no_grad():
    left, right = torch.randn(16, 32, 2, generator=chance), torch.randn(16, 2, 9, generator=chance)
    conv.weight.copy_((left @ right).transpose(0, 1).unflatten(2, (3, 3)))
    images = torch.randn(8, 16, 20, 20, generator=chance)
    wanted = conv(images)
    lines, differs = [("multiplier", "MACs", "error of the weights", "outputs differ by")], {}
    for multiplier in (1, 2, 3):
        found = separable.separate(conv, multiplier)
        differs[multiplier] = ((found.layer(images) - wanted).norm() / wanted.norm()).item()
        error = "none" if found.is_exact else f"{found.relative_error:.3f}"
        lines.append((f"{multiplier}", f"{float(found.cost_ratio):.0%}", error, f"{differs[multiplier]:.0e}"))
with hold("7.b"):
    print("ranks of the slices:", set(separable.slice_ranks(conv)))
    print(aligned(lines, left=()))

# %%
reveal(
    "7.b",
    "by nothing but roundings" if differs[2] < 1e-5
    else "by less than 1%, but more than roundings" if differs[2] < 0.01
    else "by 1% or more",
)  # fmt: skip

# %% [markdown]
# So the first claim is true, for some convolutions. Does training ever produce one of them? A slice of a 3 x 3 layer with many outputs can hold nine kernels that have nothing in common, and then its rank is 9. At a multiplier of 9 the pair is exact for *every* 3 x 3 convolution. But how much does it cost then?
#
# ("Separable" has a second meaning: a kernel such as Sobel's is a column times a row, so it can be applied as 3 x 1 and then 1 x 3. That is about the rank of one kernel, as a $K \times K$ matrix. Here it is the rank of all the kernels of a channel. Neither implies the other. Lesson 08 treats the first, for whole layers.)

# %% [markdown]
# > **Takeaway.** Every pair is a convolution, and a given convolution is a pair exactly if none of its slices has a rank above the multiplier.

# %% [markdown]
# ## 3 Then how near?
#
# If the rank of a slice is higher, some of the slice is lost. What is the best matrix of rank $r$? Write the slice as a sum of matrices of rank 1, the strongest first, and keep $r$ of them. The sum is its **singular value decomposition** (SVD), and no other matrix of rank $r$ is nearer (Eckart and Young, 1936).
#
# $$S = \sum_k s_k \, u_k v_k^{\mathsf T}, \qquad S \approx \sum_{k \le r} s_k \, u_k v_k^{\mathsf T}.$$
#
# Here $v_k$ is a kernel, $u_k$ says how much of it each output takes, and $s_k$ is its strength. By hand: one input, two outputs with the kernels $(4, 0)$ and $(0, 3)$. They have nothing in common, and $s = (4, 3)$. With one kernel to share, the best choice keeps $(4, 0)$ and gives up the other. Channels share no weights, so the best choice for each slice is the best for the layer.

# %% [markdown]
# ### Exercise 7.5 - The nearest kernel that a pair can have (10 min)


# %% name="ex-7-5" tags=["exercise"]
def nearest_kernel(weight, multiplier):
    """Of all kernels that a pair with this multiplier can have, the one nearest to `weight`.

    weight: [N, M, K, K], a convolution. Returns a tensor of the same shape.
    """
    ### BEGIN SOLUTION
    slices = weight.transpose(0, 1).flatten(2)
    u, s, vt = torch.linalg.svd(slices, full_matrices=False)
    u, s, vt = u[:, :, :multiplier], s[:, :multiplier], vt[:, :multiplier]
    return ((u * s[:, None]) @ vt).transpose(0, 1).reshape(weight.shape)
    ### END SOLUTION


# %% tags=["check"]
check("7.5")

# %% [markdown]
# <details><summary>Hint 1: matrices first</summary>
#
# There is one matrix per input channel, N x K². The slice of channel i is `weight[:, i]` with its last two axes flattened into one.
# </details>
# <details><summary>Hint 2: all slices at once, or one by one</summary>
#
# `torch.linalg.svd(matrix, full_matrices=False)` returns u, s and v transposed. It also takes a stack of matrices. A loop over the channels works just as well.
# </details>
# <details><summary>Hint 3: what is kept</summary>
#
# Multiply the first columns of u by their singular values, and then by the first rows of v transposed. Finally, restore the shape of the weight.
# </details>

# %% [markdown]
# The error consists of the parts that were left out, and the singular values give its size **before you build anything**:
#
# $$\text{error} = \frac{\lVert W - W' \rVert}{\lVert W \rVert} = \sqrt{\frac{\text{sum of } s^2 \text{ left out}}{\text{sum of all } s^2}},$$
#
# over all slices together. By hand: $s = (4, 3)$, one kept: $\sqrt{9 / 25} = 0.6$. With a second slice of $s = (12, 0)$: $\sqrt{9 / 169} = 3/13$.

# %% [markdown]
# ### Exercise 7.6 - The error, known beforehand (6 min)


# %% name="ex-7-6" tags=["exercise"]
def error_beforehand(values, multiplier):
    """The relative error of the nearest kernel.

    values: [M, n], the singular values of the slices, one row per slice, largest first. Returns a number.
    """
    ### BEGIN SOLUTION
    lost = values[:, multiplier:].square().sum()
    return (lost / values.square().sum()).sqrt()
    ### END SOLUTION


# %% tags=["check"]
check("7.6")

# %% [markdown]
# <details><summary>Hint 1: one root, at the end</summary>
#
# First add up the squares over all slices, above and below. The result is not the mean of the slices' errors.
# </details>

# %% [markdown]
# A kernel of random numbers has no structure for a pair to use. How bad is the nearest pair?

# %%
predict(
    "7.c",
    "The nearest pair with a multiplier of 1, for a random 3 x 3 convolution from 8 to 16 channels: how large is its error, in percent of the size of the weight?",
    unit="%",
)


# %% name="out-random"
def random_like(conv, seed=0):
    """A convolution of the same shape with random weights."""
    other = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, bias=False)
    other.weight.data = torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(seed))
    return other


shapeless = random_like(nn.Conv2d(8, 16, 3))
measured = (separable.as_convolution(separable.separate(shapeless, 1).layer).weight - shapeless.weight).norm()
hundred = fit.over_seeds(lambda seed: separable.separable_errors(random_like(shapeless, seed))[0], range(100))
with hold("7.c"):
    print(separable.separable_table(shapeless))
    print(f"multiplier 1, measured on the weights: {(measured / shapeless.weight.norm()).item():.3f}")
    print(f"multiplier 1, a hundred random kernels: {hundred.mean:.3f} ± {hundred.std:.3f}")

# %%
reveal("7.c", round(100 * separable.separable_errors(shapeless)[0], 1))

# %% tags=["solution-only"]
last = max(r for r in range(1, 10) if cost.cost_ratio(16, 3, r) < 1)
claim(
    "at the last multiplier that saves anything, 5, the error is still 38%",
    last,
    100 * separable.separable_errors(shapeless)[last - 1],
)
claim(
    "At a multiplier of 9 the pair is exact for *every* 3 x 3 convolution.",
    holds=max(separable.separable_errors(one)[8] for one in (shapeless, small_cnn.conv3, small_cnn.conv4)) < 1e-6,
)

# %% [markdown]
# For this random kernel, a cheaper pair is another layer, and the exact pair costs more than the convolution: at the last multiplier that saves anything, 5, the error is still 38%.
#
# But real nets are not random. Does training make the kernels of one channel alike? The figure compares each trained layer of `small_cnn` with a random layer of the same shape, over the cost of the pair:

# %% name="fig-errors" tags=["hide-input"]
NAMES = ("conv1", "conv2", "conv3", "conv4")


def draw_errors():
    figure, four = plt.subplots(1, 4, figsize=(13, 4.2), sharey=True)
    for axes, name in zip(four, NAMES):
        conv = small_cnn.get_submodule(name)
        shares = [100 * float(cost.cost_ratio(conv.out_channels, 3, r)) for r in range(1, 10)]
        for which, colour, line, marker in ((random_like(conv), "orange", "--", "s"), (conv, "blue", "-", "o")):
            errors = [100 * error for error in separable.separable_errors(which)]
            axes.plot(
                shares,
                errors,
                color=COLOURS[colour],
                linestyle=line,
                marker=marker,
                markersize=6,
                label="trained" if which is conv else "random",
            )
        axes.axvspan(100, 170, color="black", alpha=0.1)
        axes.set(title=f"{name}, {conv.in_channels} to {conv.out_channels}", xlim=(0, 170), ylim=(0, 100))
        axes.set_xticks((0, 50, 100, 150))
    four[0].set(ylabel="error of the weights (%)")
    four[3].legend(fontsize=13, loc="upper right")
    figure.supxlabel("MACs, in % of the convolution (grey: the pair costs more)", fontsize=16)
    return figure


show(
    draw_errors(),
    alt="Error of the nearest pair over its MACs, for multipliers 1 to 9, in each of the four layers, for trained and for random weights. In conv1 to conv3 the two curves are close together; in conv4 the trained weights are much nearer to a pair. The error is zero only where the pair costs more.",
)

# %% [markdown]
# With a multiplier of 1 the error is 3 to 8% below that of random weights in conv1 to conv3, and 35% below it in conv4. (In conv1, which has a single slice, 3% is no more than the differences among random kernels.) What does such an error do to the net? Take the trained model, replace its convolutions by their nearest pairs, and measure its accuracy. There is no training afterwards.
#
# The cell after the next prediction measures 15 models. This takes about 4 seconds.

# %% tags=["solution-only"]
below = {}
for name in NAMES:
    conv = small_cnn.get_submodule(name)
    chance_errors = fit.over_seeds(lambda seed: separable.separable_errors(random_like(conv, seed))[0], range(20))
    below[name] = 100 * (1 - separable.separable_errors(conv)[0] / chance_errors.mean)
first_three = [below[name] for name in NAMES[:3]]
claim(
    "the error is 3 to 8% below that of random weights in conv1 to conv3, and 35% below it in conv4",
    min(first_three), max(first_three), below["conv4"], within=0.5,  # the mean over 20 draws varies by less
)  # fmt: skip

claim(
    "with a multiplier of 1 its error is 35% below that of random weights, in the others 3 to 8%",
    None,
    below["conv4"],
    min(first_three),
    max(first_three),
    within=0.5,
    page="slides/07_depthwise.md",
)

# %%
dense_accuracy = fit.accuracy(small_cnn, splits.validation)
predict(
    "7.d",
    f"All four layers become their nearest pairs, multiplier 1. The dense net is right for {dense_accuracy:.1%} of the validation pictures. For what percentage is the net of pairs right?",
    unit="%",
)

# %% name="out-replaced"
dense_macs = measure.macs(small_cnn, picture)
MULTIPLIERS = (1, 2, 4)
candidates = {}
for name, multiplier in tqdm(list(itertools.product((*NAMES, "all four"), MULTIPLIERS)), desc="models"):
    chosen = {name: multiplier} if name in NAMES else multiplier
    apart = separate_model(small_cnn, picture, chosen, fold=False)
    macs_share = measure.macs(apart.model, picture) / dense_macs
    candidates[name, multiplier] = (apart.model, fit.accuracy(apart.model, splits.validation), macs_share)
lines = [("replaced", *(f"multiplier {multiplier}" for multiplier in MULTIPLIERS))]
for name in (*NAMES, "all four"):
    cells = (candidates[name, multiplier] for multiplier in MULTIPLIERS)
    lines.append((name, *(f"{macs_share:4.0%}  {accuracy:6.1%}" for _, accuracy, macs_share in cells)))
with hold("7.d"):
    print(f"dense: {dense_accuracy:.1%} of the validation pictures. Replaced: MACs of the net, accuracy")
    print(aligned(lines))

# %%
reveal("7.d", round(100 * candidates["all four", 1][1], 1))

# %% tags=["solution-only"]
claim(
    "guessing is right for 10%, and with a multiplier of 1 the net of pairs gets 12%",
    None,
    None,
    100 * candidates["all four", 1][1],
    within=0.5,  # twenty pictures, whose answers hang on a rounding
)
single = {name: candidates[name, 1][1] for name in NAMES}
claim(
    "`conv4` has the smallest error",
    holds=min(NAMES, key=lambda name: separable.separable_errors(small_cnn.get_submodule(name))[0]) == "conv4",
)

# %% [markdown]
# There are ten classes, so guessing is right for 10%, and with a multiplier of 1 the net of pairs gets 12%. The second claim, "almost the same", is wrong for this trained net: replacing all layers by their nearest pairs breaks it. (Its batch norms keep the statistics of the old layers. Measuring them again was not tried here.)
#
# One layer is an exception. `conv4` has the smallest error, and with a multiplier of 2 the net loses less than a point (it does in all three seeds of the zoo). Look again at its kernels in the figure of section 2: they are mostly one shape in several strengths. Why this layer differs from the others was not tested here.
#
# ### What training repairs
#
# You can train a broken net further. All nets below get the same few steps. There are two controls. The **dense** net gets the same training, since the training changes it as well. And a net of pairs that was never a convolution starts **from scratch**: it inherits nothing from the trained weights. This takes about 10 seconds.

# %% name="run-finetune"
FEW = splits.train.first(2000)
SEEDS = (0, 1, 2)


def from_scratch(seed):
    """small_cnn with pairs in place of convolutions, and weights that were never trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return surgery.replace(
            zoo.small_cnn(seed),
            is_separable,
            lambda conv: layers.depthwise_separable(
                conv.in_channels, conv.out_channels, 3, stride=conv.stride, bias=False
            ),
        )


ARMS = {
    "dense, the control": lambda seed: zoo.load("small_cnn", seed),
    "conv4 a pair, multiplier 1": lambda seed: separate_model(zoo.load("small_cnn", seed), picture, {"conv4": 1}, fold=False).model,
    "all four pairs, multiplier 1": lambda seed: separate_model(zoo.load("small_cnn", seed), picture, 1, fold=False).model,
    "the same, from scratch": from_scratch,
}  # fmt: skip
started, tuned_to = {}, {}
with tqdm(total=len(ARMS) * len(SEEDS), desc="trainings") as bar:
    for name, start in ARMS.items():
        before, after = [], []
        for seed in SEEDS:
            net = start(seed)
            before.append(fit.accuracy(net, splits.validation))
            tuned = fit.fit(net, FEW, splits.validation, epochs=1, seed=seed, learning_rate=5e-3, batch_size=32)
            after.append(tuned.history[-1].validation_accuracy)
            bar.update()
        started[name], tuned_to[name] = dict(zip(SEEDS, before)), dict(zip(SEEDS, after))
head_start = paired(tuned_to["all four pairs, multiplier 1"], tuned_to["the same, from scratch"])

# %% name="out-finetune" tags=["hide-input"]
lines = [("validation accuracy, 3 seeds", "MACs", "before", f"after one pass over {len(FEW):,}")]
for name, start in ARMS.items():
    cells = (f"{record.percent([*found[name].values()])} %" for found in (started, tuned_to))
    lines.append((name, f"{measure.macs(start(0), picture) / dense_macs:.0%}", *cells))
low, high = (100 * end for end in head_start.interval())
with hold("7.d"):
    print(aligned(lines))
    print(
        f"pairs - from scratch, seed by seed: {100 * head_start.mean:+.0f} points, 95% interval {low:.0f} to {high:.0f}"
    )

# %% tags=["solution-only"]
means = {name: 100 * sum(values.values()) / len(values) for name, values in tuned_to.items()}
untouched = 100 * sum(started["dense, the control"].values()) / len(SEEDS)
by_conv4 = [
    fit.accuracy(
        separate_model(zoo.load("small_cnn", seed), picture, {"conv4": 2}, fold=False).model, splits.validation
    )
    for seed in SEEDS
]
claim(
    "with a multiplier of 2 the net loses less than a point (it does in all three seeds of the zoo)",
    holds=max(started["dense, the control"][seed] - share for seed, share in enumerate(by_conv4)) < 0.01,
)
claim(
    "The dense net, in which nothing was replaced, loses about 3 points in so short a training.",
    untouched - means["dense, the control"],
    within=0.5,  # the standard deviation over the seeds
)
claim(
    "With one layer replaced, the net ends less than two points below the dense one.",
    holds=means["dense, the control"] - means["conv4 a pair, multiplier 1"] < 2,
)
claim("what the trained net is still worth as a starting point", holds=low > 0)

# %% [markdown]
# Read the table with its controls. The dense net, in which nothing was replaced, loses about 3 points in so short a training. The difference between the last two rows is what the trained net is still worth as a starting point (its nearest pairs, its batch norms and its last layer together): the interval over three seeds is wide, but it is above 0. The distance from the third row to the first has not been made up. With one layer replaced, the net ends less than two points below the dense one.
#
# Instead, a net of pairs can be *trained as pairs* from the beginning, as MobileNet is. Then it approximates nothing.

# %% [markdown]
# > **Takeaway.** The singular values give the error of the nearest pair before you build it, but only validation pictures tell you how much accuracy it costs.

# %% [markdown]
# ## 4 Another net
#
# The zoo has both kinds: `small_cnn` with four plain convolutions, and `depthwise_cnn`, a small MobileNet with one plain layer and four blocks of pairs. Each was trained from scratch, with three seeds and its own recipe. Each block has a batch norm and a **ReLU between the two parts**. So a block is no longer one linear map, and in general no convolution computes the same.

# %%
less = dense_macs / measure.macs(zoo.depthwise_cnn(), picture)
predict(
    "7.e",
    f"depthwise_cnn has {less:.1f} times fewer MACs than small_cnn, and was trained from scratch. How accurate is it on the test pictures, compared with small_cnn?",
    choices=("better than small_cnn", "worse than small_cnn", "no difference beyond chance"),
)

# %%
trained = {name: [zoo.load(name, seed) for seed in tqdm(SEEDS, desc=name)] for name in ("small_cnn", "depthwise_cnn")}
accuracies = {name: fit.Spread(tuple(fit.accuracy(net, splits.test) for net in nets)) for name, nets in trained.items()}


def compared(one, other):
    """The difference of two nets in points, seed by seed, with the interval of its mean."""
    found = paired(one, other)
    low, high = (100 * end for end in found.interval())
    return found, f"{100 * found.mean:+.1f} points, 95% interval {low:+.1f} to {high:+.1f}"


gap, gap_text = compared(*(dict(zip(SEEDS, accuracies[net].values)) for net in ("depthwise_cnn", "small_cnn")))

# %% name="out-zoo" tags=["hide-input"]
lines = [("", "test accuracy, 3 seeds", "MMAC", "KiB stored", "weights in 1x1")]
for name, nets in trained.items():
    folded = fold_batch_norm(nets[0])
    convs = [layer for layer in folded if isinstance(layer, nn.Conv2d)]
    mixing = sum(conv.weight.numel() for conv in convs if conv.kernel_size == (1, 1))
    lines.append(
        (
            name,
            str(accuracies[name]),
            f"{measure.macs(folded, picture) / 1e6:.2f}",
            f"{measure.stored_bytes(folded) / 1024:.1f}",
            f"{mixing / sum(conv.weight.numel() for conv in convs):.0%}",
        )
    )
with hold("7.e"):
    print(aligned(lines))
    print(f"depthwise_cnn - small_cnn, seed by seed: {gap_text}")

# %%
low, high = gap.interval()
reveal(
    "7.e", "better than small_cnn" if low > 0 else "worse than small_cnn" if high < 0 else "no difference beyond chance"
)

# %% [markdown]
# An interval around 0 says that three seeds do not distinguish the two nets, and that they differ by about two points at most. Is that due to the pairs, or to more layers and more channels? Remove the difference in MACs: `plain_cnn` is a net like `small_cnn`, but so narrow that it has as many MACs as `depthwise_cnn`, and it was trained with the recipe
# of `depthwise_cnn`. (It has no recipe of its own, so it may be a little worse than it could be.) Training both nets takes a while, so the result was **recorded**: the cell reads a file that comes with the course.

# %% name="out-equal"
study = record.recorded()
print("RECORDED, not run here; to record it again:")
print("python tools/factorize_study.py --record DIR\n")
print(record.equal_table(study.equal))
tests = {net: {one.seed: one.test for one in study.equal if one.net == net} for net in ("depthwise_cnn", "plain_cnn")}
equal_gap, equal_text = compared(*tests.values())
print(f"depthwise_cnn - plain_cnn, test, seed by seed: {equal_text}")

# %% [markdown]
# The question has changed: not "is a pair as good as the convolution it replaces", but "what is the best net for this many MACs?". `depthwise_cnn` is ahead in all three seeds, by 1.5 points on average. With three seeds the interval still includes 0, but only just. And equal MACs do not mean equal bytes (see the table) or equal time (see section 5).
#
# Where are the MACs of such a net? 90% of the weights of its convolutions and 81% of its MACs are in the 1 x 1 layers. MobileNetV2 has another starting point. It assumes that the information in a layer fits into few channels, and shows that a **ReLU among few channels destroys some of it**. So its **inverted residual** passes few channels from block to block. Inside, it widens to many channels, where the
# depthwise part and the ReLUs are, and narrows again with a pointwise layer *without* a ReLU, the **linear bottleneck**; then, where the shapes agree, it adds its input. (That the linear end helps is the paper's result. It is not tested here.) By hand: 16 channels, four times as many in the middle, and back, at each place: $16 \cdot 64 + 64 \cdot 9 + 64 \cdot 16 = 2{,}624$ MACs. A pair of 64 channels takes $64 \cdot 9 + 64 \cdot 64 = 4{,}672$, and passes on four times as many channels.

# %% name="out-inverted"
SIZE = 14
blocks = {
    "plain 64 -> 64": (layers.grouped(64, 64, 3, groups=1), 64),
    "pair 64 -> 64": (layers.depthwise_separable(64, 64, 3), 64),
    "inverted residual 16 -> 64 -> 16": (layers.inverted_residual(16, 16, 4), 16),
}
lines = [("", "MACs per place", "weights", "values passed on per place")]
for name, (block, channels) in blocks.items():
    macs = measure.macs(block, torch.zeros(1, channels, SIZE, SIZE))
    lines.append((name, f"{macs // SIZE**2:,}", f"{measure.parameters(block):,}", f"{channels}"))
print(aligned(lines))

# %% tags=["solution-only"]
claim(
    "`depthwise_cnn` is ahead in all three seeds, by 1.5 points on average.",
    100 * equal_gap.mean,
    holds=min(equal_gap.differences) > 0,
)
claim(
    "The net of pairs is ahead in all three seeds", holds=min(equal_gap.differences) > 0, page="slides/07_depthwise.md"
)
low, high = equal_gap.interval()
claim("With three seeds the interval still includes 0, but only just.", holds=-0.005 < low < 0 < high)
low, high = gap.interval()
claim(
    "three seeds do not distinguish the two nets, and that they differ by about two points at most",
    holds=-0.02 < low < 0 < high < 0.02,
)
rows = [row for row in measure.layer_costs(folded, picture) if row.macs]
kernels = {row.name: folded.get_submodule(row.name).weight for row in rows if row.name != "linear"}
mixing = [name for name, weight in kernels.items() if weight.shape[2:] == (1, 1)]
claim(
    "90% of the weights of its convolutions and 81% of its MACs are in the 1 x 1 layers",
    100 * sum(kernels[name].numel() for name in mixing) / sum(weight.numel() for weight in kernels.values()),
    100 * sum(row.macs for row in rows if row.name in mixing) / sum(row.macs for row in rows),
    None,
    None,
)

# %% [markdown]
# > **Takeaway.** A net that is trained as pairs approximates nothing: compare it with a plain net of equal MACs, over several seeds.

# %% [markdown]
# ## 5 Fewer MACs, less time?
#
# The third claim: it takes less. It does take fewer MACs; section 1 has shown that. But lesson 01 said that a layer has two limits, FLOPs per second and bytes per second, and that the slower one decides.
#
# Consider one output of a depthwise 3 x 3 layer. It takes 9 MACs, or 18 FLOPs. The layer reads one number for it and writes one, 8 bytes together: 2.25 FLOPs per byte. In a plain layer of 64 channels each number that is read serves 64 outputs: 64 times as many FLOPs for the same bytes (not counting those of the weights). So a pair with the channels of the plain layer moves its tensors *twice*, in and out of each part,
# for a fraction of the arithmetic. (A **fused** kernel keeps the middle channels on the chip and saves one of the two trips, see Qararyah et al. 2024. Here the two parts run one after the other.) The next cell times the parts of a pair and the plain layer: 64 channels, 14 x 14, for eight pictures and for one.

# %%
predict(
    "7.f",
    "64 to 64 channels: the depthwise part has about an eighth of the pair's MACs. What share of the pair's time does it take?",
    unit="%",
)

# %%
CHANNELS, BATCH = 64, 8
LAST = torch.channels_last  # the channels of a pixel side by side
plain = layers.grouped(CHANNELS, CHANNELS, 3, groups=1, bias=False).to(memory_format=LAST)
pair = layers.depthwise_separable(CHANNELS, CHANNELS, 3, bias=False).to(memory_format=LAST)
x = torch.randn(BATCH, CHANNELS, 14, 14).contiguous(memory_format=LAST)
# The tensors fit into the cache, so what counts is the bandwidth of the cache.
machine = roofline.Machine(
    measure_peak(), roofline.measure_bandwidth_bytes_per_s(buffer_bytes=x.nbytes, repeats=30)
)  # the peak: the best of some matrix products and a large convolution
costs = dict(
    zip(("plain", "depthwise", "pointwise"), measure.layer_costs(nn.Sequential(plain, pair.depthwise, pair.pointwise), x))
)  # fmt: skip
modules = {"plain": plain, "depthwise": pair.depthwise, "pointwise": pair.pointwise}
with torch.no_grad():
    times, alone = (
        measure.compare_latency({name: partial(module, of) for name, module in modules.items()}, repeats=100)
        for of in (x, x[:1].contiguous(memory_format=LAST))
    )


def bound_s(layer):
    """The least time that the roofline allows."""
    return max(measure.flops(layer.macs) / machine.peak_flops_per_s, layer.moved_bytes / machine.bandwidth_bytes_per_s)


parts_s = {name: times[name].median_s for name in ("depthwise", "pointwise")}

# %% name="out-parts" tags=["hide-input"]
lines = [("", "MMAC", "KB", "FLOP/byte", "bound, ms", "measured, ms", "1 picture")]
for name, layer in costs.items():
    lines.append(
        (
            name,
            f"{layer.macs / 1e6:.2f}",
            f"{layer.moved_bytes / 1e3:.0f}",
            f"{roofline.layer_intensity(layer):.1f}",
            f"{1e3 * bound_s(layer):.3f}",
            str(times[name]).removesuffix(" ms"),
            f"{1e3 * alone[name].median_s:.4f}",
        )
    )
with hold("7.f"):
    print(machine)
    print(aligned(lines))

# %%
reveal("7.f", round(100 * parts_s["depthwise"] / sum(parts_s.values())))


# %% name="fig-roofline" tags=["hide-input"]
# The same machine if the tensors come from memory, as larger tensors would.
from_memory = replace(machine, bandwidth_bytes_per_s=roofline.measure_bandwidth_bytes_per_s())


def draw_roofline():
    figure, axes = plt.subplots(figsize=(6, 3.6))
    at = torch.logspace(-0.3, 2.7, 200).tolist()
    for of, line, label in ((machine, "-", "data in the cache"), (from_memory, "--", "data in memory")):
        roof = [of.attainable_flops_per_s(one) / 1e9 for one in at]
        axes.plot(at, roof, color="black", linestyle=line, linewidth=2.5, label=label)
    for (name, layer), colour, marker in zip(costs.items(), ("blue", "vermillion", "green"), "osD"):
        intensity, rate = roofline.layer_intensity(layer), measure.flops(layer.macs) / times[name].median_s / 1e9
        axes.plot(intensity, rate, marker, color=COLOURS[colour], markersize=14)
        label = axes.text(intensity, 0.66 * rate, name, color=COLOURS[colour], ha="center", va="top", fontsize=21)
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.set(xscale="log", yscale="log", ylim=(2.5, 1.6 * max(roof)))
    axes.set_xlabel("FLOPs per byte moved", fontsize=21)
    axes.set_ylabel("GFLOP/s", fontsize=21)
    axes.set_xticks((1, 10, 100), ("1", "10", "100"))
    axes.set_yticks((10, 100), ("10", "100"))
    axes.tick_params(labelsize=20)
    axes.legend(fontsize=18, loc="lower right")
    return figure


show(
    draw_roofline(),
    alt="Two rooflines of this machine, with data in the cache and in memory, and three measured layers. The plain layer is on the right, near the limit of the arithmetic; the pointwise part is to its left and lower; the depthwise part is far to the left, and well below the line of the cache.",
)

# %% tags=["solution-only"]
part = parts_s["depthwise"] / sum(parts_s.values())
macs_part = costs["depthwise"].macs / (costs["depthwise"].macs + costs["pointwise"].macs)
claim(
    "It has an eighth of the pair's MACs, and a larger share of its time",
    holds=part > 1.3 * macs_part and abs(1 / macs_part - 8) < 0.5,
)
over = {name: times[name].median_s / bound_s(layer) for name, layer in costs.items()}
claim("it takes more than three times as long as the roofline allows", holds=over["depthwise"] > 3)
claim(
    "The plain layer comes close to the limit of the arithmetic, and the pointwise part less close.",
    holds=over["plain"] < 1.6 and over["plain"] < over["pointwise"],
)
claim("the furthest of the three from its bound", holds=max(over, key=over.get) == "depthwise")
claim(
    "It takes more than three times as long as the roofline allows",
    holds=over["depthwise"] > 3,
    page="slides/07_depthwise.md",
)
claim(
    "one picture takes it more than a third of the time of eight",
    holds=alone["depthwise"].median_s > times["depthwise"].median_s / 3,
)

# %% [markdown]
# The plain layer comes close to the limit of the arithmetic, and the pointwise part less close. The depthwise part is on the left. It has an eighth of the pair's MACs, and a larger share of its time: it takes more than three times as long as the roofline allows, the furthest of the three from its bound. So neither bytes nor MACs explain most of its time.
# The last column changes nothing but the number of pictures, and gives a part of the answer: one picture takes it more than a third of the time of eight. Much of its time does not grow with the number of pictures: a **fixed cost**. The cause of the rest was not measured. The roofline is a lower bound for the time. (It is also an estimate, from the best of a few runs, so a layer may come out a little above it.)
#
# How many times faster can a pair be at best? By hand, on a machine with 100 FLOP/s and 10 B/s: a plain layer of 500 MACs that moves 40 bytes takes the longer of $1000/100 = 10$ s and $40/10 = 4$ s. A pair of two parts with 50 MACs each, which move 40 and 60 bytes, takes 4 s and 6 s. The MACs fall to a fifth, and the time does not fall at all.

# %% [markdown]
# ### Exercise 7.7 - Seconds, not MACs (8 min)


# %% name="ex-7-7" tags=["exercise"]
def times_faster(before, after, peak, bandwidth):
    """How many times faster `after` is than `before`, if each layer reaches its roofline.

    before, after: lists of layers, run one after the other; a layer is (MACs, bytes moved).
    peak: FLOPs per second; bandwidth: bytes per second. Returns a number.
    """

    ### BEGIN SOLUTION
    def seconds(of):
        return sum(max(2 * macs / peak, moved / bandwidth) for macs, moved in of)

    return seconds(before) / seconds(after)
    ### END SOLUTION


# %% tags=["check"]
check("7.7")

# %% [markdown]
# <details><summary>Hint 1: one layer</summary>
#
# It computes and moves at the same time, so it takes as long as the slower of the two. (And a MAC is two FLOPs.)
# </details>
# <details><summary>Hint 2: several layers</summary>
#
# Each layer has its own limit. Add up seconds, not MACs and bytes: one layer may wait for memory, and another for arithmetic.
# </details>

# %% [markdown]
# ### A trap on the way to the clock
#
# Before you compare the times of layers, check what the clock measures. Each layer makes a new tensor for its output. When nothing uses a large block of memory any more, the C library (glibc, on Linux) gives the block back to the system. At the next call the system hands it over again page by page, and fills each page with zeros first: a **page fault**
# for every 4 KiB. A layer that does little work on much memory can spend more time on page faults than on its own work, and then you measure the allocator.
#
# Three variables tell glibc to keep the memory: `MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_` and `MALLOC_TOP_PAD_`. A process reads them when it starts, and this notebook started long ago. So the library times in a separate process. It takes the *processor* time of one thread, which does not count the work of other programs. Here is a depthwise layer with 128 pictures, both ways. This takes about 20 seconds.

# %% name="out-trap"
trap = {}
for keep in tqdm((False, True), desc="processes"):
    rows, _ = in_clean_process(["depthwise_alone"], batches=[128], layouts=["NCHW"], repeats=10, keep_memory=keep)
    trap[keep] = {row.name: row for row in rows}
lines = [("64 channels, 14 x 14, batch 128", "page faults per call", "processor ms per call")]
for name, keep in itertools.product(("depthwise", "dense"), (False, True)):
    row = trap[keep][name]
    time = milliseconds(row.median_s, row.low_s, row.high_s)
    label = f"{name.replace('dense', 'plain')}, memory {'kept' if keep else 'given back'}"
    lines.append((label, f"{row.page_faults:,.0f}", time))
print(aligned(lines))

# %% tags=["solution-only"]
given_back, kept_memory = trap[False]["depthwise"].page_faults, trap[True]["depthwise"].page_faults
claim(
    "the depthwise layer has more than a thousand faults per call in one row, and hardly any in the other",
    holds=given_back > 1000 and kept_memory < 10,
)

# %% [markdown]
# On this machine the depthwise layer has more than a thousand faults per call in one row, and hardly any in the other, and only the variables differ. The cost of a fault changes: in some runs the first row takes many times as long as the second, in others hardly longer. Where neither row has faults, the C library keeps its memory anyway. The contests that follow keep the memory. Section 6 and the ledger time small tensors in the notebook's own process.
#
# ### Three contests
#
# Each contest compares a plain layer with a pair: with few channels, with many, and with other numbers of channels so that both have the *same* MACs. Batches of 32, batch norms folded, one thread. The columns with a slash divide the plain layer's value by the pair's: MACs, bytes (each tensor moved once), the roofline's time, the processor's time. `NCHW` keeps the channels apart in memory, `NHWC` (torch's
# `channels_last`) keeps the channels of a pixel together. This takes about 10 seconds.

# %%
predict(
    "7.g",
    "A plain layer from 16 to 32 channels, and a pair from 64 to 64: their MACs agree to 2%. How many times as long does the pair take (NHWC)?",
    unit="times",
)

# %% name="run-times"
contests = {"small_layer": "16 -> 16", "large_layer": "128 -> 128", "equal_layers": "equal MACs"}
timed = []
for layout in tqdm(("NCHW", "channels_last"), desc="layouts"):
    rows, _ = in_clean_process([*contests, "equal_models"], batches=[32], layouts=[layout], repeats=20)
    timed += rows


def plain_and_pair(contest, layout):
    rows = record.find_contest(timed, contest, 32, layout)
    return rows[0], next(row for row in rows if row.name.startswith("depthwise"))


# %% name="out-times" tags=["hide-input"]
def ms(row):
    return milliseconds(row.median_s, row.low_s, row.high_s)


with hold("7.g"):
    for layout, short in (("NCHW", "NCHW"), ("channels_last", "NHWC")):
        lines = [(short, "MACs /", "bytes /", "bound /", "plain, ms", "pair, ms", "time /")]
        for contest, label in contests.items():
            one, other = plain_and_pair(contest, layout)
            lines.append(
                (
                    label,
                    f"{one.macs / other.macs:.2f}",
                    f"{one.moved_bytes / other.moved_bytes:.2f}",
                    f"{one.bound_s / other.bound_s:.2f}",
                    ms(one),
                    ms(other),
                    f"{other.times_faster:.2f}",
                )
            )
        print(aligned(lines))

# %%
reveal("7.g", round(1 / plain_and_pair("equal_layers", "channels_last")[1].times_faster, 2))

# %% tags=["solution-only"]
slashes = {
    contest: [plain_and_pair(contest, layout)[1].times_faster for layout in ("NCHW", "channels_last")]
    for contest in contests
}
wide, narrow, even = (
    plain_and_pair(contest, "channels_last") for contest in ("large_layer", "small_layer", "equal_layers")
)
claim(
    "With 128 channels the MACs fall by a factor of 8.4, and the time by a factor of 3 to 7.",
    None,
    wide[0].macs / wide[1].macs,
    None,
    None,
    holds=all(2.9 < times < 7 for times in slashes["large_layer"]),
)
claim(
    "With 128 channels the MACs fall by a factor of 8.4, and the time by a factor of 3 to 7.",
    None,
    wide[0].macs / wide[1].macs,
    None,
    None,
    holds=all(2.9 < times < 7 for times in slashes["large_layer"]),
    page="slides/07_depthwise.md",
)
claim(
    "at equal MACs the pair moves 5.3 times the bytes, and is slower",
    even[1].moved_bytes / even[0].moved_bytes,
    holds=all(times < 1 for times in slashes["equal_layers"]),
    page="slides/07_depthwise.md",
)
claim(
    "With 16 channels they fall by a factor of 5.8, and the time by a factor of 1 to 2.5.",
    None,
    narrow[0].macs / narrow[1].macs,
    None,
    None,
    holds=all(0.9 < times < 2.5 for times in slashes["small_layer"]),
)
claim(
    "At equal MACs the pair moves 5.3 times the bytes of the plain layer, and it is slower in both layouts.",
    even[1].moved_bytes / even[0].moved_bytes,
    holds=all(times < 1 for times in slashes["equal_layers"]),
)
claim(
    "The bound promises nearly the saving in MACs, and no row keeps the promise.",
    holds=all(
        one.bound_s / other.bound_s > max(0.8 * one.macs / other.macs, other.times_faster)
        for contest in contests
        for layout in ("NCHW", "channels_last")
        for one, other in [plain_and_pair(contest, layout)]
    ),
)

# %% [markdown]
# With 128 channels the MACs fall by a factor of 8.4, and the time by a factor of 3 to 7. With 16 channels they fall by a factor of 5.8, and the time by a factor of 1 to 2.5. At equal MACs the pair moves 5.3 times the bytes of the plain layer, and it is slower in both layouts. The bound promises nearly the saving in MACs, and no row keeps the promise. How much of the rest is due to bytes, to fixed costs or to the kernel of the depthwise
# part was not measured here. So the third claim is true of the large layer here, by less than the MACs say, and you have to measure it each time.
#
# Now look again at the two nets of equal MACs. One of them was ahead in accuracy. How much time does that cost?

# %% name="out-models" tags=["hide-input"]
lines = [("batch of 32, memory kept", "MMAC", "KiB", "test, recorded", "ms, NCHW", "ms, NHWC")]
for net in ("plain_cnn", "depthwise_cnn"):
    these = [one for one in study.equal if one.net == net]
    clock = [
        next(row for row in record.find_contest(timed, "equal_models", 32, layout) if row.name == net)
        for layout in ("NCHW", "channels_last")
    ]
    lines.append(
        (
            net,
            f"{these[0].macs / 1e6:.2f}",
            f"{these[0].stored_bytes / 1024:.1f}",
            record.percent([one.test for one in these]),
            *(f"{1e3 * row.median_s:.2f}" for row in clock),
        )
    )
print(aligned(lines))

# %% tags=["solution-only"]
clocks = {(row.name, row.layout): row.median_s for row in timed if row.contest == "equal_models" and row.batch == 32}
claim(
    "The net of pairs takes 1.2 to 2 times as long",
    min(clocks["depthwise_cnn", at] / clocks["plain_cnn", at] for at in ("NCHW", "channels_last")),
    max(clocks["depthwise_cnn", at] / clocks["plain_cnn", at] for at in ("NCHW", "channels_last")),
    within=0.4,
    holds=min(clocks["depthwise_cnn", at] / clocks["plain_cnn", at] for at in ("NCHW", "channels_last")) > 1,
)

# %% [markdown]
# The net of pairs takes 1.2 to 2 times as long, so a plain net that takes as long as the pairs could be larger: "at equal MACs" and "at equal time" are two questions.

# %% [markdown]
# > **Takeaway.** Fewer MACs do not have to mean less time: time both, and compare at equal time as well as at equal MACs.

# %% [markdown]
# ## 6 Look around
#
# Move the number of kernels per channel, and the layer. The upper row shows six trained kernels of one input channel, and one picture after the layer, in the output channel that varies most. The lower row shows the same for the nearest pair. This takes about 6 seconds.

# %% name="fig-explore" tags=["widget", "hide-input"]
LAYERS, RANKS = ("conv1", "conv3", "conv4"), (1, 2, 4, 9)
boot = splits.validation.images[9:10]
inputs_of, found_at, times_of = {}, {}, {}
with torch.no_grad():
    for name in LAYERS:
        index = [one for one, _ in small_cnn.named_children()].index(name)
        conv, inputs_of[name] = small_cnn[index], small_cnn[:index](boot)
        found_at |= {(name, r): separable.separate(conv, r) for r in RANKS}
        eight = small_cnn[:index](splits.validation.images[:8]).contiguous(memory_format=LAST)
        modules = {0: conv} | {r: found_at[name, r].layer for r in RANKS}  # 0 is the trained layer itself
        modules = {r: copy.deepcopy(module).to(memory_format=LAST) for r, module in modules.items()}
        calls = {r: partial(module, eight) for r, module in modules.items()}
        times_of[name] = measure.compare_latency(calls, repeats=60)


def draw_pair(multiplier, layer):
    conv, found = small_cnn.get_submodule(layer), found_at[layer, multiplier]
    both = {"trained": conv, "the pair": separable.as_convolution(found.layer)}
    channel = conv.weight.detach().flatten(2).norm(dim=(0, 2)).argmax()
    strongest = conv.weight.detach()[:, channel].flatten(1).norm(dim=1).argsort(descending=True)[:6]
    with torch.no_grad():
        shown = {name: module(inputs_of[layer])[0] for name, module in both.items()}
    busiest = shown["trained"].flatten(1).std(dim=1).argmax()
    figure, grid = plt.subplots(2, 7, figsize=(10, 3.9), width_ratios=(1,) * 6 + (2,))
    limit = conv.weight.detach()[strongest, channel].abs().max()
    for line, (name, module) in zip(grid, both.items()):
        for axes, kernel in zip(line, module.weight.detach()[strongest, channel]):
            axes.imshow(kernel, cmap="PuOr", vmin=-limit, vmax=limit)
        line[6].imshow(shown[name][busiest], vmin=shown["trained"][busiest].min(), vmax=shown["trained"][busiest].max())
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=20)
    for axes in grid.flat:
        axes.set(xticks=(), yticks=())
        axes.grid(False)
    clock = times_of[layer]
    figure.suptitle(
        f"error {found.relative_error:.0%}, MACs {float(found.cost_ratio):.0%}, "
        f"{1e3 * clock[multiplier].median_s:.2f} ms, trained layer {1e3 * clock[0].median_s:.2f}",
        fontsize=23,
    )
    return figure


explore(
    draw_pair,
    alt=lambda multiplier, layer: (
        f"Six trained kernels of {layer} and a picture after the layer; below, the same for the nearest pair. {found_at[layer, multiplier].summary}"
    ),
    labels={"multiplier": "depthwise kernels per channel"},
    multiplier=RANKS,
    layer=LAYERS,
)

# %% [markdown]
# The times are those of the pair and of the trained layer, for eight pictures, NHWC. `conv1` shows best what a pair is: it has one input channel, so its 16 kernels are mixtures of as many basic kernels as the multiplier says. Which layer is near enough at a multiplier that saves MACs? At which multiplier is it faster?

# %% [markdown]
# > **Takeaway.** Judge a multiplier by three numbers together: the error of its weights, its MACs and its measured time.

# %% [markdown]
# ## 7 Where it stops working
#
# - **Trained weights are not pairs.** Their slices have full rank, and the best pair may be far away. Look at the singular values, layer by layer: they show an exception.
# - **An error of the weights is not a loss of accuracy.** It says how far the kernels moved, but not whether the net depends on that difference. Choose on validation pictures.
# - **Few outputs mean a large share.** With $N$ below $K^2$ the term $1/N$ dominates. A layer with one output has nothing to share.
# - **A wide pair is not cheap.** From a multiplier of $N K^2 / (N + K^2)$ on it costs as much as the convolution or more, and it may be exact only there.
# - **MACs are not time.** The depthwise part moves nearly as many bytes as a plain layer, for a fraction of the arithmetic, and each call has a fixed cost. An accelerator that multiplies matrices in blocks may use only a small part of itself for it (lesson 10).
# - **Which net trains well is another question.** That a small MobileNet does well here is a result about these nets, this data and these seeds.

# %% [markdown]
# > **Takeaway.** None of the three claims is true of every layer: check the rank, the accuracy and the time of yours.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A 5 x 5 layer has 256 output channels. What share of its MACs does a pair with a multiplier of 1 need? Up to which multiplier does a pair save anything? What does the pair cost that is exact for every such layer?
#
# <details><summary>Answer</summary>
#
# The share is 1/256 + 1/25 = 281/6400, about 4.4%. The pair saves as long as r · 281 < 6400, so r ≤ 22. A slice has 25 columns, so r = 25 is always exact: 25 · 281 / 6400 = 7025/6400, about 10% more than the convolution.
# </details>
#
# **2.** A layer has one input channel, three output channels and kernels of two weights: (3, 4), (6, 8) and (4, -3). Which multiplier makes a pair exact? What is the error of the nearest pair with a multiplier of 1?
#
# <details><summary>Answer</summary>
#
# The first two kernels are 5 and 10 times (0.6, 0.8), the third is 5 times (0.8, -0.6). The two directions are at right angles, so the slice has rank 2 and a multiplier of 2 is exact. The squared singular values are 25 + 100 = 125 and 25. With one kernel, the error is √(25 / 150) = √(1/6), about 0.41: the third output gets nothing.
# </details>
#
# **3.** A machine computes 100 GFLOP/s and moves 20 GB/s. A plain layer has 54 million MACs and moves 0.9 MB. A pair has a depthwise part (1 million MACs, 0.8 MB) and a pointwise part (6 million MACs, 0.8 MB). How many times fewer MACs does the pair have, and how many times faster is it at best? What if each of the three layers also has a fixed cost of 0.05 ms?
#
# <details><summary>Answer</summary>
#
# The MACs fall by a factor of 54 / 7 = 7.7. The plain layer takes the longer of 1.08 ms and 0.045 ms, the depthwise part the longer of 0.02 ms and 0.04 ms, the pointwise part the longer of 0.12 ms and 0.04 ms. So the pair is 1.08 / 0.16 = 6.75 times as fast. With the fixed costs it is 1.13 / 0.26, about 4.3 times as fast.
# </details>

# %% [markdown]
# ## The ledger
#
# The ledger gets three rows: the dense net; of the nets with pairs put in and not trained further, the net with the fewest MACs that loses less than a point of *validation* accuracy; and the net that was trained as pairs.

# %% name="out-ledger"
good = {key: one for key, one in candidates.items() if one[1] >= dense_accuracy - 0.01}
(name, multiplier), (best, validation_accuracy, macs_share) = min(good.items(), key=lambda item: item[1][2])
print(f"chosen: {name}, multiplier {multiplier}; validation {validation_accuracy:.1%}, dense {dense_accuracy:.1%}")
nets = {
    "small_cnn": fold_batch_norm(small_cnn),
    f"{name} a pair": separate_model(small_cnn, picture, {name: multiplier} if name in NAMES else multiplier).model,
    "depthwise_cnn": fold_batch_norm(trained["depthwise_cnn"][0]),
}
report = measure.report(
    nets, picture, accuracies={key: fit.accuracy(net, splits.test) for key, net in nets.items()}, repeats=100
)
print(report)

# %%
for row in report.rows:
    table = ledger(row, lesson=7, beside=report.rows[0])
table

# %% tags=["solution-only"]
plain_row, _, pairs_row = report.rows
claim(
    "`depthwise_cnn` has 4.7 times fewer MACs than `small_cnn` and an accuracy within a point, and it is hardly faster, if at all.",
    plain_row.macs / pairs_row.macs,
    holds=pairs_row.median_s > 0.9 * plain_row.median_s and abs(pairs_row.accuracy - plain_row.accuracy) < 0.01,
)

# %% [markdown]
# These are the times of a single picture, and the last column compares them within this run. `depthwise_cnn` has 4.7 times fewer MACs than `small_cnn` and an accuracy within a point, and it is hardly faster, if at all.

# %%
progress()

# %% [markdown]
# ## Summary
#
# - A pair, depthwise then pointwise, costs exactly $r (1/N + 1/K^2)$ of the convolution. A 3 x 3 pair never saves more than 9 times.
# - It **is** a given convolution if each slice $W[:, i]$ has rank $r$ or less. Otherwise the SVD of the slices gives the nearest pair, and its error before you build anything.
# - Trained layers have slices of full rank. This trained net breaks once all its layers are replaced by their nearest pairs; one of its layers can be replaced for less than a point.
# - A MobileNet is **another net that is trained**. Compare it with a plain net of equal MACs, over several seeds, and with one of equal time.
# - Fewer MACs saved less time than they promised in each contest here, and at equal MACs the pair was slower. Time both, and make the allocator keep its memory.
#
# **References.** Chollet 2017, *Xception: Deep Learning with Depthwise Separable Convolutions*. Howard et al. 2017, *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*. Sandler et al. 2018, *MobileNetV2: Inverted Residuals and Linear Bottlenecks*. Qararyah et al. 2024, *Fusing Depthwise and Pointwise Convolutions for Efficient Inference on GPUs* (arXiv 2404.19331). Guo et al. 2018, *Network
# Decoupling: From Regular to Depthwise Separable Convolutions*. Eckart and Young 1936, *The Approximation of One Matrix by Another of Lower Rank*.
#
# **In the library.** In [`mini_lib/factorize`](../mini_lib/factorize/__init__.py), [`cost.py`](../mini_lib/factorize/cost.py) has the formulas, [`layers.py`](../mini_lib/factorize/layers.py) the layers, [`separable.py`](../mini_lib/factorize/separable.py) the nearest pair and the way back, and [`model.py`](../mini_lib/factorize/model.py) puts them into a model; [`studies/factorize`](../studies/factorize/__init__.py) has the contests and the recorded results.
#
# **Next:** [08 How much of a trained filter is really there?](08_low_rank.ipynb) A pair is one way to take a layer apart. There are others, and their parts may mix channels as well.
