# %% [markdown]
# # Was the winning ticket there from the start?
#
# Lesson 06 · about 75 minutes · before it: [01 What does a model cost?](01_measure.ipynb)
#
# Most weights of a trained network can be taken away, and it still works. Then why train them at all? Because, so it was long said, a
# small net does not learn as well as a large one: train large, prune later. In 2018 Jonathan Frankle and Michael Carbin tried something simple.
# They pruned a trained net, then put the weights that were left back to *the values that they had before any training*, and trained this small net again. It learned as well as the
# large one, and faster. With other initial values it did not. Their explanation is **the lottery ticket hypothesis**: a large net is a
# heap of tickets, small nets with random weights, and one of them wins because of how its weights happened to be drawn.
#
# That is a claim about cause, and such a claim needs an experiment with controls. In this lesson you run it.
#
# **You will be able to**
# 1. find a ticket by iterative magnitude pruning, and say what each step of it must not do;
# 2. compare it with controls that change one thing at a time, over several seeds, and say which differences are real;
# 3. say what rewinding is, what the search costs, and what such a study does not show.
#
# Every answer is checked when you run the cell below it. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back.

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
from teach import check, explore, figures, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one core a process; further cores get processes of their own
figures.use_style()

# %% [markdown]
# ## 1 Find a ticket
#
# The net is LeNet-300-100, the smallest of the paper: three linear layers, 784 to 300 to 100 to 10. The pictures are those of this course. Training is short, so that the whole study fits into this lesson.

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
# **Iterative magnitude pruning** goes like this.
#
# 1. Draw the initial weights, and keep a copy.
# 2. Train.
# 3. Of the weights that are left, take away the share $p$ with the smallest magnitude.
# 4. Put the others back to their initial values. Go on with 2.
#
# One could take away everything at once. The paper finds smaller winning tickets in rounds.
#
# How much is left? By hand: with $p = 0.2$, one round leaves 0.8. The second takes a fifth *of that*, 0.16, and leaves 0.64.

# %% [markdown]
# ### Exercise 6.1 - What is left after some rounds (3 min)


# %% name="ex-6-1" tags=["exercise"]
def density_after(rate, rounds):
    """The share of the weights that is left after some rounds of pruning.

    rate: the share of what remains that each round takes, between 0 and 1. Returns a number.
    """
    ### BEGIN SOLUTION
    return (1 - rate) ** rounds
    ### END SOLUTION


# %% tags=["check"]
check("6.1")

# %% [markdown]
# <details><summary>Hint 1: one round</summary>
#
# What must the density before the round be multiplied by?
# </details>

# %% [markdown]
# Step 3 looks harmless, and is not. What is pruned has the value zero, and zero is the smallest magnitude there is. By hand: `[0.3, -0.2, 0, 0]`, where the two zeros are pruned, and a rate of one half. Two are left, so *one* goes: the -0.2. Whoever ranks all
# four takes away the two zeros once more, and nothing has happened.

# %% [markdown]
# ### Exercise 6.2 - The mask of the next round (8 min)


# %% name="ex-6-2" tags=["exercise"]
def next_mask(trained, mask, rate):
    """The mask of the next round: of the weights that the mask keeps, the smallest are taken away.

    trained: a tensor of weights; where the mask is False, anything may stand. mask: True is kept; same shape.
    Takes round(rate * number kept) of them, by magnitude, and no two kept weights are equally large. Returns a new mask.
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
# Two questions: how many go, and which? Both are about the weights that are left, not about all.
# </details>
# <details><summary>Hint 2: how to leave the others out</summary>
#
# `trained.abs()[mask]` has the magnitudes of those that are left. Or give the others a magnitude of infinity: then they are never the smallest.
# </details>
# <details><summary>Hint 3: from numbers to places</summary>
#
# `argsort()` of a flat tensor gives the places, smallest first. (The mask you were given is not yours: `clone()` it.)
# </details>

# %% [markdown]
# Step 4. Everything that was trained goes back to the start, **biases included**; what is pruned becomes zero.

# %% [markdown]
# ### Exercise 6.3 - Back to the start (5 min)


# %% name="ex-6-3" tags=["exercise"]
def reset(initial, trained, mask):
    """The weights that a ticket starts from.

    initial, trained: all parameters by name, before and after training. mask: for some of them, what stays.
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
# You are given the trained weights as well. What is still needed of them, now that there is a mask?
# </details>
# <details><summary>Hint 2: parameters without a mask</summary>
#
# Biases are not in the mask. They come along as they were at the start.
# </details>

