# %% [markdown]
# # Was the winning ticket there from the start?
#
# Lesson 06 · {minutes} · before it: [01 What does a model cost?](01_measure.ipynb)
#
# You can remove most of the weights of a trained network, and it still works. Then why train them at all? The usual answer was that a
# small network does not learn as well as a large one: train large, prune later. In 2018 Jonathan Frankle and Michael Carbin tried something simple.
# They pruned a trained network, set the remaining weights back to *the values that they had before any training*, and trained this small network again. It learned as well as the
# large one, and faster. With other initial values it did not. Their explanation is **the lottery ticket hypothesis**: a large network is a
# heap of tickets (small networks with random weights), and one of them wins because of the values that its weights happened to get.
#
# That is a claim about cause, and a claim about cause needs an experiment with controls. In this lesson you run it.
#
# **You will be able to**
# 1. find a ticket by iterative magnitude pruning, and name the mistake to avoid in each step;
# 2. compare a ticket over several seeds with controls that change one thing at a time, and say which differences are real;
# 3. explain what rewinding is, what the search costs, and what such a study does not show.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back. Code that only draws is folded: one click shows it.

# %%
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from mini_lib import data, fit, measure, prune, stacked, zoo
from mini_lib.prune import sparse, tickets
from mini_lib.prune.tickets import Recipe
from studies.paired import Paired, holm, paired
from studies.tickets import State, Study, advance, recorded, run_study
from studies.tickets.results import RECORDING_COMMAND
from studies.tickets.speed import compare_ways
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one core a process; further cores get processes of their own
figures.use_style()

# %% [markdown]
# ## 1 Find a ticket
#
# The network is LeNet-300-100, the smallest network in the paper: three linear layers, 784 to 300 to 100 to 10. The pictures are the ones used throughout this course. Training is short, so that the whole study fits into this lesson.

# %%
splits = data.fashion()
RECIPE = Recipe(steps=300, evaluate_at=(50,))  # Adam, batches of 60; validation accuracy after 50 steps and at the end
RATE, ROUNDS = 0.5, 4
net = zoo.lenet_300_100(seed=0)
weights = prune.magnitude(net)
for name, size in weights.items():
    print(f"{name:<16}{size.numel():>8,} weights")
print(f"{RECIPE.steps * RECIPE.batch_size / len(splits.train):.1f} passes over the training pictures")

# %% [markdown]
# **Iterative magnitude pruning** has four steps.
#
# 1. Draw the initial weights, and keep a copy.
# 2. Train.
# 3. Of the weights that are left, remove the share $p$ with the smallest magnitude.
# 4. Set the others back to their initial values. Go back to step 2.
#
# You could also prune to the final density all at once. In the paper, pruning in rounds finds smaller winning tickets.
#
# How much is left after some rounds? Worked by hand, with $p = 0.2$: the first round leaves 0.8. The second round removes a fifth *of that*, 0.16, and leaves 0.64.

# %% [markdown]
# ### Exercise 6.1 - What is left after some rounds (3 min)


# %% name="ex-6-1" tags=["exercise"]
def density_after(rate, rounds):
    """The share of the weights that is left after some rounds of pruning.

    rate: the share of the remaining weights that each round removes, between 0 and 1. Returns a number.
    """
    ### BEGIN SOLUTION
    return (1 - rate) ** rounds
    ### END SOLUTION


# %% tags=["check"]
check("6.1")

# %% [markdown]
# <details><summary>Hint 1: one round</summary>
#
# By what factor does a round multiply the density?
# </details>

# %% [markdown]
# Step 3 looks harmless, but it has a trap. A pruned weight has the value zero, and zero is the smallest magnitude there is. Worked by hand: the weights are `[0.3, -0.2, 0, 0]`, where the two zeros are pruned, and the rate is one half. Two weights are left, so *one* is removed: the -0.2. If you rank all
# four weights, you remove the two zeros once more, and nothing changes.

# %% [markdown]
# ### Exercise 6.2 - The mask of the next round (8 min)


# %% name="ex-6-2" tags=["exercise"]
def next_mask(trained, mask, rate):
    """The mask of the next round: of the weights that the mask keeps, the smallest are removed.

    trained: a tensor of weights; where the mask is False, it may have any value. mask: True where a weight is kept; same shape.
    Removes round(rate * number kept) weights by magnitude; no two kept weights are equally large. Returns a new mask.
    """
    ### BEGIN SOLUTION
    count = round(rate * int(mask.sum()))
    size = trained.abs().masked_fill(~mask, torch.inf).flatten()
    keep = mask.flatten().clone()
    keep[size.argsort()[:count]] = False
    return keep.reshape(mask.shape)
    ### END SOLUTION


# %% tags=["check"]
check("6.2")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# There are two questions: how many weights go, and which? Both are about the weights that are left, not about all weights.
# </details>
# <details><summary>Hint 2: how to leave the others out</summary>
#
# `trained.abs()[mask]` has the magnitudes of the weights that are left. Or give the others a magnitude of infinity: then they are never the smallest.
# </details>
# <details><summary>Hint 3: from numbers to positions</summary>
#
# `argsort()` of a flat tensor gives the positions, smallest first. (Do not change the mask that you were given: `clone()` it.)
# </details>

# %% [markdown]
# In step 4 all trained values go back to the start, **biases included**; pruned weights become zero.

# %% [markdown]
# ### Exercise 6.3 - Back to the start (5 min)


# %% name="ex-6-3" tags=["exercise"]
def reset(initial, trained, mask):
    """The weights that a ticket starts from.

    initial, trained: all parameters by name, before and after training. mask: for some of them, True where a weight is kept.
    Returns all parameters by name, as new tensors.
    """
    ### BEGIN SOLUTION
    start = {name: value.clone() for name, value in initial.items()}
    for name, keep in mask.items():
        start[name][~keep] = 0
    return start
    ### END SOLUTION


# %% tags=["check"]
check("6.3")

# %% [markdown]
# <details><summary>Hint 1: which of the two</summary>
#
# You are given the trained weights as well. Do you still need them, now that there is a mask?
# </details>
# <details><summary>Hint 2: parameters without a mask</summary>
#
# Biases are not in the mask. They go back to their initial values.
# </details>

# %% [markdown]
# Then the ticket is trained, and its zeros must stay zeros. If you apply a mask only before training, the first step undoes it. Many optimizers also have a memory: **momentum** adds up earlier gradients in a velocity,
#
# $$\text{velocity} \leftarrow \text{momentum} \cdot \text{velocity} + \text{gradient}, \qquad \text{weight} \leftarrow \text{weight} - \text{rate} \cdot \text{velocity}.$$
#
# If a weight is pruned in the middle of training, its velocity keeps moving it, even when its gradient is masked. Worked by hand: weight 0, gradient 0, velocity 4, momentum 0.5, rate 0.25. The velocity becomes 2, and the pruned weight becomes -0.5.

# %% [markdown]
# ### Exercise 6.4 - A step that keeps the zeros (8 min)


# %% name="ex-6-4" tags=["exercise"]
def masked_step(weight, gradient, velocity, mask, learning_rate, momentum):
    """One step of SGD with momentum, for weights some of which have just been pruned.

    weight, gradient, velocity: tensors of one shape, as they are before the step; mask: True where a weight is kept.
    Returns (new weight, new velocity), both zero where the mask is False.
    """
    ### BEGIN SOLUTION
    velocity = (momentum * velocity + gradient) * mask
    weight = (weight - learning_rate * velocity) * mask
    return weight, velocity
    ### END SOLUTION


# %% tags=["check"]
check("6.4")

