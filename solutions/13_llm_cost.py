# %% [markdown]
# # What does a token cost, and why does the price keep falling?
#
# Lesson 13 · {minutes} · before it: [01 What does a model cost?](01_measure.ipynb) · [02 How few bits does a weight need?](02_bits.ipynb)
#
# A language model writes one token after another, and somebody pays for each of them. In March 2023, a million tokens cost two dollars. Sixteen months later, the same seller asked 15 cents to read a million tokens and 60 cents to write them. Did it earn a fortune at the first price, or lose money at the second?
#
# If you know the shape of a model, you can work out what a token costs. (The shapes of these two models are not public.) A token takes a number of bytes from memory and a number of multiplications; a device supplies so many of both per second; and you can rent a device by the hour. You need no GPU, and no model is loaded.
#
# **You will be able to**
# 1. work out the bytes, FLOPs, seconds and dollars of a token from the shape of a model and a data sheet;
# 2. say what a batch, fewer bits, more devices and a draft model make cheaper, and what they do not;
# 3. compare an estimate with published measurements, and a price with what a token costs to make.
#
# The cell below each exercise checks your answer. Nothing later depends on your answers: you can skip an exercise, run everything, and come back. Code that only draws is folded: one click shows it.

# %%
import textwrap
from dataclasses import replace
from datetime import date
from statistics import median

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.dates import DateFormatter, YearLocator
from tqdm.auto import tqdm

from mini_lib import measure, roofline
from mini_lib.columns import aligned
from mini_lib.llm import cost, prices, published, serving
from mini_lib.llm.cost import (
    ENGINE_2023,
    ENGINE_2025,
    GENERATION_2025,
    GPT_FAST_2023,
    IDEAL,
    Attention,
    Draft,
    LatentAttention,
    Workload,
    find_device,
    find_model,
)
from teach import check, explore, figures, ledger, predict, progress, reveal, show
from teach.widgets.calculator import calculator

torch.set_num_threads(1)
figures.use_style()
COLOURS = figures.COLOURS

LLAMA_7B, LLAMA_8B, LLAMA_70B = map(find_model, ("LLaMA-2-7B", "LLaMA-3-8B", "LLaMA-3-70B"))
A100, H100 = find_device("A100-SXM-80GB"), find_device("H100-SXM-80GB")
GIB = 2**30

# %% [markdown]
# ## 1 What a token needs
#
# **Prefill** runs the whole prompt through the model at once. Then the model writes the answer in **decode** steps: one token per step, since each token depends on the one before it. Here is Llama-3-8B on an H100, operator by operator: one decode step after 1000 tokens for a single user, and the prefill of 1000 tokens.
# The number at the end of a bar is the **arithmetic intensity**: the FLOPs that an operator does per byte that comes from memory.

# %%
decode = cost.step(LLAMA_8B, H100, new_tokens=1, context=1000, efficiency=ENGINE_2025)
prefill = cost.step(LLAMA_8B, H100, new_tokens=1000, efficiency=ENGINE_2025)


# %% name="fig-decode" tags=["hide-input"]
def draw_steps(step, name):
    figure, axes = plt.subplots(figsize=(8, 3.6))
    rows = [row for row in reversed(step.rows) if row.operator.name != "embedding"]
    names = [row.operator.name for row in rows]
    looks = {"memory": ("blue", "", "waits for memory"), "compute": ("orange", "//", "waits for arithmetic")}
    for bound, (colour, hatch, label) in looks.items():
        ms = [1e3 * row.seconds if row.bound == bound else 0 for row in rows]
        axes.barh(names, ms, color=COLOURS[colour], hatch=hatch, edgecolor="white", label=label)
    for place, row in enumerate(rows):
        axes.text(1e3 * row.seconds, place, f" {row.operator.intensity:,.0f}", va="center", fontsize=14)
    axes.set(xlabel=f"{name}: ms per operator", xlim=(0, 1.15e3 * max(row.seconds for row in rows)))
    axes.legend(fontsize=14, loc="lower right")
    return figure


show(
    draw_steps(decode, "one decode step"),
    alt="Milliseconds of each operator of Llama-3-8B in one decode step as bars, with the FLOPs per byte at their ends. All operators wait for memory, with 1 FLOP per byte, and 4 in attention.",
)

# %% name="fig-prefill" tags=["hide-input"]
show(
    draw_steps(prefill, "prefill of 1000 tokens"),
    alt="Milliseconds of each operator in a prefill of 1000 tokens as bars, with the FLOPs per byte at their ends. The large matrices wait for arithmetic, with about 700 FLOPs per byte.",
)

# %% [markdown]
# Both read the same weights. In the decode step, a weight is fetched, used for one multiplication and one addition, and dropped. In the prefill, it serves a thousand tokens. A prefill of a thousand tokens takes 21 ms, and one decode step takes 5 ms.
#
# ### What a token leaves in memory
#
# A new token looks back at all tokens before it: every layer uses a **key** and a **value** of each of them. These vectors do not change, so they are computed once and kept, in the **KV cache**. Several query heads may share one KV head.
#
# By hand: with 3 layers, 2 KV heads of 5 numbers and 16 bits per number, a token leaves a key and a value in each layer. These are 2 · 3 · 2 · 5 = 60 numbers, or 120 bytes.

# %% [markdown]
# ### Exercise 13.1 - What a token leaves behind (5 min)


# %% name="ex-13-1" tags=["exercise"]
def kv_bytes_per_token(layers, hidden, heads, kv_heads, head_dim, bits):
    """The bytes that one token leaves in the KV cache, in all layers together.

    hidden: the width of the vectors between the layers. heads: query heads; kv_heads: heads of keys and values;
    head_dim: numbers per head. bits: of each number in the cache.
    """
    ### BEGIN SOLUTION
    return 2 * layers * kv_heads * head_dim * bits / 8
    ### END SOLUTION


# %% tags=["check"]
check("13.1")

# %% [markdown]
# <details><summary>Hint 1: what is kept</summary>
#
# Queries are used at once and forgotten. You do not need all of the arguments.
# </details>
# <details><summary>Hint 2: count numbers first</summary>
#
# How many numbers has one key in one layer, for all KV heads together? Then count keys and values, then all layers, then bytes.
# </details>

# %% [markdown]
# The weights are in memory once. A cache is there once *per user*, and it grows with every token.

# %%
predict(
    "13.a",
    "Llama-3-8B serves 64 users. How many tokens does each of them have when all caches together weigh as much as the model?",
    unit="tokens",
)

# %%
reveal("13.a", round(cost.weight_bytes(LLAMA_8B) / (64 * cost.kv_bytes_per_token(LLAMA_8B))))

# %% [markdown]
# To see what the design of attention does, change it and nothing else. The model is Llama-2-7B, and its 32 query heads share KV heads in four ways. **MHA**, multi-head attention: each query head has its own. **GQA**, grouped-query: four share one. **MQA**, multi-query: all share one.
# **MLA**, latent attention: one short vector serves all heads, and keys and values are computed from it again.

# %%
SHARING = {
    "MHA, 32 KV heads": Attention(32, 32, 128),
    "GQA, 8 KV heads": Attention(32, 8, 128),
    "MLA, 512 + 64 numbers": LatentAttention(
        heads=32, query_rank=0, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128
    ),
    "MQA, 1 KV head": Attention(32, 1, 128),
}
variants = {name: replace(LLAMA_7B, attention=attention) for name, attention in SHARING.items()}


# %% name="fig-kv" tags=["hide-input"]
def draw_kv():
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True)
    contexts, batches = [2**i for i in range(9, 18)], [2**i for i in range(10)]
    looks = (("blue", "-"), ("orange", "--"), ("green", "-."), ("vermillion", ":"))
    for (name, model), (colour, line) in zip(variants.items(), looks):
        look = {"color": COLOURS[colour], "linestyle": line, "label": name}
        left.plot(contexts, [cost.kv_cache_bytes(model, 1, tokens) / GIB for tokens in contexts], **look)
        right.plot(batches, [cost.kv_cache_bytes(model, users, 4096) / GIB for users in batches], **look)
    for axes in (left, right):
        axes.axhline(cost.weight_bytes(LLAMA_7B) / GIB, color="#777777", linewidth=1.5)
        axes.axhline(H100.memory_bytes / GIB, color="black", linewidth=1.5)
    left.text(512, 1.15 * cost.weight_bytes(LLAMA_7B) / GIB, "the weights", fontsize=13)
    left.text(512, 1.15 * H100.memory_bytes / GIB, "memory of an H100", fontsize=13)
    left.set(
        xscale="log", yscale="log", xlabel="tokens of context, one user", ylabel="KV cache, in GiB", ylim=(0.005, 60000)
    )
    right.set(xscale="log", xlabel="users, 4096 tokens each")
    left.set_xticks([2**9, 2**11, 2**13, 2**15, 2**17], ["512", "2k", "8k", "32k", "128k"])
    right.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    for axes in (left, right):
        axes.minorticks_off()
    right.legend(fontsize=13, loc="upper left")
    return figure


show(
    draw_kv(),
    alt="Bytes of the KV cache over the context of one user and over the number of users, for four ways of sharing keys and values, with lines for the weights and for the memory of an H100. "
    "Multi-head attention crosses both lines first, multi-query last.",
)

# %% name="out-kv" tags=["hide-input"]
lines = [("", "KiB per token", "GiB at 128k tokens", "users of 4096 tokens that fit")]
for name, model in variants.items():
    users = cost.largest_batch(model, H100, Workload(prompt=3584, output=512))
    lines.append(
        (
            name,
            f"{cost.kv_bytes_per_token(model) / 1024:.1f}",
            f"{cost.kv_cache_bytes(model, 1, 2**17) / GIB:.1f}",
            f"{users}",
        )
    )
print(aligned(lines))

# %% [markdown]
# ### The work of one token
#
# A matrix of $m \times n$ weights takes $m n$ multiply-accumulates (MACs) per vector, and a MAC is **two FLOPs**. By hand, for one layer with hidden size 2, one head of 2 numbers, a gated feed-forward block of width 4, and a vocabulary of 10 words: query, key, value and output are four matrices of 2 x 2, so 16 MACs.
# Gate, up and down are three of 2 x 4: 24 MACs. The output head has 10 rows of 2: 20 MACs. Then comes the look back: the query times each key, and each value times its score. With 5 tokens in sight that is 2 · 5 · 2 = 20 MACs. Together they are 80 MACs, or 160 FLOPs.
#
# The embedding is a table of 10 x 2 as well, but nothing is multiplied: one row is **looked up**. So the rule of thumb "two FLOPs per parameter" is wrong twice. It counts the look-up (unless the output head uses the same table), and it leaves out the look back.

# %% [markdown]
# ### Exercise 13.2 - The work of one token (10 min)


# %% name="ex-13-2" tags=["exercise"]
def decode_flops(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context):
    """FLOPs of one decoded token, in all matrix products.

    Each layer: query, key, value and output projections; the look back at `context` tokens, including the new one;
    a gated feed-forward block (three matrices of hidden x width). At the end, an output head with one row per word.
    """
    ### BEGIN SOLUTION
    projections = 2 * hidden * heads * head_dim + 2 * hidden * kv_heads * head_dim
    look_back = 2 * context * heads * head_dim
    macs_of_a_layer = projections + look_back + 3 * hidden * width
    return 2 * (layers * macs_of_a_layer + hidden * vocabulary)
    ### END SOLUTION


# %% tags=["check"]
check("13.2")

# %% [markdown]
# <details><summary>Hint 1: shapes</summary>
#
# All query heads together are heads * head_dim wide, all KV heads kv_heads * head_dim. Neither has to equal `hidden`.
# </details>
# <details><summary>Hint 2: who looks back</summary>
#
# Shared keys save memory, not arithmetic: each *query* head computes its own scores and its own weighted sum.
# </details>
# <details><summary>Hint 3: the order</summary>
#
# Count the MACs of one layer, multiply by the layers, add the output head. Twice that number is the FLOPs.
# </details>

# %% name="out-two-n"
counted = cost.count_parameters(LLAMA_8B)
print("Llama-3-8B, GFLOP per token")
print(f"two per parameter                 {2 * counted.total / 1e9:6.2f}")
print(f"two per parameter that multiplies {2 * counted.matmul / 1e9:6.2f}   (all but embedding and norms)")
for context in (1000, 8000, 128_000):
    done = cost.step(LLAMA_8B, H100, new_tokens=1, context=context - 1).flops
    print(f"with the look back at {context:>7,}     {done / 1e9:6.2f}")

# %% [markdown]
# > **Takeaway.** In a decode step all users share one fetch of the weights, but each user brings a cache that grows with every token.

