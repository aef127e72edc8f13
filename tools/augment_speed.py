"""Pictures per second: each operation and whole policies, next to torchvision v2 and kornia.

    python tools/augment_speed.py                            # about two minutes, on one thread
    python tools/augment_speed.py --batch 1024 --repeats 50

All contestants get the same batch and run in turns, so that a change in the machine's speed affects all of them alike.
A cell is the median of thousands of pictures per second, with the 10th and 90th percentile. "each" has a strength for
each picture, "one" has one strength for the whole batch; auto_contrast, equalize, invert and flip have none.
With a batch, torchvision can only use one strength; for a strength per picture it takes the pictures one by one
("loop"). Each library gets strengths in its own form: ours in double precision, as policies draw them, torchvision
Python numbers, kornia single precision. kornia takes and returns pictures as floating point in [0, 1]: the conversion
from whole numbers and back, a large part of the time of our brightness and contrast, is not counted for it. Where
results differ, tests/augment/test_operations_others.py says so. kornia's auto_contrast stretches all channels of a
picture together. color changes nothing in a grey picture: ours returns a copy, torchvision returns the same tensor
without doing anything, and kornia, which needs three channels, gets the grey channel three times.

The last rows are whole policies. Ours draws everything for each picture. With a batch, torchvision draws the operations
and their direction once for all pictures, and kornia the operations; for grey pictures kornia has no color, hence no
policy. Each turn calls a contestant once without timing it and then 20 times (a policy 10 times; the loop is called
only once), so that the cache contents left by the previous contestant do not count: otherwise invert seemed a third
slower after kornia. The process starts itself again with settings that let the allocator keep its memory
(studies/factorize/clean_process.py says why).
"""

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from math import atan, degrees
from pathlib import Path
from time import perf_counter, thread_time

import kornia
import torch
from torch import Tensor

from mini_lib.augment import AUTOAUGMENT_CIFAR10, RandAugment
from mini_lib.augment.operations import RANDAUGMENT_OPERATIONS, Operation, flip, invert
from mini_lib.columns import aligned
from mini_lib.latency import Latency, compare_latency
from studies.factorize.clean_process import KEEP_MEMORY, ONE_THREAD

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from torchvision_support import import_torchvision

import_torchvision()
from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional  # noqa: E402

SETTINGS = KEEP_MEMORY | ONE_THREAD
SIDES = ((1, 28, 28), (3, 32, 32))
OPERATIONS = (*RANDAUGMENT_OPERATIONS[1:], invert, flip)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--processor-time", action="store_true", help="for a machine that others use too")
    given = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    clock = thread_time if given.processor_time else perf_counter
    torch.set_num_threads(1)
    torch.manual_seed(0)  # the random state of torchvision and kornia
    for sides in SIDES:
        images = torch.randint(256, (given.batch, *sides), dtype=torch.uint8, generator=_generator())
        print(f"\n{given.batch} pictures of {' x '.join(map(str, sides))}, thousands of pictures per second")
        lines = [("", *CONTESTANTS, "each / torchvision", "each / kornia")]
        contests = {operation.name: (_calls(operation, images), 20) for operation in OPERATIONS}
        contests |= {name: (_policy_calls(name, images), 10) for name in ("RandAugment", "AutoAugment CIFAR-10")}
        for name, (calls, times) in contests.items():
            timed = {}
            for one, call in calls.items():  # first once untimed, to have its pictures in the cache
                timed |= {f"warm {one}": call} if one not in SLOW else {}
                timed[one] = partial(_often, call, 1 if one in SLOW else times)
            latencies = compare_latency(timed, repeats=given.repeats, warmup=1, clock=clock)
            seconds = {one: [s / (1 if one in SLOW else times) for s in latencies[one].times_s] for one in calls}
            lines.append(_line(name, {one: Latency(tuple(seconds[one])) for one in calls}, given.batch))
        print(aligned(lines))


CONTESTANTS = ("ours, each", "ours, one", "torchvision, one", "torchvision, loop", "kornia, each")


SLOW = ("torchvision, loop",)  # called once per turn


def _calls(operation: Operation, images: Tensor) -> dict[str, Callable[[], object]]:
    """Return the timed calls: the operation at a third of its scale, with a random sign where each picture has its
    own."""
    one = float(operation.strength(1 / 3))
    signs = 1 - 2 * torch.randint(2, (len(images),), generator=_generator()) if operation.signed else 1
    each = torch.full((len(images),), one, dtype=torch.float64) * signs
    has_strength = operation.weakest != operation.strongest
    ours_one, ours_each = (one, each) if has_strength else (None, None)
    floats, kornias = images / 255, each.float()
    by_torchvision, by_kornia = TORCHVISION[operation.name], KORNIA[operation.name]
    strengths = each.tolist()
    return {
        "ours, each": lambda: operation(images, ours_each),
        "ours, one": lambda: operation(images, ours_one),
        "torchvision, one": lambda: by_torchvision(images, one),
        "torchvision, loop": lambda: [by_torchvision(image, one) for image, one in zip(images, strengths, strict=True)],
        "kornia, each": lambda: by_kornia(floats, kornias),
    }


