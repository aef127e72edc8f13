# %% [markdown]
# # What can be taken away?
#
# Lesson 05 · {minutes} · before it: [01 What does a model cost?](01_measure.ipynb)
#
# A trained network has far more weights than it seems to need. Set some of them to zero, and its accuracy hardly changes. Which weights can go, how many, and what do you gain? A zero is
# not yet a saved byte, and a saved byte is not yet a saved millisecond. In this lesson you remove weights in several ways, compare each way with a control, and measure accuracy, bytes and time.
#
# **You will be able to**
# 1. prune a trained model to an exact density by magnitude, gradient or input, and compare each score with chance;
# 2. keep pruned weights at zero while the others are trained, and remove whole channels, so that the model is really smaller;
# 3. say from measurements when zeros save bytes, when they save time, and when they save nothing.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back. Code that only draws is folded: one click shows it.

# %%
import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from mini_lib import data, fit, measure, native, prune, zoo
from mini_lib.prune import second_order, sparse, structure
from mini_lib.quantize.train import reestimate_batch_norm
from studies.paired import Paired
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one core against one core; sums then repeat to the last digit
figures.use_style()


# %% tags=["hide-input"]
def table(rows, columns, cell, corner=""):
    """Print a table of cell(row, column)."""
    print(f"{corner:<34}" + "".join(f"{column!s:>19}" for column in columns))
    for row in rows:
        print(f"{row!s:<34}" + "".join(f"{cell(row, column):>19}" for column in columns))


def percent(spread):
    return f"{100 * spread.mean:.1f} ± {100 * spread.std:.1f}%"


def points(one, other):
    """The mean difference of two spreads, seed by seed, in points, with its 95% interval (lesson 06 has more on it)."""
    found = Paired(tuple(a - b for a, b in zip(one.values, other.values)))
    low, high = found.interval()
    return f"{100 * found.mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


# %% [markdown]
# ## 1 Small weights
#
# The model of this course is a small CNN that recognizes ten kinds of clothing. Here are all weights of its four convolutions and its linear layer. (Biases and batch norms are not pruned: they are few, and each
# acts on a whole channel.)

# %%
splits = data.fashion()
model = zoo.load("small_cnn", seed=0)
weights = torch.cat([model.get_parameter(name).detach().flatten() for name in prune.magnitude(model)])
sizes = weights.abs()
print(f"{len(sizes):,} weights, the largest {sizes.max():.2f}; half of them are within {sizes.median():.3f} of zero")


# %% name="fig-weights" tags=["hide-input"]
def draw_weights():
    figure, axes = plt.subplots(figsize=(8, 3.2))
    axes.hist(weights.numpy(), bins=160, color=figures.COLOURS["blue"])
    axes.set(xlabel="weight", ylabel="number of weights", xlim=(-0.5, 0.5))
    return figure


show(
    draw_weights(), alt="Histogram of all weights of the model: one narrow peak at zero with thin tails on both sides."
)

# %% [markdown]
# The peak is at zero. A weight there adds little to a sum, unless its input is large. Why not leave it out? That is **pruning** by magnitude. Each weight gets a **score**, here its
# magnitude; the weights with the highest scores stay, and the others become zero. A **mask** says what stays: True or False for each weight. The share that stays is the **density**.
#
# A threshold is a trap, since scores can be equal: if two of the scores 0.5, 0.2, 0.5, 0.5 are to stay, a threshold of 0.5 keeps three. So rank the scores, and keep the
# first two: True, False, True, False.

# %% [markdown]
# ### Exercise 5.1 - Keep exactly so many (5 min)


# %% name="ex-5-1" tags=["exercise"]
def keep_best(scores, count):
    """The mask that keeps the `count` highest scores; of equal scores, those that come first stay.

    scores: a tensor of any shape; count: from 1 to the number of scores. Returns a tensor of True and False, same shape.
    """
    ### BEGIN SOLUTION
    order = scores.flatten().argsort(descending=True, stable=True)
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.reshape(scores.shape)
    ### END SOLUTION


# %% tags=["check"]
check("5.1")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Do not compare with a number. Sort the scores, and see which positions come first.
# </details>
# <details><summary>Hint 2: which function</summary>
#
# `argsort(descending=True, stable=True)` gives the positions from best to worst, and "stable" leaves equal scores in their order. (`torch.topk` promises nothing about equal scores.)
# </details>
# <details><summary>Hint 3: from positions to a mask</summary>
#
# Start from a flat tensor of False, write True at the first `count` positions, and give it the shape of the scores.
# </details>

# %% [markdown]
# ### How much can go?
#
# The library's function is `keep_top(scores, density, scope)`. The scope says which weights compete with each other: all weights of the model ("global"), those of a layer, or those of a row. You begin with the global scope, and without training.

# %%
predict(
    "5.a",
    "The smallest weights go first, and nothing is trained afterwards. What share of the weights can be set to zero before the accuracy falls by more than one point?",
    unit="%",
)

# %% [markdown]
# Prune three models, trained from different seeds, and measure them on the *validation* images. (The test images are kept for the end.) The control removes as many weights at random. This takes about 5 seconds.

# %% name="run-oneshot"
networks = [zoo.load("small_cnn", seed=seed) for seed in (0, 1, 2)]
DENSITIES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)


def pruned(seed, density, score, scope="global"):
    """The network of a seed, pruned and not trained; score(model, seed) gives the scores."""
    return prune.apply_mask(networks[seed], prune.keep_top(score(networks[seed], seed), density, scope))


def on_validation(network):
    return fit.accuracy(network, splits.validation)


def pruned_to(density, score, accuracy=on_validation):
    """The accuracy of networks pruned in this way, over three seeds."""
    return fit.over_seeds(lambda seed: accuracy(pruned(seed, density, score)))


def by_magnitude(network, seed):
    return prune.magnitude(network)


baseline = fit.over_seeds(lambda seed: on_validation(networks[seed]))
curves = {"magnitude": {}, "chance": {}}
for density in tqdm(DENSITIES, desc="densities"):
    curves["magnitude"][density] = pruned_to(density, by_magnitude)
for density in (0.95, 0.8):
    curves["chance"][density] = pruned_to(density, prune.random_scores)

# %% name="out-oneshot" tags=["hide-input"]
with hold("5.a"):
    print(f"dense: {percent(baseline)}")
    densities = sorted({*DENSITIES, *curves["chance"]}, reverse=True)
    table(densities, curves, lambda at, name: percent(curves[name][at]) if at in curves[name] else "", "density")

# %%
enough = [density for density, spread in curves["magnitude"].items() if spread.mean >= baseline.mean - 0.01]
reveal("5.a", round(100 * (1 - min(enough, default=1.0))))

# %% tags=["solution-only"]
from teach import claim

claim(
    "the smallest fifth of the weights can go without loss, while removing 5% at random costs about 43 points",
    None,
    100 * (baseline.mean - curves["chance"][0.95].mean),
    within=2,
    holds=curves["magnitude"][0.8].mean > baseline.mean - 0.005,
)

# %% [markdown]
# So magnitude is a useful guide, and chance is not: the smallest fifth of the weights can go without loss, while removing 5% at random costs about 43 points.

# %% [markdown]
# > **Takeaway.** Rank the weights and count, and compare every score with chance.

# %% [markdown]
# ## 2 What is a weight worth?
#
# Magnitude tells how long the step to zero is, but not what happens to the loss on the way. The **gradient** $g$ tells how fast the loss changes. To first order, a step from $w$ to 0 changes it by
#
# $$|g \cdot w|.$$
#
# Worked by hand: take two weights, 2 and -4, and two images with the gradients (0.5, 0.25) and (0.5, 0.75). The gradient of the *mean* loss is (0.5, 0.5), and the costs are 1 and 2. The idea goes back to Mozer and Smolensky (1989) for units and to Karnin (1990) for weights; computed before any training, it is the score of SNIP. *Optimal Brain Damage* (1990) is a different idea: at the end of
# training the gradient is about zero, so it drops the first order and keeps the second, $h w^2 / 2$, with the curvature $h$ of the loss (section 7).

# %% [markdown]
# ### Exercise 5.2 - What a removal would cost (5 min)


# %% name="ex-5-2" tags=["exercise"]
def removal_costs(weight, gradients):
    """How much the mean loss would change, to first order, if a weight became 0: one cost for each weight, never negative.

    weight: [weights]; gradients: [images, weights], the gradient of each image's loss. Returns [weights].
    """
    ### BEGIN SOLUTION
    return (gradients.mean(dim=0) * weight).abs()
    ### END SOLUTION


# %% tags=["check"]
check("5.2")

# %% [markdown]
# <details><summary>Hint 1: the gradient of a mean</summary>
#
# The gradient of the mean loss is the mean of the gradients: over which axis?
# </details>
# <details><summary>Hint 2: the order matters</summary>
#
# One image may push a weight up and another push it down, so that the two cancel. Take the mean first, and the magnitude at the very end.
# </details>

# %% [markdown]
# Prune the same networks by this score. This takes about 4 seconds.

