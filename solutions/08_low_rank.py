# %% [markdown]
# # How much of a trained filter is really there?
#
# Lesson 08 · about 75 minutes · before it: [07 Is a depthwise-separable convolution the same thing for less?](07_depthwise.ipynb)
#
# A layer of 300 x 784 weights looks like 235,200 separate decisions. But if the rows of such a matrix have much to do with each other, it repeats itself, and a matrix that repeats itself
# can be stored as two thin ones. Thin ones are cheaper. Unless they are not thin enough; or the part that was left out was the part that told a shirt from a coat; or the processor does not care how few multiplications there are. This lesson is about the three *unless*.
#
# **You will be able to**
# 1. take a trained linear layer or convolution apart into cheaper ones, with the error known before any picture is shown;
# 2. choose ranks by cost, by data and by a budget for the whole net, and compare each choice with a control;
# 3. say beforehand when fewer multiplications will not be less time.
#
# Every answer is checked when you run the cell below it. Nothing later depends on your answers: you can skip an exercise, run everything, and come back.

# %%
import time

import matplotlib.pyplot as plt
import torch
from scipy.stats import binomtest
from tqdm.auto import tqdm

from mini_lib import data, fit, measure, zoo
from mini_lib.calibration import observe
from mini_lib.columns import aligned
from mini_lib.factorize import data_aware, low_rank, rank
from mini_lib.factorize.budget import allocate_ranks, uniform_ranks
from mini_lib.factorize.lora import add_lora, merge_lora, trainable_parameters
from mini_lib.factorize.low_rank import weights
from mini_lib.factorize.methods import data_aware_svd, matrix_ranks, plain_svd, tucker, tucker_ranks
from mini_lib.factorize.model import factorize
from mini_lib.factorize.moments import input_moments
from mini_lib.fold import fold_batch_norm
from mini_lib.surgery import swap
from studies.factorize import record
from studies.factorize.clean_process import in_clean_process
from studies.paired import paired
from teach import check, explore, figures, ledger, predict, progress, reveal, show

torch.set_num_threads(1)
figures.use_style()
COLOURS = figures.COLOURS

splits = data.fashion()
pictures, example = splits.validation.images, splits.validation.images[:1]
NETS = {name: fold_batch_norm(zoo.load(name)) for name in ("lenet_300_100", "small_cnn")}
mlp, cnn = NETS.values()


def accuracy(net, **layers):
    """Validation accuracy of a net, with the layers of these names replaced."""
    return fit.accuracy(swap(net, layers) if layers else net, splits.validation)


WHOLE = {name: accuracy(net) for name, net in NETS.items()}
print(", ".join(f"{name}: {share:.1%} of the validation pictures" for name, share in WHOLE.items()))

# %% [markdown]
# Batch norm is folded into the convolutions already: the error of weights that are rescaled afterwards is another one.
#
# ## 1 Two thin matrices for one
#
# A matrix of **rank** $r$ is a product of two thin ones, $m \times r$ and $r \times n$. As layers: $n$ inputs to $r$ features, these to $m$ outputs, and *nothing between*, no bias and no ReLU. For each input each weight is used once, so MACs are counted like weights.
#
# By hand: a 6 x 3 matrix has 18 weights. With rank 1 there are 6 + 3 = 9. With rank 2 there are 18, and nothing is saved, although full rank is 3. So 1 is the last rank that pays.

# %% [markdown]
# ### Exercise 8.1 - The rank at which it stops paying (5 min)


# %% name="ex-8-1" tags=["exercise"]
def paying_rank(rows, columns):
    """The largest rank at which two thin factors have fewer weights than the matrix [rows, columns].

    Returns a whole number; 0 if no rank saves anything.
    """
    ### BEGIN SOLUTION
    return (rows * columns - 1) // (rows + columns)
    ### END SOLUTION


# %% tags=["check"]
check("8.1")

# %% [markdown]
# <details><summary>Hint 1: count both</summary>
#
# How many weights have an m x r and an r x n matrix together?
# </details>
# <details><summary>Hint 2: fewer, not as few</summary>
#
# Where both have the same number, nothing is saved. Try your formula on 2 x 2.
# </details>

# %%
predict(
    "8.a",
    "The first layer of LeNet-300-100 has 300 x 784 weights. What is the largest rank at which two thin matrices have fewer?",
    unit="",
)

# %% name="out-break-even"
lines = [("layer", "as a matrix", "full rank", "pays up to", "that is")]
for net in NETS.values():
    for name, layer in net.named_modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            rows, columns = layer.weight.flatten(1).shape
            last = rank.break_even_rank(rows, columns)
            full = min(rows, columns)
            lines.append((name, f"{rows} x {columns}", str(full), str(last), f"{last / full:.0%} of full"))
print(aligned(lines))

# %%
reveal("8.a", rank.break_even_rank(300, 784))

# %% [markdown]
# A square matrix has to lose half of its rank before the first weight is saved. A long one may keep more. (A convolution is a matrix here: a row for each filter, with all its weights in a line. Part 2 has other ways.)
#
# ### Which thin matrices?
#
# The **singular value decomposition** writes any matrix as a sum of simple ones, $W = \sum_i s_i u_i v_i^T$: an input is compared with the direction $v_i$, the answer is multiplied by $s_i$, and sent out in the direction $u_i$. All directions have length 1 and are at right angles, and the **singular values** $s_i$ come sorted. Keep the first $r$ terms:
# of all matrices of rank $r$, this one is nearest to $W$ (Eckart and Young, 1936).
#
# By hand: in `[[0, 2], [1, 0]]` the second input goes to the first output with weight 2, and the first to the second with 1. So the singular values are 2 and 1, and the best matrix of rank 1 is `[[0, 2], [0, 0]]`. As thin factors: `[[2], [0]]` and `[[0, 1]]`, or `[[1], [0]]` and `[[0, 2]]`, or with the root of 2 in both.

# %% [markdown]
# ### Exercise 8.2 - Two thin matrices (8 min)


# %% name="ex-8-2" tags=["exercise"]
def thin_factors(matrix, rank):
    """Two factors whose product is as near to the matrix as a product of this rank can be.

    matrix: [m, n]. Returns (left, right), tensors [m, rank] and [rank, n]; only left @ right is compared.
    """
    ### BEGIN SOLUTION
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] * values[:rank], right[:rank]
    ### END SOLUTION


# %% tags=["check"]
check("8.2")

# %% [markdown]
# <details><summary>Hint 1: what torch returns</summary>
#
# `torch.linalg.svd(matrix, full_matrices=False)` gives U, S and V^T. V comes transposed: its *rows* are the directions.
# </details>
# <details><summary>Hint 2: where the values go</summary>
#
# Into one of the two factors, or their root into each. `U * S` multiplies each column by its value.
# </details>

# %% [markdown]
# How large is what was left out? The terms are at right angles, so their squares add up. The relative error of rank $r$ is
#
# $$\frac{\|W - W_r\|}{\|W\|} = \sqrt{\frac{s_{r+1}^2 + \dots + s_n^2}{s_1^2 + \dots + s_n^2}}.$$
#
# By hand: singular values 2, 2, 1 with squares 4, 4, 1, together 9. Rank 0 loses everything: error 1. Rank 1 loses 5 of 9: 0.745. Rank 2 loses 1 of 9: 0.333. Rank 3 loses nothing. Look at the middle: **a third of the length is missing, and that is only a ninth of the square.**

# %% [markdown]
# ### Exercise 8.3 - The error at every rank (6 min)


# %% name="ex-8-3" tags=["exercise"]
def errors_by_rank(values):
    """The relative error of the best approximation of every rank, from 0 to n.

    values: the n singular values of a matrix, largest first, a tensor. Returns n + 1 numbers.
    """
    ### BEGIN SOLUTION
    squares = values.square()
    lost = [squares[rank:].sum() for rank in range(len(values) + 1)]
    return torch.stack(lost).div(squares.sum()).sqrt()
    ### END SOLUTION


# %% tags=["check"]
check("8.3")

# %% [markdown]
# <details><summary>Hint 1: rank 0</summary>
#
# With rank 0 nothing is kept, and the error is 1. So the first of your n + 1 numbers is 1, and the last is 0.
# </details>
# <details><summary>Hint 2: squares</summary>
#
# Add up squares, divide, and take the root at the end.
# </details>

# %% [markdown]
# So all errors are known from the weights alone. How fast do they fall in a trained layer? The control: **the same numbers, shuffled inside the matrix**. Whatever it has less of than the shuffled one is not in the numbers but in where they stand.


# %% name="fig-spectrum"
def shuffled(weight, seed=0):
    """The same numbers at places drawn by chance."""
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(seed))
    return weight.flatten()[order].reshape(weight.shape)


LAYERS = {
    "linear1": (mlp.linear1, "blue"), "conv3": (cnn.conv3, "orange"), "conv4": (cnn.conv4, "green"),
}  # fmt: skip
matrices = {name: layer.weight.detach().flatten(1) for name, (layer, _) in LAYERS.items()}


def draw_spectrum():
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.9))
    first = matrices["linear1"]
    for matrix, name, line in ((first, "trained", "-"), (shuffled(first), "shuffled", ":")):
        values = torch.linalg.svdvals(matrix)
        left.plot(range(1, len(values) + 1), values, color=COLOURS["blue"], linestyle=line, label=f"linear1, {name}")
    left.set(xlabel="number of the singular value", ylabel="singular value", ylim=(0, None))
    left.legend(fontsize=13)
    for name, (_, colour) in LAYERS.items():
        rows, columns = matrices[name].shape
        for matrix, line in ((matrices[name], "-"), (shuffled(matrices[name]), ":")):
            errors = low_rank.rank_errors(matrix)
            share = [100 * r * (rows + columns) / (rows * columns) for r in range(len(errors))]
            label = f"{name}, {rows} x {columns}" if line == "-" else None
            right.plot(share, errors, color=COLOURS[colour], linestyle=line, label=label)
    right.axvspan(100, 125, color="#cccccc", alpha=0.7)
    right.text(101, 0.62, "more\nthan\nbefore", fontsize=13)
    right.set(xlabel="weights of the pair, % of the matrix's", ylabel="relative error", xlim=(0, 125), ylim=(0, 1))
    right.legend(fontsize=13, loc="upper right", bbox_to_anchor=(0.81, 1.03), handlelength=1.5)
    return figure


