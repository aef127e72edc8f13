# %% [markdown]
# # Can the data tell us how to augment it?
#
# Lesson 12 · {minutes} · before it: [11 When does augmentation hurt?](11_augment.ipynb)
#
# In lesson 11 you chose the augmentation. You knew that a 9 turned upside down is a 6, and you measured what else changes the label. For other pictures, such as X-rays or satellite images, nobody may know this. In 2018 a group at Google proposed to let the data decide: try a policy, train a small network with it, see
# how well the network does on validation data, and propose a better policy. Their program tried 15,000 policies per data set. They called the method **AutoAugment**, and it set new records. It also raised questions. Did the search help, or only the many operations? Would random policies have done as well? And what else could the labels have done that the search used?
#
# **You will be able to**
# 1. write an augmentation policy as data, count the possible policies, and say which data may judge them;
# 2. search for a policy with a controller that learns from rewards, and with simpler methods at equal compute;
# 3. say how much of the apparent gain of a search is luck, and with which controls it must be compared.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise, run everything, and come back. The next cell takes about 4 seconds.

# %%
import statistics
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from mini_lib import data, fit, measure
from mini_lib.augment import AUTOAUGMENT_CIFAR10, Policy, Standardised, TrivialAugment
from mini_lib.augment.operations import AUTOAUGMENT_OPERATIONS, WIDE_OPERATIONS, invert
from mini_lib.augment.search import (
    PPO,
    ByChildren,
    ChildRecipe,
    Controller,
    DensityMatching,
    Evolution,
    ForwardSelection,
    RandomSearch,
    Reinforce,
    SearchSpace,
    child_cnn,
    folds,
    run_search,
    train_children,
)
from mini_lib.augment.search.forward_selection import NOTHING
from mini_lib.columns import aligned
from studies.augment import contest, contest_record
from studies.augment.searches import augment_of
from studies.augment.turned import Disturbance, turned_and_inverted
from studies.paired import Paired, holm
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one core per process; sums then repeat to the last digit
figures.use_style()
COLOURS = figures.COLOURS
fashion = data.fashion()

# %% [markdown]
# ## 1 A policy is data
#
# A **step** is an operation, the *probability* that it happens to a picture, and a *magnitude* from 0 to 9, from weak to strong. A **sub-policy** is two steps, one after the other. A **policy** is a list of sub-policies, and each picture draws one of them. So a policy is a small table, which a program can print, store and change. Here are the first rows of the policy that AutoAugment found for CIFAR-10.

# %% name="out-policy"
print(Policy(AUTOAUGMENT_CIFAR10.sub_policies[:6]))


# %% name="fig-policy" tags=["hide-input"]
def draw_policy():
    pictures = fashion.train.first(8)
    change, chance = Standardised(AUTOAUGMENT_CIFAR10), torch.Generator().manual_seed(1)
    rows = [pictures.images, *(change(pictures.images, chance) for _ in range(3))]
    figure, grid = plt.subplots(4, 8, figsize=(9, 4.8))
    for row, (line, name) in enumerate(zip(rows, ("as it is", "draw 1", "draw 2", "draw 3"))):
        for axes, picture in zip(grid[row], line):
            axes.imshow(data.to_pixels(picture[0]), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=(), yticks=())
            axes.grid(False)
        grid[row, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=13)
    return figure


show(
    draw_policy(),
    alt="Eight pictures of clothes as they are, and below each three draws of the policy for CIFAR-10: moved, solarized, darkened, with other contrast.",
)

# %% [markdown]
# Magnitudes and probabilities take only a few values, so the search space is finite. Is it small? Worked by hand: 3 operations, 2 probabilities and 2 magnitudes are 12 possible steps. For each first step there are 12 second ones, so there are 144 sub-policies of two steps. A policy of 5 such sub-policies has ten steps.

# %% [markdown]
# ### Exercise 12.1 - The size of the search space (4 min)


# %% name="ex-12-1" tags=["exercise"]
def space_size(operations, probabilities, magnitudes, steps, sub_policies):
    """How many policies there are, counted with their order.

    operations, probabilities, magnitudes: how many of each a step can choose from.
    steps: of each sub-policy; sub_policies: of each policy. Returns a whole number.
    """
    ### BEGIN SOLUTION
    options = operations * probabilities * magnitudes
    return options ** (steps * sub_policies)
    ### END SOLUTION


# %% tags=["check"]
check("12.1")

# %% [markdown]
# <details><summary>Hint 1: one step</summary>
#
# A step makes three choices. Each operation can come with each probability, and each of these pairs with each magnitude.
# </details>
# <details><summary>Hint 2: many steps</summary>
#
# Each further step multiplies the number by the options of one step. How many steps does a whole policy have?
# </details>

# %% [markdown]
# AutoAugment had 16 operations, 11 probabilities, 10 magnitudes, and 5 sub-policies of 2 steps.

# %%
predict("12.a", "How many digits has the number of policies in AutoAugment's search space?", unit="digits")

# %%
paper_policies = (16 * 11 * 10) ** (2 * 5)
reveal("12.a", len(str(paper_policies)))

# %% name="out-space"
print(f"{paper_policies:.1e} policies; AutoAugment tried 15,000 of them")
print(f"at ten policies per second, all of them would take {paper_policies / 10 / (365 * 24 * 3600):.0e} years")

# %% [markdown]
# > **Takeaway.** A policy is a table that a program can write, and there are far too many policies to try them all.

# %% [markdown]
# ## 2 A task whose answer is known
#
# To see whether a search works, you need a task whose answer you know. Take clothes, with a catch: the training pictures stand upright and are bright on dark. The validation and test pictures are turned by up to 72 degrees in either direction, and half of them are inverted. So the right policy turns and inverts. You know that. The search never sees a validation
# picture, only one number per policy.

# %% name="out-task"
TASK = turned_and_inverted(fashion)
RECIPE = ChildRecipe(steps=40, batch_size=32, learning_rate=0.02, batches_at_once=8)
print(f"{len(TASK.train)} training, {len(TASK.validation)} validation, {len(TASK.test)} test pictures")
print(RECIPE)


# %% name="fig-task" tags=["hide-input"]
def draw_task():
    figure, grid = plt.subplots(2, 9, figsize=(10, 2.8))
    for row, (split, name) in enumerate(((TASK.train, "training"), (TASK.validation, "validation"))):
        for axes, picture in zip(grid[row], split.images):
            axes.imshow(data.to_pixels(picture[0]), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=(), yticks=())
            axes.grid(False)
        grid[row, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=13)
    return figure


show(
    draw_task(),
    alt="Nine training pictures, upright and bright on dark, and nine validation pictures, turned and half of them inverted.",
)

# %% [markdown]
# A **child** is a small network that is trained with one policy, for a short time. The **reward** of a policy is the accuracy of its child. On which pictures? There are three splits, and only one of them will do.

# %% [markdown]
# ### Exercise 12.2 - What a policy is worth (6 min)


# %% name="ex-12-2" tags=["exercise"]
def reward(child, augment, splits):
    """What a policy is worth: the accuracy, in [0, 1], of a child that was trained with it.

    child: a function from pictures [N, ...] to logits [N, classes]. augment: what the child was trained with, a function
    from pictures to pictures. splits: {"train": (pictures, labels), "validation": ..., "test": ...}. Returns a number.
    """
    ### BEGIN SOLUTION
    pictures, labels = splits["validation"]
    return (child(pictures).argmax(dim=1) == labels).float().mean()
    ### END SOLUTION


# %% tags=["check"]
check("12.2")

# %% [markdown]
# <details><summary>Hint 1: which split</summary>
#
# The policy that does nothing makes the training pictures easiest to memorize. And pictures that have chosen the policy cannot report how good it is.
# </details>
# <details><summary>Hint 2: augmented or not</summary>
#
# In use, the network gets pictures that nobody has augmented.
# </details>

# %% [markdown]
# Before any search, train three children for comparison. One is trained without augmentation. One is trained with TrivialAugment, which draws any operation at any strength for each picture. The last one has an *oracle*: the policy that the task was made from. Training takes about 5 seconds.

