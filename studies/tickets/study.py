"""A study of lottery tickets: many seeds and arms, round by round. Settings, and one round of it.

A round is a pure function from the state of some seeds to their next state. So rounds can be trained here or on another
machine, and a study that stops between two rounds has lost nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from threading import Lock
from typing import Literal

from torch import nn

from mini_lib.data import Splits, fashion
from mini_lib.prune.mask import Mask
from mini_lib.prune.schedules import geometric
from mini_lib.prune.tickets.arms import CHAINS, CONTROLS, Arm, random_mask, shuffled_mask
from mini_lib.prune.tickets.imp import check_rewind, next_mask
from mini_lib.prune.tickets.net import Trained, Weights, weights_of
from mini_lib.prune.tickets.recipe import Recipe, batch_order
from mini_lib.prune.tickets.together import train_together
from mini_lib.require import one_of
from mini_lib.zoo import lenet_300_100

# Initial weights come from torch's single random state, which two threads of a worker would disturb for each other.
_BUILDING = Lock()
OTHER_SEED = 1_000_000  # added to a seed for initial weights and places that are independent of it


@dataclass(frozen=True)
class Study:
    """The settings of a study: the nets, the data, the arms, how far to prune and how to train.

    `build(seed)` makes an untrained net, `load_data()` the pictures; both are functions that another process can
    import by name. The dense net is always trained, as round 0. In round n the share (1 - rate)^n is left. `rewind_to`
    is the step that the arm "late" goes back to; all other arms go back to the start.

    Raises:
        ValueError: there is no seed or one twice, an arm is unknown or there twice, a control is without its ticket,
            the rate or the number of rounds prunes nothing, or a step does not exist.
    """

    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2)
    arms: tuple[Arm, ...] = ("ticket", *CONTROLS)
    rounds: int = 8
    rate: float = 0.2
    scope: Literal["global", "layer"] = "global"
    rewind_to: int = 0
    build: Callable[[int], nn.Module] = lenet_300_100
    load_data: Callable[[], Splits] = fashion

    def __post_init__(self) -> None:
        for name in ("seeds", "arms"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be one or more different numbers, got {self.seeds}; (0, 1, 2) is a start")
        known = (*CHAINS, *CONTROLS)
        if not self.arms or not set(self.arms) <= set(known) or len(set(self.arms)) < len(self.arms):
            raise ValueError(f"arms must be one or more of {', '.join(known)}, each once, got {self.arms}")
        controls = [arm for arm in self.arms if arm in CONTROLS]
        if controls and "ticket" not in self.arms:
            raise ValueError(
                f"{controls[0]!r} controls the ticket, which is not among the arms {self.arms}; add 'ticket'"
            )
        one_of("scope", self.scope, ("global", "layer"), fix="'global' ranks all weights together")
        geometric(self.rate, self.rounds)  # this says what is wrong with them
        check_rewind(self.recipe, self.rewind_to)
        if "late" in self.arms and self.rewind_to == 0:
            raise ValueError("'late' with rewind_to=0 is the ticket itself; give the step that it goes back to")


@dataclass(frozen=True)
class Run:
    """One net of a study: its arm, and its accuracies at the steps of `recipe.evaluate_at` and at the end."""

    seed: int
    round: int
    arm: str  # "dense" in round 0
    density: float
    validation_accuracies: tuple[float, ...]
    test_accuracy: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "validation_accuracies", tuple(self.validation_accuracies))  # a file gives a list


@dataclass(frozen=True, eq=False)
class State:
    """The state of one seed: the round to train next, and the masks and weights for it.

    Masks are by chain; weights are those that chains go back to ("start", "late"), or continue with ("lr_rewind").
    """

    seed: int
    round: int = 0
    runs: tuple[Run, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)


def advance(study: Study, states: Sequence[State]) -> list[State]:
    """Train the next round of some seeds, all as one, and return their states after it.

    Raises:
        ValueError: the seeds are not at the same round.
    """
    rounds = sorted({state.round for state in states})
    if len(rounds) != 1:
        raise ValueError(f"seeds that advance together must be at the same round, got rounds {rounds}")
    splits = load_once(study.load_data)
    with _BUILDING:
        model = study.build(study.seeds[0])
    orders = {state.seed: batch_order(len(splits.train), study.recipe, state.seed) for state in states}
    if states[0].round == 0:
        starts = [_initial(study, state.seed) for state in states]
        trained = train_together(
            model,
            starts,
            [None] * len(states),
            [orders[state.seed] for state in states],
            splits,
            study.recipe,
            snapshot_at=study.rewind_to,
        )
        return [_after_dense(study, model, state, start, done) for state, start, done in zip(states, starts, trained)]
    nets = [(state, arm) for state in states for arm in study.arms]
    done: dict[tuple[int, str], Trained] = {}
    for first_step in sorted({_first_step(study, arm) for arm in study.arms}):
        group = [(state, arm) for state, arm in nets if _first_step(study, arm) == first_step]
        trained = train_together(
            model,
            [_start(study, state, arm) for state, arm in group],
            [_mask(state, arm) for state, arm in group],
            [orders[state.seed] for state, _ in group],
            splits,
            study.recipe,
            first_step=first_step,
        )
        done |= {(state.seed, arm): net for (state, arm), net in zip(group, trained)}
    return [_after_round(study, model, state, {arm: done[state.seed, arm] for arm in study.arms}) for state in states]


def _initial(study: Study, seed: int) -> Weights:
    with _BUILDING:
        return weights_of(study.build(seed))


def _first_step(study: Study, arm: str) -> int:
    return study.rewind_to if arm == "late" else 0


def _start(study: Study, state: State, arm: str) -> Weights:
    if arm == "reinit":
        return _initial(study, OTHER_SEED + state.seed)
    return state.weights[arm if arm in ("late", "lr_rewind") else "start"]


def _mask(state: State, arm: str) -> Mask:
    own = state.masks[arm if arm in CHAINS else "ticket"]
    # Another draw in each round: otherwise one unlucky draw would follow a seed through all rounds.
    seed = OTHER_SEED * state.round + state.seed
    if arm == "shuffled":
        return shuffled_mask(own, seed)
    return random_mask(own, seed) if arm == "random" else own


def _after_dense(study: Study, model: nn.Module, state: State, start: Weights, done: Trained) -> State:
    run = Run(state.seed, 0, "dense", 1.0, done.validation_accuracies, done.test_accuracy)
    mask = next_mask(model, done.weights, None, 1, study.rate, study.scope)
    weights = {"start": start, "late": done.snapshot, "lr_rewind": done.weights}
    return State(
        state.seed,
        round=1,
        runs=(run,),
        masks={arm: mask for arm in study.arms if arm in CHAINS},
        weights={name: weights[name] for name in weights if name == "start" or name in study.arms},
    )


def _after_round(study: Study, model: nn.Module, state: State, done: Mapping[str, Trained]) -> State:
    runs = tuple(
        Run(state.seed, state.round, arm, _mask(state, arm).density, net.validation_accuracies, net.test_accuracy)
        for arm, net in done.items()
    )
    number = state.round + 1
    masks = {
        arm: next_mask(model, done[arm].weights, mask, number, study.rate, study.scope)
        for arm, mask in state.masks.items()
    }
    weights = dict(state.weights)
    if "lr_rewind" in weights:
        weights["lr_rewind"] = done["lr_rewind"].weights
    return replace(state, round=number, runs=(*state.runs, *runs), masks=masks, weights=weights)


@lru_cache(maxsize=1)  # only one: a notebook's function becomes a new one each time that it is sent to a process
def load_once(load: Callable[[], Splits]) -> Splits:
    """The pictures, loaded once in each process."""
    return load()
