# %% [markdown]
# # How much of a trained filter is really there?
#
# Lesson 08 · {minutes} · before it: [07 Is a depthwise-separable convolution the same thing for less?](07_depthwise.ipynb)
#
# A layer of 300 x 784 weights looks like 235,200 separate decisions. But if the rows of such a matrix resemble each other, the matrix repeats itself, and can be stored as the product of two thin
# matrices. Thin matrices are cheaper, unless they are not thin enough; or the part that was left out told a shirt from a coat; or the processor does not care how few multiplications there are. This lesson is about these three exceptions.
#
# **You will be able to**
# 1. split a trained linear layer or convolution into cheaper layers, and know the error before you run them;
# 2. choose ranks by cost, by data and by one budget for the whole net, and compare each choice with a control;
# 3. predict when fewer multiplications will not take less time.
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
from mini_lib.factorize.moments import input_moments, is_factorizable, matrix_layers
from mini_lib.fold import fold_batch_norm
from mini_lib.surgery import swap
from studies.factorize import record
from studies.factorize.clean_process import in_clean_process
from studies.paired import paired
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)
figures.use_style()

splits = data.fashion()
pictures, example = splits.validation.images, splits.validation.images[:1]
NETS = {name: fold_batch_norm(zoo.load(name)) for name in ("lenet_300_100", "small_cnn")}
mlp, cnn = NETS.values()
LAYERS_OF = {title: matrix_layers(net, is_factorizable) for title, net in NETS.items()}
LAYER = LAYERS_OF["lenet_300_100"] | LAYERS_OF["small_cnn"]


def accuracy(net, **layers):
    """Validation accuracy of a net, with the layers of these names replaced."""
    return fit.accuracy(swap(net, layers) if layers else net, splits.validation)


WHOLE = {name: accuracy(net) for name, net in NETS.items()}
print(", ".join(f"{name}: {share:.1%} of the validation pictures" for name, share in WHOLE.items()))

# %% [markdown]
# Batch norm is already folded into the convolutions. Otherwise it would rescale the weights after the cut, and with them the error.

# %% [markdown]
# ## 1 Two thin matrices for one
#
# A matrix of **rank** $r$ is the product of two thin matrices, $m \times r$ and $r \times n$. In layers: $n$ inputs to $r$ features, and these to $m$ outputs, with *nothing in between*, no bias and no ReLU. For each input each weight is used once, so there are as many MACs as weights.
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
# How many weights do an m x r and an r x n matrix have together?
# </details>
# <details><summary>Hint 2: fewer, not as few</summary>
#
# If both counts are the same, nothing is saved. Try your formula on 2 x 2.
# </details>

# %%
predict(
    "8.a",
    "The first layer of LeNet-300-100 has 300 x 784 weights. What is the largest rank at which two thin matrices have fewer?",
    unit="",
)

# %%
reveal("8.a", rank.break_even_rank(300, 784))

# %% name="out-break-even" tags=["hide-input"]
lines = [("layer", "as a matrix", "full rank", "pays up to", "that is")]
for name, layer in LAYER.items():
    rows, columns = layer.weight.flatten(1).shape
    last, full = rank.break_even_rank(rows, columns), min(rows, columns)
    lines.append((name, f"{rows} x {columns}", str(full), str(last), f"{last / full:.0%} of full"))
with hold("8.a"):
    print(aligned(lines))

# %% [markdown]
# A square matrix has to lose half of its rank before the first weight is saved. A long matrix may keep more. (Here a convolution is a matrix with one row per filter. Part 2 has other ways to cut it.)
#
# ### Which thin matrices?
#
# The **singular value decomposition** (SVD) writes any matrix as a sum of simple matrices, $W = \sum_i s_i u_i v_i^T$. Each term compares the input with the direction $v_i$, multiplies the result by $s_i$, and sends it out in the direction $u_i$. All $u_i$ have length 1 and are at right angles to each other; the same holds for the $v_i$. The **singular values** $s_i$ come sorted, largest first. Keep the first $r$ terms:
# of all matrices of rank $r$, their sum is nearest to $W$ (Eckart and Young, 1936).
#
# By hand: in `[[0, 2], [1, 0]]` the second input goes to the first output with weight 2, and the first to the second with weight 1. So the singular values are 2 and 1, and the best matrix of rank 1 is `[[0, 2], [0, 0]]`. Its thin factors are `[[2], [0]]` and `[[0, 1]]`, or `[[1], [0]]` and `[[0, 2]]`, or have the root of 2 in both.

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
# `torch.linalg.svd(matrix, full_matrices=False)` gives U, S and V^T. V is already transposed: its directions are the *rows* of the third result.
# </details>
# <details><summary>Hint 2: where the values go</summary>
#
# Multiply one of the two factors by them, or both by their root. `U * S` multiplies each column by its value.
# </details>

# %% [markdown]
# How large is the part that was left out? The terms are at right angles, so their squares add up. The relative error of rank $r$ is
#
# $$\frac{\|W - W_r\|}{\|W\|} = \sqrt{\frac{s_{r+1}^2 + \dots + s_n^2}{s_1^2 + \dots + s_n^2}}.$$
#
# By hand: the singular values 2, 2, 1 have the squares 4, 4, 1, which add up to 9. Rank 0 loses everything: error 1. Rank 1 loses 5 of 9: 0.745. Rank 2 loses 1 of 9: 0.333. Rank 3 loses nothing. At rank 2 **a third of the length is missing, but only a ninth of the square.**

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
# So the weights alone give the error at every rank. How fast does it fall in a trained layer? The control is a matrix of **the same numbers, shuffled**. If the trained matrix has a smaller error than the shuffled one, the cause is not the numbers but their places.


# %%
def shuffled(weight, seed=0):
    """The same numbers at random places."""
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(seed))
    return weight.flatten()[order].reshape(weight.shape)


# %% name="fig-spectrum" tags=["hide-input"]
COLOURS = figures.COLOURS

looks = {"linear1": "blue", "conv3": "orange", "conv4": "green"}
matrices = {name: LAYER[name].weight.detach().flatten(1) for name in looks}


def draw_spectrum():
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.9))
    first = matrices["linear1"]
    for matrix, name, line in ((first, "trained", "-"), (shuffled(first), "shuffled", ":")):
        values = torch.linalg.svdvals(matrix)
        left.plot(range(1, len(values) + 1), values, color=COLOURS["blue"], linestyle=line, label=f"linear1, {name}")
    left.set(xlabel="place of the singular value, largest first", ylabel="singular value", ylim=(0, None))
    left.legend(fontsize=13)
    for name, colour in looks.items():
        rows, columns = matrices[name].shape
        for matrix, line in ((matrices[name], "-"), (shuffled(matrices[name]), ":")):
            errors = low_rank.rank_errors(matrix)
            share = [100 * r * (rows + columns) / (rows * columns) for r in range(len(errors))]
            label = f"{name}, {rows} x {columns}" if line == "-" else None
            right.plot(share, errors, color=COLOURS[colour], linestyle=line, label=label)
    right.axvspan(100, 125, color="#cccccc", alpha=0.7)
    right.text(101, 0.62, "more\nthan\nbefore", fontsize=13)
    right.set(xlabel="weights of both factors, % of the matrix", ylabel="relative error", xlim=(0, 125), ylim=(0, 1))
    right.legend(fontsize=13, loc="upper right", bbox_to_anchor=(0.81, 1.03), handlelength=1.5)
    return figure


show(
    draw_spectrum(),
    alt="On the left the singular values of linear1, trained and with its numbers shuffled: the trained matrix has a few large and many small values. On the right the error over the number of weights for linear1, conv3 and conv4, "
    "solid for trained and dotted for shuffled: conv4 falls to a small error at once, conv3 hardly faster than its shuffled control.",
)

# %% [markdown]
# Which solid lines leave their dotted lines at once, and which stays near its own? Where a dotted line meets the grey region, its error is still large: *random numbers cannot be stored as thin matrices*. And even in these trained layers an error of a tenth takes more than half of the rank. Does the error have to be that small?

