# %% [markdown]
# # Is a depthwise-separable convolution the same thing for less?
#
# Lesson 07 · about 75 minutes · before it: [01 What does a model cost?](01_measure.ipynb)
#
# In 2017 a network called MobileNet took nearly every convolution in two: one part that looks around within a channel, and one that mixes the channels. Its authors report eight to nine times fewer multiplications, and a network that is nearly as good.
# So people say: "a depthwise-separable convolution gives almost the same as a convolution, for less". There are three claims in that sentence. That it computes the same; that it computes *almost* the same; and that it takes less.
# Each can be put to the test, and each is true in some cases and wrong in the others.
#
# **You will be able to**
# 1. count what a convolution, a grouped one, and a depthwise-separable pair cost, and say from which multiplier on the pair saves nothing;
# 2. say when a pair *is* a given convolution, how far it is from it otherwise, before computing anything with it, and what that does to a trained net;
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
from teach import check, explore, figures, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one core against one core; sums then repeat to the last digit
figures.use_style()
splits = data.fashion()
picture = splits.test.images[:1]
small_cnn = zoo.load("small_cnn", seed=0)
COLOURS = figures.COLOURS

# %% [markdown]
# ## 1 What is counted
#
# A convolution does two things at once. It looks around, in a window of $K \times K$ pixels, and it mixes channels: each of its $N$ output channels looks at all $M$ input channels. So for each pair of an output and an input channel it has a kernel of $K^2$ weights, and it does all of that at every place of its output:
#
# $$\text{MACs} = \text{places} \cdot N \cdot M \cdot K^2.$$
#
# By hand: 3 to 8 channels, 3 x 3, an image of 8 x 8. That is $64 \cdot 8 \cdot 3 \cdot 9 = 13{,}824$. A stride of 2 leaves 4 x 4 places, and a quarter of the work.
#
# It gets cheaper if not everybody looks at everybody. In a **grouped** convolution channels meet within their group only. **Depthwise** is the extreme: each channel is a group, and sees only itself. **Pointwise** is the other extreme: the window is one pixel, and all that is left is mixing. Here is who looks at whom, and through how many weights.


# %% name="fig-connections"
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
# The kernel is put down at the first pixel, and then at every stride-th. With 5 pixels and a stride of 2, how many places are that?
# </details>
# <details><summary>Hint 2: what one output channel sees</summary>
#
# All output channels are computed, in every case. What groups change is how many input channels each of them looks at.
# </details>

# %% [markdown]
# Now the pair: depthwise, then pointwise. Each input channel is looked at by itself, and what comes out is mixed. Or it is looked at in several ways: with a **multiplier** of $r$, each channel gets $r$ kernels, and the pointwise part mixes $M r$ channels. Nothing is done in between.
#
# By hand, the layer from above with a multiplier of 1: at each of 64 places 3 kernels with 9 products, and 8 outputs that read 3 channels. $64 \cdot (27 + 24) = 3{,}264$.

# %% [markdown]
# ### Exercise 7.2 - What the pair costs (6 min)


# %% name="ex-7-2" tags=["exercise"]
def macs_of_pair(inputs, outputs, kernel, places, multiplier):
    """MACs of a depthwise convolution and the pointwise one behind it, on one image.

    places: pixels of the output, in all. multiplier: kernels for each input channel. Returns a whole number.
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
# Divide the one by the other. Places and input channels cancel, and what is left is
#
# $$\frac{\text{pair}}{\text{plain}} = r \left( \frac{1}{N} + \frac{1}{K^2} \right).$$
#
# By hand: 16 outputs, 3 x 3, a multiplier of 1. $1/16 + 1/9 = 25/144$, about a sixth. With a multiplier of 6 it is $150/144$: more than the convolution.

# %%
predict(
    "7.a",
    "small_cnn has four 3 x 3 convolutions, from 1 to 16, 32, 64 and 64 channels. All become pairs with a multiplier of 1. How many times fewer MACs has the model?",
    unit="times",
)

# %% [markdown]
# ### Exercise 7.3 - What is saved, and until when (8 min)


# %% name="ex-7-3" tags=["exercise"]
def share_and_limit(outputs, kernel, multiplier):
    """What a pair costs of the convolution, and how far one can go.

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
# The share grows with the multiplier in a straight line. At which number, whole or not, is it 1?
# </details>
# <details><summary>Hint 2: exactly at the limit</summary>
#
# If that number is whole, the pair costs as much as the convolution there, and nothing is saved: take one less.
# </details>

# %% [markdown]
# A formula is a claim, too. Here are layers of random shapes, built and run, their MACs counted as they happen.