# %% [markdown]
# Then the ticket is trained, and its zeros must stay zeros. A mask that is only applied before training goes stale with the first step. And many optimizers remember: **momentum** adds up earlier gradients in a velocity,
#
# $$\text{velocity} \leftarrow \text{momentum} \cdot \text{velocity} + \text{gradient}, \qquad \text{weight} \leftarrow \text{weight} - \text{rate} \cdot \text{velocity}.$$
#
# If a weight is pruned in the middle of training, its velocity goes on moving it, even when its gradient is masked. By hand: weight 0, gradient 0, velocity 4, momentum 0.5, rate 0.25. The velocity becomes 2, and the pruned weight -0.5.

# %% [markdown]
# ### Exercise 6.4 - A step that keeps the zeros (8 min)


# %% name="ex-6-4" tags=["exercise"]
def masked_step(weight, gradient, velocity, mask, learning_rate, momentum):
    """One step of SGD with momentum, for weights some of which have just been pruned.

    weight, gradient, velocity: tensors of one shape, as they are before the step; mask: True is kept.
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
# Write the two formulas down first, in this order. Then ask of each result: can it be anything but zero where the mask is False?
# </details>
# <details><summary>Hint 2: where to multiply</summary>
#
# After the step, not before it: once for the velocity, once for the weight.
# </details>

# %% [markdown]
# The library starts each training with a new optimizer and masks the gradient at each step, so there is never a velocity to begin with. `find_ticket` is the whole loop; it is twenty lines, in `mini_lib/prune/tickets/imp.py`.

# %% name="out-ticket"
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
# All layers were ranked together, and it is not the same share that stays in each. The first layer has most of the weights, and loses the largest share of them.

# %%
predict(
    "6.a",
    "Sort the 784 pixels by how bright they are in the mean picture. Which third keeps most of its weights?",
    choices=("the darkest third", "the middle third", "the brightest third", "about the same in all three"),
)

# %% [markdown]
# Each input pixel has 300 weights. How many of them does the ticket keep? Beside it the mean of the training pictures, and what the same number of weights looks like when chance has chosen them.


# %% name="fig-pixels"
def weights_of_pixels(mask):
    """How many of its 300 weights each pixel keeps: [28, 28]."""
    return mask["linear1.weight"].sum(dim=0).reshape(28, 28)


def draw_pixels():
    figure, three = plt.subplots(1, 3, figsize=(11, 3.6))
    kept = weights_of_pixels(ticket.mask)
    by_chance = weights_of_pixels(tickets.shuffled_mask(ticket.mask, seed=0))
    three[0].imshow(data.to_pixels(splits.train.images.mean(dim=0)[0]))
    for axes, picture in ((three[1], kept), (three[2], by_chance)):
        shown = axes.imshow(picture, vmin=0, vmax=kept.max())
    figure.colorbar(shown, ax=three, label="weights kept, of 300", shrink=0.8)
    for axes, title in zip(three, ("the mean picture", "the ticket", "by chance, as many")):
        axes.set(title=title, xticks=(), yticks=())
        axes.grid(False)
    return figure


show(
    draw_pixels(),
    alt="Three pictures of 28 by 28: the mean of the training pictures; how many weights of each pixel the ticket keeps; the same for places drawn by chance.",
)

# %%
THIRDS = ("the darkest third", "the middle third", "the brightest third")
kept = weights_of_pixels(ticket.mask).flatten().float()
by_brightness = splits.train.images.mean(dim=0).flatten().argsort()
of_third = {name: kept[pixels].mean().item() for name, pixels in zip(THIRDS, by_brightness.chunk(3))}
for name, count in of_third.items():
    print(f"{name:<20}{count:5.1f} weights a pixel")
most = max(of_third, key=of_third.get)
reveal("6.a", most if of_third[most] > 1.25 * sorted(of_third.values())[1] else "about the same in all three")

# %% [markdown]
# Look for outlines: the neck and the hem of a shirt, the gap between the legs of trousers. Places drawn by chance show none. So a mask that was found by training has seen the data, although
# its weights have not.
#
# ## 2 Controls: one thing at a time
#
# The hypothesis says: *this mask* and *these initial weights* belong together. To test it, change one and keep the other.
#
# | arm | mask | initial weights | if it does as well as the ticket, then |
# | --- | --- | --- | --- |
# | ticket | found by pruning | its own | |
# | reinit | the ticket's | drawn anew | the mask alone is enough |
# | shuffled | as many in each layer, places drawn anew | its own | how many in each layer is enough |
# | random | as many in all, anywhere | its own | a sparse net is enough |
# | dense | everything | its own | nothing was needed |
#
# By hand: a layer with the mask `[1, 0, 0]`, initial weights `[1, 2, 3]`, other weights `[-4, -5, -6]`. Reinit starts from `[-4, 0, 0]`. For shuffled, chance draws a number for each place, `[0.2, 0.1, 0.9]`. One weight is to be kept, the place with the highest number: `[0, 0, 3]`.

# %% [markdown]
# ### Exercise 6.5 - Two controls (10 min)


# %% name="ex-6-5" tags=["exercise"]
def controls(mask, initial, other, chance):
    """What the nets of two controls start from: reinit and shuffled.

    mask: a tensor for each layer, by name, True is kept. initial, other: the ticket's initial weights, and others.
    chance: random numbers, all different; each layer keeps the places with the highest ones. The same names and shapes in all.
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
# In each layer as many as the ticket keeps *there*: `int(mask[name].sum())`.
# </details>
# <details><summary>Hint 3: which places</summary>
#
# `chance[name].flatten().argsort(descending=True)` has the places in the order in which they win.
# </details>