# %%
quarter = 300 * 784 // (4 * (300 + 784))
predict(
    "8.b",
    f"linear1 is cut to rank {quarter}, a quarter of its weights, and nothing is trained afterwards. How many points of validation accuracy are lost?",
    unit="points",
)

# %%
cut_to = {r: low_rank.svd_linear(mlp.linear1, r) for r in (4, 8, 16, 32, quarter, 108, 216)}
accuracy_at = {r: accuracy(mlp, linear1=cut.layer) for r, cut in cut_to.items()}
lost = {r: 100 * (WHOLE["lenet_300_100"] - left) for r, left in accuracy_at.items()}
reveal("8.b", round(lost[quarter], 1))

# %% name="out-errors" tags=["hide-input"]
lines = [("rank", "weights", "error predicted", "measured", "accuracy", "points lost")]
for r, cut in cut_to.items():
    errors = f"{cut.predicted_error:.6f}", f"{cut.measured_error:.6f}"
    share = r * (300 + 784) / (300 * 784)
    lines.append((str(r), f"{share:.0%}", *errors, f"{accuracy_at[r]:.1%}", f"{lost[r]:.1f}"))
with hold("8.b"):
    print("linear1, 300 x 784; accuracy on validation pictures")
    print(aligned(lines))

# %% tags=["solution-only"]
from teach import claim

cut = cut_to[quarter]
claim(
    "The two columns of errors are the same, up to the rounding of float32",
    holds=abs(cut.predicted_error - cut.measured_error) < 1e-6,
)
claim(
    "With a quarter of the weights a third of the length is missing, but only half a point of the accuracy.",
    holds=abs(cut.predicted_error - 1 / 3) < 0.02 and 0.25 < lost[quarter] < 0.75,
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
# The two columns of errors are the same, up to the rounding of float32: the first comes from the singular values, the second from the two layers as they are stored. With a quarter of the weights a third of the length is missing, but only half a point of the accuracy.
#
# ### How many are worth keeping?
#
# The sum of all squares is called the **energy**. A common rule is to keep the smallest rank that holds 90% of it. By hand, for 2, 2, 1 again: rank 1 holds 4 of 9, which is 44%; rank 2 holds 89%. Half of the energy takes rank 2, and 90% takes rank 3.

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
# `values.square().cumsum(0)` gives the energy of the first 1, 2, 3 ... values.
# </details>
# <details><summary>Hint 2: from index to rank</summary>
#
# Find the index of the first sum that is large enough; an equal sum is enough. Indices start at 0, and ranks at 1.
# </details>

# %% [markdown]
# Why 90%, and not 80%? There is no good reason. **Variational Bayes** (VBMF) asks another question: if the matrix were something simple plus noise of unknown strength, which singular values would stand out of the noise? For known noise the answer has a closed form, and the strength of the noise is found by a search along one number. So there is nothing to choose. How much does VBMF find in shuffled layers?


# %%
ranks_of, left_after = {}, {}
for title, layers in LAYERS_OF.items():
    for name, layer in layers.items():
        matrix = layer.weight.detach().flatten(1)
        ranks_of[name] = rank.rank_by_energy(torch.linalg.svdvals(matrix), 0.9), rank.rank_by_vbmf(matrix)
        for r in ranks_of[name]:
            if 0 < r <= rank.break_even_rank(*matrix.shape):
                left_after[name, r] = accuracy(NETS[title], **{name: plain_svd(name, layer, r).layer})

# %% name="out-ranks" tags=["hide-input"]
lines = [("", "full", "pays", "90%", "accuracy", "VBMF", "accuracy", "VBMF, shuffled")]
for name, layer in LAYER.items():
    matrix = layer.weight.detach().flatten(1)
    cells = [
        cell
        for r in ranks_of[name]
        for cell in (str(r), f"{left_after[name, r]:.1%}" if (name, r) in left_after else "-")
    ]
    sizes = str(min(matrix.shape)), str(rank.break_even_rank(*matrix.shape))
    lines.append((name, *sizes, *cells, str(rank.rank_by_vbmf(shuffled(matrix)))))
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
    "In conv4 its rank 30 costs no accuracy.",
    bayes["conv4"],
    holds=left_at(bayes, "conv4") > 100 * WHOLE["small_cnn"] - 0.5,
)
claim(
    "the same 90% of the energy costs 3.7 points in conv2 and nothing in conv4",
    None,
    100 * WHOLE["small_cnn"] - left_at(energy, "conv2"),
    within=0.5,
    holds=left_at(energy, "conv4") > 100 * WHOLE["small_cnn"] - 0.5,
)
means_off = [
    rank.rank_by_vbmf(shuffled(weight - weight.mean()))
    for weight in (mlp.linear3.weight.detach(), cnn.conv3.weight.detach().flatten(1))
]
claim("Without the mean, both become 0.", max(means_off))

# %% [markdown]
# A dash means that the rank saves nothing, or is 0. The last column is as it should be: there is nothing to find in shuffled numbers. (A 1 is no error: a mean other than zero is a direction, and survives shuffling. Without the mean, both become 0.) In conv2 and conv3 VBMF keeps rank 6, but the net needs the part that VBMF takes for noise: only 23% and 11% are left. In conv4 its rank 30 costs no accuracy. And the same 90% of the energy costs 3.7 points in conv2 and nothing in conv4. **Both rules look at the weights, and neither knows what a weight is for.** That takes data, as in parts 3 and 4.

# %% [markdown]
# > **Takeaway.** The singular values give the error of every rank before you try it, but only a measurement gives the accuracy.

# %% [markdown]
# ## 2 A convolution has four modes
#
# The weight of a convolution is not a matrix. It has four modes: $N$ outputs, $C$ inputs, and the height and width $K$ of the kernel. So there is more than one way to cut it.
#
# | way | layers it makes | weights |
# | --- | --- | --- |
# | channel SVD | $K \times K$ to $r$ channels, then $1 \times 1$ | $r\,(C K^2 + N)$ |
# | spatial SVD | $K \times 1$ to $r$ channels, then $1 \times K$ | $r K (C + N)$ |
# | Tucker-2 | $1 \times 1$ to $r_1$, then $K \times K$ from $r_1$ to $r_2$, then $1 \times 1$ | $C r_1 + K^2 r_1 r_2 + r_2 N$ |
# | CP | $1 \times 1$ to $r$, then $K \times 1$ and $1 \times K$ on each channel by itself, then $1 \times 1$ | $r\,(C + 2K + N)$ |
#
# The MACs of a layer are its weights times the *places* at which they are used. With a stride, the layers before it see more places than those after it. By hand: Tucker-2 for 4 to 6 channels, 3 x 3, stride 2, on a 4 x 4 picture, with ranks 2 and 3. The first 1 x 1 sees all 16 places: 16 · 4 · 2 = 128 MACs. The output has 2 x 2 places. The middle layer, called the *core*, takes 4 · 9 · 2 · 3 = 216, and the last 1 x 1
# takes 4 · 3 · 6 = 72. The sum is 416. The convolution itself takes 4 · 9 · 4 · 6 = 864.

# %% [markdown]
# ### Exercise 8.5 - Three layers for one (8 min)


