# %% [markdown]
# # How small and how fast can a real language model become on this laptop?
#
# Lesson 14 · {minutes} · 3 GB of free memory · before it: [02 How few bits does a weight need?](02_bits.ipynb) · [05 What can be taken away?](05_prune.ipynb) · [13 What does a token cost?](13_llm_cost.ipynb)
#
# In lesson 13 you calculated what a token costs. Now you run the model. It is SmolLM2-135M-Instruct: 135 million weights, 30 layers, trained by Hugging Face, in a file of 98 MB. The set-up of the course puts that file on your machine.
# You remove bits and weights, and compare the measured time with the time that the calculator predicts.
#
# **You will be able to**
# 1. decode with a KV cache, and say what each token costs with and without the cache;
# 2. compress a language model, and judge it by its perplexity and the interval of that perplexity;
# 3. speed up a language model with packed weights, a planned step or a draft, and say from measurements whether each helps.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise, run everything, and come back.

# %%
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import DisplayHandle
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from mini_lib import measure
from mini_lib.columns import aligned
from mini_lib.latency import compare_latency, latency
from mini_lib.llm import cost, model
from mini_lib.llm.model import DecodePlan, KVCache, Sampling, here, speed
from mini_lib.quantize import IntFormat, PerGroup, pack_for_speed, quantize_weights
from studies import language
from studies.language import peer
from teach import check, explore, figures, hold, ledger, predict, progress, reveal, show

torch.set_num_threads(1)
torch.set_grad_enabled(False)
figures.use_style()
COLOURS = figures.COLOURS
MB = 1e6

# %% [markdown]
# ## 1 A model that writes
#
# The next cell opens the file and builds the model from the shape in its header. If the file is missing, the cell says how to get it and uses a small model with random weights instead: everything below runs, but the text makes no sense and the numbers differ from those of the lesson.

# %%
try:
    path = model.find_model_file()
    lm = model.load_language_model(path)
except model.ModelMissing as missing:
    path, lm = None, model.stand_in()
    print(f"{missing}\nUntil then a stand-in with random weights is used.\n")
shape, tokenizer = lm.architecture, lm.tokenizer
heads, kv_heads = shape.attention.heads, shape.attention.kv_heads
counted = cost.count_parameters(shape)

# %% name="out-load" tags=["hide-input"]
print(f"{shape.layers} layers, hidden {shape.hidden}, {heads} query heads on {kv_heads} KV heads")
print(f"vocabulary {shape.vocabulary:,}")
print(f"parameters: {sum(one.numel() for one in lm.parameters()):,} in the model")
print(f"            {counted.total:,} by the calculator of lesson 13")

# %% [markdown]
# The model knows no letters. A **tokenizer** cuts text into pieces from a vocabulary, here of 49,152 pieces, and replaces each piece with its number. A frequent word is one **token**, a rare word several. Nearly every byte has its own token, so text outside any word list can be written too.

# %% name="out-tokens"
for text in ("The steam engine", "perplexity", "1234", "안녕", "🙂"):
    ids = tokenizer.encode(text)
    pieces = " ".join(f"[{tokenizer.decode([one])}]" for one in ids)
    print(f"{text!r:<20} {len(ids)} tokens  {pieces}")

# %% [markdown]
# Where a piece has only some of the bytes of a character, you see �.
#
# Now let the model write. Each token is chosen, shown, and fed back to the model.


# %% name="out-stream" tags=["hide-input"]
def write(prompt, new_tokens, sampling=model.GREEDY, seed=0):
    """Stream text into the page, token by token."""
    shown, text = DisplayHandle(), ""
    shown.display({"text/plain": ""}, raw=True)
    for piece in tokenizer.stream(model.stream(lm, prompt, new_tokens, sampling=sampling, seed=seed)):
        text += piece
        shown.update({"text/plain": text}, raw=True)


write(tokenizer.question("Why is the sky blue? Answer in two sentences.") if path else "Why", 40)

# %% [markdown]
# ### What a token looks back at
#
# In each layer a token makes a **query**, a **key** and a **value**. Its query is multiplied with the keys of all tokens so far, and the result is a weighted mean of their values:
#
# $$\text{softmax}\left(\frac{q K^\top}{\sqrt{d}}\right) V$$
#
# where $d$ is the number of values in a head. The keys and values of earlier tokens never change, so the model keeps them in the **KV cache**. Here nine query heads share three KV heads: three neighboring query heads use the same KV head (**grouped queries**). Worked by hand, with one head of two numbers: $q = (0, 0)$ is equally close to all keys, so the result is the plain mean of the values.

# %% [markdown]
# ### Exercise 14.1 - One new token looks back (8 min)


# %% name="ex-14-1" tags=["exercise"]
def attend_one(query, keys, values):
    """softmax(q k^T / sqrt(head_dim)) v for each head of one new token, [heads, head_dim].

    query: [heads, head_dim]. keys, values: [kv_heads, context, head_dim]; the last ones belong to the new token.
    Query head h reads KV head h // (heads // kv_heads). Write the formula; do not call torch's own attention.
    """
    ### BEGIN SOLUTION
    heads, head_dim = query.shape
    group = heads // len(keys)
    keys, values = keys.repeat_interleave(group, dim=0), values.repeat_interleave(group, dim=0)
    scores = torch.einsum("hd,hcd->hc", query, keys) / head_dim**0.5
    return torch.einsum("hc,hcd->hd", scores.softmax(dim=-1), values)
    ### END SOLUTION


# %% tags=["check"]
check("14.1")

# %% [markdown]
# <details><summary>Hint 1: one head first</summary>
#
# For a single head the scores are keys @ query, one for each token in the cache. Divide by the square root of which number? Take the softmax over which axis?
# </details>
# <details><summary>Hint 2: who reads which keys</summary>
#
# With 4 query heads and 2 KV heads, heads 0 and 1 read KV head 0, and heads 2 and 3 read KV head 1. `repeat_interleave` puts the copies of a KV head next to each other; `repeat` orders them differently.
# </details>
# <details><summary>Hint 3: the shapes</summary>
#
# With the KV heads repeated: `torch.einsum("hd,hcd->hc", query, keys)` gives the scores, [heads, context]. A second einsum applies the weights to the values. A loop over the heads works as well.
# </details>

# %% [markdown]
# With a cache, a new token needs one row of attention. Without a cache, the model has to read the whole text again for every new token. This takes about 20 seconds.

# %%
predict(
    "14.a",
    "After 384 tokens, how many times as long does the next token take without a cache as with one?",
    unit="times",
)

# %%
generator = torch.Generator().manual_seed(0)
text_ids = torch.randint(shape.vocabulary, (1, 384), generator=generator)
LENGTHS = (24, 48, 96, 192, 384)
with_cache, without_cache, pair_flops = {}, {}, {}
for length in tqdm(LENGTHS):
    plan = DecodePlan(lm, KVCache(shape, room_tokens=length + 1))
    with_cache[length] = latency(speed.step_at(plan, length), repeats=5, warmup=1).median_s
    read_all = partial(lm, text_ids[:, :length], last_only=True)
    without_cache[length] = latency(read_all, repeats=2, warmup=0).median_s
    with FlopCounterMode(display=False) as counter:
        read_all()
    pair_flops[length] = counter.get_total_flops()

reveal("14.a", round(without_cache[384] / with_cache[384]))


