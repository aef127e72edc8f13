# %% [markdown]
# # When does augmentation hurt?
#
# Lesson 11 · {minutes} · before it: [01 What does a model cost?](01_measure.ipynb)
#
# Data augmentation shows a network changed copies of its pictures: turned, shifted, inverted. It is a cheap way to more data: it needs no label and no parameter, and it costs nothing when the model is used.
# Is more of it always better? A 6 that is turned upside down looks like a 9, but its label is still 6. And a small network that struggles with the original pictures gets harder ones in addition. This lesson measures when augmentation helps, when it
# hurts, and how to know before you train.
#
# **You will be able to**
# 1. apply an operation at a published magnitude, drawn anew for each picture, and mix labels as you mix pictures;
# 2. measure up to which strength a picture keeps its label, and say what that measurement can and cannot show;
# 3. predict, from the task and the size of the network, where augmentation will hurt, and check it over several seeds against a control.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise,
# run everything, and come back.

# %%
from dataclasses import replace
from functools import cache

import matplotlib.pyplot as plt
import torch
from tqdm.auto import tqdm

from mini_lib import augment as aug
from mini_lib import data, fit, measure, zoo
from mini_lib.batch import Batch
from mini_lib.columns import aligned
from studies.augment.harm import arms, nets, record
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


def percent(spread):
    return f"{100 * spread.mean:.1f} ± {100 * spread.std:.1f}%"


# %% [markdown]
# ## 1 Same label, other pixels
#
# Two tasks run through this lesson, and their pictures have the same size: handwritten **digits** (MNIST) and **clothes** (Fashion-MNIST). An **operation** changes the pixels of a picture. Its **strength** says how much, in a unit of its own: degrees, a share of the
# side, bits. The figure shows some operations at high strengths, some of them beyond the published ranges. For each picture ask yourself: would I still give it the same label?

# %% name="fig-operations" tags=["hide-input"]
digits, clothes = nets.splits_of("digits"), nets.splits_of("clothes")
TURN = arms.TURN  # rotate, with a scale up to 180 degrees
EXAMPLES = {
    "as it is": lambda pictures: pictures,
    "rotate 30°": lambda pictures: aug.rotate(pictures, 30.0),
    "rotate 180°": lambda pictures: aug.rotate(pictures, 180.0),
    "shear 0.3": lambda pictures: aug.shear_x(pictures, 0.3),
    "flip": lambda pictures: aug.flip(pictures),
    "solarize 128": lambda pictures: aug.solarize(pictures, 128.0),
    "posterize 2": lambda pictures: aug.posterize(pictures, 2.0),
}


def pictures_of(task, labels):
    """The first training picture of each of these labels, as bytes."""
    split = nets.splits_of(task).train
    rows = [int((split.labels == label).nonzero()[0]) for label in labels]
    return nets.pixels_of(data.Split(split.images[rows], split.labels[rows]), task)


def wall(pictures, columns):
    """Pictures [N, 1, 28, 28] side by side as one, with a grey line between them."""
    framed = torch.nn.functional.pad(pictures[:, 0], (1, 1, 1, 1), value=128)
    rows = framed.reshape(-1, columns, *framed.shape[1:])
    return rows.permute(0, 2, 1, 3).reshape(rows.shape[0] * rows.shape[2], -1)


def draw_operations():
    originals = torch.cat([pictures_of("digits", (6, 3, 7)), pictures_of("clothes", (1, 5, 9))])
    figure, several = plt.subplots(1, len(EXAMPLES), figsize=(11, 6.4))
    for axes, (name, change) in zip(several, EXAMPLES.items()):
        axes.imshow(wall(change(originals), 1), cmap="gray", vmin=0, vmax=255)
        axes.set_title(name, fontsize=13)
        axes.axis("off")
    return figure


show(
    draw_operations(),
    alt="Six pictures, the digits 6, 3, 7 and a pair of trousers, a sandal, a boot, as they are and under six operations; turned round, the 6 looks like a 9.",
)

# %% [markdown]
# Trousers that are turned upside down are still trousers. The 6 becomes a 9, and its mirror image is no digit at all. An operation is not good or bad by itself: it fits a task, or it does not.
#
# ### Turned about which point?
#
# To turn a picture, ask where each pixel (x, y) of the *new* picture comes from in the old one. Six numbers give the answer:
#
# $$x_{\text{old}} = a x + b y + c, \qquad y_{\text{old}} = d x + e y + f.$$
#
# A turn about the point (0, 0) by the angle $\theta$ has $a = e = \cos\theta$, $b = -\sin\theta$, $d = \sin\theta$, and $c = f = 0$. (x points right, but y points *down*, so this turns the picture anticlockwise.) But (0, 0) is the *corner*, and the picture swings out of its frame. To turn about the
# centre, choose $c$ and $f$ so that the centre stays where it is.
#
# Worked by hand: 3 x 3 pixels, counted from 0, have their centre at (1, 1). A quarter turn has $\cos$ = 0 and $\sin$ = 1, so that $x_{\text{old}} = -y + c$ and $y_{\text{old}} = x + f$. The centre stays if 1 = -1 + c and 1 = 1 + f: $c$ = 2, $f$ = 0. Test it: the new top left (0, 0) comes from (2, 0), the old top right, as it should in an anticlockwise turn.

# %% [markdown]
# ### Exercise 11.1 - About the centre (10 min)


# %% name="ex-11-1" tags=["exercise"]
def turn_matrix(degrees, width, height):
    """The origin of each pixel when a picture is turned anticlockwise about its centre: [[a, b, c], [d, e, f]].

    The pixel (x, y) of the new picture comes from (a x + b y + c, d x + e y + f). x runs from 0 to width - 1, y from 0
    (top) to height - 1. Returns two rows of three numbers. (`import math` is allowed.)
    """
    ### BEGIN SOLUTION
    import math

    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = (width - 1) / 2, (height - 1) / 2
    return [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]]
    ### END SOLUTION


# %% tags=["check"]
check("11.1")

# %% [markdown]
# <details><summary>Hint 1: where is the centre?</summary>
#
# Halfway between the first pixel, 0, and the last, width - 1. Not at width / 2.
# </details>
# <details><summary>Hint 2: the condition on c and f</summary>
#
# Insert the centre for x and y, and require that it is also the result: one equation for c, one for f.
# </details>

# %% [markdown]
# ### From a magnitude to a strength
#
# AutoAugment, which most later papers follow, does not write degrees into a policy. It writes a **magnitude** from 0 to 9 for every operation. Each operation has its own scale of strengths, from `weakest` to `strongest` in equal steps, and the magnitude is a position on that scale. (TrivialAugment counts to 30, and its scales are wider.) The scale of `rotate` runs from 0 to 30 degrees, so that magnitude 3 is 10 degrees. That of `posterize` runs *down*, from 8 bits per pixel to 4.
#
# Some operations have a direction: left or right, brighter or darker. For these the sign is drawn anew for each picture. The others have none: "posterize to -5 bits" has no meaning.

# %% name="out-magnitudes" tags=["hide-input"]
SHOWN = (aug.rotate, aug.translate_x, aug.shear_x, aug.brightness, aug.posterize, aug.solarize)
by_name = {f"{operation.name}, {operation.unit}": operation for operation in SHOWN}
table(
    by_name,
    (0, 3, 6, 9, "sign drawn"),
    lambda name, column: (
        ("yes" if by_name[name].signed else "no")
        if column == "sign drawn"
        else f"{by_name[name].strength(column / 9):.3g}"
    ),
    "magnitude",
)

# %% [markdown]
# ### Exercise 11.2 - From a magnitude to degrees (5 min)


# %% name="ex-11-2" tags=["exercise"]
def strengths(magnitudes, negative, weakest, strongest, signed):
    """The strength for each picture, in the operation's unit.

    magnitudes: a tensor [N] of numbers from 0 to 9; negative: True or False, [N], the direction that each picture has
    drawn; weakest, strongest: the strengths at magnitude 0 and 9; signed: whether the operation has a direction.
    """
    ### BEGIN SOLUTION
    strength = weakest + (strongest - weakest) * magnitudes / 9
    return torch.where(negative, -strength, strength) if signed else strength
    ### END SOLUTION


# %% tags=["check"]
check("11.2")

# %% [markdown]
# <details><summary>Hint 1: the scale</summary>
#
# Start at `weakest`, and go the share magnitude / 9 of the way to `strongest`, up or down.
# </details>
# <details><summary>Hint 2: the sign</summary>
#
# `torch.where(condition, one, other)` takes from `one` where the condition is True. A loop over the pictures will do as well.
# </details>

# %% [markdown]
# ### One draw per picture
#
# An operation with its **probability** and its magnitude is a **step**. A few steps, one after the other, are a **sub-policy**, and a list of sub-policies, of which each picture draws one, is a **policy**. The important words are *each picture*. If the whole batch shares a draw, then
# either all 128 pictures of a training step are turned, or none is, and all by the same angle. The gradient of that step has seen only one kind of change.

# %% name="out-policy"
three = aug.Policy(
    [aug.SubPolicy(*(aug.Step(one, probability=0.5, magnitude=9) for one in (aug.rotate, aug.shear_x, aug.solarize)))]
)
print(three)

# %%
predict(
    "11.a",
    "A sub-policy has three steps, each with probability 0.5. What share of the pictures stays exactly as it was?",
    unit="%",
)