# %% name="ex-8-5" tags=["exercise"]
def tucker_macs(inputs, outputs, kernel, size, stride, rank_in, rank_out):
    """MACs of the three layers that Tucker-2 makes of a convolution, for one square image.

    kernel: odd, with padding kernel // 2; the middle layer has this padding and the stride. size: height and width of
    the input image. Returns a whole number.
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
# With this padding, a stride of 2 makes 3 places of 5: half of the size, rounded up.
# </details>

# %% [markdown]
# Now all four with the same number of weights. This takes about 5 seconds.

# %%
predict(
    "8.c",
    "conv3 of the small CNN is cut to a quarter of its weights, in each of the four ways. Which weight is nearest to the trained one?",
    choices=("channel SVD", "spatial SVD", "Tucker-2", "CP"),
)


# %% tags=["hide-input"]
def best_tucker(conv, most):
    """The pair of ranks with the least error of HOSVD, among those that need at most this many weights."""
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


# %%
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


SIZE = (14, 14)  # of the pictures that conv3 and conv4 read
cut_in, left_of, mmac_of, seconds_for = {}, {}, {}, {}
for name in tqdm(("conv3", "conv4"), desc="layers"):
    for way, cut in ways_at(LAYER[name], 0.25, sweeps=200).items():
        began_s = time.perf_counter()
        cut_in[name, way] = cut()
        seconds_for[name, way] = time.perf_counter() - began_s
        left_of[name, way] = accuracy(cnn, **{name: cut_in[name, way].layer})
        mmac_of[name, way] = cut_in[name, way].macs(SIZE) / 1e6

# %%
errors_at_a_quarter = {at: found.predicted_error for at, found in cut_in.items()}
of_conv3 = {way: error for (name, way), error in errors_at_a_quarter.items() if name == "conv3"}
reveal("8.c", min(of_conv3, key=of_conv3.get))

# %% name="out-ways" tags=["hide-input"]
lines = [("", "way", "ranks", "weights", "MMAC", "error", "accuracy", "s to find")]
for (name, way), found in cut_in.items():
    conv = LAYER[name]
    if way == "channel SVD":
        costs = f"{conv.weight.numel():,}", f"{found.dense_macs(SIZE) / 1e6:.2f}"
        lines.append((name, "as it is", "", *costs, "", f"{WHOLE['small_cnn']:.1%}", ""))
    ranks = " x ".join(map(str, found.ranks))
    costs = f"{found.parameters - len(conv.bias):,}", f"{mmac_of[name, way]:.2f}", f"{found.predicted_error:.3f}"
    lines.append((name, way, ranks, *costs, f"{left_of[name, way]:.1%}", f"{seconds_for[name, way]:.2f}"))
with hold("8.c"):
    print(aligned(lines, left=(0, 1)))

# %% tags=["solution-only"]
of_conv4 = {way: error for (name, way), error in errors_at_a_quarter.items() if name == "conv4"}
order = sorted(of_conv4, key=of_conv4.get)
claim(
    "In conv3 CP is nearest, with an error of 0.65, and keeps most of the accuracy.",
    of_conv3["CP"],
    holds=min(of_conv3, key=of_conv3.get) == "CP"
    and max((way for name, way in left_of if name == "conv3"), key=lambda way: left_of["conv3", way]) == "CP",
)
claim(
    "In conv4 the channel SVD is nearest, with 0.219, and CP has 0.227 after 200 sweeps",
    of_conv4["channel SVD"],
    of_conv4["CP"],
    None,
    within=0.001,  # where an iteration ends depends on the last digits
    holds=order[:2] == ["channel SVD", "CP"],
)
equal_shares = low_rank.tucker2(cnn.conv4, 25, 25, "hooi").predicted_error
claim(
    "With the same share in both modes, 25 x 25, the error in conv4 would be 0.335 instead of 0.248",
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
    "in conv3 each of them costs eight points or more",
    holds=max(share for (name, _), share in left_of.items() if name == "conv3") < WHOLE["small_cnn"] - 0.08,
)
claim(
    "In conv4 no way costs half a point",
    holds=min(share for (name, _), share in left_of.items() if name == "conv4") > WHOLE["small_cnn"] - 0.005,
)

# %% [markdown]
# Which way is best depends on the layer, and on the number of weights. In conv3 CP is nearest, with an error of 0.65, and keeps most of the accuracy. In conv4 the channel SVD is nearest, with 0.219, and CP has 0.227 after 200 sweeps (0.236 after 40). CP is still falling there, so this order is that of 200 sweeps.
#
# CP makes four layers of one, and it has no closed form: it is found by **alternating least squares**, from a start that may be a bad one. Tucker-2 gets the two ranks with the least error of HOSVD, explained below. With the same share in both modes, 25 x 25, the error in conv4 would be 0.335 instead of 0.248.
#
# In conv4 no way costs half a point; in conv3 each of them costs eight points or more.
#
# The next figure shows other shares, with 40 sweeps. This takes about 4 seconds.

# %% name="fig-ways" tags=["hide-input"]
WAYS = {
    "channel SVD": ("blue", "-", "o"), "spatial SVD": ("orange", "--", "s"), "Tucker-2": ("green", "-.", "^"),
    "CP": ("vermillion", ":", "D"),
}  # fmt: skip

SHARES = (0.08, 0.16, 0.25, 0.4)
errors_of = {
    name: {way: [ways_at(LAYER[name], share)[way]().predicted_error for share in SHARES] for way in WAYS}
    for name in tqdm(("conv3", "conv4"), desc="layers")
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
        axes.set(title=name, xlabel="weights, % of the convolution", ylim=(0, 1), xlim=(0, 43))
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
# After 40 sweeps, in conv3 CP has the smallest error at each share. In conv4, with 8% of its weights CP is nearest; with a quarter of them it is the channel SVD.
#
# There are two algorithms for Tucker-2. **HOSVD** takes the best directions for the inputs and the best for the outputs, each as if the other mode stayed whole. **HOOI** goes on from there: it fixes one set of directions and chooses the other anew, again and again. No step can make the error larger. How much does HOOI gain, with the same share in both modes?

# %%
hosvd_hooi = {}
for name in ("conv3", "conv4"):
    weight = LAYER[name].weight.detach()
    for part in (0.125, 0.25, 0.5):
        ranks = {mode: int(part * weight.shape[mode]) for mode in (0, 1)}
        hosvd_hooi[name, ranks[1], ranks[0]] = low_rank.hosvd(weight, ranks), low_rank.hooi(weight, ranks)

# %% name="out-hooi" tags=["hide-input"]
lines, gained = [("", "ranks", "HOSVD", "HOOI", "sweeps", "only inputs cut", "only outputs cut", "no less than")], []
for (name, r_in, r_out), (one, other) in hosvd_hooi.items():
    weight = LAYER[name].weight.detach()
    alone = [low_rank.rank_errors(low_rank.unfold(weight, mode))[r].item() for mode, r in ((1, r_in), (0, r_out))]
    gained.append(1 - other.error / one.error)
    found = f"{one.error:.4f}", f"{other.error:.4f}", str(other.sweeps)
    lines.append((name, f"{r_in} x {r_out}", *found, *(f"{error:.4f}" for error in (*alone, max(alone)))))
print(aligned(lines))

# %% tags=["solution-only"]
claim("In these two layers HOOI reduces the error of HOSVD by at most 3%.", 100 * max(gained), within=0.2)
claim("here HOOI reduces the error by at most 3%", 100 * max(gained), within=0.2, page="slides/08_low_rank.md")
modes = [low_rank.rank_errors(low_rank.unfold(cnn.conv4.weight.detach(), mode)) for mode in (1, 0)]
claim(
    "In conv4 cutting the inputs costs far more than cutting the outputs",
    holds=all(inputs[r] > 1.5 * outputs[r] for inputs, outputs in [modes] for r in (8, 16, 32)),
)

# %% [markdown]
# The last column is a lower limit: cutting two modes cannot lose less than cutting one of them. The error of HOSVD is never above $\sqrt{2}$ times the smallest possible. In these two layers HOOI reduces the error of HOSVD by at most 3%. In conv4 cutting the inputs costs far more than cutting the outputs, so equal shares are a bad choice there.

# %% [markdown]
# > **Takeaway.** A convolution can be cut in four ways, and which one is nearest at equal weights depends on the layer.

# %% [markdown]
# ## 3 Near in what comes out
#
# The output of the layer should stay as it was, for the inputs that it really gets. These inputs are not white noise: in pictures of clothes, neighbouring pixels resemble each other, and the corners are nearly always dark. A direction in which the inputs never vary can be dropped at no cost.
#
# Let $R$ be a root of the covariance of the inputs, $R R^T = \operatorname{Cov}(x)$. Then $\|(W - W') R\|^2$ is the mean squared change of the output, about its mean. So the matrix to bring near is not $W$ but $W R$. The lost part also changes the mean output. That change is a constant, and a bias can make up for it.
#
# By hand: $W$ is diagonal with 3 and 1. The inputs have mean (0, 2), and vary by 1 and by 6, independently. The outputs vary by 3 and 6. A plain SVD keeps the first output, since 3 is more than 1. About the mean it loses 6 of $\sqrt{9 + 36}$: error 0.894. The other choice keeps the second output: error 0.447. And its bias? The lost weight is the 3, and its input has mean 0: there is nothing to correct. In the plain SVD the lost weight is the 1, and the correction would be 1 · 2 = 2, in the second output.

# %% [markdown]
# ### Exercise 8.6 - Near in what comes out (12 min)


# %% name="ex-8-6" tags=["exercise"]
def nearest_output(weight, bias, mean, root, rank):
    """The weight of this rank, and the bias, that change the output of the layer least over its inputs.

    weight: [m, n]; bias: [m]; mean: [n], of the inputs; root: [n, n], symmetric; root @ root is their covariance.
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
# Not the weight, but the weight as the inputs use it: `weight @ root`. From its SVD you need the first columns of U only.
# </details>
# <details><summary>Hint 2: back to a weight</summary>
#
# `U @ U.T` keeps the part of the output in these directions. Multiply the weight itself by it, from the left.
# </details>
# <details><summary>Hint 3: the bias</summary>
#
# What does the lost part, old weight minus new, make of the mean input? Each output lacks that much, on average.
# </details>