show(
    draw_spectrum(),
    alt="On the left the singular values of linear1, trained and with its numbers shuffled: the trained one has a few large ones and many small ones. On the right the error over the number of weights for linear1, conv3 and conv4, "
    "solid for trained and dotted for shuffled: conv4 falls to a small error at once, conv3 hardly faster than its shuffled control.",
)

# %% [markdown]
# Look for the solid lines that leave their dotted ones at once, and the one that stays near it. Where the shuffled line meets the grey region, its error is still large: *random numbers cannot be stored as thin matrices*. And even in these trained layers an error of a tenth takes more than half of the rank. Is a small error needed?

# %%
quarter = 300 * 784 // (4 * (300 + 784))
predict(
    "8.b",
    f"linear1 is cut to rank {quarter}, a quarter of its weights, and nothing is trained after it. How many points of validation accuracy are lost?",
    unit="points",
)

# %% name="out-errors"
lines = [("rank", "weights", "error beforehand", "measured", "accuracy", "points lost")]
for r in (4, 8, 16, 32, quarter, 108, 216):
    found = low_rank.svd_linear(mlp.linear1, r)
    left = accuracy(mlp, linear1=found.layer)
    lost = 100 * (WHOLE["lenet_300_100"] - left)
    share = r * (300 + 784) / (300 * 784)
    errors = f"{found.predicted_error:.6f}", f"{found.measured_error:.6f}"
    lines.append((str(r), f"{share:.0%}", *errors, f"{left:.1%}", f"{lost:.1f}"))
    if r == quarter:
        lost_at_a_quarter = lost
print("linear1, 300 x 784; accuracy on validation pictures")
print(aligned(lines))

# %%
reveal("8.b", round(lost_at_a_quarter, 1))

# %% tags=["solution-only"]
from teach import claim

cut = low_rank.svd_linear(mlp.linear1, quarter)
claim(
    "The two columns of errors are the same up to the roundings of float32",
    holds=abs(cut.predicted_error - cut.measured_error) < 1e-6,
)
claim(
    "At a quarter of the weights a third of the length is missing, and half a point of the accuracy.",
    holds=abs(cut.predicted_error - 1 / 3) < 0.02 and 0.25 < lost_at_a_quarter < 0.75,
)
at_break_even = {
    name: low_rank.rank_errors(shuffled(matrix))[rank.break_even_rank(*matrix.shape)]
    for name, matrix in matrices.items()
}
claim(
    "its error is still large: *random numbers cannot be stored as thin matrices*",
    holds=min(at_break_even.values()) > 0.15,
)

# %% [markdown]
# The two columns of errors are the same up to the roundings of float32: the first comes from singular values, the second from the two layers as they are stored. At a quarter of the weights a third of the length is missing, and half a point of the accuracy.
#
# ### How many are worth keeping?
#
# The sum of all squares is called the **energy**. A common rule: keep the smallest rank that holds 90% of it. By hand, for 2, 2, 1 again: rank 1 holds 4 of 9, which is 44%; rank 2 holds 89%. For half of the energy one needs rank 2, for 90% rank 3.

# %% [markdown]
# ### Exercise 8.4 - The rank that holds most of it (6 min)


# %% name="ex-8-4" tags=["exercise"]
def rank_holding(values, energy):
    """The smallest rank whose singular values hold at least this share of the energy.

    values: the singular values, largest first, a tensor. energy: above 0, at most 1. Returns a whole number.
    """
    ### BEGIN SOLUTION
    held = values.double().square().cumsum(0)
    enough = held >= energy * held[-1]
    return int(enough.nonzero()[0]) + 1
    ### END SOLUTION


# %% tags=["check"]
check("8.4")

# %% [markdown]
# <details><summary>Hint 1: add up</summary>
#
# `values.square().cumsum(0)` says what the first 1, 2, 3 ... hold.
# </details>
# <details><summary>Hint 2: from place to rank</summary>
#
# The first entry that is large enough has place 0 if rank 1 does. Exactly the share is enough.
# </details>

# %% [markdown]
# Why 90%, and not 80? Nobody knows. **Variational Bayes** (VBMF) asks another question: if the matrix were something simple plus noise of unknown strength, which singular values stand out of the noise? For a given noise the answer has a closed form; how strong the noise is, is found by a search along one number. So there is nothing to choose. A test for it is at hand: what does it say about shuffled layers?

# %% name="out-ranks"
lines, left_after = [("", "full", "pays", "90%", "accuracy", "VBMF", "accuracy", "VBMF, shuffled")], {}
for title, net in NETS.items():
    for name, layer in net.named_modules():
        if not isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            continue
        matrix = layer.weight.detach().flatten(1)
        last = rank.break_even_rank(*matrix.shape)
        chosen = rank.rank_by_energy(torch.linalg.svdvals(matrix), 0.9), rank.rank_by_vbmf(matrix)
        cells = []
        for r in chosen:
            pays = 0 < r <= last
            left_after[name, r] = accuracy(net, **{name: plain_svd(name, layer, r).layer}) if pays else None
            cells += [str(r), f"{left_after[name, r]:.1%}" if pays else "-"]
        lines.append((name, str(min(matrix.shape)), str(last), *cells, str(rank.rank_by_vbmf(shuffled(matrix)))))
print(f"uncut: {', '.join(f'{name} {share:.1%}' for name, share in WHOLE.items())}; one layer cut at a time")
print(aligned(lines))

# %% tags=["solution-only"]
bayes = {name: rank.rank_by_vbmf(getattr(cnn, name).weight.detach().flatten(1)) for name in ("conv2", "conv3", "conv4")}
energy = {
    name: rank.rank_by_energy(torch.linalg.svdvals(getattr(cnn, name).weight.detach().flatten(1)), 0.9)
    for name in bayes
}


def left_at(ranks, name):
    return 100 * left_after[name, ranks[name]]


claim("In conv2 and conv3 VBMF keeps rank 6", bayes["conv2"], holds=bayes["conv3"] == bayes["conv2"])
claim("23% and 11% are left", left_at(bayes, "conv2"), left_at(bayes, "conv3"), within=0.5)
claim(
    "In conv4 its rank 30 costs nothing.",
    bayes["conv4"],
    holds=left_at(bayes, "conv4") > 100 * WHOLE["small_cnn"] - 0.5,
)
claim(
    "the same share of energy, 90%, costs 3.7 points in conv2 and nothing in conv4",
    None,
    100 * WHOLE["small_cnn"] - left_at(energy, "conv2"),
    within=0.5,
    holds=left_at(energy, "conv4") > 100 * WHOLE["small_cnn"] - 0.5,
)
means_off = [
    rank.rank_by_vbmf(shuffled(weight - weight.mean()))
    for weight in (mlp.linear3.weight.detach(), cnn.conv3.weight.detach().flatten(1))
]
claim("With the mean taken off, both become 0.", max(means_off))

# %% [markdown]
# A dash means: that rank saves nothing, or is 0. The last column is as it should be: in shuffled numbers there is nothing to find. (A 1 is no error: a mean that is not zero is a direction, and survives shuffling. With the mean taken off, both become 0.) In conv2 and conv3 VBMF keeps rank 6, and the net needs what it takes for noise: 23% and 11% are left. In conv4 its rank 30 costs nothing. And the same share of energy, 90%, costs 3.7 points in conv2 and nothing in conv4. **Both look at the weights, and neither knows what a weight is for.** That takes data, and parts 3 and 4.
#
# ## 2 A convolution has four modes
#
# The weight of a convolution is no matrix. It has four modes: $N$ outputs, $C$ inputs, and the height and width $K$ of the kernel. So there is more than one way to cut.
#
# | way | layers it makes | weights |
# | --- | --- | --- |
# | channel SVD | $K \times K$ to $r$ channels, then $1 \times 1$ | $r\,(C K^2 + N)$ |
# | spatial SVD | $K \times 1$ to $r$ channels, then $1 \times K$ | $r K (C + N)$ |
# | Tucker-2 | $1 \times 1$ to $r_1$, then $K \times K$ from $r_1$ to $r_2$, then $1 \times 1$ | $C r_1 + K^2 r_1 r_2 + r_2 N$ |
# | CP | $1 \times 1$ to $r$, then $K \times 1$ and $1 \times K$ on each channel by itself, then $1 \times 1$ | $r\,(C + 2K + N)$ |
#
# MACs are these weights times the *places* at which they are used, and with a stride the layers before it see more places than those after it. By hand: Tucker-2 for 4 to 6 channels, 3 x 3, stride 2, on a 4 x 4 picture, with ranks 2 and 3. The first 1 x 1 sees all 16 places: 16 · 4 · 2 = 128 MACs. The output has 2 x 2 places. The core takes 4 · 9 · 2 · 3 = 216, and the last 1 x 1
# takes 4 · 3 · 6 = 72. Together 416. The convolution itself: 4 · 9 · 4 · 6 = 864.

# %% [markdown]
# ### Exercise 8.5 - Three layers for one (8 min)