# %%
pixels = {
    "digits": nets.pixels_of(digits.train, "digits"),
    "clothes": nets.pixels_of(clothes.train.first(1500), "clothes"),
}
changed = three(pixels["digits"], torch.Generator().manual_seed(0))
untouched = (changed == pixels["digits"]).flatten(1).all(dim=1).float().mean().item()
reveal("11.a", round(100 * untouched, 1))


# %% name="out-draws" tags=["hide-input"]
def one_draw(pictures, generator):
    """The wrong way: all pictures share the draws of the first."""
    for operation in (aug.rotate, aug.shear_x, aug.solarize):
        if torch.rand((), generator=generator) < 0.5:
            pictures = operation(pictures, operation.strength(1.0))
    return pictures


def shares_untouched(change):
    """In each of six batches of 128: the share of pictures that nothing happened to."""
    generator, shares = torch.Generator().manual_seed(0), []
    for batch in pixels["digits"][:768].split(128):
        same = (change(batch, generator) == batch).flatten(1).all(dim=1)
        shares.append(f"{same.double().mean().item():.0%}")
    return shares


untouched_by = {"a draw per picture": shares_untouched(three), "a draw per batch": shares_untouched(one_draw)}
with hold("11.a"):
    table(untouched_by, range(1, 7), lambda name, batch: untouched_by[name][batch - 1], "left as they were, batch")

# %% tags=["solution-only"]
from teach import claim

in_batches = [float(share.rstrip("%")) / 100 for share in untouched_by["a draw per picture"]]
claim("each batch shows about an eighth clean pictures", holds=all(abs(share - 1 / 8) < 0.06 for share in in_batches))
claim("With a draw per batch it is all or nothing", holds=set(untouched_by["a draw per batch"]) == {"0%", "100%"})

# %% [markdown]
# The share is a half of a half of a half. With a draw per picture, each batch shows about an eighth clean pictures and every mixture of the three changes. With a draw per batch it is all or nothing, and the average over a whole epoch hides that.

# %% [markdown]
# ### Exercise 11.3 - Each picture for itself (8 min)


# %% name="ex-11-3" tags=["exercise"]
def apply_steps(pictures, steps, draws):
    """The pictures after all steps, one after the other; each step happens or not for each picture separately.

    pictures: [N, height, width]; steps: a list of pairs (change, probability), where change(pictures) returns changed
    pictures; draws: [steps, N], numbers from 0 to 1. Step s happens to picture i where draws[s, i] is below its
    probability. Returns new pictures.
    """
    ### BEGIN SOLUTION
    for (change, probability), draw in zip(steps, draws):
        pictures = torch.where((draw < probability)[:, None, None], change(pictures), pictures)
    return pictures
    ### END SOLUTION


# %% tags=["check"]
check("11.3")

# %% [markdown]
# <details><summary>Hint 1: change all, keep some</summary>
#
# The simplest way: change all pictures, and take the changed one only where the step happens. (The library saves work: it selects the pictures that get the operation, and changes only those.)
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `draws[s]` has shape [N], and pictures [N, height, width]: `condition[:, None, None]` lines them up.
# </details>

# %% [markdown]
# ### A wall of pictures
#
# Move the sliders. At which magnitude do you no longer recognise some of the pictures? Is it the same magnitude for both rows? What do you see at probability 0.5?

# %% name="fig-wall" tags=["widget", "hide-input"]
WALL = {
    "rotate": TURN,
    "translate_x": aug.translate_x,
    "solarize": aug.solarize,
    "cutout": replace(aug.cutout, strongest=0.75),
}
examples = torch.cat([pixels["digits"][:10], pixels["clothes"][:10]])


def draw_wall(operation, probability, magnitude):
    step = aug.Step(WALL[operation], probability=probability, magnitude=magnitude)
    pictures = aug.Policy([aug.SubPolicy(step)])(examples, torch.Generator().manual_seed(1))
    figure, axes = plt.subplots(figsize=(7.5, 1.6))
    axes.imshow(wall(pictures, 10), cmap="gray", vmin=0, vmax=255)
    axes.axis("off")
    return figure


explore(
    draw_wall,
    labels={"magnitude": "magnitude, from 0 to 9"},
    alt=lambda operation, probability, magnitude: (
        f"Ten digits above ten pieces of clothing; {operation} at {WALL[operation].strength(magnitude / 9):.3g} "
        f"{WALL[operation].unit} happens with probability {probability:g}."
    ),
    operation=tuple(WALL),
    probability=(0.5, 1.0),
    magnitude=(3, 6, 9),
)

# %% name="fig-wall-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_wall("rotate", 1.0, 6),
    alt="Ten digits above ten pieces of clothing, all turned by 120 degrees to one side or the other.",
)

# %% [markdown]
# (The scales here are wider than the published ones: rotate goes up to 180 degrees, and cutout covers up to three quarters of the side.)

# %% [markdown]
# > **Takeaway.** A magnitude is a position on an operation's own scale of strengths, and every picture has its own draw: whether, how strongly, and in which direction.

# %% [markdown]
# ## 2 Does the label still fit?
#
# You can look at a wall of pictures. You cannot look at 60,000 of them, for 15 operations and 10 strengths. So ask a **judge**: a classifier that was trained on other pictures, which are used for nothing else. Count for how many pictures its answer is still the label after the change. That share is the **label safety** of an operation at a strength. (Only pictures that
# the judge got right before the change count, since it does not know the others.)

# %%
predict(
    "11.b",
    "A judge that has seen only upright digits looks at 6s that are turned by 180 degrees. What share of them does it call a 9?",
    unit="%",
)

# %% [markdown]
# The next cell trains two judges. It takes about 9 seconds.


# %%
SEEDS = (0, 1, 2)


def train(task, augments, seeds, *, width=16, labels=500, steps=160, part="train"):
    """Small nets, one per augmentation and seed: all see equally many pictures, 50 in each step."""
    cell = nets.Cell(task, labels, steps, width)
    return [net.model for net in nets.train(cell, augments, seeds, learning_rate=0.01, batch_size=50, part=part)]


@cache
def trained(task, arm, width=16):
    """Three nets, one per seed, trained on 500 pictures; `arm` names an augmentation in ARMS."""
    return train(task, [ARMS[arm]] * len(SEEDS), SEEDS, width=width)


ARMS = {"none": None, "up to 15°": arms.up_to(aug.rotate, 15.0), "up to 180°": arms.up_to(TURN)}
two = train("digits", [ARMS["none"], ARMS["up to 180°"]], (0, 0), labels=1500, steps=300, part="reference")
judges = dict(zip(("never saw a turned digit", "saw turned digits"), two))
ANGLES = tuple(step / 12 for step in range(1, 13))  # shares of 180 degrees
safeties = {
    name: aug.label_safety(
        judge,
        pixels["digits"][:1000],
        digits.train.labels[:1000],
        [TURN],
        ANGLES,
        mean=data.DIGIT_MEAN,
        std=data.DIGIT_STD,
    )
    for name, judge in tqdm(judges.items(), desc="judges")
}
six = safeties["never saw a turned digit"].counts[0, -1, 6]
reveal("11.b", round(100 * (six[9] / six.sum()).item()))

# %% name="fig-safety" tags=["hide-input"]
LOOKS = {6: ("vermillion", "-", "o"), 9: ("orange", "--", "s"), 0: ("blue", "-.", "^"), 7: ("green", ":", "D")}


def draw_safety():
    figure, several = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True)
    for axes, (name, safety) in zip(several, safeties.items()):
        degrees = safety.strengths[0]
        for digit in range(10):
            colour, line, marker = LOOKS.get(digit, ("black", "-", ""))
            many = digit not in LOOKS
            axes.plot(
                degrees,
                100 * safety.kept[0, :, digit],
                color=figures.COLOURS[colour],
                linestyle=line,
                marker=marker,
                linewidth=1 if many else 2.5,
                alpha=0.35 if many else 1,
                label=None if many else str(digit),
            )
        axes.set(xlabel="turned by, in degrees", ylim=(0, 103), xticks=(0, 45, 90, 135, 180))
        axes.set_title(f"a judge that {name}", loc="left", fontsize=14)
    several[0].set_ylabel("kept their label, in %")
    several[1].legend(title="digit", fontsize=12, loc="lower left", ncols=2)
    return figure


show(
    draw_safety(),
    alt="Share of digits that keep their label over the angle, for two judges. For the one that never saw turned digits, all curves fall at first, and some rise again towards 180 degrees; those of 3, 6, 7 and 9 end near zero. For the other one all stay above 70%.",
)


# %% name="out-turned" tags=["hide-input"]
def taken_for(name, digit):
    """The judge's two most frequent answers to a digit that was turned by 180 degrees."""
    row = safeties[name].counts[0, -1, digit]
    best = row.argsort(descending=True, stable=True)[:2].tolist()
    return ", ".join(f"{answer}: {row[answer] / row.sum():.0%}" for answer in best)


with hold("11.b"):
    table(range(10), judges, lambda digit, name: taken_for(name, digit), "turned by 180°")


# %% tags=["solution-only"]
def answers(name, digit):
    """The answers of a judge to the digits of a class that are turned by 180 degrees: [10] shares."""
    counts = safeties[name].counts[0, -1, digit].double()
    return counts / counts.sum()