# %% [markdown]
# The mean and the covariance come from a few *training* pictures, the error from validation pictures. There are three candidates: a plain SVD; the same with a corrected bias, to see what the bias alone does; and the data-aware SVD. Here an **output error** is a root: the root mean square of the change, divided by that of the output about its mean. (Other lessons, such as 05, give its square, the *share* that is lost.) This takes about 4 seconds.

# %%
predict(
    "8.d",
    "linear1 at rank 16, on pictures that were not used for the cut: how large is the output error of the data-aware SVD, as a percentage of that of the plain SVD?",
    unit="%",
)


# %%
moments, read = {}, {}
for net, count in tqdm(((mlp, 1000), (cnn, 400)), desc="calibration"):
    moments |= input_moments(net, splits.train.first(count).images.split(100))
    wanted = [name for name, layer in net.named_modules() if name in moments]
    observe(net, [pictures[:500]], wanted, lambda name, inputs, output: read.update({name: inputs}))


def three_ways(name, r):
    """Plain, plain with the bias corrected, and data-aware; and the error that the last one predicts."""
    plain = plain_svd(name, LAYER[name], r).layer
    aware = data_aware.output_svd(LAYER[name], moments[name], r)
    return plain, data_aware.restore_mean_output(LAYER[name], plain, moments[name]), aware.layer, aware.predicted_error


PLACES = {"linear1": (8, 16, 32, 64), "linear2": (8, 16, 32), "conv2": (8, 16), "conv3": (16,), "conv4": (16,)}
output_errors = {}
for name, r in [(name, r) for name, ranks in PLACES.items() for r in ranks]:
    *three, expected = three_ways(name, r)
    measured = [data_aware.measured_output_error(LAYER[name], one, read[name]) for one in three]
    output_errors[name, r] = *measured, expected
ratio = {at: aware / plain for at, (plain, _, aware, _) in output_errors.items()}

# %%
reveal("8.d", round(100 * ratio["linear1", 16]))

# %% name="out-aware" tags=["hide-input"]
lines = [("output error", "rank", "predicted", "data-aware", "of plain", "plain", "bias corrected")]
for (name, r), errors in output_errors.items():
    plain, corrected, aware, expected = (f"{error:.3f}" for error in errors)
    lines.append((name, str(r), expected, aware, f"{ratio[name, r]:.0%}", plain, corrected))
with hold("8.d"):
    print(aligned(lines))

# %% tags=["solution-only"]
claim(
    "In linear1 at rank 16 the error of the data-aware layer is 35% of the plain one, and in conv4 it is 91%",
    None,
    100 * ratio["linear1", 16],
    100 * ratio["conv4", 16],
    within=1,  # the last digits of the moments differ from machine to machine
)
covariance = moments["linear1"].covariance.double()
covariance = covariance + 1e-6 * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
dense_weight = mlp.linear1.weight.detach().double()
values, vectors = torch.linalg.eigh(covariance)
by_root, by_cholesky = (
    torch.linalg.svd(dense_weight @ factor).U[:, :16]
    for factor in (vectors * values.sqrt() @ vectors.T, torch.linalg.cholesky(covariance))
)
claim("which gives the same $U$", holds=(by_root @ by_root.T - by_cholesky @ by_cholesky.T).norm() < 1e-4)

# %% [markdown]
# In formulas, the data-aware layer is $W' = U U^T W$, with the first $r$ columns $U$ from the SVD of $W R$, and $b' = b + (W - W')\,\bar x$ with the mean input $\bar x$.
#
# The column `predicted` was known from the calibration pictures; `data-aware` was measured on others. An error above 1 in the plain column says that a layer which always answers its mean would have been nearer. The gain differs by layer. In linear1 at rank 16 the error of the data-aware layer is 35% of the plain one, and in conv4 it is 91%. (If all inputs were equally strong and independent, $R$ would be a multiple of the identity, and the two layers would differ in the bias alone.)
#
# Language models are cut in this way, too. ASVD scales each input by a power of its typical size, as if $R$ were diagonal. SVD-LLM uses the whole covariance, with a Cholesky factor as the root, which gives the same $U$. (It does not subtract the mean of the inputs.)
#
# ### Does a smaller error mean a better net?

# %%
predict(
    "8.e",
    "linear1 at rank 8: correcting the bias of a plain SVD brings the output nearer to the original output. What does that do to the validation accuracy?",
    choices=("it rises", "it falls", "no difference beyond chance"),
)


# %%
def right(name, layer):
    """Which validation pictures LeNet gets right with this layer replaced."""
    return fit.predict(swap(mlp, {name: layer}), pictures).argmax(dim=1) == splits.validation.labels


def error_after(name, layer, *then):
    """The output error of a layer, after these further layers."""
    old, new = (torch.nn.Sequential(one, *then) for one in (LAYER[name], layer))
    return data_aware.measured_output_error(old, new, read[name])


compared = {}
for name, second, ranks in (("linear1", 1, (4, 8, 12)), ("linear2", 2, (6, 8, 12, 16))):
    for r in ranks:
        both = [three_ways(name, r)[way] for way in (0, second)]  # plain, and corrected or data-aware
        errors = [error_after(name, one) for one in both]
        after_relu = [error_after(name, one, torch.nn.ReLU()) for one in both]
        rights = [right(name, one) for one in both]
        only = [int((rights[a] & ~rights[b]).sum()) for a, b in ((0, 1), (1, 0))]
        compared[name, r] = errors, after_relu, [one.float().mean().item() for one in rights], only

# %%
*_, shares, only = compared["linear1", 8]
chance = binomtest(only[0], sum(only)).pvalue
reveal("8.e", "no difference beyond chance" if chance > 0.01 else "it rises" if shares[1] > shares[0] else "it falls")

# %% name="out-lower" tags=["hide-input"]
lines = [("", "rank", "output error", "after ReLU", "accuracy", "only one right", "chance")]
for (name, r), (*errors, shares, only) in compared.items():
    chance = binomtest(only[0], sum(only)).pvalue
    fallen = (f"{one:.2f} -> {other:.2f}" for one, other in errors)
    cells = *fallen, f"{shares[0]:.1%} -> {shares[1]:.1%}", f"{only[0]} : {only[1]}"
    against = "bias corr." if name == "linear1" else "data-aware"
    lines.append((f"{name}, {against}", str(r), *cells, f"{chance:.0e}" if chance < 0.001 else f"{chance:.3f}"))
with hold("8.e"):
    print(aligned(lines))