# %% name="fig-cache" tags=["hide-input"]
def draw_cache():
    figure, axes = plt.subplots(figsize=(8, 4.4))
    for times, name, colour, marker in (
        (without_cache, "without a cache: read the text again", "vermillion", "s"),
        (with_cache, "with a cache", "blue", "o"),
    ):
        axes.plot(LENGTHS, [1e3 * times[n] for n in LENGTHS], marker=marker, color=COLOURS[colour], label=name)
    axes.set(xscale="log", yscale="log", xlabel="tokens so far", ylabel="ms for the next token")
    axes.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
    axes.minorticks_off()
    axes.legend(fontsize=12)
    return figure


show(
    draw_cache(),
    alt="Milliseconds for the next token against the length of the text. With a cache the line is almost flat. Without a cache it rises with the length, to many times as much.",
)

# %% [markdown]
# Without a cache, an answer of $n$ tokens reads $1 + 2 + \dots + n$ tokens, about $n^2/2$; with a cache it reads $n$. A second square is inside a single pass: the attention of all tokens to all others. The next table shows its share of the FLOPs, and compares the FLOPs of the calculator with the FLOPs executed.

# %% name="out-flops" tags=["hide-input"]
lines = [("tokens in one pass", "GFLOP executed", "GFLOP calculated", "attention's share")]
for length in LENGTHS:
    rows = cost.operators(shape, new_tokens=length, causal=False, head_on="last")
    total = sum(row.flops for row in rows)
    attention = sum(row.flops for row in rows if row.name == "attention")
    lines.append((f"{length}", f"{pair_flops[length] / 1e9:.4f}", f"{total / 1e9:.4f}", f"{attention / total:.1%}"))
print(aligned(lines))

# %% tags=["solution-only"]
from teach import claim

claim("135 million weights, 30 layers", counted.total / 1e6, shape.layers)
claim("nine query heads share three KV heads", holds=(heads, kv_heads) == (9, 3))
claim(
    "the FLOPs are the same to the last digit",
    holds=all(
        pair_flops[n] == sum(one.flops for one in cost.operators(shape, new_tokens=n, causal=False, head_on="last"))
        for n in LENGTHS
    ),
)
claim(
    "the cache turns a cost that grows with the text into one that grows much more slowly",
    holds=without_cache[384] / without_cache[48] > 3 * with_cache[384] / with_cache[48],
)

# %% [markdown]
# In every row the FLOPs are the same to the last digit.
#
# ### Which token comes next?
#
# The model gives a number to each of the 49,152 tokens, a **logit**; the softmax turns the logits into probabilities. **Greedy** decoding takes the most likely token. Drawing at random makes the text livelier, and now and then absurd: many unlikely tokens together are not so unlikely. **Top-p** sampling keeps only the most likely tokens that together just reach the probability $p$. Worked by hand: of 0.5, 0.3, 0.15 and 0.05 with $p = 0.7$ the first two stay, because 0.5 does not reach 0.7 and 0.5 + 0.3 = 0.8 does. They become 0.625 and 0.375.

# %% [markdown]
# ### Exercise 14.2 - Only the likely tokens (8 min)


# %% name="ex-14-2" tags=["exercise"]
def likely_only(probabilities, top_p):
    """Keep the fewest of the most likely tokens that together reach top_p; the others get 0, and the sum is 1 again.

    probabilities: [vocabulary], all different, so there are no ties. The result has the tokens in the same order.
    """
    ### BEGIN SOLUTION
    ordered, order = probabilities.sort(descending=True)
    before = ordered.cumsum(dim=0) - ordered
    kept = torch.where(before < top_p, ordered, 0)
    return torch.zeros_like(probabilities).scatter(0, order, kept / kept.sum())
    ### END SOLUTION


# %% tags=["check"]
check("14.2")

# %% [markdown]
# <details><summary>Hint 1: the one that crosses</summary>
#
# A token stays if the more likely tokens before it do not yet reach top_p. So look at the sum *before* each token.
# </details>
# <details><summary>Hint 2: back in their places</summary>
#
# `sort` returns two tensors: the values, and the ids that they came from. The result needs both.
# </details>
# <details><summary>Hint 3: another way</summary>
#
# Loop over the tokens, starting with the most likely. Copy each probability into a tensor of zeros, and stop when the sum has reached top_p. Then divide by that sum.
# </details>
#
# Move the sliders: how many tokens can be drawn? A **temperature** above 1 makes the probabilities more alike, below 1 less alike. Drawing takes about 4 seconds.

# %% name="fig-sampling" tags=["widget", "hide-input"]
next_logits = lm(torch.tensor([tokenizer.encode("She opened the door and saw a")]), last_only=True)[0, -1]


def draw_sampling(temperature, top_p):
    chances = Sampling(temperature=temperature, top_p=top_p).probabilities(next_logits)
    likely = next_logits.argsort(descending=True)[:10]
    figure, axes = plt.subplots(figsize=(8, 4))
    axes.bar(range(10), chances[likely], color=COLOURS["blue"])
    axes.set_xticks(
        range(10), [repr(tokenizer.decode([int(one)])) for one in likely], rotation=40, ha="right", fontsize=10
    )
    kept = int((chances > 0).sum())
    axes.set(ylabel="probability", ylim=(0, 1))
    axes.annotate(f"can be drawn: {kept:,}", (0.98, 0.9), xycoords="axes fraction", ha="right")
    return figure


explore(
    draw_sampling,
    labels={"top_p": "top-p, the share of probability kept"},
    alt=lambda temperature, top_p: (
        f"Probabilities of the ten most likely next tokens at temperature {temperature} and top-p {top_p}."
    ),
    temperature=(0.5, 1.0, 1.5),
    top_p=(0.5, 0.9, 1.0),
)

# %% [markdown]
# > **Takeaway.** Keys and values never change, so they are kept: the cache turns a cost that grows with the text into one that grows much more slowly, and it pays for this in memory.

# %% [markdown]
# ## 2 How good is it?
#
# A few lines of text do not show whether a model became a little worse. **Perplexity** shows it. Give the model a text that a person wrote. At each place it assigns some probability $p$ to the token that really comes next. The perplexity is
#
# $$\exp\left(\text{mean of } -\log p\right)$$
#
# A perplexity of 16 means that on average the model is as unsure as if it drew from 16 equally likely tokens. Worked by hand: for the probabilities 1/2 and 1/8 the mean of $-\log p$ is $(\log 2 + \log 8)/2 = \log 4$, so the perplexity is 4.

# %% [markdown]
# ### Exercise 14.3 - How much a text surprises a model (6 min)


# %% name="ex-14-3" tags=["exercise"]
def perplexity(logits, tokens):
    """e to the power of the mean of -log p, over all tokens but the first; one number.

    logits: [n, vocabulary]; the row at position i predicts the token at i + 1. tokens: ids, [n].
    """
    ### BEGIN SOLUTION
    log_p = logits[:-1].log_softmax(dim=-1)
    return torch.exp(-log_p[torch.arange(len(log_p)), tokens[1:]].mean())
    ### END SOLUTION


# %% tags=["check"]
check("14.3")

# %% [markdown]
# <details><summary>Hint 1: which row predicts which token</summary>
#
# n tokens give n rows of logits, but only n - 1 of the tokens are predicted by a row. Which token has no row, and which row has no token?
# </details>
# <details><summary>Hint 2: from logits to -log p</summary>
#
# `log_softmax` over the vocabulary, then pick one number from each row, the one for the token that really came.
# </details>
# <details><summary>Hint 3: from losses to perplexity</summary>
#
# Take the mean first, then exp. (With logarithms to base 2 it would be a power of 2.)
# </details>

