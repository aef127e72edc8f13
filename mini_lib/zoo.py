"""The small models that run through the whole course, and their trained checkpoints.

Each model is one flat `nn.Sequential` with named layers, so that the order of the layers is the flow of the data: a
lesson can name any layer, cut between any two, and rebuild any one. A layer `conv1` is followed by its `conv1_bn` and
its `conv1_relu`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mini_lib import _assets
from mini_lib.require import of_type, whole

CHECKPOINT_FOLDER = _assets.ASSETS / "checkpoints"
TRAINING_COMMAND = "python tools/train_zoo.py"


def small_cnn(seed: int = 0) -> nn.Sequential:
    """Return the untrained model of the course: four 3x3 convolutions with batch norm and ReLU, then one linear layer.

    Takes images [N, 1, 28, 28], gives logits [N, 10].
    `seed` decides the initial weights; the global random state is left as it was found.

    By hand: convolutions 9 * (1*16 + 16*32 + 32*64 + 64*64) = 60,048, batch norms 2 * (16 + 32 + 64 + 64) = 352,
    linear 64*10 + 10 = 650:

    >>> sum(weight.numel() for weight in small_cnn().parameters())
    61050
    """
    return _sequential(
        seed,
        lambda: {
            **_conv("conv1", 1, 16),
            **_conv("conv2", 16, 32, stride=2),
            **_conv("conv3", 32, 64),
            **_conv("conv4", 64, 64, stride=2),
            **_classifier(64),
        },
    )


def depthwise_cnn(seed: int = 0) -> nn.Sequential:
    """Return an untrained small MobileNet: a stem, four depthwise-separable blocks, then one linear layer.

    A block is a depthwise 3x3 convolution (each channel on its own) and a pointwise 1x1 convolution (the channels
    mixed), each with batch norm and ReLU. Takes images [N, 1, 28, 28], gives logits [N, 10]. `seed` decides the initial
    weights; the global random state is left as it was found.

    By hand: stem 9*16 = 144, depthwise 9 * (16 + 32 + 64 + 64) = 1,584, pointwise 16*32 + 32*64 + 64*64 + 64*128 =
    14,848, batch norms 2 * (16 + 16+32 + 32+64 + 64+64 + 64+128) = 960, linear 128*10 + 10 = 1,290:

    >>> sum(weight.numel() for weight in depthwise_cnn().parameters())
    18826

    Source: A. Howard et al., "MobileNets", 2017, section 3.
    """
    return _sequential(
        seed,
        lambda: {
            **_conv("stem", 1, 16),
            **_separable("1", 16, 32, stride=2),
            **_separable("2", 32, 64),
            **_separable("3", 64, 64, stride=2),
            **_separable("4", 64, 128),
            **_classifier(128),
        },
    )


def lenet_300_100(seed: int = 0) -> nn.Sequential:
    """Return the untrained fully connected classic: 784 inputs, layers of 300 and 100 with ReLU, 10 logits.

    Takes images [N, 1, 28, 28], gives logits [N, 10].
    `seed` decides the initial weights; the global random state is left as it was found.

    By hand: 784*300 + 300 + 300*100 + 100 + 100*10 + 10:

    >>> sum(weight.numel() for weight in lenet_300_100().parameters())
    266610

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998,
    section III.C.
    """
    return _sequential(
        seed,
        lambda: {
            "flatten": nn.Flatten(),
            "linear1": nn.Linear(28 * 28, 300),
            "linear1_relu": nn.ReLU(),
            "linear2": nn.Linear(300, 100),
            "linear2_relu": nn.ReLU(),
            "linear3": nn.Linear(100, 10),
        },
    )


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights of one model: its builder, the file that holds them, and their accuracy on `data.fashion()`."""

    build: Callable[[int], nn.Sequential]
    seed: int
    validation_accuracy: float
    test_accuracy: float
    sha256: str

    @property
    def name(self) -> str:
        return self.build.__name__

    @property
    def file(self) -> str:
        return f"{self.name}-{self.seed}.safetensors"

    @property
    def how_to_get_it(self) -> str:
        return (
            f"run `git restore mini_lib/assets/checkpoints/{self.file}` in the course's folder, "
            f"or train it again with `{TRAINING_COMMAND} {self.name}`"
        )