# %% [markdown]
# ### Fifty-one nets
#
# One net of each kind proves nothing: another seed, another result. Three seeds, four arms, four densities, and the dense nets: 51 trainings. The library can stack the weights of many nets into one tensor and train them **as one**: the same loop, each matrix product done for all nets at once (`torch.func.vmap`). Nothing passes from one net to another. And if there are more cores, each can have a process of its own.

# %%
predict("6.b", "How many times as fast as training them one by one is the fastest way in the next table?", unit="times")

# %% name="out-ways"
CORES = joblib.cpu_count()
IN_PROCESSES = f"{CORES} processes, 4 together in each"
ways = {way.name: way for way in compare_ways(Recipe(steps=20), together=(4, 12), processes=CORES, repeats=1)}
print("20 steps and a test, one thread per process  seconds per net    times as fast")
for name, way in ways.items():
    print(f"{name:<46}{way.time_s.median_s:14.3f}{way.times_faster_than(ways['one by one']):17.2f}")


def largest_difference(recipe, seeds=(0, 1)):
    """Between nets trained as one and one by one: of all their weights together, relative to their size."""
    starts = [tickets.weights_of(zoo.lenet_300_100(seed)) for seed in seeds]
    orders = [tickets.batch_order(len(splits.train), recipe, seed) for seed in seeds]
    joined = tickets.train_together(net, starts, [None] * len(seeds), orders, splits, recipe)
    for one, start, order in zip(joined, starts, orders):
        alone = tickets.train_alone(net, start, None, order, splits, recipe)
        first, second = (torch.cat([value.flatten() for value in of.weights.values()]) for of in (one, alone))
        yield ((first - second).norm() / second.norm()).item()


for optimizer, rate in (("sgd", 0.1), ("adam", 1.2e-3)):
    short = Recipe(steps=20, optimizer=optimizer, learning_rate=rate)
    print(
        f"together or one by one, {optimizer:<4}: weights differ by {max(largest_difference(short)):.0e} of their size"
    )

# %% tags=["solution-only"]
claim(
    "The nets are the same up to roundings",
    holds=max(largest_difference(Recipe(steps=20, optimizer="sgd", learning_rate=0.1))) < 1e-4,
)

# %%
reveal("6.b", round(max(way.times_faster_than(ways["one by one"]) for way in ways.values()), 1))

# %% [markdown]
# The nets are the same up to roundings. Whether there is any time to gain depends on the machine: read the table. The study takes the faster one of the last two ways.
#
# ### The study

# %%
predict(
    "6.c",
    "At about 6% of the weights, after only 50 steps: which has the highest validation accuracy?",
    choices=("dense", "ticket", "reinit", "shuffled", "random"),
)

# %%
predict(
    "6.d",
    "The same density, at the end of training: how many points of test accuracy does random lie below the ticket?",
    unit="points",
)

# %% name="out-study"
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
print(results)

# %% name="out-early"
print("the same nets after 50 steps: validation accuracy in percent")
print(results.table(at=50))

# %% name="fig-study"
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

# %%
lowest = results.rounds[-1]
early = {"dense": results.spread("dense", 0, at=50).mean}
early |= {arm: results.spread(arm, lowest, at=50).mean for arm in results.arms}
reveal("6.c", max(early, key=early.get))

# %%
reveal("6.d", round(100 * results.differences("ticket", lowest, "random").mean, 1))

# %% tags=["solution-only"]
claim(
    "After 50 steps the ticket is ahead, of the dense net and of every control",
    holds=all(
        paired(
            results.values("ticket", lowest, 50), results.values(arm, 0 if arm == "dense" else lowest, 50)
        ).interval()[0]
        > 0
        for arm in ("dense", *results.arms[1:])
    ),
)

