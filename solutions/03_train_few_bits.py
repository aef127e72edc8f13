# %% [markdown]
# # Can a network learn to live on 2 bits, on 1?
#
# Lesson 03 · {minutes} · before it: [02 How few bits does a weight need?](02_bits.ipynb)
#
# Lesson 02 ended at a cliff. Rounded to 4 bits, the model of this course loses about two points. Rounded to the three values of a symmetric 2-bit grid, clipped where
# the error is least, it keeps about a fifth of its accuracy; with four values and corrected biases it reached 68% in lesson 02. In this lesson the network may *react* to its rounding: first, some weights move to make up for others; then it trains
# with the grid in place. How few bits are enough then?
#
# **You will be able to**
# 1. round a layer so that the error of its output is small, and say where that helps and where it does not;
# 2. train through a rounding with the straight-through estimator and a learned step, and choose how to treat batch norm;
# 3. use controls over several seeds to say how much training recovers, how much a teacher adds, and what the exported file stores.
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

from mini_lib import data, fit, measure, quantize, second_moments, zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import PACT, BinaryFormat, IntFormat, PerChannel, TernaryFormat
from studies.bits import record
from studies.paired import Paired
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # sums then repeat to the last digit
figures.use_style()


# %% tags=["hide-input"]
def table(rows, columns, cell, corner=""):
    """Print a table of cell(row, column), each column as wide as it needs to be."""
    lines = [[corner, *columns], *([row, *(cell(row, column) for column in columns)] for row in rows)]
    widths = [max(len(str(line[at])) for line in lines) for at in range(len(lines[0]))]
    for first, *rest in lines:
        print(f"{first!s:<{widths[0]}}" + "".join(f"{each!s:>{width + 3}}" for each, width in zip(rest, widths[1:])))


def percent(share):
    """One accuracy, or a mean and its spread, in percent."""
    if isinstance(share, float):
        return f"{100 * share:.1f}%"
    return f"{100 * share.mean:.1f} ± {100 * share.std:.1f}%"


# %% [markdown]
# ## 1 Round better before you train
#
# Round-to-nearest makes the error of each *weight* as small as possible. But the next layer reads
# the *output*, a sum over all weights of a row, $y = w \cdot x$. If rounding changes the row by $d$, the output changes by $d \cdot x$, and over many
# inputs the mean square of that is
#
# $$E\left[(d \cdot x)^2\right] = d^\top H \, d, \qquad H = E\left[x x^\top\right].$$
#
# The diagonal of $H$ says how strong each input is. The other entries say how much two inputs vary together. (No mean is subtracted, so two inputs that are never negative count as varying together.) Two errors partly cancel if their inputs vary together and their signs differ.
#
# By hand: take the weights (0.4, 0.4), a grid of whole numbers, and two inputs that vary together, $H = \begin{pmatrix}1 & 0.75\\0.75 & 1\end{pmatrix}$. Rounded to nearest, both
# become 0: $d = (-0.4, -0.4)$, and the error is 0.16 + 0.16 + 2 · 0.75 · 0.16 = 0.56. Now round the second weight up, the "wrong" way: $d = (-0.4, 0.6)$, and the error is
# 0.16 + 0.36 - 2 · 0.75 · 0.24 = 0.16. The worse rounding of the weight is the better rounding of the row.
#
# Move the slider. All rows on one contour have the same output error. At 0, $H$ is diagonal, and the nearest grid point is the best. The more
# the inputs vary together, the longer the ellipses become.


# %% name="fig-two-weights" tags=["widget", "hide-input"]
def draw_two_weights(together):
    moments = torch.tensor([[1.0, together], [together, 1.0]])
    row = torch.tensor([0.4, 0.4])

    def output_errors(points):
        changes = points - row
        return ((changes @ moments) * changes).sum(dim=-1)

    points = torch.cartesian_prod(torch.arange(-1.0, 3.0), torch.arange(-1.0, 3.0))
    best = points[output_errors(points).argmin()]
    axis = torch.linspace(-1.4, 2.4, 120)
    field = output_errors(torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1))
    figure, axes = plt.subplots(figsize=(5.4, 5))
    axes.contour(axis, axis, field, levels=[0.05, 0.15, 0.35, 0.7, 1.3, 2.2], colors="grey", linewidths=1)
    axes.plot(*points.T, "o", color=figures.COLOURS["black"], markersize=5)
    axes.plot(*row, "*", color=figures.COLOURS["black"], markersize=16, label="the weights")
    axes.plot(
        0, 0, "s", color=figures.COLOURS["blue"], markersize=17, fillstyle="none", markeredgewidth=3, label="nearest"
    )
    axes.plot(
        *best,
        "o",
        color=figures.COLOURS["vermillion"],
        markersize=24,
        fillstyle="none",
        markeredgewidth=3,
        label="best output",
    )
    axes.set(xlabel="first weight", ylabel="second weight", aspect="equal")
    axes.set_title(
        f"error: nearest {output_errors(torch.zeros(2)):.2f}, best {output_errors(best):.2f}", loc="left", fontsize=15
    )
    axes.legend(loc="lower left", fontsize=12, markerscale=0.6)
    return figure


explore(
    draw_two_weights,
    labels={"together": "correlation of the two inputs"},
    alt=lambda together: (
        f"Contours of the output error around two weights whose inputs have the correlation {together:g}; the nearest grid point and the best one."
    ),
    together=(0.0, 0.4, 0.75, 0.9),
)

# %% name="fig-two-weights-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_two_weights(0.75),
    alt="Contours of the output error around two weights of 0.4, long ellipses; the nearest grid point is (0, 0), the best one is another.",
)

# %% [markdown]
# With two weights you can try all grid points; with 288 weights in a row you cannot. **GPTQ** goes through the row from left to right. It rounds one weight to the nearest
# value, and *moves the weights that are not yet rounded* so that they compensate for the error as well as they can. Then it rounds the next weight at its new value.
#
# How much should they move? If weight $i$ has lost $e = w_i - \hat w_i$, the remaining weights should add an output as close as possible to $e \cdot x_i$. This least-squares problem has the solution
#
# $$w_{\text{rest}} \leftarrow w_{\text{rest}} + e \cdot H_{\text{rest},\text{rest}}^{-1} \, H_{\text{rest},i}.$$
#
# In our example, 0.4 becomes 0, so $e$ = 0.4. The second weight moves by 0.4 · 0.75 / 1 = 0.3, to 0.7, and rounds to 1. (The update comes from Optimal Brain Surgeon, 1993; GPTQ made it fast enough for large models.)

# %% [markdown]
# ### Exercise 3.1 - Round with the inputs in mind (10 min)
#
# You may call `quantize.fake_quantize(x, scale, 0, -highest, highest)`: it rounds to the nearest value and clips at the ends of the grid.


# %% name="ex-3-1" tags=["exercise"]
def round_in_turn(w, moments, scale, highest):
    """The weights of one row, rounded in turn; the weights not yet rounded compensate for each error.

    w: [n]; moments: H, [n, n]; the grid has the codes -highest to highest times scale. Returns [n], values on the grid.
    """
    ### BEGIN SOLUTION
    w = w.clone()
    for at in range(len(w)):
        rounded = quantize.fake_quantize(w[at], scale, 0, -highest, highest)
        error, rest = w[at] - rounded, slice(at + 1, None)
        w[at] = rounded
        if at + 1 < len(w):
            w[rest] += error * torch.linalg.solve(moments[rest, rest], moments[rest, at])
    return w
    ### END SOLUTION


# %% tags=["check"]
check("3.1")

# %% [markdown]
# <details><summary>Hint 1: the loop</summary>
#
# For each position: round the current weight, keep its error, store the rounded value, move the rest. Begin with `w = w.clone()`, so that the caller's weights do not change.
# </details>
# <details><summary>Hint 2: no inverse needed</summary>
#
# `torch.linalg.solve(A, b)` gives the solution of A @ x = b. Here A is `moments[rest, rest]` with `rest = slice(at + 1, None)`.
# </details>
# <details><summary>Hint 3: the last weight</summary>
#
# No weight is left to move after the last one, so there is no system to solve.
# </details>

# %% [markdown]
# GPTQ decides once and never revises a decision. **AdaRound** keeps every weight between its two neighbours on the grid, and *learns* for each whether to round up or down. It uses gradient descent on the layer's output error, with a penalty that finally drives
# every weight to one side. GPTQ may move a weight further; AdaRound may revise its decisions. Which freedom is worth more?

# %%
predict(
    "3.a",
    "Only conv3 is rounded, to 3 bits. What share of round-to-nearest's output error does GPTQ leave?",
    choices=("less than a quarter", "a quarter to a half", "a half to three quarters", "more than three quarters"),
)

# %% [markdown]
# Start with one layer, `conv3`, and the error of its output relative to the output. All three methods use the same grids, one per channel, with the ends that give the least squared error. (Round-to-nearest
# is the control: it uses the same grids but ignores the inputs. The error is measured on the 100 pictures that the other two methods have seen.)

# %%
splits = data.fashion()
networks = [zoo.load("small_cnn", seed=seed) for seed in (0, 1, 2)]
folded = [fold_batch_norm(network) for network in networks]
calibration = splits.train.first(100).images


def channels(bits):
    return IntFormat(bits, granularity=PerChannel())


def to_nearest(network, bits, where=quantize.is_weight_layer):
    return quantize.quantize_weights(network, channels(bits), where=where, observer=quantize.mse)


def by_gptq(network, bits, where=quantize.is_weight_layer):
    return quantize.gptq(network, channels(bits), calibration, where=where, observer=quantize.mse)


def by_adaround(network, bits, where=quantize.is_weight_layer):
    return quantize.adaround(network, channels(bits), calibration, steps=500, where=where, observer=quantize.mse)


def with_bias(network, bits):
    return quantize.correct_bias(network, to_nearest(network, bits), calibration)


METHODS = {"nearest": to_nearest, "GPTQ": by_gptq, "AdaRound": by_adaround}


def is_conv3(name, layer):
    return name == "conv3"


network = folded[0]
moments = second_moments.second_moments_of(network, calibration, {"conv3": network.conv3})["conv3"]


def output_error(method, bits):
    rounded = METHODS[method](network, bits, is_conv3).conv3.weight
    return second_moments.output_error(network.conv3.weight, rounded, moments)


errors = {(name, bits): output_error(name, bits) for name in tqdm(METHODS, desc="methods") for bits in (4, 3, 2)}

# %% name="out-one-layer" tags=["hide-input"]
with hold("3.a"):
    table(METHODS, (4, 3, 2), lambda *key: f"{100 * errors[key]:.2f}%", "conv3, error of the output, bits:")

