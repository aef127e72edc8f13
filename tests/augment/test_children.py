"""Children trained as one: each comes out as if it had been alone, and early stopping is counted as it was."""

import re

import numpy as np
import pytest
import tiny_children as tiny
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from mini_lib.augment.search import ChildRecipe, Spent, child_cnn, train_children
from mini_lib.batch import Batch
from mini_lib.data import Split
from mini_lib.fit import accuracy

TRAIN, VALIDATION = tiny.pictures(), tiny.pictures(40, seed=1)
RECIPE = ChildRecipe(steps=12, batch_size=16, learning_rate=0.02)


def says(message: str) -> str:
    return f"^{re.escape(message)}"


def noisy(size: float):
    """An augmentation that draws for each picture."""

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        return Batch(batch.images + size * torch.randn(batch.images.shape, generator=generator), batch.labels)

    return augment


def grey(batch: Batch, generator: torch.Generator) -> Batch:
    """Nothing can be learned from what is left."""
    return Batch(torch.zeros_like(batch.images), batch.labels)


def softly(batch: Batch, generator: torch.Generator) -> Batch:
    return Batch(batch.images, F.one_hot(batch.labels, 4).to(batch.images.dtype) * 0.8 + 0.05)


class Recording:
    """An augmentation that changes nothing, and remembers what it saw and drew."""

    def __init__(self) -> None:
        self.seen, self.drawn = [], []

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        self.seen.append(batch.images)
        self.drawn.append(torch.rand(1, generator=generator).item())
        return batch


def alone(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, recipe: ChildRecipe) -> nn.Module:
    """The plain loop: one net, given all its batches, with AdamW written out."""
    weights = list(net.train().parameters())
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step, (x, y) in enumerate(zip(images.split(recipe.batch_size), labels.split(recipe.batch_size)), start=1):
        gradients = torch.autograd.grad(F.cross_entropy(net(x), y), weights)
        rate = recipe.rate_at(step - 1)
        with torch.no_grad():
            for weight, gradient, m, v in zip(weights, gradients, first, second):
                weight.mul_(1 - rate * recipe.weight_decay)
                m.mul_(0.9).add_(gradient, alpha=0.1)
                v.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                weight.sub_(rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    return net.eval()


def largest_difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values())
    return max(float((mine - theirs).abs().max()) for mine, theirs in pairs)


def test_in_doubles_each_child_is_the_net_trained_alone():
    """A gradient is off by some 1e-15, and Adam multiplies that by rate / (sqrt(v) + 1e-8): at the very most, where a
    gradient is nearly 0, by .02 * 1e8 per step, 12 * 2e-9 = 2.4e-8 in all. Another algorithm is off by a rate, .02."""
    seen = [Recording() for _ in range(3)]
    children = train_children(tiny.build_in_doubles, seen, TRAIN, VALIDATION, RECIPE, [0, 1, 2])
    for seed, (child, record) in enumerate(zip(children, seen)):
        images = torch.cat(record.seen)
        which = (images[:, None] == TRAIN.images[None]).flatten(2).all(dim=2).double().argmax(dim=1)
        assert sorted(which[:96].tolist()) == list(range(96))  # one epoch: each picture once
        expected = alone(tiny.build_in_doubles(seed), images, TRAIN.labels[which], RECIPE)
        assert largest_difference(child.model, expected) <= 2.4e-8
        assert child.validation_accuracy == accuracy(child.model, VALIDATION) == accuracy(expected, VALIDATION)
        assert not child.model.training
        assert child.spent == Spent(12 * 16, 40) and child.steps == 12


def test_the_company_does_not_matter():
    augments = [None, noisy(0.3), softly, noisy(1.0)]
    together = train_children(tiny.build_in_doubles, augments, TRAIN, VALIDATION, RECIPE, [5, 6, 7, 5])
    for augment, seed, child in zip(augments, (5, 6, 7, 5), together):
        [only] = train_children(tiny.build_in_doubles, [augment], TRAIN, VALIDATION, RECIPE, [seed])
        assert largest_difference(child.model, only.model) <= 2.4e-8  # as above
    assert largest_difference(together[0].model, together[3].model) > 0.01  # one seed, two augmentations


def test_children_of_one_seed_see_the_same_pictures_and_draw_the_same():
    first, same, other = Recording(), Recording(), Recording()
    train_children(tiny.build, [first, same, other], TRAIN, VALIDATION, RECIPE, [3, 3, 4])
    assert all(torch.equal(*pair) for pair in zip(first.seen, same.seen)) and first.drawn == same.drawn
    assert not torch.equal(first.seen[0], other.seen[0]) and first.drawn != other.drawn