# %% name="ex-8-5" tags=["exercise"]
def tucker_macs(inputs, outputs, kernel, size, stride, rank_in, rank_out):
    """MACs of the three layers that Tucker-2 makes of a convolution, for one square image.

    kernel: odd, with padding kernel // 2, which belongs to the middle layer, as the stride does. size: of the image at
    the input. Returns a whole number.
    """
    ### BEGIN SOLUTION
    before, after = size**2, (-(-size // stride)) ** 2
    first = before * inputs * rank_in
    core = after * rank_in * kernel**2 * rank_out
    last = after * rank_out * outputs
    return first + core + last
    ### END SOLUTION


# %% tags=["check"]
check("8.5")

# %% [markdown]
# <details><summary>Hint 1: places</summary>
#
# A layer is used once at each place of *its output*. Which of the three still has the full image?
# </details>
# <details><summary>Hint 2: an odd size</summary>
#
# With such padding, a stride of 2 makes 3 places of 5: rounded up.
# </details>

# %%
predict(
    "8.c",
    "conv3 of the small CNN, taken apart into a quarter of its weights in each of the four ways. Which weight is nearest to the trained one?",
    choices=("channel SVD", "spatial SVD", "Tucker-2", "CP"),
)

# %% name="out-ways"
SIZES = {"conv3": (14, 14), "conv4": (14, 14)}


def best_tucker(conv, most):
    """The two ranks, of all that need at most this many weights, with the least error of HOSVD."""
    shape = tuple(conv.weight.shape)
    outputs, inputs = shape[:2]
    core = low_rank.hosvd(conv.weight.detach(), {0: outputs, 1: inputs}).core
    held = core.square().sum(dim=(2, 3)).cumsum(0).cumsum(1)  # the energy of the first outputs and inputs
    affordable = [
        (held[r_out - 1, r_in - 1].item(), (r_in, r_out))
        for r_in in range(1, inputs + 1)
        for r_out in range(1, outputs + 1)
        if weights.tucker2_weights(shape, r_in, r_out) <= most
    ]
    return max(affordable)[1]


def ways_at(conv, share, sweeps=40):
    """Each way to cut a convolution, at the largest ranks whose weights are at most this share of its own."""
    shape = tuple(conv.weight.shape)
    most = share * conv.weight.numel()
    ranks = best_tucker(conv, most)
    return {
        "channel SVD": lambda: low_rank.channel_svd(conv, int(most / weights.channel_svd_weights(shape, 1))),
        "spatial SVD": lambda: low_rank.spatial_svd(conv, int(most / weights.spatial_svd_weights(shape, 1))),
        "Tucker-2": lambda: low_rank.tucker2(conv, *ranks, method="hooi"),
        "CP": lambda: low_rank.cp(conv, int(most / weights.cp_weights(shape, 1)), starts=1, sweeps=sweeps),
    }


lines, errors_at_a_quarter, left_of = (
    [("", "way", "ranks", "weights", "MMAC", "error", "accuracy", "s to find")],
    {},
    {},
)
for name in ("conv3", "conv4"):
    conv = cnn.get_submodule(name)
    macs = low_rank.channel_svd(conv, 1).dense_macs(SIZES[name])
    costs = f"{conv.weight.numel():,}", f"{macs / 1e6:.2f}"
    lines.append((name, "as it is", "", *costs, "", f"{WHOLE['small_cnn']:.1%}", ""))
    for way, cut in ways_at(conv, 0.25, sweeps=200).items():
        began_s = time.perf_counter()
        found = cut()
        seconds = time.perf_counter() - began_s
        ranks = " x ".join(map(str, found.ranks))
        count, macs = found.parameters - len(conv.bias), found.macs(SIZES[name])
        after = accuracy(cnn, **{name: found.layer})
        costs = f"{count:,}", f"{macs / 1e6:.2f}"
        lines.append((name, way, ranks, *costs, f"{found.predicted_error:.3f}", f"{after:.1%}", f"{seconds:.2f}"))
        errors_at_a_quarter[name, way], left_of[name, way] = found.predicted_error, after
print(aligned(lines, left=(0, 1)))

# %%
of_conv3 = {way: error for (name, way), error in errors_at_a_quarter.items() if name == "conv3"}
reveal("8.c", min(of_conv3, key=of_conv3.get))

# %% tags=["solution-only"]
of_conv4 = {way: error for (name, way), error in errors_at_a_quarter.items() if name == "conv4"}
order = sorted(of_conv4, key=of_conv4.get)
claim(
    "In conv3 CP comes nearest, at 0.65, and it is the one that keeps most of the accuracy.",
    of_conv3["CP"],
    holds=min(of_conv3, key=of_conv3.get) == "CP"
    and max((way for name, way in left_of if name == "conv3"), key=lambda way: left_of["conv3", way]) == "CP",
)
claim(
    "In conv4 the channel SVD does, at 0.219, with CP at 0.227 after 200 sweeps",
    of_conv4["channel SVD"],
    of_conv4["CP"],
    None,
    within=0.001,  # where an iteration ends depends on the last digits
    holds=order[:2] == ["channel SVD", "CP"],
)
equal_shares = low_rank.tucker2(cnn.conv4, 25, 25, "hooi").predicted_error
claim(
    "with the same share in both modes, 25 x 25, the error in conv4 is 0.335 in place of 0.248",
    None,
    None,
    equal_shares,
    of_conv4["Tucker-2"],
    within=0.001,
)
claim(
    "with the same share in both modes its error in conv4 would be 0.335",
    equal_shares,
    within=0.001,
    page="slides/08_low_rank.md",
)
claim(
    "all of them cost conv3 eight points or more",
    holds=max(share for (name, _), share in left_of.items() if name == "conv3") < WHOLE["small_cnn"] - 0.08,
)
claim(
    "no way costs conv4 half a point",
    holds=min(share for (name, _), share in left_of.items() if name == "conv4") > WHOLE["small_cnn"] - 0.005,
)

# %% [markdown]
# Which way is best depends on the layer, and on what may be kept. In conv3 CP comes nearest, at 0.65, and it is the one that keeps most of the accuracy. In conv4 the channel SVD does, at 0.219, with CP at 0.227 after 200 sweeps (0.236 after 40). CP is still falling there, so this order is that of 200 sweeps.
#
# CP makes four layers of one, and it has no closed form: it is found by **alternating least squares**, from a start that may be a bad one. Tucker-2 gets the two ranks with the least error of HOSVD, explained below: with the same share in both modes, 25 x 25, the error in conv4 is 0.335 in place of 0.248.
# And no way costs conv4 half a point, while all of them cost conv3 eight points or more.


# %% name="fig-ways"
WAYS = {
    "channel SVD": ("blue", "-", "o"), "spatial SVD": ("orange", "--", "s"), "Tucker-2": ("green", "-.", "^"),
    "CP": ("vermillion", ":", "D"),
}  # fmt: skip
SHARES = (0.08, 0.16, 0.25, 0.4)
errors_of = {
    name: {way: [ways_at(cnn.get_submodule(name), share)[way]().predicted_error for share in SHARES] for way in WAYS}
    for name in ("conv3", "conv4")
}


def draw_ways():
    figure, both = plt.subplots(1, 2, figsize=(11, 4.9), sharey=True)
    for axes, (name, ways) in zip(both, errors_of.items()):
        for way, errors in ways.items():
            colour, line, marker = WAYS[way]
            axes.plot(
                [100 * share for share in SHARES],
                errors,
                color=COLOURS[colour],
                linestyle=line,
                marker=marker,
                label=way,
            )
        axes.set(title=name, xlabel="weights, % of the convolution's", ylim=(0, 1), xlim=(0, 43))
    both[0].set(ylabel="relative error of the weight")
    both[0].legend(fontsize=13, loc="lower left")
    return figure


show(
    draw_ways(),
    alt="Error of the weight over the share of weights for four ways to cut conv3 and conv4. In conv3 all errors are large and CP has the smallest; in conv4 CP has the smallest at 8% of the weights, and from 16% on the four ways lie close together.",
)

# %% tags=["solution-only"]
at_least = {way: errors[0] for way, errors in errors_of["conv4"].items()}
claim("(0.236 after 40)", errors_of["conv4"]["CP"][2], None, within=0.001)
claim("with 8% of its weights CP is nearest", holds=min(at_least, key=at_least.get) == "CP")
claim(
    "in conv3 CP has the smallest error at each share",
    holds=all(min(each) == each[-1] for each in zip(*errors_of["conv3"].values())),
)

# %% [markdown]
# After 40 sweeps, in conv3 CP has the smallest error at each share. In conv4, with 8% of its weights CP is nearest; with a quarter of them the channel SVD is.
#
# Tucker-2 can be had in two qualities. **HOSVD** takes the best directions for the inputs and the best for the outputs, each as if the other mode stayed whole. **HOOI** goes on from there: with one set held, the other is chosen anew, again and again. No step can make it worse. How much is there to win, at equal shares of both modes?

# %% name="out-hooi"
lines, gained = [("", "ranks", "HOSVD", "HOOI", "sweeps", "one mode cut: in", "out", "at best")], []
for name in ("conv3", "conv4"):
    weight = cnn.get_submodule(name).weight.detach()
    for part in (0.125, 0.25, 0.5):
        r_in, r_out = (int(part * weight.shape[mode]) for mode in (1, 0))
        ranks = {0: r_out, 1: r_in}
        one, other = low_rank.hosvd(weight, ranks), low_rank.hooi(weight, ranks)
        alone = [low_rank.rank_errors(low_rank.unfold(weight, mode))[r].item() for mode, r in ((1, r_in), (0, r_out))]
        gained.append(1 - other.error / one.error)
        found = f"{one.error:.4f}", f"{other.error:.4f}", str(other.sweeps)
        lines.append((name, f"{r_in} x {r_out}", *found, *(f"{error:.4f}" for error in (*alone, max(alone)))))
print(aligned(lines))

# %% tags=["solution-only"]
claim("In these two layers HOOI takes at most 3% off the error of HOSVD.", 100 * max(gained), within=0.2)
claim("here HOOI takes at most 3% off the error", 100 * max(gained), within=0.2, page="slides/08_low_rank.md")
modes = [low_rank.rank_errors(low_rank.unfold(cnn.conv4.weight.detach(), mode)) for mode in (1, 0)]
claim(
    "In conv4 cutting the inputs costs far more than cutting the outputs",
    holds=all(inputs[r] > 1.5 * outputs[r] for inputs, outputs in [modes] for r in (8, 16, 32)),
)

# %% [markdown]
# The last column is a floor: cutting two modes cannot lose less than cutting one of them. HOSVD is never above $\sqrt{2}$ times what is possible. In these two layers HOOI takes at most 3% off the error of HOSVD. In conv4 cutting the inputs costs far more than cutting the outputs, so equal shares serve it badly.
#
# ## 3 Near in what comes out
#
# What comes out of the layer should stay as it was, for the inputs that really come in. These are not white noise: in pictures of clothes, neighbouring pixels go together, and the corners are nearly always dark. A direction in which the inputs never vary costs nothing to lose.
#
# Let $C$ be the covariance of the inputs and $S$ its root, $S S = C$. Then $\|(W - W') S\|^2$ is the mean squared change of the output, about its mean. So: decompose $W S$ and not $W$, keep the first $r$ directions $U$ *of the output*, and use $W' = U U^T W$. What the lost part does to the mean is a constant, and a constant is what a bias is for:
#
# $$b' = b + (W - W')\,\text{mean}.$$
#
# By hand: $W$ is diagonal with 3 and 1, the inputs have mean (0, 2), and vary by 1 and by 6, independently. The outputs vary by 3 and 6. A plain SVD keeps the first, since 3 is more than 1, and about the mean loses 6 of $\sqrt{9 + 36}$: error 0.894. The other choice keeps the second: error 0.447. And its bias? The lost weight is the 3, its input has mean 0: nothing to correct. For the plain one it would be 1 · 2 = 2, in the second output.

# %% [markdown]
# ### Exercise 8.6 - Near in what comes out (12 min)


# %% name="ex-8-6" tags=["exercise"]
def nearest_output(weight, bias, mean, root, rank):
    """The weight of this rank, and its bias, that change the layer's output least over its inputs.

    weight: [m, n]; bias: [m]; mean: [n], of the inputs; root: [n, n], symmetric, root @ root is their covariance.
    Returns (new weight [m, n], new bias [m]).
    """
    ### BEGIN SOLUTION
    directions = torch.linalg.svd(weight @ root, full_matrices=False).U[:, :rank]
    near = directions @ (directions.T @ weight)
    return near, bias + (weight - near) @ mean
    ### END SOLUTION


# %% tags=["check"]
check("8.6")

# %% [markdown]
# <details><summary>Hint 1: what to decompose</summary>
#
# Not the weight, but what the inputs make of it: `weight @ root`. Of its SVD you need the first columns of U only.
# </details>
# <details><summary>Hint 2: back to a weight</summary>
#
# `U @ U.T` keeps what lies in these directions of the output. Put it in front of the weight itself.
# </details>
# <details><summary>Hint 3: the bias</summary>
#
# What does the lost part, old weight minus new, make of the mean input? That much is missing in every output, on average.
# </details>

# %% [markdown]
# Mean and covariance come from some *training* pictures that are sent through the net. The error is then told for other ones, from the validation data. Three candidates: a plain SVD; the same with its bias corrected, to see what the bias alone does; and the data-aware one. An **output error** is a root here: the root mean square of the change, over that of the output about its mean. (Its square is the *share* that is lost; other pages, such as lesson 05, give that.)

# %%
predict(
    "8.d",
    "linear1 at rank 16, on pictures that were not used for it: how large is the output error of the data-aware SVD, as a percentage of the plain one's?",
    unit="%",
)

# %% name="out-aware"
moments, read = {}, {}
for net, count in ((mlp, 1000), (cnn, 400)):
    moments |= input_moments(net, splits.train.first(count).images.split(100))
    wanted = [name for name, layer in net.named_modules() if name in moments]
    observe(net, [pictures[:500]], wanted, lambda name, inputs, output: read.update({name: inputs}))


def three_ways(net, name, r):
    """Plain, plain with the bias corrected, and data-aware; and what the last one expects of itself."""
    layer = net.get_submodule(name)
    plain = plain_svd(name, layer, r).layer
    aware = data_aware.output_svd(layer, moments[name], r)
    return plain, data_aware.restore_mean_output(layer, plain, moments[name]), aware.layer, aware.predicted_error


PLACES = [
    (mlp, "linear1", (8, 16, 32, 64)),
    (mlp, "linear2", (8, 16, 32)),
    (cnn, "conv2", (8, 16)),
    (cnn, "conv3", (16,)),
    (cnn, "conv4", (16,)),
]
lines, ratio = [("output error", "rank", "expected", "data-aware", "of plain", "plain", "bias corrected")], {}
for net, name, ranks in PLACES:
    layer = net.get_submodule(name)
    for r in ranks:
        *three, expected = three_ways(net, name, r)
        plain, corrected, aware = (data_aware.measured_output_error(layer, one, read[name]) for one in three)
        ratio[name, r] = aware / plain
        errors = [f"{error:.3f}" for error in (expected, aware, plain, corrected)]
        lines.append((name, str(r), *errors[:2], f"{ratio[name, r]:.0%}", *errors[2:]))
print(aligned(lines))

# %%
reveal("8.d", round(100 * ratio["linear1", 16]))

# %% tags=["solution-only"]
claim(
    "the error of the data-aware layer is 35% of the plain one's in linear1 at rank 16, and 91% in conv4",
    100 * ratio["linear1", 16],
    None,
    100 * ratio["conv4", 16],
    within=1,  # the last digits decide which pictures count how much, nothing else does
)
covariance = moments["linear1"].covariance.double()
covariance = covariance + 1e-6 * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
dense_weight = mlp.linear1.weight.detach().double()
values, vectors = torch.linalg.eigh(covariance)
by_root, by_cholesky = (
    torch.linalg.svd(dense_weight @ factor).U[:, :16]
    for factor in (vectors * values.sqrt() @ vectors.T, torch.linalg.cholesky(covariance))
)
claim("which leads to the same $U$", holds=(by_root @ by_root.T - by_cholesky @ by_cholesky.T).norm() < 1e-4)

# %% [markdown]
# `expected` was known from the calibration pictures; `data-aware` was measured on others. An error above 1 in the plain column says: a layer that always answers with its mean would have been nearer. The gain differs by layer: the error of the data-aware layer is 35% of the plain one's in linear1 at rank 16, and 91% in conv4. (Were all inputs equally strong and independent, $S$ would be a multiple of the identity, and the two would differ by the bias alone.)
#
# Language models are cut in this way, too. ASVD scales each input by a power of its typical size, as if $S$ were diagonal. SVD-LLM takes all of it, with a Cholesky factor in place of the root, which leads to the same $U$. (It takes no mean off the inputs.)
#
# ### Does a smaller error mean a better net?

# %%
predict(
    "8.e",
    "linear1 at rank 8: correcting the bias of a plain SVD brings the output nearer to the old one. What does that do to the validation accuracy?",
    choices=("it rises", "it falls", "no difference beyond chance"),
)


# %% name="out-lower"
def right(net, **layers):
    """Which validation pictures a net gets right."""
    return fit.predict(swap(net, layers), pictures).argmax(dim=1) == splits.validation.labels


relu = torch.nn.ReLU()
lines = [("", "rank", "output error", "after ReLU", "accuracy", "one right", "chance")]
fell, errors_of_both = {}, {}
for name, first, second, ranks in (("linear1", 0, 1, (4, 8, 12)), ("linear2", 0, 2, (6, 8, 12, 16))):
    layer = mlp.get_submodule(name)
    against = "bias corr." if second == 1 else "data-aware"
    for r in ranks:
        both = [three_ways(mlp, name, r)[which] for which in (first, second)]
        errors, later = (
            [
                data_aware.measured_output_error(
                    *(torch.nn.Sequential(part, *then) for part in (layer, one)), read[name]
                )
                for one in both
            ]
            for then in ((), (relu,))
        )
        rights = [right(mlp, **{name: one}) for one in both]
        only = [int((rights[a] & ~rights[b]).sum()) for a, b in ((0, 1), (1, 0))]
        chance = binomtest(only[0], sum(only)).pvalue
        shares = [float(one.float().mean()) for one in rights]
        fallen = (f"{one:.2f} -> {other:.2f}" for one, other in (errors, later))
        cells = *fallen, f"{shares[0]:.1%} -> {shares[1]:.1%}", f"{only[0]} : {only[1]}"
        lines.append((f"{name}, {against}", str(r), *cells, f"{chance:.0e}" if chance < 0.001 else f"{chance:.3f}"))
        fell[name, r], errors_of_both[name, r] = (shares[1] - shares[0], chance), (errors, later)
print(aligned(lines))

# %%
change, chance = fell["linear1", 8]
reveal("8.e", "no difference beyond chance" if chance > 0.01 else ("it rises" if change > 0 else "it falls"))

# %% tags=["solution-only"]
claim(
    "In all rows the second has the smaller output error.",
    holds=all(one[1] < one[0] for one, _ in errors_of_both.values()),
)
before, behind = errors_of_both["linear1", 8]
claim(
    "in linear1 at rank 8 the corrected bias takes a quarter off the error before the ReLU, and next to nothing after it",
    holds=abs(before[1] / before[0] - 0.75) < 0.03 and 0.96 < behind[1] / behind[0] < 1,
)
claim(
    "why the accuracy *falls* by 9.5 points",
    -100 * fell["linear1", 8][0],
    within=0.5,
    holds=fell["linear1", 8][1] < 1e-6,
)

# %% [markdown]
# Each row goes from the plain SVD to another one: with its bias corrected, or data-aware. In all rows the second has the smaller output error. `after ReLU` is the same error of what the next layer reads. `one right` counts the pictures that only the first gets right, and those that only the second does; the last column says how often a fair coin would be as lopsided. Where it is not small, do not call it a difference; and among seven rows, 0.04 is not small.
#
# How can nearer be worse? By hand: a layer with two outputs. The first varies by 10 and says nothing about the class, the second by 2 and *is* the class. At rank 1 it is nearest to keep the first: only 2 of $\sqrt{104}$ are lost, an error of 0.196, and the class is gone. The output error adds up all outputs over all pictures, and the loudest count most; the class may hang on a quiet one.
# And the next layer does not read the output but its ReLU: in linear1 at rank 8 the corrected bias takes a quarter off the error before the ReLU, and next to nothing after it. (That does not explain yet why the accuracy *falls* by 9.5 points; its cause was not tested.) Zhang et al. fit what comes after the ReLU, which has no closed form.
#
# ## 4 Which layer gets which rank?
#
# So far one layer was cut at a time. A net has a budget as a whole, in MACs or in bytes. A rank costs most where the matrix is large and the picture is large; it gains most where the next singular value is still large. Give all layers the same share of their rank? Or decide all together: each layer has a list of ranks, with the cost and the error of each, and from each list one is taken, so that **the costs fit into the budget and the errors
# add up to the least**.
#
# By hand: the first layer costs 5 with error 0.6, or 10 with 0.2; the second 20 with 0.5, or 40 with 0.4. The budget is 45. Ranks (1, 2) cost exactly 45, with an error of 1.0. Ranks (2, 1) cost 30, with an error of 0.7, and 15 are left over. Both at rank 2 would cost 50.

# %% [markdown]
# ### Exercise 8.7 - One budget, two layers (8 min)


# %% name="ex-8-7" tags=["exercise"]
def best_ranks(first, second, budget):
    """The ranks of two layers whose MACs fit into the budget and whose errors add up to the least.

    first, second: for each rank, from 1 on, a pair (macs, error). The cheapest pair is affordable.
    Returns (rank of the first, rank of the second).
    """
    ### BEGIN SOLUTION
    best = None
    for i, (macs, error) in enumerate(first):
        for j, (more_macs, more_error) in enumerate(second):
            if macs + more_macs <= budget and (best is None or error + more_error < best[0]):
                best = error + more_error, i + 1, j + 1
    return best[1:]
    ### END SOLUTION


# %% tags=["check"]
check("8.7")

# %% [markdown]
# <details><summary>Hint 1: how many pairs</summary>
#
# Two layers with a few ranks each: try every pair.
# </details>
# <details><summary>Hint 2: what counts</summary>
#
# Leave out the pairs that cost too much. Of the others take the one with the least error, not the one that spends most.
# </details>

# %% [markdown]
# With ten layers of sixty ranks each nobody tries all. It is a **knapsack** with one choice for each layer, and an integer program finds the optimum in a moment (`allocate_ranks`). Its controls: the same share of full rank everywhere, as large as the budget allows (what is left over buys single ranks); and the same without the layers that are known to be touchy, the first convolution and the last linear layer.
# The optimization itself can add up errors of the weights or of the outputs. In this part all layers are data-aware; only the ranks differ.

# %%
predict(
    "8.f",
    "LeNet-300-100 with a tenth of its MACs. How many points of validation accuracy does the optimization gain over the same share in linear1 and linear2, with linear3 left whole?",
    unit="points",
)

# %% name="out-budget"
TOUCHY = ("conv1", "linear", "linear3")


def is_inner(name, layer):
    return name not in TOUCHY and isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d))