# %% [markdown]
# <details><summary>Hint 1: the step without a mask</summary>
#
# Write the two formulas first, in this order. Then ask of each result: can it be anything but zero where the mask is False?
# </details>
# <details><summary>Hint 2: where to multiply</summary>
#
# Multiply after the step, not before it: once for the velocity, once for the weight.
# </details>

# %% [markdown]
# The library starts each training with a new optimizer and masks the gradient at each step, so no old velocity exists. `find_ticket` is the whole loop; its code is about twenty lines, in `mini_lib/prune/tickets/imp.py`. This takes about 5 seconds.

# %% name="run-ticket"
start = tickets.weights_of(net)
order = tickets.batch_order(len(splits.train), RECIPE, seed=0)
tickets.train_alone(net, start, None, order, splits, Recipe(steps=2))  # the first training of a process takes longer
with tqdm(total=ROUNDS, desc="rounds") as bar:
    began_s = time.perf_counter()
    ticket = tickets.find_ticket(
        zoo.lenet_300_100, splits, recipe=RECIPE, rounds=ROUNDS, rate=RATE, seed=0, progress=lambda _: bar.update()
    )
    search_s = time.perf_counter() - began_s

began_s = time.perf_counter()
last = tickets.train_alone(net, tickets.weights_of(ticket.model), ticket.mask, order, splits, RECIPE)
ticket_s = time.perf_counter() - began_s
chain = (*ticket.rounds, last)  # the dense net, then the ticket of each round, all trained from the same start

# %% name="out-ticket" tags=["hide-input"]
print("round  density  validation accuracy after 50 steps, and at the end")
for number, trained in enumerate(chain):
    early, end = trained.validation_accuracies
    print(f"{number:5}{(1 - RATE) ** number:9.1%}{early:15.1%}{end:15.1%}")

# %% name="out-layers"
print(ticket.mask)

# %% tags=["solution-only"]
from teach import claim

thin = ticket.mask["linear1.weight"].float().mean().item()
claim(
    "The first layer has most of the weights, and loses the largest share of them.",
    holds=all(thin < ticket.mask[name].float().mean().item() for name in ("linear2.weight", "linear3.weight")),
)

# %% [markdown]
# The weights of all layers were ranked together, so the share that is kept differs from layer to layer. The first layer has most of the weights, and loses the largest share of them.

# %%
predict(
    "6.a",
    "Sort the 784 pixels by their brightness in the mean picture. Which third of the pixels keeps the most weights?",
    choices=("the darkest third", "the middle third", "the brightest third", "about the same in all three"),
)


# %%
def weights_of_pixels(mask):
    """How many of its 300 weights each pixel keeps: [28, 28]."""
    return mask["linear1.weight"].sum(dim=0).reshape(28, 28)


THIRDS = ("the darkest third", "the middle third", "the brightest third")
kept = weights_of_pixels(ticket.mask).flatten().float()
by_brightness = splits.train.images.mean(dim=0).flatten().argsort()
of_third = {name: kept[pixels].mean().item() for name, pixels in zip(THIRDS, by_brightness.chunk(3))}
with hold("6.a"):
    for name, count in of_third.items():
        print(f"{name:<20}{count:5.1f} weights per pixel")
most = max(of_third, key=of_third.get)
reveal("6.a", most if of_third[most] > 1.25 * sorted(of_third.values())[1] else "about the same in all three")

# %% [markdown]
# Each input pixel has 300 weights. How many of them does the ticket keep? The figure shows the mean of the training pictures, the weights that the ticket keeps, and the same number of weights chosen at random.


# %% name="fig-pixels" tags=["hide-input"]
def draw_pixels():
    figure, three = plt.subplots(1, 3, figsize=(11, 3.6))
    kept = weights_of_pixels(ticket.mask)
    by_chance = weights_of_pixels(tickets.shuffled_mask(ticket.mask, seed=0))
    three[0].imshow(data.to_pixels(splits.train.images.mean(dim=0)[0]))
    for axes, picture in ((three[1], kept), (three[2], by_chance)):
        shown = axes.imshow(picture, vmin=0, vmax=kept.max())
    figure.colorbar(shown, ax=three, label="weights kept, of 300", shrink=0.8)
    for axes, title in zip(three, ("the mean picture", "the ticket", "the same number, at random")):
        axes.set(title=title, xticks=(), yticks=())
        axes.grid(False)
    return figure


show(
    draw_pixels(),
    alt="Three pictures of 28 by 28: the mean of the training pictures; how many weights of each pixel the ticket keeps; the same for places drawn at random.",
)

# %% [markdown]
# Look for outlines: the neck and the hem of a shirt, the gap between the legs of trousers. Places drawn at random show no outlines. So a mask that was found by training contains information about the data, even though
# the weights have been reset.

# %% [markdown]
# > **Takeaway.** The weights of a ticket are back at the start, but its mask was made from trained weights and has seen the data.

# %% [markdown]
# ## 2 Controls: one thing at a time
#
# The hypothesis says that *this mask* and *these initial weights* belong together. To test it, change one of them and keep the other. The variants are called *arms*, as in a medical trial.
#
# | arm | mask | initial weights | if it does as well as the ticket, then |
# | --- | --- | --- | --- |
# | ticket | found by pruning | its own | |
# | reinit | the ticket's | drawn anew | the mask alone is enough |
# | shuffled | the same number in each layer, in places drawn anew | its own | the number in each layer is enough |
# | random | the same number in total, anywhere | its own | a sparse network is enough |
# | dense | everything | its own | no pruning was needed |
#
# Worked by hand: a layer with the mask `[1, 0, 0]`, initial weights `[1, 2, 3]` and other weights `[-4, -5, -6]`. Reinit starts from `[-4, 0, 0]`. For shuffled, draw a random number for each place, say `[0.2, 0.1, 0.9]`. One weight is kept, the one at the place with the highest number: `[0, 0, 3]`.

# %% [markdown]
# ### Exercise 6.5 - Two controls (10 min)


# %% name="ex-6-5" tags=["exercise"]
def controls(mask, initial, other, chance):
    """The initial weights of two controls: reinit and shuffled.

    mask: a tensor for each layer, by name, True where a weight is kept. initial: the ticket's initial weights. other:
    another draw of initial weights. chance: random numbers, all different; each layer keeps the places with the highest
    numbers. All four have the same names and shapes.
    Returns (reinit, shuffled), each a dict of weights by name, with zeros where nothing is kept.
    """
    ### BEGIN SOLUTION
    reinit, shuffled = {}, {}
    for name, keep in mask.items():
        reinit[name] = other[name] * keep
        places = chance[name].flatten().argsort(descending=True)[: int(keep.sum())]
        drawn = torch.zeros(keep.numel())
        drawn[places] = 1
        shuffled[name] = initial[name] * drawn.reshape(keep.shape)
    return reinit, shuffled
    ### END SOLUTION


# %% tags=["check"]
check("6.5")

# %% [markdown]
# <details><summary>Hint 1: what changes</summary>
#
# Reinit: the weights change, the mask does not. Shuffled: the mask changes, the weights do not.
# </details>
# <details><summary>Hint 2: how many</summary>
#
# Each layer keeps as many weights as the ticket keeps *in this layer*: `int(mask[name].sum())`.
# </details>
# <details><summary>Hint 3: which places</summary>
#
# `chance[name].flatten().argsort(descending=True)` has the places in order, the highest number first.
# </details>

# %% [markdown]
# ### Fifty-one networks
#
# One network of each kind proves nothing: another seed gives another result. Three seeds, four arms and four densities, plus the dense networks, make 51 training runs. The library can stack the weights of many networks into one tensor and train them **as one**: the same loop, with each matrix product done for all networks at once (`torch.func.vmap`). The networks do not influence each other. And if the machine has several cores, each can run a process. The next cell times all these ways and takes about 10 seconds.