def test_several_batches_at_once_are_the_same_batches():
    one, five = Recording(), Recording()
    recipe = ChildRecipe(steps=12, batch_size=16, batches_at_once=5)
    children = [
        train_children(tiny.build, [record], TRAIN, VALIDATION, how, [0])[0]
        for record, how in ((one, ChildRecipe(steps=12, batch_size=16)), (five, recipe))
    ]
    assert [len(images) for images in five.seen] == [80, 80, 32]
    assert torch.equal(torch.cat(one.seen), torch.cat(five.seen))
    assert largest_difference(children[0].model, children[1].model) == 0


def test_nothing_but_training_pictures_is_augmented_and_the_global_random_state_is_left():
    record = Recording()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    train_children(tiny.build, [record], TRAIN, VALIDATION, RECIPE, [0])
    assert torch.equal(before, torch.get_rng_state())
    known = {tuple(image.flatten().tolist()) for image in TRAIN.images}
    assert {tuple(image.flatten().tolist()) for image in torch.cat(record.seen)} <= known


# --- early stopping ------------------------------------------------------------------------------------------------


def test_the_worse_half_stops_and_the_others_do_not_notice():
    """Eight children, of which four see nothing but grey: they go first. By hand 4 * 6 + 2 * 9 + 2 * 12 = 66 steps."""
    recipe = ChildRecipe(steps=12, batch_size=16, learning_rate=0.02, halve_at=(6, 9))
    augments = [grey, noisy(0.1), grey, None, grey, noisy(0.2), softly, grey]
    children = train_children(tiny.build_in_doubles, augments, TRAIN, VALIDATION, recipe, [0] * 8)
    assert [child.steps for child, augment in zip(children, augments) if augment is grey] == [6] * 4
    rest = sorted(child.steps for child, augment in zip(children, augments) if augment is not grey)
    assert rest == [9, 9, 12, 12]
    assert sum(child.spent.trained_pictures for child in children) == 66 * 16
    assert sum(child.spent.judged_pictures for child in children) == (8 + 4 + 2) * 40
    for child, finished in zip(
        children, train_children(tiny.build_in_doubles, augments, TRAIN, VALIDATION, RECIPE, [0] * 8)
    ):
        assert child.validation_accuracy == accuracy(child.model, VALIDATION)
        if child.steps == 12:  # what its optimizer remembers stayed with it; tolerance as above
            assert largest_difference(child.model, finished.model) <= 2.4e-8


def test_of_an_odd_number_the_smaller_half_goes_on_and_one_is_never_stopped():
    recipe = ChildRecipe(steps=4, batch_size=16, halve_at=(1, 2, 3))
    children = train_children(tiny.build, [None] * 5, TRAIN, VALIDATION, recipe, range(5))
    assert sorted(child.steps for child in children) == [1, 1, 1, 2, 4]
    assert max(children, key=lambda child: child.steps).spent.judged_pictures == 4 * 40


# --- a start -------------------------------------------------------------------------------------------------------


def test_a_start_is_shared_or_one_for_each():
    """A rate of 1e-12 moves no weight by more than 12 * 1e-12 * (1 + .1 * |w|), so each net is its start."""
    still = ChildRecipe(steps=12, batch_size=16, learning_rate=1e-12)
    starts = train_children(tiny.build, [None, noisy(0.1)], TRAIN, VALIDATION, RECIPE, [0, 1])

    def weights_of(children):
        return [torch.cat([weight.flatten() for weight in child.model.parameters()]) for child in children]

    shared = train_children(tiny.build, [None] * 2, TRAIN, VALIDATION, still, [7, 8], start=starts[0].weights)
    for found in weights_of(shared):
        assert torch.allclose(found, weights_of(starts)[0], atol=1e-6)
    own = [child.weights for child in starts]
    for found, expected in zip(
        weights_of(train_children(tiny.build, [None] * 2, TRAIN, VALIDATION, still, [7, 7], start=own)),
        weights_of(starts),
    ):
        assert torch.allclose(found, expected, atol=1e-6)
    assert shared[0].spent == Spent(12 * 16, 40)  # the start is counted by whoever trained it


def test_a_start_is_left_as_it_was():
    [start] = train_children(tiny.build, [None], TRAIN, VALIDATION, RECIPE, [0])
    before = {name: tensor.clone() for name, tensor in start.weights.items()}
    train_children(tiny.build, [None, grey], TRAIN, VALIDATION, RECIPE, [0, 0], start=start.weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.weights.items())


# --- the net of a child --------------------------------------------------------------------------------------------