# %% tags=["hide-input"]
ratio = errors["GPTQ", 3] / errors["nearest", 3]
shares = {0.25: "less than a quarter", 0.5: "a quarter to a half", 0.75: "a half to three quarters"}
reveal("3.a", next((answer for limit, answer in shares.items() if ratio < limit), "more than three quarters"))

# %% [markdown]
# Now round all layers of the model, for three seeds. GPTQ and AdaRound have seen pictures, and round-to-nearest has not. So we add a second control: **bias corrected** is round-to-nearest with biases that undo the mean shift of each output, measured on the same 100 pictures (lesson 02).
# The table shows the loss as well as the accuracy, because the loss also rises when a right answer becomes less sure. This takes about 20 seconds.

# %%
WIDTHS = (4, 3, 2)


def judged(models):
    """Loss and accuracy on the validation images, each over the seeds."""
    labels = splits.validation.labels
    logits = [fit.predict(each, splits.validation.images) for each in models]
    losses = [torch.nn.functional.cross_entropy(each, labels).item() for each in logits]
    return fit.Spread(tuple(losses)), fit.Spread(
        tuple((each.argmax(1) == labels).double().mean().item() for each in logits)
    )


WHOLE = {"nearest": to_nearest, "bias corrected": with_bias, "GPTQ": by_gptq, "AdaRound": by_adaround}
judged_methods = {}
with tqdm(total=len(WHOLE) * len(WIDTHS), desc="methods x widths") as bar:
    for name, method in WHOLE.items():
        for bits in WIDTHS:
            judged_methods[name, bits] = judged([method(each, bits) for each in folded])
            bar.update()
float_loss, float_accuracy = judged(folded)

# %% name="out-rounding" tags=["hide-input"]
print(f"32 bits: loss {float_loss.mean:.2f}, accuracy {percent(float_accuracy)}\n")
table(WHOLE, WIDTHS, lambda *key: f"{judged_methods[key][0].mean:.2f}", "validation loss, bits:")
print()
table(WHOLE, WIDTHS, lambda *key: percent(judged_methods[key][1]), "validation accuracy, bits:")

# %% name="claims-rounding" tags=["solution-only"]
from teach import claim

lost = {key: 100 * (float_accuracy.mean - accuracy.mean) for key, (_, accuracy) in judged_methods.items()}
brought_back = {(name, bits): 1 - lost[name, bits] / lost["nearest", bits] for name, bits in lost}
claim("Rounded to 4 bits, the model of this course loses about two points.", holds=1.4 < lost["nearest", 4] < 2.6)
claim("it keeps about a fifth", holds=0.1 < judged_methods["nearest", 2][1].mean < 0.3)
claim("GPTQ and AdaRound lose next to nothing", holds=max(lost["GPTQ", 4], lost["AdaRound", 4]) < 0.6)
claim(
    "At 3 bits they recover nine tenths of the loss from rounding.",
    holds=all(0.85 < brought_back[name, 3] < 0.98 for name in ("GPTQ", "AdaRound")),
)
claim(
    "The biases alone recover about half of it or more at both widths",
    holds=all(brought_back["bias corrected", bits] >= 0.48 for bits in (4, 3)),
)
claim(
    "AdaRound leaves the smaller error in conv3 and no larger mean loss",
    holds=all(
        errors["AdaRound", bits] < errors["GPTQ", bits]
        and judged_methods["AdaRound", bits][0].mean < judged_methods["GPTQ", bits][0].mean + 0.005
        for bits in WIDTHS
    ),
)
claim(
    "at 2 bits its accuracy swings widely from seed to seed",
    holds=judged_methods["AdaRound", 2][1].std > 5 * judged_methods["AdaRound", 3][1].std,
)
claim(
    "The biases alone recover half or more of the loss from rounding at 4 and 3 bits",
    holds=min(brought_back["bias corrected", 4], brought_back["bias corrected", 3]) >= 0.48,
    page="slides/03_train_few_bits.md",
)

# %% [markdown]
# At 4 bits round-to-nearest loses about two points, and GPTQ and AdaRound lose next to nothing. At 3 bits they recover nine tenths of the loss from rounding. The biases alone recover about half of it or more at both widths, so much of the damage was a shift of the mean.
# At 2 bits, with three values per weight, none of these methods reliably keeps the accuracy of this network.
#
# AdaRound leaves the smaller error in conv3 and no larger mean loss, but at 2 bits its accuracy swings widely from seed to seed. We judge the network by its accuracy, not by the error of one layer's output. In the next section the network itself may change.

# %% [markdown]
# > **Takeaway.** The best rounding of a layer is not always the nearest: the error of the output counts, and errors of weights can cancel in it.

# %% [markdown]
# ## 2 A gradient through a staircase
#
# **Quantization-aware training** trains with the rounding in place: the forward pass uses rounded weights, and the optimizer moves the float weights from which they were rounded. These float weights are called **latent**.
#
# But rounding is a staircase. Its derivative is 0 on every step, so every latent weight would get the gradient 0.
#
# The **straight-through estimator** cheats. The forward pass rounds. The backward pass acts as if it had not: the staircase follows a line of slope 1, so the gradient passes through with that slope. Only where a value was cut off at the end of the
# grid is the gradient 0, because there even a large change of the weight may change nothing.


# %% name="fig-staircase" tags=["widget", "hide-input"]
def draw_staircase(bits):
    highest = 2 ** (bits - 1) - 1
    x = torch.linspace(-1.5 * highest - 0.5, 1.5 * highest + 0.5, 1201, requires_grad=True)
    y = quantize.fake_quantize_ste(x, 1.0, 0, -highest, highest)
    y.sum().backward()
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5.4), sharex=True, height_ratios=(2, 1))
    above.plot(
        x.detach(),
        x.detach().clamp(-highest - 0.5, highest + 0.5),
        color=figures.COLOURS["orange"],
        linestyle="--",
        label="treated as this line",
    )
    above.plot(x.detach(), y.detach(), color=figures.COLOURS["blue"], label="rounded")
    above.set(ylabel="value, in steps")
    above.legend(loc="upper left", fontsize=12)
    below.plot(x.detach(), x.grad, color=figures.COLOURS["orange"], linestyle="--", label="passed on")
    below.plot(x.detach(), torch.zeros(len(x)), color=figures.COLOURS["blue"], label="true")
    below.set(xlabel="latent weight, in steps", ylabel="gradient", yticks=(0, 1), ylim=(-0.15, 1.3))
    below.legend(loc="center", fontsize=12, ncols=2)
    return figure


explore(
    draw_staircase,
    labels={"bits": "bits per weight"},
    alt=lambda bits: (
        f"Above: a rounding to {bits} bits is a staircase around a line. Below: its true gradient is 0 everywhere; the one passed on is 1 on the grid and 0 beyond."
    ),
    bits=(2, 3, 4),
)

# %% name="fig-staircase-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_staircase(3),
    alt="Above: a rounding to 3 bits is a staircase around a line. Below: its true gradient is 0; the one passed on is 1 on the grid, 0 beyond.",
)

# %% [markdown]
# By hand: the weights are (0.25, 2), the scale is 1, the codes go from -1 to 1. Rounded and clipped, the weights are (0, 1). If the gradient of the loss with respect to these is (3, -2), the latent weights get (3, 0).
#
# Where exactly does the grid end? A value that *rounds* to the last code is not cut off: 1.4 rounds to 1 and gets its gradient; 1.6 would round to 2 and gets none.

# %% [markdown]
# ### Exercise 3.2 - A gradient through a staircase (6 min)


# %% name="ex-3-2" tags=["exercise"]
def straight_through(x, scale, lowest, highest, gradient):
    """The gradient of the loss with respect to x, straight through a rounding to codes from lowest to highest.

    x: [n], before rounding; gradient: [n], of the loss with respect to the rounded values. Returns [n].
    """
    ### BEGIN SOLUTION
    code = torch.round(x / scale)
    return gradient * ((code >= lowest) & (code <= highest))
    ### END SOLUTION


# %% tags=["check"]
check("3.2")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Each gradient is passed on unchanged or set to 0. What decides?
# </details>
# <details><summary>Hint 2: units</summary>
#
# `lowest` and `highest` are codes. Turn `x` into codes before you compare.
# </details>

# %% [markdown]
# ### Two bits, live
#
# We take the trained model, round each weight to 2 bits, and train for two passes over 1,600 pictures: 50 updates. This takes about 5 seconds. The controls:
#
# - **rounded**: nothing is trained;
# - **batch norm re-estimated**: no training, no labels; only the mean and the variance of each batch norm are measured again, on 500 pictures, because rounded weights give other outputs than the weights they replace;
# - **true gradient**: trained with the true derivative of a staircase, 0. The weights stay where they are; only batch norm and biases learn.

# %%
predict(
    "3.b",
    "Rounded to three values without further training, the model is close to guessing. What accuracy does it reach if only the mean and variance of each batch norm are measured again?",
    unit="%",
)


# %%
few = splits.train.first(1600)
model = networks[0]
few_images = splits.train.first(500).images
TRAINING = {"epochs": 2, "seed": 0, "learning_rate": 2e-3, "batch_size": 64}


def train(start, desc):
    """The model after two passes over the few pictures, with a progress bar."""
    watched = splits.validation.first(100)  # only watched: the weights returned are those of the last update
    with tqdm(total=TRAINING["epochs"], desc=desc, leave=False) as bar:
        return fit.fit(start, few, watched, progress=lambda _: bar.update(), **TRAINING).model


start = quantize.prepare(model, channels(2), method="ste")


def validation_accuracy(network):
    return fit.accuracy(network, splits.validation)


still = quantize.prepare(model, channels(2), method="ste")
for name, parameter in still.named_parameters():
    if name.endswith("latent"):
        parameter.requires_grad_(False)

two_bits = {
    "rounded": start,
    "batch norm re-estimated": quantize.reestimate_batch_norm(start, few_images),
    "trained, true gradient": train(still, "true gradient"),
    "trained, straight-through": train(start, "straight-through"),
}
two_bits_accuracy = {name: validation_accuracy(network) for name, network in two_bits.items()}

# %% name="out-two-bits" tags=["hide-input"]
print(f"32 bits: {percent(validation_accuracy(model))}")
corner = "small_cnn, 2 bits per channel, seed 0"
with hold("3.b"):
    table(two_bits, ("accuracy",), lambda name, _: percent(two_bits_accuracy[name]), corner)

# %%
reveal("3.b", round(100 * two_bits_accuracy["batch norm re-estimated"], 1))