# %%
predict("6.b", "The fastest of these ways is how many times as fast as training the networks one by one?", unit="times")

# %% name="run-ways"
CORES = joblib.cpu_count()
IN_PROCESSES = f"{CORES} processes, 4 together in each"
with tqdm(desc="trainings") as bar:
    compared = compare_ways(
        Recipe(steps=20), together=(4, 12), processes=CORES, repeats=1, progress=lambda name: bar.update()
    )
ways = {way.name: way for way in compared}


# %% name="out-ways" tags=["hide-input"]
def largest_difference(recipe, seeds=(0, 1)):
    """Between networks trained as one and one by one: of all their weights together, relative to their size."""
    starts = [tickets.weights_of(zoo.lenet_300_100(seed)) for seed in seeds]
    orders = [tickets.batch_order(len(splits.train), recipe, seed) for seed in seeds]
    joined = tickets.train_together(net, starts, [None] * len(seeds), orders, splits, recipe)
    for one, start, order in zip(joined, starts, orders):
        alone = tickets.train_alone(net, start, None, order, splits, recipe)
        first, second = (torch.cat([value.flatten() for value in of.weights.values()]) for of in (one, alone))
        yield ((first - second).norm() / second.norm()).item()


with hold("6.b"):
    print("20 steps and a test, one thread per process  seconds per net    times as fast")
    for name, way in ways.items():
        print(f"{name:<46}{way.time_s.median_s:14.3f}{way.times_faster_than(ways['one by one']):17.2f}")
for optimizer, rate in (("sgd", 0.1), ("adam", 1.2e-3)):
    short = Recipe(steps=20, optimizer=optimizer, learning_rate=rate)
    print(
        f"together or one by one, {optimizer:<4}: weights differ by {max(largest_difference(short)):.0e} of their size"
    )

# %%
reveal("6.b", round(max(way.times_faster_than(ways["one by one"]) for way in ways.values()), 1))

# %% tags=["solution-only"]
claim(
    "The networks are the same up to rounding",
    holds=max(largest_difference(Recipe(steps=20, optimizer="sgd", learning_rate=0.1))) < 1e-4,
)

# %% [markdown]
# The networks are the same up to rounding. Whether you gain any time depends on the machine: read the table. The study uses the faster of the last two ways.
#
# ### The study
#
# It trains all 51 networks. This takes about 30 seconds.

# %%
predict(
    "6.c",
    "At about 6% of the weights, after only 50 steps: which arm has the highest validation accuracy?",
    choices=("dense", "ticket", "reinit", "shuffled", "random"),
)

# %%
predict(
    "6.d",
    "At the same density, at the end of training: by how many points of test accuracy is random below the ticket?",
    unit="points",
)

# %% name="run-study"
together = ways["12 together"].time_s.median_s <= ways[IN_PROCESSES].time_s.median_s
STUDY = Study(RECIPE, seeds=(0, 1, 2), arms=("ticket", "reinit", "shuffled", "random"), rounds=ROUNDS, rate=RATE)


def run(study):
    """Run a study in the fastest way, with a bar that moves when a seed has finished a round."""
    with (
        tqdm(total=len(study.seeds) * (study.rounds + 1)) as bar,
        joblib.parallel_config(backend="loky", n_jobs=1 if together else CORES),
    ):
        return run_study(study, seeds_together=None if together else 1, progress=lambda state: bar.update())


results = run(STUDY)
lowest = results.rounds[-1]

# %% name="out-study"
with hold("6.d"):
    print(results)

# %% name="out-early"
with hold("6.c"):
    print("the same nets after 50 steps: validation accuracy in percent")
    print(results.table(at=50))

# %%
early = {"dense": results.spread("dense", 0, at=50).mean}
early |= {arm: results.spread(arm, lowest, at=50).mean for arm in results.arms}
reveal("6.c", max(early, key=early.get))

# %%
reveal("6.d", round(100 * results.differences("ticket", lowest, "random").mean, 1))

# %% name="fig-study" tags=["hide-input"]
LOOKS = {
    "ticket": ("blue", "-", "o"),
    "reinit": ("orange", "--", "s"),
    "shuffled": ("green", "-.", "^"),
    "random": ("vermillion", ":", "D"),
}


def draw_arms(axes, results, at):
    """Accuracy over density: a line for each arm, and a band of one standard deviation over the seeds."""
    dense = results.spread("dense", 0, at)
    percent = [100 * results.density(number) for number in results.rounds]
    axes.axhline(100 * dense.mean, color="black", linewidth=1.5, label="dense")
    axes.axhspan(100 * (dense.mean - dense.std), 100 * (dense.mean + dense.std), color="black", alpha=0.12)
    for arm, (colour, line, marker) in LOOKS.items():
        spreads = [results.spread(arm, number, at) for number in results.rounds]
        mean = torch.tensor([100 * spread.mean for spread in spreads])
        std = torch.tensor([100 * spread.std for spread in spreads])
        colour = figures.COLOURS[colour]
        axes.plot(percent, mean, color=colour, linestyle=line, marker=marker, label=arm)
        axes.fill_between(percent, mean - std, mean + std, color=colour, alpha=0.18)
    ticks = [tick for tick in (80, 40, 20, 10, 5, 2.5) if min(percent) * 0.8 < tick < max(percent) * 1.2]
    axes.set(
        xscale="log", xlabel="density, in % (logarithmic)", xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks]
    )
    axes.minorticks_off()
    axes.invert_xaxis()


def draw_study(results):
    figure, (early, end) = plt.subplots(1, 2, figsize=(11, 4.6))
    draw_arms(early, results, at=50)
    draw_arms(end, results, at="test")
    early.set(ylabel="accuracy, in %", title="after 50 steps (validation)")
    end.set(title="at the end (test)")
    early.legend(fontsize=12, loc="lower left")
    return figure


show(
    draw_study(results),
    alt="Accuracy over density for ticket, reinit, shuffled, random and dense, with bands over three seeds: on the left after 50 steps, on the right at the end of training.",
)

# %% tags=["solution-only"]
claim(
    "After 50 steps the ticket is ahead of the dense network and of every control",
    holds=all(
        paired(
            results.values("ticket", lowest, 50), results.values(arm, 0 if arm == "dense" else lowest, 50)
        ).interval()[0]
        > 0
        for arm in ("dense", *results.arms[1:])
    ),
)

# %% [markdown]
# The left panel shows which arm learns *fast*, the right panel which arm gets *far*. After 50 steps the ticket is ahead of the dense network and of every control. What does a network lose when its weights are drawn anew and the mask stays? What does it lose when it keeps the same number of its own weights, but in other places?

# %% [markdown]
# > **Takeaway.** Each control changes one thing, mask or initial weights, so that a difference has one possible cause.

# %% [markdown]
# ## 3 Is the difference real?
#
# The bands are wide, and some of them overlap. But a band mixes two things: differences between arms and differences between seeds. All arms of one seed share the order of the pictures (and all but reinit share the initial weights). So **subtract first, seed by seed**, then take the mean and the spread.
#
# Worked by hand: ticket 0.75 and 0.5, control 0.5 and 0.25. The two means differ by 0.25, and each arm alone has a standard deviation of 0.18. But the two differences are 0.25 and 0.25: their spread is 0. Use the standard deviation of a *sample*: the seeds stand for all seeds that you did not try, so divide by $n - 1$.

# %% [markdown]
# ### Exercise 6.6 - A difference, seed by seed (5 min)