NEVER, SAW = judges
claim(
    "An upside-down 6 is taken for a 9 more often than for anything else, and a 9 for a 6",
    holds=int(answers(NEVER, 6).argmax()) == 9 and int(answers(NEVER, 9).argmax()) == 6,
)
claim("it calls most turned 7s a 6", holds=float(answers(NEVER, 7)[6]) > 0.5)
of_saw = safeties[SAW].kept[0].double()  # [strengths, digits]
claim(
    "it recognises most digits at any angle, and even most 6s and 9s",
    holds=float(of_saw.mean(dim=1).amin()) > 0.75 and min(answers(SAW, 6)[6], answers(SAW, 9)[9]) > 0.6,
)
claim("For the other one all stay above 70%", holds=float(of_saw.amin()) > 0.7)

# %% [markdown]
# Look at the left half of the figure and the left column of the table first. An upside-down 6 is taken for a 9 more often than for anything else, and a 9 for a 6. This is the famous case. But a 3 or a 7 that is turned upside down is no digit at all to you. The judge has *never seen anything like it*, and must give some answer: it calls most turned 7s a 6. So a low
# safety has two causes:
#
# - the picture **has become another class**, and nobody can recognise the old one;
# - the picture is only **strange to the judge**, and a judge that has learned from such pictures would recognise it.
#
# So ask a second judge, in the right column, that was trained with turned digits on the same reference pictures. The digits that even this judge gets wrong may be too hard for a net of this size. But it recognises most digits at any angle, and even most 6s and 9s, so something in the pictures still differs.
# The net has to learn this fine difference, whereas an easier one is enough for upright digits.
#
# Which judge is right? Each answers its own question. The first one finds the pictures that no longer look like an upright digit, and its limits are cautious. The second one finds the pictures that a network could still learn. If your network will read only upright digits, begin with the cautious judge, and measure.

# %% [markdown]
# ### Exercise 11.4 - The strongest that is safe (8 min)
#
# Label safety gives a **limit** per class: the largest strength up to which the class is safe. The words *up to* matter: a 1 turned by 180 degrees is a 1 again, but at 90 it is not, and a policy that draws angles up to 180 will draw 90 too. Worked by hand: at strengths 30, 90 and 180 the shares 0.98, 0.50 and 0.97 keep their label, and 0.95 is required. The limit is 30.


# %% name="ex-11-4" tags=["exercise"]
def safe_strengths(strengths, kept, at_least):
    """For each class the largest safe strength below which all are safe too; None if not even the smallest is safe.

    strengths: a rising list of numbers [S]; kept: a tensor [S, classes], the share of pictures that kept their label.
    A strength is safe if this share is `at_least` or more. Returns a list, one entry per class.
    """
    ### BEGIN SOLUTION
    limits = []
    for shares in kept.T.tolist():
        limit = None
        for strength, share in zip(strengths, shares):
            if share < at_least:
                break
            limit = strength
        limits.append(limit)
    return limits
    ### END SOLUTION


# %% tags=["check"]
check("11.4")

# %% [markdown]
# <details><summary>Hint 1: one class at a time</summary>
#
# A class is a column, `kept[:, label]`. Go through the strengths from the weakest on, and stop at the first that is not safe.
# </details>
# <details><summary>Hint 2: the result so far</summary>
#
# Start with None, and remember the last strength that was safe.
# </details>

# %% [markdown]
# In the library it is `safety.limits(at_least=...)`. A **guard** contains such limits, and a policy can have one. Whatever the policy then draws, no picture is changed more strongly than its class allows. There are two ways to enforce a limit. *Cutting* moves every draw beyond the limit to the limit itself: of angles up to 180, five of six would become 30. *Rescaling* shrinks the whole range until it ends at the limit, and this is used here.

# %% name="out-guard" tags=["hide-input"]
cautious = safeties["never saw a turned digit"]
guard = cautious.guard(at_least=0.8, beyond="rescale")
table(
    ("most degrees",),
    range(10),
    lambda _, digit: "never" if guard.limits["rotate"][digit] is None else f"{guard.limits['rotate'][digit]:g}",
    "digit",
)
drawn, labels = torch.tensor([180.0, -90.0]), torch.tensor([6, 9])
print(f"\na 6 and a 9 that drew {drawn.tolist()} are turned by {guard.limited(TURN, drawn, labels)[0].tolist()}")

# %% [markdown]
# ### Digits and clothes
#
# Now measure all operations, each at the strong end of AutoAugment's scale, on both tasks. Each task has its own judge, and both judges are trained in the same way on clean pictures that serve as a reference.

# %%
predict(
    "11.c",
    "Which of these is much safer for clothes than for digits?",
    choices=("flip", "invert", "rotate 30", "posterize"),
)

# %%
OPERATIONS = (
    *(aug.flip, aug.rotate, aug.shear_x, aug.translate_x, aug.invert, aug.solarize, aug.posterize),
    *(aug.auto_contrast, aug.equalize, aug.brightness, aug.contrast, aug.sharpness, aug.cutout),
)
task_judges = {
    "digits": judges["never saw a turned digit"],
    "clothes": train("clothes", [None], (0,), labels=1500, steps=300, part="reference")[0],
}
task_safety = {}
for task, judge in task_judges.items():
    mean, std = nets.standardisation_of(task)
    labels = nets.splits_of(task).train.labels[:500]
    task_safety[task] = aug.label_safety(judge, pixels[task][:500], labels, OPERATIONS, (1.0,), mean=mean, std=std)

names = {"flip": "flip", "invert": "invert", "rotate": "rotate 30", "posterize": "posterize"}
difference = task_safety["clothes"].kept.mean(dim=2)[:, 0] - task_safety["digits"].kept.mean(dim=2)[:, 0]
by_operation = dict(zip((operation.name for operation in OPERATIONS), difference.tolist()))
reveal("11.c", names[max(names, key=by_operation.get)])


# %% name="out-tasks" tags=["hide-input"]
def safety_cell(row, column):
    place = [operation.name for operation in OPERATIONS].index(row)
    task, what = column.split(", ")
    kept = task_safety[task].kept[place, 0]
    if what == "kept":
        return f"{kept.mean():.0%}"
    worst = int(kept.argmin())
    return f"{data.FASHION_CLASSES[worst] if task == 'clothes' else worst}: {kept[worst]:.0%}"


with hold("11.c"):
    table(
        [operation.name for operation in OPERATIONS],
        ("digits, kept", "digits, worst", "clothes, kept", "clothes, worst"),
        safety_cell,
        "strongest",
    )

# %% tags=["solution-only"]
columns = nets.pixels_of(clothes.train, "clothes")[:, 0].double().sum(dim=1)  # [N, 28], from the left
heels_right = (columns * torch.arange(28)).sum(dim=1) / columns.sum(dim=1) > 13.5  # the heel is high: it weighs more
shoes = [data.FASHION_CLASSES.index(name) for name in ("sandal", "sneaker", "ankle boot")]
claim(
    "nearly all shoes of this data set point to the left",
    holds=min(heels_right[clothes.train.labels == shoe].double().mean().item() for shoe in shoes) > 0.9,
)
kept_of = {
    task: dict(zip((operation.name for operation in OPERATIONS), safety.kept.mean(dim=2)[:, 0].tolist()))
    for task, safety in task_safety.items()
}
claim("the judge recognises hardly any inverted picture", holds=max(kept_of[task]["invert"] for task in kept_of) < 0.15)
sneaker_flipped = task_safety["clothes"].kept[0, 0, data.FASHION_CLASSES.index("sneaker")]
claim("the judge does not know the sneaker that points to the right", holds=float(sneaker_flipped) < 0.2)

# %% [markdown]
# A mirrored shirt is a shirt, and a mirrored 3 is no digit. But nearly all shoes of this data set point to the left, and the judge does not know the sneaker that points to the right. An inverted 3 is a 3 to you, but the judge recognises hardly any inverted picture. Such pictures are only strange to it, and may even be good to learn from (section 6). (Gontijo-Lopes et al., 2021, call a similar number *affinity*. They find that it predicts a gain only together with *diversity*, a measure of how hard the changed pictures are to learn.)

# %% [markdown]
# > **Takeaway.** High label safety is good evidence that labels still fit; low safety is a warning that the picture has become another class, or is only strange to the judge.

# %% [markdown]
# ## 3 Does it hurt the network?
#
# Safety is about labels. The goal is the accuracy of a network that learns from changed pictures. One rule comes first: *the pictures that judge it stay clean*. Augmentation changes the training pictures, anew in each epoch.

# %% [markdown]
# ### Exercise 11.5 - Change what it learns from, not what it is judged by (5 min)


# %% name="ex-11-5" tags=["exercise"]
def validation_accuracy(model, train, validation, augment, epochs):
    """The share of right answers on the validation pictures, after training on augmented pictures.

    train, validation: pairs (pictures, labels); augment(pictures, epoch) returns changed pictures, different in each
    epoch (counted from 0); model.learn(pictures, labels) returns the model after one epoch; model.predict(pictures)
    returns classes.
    """
    ### BEGIN SOLUTION
    pictures, labels = train
    for epoch in range(epochs):
        model = model.learn(augment(pictures, epoch), labels)
    return (model.predict(validation[0]) == validation[1]).double().mean().item()
    ### END SOLUTION


# %% tags=["check"]
check("11.5")

# %% [markdown]
# <details><summary>Hint 1: which pictures each time</summary>
#
# Each epoch starts from the *clean* training pictures. If you write `pictures = augment(pictures, epoch)`, the changes pile up.
# </details>

# %%
predict(
    "11.d",
    "A net learns from 500 digits, each turned by any angle up to 180 degrees. By how many points does its accuracy on upright digits change? (Negative: it falls.)",
    unit="points",
)