def choices_at(net, budget):
    """Ranks for a budget of MACs, chosen in four ways."""
    return {
        "same share": uniform_ranks(net, example, budget_macs=budget),
        "same, inner layers": uniform_ranks(net, example, budget_macs=budget, where=is_inner),
        "by weight": allocate_ranks(net, example, budget_macs=budget),
        "by output": allocate_ranks(net, example, budget_macs=budget, moments=moments),
    }


BUDGETS = {"lenet_300_100": (0.05, 0.1, 0.15, 0.25), "small_cnn": (0.3, 0.4, 0.5)}
chosen, allocated = {}, {}
for title, shares in tqdm(BUDGETS.items(), desc="nets"):
    net, full = NETS[title], measure.macs(NETS[title], example)
    for share in shares:
        for way, ranks in choices_at(net, int(share * full)).items():
            cheaper = factorize(net, example, ranks, method=data_aware_svd(moments)).model
            chosen[title, share, way] = ranks
            allocated[title, share, way] = accuracy(cheaper)
ways = ("same share", "same, inner layers", "by weight", "by output")
lines = [("", "MACs", "same share", "inner layers", "by weight", "by output")]
for title, shares in BUDGETS.items():
    for share in shares:
        lines.append((title, f"{share:.0%}", *(f"{allocated[title, share, way]:.1%}" for way in ways)))