# %% name="claims-two-bits" tags=["solution-only"]
rounded_off = validation_accuracy(model) - two_bits_accuracy["rounded"]
repaired = {
    name: (accuracy - two_bits_accuracy["rounded"]) / rounded_off for name, accuracy in two_bits_accuracy.items()
}
claim(
    "Half of the damage is repaired without touching a weight", holds=0.4 < repaired["batch norm re-estimated"] < 0.65
)
claim(
    "Training batch norm and biases as well repairs five sixths.", holds=0.77 < repaired["trained, true gradient"] < 0.9
)
claim("Training recovers most of the accuracy.", holds=repaired["trained, straight-through"] > 0.9)

# %% [markdown]
# Training recovers most of the accuracy. But what would you have concluded without the middle rows? Half of the damage is repaired without touching a weight: batch norm was normalizing with the mean and spread of outputs that no longer exist. Training batch norm and biases as well repairs five sixths. If you only compare "trained" with "rounded", you credit
# the weights with all of it. (This is one seed. Section 5 has three.)
#
# How did the weights themselves change?


# %% name="fig-latent" tags=["hide-input"]
def in_steps(network):
    """The latent weights of conv3 in units of their channel's step."""
    held = network.conv3.fake_weight
    return (held.rows() / held.step()).detach().flatten()


before, after = in_steps(start), in_steps(two_bits["trained, straight-through"])
changed = (before.round().clamp(-1, 1) != after.round().clamp(-1, 1)).float().mean().item()


def draw_latent():
    figure, axes = plt.subplots(figsize=(8, 3.4))
    edges = torch.linspace(-3, 3, 121).numpy()
    axes.hist(before.numpy(), bins=edges, color=figures.COLOURS["orange"], alpha=0.8, label="before")
    axes.hist(
        after.numpy(), bins=edges, color=figures.COLOURS["blue"], histtype="step", linewidth=2, label="after training"
    )
    for border in (-0.5, 0.5):
        axes.axvline(border, color=figures.COLOURS["black"], linestyle="--", linewidth=1.5)
    axes.set(xlabel="latent weight, in steps (dashed: border between two codes)", ylabel="number of weights")
    axes.legend(fontsize=13)
    return figure


moved = (after - before).abs()
borders = [((codes.abs() - 0.5).abs() < 0.05).float().mean().item() for codes in (before, after)]
print("within 0.05 of a step of a border: {:.1%} before, {:.1%} after".format(*borders))
print(
    f"conv3: {changed:.1%} of the weights have a different code now; the median weight moved by {moved.median():.3f} of a step"
)
show(
    draw_latent(),
    alt="Histogram of the latent weights of conv3 in steps before and after training, with dashed lines where the code changes.",
)

# %% name="claims-latent" tags=["solution-only"]
claim("Most weights keep their code.", holds=changed < 0.3)
claim(
    "A few more weights than before lie at the dashed lines.", holds=1.05 * borders[0] < borders[1] < 1.5 * borders[0]
)
beyond = [((codes.abs() > 1) & (codes.abs() < 1.1)).float().mean().item() for codes in (before, after)]
claim("And many gather just beyond", holds=beyond[1] > 1.3 * beyond[0])

# %% [markdown]
# Most weights keep their code. A latent weight is a memory: small gradients add up in it until it crosses a dashed line and its code flips. That is why we keep the floats during training, and drop them afterwards.
#
# The histogram has changed in two places. A few more weights than before lie at the dashed lines. (In longer training, Nagel et al. 2022 find weights there that *oscillate* between two codes. We did not count them.) And many gather just beyond -1 and 1, where the grid ends in this training: beyond these ends, a weight gets no gradient. (The training compares before it rounds, as LSQ does in the next section.)
#
# ### How to train batch norm
#
# In training, batch norm normalizes each batch by its own mean and variance. In the finished model it uses its running statistics, or is folded into the weights (exercise 2.8). With few bits the two can differ a lot. We compare four ways to train. (Jacob et al. 2018 have a fifth: they fold in every forward pass.) This takes about 6 seconds.

# %% name="out-batch-norm"
prepared = quantize.prepare(model, channels(2), method="ste")
ways = {
    "live, as in ordinary training": two_bits["trained, straight-through"],
    "folded before": train(quantize.prepare(fold_batch_norm(model), channels(2), method="ste"), "folded"),
    "frozen, old statistics": train(quantize.freeze_batch_norm(prepared), "frozen"),
    "frozen, re-estimated first": train(
        quantize.freeze_batch_norm(quantize.reestimate_batch_norm(prepared, few_images)), "re-estimated"
    ),
}
ways_accuracy = {name: validation_accuracy(network) for name, network in ways.items()}
table(ways, ("accuracy",), lambda name, _: percent(ways_accuracy[name]), "batch norm, 2 bits trained")

# %% name="claims-batch-norm" tags=["solution-only"]
live, old, anew = (
    ways_accuracy[name]
    for name in ("live, as in ordinary training", "frozen, old statistics", "frozen, re-estimated first")
)
claim(
    'Statistics that fit the rounded network close about two thirds of the gap between "frozen, old" and "live".',
    holds=0.4 < (anew - old) / (live - old) < 0.9,
)
claim(
    "The last two rows differ only in the statistics that they start from.",
    holds=anew > old,
    page="slides/03_train_few_bits.md",
)

# %% [markdown]
# The last two rows differ only in the statistics that they start from. Statistics that fit the rounded network close about two thirds of the gap between "frozen, old" and "live". Each row is one run: do not read much into smaller differences.

# %% [markdown]
# > **Takeaway.** To train through a rounding, treat it as a line on the way back; and before you credit the training, measure batch norm again without it.

# %% [markdown]
# ## 3 Let the step learn
#
# So far the step of each channel was fixed before training. But the loss is a better judge of its length. **LSQ** (learned step size quantization) makes the step a parameter with a gradient.
#
# Write $v = w / s$. The rounded weight is $\hat w = s \cdot \text{round}(v)$ inside the grid and $\pm s \cdot Q$ beyond its ends, where $Q$ is the highest code. Differentiate with respect to $s$, with slope 1 for the rounding:
#
# $$\frac{\partial \hat w}{\partial s} = \begin{cases} \text{round}(v) - v & |v| < Q \\ \pm Q & \text{beyond the ends.}\end{cases}$$
#
# By hand, $s = 1$ and $Q = 1$: the weight 0.75 rounds to 1 and has the slope 1 - 0.75 = 0.25. The weight 3 is cut off at 1, and has the slope 1. If the gradient of the loss with respect to each is 1, the step gets 1.25 in total.
#
# Inside the grid the slope is the distance, in steps, by which the rounding has moved the weight: at most a half. A weight that is cut off has a slope of $\pm Q$, so with the same gradient it pulls at least twice as hard.


# %% name="fig-slopes" tags=["hide-input"]
def slopes(v, highest, rule):
    """How a value moves with its step, by three rules."""
    codes = v.round().clamp(-highest, highest)
    if rule == "codes held fixed":
        return codes
    inside = v.abs() < highest if rule == "LSQ" else v.round().abs() <= highest
    return torch.where(inside, codes - v, codes)


RULES = {"LSQ": ("blue", "-"), "torch": ("vermillion", "--"), "codes held fixed": ("black", ":")}