def _policy_calls(name: str, images: Tensor) -> dict[str, Callable[[], object]]:
    """Return the timed calls of a policy; there is no "one", since ours always draws for each picture."""
    generator, floats = _generator(), images / 255
    if name == "RandAugment":
        ours, theirs = RandAugment(2, 9), v2.RandAugment(2, 9)
        kornias = kornia.augmentation.auto.RandAugment(2, 9)
    else:
        ours, theirs = AUTOAUGMENT_CIFAR10, v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
        kornias = kornia.augmentation.auto.AutoAugment("cifar10")
    calls = {
        "ours, each": lambda: ours(images, generator),
        "torchvision, one": lambda: theirs(images),
        "torchvision, loop": lambda: [theirs(image) for image in images],
    }
    return calls | ({"kornia, each": lambda: kornias(floats)} if images.shape[1] == 3 else {})


def _often(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


def by_torchvision(name: str, images: Tensor, strength: float) -> Tensor:
    """Return torchvision v2's result for a batch, called as its AutoAugment calls it."""
    return TORCHVISION[name](images, strength)


def by_kornia(name: str, images: Tensor, strengths: Tensor) -> Tensor:
    """Return kornia's result for a batch with a strength per picture; interpolation is nearest, as for the others."""
    return KORNIA[name](images, strengths)


def _sheared(images: Tensor, x: float = 0.0, y: float = 0.0) -> Tensor:
    tilt = [degrees(atan(x)), degrees(atan(y))]
    return functional.affine(images, angle=0.0, translate=[0, 0], scale=1.0, shear=tilt, center=[0, 0])


def _translated(images: Tensor, x: float = 0.0, y: float = 0.0) -> Tensor:
    pixels = [int(x * images.shape[-1]), int(y * images.shape[-2])]
    return functional.affine(images, angle=0.0, translate=pixels, scale=1.0, shear=[0.0, 0.0])


TORCHVISION = {
    "shear_x": lambda images, strength: _sheared(images, x=strength),
    "shear_y": lambda images, strength: _sheared(images, y=strength),
    "translate_x": lambda images, strength: _translated(images, x=strength),
    "translate_y": lambda images, strength: _translated(images, y=strength),
    "rotate": functional.rotate,
    "brightness": lambda images, strength: functional.adjust_brightness(images, 1 + strength),
    "color": lambda images, strength: functional.adjust_saturation(images, 1 + strength),
    "contrast": lambda images, strength: functional.adjust_contrast(images, 1 + strength),
    "sharpness": lambda images, strength: functional.adjust_sharpness(images, 1 + strength),
    "posterize": lambda images, strength: functional.posterize(images, int(strength)),
    "solarize": functional.solarize,
    "auto_contrast": lambda images, strength: functional.autocontrast(images),
    "equalize": lambda images, strength: functional.equalize(images),
    "invert": lambda images, strength: functional.invert(images),
    "flip": lambda images, strength: functional.horizontal_flip(images),
}

transform, enhance = kornia.geometry.transform, kornia.enhance


def _in_x(strengths: Tensor) -> Tensor:
    return torch.stack([strengths, torch.zeros_like(strengths)], 1)


def _in_y(strengths: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(strengths), strengths], 1)


KORNIA = {
    "shear_x": lambda images, strengths: transform.shear(images, _in_x(strengths), mode="nearest"),
    "shear_y": lambda images, strengths: transform.shear(images, _in_y(strengths), mode="nearest"),
    "translate_x": lambda images, strengths: transform.translate(
        images, _in_x((strengths * images.shape[-1]).trunc()), mode="nearest"
    ),
    "translate_y": lambda images, strengths: transform.translate(
        images, _in_y((strengths * images.shape[-2]).trunc()), mode="nearest"
    ),
    "rotate": lambda images, strengths: transform.rotate(images, strengths, mode="nearest"),
    "brightness": lambda images, strengths: enhance.adjust_brightness_accumulative(images, 1 + strengths),
    "color": lambda images, strengths: enhance.adjust_saturation_with_gray_subtraction(_rgb(images), 1 + strengths),
    "contrast": lambda images, strengths: enhance.adjust_contrast_with_mean_subtraction(images, 1 + strengths),
    "sharpness": lambda images, strengths: enhance.sharpness(images, 1 + strengths),
    "posterize": lambda images, strengths: enhance.posterize(images, strengths.int()),
    "solarize": lambda images, strengths: enhance.solarize(images, strengths / 255),
    "auto_contrast": lambda images, strengths: enhance.normalize_min_max(images),
    "equalize": lambda images, strengths: enhance.equalize(images),
    "invert": lambda images, strengths: enhance.invert(images),
    "flip": lambda images, strengths: transform.hflip(images),
}


def _rgb(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1)


def _line(name: str, times: dict[str, Latency], pictures: int) -> tuple[str, ...]:
    ours = times["ours, each"].median_s
    others = ("torchvision, one", "kornia, each")
    ratios = [f"{times[other].median_s / ours:.2f}" if other in times else "-" for other in others]
    return name, *(_speed(times[one], pictures) if one in times else "-" for one in CONTESTANTS), *ratios


def _speed(latency: Latency, pictures: int) -> str:
    median, low, high = (pictures / time_s / 1000 for time_s in (latency.median_s, latency.high_s, latency.low_s))
    return f"{median:,.0f} ({low:,.0f}-{high:,.0f})"


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


if __name__ == "__main__":
    main()