def test_the_net_for_children_takes_grey_and_colour_of_both_sizes():
    for channels, side in ((1, 28), (3, 32)):
        net = child_cnn(0, channels)
        assert net(torch.zeros(2, channels, side, side)).shape == (2, 10)
    assert torch.equal(child_cnn(1)[0].weight, child_cnn(1)[0].weight)
    assert not torch.equal(child_cnn(1)[0].weight, child_cnn(2)[0].weight)
    with pytest.raises(ValueError, match=says("channels must be 1 or 3, got 2; 1 is grey, 3 is colour")):
        child_cnn(0, 2)


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, message",
    [
        ({"steps": 0}, "steps must be a whole number of 1 or more, got 0; 80 steps tell a good policy from a bad one"),
        ({"batch_size": 0}, "batch_size must be a whole number of 1 or more, got 0; 64 is a good start"),
        ({"learning_rate": 0}, "learning_rate must be a finite number above 0, got 0; 0.01 is a good start"),
        ({"weight_decay": -1}, "weight_decay must be a finite number of 0 or more, got -1; 0 leaves it out"),
        ({"batches_at_once": 0}, "batches_at_once must be a whole number of 1 or more, got 0; 8 saves"),
        ({"halve_at": (80,)}, "a step of halve_at must be a whole number from 1 to 79, got 80; () lets all"),
        ({"halve_at": (9, 3)}, "halve_at must rise, got (9, 3); give each step once, the first one first"),
    ],
)
def test_a_recipe_that_cannot_be(given, message):
    with pytest.raises(ValueError, match=says(message)):
        ChildRecipe(**given)


def twice(batch, generator):
    return Batch(batch.images.repeat(2, 1, 1, 1), batch.labels.repeat(2))


@pytest.mark.parametrize(
    "augments, seeds, error, message",
    [
        ([], [], ValueError, "each child needs an augmentation (or None), a seed, and a start if there are several, "
         "got 0, 0 and 0"),
        ([None, None], [0], ValueError, "each child needs an augmentation (or None), a seed"),
        (["rotate"], [0], TypeError, "augment must be a function (batch, generator) -> batch, got 'rotate'; None"),
        ([lambda batch, _: batch.images], [0], TypeError, "augment must give a Batch, got Tensor; use Batch(images"),
        ([twice], [0], ValueError, "augment must keep shape and dtype of its pictures, made [32, 1, 8, 8] "
         "torch.float32 of [16, 1, 8, 8] torch.float32"),
    ],
)  # fmt: skip
def test_augmentations_that_cannot_be(augments, seeds, error, message):
    with pytest.raises(error, match=says(message)):
        train_children(tiny.build, augments, TRAIN, VALIDATION, RECIPE, seeds)


def test_nets_that_cannot_be_grouped_are_refused_by_name():
    def with_dropout(seed):
        return nn.Sequential(tiny.build(seed), nn.Dropout(0.5))

    def growing(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4 + seed))

    with pytest.raises(
        ValueError, match=says("1 is a Dropout, which draws by itself, and children have one generator")
    ):
        train_children(with_dropout, [None], TRAIN, VALIDATION, RECIPE, [0])
    with pytest.raises(ValueError, match=says("`build` makes nets of different shapes for different seeds")):
        train_children(growing, [None, None], TRAIN, VALIDATION, RECIPE, [0, 1])


class Around(nn.Module):
    """A net with something around it."""

    def __init__(self, seed: int, around) -> None:
        super().__init__()
        self.net, self.around = tiny.build(seed), around

    def forward(self, x):
        return self.around(self, x)


def hooked(net, *places):
    for place in places:
        net[place].register_forward_hook(lambda module, inputs, output: 2 * output)
    return net


def patched(net):
    old = net.forward
    net.forward = lambda x: 2 * old(x)
    return net


DRAWS = "the net's `forward` draws by itself, and children have one generator each"
OTHER = "net 1 gives another output in a group than alone"
ODD = {
    "functional dropout": (lambda seed: Around(seed, lambda own, x: own.net(F.dropout(x, 0.5, own.training))), DRAWS),
    "dropout at all times": (lambda seed: Around(seed, lambda own, x: own.net(F.dropout(x))), DRAWS),
    "numpy's chance": (lambda seed: Around(seed, lambda own, x: own.net(x * np.random.rand())), DRAWS),
    "chance in training": (
        lambda seed: Around(seed, lambda own, x: own.net(x + own.training * np.random.rand())),
        DRAWS,
    ),
    "a setting of each seed": (lambda seed: Around(seed, lambda own, x: own.net(x) * (1 + seed)), OTHER),
    "a hook of one net": (lambda seed: hooked(tiny.build(seed), *[0] * seed), OTHER),
    "a forward of its own": (lambda seed: patched(tiny.build(seed)), "the net has a forward of its own"),
    "float64": (lambda seed: tiny.build(seed).double(), "Sequential cannot be run on float32 [8, 1, 8, 8]"),
    "lazy": (lambda seed: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "'1.weight' of the model has no shape yet"),
    "meta": (lambda seed: tiny.build(seed).to("meta"), "Sequential cannot be run on"),
    "tied": (lambda seed: tied(tiny.build(seed)), "nets of this kind cannot be trained as one: "),
}