# %% name="out-costs"
draw = random.Random(0)
lines = [("channels", "kernel", "stride", "r", "plain MACs", "pair MACs", "counted", "r (1/N + 1/K²)")]
for _ in range(8):
    inputs, outputs, kernel = draw.randint(2, 40), draw.randint(9, 80), draw.choice((3, 5))
    stride, multiplier, size = draw.choice((1, 2)), draw.choice((1, 1, 2, 3)), draw.randint(8, 30)
    image = torch.zeros(1, inputs, size, size)
    plain = measure.macs(layers.grouped(inputs, outputs, kernel, 1, stride=stride), image)
    both = layers.depthwise_separable(inputs, outputs, kernel, stride=stride, multiplier=multiplier)
    counted, formula = Fraction(measure.macs(both, image), plain), cost.cost_ratio(outputs, kernel, multiplier)
    lines.append(
        (
            f"{inputs} -> {outputs}",
            f"{kernel} x {kernel}",
            f"{stride}",
            f"{multiplier}",
            f"{plain:,}",
            f"{measure.macs(both, image):,}",
            f"{counted}",
            f"{formula}",
        )
    )
print(aligned(lines))

# %% tags=["solution-only"]
from teach import claim

claim("The fractions are the same, to the last digit.", holds=all(line[-2] == line[-1] for line in lines[1:]))

# %%
pairs = separate_model(small_cnn, picture, 1)
reveal("7.a", round(measure.macs(small_cnn, picture) / measure.macs(pairs.model, picture), 2))

# %% [markdown]
# The fractions are the same, to the last digit. The kernel's term $1/K^2$ is a floor, so a 3 x 3 pair never saves more than 9 times, however many channels there are.
#
# ## 2 When is it the same?
#
# Neither part has anything but sums and products. So the pair is linear, and **a pair is a convolution**: some kernel, done in two steps. Which one? Output $n$ takes from the middle channel $(i, j)$, that is kernel $j$ of input $i$, the share $p_{n, ij}$. So its kernel for input $i$ is
#
# $$W[n, i] = \sum_{j=1}^{r} p_{n,ij} \, d_{ij}.$$
#
# By hand: one input, one output, two kernels $(1, 2)$ and $(3, 4)$, mixed with 10 and 1. The convolution is $10 \cdot (1, 2) + 1 \cdot (3, 4) = (13, 24)$.

# %% [markdown]
# ### Exercise 7.4 - The convolution that a pair is (8 min)