# %% [markdown]
# ## 2 Seconds and dollars
#
# A device computes and fetches at the same time, so a step is done when the *slower* of the two is done:
#
# $$\text{seconds} = \max\left(\frac{\text{batch} \cdot \text{FLOPs}}{\text{peak}}, \; \frac{\text{weights} + \text{batch} \cdot \text{KV}}{\text{bandwidth}}\right).$$
#
# The formula takes one maximum over the whole step. The calculator takes one *per operator* and adds them up. By hand, with the formula: weights of 10 bytes; 1 byte of cache and 4 FLOPs per user; a device that does 4 FLOPs and fetches 2 bytes per second.
# For one user, arithmetic takes 1 s and fetching (10 + 1) / 2 = 5.5 s, so the step takes 5.5 s. For eight users they take 8 s and 9 s, so the step takes 9 s. That is eight tokens instead of one!

# %% [markdown]
# ### Exercise 13.3 - The time of one decode step (8 min)


# %% name="ex-13-3" tags=["exercise"]
def decode_step_seconds(
    weight_bytes, kv_bytes_per_sequence, flops_per_token, batch, peak_flops_per_s, bandwidth_bytes_per_s
):
    """Seconds of a step that gives each of `batch` sequences one more token, at the limits of the device.

    kv_bytes_per_sequence: the bytes that the attention of one sequence has to read.
    """
    ### BEGIN SOLUTION
    compute_s = batch * flops_per_token / peak_flops_per_s
    memory_s = (weight_bytes + batch * kv_bytes_per_sequence) / bandwidth_bytes_per_s
    return max(compute_s, memory_s)
    ### END SOLUTION


# %% tags=["check"]
check("13.3")

# %% [markdown]
# <details><summary>Hint 1: two times</summary>
#
# Write down how long the arithmetic takes, and how long the fetching takes. Which of them decides?
# </details>
# <details><summary>Hint 2: what is fetched how often</summary>
#
# All users share the weights, and one fetch serves them all. Nobody shares a cache.
# </details>

# %%
predict(
    "13.b",
    "Llama-3-8B on an H100, after 1000 tokens. How many times as long does a decode step for 64 users take as one for a single user?",
    unit="times",
)

# %%
predict(
    "13.c",
    "Llama-2-7B (multi-head), 4096 tokens per user, unlimited memory. From which batch size on does a decode step mostly wait for arithmetic?",
    choices=("from about 8", "from about 300", "never"),
)

# %%
BATCHES = (1, 4, 16, 64, 256, 1024)
SERVED = {
    "Llama-3-8B (GQA), 1000 tokens": (LLAMA_8B, 1000),
    "Llama-3-8B (GQA), 8000 tokens": (LLAMA_8B, 8000),
    "Llama-2-7B (MHA), 4096 tokens": (LLAMA_7B, 4096),
}
steps = {
    name: {
        batch: cost.step(model, H100, batch=batch, new_tokens=1, context=context, efficiency=ENGINE_2025)
        for batch in BATCHES
    }
    for name, (model, context) in SERVED.items()
}
grouped = steps["Llama-3-8B (GQA), 1000 tokens"]
reveal("13.b", round(grouped[64].seconds / grouped[1].seconds, 1))

# %%
endless = (
    cost.step(LLAMA_7B, H100, batch=2**power, new_tokens=1, context=4096, efficiency=IDEAL) for power in range(20)
)
first = next((2**power for power, step in enumerate(endless) if step.bound == "compute"), None)
reveal("13.c", "never" if first is None else "from about 8" if first < 50 else "from about 300")

# %% [markdown]
# The roofline shows both answers in one picture. To the left of the ridge a step waits for memory, to the right of it for arithmetic. A larger batch moves decode to the right, but how far?


# %% name="fig-roofline" tags=["hide-input"]
def draw_roofline():
    figure, axes = plt.subplots(figsize=(9, 4.2))
    peak, slope = H100.matmul_peak(16), H100.bandwidth_bytes_per_s
    roof = np.array([0.5, H100.ridge(16), 2000])
    axes.plot(roof, np.minimum(peak, slope * roof), color="black", linestyle="-", linewidth=1.5)
    for (name, by_batch), (colour, marker) in zip(steps.items(), (("blue", "o"), ("orange", "s"), ("vermillion", "D"))):
        points = [(step.intensity, step.flops / step.seconds) for step in by_batch.values()]
        look = {"color": COLOURS[colour], "marker": marker, "linestyle": ":", "linewidth": 1.5}
        axes.plot(*zip(*points), label=f"decode, {name}", **look)
        if marker == "o":
            for batch, point in zip(by_batch, points):
                place = {1024: (9, -4), 256: (-6, -19), 64: (4, -17)}.get(batch, (2, 8))
                axes.annotate(f"{batch}", point, place, textcoords="offset points", fontsize=13)
    look = {"color": COLOURS["green"], "markersize": 18, "linestyle": "none"}
    name = "prefill, Llama-3-8B, 1000 tokens"
    axes.plot(prefill.intensity, prefill.flops / prefill.seconds, "*", label=name, **look)
    axes.text(0.6, 1.25 * slope * 0.6, "memory", rotation=31, fontsize=13)
    axes.text(700, 1.12 * peak, "arithmetic", fontsize=13)
    axes.set(xscale="log", yscale="log", xlabel="FLOPs per byte moved", ylabel="FLOPs per second")
    axes.set(xlim=(0.5, 2000), ylim=(5e11, 2e15))
    axes.legend(fontsize=13, loc="lower right")
    return figure


show(
    draw_roofline(),
    alt="Roofline of an H100. Decode of one user is at the lower left. With the batch it moves to the right and upwards, for the model with many KV heads only a little; prefill is near the roof at the right.",
)

# %% name="out-batch" tags=["hide-input"]
lines = [("users", "8B, 1000", "FLOP/B", "8B, 8000", "FLOP/B", "7B MHA, 4096", "FLOP/B")]
for batch in BATCHES:
    cells = [(f"{of[batch].seconds * 1e3:.1f} ms", f"{of[batch].intensity:.0f}") for of in steps.values()]
    lines.append((f"{batch:,}", *(text for pair in cells for text in pair)))
print(aligned(lines))
print(f"\nthe ridge of an H100 is at {H100.ridge(16):.0f} FLOP/B")

# %% tags=["solution-only"]
from teach import claim

wide = cost.step(LLAMA_8B, H100, batch=1024, new_tokens=1, context=1000, efficiency=ENGINE_2025)
look_back = next(row for row in wide.rows if row.operator.name == "attention")
claim(
    "With 1,024 users the matrices of Llama-3-8B wait for arithmetic, and attention still waits for memory: 107 of 130 ms",
    None, None, 1e3 * look_back.seconds, 1e3 * wide.seconds,
    holds=look_back.bound == "memory" and next(row for row in wide.rows if row.operator.name == "qkv").bound == "compute",
)  # fmt: skip
one_token = cost.step(LLAMA_7B, H100, new_tokens=1, context=4096, efficiency=IDEAL)
claim(
    "15 GFLOP and 2.1 GB of cache per token, so at most 7.2 FLOPs per byte",
    one_token.flops / 1e9,
    cost.kv_cache_bytes(LLAMA_7B, 1, 4096) / 1e9,
    one_token.flops / cost.kv_cache_bytes(LLAMA_7B, 1, 4096),
)
claim(
    "A prefill of a thousand tokens takes 21 ms, and one decode step takes 5 ms",
    1e3 * prefill.seconds,
    1e3 * decode.seconds,
)

# %% [markdown]
# **A batch shares the weights, not the caches.** Each user brings FLOPs and bytes in a ratio that the batch does not change. The intensity of a decode step can approach this ratio but not exceed it. By hand, for Llama-2-7B after 4096 tokens: 15 GFLOP and 2.1 GB of cache per token, so at most 7.2 FLOPs per byte, far to the left of the ridge.
# With 1,024 users the matrices of Llama-3-8B wait for arithmetic, and attention still waits for memory: 107 of 130 ms. (With 1000 tokens each, their caches alone would not fit into an H100.) So "decode is memory-bound" is true of a single user. Whether a batch changes that depends on how many heads share a cache, and on how long the texts are. Fewer KV heads help, and so do fewer bits for the cache.
# A beginning that many prompts share can be kept once for all of them (PagedAttention, Kwon et al. 2023); whether it is also read only once depends on the kernel.
#
# A batch also has to fit. The memory holds the weights and, for each request, the cache of its prompt *and* of its whole answer. By hand: memory 100, weights 60, one byte of cache per token, 8 tokens in and 3 out. Then 40 / 11 = 3.6, so three requests fit.

# %% [markdown]
# ### Exercise 13.4 - The largest batch that fits (6 min)


# %% name="ex-13-4" tags=["exercise"]
def largest_batch(memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output):
    """How many requests fit into memory next to the weights, each with all its tokens. A whole number, 0 if none fits.

    prompt, output: the tokens per request that are read, and that are written.
    """
    ### BEGIN SOLUTION
    free_bytes = memory_bytes - weight_bytes
    return max(0, free_bytes // (cache_bytes_per_token * (prompt + output)))
    ### END SOLUTION


# %% tags=["check"]
check("13.4")

# %% [markdown]
# <details><summary>Hint 1: one request</summary>
#
# How many bytes does one request need when its last token is written?
# </details>
# <details><summary>Hint 2: the ends</summary>
#
# `//` rounds down. What does it return when not even the weights fit?
# </details>

# %% name="out-fit" tags=["hide-input"]
lines = [("requests that fit: 2048 tokens in, 512 out", "weights", "KV 16 bits", "KV 8 bits")]
for model, device, bits in (
    (LLAMA_7B, A100, 16),
    (LLAMA_8B, A100, 16),
    (LLAMA_8B, find_device("RTX-4090"), 16),
    (LLAMA_8B, find_device("RTX-4090"), 4.5),
    (LLAMA_70B, A100, 16),
    (LLAMA_70B, A100, 4.5),
):
    runs = [Workload(prompt=2048, output=512, weight_bits=bits, kv_bits=kv_bits) for kv_bits in (16, 8)]
    fits = [str(cost.largest_batch(model, device, run)) for run in runs]
    lines.append((f"{model}, {device}, {bits:g} bits", f"{cost.weight_bytes(model, bits) / GIB:.1f} GiB", *fits))
print(aligned(lines))

# %% [markdown]
# ### From seconds to dollars
#
# Suppose that you rent the devices by the hour. The more tokens they produce in that hour, the less each token has to pay. By hand: 3.60 USD per hour is 0.001 USD per second. At 1000 tokens per second, a token costs 0.000001 USD, and a million tokens cost one dollar.

# %% [markdown]
# ### Exercise 13.5 - From rent to price (5 min)


# %% name="ex-13-5" tags=["exercise"]
def usd_per_million(usd_per_hour_per_gpu, gpus, tokens_per_s):
    """The rent per million tokens. tokens_per_s: of all GPUs together."""
    ### BEGIN SOLUTION
    usd_per_s = usd_per_hour_per_gpu * gpus / 3600
    return 1e6 * usd_per_s / tokens_per_s
    ### END SOLUTION


# %% tags=["check"]
check("13.5")

# %% [markdown]
# <details><summary>Hint 1: units</summary>
#
# Dollars per second, divided by tokens per second, are dollars per token.
# </details>

# %% [markdown]
# Now put everything together: `estimate` takes a model, a device and a workload. **TTFT** is the time to the first token, which is the prefill if nobody waits in line. **TPOT** is the time per output token after that.

# %% name="out-estimate"
both = [cost.estimate(LLAMA_8B, H100, Workload(batch=batch, prompt=1024, output=256), ENGINE_2025) for batch in (1, 64)]
print(f"{both[0]}\n\n{both[1]}")
print(f"\nrent: {H100.usd_per_hour} USD per hour\n({H100.price_source})")

# %% [markdown]
# A step for 64 users takes 2.5 times as long as a step for one, and produces 64 times as many tokens. So an output token is 26 times cheaper. Note the line `extrapolates`: no measured row of this engine is of a single user or in 16 bits.

# %% tags=["solution-only"]
claim(
    "A step for 64 users takes 2.5 times as long as a step for one, and produces 64 times as many tokens",
    None, both[1].tpot_s / both[0].tpot_s, both[1].workload.batch / both[0].workload.batch,
)  # fmt: skip
claim(
    "an output token is 26 times cheaper", both[0].usd_per_million_output_tokens / both[1].usd_per_million_output_tokens
)

# %% [markdown]
# > **Takeaway.** A larger batch makes each token cheaper, because its users share one fetch of the weights, until arithmetic, the caches or the memory set the limit.

# %% [markdown]
# ## 3 Is the calculator right?
#
# Others have measured and published: NVIDIA for its engine TensorRT-LLM, PyTorch for gpt-fast, and a public collection of llama.cpp runs on many devices. Each row gives all that the calculator needs: model, device, bits, batch and lengths.
#
# First, learn to read such tables. Some count tokens per second **per GPU**, others count those of all GPUs **together**. And "throughput" is the rate of all users, not the rate that one of them sees. By hand: 100 tokens per second per GPU, and 2 GPUs that work on the same 20 requests. Together they produce 200 tokens per second. Each user gets 10 of these, and so waits 0.1 s per token.

# %% [markdown]
# ### Exercise 13.6 - What the table counts (5 min)


# %% name="ex-13-6" tags=["exercise"]
def total_and_tpot(tokens_per_s_per_gpu, tensor_parallel, batch):
    """The tokens per second of all GPUs together, and the seconds that one user waits per token.

    tensor_parallel: how many GPUs share the model, and so the batch. Returns (tokens per second, seconds per token).
    """
    ### BEGIN SOLUTION
    total = tokens_per_s_per_gpu * tensor_parallel
    return total, batch / total
    ### END SOLUTION


# %% tags=["check"]
check("13.6")

# %% [markdown]
# <details><summary>Hint 1: one step</summary>
#
# In one step each of `batch` users gets one token. How long does a step take, given the tokens per second of all GPUs?
# </details>

# %% [markdown]
# An engine does not reach the limits of its device. A few constants say how far it falls short, and these have to be **fitted**. If you fit on all rows and report the error on the same rows, you have measured nothing. So a hash of each configuration splits the rows into two halves: the constants may be fitted on one, and the other gives the error.
# One check needs no fit: at the limits of the device (all shares 1, all delays 0), the estimate must be *faster than every measurement*.

# %%
predict(
    "13.d",
    "Half of the rows were never seen by the fit. By how many percent is the calculator off on them, in the median?",
    unit="%",
)

# %%
calibration, held_out = published.halves(published.published_rows())
ENGINES = {engine.name: engine for engine in cost.ENGINES}
checked = {"held out": published.compare(held_out, ENGINES), "fitted": published.compare(calibration, ENGINES)}
every = [one for half in checked.values() for one in half]
reveal("13.d", round(100 * published.median_error(checked["held out"]), 1))


# %% name="fig-published" tags=["hide-input"]
KINDS = {
    "throughput": ("per token, whole service", "blue", "o"),
    "decode": ("per token, one user", "orange", "s"),
    "ttft": ("to the first token", "vermillion", "^"),
}


def draw_published(checks):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4), width_ratios=(1.15, 1))
    for kind, (name, colour, marker) in KINDS.items():
        ours = [one for one in checks if one.row.kind == kind]
        measured_s = [one.row.seconds for one in ours]
        look = {"color": COLOURS[colour], "markersize": 7, "alpha": 0.8, "linestyle": "none"}
        left.plot(measured_s, [one.predicted_s for one in ours], marker, label=name, **look)
        right.plot(measured_s, [one.predicted_s / one.row.seconds for one in ours], marker, **look)
        look = {"color": "#aaaaaa", "markersize": 4, "linestyle": "none"}
        name = "at the limits" if kind == "throughput" else None
        right.plot(measured_s, [one.ideal_s / one.row.seconds for one in ours], marker, label=name, **look)
    ends = [min(one.row.seconds for one in checks) / 1.5, max(one.row.seconds for one in checks) * 1.5]
    left.plot(ends, ends, color="black", linestyle="-", linewidth=1)
    right.axhline(1, color="black", linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="measured, in seconds", ylabel="calculated, in seconds")
    right.set(xscale="log", xlabel="measured, in seconds", ylabel="calculated / measured", ylim=(0, 1.9))
    left.legend(fontsize=13)
    right.legend(fontsize=13, loc="upper left")
    return figure