def draw_slopes():
    v = torch.linspace(-2.5, 2.5, 2001)
    figure, axes = plt.subplots(figsize=(8, 3.4))
    for rule, (colour, line) in RULES.items():
        axes.plot(v, slopes(v, 1, rule), color=figures.COLOURS[colour], linestyle=line, label=rule)
    axes.set(xlabel="v = weight / step", ylabel="slope with respect\nto the step")
    axes.legend(fontsize=12, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return figure


show(
    draw_slopes(),
    alt="Slope of a rounded weight with respect to its step, codes -1 to 1: LSQ is a sawtooth inside the grid and -1 or 1 beyond; torch continues the sawtooth for half a step; codes held fixed is a staircase.",
)

# %% [markdown]
# The figure shows two other rules. With the *codes held fixed*, the slope is the code. That is correct for a tiny change of the step, but blind to codes that will change. And *torch's* own function (`torch._fake_quantize_learnable_per_tensor_affine`) rounds before it compares. Its
# sawtooth continues for half a step beyond the end, where the LSQ paper already counts the weight as cut off.

# %% [markdown]
# ### Exercise 3.3 - Let the step learn (8 min)
#
# Use the paper's rule: a weight is inside the grid where |w / step| < highest.


# %% name="ex-3-3" tags=["exercise"]
def step_gradient(w, step, highest, gradient):
    """The gradient of the loss with respect to the step that all these weights share.

    w: [n], latent; codes from -highest to highest; gradient: [n], of the loss with respect to the rounded weights.
    Returns one number.
    """
    ### BEGIN SOLUTION
    v = w / step
    slope = torch.where(v.abs() < highest, torch.round(v) - v, v.sign() * highest)
    return (gradient * slope).sum()
    ### END SOLUTION


# %% tags=["check"]
check("3.3")

# %% [markdown]
# <details><summary>Hint 1: two kinds of weights</summary>
#
# Compute `v = w / step`. `torch.where(condition, here, there)` uses one formula for the weights inside the grid, and another for those beyond.
# </details>
# <details><summary>Hint 2: many weights, one step</summary>
#
# The chain rule gives gradient times slope for each weight. The weights share the step, so the step gets the sum.
# </details>

# %% [markdown]
# (The paper divides this sum by $\sqrt{n \cdot Q}$; otherwise a step shared by $n$ weights would move far too fast. With Adam a constant factor does not matter: Adam divides each gradient by its usual size.)
#
# Is an estimated gradient of any use? Take the weights of conv3 at 2 bits with a single step, far too long at the start. Gradient descent lowers the squared error of the weights, once with each of the three rules. The curve comes from trying many steps.


# %% name="fig-step-descent" tags=["hide-input"]
conv3 = model.conv3.weight.detach().flatten()


def step_error(step):
    return (quantize.fake_quantize(conv3, step, 0, -1, 1) - conv3).norm().item() / conv3.norm().item()


def descend(rule, step, updates=400):
    for _ in range(updates):
        v = conv3 / step
        rounded_weights = v.round().clamp(-1, 1) * step
        step = step - 0.1 * (2 * (rounded_weights - conv3) * slopes(v, 1, rule)).mean()
    return step.item()


longest = conv3.abs().max()
tried = torch.linspace(0.1, 1, 91) * longest
tried_errors = [step_error(step) for step in tried]
ends = {rule: descend(rule, longest) for rule in RULES}


def draw_descent():
    figure, axes = plt.subplots(figsize=(8, 3.8))
    axes.plot(tried, [100 * error for error in tried_errors], color=figures.COLOURS["black"], linewidth=1.5)
    axes.plot(
        longest,
        100 * step_error(longest),
        "*",
        color=figures.COLOURS["black"],
        markersize=16,
        label="start: the largest weight",
    )
    markers = {"LSQ": ("blue", "o"), "torch": ("vermillion", "s"), "codes held fixed": ("black", "x")}
    for rule, (colour, marker) in markers.items():
        axes.plot(
            ends[rule],
            100 * step_error(ends[rule]),
            marker,
            color=figures.COLOURS[colour],
            markersize=12,
            fillstyle="none",
            markeredgewidth=2.5,
            label=rule,
        )
    axes.set(xlabel="step", ylabel="error of the weights, in %", ylim=(40, 102))
    axes.legend(fontsize=12, loc="lower right")
    return figure


best = tried[torch.tensor(tried_errors).argmin()].item()
print(f"of the steps tried, {best:.4f} is best: error {100 * step_error(best):.1f}%")
for rule, end in ends.items():
    print(f"{rule:<17} ends at {end:.4f}: error {100 * step_error(end):.1f}%")
show(
    draw_descent(),
    alt="Error of conv3's weights over the step of a 2-bit grid; descents by three rules start at the largest weight and end near the lowest point.",
)

# %% name="claims-step-descent" tags=["solution-only"]
claim(
    "the descent ends at its lowest point", holds=abs(ends["codes held fixed"] - best) <= (tried[1] - tried[0]).item()
)
claim(
    "LSQ ends at a step a little too long, torch's rule at one a little too short",
    holds=ends["torch"] < ends["codes held fixed"] < ends["LSQ"] < 1.15 * ends["torch"] + 0.1 * best,
)

# %% [markdown]
# All three reach the valley. With the codes held fixed, the slope is the true derivative of this curve, and the descent ends at its lowest point. LSQ ends at a step a little too long, torch's rule at one a little too short: their slopes assume that the codes follow, and are not the derivative of this curve. In training, the *loss* decides.
#
# Now we train the network. We compare two starts, the range of least squared error and the largest weight (min-max), each with a fixed step and with a learned step. This takes about 5 seconds.

# %%
predict(
    "3.c",
    "2 bits, 50 updates of Adam with a learning rate of at most 0.002. The step starts far too long (min-max). Does learning the step make up for the bad start?",
    choices=("yes, within 1 point of the good start", "halfway", "no, it hardly helps"),
)

# %%
STARTS = {"least squared error": quantize.mse, "min-max": quantize.min_max}
stepped = {("least squared error", "fixed"): two_bits["trained, straight-through"]}
for name, observer in tqdm(STARTS.items(), desc="starts"):
    for kind, method in {"fixed": "ste", "learned": "lsq"}.items():
        if (name, kind) not in stepped:
            prepared = quantize.prepare(model, channels(2), method=method, observer=observer)
            stepped[name, kind] = train(prepared, f"{name}, {kind}")
stepped_accuracy = {key: validation_accuracy(network) for key, network in stepped.items()}

# %% name="out-steps" tags=["hide-input"]
with hold("3.c"):
    corner = "2 bits, start of the step / the step is"
    table(STARTS, ("fixed", "learned"), lambda *key: percent(stepped_accuracy[key]), corner)
    for name, observer in STARTS.items():
        first = quantize.prepare(model, channels(2), observer=observer).conv3.fake_weight.step()
        last = stepped[name, "learned"].conv3.fake_weight.step()
        print(f"median step of conv3, {name}: {first.median():.3f}, trained {last.median():.3f}")

# %% tags=["hide-input"]
good, bad, learned = (
    stepped_accuracy[key] for key in (("least squared error", "learned"), ("min-max", "fixed"), ("min-max", "learned"))
)
share_of_the_way = (learned - bad) / (good - bad)
reveal(
    "3.c",
    "yes, within 1 point of the good start"
    if learned > good - 0.01
    else "halfway"
    if share_of_the_way > 0.3
    else "no, it hardly helps",
)

# %% name="claims-steps" tags=["solution-only"]
shorter = {
    name: stepped[name, "learned"].conv3.fake_weight.step().median()
    / quantize.prepare(model, channels(2), observer=observer).conv3.fake_weight.step().median()
    for name, observer in STARTS.items()
}
claim("so shorten a step by less than a tenth", holds=0.9 < shorter["min-max"] < 1)
claim(
    "The step from min-max would have to lose more than half of its length.",
    holds=first.median() > 2 * stepped["least squared error", "learned"].conv3.fake_weight.step().median(),
)
claim(
    "In a short training the *start* decides.",
    holds=min(stepped_accuracy["least squared error", kind] for kind in ("fixed", "learned"))
    > 0.05 + max(stepped_accuracy["min-max", kind] for kind in ("fixed", "learned")),
)

# %% [markdown]
# Adam moves a parameter by at most about its learning rate per update, however large the gradient is. Our parameter is the *logarithm* of the step, so that the step stays positive. Fifty updates of at most 0.002 move it by less than 0.1, and so shorten a step by less than a tenth. The step from min-max would have to lose more than half of its length. LSQ's authors trained for 90 epochs, thousands of times as many updates. In a short training the *start* decides.
#
# ### Where an activation ends
#
# A network that computes with integers rounds its activations too. The output of a ReLU has no upper bound, and the best end of its grid depends on the pictures. **PACT** learns this end: every activation is clipped at $\alpha$, and $\alpha$ is a parameter.
#
# $$y = \min(\max(x, 0), \alpha) \qquad \frac{\partial y}{\partial \alpha} = \begin{cases} 1 & x \ge \alpha \\ 0 & x < \alpha\end{cases}$$
#
# By hand: $\alpha = 2$, the activations are (3, 5, -1), and their gradients (0.5, -1.5, 4). The first two are clipped, and $\alpha$ gets 0.5 - 1.5 = -1. The third contributes nothing.

# %% [markdown]
# ### Exercise 3.4 - Where an activation ends (5 min)


# %% name="ex-3-4" tags=["exercise"]
def clip_gradient(x, clip, gradient):
    """The gradient of the loss with respect to the clip of an activation.

    x: [n], before clipping; gradient: [n], of the loss with respect to the clipped values. Returns one number.
    """
    ### BEGIN SOLUTION
    return (gradient * (x >= clip)).sum()
    ### END SOLUTION


# %% tags=["check"]
check("3.4")

# %% [markdown]
# <details><summary>Hint</summary>
#
# Which outputs would change if the clip moved a little? Only these contribute, each with its gradient.
# </details>

# %% [markdown]
# Three networks with 2-bit activations: clipped at the largest activation, the same after training with PACT, and clipped where the squared error is least. This takes about 4 seconds.

# %%
activation = IntFormat(2, symmetric=False, signed=False)


def but_the_picture(choice):
    """The same choice for the input of every layer except the first: the picture itself is not rounded."""
    return lambda name, layer: None if name == "conv1" else choice


def with_activations(choice, observer, method="lsq"):
    return quantize.prepare(
        model,
        channels(8),
        activations=but_the_picture(choice),
        calibration=few_images,
        method=method,
        observer=observer,
    )


pact_start = with_activations(PACT(bits=2), quantize.min_max)
pact = train(pact_start, "PACT")
good_range = with_activations(activation, quantize.mse, "ste")
activations = {
    "ends at the largest, rounded": pact_start,
    "ends at the largest, PACT trained": pact,
    "least squared error, rounded": good_range,
}
activations_accuracy = {name: validation_accuracy(network) for name, network in activations.items()}

# %% name="out-pact" tags=["hide-input"]
corner = "8-bit weights, 2-bit activations"
table(activations, ("accuracy",), lambda name, _: percent(activations_accuracy[name]), corner)
first, last = (network.conv3.input_grid.clip.item() for network in (pact_start, pact))
wanted = 3 * good_range.conv3.input_grid.step().item()
print(f"clip of conv3's input: largest {first:.3f}, trained {last:.3f}")
print(f"clip of least squared error: {wanted:.3f}")

# %% name="claims-pact" tags=["solution-only"]
claim(
    "no gradient could have taken it from 0.813 to 0.211", pact_start.conv3.input_grid.clip.item(), wanted, within=0.005
)
claim(
    "A good range from 500 pictures, with no training at all, beats a bad range after this short training.",
    holds=activations_accuracy["least squared error, rounded"]
    > 0.03 + activations_accuracy["ends at the largest, PACT trained"],
)

# %% [markdown]
# Training repairs much of the damage, but the clip hardly moved. Only activations *beyond* the clip contribute to its gradient, and there are hardly any. (The paper adds a penalty on large clips to the loss, which
# pulls from the other side. And at Adam's pace no gradient could have taken it from 0.813 to 0.211 in 50 updates.) A good range from 500 pictures, with no training at all, beats a bad range after this short training.

# %% [markdown]
# > **Takeaway.** A step and a clip can be learned, but in a short training they hardly move, so start them well.

# %% [markdown]
# ## 4 Three values, two values
#
# A symmetric 2-bit grid has three values: the codes -1, 0 and 1. So our 2-bit network *was* a **ternary** network, and it wasted a quarter of its codes. Five ternary codes fit into a byte, because
# $3^5 = 243 \le 256$: 1.6 bits per weight.
#
# A **binary** weight has only two values, $-s$ and $+s$: it has no zero, and takes 1 bit.
#
# Both need the answer to one question: given the codes $c$, which scale brings $s \cdot c$ closest to $w$? It is the projection of $w$ onto $c$:
#
# $$s = \frac{w \cdot c}{c \cdot c}.$$
#
# By hand: for $w$ = (1, -3) with the codes (1, -1), $s$ = (1 + 3) / 2 = 2. For $w$ = (1, -3, 0.5, 3.5) with the codes (0, -1, 0, 1), $s$ = (3 + 3.5) / 2 = 3.25.

# %% [markdown]
# ### Exercise 3.5 - The best scale for given codes (5 min)


# %% name="ex-3-5" tags=["exercise"]
def best_scale(w, codes):
    """The scale of each row for which scale * codes has the least squared error.

    w, codes: [rows, n]; no row of codes is all zero. Returns [rows].
    """
    ### BEGIN SOLUTION
    return (w * codes).sum(dim=1) / (codes**2).sum(dim=1)
    ### END SOLUTION


# %% tags=["check"]
check("3.5")

# %% [markdown]
# <details><summary>Hint: minimize</summary>
#
# The error of a row is the sum of (w - s c)². Set its derivative with respect to s to zero.
# </details>

# %% [markdown]
# For binary codes, the signs of $w$, this scale is the mean magnitude, as in XNOR-Net.
#
# Three values raise a second question: which weights become zero? If the $k$ largest are kept, the best scale is their mean magnitude, and the squared error goes down by
#
# $$\frac{\left(\sum_{\text{kept}} |w|\right)^2}{k}.$$
#
# By hand, $w$ = (3, -2): keep one weight and gain 9 / 1 = 9; keep both and gain 25 / 2 = 12.5. Both stay. For (3, 1), the gains are 9 and 16 / 2 = 8. The smaller weight becomes zero.

# %% [markdown]
# ### Exercise 3.6 - Three values: which weights become zero? (8 min)


# %% name="ex-3-6" tags=["exercise"]
def best_ternary(w):
    """The codes -1, 0 and 1 that leave the least squared error, if the scale is then the best for them.

    w: [n], no two magnitudes are equal and none is zero. Returns [n].
    """
    ### BEGIN SOLUTION
    size = w.abs().sort(descending=True).values
    gain = size.cumsum(0) ** 2 / torch.arange(1, len(w) + 1)
    threshold = size[gain.argmax()]
    return w.sign() * (w.abs() >= threshold)
    ### END SOLUTION


# %% tags=["check"]
check("3.6")

# %% [markdown]
# <details><summary>Hint 1: only n cases</summary>
#
# The best choice keeps the k largest weights, for some k. Try every k.
# </details>
# <details><summary>Hint 2: all at once</summary>
#
# Sort the magnitudes, largest first. `cumsum` gives the sum of the first k for every k.
# </details>

# %% [markdown]
# In practice people use a rule of thumb: a threshold of 0.7 times the mean magnitude (*Ternary Weight Networks*). It needs no sorting, and for bell-shaped weights it is close to the best. How close? Here are the four larger layers of our model, with one scale per channel.


# %% name="out-ternary-error" tags=["hide-input"]
def ternary_best(rows):
    """The best ternary rounding of each row, by trying every number of weights kept."""
    sorted_sizes = rows.abs().sort(dim=1, descending=True).values
    gains = sorted_sizes.cumsum(dim=1) ** 2 / torch.arange(1, rows.shape[1] + 1)
    kept = rows.abs() >= sorted_sizes.gather(1, gains.argmax(dim=1, keepdim=True))
    scales = (rows.abs() * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True)
    return scales * rows.sign() * kept


def decoded(fmt, observer=quantize.mse):
    return lambda rows: quantize.quantize(rows, fmt, observer).dequantize()


LAYERS = ("conv2", "conv3", "conv4", "linear")
ROUNDINGS = {
    "2-bit grid, least squared error": decoded(channels(2)),
    "ternary, threshold 0.7": decoded(TernaryFormat(PerChannel())),
    "ternary, best threshold": ternary_best,
    "binary": decoded(BinaryFormat(PerChannel())),
}


def weight_error(name, layer):
    rows = model.get_submodule(layer).weight.detach().flatten(1)
    return f"{100 * ((ROUNDINGS[name](rows) - rows).norm() / rows.norm()).item():.1f}%"


table(ROUNDINGS, LAYERS, weight_error, "error of the weights")

# %% name="claims-ternary" tags=["solution-only"]
weight_errors = {
    (name, layer): float(weight_error(name, layer).removesuffix("%")) for name in ROUNDINGS for layer in LAYERS
}
claim(
    "The rule of thumb is nearly as good as the best threshold.",
    holds=all(
        weight_errors["ternary, threshold 0.7", layer] - weight_errors["ternary, best threshold", layer] < 2
        for layer in LAYERS
    ),
)
claim(
    "The first and third rows agree",
    holds=all(
        abs(weight_errors["2-bit grid, least squared error", layer] - weight_errors["ternary, best threshold", layer])
        < 0.2
        for layer in LAYERS
    ),
)
claim(
    "And the step from three values to two is large",
    holds=all(
        weight_errors["binary", layer] > 1.25 * weight_errors["ternary, best threshold", layer] for layer in LAYERS
    ),
)

# %% [markdown]
# The rule of thumb is nearly as good as the best threshold. The first and third rows agree: a 2-bit grid whose range has the least squared error *is* the best ternary rounding. And the step from three values to two is large: a binary weight has no zero.

# %%
predict(
    "3.d",
    "You saw the accuracy of 2 bits after 50 updates. What accuracy do binary weights reach after the same 50 updates?",
    unit="%",
)

# %% [markdown]
# Four formats, each at three stages: rounded, with batch norm measured again, and trained. This takes about 10 seconds.

# %%
VALUES = {
    "2 bits, four values": IntFormat(2, symmetric=False, granularity=PerChannel()),
    "2 bits (-1, 0, 1)": channels(2),
    "ternary, 1.6 bits": TernaryFormat(PerChannel()),
    "binary, 1 bit": BinaryFormat(PerChannel()),
}
lowest_bits = {}
for name, fmt in tqdm(VALUES.items(), desc="formats"):
    lowest_bits[name, "rounded"] = quantize.prepare(model, fmt, method="ste")
    lowest_bits[name, "batch norm"] = quantize.reestimate_batch_norm(lowest_bits[name, "rounded"], few_images)
    known = fmt == channels(2)
    trained = two_bits["trained, straight-through"] if known else train(lowest_bits[name, "rounded"], name)
    lowest_bits[name, "trained"] = trained
lowest_accuracy = {key: validation_accuracy(network) for key, network in lowest_bits.items()}

# %% name="out-few-values" tags=["hide-input"]
corner = "small_cnn, seed 0, one scale per channel"
with hold("3.d"):
    table(VALUES, ("rounded", "batch norm", "trained"), lambda *key: percent(lowest_accuracy[key]), corner)

# %%
reveal("3.d", round(100 * lowest_accuracy["binary, 1 bit", "trained"], 1))


# %% name="claims-few-values" tags=["solution-only"]
def fourth_value(stage):
    return lowest_accuracy["2 bits, four values", stage] - lowest_accuracy["2 bits (-1, 0, 1)", stage]


claim(
    "is worth a great deal while nothing is trained, and next to nothing afterwards",
    holds=fourth_value("batch norm") > 0.15 and abs(fourth_value("trained")) < 0.02,
)
claim(
    "going from three values to two costs several more points",
    holds=0.03
    < min(lowest_accuracy[name, "trained"] for name in ("2 bits (-1, 0, 1)", "ternary, 1.6 bits"))
    - lowest_accuracy["binary, 1 bit", "trained"]
    < 0.15,
)

# %% [markdown]
# The fourth value (and the zero point that comes with it) is worth a great deal while nothing is trained, and next to nothing afterwards: a network that trains adapts to three values. (The two rows with three values differ in two ways: "ternary" uses the threshold and scale of the rule of thumb, and computes them again in every forward pass.)
#
# ### A product of bits
#
# Two values make arithmetic cheap. If the weights *and* the inputs are signs, a product of two is +1 where they agree and -1 where they differ. Store a sign as a bit, and **XOR** marks 64 differences at once; counting its ones is one more instruction. For two numbers of $n$ bits,
#
# $$a \cdot b = n - 2 \cdot \text{popcount}(a \oplus b).$$
#
# By hand: (+1, -1, +1) and (+1, +1, -1) are the bits 101 and 110. XOR gives 011, two ones, and 3 - 2 · 2 = -1. Check: 1 - 1 - 1 = -1.

# %% [markdown]
# ### Exercise 3.7 - A product of bits (5 min)


# %% name="ex-3-7" tags=["exercise"]
def dot_of_bits(a, b, n):
    """The dot product of two vectors of n signs, each stored in a Python integer: bit 1 is +1, bit 0 is -1.

    Bits above the lowest n are to be ignored. Returns an integer.
    """
    ### BEGIN SOLUTION
    return n - 2 * bin((a ^ b) & ((1 << n) - 1)).count("1")
    ### END SOLUTION


# %% tags=["check"]
check("3.7")

# %% [markdown]
# <details><summary>Hint 1: agree, or differ</summary>
#
# Of n places, some agree (+1 each), and the others differ (-1 each). Count either kind.
# </details>
# <details><summary>Hint 2: counting ones</summary>
#
# `a ^ b` is XOR. `x & ((1 << n) - 1)` keeps the lowest n bits. `bin(x).count("1")`, or `x.bit_count()`, counts ones.
# </details>

# %% [markdown]
# > **Takeaway.** A symmetric 2-bit grid is ternary; going from three values to two costs several more points, but allows arithmetic on single bits if the inputs are signs too.

# %% [markdown]
# ## 5 A teacher for the small
#
# A label says "shirt". A trained network says more: "shirt, though nearly a T-shirt, perhaps a coat, certainly no sandal". **Knowledge distillation** trains a small network, the student, on the answers of a better network, the teacher.
#
# A good teacher is sure of itself, and then its answer says hardly more than the label. So both answers are *softened*: their logits are divided by a **temperature** $T$ before the softmax. Move the slider, and watch the small probabilities grow.


# %% name="fig-temperature" tags=["widget", "hide-input"]
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
logits = fit.predict(networks[1], splits.validation.images)
shirts = (splits.validation.labels == 6) & (logits.argmax(dim=1) == 6)
sureness = logits.softmax(dim=1).amax(dim=1)
shown = int((sureness - 0.97).abs().where(shirts, torch.tensor(9.0)).argmin())


def draw_temperature(T):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=(1, 2.4))
    left.imshow(data.to_pixels(splits.validation.images[shown : shown + 1])[0].squeeze(), cmap="gray")
    left.axis("off")
    bars = right.barh(CLOTHES, 100 * (logits[shown] / T).softmax(dim=0), color=figures.COLOURS["blue"])
    bars[6].set_color(figures.COLOURS["orange"])
    right.set(xlabel="probability, in %", xlim=(0, 100))
    right.invert_yaxis()
    return figure


