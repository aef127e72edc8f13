"""The answers of lesson 14 agree with the library; its checks name a slip where they know it, and no other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.kernels import LayerCache
from mini_lib.llm.cost import Architecture, Attention, Draft, FeedForward, find_model
from mini_lib.llm.model import LanguageModel, Sampling, stream
from mini_lib.llm.model.attention import attend
from mini_lib.llm.model.perplexity import perplexity as library_perplexity
from mini_lib.llm.model.rescale import smooth_lm
from teach import words
from teach.exercises import exercises_of, find_exercise
from teach.exercises.lesson_14 import attending, caching, choosing, guessing, scaling, speeding, surprise
from teach.judge import agrees, judge
from teach.run import run

SEEDS = st.integers(0, 2**32 - 1)
TINY = Architecture("tiny", 2, 8, 20, Attention(heads=4, kv_heads=2, head_dim=2), FeedForward(12), tied=True)


@pytest.fixture(scope="module")
def lm():
    torch.manual_seed(14)
    return LanguageModel(TINY).eval()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("kv_heads", "group", "context", "head_dim"), [(1, 1, 1, 2), (3, 1, 4, 6), (2, 4, 9, 3)])
def test_attention_of_one_token_is_that_of_the_model(kv_heads, group, context, head_dim):
    shapes = (kv_heads * group, head_dim), (kv_heads, context, head_dim), (kv_heads, context, head_dim)
    seeded = generator(context)
    query, keys, values = (torch.randn(shape, generator=seeded, dtype=torch.float64) for shape in shapes)
    mixed = attend(query[None, :, None], keys[None], values[None])[0, :, 0]
    # in float64; scores and values of size 10 at most, and a few dozen roundings of 2**-53: far below 1e-12
    assert torch.allclose(attending.attend_one(query, keys, values), mixed, rtol=0, atol=1e-12)


@torch.no_grad()
def test_perplexity_is_that_of_the_library(lm):
    tokens = torch.randint(0, TINY.vocabulary, (3 * 8,), generator=generator(0))
    by_window = [surprise.perplexity(lm(window[None])[0], window) for window in tokens.split(8)]
    # windows of equal length: the library's figure is the geometric mean. Losses near 3, of 7 + 20 float32 roundings
    expected = library_perplexity(lm, tokens, window=8).value
    assert math.prod(by_window) ** (1 / 3) == pytest.approx(expected, rel=3 * 27 * 2.0**-24)


@given(SEEDS, st.integers(1, 12), st.floats(0.05, 0.95))
def test_the_likely_tokens_are_those_of_the_sampling(seed, vocabulary, top_p):
    chances = torch.randn(vocabulary, generator=generator(seed), dtype=torch.float64).softmax(dim=0)
    drawn = Sampling(temperature=1.0, top_p=top_p).probabilities(chances.log())
    # log and exp are off by a few units of 2**-53; that a sum comes as near to top_p as that does not happen by chance
    assert torch.allclose(choosing.likely_only(chances, top_p), drawn, rtol=0, atol=1e-14)


@torch.no_grad()
def test_moving_a_scale_changes_no_product_and_is_what_smoothing_does(lm):
    """A query matrix is read from nowhere else, so what its norm lost tells the scale that its columns gained."""
    smooth = smooth_lm(lm, torch.arange(16), window=8)
    for before, after in zip(lm.blocks, smooth.blocks):
        norm, matrix = before.attention_norm.weight.double(), before.attention.query.weight.double()
        scale = norm / after.attention_norm.weight.double()
        assert (scale - 1).abs().max() > 0.01
        moved_norm, moved = scaling.move_into_weights(norm, matrix, scale)
        # the smoothed weights are float32: half a unit for the norm, and another for the matrix
        assert torch.allclose(moved, after.attention.query.weight.double(), rtol=2.0**-22, atol=0)
        x = torch.randn(5, 8, dtype=torch.float64, generator=generator(1))
        assert torch.allclose((x * moved_norm) @ moved.T, (x * norm) @ matrix.T, rtol=0, atol=1e-13)


@given(SEEDS, st.sampled_from((4, 8)))
def test_codes_are_those_of_the_cache_where_half_precision_holds_the_grid(seed, bits):
    """Steps are powers of two and lows small multiples of them: float16 rounds neither."""
    case = caching._group_case(generator(seed))
    places = torch.randint(0, 2**bits, (8,), generator=generator(seed))
    places[:2] = torch.tensor([0, 2**bits - 1])
    x = (places + torch.where(places % (2**bits - 1) == 0, 0, 0.25) - case.args[1]) / 16
    codes, step, low = caching.cache_codes(x, bits)
    assert codes.tolist() == places.tolist()
    cache = LayerCache.empty(1, 1, 8, bits=bits, group_size=8)
    cache.write(0, x.view(1, 1, 8), x.view(1, 1, 8))
    assert (cache.key_grid.flatten().tolist(), cache.read(1)[0].flatten().tolist()) == (
        [step, low],
        (low + step * codes).tolist(),
    )


@torch.no_grad()
def test_accepting_writes_the_text_that_is_written_without_a_draft(lm):
    """Whatever is proposed: here the right tokens, with one in three replaced."""
    prompt, count = [1, 2, 3], 12
    expected = list(stream(lm, prompt, count))
    wrong = torch.rand(count + 5, generator=generator(3)) < 1 / 3
    added, passes = [], 0
    while len(added) < count:
        guesses = [(one + bool(bad)) % 20 for one, bad in zip(expected, wrong)][len(added) : len(added) + 4]
        logits = lm(torch.tensor([prompt + added + guesses]))[0, len(prompt + added) - 1 :]
        added += guessing.accept(guesses, logits.argmax(dim=-1).tolist())
        passes += 1
    assert added[:count] == expected
    assert 1 < passes < count


@given(st.floats(0, 1), st.integers(1, 12))
def test_the_tokens_of_a_pass_are_those_of_the_calculator(acceptance, ahead):
    tokens = Draft(find_model("SmolLM2-135M"), ahead, acceptance).tokens_per_step
    assert speeding.times_faster(acceptance, ahead, draft_cost=0.0, pass_cost=1.0) == tokens


@pytest.mark.parametrize("exercise", exercises_of(14), ids=lambda exercise: exercise.id)
def test_a_counter_example_can_be_retyped(exercise):
    """The first case that a mistake gets wrong has few numbers, all of them written out."""
    right = run(exercise, exercise.reference, watch=False)
    for mistake in exercise.mistakes:
        wrong = run(exercise, mistake.wrong, watch=False)
        shown = next(case for case, one, other in zip(exercise.cases, wrong, right) if not agrees(exercise, one, other))
        assert "..." not in words.arguments(exercise, shown)


def _masked(query, keys, values):
    scores = torch.stack([keys[h * len(keys) // len(query)] @ q for h, q in enumerate(query)]) / query.shape[1] ** 0.5
    scores[:, -1] = -torch.inf
    return torch.stack([w @ values[h * len(keys) // len(query)] for h, w in enumerate(scores.softmax(-1))])


def _by_head(query, keys, values, kv_head):
    return [
        ((keys[kv_head(head)] @ one / len(one) ** 0.5).softmax(0) @ values[kv_head(head)]).tolist()
        for head, one in enumerate(query)
    ]


def _in_numpy(chances, top_p, order):
    kept, total = np.zeros_like(chances), 0.0
    for token in order:
        kept[token] = chances[token]
        total += chances[token]
        if total >= top_p:
            break
    return kept / total


def _codes(x, bits, to_whole, start=None):
    numbers = x.tolist()
    low, step = min(numbers), (max(numbers) - min(numbers)) / (2**bits - 1)
    start = low if start is None else start
    return [to_whole((number - start) / step) if step else 0 for number in numbers], step, low


def _closed_formula(acceptance, ahead, draft_cost, pass_cost):
    return (acceptance ** (ahead + 1) - 1) / (acceptance - 1) / (ahead * draft_cost + pass_cost)


def _independent_guesses(acceptance, ahead, draft_cost, pass_cost):
    return (ahead * acceptance + 1) / (pass_cost + ahead * draft_cost)


def _stopping(guesses, choices):
    added = []
    for guess, choice in zip(guesses, choices):
        added.append(choice)
        if guess != choice:
            break
    return added


# What learners write, and a piece of the sentence that they should get.
NAMED = (
    ("14.1", "masks", _masked, "The last token is left out."),
    ("14.1", "modulo", lambda q, k, v: _by_head(q, k, v, lambda h: h % len(k)), "Neighbours share one"),
    ("14.1", "mean", lambda q, k, v: v.mean(1).repeat_interleave(len(q) // len(k), 0), "plain mean of the values"),
    ("14.3", "logits of the same place", lambda x, t: torch.nn.functional.cross_entropy(x, t).exp(), "already seen"),
    ("14.3", "in nats", lambda x, t: torch.nn.functional.cross_entropy(x[:-1], t[1:]).item(), "mean loss in nats"),
    ("14.2", "ids in order", lambda p, top_p: _in_numpy(p.numpy(), top_p, np.arange(len(p))), "Sort first"),
    ("14.2", "unlikely first", lambda p, top_p: _in_numpy(p.numpy(), top_p, p.numpy().argsort()), "descending order"),
    ("14.4", "inverse", lambda n, m, s: [n * s, m / s], "the other way"),
    ("14.4", "diagonal", lambda n, m, s: (n / s, (m.T * s).T if len(m) == len(s) else m * s[:, None]), "The rows"),
    ("14.5", "truncated", lambda x, bits: _codes(x, bits, int), "rounded down"),
    ("14.5", "not from low", lambda x, bits: _codes(x, bits, round, start=0.0), "count from low"),
    ("14.6", "no bonus", _stopping, "Where all guesses are right"),
    ("14.6", "all that agree", lambda g, c: c[: 1 + int(np.sum(np.array(g) == c[:-1]))], "All agreeing guesses"),
    ("14.7", "geometric", _closed_formula, "divides 0 by 0"),
    ("14.7", "independent", _independent_guesses, "counted by itself"),
)


@pytest.mark.parametrize(("id", "name", "answer", "says"), NAMED, ids=lambda part: part if type(part) is str else "")
def test_a_slip_written_differently_gets_its_sentence(id, name, answer, says):
    found = judge(find_exercise(id), answer)
    assert found.state == "not yet"
    assert found.mistake is not None, found.text
    assert says in found.mistake.says


# Wrong in a way that no sentence describes: the counter-example has to do.
UNNAMED = (
    ("14.1", lambda q, k, v: attending.attend_one(q, k, v).sum(0)),
    ("14.3", lambda x, t: surprise.perplexity(x, t) - 1),
    ("14.3", lambda x, t: surprise.perplexity(x.T.contiguous().view_as(x), t)),
    ("14.2", lambda p, top_p: p / p.sum()),
    ("14.4", lambda n, m, s: (n / s**2, m * s**2)),
    ("14.6", lambda g, c: guessing.accept(g, c)[::-1]),
    ("14.7", lambda acceptance, ahead, draft_cost, pass_cost: acceptance**ahead / (draft_cost + 1)),
)


@pytest.mark.parametrize(("id", "answer"), UNNAMED)
def test_no_slip_is_named_that_was_not_made(id, answer):
    found = judge(find_exercise(id), answer)
    assert found.state == "not yet"
    assert found.mistake is None, found.text
