"""A study as a whole: its settings, what it runs, and that it gives the same each time."""

import re
from dataclasses import replace
from functools import partial

import pytest
import tiny_tickets as tiny
import torch

from mini_lib.data import Splits
from mini_lib.prune.tickets import Recipe
from mini_lib.prune.tickets.arms import CHAINS, CONTROLS
from studies.tickets import State, Study, advance, run_study
from studies.tickets import study as study_module

RECIPE = Recipe(steps=12, batch_size=16, learning_rate=0.02, evaluate_at=(3, 8))
ALL = ("ticket", "reinit", "shuffled", "random", "late", "lr_rewind")


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def small(**given) -> Study:
    return Study(
        **{
            "recipe": RECIPE,
            "seeds": (0, 1),
            "rounds": 2,
            "rate": 0.5,
            "build": tiny.build,
            "load_data": tiny.pictures,
            **given,
        }
    )


def test_each_round_has_a_net_of_each_arm_and_seed():
    study = small(arms=ALL, rewind_to=4, rounds=3)
    results = run_study(study)
    expected = [(0, seed, "dense", 1.0) for seed in (0, 1)]
    expected += [(number, seed, arm, 0.5**number) for number in (1, 2, 3) for seed in (0, 1) for arm in ALL]
    assert [(run.round, run.seed, run.arm, run.density) for run in results.runs] == expected  # 320 * .5**3 is whole
    assert results.evaluate_at == (3, 8, 12)
    # "late" goes on from step 4, so what was measured at step 3 is that of another net.
    assert {len(run.validation_accuracies) for run in results.runs if run.arm != "late"} == {3}
    assert {len(run.validation_accuracies) for run in results.runs if run.arm == "late"} == {2}
    assert all(
        0 <= accuracy <= 1 for run in results.runs for accuracy in (*run.validation_accuracies, run.test_accuracy)
    )


def test_the_same_settings_give_the_same_results_whatever_was_drawn_before():
    torch.manual_seed(5)
    one = run_study(small(arms=ALL, rewind_to=4))
    torch.rand(3)
    state = torch.random.get_rng_state()
    assert run_study(small(arms=ALL, rewind_to=4)) == one
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_seeds_results_do_not_depend_on_the_other_seeds():
    both, alone = run_study(small(seeds=(0, 1)), seeds_together=1), run_study(small(seeds=(1,)))
    assert [run for run in both.runs if run.seed == 1] == list(alone.runs)


def test_an_arms_results_do_not_depend_on_the_other_arms():
    """Easily learned, so that rounding decides nothing: all nets end with every picture right."""
    study = small(recipe=Recipe(steps=80, batch_size=16, learning_rate=0.02), seeds=(0,), arms=ALL, rewind_to=4)
    together = run_study(study).runs
    for arm in CHAINS:
        runs = run_study(replace(study, arms=(arm,))).runs
        assert [run for run in together if run.arm in ("dense", arm)] == list(runs)


@pytest.mark.parametrize("seeds_together", [1, 2, None])
def test_so_many_seeds_are_trained_as_one(seeds_together, monkeypatch):
    counts = []

    def counting(study, states):
        counts.append(len(states))
        return advance(study, states)

    monkeypatch.setattr("studies.tickets.run.advance", counting)
    run_study(small(seeds=(5, 6, 7), arms=("ticket",), rounds=1), seeds_together=seeds_together)
    assert counts == {1: [1] * 6, 2: [2, 1, 2, 1], None: [3, 3]}[seeds_together]  # round 0, and round 1


def test_progress_comes_once_for_each_seed_and_round():
    seen = []
    run_study(small(arms=("ticket",)), progress=lambda state: seen.append((state.round, state.seed, len(state.runs))))
    assert seen == [(1, 0, 1), (1, 1, 1), (2, 0, 2), (2, 1, 2), (3, 0, 3), (3, 1, 3)]


def test_by_layers_the_last_keeps_more():
    states = [State(0)]
    for _ in range(2):
        states = advance(small(scope="layer", seeds=(0,)), states)
    # After round 1 the mask for round 2: a quarter of 192 and of 96, and .75**2 of 32.
    assert [layer.kept for layer in states[0].masks["ticket"].layers()] == [48, 24, 18]
    assert states[0].runs[1].density == (96 + 48 + 24) / 320


def test_pictures_are_loaded_once(monkeypatch):
    calls = []

    def load() -> Splits:
        calls.append(1)
        return tiny.pictures()

    run_study(small(load_data=load, seeds=(0, 1)), seeds_together=1)
    assert len(calls) == 1
    # Functions that come and go, as those of a notebook do in another process, do not pile up their pictures.
    for _ in range(3):
        study_module.load_once(lambda: tiny.pictures())
    assert study_module.load_once.cache_info().currsize == 1


def test_functions_may_have_arguments_bound():
    one = run_study(small(build=partial(tiny.build), load_data=lambda: tiny.pictures()))
    assert one == run_study(small())


def test_the_model_may_not_have_batch_norm():
    def with_norm(seed):
        return torch.nn.Sequential(tiny.build(seed), torch.nn.BatchNorm1d(4))

    with pytest.raises(ValueError, match="has buffers"):
        run_study(small(build=with_norm))


def test_seeds_advance_together_from_the_same_round_only():
    message = "seeds that advance together must be at the same round, got rounds [0, 2]"
    with pytest.raises(ValueError, match=says(message)):
        advance(small(), [State(0), State(1, round=2)])
    with pytest.raises(ValueError, match="at the same round"):
        advance(small(), [])


ARMS = "arms must be one or more of ticket, late, lr_rewind, reinit, shuffled, random, each once"


@pytest.mark.parametrize("given, message", [
    ({"seeds": ()}, "seeds must be one or more different numbers, got (); (0, 1, 2) is a start"),
    ({"seeds": [1, 1]}, "seeds must be one or more different numbers, got (1, 1); (0, 1, 2) is a start"),
    ({"arms": ()}, f"{ARMS}, got ()"),
    ({"arms": ["ticket", "dense"]}, f"{ARMS}, got ('ticket', 'dense')"),
    ({"arms": ["ticket", "ticket"]}, f"{ARMS}, got ('ticket', 'ticket')"),
    ({"arms": ["random"]},
     "'random' controls the ticket, which is not among the arms ('random',); add 'ticket'"),
    ({"scope": "row"}, "scope must be 'global' or 'layer', got 'row'; 'global' ranks all weights together"),
    ({"rate": 0}, "rate must lie in (0, 1), got 0; 0.2 takes a fifth of what remains in each round"),
    ({"rounds": 0}, "rounds must be a whole number of 1 or more, got 0; one_shot is a single round"),
    ({"rewind_to": 12}, "rewind_to must be a whole number from 0 to 11, got 12; 0 goes back to the start"),
    ({"arms": ["late"]}, "'late' with rewind_to=0 is the ticket itself; give the step that it goes back to"),
])  # fmt: skip
def test_a_study_says_what_is_wrong_with_it(given, message):
    with pytest.raises(ValueError, match=says(message)):
        small(**given)


def test_lists_become_tuples_so_that_equal_studies_are_equal():
    assert small(seeds=[0, 1], arms=[*CONTROLS, "ticket"]) == small(arms=(*CONTROLS, "ticket"))


def test_no_seed_together_is_refused():
    message = "seeds_together must be a whole number of 1 or more, got 0; None takes all seeds together"
    with pytest.raises(ValueError, match=says(message)):
        run_study(small(), seeds_together=0)