explore(
    draw_temperature,
    labels={"T": "temperature"},
    alt=lambda T: (
        f"A picture of a shirt, and the ten probabilities that a trained network gives, softened by the temperature {T}; the bar of the label is orange."
    ),
    T=(1, 2, 4, 8),
)

# %% name="fig-temperature-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_temperature(4),
    alt="A picture of a shirt, and the ten probabilities that a trained network gives at temperature 4: shirt most, then other garments for the upper body.",
)

# %% [markdown]
# The loss has two parts: the student should agree with the labels and with the softened teacher. Let $p$ be the teacher's probabilities and $q$ the student's, both at the temperature $T$, and $\alpha$ the teacher's share of the loss. Then
#
# $$\text{loss} = (1 - \alpha) \cdot \text{cross-entropy with the label} + \alpha \cdot T^2 \cdot \text{KL}(p \,\|\, q), \qquad \text{KL}(p \,\|\, q) = \sum_c p_c \ln \frac{p_c}{q_c}.$$
#
# Why $T^2$? A temperature of $T$ makes the differences between probabilities about $T$ times smaller, and the chain rule divides by $T$ once more. The factor keeps the two parts in balance when $T$ changes.
#
# By hand: there are two classes, the student knows nothing, $q$ = (1/2, 1/2), and the teacher has $p$ = (3/4, 1/4) at $T$ = 2. Then KL = 0.75 · ln 1.5 + 0.25 · ln 0.5 = 0.131, and with $\alpha$ = 1 the loss is 4 · 0.131 = 0.523.