# %% name="ex-7-4" tags=["exercise"]
def composed_kernel(spatial, mixing, multiplier):
    """The kernel of the one convolution that does what the pair does.

    spatial: [M * multiplier, 1, K, K], the depthwise part; the kernels of one input channel lie side by side.
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
# For each output `n` and each middle channel there is one number times one kernel. The middle channels of one input are added up.
# </details>
# <details><summary>Hint 2: products</summary>
#
# `mixing` is [N, M r, 1, 1] and `spatial[:, 0]` is [M r, K, K]. What shape has their product?
# </details>
# <details><summary>Hint 3: sums of neighbours</summary>
#
# `unflatten(1, (-1, multiplier))` makes [N, M, r, K, K] of [N, M r, K, K].
# </details>

# %% [markdown]
# Now the other way round: which convolutions are pairs? Take all kernels that look at input channel $i$, one for each output, and write each as a row: a matrix of $N \times K^2$, the **slice** $W[:, i]$. In a pair with a multiplier of 1, all rows are multiples of one kernel. Such a matrix has rank 1. With $r$ kernels to mix, the rank is at most $r$. And every matrix of rank $r$ can be written so. That is the whole answer:
#
# **A pair with multiplier $r$ is a given convolution exactly if each of its slices $W[:, i]$ has rank $r$ or less.**
#
# Look at one slice of each of three layers, with the eight kernels that weigh most.


# %% name="fig-slices"
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
    alt="Eight kernels of 3 by 3 that look at one input channel, in three rows. Of a pair: all the same but for their strength. Of conv3: all different. Of conv4: mostly one shape in several strengths.",
)

# %%
predict(
    "7.b",
    "A convolution, 16 to 32 channels, whose slices have rank 2; a pair with a multiplier of 2. On random pictures, by how much of their size do the outputs differ?",
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
    print("ranks of the slices:", set(separable.slice_ranks(conv)))
    lines, differs = [("multiplier", "MACs", "error of the weights", "outputs differ by")], {}
    for multiplier in (1, 2, 3):
        found = separable.separate(conv, multiplier)
        differs[multiplier] = ((found.layer(images) - wanted).norm() / wanted.norm()).item()
        error = "none" if found.is_exact else f"{found.relative_error:.3f}"
        lines.append((f"{multiplier}", f"{float(found.cost_ratio):.0%}", error, f"{differs[multiplier]:.0e}"))
print(aligned(lines, left=()))

# %%
reveal(
    "7.b",
    "by nothing but roundings" if differs[2] < 1e-5
    else "by less than 1%, but more than roundings" if differs[2] < 0.01
    else "by 1% or more",
)  # fmt: skip

# %% [markdown]
# So the first claim is true, for some convolutions. Does anybody train one of those? A slice of a 3 x 3 layer with many outputs can hold nine kernels that have nothing in common; then its rank is 9. At a multiplier of 9 the pair is exact for *every* 3 x 3 convolution. But what does it cost then?
#
# (There is another "separable": a kernel such as Sobel's is a column times a row, and can be done as 3 x 1 and then 1 x 3. That is the rank of one kernel, as a $K \times K$ matrix; here it is that of the kernels of a channel. Neither implies the other. Lesson 08 has the first, for whole layers.)
#
# ## 3 Then how near?
#
# If the rank of a slice is higher, something must go. What is the best matrix of rank $r$? Take the slice apart into layers of rank 1, the strongest first, and keep $r$: that is its **singular value decomposition**, and no other choice is nearer (Eckart and Young, 1936).
#
# $$S = \sum_k s_k \, u_k v_k^{\mathsf T}, \qquad S \approx \sum_{k \le r} s_k \, u_k v_k^{\mathsf T}.$$
#
# Here $v_k$ is a kernel, $u_k$ says how much of it each output takes, and $s_k$ how much there is of it at all. By hand: one input, two outputs with the kernels $(4, 0)$ and $(0, 3)$. They have nothing in common, $s = (4, 3)$. With one kernel to share, the best is to keep $(4, 0)$ and to give up the other. Channels share no weights, so the best for each slice is the best for all.

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
# One matrix for each input channel, N x K². `weight[:, i]` with its last two axes made one is the slice of channel i.
# </details>
# <details><summary>Hint 2: all slices at once, or one by one</summary>
#
# `torch.linalg.svd(matrix, full_matrices=False)` returns u, s and v transposed. It also takes a stack of matrices. A loop over the channels is as good.
# </details>
# <details><summary>Hint 3: what is kept</summary>
#
# The first columns of u, each times its singular value, with the first rows of v transposed. Then back to the shape of the weight.
# </details>

# %% [markdown]
# What is lost is what was left out, and the singular values say how much that is, **before anything is built**:
#
# $$\text{error} = \frac{\lVert W - W' \rVert}{\lVert W \rVert} = \sqrt{\frac{\text{sum of } s^2 \text{ left out}}{\text{sum of all } s^2}},$$
#
# over all slices together. By hand: $s = (4, 3)$, one kept: $\sqrt{9 / 25} = 0.6$. With a second slice of $s = (12, 0)$ beside it: $\sqrt{9 / 169} = 3/13$.

# %% [markdown]
# ### Exercise 7.6 - The error, known beforehand (6 min)


# %% name="ex-7-6" tags=["exercise"]
def error_beforehand(values, multiplier):
    """The relative error of the nearest kernel.

    values: [M, n], the singular values of the slices, one row for each, largest first. Returns a number.
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
# Squares of all slices are added up first, above and below. It is not the mean of one error a slice.
# </details>

# %% [markdown]
# A kernel of random numbers has no structure that could be saved. How bad is a pair for it?

# %%
predict(
    "7.c",
    "The nearest pair with a multiplier of 1, for a random 3 x 3 convolution from 8 to 16 channels. How large is the error, in percent of the weight's size?",
    unit="%",
)


# %% name="out-random"
def random_like(conv, seed=0):
    """A convolution of the same shape with random weights."""
    other = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, bias=False)
    other.weight.data = torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(seed))
    return other


shapeless = random_like(nn.Conv2d(8, 16, 3))
print(separable.separable_table(shapeless))
measured = (separable.as_convolution(separable.separate(shapeless, 1).layer).weight - shapeless.weight).norm()
print(f"multiplier 1, measured on the weights: {(measured / shapeless.weight.norm()).item():.3f}")
hundred = fit.over_seeds(lambda seed: separable.separable_errors(random_like(shapeless, seed))[0], range(100))
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
# But nobody uses random kernels. Does training make the kernels of one channel alike? Here is each trained layer of `small_cnn` next to a random one of the same shape, over what the pair costs:

# %% name="fig-errors"
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
    four[0].set(ylabel="error of the weights, in %")
    four[3].legend(fontsize=13, loc="upper right")
    figure.supxlabel("MACs, in % of the convolution (grey: the pair costs more)", fontsize=14)
    return figure


show(
    draw_errors(),
    alt="Error of the nearest pair over its MACs, for multipliers 1 to 9, in each of the four layers: trained weights beside random ones. In conv1 to conv3 the two lie close together; in conv4 the trained ones are much nearer to a pair. The error is zero only where the pair costs more.",
)

# %% [markdown]
# With a multiplier of 1 the error is 3 to 8% below that of random weights in conv1 to conv3, and 35% below it in conv4. (In conv1, which has a single slice, 3% is no more than random kernels differ by among themselves.) What does that do to the net? Take the trained model, put the nearest pairs in, and ask it. No training afterwards.

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
    f"All four layers become their nearest pairs, multiplier 1. The dense net is right for {dense_accuracy:.1%} of the validation pictures. For how many are the pairs?",
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
print(f"dense: {dense_accuracy:.1%} of the validation pictures. Replaced: MACs of the net, accuracy")
lines = [("replaced", *(f"multiplier {multiplier}" for multiplier in MULTIPLIERS))]
for name in (*NAMES, "all four"):
    cells = (candidates[name, multiplier] for multiplier in MULTIPLIERS)
    lines.append((name, *(f"{macs_share:4.0%}  {accuracy:6.1%}" for _, accuracy, macs_share in cells)))
print(aligned(lines))

# %%
reveal("7.d", round(100 * candidates["all four", 1][1], 1))

# %% tags=["solution-only"]
claim(
    "10% is what guessing gives, and with a multiplier of 1 the net of pairs gets 12%",
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
# There are ten classes, so 10% is what guessing gives, and with a multiplier of 1 the net of pairs gets 12%. The second claim, "almost the same", is wrong for this trained net: made of nearest pairs, it is broken. (Its batch norms keep the statistics of the old layers. To measure them anew was not tried here.)
#
# One layer is an exception. `conv4` has the smallest error, and with a multiplier of 2 the net loses less than a point (it does in all three seeds of the zoo). Look at its kernels again, above: they are mostly one shape in several strengths. Why that is so in this layer, and not in the others, was not tested here.
#
# ### What training repairs
#
# A broken net can be trained further. All nets below get the same few steps. There are two controls. The **dense** net gets the same training, since that changes it as well. And a net of pairs that was never a convolution starts **from scratch**: what it reaches was not inherited from the trained weights.

# %% name="out-finetune"
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
lines = [("validation accuracy, 3 seeds", "MACs", "before", f"after one pass over {len(FEW):,}")]
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
        cells = (f"{record.percent(accuracies)} %" for accuracies in (before, after))
        lines.append((name, f"{measure.macs(net, picture) / dense_macs:.0%}", *cells))
print(aligned(lines))
head_start = paired(tuned_to["all four pairs, multiplier 1"], tuned_to["the same, from scratch"])
low, high = (100 * end for end in head_start.interval())
print(f"pairs - from scratch, seed by seed: {100 * head_start.mean:+.0f} points, 95% interval {low:.0f} to {high:.0f}")

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
    "The dense net, to which nothing was done, loses about 3 points by so short a training.",
    untouched - means["dense, the control"],
    within=0.5,  # the standard deviation over the seeds
)
claim(
    "With one layer replaced, less than two points are missing.",
    holds=means["dense, the control"] - means["conv4 a pair, multiplier 1"] < 2,
)
claim("what the trained net is still good for as a start", holds=low > 0)

# %% [markdown]
# Read the table with its controls. The dense net, to which nothing was done, loses about 3 points by so short a training. The difference between the last two rows is what the trained net is still good for as a start (its nearest pairs, its batch norms and its last layer together): the interval of three seeds is wide, and lies above 0. The distance from the third row to the first is what has not come back. With one layer replaced, less than two points are missing.
#
# A net of pairs can instead be *trained as one* from the beginning, as MobileNet is. It approximates nothing.
#
# ## 4 Another net
#
# The zoo has both: `small_cnn` with four plain convolutions, and `depthwise_cnn`, a small MobileNet with one plain layer and four blocks of pairs, each trained from scratch with three seeds and a recipe of its own. In a block there is a batch norm and a **ReLU between the two parts**. So a block is not one linear map any more, and in general there is no convolution that it is the same as.