# %% [markdown]
# The next cell takes about 6 seconds.

# %%
ARMS["up to 180°, guarded"] = arms.up_to(TURN, guard=guard)
OTHERS = [digit for digit in range(10) if digit not in (6, 9)]


def share_right(network, task, classes=range(10)):
    """The share of validation pictures of these classes that are right."""
    split = nets.splits_of(task).validation
    chosen = torch.isin(split.labels, torch.tensor(list(classes)))
    return fit.accuracy(network, data.Split(split.images[chosen], split.labels[chosen]))


groups = {"all digits": range(10), "6 and 9": (6, 9), "the others": OTHERS}
turned = {
    arm: {
        group: fit.over_seeds(lambda seed: share_right(trained("digits", arm)[seed], "digits", classes), SEEDS)
        for group, classes in groups.items()
    }
    for arm in tqdm(ARMS, desc="arms")
}
reveal("11.d", round(100 * (turned["up to 180°"]["all digits"].mean - turned["none"]["all digits"].mean), 1))

# %% name="out-turning" tags=["hide-input"]
OVER_NONE = "over none (95%)"


def over(arm, other, of):
    """The difference between two arms, seed by seed, in points with the 95% interval of the mean."""
    return record.interval_text(Paired(tuple(a - b for a, b in zip(of(arm).values, of(other).values))))


def turning_cell(arm, column):
    if column != OVER_NONE:
        return percent(turned[arm][column])
    return "-" if arm == "none" else over(arm, "none", lambda one: turned[one]["all digits"])


with hold("11.d"):
    table(ARMS, (*groups, OVER_NONE), turning_cell, "digits, upright, 3 seeds")


# %% tags=["solution-only"]
def between(arm, other):
    """By how much one arm exceeds another on all digits, seed by seed."""
    pairs = zip(turned[arm]["all digits"].values, turned[other]["all digits"].values)
    return Paired(tuple(a - b for a, b in pairs))


claim("Turning all the way round costs about 14 points", -100 * between("up to 180°", "none").mean, within=1.5)
claim(
    "Three seeds do not decide whether turning by up to 15 degrees helps",
    holds=record.effect(between("up to 15°", "none")) == "unclear",
)
claim(
    "The guard takes the harm away, and most of the turning with it",
    holds=between("up to 180°, guarded", "up to 180°").interval()[0] > 0
    and between("up to 180°, guarded", "none").interval()[1] > 0
    and max(limit or 0 for limit in guard.limits["rotate"]) <= 60,
)

# %% [markdown]
# (Mean ± standard deviation over the seeds. The last column is the difference to no augmentation, seed by seed, with the 95% interval of its mean, as in lesson 06: three seeds make it wide.) Three seeds do not decide whether turning by up to 15 degrees helps. Turning all the way round costs about 14 points, although all nets saw equally many pictures.
#
# The guard takes the harm away, and most of the turning with it.
#
# ### The recorded study
#
# Three seeds and a short training give only a hint. The same question was asked with five seeds, eight channels, longer training and guards by both judges, and the answers were recorded. The table has the accuracy in percent on upright *test* digits, and in the last column on turned ones. (The limits of the guards come from the judge who never saw a turned digit, "clean", and from the other judge. The guards were chosen after a first run whose test figures had been seen: take those rows as an illustration.)

# %% name="out-study-turning" tags=["hide-input"]
study = record.recorded()
few, many = record.cells_of(study.turning)
WAYS = {
    "none": "none",
    "15°": "up to 15 degrees",
    "30°": "up to 30 degrees",
    "90°": "up to 90 degrees",
    "180°": "up to 180 degrees",
    "180°, 6 and 9 30°": arms.BY_HAND,
    "180°, clean guard": "180 degrees, limits per class by the clean judge",
    "180°, other guard": "180 degrees, limits per class by the experienced judge",
}
COLUMNS = {"all": range(10), "6": [6], "9": [9]}


def recorded(way, column):
    if column == "turned":
        return percent(record.turned_spread(study.turning, few, WAYS[way])).replace("%", "")
    return percent(record.spread(study.turning, few, WAYS[way], COLUMNS[column])).replace("%", "")


table(WAYS, (*COLUMNS, "turned"), recorded, f"up to, {few.labels} labels")

# %% name="fig-classes" tags=["hide-input"]
SHOWN_WAYS = {"15°": ("blue", ""), "180°": ("vermillion", "//"), "180°, 6 and 9 30°": ("orange", "..")}


def draw_classes():
    figure, axes = plt.subplots(figsize=(10, 4.4))
    for number, (way, (colour, hatch)) in enumerate(SHOWN_WAYS.items()):
        gains = [record.gain(study.turning, few, WAYS[way], [digit]) for digit in range(10)]
        low = [100 * (each.mean - each.interval()[0]) for each in gains]
        axes.bar(
            [digit + 0.27 * (number - 1) for digit in range(10)],
            [100 * each.mean for each in gains],
            width=0.25,
            yerr=low,
            color=figures.COLOURS[colour],
            hatch=hatch,
            edgecolor="white",
            error_kw={"elinewidth": 1},
            label=f"turned by up to {way}",
        )
    axes.axhline(0, color="black", linewidth=1)
    axes.set(xlabel="digit", ylabel="change of accuracy, points", xticks=range(10))
    axes.legend(fontsize=12, loc="lower left", ncols=1)
    return figure


show(
    draw_classes(),
    alt="For each digit the change of test accuracy over no augmentation, with its 95% interval: a little for 15 degrees; for 180 degrees losses everywhere, the largest for 6; with 6 and 9 spared, these two recover and others lose.",
)

# %% name="out-hurt" tags=["hide-input"]
taken = {digit: 100 * record.gain(study.turning, few, WAYS["180°"], [digit]).mean for digit in range(10)}
order = sorted(taken, key=taken.get)
print("180° takes most from:", ", ".join(f"{digit} ({taken[digit]:+.0f} points)" for digit in order[:4]))
pair = record.gain(study.turning, few, WAYS["180°"], [6, 9])
rest = record.gain(study.turning, few, WAYS["180°"], OTHERS)
print(f"6 and 9 together {record.interval_text(pair)}, the others {record.interval_text(rest)}")
more = Paired(tuple(one - other for one, other in zip(pair.differences, rest.differences)))
print(f"6 and 9 less the others {record.interval_text(more)}\n")


def called_6_or_9(way, digits_asked):
    """The share of turned test digits that the recorded nets call a 6 or a 9."""
    shares = (record.turned_spread(study.turning, few, WAYS[way], digits_asked, answer).mean for answer in (6, 9))
    return f"{sum(shares):.0%}"


ASKED = {"turned 6 and 9": (6, 9), "other turned digits": OTHERS}
table(
    ("30°", "180°", "180°, 6 and 9 30°"),
    ASKED,
    lambda way, which: called_6_or_9(way, ASKED[which]),
    "are called a 6 or a 9",
)


# %% tags=["solution-only"]
from studies.augment.harm.references import guards_of


def against(way, other, classes=range(10)):
    return record.gain(study.turning, few, WAYS[way], classes, over=WAYS[other])


def called(way, classes):
    return 100 * sum(record.turned_spread(study.turning, few, WAYS[way], classes, to).mean for to in (6, 9))


def each_called(way, classes):
    """The share of these turned digits that is called a 6 or a 9, for each seed."""
    both = (record.turned_spread(study.turning, few, WAYS[way], classes, to).values for to in (6, 9))
    return [six + nine for six, nine in zip(*both)]


def less(these, those):
    """By how much each seed's number exceeds the other."""
    return Paired(tuple(one - other for one, other in zip(these, those)))


def calls_fewer(way, other, classes):
    return less(each_called(way, classes), each_called(other, classes)).interval()[1] < 0