show(
    draw_published(checked["held out"]),
    alt="Calculated against measured seconds of the rows that were held out, on logarithmic axes: the points follow the diagonal over four orders of magnitude. On the right their ratio, around 1, and that at the limits of the device, always below 1.",
)

# %% name="out-errors" tags=["hide-input"]
GROUPS = {
    "all rows": lambda row: True,
    "throughput, one device": lambda row: row.kind == "throughput" and row.tensor_parallel == 1,
    "throughput, several devices": lambda row: row.kind == "throughput" and row.tensor_parallel > 1,
    "time to the first token": lambda row: row.kind == "ttft",
    "one user, gpt-fast": lambda row: row.engine == "gpt-fast 2023",
    "one user, llama.cpp, NVIDIA": lambda row: row.engine == "llama.cpp 2024",
    "one user, llama.cpp, Apple": lambda row: row.engine == "llama.cpp, Metal 2024",
}
lines = [("median of the absolute error", "held out", "rows", "fitted", "rows")]
for name, where in GROUPS.items():
    cells = (
        text
        for half in checked.values()
        for text in (f"{published.median_error(half, where):.1%}", f"{sum(where(one.row) for one in half)}")
    )
    lines.append((name, *cells))
print(aligned(lines))
over_ideal = [one.row.seconds / one.ideal_s for one in every]
print(f"\nslower than the limits of the device: {sum(times >= 1 for times in over_ideal)} of {len(every)} rows")
print(f"measured / ideal: {min(over_ideal):.2f} to {max(over_ideal):.1f}, median {median(over_ideal):.2f}")

# %% [markdown]
# Where is the calculator wrong? Here are the worst rows of each kind of run.

# %% name="out-worst" tags=["hide-input"]
lines = [("off by", "measured", "calculated", "run")]
seen = set()
for one in sorted(every, key=lambda one: -abs(one.error)):
    row = one.row
    if (row.kind, row.model, row.device) in seen or len(seen) == 6:
        continue  # the worst row of each kind of run
    seen.add((row.kind, row.model, row.device))
    run = f"{row.kind}, {row.model}, {row.tensor_parallel} x {row.device}"
    lines.append((f"{one.error:+.0%}", f"{row.seconds * 1e3:.3g} ms", f"{one.predicted_s * 1e3:.3g} ms", run))
print(aligned(lines, left=(3,)))

# %% [markdown]
# Two kinds of runs stand out, and the causes were not tested. For Llama-3-70B in four bits on Apple chips, the calculator assumes the same number of operations per unpacked weight on all of these chips. For large models over four or eight H100s, it knows one way to exchange results between the devices and one delay per hop; an engine may choose among several ways.
#
# ### Engines have dates
#
# All of these rows are from 2023 and the spring of 2024. Here are two tables from later years, split by the same hash. In one, TensorRT-LLM of 2025 serves large models, with all requests in the queue from the start. The other collects decode speeds of a single user, from 2024 to 2026, by five engines on graphics cards, servers and Macs.
# With **in-flight batching** the next request enters as soon as another is done, so no formula for one batch predicts these rows. The simulator of section 5 does. This takes about 9 seconds.

# %%
predict(
    "13.j",
    "Constants fitted on rows of 2023 predict rows of 2025 under full load. By how many percent is the calculated time off, in the median?",
    unit="%",
)


# %% name="out-newer"
NEWER = {"queued, 2025": published.queued_rows_2025(), "one user, 2024 to 2026": published.decode_rows_2025()}
BEFORE = {"TensorRT-LLM 2025": ENGINE_2023, "llama.cpp, Metal 2025": cost.find_engine("llama.cpp, Metal 2024")}
older = {engine.name: BEFORE.get(engine.name, cost.find_engine("llama.cpp 2024")) for engine in GENERATION_2025}


def errors(rows, engines):
    """The relative error of each row, with the constants of the engine of that name."""
    return {row: abs(published.predicted_s(row, engines[row.engine]) / row.seconds - 1) for row in tqdm(rows)}


split = {name: published.halves(rows) for name, rows in NEWER.items()}
newer = {}
for name, (_, unseen) in split.items():
    newer[name] = [one for row in tqdm(unseen) for one in published.compare([row], ENGINES)]
old_errors = {name: errors(unseen, older) for name, (_, unseen) in split.items()}
fitted_errors = {name: errors(fitted, ENGINES) for name, (fitted, _) in split.items()}
old_error = {name: median(by_row.values()) for name, by_row in old_errors.items()}
reveal("13.j", round(100 * old_error["queued, 2025"]))

# %% name="out-dates" tags=["hide-input"]
lines = [("median error, held out", "rows", "older engine", "its error", "of 2025", "(fitted half)")]
for table, checks in newer.items():
    engines = sorted({one.row.engine for one in checks})
    for engine in (None, *engines) if len(engines) > 1 else engines:
        ours = [one for one in checks if engine in (None, one.row.engine)]
        before = median(old_errors[table][one.row] for one in ours)
        fitted = median(error for row, error in fitted_errors[table].items() if engine in (None, row.engine))
        called = ("all of one user", "") if engine is None else (engine, older[engine].name)
        cells = (f"{before:.1%}", f"{published.median_error(ours):.1%}", f"{fitted:.1%}")
        lines.append((called[0], f"{len(ours)}", called[1], *cells))
print(aligned(lines))
bounded = sum(one.row.seconds >= one.ideal_s for checks in newer.values() for one in checks)
print(f"\nslower than the limits of the device: {bounded} of {sum(map(len, newer.values()))} rows")

# %% name="out-far" tags=["hide-input"]
lines = [("off by", "engine", "run")]
for checks in newer.values():
    for one in sorted(checks, key=lambda one: -abs(one.error))[:3]:
        row = one.row
        lengths = f"{row.prompt} in, {row.output} out" if row.kind == "queued" else f"after {row.prompt} tokens"
        run = f"{row.model}, {row.tensor_parallel} x {row.device}, {lengths}"
        lines.append((f"{one.error:+.0%}", row.engine, run))
print(aligned(lines, left=(1, 2)))

# %% tags=["solution-only"]
one_user = "one user, 2024 to 2026"
metal = [one for one in newer[one_user] if one.row.engine == "llama.cpp, Metal 2025"]
metal_before = [old_errors[one_user][one.row] for one in metal]
metal_fitted = [error for row, error in fitted_errors[one_user].items() if row.engine == "llama.cpp, Metal 2025"]
as_before = [one for one in newer["queued, 2025"] if (one.row.device, one.row.weight_bits) == (H100.name, 8)]
claim(
    "on the 7 rows of an H100 in 8 bits, a device and a width that the rows of 2023 had too, the older constants are off by 95% and the later ones by 9% (medians)",
    len(as_before),
    None,
    None,
    100 * median(old_errors["queued, 2025"][one.row] for one in as_before),
    100 * published.median_error(as_before),
)

# %% [markdown]
# The limits hold: every row is still slower than the limits of the device. The constants of 2023 do not. These rows come from another engine, and many also from newer devices, fewer bits, and mixtures of experts. But that is not the whole reason: on the 7 rows of an H100 in 8 bits, a device and a width that the rows of 2023 had too, the older constants are off by 95% and the later ones by 9% (medians).
# So here an engine has a name *and a year*, `ENGINE_2023` or `ENGINE_2025`. Every calculated price in this lesson uses the later one unless it says 2023. And a split within tables of one year shows how well the constants describe that year; it is no forecast for the next.
#
# The new constants do not win everywhere. On Macs under Metal, the engine of 2024 predicts the 12 held-out rows better than the later one (14.4% compared with 18.0%), although the median error of the later one is 4.3% on the half that it was fitted on. Under full load, the rows furthest off are mixtures of experts, in both directions: the calculator has one constant for the products of all experts, however many tokens each expert gets. The worst rows of a single user are unexplained.
#
# What does in-flight batching gain? Take one row and compute it both ways: with answers of equal length, as in the table, and with lengths from 1 to twice the mean.

# %% name="out-inflight" tags=["hide-input"]
one = next(one for one in newer["queued, 2025"] if one.row.model == "LLaMA-3.1-405B")
row, model, device = one.row, find_model(one.row.model), find_device(one.row.device)
run = Workload(
    prompt=row.prompt, output=row.output, weight_bits=row.weight_bits, kv_bits=row.kv_bits,
    compute_bits=row.compute_bits, tensor_parallel=row.tensor_parallel,
)  # fmt: skip
flying = serving.full_load(model, device, run, ENGINE_2025)
static = cost.estimate(model, device, replace(run, batch=flying.batch), ENGINE_2025)
size = flying.batch // 2  # so that the longest answers find room in any case
lengths = np.random.default_rng(0).integers(1, 2 * row.output, (4, size), endpoint=True)
static_s = sum(
    cost.estimate(model, device, replace(run, batch=size, output=int(group.max())), ENGINE_2025).total_s
    for group in lengths
)
unequal = serving.simulate(
    [serving.Request(0.0, row.prompt, int(length)) for length in lengths.flat],
    serving.calculator_timing(model, device, run, ENGINE_2025),
    kv_tokens=serving.kv_room_tokens(model, device, run),
    max_batch=size,
    prefill="chunked",
    chunk_tokens=8192,
)
print(f"{model}, {row.tensor_parallel} x {device}, {row.prompt} tokens in; tokens per second\n")
lines = [("", "one batch after another", "in flight, simulated", "published")]
equal = (f"{static.tokens_per_s:,.0f}", f"{flying.tokens_per_s:,.0f}", f"{1 / row.seconds:,.0f}")
lines.append((f"{flying.batch} at a time, {row.output} out each", *equal))
mixed = (f"{lengths.sum() / static_s:,.0f}", f"{lengths.sum() / unequal.finish_s.max():,.0f}", "")
lines.append((f"{size} at a time, 1 to {2 * row.output} out", *mixed))
print(aligned(lines))