# %% [markdown]
# ### Exercise 3.8 - A teacher's soft answers (8 min)


# %% name="ex-3-8" tags=["exercise"]
def distillation_loss(logits, teacher, labels, temperature, share):
    """The loss of a student, a mean over the pictures: (1 - share) for the labels, share for the teacher.

    logits, teacher: logits of student and teacher, [pictures, classes]; labels: [pictures]. Returns one number.
    """
    ### BEGIN SOLUTION
    p = (teacher / temperature).softmax(dim=1)
    log_q = (logits / temperature).log_softmax(dim=1)
    divergence = (p * (p.log() - log_q)).sum(dim=1).mean()
    hard = torch.nn.functional.cross_entropy(logits, labels)
    return (1 - share) * hard + share * temperature**2 * divergence
    ### END SOLUTION


# %% tags=["check"]
check("3.8")

# %% [markdown]
# <details><summary>Hint 1: two parts</summary>
#
# `torch.nn.functional.cross_entropy(logits, labels)` is the first part; it uses temperature 1.
# </details>
# <details><summary>Hint 2: the sum and the mean</summary>
#
# KL sums over the classes of one picture. The loss is the mean over the pictures.
# </details>

# %% [markdown]
# ### Does it help?
#
# A student with a teacher has trained a little longer, with softer labels, and with the teacher's extra knowledge. Which of the three helped? Each has a control:
#
# - **plain**: the same number of steps, labels only;
# - **label smoothing**: soft targets without knowledge: 0.9 for the label and the rest spread over the classes;
# - **a teacher of the same size**: the student's own float checkpoint, which adds no knowledge;
# - **an ensemble as the teacher**: five other checkpoints, better than any student here.
#
# Three seeds, seven widths and four ways to train take much longer than a lesson, so the next cells only read the record of a study (`python tools/bits_study.py` runs it again). Its learning rates, temperature and $\alpha$ were chosen with seed 0, on validation pictures; the tables show test accuracy. (Here "2" means four values, and "ternary" three. In "8/2/8" and "8/1/8" the first and the last layer have 8 bits, as is usual in practice, and all other layers have 2 or 1.)

# %%
predict(
    "3.e",
    "With 1-bit weights, which of the three gains the most over plain training with the same number of steps?",
    choices=("label smoothing", "a teacher of the same size", "the ensemble", "none: all within the spread"),
)

# %% name="out-study" tags=["hide-input"]
study = record.recorded()
settings = study.settings["few_bits"]
seeds = len({run.seed for run in study.few_bits})
print(f"recorded: {settings['pictures']:,} pictures, {settings['epochs']} epochs, {seeds} seeds; test accuracy in %\n")
HEADS = {
    "rounded": "rounded",
    "batch norm": "rounded, batch norm re-estimated",
    "plain": "plain",
    "smoothing": "label smoothing",
    "same size": "same-size teacher",
    "ensemble": "ensemble teacher",
}
BITS = [bits for bits in dict.fromkeys(run.width for run in study.few_bits) if bits != "32"]


def was_run(bits, arm):
    return any((run.width, run.arm) == (bits, arm) for run in study.few_bits)


def recorded(bits, head):
    if not was_run(bits, HEADS[head]):
        return "-"
    return percent(record.spread(study.few_bits, bits, HEADS[head])).replace("%", "")


with hold("3.e"):
    table(BITS, HEADS, recorded, "bits")


# %% name="fig-study" tags=["hide-input"]
ONE_WIDTH = [bits for bits in BITS if "/" not in bits]  # the same width for all layers
LINES = {
    "rounded": ("black", ":", "x"),
    "rounded, batch norm re-estimated": ("orange", "--", "^"),
    "plain": ("blue", "-", "o"),
    "ensemble teacher": ("vermillion", "-.", "s"),
}


def draw_study():
    figure, axes = plt.subplots(figsize=(9, 4.4))
    whole = record.spread(study.few_bits, "32", "as it is")
    axes.axhline(100 * whole.mean, color=figures.COLOURS["black"], linewidth=1, label="32 bits")
    for number, (arm, (colour, line, marker)) in enumerate(LINES.items()):
        spreads = [record.spread(study.few_bits, bits, arm) for bits in ONE_WIDTH]
        places = [at + 0.06 * (number - 1.5) for at in range(len(spreads))]
        means, stds = ([100 * getattr(spread, part) for spread in spreads] for part in ("mean", "std"))
        axes.errorbar(
            places,
            means,
            yerr=stds,
            color=figures.COLOURS[colour],
            linestyle=line,
            marker=marker,
            capsize=4,
            label=arm if arm.startswith("rounded") else f"trained, {arm}",
        )
    axes.set(xlabel="bits per weight", ylabel="test accuracy, in %", ylim=(0, 100))
    axes.set_xticks(range(len(ONE_WIDTH)), ONE_WIDTH)
    axes.legend(fontsize=12, loc="lower left")
    return figure


show(
    draw_study(),
    alt="Test accuracy over the bits per weight, from 8 to 1, with the spread over three seeds: rounded, with batch norm re-estimated, trained plainly and with an ensemble as teacher; a line marks 32 bits.",
)


# %% name="claims-study" tags=["solution-only"]
def points(bits, arm, over):
    """The paired difference of two arms of a width, in points of test accuracy."""
    return Paired(tuple(100 * value for value in record.gain(study.few_bits, bits, arm, over=over).values))


def against(one, other):
    """The paired difference of two (width, arm), in points."""
    one, other = (record.spread(study.few_bits, *each).values for each in (one, other))
    return Paired(tuple(100 * (here - there) for here, there in zip(one, other)))


training_adds = {bits: points(bits, "plain", "rounded, batch norm re-estimated") for bits in ONE_WIDTH}
claim(
    "At 8, 4 and 3 bits, training adds no more than the seeds vary.",
    holds=all(training_adds[bits].interval()[0] < 0 for bits in ("8", "4", "3")),
)
claim(
    "At 2 bits it adds seven points, for ternary weights forty, and at 1 bit nearly everything.",
    holds=[round(training_adds[bits].mean) for bits in ("2", "ternary")] == [7, 40]
    and training_adds["1"].mean > 60
    and all(training_adds[bits].interval()[0] > 0 for bits in ("2", "ternary", "1")),
)
claim(
    "a point at 3 bits, two at 2, and seven at 1",
    holds=[round(against(("32", "as it is"), (bits, "plain")).mean) for bits in ("3", "2", "1")] == [1, 2, 7],
)
ends_help = against(("8/1/8", "plain"), ("1", "plain"))
claim(
    "1 bit in between gains 5 points, and comes close to two bits everywhere",
    None,
    ends_help.mean,
    holds=ends_help.interval()[0] > 0 and abs(against(("8/1/8", "plain"), ("2", "plain")).mean) < 0.5,
)

# %% [markdown]
# First compare the columns "batch norm" and "plain" of the table. At 8, 4 and 3 bits, training adds no more than the seeds vary. At 2 bits it adds seven points, for ternary weights forty, and at 1 bit nearly everything. The distance to the line in the figure remains lost: a point at 3 bits, two at 2, and seven at 1.
#
# How much does each method gain *over plain training*? Subtract seed by seed: two runs with the same seed share their start and the order of their pictures, so these effects drop out. (The table shows points of test accuracy. The number after ± is half of the 95% interval of the mean over three seeds, 2.5 standard deviations; a star marks an interval without 0. "Twice as long" is plain training with twice as many steps.)

# %% name="out-gains" tags=["hide-input"]
COMPARED = {
    "smoothing": "label smoothing",
    "same size": "same-size teacher",
    "ensemble": "ensemble teacher",
    "plain, twice as long": "plain, twice as long",
}


def over_plain(bits, arm):
    return Paired(record.gain(study.few_bits, bits, arm, over="plain").values)


def gained(bits, head):
    if not was_run(bits, COMPARED[head]):
        return "-"
    difference = over_plain(bits, COMPARED[head])
    low, high = difference.interval()
    return f"{100 * difference.mean:+.1f} ± {100 * (high - difference.mean):.1f}{'*' if low * high > 0 else ' '}"


with hold("3.e"):
    table(["32", *ONE_WIDTH], COMPARED, gained, "bits")

# %% tags=["hide-input"]
at_one_bit = {
    "label smoothing": "label smoothing",
    "same-size teacher": "a teacher of the same size",
    "ensemble teacher": "the ensemble",
}
gains = {arm: over_plain("1", arm) for arm in at_one_bit}
most = max(gains, key=lambda arm: gains[arm].mean)
reveal("3.e", at_one_bit[most] if gains[most].interval()[0] > 0 else "none: all within the spread")

# %% name="claims-gains" tags=["solution-only"]
helps = {
    (bits, arm): points(bits, arm, "plain")
    for bits in ["32", *ONE_WIDTH]
    for arm in COMPARED.values()
    if was_run(bits, arm)
}
clear = [key for key, gain in helps.items() if gain.interval()[0] * gain.interval()[1] > 0]
claim(
    "one interval of 24 excludes 0: for ternary weights the ensemble *costs* 0.9 points.",
    len(helps),
    None,
    -helps["ternary", "ensemble teacher"].mean,
    holds=clear == [("ternary", "ensemble teacher")],
)
longest_gain = max(helps, key=lambda key: helps[key].mean)
claim(
    "The largest gain, 2.4 points at 1 bit, comes from plain training for twice as long, and its interval still contains 0",
    helps[longest_gain].mean,
    None,
    None,
    holds=longest_gain == ("1", "plain, twice as long") and helps[longest_gain].interval()[0] < 0,
)
claim(
    "One interval of 24 excludes 0: the ensemble costs 0.9 points for ternary weights.",
    len(helps),
    None,
    -helps["ternary", "ensemble teacher"].mean,
    holds=len(clear) == 1,
    page="slides/03_train_few_bits.md",
)