# %% [markdown]
# The text is a part of Python's own manual, cut into windows of 256 tokens. Each window is a sample, and some windows are easier than others, so a perplexity has an interval. (Windows of one manual are not quite independent; if anything, the interval is too narrow.) This takes about 8 seconds.

# %% name="out-baseline"
WINDOWS = 4 if path else 2
judged_on = tokenizer.encode(model.evaluation_text())[: WINDOWS * 256]
with tqdm(total=WINDOWS, unit="window") as bar:
    few = model.perplexity(lm, judged_on, progress=lambda done: bar.update())
print(
    f"{few.tokens:,} tokens in {WINDOWS} windows: perplexity {few.value:.1f}, 95% interval {few.interval[0]:.1f} to {few.interval[1]:.1f}"
)

# %% [markdown]
# The interval of four windows is far too wide to show the effect of a few bits. There are two remedies. The first is more text: the perplexities below come from a recorded study on 33 windows, 8,415 tokens, which took 44 minutes. The second is to compare both models on *the same windows*: the difficulty of a window affects both models, and mostly drops out of the difference.
#
# ### The file is small already
#
# There is a catch: the file stores its weights in 4 bits, in blocks of 32 with a step and a lowest value. The "float" model of this lesson has the unpacked codes. Round it again to a grid of the same kind, and nothing changes. Does the file favor other grids too? As a control, move each weight at random by up to half a step of its block, so that it is on no grid.


# %%
def lowest_value(groups):
    low, high = groups.amin(dim=-1, keepdim=True), groups.amax(dim=-1, keepdim=True)
    step = (high - low) / 15
    return low + ((groups - low) / step).round() * step


def zero_point(groups):  # a whole number of steps, so that 0 is on the grid
    low, high = groups.amin(dim=-1, keepdim=True).clamp(max=0), groups.amax(dim=-1, keepdim=True).clamp(min=0)
    step = (high - low) / 15
    zero = (-low / step).round()
    return (((groups / step).round() + zero).clamp(0, 15) - zero) * step


def symmetric(groups):
    step = groups.abs().amax(dim=-1, keepdim=True) / 7
    return (groups / step).round() * step


in_file = lm.blocks[0].feed_forward.gate.weight.unflatten(1, (-1, 32))
half_step = (in_file.amax(dim=-1, keepdim=True) - in_file.amin(dim=-1, keepdim=True)) / 30
moved = in_file + half_step * (2 * torch.rand(in_file.shape, generator=torch.Generator().manual_seed(0)) - 1)
GRIDS = {
    "16 values from a lowest one": lowest_value,
    "16 values, zero point": zero_point,
    "15 values, symmetric": symmetric,
}
rounding = {
    name: [float((grid(groups) - groups).norm() / groups.norm()) for groups in (in_file, moved)]
    for name, grid in GRIDS.items()
}

# %% name="out-trap" tags=["hide-input"]
lines = [("relative error of the weights", "as in the file", "moved at random")]
lines += [(name, *(f"{error:.3f}" for error in errors)) for name, errors in rounding.items()]
print(aligned(lines))

# %% [markdown]
# "4 bits without any loss" is true here, and worth nothing. The other two grids lose as much on the moved weights as on the weights of the file. So there is no sign (in this one matrix) that the file favors them, and the study uses only these two. It compares all models with the unpacked file, which is not the model as it was trained: the original may well be better than every model here.

# %% [markdown]
# > **Takeaway.** Ask where the weights come from before you believe that a method loses nothing.

# %% tags=["solution-only"]
study = language.recorded()
symmetric_at = {bits: language.at(bits, language.SYMMETRIC) for bits in (3, 4, 8)}
claim(
    "8,415 tokens, which took 44 minutes",
    study.baseline.tokens,
    sum(one.made_s + one.judged_s for one in study.runs) / 60,
)
claim("The interval of four windows is far too wide", holds=few.interval[1] / few.interval[0] > 2)
claim(
    "The other two grids lose as much on the moved weights as on the weights of the file",
    holds=all(abs(rounding[name][1] / rounding[name][0] - 1) < 0.02 for name in list(GRIDS)[1:])
    and rounding["16 values from a lowest one"][0] < 1e-5 < 0.05 < rounding["16 values from a lowest one"][1],
)

# %% [markdown]
# ## 3 Fewer bits
#
# Compare three ways to round the same weights: all 210 matrices of the blocks, in groups of 32 that share a scale. The head, which is also the embedding table, keeps 8 bits as in the file. **Round-to-nearest** looks only at the weights. **GPTQ** rounds one column after another, and changes the remaining columns so that they make up for the error in the layer's output (lesson 02). **AWQ** scales up the columns that read strong inputs, so that rounding harms them less.

# %%
predict(
    "14.b", "At 3 bits, how much higher is the perplexity of round-to-nearest than that of the unpacked file?", unit="%"
)

# %%
study = language.recorded()
reveal("14.b", round(100 * (study.times_float(language.NEAREST, language.at(3, language.SYMMETRIC)).value - 1)))

# %% name="out-bits" tags=["hide-input"]
ON_GRIDS = (language.NEAREST, language.AWQ, language.GPTQ)
with hold("14.b"):
    print(
        language.table(
            study,
            [study.baseline, *(run for run in study.runs if run.method in ON_GRIDS and run.at != language.PER_ROW)],
        )
    )


# %% name="fig-bits" tags=["hide-input"]
def draw_bits():
    figure, axes = plt.subplots(figsize=(8, 4.6))
    drawn = {
        language.NEAREST: ("vermillion", "s", "to nearest", (3, 4, 8)),
        language.AWQ: ("orange", "^", "AWQ", (3, 4)),
        language.GPTQ: ("blue", "o", "GPTQ", (3, 4)),
    }
    for method, (colour, marker, label, widths) in drawn.items():
        ratios = [study.times_float(method, language.at(bits, language.SYMMETRIC)) for bits in widths]
        middle = np.array([one.value for one in ratios])
        spread = np.array([[one.value - one.low for one in ratios], [one.high - one.value for one in ratios]])
        axes.errorbar(
            range(len(widths)), middle, yerr=spread, marker=marker, color=COLOURS[colour], label=label, capsize=4
        )
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks((0, 1, 2), ("3 bits", "4 bits", "8 bits"))
    axes.set(yscale="log", ylabel="perplexity / perplexity of the file", xlabel="symmetric grids in groups of 32")
    axes.set_yticks((1, 1.5, 2, 3, 4), ("1", "1.5", "2", "3", "4"))
    axes.minorticks_off()
    axes.legend(fontsize=12)
    return figure


show(
    draw_bits(),
    alt="Perplexity relative to the unpacked file at 3, 4 and 8 bits. Round-to-nearest is at 1 with 8 bits and far above 1 with 3 bits. GPTQ is lowest with 3 bits, and AWQ with 4 bits.",
)

# %% [markdown]
# *Times float* is the ratio to the unpacked file on the same windows; its interval is far narrower than the interval of the perplexity. At 8 bits the loss is a fraction of a percent. At 3 bits GPTQ removes 66% of the perplexity that rounding to nearest adds, and AWQ removes 52%. At 4 bits AWQ is ahead: on the same windows its perplexity is .95 times that of GPTQ, with an interval of .93 to .97. Both are plain versions, calibrated on 16 windows.
#
# At 3 bits the data do not separate rounding to nearest with a zero point from GPTQ on a symmetric grid. Section 2 found no sign that the file favors a grid with a zero point. That grid has 8 values instead of 7, can be shifted to one side, and takes half a bit more per weight.