# %% [markdown]
# With equal lengths there is nothing to gain: if all requests wait from the start, a batch that starts together also ends together. With unequal lengths, a static batch waits for its longest answer, and in-flight batching gives 1.9 times as many tokens per second.

# %% tags=["solution-only"]
claim("With equal lengths there is nothing to gain", holds=abs(flying.tokens_per_s / static.tokens_per_s - 1) < 0.01)
claim(
    "in-flight batching gives 1.9 times as many tokens per second",
    (lengths.sum() / unequal.finish_s.max()) / (lengths.sum() / static_s),
    within=0.05,
)
claim("14.4% compared with 18.0%", 100 * median(metal_before), 100 * published.median_error(metal))
claim("the median error of the later one is 4.3% on the half", 100 * median(metal_fitted))
claim("every row is still slower than the limits of the device", holds=bounded == sum(map(len, newer.values())))
claim("On the other half the median error is 9.6%", 100 * published.median_error(checked["held out"]), page="README.md")
claim(
    "for those of 2025 it is 6.8% under full load (simulated, 42 rows) and 11.6% for a single user (2024 to 2026, 63 rows); on these two groups the older engines would be off by 70% and 15%",
    None, 100 * published.median_error(newer["queued, 2025"]), len(newer["queued, 2025"]),
    100 * published.median_error(newer["one user, 2024 to 2026"]), None, None, len(newer["one user, 2024 to 2026"]),
    100 * old_error["queued, 2025"], 100 * old_error["one user, 2024 to 2026"],
    page="README.md",
)  # fmt: skip
claim("(14% against 18%)", 100 * median(metal_before), 100 * published.median_error(metal), page="README.md")

# %% [markdown]
# ### This machine
#
# Two limits describe a device, and you measured both in lesson 01. Here the model is a small one, SmolLM2-135M, in 32 bits. You run only its *skeleton*, which the folded cell builds: all matrix products of one token, in their true shapes and with random weights, but no attention and no text. This takes about 6 seconds.


# %% tags=["hide-input"]
class Skeleton(torch.nn.Module):
    """The matrix products of one token, layer by layer, as `architecture` has them."""

    def __init__(self, architecture):
        super().__init__()
        heads, hidden, width = architecture.attention, architecture.hidden, architecture.feed_forward.width
        self.queries = heads.heads * heads.head_dim
        shapes = {
            "qkv": (hidden, self.queries + 2 * heads.kv_heads * heads.head_dim),
            "attention_out": (self.queries, hidden),
            "gate_and_up": (hidden, 2 * width),
            "down": (width, hidden),
        }
        self.layers = torch.nn.ModuleList(
            torch.nn.ModuleDict({name: torch.nn.Linear(*shape, bias=False) for name, shape in shapes.items()})
            for _ in range(architecture.layers)
        )
        self.head = torch.nn.Linear(hidden, architecture.vocabulary, bias=False)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer["attention_out"](layer["qkv"](x)[..., : self.queries])
            gate, up = layer["gate_and_up"](x).chunk(2, dim=-1)
            x = x + layer["down"](torch.nn.functional.silu(gate) * up)
        return self.head(x)


# %% name="out-machine"
machine = roofline.measure_machine()
here = cost.measured_device(machine.peak_flops_per_s, machine.bandwidth_bytes_per_s, 8 * GIB)
SMALL = find_model("SmolLM2-135M")
torch.manual_seed(0)
skeleton = Skeleton(SMALL).eval()
print(f"this machine: {machine}")
inputs = {batch: torch.randn(batch, SMALL.hidden) for batch in (1, 4, 16, 64)}
print(
    f"{measure.macs(skeleton, inputs[1]):,} MACs per token, {cost.count_parameters(SMALL).matmul:,} in the calculator"
)
step_times = {}
with torch.inference_mode():
    for batch, x in tqdm(inputs.items()):
        step_times[batch] = measure.latency(lambda: skeleton(x), repeats=5, warmup=1)

# %% name="out-steps" tags=["hide-input"]
lines = [("batch", "at best", "measured", "tokens/s at best", "tokens/s measured")]
for batch, latency in step_times.items():
    best = cost.step(SMALL, here, batch=batch, new_tokens=1, weight_bits=32, efficiency=IDEAL)
    rates = (f"{batch / best.seconds:.0f}", f"{batch / latency.median_s:.0f}")
    lines.append((f"{batch}", f"{best.seconds * 1e3:.0f} ms, {best.bound}", f"{latency}", *rates))
print(aligned(lines))

# %% [markdown]
# A batch pays off here too: sixteen tokens take far less than sixteen times as long as one. But four already take longer than one, where the bound hardly moves. Why the measured times are so far above the bound was not tested. The bound itself is an estimate from two measurements, and its bandwidth is that of reading *and* writing, while the model only reads.

# %% tags=["solution-only"]
times_16, times_4 = (step_times[users].median_s / step_times[1].median_s for users in (16, 4))
claim("sixteen tokens take far less than sixteen times as long as one", holds=times_16 < 10)
claim("four already take longer than one", holds=times_4 > 1.1)

# %% [markdown]
# > **Takeaway.** A model of a machine is worth as much as its error on rows that it has not seen, and its constants belong to one engine and one year.

# %% [markdown]
# ## 4 What makes it cheaper
#
# ### Reading and writing have two prices
#
# Most sellers ask more for tokens that are written. In the calculator these tokens also cost more to make: the prompt is read at once, limited by arithmetic; the answer is written one token per step, limited by memory. How much more they cost depends on the batch.

# %%
history = prices.history()
by_users = {
    users: cost.estimate(LLAMA_8B, H100, Workload(batch=users, prompt=1024, output=256), ENGINE_2025)
    for users in (1, 4, 16, 64, 256)
}
ratios = [price.usd_per_million_output_tokens / price.usd_per_million_input_tokens for price in history]

# %% name="out-asymmetry" tags=["hide-input"]
print("Llama-3-8B, H100, 1024 in, 256 out: USD per million, tokens/s per user")
lines = [("users", "in", "out", "out / in", "tokens/s")]
for users, found in by_users.items():
    usd_in, usd_out = found.usd_per_million_input_tokens, found.usd_per_million_output_tokens
    speed = f"{found.tokens_per_s_per_user:.0f}"
    lines.append((f"{users}", f"{usd_in:.4f}", f"{usd_out:.3f}", f"{usd_out / usd_in:.0f}", speed))
print(aligned(lines))
print(
    f"\nprice lists since 2023: out / in is {median(ratios):.1f} in the median, {np.percentile(ratios, 90):.0f} or more in one of ten,"
)
print(f"and {ratios.count(1)} of {len(ratios)} rows have one price for both")

# %% [markdown]
# The last column is the other side of the bargain: on one machine, cheap tokens are slow tokens. And 22 of 158 rows of the price lists, all of open models but one, have the same price in both directions: a list price is a decision, not a cost.

# %% tags=["solution-only"]
same_price = [price for price, ratio in zip(history, ratios) if ratio == 1]
claim("22 of 158 rows of the price lists", len(same_price), len(history))
claim("In 22 of 158 rows it is 1", len(same_price), len(history), None, page="slides/13_llm_cost.md")
claim(
    "all of open models but one",
    holds=[price.model for price in same_price if not price.model.startswith(("llama", "mixtral", "open-", "deepseek"))]
    == ["gpt-3.5-turbo"],
)
claim(
    "Most sellers ask more for tokens that are written", holds=min(ratios) == 1 and len(same_price) < len(history) / 2
)

# %% [markdown]
# To compare two sellers by one number, you need a **mix**: how many tokens are read per token that is written. By hand: 1 USD per million in, 5 USD per million out, three tokens read per token written. Four tokens cost 3 · 1 + 5 = 8 millionths of a dollar, so a million tokens of the mix cost 2 USD.

# %% [markdown]
# ### Exercise 13.7 - One price for a mix (5 min)


# %% name="ex-13-7" tags=["exercise"]
def blended_usd(price_in, price_out, tokens_in, tokens_out):
    """USD per million tokens of the mix.

    price_in, price_out: USD per million tokens. In the mix, tokens_out are written whenever tokens_in are read.
    """
    ### BEGIN SOLUTION
    bill = price_in * tokens_in + price_out * tokens_out
    return bill / (tokens_in + tokens_out)
    ### END SOLUTION


# %% tags=["check"]
check("13.7")

# %% [markdown]
# <details><summary>Hint 1: a bill</summary>
#
# What would you pay for tokens_in and tokens_out tokens? And how many tokens is that?
# </details>

# %% [markdown]
# ### More devices
#
# In **tensor parallelism**, each device holds a part of every matrix. All devices fetch at once, so a step gets shorter. But twice per layer they have to add up their results.

# %%
predict(
    "13.e",
    "Llama-2-7B for a single user, on eight A100s instead of one (gpt-fast, published). How many times as fast is it?",
    unit="times",
)

# %%
gpt_fast = [one for one in every if one.row.engine == "gpt-fast 2023" and one.row.model == "LLaMA-2-7B"]
scaling = {one.row.tensor_parallel: one for one in gpt_fast if one.row.weight_bits == 16}
reveal("13.e", round(scaling[1].row.seconds / scaling[8].row.seconds, 1))


# %% name="fig-parallel" tags=["hide-input"]
def draw_parallel(rows):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.7))
    devices = sorted(rows)
    for source, colour, marker in (("measured", "blue", "o"), ("calculated", "orange", "s")):
        seconds = {n: rows[n].row.seconds if source == "measured" else rows[n].predicted_s for n in devices}
        look = {"color": COLOURS[colour], "linestyle": "-" if source == "measured" else "--"}
        left.plot(devices, [seconds[1] / seconds[n] for n in devices], marker=marker, label=source, **look)
    left.plot(devices, devices, color="black", linestyle=":", linewidth=1.5, label="in proportion")
    left.set(xlabel="devices", ylabel="times as fast", xticks=devices)
    left.legend(fontsize=13)
    parts = {
        "memory": ("fetching", "blue", ""),
        "overhead": ("starting kernels", "orange", "//"),
        "link": ("exchanging", "vermillion", ".."),
    }
    device, run = find_device(rows[1].row.device), {"new_tokens": 1, "efficiency": GPT_FAST_2023}
    shares = [
        cost.step(LLAMA_7B, device, context=rows[n].row.prompt, tensor_parallel=n, **run).shares_s for n in devices
    ]
    below = np.zeros(len(devices))
    for bound, (name, colour, hatch) in parts.items():
        heights = np.array([1e3 * share.get(bound, 0) for share in shares])
        look = {"color": COLOURS[colour], "hatch": hatch, "edgecolor": "white", "label": name}
        right.bar([str(n) for n in devices], heights, bottom=below, **look)
        below += heights
    right.set(xlabel="devices", ylabel="ms per token, calculated", ylim=(0, 1.15 * max(below)))
    right.legend(fontsize=13)
    return figure


show(
    draw_parallel(scaling),
    alt="On the left how many times as fast Llama-2-7B gets with one to eight devices, measured and calculated, far below the proportional line. On the right the calculated milliseconds: fetching shrinks, the start of kernels stays.",
)

# %% [markdown]
# In the calculator, the devices divide the time for fetching among them. The time for starting kernels stays, and the exchange comes on top (it is too little to be seen: for this engine its delay is set to 0). So for one user, more devices make the wait shorter and each token more expensive: eight rents for 3.1 times the speed.
#
# In one case more devices make each *token* cheaper. Where the weights leave little room for caches, a second device makes room for a batch that is far more than twice as large. Here is Llama-3-70B in 8 bits, 800 tokens in, 200 out, each time with as many requests as fit:

# %%
crowded = {}
for devices in (1, 2, 4, 8):
    run = Workload(prompt=800, output=200, weight_bits=8, kv_bits=8, compute_bits=8, tensor_parallel=devices)
    run = replace(run, batch=cost.largest_batch(LLAMA_70B, H100, run))
    crowded[devices] = cost.estimate(LLAMA_70B, H100, run, ENGINE_2025)

# %% name="out-crowded" tags=["hide-input"]
lines = [("H100s", "requests", "ms per token", "USD per million, out")]
for devices, found in crowded.items():
    usd_out = f"{found.usd_per_million_output_tokens:.3f}"
    lines.append((f"{devices}", f"{found.workload.batch:,}", f"{1e3 * found.tpot_s:.0f}", usd_out))