print(aligned(lines))

# %%
tenth = {way: allocated["lenet_300_100", 0.1, way] for way in ways}
reveal("8.f", round(100 * (tenth["by output"] - tenth["same, inner layers"]), 1))


# %% name="fig-budget"
def draw_budget():
    figure, both = plt.subplots(1, 2, figsize=(11, 4.9))
    for axes, (title, share) in zip(both, (("lenet_300_100", 0.1), ("small_cnn", 0.5))):
        net = NETS[title]
        names = [name for name, layer in net.named_modules() if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d))]
        looks = (("same share", "orange", "//"), ("same, inner layers", "sky", ".."), ("by output", "blue", ""))
        for at, (way, colour, hatch) in enumerate(looks):
            ranks = chosen[title, share, way]
            full = {name: min(net.get_submodule(name).weight.flatten(1).shape) for name in names}
            heights = [100 * ranks.get(name, full[name]) / full[name] for name in names]
            places = [place + 0.27 * (at - 1) for place in range(len(names))]
            label = way if way != "by output" else "one optimization"
            axes.bar(places, heights, 0.27, color=COLOURS[colour], hatch=hatch, edgecolor="white", label=label)
        axes.set(title=f"{title}, {share:.0%} of the MACs", ylabel="rank, % of full", ylim=(0, 105))
        axes.set_xticks(range(len(names)), names, fontsize=13)
    figure.legend(*both[0].get_legend_handles_labels(), fontsize=13, loc="outside lower center", ncols=3)
    return figure


show(
    draw_budget(),
    alt="Ranks of all layers in percent of full rank for three choices, at a tenth of LeNet's MACs and half of the CNN's. The optimization leaves the last layer whole, takes most from the large first layer of LeNet and from conv4 of the CNN, and keeps more of conv2.",
)

# %% tags=["solution-only"]
last_budget = {way: 100 * allocated["lenet_300_100", 0.25, way] for way in ways}
sparing = [last_budget[way] for way in ways[1:]]
claim(
    "in LeNet at a quarter of the MACs it is all of it, 35 points, and the three choices that spare the last layer lie within half a point",
    last_budget["same, inner layers"] - last_budget["same share"],
    within=1,
    holds=max(sparing) - min(sparing) < 0.5 and last_budget["by output"] <= last_budget["same, inner layers"] + 0.5,
)
added = {
    key[:2]: share - allocated[(*key[:2], "same, inner layers")]
    for key, share in allocated.items()
    if key[2] == "by output"
}
claim(
    "By output it is ahead of the harder control in six of the seven rows",
    holds=sum(gain > 0 for gain in added.values()) == 6 and len(added) == 7,
)
lenet_gains = [added["lenet_300_100", share] for share in BUDGETS["lenet_300_100"]]
claim(
    "By output, in six of the seven rows.",
    holds=sum(gain > 0 for gain in added.values()) == 6,
    page="slides/08_low_rank.md",
)
claim(
    "the tighter the budget, the more the optimization by output adds",
    holds=lenet_gains == sorted(lenet_gains, reverse=True),
)
uneven = {share: chosen["lenet_300_100", share, "same share"] for share in (0.1, 0.15)}
claim(
    "buys `linear3` a rank of 2 at 10%, and does not at 15%, where it has rank 1",
    uneven[0.1]["linear3"],
    None,
    None,
    uneven[0.15]["linear3"],
)
with_rank = [
    accuracy(factorize(mlp, example, uneven[0.15] | {"linear3": r}, method=data_aware_svd(moments)).model)
    for r in (1, 2, 3)
]
claim(
    "only the rank of `linear3` moved from 1 to 3, the accuracy is 20%, 48% and 55%",
    None,
    None,
    *(100 * share for share in with_rank),
    within=0.5,
)

# %% [markdown]
# Look at which layers the optimization starves. The harder control tells you how much of the gain is nothing but "leave touchy layers alone": in LeNet at a quarter of the MACs it is all of it, 35 points, and the three choices that spare the last layer lie within half a point. In LeNet, the tighter the budget, the more the optimization by output adds. (In the CNN it adds most in the middle row.) By output it is ahead of the harder control in six of the seven rows, in one of them by next to nothing.
#
# Why does `same share` *fall* from 10% of the MACs to 15%? What is left over of the budget buys `linear3` a rank of 2 at 10%, and does not at 15%, where it has rank 1. At 15%, with only the rank of `linear3` moved from 1 to 3, the accuracy is 20%, 48% and 55%.
#
# The optimization adds up *relative squared errors of layers*, as if they were equally bad everywhere. That is a heuristic.
#
# ## 5 Fewer MACs, less time?
#
# Now the clock, for four layers that do the same job, 16 to 16 channels.
#
# As in lesson 07, we time in **a process of its own that keeps its memory**, count the processor's time, and take turns.

# %%
predict(
    "8.g",
    "A 3x3 convolution, 16 to 16 channels, is cut to rank 4: its MACs fall to less than a third. How many times as fast is it, with channels last?",
    unit="times",
)

# %% name="out-slower"
timed, machine = in_clean_process(("small_layer", "large_layer", "ranks"), batches=(32,), repeats=15)


def print_contest(contest):
    """MACs and times of a contest, relative to its first; `bound` is the roofline of each layer, added up."""
    lines = [("", "layout", "MACs /", "vectors /", "bound, ms", "measured, ms", "as fast")]
    rows = [row for row in timed if row.contest == contest]
    for row in rows:
        ms = f"{1000 * row.bound_s:.3f}", f"{1000 * row.median_s:.3f}"
        fewer = f"{rows[0].macs / row.macs:.1f}", f"{rows[0].vector_macs / row.vector_macs:.1f}"
        layout = row.layout.replace("channels_", "ch. ")
        lines.append((row.name, layout, *fewer, *ms, f"{row.times_faster:.2f}"))
    print(aligned(lines, left=(0, 1)))


print("16 -> 16 channels at 14 x 14, 32 pictures, one thread: run here")
print_contest("small_layer")