# %% tags=["solution-only"]
nearest, by_gptq, by_awq = (
    study.times_float(method, symmetric_at[3]).value for method in (language.NEAREST, language.GPTQ, language.AWQ)
)
claim(
    "GPTQ removes 66% of the perplexity that rounding to nearest adds, and AWQ removes 52%",
    100 * (nearest - by_gptq) / (nearest - 1),
    100 * (nearest - by_awq) / (nearest - 1),
)
ahead = study.times(language.AWQ, language.GPTQ, symmetric_at[4])
claim(
    "its perplexity is .95 times that of GPTQ, with an interval of .93 to .97",
    ahead.value,
    ahead.low,
    ahead.high,
    holds=ahead.high < 1 and study.times(language.GPTQ, language.AWQ, symmetric_at[3]).high < 1,
)
claim(
    "At 8 bits the loss is a fraction of a percent",
    holds=study.times_float(language.NEAREST, symmetric_at[8]).high < 1.01,
)
with_zero = study.find(language.NEAREST, language.at(3, language.ZERO_POINT))
on_same = with_zero.perplexity.times(study.find(language.GPTQ, symmetric_at[3]).perplexity)
claim("the data do not separate rounding to nearest with a zero point from GPTQ", holds=on_same.low < 1 < on_same.high)
claim(
    "takes half a bit more per weight",
    holds=round(8 * (with_zero.stored_bytes - study.find(language.GPTQ, symmetric_at[3]).stored_bytes) / 106.2e6, 1)
    == 0.5,
)

# %% [markdown]
# ### Activations in 8 bits
#
# A product of integers needs *both* numbers in few bits. Weights are easy to round. The inputs of a layer are not: in a language model a few channels are far larger than the rest, and a grid shared by all channels has to fit these few. **SmoothQuant** moves the difficulty into the weights: divide a channel by $s$, and multiply the column that reads it by $s$. The product is the same, and the division costs nothing where it can be folded into the weight of the preceding norm. Worked by hand: a norm weight of 8, the column $(0.5, 1)$ and $s = 4$. The norm weight becomes 2, and the column becomes $(2, 4)$.

# %% [markdown]
# ### Exercise 14.4 - From the norm into the matrix (5 min)


# %% name="ex-14-4" tags=["exercise"]
def move_into_weights(norm_weight, matrix, scale):
    """Return (norm_weight, matrix), changed so that each channel between them is divided by its scale.

    norm_weight, scale: [in], one number per channel. matrix: [out, in]. The output of the layer stays the same.
    """
    ### BEGIN SOLUTION
    return norm_weight / scale, matrix * scale
    ### END SOLUTION


# %% tags=["check"]
check("14.4")

# %% [markdown]
# <details><summary>Hint 1: which number becomes smaller</summary>
#
# The norm multiplies channel j by norm_weight[j]. After the change, channel j must be scale[j] times smaller.
# </details>
# <details><summary>Hint 2: who reads channel j</summary>
#
# A layer computes x @ matrix.T. Is x[j] multiplied by a row of the matrix, or by a column?
# </details>
# <details><summary>Hint 3: broadcasting</summary>
#
# When a vector [in] is multiplied with a matrix [out, in], torch aligns it with the last axis.
# </details>

# %% name="out-smooth"
print(language.table(study, [run for run in study.runs if run.at == language.PER_ROW]))

# %% [markdown]
# *Static* means one grid for all tokens, fixed in advance; *per token* means that each token gets its own scale when it arrives. Weights in 8 bits alone cost next to nothing. Static activations raise the perplexity to 1.72 times that of the file, and smoothing lowers it to 1.15 times. A scale per token, as in the kernels of section 5, costs least, 1.03 times, and needs no smoothing here.

# %% [markdown]
# > **Takeaway.** For weights in few bits, use a method that looks at the inputs; for activations, a scale per token did more here than smoothing.

# %% tags=["solution-only"]
claim(
    "raise the perplexity to 1.72 times that of the file, and smoothing lowers it to 1.15 times",
    *(study.times_float(method, language.PER_ROW).value for method in (language.STATIC, language.SMOOTHED)),
)
claim("costs least, 1.03 times", study.times_float(language.DYNAMIC, language.PER_ROW).value)
claim(
    "for activations, a scale per token did more here than smoothing",
    holds=study.times(language.DYNAMIC, language.SMOOTHED, language.PER_ROW).high < 1,
)

# %% [markdown]
# ## 4 Fewer weights
#
# **Magnitude** pruning removes the smallest weights. **Wanda** removes the weights with the smallest product of weight and input. **SparseGPT** also changes the remaining weights, so that they make up for the removed ones. In the pattern "2:4", two of every four neighbors stay; some hardware can use this.

# %%
predict(
    "14.c",
    "Half of the weights are removed. Which method keeps the perplexity lowest?",
    choices=("magnitude", "Wanda", "SparseGPT"),
)

# %%
half = {
    name: study.find(method, "50%").perplexity.value
    for name, method in (
        ("magnitude", language.MAGNITUDE),
        ("Wanda", language.WANDA),
        ("SparseGPT", language.SPARSE_GPT),
    )
}
reveal("14.c", min(half, key=half.get))

# %% name="out-prune" tags=["hide-input"]
pruned = [run for pattern in language.PATTERNS for run in study.runs if run.at == pattern]
with hold("14.c"):
    print(language.table(study, pruned))

# %% [markdown]
# Wanda and SparseGPT are far below magnitude in every pattern, and SparseGPT, which changes the remaining weights, is lowest. *Magnitude by row* compares magnitudes within each row, as Wanda does, so Wanda's gain over it is due to the inputs alone. 2:4 costs more than removing half of the weights freely. The pruned models keep 16 bits for each remaining weight and one bit for each place, 9 bits per weight at one half. They are *larger* than the model in 4 bits by AWQ, and nine of the eleven are worse.
#
# But 16 bits are generous. Wanda does not change the remaining weights, so they could keep the codes of the file: half of 4 bits, one bit for the place, and one bit for step and lowest value make 4 bits per weight. At that size, Wanda's 1.82 is better than the 2.18 of rounding to nearest with a zero point in 3 bits, which also takes 4 bits per weight.
#
# No weight was trained again, although pruning needs it (lesson 05).

# %% [markdown]
# > **Takeaway.** Without training, rounding to 4 bits (AWQ, 1.13) costs less than removing half of the weights (SparseGPT, 1.46); at equal bytes, the winner depends on how the remaining weights are stored.

# %% tags=["solution-only"]
best_of_4 = study.find(language.AWQ, symmetric_at[4])
claim(
    "Wanda and SparseGPT are far below magnitude in every pattern, and SparseGPT, which changes the remaining weights, is lowest",
    holds=all(
        study.times(language.WANDA, language.MAGNITUDE, at).high < 0.8
        and study.times(language.SPARSE_GPT, language.WANDA, at).high < 1
        for at in language.PATTERNS
    ),
)
claim(
    "2:4 costs more than removing half of the weights freely",
    None,
    None,
    holds=all(
        study.find(method, "2:4").perplexity.times(study.find(method, "50%").perplexity).low > 1
        for method in (language.MAGNITUDE, language.WANDA, language.SPARSE_GPT)
    ),
)
claim(
    "They are larger than the model in 4 bits by AWQ, and nine of the eleven are worse",
    None,
    holds=all(one.stored_bytes > best_of_4.stored_bytes for one in pruned)
    and len(pruned) == 11
    and sum(one.perplexity.times(best_of_4.perplexity).low > 1 for one in pruned) == 9,
)
claim(
    "Wanda's 1.82 is better than the 2.18 of rounding to nearest with a zero point in 3 bits",
    study.times_float(language.WANDA, "50%").value,
    study.times_float(language.NEAREST, language.at(3, language.ZERO_POINT)).value,
    None,
)
claim(
    "there Wanda's 1.82 is better than the 2.18 of rounding to nearest",
    study.times_float(language.WANDA, "50%").value,
    study.times_float(language.NEAREST, language.at(3, language.ZERO_POINT)).value,
    page="slides/14_llm_compress.md",
)
claim(
    "rounding to 4 bits (AWQ, 1.13) costs less than removing half of the weights (SparseGPT, 1.46)",
    None,
    study.times_float(language.AWQ, symmetric_at[4]).value,
    study.times_float(language.SPARSE_GPT, "50%").value,
    holds=all(
        best_of_4.perplexity.times(study.find(method, "50%").perplexity).high < 1
        for method in (language.MAGNITUDE, language.WANDA, language.SPARSE_GPT)
    ),
)