# %% tags=["solution-only"]
claim(
    "In all rows the second has the smaller output error.",
    holds=all(errors[1] < errors[0] for errors, *_ in compared.values()),
)
before, after_relu, shares, only = compared["linear1", 8]
claim(
    "in linear1 at rank 8 the corrected bias reduces the error by a quarter before the ReLU, and by next to nothing after it",
    holds=abs(before[1] / before[0] - 0.75) < 0.03 and 0.96 < after_relu[1] / after_relu[0] < 1,
)
claim(
    "why the accuracy *falls* by 9.5 points",
    100 * (shares[0] - shares[1]),
    within=0.5,
    holds=binomtest(only[0], sum(only)).pvalue < 1e-6,
)

# %% [markdown]
# Each row compares the plain SVD with a second layer: the same with its bias corrected, or a data-aware layer. In all rows the second has the smaller output error. `after ReLU` is the same error, in the numbers that the next layer reads. `only one right` counts the pictures that only the first net gets right, and those that only the second does. `chance` says how often a fair coin would be as lopsided. Where it is not small, do not call it a difference; and among seven rows, 0.04 is not small.
#
# How can a nearer layer be worse? By hand: a layer has two outputs. The first varies by 10 and says nothing about the class, the second varies by 2 and *is* the class. At rank 1 it is nearest to keep the first: only 2 of $\sqrt{104}$ are lost, an error of 0.196, and the class is gone. The output error adds up all outputs over all pictures, and the loudest output counts most; the class may depend on a quiet one.
#
# And the next layer does not read the output but its ReLU: in linear1 at rank 8 the corrected bias reduces the error by a quarter before the ReLU, and by next to nothing after it. (That does not explain why the accuracy *falls* by 9.5 points; the cause was not tested.) Zhang et al. fit the values after the ReLU, which has no closed form.

# %% [markdown]
# > **Takeaway.** Approximate the output and not the weight, but measure the accuracy all the same: a nearer layer can make a worse net.

# %% [markdown]
# ## 4 Which layer gets which rank?
#
# So far only one layer was cut at a time. A whole net has one budget, in MACs or in bytes. A rank costs most where the matrix and the picture are large; it gains most where the next singular value is still large. You can give all layers the same share of their rank. Or you can decide all ranks together: each layer has a list of ranks, with the cost and the error of each. Take one rank from each list, so that **the costs fit the budget and the sum of
# the errors is least**.
#
# By hand: the first layer costs 5 with error 0.6, or 10 with 0.2; the second costs 20 with 0.5, or 40 with 0.4. The budget is 45. Ranks (1, 2) cost exactly 45, with an error of 1.0. Ranks (2, 1) cost 30, with an error of 0.7, and 15 are left over. Both at rank 2 would cost 50.

# %% [markdown]
# ### Exercise 8.7 - One budget, two layers (8 min)


