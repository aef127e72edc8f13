# %% [markdown]
# # Can the data tell us how to augment it?
#
# Lesson 12 · about 75 minutes · before it: [11 When does augmentation hurt?](11_augment.ipynb)
#
# In lesson 11 you chose the augmentation. You knew that a 9 turned round is a 6, and you measured what else changes the label. For other pictures, X-rays or satellite images, who knows? In 2018 a group at Google proposed to let the data decide: try a policy, train a small network with it, see
# how it does on validation data, and propose a better one. Their program tried 15,000 policies for each data set and called the result **AutoAugment**. It set new records. It also raised questions. Was it the search that helped, or the many operations? Would random policies have done as well? And who paid for the labels that the search looked at?
#
# In this lesson you build the search and see it learn. Then you give it a task whose answer is known, and in the end you compare it with what a search must beat.
#
# **You will be able to**
# 1. write an augmentation policy as data, and say how many there are and what a policy may be judged by;
# 2. search for a policy with a controller that learns from rewards, and with simpler methods at equal compute;
# 3. say how much of what a search seems to gain is luck, how much is variety, and what it must be compared with.
#
# Every answer is checked when you run the cell below it. Nothing later depends on your answers: you can skip an exercise, run everything, and come back.

# %%
import itertools
import statistics
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from mini_lib import data, fit, measure
from mini_lib.augment import AUTOAUGMENT_CIFAR10, Policy, Standardised, Step, SubPolicy, TrivialAugment
from mini_lib.augment.operations import AUTOAUGMENT_OPERATIONS, equalize, identity, invert, rotate
from mini_lib.augment.search import (
    PPO,
    ChildRecipe,
    Controller,
    DensityMatching,
    Evolution,
    ForwardSelection,
    RandomSearch,
    Reinforce,
    SearchSpace,
    run_search,
    train_children,
)
from mini_lib.columns import aligned
from studies.augment import contest_record
from studies.augment.contest import narrow_cnn
from studies.augment.turned import turned_and_inverted
from teach import check, explore, figures, ledger, predict, progress, reveal, show

torch.set_num_threads(1)  # one core a process; sums then repeat to the last digit
figures.use_style()
COLOURS = figures.COLOURS
fashion = data.fashion()

# %% [markdown]
# ## 1 A policy is data
#
# A **step** is an operation, the *probability* that it happens to a picture, and a *magnitude* from 0 to 9, from weak to strong. A **sub-policy** is two steps, one after the other. A **policy** is a list of sub-policies, and each picture draws one of them. Nothing in it has to be
# computed: a policy is a small table, and it can be printed, stored and changed by a program. Here are the first rows of the policy that AutoAugment found for CIFAR-10.

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
    alt="Eight pictures of clothes as they are, and below each three draws of the policy for CIFAR-10: moved, sheared, inverted, with other contrast.",
)

# %% [markdown]
# Magnitudes and probabilities are rounded to a few values, so a search space is finite. But is it small? By hand: 3 operations, 2 probabilities and 2 magnitudes are 12 possible steps. For each first step there are 12 second ones, so there are 144 sub-policies of two steps. A policy of 5 such sub-policies has ten steps.

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
# A step makes three choices. For each operation there are all probabilities, and for each of these all magnitudes.
# </details>
# <details><summary>Hint 2: many steps</summary>
#
# Each further step multiplies the number by the options of one step. How many steps does a whole policy have?
# </details>

# %% [markdown]
# AutoAugment had 16 operations, 11 probabilities, 10 magnitudes, and 5 sub-policies of 2 steps.

# %%
predict("12.a", "How many digits has the number of policies in AutoAugment's search space?", unit="digits")

# %% name="out-space"
paper_policies = (16 * 11 * 10) ** (2 * 5)
print(f"{paper_policies:.1e} policies; AutoAugment tried 15,000 of them")
print(f"at ten policies per second, all of them would take {paper_policies / 10 / (365 * 24 * 3600):.0e} years")