# %% [markdown]
# ## 5 How fast?
#
# Fewer bytes are not yet fewer milliseconds. A `QuantizedLinear` unpacks its codes to floats before it multiplies, so it moves more bytes than the float layer. `pack_for_speed` hands the layers to C kernels that multiply with the packed codes (lesson 02). Pack two models: all matrices in 8 bits, and 4 bits with an 8-bit head, about the size of the file. This takes about 8 seconds.


# %%
def packed(bits):
    """The model with matrices of `bits` bits and a head of 8 bits, in groups of 32 with scales in float16."""
    formats = {n: IntFormat(n, granularity=PerGroup(32), scale_dtype=torch.float16) for n in (bits, 8)}
    return pack_for_speed(quantize_weights(lm, lambda name, _: formats[8 if name == "head" else bits]))


models = {"float32": lm} | {f"int{bits}": packed(bits) for bits in tqdm((8, 4))}
plans = {name: DecodePlan(one, KVCache(shape, room_tokens=80)) for name, one in models.items()}

# %% name="out-pack" tags=["hide-input"]
lines = [("", "MB of matrices", "bits per weight")]
for name, plan in plans.items():
    lines.append(
        (name, f"{plan.weight_bytes / MB:.0f}", f"{8 * plan.weight_bytes / cost.count_parameters(shape).matmul:.2f}")
    )
print(aligned(lines))

# %%
predict("14.d", "int4 moves about 6 times fewer bytes than float32. How many times as fast is a token?", unit="times")

# %% [markdown]
# A decode step consists of many small calls: a layer of this model is eleven calls of kernels, and in Python and torch each call costs some microseconds before it computes anything. All shapes are known in advance, though. A **plan** allocates every buffer once and binds every kernel to its buffers; a step then only runs down a list. Engines do the same with CUDA graphs. This takes about 4 seconds.

# %%
ways = {}
for name, one in tqdm(models.items()):
    cache = plans[name].cache

    def as_modules(one=one, cache=cache):
        cache.length = 64
        one(torch.tensor([[0]]), cache)

    ways[name] = compare_latency({"modules": as_modules, "plan": speed.step_at(plans[name], 64)}, repeats=8)


# %% name="out-modules" tags=["hide-input"]
def in_ms(took):
    return f"{1e3 * took.median_s:.1f} ({1e3 * took.low_s:.1f}-{1e3 * took.high_s:.1f})"


lines = [("one token, ms", "called as modules", "as a plan")]
lines += [(name, *map(in_ms, both.values())) for name, both in ways.items()]
with hold("14.d"):
    print(aligned(lines))

# %% [markdown]
# The plan also has its own C kernels for norms, activations and attention, where the modules call torch. The table does not separate the two gains.

# %% tags=["solution-only"]
claim("a layer of this model is eleven calls of kernels", holds=round(len(plans["int4"].calls) / shape.layers) == 11)
gains = [ways["float32"][way].median_s / ways["int4"][way].median_s for way in ("modules", "plan")]
claim("the gain of int4 over float32 is larger as a plan than as modules", holds=gains[1] > 1.2 * gains[0])

# %% [markdown]
# ### What should it take?
#
# In decode each weight is read once and used once, so the time should be bytes divided by bandwidth, unless the arithmetic on the codes is slower than memory. The calculator of lesson 13 can say which, if it knows this machine. Measure three quantities, none of them on this model: how fast this machine reads a matrix from memory, how fast it computes a product whose matrix is in the cache, and how long a layer with next to no weights takes. This takes about 5 seconds.

# %%
with tqdm(total=2) as bar:
    limits = here.measure_limits(widths=(8, 4))
    bar.update()
    took = speed.decode_times(plans, context=64, repeats=12)
    bar.update()
reveal("14.d", round(took["float32"].median_s / took["int4"].median_s, 1))

# %% name="out-speed" tags=["hide-input"]
lines = [("decode, one thread", "ms per token (p10-p90)", "tokens/s", "x float32", "predicted ms", "off by")]
for name, one in took.items():
    expected_s = here.predict_step(models[name], limits, context=64).seconds
    lines.append(
        (
            name,
            in_ms(one),
            f"{1 / one.median_s:.0f}",
            f"{took['float32'].median_s / one.median_s:.1f}",
            f"{1e3 * expected_s:.1f}",
            f"{expected_s / one.median_s - 1:+.0%}",
        )
    )
with hold("14.d"):
    print(limits, "\n")
    print(aligned(lines))

# %% [markdown]
# Where does the time go? The next table compares the calls of the plan with the operators of the calculator:

# %% name="out-operators" tags=["hide-input"]
rows = speed.compare_operators(
    here.predict_step(models["int4"], limits, context=64), speed.profile_step(plans["int4"], context=64)
)
print(
    aligned(
        [
            ("int4, ms", "predicted", "measured"),
            *((name, f"{1e3 * expected:.2f}", f"{1e3 * got:.2f}") for name, expected, got in rows),
        ]
    )
)

# %% [markdown]
# Some rows take longer than predicted and others less, and these errors partly cancel in the sum. On the machines that we tried, the calculation gave a prediction of the whole within about a third.
#
# Is that fast? If the package `xllamacpp` of llama.cpp is installed (`%pip install xllamacpp` in a new cell, with a network), the next cell times it in turns with our models, on the same file and one thread. This takes about 10 seconds.

# %%
llama = peer.llama_cpp(path, threads=1, context=48, tokens=16)
turns = {"float32": [], "int4": [], "llama.cpp": []}
for turn in tqdm(range(6 if llama else 0)):
    for name, times in turns.items():
        took_s = llama() if name == "llama.cpp" else peer.turn_of(plans[name], context=48, tokens=16)
        if turn:  # the first turn warms up
            times.append(took_s)

# %% name="out-peer" tags=["hide-input"]
if llama is None:
    print("xllamacpp or the model's file is not here, so the comparison is left out.")
else:
    lines = [("one thread", "ms per token", "x llama.cpp, turn by turn")]
    for name, times in turns.items():
        low, middle, high = np.percentile(np.divide(turns["llama.cpp"], times), (10, 50, 90))
        lines.append((name, f"{1e3 * np.median(times):.1f}", f"{middle:.2f} ({low:.2f}-{high:.2f})"))
    print(aligned(lines))

# %% [markdown]
# Is the comparison fair? Not quite. The kernels of int4 were compiled for this processor. The package of llama.cpp was built for many: it may leave vector instructions newer than AVX2 unused, and a llama.cpp compiled here can be faster. The file is the same, but the model is not: llama.cpp multiplies on the grids of the file, and int4 is the file rounded once more, to nearest on symmetric grids. In the recorded study its perplexity is 1.37 times that of the unpacked file. So the table compares kernels at about the same bytes, not models of the same quality.