# %%
less = dense_macs / measure.macs(zoo.depthwise_cnn(), picture)
predict(
    "7.e",
    f"depthwise_cnn has {less:.1f} times fewer MACs than small_cnn, and was trained from scratch. How accurate is it on the test pictures, compared with small_cnn?",
    choices=("better than small_cnn", "worse than small_cnn", "no difference beyond chance"),
)

# %% name="out-zoo"
trained = {name: [zoo.load(name, seed) for seed in tqdm(SEEDS, desc=name)] for name in ("small_cnn", "depthwise_cnn")}
accuracies = {name: fit.Spread(tuple(fit.accuracy(net, splits.test) for net in nets)) for name, nets in trained.items()}
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
print(aligned(lines))


def compared(one, other):
    """The difference of two nets in points, seed by seed, with the interval of its mean."""
    found = paired(one, other)
    low, high = (100 * end for end in found.interval())
    return found, f"{100 * found.mean:+.1f} points, 95% interval {low:+.1f} to {high:+.1f}"


gap, gap_text = compared(*(dict(zip(SEEDS, accuracies[net].values)) for net in ("depthwise_cnn", "small_cnn")))
print(f"depthwise_cnn - small_cnn, seed by seed: {gap_text}")

# %%
low, high = gap.interval()
reveal(
    "7.e", "better than small_cnn" if low > 0 else "worse than small_cnn" if high < 0 else "no difference beyond chance"
)

# %% [markdown]
# An interval around 0 says that three seeds do not tell the two apart, and that they lie within about two points. Is that the merit of pairs, or of more layers and more channels? Take away the difference in MACs: `plain_cnn` is a net like `small_cnn`, made so narrow that it has as many MACs as `depthwise_cnn`, and trained with the recipe
# of `depthwise_cnn`. (It was given no recipe of its own, so it may be a little worse than it could be.) Training both takes a while, so this was **recorded**: the cell reads a file that comes with the course.

# %% name="out-equal"
study = record.recorded()
print("RECORDED, not run here; to make it anew:")
print("python tools/factorize_study.py --record DIR\n")
print(record.equal_table(study.equal))
tests = {net: {one.seed: one.test for one in study.equal if one.net == net} for net in ("depthwise_cnn", "plain_cnn")}
equal_gap, equal_text = compared(*tests.values())
print(f"depthwise_cnn - plain_cnn, test, seed by seed: {equal_text}")

# %% [markdown]
# The question has changed: not "is a pair as good as the convolution it replaces", but "what is the best net that this many MACs can buy?". `depthwise_cnn` is ahead in all three seeds, by 1.5 points on average. With three seeds the interval still includes 0, if barely. And equal MACs are neither equal bytes, see the table, nor equal time, see section 5.
#
# Where do the MACs of such a net go? 90% of the weights of its convolutions and 81% of its MACs are in the 1 x 1 layers. MobileNetV2 starts elsewhere. It assumes that what a layer has to tell fits into few channels, and shows that a **ReLU among few channels destroys some of it**. So its **inverted residual** passes few channels from block to block. Inside it goes to many, where the
# depthwise part and the ReLUs are, and back to few by a pointwise layer *without* a ReLU, the **linear bottleneck**; then, where the shapes agree, it adds its input. (That the linear end helps is the paper's result. It is not tested here.) By hand: 16 channels, four times as many in the middle, and back, at each place: $16 \cdot 64 + 64 \cdot 9 + 64 \cdot 16 = 2{,}624$ MACs. A pair of 64 channels takes $64 \cdot 9 + 64 \cdot 64 = 4{,}672$, and passes on four times as many.