# %% name="ex-6-6" tags=["exercise"]
def paired_difference(ticket, control):
    """By how much the ticket is better than a control: mean and sample standard deviation over the seeds.

    ticket, control: an accuracy for each seed, {seed: accuracy}; the same seeds, in any order, at least two.
    Returns (mean, standard deviation); any floating-point precision is accepted.
    """
    ### BEGIN SOLUTION
    differences = [ticket[seed] - control[seed] for seed in ticket]
    mean = sum(differences) / len(differences)
    variance = sum((one - mean) ** 2 for one in differences) / (len(differences) - 1)
    return mean, variance**0.5
    ### END SOLUTION


# %% tags=["check"]
check("6.6")

# %% [markdown]
# <details><summary>Hint 1: pairs</summary>
#
# There is one difference for each seed. Is the first entry of one dict the same seed as the first entry of the other?
# </details>
# <details><summary>Hint 2: the spread</summary>
#
# `statistics.stdev` divides by n - 1, `statistics.pstdev` by n.
# </details>

# %% name="out-paired" tags=["hide-input"]
near_20 = min(results.rounds, key=lambda number: abs(results.density(number) - 0.2))


def points(differences):
    """The mean of paired differences in points, its 95% interval, and in how many seeds they are above 0."""
    found = Paired(tuple(differences))
    low, high = found.interval()
    better = sum(value > 0 for value in found.differences)
    return f"{100 * found.mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) {better}/{len(found.differences)}"


def print_differences(results, rounds):
    print("points, seed by seed: the mean difference (its 95% interval),")
    print("and in how many seeds the first is better")
    print(f"{'':<18}{'density':>8}{'after 50 steps':>30}{'at the end, test':>30}")
    for number in rounds:
        for one, other in (
            ("ticket", "dense"),
            ("ticket", "reinit"),
            ("ticket", "shuffled"),
            ("ticket", "random"),
            ("reinit", "dense"),
        ):
            cells = [points(results.differences(one, number, other, at).values) for at in (50, "test")]
            print(f"{one + ' - ' + other:<18}{results.density(number):>8.1%}{cells[0]:>30}{cells[1]:>30}")


print_differences(results, (near_20, lowest))

# %% tags=["solution-only"]
from scipy import stats

claim(
    "extends 2.5 standard deviations to either side with three seeds, and 0.7 with ten",
    float(stats.t.ppf(0.975, 2)) / 3**0.5,
    float(stats.t.ppf(0.975, 9)) / 10**0.5,
)
claim("chance alone does that about one time in five", holds=abs(2 * float(stats.t.sf(3**0.5, 2)) - 0.2) < 0.05)

# %% [markdown]
# How far off can the mean be? Its **95% interval** (Student's t) extends 2.5 standard deviations to either side with three seeds, and 0.7 with ten. In this lesson a difference is called *real* if its interval does not contain zero. "More than one standard deviation" is not enough: with three seeds, chance alone does that about one time in five.
#
# Three seeds are few. So here is a study with more seeds, more steps, and more rounds, each of which removes a fifth. It was **recorded**: this cell trains nothing; it reads a file that comes with the course
# and names the command that reproduces that file.

# %% name="out-recorded"
longer, settings = recorded()
print("RECORDED, not run here; to reproduce it:")
print(f"{RECORDING_COMMAND} tickets --folder DIR")
print(f"{len(longer.seeds)} seeds, {settings['recipe.steps']} steps, rate {settings['rate']}\n")
print(longer)


# %% name="fig-recorded" tags=["hide-input"]
def draw_both():
    figure, both = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
    for axes, source, title in (
        (both[0], results, f"run here: {len(results.seeds)} seeds"),
        (both[1], longer, f"recorded: {len(longer.seeds)} seeds"),
    ):
        draw_arms(axes, source, at="test")
        axes.set(title=title)
    both[0].set(ylabel="test accuracy, in %")
    both[0].legend(fontsize=12, loc="lower left")
    return figure


show(
    draw_both(),
    alt="Test accuracy over density for all arms, with bands: on the left the study that was run here, on the right the recorded one with more seeds and more steps.",
)

# %% name="out-recorded-paired"
print_differences(longer, (min(longer.rounds, key=lambda number: abs(longer.density(number) - 0.2)), longer.rounds[-1]))

# %% tags=["solution-only"]
ahead_of = [
    paired(longer.values("ticket", number), longer.values(arm, 0 if arm == "dense" else number)).interval()[0] > 0
    for number in (longer.rounds[6], longer.rounds[-1])
    for arm in ("dense", "reinit", "shuffled", "random")
]
claim("in the recorded study the ticket is ahead of the dense network and of every control", holds=all(ahead_of))
behind = paired(longer.values("reinit", longer.rounds[-1]), longer.values("dense", 0))
level = paired(longer.values("reinit", longer.rounds[6]), longer.values("dense", 0)).interval()
claim(
    "reinit is level with the dense network at 21%, and behind it at 3.5%",
    100 * longer.density(longer.rounds[6]),
    100 * longer.density(longer.rounds[-1]),
    holds=behind.interval()[1] < 0 and level[0] < 0 < level[1],
)

# %% [markdown]
# So in the recorded study the ticket is ahead of the dense network and of every control, at both densities. At the end reinit is level with the dense network at 21%, and behind it at 3.5%.

# %% [markdown]
# > **Takeaway.** One seed is an anecdote: subtract seed by seed, and believe a difference only if its interval does not contain zero.

# %% [markdown]
# ## 4 Rewinding
#
# For larger networks the experiment *failed* at first: set back to the very start, the pruned network did not do as well as the dense one. It helped to go back not to step 0 but to a slightly later step $k$: **late rewinding** (Frankle et al., 2019b). The proposed explanation (Frankle et al., 2020) is about valleys of the loss. Early in training, chance (for instance, the order
# of the pictures) decides which valley the network ends in, and a mask from one valley does not fit another. Later the valley is settled.
#
# There are two related methods (Renda et al., 2020). **Learning-rate rewinding** keeps the trained weights and sets back only the schedule of the learning rate. **Fine-tuning** keeps both the trained weights and the low rate reached at the end of training.
#
# If the weights go back to step $k$, so does the schedule: the steps from $k$ to the last step, $T$, are repeated, with their own learning rates. Worked by hand: three steps have the rates 0.3, 0.2, 0.1. After rewinding to step 1, two steps are left, with 0.2 and 0.1.

# %% [markdown]
# ### Exercise 6.7 - Rewind to step k (5 min)


# %% name="ex-6-7" tags=["exercise"]
def rewind(history, rates, mask, k):
    """The weights of a network that is rewound to step k, and the rest of its schedule.

    history: the weights after 0, 1, 2 ... T steps, a list of T + 1 tensors. rates: the learning rates of the T steps.
    mask: True where a weight is kept. Returns (weights to start from, list of the learning rates of the remaining steps).
    """
    ### BEGIN SOLUTION
    return history[k] * mask, rates[k:]
    ### END SOLUTION


# %% tags=["check"]
check("6.7")

# %% [markdown]
# <details><summary>Hint 1: count</summary>
#
# If the weights are those after step k, then k of the T steps have already been taken. How many are left?
# </details>
# <details><summary>Hint 2: which index</summary>
#
# `history[0]` is the start, before any step.
# </details>

# %% [markdown]
# ### Is the valley settled?
#
# You can test that. Train two copies of a network that differ only in the order of the pictures, go in a straight line from the weights of one to those of the other, and measure the accuracy on the way. If it stays level, there is no **barrier** between them: they are in one valley (*linear mode connectivity*). The barrier is the mean of the two
# ends minus the lowest point. Worked by hand: with ends of 0.8 and 0.9 and a lowest point of 0.7, the barrier is 0.15. If the copies share their first $k$ steps, the barrier says whether chance still decides after step $k$. The control: two networks with different initial weights. This takes about 10 seconds.