# %%
predict(
    "12.b",
    "By how many points is a child with TrivialAugment better than one without augmentation, on the turned and inverted pictures?",
    unit="points",
)

# %%
NEW_SEEDS = (100, 101, 102, 103)  # no search has seen them


def children_of(policies, splits=TASK, recipe=RECIPE, seeds=NEW_SEEDS):
    """One child per policy and seed, all trained as one grouped model: {name: children}."""
    names = [name for name in policies for _ in seeds]
    changes = [policies[name] and Standardised(policies[name]) for name in names]
    with tqdm(total=recipe.steps, unit="step") as bar:
        trained = train_children(
            child_cnn,
            changes,
            splits.train,
            splits.validation,
            recipe,
            [*seeds] * len(policies),
            progress=lambda step: bar.update(),
        )
    return {name: [child for one, child in zip(names, trained) if one == name] for name in policies}


def judged(children, split=None):
    """Accuracies of children over their seeds: on validation pictures, or on those of another split."""
    if split is None:
        return fit.Spread(tuple(child.validation_accuracy for child in children))
    return fit.Spread(tuple(fit.accuracy(child.model, split) for child in children))


known = children_of({"none": None, "TrivialAugment": TrivialAugment(), "oracle": Disturbance()})
on_test = {name: judged(children, TASK.test) for name, children in known.items()}
reveal("12.b", round(100 * (on_test["TrivialAugment"].mean - on_test["none"].mean), 1))

# %% name="out-known" tags=["hide-input"]
lines = [("trained with", "validation", "test")]
lines += [(name, str(judged(children)), str(on_test[name])) for name, children in known.items()]
with hold("12.b"):
    print(aligned(lines))

# %% tags=["solution-only"]
from teach import claim


def seeds_gain(name, over):
    """By how much one arm's children are better on test pictures than another's, seed by seed, in points."""
    return Paired(tuple(100 * (a - b) for a, b in zip(on_test[name].values, on_test[over].values)))


PIXELS = torch.arange(256).to(torch.uint8).reshape(1, 1, 16, 16)  # one picture with every grey
claim(
    "TrivialAugment gains nothing here that four seeds could show",
    holds=seeds_gain("TrivialAugment", "none").interval()[0] <= 0,
)
trivial = {one.name: one for one in TrivialAugment().operations}
claim("It turns one picture in fourteen", holds=len(TrivialAugment().operations) == 14 and "rotate" in trivial)
claim(
    "only its strongest solarizing inverts one",
    holds="invert" not in trivial
    and torch.equal(
        trivial["solarize"](PIXELS, trivial["solarize"].strength(1.0)), invert(PIXELS, invert.strength(1.0))
    ),
)
claim("The oracle shows how much there is to find", holds=seeds_gain("oracle", "none").interval()[0] > 0)
claim("Chance level is 10%", 100 * TASK.test.labels.bincount().max().item() / len(TASK.test), within=0.5)
claim(
    "The oracle shows how much there is to find",
    holds=on_test["oracle"].mean > 1.8 * on_test["TrivialAugment"].mean,
    page="slides/12_autoaugment.md",
)

# %% [markdown]
# Chance level is 10%. TrivialAugment gains nothing here that four seeds could show. It turns one picture in fourteen, and only its strongest solarizing inverts one: an augmentation that does a little of everything contains hardly anything that this task needs. The oracle shows how much there is to find in so short a training. (This is only a rough bound: another policy may suit a short training still better.)

# %% [markdown]
# > **Takeaway.** The reward of a policy is the accuracy of a child on validation pictures as they are: augmented, training or test pictures would answer another question.

# %% [markdown]
# ## 3 A controller that learns
#
# How does a program write better policies? AutoAugment has a **controller**, a recurrent network. It makes one decision after the other: which operation, which probability, which magnitude, then the next step. Each decision is drawn from a softmax over the options. The child's accuracy is the reward. The reward has no derivative with respect to the decisions: they are discrete, and a
# whole training comes between them and the reward. So nothing can be backpropagated, and yet the controller can learn.
#
# The method is called **REINFORCE** (Williams, 1992). Draw a policy, get its reward $R$, and make the decisions that were drawn a little more likely if the reward was better than usual, and a little less likely if it was worse:
#
# $$\nabla \, \mathbb{E}[R] = \mathbb{E}\big[ (R - b) \; \nabla \log p(\text{policy}) \big].$$
#
# The baseline $b$ is the usual reward. Without it every policy that is drawn would become more likely, since accuracies are never negative. A baseline does not change the mean of the gradient as long as it does not depend on the draw that it is compared with, and a good one makes the steps less noisy. A common choice is a **moving average** that starts as the first reward: $b \leftarrow d \cdot b + (1 - d) \cdot R$. The **advantage** of a draw is its reward minus the baseline.
#
# Worked by hand, with $d = 0.5$ and the rewards 0.5, 0.75, 0.5. The first advantage is 0.5 - 0.5 = 0. The second is 0.75 - 0.5 = 0.25, and afterwards $b$ = 0.625. The third is 0.5 - 0.625 = -0.125.

# %% [markdown]
# ### Exercise 12.3 - Better than usual (6 min)


# %% name="ex-12-3" tags=["exercise"]
def advantages(rewards, decay):
    """How much better than usual each reward is: the reward minus a moving average of those before it.

    rewards: a list, in the order of the trials. decay: the share of the old average that stays when a reward is mixed in.
    The average starts as the first reward. Returns one number per reward.
    """
    ### BEGIN SOLUTION
    found, baseline = [], rewards[0]
    for one in rewards:
        found.append(one - baseline)
        baseline = decay * baseline + (1 - decay) * one
    return found
    ### END SOLUTION


# %% tags=["check"]
check("12.3")

# %% [markdown]
# <details><summary>Hint 1: the order</summary>
#
# The baseline of a trial must not contain the reward of that trial. Compare first, and update afterwards.
# </details>
# <details><summary>Hint 2: the update</summary>
#
# `decay` times the old average, and the rest of the new one comes from the reward.
# </details>

# %% [markdown]
# Now $\nabla \log p$. The decisions are drawn one after the other, so the probability of a policy is a product, and its logarithm is a **sum** over the decisions. For one decision with logits $z$ and probabilities $p = \text{softmax}(z)$, where option $a$ was drawn,
#
# $$\frac{\partial \log p_a}{\partial z_k} = [k = a] - p_k.$$
#
# Worked by hand: four options, all with logit 0, so each has probability ¼. Option 2 was drawn (the first option is number 0). The derivative is (-¼, -¼, ¾, -¼). With an advantage of -0.5 the gradient is (0.125, 0.125, -0.375, 0.125): option 2 becomes less likely, all others more.

# %% [markdown]
# ### Exercise 12.4 - The gradient of REINFORCE (8 min)


# %% name="ex-12-4" tags=["exercise"]
def policy_gradient(logits, choices, advantage):
    """The direction in which REINFORCE moves the logits: advantage times the gradient of log p(all choices).

    logits: [decisions, options]; choices: [decisions], the option that was drawn in each; advantage: a number.
    Returns [decisions, options].
    """
    ### BEGIN SOLUTION
    chosen = torch.zeros_like(logits)
    chosen[torch.arange(len(choices)), choices] = 1
    return advantage * (chosen - logits.softmax(dim=1))
    ### END SOLUTION


# %% tags=["check"]
check("12.4")

# %% [markdown]
# <details><summary>Hint 1: one decision</summary>
#
# Two parts: 1 at the option that was drawn and 0 elsewhere, minus the probabilities of all options. The row adds up to 0.
# </details>
# <details><summary>Hint 2: several decisions</summary>
#
# The logarithm is a sum over the decisions, and each row of logits appears in one term only. So each row has the gradient of its own decision.
# </details>
# <details><summary>Hint 3: torch</summary>
#
# `torch.nn.functional.one_hot(choices, logits.shape[1])` has the ones; `logits.softmax(dim=1)` the probabilities of each row.
# </details>

