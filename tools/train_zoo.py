"""Train the checkpoints of mini_lib/assets/checkpoints again.

    python tools/train_zoo.py                          # all seven
    python tools/train_zoo.py small_cnn                # one model, all its seeds

It prints the lines of zoo.CHECKPOINTS for the new files: paste them there, and the hashes into
mini_lib/assets/README.md. The settings below come from a few trials judged on validation data, not from a
search; test data is used once, at the end.
On the same machine a file is the same to the last bit. Another machine or number of threads sums in another order, so
the weights, the hashes and the last digits of the accuracy may differ.
"""

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import nn
from tqdm import tqdm

from mini_lib import data, fit, zoo
from mini_lib.files import write_file


@dataclass(frozen=True)
class Recipe:
    """How one model of the zoo is trained."""

    build: Callable[[int], nn.Sequential]
    seeds: tuple[int, ...]
    epochs: int
    learning_rate: float
    weight_decay: float


RECIPES = (
    Recipe(zoo.small_cnn, seeds=(0, 1, 2), epochs=25, learning_rate=0.01, weight_decay=0.3),
    Recipe(zoo.depthwise_cnn, seeds=(0, 1, 2), epochs=20, learning_rate=0.01, weight_decay=0.1),
    Recipe(zoo.lenet_300_100, seeds=(0,), epochs=25, learning_rate=0.003, weight_decay=0.3),
)


def train(recipe: Recipe, seed: int, splits: data.Splits, out: Path) -> zoo.Checkpoint:
    """Train one model, write its file into `out` and return its line of the table."""
    with tqdm(total=recipe.epochs, desc=f"{recipe.build.__name__} {seed}", unit="epoch") as bar:

        def show(row: fit.Epoch) -> None:
            bar.set_postfix(validation=f"{row.validation_accuracy:.2%}", refresh=False)
            bar.update()

        fitted = fit.fit(
            recipe.build(seed),
            splits.train,
            splits.validation,
            epochs=recipe.epochs,
            seed=seed,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            progress=show,
        )
    content = safetensors.torch.save(fitted.model.state_dict())
    checkpoint = zoo.Checkpoint(
        build=recipe.build,
        seed=seed,
        validation_accuracy=fitted.history[-1].validation_accuracy,
        test_accuracy=fit.accuracy(fitted.model, splits.test),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    write_file(out / checkpoint.file, content)
    return checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [recipe.build.__name__ for recipe in RECIPES]
    parser.add_argument("names", nargs="*", help=f"models to train, among {', '.join(names)}; all if none is given")
    parser.add_argument("--out", type=Path, default=zoo.CHECKPOINT_FOLDER)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for training (default 1)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names))
    if unknown:
        parser.error(f"no model {unknown[0]!r}; there are {', '.join(names)}")

    torch.set_num_threads(arguments.threads)
    splits = data.fashion()
    for recipe in RECIPES:
        if arguments.names and recipe.build.__name__ not in arguments.names:
            continue
        for seed in recipe.seeds:
            made = train(recipe, seed, splits, arguments.out)
            figures = f"{made.validation_accuracy}, {made.test_accuracy}"
            print(f'    Checkpoint({made.name}, {made.seed}, {figures}, "{made.sha256}"),', flush=True)


if __name__ == "__main__":
    main()