# %% name="run-valleys"
def two_orders(recipe, shared, seeds=(0, 1, 2)):
    """For each seed two trained nets: the first `shared` steps are the same, then each has its own order of pictures."""
    starts = [tickets.weights_of(zoo.lenet_300_100(seed)) for seed in seeds]
    orders = [tickets.batch_order(len(splits.train), recipe, seed) for seed in seeds]
    others = [tickets.batch_order(len(splits.train), recipe, 1000 + seed) for seed in seeds]
    if shared:
        stem = replace(recipe, steps=shared, evaluate_at=())
        nets = tickets.train_together(net, starts, [None] * len(seeds), orders, splits, stem)
        starts = [trained.weights for trained in nets]
    nets = tickets.train_together(
        net, 2 * starts, [None] * 2 * len(seeds), orders + others, splits, recipe, first_step=shared
    )
    weights = [trained.weights for trained in nets]
    return list(zip(weights[: len(seeds)], weights[len(seeds) :]))


def along(one, other, points=11):
    """Validation accuracies on the straight line from one network to another: [points]."""
    line = [{name: torch.lerp(one[name], other[name], at / (points - 1)) for name in one} for at in range(points)]
    return torch.tensor(stacked.accuracies_together(net.eval(), stacked.stack(line), splits.validation))


def barrier(accuracies):
    return ((accuracies[0] + accuracies[-1]) / 2 - accuracies.min()).item()


STEEP_RATE, SETTLED_AT = 5e-3, 60
steep_recipe = replace(RECIPE, learning_rate=STEEP_RATE)
kinds = {
    "our rate, step 0": (RECIPE, 0),
    f"rate {STEEP_RATE:g}, step 0": (steep_recipe, 0),
    f"rate {STEEP_RATE:g}, step {SETTLED_AT}": (steep_recipe, SETTLED_AT),
}
pairs = {name: two_orders(*kind) for name, kind in tqdm(kinds.items(), desc="pairs of networks")}
alone = [one for one, _ in pairs["our rate, step 0"]]
pairs["our rate, other initial weights"] = list(zip(alone, alone[1:] + alone[:1]))
valleys = {name: [along(*two) for two in several] for name, several in pairs.items()}


# %% name="fig-valleys" tags=["hide-input"]
def draw_valleys():
    figure, axes = plt.subplots(figsize=(8, 4.2))
    looks = (("blue", "-", "o"), ("vermillion", "--", "s"), ("green", "-.", "^"), ("black", ":", "D"))
    for (name, lines), (colour, style, marker) in zip(valleys.items(), looks):
        mean = 100 * torch.stack(lines).mean(dim=0)
        axes.plot(
            torch.linspace(0, 1, len(mean)),
            mean,
            color=figures.COLOURS[colour],
            linestyle=style,
            marker=marker,
            label=name,
        )
    axes.set(xlabel="from the weights of one network (0) to the other's (1)", ylabel="validation accuracy, in %")
    axes.legend(fontsize=12)
    return figure


show(
    draw_valleys(),
    alt="Validation accuracy on the straight line between two trained nets, mean of three pairs: nearly level for two orders of pictures at our rate and from step 60 at the high rate, a shallow dip from step 0 at the high rate, a deep one for other initial weights.",
)

# %% name="out-valleys" tags=["hide-input"]
print("where the two networks part        barriers of three pairs, points")
for name, lines in valleys.items():
    print(f"{name:<35}" + "".join(f"{100 * barrier(line):8.1f}" for line in lines))

# %% tags=["solution-only"]
barriers = {name: [100 * barrier(line) for line in lines] for name, lines in valleys.items()}
ours, steep0, steep60, apart = barriers.values()
claim(
    "another order of the pictures leaves barriers of about a point, while other initial weights leave 5 points or more",
    holds=max(ours) < 2 and min(apart) > 5,
)
claim(
    "the barrier is lower in each of the three pairs if the copies part at step 60 instead of step 0, and it is then below a point",
    holds=max(steep60) < 1 and all(late < at_once for late, at_once in zip(steep60, steep0)),
)

# %% [markdown]
# At our rate the network is settled from the very start: another order of the pictures leaves barriers of about a point, while other initial weights leave 5 points or more. At about four times the rate, the barrier is lower in each of the three pairs if the copies part at step 60 instead of step 0, and it is then below a point. If the explanation is right, going back to a later step has
# nothing to repair at our rate. (Frankle et al., 2020, found the same for this network on digits, and for none of their larger networks.)

# %%
REWIND_TO = 50
predict(
    "6.e",
    f"A dense network is pruned once, to {(1 - RATE) ** ROUNDS:.0%}, and trained again. With which weights and rates does it reach the highest test accuracy?",
    choices=(
        "the initial weights",
        f"weights of step {REWIND_TO}",
        "trained weights, all rates again",
        "trained weights, the last rate",
    ),
)

# %% [markdown]
# With a constant rate, learning-rate rewinding has nothing to set back. So here the rate drops to a tenth after 150 of the 300 steps, and again after 225. All four ways use the same mask, and all but `late` (the weights of step 50) take 300 more steps. This takes about 9 seconds.

# %% name="run-rewinding"
FALLING = replace(RECIPE, drops=(150, 225))
LAST_RATE = replace(RECIPE, learning_rate=FALLING.rate_at(RECIPE.steps - 1))
seeds = STUDY.seeds
fresh = [tickets.weights_of(zoo.lenet_300_100(seed)) for seed in seeds]
seen = [tickets.batch_order(len(splits.train), FALLING, seed) for seed in seeds]
dense = tickets.train_together(net, fresh, [None] * len(seeds), seen, splits, FALLING, snapshot_at=REWIND_TO)
once = []
for trained in dense:
    scores = prune.magnitude(tickets.with_weights(net, trained.weights))
    once.append(prune.keep_top(scores, (1 - RATE) ** ROUNDS))
kept_weights = [trained.weights for trained in dense]
WAYS_BACK = {  # initial weights, recipe, first step
    "ticket": (fresh, FALLING, 0),
    "late": ([trained.snapshot for trained in dense], FALLING, REWIND_TO),
    "lr_rewind": (kept_weights, FALLING, 0),
    "fine-tuned": (kept_weights, LAST_RATE, 0),
}
again = {"dense": [trained.test_accuracy for trained in dense]}
for name, (starts, recipe, first) in tqdm(WAYS_BACK.items(), desc="ways back"):
    done = tickets.train_together(net, starts, once, seen, splits, recipe, first_step=first)
    again[name] = [trained.test_accuracy for trained in done]

# %% name="out-rewinding" tags=["hide-input"]
with hold("6.e"):
    print("test accuracy, three seeds" + " " * 17 + "minus lr_rewind, points")
    for name, values in again.items():
        differences = [value - other for value, other in zip(values, again["lr_rewind"])]
        print(f"{name:<12}{fit.Spread(tuple(values))!s:<31}" + (points(differences) if name != "lr_rewind" else ""))

# %% tags=["hide-input"]
best_way = max(WAYS_BACK, key=lambda name: sum(again[name]))
reveal(
    "6.e",
    {
        "ticket": "the initial weights",
        "late": f"weights of step {REWIND_TO}",
        "lr_rewind": "trained weights, all rates again",
        "fine-tuned": "trained weights, the last rate",
    }[best_way],
)

