"""Lesson 08, exercise 8.5: what the three layers of a Tucker decomposition cost."""

import torch
from torch import nn

from mini_lib import costs
from mini_lib.factorize import low_rank
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def tucker_macs(inputs: int, outputs: int, kernel: int, size: int, stride: int, rank_in: int, rank_out: int) -> int:
    """MACs of 1x1 to rank_in channels, kernel x kernel (with the stride) to rank_out, and 1x1 to the outputs."""
    places = size**2
    places_after = ((size - 1) // stride + 1) ** 2
    return places * inputs * rank_in + places_after * rank_out * (rank_in * kernel**2 + outputs)


def _tucker_by_running(inputs, outputs, kernel, size, stride, rank_in, rank_out):
    layers = (
        nn.Conv2d(inputs, rank_in, 1),
        nn.Conv2d(rank_in, rank_out, kernel, stride, kernel // 2),
        nn.Conv2d(rank_out, outputs, 1),
    )
    image, macs = torch.zeros(1, inputs, size, size), 0
    for layer in layers:
        image = layer(image)
        macs += image[0, 0].numel() * layer.weight.numel()
    return macs


def _tucker_by_visiting(inputs, outputs, kernel, size, stride, rank_in, rank_out):
    macs = 0
    for row in range(size):
        for column in range(size):
            macs += inputs * rank_in
            if row % stride == 0 and column % stride == 0:
                macs += rank_in * rank_out * kernel * kernel + rank_out * outputs
    return macs


def _layers(first=None, core=None, last=None):
    """A wrong answer: one of the three terms replaced. Each gets (M, N, K, places before, places after, ranks)."""

    def wrong(inputs, outputs, kernel, size, stride, rank_in, rank_out):
        given = (inputs, outputs, kernel, size**2, ((size - 1) // stride + 1) ** 2, rank_in, rank_out)
        return sum(term(*given) for term in (first or _first, core or _core, last or _last))

    return wrong


def _places(after, before=lambda size: size**2):
    """A wrong answer: other numbers of places, `after(size, stride, kernel)` and `before(size)`."""

    def wrong(inputs, outputs, kernel, size, stride, rank_in, rank_out):
        given = (inputs, outputs, kernel, before(size), after(size, stride, kernel), rank_in, rank_out)
        return sum(term(*given) for term in (_first, _core, _last))

    return wrong


def _first(m, n, k, before, after, a, b):
    return before * m * a


def _core(m, n, k, before, after, a, b):
    return after * a * b * k * k


def _last(m, n, k, before, after, a, b):
    return after * b * n


def _nothing(*given):
    return 0


def _tucker_case(generator: torch.Generator) -> Case:
    inputs, outputs = random_whole(generator, 4, 12), random_whole(generator, 4, 12)
    kernel, size = 2 * random_whole(generator, 1, 2) + 1, random_whole(generator, 5, 9)
    ranks = random_whole(generator, 2, inputs - 1), random_whole(generator, 2, outputs - 1)
    return Case(inputs, outputs, kernel, size, random_whole(generator, 1, 3), *ranks)


TUCKER_MACS = Exercise(
    id="8.5",
    title="Three layers for one",
    reference=tucker_macs,
    cases=(
        Case(2, 3, 3, 1, stride=1, rank_in=1, rank_out=1),
        Case(8, 16, 3, 4, stride=1, rank_in=4, rank_out=6),
        Case(8, 16, 3, 4, stride=2, rank_in=4, rank_out=6),
        Case(8, 16, 3, 5, stride=2, rank_in=4, rank_out=6),
        *random_cases(8, seed=85, make=_tucker_case),
    ),
    mistakes=(
        Mistake(
            _layers(first=lambda m, n, k, before, after, a, b: after * m * a),
            "The stride is in the second layer. The first one runs before it, at every place of the input.",
        ),
        Mistake(
            _layers(
                core=lambda m, n, k, before, after, a, b: before * a * b * k * k,
                last=lambda m, n, k, before, after, a, b: before * b * n,
            ),
            "The second layer has the stride. It and the layer after it run only at the places of the output.",
        ),
        Mistake(
            _layers(last=lambda m, n, k, before, after, a, b: before * b * n),
            "The last layer comes after the stride: it runs at the places of the output.",
        ),
        Mistake(
            _layers(core=lambda m, n, k, before, after, a, b: after * a * b),
            "The middle layer still has the window: kernel * kernel products for each pair of channels.",
        ),
        Mistake(
            _layers(core=lambda m, n, k, before, after, a, b: after * a * b * k),
            "The kernel is a square: kernel * kernel products.",
        ),
        Mistake(
            _layers(core=_nothing),
            "Those are the two 1x1 layers. The core between them has the window, and often does most of the work.",
        ),
        Mistake(
            _layers(first=_nothing, last=_nothing),
            "That is the core alone. The 1x1 layers before and after it need MACs too.",
        ),
        Mistake(
            _layers(first=_nothing),
            "The first 1x1 layer is missing: it makes rank_in channels of the inputs, at every place.",
        ),
        Mistake(_layers(last=_nothing), "The last 1x1 layer is missing: it makes the outputs of rank_out channels."),
        Mistake(
            _layers(
                first=lambda m, n, k, before, after, a, b: before * m * b,
                last=lambda m, n, k, before, after, a, b: after * a * n,
            ),
            "The ranks are swapped: the inputs become rank_in channels, and the outputs are made of rank_out.",
        ),
        Mistake(
            _layers(core=lambda m, n, k, before, after, a, b: after * m * n * k * k),
            "That core still connects all channels. It has to connect only rank_in with rank_out channels: that is "
            "the saving.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, size, stride, rank_in, rank_out: low_rank.tucker2_weights(
                (outputs, inputs, kernel, kernel), rank_in, rank_out
            ),
            "Those are the weights. Each is used once for every place at which its layer runs.",
        ),
        Mistake(
            _layers(core=lambda m, n, k, before, after, a, b: before * a * b * k * k),
            "The middle layer has the stride itself: it runs only at the places of its output.",
        ),
        Mistake(
            _layers(
                first=lambda m, n, k, before, after, a, b: before * n * a,
                last=lambda m, n, k, before, after, a, b: after * b * m,
            ),
            "Inputs and outputs are swapped: the first layer reads the inputs, the last one makes the outputs.",
        ),
        Mistake(
            _layers(_nothing, lambda m, n, k, before, after, a, b: after * m * n * k * k, _nothing),
            "That is the convolution itself. Add up the three layers that replace it.",
        ),
        Mistake(
            _layers(last=lambda m, n, k, before, after, a, b: after * (b * n + n)),
            "MACs are products: a bias adds none.",
        ),
        Mistake(
            lambda inputs, outputs, kernel, size, stride, rank_in, rank_out: (
                tucker_macs(inputs, 0, kernel, size, stride, rank_in, rank_out)
                + ((size - 1) // stride // stride + 1) ** 2 * rank_out * outputs
            ),
            "Only the middle layer has the stride. The last one runs at every place that the middle one makes.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: len(got) == 3 and sum(got) == expected,
            "Those are the MACs of the three layers. Add them up.",
            examples=(
                lambda inputs, outputs, kernel, size, stride, rank_in, rank_out: tuple(
                    layer(inputs, outputs, kernel, size**2, (-(-size // stride)) ** 2, rank_in, rank_out)
                    for layer in (_first, _core, _last)
                ),
            ),
        ),
        variants(
            "Only the middle layer has a window. The first and the last are 1x1.",
            _layers(
                first=lambda m, n, k, before, after, a, b: before * m * a * k * k,
                last=lambda m, n, k, before, after, a, b: after * b * n * k * k,
            ),
            _layers(first=lambda m, n, k, before, after, a, b: before * m * a * k * k),
            _layers(last=lambda m, n, k, before, after, a, b: after * b * n * k * k),
        ),
        variants(
            "The core connects every one of its rank_in channels with every one of its rank_out channels.",
            _layers(core=lambda m, n, k, before, after, a, b: after * b * k * k),
            _layers(core=lambda m, n, k, before, after, a, b: after * a * k * k),
            _layers(core=lambda m, n, k, before, after, a, b: after * (a + b) * k * k),
            _layers(core=lambda m, n, k, before, after, a, b: after * k * k),
        ),
        variants(
            "The padding adds kernel // 2 on each side, so a stride of 2 turns 5 places into 3: round up.",
            _places(lambda size, stride, kernel: (size // stride) ** 2),
            _places(lambda size, stride, kernel: max(0, (size - kernel) // stride + 1) ** 2),
            _places(lambda size, stride, kernel: (size / stride) ** 2),
            _places(lambda size, stride, kernel: (size // stride + 1) ** 2),
            _places(lambda size, stride, kernel: ((size + 2 * (kernel // 2) - kernel) // stride) ** 2),
        ),
        variants(
            "The image is a square, and the stride shortens both of its sides: round one side up, then square it.",
            _places(lambda size, stride, kernel: -(-(size**2) // stride)),
            _places(lambda size, stride, kernel: size**2 // stride),
            _places(lambda size, stride, kernel: size * -(-size // stride)),
            _places(lambda size, stride, kernel: size * (size // stride)),
            _places(lambda size, stride, kernel: -(-(size**2) // stride**2)),
            _places(lambda size, stride, kernel: size**2 // stride**2),
            _places(lambda size, stride, kernel: -(-size // stride)),
            _places(lambda size, stride, kernel: -(-size // stride), lambda size: size),
        ),
    ),
    also_correct=(_tucker_by_running, _tucker_by_visiting),
    forbidden=(low_rank.tucker2_weights, costs.layer_costs),
)
