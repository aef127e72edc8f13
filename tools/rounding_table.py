"""Print the effect of second-order rounding on the course's CNN: output error, loss and accuracy, over three seeds.

    python tools/rounding_table.py

Scales and roundings are chosen on 256 training images. All figures are for the validation set. The output error of each
layer, the sum of squares relative to the output, is computed on 500 of its images with the inputs of the float model;
its median over the layers is shown. There are three tables:

1. Weights alone, one grid per output channel. Bias correction is the control: rounding shifts the mean of every
   channel, and a good part of the other methods' gain comes from undoing that shift.
2. Weights alone in groups, where AWQ's scales should help.
3. Weights and activations, for the model as trained and with planted outliers: the layer before makes four channels
   before conv4 50 times as large, and the weights that read them are a fiftieth as large. The float model stays the
   same.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import fmean, median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib import data, zoo
from mini_lib.fit import predict
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    IntFormat,
    LayerPair,
    PerChannel,
    PerGroup,
    adaround,
    awq,
    correct_bias,
    gptq,
    is_weight_layer,
    mse,
    quantize_weights,
    quantize_weights_and_activations,
    rescaled,
    smooth,
)
from mini_lib.second_moments import output_error, second_moments_of
from mini_lib.surgery import find

SEEDS = (0, 1, 2)
Arms = dict[str, Callable[[nn.Module, Tensor], nn.Module]]


def per_channel(bits: int, steps: int) -> Arms:
    fmt = IntFormat(bits, granularity=PerChannel(0))
    return {
        "nearest": lambda model, x: quantize_weights(model, fmt),
        "nearest, mse": lambda model, x: quantize_weights(model, fmt, observer=mse),
        "nearest, mse, bias corrected": lambda model, x: correct_bias(
            model, quantize_weights(model, fmt, observer=mse), x
        ),
        "AdaRound": lambda model, x: adaround(model, fmt, x, steps=steps),
        "AdaRound, mse": lambda model, x: adaround(model, fmt, x, steps=steps, observer=mse),
        "GPTQ": lambda model, x: gptq(model, fmt, x),
        "GPTQ, activation order": lambda model, x: gptq(model, fmt, x, activation_order=True),
        "GPTQ, mse": lambda model, x: gptq(model, fmt, x, observer=mse),
    }


def in_groups(bits: int) -> Arms:
    def fmt(name: str, layer: nn.Module) -> IntFormat:
        return IntFormat(bits, granularity=PerGroup({"conv1": 9, "linear": 16}.get(name, 36)))

    return {
        "nearest": lambda model, x: quantize_weights(model, fmt),
        "AWQ": lambda model, x: awq(model, fmt, x),
        "GPTQ": lambda model, x: gptq(model, fmt, x),
    }


def with_activations(bits: int) -> Arms:
    def small(model: nn.Module, x: Tensor, first: Callable[[nn.Module, Tensor], nn.Module]) -> nn.Module:
        activations = IntFormat(bits, symmetric=False, signed=False)
        return quantize_weights_and_activations(
            first(model, x), IntFormat(8, granularity=PerChannel(0)), activations, x
        )

    def plant(model: nn.Module, x: Tensor) -> nn.Module:
        factors = torch.ones(64).index_fill_(0, torch.arange(0, 64, 16), 1 / 50)
        return rescaled(model, {LayerPair("conv3", "conv4"): factors})

    return {
        "as trained": partial(small, first=lambda model, x: model),
        "as trained, smoothed": partial(small, first=smooth),
        "outliers": partial(small, first=plant),
        "outliers, smoothed": partial(small, first=lambda model, x: smooth(plant(model, x), x)),
    }


def loss_and_accuracy(model: nn.Module, split: data.Split) -> tuple[float, float]:
    logits = predict(model, split.images)
    accuracy = (logits.argmax(dim=1) == split.labels).double().mean().item()
    return F.cross_entropy(logits, split.labels).item(), accuracy


def show(title: str, arms: Callable[[int], Arms], widths: tuple[int, ...], errors: bool) -> None:
    """Print a table: the mean over the seeds, and the range from the lowest to the highest."""
    splits = data.fashion()
    x = splits.train.first(256).images
    models = [fold_batch_norm(zoo.load("small_cnn", seed)) for seed in SEEDS]
    layers = [dict(find(model, is_weight_layer)) for model in models]
    looked_at = splits.validation.first(500).images
    moments = [second_moments_of(model, looked_at, own) for model, own in zip(models, layers)] if errors else None
    loss, right = zip(*(loss_and_accuracy(model, splits.validation) for model in models))
    print(f"{title}\n{'':34}output error   loss (lowest to highest)   accuracy              s")
    print(f"{'float':34}{'':13}  {spread(loss):>25}  {spread([100 * a for a in right]):>22}")
    for bits in widths:
        for name, make in arms(bits).items():
            found, lost, right, seconds = [], [], [], []
            for at, model in enumerate(models):
                start = time.perf_counter()
                small = make(model, x)
                seconds.append(time.perf_counter() - start)
                if errors:
                    after = {key: small.get_submodule(key) for key in layers[at]}
                    found += [relative_error(models[at], small, key, moments[at][key]) for key in after]
                score = loss_and_accuracy(small, splits.validation)
                lost.append(score[0])
                right.append(100 * score[1])
            error = f"{median(found):13.5f}" if errors else f"{'':13}"
            print(
                f"{bits} bits, {name:26}{error}  {spread(lost):>25}  {spread(right):>22}  {median(seconds):6.1f}",
                flush=True,
            )
    print()


def relative_error(model: nn.Module, small: nn.Module, name: str, moments: Tensor) -> float:
    return output_error(model.get_submodule(name).weight, small.get_submodule(name).weight, moments)


def spread(values: list[float]) -> str:
    return f"{fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500, help="of AdaRound")
    parser.add_argument("--only", choices=("channels", "groups", "activations"), help="one table of the three")
    parser.add_argument("--bits", type=int, nargs="*", default=(4, 3, 2))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    widths = tuple(arguments.bits)
    if arguments.only in (None, "channels"):
        show("Weights, one grid per channel", partial(per_channel, steps=arguments.steps), widths, errors=True)
    if arguments.only in (None, "groups"):
        show("Weights, one grid per group of 36 (conv1 9, linear 16)", in_groups, widths, errors=False)
    if arguments.only in (None, "activations"):
        show("8-bit weights, activations of as many bits", with_activations, (8, 6, 4), errors=False)


if __name__ == "__main__":
    main()