# %% name="ex-8-7" tags=["exercise"]
def best_ranks(first, second, budget):
    """The ranks of two layers whose MACs fit the budget and whose errors have the least sum.

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
# Leave out the pairs that cost too much. Of the others take the pair with the least error, not the most expensive pair.
# </details>

# %% [markdown]
# With ten layers of sixty ranks each you cannot try them all. The task is a **knapsack** with one choice per layer, and an integer program finds the optimum in a moment (`allocate_ranks`). It has two controls. The first gives each layer the same share of full rank, as large as the budget allows, and spends the rest on single ranks. The second does the same but leaves two touchy layers whole, the first convolution and the last linear layer.
#
# The optimization can add up the errors of the weights or those of the outputs. In this part all layers are data-aware; only the ranks differ. This takes about 5 seconds.

# %%
predict(
    "8.f",
    "LeNet-300-100 with a tenth of its MACs. How many points of validation accuracy does the optimization gain over the same share in linear1 and linear2, with linear3 left whole?",
    unit="points",
)


# %%
def is_inner(name, layer):
    return name not in ("conv1", "linear", "linear3") and is_factorizable(name, layer)


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
for title, share in tqdm([(title, share) for title, shares in BUDGETS.items() for share in shares], desc="budgets"):
    net = NETS[title]
    for way, ranks in choices_at(net, int(share * measure.macs(net, example))).items():
        cheaper = factorize(net, example, ranks, method=data_aware_svd(moments)).model
        chosen[title, share, way], allocated[title, share, way] = ranks, accuracy(cheaper)
ways = ("same share", "same, inner layers", "by weight", "by output")

# %%
tenth = {way: allocated["lenet_300_100", 0.1, way] for way in ways}
reveal("8.f", round(100 * (tenth["by output"] - tenth["same, inner layers"]), 1))

# %% name="out-budget" tags=["hide-input"]
lines = [("", "MACs", "same share", "inner layers", "by weight", "by output")]
for title, shares in BUDGETS.items():
    for share in shares:
        lines.append((title, f"{share:.0%}", *(f"{allocated[title, share, way]:.1%}" for way in ways)))
with hold("8.f"):
    print(aligned(lines))


# %% name="fig-budget" tags=["hide-input"]


def draw_budget():
    figure, both = plt.subplots(1, 2, figsize=(11, 4.9))
    for axes, (title, share) in zip(both, (("lenet_300_100", 0.1), ("small_cnn", 0.5))):
        names = list(LAYERS_OF[title])
        looks = (("same share", "orange", "//"), ("same, inner layers", "sky", ".."), ("by output", "blue", ""))
        for at, (way, colour, hatch) in enumerate(looks):
            ranks = chosen[title, share, way]
            full = {name: min(LAYER[name].weight.flatten(1).shape) for name in names}
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
    "In LeNet at a quarter of the MACs it is the whole gain, 35 points, and the three choices that spare the last layer are within half a point of each other",
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
    "By output the optimization is ahead of the second control in six of the seven rows",
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
    "buys `linear3` a rank of 2 at 10%, but not at 15%, where it has rank 1",
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
    "only the rank of `linear3` goes from 1 to 3, the accuracy is 20%, 48% and 55%",
    None,
    None,
    *(100 * share for share in with_rank),
    within=0.5,
)

# %% [markdown]
# Which layers does the optimization starve? The second control tells you how much of the gain comes from the rule "leave touchy layers alone". In LeNet at a quarter of the MACs it is the whole gain, 35 points, and the three choices that spare the last layer are within half a point of each other. In LeNet, the tighter the budget, the more the optimization by output adds. (In the CNN it adds most in the middle row.) By output the optimization is ahead of the second control in six of the seven rows, in one of them by next to nothing.
#
# Why does `same share` *fall* from 10% of the MACs to 15%? The rest of the budget buys `linear3` a rank of 2 at 10%, but not at 15%, where it has rank 1. If at 15% only the rank of `linear3` goes from 1 to 3, the accuracy is 20%, 48% and 55%.
#
# The optimization adds up *relative squared errors of layers*, as if an error were equally bad in every layer. That is a heuristic.

# %% [markdown]
# > **Takeaway.** Decide all ranks together under one budget, and compare the result with a simple rule that spares the touchy layers.

# %% [markdown]
# ## 5 Fewer MACs, less time?
#
# Now the clock, for four layers that do the same job, 16 to 16 channels.
#
# As in lesson 07, we time in **a process of its own that keeps its memory**, count the processor's time, and take turns. This takes about 10 seconds.

# %%
predict(
    "8.g",
    "A 3x3 convolution, 16 to 16 channels, is cut to rank 4: its MACs fall to less than a third. How many times as fast is it, with channels last?",
    unit="times",
)

# %%
with tqdm(total=1, desc="timing in a process of its own") as bar:
    timed, machine = in_clean_process(("small_layer", "large_layer", "ranks"), batches=(32,), repeats=15)
    bar.update()

# %%
by_name = {(row.contest, row.name, row.layout): row for row in timed}
reveal("8.g", round(by_name["small_layer", "svd 4", "channels_last"].times_faster, 2))


# %% name="out-slower" tags=["hide-input"]
def print_contest(contest):
    """MACs and times of a contest, relative to its first; `bound` is the roofline of each layer, added up."""
    lines = [("", "layout", "MACs /", "vectors /", "bound, ms", "measured, ms", "speedup")]
    rows = [row for row in timed if row.contest == contest]
    for row in rows:
        ms = f"{1000 * row.bound_s:.3f}", f"{1000 * row.median_s:.3f}"
        fewer = f"{rows[0].macs / row.macs:.1f}", f"{rows[0].vector_macs / row.vector_macs:.1f}"
        layout = row.layout.replace("channels_", "ch. ")
        lines.append((row.name, layout, *fewer, *ms, f"{row.times_faster:.2f}"))
    print(aligned(lines, left=(0, 1)))


with hold("8.g"):
    print("16 -> 16 channels at 14 x 14, 32 pictures, one thread: run here")
    print_contest("small_layer")

# %% [markdown]
# `MACs /` is the factor by which the MACs fell; `bound` is the roofline of each layer, added up; a `speedup` below 1 is slower. Next, the same contest for a large layer.

# %% name="out-faster" tags=["hide-input"]
print("128 -> 128 channels at 14 x 14, 32 pictures, one thread: run here")
print_contest("large_layer")

# %% tags=["solution-only"]
small = {(row.name, row.layout): row for row in timed if row.contest == "small_layer"}
large = [row.times_faster for row in timed if row.contest == "large_layer" and row.name != "dense"]
thin = [row.times_faster for (name, _), row in small.items() if name.startswith(("svd", "tucker"))]
claim(
    "the large layer becomes more than twice as fast in each way, but with 16 channels neither SVD nor Tucker gains anything",
    holds=min(large) > 2 and max(thin) < 1.05,
)
whole_layer, svd_layer, tucker_layer = (small[name, "channels_last"] for name in ("dense", "svd 4", "tucker-2 8 x 8"))
claim(
    "the bound of `svd 4` is more than 3 times lower, much like its MACs, and the layer takes far longer than its bound",
    holds=whole_layer.bound_s > 3 * svd_layer.bound_s and svd_layer.median_s > 2 * svd_layer.bound_s,
)
claim(
    "Counted in whole vectors, `svd 4` has 3% *more* MACs than the dense layer. Tucker still has 1.5 times fewer",
    None,
    100 * (svd_layer.vector_macs / whole_layer.vector_macs - 1),
    whole_layer.vector_macs / tucker_layer.vector_macs,
)

# %% [markdown]
# The methods are the same, and the result is the opposite: the large layer becomes more than twice as fast in each way, but with 16 channels neither SVD nor Tucker gains anything. The **roofline** of lesson 01 does not explain it:
# the bound of `svd 4` is more than 3 times lower, much like its MACs, and the layer takes far longer than its bound. (The large convolution may be a little *faster* than its bound: the peak is an estimate.)
#
# The column `vectors /` says more. The processor multiplies whole **vectors**, of 16 numbers if it is a wide one. A layer with 4 output channels fills a quarter of a vector, and pays for all of it. Counted in whole vectors, `svd 4` has 3% *more* MACs than the dense layer. Tucker still has 1.5 times fewer, and is not faster: its three layers also have three fixed costs, and two results in between.
# How much these take was not measured. But you can test the vectors by changing the rank alone.

# %%
predict(
    "8.h",
    "64 to 64 channels, cut to rank 20 or to rank 32, on a machine with vectors of 16. Rank 20 has 5/8 of the MACs. Which share of rank 32's time does it take?",
    choices=("about 5/8", "about 3/4", "about the same"),
)

# %%
dense, *cut_layers = record.find_contest(timed, "ranks", 32, "channels_last")
by_rank = {int(row.name.removeprefix("svd ")): row for row in cut_layers}
share = by_rank[20].median_s / by_rank[32].median_s
names = {0.625: "about 5/8", 0.75: "about 3/4", 1.0: "about the same"}
reveal("8.h", names[min(names, key=lambda value: abs(value - share))])


# %% name="fig-steps" tags=["hide-input"]


def draw_steps():
    figure, axes = plt.subplots(figsize=(11, 4.9))
    ms = [1000 * row.median_s for row in by_rank.values()]
    for values, name, colour, line, marker in (
        (ms, "measured", "blue", "-", "o"),
        (
            [1000 * dense.median_s * row.vector_macs / dense.macs for row in by_rank.values()],
            "if time followed the MACs in whole vectors",
            "green",
            "-.",
            "^",
        ),
        (
            [1000 * dense.median_s * row.macs / dense.macs for row in by_rank.values()],
            "if time followed the MACs",
            "orange",
            "--",
            "s",
        ),
    ):
        axes.plot(list(by_rank), values, color=COLOURS[colour], linestyle=line, marker=marker, label=name)
    low, high = ([1000 * getattr(row, what) for row in by_rank.values()] for what in ("low_s", "high_s"))
    axes.fill_between(list(by_rank), low, high, color=COLOURS["blue"], alpha=0.2)
    axes.axhline(1000 * dense.median_s, color="black", linewidth=1.5)
    axes.text(4, 1020 * dense.median_s, "the original convolution", fontsize=13)
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
    alt="Milliseconds over the rank of a channel SVD: the measured times form steps as wide as the processor's vector, nearest to the straight line of the MACs at the end of each step; the original convolution is a horizontal line.",
)

# %% tags=["solution-only"]
step = [by_rank[r].median_s for r in (20, 24, 28, 32)]
claim(
    "Ranks 20 to 32, all on one step, are within a quarter of each other, and rank 16 takes a third to a half less time.",
    holds=max(step) < 1.25 * min(step) and 0.48 < by_rank[16].median_s / min(step) < 0.7,
)

# %% [markdown]
# Ranks 20 to 32, all on one step, are within a quarter of each other, and rank 16 takes a third to a half less time. So take the upper end of a step, or go down a whole step: **the right rank depends on the machine, too**. (If your vectors are narrower, the steps are shorter.)
#
# ### Accuracy comes back, some of it
#
# A little **fine-tuning** repairs much. But more training may help *any* net, so the control is the dense net with the same fine-tuning. Here is one seed, live, with one short epoch. `one optimization` has at most as many MACs as the data-aware net above it. This takes about 5 seconds.


# %%
def tuned(net, count=4000):
    """A net after one epoch on the first training pictures, and its validation accuracy."""
    done = fit.fit(net, splits.train.first(count), splits.validation, epochs=1, seed=0, learning_rate=0.002)
    return done.model.eval(), done.history[-1].validation_accuracy


aware = factorize(cnn, example, matrix_ranks(cnn, 0.5, is_inner), method=data_aware_svd(moments)).model
best = allocate_ranks(cnn, example, budget_macs=measure.macs(aware, example), moments=moments)
CUT = {
    "dense": cnn,
    "data-aware svd .5": aware,
    "one optimization": factorize(cnn, example, best, method=data_aware_svd(moments)).model,
    "tucker-2 .5": factorize(cnn, example, tucker_ranks(cnn, 0.5, is_inner), method=tucker()).model,
}
after = {name: tuned(net) for name, net in tqdm(CUT.items(), desc="fine-tuning")}

# %% name="out-tuned" tags=["hide-input"]
lines = [("small_cnn, seed 0, run here", "MMAC", "KiB", "before", "after fine-tuning")]
for name, net in CUT.items():
    costs = f"{measure.macs(net, example) / 1e6:.2f}", f"{measure.stored_bytes(net) / 1024:.0f}"
    lines.append((name, *costs, f"{accuracy(net):.1%}", f"{after[name][1]:.1%}"))
print(aligned(lines))

# %% [markdown]
# One seed is an anecdote. The study with three seeds, more ranks and more pictures was **recorded**: the next cells read a file that comes with the course. Its times are those of the recording machine: 32 pictures, channels last, one thread. `- control` is the difference from the dense net of the same seed with the same fine-tuning, in points of test accuracy.

# %% name="out-recorded" tags=["hide-input"]

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
lines = [("small_cnn", "rank", "MACs /", "before", "fine-tuned", "- control", "speedup")]
for method, fraction in kinds_of("small_cnn", 0.25, 0.375, 0.5):
    runs = runs_of("small_cnn", method, fraction)
    before, tuned_to = (record.percent([getattr(run, what) for run in runs]) for what in ("test_before", "test_after"))
    less = less_control("small_cnn", method, fraction)
    faster = f"{time_of(times, method, fraction).times_faster:.2f}"
    lines.append((method, f"{fraction:g}", f"{whole / runs[0].macs:.1f}", before, tuned_to, less, faster))
print(aligned(lines))

# %% name="fig-recorded" tags=["hide-input"]

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
# In the table, data-aware beats plain at the same rank in each of the nine pairs of runs, by 2.1 points at a quarter of the rank (95% interval 1.6 to 2.6) and by 0.5 at half (0.1 to 0.8).
#
# Then follow a solid line from right to left, in both figures. On the left it reaches far towards zero; on the right it stops early: with 12.5 times fewer MACs the net is 1.8 times as fast. And the nets with three quarters of the rank are *slower* than the dense net. What takes the time was not measured.
#
# So here is the same study for a net with twice as many channels in all convolutions but the first, in both memory layouts. (It was trained for 4 epochs only, `small_cnn` for 25.)

# %% name="out-recorded-wide" tags=["hide-input"]

print("RECORDED, not run here: three seeds; the speedup in two layouts, at 32 pictures")
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
    "the nets with three quarters of the rank are *slower* than the dense net",
    holds=slower == ["svd 0.75", "tucker-2 0.75"],
)
pairs_of_times = [
    [time_of(times_of("wide_cnn", at), method, fraction).times_faster for at in ("NCHW", "channels_last")]
    for method, fraction in kinds_of("wide_cnn")
    if method != "dense"
]
claim(
    "With the layout NCHW the same nets gain less, in each of the six rows.",
    holds=len(pairs_of_times) == 6 and all(one < other for one, other in pairs_of_times),
)

# %% [markdown]
# The rank in the last lines was chosen on validation pictures, and only then was the test accuracy read. With the layout NCHW the same nets gain less, in each of the six rows. (The reason was not tested.) **Say how a speed was measured: batch, layout, threads, machine.**

# %% [markdown]
# > **Takeaway.** Here fewer MACs saved time in large layers and in steps of whole vectors, but none in a small layer.

# %% [markdown]
# ## 6 The same idea turned round
#
# What if a trained weight is trained *a little further*, for another task? The **change** may have a low rank although the weight does not. Here LeNet, which knows clothes the right way up, learns from 2000 pictures that hang upside down.


# %%
def upside_down(split):
    return data.Split(split.images.flip(2), split.labels)


new_train, new_validation = upside_down(splits.train.first(2000)), upside_down(splits.validation)
full = fit.fit(mlp, new_train, new_validation, epochs=3, seed=0, learning_rate=0.003)
changes = {
    name: (full.model.get_submodule(name).weight - LAYER[name].weight).detach() for name in ("linear1", "linear2")
}

# %% name="out-change" tags=["hide-input"]
lines, ranks_of_change = [("rank of 90% of the energy", "full", "weight", "its change", "change, shuffled")], {}
for name, change in changes.items():
    each = (LAYER[name].weight.detach(), change, shuffled(change))
    holding = [rank.rank_by_energy(torch.linalg.svdvals(one), 0.9) for one in each]
    ranks_of_change[name] = holding[1:]
    lines.append((name, str(min(change.shape)), *map(str, holding)))
print(aligned(lines))

# %% [markdown]
# The change needs rank 10 and 15 for 90% of its energy, about a twentieth and a fifth of the rank that its shuffled numbers need. So do not learn the change as a full matrix. **LoRA** leaves $W$ as it is, and learns two thin matrices next to it:
#
# $$W' = W + \frac{\alpha}{r} B A, \qquad A: r \times n, \quad B: m \times r.$$
#
# $B$ starts at zero, so the net starts unchanged. The division by $r$ is a rule of thumb, so that one learning rate may serve several ranks; rsLoRA argues for the root of $r$. (Below, $\alpha = r$, and the factor is 1.) In the end everything is added up to one weight again, so nothing is slower afterwards. By hand: $W$ = `[[1, 0], [0, 1]]`, $A$ = `[[0, 1]]`, $B$ = `[[3], [0]]`, $\alpha$ = 2, rank 1. The change is 2 · `[[0, 3], [0, 0]]`, and the merged weight `[[1, 6], [0, 1]]`. Four numbers were learned; in a
# large layer they would be far fewer than those of $W$.

# %% [markdown]
# ### Exercise 8.8 - Merge what was learned (6 min)


# %% name="ex-8-8" tags=["exercise"]
def merged_change(weight, down, up, alpha):
    """The weight with the learned change added, and the number of weights that learned.

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
# Which of the two products, A B or B A, has the shape of the weight?
# </details>
# <details><summary>Hint 2: what did not move</summary>
#
# The weight itself did not learn.
# </details>