def tied(net):
    net.append(nn.Linear(4, 4, bias=False))
    net.append(nn.Linear(4, 4, bias=False))
    net[-1].weight = net[-2].weight
    return net


@pytest.mark.parametrize("kind", ODD)
def test_a_net_that_a_group_would_change_is_refused_by_name(kind):
    build, message = ODD[kind]
    with pytest.raises(ValueError, match=says(message)):
        train_children(build, [None, None], TRAIN, VALIDATION, RECIPE, [0, 1])


@pytest.mark.parametrize(
    "build",
    [
        lambda seed: hooked(tiny.build(seed), 0, 3),
        lambda seed: masked(tiny.build(seed)),
        lambda seed: parametrize_weight(tiny.build(seed)),
    ],
    ids=["hooks", "masked", "parametrized"],
)
def test_hooks_and_masks_that_all_nets_have_are_kept(build):
    """Each child is what it is when it is trained alone; tolerance as in a test above, in single precision: sums differ
    by 1e-7 of them, and Adam makes of a gradient that is nearly 0 a step of a rate at most, .02 on each of 2 steps."""
    recipe = ChildRecipe(steps=2, batch_size=16, learning_rate=0.02)
    together = train_children(build, [None, None], TRAIN, VALIDATION, recipe, [0, 1])
    for seed, child in enumerate(together):
        [only] = train_children(build, [None], TRAIN, VALIDATION, recipe, [seed])
        assert torch.allclose(child.model(TRAIN.images), only.model(TRAIN.images), atol=1e-5)


def masked(net):
    prune.l1_unstructured(net[4], "weight", 0.5)
    return net


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def parametrize_weight(net):
    nn.utils.parametrize.register_parametrization(net[4], "weight", Doubled())
    return net


def test_what_else_is_refused():
    with pytest.raises(TypeError, match=says("validation must be a data.Split, got Tensor; use data.Split(images")):
        train_children(tiny.build, [None], TRAIN, VALIDATION.images, RECIPE, [0])
    with pytest.raises(ValueError, match=says("start does not fit the net that `build` makes: ")):
        train_children(tiny.build, [None], TRAIN, VALIDATION, RECIPE, [0], start={"weight": torch.zeros(1)})
    broken = Split(TRAIN.images * float("nan"), TRAIN.labels)
    with pytest.raises(ValueError, match=says("the loss of child 0 is not finite at step 0; check the images for val")):
        train_children(tiny.build, [None], broken, VALIDATION, RECIPE, [0])


def test_labels_recipes_and_seeds_that_cannot_be():
    beyond = Split(TRAIN.images, TRAIN.labels + 3)
    for train, validation in ((beyond, VALIDATION), (TRAIN, beyond)):
        with pytest.raises(ValueError, match=says("the highest label is 6, but the model has 4 classes; ")):
            train_children(tiny.build, [None], train, validation, RECIPE, [0])
    with pytest.raises(ValueError, match=says("the model must give logits [N, classes], got [8, 4, 8, 8]; flat")):
        train_children(lambda _: nn.Conv2d(1, 4, 1), [None], TRAIN, VALIDATION, RECIPE, [0])
    with pytest.raises(TypeError, match=says("recipe must be a ChildRecipe, got dict; use ChildRecipe(steps=80)")):
        train_children(tiny.build, [None], TRAIN, VALIDATION, {"steps": 1}, [0])
    with pytest.raises(TypeError, match=says("a seed must be a whole number, got 0.5; any whole number will do")):
        train_children(tiny.build, [None], TRAIN, VALIDATION, RECIPE, [0.5])

    def shares(classes):
        return lambda batch, _: Batch(batch.images, torch.eye(classes)[batch.labels])

    with pytest.raises(ValueError, match=says("children are grouped, and their labels are shares of [4, 5] classes; ")):
        train_children(tiny.build, [shares(4), shares(5)], TRAIN, VALIDATION, RECIPE, [0, 0])


def test_progress_hears_of_every_step():
    steps = []
    train_children(tiny.build, [None, grey], TRAIN, VALIDATION, RECIPE, [0, 1], progress=steps.append)
    assert steps == list(range(1, 13))
    with pytest.raises(TypeError, match=says("progress must be callable")):
        train_children(tiny.build, [None], TRAIN, VALIDATION, RECIPE, [0], progress=3)