# %% [markdown]
# On the left: who learns *fast*? On the right: who gets *far*? After 50 steps the ticket is ahead, of the dense net and of every control. What does the net lose when its weights are drawn anew and the mask stays? What does it lose when it keeps as many of its own weights, at other places?
#
# ## 3 Is the difference real?
#
# The bands are wide, and some of them overlap. But a band mixes two things: how arms differ, and how seeds differ. All arms of one seed share the order of the pictures (and all but reinit their initial weights), so **subtract first, seed by seed**, then take the mean and the spread.
#
# By hand: ticket 0.75 and 0.5, control 0.5 and 0.25. The two means differ by 0.25, and each arm by itself has a standard deviation of 0.18. But the two differences are 0.25 and 0.25: their spread is 0. The standard deviation is that of a *sample*: the seeds stand for all that you did not try, so divide by $n - 1$.

# %% [markdown]
# ### Exercise 6.6 - A difference, seed by seed (5 min)


# %% name="ex-6-6" tags=["exercise"]
def paired_difference(ticket, control):
    """By how much the ticket is better than a control: mean and sample standard deviation over the seeds.

    ticket, control: an accuracy for each seed, {seed: accuracy}; the same seeds, in any order, two at least.
    Returns (mean, standard deviation).
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
# For each seed one difference. Is the first entry of the one dict the same seed as the first of the other?
# </details>
# <details><summary>Hint 2: the spread</summary>
#
# `statistics.stdev` divides by n - 1, `statistics.pstdev` by n.
# </details>

# %% name="out-paired"
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
    "reaches 2.5 standard deviations to either side with three seeds, and .7 with ten",
    float(stats.t.ppf(0.975, 2)) / 3**0.5,
    float(stats.t.ppf(0.975, 9)) / 10**0.5,
)
claim("chance alone does that\nabout every fifth time", holds=abs(2 * float(stats.t.sf(3**0.5, 2)) - 0.2) < 0.05)

# %% [markdown]
# How far can the mean be off? Its **95% interval** (Student's t) reaches 2.5 standard deviations to either side with three seeds, and .7 with ten. A difference is *real*, as we use the word here, if its interval leaves out zero. "More than one standard deviation" is not enough: with three seeds, chance alone does that
# about every fifth time. Three seeds are few, so here is one with more of them, longer, in more rounds of a fifth each. It was **recorded**: this cell trains nothing; it reads a file that comes with the course,
# and names the command that makes it anew.

# %% name="out-recorded"
longer, settings = recorded()
print("RECORDED, not run here; to make it anew:")
print(f"{RECORDING_COMMAND} tickets --folder DIR")
print(f"{len(longer.seeds)} seeds, {settings['recipe.steps']} steps, rate {settings['rate']}\n")
print(longer)


# %% name="fig-recorded"
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
claim("in the recorded study the ticket is ahead of the dense net and of every control", holds=all(ahead_of))
behind = paired(longer.values("reinit", longer.rounds[-1]), longer.values("dense", 0))
level = paired(longer.values("reinit", longer.rounds[6]), longer.values("dense", 0)).interval()
claim(
    "reinit is level with the dense net at 21%, and behind it at 3.5%",
    100 * longer.density(longer.rounds[6]),
    100 * longer.density(longer.rounds[-1]),
    holds=behind.interval()[1] < 0 and level[0] < 0 < level[1],
)

# %% [markdown]
# So in the recorded study the ticket is ahead of the dense net and of every control, at both densities. At the end reinit is level with the dense net at 21%, and behind it at 3.5%.
#
# ## 4 Rewinding
#
# For larger nets the experiment *failed* at first. Put back to the very start, the pruned net did not reach the dense one. What helped was to go back not to step 0 but a little later, to step $k$: **late rewinding** (Frankle et al., 2019b). The explanation that is offered (Frankle et al., 2020): early in training, chance, for instance the order
# of the pictures, decides to which valley the net will go. A mask that was found in one valley does not fit another one. Later the valley is settled.
#
# Two relatives (Renda et al., 2020). **Learning-rate rewinding** keeps the trained weights and takes only the schedule of the learning rate back. **Fine-tuning** keeps both: the trained weights, and the low rate of the end.
#
# If the weights go back to step $k$, so does the schedule: the steps from $k$ to $T$ are made again, with the learning rates that belong to them. By hand: three steps with the rates 0.3, 0.2, 0.1. Rewound to step 1, two steps are left, with 0.2 and 0.1.

# %% [markdown]
# ### Exercise 6.7 - Rewind to step k (5 min)


# %% name="ex-6-7" tags=["exercise"]
def rewind(history, rates, mask, k):
    """Where a net that is rewound to step k starts, and what is left of its schedule.

    history: the weights after 0, 1, 2 ... T steps, a list of T + 1 tensors. rates: the learning rates of the T steps.
    mask: True is kept. Returns (weights to start from, list of the learning rates of the steps still to make).
    """
    ### BEGIN SOLUTION
    return history[k] * mask, rates[k:]
    ### END SOLUTION


# %% tags=["check"]
check("6.7")

# %% [markdown]
# <details><summary>Hint 1: count</summary>
#
# Of T steps, k have been made when the weights are those of step k. How many are left?
# </details>
# <details><summary>Hint 2: which index</summary>
#
# `history[0]` is the start, before any step.
# </details>

# %% [markdown]
# ### Is the valley settled?
#
# That can be tested. Train two copies of a net that differ in the order of the pictures alone, go in a straight line from the weights of the one to those of the other, and measure the accuracy on the way. If it holds, no **barrier** lies between them: they are in one valley (*linear mode connectivity*). The barrier is the mean of the two
# ends less the lowest point. By hand: ends of 0.8 and 0.9, lowest 0.7, barrier 0.15. If the copies share their first $k$ steps, the barrier says whether chance still decides after step $k$. The control: two nets with different initial weights.

# %% name="fig-valleys"
STEEP_RATE, SETTLED_AT = 5e-3, 60


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
    """Validation accuracies on the straight line from one net to another: [points]."""
    line = [{name: torch.lerp(one[name], other[name], at / (points - 1)) for name in one} for at in range(points)]
    return torch.tensor(stacked.accuracies_together(net.eval(), stacked.stack(line), splits.validation))


def barrier(accuracies):
    return ((accuracies[0] + accuracies[-1]) / 2 - accuracies.min()).item()


steep_recipe = replace(RECIPE, learning_rate=STEEP_RATE)
pairs = {
    "our rate, step 0": two_orders(RECIPE, 0),
    f"rate {STEEP_RATE:g}, step 0": two_orders(steep_recipe, 0),
    f"rate {STEEP_RATE:g}, step {SETTLED_AT}": two_orders(steep_recipe, SETTLED_AT),
}
alone = [one for one, _ in pairs["our rate, step 0"]]
pairs["our rate, other initial weights"] = list(zip(alone, alone[1:] + alone[:1]))
valleys = {name: [along(*two) for two in several] for name, several in pairs.items()}


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
    axes.set(xlabel="from the weights of one net (0) to the other's (1)", ylabel="validation accuracy, in %")
    axes.legend(fontsize=12)
    return figure


show(
    draw_valleys(),
    alt="Validation accuracy on the straight line between two trained nets, mean of three pairs: nearly level for two orders of pictures at our rate and from step 60 at the high rate, a shallow dip from step 0 at the high rate, a deep one for other initial weights.",
)

# %% name="out-valleys"
print("parted at, or by                   barriers of three pairs, points")
for name, lines in valleys.items():
    print(f"{name:<35}" + "".join(f"{100 * barrier(line):8.1f}" for line in lines))

# %% tags=["solution-only"]
barriers = {name: [100 * barrier(line) for line in lines] for name, lines in valleys.items()}
ours, steep0, steep60, apart = barriers.values()
claim(
    "another order of the pictures leaves barriers of about a point, other initial weights of 5 points and more",
    holds=max(ours) < 2 and min(apart) > 5,
)
claim(
    "in each of the three pairs the barrier is lower from step 60 on, and there it is below a point",
    holds=max(steep60) < 1 and all(late < at_once for late, at_once in zip(steep60, steep0)),
)

# %% [markdown]
# At our rate the net is settled from the very start: another order of the pictures leaves barriers of about a point, other initial weights of 5 points and more. At about four times the rate, in each of the three pairs the barrier is lower from step 60 on, and there it is below a point. If the explanation holds, a later step has
# nothing to repair at our rate. (Frankle et al., 2020, found the same for this net on digits, and for none of their larger ones.)

# %%
REWIND_TO = 50
predict(
    "6.e",
    f"A dense net is pruned once, to {(1 - RATE) ** ROUNDS:.0%}, and trained again. From which weights, with which rates, does it end highest?",
    choices=(
        "weights of the start",
        f"weights of step {REWIND_TO}",
        "trained weights, all rates again",
        "trained weights, the last rate",
    ),
)

# %% [markdown]
# With a constant rate, learning-rate rewinding has nothing to take back. So here the rate drops to a tenth after 150 of the 300 steps, and again after 225. All four nets have one mask, and all but `late` make 300 steps more.

# %% name="out-rewinding"
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
print("test accuracy, three seeds" + " " * 17 + "minus lr_rewind, points")
for name, values in again.items():
    differences = [value - other for value, other in zip(values, again["lr_rewind"])]
    print(f"{name:<12}{fit.Spread(tuple(values))!s:<31}" + (points(differences) if name != "lr_rewind" else ""))

# %%
best_way = max(WAYS_BACK, key=lambda name: sum(again[name]))
reveal(
    "6.e",
    {
        "ticket": "weights of the start",
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
claim("that is worth about 5 points", 100 * pairs_of["fine-tuned"].mean, within=1.5)
claim(
    "`lr_rewind` is ahead of `late` and `ticket` as well, by less than a point",
    holds=all(pairs_of[name].interval()[0] > 0 and pairs_of[name].mean < 0.01 for name in ("late", "ticket")),
)
late_gain = Paired(tuple(one - other for one, other in zip(again["late"], again["ticket"])))
claim("Late rewinding is no better than the ticket", holds=late_gain.interval()[0] < 0)
claim(
    "`ticket` and `late` are ahead of `fine-tuned` here in the mean",
    holds=min(sum(again["ticket"]), sum(again["late"])) > sum(again["fine-tuned"]),
)

# %% [markdown]
# `lr_rewind` and `fine-tuned` make the same steps from the same weights, and differ in the rates alone: that is worth about 5 points. `lr_rewind` is ahead of `late` and `ticket` as well, by less than a point, but its weights have had all the steps of the dense net before. Late rewinding is no better than the ticket. Renda et al.
# found in deep nets that both ways of rewinding beat fine-tuning, and that rewinding the learning rate is enough; `ticket` and `late` are ahead of `fine-tuned` here in the mean.
#
# And where the net is *less* settled at step 0? Here is a study at the high rate, constant again, with six rounds, 600 steps and ten seeds: **recorded**.

# %% name="out-rewinding-recorded"
steep, steep_settings = recorded("rewinding")
print("RECORDED, not run here; to make it anew:")
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
claim("no gain is\nestablished ($p$ = .09)", corrected, holds=corrected > 0.05)
claim("what a later step gains on top, about half a point at most", holds=max(gain.mean for gain in of_late) < 0.0055)
claim(
    "the ticket is ahead of both",
    holds=all(
        steep.differences("ticket", number, other).mean > 0 for number in steep.rounds for other in ("dense", "reinit")
    ),
)

# %% [markdown]
# First the last two columns: is the ticket, put back to the very start, worse than the dense net, or no better than a net drawn anew? That would be the failure. But the ticket is ahead of both, in the mean at each density. Then the first column: what a later step gains on top, about half a point at most, in the mean. Corrected for six questions, no gain is
# established ($p$ = .09). So at this rate, with its barrier at step 0, the ticket does not fail. The failures of the papers are those of deeper nets.
#
# ## 5 What the search costs
#
# By hand: 3 rounds, 100 steps each, no rewinding to a later step: the dense net makes 100 steps, and so does the ticket of each round, 400 in all. If the tickets go back to step 10, the dense net still makes 100, and each ticket 90.

# %% [markdown]
# ### Exercise 6.8 - What the search costs (4 min)


# %% name="ex-6-8" tags=["exercise"]
def search_steps(rounds, steps, rewind_to):
    """All steps of training that are made: by the dense net, and by the ticket of each round, the last one included.

    rounds: rounds of pruning; steps: those of the dense net; rewind_to: the step that tickets go back to.
    Returns a whole number.
    """
    ### BEGIN SOLUTION
    return steps + rounds * (steps - rewind_to)
    ### END SOLUTION


# %% tags=["check"]
check("6.8")

# %% [markdown]
# <details><summary>Hint 1: count trainings</summary>
#
# One round of pruning: the dense net is trained, pruned, and its ticket is trained. How many trainings are that?
# </details>

# %% [markdown]
# The ticket had the steps of a whole search behind it, though not in its weights. What if the dense net had got all these steps?

# %%
predict(
    "6.f",
    "The dense net, trained for as many steps as the whole search took. Where does it end, compared with the last ticket?",
    choices=("above the ticket", "below the ticket", "not known: the interval holds zero"),
)

# %% name="out-cost"
all_steps = (ROUNDS + 1) * RECIPE.steps
patient = Study(Recipe(steps=all_steps), arms=("ticket",), rounds=1)
tasks = (joblib.delayed(advance)(patient, [State(seed)]) for seed in STUDY.seeds)
finished = joblib.Parallel(n_jobs=CORES, backend="loky", return_as="generator_unordered")(tasks)
patient_runs = [state.runs[0] for [state] in tqdm(finished, total=len(STUDY.seeds), desc="dense nets")]
patient_accuracy = {run.seed: run.test_accuracy for run in patient_runs}
ticket_accuracy = results.values("ticket", lowest)

print(f"the search, seed 0: {ROUNDS} trainings, {search_s:.1f} s; the ticket's own training: {ticket_s:.1f} s")
print(f"dense, {RECIPE.steps} steps               {results.spread('dense', 0)}")
print(f"ticket at {results.density(lowest):.1%}, {RECIPE.steps} steps     {results.spread('ticket', lowest)}")
print(f"dense, {all_steps} steps              {fit.Spread(tuple(patient_accuracy.values()))}")
ahead = fit.Spread(tuple(patient_accuracy[seed] - value for seed, value in ticket_accuracy.items()))
print(f"dense with all steps - ticket: {points(ahead.values)}")

# %%
low, high = Paired(ahead.values).interval()
side = "above the ticket" if low > 0 else "below the ticket" if high < 0 else "not known: the interval holds zero"
reveal("6.f", side)

# %% tags=["solution-only"]
claim(
    "the dense net is ahead of the ticket in each of the three seeds, and the interval of the mean still holds zero",
    holds=min(ahead.values) > 0 and low < 0 < high,
)

# %% [markdown]
# With all the steps, the dense net is ahead of the ticket in each of the three seeds, and the interval of the mean still holds zero: three seeds do not settle it. What is sure is the price: all these trainings to know which weights to keep, and each of them multiplies the zeros, too. What a ticket shows is something
# else: **that a small net could have learned this, had one known where to look.**
#
# ## 6 Look around
#
# Move the density. On the left the *initial* values of all weights of the first layer, and of those that the ticket keeps: does training keep weights that were large from the start? In the middle what each pixel has left. On the right the test accuracy of all arms.

# %% name="fig-explore" tags=["widget"]
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
    middle.set(xticks=(), yticks=(), xlabel="weights kept a pixel")
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
    density=ROUND_OF,
)

# %% [markdown]
# The histogram shows something that no arm has tested. Before training all values were equally likely. What is kept was mostly large *from the start*, and reinit draws from all values again, so it also starts with smaller ones. Is that why it is worse? Two more controls
# for the sparsest ticket: its initial values shuffled among its own places, in each layer; and only their *sizes* shuffled, while each place keeps its *sign*.

# %%
predict(
    "6.g",
    "Sizes shuffled, signs kept: after 50 steps, is it nearer to the ticket or to the net whose values are shuffled altogether?",
    choices=("nearer to the ticket", "nearer to shuffled values"),
)


# %% name="out-signs"
def with_values(kind, draw):
    """The start of a net with the ticket's mask; `draw` is the seed of all chance in it."""
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
nets = [(kind, draw) for kind, draws in KINDS.items() for draw in range(draws)]
starts = [with_values(*one) for one in nets]
untrained = [
    fit.accuracy(prune.apply_mask(tickets.with_weights(net, start), ticket.mask), splits.test) for start in starts
]
done = tickets.train_together(net, starts, [ticket.mask] * len(nets), [order] * len(nets), splits, RECIPE)
of_kind = {kind: [trained for (one, _), trained in zip(nets, done) if one == kind] for kind in KINDS}
at_50 = {kind: fit.Spread(tuple(one.validation_accuracies[0] for one in of_kind[kind])) for kind in KINDS}
before = {kind: fit.Spread(tuple(value for value, (one, _) in zip(untrained, nets) if one == kind)) for kind in KINDS}
print(f"ticket of seed 0 at {ticket.mask.density:.1%}  draws  before training, test  after 50 steps  at the end, test")
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
    "By far the largest jump is the signs', and the sizes add nothing that three draws could show.",
    holds=signs > 3 * max(at_50["values shuffled"].mean - at_50["drawn anew"].mean, 0)
    and abs(at_50["its own values"].mean - at_50["sizes shuffled"].mean) < 0.01,
)
claim(
    "the mask alone gives about 74%, with weights drawn anew it is chance",
    100 * before["its own values"].mean,
    within=3,
    holds=before["drawn anew"].mean < 0.13,
)