# %%
learned = {}
for r in (1, 4, 16):
    beside = add_lora(mlp, r, where=lambda name, layer: name in ("linear1", "linear2"), seed=0)
    done = fit.fit(beside, new_train, new_validation, epochs=3, seed=0, learning_rate=0.01)
    merged = merge_lora(done.model)
    apart = (fit.predict(merged, new_validation.images) - fit.predict(done.model, new_validation.images)).abs().max()
    learned[r] = trainable_parameters(beside), done.history[-1].validation_accuracy, apart

# %% name="out-lora" tags=["hide-input"]
lines = [("upside down", "weights that learn", "accuracy there", "merged: largest difference")]
lines.append(("as it was", "0", f"{fit.accuracy(mlp, new_validation):.1%}", ""))
for r, (count, reached, apart) in learned.items():
    lines.append((f"LoRA, rank {r}", f"{count:,}", f"{reached:.1%}", f"{apart:.0e}"))
lines.append(("everything", f"{trainable_parameters(mlp):,}", f"{full.history[-1].validation_accuracy:.1%}", ""))
print(aligned(lines))

# %% tags=["solution-only"]
trains = {r: low_rank.tensor_train(mlp.linear1, (15, 20), (28, 28), (r,)) for r in (8, 16)}
claim(
    "linear1 as a train of rank 8 has 3% of the weights and 69% of the MACs, and at rank 16 it has 7% and 137%",
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
    "LoRA at rank 4 learns with 2% of the weights, and the accuracy rises from 20% to 67%; with all weights it reaches 78%.",
    None,
    100 * 4 * (300 + 784 + 100 + 300) / trainable_parameters(mlp),
    100 * fit.accuracy(mlp, new_validation),
    100 * learned[4][1],
    100 * full.history[-1].validation_accuracy,
    within=1.5,  # another order of the sums in training moves the result by half a point
)
claim(
    "The change needs rank 10 and 15 for 90% of its energy",
    *(own for own, _ in ranks_of_change.values()),
    None,
    within=2,
)
claim(
    "about a twentieth and a fifth of the rank that its shuffled numbers need",
    holds=all(
        abs(own / other - share) < 0.03 for (own, other), share in zip(ranks_of_change.values(), (1 / 20, 1 / 5))
    ),
)

# %% [markdown]
# LoRA at rank 4 learns with 2% of the weights, and the accuracy rises from 20% to 67%; with all weights it reaches 78%. (One seed, one learning rate for LoRA and another for all weights; neither was searched for.) LoRA saves memory *for learning*: gradients, the state of the optimizer, and the weights to store per task.

# %% [markdown]
# > **Takeaway.** If the change of a weight has a low rank, learn only the change: it has few weights, and once it is merged it costs no time.

# %% [markdown]
# ## 7 Look around
#
# Move the rank. The first convolution has 16 filters of 3 x 3, so its matrix is 16 x 9. On the left you see the filters, in the middle a boot through the four filters whose answers vary most, on the right the error and the costs. This takes about 5 seconds.