# %%
reveal("12.a", len(str(paper_policies)))

# %% [markdown]
# > **Takeaway.** A policy is a table that a program can write. There are far too many of them to try all, so a search tries a few and learns from them, or it only believes that it does.
#
# ## 2 A task whose answer is known
#
# To see whether a search works, you need a task whose answer you know. Take clothes, with a catch: the training pictures stand upright and are bright on dark. The validation and test pictures are turned by up to 72 degrees in either direction, and half of them are inverted. So the right policy turns and inverts. You know that; the search does not. And it never sees how a validation
# picture looks. It sees only one number per policy.

# %% name="out-task"
TASK = turned_and_inverted(fashion)
RECIPE = ChildRecipe(steps=80)
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
# A **child** is a small network that is trained with one policy, for a short time. What its policy is worth, the **reward**, is an accuracy of this child. On which pictures? There are three splits, and only one of them will do.

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
# The policy that does nothing makes the training pictures easiest to learn by heart. And what has chosen the policy cannot report how good it is.
# </details>
# <details><summary>Hint 2: augmented or not</summary>
#
# In use, nobody will augment the pictures that the network gets.
# </details>

# %% [markdown]
# Now three children that know what to expect. One is trained without augmentation. One is trained with TrivialAugment, which draws any operation at any strength for each picture. And one has an *oracle*: the policy that the task was made from.

# %%
predict(
    "12.b",
    "By how many points is a child with TrivialAugment better than one without augmentation, on the turned and inverted pictures?",
    unit="points",
)

# %% name="out-known"
CHILD_SEEDS = (0, 1, 2, 3)


def children_of(policies, *, seeds=CHILD_SEEDS, splits=TASK, recipe=RECIPE):
    """One child per policy and seed, trained together; {name: children}."""
    names = [name for name in policies for _ in seeds]
    augments = [policies[name] and Standardised(policies[name]) for name in names]
    found = train_children(narrow_cnn, augments, splits.train, splits.validation, recipe, [*seeds] * len(policies))
    return {name: [child for one, child in zip(names, found) if one == name] for name in policies}


def tested(children, splits=TASK):
    """The test accuracy of children, over their seeds."""
    return fit.Spread(tuple(fit.accuracy(child.model, splits.test) for child in children))


KNOWN = {"none": None, "TrivialAugment": TrivialAugment(), "oracle": TASK_POLICY}
known = {name: tested(children) for name, children in children_of(KNOWN).items()}
for name, spread in known.items():
    print(f"{name:<16}{spread}")

# %%
reveal("12.b", round(100 * (known["TrivialAugment"].mean - known["none"].mean), 1))

# %% [markdown]
# Chance level is 10%. TrivialAugment turns pictures as well, among many other things, and it helps without knowing anything about the task. That is worth remembering: **it is the first thing a search has to beat**. The oracle shows how much there is to find.
#
# ## 3 A controller that learns
#
# How does a program write better policies? AutoAugment has a **controller**, a recurrent network. It makes one decision after the other: which operation, which probability, which magnitude, then the next step. Each decision is drawn from a softmax over the options. The child's accuracy is the reward. It has no derivative with respect to the decisions, since between them lies a
# whole training. So nothing can be backpropagated, and yet the controller can learn.
#
# The trick is called **REINFORCE** (Williams, 1992). Draw a policy, get its reward $R$, and make the decisions that were drawn a little more likely if the reward was better than usual, and a little less likely if it was worse:
#
# $$\nabla \, \mathbb{E}[R] = \mathbb{E}\big[ (R - b) \; \nabla \log p(\text{policy}) \big].$$
#
# The baseline $b$ stands for "usual". Without it every policy would be made more likely, since accuracies are never negative. It changes nothing in the mean, and makes the steps far less noisy. A **moving average** serves: $b \leftarrow d \cdot b + (1 - d) \cdot R$. It starts as the first reward.
#
# By hand, with $d = 0.5$: rewards 0.5, 0.75, 0.5. The first advantage is 0.5 - 0.5 = 0. The second is 0.75 - 0.5 = 0.25, and afterwards $b$ = 0.625. The third is 0.5 - 0.625 = -0.125.

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
# What was usual before a trial does not know the result of that trial. Compare first, update afterwards.
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
# By hand: four options, all with logit 0, so each has probability ¼. Option 2 was drawn. The derivative is (-¼, -¼, ¾, -¼). With an advantage of -0.5 the gradient is (0.125, 0.125, -0.375, 0.125): option 2 becomes less likely, all others more.

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
# First with a reward that costs nothing, so that one can watch. A customer likes pictures that are turned first and inverted second. The customer says only one number per policy: 0.3, plus 0.2 if the first step turns, plus 0.2 if the second one inverts. And the number is noisy, as an accuracy is: a standard deviation of 0.05. The controller knows nothing about turning or
# inverting. For the first step it has as many operations to choose from as the table below says.