# %% [markdown]
# Read the rows from the bottom to the top, and say what each adds: the ticket's *values* (and biases), then their *signs* at the right places, then the *sizes* at the right places. By far the largest jump is the signs', and the sizes add nothing that three draws could show. It is one ticket of one net. Zhou et al. (2019) also found that the signs matter most.
#
# Now the first column. These nets have their initial weights, the mask, and no training. With the ticket's own values the mask alone gives about 74%, with weights drawn anew it is chance. So finding a mask is a kind of training (Zhou et al.: *supermasks*), and a net that is large enough holds a mask that needs no training: the *strong* hypothesis (Ramanujan et al. 2020; a proof, Malach et al. 2020).
#
# ## 7 A study that can be stopped, or run elsewhere
#
# Give a long study a folder, and each seed's state is written there after each round, in one step. The same call goes on where it was, also with more rounds or more seeds. With *other settings* it refuses.

# %% name="out-resume"
short = Recipe(steps=20)
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder) / "study"
    for rounds in (1, 2):
        made = []
        run_study(Study(short, seeds=(0, 1), rounds=rounds), folder, progress=made.append)
        print(f"asked for {rounds} rounds: trained the rounds", sorted({state.round - 1 for state in made}))
    try:
        run_study(Study(short, seeds=(0, 1), rounds=2, rate=0.5), folder)
    except ValueError as refusal:
        print("with another rate:", str(refusal).replace(str(folder), "the folder"))