# %% tags=["solution-only"]
pairs_of = {
    name: Paired(tuple(one - other for one, other in zip(again["lr_rewind"], again[name])))
    for name in ("fine-tuned", "late", "ticket")
}
claim("the rates are worth about 5 points", 100 * pairs_of["fine-tuned"].mean, within=1.5)
claim(
    "`lr_rewind` is also ahead of `late` and `ticket`, by less than a point",
    holds=all(pairs_of[name].interval()[0] > 0 and pairs_of[name].mean < 0.01 for name in ("late", "ticket")),
)
late_gain = Paired(tuple(one - other for one, other in zip(again["late"], again["ticket"])))
claim("Late rewinding is no better than the ticket", holds=late_gain.interval()[0] < 0)
claim(
    "here `ticket` and `late` are ahead of `fine-tuned` on average",
    holds=min(sum(again["ticket"]), sum(again["late"])) > sum(again["fine-tuned"]),
)

# %% [markdown]
# `lr_rewind` and `fine-tuned` take the same number of steps from the same weights and differ only in the rates: the rates are worth about 5 points. `lr_rewind` is also ahead of `late` and `ticket`, by less than a point, but its weights have already been trained for all the steps of the dense network. Late rewinding is no better than the ticket. Renda et al.
# found in deep networks that both ways of rewinding beat fine-tuning, and that rewinding the learning rate is enough; here `ticket` and `late` are ahead of `fine-tuned` on average.
#
# And what if the network is *less* settled at step 0? Here is a **recorded** study at the high rate, constant again, with six rounds, 600 steps and ten seeds.

# %% name="out-rewinding-recorded" tags=["hide-input"]
steep, steep_settings = recorded("rewinding")
print("RECORDED, not run here; to reproduce it:")
print(f"{RECORDING_COMMAND} rewinding --folder DIR")
print(
    f"{len(steep.seeds)} seeds, {steep_settings['recipe.steps']} steps, learning rate {steep_settings['recipe.learning_rate']:g} (above: {RECIPE.learning_rate:g}),"
)
print(f"late goes back to step {steep_settings['rewind_to']}; points of test accuracy, seed by seed (95% interval)\n")
PAIRS = (("late", "ticket"), ("ticket", "reinit"), ("ticket", "dense"))
print("density" + "".join(f"{one + ' - ' + other:>27}" for one, other in PAIRS))
for number in steep.rounds:
    cells = (points(steep.differences(one, number, other).values) for one, other in PAIRS)
    print(f"{steep.density(number):7.1%}" + "".join(f"{cell:>27}" for cell in cells))
of_late = [paired(steep.values("late", number), steep.values("ticket", number)) for number in steep.rounds]
print(
    f"late - ticket: smallest p of {len(of_late)}, corrected (Holm): {min(holm([gain.p_value for gain in of_late])):.2f}"
)

# %% tags=["solution-only"]
corrected = min(holm([gain.p_value for gain in of_late]))
claim("no gain is established ($p$ = 0.09)", corrected, holds=corrected > 0.05)
claim(
    "on average, going back to a later step gains at most about half a point",
    holds=max(gain.mean for gain in of_late) < 0.0055,
)
claim(
    "the ticket is ahead of both",
    holds=all(
        steep.differences("ticket", number, other).mean > 0 for number in steep.rounds for other in ("dense", "reinit")
    ),
)

# %% [markdown]
# Start with the last two columns: is the ticket, set back to the very start, worse than the dense network, or no better than a network drawn anew? That would be the failure. But on average the ticket is ahead of both at each density. Now the first column: on average, going back to a later step gains at most about half a point. After correction for the six comparisons, no gain is established ($p$ = 0.09).
# So at this rate, with its barrier at step 0, the ticket does not fail. The failures that the papers report are those of deeper networks.

# %% [markdown]
# > **Takeaway.** Rewinding goes back to a later step, or sets back only the learning rate; it repairs a failure that this small network does not show.

# %% [markdown]
# ## 5 What the search costs
#
# Worked by hand: take 3 rounds of 100 steps each, without rewinding to a later step. The dense network takes 100 steps, and so does the ticket of each round: 400 in all. If the tickets go back to step 10, the dense network still takes 100 steps, and each ticket takes 90.

# %% [markdown]
# ### Exercise 6.8 - What the search costs (4 min)


# %% name="ex-6-8" tags=["exercise"]
def search_steps(rounds, steps, rewind_to):
    """The total number of training steps of the dense network and of the ticket of each round, including the last.

    rounds: rounds of pruning; steps: training steps of the dense network; rewind_to: the step that tickets go back to.
    Returns a whole number.
    """
    ### BEGIN SOLUTION
    return steps + rounds * (steps - rewind_to)
    ### END SOLUTION


# %% tags=["check"]
check("6.8")

# %% [markdown]
# <details><summary>Hint 1: count training runs</summary>
#
# With one round of pruning, the dense network is trained and pruned, and its ticket is trained. How many training runs is that?
# </details>

# %% [markdown]
# The ticket needed the steps of a whole search, though its weights were reset. What if the dense network had been given all these steps? This takes about 10 seconds.

# %%
predict(
    "6.f",
    "The dense network is trained for as many steps as the whole search took. Where is its test accuracy, compared with the last ticket?",
    choices=("above the ticket", "below the ticket", "not known: the interval contains zero"),
)

# %% name="run-cost"
all_steps = (ROUNDS + 1) * RECIPE.steps
patient = Study(Recipe(steps=all_steps), arms=("ticket",), rounds=1)
tasks = (joblib.delayed(advance)(patient, [State(seed)]) for seed in STUDY.seeds)
finished = joblib.Parallel(n_jobs=CORES, backend="loky", return_as="generator_unordered")(tasks)
patient_runs = [state.runs[0] for [state] in tqdm(finished, total=len(STUDY.seeds), desc="dense networks")]
patient_accuracy = {run.seed: run.test_accuracy for run in patient_runs}
ticket_accuracy = results.values("ticket", lowest)
ahead = fit.Spread(tuple(patient_accuracy[seed] - value for seed, value in ticket_accuracy.items()))

# %% name="out-cost" tags=["hide-input"]
with hold("6.f"):
    print(f"the search, seed 0: {ROUNDS} training runs, {search_s:.1f} s; the ticket's own training: {ticket_s:.1f} s")
    print(f"dense, {RECIPE.steps} steps               {results.spread('dense', 0)}")
    print(f"ticket at {results.density(lowest):.1%}, {RECIPE.steps} steps     {results.spread('ticket', lowest)}")
    print(f"dense, {all_steps} steps              {fit.Spread(tuple(patient_accuracy.values()))}")
    print(f"dense with all steps - ticket: {points(ahead.values)}")

# %%
low, high = Paired(ahead.values).interval()
side = "above the ticket" if low > 0 else "below the ticket" if high < 0 else "not known: the interval contains zero"
reveal("6.f", side)

# %% tags=["solution-only"]
claim(
    "the dense network is ahead of the ticket in each of the three seeds, but the interval of the mean still contains zero",
    holds=min(ahead.values) > 0 and low < 0 < high,
)

# %% [markdown]
# With all the steps, the dense network is ahead of the ticket in each of the three seeds, but the interval of the mean still contains zero: three seeds do not settle it. The price, however, is certain. You need all these training runs to know which weights to keep, and they spend time multiplying the zeros, too. A ticket shows something
# else: **a small network could have learned this, if we had known where to look.**

# %% [markdown]
# > **Takeaway.** A fair comparison gives the dense network the steps of the whole search: a ticket is knowledge, not a cheap way to get a good network.

# %% [markdown]
# ## 6 Look around
#
# Change the density with the slider. The left panel shows the *initial* values of all weights of the first layer, and of the weights that the ticket keeps: does training keep weights that were large from the start? The middle panel shows how many weights each pixel keeps. The right panel shows the test accuracy of all arms.