# %% [markdown]
# > **Takeaway.** Fewer bytes save time only where nothing else takes it: the gain of int4 over float32 is larger as a plan than as modules.

# %% tags=["solution-only"]
claim("int4 moves about 6 times fewer bytes than float32", plans["float32"].weight_bytes / plans["int4"].weight_bytes)
errors = {
    name: here.predict_step(models[name], limits, context=64).seconds / one.median_s - 1 for name, one in took.items()
}
claim("a prediction of the whole within about a third", holds=all(abs(error) < 0.4 for error in errors.values()))
claim(
    "its perplexity is 1.37 times that of the unpacked file",
    study.times_float("to nearest, packed", symmetric_at[4]).value,
)
claim(
    "its perplexity is 1.37 times that of the unpacked file",
    study.times_float("to nearest, packed", symmetric_at[4]).value,
    page="slides/14_llm_compress.md",
)
claim("is within about a third", holds=all(abs(error) < 0.4 for error in errors.values()), page="README.md")
if llama is not None:
    claim(
        "several times as fast as in float32, and about as fast as llama.cpp on the same file, or faster",
        holds=np.median(turns["float32"]) > 3 * np.median(turns["int4"])
        and np.median(np.divide(turns["llama.cpp"], turns["int4"])) > 0.9,
        page="README.md",
    )
    claim(
        "So the table compares kernels at about the same bytes", holds=abs(plans["int4"].weight_bytes / 98e6 - 1) < 0.15
    )

# %% [markdown]
# ## 6 The cache in few bits
#
# The weights are now small: at 2,000 tokens the cache in float32 is as large as all the 4-bit weights, and each step reads the whole cache. So round the cache as well. Cut the numbers of a token into groups of 32. Each group gets a **lowest value** and a **step**, $\text{value} = \text{low} + \text{step} \cdot \text{code}$. Worked by hand, with 2 bits: the numbers 1, 2, 4 range from 1 to 4, so the step is 3/3 = 1 and the codes are 0, 1, 3.

# %% [markdown]
# ### Exercise 14.5 - A smaller cache (7 min)


# %% name="ex-14-5" tags=["exercise"]
def cache_codes(x, bits):
    """Return (codes, step, low) for one group of numbers, so that low + step * code is close to each of them.

    x: [n]. codes: [n], whole numbers from 0 for the lowest number to 2**bits - 1 for the highest.
    The step is exactly 0 where all numbers are equal, and so are the codes.
    """
    ### BEGIN SOLUTION
    low, high = x.min(), x.max()
    step = (high - low) / (2**bits - 1)
    codes = ((x - low) / step).round() if step > 0 else torch.zeros_like(x)
    return codes, step, low
    ### END SOLUTION


# %% tags=["check"]
check("14.5")

# %% [markdown]
# <details><summary>Hint 1: codes and steps</summary>
#
# A fence with four posts has three gaps.
# </details>
# <details><summary>Hint 2: from a number to its code</summary>
#
# How many steps is it above the lowest number? Round that to the nearest whole number.
# </details>
# <details><summary>Hint 3: all numbers equal</summary>
#
# If the highest number equals the lowest, the step is 0, and you cannot divide by it. Handle this case first.
# </details>

# %%
predict(
    "14.e",
    "With the cache in 4 bits instead of 32, how many times as fast is an int4 token at a context of 2,000 tokens?",
    unit="times",
)

# %%
by_bits = {bits: DecodePlan(models["int4"], KVCache(shape, room_tokens=2_001, bits=bits)) for bits in (32, 8, 4)}
kv_took = speed.decode_times({str(bits): plan for bits, plan in by_bits.items()}, context=2_000, repeats=10)
reveal("14.e", round(kv_took["32"].median_s / kv_took["4"].median_s, 1))

# %% name="out-kv" tags=["hide-input"]
lines = [
    ("cache", "bytes per token", "MB at 2,000 tokens", "ms per token", "predicted ms", "perplexity, times 32 bits")
]
for bits, plan in by_bits.items():
    kept = plan.cache.bytes_per_token
    expected_s = here.predict_step(models["int4"], limits, context=2_000, cache_bits=bits).seconds
    ratio = "1" if bits == 32 else str(study.times_float(language.CACHE, f"{bits} bits"))
    lines.append(
        (
            f"{bits} bits",
            f"{kept:,}",
            f"{2_000 * kept / MB:.0f}",
            f"{1e3 * kv_took[str(bits)].median_s:.1f}",
            f"{1e3 * expected_s:.1f}",
            ratio,
        )
    )
with hold("14.e"):
    print(aligned(lines))
    print(f"the weights of int4: {plans['int4'].weight_bytes / MB:.0f} MB")

# %% [markdown]
# From 32 to 8 bits the token becomes faster, and from 8 to 4 bits hardly, if at all. According to the calculator, at 4 bits reading the cache takes no longer than the arithmetic (if the two predictions are equal, this is already so at 8 bits). Each code has to become a number before it is multiplied, at the rate in the limits above (attention, GFLOP/s). Where it predicts too little, remember that the calculator takes the larger of reading and arithmetic, as if one always hid the other. So 4 bits mainly save memory, and cost some perplexity: at 4 bits it is 1.066 times that of 32 bits. At 8 bits no difference can be seen. The perplexities are from windows of 256 tokens, not from a text of 2,000.

# %% [markdown]
# > **Takeaway.** In a long text every token reads a large cache, and fewer bits make the token faster until reading is no slower than the arithmetic; after that they save only memory.

# %% tags=["solution-only"]
claim(
    "at 2,000 tokens the cache in float32 is as large as all the 4-bit weights",
    holds=abs(2_000 * by_bits[32].cache.bytes_per_token / plans["int4"].weight_bytes - 1) < 0.1,
)
kv_ms = {bits: 1e3 * kv_took[str(bits)].median_s for bits in by_bits}
claim("From 32 to 8 bits the token becomes faster", None, None, holds=kv_ms[8] < kv_ms[32])
claim("and from 8 to 4 bits hardly, if at all", None, None, holds=kv_ms[8] - kv_ms[4] < kv_ms[32] - kv_ms[8])
by_calculator = here.predict_step(models["int4"], limits, context=2_000, cache_bits=4)
claim(
    "at 4 bits reading the cache takes no longer than the arithmetic",
    None,
    holds=next(row.bound for row in by_calculator.rows if row.operator.name == "attention") == "compute",
)
claim("at 4 bits it is 1.066 times that of 32 bits", None, study.times_float(language.CACHE, "4 bits").value, None)
kept_8 = study.times_float(language.CACHE, "8 bits")
claim("At 8 bits no difference can be seen", None, holds=kept_8.low < 1 < kept_8.high)

# %% [markdown]
# ## 7 Several tokens at once
#
# A step that waits for memory could, at best, check five tokens in nearly the time of one. **Speculative decoding** guesses the next few tokens cheaply, lets the model compute the logits after each of them in one pass, and keeps the guesses up to the first wrong one. In its place the pass gives the token that the model would have written, so a pass gives at least one token. With greedy decoding the text is the same as without guesses (except for rounding of floats, where two tokens are almost equally likely). For text that is drawn at random, a rule keeps the distribution (Leviathan et al. 2023).

# %% [markdown]
# ### Exercise 14.6 - Which guesses to keep (6 min)