SPARED = "180°, 6 and 9 30°"
low, high = (-100 * end for end in more.interval())
claim(
    "The 6 loses most, and 6 and 9 together lose more than the others: by 9 points, with an interval of 5 to 14",
    None,
    None,
    None,
    -100 * more.mean,
    high,
    low,
    holds=order[0] == 6,
)
nine = record.gain(study.turning, few, WAYS["180°"], [9])
claim("The 9 alone does not", holds=less(nine.differences, rest.differences).interval()[1] > 0)
claim("all ten digits lose", holds=all(against("180°", "none", [digit]).interval()[1] < 0 for digit in range(10)))
claim(
    "The 6 and the 9 recover",
    holds=all(
        against(SPARED, "180°", [digit]).interval()[0] > 0 and against(SPARED, "none", [digit]).mean > 0
        for digit in (6, 9)
    ),
)
claim(
    "fewer turned digits (last column) are recognised than in the row above",
    holds=less(*(record.turned_spread(study.turning, few, WAYS[way]).values for way in (SPARED, "180°"))).interval()[1]
    < 0,
)
claim(
    "the 4 and the 7 lose about 10 points more than before",
    None,
    None,
    -50 * sum(against(SPARED, "180°", [digit]).mean for digit in (4, 7)),
    within=1,
    holds=all(against(SPARED, "180°", [digit]).interval()[1] < 0 for digit in (4, 7)),
)
claim(
    "Of turned 6s and 9s it calls 32% one of the two; it is 75% where all classes are turned alike, and 45% where all were "
    "turned by up to 30 degrees",
    called(SPARED, (6, 9)),
    called("180°", (6, 9)),
    called("30°", (6, 9)),
    None,
)
claim("lack of practice alone does not explain the difference", holds=calls_fewer(SPARED, "30°", (6, 9)))
claim(
    "It also calls the fewest of the *other* turned digits a 6 or a 9",
    holds=all(calls_fewer(SPARED, other, OTHERS) for other in ("180°", "30°")),
)
claim(
    "of 6s and 9s they call 32% a 6 or a 9; it is 75% where all classes were turned alike, and 45% where all were turned by "
    "up to 30 degrees",
    called(SPARED, (6, 9)),
    None,
    None,
    called("180°", (6, 9)),
    called("30°", (6, 9)),
    None,
    holds=calls_fewer(SPARED, "30°", (6, 9)),
    page="slides/11_augment.md",
)
claim(
    "a turned digit is seldom a 6 or a 9",
    holds=all(calls_fewer(SPARED, other, classes) for other in ("180°", "30°") for classes in ((6, 9), OTHERS)),
)
guards = ("180°, clean guard", "180°, other guard")
held = {name: guard.limits["rotate"] for name, guard in guards_of(study.safety, study.settings["at_least"]).items()}
claim(
    "Both limit most digits to 30 degrees or less",
    holds=all(sum((limit or 0) <= 30 for limit in held[WAYS[way]]) > 5 for way in guards),
)
claim(
    "The guard by the other judge lets 0 and 1 turn all the way, and is still better than no augmentation",
    holds=held[WAYS[guards[1]]][:2] == (180, 180) and against(guards[1], "none").interval()[0] > 0,
)
claim(
    "they end below turning by up to 30 degrees",
    None,
    holds=all(against(way, "30°").interval()[1] < 0 < against(way, "none").interval()[0] for way in guards),
)
turned_best = max(WAYS, key=lambda way: record.turned_spread(study.turning, few, WAYS[way]).mean)
lowest = min(WAYS, key=lambda way: record.spread(study.turning, few, WAYS[way]).mean)
claim(
    "the net whose pictures were turned most, which lost most, is the best one on turned digits",
    holds=turned_best == lowest == "180°",
)

# %% [markdown]
# The 6 loses most, and 6 and 9 together lose more than the others: by 9 points, with an interval of 5 to 14. The 9 alone does not. Nor are these two the only ones: all ten digits lose.
#
# Now look at the row in which only 6 and 9 are spared, by hand. The 6 and the 9 recover. But the 4 and the 7 lose about 10 points more than before, and fewer turned digits (last column) are recognised than in the row above. The two rows differ only in the limit of 6 and 9, and the last table shows what the net has learned from it: *a turned digit is seldom a 6 or a 9*. Of turned 6s and 9s it calls 32% one of the two; it is 75% where all classes are turned alike, and 45% where all were turned by up to 30 degrees. That last net has seen 6s and 9s turned no further, so lack of practice alone does not explain the difference. It also calls the fewest of the *other* turned digits a 6 or a 9 (second column), although it saw as many of these as the net turned all the way round. **Limits that differ between classes can be a shortcut, and here the network found it.**
#
# The guards avoid the harm. Both limit most digits to 30 degrees or less. (The guard by the other judge lets 0 and 1 turn all the way, and is still better than no augmentation: unequal limits do not always harm.) But they end below turning by up to 30 degrees. And the net whose pictures were turned most, which lost most, is the best one on turned digits: whether augmentation hurts depends on the pictures that you want to recognise. (Large networks too can gain on average from an augmentation that costs some classes much: Balestriero et al., 2022.)

# %% [markdown]
# > **Takeaway.** Augment for the pictures that the network will meet, and judge it by clean ones: pictures far outside of these can cost accuracy, even if their labels are right.

# %% [markdown]
# ## 4 Which network can afford it?
#
# Does a wide network have room for features that it needs only sometimes, where a narrow one has none? Compare three augmentations for two widths. **Mild**: turned up to 10 degrees, slanted and shifted a little. **Strong**: up to 30 degrees, slanted up to 0.3, shifted up to a fifth of the side.

# %%
predict(
    "11.e",
    "500 digits again. How does strong augmentation change the accuracy of the two networks, in points?",
    choices=(
        "the narrow one (2 channels) loses more",
        "the wide one (16 channels) loses more",
        "both lose the same",
        "both gain",
    ),
)

# %% [markdown]
# The next cell takes about 5 seconds.

# %%
ARMS |= {"mild": arms.AFFINE[arms.MILD], "strong": arms.AFFINE[arms.STRONG]}
WIDTHS = (2, 16)
by_width = {
    (width, arm): fit.over_seeds(lambda seed: share_right(trained("digits", arm, width)[seed], "digits"), SEEDS)
    for width in tqdm(WIDTHS, desc="widths")
    for arm in ("none", "mild", "strong")
}
changes = {
    width: Paired(tuple(a - b for a, b in zip(by_width[width, "strong"].values, by_width[width, "none"].values)))
    for width in WIDTHS
}
lost = {width: 100 * change.mean for width, change in changes.items()}
gap = lost[2] - lost[16]
answer = (
    "the narrow one (2 channels) loses more"
    if gap < -1
    else "the wide one (16 channels) loses more"
    if gap > 1
    else "both lose the same"
)
reveal("11.e", "both gain" if min(lost.values()) > 0 else answer)

# %% name="out-width" tags=["hide-input"]
apart = Paired(tuple(a - b for a, b in zip(changes[2].differences, changes[16].differences)))
with hold("11.e"):
    table(("none", "mild", "strong"), WIDTHS, lambda arm, width: percent(by_width[width, arm]), "channels")
    print("\nstrong less none, points (95%):")
    print(", ".join(f"{width} channels {record.interval_text(change)}" for width, change in changes.items()))
    print(f"the narrow one less the wide one {record.interval_text(apart)}")


# %% name="fig-width" tags=["hide-input"]
def draw_width():
    figure, axes = plt.subplots(figsize=(8, 4.2))
    looks = {2: ("vermillion", "--", "s"), 16: ("blue", "-", "o")}
    for width in WIDTHS:
        colour, line, marker = looks[width]
        spreads = [by_width[width, arm] for arm in ("none", "mild", "strong")]
        axes.errorbar(
            range(3),
            [100 * spread.mean for spread in spreads],
            yerr=[100 * spread.std for spread in spreads],
            color=figures.COLOURS[colour],
            linestyle=line,
            marker=marker,
            capsize=5,
            label=f"{width} channels",
        )
    axes.set(ylabel="validation accuracy, in %", xlim=(-0.3, 2.3), xlabel="augmentation")
    axes.set_xticks(range(3), ("none", "mild", "strong"))
    axes.legend()
    return figure


show(
    draw_width(),
    alt="Validation accuracy for no, mild and strong augmentation, with the spread over three seeds, for a narrow and a wide network.",
)

# %% tags=["solution-only"]
low, high = (-100 * end for end in apart.interval())
claim(
    "The same strong augmentation is harder on the narrow network than on the wide one: by 15 points, with an interval "
    "of 3 to 28",
    -100 * apart.mean,
    high,
    low,
    within=1.5,
    holds=apart.interval()[1] < 0,
)
claim("Three seeds do not decide whether it costs the wide one anything", holds=record.effect(changes[16]) == "unclear")

# %% [markdown]
# The same strong augmentation is harder on the narrow network than on the wide one: by 15 points, with an interval of 3 to 28. (Three seeds do not decide whether it costs the wide one anything.) Only the width differs. But does the narrow one lack room, or time? The record has five seeds, and also four times the steps and three times the labels. It gives the points of test accuracy over no augmentation, with the 95% interval of the mean in brackets.

# %% name="out-study-width"
print(record.width_table(study))


# %% name="fig-study-width" tags=["hide-input"]
def draw_study_width():
    cells = record.cells_of(study.widths)
    budgets = list(dict.fromkeys((cell.task, cell.labels, cell.steps) for cell in cells))
    looks = [("blue", "-", "o"), ("green", "--", "s"), ("orange", "-.", "^"), ("vermillion", ":", "D")]
    figure, axes = plt.subplots(figsize=(9, 4.6))
    for number, (budget, (colour, line, marker)) in enumerate(zip(budgets, looks)):
        own = [cell for cell in cells if (cell.task, cell.labels, cell.steps) == budget]
        gains = [record.gain(study.widths, cell, arms.STRONG) for cell in own]
        axes.errorbar(
            [at + 0.05 * (number - 1.5) for at in range(len(own))],
            [100 * each.mean for each in gains],
            yerr=[100 * (each.mean - each.interval()[0]) for each in gains],
            color=figures.COLOURS[colour],
            linestyle=line,
            marker=marker,
            capsize=4,
            label=f"{budget[0]}, {budget[1]:,} labels, {budget[2]:,} steps",
        )
    axes.axhline(0, color="black", linewidth=1)
    axes.set(xlabel="width, in channels", ylabel="strong augmentation, points")
    axes.set_xticks(range(len(own)), [str(cell.width) for cell in own])
    axes.legend(fontsize=12, loc="lower right")
    return figure


show(
    draw_study_width(),
    alt="What strong augmentation adds, in points with 95% intervals, over the width of the network: far below zero at 1 and 2 channels in all lines; above zero at 16 channels for 500 digits, more so with longer training; below zero for 1,500 digits and for clothes.",
)

# %% tags=["solution-only"]
by_cell = {(cell.task, cell.labels, cell.steps, cell.width): cell for cell in record.cells_of(study.widths)}


def gained(task, labels, steps, width, arm=arms.STRONG):
    return record.gain(study.widths, by_cell[task, labels, steps, width], arm)