# %% [markdown]
# Compare each number with its interval, and then with the last column: how much do twice as many steps gain without any teacher? Three questions:
#
# - Does label smoothing gain as much as the ensemble? Then soft targets were enough.
# - Does a teacher of the same size gain as much? Then the teacher's extra knowledge was not the reason.
# - Does the float network ("32") gain as much? Then the gain has nothing to do with few bits.
#
# Other studies report that distillation helps at few bits (Mishra and Marr 2018, Polino et al. 2018). Here the student starts from its own good checkpoint, and one interval of 24 excludes 0: for ternary weights the ensemble *costs* 0.9 points. Among 24 intervals of 95%, chance alone makes about one do so. The largest gain, 2.4 points at 1 bit, comes from plain training for twice as long, and its interval still contains 0: three seeds are few.
# This does not show that a teacher is useless. With this network, these pictures and so few updates, its help is too small to see.
#
# The last two rows of the table of accuracies show the largest gain, and it needs no teacher: 8 bits for the first and the last layer, which hold few of the weights. Then 1 bit in between gains 5 points, and comes close to two bits everywhere. Lesson 04 turns this rule of thumb into a method.
#
# ### A teacher where labels are few
#
# Unlike a label, a teacher can answer for pictures that nobody has labelled. Here is another student from the same record: a float CNN with half the channels, trained from scratch, once with many labelled pictures and once with few. "No labels" means that it saw the many pictures with only a teacher's answers to them, for as many steps. The control in these rows is a teacher of the student's own size, trained on the few labels. The ensemble had been trained on 16,000 labelled pictures, which include the 8,000: the student sees no labels, but its teacher has.

# %% name="out-students" tags=["hide-input"]
SCHOOLS = {f"{int(count):,} labels": runs for count, runs in study.students.items()}
SCHOOL_ARMS = list(dict.fromkeys(run.arm for runs in SCHOOLS.values() for run in runs))


def schooled(arm, school):
    runs = SCHOOLS[school]
    if not any(run.arm == arm for run in runs):
        return "-"
    return percent(record.spread(runs, "32", arm))


unlabelled = max(school["unlabelled"] for school in study.settings["students"])
table(SCHOOL_ARMS, SCHOOLS, schooled, "half the channels, test accuracy")
print(f'"no labels": {unlabelled:,} pictures without labels')


# %% name="claims-students" tags=["solution-only"]
def schooling_gain(arm, school):
    one, plain = (record.spread(SCHOOLS[school], "32", name).values for name in (arm, "plain"))
    found = Paired(tuple(100 * (here - there) for here, there in zip(one, plain)))
    return found.mean, found.interval()[1] - found.mean


few_labels, many_labels = "1,000 labels", "8,000 labels"
claim(
    "With few labels the ensemble is worth 3.2 ± 1.3 points, and 4.8 ± 1.0 if it answers for pictures without labels.",
    *schooling_gain("ensemble teacher", few_labels),
    *schooling_gain("ensemble teacher, no labels", few_labels),
)
claim(
    "The teacher that knows no more than the few labels is worth half a point.",
    holds=all(
        0.4 < schooling_gain(arm, few_labels)[0] < 0.7 for arm in ("same-size teacher", "same-size teacher, no labels")
    ),
)
many_gain, many_half = schooling_gain("ensemble teacher", many_labels)
claim(
    "With many labels the ensemble's gain, 0.9 ± 1.4, is smaller than its uncertainty.",
    many_gain,
    many_half,
    holds=many_gain < many_half,
)

# %% [markdown]
# With few labels the ensemble is worth 3.2 ± 1.3 points, and 4.8 ± 1.0 if it answers for pictures without labels. The teacher that knows no more than the few labels is worth half a point. So soft answers alone are not the reason. (The ensemble differs from that teacher in two ways: it has seen 16 times as many labels, and it consists of five networks. An ensemble trained on the few labels would separate the two effects; the study has none.) With many labels the ensemble's gain, 0.9 ± 1.4, is smaller than its uncertainty.

# %% [markdown]
# > **Takeaway.** Never show a distilled network without its controls: here a teacher was worth most where the student had few labels and the teacher had seen many.

# %% [markdown]
# ## 6 What is really stored?
#
# While it trains, our 2-bit network takes more memory than the float network: it also holds steps and Adam's moments. None of this is shipped. **Export** rounds one last time, packs the codes, and drops the floats. The test of an export is strict: the packed model must give *the same outputs, to the last bit*, as the trained model. If it does not, the accuracy that you measured
# belongs to another network.

# %%
with tempfile.TemporaryDirectory() as folder:
    rows = {"32 bits": (folded[0], None)}
    for name in VALUES:
        trained_network = lowest_bits[name, "trained"]
        rows[name] = (quantize.export(trained_network), trained_network)
    stored = {}
    for name, (packed, trained_network) in rows.items():
        path = Path(folder) / "packed.safetensors"
        quantize.save_model(packed, path)
        same = "-"
        if trained_network is not None:
            outputs = [fit.predict(each, splits.validation.images) for each in (packed, trained_network)]
            same = "yes" if torch.equal(*outputs) else "NO"
        stored[name] = (f"{path.stat().st_size:,}", f"{measure.stored_bytes(packed):,}", same)

# %% name="out-export" tags=["hide-input"]
COLUMNS = ("file, bytes", "tensors, bytes", "identical")
table(stored, COLUMNS, lambda name, column: stored[name][COLUMNS.index(column)], "exported")

# %% name="claims-export" tags=["solution-only"]
tensor_bytes = {name: int(cells[1].replace(",", "")) for name, cells in stored.items()}
claim(
    "From 2 bits to 1 the file does not halve.",
    holds=tensor_bytes["binary, 1 bit"] > 0.55 * tensor_bytes["2 bits (-1, 0, 1)"]
    and all(cells[2] == "yes" for name, cells in stored.items() if name != "32 bits"),
)

# %% [markdown]
# From 2 bits to 1 the file does not halve. Batch norm, biases and scales stay in floats, and they are a large part of a file as small as this.
#
# ### Formats of today
#
# Accelerators now support small *floats* in hardware. **FP8** comes in two kinds. E4M3 has 4 bits of exponent and 3 of mantissa, and ends at 448. E5M2 has 5 and 2, so more range and less precision; it ends at 57,344, and is meant for gradients. The 4-bit format is E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives. Its range is small, so a *block* of neighbours shares a scale:
#
# - **MXFP4**: blocks of 32, with a power of two as the scale, stored in 8 bits;
# - **NVFP4**: blocks of 16, with an FP8 number as the scale, and one more float32 scale per tensor.
#
# By hand, for MXFP4: 4 bits for the code and 8 / 32 of a bit for the scale are 4.25 bits per weight. Work out NVFP4 before you look. (The tensor's scale is 32 bits for many thousand weights, which is almost nothing.)
#
# Now take a block with the largest weight 0.95 and a neighbour 0.3. MX takes the power of two that puts the largest weight between 4 and 8, here 1/8. In units of this scale 0.95 is 7.6, beyond the last float, and becomes 6/8 = 0.75; 0.3 is 2.4, and becomes 2/8 = 0.25. A free scale, 0.95 / 6, keeps 0.95 and turns 0.3, which is 1.89 units, into 2, which is 0.317. The table below takes about 4 seconds.

# %%
FORMATS = {
    "8-bit grid per channel": channels(8),
    "FP8 E4M3 per channel": quantize.FP8Format("e4m3", PerChannel()),
    "MXFP8": quantize.MXFP8,
    "4-bit grid per channel": channels(4),
    "MXFP4": quantize.MXFP4,
    "NVFP4": quantize.NVFP4Format(),
}


def is_inner(name, layer):
    return name != "conv1"


weight = folded[0].conv3.weight.detach()
in_format = {}
for name, fmt in tqdm(FORMATS.items(), desc="formats"):
    q = quantize.quantize(weight, fmt)
    error = (q.dequantize() - weight).norm() / weight.norm()
    everywhere, inner = (
        validation_accuracy(quantize.quantize_weights(folded[0], fmt, where=where))
        for where in (quantize.is_weight_layer, is_inner)
    )
    in_format[name] = (q.bits_per_weight, error.item(), everywhere, inner)


# %% name="out-formats" tags=["hide-input"]
def format_row(name, column):
    bits, error, everywhere, inner = in_format[name]
    texts = {"bits": f"{bits:.3f}", "error": f"{100 * error:.2f}%", "all": percent(everywhere)}
    return texts.get(column, percent(inner))


print("bits, error: conv3; accuracy: all layers, or all but conv1")
table(FORMATS, ("bits", "error", "all", "not conv1"), format_row)


# %% name="claims-formats" tags=["solution-only"]
def format_error(name):
    return in_format[name][1]


claim(
    "At 8 bits the plain grid has the smaller error in conv3",
    holds=format_error("8-bit grid per channel") < 0.5 * format_error("FP8 E4M3 per channel"),
)
claim(
    "At 4 bits the block formats have the smaller error.",
    holds=max(format_error("MXFP4"), format_error("NVFP4")) < format_error("4-bit grid per channel"),
)
block = quantize.quantize(torch.tensor([[0.95, 0.3] + 30 * [0.0]]), quantize.MXFP4).dequantize()[0]
claim(
    "In units of this scale 0.95 is 7.6, beyond the last float, and becomes 6/8 = 0.75",
    0.95,
    0.95 * 8,
    None,
    None,
    block[0].item(),
)
claim("0.3 is 2.4, and becomes 2/8 = 0.25", None, 0.3 * 8, None, None, block[1].item())

# %% [markdown]
# At 8 bits the plain grid has the smaller error in conv3. FP8 is made for values with *outliers*, such as many activations and gradients. At 4 bits the block formats have the smaller error. But they differ from our grid in three ways: values, block and scale. First compare values and blocks, with a scale that may be any number:

# %%
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
ELEMENTS = {"even steps, -7 to 7": torch.arange(-7.0, 8), "floats, E2M1": torch.cat([-E2M1.flip(0), E2M1])}


def in_blocks(weight, values, block):
    """The nearest of the values, times a scale for each block that brings its largest weight to the largest value."""
    rows = weight.reshape(-1, block)
    scale = rows.abs().amax(dim=1, keepdim=True) / values.max()
    places = ((rows / scale)[..., None] - values).abs().argmin(dim=-1)
    return (values[places] * scale).reshape(weight.shape)


# %% name="out-elements" tags=["hide-input"]
BLOCKS = {"channel (288)": 288, "block of 32": 32, "block of 16": 16}


def element_error(values, block):
    error = (in_blocks(weight, ELEMENTS[values], BLOCKS[block]) - weight).norm() / weight.norm()
    return f"{100 * error.item():.2f}%"