print(aligned(lines))

# %% tags=["solution-only"]
claim("eight rents for 3.1 times the speed", scaling[1].row.seconds / scaling[8].row.seconds)
full_usd = {devices: found.usd_per_million_output_tokens for devices, found in crowded.items()}
claim(
    "a second device makes room for a batch that is far more than twice as large",
    holds=crowded[2].workload.batch > 4 * crowded[1].workload.batch and full_usd[2] < full_usd[1],
)
claim("The second device makes a token 43% cheaper", 100 * (1 - full_usd[2] / full_usd[1]))
claim("with more of them each token gets more expensive again", holds=full_usd[2] < full_usd[4] < full_usd[8])

# %% [markdown]
# The second device makes a token 43% cheaper; with more of them each token gets more expensive again.
#
# ### Fewer bits: of what?
#
# Weights in fewer bits shrink the part of a step that the users share. A cache in fewer bits shrinks the part that each user adds. Which part is larger?

# %%
FORMATS = {
    "16 bits": {},
    "weights 4.5": {"weight_bits": 4.5},
    "KV cache 8": {"kv_bits": 8},
    "both": {"weight_bits": 4.5, "kv_bits": 8},
}
formats_s = {}
for users, context in ((1, 512), (1, 32768), (16, 512), (16, 8192), (16, 32768), (512, 128)):
    one_step = {"batch": users, "new_tokens": 1, "context": context, "efficiency": ENGINE_2025}
    formats_s[users, context] = [cost.step(LLAMA_8B, H100, **one_step, **bits).seconds for bits in FORMATS.values()]

# %% name="out-bits" tags=["hide-input"]
lines = [("ms per step, 8B, H100", *FORMATS)]
for (users, context), times_s in formats_s.items():
    lines.append((f"{users} x {context:,} tokens", *(f"{1e3 * seconds:.1f}" for seconds in times_s)))
print(aligned(lines))

# %% [markdown]
# Fewer bytes to fetch mean less time, but only where bytes are the limit, and only in the part that is large. In the last row, 512 users with short texts, the matrices wait for arithmetic, and there is no less of it when weights in fewer bits are unpacked before they are multiplied. The caches still wait for memory.
#
# ### A part of the weights
#
# In a **mixture of experts**, each token passes through a few of many feed-forward blocks. Qwen3-30B-A3B chooses 8 of 128 for each token, which cuts the FLOPs per token whatever the batch. But the tokens of a batch choose differently, and every block that one of them chooses has to be fetched:

# %%
MIXTURE = find_model("Qwen3-30B-A3B")
of_all = cost.count_parameters(MIXTURE)
fetched, gflop = {}, {}
for users in (1, 4, 16, 64, 256):
    rows = cost.step(MIXTURE, H100, batch=users, new_tokens=1, context=1000, efficiency=IDEAL).rows
    fetched[users] = sum(row.operator.weights for row in rows if row.operator.role is cost.Role.EXPERT)
    gflop[users] = sum(row.operator.flops for row in rows) / users / 1e9

# %% name="out-experts" tags=["hide-input"]
print(f"{of_all.matmul / 1e9:.1f} billion weights that multiply, {of_all.matmul_active / 1e9:.1f} billion per token\n")
lines = [("users", "GFLOP per token", "GB of experts fetched", "of all experts")]
for users, weights in fetched.items():
    share = f"{weights / of_all.feed_forward:.0%}"
    lines.append((f"{users}", f"{gflop[users]:.1f}", f"{2 * weights / 1e9:.1f}", share))
print(aligned(lines))

# %% tags=["solution-only"]
claim(
    "With 64 users, 98% of all experts are fetched, for about a tenth of the arithmetic",
    None,
    100 * fetched[64] / of_all.feed_forward,
    holds=0.08 < of_all.matmul_active / of_all.matmul < 0.12,
)
claim("A single user fetches 6% of the experts", 100 * fetched[1] / of_all.feed_forward)

# %% [markdown]
# A single user fetches 6% of the experts. With 64 users, 98% of all experts are fetched, for about a tenth of the arithmetic. The calculator assumes that tokens choose evenly and independently; where they prefer some experts, fewer are fetched. Such a model needs a large batch before its matrices wait for arithmetic, and memory for all of its weights.
#
# ### A draft model
#
# When decode for a few users waits for memory, the arithmetic units are idle. **Speculative decoding** puts them to work: a small model proposes a few tokens, one after another, and the large one checks them all *in one step*, like a short prompt. It keeps every proposal before the first wrong one, and adds a token of its own. With greedy choice the text stays the same, and with sampling a rule of acceptance keeps its distribution (Leviathan et al. 2023).
#
# If each proposal holds with probability $a$, whatever came before it, then a step with $k$ proposals yields
#
# $$1 + a + a^2 + \dots + a^k$$
#
# tokens on average. By hand: two proposals, each right half of the time, give 1 + 0.5 + 0.25 = 1.75.

# %%
predict(
    "13.f",
    "Llama-3-70B on four A100s, 256 users at once, a draft model of one billion weights, 4 proposals per step of which 60% hold. Is it faster?",
    choices=("faster, as for one user", "faster, but less than for one user", "slower than without a draft"),
)


# %%
DRAFT = find_model("LLaMA-3.2-1B")


def draft_gain(users, acceptance):
    """How many times as fast each token comes with a draft."""
    plain = Workload(batch=users, prompt=512, output=128, tensor_parallel=4)
    drafted = replace(plain, draft=Draft(DRAFT, tokens=4, acceptance=acceptance))
    without, with_draft = (cost.estimate(LLAMA_70B, A100, workload, ENGINE_2025) for workload in (plain, drafted))
    return without.tpot_s / with_draft.tpot_s


answers = ("slower than without a draft", "faster, but less than for one user", "faster, as for one user")
alone, many = draft_gain(1, 0.6), draft_gain(256, 0.6)
reveal("13.f", answers[0 if many < 1 else 1 if many < 0.9 * alone else 2])


# %% name="fig-draft" tags=["hide-input"]
def draw_draft():
    figure, axes = plt.subplots(figsize=(8, 3.6))
    looks = {0.8: ("blue", "o", "-"), 0.6: ("orange", "s", "--"), 0.4: ("vermillion", "D", "-.")}
    users = (1, 4, 16, 64, 128, 256, 512)
    for acceptance, (colour, marker, line) in looks.items():
        look = {"color": COLOURS[colour], "marker": marker, "linestyle": line}
        gains = [draft_gain(batch, acceptance) for batch in users]
        axes.plot(users, gains, label=f"{acceptance:.0%} of the proposals hold", **look)
    axes.axhline(1, color="black", linewidth=1.5)
    axes.set(xscale="log", xlabel="users at once", ylabel="times as fast as without", ylim=(0, None))
    axes.set_xticks(users, [str(batch) for batch in users])
    axes.minorticks_off()
    axes.legend(fontsize=13)
    return figure


show(
    draw_draft(),
    alt="Gain of speculative decoding over the number of users, for three rates of acceptance. For a few users it is above 1; it falls with the batch, and below 1 for many users.",
)

# %% [markdown]
# The check takes five times the arithmetic of one token. For one user that arithmetic was idle. In a large batch of short texts it was not. With long contexts even a large batch waits for its caches and has arithmetic left; then the draft's own cache, read for each proposal, decides (*MagicDec*, Sadhukhan et al. 2025).
# **A draft buys speed with arithmetic that is left over.** All of this is calculated: no row of this engine has a draft, and none is of an A100 or computes in 16 bits.

# %% tags=["solution-only"]
short, long = (
    cost.step(LLAMA_70B, A100, batch=256, new_tokens=1, context=tokens, tensor_parallel=4, efficiency=ENGINE_2025)
    for tokens in (512, 8000)
)
claim(
    "With long contexts even a large batch waits for its caches and has arithmetic left",
    holds=long.bound == "memory" and long.shares_s["memory"] > 5 * long.shares_s["compute"],
)
claim("In a large batch of short texts it was not", holds=short.shares_s["compute"] > short.shares_s["memory"] / 2)
claim(
    "no row of this engine has a draft",
    holds="no row with a draft" in ENGINE_2025.beyond(A100, Workload(draft=Draft(DRAFT, tokens=4, acceptance=0.6))),
)
claim("slower than without a draft", holds=draft_gain(256, 0.6) < 1 < draft_gain(1, 0.6))

# %% [markdown]
# ### Try it
#
# Change the model, the device, the lengths and the bits. Watch what each step waits for, what fits into memory, and how much it costs. The panel starts inside the range of the engine's measured rows; outside it, the panel says that it extrapolates.

# %% name="out-calculator" tags=["widget"]
calculator(
    model="LLaMA-3-8B",
    device="H100-SXM-80GB",
    weights="8 bits, computed in 8",
    kv_bits=8,
    batch=32,
    prompt=512,
    output=128,
)

# %% [markdown]
# > **Takeaway.** Fewer bits, more devices, experts and drafts each relieve one limit, and they pay off only where a step waits at that limit.

# %% [markdown]
# ## 5 A service under load
#
# In a service, requests come when people ask, and the batch is whoever is there at that moment. How long do you wait?
#
# ### Waiting in line
#
# Begin with the simplest queue: one request at a time, each takes $s$ seconds, and they arrive at random, $\lambda$ per second on average. The server is busy for the share $\rho = \lambda s$ of the time, its **load**. The mean wait before it is your turn is
#
# $$\text{wait} = \frac{\rho \, s}{2 (1 - \rho)}.$$
#
# By hand: with $s = 2$ s and $\lambda = 0.25$ per second the load is 0.5, and the wait is 0.5 · 2 / (2 · 0.5) = 1 s. Nobody would wait if requests came evenly spaced: it is chance that makes the line.

# %% [markdown]
# ### Exercise 13.8 - Waiting in line (8 min)


# %% name="ex-13-8" tags=["exercise"]
def mean_wait_seconds(service_s, arrivals_per_s):
    """The mean wait before a request is served; float("inf") if the line grows without end.

    service_s: the seconds that each request takes, always the same. arrivals_per_s: requests per second, at random
    moments.
    """
    ### BEGIN SOLUTION
    load = arrivals_per_s * service_s
    if load >= 1:
        return float("inf")
    return load * service_s / (2 * (1 - load))
    ### END SOLUTION


# %% tags=["check"]
check("13.8")

# %% [markdown]
# <details><summary>Hint 1: too much</summary>
#
# What happens to the line when more requests come than can be served? The formula alone would give a negative wait.
# </details>

# %% [markdown]
# Now compare the formula with a simulator, which moves from event to event and knows nothing of it. It serves prompts of 1024 tokens with an answer of one token each, one request after another.

# %%
EIGHT = serving.calculator_timing(LLAMA_8B, H100, Workload(prompt=512, output=128), ENGINE_2025)
ROOM = serving.kv_room_tokens(LLAMA_8B, H100, Workload())
service_s = EIGHT.prefill_s(1024, 0)
queues = {}
for load in tqdm((0.3, 0.5, 0.7, 0.8, 0.9, 0.95)):
    requests = serving.poisson_arrivals(load / service_s, 25_000, prompt=1024, output=1, seed=0)
    queues[load] = serving.simulate(requests, EIGHT, kv_tokens=ROOM, max_batch=1)

# %% name="out-queue" tags=["hide-input"]
print(f"a prompt takes {1e3 * service_s:.1f} ms; room for {ROOM:,} tokens of KV cache\n")
lines = [("load", "wait by the formula", "simulated, 25,000 requests")]
for load, queue in queues.items():
    waits_s = (serving.md1_wait_s(service_s, load), queue.wait_s.mean())
    lines.append((f"{load:.0%}", *(f"{1e3 * wait_s:.1f} ms" for wait_s in waits_s)))
print(aligned(lines))

# %% [markdown]
# The two agree, but less well where the line is long: there, requests close in time wait about equally long, so many requests tell little more than a few. From half load to 90%, the wait becomes nine times as long. So where people wait, devices cannot be busy all the time, unless other work may wait; and idle hours cost rent, too.

# %% tags=["solution-only"]
claim(
    "From half load to 90%, the wait becomes nine times as long",
    None,
    holds=abs(serving.md1_wait_s(service_s, 0.9) / serving.md1_wait_s(service_s, 0.5) - 9) < 1e-9,
)
other = serving.simulate(
    serving.poisson_arrivals(0.5 / service_s, 25_000, prompt=1024, output=1, seed=1), EIGHT, kv_tokens=ROOM, max_batch=1
)
claim("The two agree", holds=abs(other.wait_s.mean() / serving.md1_wait_s(service_s, 0.5) - 1) < 0.05)

# %% [markdown]
# ### A batch that changes with every step
#
# In **continuous batching**, finished requests leave after *each step*, and waiting requests enter if the cache has room for them. Here are fifty thousand requests of random lengths: many short ones and a few long ones.