def longer(width, arm=arms.STRONG):
    """What four times the steps change in an arm's gain, seed by seed."""
    pairs = zip(gained("digits", 500, 1600, width, arm).differences, gained("digits", 500, 400, width, arm).differences)
    return Paired(tuple(a - b for a, b in pairs))


BUDGETS = (("digits", 500, 400), ("digits", 500, 1600), ("digits", 1500, 400), ("clothes", 500, 400))
claim(
    "Narrow nets lose to strong augmentation in all four settings",
    holds=all(gained(*budget, width).interval()[1] < 0 for budget in BUDGETS for width in (1, 2)),
)
claim(
    "With four times the steps they lose less: 3 points instead of 14 with two channels, 11 instead of 19 with one",
    *(-100 * gained("digits", 500, steps, width).mean for width in (2, 1) for steps in (1600, 400)),
    holds=all(longer(width).interval()[0] > 0 for width in (1, 2)),
)
claim(
    "with four times the steps much less: 3 points instead of 14 with two channels",
    *(-100 * gained("digits", 500, steps, 2).mean for steps in (1600, 400)),
    holds=longer(2).interval()[0] > 0,
    page="slides/11_augment.md",
)
claim(
    "With 500 digits the mild augmentation costs them nothing measurable in the short training",
    holds=all(gained("digits", 500, 400, width, arms.MILD).interval()[1] > 0 for width in (1, 2)),
)
claim(
    "gains 4 to 5 points in the long one",
    100 * gained("digits", 500, 1600, 1, arms.MILD).mean,
    100 * gained("digits", 500, 1600, 2, arms.MILD).mean,
    holds=all(gained("digits", 500, 1600, width, arms.MILD).interval()[0] > 0 for width in (1, 2)),
)
claim(
    "The wide net gains with 500 digits, and gains more with time",
    holds=gained("digits", 500, 400, 16).interval()[0] > 0 and longer(16).interval()[0] > 0,
)
plain = [record.spread(study.widths, by_cell["digits", 500, steps, 16], arms.NONE).mean for steps in (400, 1600)]
claim("Without augmentation longer training gave it nothing", holds=plain[1] <= plain[0])
learnt = [fit.accuracy(network, digits.train.first(500)) for network in trained("digits", "none")]
claim(
    "The wide nets of this lesson have all their 500 training pictures right after 160 steps",
    None,
    None,
    holds=min(learnt) > 0.998,
)
claim(
    "the wide net loses 2 points to strong augmentation",
    -100 * gained("digits", 1500, 400, 16).mean,
    holds=gained("digits", 1500, 400, 16).interval()[1] < 0,
)
milder = [
    less(*(gained("digits", labels, 400, 16, arm).differences for arm in (arms.MILD, arms.STRONG)))
    for labels in (500, 1500)
]
claim(
    "the mild one is the best for the wide net with 500 digits and with 1,500",
    holds=all(one.interval()[0] > 0 for one in milder)
    and all(gained("digits", labels, 400, 16, arms.MILD).interval()[0] > 0 for labels in (500, 1500)),
)
clothes_mild = gained("clothes", 500, 400, 16, arms.MILD)
claim(
    "strong augmentation hurts even the wide net, and the mild one costs it about a point",
    holds=gained("clothes", 500, 400, 16).interval()[1] < 0
    and clothes_mild.interval()[1] < 0
    and -2 < 100 * clothes_mild.mean < -0.5,
)
narrowest = record.spread(study.widths, by_cell["clothes", 500, 400, 1], arms.STRONG)
claim(
    "One narrow net in five did not learn at all",
    holds=[share < 0.15 for share in narrowest.values].count(True) == 1 and len(narrowest.values) == 5,
)

# %% [markdown]
# - **Narrow nets lose** to strong augmentation in all four settings. With four times the steps they lose less: 3 points instead of 14 with two channels, 11 instead of 19 with one. So most of the loss with two channels was a lack of time; the record does not say how much would be left after a still longer training. (With 500 digits the mild augmentation costs them nothing measurable in the short training, and gains 4 to 5 points in the long one.)
# - **The wide net gains with 500 digits**, and gains more with time. Without augmentation longer training gave it nothing. (The wide nets of this lesson have all their 500 training pictures right after 160 steps.)
# - **With three times the labels** the wide net loses 2 points to strong augmentation in the same number of steps. More labels also mean fewer passes through them, so the record does not tell which of the two is the cause. (For larger networks, Cubuk et al., 2020, found that the best strength grows with the network and with the number of labels. Of the three strengths here, the mild one is the best for the wide net with 500 digits and with 1,500; a finer scale would be needed to see more.)
# - **Clothes**, only in the short training: strong augmentation hurts even the wide net, and the mild one costs it about a point. (One narrow net in five did not learn at all, which makes the intervals of one channel so wide.) Clothes fill their frame, and digits have empty space around them. No row here tests whether that is the reason.

# %% [markdown]
# > **Takeaway.** Augmentation takes width and time: strong augmentation cost the narrow networks accuracy, and helped the wide one only with few digits.

# %% [markdown]
# ## 5 Two pictures in one
#
# Two methods change the label *with* the picture. **Mixup** takes a weighted mean of two pictures, $\lambda$ of one and $1 - \lambda$ of the other, and the same mean of their labels. **CutMix** pastes a box of one picture into another, and the label follows the area.
#
# A label is then no longer a class but a share of each class. Worked by hand: three quarters of a 0 and one quarter of a 2, with three classes, is (0.75, 0, 0.25).

# %% name="fig-mix" tags=["hide-input"]
six_digits = Batch(pixels["digits"][:6], digits.train.labels[:6])


def in_words(shares):
    return "\n".join(f"{label}: {share:.2f}" for label, share in enumerate(shares.tolist()) if share > 0)


def draw_mix():
    figure, several = plt.subplots(2, 6, figsize=(10, 4.6))
    for row, (name, mix) in zip(several, {"Mixup": aug.Mixup(1.0, 10), "CutMix": aug.CutMix(1.0, 10)}.items()):
        mixed = mix(six_digits, torch.Generator().manual_seed(8))
        for axes, picture, shares in zip(row, mixed.images, mixed.labels):
            axes.imshow(picture[0], cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=(), yticks=())
            axes.grid(False)
            axes.set_xlabel(in_words(shares), fontsize=12)
        row[0].set_ylabel(name)
    return figure


show(
    draw_mix(),
    alt="Six digits mixed by Mixup, two shining through each other, and by CutMix, a box of one in the other; under each the shares of its two classes.",
)

# %% [markdown]
# ### Exercise 11.6 - Mix the labels as you mix the pictures (8 min)


# %% name="ex-11-6" tags=["exercise"]
def mix_pairs(pictures, labels, partner, shares, classes):
    """Mix each picture with its partner, and their labels in the same proportion.

    pictures: [N, height, width]; labels: whole numbers [N]; partner: [N], picture i is mixed with picture partner[i];
    shares: [N], how much of picture i itself stays. Returns (pictures, labels), the labels as shares [N, classes].
    """
    ### BEGIN SOLUTION
    hot = torch.eye(classes)[labels]
    own = shares[:, None, None]
    mixed = own * pictures + (1 - own) * pictures[partner]
    return mixed, own[:, 0] * hot + (1 - own[:, 0]) * hot[partner]
    ### END SOLUTION


# %% tags=["check"]
check("11.6")

# %% [markdown]
# <details><summary>Hint 1: labels as rows</summary>
#
# `torch.eye(classes)[labels]` gives a row per picture with a single 1. Rows can be mixed like pictures.
# </details>
# <details><summary>Hint 2: shapes</summary>
#
# `shares[:, None, None]` lines up with pictures, `shares[:, None]` with rows of labels.
# </details>

# %% [markdown]
# In CutMix the size and the centre of the box are both drawn. Near a border, part of the box is outside the picture and is not pasted. The label must follow the part that *was* pasted. Worked by hand: 4 x 4 pixels, a box of 2 x 2 around the pixel (0, 0). It begins at -1, so a single pixel is inside: 1 / 16, and not 4 / 16.

# %% [markdown]
# ### Exercise 11.7 - What was really pasted (5 min)


# %% name="ex-11-7" tags=["exercise"]
def pasted_share(picture, box, centre):
    """The share of the picture that a box covers, after the part of the box beyond the border is cut off.

    picture, box: pairs (height, width) in pixels; centre: the pair (row, column). The box begins at
    centre - side // 2 in each direction, and has `side` pixels.
    """
    ### BEGIN SOLUTION
    area = 1
    for size, side, middle in zip(picture, box, centre):
        first = middle - side // 2
        area *= min(first + side, size) - max(first, 0)
    return area / (picture[0] * picture[1])
    ### END SOLUTION


# %% tags=["check"]
check("11.7")

# %% [markdown]
# <details><summary>Hint 1: one direction at a time</summary>
#
# The pixels from `first` to `first + side`, not included, but none below 0 and none from the picture's size on. Rows and columns are independent: multiply.
# </details>

# %% [markdown]
# What is the effect of mixed labels? Mixup draws $\lambda$ from the distribution Beta($\alpha$, $\alpha$): evenly for $\alpha$ = 1, and mostly near 0 or 1 for $\alpha$ = 0.2. The control mixes its pictures as for $\alpha$ = 1 but not its labels: each picture gets the class of its larger part. The next cell takes about 5 seconds.