# %%
conv = cnn.conv1
cuts = {r: low_rank.channel_svd(conv, r) for r in range(1, 10)}
accuracies = {r: accuracy(cnn, conv1=found.layer) for r, found in tqdm(cuts.items(), desc="ranks")}
all_errors = low_rank.rank_errors(conv.weight.detach().flatten(1))
timing = {"whole": conv} | {r: found.layer for r, found in cuts.items()}
with torch.no_grad():
    runs = {name: (lambda layer=layer: layer(example)) for name, layer in timing.items()}
    conv_times = measure.compare_latency(runs, repeats=100)


# %% name="fig-explore" tags=["hide-input", "widget"]
boot = pictures[splits.validation.labels == 9][:1]
with torch.no_grad():
    loud = conv(boot)[0].flatten(1).var(dim=1).argsort(descending=True)[:4]
bar = tqdm(total=len(cuts), desc="drawing")


def mosaic(filters):
    """Filters [16, 3, 3] as a picture of 4 rows, with an empty line between neighbours."""
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
        f"{macs / 1000:.0f} kMAC (whole {dense_macs / 1000:.0f})\n{ms:.0f} µs (whole {dense_ms:.0f})",
        fontsize=17,
        loc="right",
    )
    bar.update()
    return figure


explore(
    draw_rank,
    labels={"rank": "rank of the factors"},
    alt=lambda rank: (
        f"The 16 filters of conv1 rebuilt, a boot seen through four of them, and the error curve; error {all_errors[rank]:.2f}, "
        f"accuracy {accuracies[rank]:.1%}, {cuts[rank].macs((28, 28)):,} MACs."
    ),
    rank=tuple(cuts),
)

# %% [markdown]
# Which filters come first, and which have to wait? Is there any rank at which this layer is both cheaper and still right?

# %% [markdown]
# > **Takeaway.** A filter with small weights counts little in the sum of squares, however much the net depends on it.

# %% [markdown]
# ## Where it stops working
#
# - **Not every layer has a low rank.** Random numbers have none, and some trained layers, such as conv3, are close to them. A layer that is already thin (the first convolution of a net, its last layer, a depthwise layer) has little to give.
# - **An error is not an accuracy.** The error of the weight ignores the data, and that of the output ignores the task. They help to choose candidates; validation data choose among them.
# - **MACs are not milliseconds.** You pay for whole vectors even if the rank fills only a part, and each further layer has a fixed cost and one more result to write and read.
# - **CP** has the most compact form and the hardest search: a best solution does not always exist, components may grow and cancel each other, and then fine-tuning is unstable, too (Phan et al., 2020). **Tensor trains** store a large linear layer in very few weights, but their MACs fall by less, or not at all: linear1 as a train of rank 8 has 3% of the weights and 69% of the MACs, and at rank 16 it has 7% and 137% (`tensor_train` in the library).
# - **A net trained small from the start** may be as good as a large net cut down. That control, in lesson 05, takes a training.
#
# ## With pencil and paper
#
# **1.** A linear layer has 400 x 100 weights and no bias. What is the largest rank at which two thin matrices have fewer weights? Which rank leaves exactly a quarter of the weights?
#
# <details><summary>Answer</summary>
#
# The layer has 40,000 weights, and rank r takes 400 · r + r · 100 = 500 · r. Rank 80 takes 40,000, as many as before, so 79 is the last rank that pays. A quarter is 10,000 weights: rank 20.
# </details>
#
# **2.** A matrix has the singular values 4, 2, 2 and 1. What is the relative error at ranks 1, 2 and 3? Which rank holds 90% of the energy?
#
# <details><summary>Answer</summary>
#
# The squares are 16, 4, 4 and 1, together 25. Rank 1 loses 9 of 25: the root of 0.36 is 0.6. Rank 2 loses 5 of 25: 0.447. Rank 3 loses 1 of 25: 0.2. Rank 2 holds 20 / 25 = 80% and rank 3 holds 24 / 25 = 96%, so it takes rank 3.
# </details>
#
# **3.** A convolution has 32 input channels, 64 output channels, a 3 x 3 kernel with padding 1, and stride 2. It reads 16 x 16 places. Cut it to rank 16, once as a channel SVD and once as a spatial SVD, in which the 3 x 1 layer has the stride along the height and the 1 x 3 layer the stride along the width. Which has fewer weights, and which has fewer MACs?
#
# <details><summary>Answer</summary>
#
# The output has 8 x 8 = 64 places. Channel SVD: 16 · (32 · 9 + 64) = 5,632 weights, all used at 64 places: 360,448 MACs. Spatial SVD: 16 · 3 · (32 + 64) = 4,608 weights. Its first layer has 16 · 3 · 32 = 1,536 weights and an output of 8 x 16 = 128 places, which makes 196,608 MACs. The second has
# 16 · 3 · 64 = 3,072 weights at 64 places, which makes 196,608 again, together 393,216. So the spatial SVD has fewer weights and more MACs.
# </details>
#
# ## The ledger
#
# Which net do we keep? Of the nets fine-tuned here, we keep the net with the fewest MACs whose validation accuracy is within a point of the dense control; if there is none, the most accurate net.

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
    "This net has 1.7 times fewer MACs and an accuracy within a point of the dense net, and it is hardly slower, if at all.",
    whole_row.macs / cut_row.macs,
    within=0.05,
    holds=abs(whole_row.accuracy - cut_row.accuracy) < 0.01 and cut_row.median_s < 1.1 * whole_row.median_s,
)

# %% [markdown]
# This net has 1.7 times fewer MACs and an accuracy within a point of the dense net, and it is hardly slower, if at all. The last column compares two times of the same run.

# %%
progress()

# %% [markdown]
# ## Summary
#
# - Rank $r$ pays below $mn/(m+n)$; the singular values give the error of a cut before you try it.
# - A convolution can be cut along channels, along the kernel, in both channel modes (Tucker-2) or in all four (CP). Which way is nearest at equal weights depends on the layer and on the share.
# - Cut the weight as the inputs use it: $W R$ instead of $W$, and let the bias correct the mean. Then measure the accuracy all the same.
# - Decide all ranks together, under one budget, and compare with the same share everywhere but in touchy layers.
# - Time fell where layers were large, in steps of whole vectors. In the small layer SVD and Tucker gained nothing.
# - LoRA: when the change has a low rank, learn only the change.
#
# # **References.** Eckart and Young 1936, *The approximation of one matrix by another of lower rank*. Denton et al. 2014, *Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation*. Jaderberg et al. 2014, *Speeding up Convolutional Neural Networks with Low Rank Expansions*. Lebedev et al. 2015, *Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition*. Kim et al. 2016,
# *Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications*. Zhang et al. 2015, *Accelerating Very Deep Convolutional Networks for Classification and Detection*. Nakajima et al. 2013, *Global Analytic Solution of Fully-observed Variational Bayesian Matrix Factorization*. Phan et al. 2020, *Stable Low-Rank Tensor Decomposition for Compression of Convolutional Neural Network*. Hu et al. 2022, *LoRA: Low-Rank
# Adaptation of Large Language Models*. Kalajdzievski 2023, *A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA* (arXiv 2312.03732). Yuan et al. 2023, *ASVD: Activation-aware Singular Value Decomposition for Compressing Large Language Models* (arXiv 2312.05821). Wang et al. 2025, *SVD-LLM: Truncation-aware Singular Value Decomposition for Large Language Model Compression*.
#
# **In the library.** In [`mini_lib/factorize`](../mini_lib/factorize/__init__.py), [`low_rank/`](../mini_lib/factorize/low_rank/__init__.py) has the ways to cut, [`data_aware.py`](../mini_lib/factorize/data_aware.py) the output's error, [`rank.py`](../mini_lib/factorize/rank.py) and [`budget.py`](../mini_lib/factorize/budget.py) the ranks, [`model.py`](../mini_lib/factorize/model.py) whole nets, [`lora.py`](../mini_lib/factorize/lora.py) the low-rank change; [`studies/factorize`](../studies/factorize/__init__.py) has the contests and what was recorded.
#
# **Next:** [09 Why does the order of loops matter?](09_loops.ipynb)