# %%
PROMPTS = serving.lognormal_lengths(median=512, spread=2, most=4096)
OUTPUTS = serving.lognormal_lengths(median=128, spread=2, most=1024)


def requests_at(rate_per_s, count=1500):
    """Requests that come at random, so many per second on average."""
    return serving.poisson_arrivals(rate_per_s, count, PROMPTS, OUTPUTS, seed=0)


requests = requests_at(16, 50_000)
served = serving.simulate(requests, EIGHT, kv_tokens=ROOM)

# %% name="out-service" tags=["hide-input"]
print(f"{len(requests):,} requests, {served.output.sum():,} tokens, {served.totals.decode_steps:,} steps")
print(f"{served.duration_s / 3600:.1f} hours of service\n")
lines = [("within, in ms", "half of the users", "99 of 100")]
for times, name in (("ttft_s", "the first token"), ("tpot_s", "each further token"), ("latency_s", "the last token")):
    lines.append((name, *(f"{1e3 * served.percentile(times, percent):,.1f}" for percent in (50, 99))))
print(aligned(lines))
print(f"\n{served.mean_batch:.1f} users per step, {served.kv_occupancy:.0%} of the KV cache in use, on average")

# %% [markdown]
# Can you trust the simulator? **Little's law**, $L = \lambda W$, holds for every service that starts and ends empty: the mean number of requests that are there is the rate at which they come, times the mean time that each of them stays. The loop of the simulator counts the left side. The right side comes from the time stamps of the requests.
# A simulator that loses a request, or counts a second twice, is found out. (A simulator whose steps take the wrong time is not.)

# %% name="out-little"
rate = len(requests) / served.duration_s
print(f"counted over time     {served.mean_in_system:.6f} requests there")
print(f"rate x mean stay      {rate * served.latency_s.mean():.6f}")
print(f"relative difference   {served.little_error:.0e}")

# %% [markdown]
# ### The knee
#
# Now raise the rate. What does the service deliver, and how long do its users wait? The simulation takes about 3 seconds.

# %%
predict(
    "13.g",
    "From 20 to 32 requests per second, in 16 bits, with at most 256 users per step: how many times as long does a request stay, on average?",
    unit="times",
)

# %%
RATES = (1, 2, 4, 8, 12, 16, 20, 24, 32, 48)
STORED = {16: {}, 8: {"weight_bits": 8, "kv_bits": 8, "compute_bits": 8}}


def load_rows(bits, most):
    """The service at each of the rates, with at most so many users per step."""
    workload = Workload(prompt=512, output=128, **STORED[bits])
    timing = serving.calculator_timing(LLAMA_8B, H100, workload, ENGINE_2025)
    room = serving.kv_room_tokens(LLAMA_8B, H100, workload)
    return serving.load_curve(requests_at, timing, RATES, kv_tokens=room, max_batch=most)


load_curves = {(bits, most): load_rows(bits, most) for bits in tqdm(STORED) for most in (8, 256)}
by_rate = {row.rate_per_s: row for row in load_curves[16, 256]}
reveal("13.g", round(by_rate[32].latency_mean_s / by_rate[20].latency_mean_s, 1))

# %% [markdown]
# The sliders set the bits of what is stored and multiplied (weights and cache), and how many users a step may serve.


# %% name="fig-load" tags=["hide-input", "widget"]
def draw_load(bits, most):
    rows = load_curves[bits, most]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    rates, bend = [row.rate_per_s for row in rows], serving.knee(rows).rate_per_s
    left.plot(rates, [row.tokens_per_s for row in rows], marker="o", color=COLOURS["blue"])
    for name, label, colour, marker, line in (
        ("ttft_p50_s", "first token, half of the users", "blue", "o", "-"),
        ("ttft_p99_s", "first token, 99 of 100", "vermillion", "s", "--"),
        ("tpot_p99_s", "each further token, 99 of 100", "green", "^", ":"),
    ):
        look = {"color": COLOURS[colour], "marker": marker, "linestyle": line, "label": label}
        right.plot(rates, [getattr(row, name) for row in rows], **look)
    for axes in (left, right):
        axes.axvline(bend, color="black", linestyle=":", linewidth=2)
        axes.set(xlabel="requests per second")
    left.text(bend + 1, 200, "knee", fontsize=14)
    left.set(ylabel="output tokens per second", ylim=(0, 8500))
    right.set(ylabel="wait of a user, in s", yscale="log", ylim=(0.002, 20000))
    right.minorticks_off()
    right.legend(fontsize=13, loc="upper right", frameon=True, framealpha=1)
    return figure


explore(
    draw_load,
    alt=lambda bits, most: (
        f"Output tokens per second, and the time to the first and to each further token, over the rate of requests, for {bits} bits and at most {most} users per step; a dotted line marks the knee."
    ),
    labels={"bits": "bits of weights and cache", "most": "most users per step"},
    bits=tuple(STORED),
    most=(8, 256),
)

# %% name="fig-load-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_load(16, 256),
    alt="On the left the output tokens per second rise with the rate of requests and then stay flat. On the right the time to the first token stays short and then rises steeply; the time for each further token rises earlier, and slowly. A dotted line marks the knee.",
)

# %%
PROMISE_S = {"ttft_p99_s": 0.5, "tpot_p99_s": 0.025}  # for 99 of 100: the first token, and each further one on average


def kept_rate(rows):
    """The highest rate at which both promises are kept."""
    return max(row.rate_per_s for row in rows if all(getattr(row, name) <= s for name, s in PROMISE_S.items()))


# %% name="out-knee" tags=["hide-input"]
lines = [("", "knee, requests/s", "tokens/s", "first token", "most tokens/s", "promises kept up to")]
for (bits, most), rows in load_curves.items():
    bend = serving.knee(rows)
    highest = max(row.tokens_per_s for row in rows)
    cells = (f"{bend.rate_per_s}", f"{bend.tokens_per_s:.0f}", f"{bend.ttft_p99_s:.2f} s", f"{highest:.0f}")
    lines.append((f"{bits} bits, {most} per step", *cells, f"{kept_rate(rows)} per s"))
print(aligned(lines))
print("\nfirst token: the wait of 99 of 100 users; promises: 0.5 s for it, 25 ms on average for each further token")

# %% [markdown]
# The **knee** is the rate at which a service delivers most for the time that a request stays (Kleinrock, 1979). Take 16 bits and up to 256 users per step. From 1 to 20 requests per second, the rate of tokens grows to 20 times as much, and the mean stay to twice as long. From 20 to 32, the rate of tokens grows by a third, and the stay to 2.8 times as long: the steps serve more users, and more prompts come between them. At 48, more requests come than can be served, and the line grows for as long as the rush lasts.
# With more than these 1500 requests, the stay at 32 and 48 would be longer still, and there would be more tokens at 32. A small limit on the batch makes the steps short and the line long. The knee is flat: another draw of the requests (for one curve) moves it by at most one step of this scale.
#
# If you promise a response time, you ask up to which rate you can keep the promise. The requests served within it are called **goodput** (Zhong et al. 2024, *DistServe*). This rate may be below the knee or above it, and the service cannot sell what it could deliver beyond it.
#
# In this engine, nobody else gets a token while a prompt is computed. **Chunked prefill** (Agrawal et al. 2024, *Sarathi-Serve*) cuts prompts into pieces that share steps with the answers of others. **Disaggregation** computes prompts and answers on different devices. The simulator can do the first:

# %%
busy = requests_at(24)
policies = {}
for name, policy in {"prompts first": {}, "in chunks of 512": {"prefill": "chunked", "chunk_tokens": 512}}.items():
    found = serving.simulate(busy, EIGHT, kv_tokens=ROOM, **policy)
    policies[name] = [1e3 * found.percentile(times, 99) for times in ("ttft_s", "tpot_s")]

# %% name="out-chunked" tags=["hide-input"]
lines = [("24 requests per second, 99 of 100", "first token, ms", "each further, ms")]
for name, times_ms in policies.items():
    lines.append((name, *(f"{ms:.0f}" for ms in times_ms)))
print(aligned(lines))

# %% tags=["solution-only"]
rows_16 = load_curves[16, 256]
claim(
    "From 1 to 20 requests per second, the rate of tokens grows to 20 times as much, and the mean stay to twice as long",
    None, None, by_rate[20].tokens_per_s / by_rate[1].tokens_per_s,
    holds=abs(by_rate[20].latency_mean_s / by_rate[1].latency_mean_s - 2) < 0.25,
)  # fmt: skip
claim(
    "From 20 to 32, the rate of tokens grows by a third, and the stay to 2.8 times as long",
    None, None, by_rate[32].latency_mean_s / by_rate[20].latency_mean_s,
    holds=abs(by_rate[32].tokens_per_s / by_rate[20].tokens_per_s - 4 / 3) < 0.03,
)  # fmt: skip
claim(
    "2.8 times, for a third more tokens",
    by_rate[32].latency_mean_s / by_rate[20].latency_mean_s,
    page="slides/13_llm_cost.md",
)
claim(
    "At 48, more requests come than can be served",
    None,
    holds=by_rate[48].ttft_p50_s > 1 and by_rate[48].tokens_per_s < by_rate[32].tokens_per_s,
)
knees = {key: serving.knee(rows).rate_per_s for key, rows in load_curves.items()}
claim(
    "This rate may be below the knee or above it",
    holds=any(kept_rate(rows) > knees[key] for key, rows in load_curves.items())
    and any(kept_rate(rows) < knees[key] for key, rows in load_curves.items()),
)
again = serving.load_curve(
    lambda rate: serving.poisson_arrivals(rate, 1500, PROMPTS, OUTPUTS, seed=1), EIGHT, RATES, kv_tokens=ROOM
)
claim(
    "another draw of the requests (for one curve) moves it by at most one step of this scale",
    holds=abs(RATES.index(serving.knee(again).rate_per_s) - RATES.index(knees[16, 256])) <= 1,
)
(first_alone, next_alone), (first_cut, next_cut) = policies.values()
claim(
    "With chunks, each further token comes sooner and the first one later",
    holds=next_cut < 0.8 * next_alone and first_cut > 1.2 * first_alone,
)

# %% [markdown]
# With chunks, each further token comes sooner and the first one later.

# %% [markdown]
# > **Takeaway.** A service that promises a response time serves fewer requests than its devices could, and the idle time is part of its cost.

# %% [markdown]
# ## 6 Prices
#
# ### Another engine, another price
#
# Begin with a fall in cost that no price list announces: the same model, device and rent, and an engine two years younger. Here is one decode step of Llama-3-70B in 8 bits on two H100s, for 64 users with 4000 tokens each:

# %%
STEP = {"batch": 64, "new_tokens": 1, "context": 4000, "weight_bits": 8, "kv_bits": 8, "compute_bits": 8}
generations = {
    engine: cost.step(LLAMA_70B, H100, efficiency=engine, tensor_parallel=2, **STEP)
    for engine in (ENGINE_2023, ENGINE_2025)
}
usd = [2 * H100.usd_per_hour / 3600 * found.seconds / 64 * 1e6 for found in generations.values()]

# %% name="out-generations" tags=["hide-input"]
lines = [("ms per step", *map(str, generations))]
for rows in zip(*(found.rows for found in generations.values())):
    if any(row.seconds > 5e-6 for row in rows):
        lines.append((rows[0].operator.name, *(f"{row.seconds * 1e3:.2f}" for row in rows)))
lines.append(("starting kernels", *(f"{found.overhead_s * 1e3:.2f}" for found in generations.values())))
lines.append(("all", *(f"{found.seconds * 1e3:.2f}" for found in generations.values())))
lines.append(("USD per million output tokens", *(f"{value:.3f}" for value in usd)))
print(aligned(lines))

# %% [markdown]
# A token costs 0.54 times what it did before. Two rows changed most. By the constants of 2023, kernels read the shared keys and values again for most query heads (`kv_reread`), and each layer begins with a pause in which kernels are started (`launch_s`). By those of 2025 the cache is read once, though not at the full bandwidth (`kv_bandwidth`), and no pause is seen.
# The fit names these constants; nobody has looked into the kernels. And all rows of 2025 are under full load, where a pause can hide in the step before.

# %% tags=["solution-only"]
claim("A token costs 0.54 times what it did before", usd[1] / usd[0])
fallen_s = {
    old.operator.name: old.seconds - new.seconds for old, new in zip(*(found.rows for found in generations.values()))
}
fallen_s["starting kernels"] = generations[ENGINE_2023].overhead_s - generations[ENGINE_2025].overhead_s
claim("Two rows changed most", holds=set(sorted(fallen_s, key=fallen_s.get)[-2:]) == {"attention", "starting kernels"})

# %% [markdown]
# By hand, in four parts: matrices 4 ms, attention 4, all-reduce 0, starting kernels 2; together 10. A new engine takes 4, 2, 0 and 2. Only attention changed, so the constant is `kv_reread`, and a token costs 8 / 10 of what it did before.