# %%
predict(
    "11.f",
    "Is the net trained with mixup too sure of itself? Compare its mean confidence (the largest probability that it gives) with its accuracy on clean validation digits.",
    choices=("confidence is higher: too sure", "within 2 points: just right", "confidence is lower: too modest"),
)


# %%
def labels_forgotten(batch, generator):
    mixed = aug.Mixup(1.0, 10)(batch, generator)
    return Batch(mixed.images, mixed.main_labels)


ARMS |= {
    "mixup": aug.Mixup(1.0, 10),
    "mixup, alpha 0.2": aug.Mixup(0.2, 10),
    "mixup, labels not mixed": labels_forgotten,
}


def judged(arm, what):
    """The accuracy, the mean confidence or the loss of the three nets of an arm, on clean validation digits."""

    def figure_of(seed):
        logits = fit.predict(trained("digits", arm)[seed], digits.validation.images)
        if what == "accuracy":
            return (logits.argmax(dim=1) == digits.validation.labels).double().mean().item()
        if what == "mean confidence":
            return logits.softmax(dim=1).amax(dim=1).double().mean().item()
        return torch.nn.functional.cross_entropy(logits, digits.validation.labels).item()

    return fit.over_seeds(figure_of, SEEDS)


MIXERS = ("none", "mixup", "mixup, alpha 0.2", "mixup, labels not mixed")
for arm in tqdm(MIXERS, desc="arms"):
    trained("digits", arm)
sure, right = judged("mixup", "mean confidence"), judged("mixup", "accuracy")
beyond = sure.mean - right.mean
verdicts = {True: "confidence is higher: too sure", False: "confidence is lower: too modest"}
reveal("11.f", "within 2 points: just right" if abs(beyond) < 0.02 else verdicts[beyond > 0])


# %% name="out-mix" tags=["hide-input"]
def mix_cell(arm, column):
    if column == OVER_NONE:
        return "-" if arm == "none" else over(arm, "none", lambda one: judged(one, "accuracy"))
    spread = judged(arm, column)
    return f"{spread.mean:.3f} ± {spread.std:.3f}" if column == "loss" else percent(spread)


with hold("11.f"):
    table(MIXERS, ("accuracy", OVER_NONE, "mean confidence", "loss"), mix_cell, "500 digits, width 16")


# %% tags=["solution-only"]
def mixed_less(arm, other, what):
    pairs = zip(judged(arm, what).values, judged(other, what).values)
    return Paired(tuple(a - b for a, b in pairs))


FORGOTTEN = "mixup, labels not mixed"
claim(
    "So the labels lower the confidence, here by too much",
    holds=mixed_less("mixup", FORGOTTEN, "mean confidence").interval()[1] < -0.05 and beyond < -0.02,
)
claim(
    "stays nearly as sure of itself as the one without mixup",
    holds=abs(mixed_less(FORGOTTEN, "none", "mean confidence").mean) < 0.03,
)
claim(
    "no row has an interval above 0",
    None,
    holds=all(mixed_less(arm, "none", "accuracy").interval()[0] <= 0 for arm in MIXERS[1:]),
)
mean_loss = {arm: judged(arm, "loss").mean for arm in MIXERS}
claim(
    "All three have a lower loss than no augmentation, mixup with $\\alpha$ = 0.2 the lowest",
    None,
    holds=max(mean_loss, key=mean_loss.get) == "none" and min(mean_loss, key=mean_loss.get) == "mixup, alpha 0.2",
)

# %% [markdown]
# Compare the second row with the last. The pictures were mixed in the same way; only the labels differ. A net that is told "half this, half that" learns to hedge, and hedges on clean digits as well. A net that is told one class for the same picture stays nearly as sure of itself as the one without mixup. So the labels lower the confidence, here by too much. (Thulasidasan et al., 2019, found the same for large networks, where less confidence was closer to the accuracy.)
#
# The gain in accuracy that mixup is known for does *not* appear here: no row has an interval above 0. All three have a lower *loss* than no augmentation, mixup with $\alpha$ = 0.2 the lowest. Mixup was shown to help large networks in long trainings, and these are small nets and short trainings; nothing here tests whether that is the reason.

# %% [markdown]
# > **Takeaway.** A mixed picture has a mixed label, in the proportions of the picture itself: that makes a network more modest, and only a control shows whether it becomes better.

# %% [markdown]
# ## 6 Which operations, for which task?
#
# Return to the question of the beginning, with all operations in the record. Half of the training pictures get one operation at one strength, with five seeds and 500 labels. For both tasks the table has the points of test accuracy gained, with the 95% interval, and the label safety by a clean judge and by an experienced one, which has seen pictures changed by this operation.

# %%
predict(
    "11.g",
    "Which of these helps on digits? (500 labels, test accuracy over five seeds)",
    choices=("flip", "invert", "rotate by 180 degrees", "none of them"),
)

# %% tags=["hide-input"]
CHOSEN = {
    "flip": (aug.flip, 1.0),
    "rotate 15": (TURN, 15 / 180),
    "rotate 30": (TURN, 30 / 180),
    "rotate 180": (TURN, 1.0),
    "shear 0.15": (aug.shear_x, 0.5),
    "shift 0.227": (aug.translate_x, 0.5),
    "invert": (aug.invert, 1.0),
    "contrast 0.45": (aug.contrast, 0.5),
    "posterize 4": (aug.posterize, 1.0),
    "equalize": (aug.equalize, 1.0),
    "cutout 0.181": (aug.cutout, 1.0),
}
of_task = {cell.task: cell for cell in record.cells_of(study.operations)}

# %%
asked = {"flip": "flip", "invert": "invert", "rotate by 180 degrees": "rotate 180"}
effects = {name: record.effect(record.gain(study.operations, of_task["digits"], arm)) for name, arm in asked.items()}
helping = [name for name, found in effects.items() if found == "helps"]
reveal("11.g", helping[0] if len(helping) == 1 else "none of them" if not helping else ", ".join(helping))

# %% name="out-study-operations" tags=["hide-input"]
lines = [["operation", "digits", "clean", "seen", "clothes", "clean", "seen"]]
for name, (operation, share) in CHOSEN.items():
    lines.append([name])
    for task, cell in of_task.items():
        kept = [
            record.safety_at(study.safety, task, judge, operation, operation.strength(share)).kept
            for judge in record.JUDGES
        ]
        arm = arms.named(operation, operation.strength(share))
        gained = record.interval_text(record.gain(study.operations, cell, arm))
        lines[-1] += [gained, *(f"{share_kept:.0%}" for share_kept in kept)]
with hold("11.g"):
    print(aligned(lines))

# %% name="out-study-ranks" tags=["hide-input"]
table(
    record.JUDGES,
    ("digits", "clothes"),
    lambda judge, task: f"{record.rank_correlation(study, task, judge):+.2f}",
    "rank correlation of safety and gain, judge:",
)
found = {
    arm: tuple(record.effect(record.gain(study.operations, of_task[task], arm)) for task in ("digits", "clothes"))
    for arm in record.arms_of(study.operations)[1:]
}
print(f"\nof {len(found)} operations and strengths in the record")
for text, wanted in {
    "help digits and harm clothes": lambda digits, clothes: (digits, clothes) == ("helps", "harms"),
    "help clothes and harm digits": lambda digits, clothes: (digits, clothes) == ("harms", "helps"),
    "help clothes at all": lambda digits, clothes: clothes == "helps",
}.items():
    print(f"{text}: {', '.join(arm for arm, both in found.items() if wanted(*both)) or 'none'}")

# %% tags=["solution-only"]
helped = [arm for arm, both in found.items() if both == ("helps", "harms")]
claim(
    "Four rows of the record help digits and harm clothes (two of them are one operation: solarize 0 inverts), and not "
    "one does the opposite",
    None,
    holds=len(helped) == 4
    and {"invert", "solarize 0"} <= set(helped)
    and torch.equal(aug.solarize(pixels["digits"][:50], 0.0), aug.invert(pixels["digits"][:50]))
    and not any(both == ("harms", "helps") for both in found.values()),
)
kept_by = {
    (task, judge, name): record.safety_at(study.safety, task, judge, operation, operation.strength(share)).kept
    for task in of_task
    for judge in record.JUDGES
    for name, (operation, share) in CHOSEN.items()
}
clean_judge, experienced = record.JUDGES
AFFINE_ROWS = ("rotate 15", "rotate 30", "shear 0.15")
claim(
    "has no measurable effect on clothes, although the label is safe: 97% for the judge that knows flipped ones",
    100 * kept_by["clothes", experienced, "flip"],
    holds=found["flip"] == ("harms", "unclear"),
)
claim(
    "Invert *helps* digits, although the clean judge recognises hardly any inverted digit",
    holds=found["invert"][0] == "helps" and kept_by["digits", clean_judge, "invert"] < 0.15,
)
claim("The experienced one recognises nearly all", holds=kept_by["digits", experienced, "invert"] > 0.9)
affine = [arms.named(CHOSEN[name][0], CHOSEN[name][0].strength(CHOSEN[name][1])) for name in AFFINE_ROWS]
claim(
    "good for digits, of no use or harmful for clothes",
    holds=all(found[arm][0] == "helps" and found[arm][1] in ("unclear", "harms") for arm in affine),
)
claim(
    "The one that helps clothes at all may be luck: of so many intervals at 95%, one or two miss by chance",
    holds=sum(on_clothes == "helps" for _, on_clothes in found.values()) == 1 and 1 <= 0.05 * len(found) <= 2,
)
SAFE = ("posterize 4", "equalize", "cutout 0.181")
claim(
    "very safe, and they gain nothing measurable",
    holds=all(found[arm] == ("unclear", "unclear") for arm in SAFE)
    and min(kept_by[task, clean_judge, name] for task in of_task for name in SAFE) > 0.85,
)
ranks = {task: [record.rank_correlation(study, task, judge) for judge in record.JUDGES] for task in of_task}
claim(
    "it tells much about clothes and little about digits",
    holds=min(ranks["clothes"]) > 0.6 and max(ranks["digits"]) < 0.4,
)
no_promise = all(found[arm] == ("unclear", "unclear") for arm in SAFE)
claim("high safety is no promise of a gain", holds=no_promise, page="slides/11_augment.md")
claim(
    "High safety is no promise of a gain (and no protection from harm: flipped digits are safe for the judge that knows "
    "them, and harm), and low safety by a clean judge is no proof of harm",
    holds=no_promise
    and kept_by["digits", experienced, "flip"] > 0.9
    and found["flip"][0] == "harms"
    and kept_by["digits", clean_judge, "invert"] < 0.15
    and found["invert"][0] == "helps",
)