# %% name="ex-14-6" tags=["exercise"]
def accept(guesses, choices):
    """The list of tokens that a pass adds to the text: those that the model would have written without guesses.

    guesses: k token ids; k may be 0. choices: the k + 1 tokens that the model chooses: one after the last accepted
    token, and one after each guess.
    """
    ### BEGIN SOLUTION
    added = []
    for guess, choice in zip(guesses, choices):
        added.append(choice)
        if guess != choice:
            return added
    return [*added, choices[-1]]
    ### END SOLUTION


# %% tags=["check"]
check("14.6")

# %% [markdown]
# <details><summary>Hint 1: which choice checks which guess</summary>
#
# choices[0] was computed before any guess was read. Which guess does it show to be right or wrong?
# </details>
# <details><summary>Hint 2: how many</summary>
#
# A pass adds at least one token, even if every guess is wrong, and at most k + 1.
# </details>
# <details><summary>Hint 3: only choices</summary>
#
# A right guess equals the choice of the model. So the result is a first part of `choices`, and you only have to find its length.
# </details>

# %% [markdown]
# Whether guessing pays is a matter of arithmetic. If each guess is right with probability $a$, a pass gives $1 + a + \dots + a^k$ tokens on average (lesson 13). It costs $k$ guesses and a pass over $k + 1$ tokens. Worked by hand: with $a = 0.5$, two free guesses and a pass that costs 1.25 steps, the text comes 1.75 / 1.25 = 1.4 times as fast.

# %% [markdown]
# ### Exercise 14.7 - What guessing is worth (6 min)


# %% name="ex-14-7" tags=["exercise"]
def times_faster(acceptance, ahead, draft_cost, pass_cost):
    """The mean number of tokens per pass, divided by its cost: the speed, compared with one token per step.

    acceptance: the chance that a guess is right, if those before it are. ahead: guesses per pass.
    draft_cost: of one guess; pass_cost: of the model's pass over ahead + 1 tokens; both in steps of the model.
    """
    ### BEGIN SOLUTION
    tokens = sum(acceptance**right for right in range(ahead + 1))
    return tokens / (ahead * draft_cost + pass_cost)
    ### END SOLUTION


# %% tags=["check"]
check("14.7")

# %% [markdown]
# <details><summary>Hint 1: when the third guess counts</summary>
#
# The third guess is kept only if the first, the second and the third are right. How likely is that?
# </details>
# <details><summary>Hint 2: add up</summary>
#
# 1 + a + a² + ... up to a to the power of `ahead`. There is a short formula for this sum, but it divides by 1 - a.
# </details>
# <details><summary>Hint 3: the cost</summary>
#
# The draft writes `ahead` guesses one after the other, whether they are right or not. Then comes a single pass of the model.
# </details>

# %% [markdown]
# A **draft** makes the guesses. Compare three drafts. **Look-up** guesses the words that followed when the latest words last occurred in the text; it costs next to nothing. The **int4 model** drafts for the float model. The **first 20 of 30 layers** draft for the whole model. First, how much does a pass over five tokens cost? This takes about 4 seconds.

# %% name="out-pass"
AHEAD = 4
pass_cost = {}
for name in tqdm(("float32", "int4")):
    wide = DecodePlan(models[name], KVCache(shape, room_tokens=80), tokens=AHEAD + 1)
    both = compare_latency({"one": speed.step_at(plans[name], 64), "five": speed.step_at(wide, 64)}, repeats=6)
    pass_cost[name] = both["five"].median_s / both["one"].median_s

for name, times in pass_cost.items():
    print(f"{name}: a pass over five tokens takes {times:.1f} times as long as one token")

# %% [markdown]
# Now write three texts with each draft. This takes about 30 seconds.

# %%
predict(
    "14.f",
    "The int4 model drafts for the float model. Is this faster than the float model alone?",
    choices=("yes, on every text", "on some texts", "no"),
)