# %% [markdown]
# ### Exercise 13.9 - What did the new engine change? (8 min)


# %% name="ex-13-9" tags=["exercise"]
def what_changed(old_ms, new_ms):
    """Which constant changed, and the new price per token as a share of the old. Returns (name, share).

    old_ms, new_ms: milliseconds of "matrices", "attention", "all-reduce" and "starting kernels" in a step that waits
    for memory. One constant differs: "kv_reread" (attention), "collective_s" (all-reduce), "launch_s" (starting
    kernels), or "bandwidth" (everything that waits for memory: matrices and attention).
    """
    ### BEGIN SOLUTION
    parts = {"attention": "kv_reread", "all-reduce": "collective_s", "starting kernels": "launch_s"}
    changed = [part for part in old_ms if new_ms[part] != old_ms[part]]
    constant = "bandwidth" if "matrices" in changed else parts[changed[0]]
    return constant, sum(new_ms.values()) / sum(old_ms.values())
    ### END SOLUTION


# %% tags=["check"]
check("13.9")

# %% [markdown]
# <details><summary>Hint 1: part by part</summary>
#
# Which parts take another time than before? If there are two, what do they have in common?
# </details>
# <details><summary>Hint 2: the price</summary>
#
# The rent per hour is the same, and so is the number of tokens per step. So the price changes by the same factor as the time.
# </details>

# %% [markdown]
# ### What tokens are sold for
#
# Here are list prices since 2023, from announcements and public collections; each row has its source. Each price is for a mix: four tokens read per token written. Triangles mark each change *under the same name*: downwards for a fall, upwards for a rise.

# %%
predict("13.h", "Of all price changes under the same name, how many percent are rises?", unit="%")

# %%
SHARE = 0.2  # one token in five is written
moves = prices.changes(history, SHARE)
rises = [move for move in moves if move.rose]
reveal("13.h", round(100 * len(rises) / len(moves)))


# %% name="fig-prices" tags=["hide-input"]
LINES = {
    "OpenAI, small models": (prices.OPENAI_SMALL, None, "blue", "-"),
    "OpenAI, large models": (prices.OPENAI_LARGE, None, "vermillion", "--"),
    "DeepSeek, deepseek-chat": (("deepseek-chat",), "DeepSeek", "green", "-."),
}