# %% name="fig-explore" tags=["hide-input", "widget"]
initial = tickets.weights_of(net)["linear1.weight"].flatten()
# a trained ticket has zeros exactly where its mask has them
masks = {
    number: prune.Mask({name: trained.weights[name] != 0 for name in ticket.mask})
    for number, trained in enumerate(chain)
    if number
}
ROUND_OF = {f"{results.density(number):.0%}": number for number in results.rounds}


def draw_density(density):
    number = ROUND_OF[density]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), width_ratios=(1.2, 1, 1.2))
    bins = torch.linspace(initial.min(), initial.max(), 25).tolist()
    for values, name, colour in (
        (initial, "all", "#bbbbbb"),
        (initial[masks[number]["linear1.weight"].flatten()], "kept", figures.COLOURS["blue"]),
    ):
        left.hist(
            values.numpy(),
            bins=bins,
            weights=torch.full_like(values, 100 / len(values)).numpy(),
            color=colour,
            histtype="stepfilled" if name == "all" else "step",
            linewidth=2.5,
            label=name,
        )
    left.set(xlabel="initial weight in linear1", ylabel="% of the weights", ylim=(0, 21))
    left.legend(loc="upper center", ncols=2, fontsize=12)
    shown = middle.imshow(weights_of_pixels(masks[number]), vmin=0)
    middle.set(xticks=(), yticks=(), xlabel="weights kept per pixel")
    middle.grid(False)
    figure.colorbar(shown, ax=middle, shrink=0.8)
    figure.get_layout_engine().set(wspace=0.08)
    arms = ("dense", *results.arms)
    spreads = [results.spread(arm, number if arm != "dense" else 0) for arm in arms]
    looks = {"dense": ("black", "-", "P")} | LOOKS
    for at, (arm, spread) in enumerate(zip(arms, spreads)):
        colour, _, marker = looks[arm]
        right.errorbar(
            at,
            100 * spread.mean,
            yerr=100 * spread.std,
            fmt=marker,
            color=figures.COLOURS[colour],
            capsize=8,
            markersize=11,
        )
    right.set(ylabel="test accuracy, in %", ylim=worst_and_best, xlim=(-0.5, len(arms) - 0.5))
    right.set_xticks(range(len(arms)), arms, rotation=35, ha="right")
    return figure


means = [100 * results.spread(arm, number).mean for arm in results.arms for number in results.rounds]
worst_and_best = (min(means) - 3, max(means) + 3)
explore(
    draw_density,
    alt="Initial weights of the first layer, all and those kept; weights kept for each pixel; test accuracy of the arms with their spread.",
    labels={"density": "density of the ticket"},
    density=ROUND_OF,
)

# %% [markdown]
# The histogram shows something that no arm has tested. Before training all values were equally likely. Most of the kept weights were large *from the start*, and reinit draws from the whole range again, so it also starts with smaller values. Is that why it is worse? Two more controls
# for the sparsest ticket test this: one shuffles the ticket's initial values among the ticket's places in each layer; the other shuffles only their *sizes*, while each place keeps its *sign*. This takes about 10 seconds.

# %%
predict(
    "6.g",
    "Sizes shuffled, signs kept: after 50 steps, is this network nearer to the ticket, or to the network whose values are shuffled together with their signs?",
    choices=("nearer to the ticket", "nearer to shuffled values"),
)


# %% name="run-signs"
def with_values(kind, draw):
    """The start of a network with the ticket's mask; `draw` is the seed of everything random in it."""
    start = tickets.weights_of(ticket.model)
    if kind == "its own values":
        return start
    if kind == "drawn anew":
        return tickets.weights_of(zoo.lenet_300_100(seed=1000 + draw))
    chance = torch.Generator().manual_seed(draw)
    for name, keep in ticket.mask.tensors.items():
        own = start[name][keep]
        mixed = own[torch.randperm(len(own), generator=chance)]
        start[name][keep] = mixed.abs() * own.sign() if kind == "sizes shuffled" else mixed
    return start


KINDS = {"its own values": 1, "sizes shuffled": 3, "values shuffled": 3, "drawn anew": 3}  # and how many draws of each
of_kind, before = {}, {}
for kind, draws in tqdm(KINDS.items(), desc="kinds"):
    starts = [with_values(kind, draw) for draw in range(draws)]
    untrained = [prune.apply_mask(tickets.with_weights(net, start), ticket.mask) for start in starts]
    before[kind] = fit.Spread(tuple(fit.accuracy(network, splits.test) for network in untrained))
    of_kind[kind] = tickets.train_together(net, starts, [ticket.mask] * draws, [order] * draws, splits, RECIPE)
at_50 = {kind: fit.Spread(tuple(one.validation_accuracies[0] for one in of_kind[kind])) for kind in KINDS}

# %% name="out-signs" tags=["hide-input"]
with hold("6.g"):
    print(
        f"ticket of seed 0 at {ticket.mask.density:.1%}  draws  before training, test  after 50 steps  at the end, test"
    )
    for kind, draws in KINDS.items():
        cells = [before[kind], at_50[kind], fit.Spread(tuple(one.test_accuracy for one in of_kind[kind]))]
        cells = [f"{100 * one.mean:.1f}" + (f" ± {100 * one.std:.1f}" if draws > 1 else "") for one in cells]
        print(f"{kind:<24}{draws:>6}{cells[0]:>23}{cells[1]:>16}{cells[2]:>18}")

# %%
halfway = (at_50["its own values"].mean + at_50["values shuffled"].mean) / 2
reveal("6.g", "nearer to the ticket" if at_50["sizes shuffled"].mean > halfway else "nearer to shuffled values")

# %% tags=["solution-only"]
signs = at_50["sizes shuffled"].mean - at_50["values shuffled"].mean
claim(
    "By far the largest gain is due to the signs, and three draws show no gain from the sizes.",
    holds=signs > 3 * max(at_50["values shuffled"].mean - at_50["drawn anew"].mean, 0)
    and abs(at_50["its own values"].mean - at_50["sizes shuffled"].mean) < 0.01,
)
claim(
    "the mask alone gives about 74%; with weights drawn anew, the accuracy is that of chance",
    100 * before["its own values"].mean,
    within=3,
    holds=before["drawn anew"].mean < 0.13,
)

# %% [markdown]
# Read the rows from the bottom up, starting with weights drawn anew. Each further row adds one thing: the ticket's *values* (and biases), then their *signs* in the right places, then their *sizes* in the right places. By far the largest gain is due to the signs, and three draws show no gain from the sizes. This is one ticket of one network. Zhou et al. (2019) also found that the signs matter most.
#
# Now the first column. These networks have their initial weights, the mask, and no training. With the ticket's own values, the mask alone gives about 74%; with weights drawn anew, the accuracy is that of chance. So finding a mask is a kind of training (Zhou et al.: *supermasks*). And a network that is large enough contains a mask that needs no training at all: the *strong* hypothesis (Ramanujan et al. 2020; proved by Malach et al. 2020).

# %% [markdown]
# > **Takeaway.** You can test the values, the signs and the sizes of initial weights one at a time, and for this ticket the signs matter most.

# %% [markdown]
# ## 7 A study that can be stopped, or run elsewhere
#
# If you give a long study a folder, it writes each seed's state there after each round, in a single step that cannot be left half done. The same call continues where the study stopped, even with more rounds or more seeds. With *other settings* it refuses. This takes about 5 seconds.

# %% name="out-resume"
short = Recipe(steps=20)
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder) / "study"
    for rounds in (1, 2):
        made = []
        run_study(Study(short, seeds=(0, 1), rounds=rounds), folder, progress=made.append)
        print(f"rounds asked for: {rounds}; rounds trained:", sorted({state.round - 1 for state in made}))
    try:
        run_study(Study(short, seeds=(0, 1), rounds=2, rate=0.5), folder)
    except ValueError as refusal:
        print("with another rate:", str(refusal).replace(str(folder), "the folder"))