# %%
PROMPTS = {
    "prose": "The history of the steam engine begins with",
    "code": "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    return a - b\n\n\ndef multiply(a, b):\n",
    "a list again": "red, green, blue, white, black, grey\nred, green, blue, white, black, grey\nred, green,",
}
DRAFTS = (  # the model, its draft, the number of new tokens, and a function that makes the draft
    ("int4", "look-up", 48, lambda: model.look_up),
    ("float32", "look-up", 24, lambda: model.look_up),
    ("float32", "int4", 24, lambda: model.drafted_by(models["int4"], room_tokens=200)),
    ("float32", "first 20 layers", 24, lambda: model.drafted_by(SMALL, room_tokens=200)),
)
SMALL = model.first_layers(lm, max(1, shape.layers * 2 // 3))
step_s = {name: one.median_s for name, one in speed.decode_times(plans, context=64, repeats=5).items()}
DRAFT_COST = {
    "look-up": 0.0,
    "int4": step_s["int4"] / step_s["float32"],
    "first 20 layers": cost.count_parameters(SMALL.architecture).matmul / counted.matmul,
}


def seconds(name, call):
    """The seconds of a call, the median of three for int4, whose runs are short; and its result."""
    times = []
    for _ in range(3 if name == "int4" else 1):
        began_s = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - began_s)
    return float(np.median(times)), result


faster, plain, results, expected = {}, {}, {}, {}
for text, prompt in tqdm(PROMPTS.items()):
    for name, draft, new, make in DRAFTS:
        if draft == "first 20 layers" and text != "prose":
            continue  # slow, and no better on the other texts
        if (text, name) not in plain:
            plain[text, name] = seconds(name, lambda: tuple(model.stream(models[name], prompt, new)))
        plain_s, tokens = plain[text, name]
        row = text, name, draft
        took_s, got = seconds(
            name, lambda: model.generate_speculatively(models[name], prompt, new, make(), ahead=AHEAD)
        )
        guesses = got.proposed / got.passes  # in each pass: look-up does not always find one
        a_pass = 1 + (pass_cost[name] - 1) * guesses / AHEAD
        expected[row] = got.tokens_per_pass / (guesses * DRAFT_COST[draft] + a_pass)
        results[row], faster[row] = (got, got.tokens == tokens), plain_s / took_s

wins = [faster[text, "float32", "int4"] > 1 for text in PROMPTS]
reveal("14.f", "yes, on every text" if all(wins) else "on some texts" if any(wins) else "no")

# %% name="out-speculate" tags=["hide-input"]
lines = [("text", "model", "draft", "same text", "guesses right", "tokens per pass", "expected", "times as fast")]
for row, (got, same) in results.items():
    cells = f"{got.acceptance:.0%}", f"{got.tokens_per_pass:.2f}", f"{expected[row]:.2f}", f"{faster[row]:.2f}"
    lines.append((*row, "yes" if same else "NO", *cells))
with hold("14.f"):
    print(aligned(lines, left=(0, 1, 2)))

# %% [markdown]
# The text is the same in every row. (The pass that ends the text may add no token, so a row can have fewer than one token per pass.) *Expected* is the formula of exercise 14.7 with the measured number of right guesses and the measured costs. It leaves out that a draft model also reads the prompt, and that each new length of a pass needs a plan; in most rows the real gain is smaller. The runs are short, so small differences may be chance.
#
# A pass over five tokens takes more than one step and fewer than five, for both models; why it is not closer to one was not tested. So the int4 draft gives the float model 2.2 to 3 tokens per pass, and far less speed than that.
#
# For the int4 model, look-up gains most where the text repeats itself and most guesses are right; on other texts a wrong guess makes a pass longer and still gives one token. The first 20 layers were never trained to predict tokens on their own: here one guess in eight is right, and each costs about three quarters of a step: two thirds of the layers, and the whole head. Models can be trained so that their first layers predict well (LayerSkip).

# %% [markdown]
# > **Takeaway.** With greedy decoding the text is the same whatever the draft guesses; the speed depends on how often a guess is right, and on the cost of a longer pass on this machine.

# %% tags=["solution-only"]
told = lines[1:]
claim("The text is the same in every row", holds=all(line[3] == "yes" for line in told))
claim(
    "in most rows the real gain is smaller", holds=sum(float(line[7]) < float(line[6]) for line in told) > len(told) / 2
)
claim(
    "A pass over five tokens takes more than one step and fewer than five, for both models",
    holds=all(1.1 < cost_of < 4.5 for cost_of in pass_cost.values()),
)
of_int4 = {text: results[text, "float32", "int4"][0].tokens_per_pass for text in PROMPTS}
claim(
    "So the int4 draft gives the float model 2.2 to 3 tokens per pass, and far less speed than that",
    min(of_int4.values()),
    max(of_int4.values()),
    within=0.3,
    holds=all(faster[text, "float32", "int4"] < 0.75 * of_int4[text] for text in PROMPTS),
)
gains = {text: faster[text, "int4", "look-up"] for text in PROMPTS}
claim(
    "look-up gains most where the text repeats itself",
    holds=gains["a list again"] == max(gains.values()) and gains["a list again"] > 1,
)
claim(
    "here one guess in eight is right",
    holds=abs(float(next(line[4] for line in told if line[2] == "first 20 layers").rstrip("%")) - 12.5) < 3,
)

# %% [markdown]
# ## 8 Where it stops
#
# - **One small model, one text.** Larger models mostly lose less when GPTQ rounds them to 3 and 4 bits (the tables of its paper show two families, with exceptions such as OPT-66B), and the order of the methods can change.
# - **Perplexity is not usefulness.** A model can keep its perplexity and forget how to answer questions.
# - **The baseline is itself a 4-bit file.** The loss before the file was written does not show here.
# - **One user, one thread, one machine.** With many users at once and short texts, the arithmetic is the limit (lesson 13), and kernels are built differently.
#
# ### The ledger
#
# The ledger has the bytes, multiplications and milliseconds of one token. The accuracy says how often the most likely token was right, on two windows of section 2. The times are those of modules without a cache, as in the other lessons; the last column compares the times of this run. Two windows are few: trust the perplexities of section 3 instead. This takes about 5 seconds.


# %% name="out-ledger"
def next_token_accuracy(one):
    windows = torch.tensor(judged_on).view(WINDOWS, 256)[:2]
    right = [(one(window[None])[0, :-1].argmax(dim=-1) == window[1:]).float().mean() for window in windows]
    return float(torch.stack(right).mean())


accuracies = {name: next_token_accuracy(models[name]) for name in tqdm(("float32", "int4"))}
report = measure.report(
    {f"SmolLM2-135M, {name}": models[name] for name in accuracies},
    torch.tensor([[0]]),
    accuracies={f"SmolLM2-135M, {name}": value for name, value in accuracies.items()},
    repeats=12,
)
for row in report.rows:
    table = ledger(row, lesson=14, beside=report.rows[0])
table

# %%
progress()

# %% [markdown]
# > **Takeaway.** A result of this lesson holds for one small model, one text and one machine: measure again before you rely on it elsewhere.

# %% [markdown]
# ## With pencil and paper
#
# **1.** A model has 24 layers and 4 KV heads of 64 numbers. Its cache has 4 bits per number, and a step and a lowest value of 16 bits each per 32 numbers. How many bytes does a token add to the cache? From how many tokens on does the cache take more than 80 MB, as much as the weights?
#
# <details><summary>Answer</summary>
#
# Keys and values are 24 · 2 · 4 · 64 = 12,288 numbers. Each takes 4 bits and a share of 32/32 = 1 bit, which makes 5 bits. 12,288 · 5 / 8 = 7,680 bytes. 80,000,000 / 7,680 is about 10,400 tokens.
# </details>
#
# **2.** A step of the float model takes 30 ms, a step of the draft 6 ms, and a pass over five tokens 33 ms. There are four guesses, each right with probability 0.6. How many milliseconds does a token take on average, and how many times as fast is that as without a draft?
#
# <details><summary>Answer</summary>
#
# A pass gives 1 + 0.6 + 0.36 + 0.216 + 0.1296 = 2.31 tokens, and takes 4 · 6 + 33 = 57 ms. That is 24.7 ms per token, 1.2 times as fast.
# </details>
#
# **3.** Two models have perplexities 20 and 21 on ten windows, each with an interval of 14 to 28. Is the second model worse?
#
# <details><summary>Answer</summary>
#
# These intervals do not tell. They include the differences between the windows, which affect both models. Take the difference of the losses on each window instead: if the second model is worse on all ten windows, chance alone would do that once in 1024 times.
# </details>

# %% [markdown]
# ## Summary
#
# - Keys and values are kept, so a token costs one row of attention. The price of the cache is memory, and bytes that each step reads.
# - Perplexity on paired windows shows small differences; a few lines of text do not.
# - A grid that fits the file loses nothing and proves nothing.
# - Weights in 8 bits lose next to nothing, even rounded to nearest. At 3 and 4 bits, on the same grid, the methods that look at the inputs win. Rounding to 4 bits costs less than removing half of the weights.
# - The time is bytes divided by bandwidth, unless the arithmetic or the start of kernels is slower.
# - Speculative decoding with greedy choice keeps the text. It gains where guesses are right and a longer pass costs little more than a step.
#
# **References.** Ben Allal et al. 2025, *SmolLM2*. Touvron et al. 2023, *LLaMA*. Ainslie et al. 2023, *GQA*. Holtzman et al. 2020, *The Curious Case of Neural Text Degeneration*. Frantar et al. 2023, *GPTQ*. Lin et al. 2024, *AWQ*. Xiao et al. 2023, *SmoothQuant*. Sun et al. 2024, *Wanda*. Frantar and Alistarh 2023, *SparseGPT*. Liu et al. 2024, *KIVI*. Leviathan et al. 2023, *Speculative Decoding*. Elhoushi et al. 2024, *LayerSkip*.
#
# **Further reading.** Ashkboos et al. 2024, *QuaRot*: rotations that spread the large channels out before rounding. Cai et al. 2024, *Medusa*, and Li et al. 2024, *EAGLE*: drafts that are trained on the model they draft for.
#
# **In the library.** In [`mini_lib/llm/model`](../mini_lib/llm/model/__init__.py), [`transformer.py`](../mini_lib/llm/model/transformer.py) and [`attention.py`](../mini_lib/llm/model/attention.py) have the model, [`kv_cache.py`](../mini_lib/llm/model/kv_cache.py) the cache, [`decode.py`](../mini_lib/llm/model/decode.py) the plan, [`layerwise.py`](../mini_lib/llm/model/layerwise.py) and [`rescale.py`](../mini_lib/llm/model/rescale.py) the compression, [`speculative.py`](../mini_lib/llm/model/speculative.py) the drafts, and [`here.py`](../mini_lib/llm/model/here.py) the prediction for this machine. The kernels are in [`mini_lib/kernels`](../mini_lib/kernels/__init__.py): [`packed.c`](../mini_lib/kernels/packed.c) for the matrices, [`decoder.c`](../mini_lib/kernels/decoder.c) for the rest. [`studies/language`](../studies/language/__init__.py) has the recorded study, and [`tools/llm_speed.py`](../tools/llm_speed.py) prints the comparison with llama.cpp.
#
# This is the last lesson. **Back to the start:** [01 What does a network cost?](01_measure.ipynb)