# %% [markdown]
# ### See it learn
#
# Start with a reward that costs nothing, so that you can watch. A customer likes pictures that are turned first and inverted second. The customer gives only one number per policy: 0.3, plus 0.2 if the first step turns, plus 0.2 if the second step inverts. The number is noisy, as an accuracy is, with a standard deviation of 0.05. The controller knows nothing about turning or
# inverting: each step chooses among all operations of AutoAugment that need a single picture. Compare two updates: REINFORCE as above, and **PPO**, which takes four steps from the same trials (more about it below). Each has a control: REINFORCE with a larger learning rate, and PPO with a single step. (In the library both use Adam, at rates of 0.005 and 0.003, and add a small bonus for entropy, so that the controller does not settle too early. PPO with a single step is REINFORCE at the lower of the two rates.)

# %%
predict(
    "12.c",
    "Policies are tried ten at a time. After how many trials does the controller with PPO choose the right operation, in both steps, with a probability above one half?",
    unit="trials",
)

# %%
TOY = SearchSpace(AUTOAUGMENT_OPERATIONS, probabilities=(0.25, 0.5, 0.75, 1.0), magnitudes=(1, 3, 5, 7, 9), steps=2)
TRIALS, TOGETHER = 400, 10


def taste(policy):
    """The customer's number for a policy with one sub-policy, without the noise."""
    first, second = policy.sub_policies[0].steps
    return 0.3 + 0.2 * (first.operation.name == "rotate") + 0.2 * (second.operation.name == "invert")