def draw_prices():
    figure, axes = plt.subplots(figsize=(9.5, 4.2))
    axes.plot(
        [price.date for price in history],
        [prices.blended_usd(price, SHARE) for price in history],
        ".",
        color="#aaaaaa",
        linestyle="none",
        label="every list price",
    )
    for name, (models, seller, colour, line) in LINES.items():
        sold = [price for price in prices.of_models(history, models) if seller in (None, price.provider)]
        usd = [prices.blended_usd(price, SHARE) for price in sold]
        axes.step([price.date for price in sold], usd, where="post", color=COLOURS[colour], linestyle=line, label=name)
    for rose, marker, colour, name in (
        (False, "v", "black", "a fall, same name"),
        (True, "^", "orange", "a rise, same name"),
    ):
        moved = [move.after for move in moves if move.rose == rose]
        axes.plot(
            [price.date for price in moved],
            [prices.blended_usd(price, SHARE) for price in moved],
            marker,
            color=COLOURS[colour],
            markeredgecolor="black",
            linestyle="none",
            label=name,
        )
    axes.set(
        yscale="log",
        ylabel="USD per million, 4 in : 1 out",
        ylim=(0.02, 1500),
        yticks=(0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
    )
    axes.set_yticklabels(["0.03", "0.1", "0.3", "1", "3", "10", "30", "100"])
    axes.minorticks_off()
    axes.legend(fontsize=13, loc="upper right", ncols=2)
    return figure


show(
    draw_prices(),
    alt="List prices of tokens from 2023 to 2026 on a logarithmic axis. The lines of small and large models fall steeply until 2024 and rise again later; triangles mark falls and rises under the same name, and there are many of both.",
)

# %% name="out-moves" tags=["hide-input"]
snapshots = prices.name_moves()


def other_model(move):
    """Whether the name stood for another model after the change."""
    stood_for = {
        prices.snapshot_on(snapshots, price.provider, price.model, price.date) for price in (move.before, move.after)
    }
    return len(stood_for) > 1


renewed = [move for move in moves if other_model(move)]
print(
    f"{len(moves)} changes under the same name; in {len(renewed)} of them the name stood for another model from then on"
)
print(f"{len(rises)} are rises, {sum(map(other_model, rises))} of these with another model; the largest:")
for move in sorted(rises, key=lambda move: -move.ratio)[:3]:
    print(f"  {move}")
print("and the largest falls:")
for move in sorted(moves, key=lambda move: move.ratio)[:3]:
    print(f"  {move}")

# %% [markdown]
# A name is not a product: 15 of 38 changes came with another model under the same name, and so did 4 of the 9 rises.
#
# Now the question of the beginning: by how much did the price fall? Take the two prices, and mix.

# %% name="out-mixes" tags=["hide-input"]
old, new = (
    prices.price_on(history, "gpt-3.5-turbo", "2023-05-01"),
    prices.price_on(history, "gpt-4o-mini", "2024-07-18"),
)
lines = [("read : written", *(f"{price.model}, {price.date:%Y-%m}" for price in (old, new)), "times cheaper")]
for read, written in ((1, 0), (4, 1), (3, 1), (1, 1), (0, 1)):
    usd = [prices.blended_usd(price, written / (read + written)) for price in (old, new)]
    lines.append((f"{read} : {written}", *(f"{value:.4f}" for value in usd), f"{usd[0] / usd[1]:.2f}"))
print(aligned(lines))

# %% [markdown]
# Between 3.3 and 13 times: all of these numbers are right, and a headline quotes one of them. The same holds for "the price halves every so many months", where somebody has to choose the prices. Here is a line through several choices:

# %% name="out-halving" tags=["hide-input"]
until = [price for price in prices.of_models(history, prices.OPENAI_SMALL) if price.date <= date(2024, 7, 31)]
CHOSEN = {
    "OpenAI's small models, to 2024-07": until,
    "OpenAI's small models, to today": prices.of_models(history, prices.OPENAI_SMALL),
    "OpenAI's large models": prices.of_models(history, prices.OPENAI_LARGE),
    "open models of 70B, all sellers": prices.of_models(history, prices.OPEN_70B),
    "record lows of all models": prices.running_minimum(history, SHARE),
    "every price of the table": history,
}
for name, chosen in CHOSEN.items():
    found = prices.halving_time(prices.blended_points(chosen, SHARE))
    print(textwrap.fill(f"{name}: {found}", 74, subsequent_indent="    "))

# %% tags=["solution-only"]
claim(
    "15 of 38 changes came with another model under the same name, and so did 4 of the 9 rises",
    len(renewed), len(moves), sum(map(other_model, rises)), len(rises),
)  # fmt: skip
claim(
    "9 of the 38 are rises. In 15 of the 38 it was another model under the same name",
    len(rises), len(moves), len(renewed), len(moves), page="slides/13_llm_cost.md",
)  # fmt: skip
claim(
    "asked 15 cents to read a million tokens and 60 cents to write them",
    100 * new.usd_per_million_input_tokens,
    100 * new.usd_per_million_output_tokens,
)
falls_by_mix = [prices.blended_usd(old, share) / prices.blended_usd(new, share) for share in (1, 0)]
claim("Between 3.3 and 13 times", *falls_by_mix)

# %% [markdown]
# A line of products under one brand is not one product: a successor may be larger, and better. An open model that many sell comes nearest to one product, but here the weights of 2, 3, 3.1 and 3.3 differ (and Llama 2 has a smaller vocabulary).
#
# ### The same quality
#
# None of these numbers holds quality constant: a cheap model of today is not the cheap model of 2023. So give each model a **score**: the share of the 14,042 questions of the test MMLU that it answers correctly, as its maker reports it, with five examples shown where that was reported. Now look only at models that are *at least as good* as GPT-3.5, Claude 2 or GPT-4. The bar is the score of each minus one point, which the test can hardly resolve.

# %%
predict(
    "13.k",
    "From March 2023 to today: how many times cheaper per year did a model as good as GPT-4 become, on average?",
    unit="times",
)

# %%
TODAY = "2026-11-29"
scored, scores = prices.scored_history(), prices.mmlu_scores()
LEVELS = dict(zip(("GPT-3.5", "Claude 2", "GPT-4"), prices.LEVELS))
percents = {name: prices.level_percent(scores, snapshot) for name, snapshot in LEVELS.items()}
falls = {name: prices.fall_at_least(scored, percent, SHARE, TODAY) for name, percent in percents.items()}
reveal("13.k", round(falls["GPT-4"].times_per_year, 1))


# %% name="fig-axes" tags=["hide-input"]
LOOKS = dict(zip(LEVELS, (("blue", "-", "o"), ("green", "--", "s"), ("vermillion", "-.", "^"))))


def draw_axes():
    axes_data = prices.three_axes(scored, prices.sold_speeds(), percents.values(), SHARE, TODAY)
    figure, (cheaper, faster, better) = plt.subplots(1, 3, figsize=(12, 4))
    bounds = [*percents.values(), 101]
    for (name, (colour, line, marker)), (_, points), low, high in zip(
        LOOKS.items(), axes_data.cheaper, bounds, bounds[1:]
    ):
        look = {"color": COLOURS[colour], "label": f"as good as {name}"}
        cheaper.step(
            [on for on, _ in points], [usd for _, usd in points], where="post", linestyle=line, marker=marker, **look
        )
        at = [each for each in axes_data.faster if low <= each.percent < high]
        days, rates = [each.speed.date for each in at], [each.speed.output_tokens_per_s for each in at]
        faster.plot(days, rates, marker, linestyle="none", **look)
    better.step(
        [on for on, *_ in axes_data.better],
        [percent for _, percent, _ in axes_data.better],
        where="post",
        marker="o",
        color="black",
    )
    cheaper.set(yscale="log", ylabel="USD per million tokens", ylim=(0.015, 1000))
    faster.set(yscale="log", ylabel="tokens/s, one user")
    better.set(ylabel="best MMLU score, in %")
    cheaper.legend(fontsize=12)
    for axes in figure.axes:
        axes.set_xlim(date(2023, 1, 1), date(2027, 1, 1))
        axes.xaxis.set_major_locator(YearLocator())
        axes.xaxis.set_major_formatter(DateFormatter("%Y"))
    return figure


show(
    draw_axes(),
    alt="Three panels over the years. On the left the lowest price so far of a model at least as good as GPT-3.5, Claude 2 or GPT-4 falls in steps, steeply until 2024 and slowly later. In the middle the tokens per second as sold, from 20 to 3000, without a clear trend. On the right the best score on sale rises, and ends in 2025.",
)

# %% name="out-quality" tags=["hide-input"]
lines = [("at least as good as", "MMLU", "first", "now", "times cheaper per year", "line through record lows (95%)")]
for name, fall in falls.items():
    trend = fall.trend
    called = f"{trend.times_per_year:.0f} ({trend.low_times:.1f} to {trend.high_times:.0f})"
    first_usd, now_usd = f"{fall.points[0][1]:.2f}", f"{prices.blended_usd(fall.last.price, SHARE):.3f}"
    lines.append((name, f"{fall.percent:.1f}", first_usd, now_usd, f"{fall.times_per_year:.1f}", called))
print(aligned(lines))
fit = prices.hedonic_fit(scored, SHARE).trend
print(f"\nall scored prices, log2(price) = a + b * years + c * score: {fit.times_per_year:.1f} times per year")
print(f"(95% interval {fit.low_times:.1f} to {fit.high_times:.1f}, {fit.points} prices, errors clustered by model)")

# %% [markdown]
# The line through the record lows falls by construction, and its interval ignores that. The average from the first price to today counts the slow years too, but it rests on two prices, and the second is the lowest of many sellers. The regression uses every scored price and asks what one more year does at the same score: 4.1 times, with an interval of 3.1 to 5.6. It assumes that a point of score multiplies the price by the same factor at every score, and that the fall is equally fast in all years, which the first panel does not suggest.
# (The intervals of the lines assume that prices scatter independently, which they do not; that of the regression allows for it within a model.)
#
# The first panel draws record lows. A record may be gone by now: for Claude 2, today's cheapest price in the table is above the end of its line. The middle panel has other sellers in each year, some with devices made for speed, and shows no clear trend.

# %% name="out-epoch" tags=["hide-input"]
lines = [("Epoch AI: times cheaper per year", "from", "to", "theirs (90%)", "this table, same end and mix (95%)")]
OURS = {("MMLU", "GPT-3.5 Turbo"): "GPT-3.5", ("MMLU", "GPT-4"): "GPT-4"}
for theirs in prices.EPOCH_2025:
    told = f"{theirs.times_per_year:.0f} ({theirs.low_times:.0f} to {theirs.high_times:,.0f})"
    ours = ""
    if (theirs.test, theirs.level) in OURS:
        percent = percents[OURS[theirs.test, theirs.level]]
        same = prices.fall_at_least(scored, percent, 0.25, theirs.last).trend  # Epoch mixes three read to one written
        ours = f"{same.times_per_year:.0f} ({same.low_times:.0f} to {same.high_times:,.0f})"
    lines.append((f"{theirs.test}, {theirs.level}", theirs.first[:7], theirs.last[:7], told, ours))
print(aligned(lines))

# %% tags=["solution-only"]
claim("4.1 times, with an interval of 3.1 to 5.6", fit.times_per_year, fit.low_times, fit.high_times)
claim(
    "4.1 times cheaper per year (95% interval 3.1 to 5.6)",
    fit.times_per_year, None, fit.low_times, fit.high_times, page="slides/13_llm_cost.md",
)  # fmt: skip
by_level = {(one.test, one.level): one for one in prices.EPOCH_2025}
agree = []
for (test, level), name in OURS.items():
    theirs = by_level[test, level]
    ours = prices.fall_at_least(scored, percents[name], 0.25, theirs.last).trend
    agree += [
        theirs.low_times < ours.times_per_year < theirs.high_times,
        ours.low_times < theirs.times_per_year < ours.high_times,
    ]
claim("each number lies in the other's interval", holds=len(agree) == 4 and all(agree))
largest = sorted(prices.EPOCH_2025, key=lambda one: one.times_per_year)[-2:]
claim(
    "The two largest of this table are those of a harder test, of four points each",
    holds=all(one.test != "MMLU" and one.points == 4 for one in largest),
)
then, now = (
    prices.blended_usd(prices.fall_at_least(scored, percents["GPT-4"], SHARE, on).last.price, SHARE)
    for on in ("2025-02-05", TODAY)
)
claim("the lowest price at GPT-4's level fell by 7% here", None, 100 * (1 - now / then))

# %% [markdown]
# Epoch AI (2025) fitted lines through record lows too, on several tests: from 9 to 900 times per year over all of its levels, and 40 at GPT-4's level on GPQA, a test of hard science questions. Where the test and the level are the same, their points and this table agree: each number lies in the other's interval. The two largest of this table are those of a harder test, of four points each, and of eight months at most; this table cannot tell which of these makes them large. Since then, the lowest price at GPT-4's level fell by 7% here. MMLU itself has nearly reached its top, and the makers of the best models no longer report it.
#
# ### Made and sold
#
# The shape of an open model is public, so you know what a token *needs*. Here is Llama-3-70B in 8 bits on two H100s, rented at the list price and busy all the time; 800 tokens in, 200 out.

# %%
MADE_ON = Workload(prompt=800, output=200, weight_bits=8, kv_bits=8, compute_bits=8, tensor_parallel=2)
batches = (1, 8, 64, 256, cost.largest_batch(LLAMA_70B, H100, MADE_ON))
made = {users: cost.estimate(LLAMA_70B, H100, replace(MADE_ON, batch=users), ENGINE_2025) for users in batches}

# %% name="out-made" tags=["hide-input"]
lines = [("made, USD per million", "in", "out", "mix 4 : 1", "tokens/s per user")]
for users, found in made.items():
    usd_in_out = (found.usd_per_million_input_tokens, found.usd_per_million_output_tokens, found.usd_per_million_tokens)
    speed = f"{found.tokens_per_s_per_user:.0f}"
    lines.append((f"{users} at once", *(f"{value:.3f}" for value in usd_in_out), speed))
print(aligned(lines))
print(f"\nrent: {H100.usd_per_hour} USD per hour per H100\n({H100.price_source})")

# %%
predict(
    "13.i",
    "How many of the list prices for this open model are below what it costs to make with 64 users, at full load?",
    choices=("none", "a few", "more than half"),
)

# %%
sold = prices.of_models(history, ("llama-3-70b", "llama-3.1-70b", "llama-3.3-70b"))  # one shape, three trainings
made_usd = (made[64].usd_per_million_input_tokens, made[64].usd_per_million_output_tokens)
over_made = [prices.sold_over_made(price, *made_usd, SHARE) for price in sold]
below = sum(times < 1 for times in over_made)
reveal("13.i", "none" if below == 0 else "more than half" if below > len(sold) / 2 else "a few")

# %% name="out-sold" tags=["hide-input"]
lines = [("sold", "", "in", "out", "4 : 1", "sold / made", "busy")]
for price, times in zip(sold, over_made):
    busy = f"{1 / times:.0%}" if times >= 1 else "> 100%"
    usd = (price.usd_per_million_input_tokens, price.usd_per_million_output_tokens, prices.blended_usd(price, SHARE))
    cells = (*(f"{value:.2f}" for value in usd), f"{times:.2f}", busy)
    lines.append((f"{price.date:%Y-%m} {price.provider}", price.model, *cells))
print(aligned(lines, left=(0, 1)))

# %% [markdown]
# Do not read "sold / made" as profit. "Made" is the rent of two devices that are busy day and night, and section 5 showed why they are not. "Busy" is the share of the time that would be enough to pay the rent, at this batch. The rent leaves out people, networks and training. But whoever owns the devices, or has rented them for years, pays less than the list rent,
# which is that of 2026, while all prices but one are older. A prompt that many users send alike is computed once and kept. And some of these sellers (Groq, Cerebras, SambaNova) do not use GPUs at all. These numbers support only an order of magnitude: *12 of the 13 list prices of this open model lie between 0.7 and 4.6 times the rent of a well-used machine*.
#
# And why does the price keep falling? You have met what can make a token cheaper: larger batches, as more people ask; fewer bits; models that share their cache among heads, and send a token through only a part of their weights; devices with more bandwidth for the same rent; smaller models that are as good as larger ones were. No price list says how much of the fall is due to each. And prices also rise.

# %% tags=["solution-only"]
claim(
    "12 of the 13 list prices of this open model lie between 0.7 and 4.6 times the rent of a well-used machine",
    sum(0.7 <= ratio <= 4.6 for ratio in over_made), len(sold), None, None,
)  # fmt: skip
claim(
    "12 of the 13 list prices lie between 0.7 and 4.6 times the rent of a well-used machine",
    sum(0.7 <= ratio <= 4.6 for ratio in over_made), len(sold), None, None, page="slides/13_llm_cost.md",
)  # fmt: skip
claim(
    "which is that of 2026, while all prices but one are older",
    None,
    holds=sum(price.date.year >= 2026 for price in sold) == 1,
)

# %% [markdown]
# > **Takeaway.** A price per token means little until you know its mix, its quality, its date, and the load of the machine that makes it.

# %% [markdown]
# ## 7 Where it stops working
#
# - **Speed, not quality.** Nothing here knows whether an answer is any good. A price per *token* says nothing about a price per *solved task*: a cheaper model may write more, or need two tries, and its tokenizer may cut the same text into more tokens. Above all, a model that reasons may write thousands of tokens before its answer, billed as output: at 1 USD per million, 5000 of them cost half a cent, and an answer of 200 costs 0.02 cents.
# - **The median error hides a tail.** You have seen the worst rows. Next year's engines need new constants: `python tools/llm_error.py --rows FILE` compares the calculator with rows of your own.
# - **Extrapolation.** An engine knows which devices and formats its rows had. An estimate for others is computed all the same, and says so in its last line, `extrapolates`. No row is from several computers. Experts are assumed to be chosen evenly.
# - **All requests of a batch are alike** in `estimate`. In the simulator they differ, but its engine is simple: one queue, no priorities, no cache of common beginnings, one group of devices.
# - **A list rent is not a cost.** Neither are watts: the joules in an estimate are those of a device at its limit.
# - **List prices are not what customers pay.** Discounts for batches, cached prompts and large customers are in no table.

# %% [markdown]
# > **Takeaway.** A formula also answers for what nobody has measured, so look for `extrapolates` before you rely on an estimate.

# %% [markdown]
# ## The ledger
#
# This lesson adds the one thing that it measured: one token through the matrices of SmolLM2-135M. Compare its MACs with those of the picture models.

# %% name="out-ledger"
report = measure.report({"SmolLM2-135M, matrices of one token": skeleton}, inputs[1], repeats=10)
ledger(report.rows[0], lesson=13, beside=report.rows[0])

# %%
progress()

# %% [markdown]
# ## With pencil and paper
#
# **1.** A model has 7 billion weights of 16 bits, and each is multiplied once per token. A device fetches 2 TB and does 600 TFLOP per second. Ignore the caches. How long does a decode step take for one user, at the limits of the device? From which batch size on does a step wait for arithmetic?
#
# <details><summary>Answer</summary>
#
# The weights are 14 GB, and fetching them takes 14 GB / 2 TB/s = 7 ms. One token is 14 GFLOP, which take 14 / 600,000 s = 0.023 ms, so the step takes 7 ms. The two times are equal at a batch of 7 / 0.0233 = 300, which is also the ridge of the device: 600 / 2 = 300 FLOPs per byte, at one FLOP per byte and user.
# </details>
#
# **2.** The model has 32 layers and 32 KV heads of 128 numbers in 16 bits, and each user has 4000 tokens. How many bytes is one cache? Which FLOPs per byte can no batch exceed? And with 8 KV heads?
#
# <details><summary>Answer</summary>
#
# A token leaves 2 · 32 · 32 · 128 numbers of 2 bytes: 524,288 bytes. 4000 tokens are 2.1 GB. A decoded token takes 14 GFLOP for the weights and 2 · 32 · 2 · 4000 · 32 · 128 = 2.1 GFLOP for the look back, 16.1 in all. So no batch exceeds 16.1 / 2.1 = 7.7 FLOPs per byte. With 8 KV heads (and 32 query heads) the cache is a quarter, 0.52 GB, and the limit is 31. Both are far below the ridge of 300: by the formula of section 2, such a step waits for memory at every batch size.
# </details>
#
# **3.** A device rents for 3.60 USD per hour. A decode step for 64 users takes 12 ms. What does a million output tokens cost, without the prompts? At a price of 1 USD per million, for which share of the time does the machine have to be busy to pay its rent?
#
# <details><summary>Answer</summary>
#
# 64 tokens in 12 ms are 5333 tokens per second. The rent is 0.001 USD per second, so a million tokens cost 1000 / 5333 = 0.19 USD. At 1 USD per million, it has to be busy for 19% of the time.
# </details>

# %% [markdown]
# ## Summary
#
# - A token costs FLOPs (two for each weight that is multiplied, and the look back) and bytes (the weights, shared by the batch, and a cache per user).
# - Prefill of a long prompt waits for arithmetic, decode for a few users waits for memory. A batch changes that as far as the caches let it.
# - Dollars per token are the rent divided by the tokens per second. Large batches make tokens cheap, and slow.
# - More devices, drafts and fewer bits help where something is idle, and lose where it is not.
# - A service that promises a response time serves fewer requests than it could.
# - A price needs its mix, a halving time needs its rows, a profit needs its load.
#
# **References.** Pope et al. 2022, *Efficiently Scaling Transformer Inference*. Williams, Waterman and Patterson 2009, *Roofline*. Shazeer 2019, *Fast Transformer Decoding*. Ainslie et al. 2023, *GQA*. DeepSeek-AI 2024, *DeepSeek-V2*. Leviathan, Kalman and Matias 2023, *Speculative
# Decoding*. Sadhukhan et al. 2025, *MagicDec*. Zhong et al. 2024, *DistServe*. Agrawal et al. 2024, *Sarathi-Serve*. Fedus, Zoph and Shazeer 2022, *Switch Transformers*. Yu et al. 2022, *Orca*. Kwon et al. 2023, *PagedAttention*. Little 1961, *A Proof for the Queuing Formula L = λW*. Kleinrock 1975, *Queueing Systems*. Kleinrock 1979, *Power and Deterministic Rules of Thumb*.
#
# **In the library.** In [`mini_lib/llm`](../mini_lib/llm/__init__.py), [`cost`](../mini_lib/llm/cost/__init__.py) is the calculator ([`operators.py`](../mini_lib/llm/cost/operators.py) counts, [`step.py`](../mini_lib/llm/cost/step.py) times, [`estimate.py`](../mini_lib/llm/cost/estimate.py) puts the parts together, [`mini_lib/llm/published`](../mini_lib/llm/published/__init__.py) fits and compares), [`serving`](../mini_lib/llm/serving/__init__.py) is the simulator, and [`prices`](../mini_lib/llm/prices/__init__.py) has the price lists.
#
# **Next:** [14 How small and how fast can a real language model become on this laptop?](14_llm_compress.ipynb) It runs a small model and measures the costs that this lesson calculates.