table(ELEMENTS, BLOCKS, element_error, "error of conv3, free scale")

# %% name="claims-elements" tags=["solution-only"]
by_hand = in_blocks(torch.tensor([[0.95, 0.3]]), ELEMENTS["floats, E2M1"], 2)[0].tolist()
claim(
    "keeps 0.95 and turns 0.3, which is 1.89 units, into 2, which is 0.317",
    by_hand[0],
    None,
    0.3 * 6 / 0.95,
    None,
    by_hand[1],
)
element_errors = {
    (values, block): float(element_error(values, block).removesuffix("%")) for values in ELEMENTS for block in BLOCKS
}
even, floats = ELEMENTS
claim(
    "Small blocks reduce the error, for both.",
    holds=all(
        element_errors[values, "channel (288)"]
        > element_errors[values, "block of 32"]
        > element_errors[values, "block of 16"]
        for values in ELEMENTS
    ),
)
claim(
    "In blocks of 32 or 16 the even steps are at least as good.",
    holds=all(element_errors[even, block] <= element_errors[floats, block] for block in ("block of 32", "block of 16"))
    and element_errors[even, "channel (288)"] > element_errors[floats, "channel (288)"],
)
claim(
    "in short blocks even steps are at least as good as the floats",
    holds=all(element_errors[even, block] <= element_errors[floats, block] for block in ("block of 32", "block of 16")),
    page="slides/03_train_few_bits.md",
)

# %% [markdown]
# Small blocks reduce the error, for both. (Each block costs the bits of a scale.) The floats help where many weights share a scale. In blocks of 32 or 16 the even steps are at least as good.
#
# In the table of formats, MXFP4 loses accuracy. Compare its last two columns: the loss comes from one layer, `conv1`, which has nine weights per channel. There a block of 32 spans four channels. Is that the reason, or is it the scale, a power of two? We round only conv1 to E2M1, in four ways:


# %%
def conv1_alone(network, fmt):
    """The network with conv1 in E2M1: in the format, or with a free scale per channel."""
    if fmt is not None:
        return quantize.quantize_weights(network, fmt, where=lambda name, layer: name == "conv1")
    changed = copy.deepcopy(network)
    changed.conv1.weight.data = in_blocks(network.conv1.weight.detach(), ELEMENTS["floats, E2M1"], 9)
    return changed


ALONE = {
    "power of two per block of 32": quantize.MXFP4,
    "power of two per channel": quantize.MXFormat("e2m1", block_size=9),
    "the same, nothing cut off": quantize.MXFormat("e2m1", block_size=9, scale_rounding="rceil"),
    "free scale per channel": None,
}
alone = {
    name: fit.Spread(tuple(validation_accuracy(conv1_alone(each, fmt)) for each in folded))
    for name, fmt in ALONE.items()
}

# %% name="out-conv1" tags=["hide-input"]
table(ALONE, ("accuracy",), lambda name, _: percent(alone[name]), "conv1 alone in E2M1, 3 seeds")


# %% name="claims-conv1" tags=["solution-only"]
def between_scales(one, other):
    return Paired(tuple(100 * (here - there) for here, there in zip(alone[one].values, alone[other].values)))


shared, own, uncut, free = ALONE
low, high = between_scales(own, shared).interval()
claim("with one block per channel, accuracy does not change measurably", holds=low < 0 < high)
claim("where nothing is cut off, the mean is higher", holds=alone[uncut].mean > alone[own].mean)
claim(
    "a free scale recovers nearly all of the loss",
    holds=between_scales(free, own).interval()[0] > 0 and float_accuracy.mean - alone[free].mean < 0.015,
)
claim(
    "It is the scale: a block per channel does not help, a free scale does.",
    holds=low < 0 and between_scales(free, own).interval()[0] > 0,
    page="slides/03_train_few_bits.md",
)

# %% [markdown]
# The scale is the reason: with one block per channel, accuracy does not change measurably; where nothing is cut off, the mean is higher; and a free scale recovers nearly all of the loss. (By MXFP4's rule the scale is rounded down, so the largest weights are cut off. Rounded up, `scale_rounding="rceil"`, it cuts off nothing, but is still a coarse power of two.)

# %% [markdown]
# > **Takeaway.** An export is right if its outputs are the same to the last bit; and bits per weight include the scales.

# %% [markdown]
# ## 7 Where it stops working
#
# - **Training has a price.** GPTQ and AdaRound need 100 pictures and some seconds. Training needs labels, time and a good learning rate. At 4 bits this network does not need training: better rounding is enough, as the first column of the table in section 1 shows.
# - **A short training shows only the start.** The live runs had 50 updates and one seed. In so few updates, slow parameters (steps, clips) look useless, and quick repairs (batch norm) look good. The recorded study is longer and has three seeds, but is still short.
# - **The error of one layer is not the accuracy of the network.** MXFP4 has less error in conv3 than the 4-bit grid, but loses accuracy in conv1. Judge whole networks.
# - **One model, one data set.** Ten kinds of clothing are easy. Harder problems may lose more at 2 bits.
# - **1 bit is not 32 times as fast.** XOR and popcount need signs on *both* sides, and our activations were floats. Lesson 04 measures whether packed codes are faster on this machine.

# %% [markdown]
# > **Takeaway.** A result at few bits holds for its network, its data and its length of training, so ask whether better rounding or longer training would have done as much.

# %% [markdown]
# ## The ledger
#
# Of the networks trained in this notebook, we keep the one with the fewest stored bytes whose *validation* accuracy is within one point of the best. Only now do we look at its test accuracy. (Its layers unpack their codes at every call, so it is slower than small_cnn in the same run.)

# %% name="out-ledger"
best_of = max(lowest_accuracy[name, "trained"] for name in VALUES)
good_enough = [name for name in VALUES if lowest_accuracy[name, "trained"] >= best_of - 0.01]
kept = min(good_enough, key=lambda name: measure.stored_bytes(rows[name][0]))
kept_network = rows[kept][0]
row_name = f"small_cnn, trained, {kept}"
both = {"small_cnn": model, row_name: kept_network}
report = measure.report(
    both, splits.test.images[:1], accuracies={name: fit.accuracy(each, splits.test) for name, each in both.items()}
)
ledger(report.rows[1], lesson=3, beside=report.rows[0])

# %% name="claims-ledger" tags=["solution-only"]
claim(
    "Its layers unpack their codes at every call, so it is slower than small_cnn in the same run.",
    holds=report.rows[1].median_s > report.rows[0].median_s,
)

# %%
progress()

# %% [markdown]
# ## With pencil and paper
#
# **1.** A row has the weights (0.5, 0.3), and its two inputs are always equal, with mean square 1. The grid holds the whole numbers -1 to 1. Round the row to nearest (a tie goes to the even code), and then in turn, as in exercise 3.1. What are the two output errors?
#
# <details><summary>Answer</summary>
#
# All entries of $H$ are 1. To nearest: (0, 0), $d$ = (-0.5, -0.3), and the error is $(-0.8)^2$ = 0.64. In turn: 0.5 becomes 0, the second weight takes the whole error 0.5 (0.5 · 1 / 1), and 0.8 rounds to 1. Now $d$ = (-0.5, 0.7), and the error is $0.2^2$ = 0.04.
# </details>
#
# **2.** How many bits per weight does NVFP4 take in a layer of 4,096 x 4,096, all scales included? And ternary, five codes to a byte, with one float32 scale per row?
#
# <details><summary>Answer</summary>
#
# NVFP4: 4 + 8 / 16 = 4.5 bits; the 32 bits for the whole tensor add only 32 / 16,777,216 of a bit per weight. Ternary: 8 / 5 = 1.6 bits, and 32 / 4,096 = 0.008 for the scale: 1.608 bits.
# </details>
#
# **3.** A teacher gives the logits (4, 0) for a picture of the first of two classes. What probability does it give the second class at $T$ = 1, and at $T$ = 4? By what factor does it grow?
#
# <details><summary>Answer</summary>
#
# $1 / (1 + e^{4})$ = 0.018 and $1 / (1 + e^{1})$ = 0.269, so it is 15 times as large. At high temperatures even a sure teacher says more than the label.
# </details>

# %% [markdown]
# ## Summary
#
# - Round with the inputs in mind: errors that cancel in the output cost nothing. At 4 and 3 bits this recovered nearly all of the loss, at 2 bits far from all.
# - The straight-through estimator passes the gradient as if the rounding were a line. Before you credit the training, measure batch norm again without it.
# - In a short training, steps and clips hardly move; start them well.
# - A symmetric 2-bit grid is ternary. Binary weights have no zero, but allow arithmetic on single bits.
# - Compare a teacher with its controls, and an export with the network that was trained.
#
# **References.** Bengio, Leonard and Courville 2013, *Estimating or Propagating Gradients Through Stochastic Neurons*. Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*. Rastegari et al. 2016, *XNOR-Net*. Li et al. 2016, *Ternary Weight Networks*.
# Szegedy et al. 2016, *Rethinking the Inception Architecture for Computer Vision* (label smoothing). Choi et al. 2018, *PACT*. Esser et al. 2020, *Learned Step Size Quantization*. Nagel et al. 2020, *Up or Down? Adaptive Rounding for Post-Training Quantization* (AdaRound).
# Hassibi and Stork 1993, *Second Order Derivatives for Network Pruning: Optimal Brain Surgeon*. Frantar and Alistarh 2022, *Optimal Brain Compression*. Frantar et al. 2023, *GPTQ*. Jacob et al. 2018, *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*. Mishra and Marr 2018, *Apprentice*. Polino et al. 2018, *Model Compression via Distillation and Quantization*.
# Micikevicius et al. 2022, *FP8 Formats for Deep Learning*. Rouhani et al. 2023, *Microscaling Data Formats for Deep Learning*. NVIDIA 2025, *Pretraining Large Language Models with NVFP4*. Nagel et al. 2022, *Overcoming Oscillations in Quantization-Aware Training*.
#
# **In the library.** [`mini_lib/quantize/rounding`](../mini_lib/quantize/rounding/__init__.py) rounds with the inputs in mind, [`mini_lib/quantize/train`](../mini_lib/quantize/train/__init__.py) trains through the rounding and exports, [`mini_lib/distill.py`](../mini_lib/distill.py) has the teacher's loss, and [`mini_lib/quantize/formats`](../mini_lib/quantize/formats/__init__.py) has every number format. The study is [`studies/bits`](../studies/bits/__init__.py).
#
# **Next:** [04 Which layer deserves which bits, on this machine?](04_mixed_precision.ipynb)