# %%
predict(
    "12.c",
    "Policies are tried ten at a time. After how many trials does the controller choose the right operation, in both steps, with a probability above one half?",
    unit="trials",
)

# %% name="out-toy"
TOY = SearchSpace(AUTOAUGMENT_OPERATIONS, probabilities=(0.25, 0.5, 0.75, 1.0), magnitudes=(1, 3, 5, 7, 9), steps=2)
TRIALS, TOGETHER = 400, 10


def taste(policy):
    """What the customer says of a policy with one sub-policy, without the noise."""
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
UPDATES = {"REINFORCE": Reinforce(), "PPO": PPO()}
watched = {name: [watch(update, seed) for seed in (0, 1, 2)] for name, update in UPDATES.items()}


def trials_until(seen, share=0.5):
    """After how many trials both steps have the wanted operation with a probability above `share`; None if never."""
    both = (seen[:, [0, 1], WANTED] > share).all(dim=1).nonzero()
    return TOGETHER * int(both[0]) if len(both) else None


print(f"{len(TOY.operations)} operations; trials until both wanted ones are above one half")
for name, runs in watched.items():
    print(f"{name:<12}" + ", ".join(f"seed {seed}: {trials_until(seen)}" for seed, seen in enumerate(runs)))

# %%
reveal("12.c", trials_until(watched["PPO"][0]) or TRIALS)

# %% [markdown]
# Move the slider: these are the probabilities of the controller's two decisions about operations, as it learns. At first all options are alike. Watch what happens to the options that nobody wanted: they do not fade at the same pace. A lucky trial pulls its operation up, and later trials pull it down again.


# %% name="fig-learning" tags=["widget"]
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
    shares = {name: [f"{runs[0][trials // TOGETHER, step, WANTED[step]]:.0%}" for step in (0, 1)] for name, runs in watched.items()}
    told = "; ".join(f"{name} rotate {rotates} and invert {inverts}" for name, (rotates, inverts) in shares.items())
    return f"Probabilities of each operation in both steps. {told}."


explore(draw_learning, alt=say_learning, trials=(0, 20, 40, 70, 100, 150, 200, 400))

# %% [markdown]
# **PPO** learns faster, because it takes several steps from the same trials. That is dangerous: after the first step the trials are no longer what the controller would draw now. So each counts by the ratio $r = p_\text{now} / p_\text{then}$, and PPO stops to push where the ratio has moved by more than a share $c$ in the direction that the advantage $A$ asks for:
#
# $$\text{mean of } \; \min\big( r A, \; \text{clip}(r, 1 - c, 1 + c) \, A \big).$$
#
# By hand, with $c = ¼$: a choice had probability ¼ and has ½ now, so $r = 2$. If $A = 1$, the two products are 2 and 1.25, and the smaller one counts: 1.25. Its derivative is 0, there is no reason to go on. If $A = -1$, they are -2 and -1.25, and the smaller one is -2: the choice was bad and became likelier, so this must be undone at full strength.