# Made by `python tools/train_zoo.py`, which prints these lines:
# model, seed, validation accuracy, test accuracy, hash of the file.
CHECKPOINTS = (
    Checkpoint(small_cnn, 0, 0.8955, 0.898, "cef40f276c52c9a4f4fe20008c7682624f5803a66d85f24c0f98ca013041b9f2"),
    Checkpoint(small_cnn, 1, 0.899, 0.89675, "9523fc69e8cb72b9e704627583b6c45e84dd0ac5cbc24c145960bb383f0663d1"),
    Checkpoint(small_cnn, 2, 0.9015, 0.90025, "9476cc1b5d0e84faf903b370e0c70966c9dff1d7d3a36c0f2a7d7e23f3771a36"),
    Checkpoint(depthwise_cnn, 0, 0.9105, 0.89825, "492a446ae749988e7747a2ffeabb175941534a3d349f3b889de18e3ea1d7e1d9"),
    Checkpoint(depthwise_cnn, 1, 0.911, 0.90625, "3f7a4580823bf37e1b16bc180fc236bf5bf65ddb7d63185d8add15b5eb0221a4"),
    Checkpoint(depthwise_cnn, 2, 0.9075, 0.8975, "10be17bafc1db617ee65ebf15b10836e8aa20750f80e8e1ad2af3483b37e4ccb"),
    Checkpoint(lenet_300_100, 0, 0.886, 0.87775, "29814522f02b8bcefa04f0298378b1e3726b53986ed8470c2dfca733d9189766"),
)


def load(name: str, seed: int = 0) -> nn.Sequential:
    """Return a trained model in evaluation mode, from the checkpoint that is shipped for it.

    Raises:
        TypeError: `name` is not text, or `seed` not a whole number.
        ValueError: there is no such checkpoint, or its file is missing, damaged or made for another shape.

    >>> with torch.no_grad():
    ...     load("small_cnn", seed=1)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    of_type("name", name, str, fix="such as 'small_cnn'")
    seed = whole("seed", seed, fix="0 is the first")
    for checkpoint in CHECKPOINTS:
        if (checkpoint.name, checkpoint.seed) == (name, seed):
            return restore(checkpoint)
    known = ", ".join(f"{checkpoint.name} {checkpoint.seed}" for checkpoint in CHECKPOINTS)
    raise ValueError(f"no checkpoint of {name!r} with seed {seed!r}; there are (name and seed): {known}")


def restore(checkpoint: Checkpoint, folder: Path = CHECKPOINT_FOLDER) -> nn.Sequential:
    """Return the model of `checkpoint` with the weights that its file in `folder` holds, in evaluation mode.

    Raises:
        TypeError: `checkpoint` is not a Checkpoint, or `folder` not a path.
        ValueError: the file is missing, damaged or made for another shape.
    """
    of_type("checkpoint", checkpoint, Checkpoint, fix="take one of CHECKPOINTS")
    path = Path(of_type("folder", folder, (str, Path), fix="give the folder of the checkpoints")) / checkpoint.file
    content = _assets.read_verified(path, checkpoint.sha256, checkpoint.how_to_get_it)
    try:
        weights = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); to get it back, {checkpoint.how_to_get_it}"
        ) from error
    model = checkpoint.build(checkpoint.seed)
    misfit = _first_misfit(weights, model.state_dict())
    if misfit:
        raise ValueError(
            f"{path} does not fit zoo.{checkpoint.name}: {misfit}; to get them back in step, {checkpoint.how_to_get_it}"
        )
    model.load_state_dict(weights)
    return model.eval()


def _first_misfit(got: dict[str, Tensor], expected: dict[str, Tensor]) -> str | None:
    """Say where the two sets of tensors first differ in name, shape or type, or return None."""

    def describe(tensors: dict[str, Tensor], name: str) -> str:
        return f"{tensors[name].dtype} {list(tensors[name].shape)}" if name in tensors else "nothing"

    for name in [*expected, *(name for name in got if name not in expected)]:
        if describe(got, name) != describe(expected, name):
            return f"got {describe(got, name)} for {name}, expected {describe(expected, name)}"
    return None


def _sequential(seed: int, layers: Callable[[], dict[str, nn.Module]]) -> nn.Sequential:
    """Make the named layers with weights drawn from `seed`, and chain them."""
    seed = whole("seed", seed, fix="the same seed gives the same weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential()
        for name, layer in layers().items():
            model.add_module(name, layer)
        return model


def _conv(
    name: str, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1
) -> dict[str, nn.Module]:
    """A convolution, its batch norm and its ReLU. The batch norm shifts, so the convolution needs no bias."""
    return {
        name: nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        f"{name}_bn": nn.BatchNorm2d(outputs),
        f"{name}_relu": nn.ReLU(),
    }


def _separable(number: str, inputs: int, outputs: int, *, stride: int = 1) -> dict[str, nn.Module]:
    """A depthwise-separable block: each channel on its own in space, then all channels mixed at each place."""
    return {
        **_conv(f"depthwise{number}", inputs, inputs, stride=stride, groups=inputs),
        **_conv(f"pointwise{number}", inputs, outputs, kernel=1),
    }


def _classifier(channels: int) -> dict[str, nn.Module]:
    """The mean of each channel over all places, then one linear layer to the ten classes."""
    return {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(channels, 10)}