# %% [markdown]
# joblib decides which machine trains a group of seeds. To use other machines, choose another backend, such as dask (not run here):
#
# ```python
# import distributed
#
# client = distributed.Client("scheduler:8786")  # its workers have this package installed
# with joblib.parallel_config(backend="dask"):
#     run_study(study, folder, seeds_together=1)
# ```

# %% [markdown]
# > **Takeaway.** A long study saves each finished round, continues after a stop, and refuses to mix two settings.

# %% [markdown]
# ## 8 Where it stops working
#
# - **The training is short.** The paper trains this network for 50,000 steps on digits; here it is a few hundred, or at most 1,500. So here "the ticket beats the dense network" means *at the same number of steps*. Section 5 makes the other comparison.
# - **Not every result of the paper holds at this length.** There, a ticket of a few percent is about as good as the dense network, and with other initial weights it soon falls behind. Compare this with the rows `ticket - dense` and `reinit - dense`: where even reinit is no worse than dense, doing as well as the dense network is no proof of a ticket.
# - **A mask is not neutral.** It was made from trained weights, so it contains information about the data (section 6). SNIP (lesson 05) and other methods look for a mask *before* training. Even when shuffled within each layer, such masks do just as well, so these methods find only how many weights each layer needs (Su et al. 2020; Frankle et al. 2021).
# - **Larger networks need late rewinding**, according to the papers. With a high learning rate, or with whole channels pruned, networks drawn anew are often as good as tickets (Liu et al. 2019). Your results are about this network, this data, the pruning of single weights, and this recipe.
# - **No speed, no bytes.** A ticket in a dense tensor is as large and as slow as the network that it was found in. Lesson 05 shows how to change that.

# %% [markdown]
# > **Takeaway.** A result belongs to its network, its data, its recipe and its number of steps; say them together with the result.

# %% [markdown]
# ## With pencil and paper
#
# **1.** Each round removes a fifth of the remaining weights, and each training takes 300 steps from step 0. How many rounds does it take to reach a density of 6.25% or less, and how many steps is that, including the training of the dense network? How many rounds and steps are needed if each round removes half?
#
# <details><summary>Answer</summary>
#
# 0.8 to the power of 12 is 0.069, and to the power of 13 it is 0.055: 13 rounds, so 14 training runs and 4,200 steps. If each round removes half, 0.5 to the power of 4 is 0.0625: 4 rounds, 5 training runs and 1,500 steps.
# </details>
#
# **2.** Three seeds give the ticket accuracies of 0.80, 0.84 and 0.79, and the control 0.78, 0.80 and 0.79. What are the mean and the sample standard deviation of the differences? Is the difference real?
#
# <details><summary>Answer</summary>
#
# The differences are 0.02, 0.04 and 0. Their mean is 0.02, and their standard deviation is the root of (0 + 0.0004 + 0.0004) / 2, which is 0.02. With three seeds the 95% interval extends 2.5 standard deviations to either side: from -0.03 to 0.07. It contains zero, so the difference is not established.
# </details>
#
# **3.** A weight has just been pruned to 0. Its velocity is 0.2, the momentum 0.9, the learning rate 0.1, and its gradient is masked, so it is 0. What is the weight after one step and after two? What value does it approach after many steps?
#
# <details><summary>Answer</summary>
#
# The velocity becomes 0.18 and the weight -0.018; then the velocity becomes 0.162 and the weight -0.0342. From the first step on, all velocities together are 0.2 · (0.9 + 0.81 + ...) = 0.2 · 9 = 1.8, so the weight ends at -0.18. A masked gradient is not enough.
# </details>
#
# ## The ledger
#
# Which ticket goes into the ledger? The sparsest whose mean *validation* accuracy at the end is at least that of the dense network.

# %%
at_end = {number: results.spread("ticket", number, at=RECIPE.steps).mean for number in results.rounds}
dense_at_end = results.spread("dense", 0, at=RECIPE.steps).mean
good = [number for number in results.rounds if at_end[number] >= dense_at_end]
chosen = max(good, default=results.rounds[0])
model = tickets.with_weights(net, chain[chosen].weights).eval()

# %% name="out-ledger" tags=["hide-input"]
print(f"kept: round {chosen}, {results.density(chosen):.1%} of the weights")
print(f"stored as it is: {measure.stored_bytes(model):,} bytes")
by_format = sparse.stored_formats(model.linear1.weight.detach())
print(
    "linear1 alone:",
    ", ".join(f"{name} {size:,}" for name, size in by_format.items() if name in ("dense", "bitmap", "CSR")),
)

# %% tags=["solution-only"]
claim(
    "A ticket in a dense tensor is as large and as slow as the network that it was found in",
    holds=measure.stored_bytes(model) == measure.stored_bytes(net),
)

# %% tags=["hide-input"]
names = {
    "lenet_300_100": tickets.with_weights(net, chain[0].weights).eval(),
    f"a ticket, {results.density(chosen):.0%}": model,
}
report = measure.report(
    names, splits.test.images[:1], accuracies=dict(zip(names, (chain[0].test_accuracy, chain[chosen].test_accuracy)))
)
for row in report.rows:
    table = ledger(row, lesson=6, beside=report.rows[0])
table

# %%
progress()

# %% [markdown]
# ## Summary
#
# - Train, remove a share of the remaining weights (the smallest ones), go back to the start, and repeat. Count only the weights that are left; reset the biases, too; keep the zeros through every step.
# - A ticket is a mask *and* its initial weights. Each control takes one of them away.
# - One seed is an anecdote. Subtract seed by seed, then look at mean and spread.
# - You can also test the values, the signs and the sizes of initial weights one at a time.
# - How fast a network learns and how far it gets are two questions, and a short training run answers them only in part.
# - Two runs end in the same valley or in different ones: the accuracy along a straight line between them shows which.
# - The search costs many training runs. Its result is knowledge, not speed.
#
# **References.** Frankle and Carbin 2019, *The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks*. Zhou et al. 2019, *Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask*. Liu et al. 2019, *Rethinking the Value of Network Pruning*. Frankle et al. 2019b, *Stabilizing the Lottery Ticket
# Hypothesis* (arXiv 1903.01611). Frankle et al. 2020, *Linear Mode Connectivity and the Lottery Ticket Hypothesis*. Renda et al. 2020, *Comparing Rewinding and Fine-tuning in Neural Network Pruning*. Han et al. 2015, *Learning both Weights and Connections for Efficient Neural Networks*.
#
# **Further reading.** Ramanujan et al. 2020, *What's Hidden in a Randomly Weighted Neural Network?* Malach et al. 2020, *Proving the Lottery Ticket Hypothesis: Pruning is All You Need*. Su et al. 2020, *Sanity-Checking Pruning Methods: Random Tickets Can Win the Jackpot*. Frankle et al. 2021, *Pruning Neural Networks at Initialization: Why Are We Missing the Mark?*
#
# **In the library.** In [`mini_lib/prune/tickets`](../mini_lib/prune/tickets/__init__.py), [`imp.py`](../mini_lib/prune/tickets/imp.py) is the search, [`arms.py`](../mini_lib/prune/tickets/arms.py) has the controls, [`together.py`](../mini_lib/prune/tickets/together.py) trains many nets as one; in [`studies/tickets`](../studies/tickets/__init__.py), [`study.py`](../studies/tickets/study.py) and [`run.py`](../studies/tickets/run.py) are the study, and [`store.py`](../studies/tickets/store.py) saves it and continues it.
#
# **Next:** [07 Is a depthwise-separable convolution the same thing for less?](07_depthwise.ipynb)