# %% name="run-scores"
some = splits.train.first(500)
costs = [prune.gradient_times_weight(network, some) for network in networks]


def by_gradient(network, seed):
    return costs[seed]


curves["gradient x weight"] = {
    density: pruned_to(density, by_gradient) for density in tqdm(DENSITIES[3:], desc="densities")
}

# %% name="fig-scores" tags=["hide-input"]
LOOKS = {"magnitude": ("blue", "-", "o"), "gradient x weight": ("vermillion", "--", "s"), "chance": ("black", ":", "^")}


def draw_scores():
    figure, axes = plt.subplots(figsize=(8, 4.2))
    axes.axhline(100 * baseline.mean, color="black", linewidth=1, label="dense")
    for name, curve in curves.items():
        colour, line, marker = LOOKS[name]
        at = [100, *(100 * density for density in curve)]
        means = torch.tensor([100 * spread.mean for spread in (baseline, *curve.values())])
        stds = torch.tensor([100 * spread.std for spread in (baseline, *curve.values())])
        axes.plot(at, means, color=figures.COLOURS[colour], linestyle=line, marker=marker, label=name)
        axes.fill_between(at, means - stds, means + stds, color=figures.COLOURS[colour], alpha=0.15)
    axes.set(xlabel="density, in %", ylabel="validation accuracy, in %", ylim=(0, 100))
    axes.invert_xaxis()
    axes.legend(loc="center", bbox_to_anchor=(0.4, 0.5), fontsize=12)
    return figure


show(
    draw_scores(),
    alt="Accuracy over density without training, for magnitude, gradient times weight, and chance, with bands over three seeds.",
)

# %% name="out-scores" tags=["hide-input"]
table(
    (0.5, 0.4, 0.3, 0.2),
    ("magnitude", "gradient x weight"),
    lambda density, name: percent(curves[name][density]),
    "density",
)
print("\ngradient x weight minus magnitude, points, seed by seed (95% interval)")
for density in (0.5, 0.4, 0.3, 0.2):
    print(f"{density:<34}{points(curves['gradient x weight'][density], curves['magnitude'][density]):>38}")

# %% tags=["solution-only"]
first_order = {
    density: Paired(
        tuple(a - b for a, b in zip(curves["gradient x weight"][density].values, curves["magnitude"][density].values))
    )
    for density in (0.5, 0.4, 0.3, 0.2)
}
claim(
    "In the mean the gradient's score is better at a density of a half and worse at a fifth, but all four intervals contain zero",
    holds=first_order[0.5].mean > 0 > first_order[0.2].mean
    and all(one.interval()[0] < 0 < one.interval()[1] for one in first_order.values()),
)

# %% [markdown]
# A gradient describes a small step, and pruning is a large one. In the mean the gradient's score is better at a density of a half and worse at a fifth, but all four intervals contain zero: three seeds do not decide this.
#
# Nothing was trained here, not even the batch norms. They still subtract and divide by the means and variances of the dense network. How much of the loss is due to these old statistics? Estimate them again on 100 training images, and leave all weights as they are. This takes about 6 seconds.

# %% name="run-anew"
calibration = splits.train.first(200).images


def with_norms_anew(network):
    """Validation accuracy after the batch norms have taken the statistics of their present inputs."""
    return on_validation(reestimate_batch_norm(network, calibration[:100]))


SCORES = {"magnitude": by_magnitude, "gradient x weight": by_gradient, "chance": prune.random_scores}
cases = [(0.5, "magnitude"), (0.5, "gradient x weight"), (0.3, "magnitude"), (0.3, "gradient x weight")]
anew = {}
for density, name in tqdm([*cases, (0.95, "chance")], desc="cases"):
    anew[density, name] = pruned_to(density, SCORES[name], accuracy=with_norms_anew)

# %% name="out-anew" tags=["hide-input"]
print(f"{'density, score':<34}{'as it is':>19}{'batch norms anew':>19}")
for (density, name), spread in anew.items():
    print(f"{f'{density:g}, {name}':<34}{percent(curves[name][density]):>19}{percent(spread):>19}")

# %% tags=["solution-only"]
claim(
    "at a density of 30%, the accuracy by magnitude rises from 34% to 78%, and removing 5% at random costs 6 points instead of 43",
    None,
    100 * curves["magnitude"][0.3].mean,
    100 * anew[0.3, "magnitude"].mean,
    None,
    100 * (baseline.mean - anew[0.95, "chance"].mean),
    100 * (baseline.mean - curves["chance"][0.95].mean),
    within=2,
)

# %% [markdown]
# The old statistics caused most of the loss: at a density of 30%, the accuracy by magnitude rises from 34% to 78%, and removing 5% at random costs 6 points instead of 43. Without this step you mostly compare how well the old statistics happen to fit. So the tables of pruned, untrained models below show both. Only the scan and single accuracies keep the old statistics.
#
# ### Which layer suffers?
#
# Some layers tolerate pruning better than others. A **sensitivity scan** prunes *one* layer at a time and leaves all others whole. This takes about 4 seconds.

# %%
LAYERS = ("conv1 (144 weights)", "conv2 (4,608)", "conv3 (18,432)", "conv4 (36,864)", "linear (640)")
predict(
    "5.b",
    "Only one layer is pruned, to 20% of its weights. In which layer does that cost the most accuracy?",
    choices=LAYERS,
)

# %% name="run-sensitivity"
with tqdm(total=5 * 4, desc="layers x densities") as bar:
    scan = prune.sensitivity(model, splits.validation, densities=(0.5, 0.3, 0.2, 0.1), progress=lambda _: bar.update())

# %% name="out-sensitivity"
with hold("5.b"):
    print(scan)

# %%
worst = min(scan.layers, key=lambda layer: scan.accuracy(layer, 0.2)).removesuffix(".weight")
reveal("5.b", next(layer for layer in LAYERS if layer.startswith(worst)))

# %% [markdown]
# You can share the same total number of weights in three ways: the same density in each *layer*; one *global* contest of all weights; or, for each layer, the lowest density that loses at most two points in the scan. (The scan was made on seed 0 and is used for all three.) This takes about 4 seconds.

# %% name="run-scopes"
allowed = prune.densities_for(scan, most_lost=0.02)
total = prune.keep_top_per_layer(prune.magnitude(model), allowed).density
SHARES = {
    "the same in each layer": lambda scores: prune.keep_top(scores, total, "layer"),
    "global": lambda scores: prune.keep_top(scores, total),
    "by the scan": lambda scores: prune.keep_top_per_layer(scores, allowed),
}
shared, shared_anew = {}, {}
for name, share in tqdm(SHARES.items(), desc="ways to share"):
    left = [prune.apply_mask(network, share(prune.magnitude(network))) for network in networks]
    shared[name] = fit.over_seeds(lambda seed: on_validation(left[seed]))
    shared_anew[name] = fit.over_seeds(lambda seed: with_norms_anew(left[seed]))

# %% name="out-scopes" tags=["hide-input"]
print("by the scan:", ", ".join(f"{name.removesuffix('.weight')} {share:.0%}" for name, share in allowed.items()))
columns = {"as it is": shared, "batch norms anew": shared_anew}
table(SHARES, columns, lambda name, column: percent(columns[column][name]), f"density {total:.1%} in total")

# %% tags=["solution-only"]
old, new = shared["by the scan"], shared_anew["by the scan"]
claim(
    "The scan allowed each of four layers a loss of two points, 8 in all. With the old batch norms, which the scan used as well, the loss is 15 points",
    2 * sum(density < 1 for density in allowed.values()),
    100 * (baseline.mean - old.mean),
    within=1,
)
claim("With new batch norms it is 3 points.", 100 * (baseline.mean - new.mean), within=1)
claim(
    "Either way the scan beats the global contest in all three seeds.",
    holds=all(
        one > other for of in (shared, shared_anew) for one, other in zip(of["by the scan"].values, of["global"].values)
    ),
)

# %% [markdown]
# The scan allowed each of four layers a loss of two points, 8 in all. With the old batch norms, which the scan used as well, the loss is 15 points: losses measured one layer at a time do not add up. With new batch norms it is 3 points. Either way the scan beats the global contest in all three seeds. Why?
#
# A global contest compares the weights of different layers. But before a batch norm, the size of a layer's weights is arbitrary: double the weights of `conv4`, and its batch norm divides by twice as much. The outputs stay the same, but the mask changes. The next two cells show it in about 4 seconds.


# %%
def rescaled(network, factors):
    """The same function with other weights: a convolution times its factor, and the statistics of its batch norm too."""
    network = copy.deepcopy(network)
    for name, factor in factors.items():
        norm = network.get_submodule(f"{name}_bn")
        network.get_submodule(name).weight.data.mul_(factor)
        norm.running_mean.mul_(factor)
        norm.running_var.add_(norm.eps).mul_(factor**2).sub_(norm.eps)
    return network


# %% name="out-rescaled" tags=["hide-input"]
def unit_norms(network):
    return {name: 1 / network.get_submodule(name).weight.norm().item() for name in ("conv1", "conv2", "conv3", "conv4")}