# %%
by_name = {(row.contest, row.name, row.layout): row for row in timed}
reveal("8.g", round(by_name["small_layer", "svd 4", "channels_last"].times_faster, 2))

# %% name="out-faster"
print("128 -> 128 channels at 14 x 14, 32 pictures, one thread: run here")
print_contest("large_layer")

# %% tags=["solution-only"]
small = {(row.name, row.layout): row for row in timed if row.contest == "small_layer"}
large = [row.times_faster for row in timed if row.contest == "large_layer" and row.name != "dense"]
thin = [row.times_faster for (name, _), row in small.items() if name.startswith(("svd", "tucker"))]
claim(
    "the large layer gains twice and more, and with 16 channels neither SVD nor Tucker gains anything",
    holds=min(large) > 2 and max(thin) < 1.05,
)
whole_layer, svd_layer, tucker_layer = (small[name, "channels_last"] for name in ("dense", "svd 4", "tucker-2 8 x 8"))
claim(
    "the bound of `svd 4` falls more than 3 times, nearly as its MACs do, and the layer misses it by far",
    holds=whole_layer.bound_s > 3 * svd_layer.bound_s and svd_layer.median_s > 2 * svd_layer.bound_s,
)
claim(
    "Counted in whole vectors, `svd 4` has 3% *more* MACs than the dense layer. Tucker has 1.5 times fewer even so",
    None,
    100 * (svd_layer.vector_macs / whole_layer.vector_macs - 1),
    whole_layer.vector_macs / tucker_layer.vector_macs,
)

# %% [markdown]
# The same ways, and the opposite result: the large layer gains twice and more, and with 16 channels neither SVD nor Tucker gains anything. The **roofline** of lesson 01 does not say why:
# the bound of `svd 4` falls more than 3 times, nearly as its MACs do, and the layer misses it by far. (The large convolution may come out a little *below* its bound: the peak is an estimate.)
#
# The column `vectors /` says more. The processor multiplies whole **vectors**, of 16 numbers where it is a wide one. A layer with 4 output channels fills a quarter of a vector, and pays for all of it. Counted in whole vectors, `svd 4` has 3% *more* MACs than the dense layer. Tucker has 1.5 times fewer even so, and is not faster: its three layers also have three fixed costs, and two results in between.
# How much these take was not measured. The vectors can be tested, by changing the rank alone.

# %%
predict(
    "8.h",
    "64 to 64 channels, cut to rank 20 or to rank 32, on a machine with vectors of 16. Rank 20 has 5/8 of the MACs. Which share of rank 32's time does it take?",
    choices=("about 5/8", "about 3/4", "about the same"),
)

# %% name="fig-steps"
steps = record.find_contest(timed, "ranks", 32, "channels_last")
dense = steps[0]
by_rank = {int(row.name.removeprefix("svd ")): row for row in steps[1:]}


def draw_steps():
    figure, axes = plt.subplots(figsize=(11, 4.9))
    ms = [1000 * row.median_s for row in by_rank.values()]
    for values, name, colour, line, marker in (
        (ms, "measured", "blue", "-", "o"),
        (
            [1000 * dense.median_s * row.vector_macs / dense.macs for row in by_rank.values()],
            "if time went with MACs in whole vectors",
            "green",
            "-.",
            "^",
        ),
        (
            [1000 * dense.median_s * row.macs / dense.macs for row in by_rank.values()],
            "if time went with MACs",
            "orange",
            "--",
            "s",
        ),
    ):
        axes.plot(list(by_rank), values, color=COLOURS[colour], linestyle=line, marker=marker, label=name)
    low, high = ([1000 * getattr(row, what) for row in by_rank.values()] for what in ("low_s", "high_s"))
    axes.fill_between(list(by_rank), low, high, color=COLOURS["blue"], alpha=0.2)
    axes.axhline(1000 * dense.median_s, color="black", linewidth=1.5)
    axes.text(4, 1020 * dense.median_s, "the convolution as it was", fontsize=13)
    axes.set(
        xlabel="rank of the channel SVD, 64 to 64 channels",
        ylabel="ms for 32 pictures",
        ylim=(0, 1150 * dense.median_s),
    )
    axes.set_xticks(list(by_rank))
    axes.legend(fontsize=13, loc="lower right")
    return figure


print(f"vectors here hold {machine['lanes']} numbers")
show(
    draw_steps(),
    alt="Milliseconds over the rank of a channel SVD: measured times stand on steps as wide as the processor's vector, nearest to the straight line of the MACs at the end of each; the convolution as it was is a horizontal line.",
)

# %%
share = by_rank[20].median_s / by_rank[32].median_s
names = {0.625: "about 5/8", 0.75: "about 3/4", 1.0: "about the same"}
reveal("8.h", names[min(names, key=lambda value: abs(value - share))])

# %% tags=["solution-only"]
step = [by_rank[r].median_s for r in (20, 24, 28, 32)]
claim(
    "Ranks 20 to 32, all on one step, lie within a quarter of each other, and rank 16 takes a third to a half less time.",
    holds=max(step) < 1.25 * min(step) and 0.48 < by_rank[16].median_s / min(step) < 0.7,
)

# %% [markdown]
# Ranks 20 to 32, all on one step, lie within a quarter of each other, and rank 16 takes a third to a half less time. So take the upper end of a step, or go down a whole one: **a rank is chosen for the machine, too**. (Where your vectors are narrower the steps are shorter.)
#
# ### Accuracy comes back, some of it
#
# A little **fine-tuning** repairs much. But more training may help *any* net, so the control is the dense net with the same fine-tuning. Here is one seed, live, with one short epoch. `one optimization` has at most as many MACs as the data-aware net above it.


# %% name="out-tuned"
def tuned(net, count=4000):
    """A net after one epoch on the first training pictures, and its validation accuracy."""
    done = fit.fit(net, splits.train.first(count), splits.validation, epochs=1, seed=0, learning_rate=0.002)
    return done.model.eval(), done.history[-1].validation_accuracy


halves = matrix_ranks(cnn, 0.5, is_inner)
aware = factorize(cnn, example, halves, method=data_aware_svd(moments)).model
best = allocate_ranks(cnn, example, budget_macs=measure.macs(aware, example), moments=moments)
CUT = {
    "dense": cnn,
    "data-aware svd .5": aware,
    "one optimization": factorize(cnn, example, best, method=data_aware_svd(moments)).model,
    "tucker-2 .5": factorize(cnn, example, tucker_ranks(cnn, 0.5, is_inner), method=tucker()).model,
}
after = {name: tuned(net) for name, net in tqdm(CUT.items(), desc="fine-tuning")}
lines = [("small_cnn, seed 0, run here", "MMAC", "KiB", "before", "after fine-tuning")]
for name, net in CUT.items():
    costs = f"{measure.macs(net, example) / 1e6:.2f}", f"{measure.stored_bytes(net) / 1024:.0f}"
    lines.append((name, *costs, f"{accuracy(net):.1%}", f"{after[name][1]:.1%}"))
print(aligned(lines))

# %% [markdown]
# One seed is an anecdote. The study with three seeds, more ranks and more pictures was **recorded**: the next cells read a file that comes with the course. Its times are those of the machine that it was made on: 32 pictures, channels last, one thread. `- control` is the difference to the dense net of the same seed with the same fine-tuning, in points of test accuracy.

# %% name="out-recorded"
study = record.recorded()
print("RECORDED, not run here; anew: python tools/factorize_study.py --record DIR")
SWEEPS = {"small_cnn": "small_model", "wide_cnn": "wide_model"}


def times_of(net, layout="channels_last"):
    """The recorded times of a net and its cut forms at 32 pictures, by method and share of full rank."""
    return {row.name: row for row in study.contest(SWEEPS[net], 32, layout)}


def time_of(times, method, fraction):
    """Both kinds of SVD make the same layers, so they share a time."""
    return times["dense" if method == "dense" else f"{method.removeprefix('data-aware ')} {fraction:g}"]


def runs_of(net, method, fraction):
    return [run for run in study.sweeps[net] if (run.method, run.fraction) == (method, fraction)]


def kinds_of(net, *fractions):
    """Method and share of full rank, dense first; all shares unless some are named."""
    kinds = dict.fromkeys((run.method, run.fraction) for run in study.sweeps[net])
    return [kind for kind in kinds if not fractions or kind[1] in (1.0, *fractions)]


def less_control(net, method, fraction):
    """Test accuracy less that of the dense control, seed by seed, in points; nothing for the control itself."""
    return record.points(record.against_control(study.sweeps[net], method, fraction)) if method != "dense" else ""


times, whole = times_of("small_cnn"), runs_of("small_cnn", "dense", 1.0)[0].macs
lines = [("small_cnn", "rank", "MACs /", "before", "fine-tuned", "- control", "as fast")]
for method, fraction in kinds_of("small_cnn", 0.25, 0.375, 0.5):
    runs = runs_of("small_cnn", method, fraction)
    before, tuned_to = (record.percent([getattr(run, what) for run in runs]) for what in ("test_before", "test_after"))
    less = less_control("small_cnn", method, fraction)
    faster = f"{time_of(times, method, fraction).times_faster:.2f}"
    lines.append((method, f"{fraction:g}", f"{whole / runs[0].macs:.1f}", before, tuned_to, less, faster))
print(aligned(lines))

# %% name="fig-recorded"
METHOD_LOOKS = {"svd": ("orange", "s"), "data-aware svd": ("blue", "o"), "tucker-2": ("green", "^")}