# %% [markdown]
# Which machine trains a group of seeds is decided by joblib. Other machines are another backend, such as dask (not run here):
#
# ```python
# import distributed
#
# client = distributed.Client("scheduler:8786")  # its workers have this package installed
# with joblib.parallel_config(backend="dask"):
#     run_study(study, folder, seeds_together=1)
# ```
#
# ## 8 Where it stops working
#
# - **The training is short.** The paper trains this net for 50,000 steps, on digits, and we for a few hundred. So "the ticket beats the dense net" means here: *at the same number of steps*. Section 5 has the other comparison.
# - **Not all of the paper holds at this length.** There, a ticket of a few percent is about as good as the dense net, and with other initial weights it falls behind soon. Compare the rows `ticket - dense` and `reinit - dense` with that: where even reinit is no worse than dense, doing as well as the dense net is no proof of a ticket.
# - **A mask is not innocent.** It was made from trained weights, so it knows the data (section 6). SNIP (lesson 05) and others look for a mask *before* training; shuffled within each layer, such masks do as well, so what they find is how many weights each layer needs (Su et al. 2020; Frankle et al. 2021).
# - **Larger nets need late rewinding**, in the papers, and with a high learning rate or with whole channels pruned, nets drawn anew are often as good as tickets (Liu et al.). What you have seen is about this net, this data, single weights, and this recipe.
# - **No speed, no bytes.** A ticket in a dense tensor is as large and as slow as the net that it was found in. Lesson 05 has what it takes to change that.
#
# ## The ledger
#
# Which ticket do we keep? The sparsest whose mean *validation* accuracy at the end is at least that of the dense net.