RESCALED = {"conv4 times 2": lambda network: {"conv4": 2}, "each convolution divided by its norm": unit_norms}
by_scale, by_scale_anew, same = {"as trained": shared["global"]}, {"as trained": shared_anew["global"]}, 0.0
for name, factors in tqdm(RESCALED.items(), desc="scales"):
    others = [rescaled(network, factors(network)) for network in networks]
    left = [prune.apply_mask(other, prune.keep_top(prune.magnitude(other), total)) for other in others]
    by_scale[name] = fit.over_seeds(lambda seed: on_validation(left[seed]))
    by_scale_anew[name] = fit.over_seeds(lambda seed: with_norms_anew(left[seed]))
    with torch.no_grad():
        few_images = splits.validation.images[:100]
        same = max(same, (others[0](few_images) - networks[0](few_images)).abs().max().item())
print(f"largest difference between the outputs of the dense networks: {same:.0e}")
print(f"{f'global, density {total:.1%} in total':<40}{'as it is':>14}{'batch norms anew':>19}")
for name, spread in by_scale.items():
    print(f"{name:<40}{percent(spread):>14}{percent(by_scale_anew[name]):>19}")

# %% tags=["solution-only"]
claim(
    "The dense network computes the same in all three rows, but the pruned one reaches 36%, 14% or 81%; with new batch norms 80%, 59% or 88%.",
    *(100 * spread.mean for of in (by_scale, by_scale_anew) for spread in of.values()),
    within=2,
    holds=same < 1e-4,
)
claim(
    "on a common scale it does better than the scan, in all three seeds",
    holds=all(one > other for one, other in zip([*by_scale.values()][-1].values, old.values)),
)
claim("with new ones in the mean", holds=[*by_scale_anew.values()][-1].mean > new.mean)

# %% [markdown]
# The dense network computes the same in all three rows, but the pruned one reaches 36%, 14% or 81%; with new batch norms 80%, 59% or 88%. So a global contest ranks layers by a scale that means nothing; on a common scale it does better than the scan, in all three seeds with the old batch norms, with new ones in the mean.

# %% [markdown]
# > **Takeaway.** Take the statistics of the batch norms again before you compare pruned models, and do not compare weights of different layers whose scales are arbitrary.

# %% [markdown]
# ## 3 Train further
#
# If you prune more, the accuracy collapses. But with further training, a network can learn to do without the pruned weights. There is one catch. Here is a model pruned to 30% and then trained for four steps, once with
# `apply_mask`, the obvious way, and once with `masked`. This takes about 3 seconds.