def draw_recorded(net="small_cnn"):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.9))
    times = times_of(net)
    control = fit.Spread(tuple(run.test_after for run in runs_of(net, "dense", 1.0)))
    for axes in (left, right):
        axes.axhline(100 * control.mean, color="black", linewidth=1.5)
        axes.axhspan(100 * (control.mean - control.std), 100 * (control.mean + control.std), color="black", alpha=0.12)
    for method, (colour, marker) in METHOD_LOOKS.items():
        kinds = sorted(kind for kind in kinds_of(net) if kind[0] == method)
        macs = [runs_of(net, *kind)[0].macs / 1e6 for kind in kinds]
        ms = [1000 * time_of(times, *kind).median_s for kind in kinds]
        for what, line in (("test_before", ":"), ("test_after", "-")):
            spreads = [fit.Spread(tuple(getattr(run, what) for run in runs_of(net, *kind))) for kind in kinds]
            means, stds = ([100 * getattr(spread, part) for spread in spreads] for part in ("mean", "std"))
            look = {"color": COLOURS[colour], "marker": marker, "linestyle": line}
            left.plot(macs, means, label=method if line == "-" else None, **look)
            if line == "-":
                right.errorbar(ms, means, yerr=stds, capsize=4, elinewidth=1.5, **look)
    right.plot(1000 * times["dense"].median_s, 100 * control.mean, "P", color="black", markersize=13, zorder=5)
    right.text(1000 * times["dense"].median_s, 100 * control.mean + 1, "dense", fontsize=13, ha="center")
    left.set(xlabel="MMAC (dotted: before fine-tuning)", ylabel="test accuracy, in %", xlim=(0, None), ylim=(0, 100))
    right.set(xlabel="ms for 32 pictures (fine-tuned)", xlim=(0, None), ylim=(None, 100 * control.mean + 3))
    left.legend(fontsize=13, loc="lower right")
    return figure


show(
    draw_recorded(),
    alt="Recorded: test accuracy of the small CNN over its MACs, before fine-tuning dotted and after it solid, for three methods, with the dense control as a line; on the right the fine-tuned nets with their spread over measured milliseconds.",
)

# %% [markdown]
# In the table, data-aware beats plain at the same rank in each of the nine pairs of runs, by 2.1 points at a quarter of the rank (95% interval 1.6 to 2.6) and by 0.5 at half (0.1 to 0.8). Then go along a solid line from right to left, in both figures. On the left it reaches far towards zero; on the right it stops early: with 12.5 times fewer MACs the net is 1.8 times as fast. And those at three quarters of the rank stand to the *right* of the dense one. What takes the time was not measured.
#
# So the same study for a net with twice as many channels in all convolutions but the first, in both orders of memory. (It was trained for 4 epochs only, `small_cnn` for 25.)

# %% name="out-recorded-wide"
print("RECORDED, not run here: three seeds; as fast, in two orders, at 32 pictures")
whole, both = runs_of("wide_cnn", "dense", 1.0)[0].macs, (times_of("wide_cnn", "NCHW"), times_of("wide_cnn"))
lines = [("wide_cnn", "rank", "MACs /", "fine-tuned", "- control", "NCHW", "channels last")]
for method, fraction in kinds_of("wide_cnn"):
    runs = runs_of("wide_cnn", method, fraction)
    less = less_control("wide_cnn", method, fraction)
    faster = [f"{time_of(times, method, fraction).times_faster:.2f}" for times in both]
    tuned_to = record.percent([run.test_after for run in runs])
    lines.append((method, f"{fraction:g}", f"{whole / runs[0].macs:.1f}", tuned_to, less, *faster))
print(aligned(lines))
print("the smallest rank that loses at most a point of validation accuracy:")
for method in dict.fromkeys(method for method, _ in kinds_of("wide_cnn") if method != "dense"):
    fraction = record.choose_fraction(study.sweeps["wide_cnn"], method)
    if fraction is None:
        print(f"{method}: none")
        continue
    lost = less_control("wide_cnn", method, fraction)
    faster = time_of(both[1], method, fraction).times_faster
    print(f"{method}: {fraction:g}, {lost} points of test accuracy, {faster:.1f} times as fast")

# %% tags=["solution-only"]
ahead = {
    fraction: paired(
        *(
            {run.seed: 100 * run.test_after for run in runs_of("small_cnn", method, fraction)}
            for method in ("data-aware svd", "svd")
        )
    )
    for fraction in (0.25, 0.375, 0.5)
}
claim(
    "by 2.1 points at a quarter of the rank (95% interval 1.6 to 2.6) and by 0.5 at half (0.1 to 0.8)",
    ahead[0.25].mean,
    None,
    *ahead[0.25].interval(),
    ahead[0.5].mean,
    *ahead[0.5].interval(),
)
claim(
    "with 12.5 times fewer MACs the net is 1.8 times as fast",
    runs_of("small_cnn", "dense", 1.0)[0].macs / runs_of("small_cnn", "tucker-2", 0.125)[0].macs,
    time_of(times_of("small_cnn"), "tucker-2", 0.125).times_faster,
    page="slides/08_low_rank.md",
)
claim("in each of the nine pairs of runs", holds=min(gain for one in ahead.values() for gain in one.differences) > 0)
smallest = time_of(times_of("small_cnn"), "tucker-2", 0.125)
claim(
    "with 12.5 times fewer MACs the net is 1.8 times as fast",
    runs_of("small_cnn", "dense", 1.0)[0].macs / runs_of("small_cnn", "tucker-2", 0.125)[0].macs,
    smallest.times_faster,
)
slower = [row.name for row in times_of("small_cnn").values() if row.times_faster < 1]
claim(
    "those at three quarters of the rank stand to the *right* of the dense one",
    holds=slower == ["svd 0.75", "tucker-2 0.75"],
)
pairs_of_times = [
    [time_of(times_of("wide_cnn", at), method, fraction).times_faster for at in ("NCHW", "channels_last")]
    for method, fraction in kinds_of("wide_cnn")
    if method != "dense"
]
claim(
    "In the order NCHW the same nets gain less, in each of the six rows.",
    holds=len(pairs_of_times) == 6 and all(one < other for one, other in pairs_of_times),
)

# %% [markdown]
# The rank in the last lines was chosen on validation pictures, and only then was the test accuracy read. In the order NCHW the same nets gain less, in each of the six rows. (Why was not tested.) **Say what a speed was measured with: batch, layout, threads, machine.**
#
# ## 6 The same idea turned round
#
# What if a trained weight is trained *a little further*, for another task? The **change** may be of low rank although the weight is not. Here LeNet, which knows clothes standing upright, learns from 2000 pictures that hang upside down.


# %% name="out-change"
def upside_down(split):
    return data.Split(split.images.flip(2), split.labels)


new_train, new_validation = upside_down(splits.train.first(2000)), upside_down(splits.validation)
full = fit.fit(mlp, new_train, new_validation, epochs=3, seed=0, learning_rate=0.003)
lines = [("rank of 90% of the energy", "full", "weight", "its change", "change, shuffled")]
for name in ("linear1", "linear2"):
    before, after_it = (net.get_submodule(name).weight.detach() for net in (mlp, full.model))
    each = (before, after_it - before, shuffled(after_it - before))
    holding = [rank.rank_by_energy(torch.linalg.svdvals(one), 0.9) for one in each]
    lines.append((name, str(min(before.shape)), *map(str, holding)))
print(aligned(lines))

# %% [markdown]
# The change needs rank 10 and 15 for 90% of its energy, about a twentieth and a fifth of what its shuffled numbers need. So do not learn the change as a full matrix: **LoRA** leaves $W$ as it is, and learns two thin matrices beside it,
#
# $$W' = W + \frac{\alpha}{r} B A, \qquad A: r \times n, \quad B: m \times r.$$
#
# $B$ starts at zero, so the net starts as it was. Dividing by $r$ is a rule of thumb, so that a learning rate may serve several ranks; rsLoRA argues for the root of $r$. (Below, $\alpha = r$, and the factor is 1.) In the end everything is added up to one weight again: nothing is slower afterwards. By hand: $W$ = `[[1, 0], [0, 1]]`, $A$ = `[[0, 1]]`, $B$ = `[[3], [0]]`, $\alpha$ = 2, rank 1. The change is 2 · `[[0, 3], [0, 0]]`, and the merged weight `[[1, 6], [0, 1]]`. Four numbers were learned; in a
# large layer it would be far fewer than in $W$.

# %% [markdown]
# ### Exercise 8.8 - Merge what was learned (6 min)


# %% name="ex-8-8" tags=["exercise"]
def merged_change(weight, down, up, alpha):
    """The weight with what LoRA has learned in it, and how many weights learned.

    weight: [out, in]; down is A, [r, in]; up is B, [out, r]; the change is multiplied by alpha / r.
    Returns (merged weight, number of weights that learned).
    """
    ### BEGIN SOLUTION
    change = (up @ down) * (alpha / down.shape[0])
    return weight + change, down.numel() + up.numel()
    ### END SOLUTION


# %% tags=["check"]
check("8.8")

# %% [markdown]
# <details><summary>Hint 1: the order</summary>
#
# Which product of the two has the shape of the weight?
# </details>
# <details><summary>Hint 2: what stood still</summary>
#
# The weight itself did not learn.
# </details>

# %% name="out-lora"
lines = [("upside down", "weights that learn", "accuracy there", "merged: largest difference")]
lines.append(("as it was", "0", f"{fit.accuracy(mlp, new_validation):.1%}", ""))
for r in (1, 4, 16):
    beside = add_lora(mlp, r, where=lambda name, layer: name in ("linear1", "linear2"), seed=0)
    learned = fit.fit(beside, new_train, new_validation, epochs=3, seed=0, learning_rate=0.01)
    merged = merge_lora(learned.model)
    apart = (fit.predict(merged, new_validation.images) - fit.predict(learned.model, new_validation.images)).abs().max()
    reached = f"{learned.history[-1].validation_accuracy:.1%}"
    lines.append((f"LoRA, rank {r}", f"{trainable_parameters(beside):,}", reached, f"{apart:.0e}"))
lines.append(("everything", f"{trainable_parameters(mlp):,}", f"{full.history[-1].validation_accuracy:.1%}", ""))
print(aligned(lines))