def watch(update, seed):
    """The probabilities of all operations in both steps, [2, operations], before the first trial and after each ten."""
    controller, noise = Controller(TOY, seed=seed, sub_policies=1, update=update), torch.Generator().manual_seed(seed)
    seen = [controller.probabilities(64).operation[0]]
    for _ in range(TRIALS // TOGETHER):
        policies = controller.ask(TOGETHER)
        said = [taste(policy) + 0.05 * torch.randn((), generator=noise).item() for policy in policies]
        controller.tell(policies, said)
        seen.append(controller.probabilities(64).operation[0])
    return torch.stack(seen)


WANTED = [[one.name for one in TOY.operations].index(name) for name in ("rotate", "invert")]
UPDATES = {
    "REINFORCE": Reinforce(),
    "REINFORCE, 4 x the rate": Reinforce(learning_rate=0.02),
    "PPO, one step": PPO(epochs=1),
    "PPO": PPO(),
}
runs = [(name, seed) for name in UPDATES for seed in (0, 1, 2)]
watched = {name: [] for name in UPDATES}
for name, seed in tqdm(runs, desc="controllers"):
    watched[name].append(watch(UPDATES[name], seed))


def trials_until(seen, share=0.5):
    """After how many trials both steps have the wanted operation with a probability above `share`; None if never."""
    both = (seen[:, [0, 1], WANTED] > share).all(dim=1).nonzero()
    return TOGETHER * int(both[0]) if len(both) else None


reveal("12.c", trials_until(watched["PPO"][0]) or TRIALS)

# %% name="out-toy" tags=["hide-input"]
print(f"{len(TOY.operations)} operations; trials until both wanted ones are above one half")
for name, of_seeds in watched.items():
    told = (f"seed {seed}: {trials_until(seen) or 'not in time'}" for seed, seen in enumerate(of_seeds))
    print(f"{name:<25}{', '.join(told)}")


# %% name="fig-toy" tags=["hide-input"]
def draw_toy():
    figure, axes = plt.subplots(figsize=(8, 4.2))
    looks = {"REINFORCE": ("orange", "--"), "REINFORCE, 4 x the rate": ("green", ":"), "PPO": ("blue", "-")}
    for name, (colour, line) in looks.items():
        for seed, seen in enumerate(watched[name]):
            both = seen[:, [0, 1], WANTED].prod(dim=1)
            trials = [TOGETHER * number for number in range(len(both))]
            label = name if seed == 0 else None
            axes.plot(trials, both, color=COLOURS[colour], linestyle=line, linewidth=2, label=label)
    axes.set(xlabel="trials", ylabel="probability of both", ylim=(0, 1.02))
    axes.legend()
    return figure


show(
    draw_toy(),
    alt="Probability that the controller draws the wanted operations in both steps, over trials, for three seeds: near zero at first, then it rises to nearly one, with PPO sooner than with REINFORCE, and about as soon as with REINFORCE at four times the rate.",
)

# %% tags=["solution-only"]
until = {name: [trials_until(seen) or 2 * TRIALS for seen in of_seeds] for name, of_seeds in watched.items()}
mean_until = {name: statistics.fmean(of_seeds) for name, of_seeds in until.items()}
claim("so the extra steps make it faster", holds=all(a < b for a, b in zip(until["PPO"], until["PPO, one step"])))
claim(
    "a larger learning rate does as much for REINFORCE",
    holds=mean_until["REINFORCE, 4 x the rate"] < 1.3 * mean_until["PPO"] < 1.3 * mean_until["REINFORCE"],
)
claim(
    "with PPO sooner than with REINFORCE, and about as soon as with REINFORCE at four times the rate",
    holds=max(until["PPO"]) < min(until["REINFORCE"])
    and 0.7 < mean_until["REINFORCE, 4 x the rate"] / mean_until["PPO"] < 1.4,
)
unwanted = watched["PPO"][0].clone()  # [trials, step, operation]
unwanted[:, [0, 1], WANTED] = 0
claim(
    "some of them rise for a while",
    holds=float(unwanted.amax()) > 1.5 / len(TOY.operations) > float(unwanted[-1].amax()),
)

# %% [markdown]
# Move the slider to see the probabilities of the controller's two decisions about operations as it learns. Watch the options that nobody wanted: they do not fade at the same pace, and some of them rise for a while.


# %% name="fig-learning" tags=["widget", "hide-input"]
def draw_learning(trials):
    names = [one.name.replace("_", " ") for one in TOY.operations]
    figure, both = plt.subplots(1, 2, figsize=(12, 4.8), sharey=True)
    for step, axes in enumerate(both):
        for offset, (name, colour) in zip((-0.2, 0.2), (("REINFORCE", "orange"), ("PPO", "blue"))):
            shares = watched[name][0][trials // TOGETHER, step]
            places = [place + offset for place in range(len(names))]
            axes.barh(places, shares.tolist(), height=0.38, color=COLOURS[colour], label=name)
        axes.set(xlim=(0, 1), xlabel="probability", title=("first step", "second step")[step])
        axes.set_yticks(range(len(names)), names, fontsize=13)
    both[0].legend(loc="lower right")
    return figure


def say_learning(trials):
    shares = {name: watched[name][0][trials // TOGETHER, [0, 1], WANTED] for name in ("REINFORCE", "PPO")}
    told = "; ".join(
        f"{name}: rotate {rotates:.0%}, invert {inverts:.0%}" for name, (rotates, inverts) in shares.items()
    )
    return f"Probabilities of each operation in both steps. {told}."


explore(draw_learning, alt=say_learning, labels={"trials": "trials so far"}, trials=(0, 40, 70, 100, 400))

# %% [markdown]
# **PPO** takes several steps from the same trials. The last two rows of the table differ in nothing else, so the extra steps make it faster. But a larger learning rate does as much for REINFORCE, so which of the two learns from fewer trials depends on their settings. Several steps are dangerous: after the first step the controller would draw other trials. So each trial is weighted by the ratio $r = p_\text{now} / p_\text{then}$, and PPO stops pushing where the ratio has moved by more than a share $c$ in the direction that the advantage $A$ asks for:
#
# $$\text{mean of } \; \min\big( r A, \; \text{clip}(r, 1 - c, 1 + c) \, A \big).$$
#
# Worked by hand, with $c = ¼$: a choice had probability ¼ and has ½ now, so $r = 2$. If $A = 1$, the two products are 2 and 1.25, and the smaller one counts: 1.25. Its derivative is 0, so PPO pushes no further. If $A = -1$, the products are -2 and -1.25, and the smaller one is -2: the choice was bad and became more likely, so PPO undoes this at full strength.

# %% [markdown]
# ### Exercise 12.5 - PPO clips what has moved enough (8 min)


# %% name="ex-12-5" tags=["exercise"]
def clipped_objective(new, old, advantage, clip):
    """The objective that PPO maximizes: the mean of min(ratio * advantage, clipped ratio * advantage).

    new, old: the logarithms of the probabilities of the drawn options, now and when they were drawn, [N]. advantage: [N].
    clip: how far a ratio may leave 1. Returns one number.
    """
    ### BEGIN SOLUTION
    ratio = (new - old).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return torch.minimum(ratio * advantage, clipped * advantage).mean()
    ### END SOLUTION


# %% tags=["check"]
check("12.5")

# %% [markdown]
# <details><summary>Hint 1: the ratio</summary>
#
# You are given logarithms. The logarithm of a ratio is a difference.
# </details>
# <details><summary>Hint 2: the minimum</summary>
#
# It is the minimum of two products. Multiply by the advantage first: a negative advantage reverses their order.
# </details>

# %% [markdown]
# > **Takeaway.** A controller learns without a derivative of the reward, and pays for it with trials: one noisy number has to teach many decisions.

# %% [markdown]
# ## 4 The real search
#
# Now the rewards cost something: for each of them a child has to be trained. Three ideas make many children cheap.
#
# - **Small and short.** A child takes 40 steps here. It does not have to be good; it only has to rank policies as a long training would.
# - **Several as one.** Children have the same shape, so their weights are stacked, and one grouped convolution computes several children at once, each with its own augmentation.
# - **Half of them stop.** The hope is that a child that is bad after a few steps rarely wins. *Successive halving* trains all children for a while, drops the worse half, trains the others further, and so on. (`ChildRecipe(halve_at=...)` does this in the library. The search below lets all its children finish, so that all rewards can be compared.)
#
# Worked by hand: four children, with stages that end at step 10 and step 30. All four train for 10 steps, 40 in all. Two stay and train for 20 more each, 40 in all. Together this is 80 steps instead of 120.

# %% [markdown]
# ### Exercise 12.6 - Half of the children go (10 min)


# %% name="ex-12-6" tags=["exercise"]
def halving(accuracies, steps):
    """The child that is left when the worse half stops after each stage, and the steps that were trained.

    accuracies: [children, stages], each child's validation accuracy at the end of each stage; all different in a stage.
    steps: the step at which each stage ends, such as [10, 30]. After each stage but the last, the worse half of the
    children that are left stop. Returns (number of the best child that is left, steps of all children together).
    """
    ### BEGIN SOLUTION
    alive, trained, reached = list(range(len(accuracies))), 0, 0
    for stage, end in enumerate(steps):
        trained += len(alive) * (end - reached)
        reached = end
        alive.sort(key=lambda child: float(accuracies[child][stage]), reverse=True)
        if stage < len(steps) - 1:
            del alive[len(alive) // 2 :]
    return alive[0], trained
    ### END SOLUTION


# %% tags=["check"]
check("12.6")

# %% [markdown]
# <details><summary>Hint 1: what to remember</summary>
#
# Keep a list of the children that are left. For each stage: count its new steps, sort by the accuracy of this stage, and keep the first half.
# </details>
# <details><summary>Hint 2: the count</summary>
#
# Children go on training and do not start again: from step 10 to step 30 there are 20 steps, for each child that is left.
# </details>
# <details><summary>Hint 3: sorting</summary>
#
# `sorted(alive, key=lambda child: accuracies[child][stage], reverse=True)` has the best first.
# </details>

# %% [markdown]
# Four methods search the same space. They differ only in the policies that they propose.
#
# | method | proposes |
# | --- | --- |
# | random search | any policy: the control |
# | controller | the draws of a recurrent network that learns from the rewards (PPO) |
# | evolution | the best of a few policies that were picked at random, with one number changed; then the *oldest* policy is removed, so that a lucky one does not stay for ever |
# | forward selection | the best policy so far with one more step, every operation in turn |
#
# The space is small, since the search must fit into this lesson: eight operations with TrivialAugment's wide ranges (turning goes up to 135 degrees), among them the two right ones. A policy has five sub-policies; forward selection begins with none and stops at five.
#
# **Equal compute** means that each may train children on the same number of pictures, and a picture counts every time that it is seen. Seconds would depend on the machine and on the program. The search takes about 20 seconds.

# %%
predict(
    "12.d",
    "Equal compute, one number per policy. Which method's best policy comes closest to the oracle on the test pictures?",
    choices=("random search", "controller", "evolution", "forward selection"),
)

# %%
wide = {operation.name: operation for operation in WIDE_OPERATIONS}  # TrivialAugment's ranges: rotate up to 135 degrees
CHOICES = ("rotate", "shear_x", "translate_x", "brightness", "contrast", "sharpness", "solarize")
SPACE = SearchSpace(
    (*(wide[name] for name in CHOICES), invert), probabilities=(0.5, 1.0), magnitudes=(1.5, 3, 4.5, 6, 7.5, 9)
)
SEARCH_TRIALS, CHILDREN = 48, 8  # trials of each method; children trained as one
METHODS = {
    "random search": RandomSearch(SPACE, seed=0),
    "controller": Controller(SPACE, seed=0),
    "evolution": Evolution(SPACE, seed=0),
    "forward selection": ForwardSelection(SPACE, seed=0, draws=2),
}
outcomes = {}
with tqdm(total=len(METHODS) * SEARCH_TRIALS, unit="child") as bar:
    for name, method in METHODS.items():
        bar.set_description(name)
        by_children = ByChildren(child_cnn, TASK.train, TASK.validation, RECIPE)
        outcomes[name] = run_search(
            method, by_children, trials=SEARCH_TRIALS, together=CHILDREN, progress=lambda trial: bar.update()
        )

# %%
found = children_of({name: outcome.best.policy for name, outcome in outcomes.items()})
on_test |= {name: judged(children, TASK.test) for name, children in found.items()}
winner = max(found, key=lambda name: on_test[name].mean)
reveal("12.d", winner)

# %% name="out-search" tags=["hide-input"]
lines = [("the best of", "trials", "pictures", "reward", "new seeds, validation", "new seeds, test")]
for name, children in (found | known).items():
    spent = ("-", "-", "-")
    if name in outcomes:
        outcome = outcomes[name]
        spent = (str(len(outcome.trials)), f"{outcome.spent.trained_pictures:,}", f"{outcome.best.reward:.1%}")
    lines.append((name, *spent, *(str(one).split(" (")[0] for one in (judged(children), on_test[name]))))
with hold("12.d"):
    print(aligned(lines))

# %% tags=["solution-only"]
pictures_trained = {outcome.spent.trained_pictures for outcome in outcomes.values()}
claim("each may train children on the same number of pictures", holds=len(pictures_trained) == 1)
claim(
    "it shows what a search *can* find",
    holds=seeds_gain(winner, "none").interval()[0] > 0 and on_test[winner].mean < on_test["oracle"].mean,
)
claim(
    "the two right operations about double the accuracy",
    holds=1.6 < on_test["oracle"].mean / on_test["none"].mean < 2.8,
)
of_winner = {step.operation.name for sub in outcomes[winner].best.policy.sub_policies for step in sub.steps}
claim("The right policy turns and inverts", holds={"rotate", "invert"} <= of_winner)
sizes = {name: sum(len(sub.steps) for sub in outcome.best.policy.sub_policies) for name, outcome in outcomes.items()}
claim(
    "Forward selection also proposes smaller policies than the others",
    holds=sizes["forward selection"] < min(size for name, size in sizes.items() if name != "forward selection"),
)


# %% name="fig-search" tags=["hide-input"]
def draw_search():
    figure, axes = plt.subplots(figsize=(9, 4.8))
    looks = (("black", ":"), ("blue", "-"), ("orange", "--"), ("green", "-."))
    for (name, outcome), (colour, line) in zip(outcomes.items(), looks):
        each = outcome.spent.trained_pictures / len(outcome.trials) / 1000
        seen = [each * (number + 1) for number in range(len(outcome.trials))]
        axes.step(
            seen,
            [100 * best for best in outcome.history],
            where="post",
            color=COLOURS[colour],
            linestyle=line,
            label=name,
        )
    end = max(outcome.spent.trained_pictures for outcome in outcomes.values()) / 1000
    for number, (name, children) in enumerate(known.items()):
        level, last = 100 * judged(children).mean, number == 1  # none and TrivialAugment are near each other
        axes.axhline(level, color="#888888", linewidth=1.2)
        place = {"xytext": (0, -4 if last else 4), "va": "top" if last else "bottom", "ha": "right" if last else "left"}
        axes.annotate(
            name, (end if last else 0, level), textcoords="offset points", fontsize=12, color="#555555", **place
        )
    axes.margins(y=0.12)
    axes.set(xlabel="thousands of pictures trained on", ylabel="best reward so far, in %")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


show(
    draw_search(),
    alt="Best reward so far over the pictures trained on, one rising line per method, with the levels of no augmentation, TrivialAugment and the oracle.",
)

# %%
print(f"found by {winner}:")
print(outcomes[winner].best.policy)

# %% [markdown]
# Read the column of pictures first: is the compute equal? Then read the reward, which chose the policy of each search. The last two columns belong to other children with new seeds. Only the test column uses pictures that no search has used, so it is the report. One search per method does not say which method is better; it shows what a search *can* find. (Forward selection also proposes smaller policies than the others, and the right one is small.) The right policy turns and inverts. Does the policy above?
#
# ### Without any child: density matching
#
# Training a child for every policy is expensive. **Fast AutoAugment** (Lim et al., 2019) trains *no* child. One network is trained without augmentation on one part of the training pictures, here a half (the authors' program does it for five splits of 60% and 40%). Then each policy augments the other part, and its reward is the accuracy of this network on the augmented pictures. That needs forward passes only, a small fraction of the compute. The idea is that a policy is good if its pictures look as if they came
# from the same data. On CIFAR-10 it found policies that were about as good as AutoAugment's.

# %%
predict(
    "12.e",
    "Density matching on this task: which policy gets the highest reward?",
    choices=("the oracle", "TrivialAugment", "the policy that changes nothing"),
)

# %%
learned, held_out = next(folds(TASK.train, 2, seed=0))
[plain] = train_children(child_cnn, [None], learned, held_out, ChildRecipe(steps=240, batches_at_once=10), [0])
matching = DensityMatching(plain.model, held_out)
candidates = {
    "the oracle": Disturbance(),
    "TrivialAugment": TrivialAugment(),
    "the policy that changes nothing": NOTHING,
}
matched = dict(zip(candidates, matching(list(candidates.values()))))
reveal("12.e", max(matched, key=matched.get))

# %% name="out-density"
print("reward of density matching, and of a child")
by_child = dict(zip(candidates, ("oracle", "TrivialAugment", "none")))
with hold("12.e"):
    for name, share in matched.items():
        print(f"{name:<33}{share:6.1%}{judged(known[by_child[name]]).mean:8.1%}")

densest = run_search(RandomSearch(SPACE, seed=1), DensityMatching(plain.model, held_out), trials=64, together=8)
[of_densest] = children_of({"densest": densest.best.policy}).values()
print(f"\nthe best of {len(densest.trials)} random policies by density matching,\nas a child on test pictures:")
print(judged(of_densest, TASK.test))

# %% tags=["solution-only"]
claim(
    "Turned and inverted pictures are those that it does not know",
    holds=matched["the oracle"] < 0.5 * matched["the policy that changes nothing"],
)
claim(
    "Density matching keeps the labels safe, as in lesson 11, and it cannot find out that the validation data looks "
    "different",
    holds=max(matched, key=matched.get) == "the policy that changes nothing",
)
claim(
    "It cannot discover what the training data lacks",
    holds=judged(of_densest, TASK.test).mean < 0.5 * (on_test["none"].mean + on_test["oracle"].mean),
    page="slides/12_autoaugment.md",
)

# %% [markdown]
# Density matching asks which pictures the network knows *already*. Turned and inverted pictures are those that it does not know, and that is why it needs them. Density matching keeps the labels safe, as in lesson 11, and it cannot find out that the validation data looks different, since it never sees any of it. A child can: its reward is measured on validation pictures.
#
# ### A search that was stopped
#
# Sooner or later a long search is interrupted, by you or by a power cut. So a search writes a **log**, a plain text file: a line with the settings, then one line of JSON per group of policies that were judged together, with their rewards. The draws of a method depend only on its seed and on the rewards that it was given. So the log is enough: a search that starts again reads it, gives the method the same rewards, and continues. Here the reward is the customer's taste again, and the power fails after
# some trials.


# %% name="out-stopped" tags=["hide-input"]
class PowerCut(Exception):
    """The power has failed."""


class Customer:
    """Gives the reward of each policy, without noise; the power fails after some groups of policies."""

    def __init__(self, fails_after=None):
        self.fails_after, self.judged = fails_after, []

    def __call__(self, policies):
        if self.fails_after is not None and len(self.judged) == self.fails_after:
            raise PowerCut
        self.judged.append(policies)
        return [taste(policy) for policy in policies]


LOG = Path(tempfile.mkdtemp()) / "search.jsonl"


def search_with(customer, log=LOG, seed=0):
    method = Evolution(TOY, seed=seed, sub_policies=1)
    return run_search(method, customer, trials=80, together=8, log=log)


try:
    search_with(Customer(fails_after=4))
except PowerCut:
    entries = LOG.read_text().splitlines()
    print(f"the power failed; the log has {len(entries)} lines, and the last one begins with")
    print(entries[-1][:100], "...")

# %% name="out-resumed"
customer = Customer()
resumed, uninterrupted = search_with(customer), search_with(Customer(), log=None)
print(f"started again: {len(customer.judged)} groups were judged, the others came from the log")
print(f"the same {len(resumed.trials)} trials as without a power cut: {resumed.trials == uninterrupted.trials}")
try:
    search_with(Customer(), seed=1)
except ValueError as refusal:
    print("with another seed:", str(refusal).replace(str(LOG), "the log"))

# %% tags=["solution-only"]
claim(
    "a search that starts again reads it, gives the method the same rewards, and continues",
    holds=resumed.trials == uninterrupted.trials and 8 * len(customer.judged) < len(resumed.trials),
)

# %% [markdown]
# > **Takeaway.** Compare a search with random search at equal compute, and over several searches: one search may be lucky.

# %% [markdown]
# ## 5 Luck
#
# A search reports the best of many trials. Each trial is a noisy number: another seed gives another accuracy. The largest of many noisy numbers is large partly because its noise was. This is the **winner's curse**, and the more you try, the worse it gets.
#
# To see the curse alone, take away everything else: train many children with *the same* policy, on the upright clothes. Then there is nothing to find. How much does the best of $n$ promise, and how much of it is real? The children take about 4 seconds.

# %%
predict(
    "12.f",
    "48 children with the same policy, which differ in their seeds only. By how many points is the best validation accuracy above the mean?",
    unit="points",
)

# %%
UPRIGHT = data.Splits(fashion.train.first(500), fashion.validation.first(500), fashion.test.first(2000))
ALIKE = 48
[alike] = children_of({"the same": None}, splits=UPRIGHT, seeds=range(ALIKE)).values()
promised = torch.tensor([child.validation_accuracy for child in alike])
real = torch.tensor([fit.accuracy(child.model, UPRIGHT.test) for child in alike])


def leads(count, draws=2000):
    """For many draws of `count` children: the lead of the best in validation and in test, and that of the others in test.

    Leads are in points over the mean of all children on the same pictures.
    """
    chance = torch.Generator().manual_seed(count)
    order = torch.stack([torch.randperm(ALIKE, generator=chance) for _ in range(draws)])
    best = order[:, :count].gather(1, promised[order[:, :count]].argmax(dim=1, keepdim=True))[:, 0]
    others = real[order[:, count:]].mean(dim=1)
    three = promised[best] - promised.mean(), real[best] - real.mean(), others - real.mean()
    return [100 * one.mean().item() for one in three]


reveal("12.f", round(100 * (promised.max() - promised.mean()).item(), 1))

# %% name="out-luck" tags=["hide-input"]
print(
    f"{ALIKE} children, one policy: validation {fit.Spread(tuple(promised.tolist()))}, test {fit.Spread(tuple(real.tolist()))}"
)
print("points above the mean:  best, validation   best, test   new children, test")
for count in (1, 2, 4, 8, 16, 32):
    told, network, others = leads(count)
    print(f"best of {count:>2}{told:+26.2f}{network:+13.2f}{others:+21.2f}")


# %% name="fig-luck" tags=["hide-input"]
def draw_luck():
    counts = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    names = ("what the best promises: validation", "this network: test", "its policy, new seeds: test")
    figure, axes = plt.subplots(figsize=(8, 4.5))
    looks = (("vermillion", "-", "o"), ("blue", "--", "s"), ("black", ":", "D"))
    for name, values, (colour, line, marker) in zip(names, zip(*map(leads, counts)), looks):
        axes.plot(counts, values, color=COLOURS[colour], linestyle=line, marker=marker, label=name)
    axes.set(xlabel="children tried (logarithmic)", ylabel="points above the mean", xscale="log", ylim=(-0.5, None))
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.legend(loc="upper left")
    return figure


show(
    draw_luck(),
    alt="Lead of the best of n children with one policy, in points over the mean, over n: its validation accuracy keeps rising, its test accuracy stays far below, and new children with the same policy stay at zero.",
)

# %% tags=["solution-only"]
promise, kept, _ = leads(32)
claim(
    "The validation accuracy of the best one rises with the number of trials, to about 3 points above the mean for the "
    "best of 32",
    promise,
    None,
    within=0.5,
)
claim("Here less than a third remains", holds=kept < promise / 3)

# %% [markdown]
# The validation accuracy of the best one rises with the number of trials, to about 3 points above the mean for the best of 32. The second curve is the test accuracy of *the same network*: the part of its lead that remains was real, and the rest was luck. Here less than a third remains. But a search does not deliver the child. It delivers the *policy*, and new networks are trained with this policy, with new seeds. Here they can only be at the mean, since all policies are the same.
#
# So choose with one set of numbers, and report another. Worked by hand: policy A reached 0.75 and 0.5 in validation, B 0.625 and 0.75. A has a mean of 0.625, B of 0.6875: choose B, although the best single run is as high in A. The test accuracies of B are 0.5 and 0.75: report 0.625.

# %% [markdown]
# ### Exercise 12.7 - Choose with one, report with another (5 min)


# %% name="ex-12-7" tags=["exercise"]
def choose_and_report(validation, test):
    """Choose the best policy, and report its accuracy.

    validation, test: for each policy a list of accuracies, one for each seed. Two policies never have the same mean.
    Returns (number of the policy that you choose, the accuracy that you report for it).
    """
    ### BEGIN SOLUTION
    means = [sum(of_policy) / len(of_policy) for of_policy in validation]
    best = means.index(max(means))
    return best, sum(test[best]) / len(test[best])
    ### END SOLUTION


# %% tags=["check"]
check("12.7")

# %% [markdown]
# <details><summary>Hint 1: what must not choose</summary>
#
# If the test accuracies take part in the choice, no honest number is left for the report.
# </details>
# <details><summary>Hint 2: several seeds</summary>
#
# The best single run of a policy depends on how many runs there were, and not only on how good it is. Take means.
# </details>

# %% [markdown]
# > **Takeaway.** The best of many noisy numbers is too good to be true: train the winner again with new seeds, and report test accuracy.

# %% [markdown]
# ## 6 What a searched policy must beat
#
# AutoAugment joins the five best policies of its search into one: 25 sub-policies instead of 5. So the result is also more *varied* than any policy that was tried. Is it good because its parts are good, or because there are many of them? The control is a random policy **of the same size**: as many sub-policies, drawn at random, without looking at any reward.

# %% [markdown]
# ### Exercise 12.8 - A control of the same size (6 min)


# %% name="ex-12-8" tags=["exercise"]
def size_matched(searched, rewards, drawn, top):
    """The best policies of a search joined into one, and its control.

    searched: policies, each a list of sub-policies; rewards: one for each, all different. drawn: policies drawn at
    random, more than enough of them. Returns two lists of sub-policies: those of the `top` best searched policies, the best first; and as many
    of the drawn ones, in their order.
    """
    ### BEGIN SOLUTION
    order = sorted(range(len(searched)), key=lambda at: rewards[at], reverse=True)
    joined = [one for at in order[:top] for one in searched[at]]
    control = [one for policy in drawn for one in policy]
    return joined, control[: len(joined)]
    ### END SOLUTION


# %% tags=["check"]
check("12.8")

# %% [markdown]
# <details><summary>Hint 1: what is counted</summary>
#
# A picture draws one sub-policy. So the size of a policy is its number of sub-policies, and policies may differ in it.
# </details>
# <details><summary>Hint 2: flat lists</summary>
#
# `[one for policy in policies for one in policy]` joins a list of lists.
# </details>

# %% [markdown]
# There is one more control. A search uses up *labels*: a network could have learned from the validation pictures. So the control does not search, but trains on the validation pictures **too**.
#
# All of this takes longer than a lesson, so it was **recorded**. Two more methods take part: Optuna's TPE, which models where good policies are, and *population-based augmentation*, which changes the policy while the networks train and so finds a schedule. The policy by hand was written by somebody who knows clothes and has not searched; it moves, turns and shears a little. There are few labels and ten seeds; each seed has its own pictures to train and to validate on, and its own search. (*Five random policies joined* is the control of the same size for the methods that join their five best. Forward selection ends with one policy that it has grown, and population-based augmentation with a schedule of four.)

# %% name="out-recorded"
record = contest_record.recorded()
settings = record.settings
print("RECORDED, not run here; to make it again:\npython tools/policy_study.py --record DIR\n")
print(
    f"{len(settings['seeds'])} seeds; {settings['train_pictures']} training and {settings['validation_pictures']} validation pictures each"
)
print(
    f"each search: {settings['trials']} children of {settings['child_steps']} steps; the best {settings['joined']} policies are joined"
)
print(f"final nets: {settings['nets']} for each arm and seed, {settings['final_steps']} steps\n")
print(contest_record.cost_table(record))

# %%
predict(
    "12.g",
    "Which has the highest mean test accuracy in the record?",
    choices=(
        "a searched policy",
        "RandAugment, tuned with equal compute",
        "TrivialAugment",
        "random policies, joined",
        "a policy written by hand",
        "any of them, trained on the validation labels too",
    ),
)

# %% name="out-contest"
SHOWN = [arm for arm in record.arms if not arm.endswith(contest.HALF)]
with hold("12.g"):
    print(contest_record.accuracy_table(record, SHOWN))


# %% tags=["hide-input"]
def kind_of(arm):
    """The sort of arm, in the words of prediction 12.g where they fit."""
    if arm.startswith(contest.ALL_LABELS):
        return "any of them, trained on the validation labels too"
    if arm in contest.SEARCHED:
        return "a searched policy"
    return {
        contest.RANDAUGMENT: "RandAugment, tuned with equal compute",
        contest.TRIVIAL: "TrivialAugment",
        contest.JOINED: "random policies, joined",
        contest.AFFINE: "a policy written by hand",
    }.get(arm, arm)


def draw_contest():
    ranked = sorted(SHOWN, key=lambda arm: contest_record.spread(record, arm).mean)
    looks = {
        "a searched policy": ("blue", "o"),
        "any of them, trained on the validation labels too": ("vermillion", "^"),
    }
    figure, axes = plt.subplots(figsize=(11, 0.28 * len(ranked) + 1.2))
    for place, arm in enumerate(ranked):
        colour, marker = looks.get(kind_of(arm), ("black", "s"))
        values = [100 * one for one in contest_record.spread(record, arm).values]
        axes.plot(values, [place] * len(values), ".", color=COLOURS[colour], alpha=0.35, markersize=7)
        axes.plot(statistics.fmean(values), place, marker, color=COLOURS[colour], markersize=10)
    axes.set_yticks(range(len(ranked)), ranked, fontsize=13)
    axes.set(xlabel="test accuracy, in % (small: each seed)")
    return figure


best_arm = max(SHOWN, key=lambda arm: contest_record.spread(record, arm).mean)
reveal("12.g", kind_of(best_arm))

# %% name="fig-contest" tags=["hide-input"]
show(
    draw_contest(),
    alt="Test accuracy of all arms of the record, sorted by their mean, with a small dot for each seed; circles are searched policies, triangles were trained on the validation labels too, squares are neither.",
)

# %% [markdown]
# Are the differences real? Subtract seed by seed, as in lesson 06. Of 100 such intervals, 95 contain the true mean. The value $p$ says how often chance alone would give a mean difference at least as large, if the sign of each seed's difference were a coin toss. The last column corrects $p$ for the number of comparisons.

# %% name="out-paired"
print(f"test accuracy less that of {contest.JOINED!r}")
print(contest_record.gain_table(record, contest.JOINED, SHOWN))

# %% name="out-verdict" tags=["hide-input"]
best = record.settings["best"]  # the searched method with the highest validation accuracy
CLAIMS = {
    "the search beats no augmentation": (best, contest.NONE),
    "five random policies, joined, beat one": (contest.JOINED, contest.RANDOM),
    "the search beats five random ones, joined": (best, contest.JOINED),
    "the search beats random search": (best, contest.RANDOM_SEARCH),
    "the controller beats random search": (contest.CONTROLLER, contest.RANDOM_SEARCH),
    "the search beats RandAugment, tuned": (best, contest.RANDAUGMENT),
    "the search beats TrivialAugment": (best, contest.TRIVIAL),
    "the search beats a policy by hand": (best, contest.AFFINE),
    "all labels, without any of this, beat it": (contest.ALL_LABELS + contest.NONE, best),
    "with all labels for both, it gains": (contest.ALL_LABELS + best, contest.ALL_LABELS + contest.NONE),
}
gains = {said: contest_record.gain(record, *pair) for said, pair in CLAIMS.items() if pair[0] != pair[1]}
print(f"the search (by validation): {best}\nthe best of all on test data: {best_arm}\n")
lines = [("claim", "points", "95 % interval", f"p of {len(gains)}", "true?")]
for (said, gain), p in zip(gains.items(), holm([gain.p_value for gain in gains.values()])):
    low, high = (100 * end for end in gain.interval())
    true = "not known" if p > 0.05 else "yes" if gain.mean > 0 else "no, less"
    lines.append((said, f"{100 * gain.mean:+.1f}", f"{low:+.1f} to {high:+.1f}", f"{p:.3f}", true))
print(aligned(lines))

# %% [markdown]
# All searched policies have a higher mean than no augmentation, one of them only just. Random policies, joined, are well above it too, without looking at a single reward: a good part of the gain does not come from the search. How much of that part comes from joining, ten seeds do not tell. Neither the best search nor the controller differs measurably from random search, and **no searched policy has a higher mean than the policy written by hand, or than RandAugment, whose two numbers were tuned with the same compute**. And a network that learns from the validation pictures too, without any augmentation, beats the best search. After a search, you can use all labels for training with the policy that was found, as AutoAugment does. The last row compares at equal labels: there the policy adds 0.5 points to no augmentation, and ten seeds cannot distinguish that from nothing. (Random policies, joined, then even cost 1.1 points, and TrivialAugment 2.6, in as many steps.)
#
# "Not known" means that ten seeds do not decide, not that there is no difference. All of this holds for this data, these few labels and this small network. The wide net of lesson 11 reaches 79% with 500 clothes and no augmentation, more than any arm above that has 500 labels; and a mild affine change cost it about a point, where the milder one by hand gains 4.5 here. The strength, the network and the training all differ there, so nothing here says which of them is the cause; but a gain that was measured with one network may not hold for another.
#
# The winner's curse is in the same record. The *reward of the winner* is the number that the search saw; *again* is the reward of the same policy with children of new seeds, and *luck* is the difference. The first column is the mean of all trials. RandAugment chose among ten settings only, by means of six children each: fewer and less noisy numbers leave less room for luck. Density matching trains no child, and population-based augmentation trains whole networks instead: they are left out.

# %% name="out-curse"
print(contest_record.luck_table(record))

# %% tags=["solution-only"]
from studies.augment.harm import arms as affine
from studies.augment.harm import record as harm

ALL = contest.ALL_LABELS
corrected = dict(zip(gains, holm([gain.p_value for gain in gains.values()])))
means = {arm: 100 * contest_record.spread(record, arm).mean for arm in SHOWN}
searched = [arm for arm in contest.SEARCHED if arm in means]


def points(arm, over):
    return 100 * contest_record.gain(record, arm, over).mean


density = {one.trained_pictures for one in record.searches if one.method == contest.DENSITY}
compute = {one.trained_pictures for one in record.searches if one.method != contest.DENSITY}
over_none = [means[arm] - means[contest.NONE] for arm in searched]
claim(
    "All searched policies have a higher mean than no augmentation, one of them only just",
    holds=min(over_none) > 0 and sum(gained < 1 for gained in over_none) == 1,
)
claim(
    "Random policies, joined, are well above it too",
    holds=contest_record.gain(record, contest.JOINED, contest.NONE).interval()[0] > 0.01,
)
claim(
    "a good part of the gain does not come from the search",
    holds=points(contest.JOINED, contest.NONE) > 0.5 * points(best, contest.NONE),
)
claim(
    "How much of that part comes from joining, ten seeds do not tell",
    holds=corrected["five random policies, joined, beat one"] > 0.05,
)
claim(
    "Neither the best search nor the controller differs measurably from random search",
    holds=min(corrected[said] for said in gains if said.endswith("beats random search")) > 0.05,
)
claim(
    "**no searched policy has a higher mean than the policy written by hand, or than RandAugment, whose two numbers "
    "were tuned with the same compute**",
    holds=max(means[arm] for arm in searched) < min(means[contest.AFFINE], means[contest.RANDAUGMENT])
    and len(compute) == 1,
)
claim(
    "equal compute for every search that trains (density matching takes a sixth of it)",
    holds=len(compute) == 1 and abs(min(density) / max(compute) - 1 / 6) < 0.02,
    page="slides/12_autoaugment.md",
)
claim(
    "no search has a higher mean than the policy by hand or the tuned RandAugment",
    holds=max(means[arm] for arm in searched) < min(means[contest.AFFINE], means[contest.RANDAUGMENT]),
    page="slides/12_autoaugment.md",
)
claim(
    "a network that learns from the validation pictures too, without any augmentation, beats the best search",
    holds=corrected["all labels, without any of this, beat it"] < 0.05 and points(ALL + contest.NONE, best) > 0,
)
claim(
    "there the policy adds 0.5 points to no augmentation, and ten seeds cannot distinguish that from nothing",
    points(ALL + best, ALL + contest.NONE),
    holds=corrected["with all labels for both, it gains"] > 0.05,
)
claim(
    "(Random policies, joined, then even cost 1.1 points, and TrivialAugment 2.6",
    -points(ALL + contest.JOINED, ALL + contest.NONE),
    -points(ALL + contest.TRIVIAL, ALL + contest.NONE),
    holds=all(
        contest_record.gain(record, ALL + arm, ALL + contest.NONE).interval()[1] < 0
        for arm in (contest.JOINED, contest.TRIVIAL)
    ),
)
study = harm.recorded()
[wide_clothes] = [cell for cell in harm.cells_of(study.widths) if (cell.task, cell.width) == ("clothes", 16)]
upright = 100 * harm.spread(study.widths, wide_clothes, affine.NONE).mean
claim(
    "The wide net of lesson 11 reaches 79% with 500 clothes and no augmentation, more than any arm above that has 500 "
    "labels",
    None,
    upright,
    wide_clothes.labels,
    settings["train_pictures"],
    holds=upright > max(mean for arm, mean in means.items() if not arm.startswith(ALL)),
)
claim(
    "a mild affine change cost it about a point, where the milder one by hand gains 4.5 here",
    points(contest.AFFINE, contest.NONE),
    holds=-2 < 100 * harm.gain(study.widths, wide_clothes, affine.MILD).mean < -0.5,
)
lucky = {
    method: statistics.fmean(100 * contest_record.luck(one) for one in record.searches if one.method == method)
    for method in record.methods
    if method not in contest.WITHOUT_CHILDREN
}
tuned = [one for one in record.searches if one.method == contest.RANDAUGMENT]
each = settings["child_steps"] * settings["batch_size"]
claim(
    "RandAugment chose among ten settings only, by means of six children each",
    holds=all(len(one.rewards) == 10 and one.trained_pictures == 10 * 6 * each for one in tuned),
)
claim(
    "fewer and less noisy numbers leave less room for luck",
    holds=lucky[contest.RANDAUGMENT] < min(luck for method, luck in lucky.items() if method != contest.RANDAUGMENT),
)
claim(
    "The best of many is lucky", holds=min(luck for method, luck in lucky.items() if method != contest.RANDAUGMENT) > 1
)
rewards = {method: statistics.fmean(one.reward for one in record.searches if one.method == method) for method in lucky}
claim(
    "forward selection has the highest reward of all, and the lowest accuracy of the searches that train children, "
    "once the nets train ten times as long",
    holds=max(rewards, key=rewards.get) == min(lucky, key=means.get) == contest.FORWARD
    and settings["final_steps"] == 10 * settings["child_steps"],
)
claim(
    "no search was shown to be better than random search",
    holds=all(
        contest_record.gain(record, arm, contest.RANDOM_SEARCH).interval()[0] <= 0
        for arm in searched
        if arm != contest.RANDOM_SEARCH
    ),
    page="slides/12_autoaugment.md",
)

# %% [markdown]
# > **Takeaway.** Compare a searched policy with a random one of the same size, with simple policies, and with training on the labels that the search has used.

# %% [markdown]
# ## 7 Where it stops working
#
# - **There may be little to find.** In the record, the differences between good policies are small, and one noisy number per child says little about them. On the constructed task the two right operations about double the accuracy: there, a search pays.
# - **The proxy may mislead.** A small child that is trained for a short time may like weaker augmentation than a large network that is trained for long (lesson 11; Cubuk et al. 2020 show it for larger networks and larger data sets). In the record, forward selection has the highest reward of all, and the lowest accuracy of the searches that train children, once the nets train ten times as long. (It also joins nothing; the record does not say which of the two is the reason.)
# - **The validation data must look like the data in use.** The search on the constructed task could work only because the validation pictures were turned and inverted. It adapts to whatever it is shown, and to its mistakes as well.
# - **Labels are used up.** With few labels, as in the record, it was better to train on all of them. Train on them once the search is over. With very many labels, the validation part should cost little.
# - **The space contains the knowledge.** Somebody chose operations that keep the label. If the right one is not among them, no search will find it.

# %% [markdown]
# > **Takeaway.** A search can only find what its space contains, what its proxy rewards and what its validation data shows.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A search tries $n$ policies that are all equally good. Their validation accuracies have a standard deviation of 1 point. For $n$ = 2, the larger of two has an expected lead over the mean of $1/\sqrt{\pi}$ = 0.56 standard deviations, for 15 it is about 1.7. How large a lead will a search with 15 trials report, although there is nothing to find? What changes if each policy is tried with 4 seeds, and the means are compared?
#
# <details><summary>Answer</summary>
#
# It will report 1.7 points. The mean of 4 seeds has a standard deviation of 1 / √4 = 0.5 points, so the lead is about 0.85 points, for four times the compute. It becomes smaller but does not vanish: only new seeds for the winner remove it.
# </details>
#
# **2.** A controller chooses between two options with probabilities ¾ and ¼. The first is worth a reward of 0.5, the second 0.9. What is the expected gradient of REINFORCE with respect to the two logits, without a baseline and with the baseline 0.6?
#
# <details><summary>Answer</summary>
#
# The first option contributes its advantage times (¼, -¼), the second its advantage times (-¾, ¾). Without a baseline: ¾ · 0.5 · (¼, -¼) + ¼ · 0.9 · (-¾, ¾) = (0.09375 - 0.16875, ...) = (-0.075, 0.075). With 0.6: ¾ · (-0.1) · (¼, -¼) + ¼ · 0.3 · (-¾, ¾) = (-0.01875 - 0.05625, ...) = (-0.075, 0.075). Both are the same: a baseline does not change the mean. But without it, drawing the worse option makes this option *likelier*; with it, each single step points the right way.
# </details>
#
# **3.** Eight children train in stages that end at 10, 20 and 40 steps, and half of those that are left stop after the first and after the second stage. How many steps are trained? For how many children would these steps have been enough without halving?
#
# <details><summary>Answer</summary>
#
# 8 · 10 + 4 · 10 + 2 · 20 = 160 steps, enough for 4 children of 40 steps.
# </details>
#
# ## The ledger
#
# The row is a network, and augmentation costs it no byte and no operation: it changes what the weights have learned. (Each row is one network. For the gain of the policy, trust the record and not these two.)

# %% name="out-ledger"
own = contest.pictures_of(contest.Contest(), 0, fashion)  # those that search number 0 has seen
[search] = [one for one in record.searches if (one.seed, one.method) == (0, best)]
longer = ChildRecipe(steps=240)  # a schedule counts its batches: one at a time
arms = {"without augmentation": None, f"policy of {best}": augment_of(search.method, search.policy, longer.steps)}
nets = {
    f"child_cnn, {len(own.train)} labels, {name}": train_children(
        child_cnn, [change and Standardised(change)], own.train, own.validation, longer, [0]
    )[0].model
    for name, change in arms.items()
}
report = measure.report(
    nets, own.test.images[:1], accuracies={name: fit.accuracy(net, own.test) for name, net in nets.items()}
)
for row in report.rows:
    table = ledger(row, lesson=12, beside=report.rows[0])  # the net without augmentation
table

# %%
progress()

# %% [markdown]
# ## Summary
#
# - A policy is a table: operations with probabilities and magnitudes. There are too many to try them all.
# - The reward is the accuracy of a child on validation pictures, as they are: not on training pictures, never on test pictures.
# - REINFORCE makes a draw more likely in proportion to its advantage. PPO takes several steps from the same trials, and clips.
# - Equal compute is counted in pictures. Random search is the control of every search.
# - Density matching asks which pictures a network knows already. It cannot discover what the training data lacks.
# - The best of many is lucky. Train the winner again, with new seeds.
# - Compare with a random policy of the same size, with simple policies (by hand, TrivialAugment, tuned RandAugment), and with training on the labels that the search has used, for both sides.
#
# **References.** Cubuk et al. 2019, *AutoAugment: Learning Augmentation Strategies from Data*. Zoph and Le 2017, *Neural Architecture Search with Reinforcement Learning*. Williams 1992, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*. Schulman et al. 2017, *Proximal Policy Optimization Algorithms*. Real et al. 2019, *Regularized Evolution for Image Classifier
# Architecture Search*. Ho et al. 2019, *Population Based Augmentation*. Lim et al. 2019, *Fast AutoAugment*. Cubuk et al. 2020, *RandAugment*. Müller and Hutter 2021, *TrivialAugment*. Jamieson and Talwalkar 2016, *Non-stochastic Best Arm Identification and Hyperparameter Optimization* (successive halving). Bergstra et al. 2011, *Algorithms for Hyper-Parameter Optimization* (TPE).
#
# **Further reading.** Li and Talwalkar 2019, *Random Search and Reproducibility for Neural Architecture Search* (arXiv 1902.07638: the same controls for another search). Cawley and Talbot 2010, *On Over-fitting in Model Selection and Subsequent Selection Bias in Performance Evaluation* (the winner's curse).
#
# **In the library.** In [`mini_lib/augment/search`](../mini_lib/augment/search/__init__.py), [`space.py`](../mini_lib/augment/search/space.py) has the search space, [`children.py`](../mini_lib/augment/search/children.py) trains children as one, [`controller.py`](../mini_lib/augment/search/controller.py) and [`policy_gradient.py`](../mini_lib/augment/search/policy_gradient.py) are the controller, [`random_search.py`](../mini_lib/augment/search/random_search.py), [`evolution.py`](../mini_lib/augment/search/evolution.py) and [`forward_selection.py`](../mini_lib/augment/search/forward_selection.py) the other methods, [`density_matching.py`](../mini_lib/augment/search/density_matching.py) the reward without children, [`run.py`](../mini_lib/augment/search/run.py) the loop with its log. [`studies/augment`](../studies/augment/__init__.py) has the task with a known answer and the recorded contest.
#
# **Next:** [13 What does a token cost, and why does the price keep falling?](13_llm_cost.ipynb)