# %% [markdown]
# - **Flip** harms digits clearly, and has no measurable effect on clothes, although the label is safe: 97% for the judge that knows flipped ones.
# - **Rotate 15 and 30, shear**: good for digits, of no use or harmful for clothes. Four rows of the record help digits and harm clothes (two of them are one operation: solarize 0 inverts), and not one does the opposite. (The one that helps clothes at all may be luck: of so many intervals at 95%, one or two miss by chance.)
# - **Invert** *helps* digits, although the clean judge recognises hardly any inverted digit. It had never seen one. The experienced one recognises nearly all: the label was safe all along.
# - **Posterize, cutout, equalize**: very safe, and they gain nothing measurable. Safe is not the same as useful.
#
# How much of this comes from the short training with few labels? Three operations were tried again with three times the labels and four times the steps. On digits their effects are the same. On clothes, the harm of inverting is gone:

# %% name="out-study-control"
print(record.control_table(study))

# %% tags=["solution-only"]
few_labels, many_labels = (
    {cell.task: cell for cell in record.cells_of(runs)} for runs in (study.operations, study.control)
)
CONTROLS = record.arms_of(study.control)[1:]
claim(
    "On digits their effects are the same",
    holds=all(
        record.effect(record.gain(study.control, many_labels["digits"], arm)) == found[arm][0] != "unclear"
        for arm in CONTROLS
    ),
)
claim(
    "On clothes, the harm of inverting is gone",
    holds=found["invert"][1] == "harms"
    and record.effect(record.gain(study.control, many_labels["clothes"], "invert")) == "unclear",
)
claim(
    "three times the labels and four times the steps",
    holds=(many_labels["digits"].labels, many_labels["digits"].steps)
    == (3 * few_labels["digits"].labels, 4 * few_labels["digits"].steps),
)

# %% [markdown]
# So is label safety worth measuring? As a *ranking* (+1: both in the same order, 0: no relation) it tells much about clothes and little about digits. High safety is no promise of a gain (and no protection from harm: flipped digits are safe for the judge that knows them, and harm), and low safety by a clean judge is no proof of harm. Validation accuracy is the judge of an augmentation, and in lesson 12 it makes the choice.

# %% [markdown]
# > **Takeaway.** Whether an operation helps depends on the task: safety shows where to look, and validation accuracy decides, for your labels and your training.

# %% [markdown]
# ## 7 Where it stops working
#
# - **The judge is a network.** Where it has no experience, its answer means little. Ask a second judge with other experience.
# - **Strengths add up.** All limits here are for one operation. A picture that is turned by a safe angle *and* sheared by a safe amount can be changed too much.
# - **Safe on average is not safe for all.** A limit of 80% lets one picture in five change.
# - **Small nets, few pictures, short trainings.** The effects in the table of widths changed with labels and steps. Expect them to change again with your data, and measure with a control.
# - **A gain on one test set.** Turning digits all the way round cost accuracy on *upright* test digits, and gained most on turned ones. If users hold the camera in any direction, the last column of the table in section 3 counts.

# %% [markdown]
# > **Takeaway.** A measured gain holds for its network, its labels, its training and its test pictures: measure again when one of them changes.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A picture of 4 x 4 pixels is turned by 180 degrees about its centre. Which old pixel moves to (0, 0)? Which one does if the picture is turned about the corner (0, 0)?
#
# <details><summary>Answer</summary>
#
# The centre is (1.5, 1.5), and $\cos$ = -1, $\sin$ = 0. So $x_{\text{old}} = -x + 3$ and $y_{\text{old}} = -y + 3$: (0, 0) comes from (3, 3), the other corner. About the corner, (0, 0) stays where it is, and every other pixel comes from outside the picture: all but one are black.
# </details>
#
# **2.** A policy has two sub-policies. The first is a step with probability 0.8 and another with probability 0.5, the second a single step with probability 0.2. What share of the pictures stays as it is?
#
# <details><summary>Answer</summary>
#
# Half of the pictures draw the first sub-policy, and 0.2 · 0.5 = 0.1 of them stay as they are. Of the other half 0.8 stay. Together these are 0.05 + 0.4 = 0.45 of all pictures.
# </details>
#
# **3.** CutMix on 28 x 28 pixels draws a box of 14 x 14 pixels around the centre (0, 14). What share of the label goes to the other picture? What share did the box have when it was drawn?
#
# <details><summary>Answer</summary>
#
# The rows begin at -7 and end before 7: 7 of them are inside. The columns run from 7 to 20: all 14 are inside. The share is 7 · 14 / 784 = 0.125, half of the 0.25 that was drawn.
# </details>

# %% [markdown]
# ## The ledger
#
# Augmentation does not change what a model costs: bytes, MACs and milliseconds stay the same. It can only change the accuracy, and the ledger compares that of clothes. The *validation* pictures choose among no augmentation, the mild one and the flip; the test pictures give the report. The next cell takes about 6 seconds.


# %% name="out-ledger"
CHOICES = ("none", "mild", "flip")
ARMS["flip"] = aug.Policy([aug.SubPolicy(aug.Step(aug.flip, probability=0.5))])
on_clothes = {
    arm: fit.over_seeds(lambda seed: share_right(trained("clothes", arm)[seed], "clothes"), SEEDS)
    for arm in tqdm(CHOICES, desc="arms")
}
table(CHOICES, ("validation",), lambda arm, _: percent(on_clothes[arm]), "clothes, 500 labels")
best = max(CHOICES, key=lambda arm: on_clothes[arm].mean)
row_name = f"small net, 500 labels, {best}"
chosen = trained("clothes", best)[0]
report = measure.report(
    {row_name: chosen, "small_cnn": zoo.load("small_cnn")},
    clothes.test.images[:1],
    accuracies={row_name: fit.accuracy(chosen, clothes.test)},
)
ledger(report.rows[0], lesson=11, beside=report.rows[1])

# %%
progress()

# %% [markdown]
# ## Summary
#
# - An operation has a strength in its own unit; a magnitude is a position on its scale. Every picture has its own draw.
# - Ask, per class and strength, whether a changed picture keeps its label. Ask a judge that has seen such pictures too: has the picture become another class, or is it only strange?
# - A limit per class is a hint about the class, and a shortcut that the network found.
# - Strong augmentation cost narrow nets accuracy, less so in a longer training; a wide net gained with few digits, and lost with clothes.
# - Mix labels with pictures, by the part that is really pasted: the network becomes more modest, not always better. Judge by clean pictures.
#
# **References.** Zhang et al. 2018, *mixup: Beyond Empirical Risk Minimization*. DeVries and Taylor 2017, *Improved Regularization of Convolutional Neural Networks with Cutout*. Yun et al. 2019, *CutMix*. Cubuk et al. 2019, *AutoAugment: Learning Augmentation Strategies from Data* (operations and magnitudes).
# Cubuk et al. 2020, *RandAugment*. Müller and Hutter 2021, *TrivialAugment*. LeCun et al. 1998, *Gradient-Based Learning Applied to Document Recognition* (MNIST). Xiao, Rasul and Vollgraf 2017, *Fashion-MNIST*. Thulasidasan et al. 2019, *On Mixup Training: Improved Calibration and Predictive Uncertainty for Deep Neural Networks*.
#
# **Further reading.** Gontijo-Lopes et al. 2021, *Tradeoffs in Data Augmentation: An Empirical Study* (affinity and diversity, arXiv 2002.08973). Balestriero, Bottou and LeCun 2022, *The Effects of Regularization and Data Augmentation are Class Dependent* (arXiv 2204.03632). Hendrycks et al. 2020, *AugMix* (augmenting for robustness; `mini_lib/augment/augmix.py`).
#
# **In the library.** In [`mini_lib/augment`](../mini_lib/augment/__init__.py), [`operations`](../mini_lib/augment/operations/__init__.py) has the operations with their scales, [`policy.py`](../mini_lib/augment/policy.py) the draw for each picture, [`mixing.py`](../mini_lib/augment/mixing.py) and [`boxes.py`](../mini_lib/augment/boxes.py) the mixing of pictures, [`safety.py`](../mini_lib/augment/safety.py) the verdict of judges and [`guard.py`](../mini_lib/augment/guard.py) the limits that follow from it. The study is [`studies/augment/harm`](../studies/augment/harm/__init__.py).
#
# **Next:** [12 Can the data tell us how to augment it?](12_autoaugment.ipynb)