# %% [markdown]
# ### Exercise 12.5 - PPO clips what has moved enough (8 min)


# %% name="ex-12-5" tags=["exercise"]
def clipped_objective(new, old, advantage, clip):
    """What PPO makes as large as it can: the mean of min(ratio * advantage, clipped ratio * advantage).

    new, old: the logarithms of the probabilities of what was drawn, now and when it was drawn, [N]. advantage: [N].
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
# <details><summary>Hint 2: what the minimum is of</summary>
#
# Of two products. Multiply by the advantage first: with a negative one, the order of the two is turned round.
# </details>

# %% [markdown]
# > **Takeaway.** A controller learns without a derivative of the reward: what was drawn becomes likelier if it did better than usual. It pays for this with trials, since one noisy number has to teach many decisions.
#
# ## 4 The real search
#
# Now the rewards cost something: each is a child that has to be trained. How does one get many of them for little?
#
# - **Small and short.** A child takes 80 steps here. It does not have to be good, it only has to rank policies as a long training would.
# - **Several as one.** Children have the same shape, so their weights are stacked, and one grouped convolution computes several children at once, each with its own augmentation.
# - **Half of them go.** A child that is bad after a few steps hardly ever wins. *Successive halving* trains all for a while, drops the worse half, trains the others further, and so on.
#
# By hand: four children, stages that end at step 10 and step 30. All four train 10 steps: 40. Two stay and train 20 more: 40. Together 80 steps instead of 120.

# %% [markdown]
# ### Exercise 12.6 - Half of the children go (10 min)


# %% name="ex-12-6" tags=["exercise"]
def halving(accuracies, steps):
    """Which child is left when the worse half goes after each stage, and how many steps were trained.

    accuracies: [children, stages], each child's validation accuracy at the end of each stage; all different in a stage.
    steps: the step at which each stage ends, such as [10, 30]. After each stage but the last, half of those who are
    left go. Returns (number of the best one of those left at the end, steps of all children together).
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
# A list of the children that are left. For each stage: pay for its new steps, sort by the accuracy of this stage, keep the first half.
# </details>
# <details><summary>Hint 2: the bill</summary>
#
# Children are trained on, not anew: from step 10 to step 30 are 20 steps, for each of those who are left.
# </details>
# <details><summary>Hint 3: sorting</summary>
#
# `sorted(alive, key=lambda child: accuracies[child][stage], reverse=True)` has the best first.
# </details>

# %% [markdown]
# Four methods search the same space. They differ only in what they propose next.
#
# | method | proposes |
# | --- | --- |
# | random search | anything: the control |
# | controller | what a recurrent network draws, which learns from the rewards (PPO) |
# | evolution | a change of one step in the best of a few that were picked at random; then the *oldest* goes, so that a lucky one does not live for ever |
# | forward selection | one step more than the best so far, every operation in turn |
#
# **Equal compute** means: each may train children on the same number of pictures, counted each time that a picture is seen. Seconds would depend on the machine and on the program.

# %%
predict(
    "12.d",
    "Equal compute, one number per policy. Whose best policy gets nearest to the oracle on the test pictures?",
    choices=("random search", "controller", "evolution", "forward selection"),
)

# %% name="out-search"
SPACE = SearchSpace(TASK_OPERATIONS, probabilities=(0.25, 0.5, 0.75, 1.0), magnitudes=(1, 3, 5, 7, 9), steps=2)
SEARCH_TRIALS = 64
METHODS = {
    "random search": RandomSearch(SPACE, seed=0, sub_policies=1),
    "controller": Controller(SPACE, seed=0, sub_policies=1),
    "evolution": Evolution(SPACE, seed=0, sub_policies=1),
    "forward selection": ForwardSelection(SPACE, seed=0),
}