# %% name="out-inverted"
SIZE = 14
blocks = {
    "plain 64 -> 64": (layers.grouped(64, 64, 3, groups=1), 64),
    "pair 64 -> 64": (layers.depthwise_separable(64, 64, 3), 64),
    "inverted residual 16 -> 64 -> 16": (layers.inverted_residual(16, 16, 4), 16),
}
lines = [("", "MACs a place", "weights", "passed on, a place")]
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
claim("With three seeds the interval still includes 0, if barely.", holds=-0.005 < low < 0 < high)
low, high = gap.interval()
claim(
    "three seeds do not tell the two apart, and that they lie within about two points",
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
# ## 5 Fewer MACs, less time?
#
# The third claim: it takes less. Fewer MACs, that is proven. But lesson 01 said that a layer has two limits, and that the slower one counts: so many FLOPs per second, and so many bytes per second.
#
# Take one output of a depthwise 3 x 3 layer. It takes 9 MACs, or 18 FLOPs. A number is read for it, and one is written, 8 bytes: 2.25 FLOPs for each byte. In a plain layer of 64 channels each number that is read serves 64 outputs: 64 times as many FLOPs for the same bytes (those of the weights aside). So a pair with the channels of the plain layer moves its tensors *twice*, in and out of each part,
# for a fraction of the arithmetic. (A **fused** kernel keeps the middle channels on the chip and saves one of the two trips, see Qararyah et al. 2024. Here the two parts run one after the other.) Here are the parts of a pair and the plain layer: 64 channels, 14 x 14, eight pictures, and one.

# %%
predict(
    "7.f",
    "64 to 64 channels: the depthwise part has about an eighth of the pair's MACs. Which share of the pair's time does it take?",
    unit="%",
)

# %% name="out-parts"
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


print(machine)
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
print(aligned(lines))

# %%
parts_s = {name: times[name].median_s for name in ("depthwise", "pointwise")}
reveal("7.f", round(100 * parts_s["depthwise"] / sum(parts_s.values())))


# %% name="fig-roofline"
# The same machine if the tensors come from memory: larger ones would.
from_memory = replace(machine, bandwidth_bytes_per_s=roofline.measure_bandwidth_bytes_per_s())


def draw_roofline():
    figure, axes = plt.subplots(figsize=(8.5, 4.8))
    at = torch.logspace(-0.3, 2.5, 200).tolist()
    for of, line, label in ((machine, "-", "data in the cache"), (from_memory, "--", "data in memory")):
        roof = [of.attainable_flops_per_s(one) / 1e9 for one in at]
        axes.plot(at, roof, color="black", linestyle=line, linewidth=2, label=label)
    for (name, layer), colour, marker in zip(costs.items(), ("blue", "vermillion", "green"), "osD"):
        intensity, rate = roofline.layer_intensity(layer), measure.flops(layer.macs) / times[name].median_s / 1e9
        axes.plot(intensity, rate, marker, color=COLOURS[colour], markersize=12)
        axes.text(intensity, 0.75 * rate, name, color=COLOURS[colour], ha="center", va="top", fontsize=14)
    axes.set(xscale="log", yscale="log", xlabel="FLOPs for each byte moved", ylabel="GFLOP/s", ylim=(5, None))
    axes.set_xticks((1, 10, 100), ("1", "10", "100"))
    axes.set_yticks((10, 100), ("10", "100"))
    axes.legend(fontsize=13, loc="lower right")
    return figure


show(
    draw_roofline(),
    alt="Two rooflines of this machine, with data in the cache and in memory, and three measured layers. The plain layer stands to the right, near the limit of the arithmetic; the pointwise part stands left of it and lower; the depthwise part stands far to the left, and well below the line of the cache.",
)

# %% tags=["solution-only"]
part = parts_s["depthwise"] / sum(parts_s.values())
macs_part = costs["depthwise"].macs / (costs["depthwise"].macs + costs["pointwise"].macs)
claim(
    "It has an eighth of the pair's MACs, and a larger share of its time",
    holds=part > 1.3 * macs_part and abs(1 / macs_part - 8) < 0.5,
)
over = {name: times[name].median_s / bound_s(layer) for name, layer in costs.items()}
claim("it takes more than three times what the roofline allows", holds=over["depthwise"] > 3)
claim(
    "The plain layer comes near the limit of the arithmetic, and the pointwise part less near.",
    holds=over["plain"] < 1.6 and over["plain"] < over["pointwise"],
)
claim("the furthest of the three from its bound", holds=max(over, key=over.get) == "depthwise")
claim(
    "It takes more than three times what the roofline allows",
    holds=over["depthwise"] > 3,
    page="slides/07_depthwise.md",
)
claim(
    "one picture takes it more than a third of the time of eight",
    holds=alone["depthwise"].median_s > times["depthwise"].median_s / 3,
)

# %% [markdown]
# The plain layer comes near the limit of the arithmetic, and the pointwise part less near. The depthwise part is on the left. It has an eighth of the pair's MACs, and a larger share of its time: it takes more than three times what the roofline allows, the furthest of the three from its bound. So most of its time is explained neither by bytes nor by MACs.
# The last column changes nothing but the number of pictures, and finds a part of the answer: one picture takes it more than a third of the time of eight. Much of its time does not grow with the pictures: a **fixed cost**. What holds up the rest was not measured. The roofline is a lower bound for the time. (It is also an estimate, from the best of a few runs, so a layer may come out a little above it.)
#
# How many times faster can a pair be at best? By hand, on a machine with 100 FLOP/s and 10 B/s: a plain layer of 500 MACs that moves 40 bytes takes the longer of $1000/100 = 10$ s and $40/10 = 4$ s. A pair of two parts with 50 MACs each, which move 40 and 60 bytes, takes 4 s and 6 s. The MACs fall to a fifth, and the time not at all.

# %% [markdown]
# ### Exercise 7.7 - Seconds, not MACs (8 min)


# %% name="ex-7-7" tags=["exercise"]
def times_faster(before, after, peak, bandwidth):
    """How many times faster `after` is than `before`, if each layer reaches its roofline.

    before, after: lists of layers, run one after the other; a layer is (MACs, bytes moved).
    peak: FLOPs a second; bandwidth: bytes a second. Returns a number.
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
# Each layer has a limit of its own. Add up seconds, not MACs and bytes: where one waits for memory, the other may compute.
# </details>

# %% [markdown]
# ### A trap on the way to the clock
#
# Before you compare the times of layers, look at what is timed. Each layer makes a new tensor for its output. When the last one that used a large block of memory is done, the C library (glibc, on Linux) gives the block back to the system. At the next call the system hands it over again page by page, each filled with zeros first: a **page fault**
# for every 4 KiB. A layer that does little on much memory can spend more time on that than on its own work, and then the allocator is what you measure.
#
# Three variables tell glibc to keep the memory: `MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_` and `MALLOC_TOP_PAD_`. They are read when a process starts, and this notebook has long started. So the library times in a process of its own. It takes *processor* time, of one thread: what other programs do meanwhile is not counted. Here is a depthwise layer with 128 pictures, both ways.

# %% name="out-trap"
trap = {}
for keep in tqdm((False, True), desc="processes"):
    rows, _ = in_clean_process(["depthwise_alone"], batches=[128], layouts=["NCHW"], repeats=10, keep_memory=keep)
    trap[keep] = {row.name: row for row in rows}
lines = [("64 channels, 14 x 14, batch 128", "page faults a call", "processor ms a call")]
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
# On this machine the depthwise layer has more than a thousand faults per call in one row, and hardly any in the other, and only the variables differ. What a fault costs changes: in some runs the first row takes many times as long as the second, in others hardly longer. Where there are no faults in either row, the C library keeps its memory anyway. In the contests that follow, the memory is kept. Section 6 and the ledger time small tensors in the notebook's own process.
#
# ### Three contests
#
# A plain layer and a pair: with few channels, with many, and with other numbers of channels so that both have the *same* MACs. Batches of 32, batch norms folded, one thread. The columns with a slash say how many times less it is than for the plain layer: MACs, bytes (each tensor moved once), the roofline's time, the processor's. `NCHW` keeps the channels apart in memory, `NHWC` (torch's
# `channels_last`) keeps those of a pixel side by side.

# %%
predict(
    "7.g",
    "A plain layer from 16 to 32 channels, and a pair from 64 to 64: the same MACs to 2%. How many times as long does the pair take (NHWC)?",
    unit="times",
)

# %% name="out-times"
contests = {"small_layer": "16 -> 16", "large_layer": "128 -> 128", "equal_layers": "equal MACs"}
timed, _ = in_clean_process([*contests, "equal_models"], batches=[32], repeats=30)


def ms(row):
    return milliseconds(row.median_s, row.low_s, row.high_s)


def plain_and_pair(contest, layout):
    rows = record.find_contest(timed, contest, 32, layout)
    return rows[0], next(row for row in rows if row.name.startswith("depthwise"))


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
    "With 128 channels the MACs fall 8.4 times, and the time 3 to 7 times.",
    None,
    wide[0].macs / wide[1].macs,
    None,
    None,
    holds=all(2.9 < times < 7 for times in slashes["large_layer"]),
)
claim(
    "With 128 channels the MACs fall 8.4 times, and the time 3 to 7 times.",
    None,
    wide[0].macs / wide[1].macs,
    None,
    None,
    holds=all(2.9 < times < 7 for times in slashes["large_layer"]),
    page="slides/07_depthwise.md",
)
claim(
    "at equal MACs the pair moves 5.3 times the bytes, and is the slower one",
    even[1].moved_bytes / even[0].moved_bytes,
    holds=all(times < 1 for times in slashes["equal_layers"]),
    page="slides/07_depthwise.md",
)
claim(
    "With 16 channels they fall 5.8 times, and the time 1 to 2.5 times.",
    None,
    narrow[0].macs / narrow[1].macs,
    None,
    None,
    holds=all(0.9 < times < 2.5 for times in slashes["small_layer"]),
)
claim(
    "At equal MACs the pair moves 5.3 times the bytes of the plain layer, and it is the slower one in both layouts.",
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
# With 128 channels the MACs fall 8.4 times, and the time 3 to 7 times. With 16 channels they fall 5.8 times, and the time 1 to 2.5 times. At equal MACs the pair moves 5.3 times the bytes of the plain layer, and it is the slower one in both layouts. The bound promises nearly the saving in MACs, and no row keeps the promise. Where the rest of the time goes (bytes, fixed costs, the kernel of the depthwise
# part) is not taken apart here. So the third claim is true of the large layer here, by less than the MACs say, and has to be measured each time.
#
# Now the two nets of equal MACs again. One of them was ahead in accuracy. What does that cost?

# %% name="out-models"
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
# The net of pairs takes 1.2 to 2 times as long, so a plain net that may take as long could be a larger one: "at equal MACs" and "at equal time" are two questions.
#
# ## 6 Look around
#
# Move the multiplier, and the layer. Above: six kernels of one input channel, as they were trained, and what one picture looks like after the layer, in the output channel with the most to see. Below: the same through the nearest pair.

# %% name="fig-explore" tags=["widget"]
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
        f"Six trained kernels of {layer} and a picture behind the layer; below, the same for the nearest pair. {found_at[layer, multiplier].summary}"
    ),
    multiplier=RANKS,
    layer=LAYERS,
)

# %% [markdown]
# The times are those of eight pictures, NHWC, of the pair and of the trained layer. `conv1` shows best what a pair is: it has one input channel, so its 16 kernels are mixed from as many basic ones as the multiplier says. Which layer is near enough at a multiplier that saves MACs? At which is it faster?
#
# ## 7 Where it stops working
#
# - **Trained weights are no pairs.** Their slices have full rank, and the best pair may be far away. Look at the singular values, layer by layer: an exception shows there.
# - **An error of the weights is not a loss of accuracy.** It says how far the kernels moved, and not whether the net looks there. Choose on validation pictures.
# - **Few outputs, large shares.** With $N$ below $K^2$ the term $1/N$ rules. A layer with one output has nothing to share.
# - **A wide pair is no cheap layer.** From a multiplier of $N K^2 / (N + K^2)$ on it costs as much as the convolution or more, and exactness may come only there.
# - **MACs are not time.** The depthwise part moves nearly as many bytes as a plain layer, for a fraction of the arithmetic, and each call has a fixed cost. On an accelerator that multiplies matrices in blocks it may use a small part of the machine (lesson 10).
# - **What trains well is another question.** That a small MobileNet does well here is a result about these nets, this data, these seeds.
#
# ## The ledger
#
# Three rows: the dense net; of the nets with pairs put in and not trained further, the one with the fewest MACs that loses less than a point of *validation* accuracy; and the net that was trained as pairs.

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
# These are times of a single picture, and the last column compares them within this run. `depthwise_cnn` has 4.7 times fewer MACs than `small_cnn` and an accuracy within a point, and it is hardly faster, if at all.

# %%
progress()

# %% [markdown]
# ## Summary
#
# - A pair, depthwise then pointwise, costs exactly $r (1/N + 1/K^2)$ of the convolution. A 3 x 3 pair never saves more than 9 times.
# - It **is** a given convolution if each slice $W[:, i]$ has rank $r$ or less. Otherwise the SVD of the slices gives the nearest one, and its error before anything is built.
# - Trained layers have slices of full rank. This trained net is broken once all its layers are their nearest pairs; of its single layers, one can be replaced for less than a point.
# - A MobileNet is **another net that is trained**. Compare it with a plain one of equal MACs, over seeds, and of equal time.
# - Fewer MACs saved less time than they promised, in each contest here, and at equal MACs the pair was slower. Time both, with the allocator out of the way.
#
# **References.** Chollet 2017, *Xception: Deep Learning with Depthwise Separable Convolutions*. Howard et al. 2017, *MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications*. Sandler et al. 2018, *MobileNetV2: Inverted Residuals and Linear Bottlenecks*. Qararyah et al. 2024, *Fusing Depthwise and Pointwise Convolutions for Efficient Inference on GPUs* (arXiv 2404.19331). Guo et al. 2018, *Network
# Decoupling: From Regular to Depthwise Separable Convolutions*. Eckart and Young 1936, *The Approximation of One Matrix by Another of Lower Rank*.
#
# **In the library.** In `mini_lib/factorize`, `cost.py` has the formulas, `layers.py` the layers, `separable.py` the nearest pair and the way back, `model.py` puts them into a model; `studies/factorize` has the contests and what was recorded.
#
# **Next:** [08 How much of a trained filter is really there?](08_low_rank.ipynb) A pair is one way to take a layer apart. There are others, which mix channels as well.