# %% name="run-stale"
def share_not_zero(network):
    weights = prune.magnitude(network).values()
    return sum(int((weight > 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


mask = prune.keep_top(prune.magnitude(model), 0.3)
little = {"epochs": 1, "seed": 0, "learning_rate": 1e-3}
twins = {"applied once": prune.apply_mask(model, mask), "kept": prune.masked(model, mask)}
not_zero = {}
for name, network in tqdm(twins.items(), desc="models"):
    trained = fit.fit(network, splits.train.first(512), splits.validation.first(100), **little).model
    not_zero[name] = share_not_zero(prune.baked(trained))

# %% name="out-stale" tags=["hide-input"]
print(mask, end="\n\n")
for name, share in not_zero.items():
    print(f"the mask was {name + ':':<14} after 4 steps, {share:.1%} are not zero")

# %% tags=["solution-only"]
claim("Training gave nearly every weight a value again", holds=not_zero["applied once"] > 0.9)

# %% [markdown]
# In the first case the mask was *applied* once. Training gave nearly every weight a value again. Nothing complained, and nothing was pruned. The zeros must be restored **after each step**.
#
# Worked by hand: of the weights (1, 2), the second is pruned, so training starts from (1, 0). If the gradient there is (-5, -4) and the learning rate is 0.1, the step goes to (1.5, 0.4), and the mask makes that (1.5, 0).

# %% [markdown]
# ### Exercise 5.3 - What is pruned stays pruned (8 min)


# %% name="ex-5-3" tags=["exercise"]
def train_pruned(weight, mask, gradient, learning_rate, steps):
    """The weights after some steps of gradient descent. Where the mask is False they are 0 at every step.

    weight: [weights], not yet pruned; mask: True stays; gradient(weight) returns the gradient of the loss, [weights].
    A step subtracts learning_rate times the gradient. Returns new weights.
    """
    ### BEGIN SOLUTION
    weight = weight * mask
    for _ in range(steps):
        weight = (weight - learning_rate * gradient(weight)) * mask
    return weight
    ### END SOLUTION


# %% tags=["check"]
check("5.3")

# %% [markdown]
# <details><summary>Hint 1: where</summary>
#
# Set the pruned weights to zero before the first step, so that the gradient is that of the pruned model, and again after each step.
# </details>
# <details><summary>Hint 2: what not to do</summary>
#
# Do not ask which weights are zero at the moment: a weight that stays may happen to be zero. Use the mask.
# </details>

# %% [markdown]
# (Here it would also be enough to mask the gradient. It is not enough with momentum or Adam, if the optimizer was already running before the pruning and remembers older gradients. The library multiplies the weight itself by its mask in every forward pass, so no optimizer can bring it back.)
#
# ### At once, or little by little?
#
# You can also prune in rounds: remove some weights, train, remove more. The usual schedule removes many weights at first and few at the end. After a share $t$ of the rounds, the density is
#
# $$d + (1 - d) \, (1 - t)^3.$$
#
# Worked by hand, for a density of 0.2 in two rounds: half-way, $(1/2)^3 = 1/8$ of the way is left, so the density is 0.2 + 0.8 / 8 = 0.3. At the end it is 0.2.

# %% [markdown]
# ### Exercise 5.4 - Fast at first (5 min)


# %% name="ex-5-4" tags=["exercise"]
def falling_densities(target, rounds):
    """The density after each of `rounds` rounds, from 1 down to `target` along the cubic curve.

    Returns a list of `rounds` numbers; the last one is the target.
    """
    ### BEGIN SOLUTION
    return [target + (1 - target) * (1 - done / rounds) ** 3 for done in range(1, rounds + 1)]
    ### END SOLUTION


# %% tags=["check"]
check("5.4")

# %% [markdown]
# <details><summary>Hint 1: the ends</summary>
#
# Before the first round the density is 1, but that is not in the list. After the last round it is the target. So how many rounds are done at the first entry of the list, and how many at the last?
# </details>
# <details><summary>Hint 2: the share of the way that is left</summary>
#
# After `done` of `rounds` rounds, it is `1 - done / rounds`, and the formula takes its cube.
# </details>

# %%
predict(
    "5.c",
    "Three quarters of all weights are removed in two rounds, with a short training after each round. What is the validation accuracy then?",
    unit="%",
)

# %% [markdown]
# Halve the number of weights four times, with one pass over 2,000 images after each round. The control does two such rounds, but removes weights at random. This takes about 6 seconds.

# %% name="run-finetune"
few = splits.train.first(2000)


def by_chance(network):
    return prune.random_scores(network, seed=0)


short = {"epochs": 1, "seed": 0, "learning_rate": 2e-3}
paths = {}
with tqdm(total=4 + 2, desc="rounds") as bar:
    for name, score, rounds in (("magnitude", prune.magnitude, 4), ("chance", by_chance, 2)):
        halving = {"densities": prune.geometric(0.5, rounds), "score": score, "progress": lambda _: bar.update()}
        paths[name] = prune.prune_and_train(model, few, splits.validation, **halving, **short)
dense_accuracy = fit.accuracy(model, splits.validation)

# %% name="out-finetune" tags=["hide-input"]
with hold("5.c"):
    print(f"dense {dense_accuracy:.1%}")
    for name, path in paths.items():
        print(f"by {name}")
        print(*(f"  {step}" for step in path), sep="\n")

# %%
reveal("5.c", round(100 * paths["magnitude"][1].validation_accuracy, 1))


# %% name="fig-finetune" tags=["hide-input"]
def draw_paths():
    figure, axes = plt.subplots(figsize=(8, 4.2))
    axes.axhline(100 * dense_accuracy, color="black", linewidth=1, label="dense")
    for name, path in paths.items():
        colour, line, marker = LOOKS[name]
        at, accuracy = [100.0], [100 * dense_accuracy]
        for step in path:
            at += [100 * step.density] * 2
            accuracy += [100 * step.validation_accuracy_before, 100 * step.validation_accuracy]
        axes.plot(at, accuracy, color=figures.COLOURS[colour], linestyle=line, marker=marker, label=name)
    axes.set(
        xscale="log",
        xlabel="density, in % (logarithmic)",
        ylabel="validation accuracy, in %",
        ylim=(0, 100),
        xticks=(100, 50, 25, 12.5, 6.25),
        xticklabels=("100", "50", "25", "12.5", "6.25"),
    )
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.legend(loc="lower left", fontsize=12)
    return figure


show(
    draw_paths(),
    alt="Accuracy over density in four rounds of halving: it falls when weights are pruned and rises again with training, for magnitude and for chance.",
)

# %% [markdown]
# In each round the accuracy falls and then climbs again. Training repairs much of the loss, and even part of what pruning at random destroyed. So *after* training you need the control even more.
#
# Is pruning little by little better than pruning all at once? Take a model that trains fast, the classic `lenet_300_100` with its three matrices of 784 x 300, 300 x 100 and 100 x 10. All schedules end at a density of 1%, and all get four passes over
# the same images. But a schedule of four rounds also restarts the optimizer four times. So there is a control that prunes all at once in the first round and then restarts as often. The seeds change only the order of the images; the trained network is always the same. This takes about 10 seconds.

# %% name="run-schedules"
lenet = zoo.load("lenet_300_100", seed=0)
more = splits.train.first(3000)
TARGET = 0.01
SCHEDULES = {
    "at once, then 4 epochs": (prune.one_shot(TARGET), 4),
    "at once, 1 epoch each": ((TARGET,) * 4, 1),
    "4 equal ratios, 1 epoch each": (prune.iterative(TARGET, 4), 1),
    "cubic, 1 epoch each": (prune.cubic(TARGET, 4), 1),
}
finished = {name: [] for name in SCHEDULES}
for seed in tqdm((0, 1, 2), desc="seeds"):
    for name, (falling, epochs) in SCHEDULES.items():
        training = {"epochs": epochs, "seed": seed, "learning_rate": 2e-3, "at_least": 10}
        steps = prune.prune_and_train(lenet, more, splits.validation, densities=falling, **training)
        finished[name].append(steps[-1])
ends = {name: fit.Spread(tuple(step.validation_accuracy for step in steps)) for name, steps in finished.items()}

# %% name="out-schedules" tags=["hide-input"]
print(f"dense {fit.accuracy(lenet, splits.validation):.1%}")
table(ends, ("accuracy",), lambda name, _: percent(ends[name]), f"lenet_300_100, density {TARGET:.0%}")
print("\npoints, seed by seed (95% interval)")
for name, other in (
    ("at once, 1 epoch each", "at once, then 4 epochs"),
    ("4 equal ratios, 1 epoch each", "at once, 1 epoch each"),
    ("cubic, 1 epoch each", "at once, 1 epoch each"),
):
    print(f"{f'{name} - {other}':<56}{points(ends[name], ends[other]):>24}")

# %% tags=["solution-only"]
at_once, restarted, equal, cubic = ends.values()
ahead = [Paired(tuple(a - b for a, b in zip(of.values, restarted.values))) for of in (cubic, equal)]
claim("Restarts alone do not help.", holds=restarted.mean <= at_once.mean + 0.002)
claim(
    "With the same number of restarts, the cubic curve is 15 points better than pruning all at once, and four equal ratios are 11 points better",
    *(100 * one.mean for one in ahead),
    within=2,
    holds=all(one.interval()[0] > 0 for one in ahead),
)

# %% [markdown]
# Restarts alone do not help. With the same number of restarts, the cubic curve is 15 points better than pruning all at once, and four equal ratios are 11 points better. These three schedules differ only in their densities.

# %% [markdown]
# > **Takeaway.** A mask must be enforced after each step of training, and schedules are compared at equal training, restarts included.

# %% [markdown]
# ## 4 Nothing is faster yet
#
# So how much faster is the model?

# %%
predict(
    "5.d",
    "A sixteenth of small_cnn's weights is left, and the others are zeros. It runs in torch as before. How many times as fast as the dense model is it?",
    unit="times",
)

# %%
example = splits.test.images[:1]
sparsest = paths["magnitude"][-1]
candidates = {"dense": model, f"{sparsest.density:.1%}, zeros": sparsest.model}
zeros = measure.report(candidates, example, repeats=50)
left_macs = sum(
    cost.macs * sparsest.mask.tensors.get(f"{cost.name}.weight", torch.ones(1)).float().mean().item()
    for cost in measure.layer_costs(model, example)
)

# %% name="out-zeros" tags=["hide-input"]
with hold("5.d"):
    print(zeros)
    print(f"multiplications with a weight that is left: {measure.macs(model, example) / left_macs:.1f} times fewer")

# %%
reveal("5.d", round(zeros.rows[0].median_s / zeros.rows[1].median_s, 2))

# %% tags=["solution-only"]
dense_macs = measure.macs(model, example)
claim("Here there are about 14 times fewer FLOPs", dense_macs / left_macs, within=0.5)
claim(
    "Unstructured zeros in a dense kernel save neither time nor bytes.",
    holds=0.8 < zeros.rows[1].median_s / zeros.rows[0].median_s < 1.25
    and zeros.rows[0].stored_bytes == zeros.rows[1].stored_bytes,
)
claim(
    "the clock shows no gain",
    holds=0.8 < zeros.rows[1].median_s / zeros.rows[0].median_s < 1.25,
    page="slides/05_prune.md",
)
claim("about 14 on paper", dense_macs / left_macs, within=0.5, page="slides/05_prune.md")

# %% [markdown]
# The kernel multiplies a zero like any other number, and a zero is stored in 32 bits. **Unstructured zeros in a dense kernel save neither time nor bytes.** A sixteenth of the weights is not a sixteenth of the multiplications either: a weight of an early layer is used at more pixels, so it matters which layers kept their weights. Here there are about 14 times fewer FLOPs on paper, and no gain in time.
#
# There are two ways out. You can remove whole channels, so that the dense matrices shrink. Or you can store and multiply only the weights that are left, with other formats and kernels (sections 5 and 6).
#
# ### Whole channels
#
# If you remove a channel of `conv1`, more must go than its filter. The batch norm after it has a gamma, a beta, a mean and a variance for this channel. And `conv2` *reads* the channel: each filter of `conv2` has a slice for it.

# %% name="out-groups" tags=["nbval-check-output"]
for group in structure.channel_groups(model, example):
    print(group)

# %% [markdown]
# The first line says that `conv1` produces these channels, its batch norm passes them on, and `conv2` reads them. (Where a network adds the outputs of layers, as in a residual block, these layers lose the same channels together.) Worked by hand, with 4 channels of which 0 and 2 stay: `conv1.weight` goes from [4, 1, 3, 3] to
# [2, 1, 3, 3], the four vectors of the batch norm from 4 to 2 numbers, and `conv2.weight` from [8, 4, 3, 3] to [8, 2, 3, 3].

# %% [markdown]
# ### Exercise 5.5 - Take a channel out for real (8 min)


# %% name="ex-5-5" tags=["exercise"]
def remove_channels(layers, keep):
    """Two convolutions and the batch norm between them, after all channels between them except `keep` are removed.

    layers: a dict of tensors: "conv1" [channels, in, h, w]; "gamma", "beta", "mean", "variance" [channels] of the batch
    norm; "conv2" [out, channels, h, w]. keep: a rising list of channels. Returns a dict with the same names.
    """
    ### BEGIN SOLUTION
    smaller = {}
    for name, value in layers.items():
        smaller[name] = value[:, keep] if name == "conv2" else value[keep]
    return smaller
    ### END SOLUTION


# %% tags=["check"]
check("5.5")

# %% [markdown]
# <details><summary>Hint 1: which tensors have the channel?</summary>
#
# Go through the six tensors. In each, one axis counts these channels. Which one?
# </details>
# <details><summary>Hint 2: indexing</summary>
#
# `value[keep]` takes entries of axis 0, `value[:, keep]` of axis 1.
# </details>

# %% [markdown]
# Remove the half of each layer's channels with the shortest filters. First the proof that nothing else changed: the smaller model must give the same outputs as the full-sized one with zeros in place of these channels.

# %% name="out-structured"
keep = structure.keep_channels(structure.channel_scores(model, example), density=0.5)
smaller = structure.remove_channels(model, example, keep)
zeroed = structure.mask_channels(model, example, keep)
with torch.no_grad():
    off = (smaller(splits.validation.images[:500]) - zeroed(splits.validation.images[:500])).abs().max()
print(f"largest difference between the outputs: {off:.1e}")
print(measure.report({"dense": model, "half, with zeros": zeroed, "half, taken out": smaller}, example, repeats=50))
print(f"validation accuracy without training: {fit.accuracy(smaller, splits.validation):.1%}")

# %% tags=["solution-only"]
one, other = measure.macs(model, example), measure.macs(smaller, example)
claim("MACs fall to about a quarter", holds=0.22 < other / one < 0.28)

# %% [markdown]
# *This* model is smaller and faster, in plain torch. MACs fall to about a quarter, since a layer loses inputs and outputs; the time falls less. The price is the accuracy. So train it further, next to two controls: half of the channels removed at random; and the same small shape with *fresh* weights,
# never pruned at all. This takes about 4 seconds.

# %% name="run-channels"
chance = torch.Generator().manual_seed(0)
lots = {name: torch.rand(len(kept) * 2, generator=chance) for name, kept in keep.items()}
fresh = copy.deepcopy(smaller)
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    for layer in fresh.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
at_random = structure.remove_channels(model, example, structure.keep_channels(lots, density=0.5))
starts = {"pruned by length": smaller, "pruned by chance": at_random, "fresh weights": fresh}
halves = {
    name: fit.fit(start, few, splits.validation, epochs=3, seed=0, learning_rate=3e-3)
    for name, start in tqdm(starts.items(), desc="models")
}

# %% name="out-channels" tags=["hide-input"]
for name, fitted in halves.items():
    epochs = "  ".join(f"{epoch.validation_accuracy:.1%}" for epoch in fitted.history)
    print(f"{name:<20} after each epoch: {epochs}")

# %% tags=["solution-only"]
last = {name: fitted.history[-1].validation_accuracy for name, fitted in halves.items()}
claim(
    "both models with trained weights are ahead of the fresh one by more than ten points",
    holds=min(last["pruned by length"], last["pruned by chance"]) > last["fresh weights"] + 0.1,
)

# %% [markdown]
# Is the length of a filter a better guide than chance? One seed cannot tell. But after three passes, both models with trained weights are ahead of the fresh one by more than ten points, whether the channels were chosen by length or by chance. With *long* training, according to the literature, the fresh model often
# catches up (Liu et al. 2019).

# %% [markdown]
# > **Takeaway.** Zeros in a dense kernel save nothing; a removed channel saves parameters, bytes and time, if it also goes from its batch norm and from the layers that read it.

# %% [markdown]
# ## 5 Bytes, with the places
#
# If you leave out the zeros, you must store the places of the other weights. Three ways, in fp32:
#
# - **Bitmap**: one bit for every weight of the matrix says whether the weight is stored; the values follow.
# - **CSR** (compressed sparse rows): the values; for each value its column, in 2 bytes; and for each row the place where it begins, in 4 bytes, with one more entry for the end.
# - **2:4**: two of every four neighbours are stored, each with 2 bits that say which of the four it is. The matrix must have been pruned in this pattern.
#
# Worked by hand, for 2 rows of 8 columns with 3 weights left: dense, 64 bytes. Bitmap: 16 bits and 3 values, 2 + 12 = 14. CSR: 3 pointers, 3 columns, 3 values, 12 + 6 + 12 = 30. 2:4: 8 values and 16 bits, 32 + 2 = 34.

# %% [markdown]
# ### Exercise 5.6 - Bytes, with the places (8 min)


# %% name="ex-5-6" tags=["exercise"]
def sparse_bytes(rows, columns, kept):
    """Bytes of a matrix of 4-byte values, of which `kept` are not zero, in three formats.

    columns is a multiple of 4. Returns a dict with the keys "bitmap", "CSR" and "2:4", whole numbers of bytes.
    """
    ### BEGIN SOLUTION
    size = rows * columns
    bitmap = (size + 7) // 8 + 4 * kept
    csr = 4 * (rows + 1) + (2 + 4) * kept
    two_of_four = 4 * (size // 2) + (2 * (size // 2) + 7) // 8
    return {"bitmap": bitmap, "CSR": csr, "2:4": two_of_four}
    ### END SOLUTION


# %% tags=["check"]
check("5.6")

# %% [markdown]
# <details><summary>Hint 1: count parts</summary>
#
# For each format, write down its tensors: what is in each, how many numbers it has, and how many bits each number takes.
# </details>
# <details><summary>Hint 2: whole bytes</summary>
#
# `(bits + 7) // 8`.
# </details>

# %% [markdown]
# The library stores these formats and counts the bytes of their tensors. Three models: scattered weights, whole 4 x 4 blocks, and two of every four. (The last two patterns are used for the inner convolutions only: `conv1` has nine weights per row, and `linear` has ten rows.)


# %%
def is_inner(name, layer):
    return name in ("conv2", "conv3", "conv4")


quarter = paths["magnitude"][1]
inner = prune.magnitude(model, where=is_inner)
patterns = {
    "4 x 4 blocks": structure.keep_blocks(inner, 0.25, block=(4, 4)),
    "two of every four": structure.keep_n_of_m(inner, 2, 4),
}

# %% name="out-storage" tags=["hide-input"]
print(f"scattered\n{sparse.smallest_formats(quarter.model)}")
for name, kept in patterns.items():
    print(f"\n{name}\n{sparse.smallest_formats(model, kept, where=is_inner)}")

# %% [markdown]
# Below which density does a format pay? Where the places take as many bytes as the zeros saved; that needs no measurement.

# %% name="out-breakeven" tags=["nbval-check-output"]
for name in ("conv1", "conv4"):
    weight = model.get_submodule(name).weight.detach()
    shares = sparse.break_even_densities(weight)
    print(name, "   ".join(f"{what} {share:.1%}" for what, share in shares.items()), sep=": ")

# %% [markdown]
# Now compare the two ways out that section 4 named, at about the same bytes: a quarter of the weights, scattered, stored as a bitmap; and half of the channels, stored as they are. Both were trained on the same images from one seed, the first in two passes and the second in three. (The scattered model is timed in torch, where its zeros are multiplied.)

# %% name="out-ways-out" tags=["hide-input"]
report = measure.report(
    {"dense": model, "a quarter, scattered": quarter.model, "half of the channels": halves["pruned by length"].model},
    example,
    accuracies={
        "dense": dense_accuracy,
        "a quarter, scattered": quarter.validation_accuracy,
        "half of the channels": halves["pruned by length"].history[-1].validation_accuracy,
    },
    repeats=50,
)
dense_row, quarter_row, half_row = report.rows
quarter_row = replace(quarter_row, stored_bytes=sparse.model_bytes(quarter.model, sparse.to_bitmap))
print(measure.Report((dense_row, quarter_row, half_row)))

# %% [markdown]
# > **Takeaway.** A sparse format stores the places as well as the values, so count both before you speak of saved bytes.

# %% [markdown]
# ## 6 From which density on is it faster?
#
# For time there is no formula. A CSR kernel skips zeros. But for each weight it looks up a place and fetches a single input from there, where the dense kernel loads many neighbours at once. So measure: a matrix times a vector, in C, compiled on your machine, dense against all formats. With "warm" caches the matrix is already in the cache;
# with "cold" ones it has to come from memory, as in a model that is larger than the cache. This takes about 4 seconds.

# %%
predict(
    "5.e",
    "A matrix of 1024 x 1024, with warm caches. Below which density is our CSR kernel faster than our dense one?",
    choices=("at any density below 1", "about 0.67, where it has fewer bytes", "about 0.3", "about 0.1", "never"),
)

# %% name="run-kernels"
try:
    print("compiler:", native.find_compiler().version)
    HAS_COMPILER = True
except native.NoCompiler as error:
    print(error)
    HAS_COMPILER = False

SWEPT = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
sweeps = {}
for caches in ("warm", "cold") if HAS_COMPILER else ():
    with tqdm(total=len(SWEPT), desc=caches) as bar:
        sweeps[caches] = sparse.sweep_kernels(
            1024, 1024, SWEPT, repeats=15, caches=caches, progress=lambda done, total: bar.update()
        )

# %% name="out-kernels" tags=["hide-input"]
with hold("5.e"):
    for caches, sweep in sweeps.items():
        print(f"{caches} caches\n{sweep}\n")


# %% tags=["hide-input"]
def in_words(density):
    """The choice of prediction 5.e that is nearest to a measured density."""
    if density is None:
        return "never"
    limits = {0.9: "at any density below 1", 0.45: "about 0.67, where it has fewer bytes", 0.18: "about 0.3"}
    return next((words for limit, words in limits.items() if density > limit), "about 0.1")


reveal("5.e", in_words(sweeps["warm"].crossover("CSR").median)) if HAS_COMPILER else None

# %% tags=["solution-only"]
if HAS_COMPILER:
    warm, cold = sweeps["warm"], sweeps["cold"]

    def times_as_fast(sweep, kernel, density):
        return 1 / float(torch.tensor(sweep.comparisons[SWEPT.index(density)].ratios(kernel)).median())

    claim(
        "it is no faster than our dense kernel",
        holds=all(times_as_fast(sweep, "torch dense", 0.01) < 1.2 for sweep in (warm, cold)),
    )
    claim(
        "with warm caches far below the density at which it begins to have fewer *bytes* (67%), with cold ones at a higher density",
        100 * sparse.break_even_densities(torch.ones(1024, 1024))["CSR"],
        holds=warm.crossover("CSR").median < 0.4 and warm.crossover("CSR").median < cold.crossover("CSR").median,
    )
    claim(
        "Blocks and 2:4 are faster than dense already at a half",
        None,
        None,
        holds=all(
            times_as_fast(sweep, kernel, 0.5) > 1
            for sweep in (warm, cold)
            for kernel in ("2:4", "blocks 4x4", "blocks 16x1")
        ),
    )
    claim(
        "With warm caches the bitmap takes about as long at 1% as at a half",
        None,
        holds=warm.comparisons[SWEPT.index(0.5)]["bitmap"].latency.median_s
        < 1.5 * warm.comparisons[0]["bitmap"].latency.median_s,
    )
    smallest = warm.comparisons[0]
    claim(
        "CSR with 1% of the weights has 63 times fewer bytes, and is far from 63 times as fast",
        None,
        smallest["dense"].stored_bytes / smallest["CSR"].stored_bytes,
        None,
        holds=times_as_fast(warm, "CSR", 0.01) < 40,
    )

# %% name="fig-kernels" tags=["hide-input"]
KERNEL_LOOKS = {
    "dense": ("black", "-", ""),
    "torch dense": ("black", ":", "x"),
    "CSR": ("blue", "-", "o"),
    "torch CSR": ("sky", "--", "v"),
    "bitmap": ("orange", "--", "s"),
    "blocks 4x4": ("green", "-.", "D"),
    "blocks 16x1": ("vermillion", "-.", "P"),
    "2:4": ("purple", "", "*"),
}


def draw_kernels():
    figure, both = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
    for axes, (caches, sweep) in zip(both, sweeps.items()):
        for name in sweep.names:
            colour, line, marker = KERNEL_LOOKS[name]
            shown = [one for one in sweep.comparisons if any(kernel.name == name for kernel in one.kernels)]
            ratios = [float(torch.tensor(one.ratios(name)).median()) for one in shown]
            at = [100 * one[name].density for one in shown]
            axes.plot(at, ratios, color=figures.COLOURS[colour], linestyle=line, marker=marker, label=name)
        axes.set(xscale="log", yscale="log", xlabel="density, in % (logarithmic)", title=f"{caches} caches")
        axes.set(xticks=(1, 5, 20, 100), xticklabels=(1, 5, 20, 100))
        axes.minorticks_off()
    ticks = (0.01, 0.03, 0.1, 0.3, 1, 3, 10)
    both[0].set(ylabel="time, dense = 1\n(logarithmic)", yticks=ticks, yticklabels=ticks)
    figure.legend(*both[0].get_legend_handles_labels(), fontsize=14, loc="outside right center")
    return figure


show(
    draw_kernels(),
    alt="Time of each kernel relative to the dense one, over density, for warm and cold caches. The dense kernel is the line at 1; sparse kernels cross it at low density.",
)

# %% [markdown]
# Look at the line "torch dense" first: at a density of 1% its matrix is full of zeros, and it is no faster than our dense kernel. Then follow CSR to where it crosses the line at 1: with warm caches far below the density at which it begins to have fewer *bytes* (67%), with cold ones at a higher density. Blocks and 2:4 are faster than dense already at a half (within a block, neighbours are
# multiplied at once). With warm caches the bitmap takes about as long at 1% as at a half (every word of its mask is read, however few bits are set). And time does not follow bytes: CSR with 1% of the weights has 63 times fewer bytes, and is far from 63 times as fast.
#
# So are blocks the answer? A pattern has a price. Keep half of the weights of the inner convolutions in each pattern, by magnitude and without training. This takes about 5 seconds.

# %% name="run-patterns"
PATTERNS = {
    "scattered": lambda scores: prune.keep_top(scores, 0.5, "layer"),
    "2:4": structure.keep_n_of_m,
    "blocks 4x4": lambda scores: structure.keep_blocks(scores, 0.5, block=(4, 4)),
    "blocks 16x1": lambda scores: structure.keep_blocks(scores, 0.5, block=(16, 1)),
}
kept_accuracy, kept_anew = {}, {}
for name, choose in tqdm(PATTERNS.items(), desc="patterns"):
    kept = [choose(prune.magnitude(network, where=is_inner)) for network in networks]
    left = [prune.apply_mask(network, mask) for network, mask in zip(networks, kept)]
    kept_accuracy[name] = fit.over_seeds(lambda seed: on_validation(left[seed]))
    kept_anew[name] = fit.over_seeds(lambda seed: with_norms_anew(left[seed]))


# %% name="out-patterns" tags=["hide-input"]
def gain_at_half(kernel):
    """How many times as fast as dense a kernel is at density 0.5, with warm caches."""
    if not HAS_COMPILER:
        return "-"
    one = sweeps["warm"].comparisons[SWEPT.index(0.5)]
    return f"{1 / torch.tensor(one.ratios(kernel)).median():.2f}"


print("density 50%  accuracy      batch norms anew  kernel       times as fast, warm")
for name, spread in kept_accuracy.items():
    kernel = "CSR" if name == "scattered" else name
    print(f"{name:<12} {percent(spread):<12}  {percent(kept_anew[name]):<16}  {kernel:<11}  {gain_at_half(kernel)}")


# %% tags=["solution-only"]
def kept_by(of):
    one, two, *blocks = (100 * spread.mean for spread in of.values())
    return one, two, blocks


one, two, blocks = kept_by(kept_accuracy)
claim(
    "scattered weights keep 88% accuracy, two of every four 58%, blocks less",
    one,
    two,
    within=1,
    holds=max(blocks) < two,
)
one, two, blocks = kept_by(kept_anew)
claim(
    "with new statistics in the batch norms it is 90%, 87% and 82%",
    one,
    two,
    sum(blocks) / len(blocks),
    within=1,
    holds=max(blocks) < two < one,
)

# %% [markdown]
# The coarser the pattern, the less choice is left to the score, and each pattern that is faster than dense costs accuracy: scattered weights keep 88% accuracy, two of every four 58%, blocks less in the mean; with new statistics in the batch norms it is 90%, 87% and 82%. Three seeds do not tell which of the two blocks is better.
#
# A crossover is read from noisy times, so two rules apply. A kernel is *faster* only where even its slow runs beat the fast runs of the other. And a single win between two losses does not count. Worked by hand: at the densities 0.5, 0.2 and 0.1 the dense kernel takes 1.0 to 1.1 ms each time, and the sparse one takes 0.8 to 0.9, 1.2 to 1.3, and 0.4 to 0.5 ms. The crossover is 0.1: the win at
# 0.5 does not count, since the kernel loses at 0.2.

# %% [markdown]
# ### Exercise 5.7 - From which density on is it faster? (8 min)


# %% name="ex-5-7" tags=["exercise"]
def crossover(densities, dense, sparse):
    """The highest density at which, and at all lower ones, the sparse kernel is faster beyond the spread.

    densities: falling; dense, sparse: for each density a pair (low, high), the spread of the measured times.
    Returns one of the densities, or None where it is not faster even at the lowest one.
    """
    ### BEGIN SOLUTION
    found = None
    for density, (dense_low, _), (_, sparse_high) in reversed(list(zip(densities, dense, sparse))):
        if sparse_high >= dense_low:
            break
        found = density
    return found
    ### END SOLUTION


# %% tags=["check"]
check("5.7")

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin at the lowest density, where the sparse kernel has the best chance, and go up as long as it wins.
# </details>
# <details><summary>Hint 2: what a win is</summary>
#
# The high end of the sparse times must be below the low end of the dense ones.
# </details>

# %% [markdown]
# That was a random matrix. Now take a real one: the first layer of the `lenet_300_100` that was pruned to 1% and trained. How long does the layer take in each kernel? And the whole model?

# %%
small_lenet = finished["cubic, 1 epoch each"][0].model
vector = splits.test.images[0].flatten()
first_weights = small_lenet.linear1.weight.detach()

# %% name="out-lenet" tags=["hide-input"]
stored = sparse.to_csr(first_weights)
share = first_weights.numel() / measure.macs(small_lenet, vector[None])
print(f"linear1 has {share:.0%} of the model's MACs;")
print(f"{len(stored.values):,} of its {first_weights.numel():,} weights are left")
layers = {"dense": zoo.load("lenet_300_100", seed=0), "zeros": small_lenet}
calls = {
    f"torch.mv, {name}": (lambda weight=network.linear1.weight.detach(): torch.mv(weight, vector))
    for name, network in layers.items()
}
rest, bias = small_lenet[2:], small_lenet.linear1.bias.detach()
models = {f"model, {name}": (lambda network=network: network(vector[None])) for name, network in layers.items()}
if HAS_COMPILER:
    product = sparse.bind(stored, vector)
    calls["our dense kernel, zeros"] = sparse.bind(first_weights, vector)
    calls["our CSR kernel"] = product
    models["model, linear1 as CSR"] = lambda: rest((product() + bias)[None])
with torch.no_grad():
    for group in (calls, models):
        for name, time in measure.compare_latency(group, repeats=200).items():
            print(f"{name:<26} {time}")
if HAS_COMPILER:
    off = (models["model, linear1 as CSR"]() - small_lenet(vector[None])).abs().max().item()
    print(f"largest difference between the outputs of the last two: {off:.0e}")

# %% [markdown]
# Compare the gain of the layer with that of the model. The rest of the time, for the other layers and the calls themselves, does not change (Amdahl's law, exercise 1.7). And all of this is a matrix times *one vector*; a batch is not measured here.

# %% [markdown]
# > **Takeaway.** Fewer bytes do not mean less time: only a measurement tells at which density a sparse kernel begins to win.

# %% [markdown]
# ## 7 What comes in
#
# Back to the question of section 2: which weights should go? A weight is multiplied by an *input*, and a small weight on a strong input may matter more than a large one on a weak input. **Wanda** takes a few hundred images, no gradients and no training, and computes the score
#
# $$|w_{ij}| \cdot \lVert x_j \rVert.$$
#
# That is the magnitude times the Euclidean norm of the input: the root of the sum of its squares over these images. Only the weights of one *row* compete, those that add up to one output, and each row keeps the same number of weights.
#
# Worked by hand: a row (3, -2) and inputs with the norms 1 and 4. The scores are 3 and 8, so the smaller weight stays.

# %% [markdown]
# ### Exercise 5.8 - Row by row, with what comes in (8 min)


# %% name="ex-5-8" tags=["exercise"]
def wanda_mask(weight, inputs, kept):
    """The mask that keeps, in each row, the `kept` weights with the highest |weight| * Euclidean norm of the input.

    weight: [out, in]; inputs: [images, in]. The Euclidean norm of an input is the root of the sum of its squares over
    the images. Equal scores do not occur. Returns a tensor of True and False, [out, in].
    """
    ### BEGIN SOLUTION
    scores = weight.abs() * inputs.norm(dim=0)
    places = scores.topk(kept, dim=1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, places, True)
    ### END SOLUTION


# %% tags=["check"]
check("5.8")

# %% [markdown]
# <details><summary>Hint 1: the shapes</summary>
#
# There is one norm for each input: [in]. Multiplied by a weight of [out, in], it is matched with the last axis automatically.
# </details>
# <details><summary>Hint 2: each row separately</summary>
#
# `scores.topk(kept, dim=1).indices` are the best positions of each row; `scatter(1, positions, True)` writes there. A loop over rows works as well.
# </details>

# %% [markdown]
# ### One family
#
# This formula follows from second derivatives, as in *Optimal Brain Damage*, but of the error in one layer's output. Summed over the images, they are, up to a factor of two, $H_{jk} = \sum x_j x_k$. With the diagonal alone, removing $w_j$ costs $w_j^2 H_{jj} = w_j^2 \lVert x_j \rVert^2$, which is the square of Wanda's score.
# *Optimal Brain Surgeon* keeps all of $H$. Then a removal costs $w_j^2 / [H^{-1}]_{jj}$, and the weights that stay are *moved* to compensate. With a diagonal $H$ the two costs are the same. Worked by hand for the row above: 9 and 64, the squares of 3 and 8. **SparseGPT** does this for a whole layer, column by column, without any training.
#
# The table has the remaining error of each layer alone, with two of every four weights kept: the *square* of the error in the output, as a share of the output's square. (Lesson 07 calls its root the error.) It is measured on the calibration images themselves, to which SparseGPT and the refits below are fitted.


# %%
def is_inner_or_last(name, layer):
    return is_inner(name, layer) or name == "linear"


compared = second_order.compare_methods(model, calibration, n_of_m=(2, 4), where=is_inner_or_last)
errors = {(row.layer, row.method): row.output_error for row in compared}

# %% name="out-errors" tags=["hide-input"]
layers = [layer for layer, method in errors if method == "magnitude"]
for corner, shown in (
    ("2:4, error of the output", ("magnitude", "Wanda", "SparseGPT")),
    ("\nthe same masks, best weights", ("magnitude, refit", "Wanda, refit")),
):
    table(layers, shown, lambda layer, method: f"{100 * errors[layer, method]:.2f}%", corner)

# %% tags=["solution-only"]
claim(
    "Does Wanda's mask win in every layer? Look at the last one.",
    holds=errors["linear", "Wanda"] > errors["linear", "magnitude"]
    and all(errors[layer, "Wanda"] < errors[layer, "magnitude"] for layer in ("conv2", "conv3", "conv4")),
)

# %% [markdown]
# Does Wanda's mask win in every layer? Look at the last one. The second table gives both masks their best weights, so you can separate what a method gains by its mask from what it gains by moving the other weights. (SparseGPT moves only the weights to the right of a column, which is cheaper.) The next measurement takes about 9 seconds.

# %%
predict(
    "5.f",
    "Half of all weights go, without any training. Which method keeps the most accuracy?",
    choices=("magnitude, by layer", "magnitude, by row", "Wanda, by row", "Wanda, by layer", "SparseGPT"),
)

# %% name="run-methods"
by_input = [second_order.activation_weighted(network, calibration) for network in networks]


def by_inputs(network, seed):
    return by_input[seed]


WAYS = {
    "magnitude, by row": lambda seed: pruned(seed, 0.5, by_magnitude, "row"),
    "Wanda, by row": lambda seed: pruned(seed, 0.5, by_inputs, "row"),
    "magnitude, by layer": lambda seed: pruned(seed, 0.5, by_magnitude, "layer"),
    "Wanda, by layer": lambda seed: pruned(seed, 0.5, by_inputs, "layer"),
    "SparseGPT": lambda seed: second_order.sparse_gpt(networks[seed], calibration, density=0.5)[0],
}
methods, methods_anew = {}, {}
for name, way in tqdm(WAYS.items(), desc="ways"):
    halved = [way(seed) for seed in (0, 1, 2)]
    methods[name] = fit.over_seeds(lambda seed: on_validation(halved[seed]))
    methods_anew[name] = fit.over_seeds(lambda seed: with_norms_anew(halved[seed]))

# %% name="out-methods" tags=["hide-input"]
with hold("5.f"):
    columns = {"as it is": methods, "batch norms anew": methods_anew}
    table(WAYS, columns, lambda name, column: percent(columns[column][name]), "density 50%, validation, 3 seeds")
    print(f"\n{'points, seed by seed (95% interval)':<40}" + "".join(f"{column:>24}" for column in columns))
    for name, other in (("Wanda, by layer", "magnitude, by layer"), ("SparseGPT", "Wanda, by layer")):
        print(f"{f'{name} - {other}':<40}" + "".join(f"{points(of[name], of[other]):>24}" for of in columns.values()))

# %%
reveal("5.f", max(WAYS, key=lambda name: methods[name].mean))


# %% tags=["solution-only"]
def apart(of):
    means = [100 * spread.mean for spread in of.values()]
    return max(means) - min(means)


claim(
    "the best and the worst method are 48 points apart; with new statistics, 7",
    apart(methods),
    apart(methods_anew),
    within=1,
)
gains = {name: methods_anew[name].mean - methods[name].mean for name in WAYS}
claim("SparseGPT gained the least from new statistics", holds=min(gains, key=gains.get) == "SparseGPT")
left_to = [
    Paired(tuple(a - b for a, b in zip(methods_anew[one].values, methods_anew[other].values)))
    for one, other in (("Wanda, by layer", "magnitude, by layer"), ("SparseGPT", "Wanda, by layer"))
]
claim(
    "Wanda and magnitude, by layer, are then level, and SparseGPT stays ahead in the mean",
    holds=abs(left_to[0].mean) < 0.01 and left_to[1].mean > 0.01 and left_to[1].interval()[0] < 0,
)
claim(
    '"by layer" is better in the mean for both scores',
    holds=all(
        of[f"{score}, by layer"].mean > of[f"{score}, by row"].mean
        for of in columns.values()
        for score in ("magnitude", "Wanda")
    ),
)

# %% [markdown]
# With the old batch norms, the best and the worst method are 48 points apart; with new statistics, 7. Much of what looked like the merit of a score was due to old statistics, and SparseGPT gained the least from new statistics. Wanda and magnitude, by layer, are then level, and SparseGPT stays ahead in the mean, though the interval contains zero.
#
# The paper's rule, each row separately, was found on language models. Here "by layer" is better in the mean for both scores.

# %% [markdown]
# > **Takeaway.** A score can look at the inputs as well as the weights, but measure it on your model: a rule found on language models may fail on a small CNN.

# %% [markdown]
# ## 8 Look around
#
# The figure shows the first layer of `lenet_300_100`, without training: which part of the histogram is removed, which weights stay (for each input pixel, the share of its 300), the accuracy, the bytes, and the measured time. Move the density, and see which of them change with it. Drawing takes about 4 seconds.

# %% name="fig-explore" tags=["hide-input", "widget"]
first_layer = lenet.linear1.weight.detach()
lenet_scores = prune.magnitude(lenet)


def facts(density):
    """The mask, and in words: accuracy, bytes and times of the first layer at this density."""
    kept = prune.keep_top({"linear1.weight": lenet_scores["linear1.weight"]}, density)
    accuracy = fit.accuracy(prune.apply_mask(lenet, kept), splits.validation)
    weight = first_layer * kept["linear1.weight"]
    formats = {"bitmap": sparse.to_bitmap(weight), "CSR": sparse.to_csr(weight)}
    calls = {"torch dense": lambda: torch.mv(weight, vector)}
    if HAS_COMPILER:
        calls |= {name: sparse.bind(matrix, vector) for name, matrix in {"dense": weight, **formats}.items()}
    sizes = {"dense": weight.nbytes} | {name: matrix.stored_bytes for name, matrix in formats.items()}
    # one after the other, and not in turns: each finds its own weights in the caches
    times = {name: measure.latency(call, repeats=60) for name, call in calls.items()}
    return kept["linear1.weight"], accuracy, sizes, times


known = {density: facts(density) for density in tqdm((1.0, 0.5, 0.2, 0.1, 0.05, 0.02), desc="densities")}


def draw_density(density):
    kept, accuracy, sizes, times = known[density]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.9), width_ratios=(1.1, 1, 1.1))
    edges = torch.linspace(-0.15, 0.15, 61).numpy()
    goes = {"color": figures.COLOURS["orange"], "hatch": "//", "alpha": 0.7, "label": "removed"}
    left.hist(first_layer[kept].numpy(), bins=edges, color=figures.COLOURS["blue"], label="stays")
    left.hist(first_layer[~kept].numpy(), bins=edges, **goes)
    left.set(xlabel="weight", ylabel="number of weights", title=f"accuracy {accuracy:.1%}")
    left.legend(fontsize=11)
    shown = middle.imshow(100 * kept.float().mean(dim=0).reshape(28, 28), vmin=0, vmax=100)
    middle.set(xticks=(), yticks=(), xlabel="weights left per pixel, in %")
    middle.grid(False)
    figure.colorbar(shown, ax=middle, shrink=0.8)
    rows = [f"{'KiB stored':<12}", *(f"{name:<8}{size / 1024:8.1f}" for name, size in sizes.items())]
    rows += ["", f"{'µs, median':<12}"]
    rows += [f"{name:<12}{1e6 * time.median_s:6.1f}" for name, time in times.items()]
    right.axis("off")
    right.text(0, 1, "\n".join(rows), family="monospace", va="top", fontsize=15)
    return figure


explore(
    draw_density,
    alt=lambda density: (
        f"First layer at density {density:g}: histogram split into weights that stay and go, share of weights left for each pixel, bytes and times."
    ),
    labels={"density": "density of the first layer"},
    density=known,
)

# %% [markdown]
# The bytes of the sparse formats change with every step. Not all of the times do: which ones do not, and why? (Every word of a bitmap is read, however few weights are left.) And is CSR faster than the dense kernel below the same density as for 1024 x 1024?

# %% [markdown]
# > **Takeaway.** Accuracy, bytes and time follow the density in different ways, so one of them cannot stand for the others.

# %% [markdown]
# ## 9 Where it stops working
#
# - **Zeros are not speed.** In a dense kernel they save nothing. With its matrix in the caches, a CSR kernel needs a density far below the one at which it saves bytes, and all our kernels take one vector at a time.
# - **Magnitude is not value.** It is a guess, and between layers it depends on their scale. Even so, with large networks and long training it did as well as far more complex methods (Gale et al. 2019).
# - **2:4 needs the right instruction.** Our kernel picks its two of four with a vector shuffle where the CPU has a wide one, and in plain C elsewhere.
# - **Local is not global.** A small error in each layer, and a harmless scan, do not promise that the whole model works. Measure the whole model.

# %% [markdown]
# > **Takeaway.** Every promise about a pruned model needs its own measurement: on the whole model, with the kernel that will run it.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A matrix of 100 rows and 200 columns in fp32 has 2,000 weights left. How many bytes does it take as dense, as a bitmap and as CSR? With how many weights left do bitmap and CSR take the same number of bytes?
#
# <details><summary>Answer</summary>
#
# Dense: 20,000 · 4 = 80,000. Bitmap: 20,000 / 8 + 4 · 2,000 = 2,500 + 8,000 = 10,500. CSR: 4 · 101 + 6 · 2,000 = 404 + 12,000 = 12,404. They are equal where 2,500 + 4k = 404 + 6k, so k = 1,048, a density of 5.24%. Below it, CSR takes fewer bytes.
# </details>
#
# **2.** A convolution reads 32 channels, makes 64, and has kernels of 3 x 3 without bias. Half of its inputs and half of its outputs are removed. How many weights has it before and after? And a first layer that makes 16 channels from 1, if half of its outputs are removed?
#
# <details><summary>Answer</summary>
#
# 64 · 32 · 9 = 18,432 before and 32 · 16 · 9 = 4,608 after: a quarter. The first layer has 16 · 1 · 9 = 144 before and 8 · 1 · 9 = 72 after: only a half, since a picture keeps its one channel.
# </details>
#
# **3.** Layer A has the weights 4, 2, 1, and layer B has 0.4, 0.3, 0.1. A batch norm follows each of them. A global contest by magnitude keeps three of the six. Which? Now multiply B by 10. Which three stay, and what has changed in the outputs of the dense network?
#
# <details><summary>Answer</summary>
#
# First all of A stays and nothing of B. After the multiplication, B has 4, 3, 1, and the three largest are 4 in A, 4 and 3 in B. The outputs of the dense network have not changed, once the statistics of the batch norm of B are multiplied too: it divides by 10 times as much. So the mask depends on a scale that means nothing.
# </details>
#
# ## The ledger
#
# This lesson adds two rows. The first is chosen on the validation images: of the models halved round by round, the sparsest within one point of the dense one, stored in the smallest format for each layer. The second has half of the channels, trained. Their test accuracy is measured here for the first time.

# %% name="out-ledger" tags=["hide-input"]
good = [step for step in paths["magnitude"] if step.validation_accuracy >= dense_accuracy - 0.01]
chosen = min(good or paths["magnitude"][:1], key=lambda step: step.density)
formats = sparse.smallest_formats(chosen.model)
other_bytes = measure.stored_bytes(model) - sum(layer.bytes["dense"] for layer in formats.layers)
candidates = {
    "small_cnn": model,
    f"small_cnn, {chosen.density:.1%} of the weights": chosen.model,
    "small_cnn, half of the channels": halves["pruned by length"].model,
}
report = measure.report(
    candidates, example, accuracies={name: fit.accuracy(network, splits.test) for name, network in candidates.items()}
)
whole, scattered, cut = report.rows
ledger(replace(scattered, stored_bytes=formats.smallest_bytes + other_bytes), lesson=5, beside=whole)
ledger(cut, lesson=5, beside=whole)

# %% tags=["solution-only"]
claim("sparsest within one point of the dense one", holds=chosen.validation_accuracy >= dense_accuracy - 0.01)
claim("then the model is faster", holds=cut.median_s < 0.8 * whole.median_s, page="slides/05_prune.md")

# %%
progress()

# %% [markdown]
# ## Summary
#
# - Scores give a mask, and a mask gives a model. Rank and count: a threshold keeps too many.
# - Compare every score with chance, and every pruned model with a fresh one of its size.
# - Without training, take the statistics of the batch norms again before you compare.
# - Apply a mask after each step: a mask that is applied once is undone by the first step.
# - Remove a channel together with its batch norm and with the weights that read it; then the model is really smaller and faster.
# - Bytes include the places. Times are measured: scattered zeros save bytes early; they save time later where the matrix is in the caches, and never in a dense kernel.
#
# **References.** Mozer and Smolensky 1989, *Skeletonization*. Karnin 1990, *A Simple Procedure for Pruning Back-Propagation Trained Neural Networks*. LeCun, Denker and Solla 1990, *Optimal Brain Damage*. Hassibi and Stork 1993, *Second Order Derivatives for Network Pruning: Optimal Brain Surgeon*. Han et al. 2015, *Learning both Weights and Connections for Efficient Neural Networks*.
# Li et al. 2017, *Pruning Filters for Efficient ConvNets*. Zhu and Gupta 2017, *To Prune, or Not to Prune*. Lee et al. 2019, *SNIP*. Liu et al. 2019, *Rethinking the Value of Network Pruning*. Mishra et al. 2021, *Accelerating Sparse Deep Neural Networks*. Frantar and
# Alistarh 2023, *SparseGPT*. Sun et al. 2024, *A Simple and Effective Pruning Approach for Large Language Models* (Wanda). Gale, Elsen and Hooker 2019, *The State of Sparsity in Deep Neural Networks*.
#
# **Further reading.** Lee et al. 2021, *Layer-adaptive Sparsity for the Magnitude-based Pruning* (a global contest that does not depend on the scale of a layer). Li et al. 2020, *EagleEye* (new batch-norm statistics before comparing).
#
# **In the library.** In [`mini_lib/prune`](../mini_lib/prune/__init__.py), [`scores.py`](../mini_lib/prune/scores.py) computes what a weight is worth, [`keep.py`](../mini_lib/prune/keep.py) makes a mask of it, [`mask.py`](../mini_lib/prune/mask.py) keeps the zeros, [`gradual.py`](../mini_lib/prune/gradual.py) trains in between; [`structure`](../mini_lib/prune/structure/__init__.py) removes channels, [`sparse`](../mini_lib/prune/sparse/__init__.py) stores and multiplies, [`second_order`](../mini_lib/prune/second_order/__init__.py) uses the inputs.
#
# **Next:** [06 Was the winning ticket there from the start?](06_lottery_tickets.ipynb)