# %% name="out-ledger"
at_end = {number: results.spread("ticket", number, at=RECIPE.steps).mean for number in results.rounds}
dense_at_end = results.spread("dense", 0, at=RECIPE.steps).mean
good = [number for number in results.rounds if at_end[number] >= dense_at_end]
chosen = max(good, default=results.rounds[0])
model = tickets.with_weights(net, chain[chosen].weights).eval()
print(f"kept: round {chosen}, {results.density(chosen):.1%} of the weights")
print(f"stored as it is: {measure.stored_bytes(model):,} bytes")
by_format = sparse.stored_formats(model.linear1.weight.detach())
print(
    "linear1 alone:",
    ", ".join(f"{name} {size:,}" for name, size in by_format.items() if name in ("dense", "bitmap", "CSR")),
)

# %% tags=["solution-only"]
claim(
    "A ticket in a dense tensor is as large and as slow as the net that it was found in",
    holds=measure.stored_bytes(model) == measure.stored_bytes(net),
)

# %%
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
# - Train, take away the smallest share of what is left, go back to the start, again. Count only what is left; take the biases back, too; keep the zeros through every step.
# - A ticket is mask *and* initial weights. Each control takes one of them away.
# - One seed is an anecdote. Subtract seed by seed, then look at mean and spread.
# - What initial weights bring along can be taken apart, too: values, signs, sizes, one at a time.
# - The early steps and the end are two questions, and a short training answers only some of them.
# - Two runs end in one valley, or not: a straight line between them says so.
# - The search costs many trainings. What is found is knowledge, not speed.
#
# **References.** Frankle and Carbin 2019, *The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks*. Zhou et al. 2019, *Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask*. Liu et al. 2019, *Rethinking the Value of Network Pruning*. Frankle et al. 2019b, *Stabilizing the Lottery Ticket
# Hypothesis* (arXiv 1903.01611). Frankle et al. 2020, *Linear Mode Connectivity and the Lottery Ticket Hypothesis*. Renda et al. 2020, *Comparing Rewinding and Fine-tuning in Neural Network Pruning*. Han et al. 2015, *Learning both Weights and Connections for Efficient Neural Networks*.
#
# **Further reading.** Ramanujan et al. 2020, *What's Hidden in a Randomly Weighted Neural Network?* Malach et al. 2020, *Proving the Lottery Ticket Hypothesis: Pruning is All You Need*. Su et al. 2020, *Sanity-Checking Pruning Methods: Random Tickets Can Win the Jackpot*. Frankle et al. 2021, *Pruning Neural Networks at Initialization: Why Are We Missing the Mark?*
#
# **In the library.** In `mini_lib/prune/tickets`, `imp.py` is the search, `arms.py` the controls, `together.py` trains many nets as one; in `studies/tickets`, `study.py` and `run.py` are the study, `store.py` makes it resumable.