# %% tags=["solution-only"]
trains = {r: low_rank.tensor_train(mlp.linear1, (15, 20), (28, 28), (r,)) for r in (8, 16)}
claim(
    "linear1 as a train of rank 8 has 3% of the weights and 69% of the MACs, at rank 16 it has 7% and 137%",
    *(
        number
        for r, found in trains.items()
        for number in (
            r,
            100 * (found.parameters - 300) / (300 * 784),
            100 * measure.macs(found.layer, torch.zeros(1, 784)) / (300 * 784),
        )
    ),
)
claim(
    "LoRA at rank 4 learns with 2% of the weights, and gets from 20% to 67%; all weights get to 78%.",
    None,
    100 * 4 * (300 + 784 + 100 + 300) / trainable_parameters(mlp),
    100 * fit.accuracy(mlp, new_validation),
    float(lines[3][2].rstrip("%")),
    100 * full.history[-1].validation_accuracy,
    within=1.5,  # two trainings whose sums are added up in another order end half a point apart
)
changes = [
    full.model.get_submodule(name).weight.detach() - mlp.get_submodule(name).weight.detach()
    for name in ("linear1", "linear2")
]
ranks_of_change = [
    [rank.rank_by_energy(torch.linalg.svdvals(one), 0.9) for one in (each, shuffled(each))] for each in changes
]
claim("The change needs rank 10 and 15 for 90% of its energy", *(own for own, _ in ranks_of_change), None, within=2)
claim(
    "about a twentieth and a fifth of what its shuffled numbers need",
    holds=all(abs(own / other - share) < 0.03 for (own, other), share in zip(ranks_of_change, (1 / 20, 1 / 5))),
)

# %% [markdown]
# LoRA at rank 4 learns with 2% of the weights, and gets from 20% to 67%; all weights get to 78%. (One seed, one learning rate for LoRA and another for all weights, neither of them searched for.) What is saved is memory *for learning* (gradients, the optimizer's state, what must be stored for each task).
#
# ## 7 Look around
#
# Move the rank. The first convolution has 16 filters of 3 x 3, so its matrix is 16 x 9. On the left the filters, in the middle a boot through the four whose answers vary most, on the right the error and the costs.

# %% name="fig-explore" tags=["widget"]
conv = cnn.conv1
cuts = {r: low_rank.channel_svd(conv, r) for r in range(1, 10)}
boot = pictures[splits.validation.labels == 9][:1]
with torch.no_grad():
    loud = conv(boot)[0].flatten(1).var(dim=1).argsort(descending=True)[:4]
timing = {"whole": conv, **{r: found.layer for r, found in cuts.items()}}


def forward(layer):
    with torch.no_grad():
        layer(example)


conv_times = measure.compare_latency(
    {name: (lambda layer=layer: forward(layer)) for name, layer in timing.items()}, repeats=100
)
all_errors = low_rank.rank_errors(conv.weight.detach().flatten(1))
accuracies = {r: accuracy(cnn, conv1=found.layer) for r, found in cuts.items()}


def mosaic(filters):
    """Filters [16, 3, 3] as a picture of 4 rows, with an empty line between them."""
    board = torch.full((16, 16), torch.nan)
    for at, one in enumerate(filters):
        row, column = 4 * (at // 4), 4 * (at % 4)
        board[row : row + 3, column : column + 3] = one
    return board[:-1, :-1]


def draw_rank(rank):
    found = cuts[rank]
    figure = plt.figure(figsize=(11, 4.9))
    grid = figure.add_gridspec(2, 4, width_ratios=(2, 1, 1, 2))
    above = figure.add_subplot(grid[:, 0])
    largest = conv.weight.abs().max().item()
    above.imshow(mosaic(low_rank.rebuild(found.layer)[:, 0]), cmap="RdBu", vmin=-largest, vmax=largest)
    with torch.no_grad():
        answers, exact = found.layer(boot)[0], conv(boot)[0]
    for place, channel in enumerate(loud):
        axes = figure.add_subplot(grid[place // 2, 1 + place % 2])
        low, high = exact[channel].min(), exact[channel].max()
        axes.imshow(answers[channel], cmap="gray", vmin=low, vmax=high)
        axes.set(xticks=(), yticks=())
        axes.grid(False)
    above.set(xticks=(), yticks=())
    above.grid(False)
    side = figure.add_subplot(grid[:, 3])
    side.plot(range(10), all_errors, color=COLOURS["blue"], marker="o")
    side.plot(rank, all_errors[rank], marker="D", markersize=16, color=COLOURS["vermillion"])
    side.set(xlabel="rank", ylabel="relative error", ylim=(0, 1.02), xticks=range(10))
    macs, dense_macs = found.macs((28, 28)), found.dense_macs((28, 28))
    ms, dense_ms = (1e6 * conv_times[name].median_s for name in (rank, "whole"))
    side.set_title(
        f"accuracy {accuracies[rank]:.1%} (whole {WHOLE['small_cnn']:.1%})\n"
        f"kMAC {macs / 1000:.0f} (whole {dense_macs / 1000:.0f})\nµs {ms:.0f} (whole {dense_ms:.0f})",
        fontsize=17,
        loc="right",
    )
    return figure


explore(
    draw_rank,
    alt=lambda rank: (
        f"The 16 filters of conv1 rebuilt, a boot through four of them, and the error curve; error {all_errors[rank]:.2f}, "
        f"accuracy {accuracies[rank]:.1%}, {cuts[rank].macs((28, 28)):,} MACs."
    ),
    rank=tuple(cuts),
)

# %% [markdown]
# Which filters come first, and which have to wait? A filter with small weights counts little in the sum of squares, however much depends on it. And is there any rank at which this layer is both cheaper and still right?
#
# ## 8 Where it stops working
#
# - **Not every layer has it.** Random numbers have no low rank, and some trained layers, such as conv3, are closer to them than one would like. A layer that is thin already (the first convolution of a net, its last layer, a depthwise one) has little to give.
# - **An error is not an accuracy.** That of the weight ignores the data, that of the output ignores the task. Both are for choosing candidates; validation data choose among them.
# - **MACs are not milliseconds.** Ranks between two vectors are paid for in full, and each further layer has a fixed cost and one more result to write and read.
# - **CP** has the most compact form and the hardest search: a best one need not exist, components may grow and cancel each other, and then fine-tuning is unstable, too (Phan et al., 2020). **Tensor trains** store a large linear layer in very few weights, but their MACs fall by less, or not at all: linear1 as a train of rank 8 has 3% of the weights and 69% of the MACs, at rank 16 it has 7% and 137% (`tensor_train` in the library).
# - **A net trained small from the start** may be as good as a large one cut down. That control, in lesson 05, takes a training.
#
# ## The ledger
#
# Which net do we keep? Of those fine-tuned here, the one with the fewest MACs whose validation accuracy is within a point of the dense control; if there is none, the most accurate.

# %% name="out-ledger"
control = after["dense"][1]
candidates = [name for name in CUT if name != "dense"]
near_enough = [name for name in candidates if after[name][1] >= control - 0.01]
if near_enough:
    kept = min(near_enough, key=lambda name: measure.macs(CUT[name], example))
else:
    kept = max(candidates, key=lambda name: after[name][1])
print(f"kept: {kept}; within a point of the dense control: {', '.join(near_enough) or 'none'}")

# %%
models = {"small_cnn, fine-tuned": after["dense"][0], f"low rank, {kept}": after[kept][0]}
report = measure.report(
    models, splits.test.images[:1], accuracies={name: fit.accuracy(net, splits.test) for name, net in models.items()}
)
for row in report.rows:
    table = ledger(row, lesson=8, beside=report.rows[0])
table

# %% tags=["solution-only"]
whole_row, cut_row = report.rows
claim(
    "The net that is kept has 1.7 times fewer MACs, an accuracy within a point of the dense one, and is hardly slower, if at all.",
    whole_row.macs / cut_row.macs,
    within=0.05,
    holds=abs(whole_row.accuracy - cut_row.accuracy) < 0.01 and cut_row.median_s < 1.1 * whole_row.median_s,
)

# %% [markdown]
# The net that is kept has 1.7 times fewer MACs, an accuracy within a point of the dense one, and is hardly slower, if at all. The last column compares the two times, which are of one run.

# %%
progress()

# %% [markdown]
# ## Summary
#
# - Rank $r$ pays below $mn/(m+n)$; the error of a cut is in the singular values, before anything is tried.
# - A convolution can be cut along channels, along the kernel, in both channel modes (Tucker-2) or in all four (CP). Which is nearest at equal weights differs by layer and by share.
# - Cut what the inputs make of the weight, not the weight: $W S$ in place of $W$, and let the bias repair the mean. Then measure the accuracy all the same.
# - Decide all ranks together, under one budget, and compare with the same share everywhere but in touchy layers.
# - Time fell where layers were large, in steps of whole vectors. In the small layer SVD and Tucker gained nothing.
# - LoRA: when the change is of low rank, learn only that.
#
# **References.** Eckart and Young 1936, *The approximation of one matrix by another of lower rank*. Denton et al. 2014, *Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation*. Jaderberg et al. 2014, *Speeding up Convolutional Neural Networks with Low Rank Expansions*. Lebedev et al. 2015, *Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition*. Kim et al. 2016,
# *Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications*. Zhang et al. 2015, *Accelerating Very Deep Convolutional Networks for Classification and Detection*. Nakajima et al. 2013, *Global Analytic Solution of Fully-observed Variational Bayesian Matrix Factorization*. Phan et al. 2020, *Stable Low-Rank Tensor Decomposition for Compression of Convolutional Neural Network*. Hu et al. 2022, *LoRA: Low-Rank
# Adaptation of Large Language Models*. Kalajdzievski 2023, *A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA* (arXiv 2312.03732). Yuan et al. 2023, *ASVD: Activation-aware Singular Value Decomposition for Compressing Large Language Models* (arXiv 2312.05821). Wang et al. 2025, *SVD-LLM: Truncation-aware Singular Value Decomposition for Large Language Model Compression*.
#
# **In the library.** In `mini_lib/factorize`, `low_rank/` has the ways to cut, `data_aware.py` the output's error, `rank.py` and `budget.py` the ranks, `model.py` whole nets, `lora.py` the turned one; `studies/factorize` has the contests and what was recorded.
#
# **Next:** [09 Why does the order of loops matter?](09_loops.ipynb)
