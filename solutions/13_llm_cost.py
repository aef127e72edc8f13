# %% [markdown]
# # What does a token cost, and why does the price keep falling?
#
# Lesson 13 · about 75 minutes · before it: [01 What does a model cost?](01_measure.ipynb) · [02 How few bits does a weight need?](02_bits.ipynb)
#
# A language model writes one token after the other, and somebody pays for each. In March 2023 a million of them cost two dollars. Sixteen months later the same shop asked 15 cents to read a million
# and 60 to write them. Were the first ones a bargain for the seller, or the later ones a loss? Where the shape of a model is known, one can work out what a token costs. (The shapes of these two are not public.) A token needs so many bytes from memory and so many multiplications; a device gives
# so many of both a second; and a device can be rented by the hour. No model is loaded, and no GPU is needed.
#
# **You will be able to**
# 1. work out bytes, FLOPs, seconds and dollars of a token from the shape of a model and a data sheet;
# 2. say what a batch, fewer bits, more devices and a draft model make cheaper, and what they do not;
# 3. compare an estimate with published measurements, and a price with what the token costs to make.
#
# Every answer is checked when you run the cell below it. Nothing later depends on your answers: you can skip an exercise, run everything, and come back.

# %%
import textwrap
import time
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
# In **prefill** the whole prompt goes through the model at once. Then the answer is written in **decode** steps: one token a step, since each depends on the one before. Here is one decode step of
# Llama-3-8B after 1000 tokens, alone on an H100, operator by operator. Read the column `FLOP/B`: how much arithmetic is there for each byte that has to come from memory?

# %% name="out-decode"
decode = cost.step(LLAMA_8B, H100, new_tokens=1, context=1000, efficiency=ENGINE_2025)
print(decode)

# %% name="out-prefill"
prefill = cost.step(LLAMA_8B, H100, new_tokens=1000, efficiency=ENGINE_2025)
print(prefill)

# %% [markdown]
# The weights are the same. In the first table each weight is fetched, used for one multiplication and one addition, and dropped. In the second it serves a thousand tokens. Compare prefill of a thousand tokens, 21 ms, with one token, 5 ms.
#
# ### What is left behind
#
# Each token looks back at all before it: in each layer, at a **key** and a **value** of each. These do not change, so they are computed once and kept: the **KV cache**. By hand: 3 layers, 2 KV heads of 5 numbers, 16 bits. A token leaves
# a key and a value, so 2 · 3 · 2 · 5 = 60 numbers, and 120 bytes. Several query heads may share a KV head.

# %% [markdown]
# ### Exercise 13.1 - What a token leaves behind (5 min)


# %% name="ex-13-1" tags=["exercise"]
def kv_bytes_per_token(layers, hidden, heads, kv_heads, head_dim, bits):
    """The bytes that one token leaves in the KV cache, in all layers together.

    hidden: the width between the layers. heads: query heads; kv_heads: heads of keys and values;
    head_dim: numbers of a head. bits: of each number that is kept.
    """
    ### BEGIN SOLUTION
    return 2 * layers * kv_heads * head_dim * bits / 8
    ### END SOLUTION


# %% tags=["check"]
check("13.1")

# %% [markdown]
# <details><summary>Hint 1: what is kept</summary>
#
# Queries are used at once and forgotten. Not all arguments are needed.
# </details>
# <details><summary>Hint 2: count numbers first</summary>
#
# How many numbers has one key of one layer, for all KV heads together? Then keys and values, then all layers, then bytes.
# </details>

# %% [markdown]
# The weights are there once. A cache is there once *for each user*, and it grows with every token.

# %%
predict(
    "13.a",
    "Llama-3-8B with 64 users. How many tokens has each when the caches weigh as much as the model?",
    unit="tokens",
)

# %% [markdown]
# To see what the design of attention does, change it and nothing else: the model is Llama-2-7B, and its 32 query heads share KV heads in several ways. **MHA**, multi-head: each has its own. **GQA**, grouped: four share one. **MQA**, multi-query: all share one.
# **MLA**, latent: one short vector for all heads, from which keys and values are unfolded again.


# %% name="fig-kv"
LATENT = LatentAttention(heads=32, query_rank=0, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
SHARING = {
    "MHA, 32 KV heads": (Attention(32, 32, 128), "blue", "-"),
    "GQA, 8 KV heads": (Attention(32, 8, 128), "orange", "--"),
    "MLA, 512 + 64 numbers": (LATENT, "green", "-."),
    "MQA, 1 KV head": (Attention(32, 1, 128), "vermillion", ":"),
}
variants = {name: replace(LLAMA_7B, attention=attention) for name, (attention, _, _) in SHARING.items()}


def draw_kv():
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
    contexts, batches = [2**i for i in range(9, 18)], [2**i for i in range(10)]
    for (name, (_, colour, line)), model in zip(SHARING.items(), variants.values()):
        look = {"color": COLOURS[colour], "linestyle": line, "label": name}
        left.plot(contexts, [cost.kv_cache_bytes(model, 1, tokens) / GIB for tokens in contexts], **look)
        right.plot(batches, [cost.kv_cache_bytes(model, users, 4096) / GIB for users in batches], **look)
    for axes in (left, right):
        axes.axhline(cost.weight_bytes(LLAMA_7B) / GIB, color="#777777", linewidth=1.5)
        axes.axhline(H100.memory_bytes / GIB, color="black", linewidth=1.5)
    left.text(512, 1.15 * cost.weight_bytes(LLAMA_7B) / GIB, "the weights", fontsize=13)
    left.text(512, 1.15 * H100.memory_bytes / GIB, "memory of an H100", fontsize=13)
    left.set(
        xscale="log", yscale="log", xlabel="tokens of context, one user", ylabel="KV cache, in GiB", ylim=(0.005, 6000)
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

# %% name="out-kv"
lines = [("", "KiB per token", "GiB at 128k", "users of 4096")]
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

# %%
reveal("13.a", round(cost.weight_bytes(LLAMA_8B) / (64 * cost.kv_bytes_per_token(LLAMA_8B))))

# %% [markdown]
# ### The work of one token
#
# A matrix of $m \times n$ weights takes $m n$ multiply-accumulates (MACs) for a vector. A MAC is **two FLOPs**. By hand: a model with hidden size 2, one head of 2, no sharing, a gated feed-forward of width 4, 10 words, one layer. Query, key, value and output are four matrices of 2 x 2: 16 MACs.
# Gate, up and down are three of 2 x 4: 24. The head has 10 rows of 2: 20. And the look back: the query times each key, then each value times its score. With 5 tokens in sight that is 2 · 5 · 2 = 20 MACs. Together 80, or 160 FLOPs.
#
# The embedding is a table too, 10 x 2. But nothing is multiplied: one row is **looked up**. So "two FLOPs for each parameter" is a rule of thumb, wrong twice: it counts the look-up (unless the head uses the same table), and leaves out the look back.

# %% [markdown]
# ### Exercise 13.2 - The work of one token (10 min)


# %% name="ex-13-2" tags=["exercise"]
def decode_flops(layers, hidden, heads, kv_heads, head_dim, width, vocabulary, context):
    """FLOPs of one decoded token, in all matrix products.

    Each layer: query, key, value and output projections; the look back at `context` tokens, the new one among them;
    a gated feed-forward (three matrices of hidden x width). At the end a head with a row for each word.
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
# The query heads together are heads * head_dim wide, the KV heads kv_heads * head_dim. That need not be `hidden`.
# </details>
# <details><summary>Hint 2: who looks back</summary>
#
# Sharing keys saves memory, not arithmetic: each *query* head makes its own scores and its own weighted sum.
# </details>
# <details><summary>Hint 3: the order</summary>
#
# Count the MACs of one layer, times the layers, plus the head. Twice that are FLOPs.
# </details>

# %% name="out-two-n"
counted = cost.count_parameters(LLAMA_8B)
print("Llama-3-8B, GFLOP for one token")
print(f"two for each parameter            {2 * counted.total / 1e9:6.2f}")
print(f"two for each that is multiplied   {2 * counted.matmul / 1e9:6.2f}   (all but embedding and norms)")
for context in (1000, 8000, 128_000):
    done = cost.step(LLAMA_8B, H100, new_tokens=1, context=context - 1).flops
    print(f"with the look back at {context:>7,}     {done / 1e9:6.2f}")

# %% [markdown]
# ## 2 Seconds, and dollars
#
# A device does two things at the same time: it computes, and it fetches. A step is done when the *slower* one is done:
#
# $$\text{seconds} = \max\left(\frac{\text{batch} \cdot \text{FLOPs}}{\text{peak}}, \; \frac{\text{weights} + \text{batch} \cdot \text{KV}}{\text{bandwidth}}\right).$$
#
# This takes one maximum over the whole step, as if each part could compute while another fetches. The calculator takes one *for each operator*, and adds them up. By hand, with the formula: weights of 10 bytes, 1 byte of cache and 4 FLOPs for each user; a device with 4 FLOPs and 2 bytes per second. One user: 1 s of arithmetic, (10 + 1) / 2 = 5.5 s of fetching: 5.5 s. Eight users: 8 s against 9 s: 9 s. For eight tokens instead of one!

# %% [markdown]
# ### Exercise 13.3 - The time of one decode step (8 min)


# %% name="ex-13-3" tags=["exercise"]
def decode_step_seconds(
    weight_bytes, kv_bytes_per_sequence, flops_per_token, batch, peak_flops_per_s, bandwidth_bytes_per_s
):
    """Seconds of a step that gives each of `batch` sequences one more token, at the limits of the device.

    kv_bytes_per_sequence: what the attention of one sequence has to read.
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
# Write down how long the arithmetic takes, and how long the fetching. Which one decides?
# </details>
# <details><summary>Hint 2: what is fetched how often</summary>
#
# All users share the weights, and one fetch serves them all. Nobody shares a cache.
# </details>

# %%
predict(
    "13.b",
    "Llama-3-8B on an H100, 1000 tokens of context. A step for 64 users takes how many times as long as one for a single user?",
    unit="times",
)

# %%
predict(
    "13.c",
    "Llama-2-7B (multi-head), 4096 tokens each, memory without end: from which batch does a decode step wait mostly for arithmetic?",
    choices=("from about 8", "from about 300", "never"),
)

# %% [markdown]
# The roofline has the same in one picture. Left of the kink a step waits for memory, right of it for arithmetic. A larger batch moves decode to the right. But how far?


# %% name="fig-roofline"
BATCHES = (1, 4, 16, 64, 256, 1024)
ON_ROOF = {
    "Llama-3-8B (GQA), 1000 tokens": (LLAMA_8B, 1000, "blue", "o"),
    "Llama-3-8B (GQA), 8000 tokens": (LLAMA_8B, 8000, "orange", "s"),
    "Llama-2-7B (MHA), 4096 tokens": (LLAMA_7B, 4096, "vermillion", "D"),
}


def draw_roofline():
    figure, axes = plt.subplots(figsize=(11, 4.9))
    peak, slope = H100.matmul_peak(16), H100.bandwidth_bytes_per_s
    roof = np.array([0.5, H100.ridge(16), 2000])
    axes.plot(roof, np.minimum(peak, slope * roof), color="black", linestyle="-", linewidth=1.5)
    for name, (model, context, colour, marker) in ON_ROOF.items():
        steps = [
            cost.step(model, H100, batch=batch, new_tokens=1, context=context, efficiency=ENGINE_2025)
            for batch in BATCHES
        ]
        axes.plot(
            [step.intensity for step in steps],
            [step.flops / step.seconds for step in steps],
            color=COLOURS[colour],
            marker=marker,
            linestyle=":",
            linewidth=1.5,
            label=f"decode, {name}",
        )
        if marker == "o":
            for batch, step in zip(BATCHES, steps):
                axes.annotate(
                    f"{batch}",
                    (step.intensity, step.flops / step.seconds),
                    {1024: (9, -4), 256: (-6, -19), 64: (4, -17)}.get(batch, (2, 8)),
                    textcoords="offset points",
                    fontsize=13,
                )
    axes.plot(
        prefill.intensity,
        prefill.flops / prefill.seconds,
        "*",
        color=COLOURS["green"],
        markersize=18,
        linestyle="none",
        label="prefill, Llama-3-8B, 1000 tokens",
    )
    axes.text(0.6, 1.25 * slope * 0.6, "memory", rotation=31, fontsize=13)
    axes.text(700, 1.12 * peak, "arithmetic", fontsize=13)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="FLOPs for each byte moved",
        ylabel="FLOPs per second",
        xlim=(0.5, 2000),
        ylim=(5e11, 2e15),
    )
    axes.legend(fontsize=13, loc="lower right")
    return figure


show(
    draw_roofline(),
    alt="Roofline of an H100. Decode of one user lies at the lower left. With the batch it moves to the right and upwards, for the model with many KV heads only a little; prefill lies near the roof at the right.",
)

# %% name="out-batch"
lines = [("users", "8B, 1000", "FLOP/B", "8B, 8000", "FLOP/B", "7B MHA, 4096", "FLOP/B")]
for batch in BATCHES:
    steps = [
        cost.step(model, H100, batch=batch, new_tokens=1, context=context, efficiency=ENGINE_2025)
        for model, context, _, _ in ON_ROOF.values()
    ]
    cells = [text for step in steps for text in (f"{step.seconds * 1e3:.1f} ms", f"{step.intensity:.0f}")]
    lines.append((f"{batch:,}", *cells))
print(aligned(lines))
print(f"\nthe kink of an H100 lies at {H100.ridge(16):.0f} FLOP/B")

# %%
alone, many = (
    cost.step(LLAMA_8B, H100, batch=batch, new_tokens=1, context=1000, efficiency=ENGINE_2025) for batch in (1, 64)
)
reveal("13.b", round(many.seconds / alone.seconds, 1))

# %%
endless = (
    cost.step(LLAMA_7B, H100, batch=2**power, new_tokens=1, context=4096, efficiency=IDEAL) for power in range(20)
)
first = next((2**power for power, step in enumerate(endless) if step.bound == "compute"), None)
reveal("13.c", "never" if first is None else "from about 8" if first < 50 else "from about 300")

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
    "15 GFLOP and 2.1 GB of cache for each token, so at most 7.2 FLOPs for each byte",
    one_token.flops / 1e9,
    cost.kv_cache_bytes(LLAMA_7B, 1, 4096) / 1e9,
    one_token.flops / cost.kv_cache_bytes(LLAMA_7B, 1, 4096),
)
claim("Compare prefill of a thousand tokens, 21 ms, with one token, 5 ms", 1e3 * prefill.seconds, 1e3 * decode.seconds)

# %% [markdown]
# **Batching shares the weights, not the caches.** Each user brings their own FLOPs and bytes, in a proportion that the batch does not change; the intensity of a decode step can come near it, and not beyond. For Llama-2-7B after 4096 tokens, by hand: 15 GFLOP and 2.1 GB of cache for each token, so at most 7.2 FLOPs for each byte,
# far left of the kink. With 1,024 users the matrices of Llama-3-8B wait for arithmetic, and attention still waits for memory: 107 of 130 ms. (With 1000 tokens each, their caches alone would not fit into an H100.) So "decode is memory-bound" is true of a single user; whether a batch changes that depends on how many heads share a cache, and on how long the texts are. Fewer KV heads help, or fewer bits for the cache.
# A beginning that many prompts share can be kept once for all (PagedAttention, Kwon et al. 2023); whether it is also read only once is up to the kernel.
#
# And a batch has to fit. The memory holds the weights, and for each request the cache of its prompt *and* of its whole answer. By hand: memory 100, weights 60, a byte for each token, 8 tokens in and 3 out: 40 / 11 = 3.6, so three requests.

# %% [markdown]
# ### Exercise 13.4 - The largest batch that fits (6 min)


# %% name="ex-13-4" tags=["exercise"]
def largest_batch(memory_bytes, weight_bytes, cache_bytes_per_token, prompt, output):
    """How many requests fit beside the weights, each with all its tokens. A whole number, 0 where none does.

    prompt, output: the tokens of each request that are read, and that are written.
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
# `//` rounds down. What does it say when not even the weights fit?
# </details>

# %% name="out-fit"
lines = [("2048 tokens in, 512 out, on one device", "weights", "KV 16 bits", "KV 8 bits")]
for model, device, bits in (
    (LLAMA_7B, A100, 16),
    (LLAMA_8B, A100, 16),
    (LLAMA_8B, find_device("RTX-4090"), 16),
    (LLAMA_8B, find_device("RTX-4090"), 4.5),
    (LLAMA_70B, A100, 16),
    (LLAMA_70B, A100, 4.5),
):
    fits = [
        cost.largest_batch(model, device, Workload(prompt=2048, output=512, weight_bits=bits, kv_bits=kv))
        for kv in (16, 8)
    ]
    lines.append(
        (f"{model}, {device}, {bits:g} bits", f"{cost.weight_bytes(model, bits) / GIB:.1f} GiB", *map(str, fits))
    )
print(aligned(lines))
try:
    cost.estimate(LLAMA_70B, A100, Workload(batch=1, prompt=2048, output=512), ENGINE_2025)
except ValueError as problem:
    print(f"\nWhat the calculator says of the first row with zeros:\n{textwrap.fill(str(problem), 76)}")

# %% [markdown]
# ### From seconds to dollars
#
# Suppose that the devices are rented by the hour. The more tokens in that hour, the less each has to pay. By hand: 3.60 USD per hour are 0.001 USD per second. At 1000 tokens per second that is 0.000001 USD for each: one dollar per million.

# %% [markdown]
# ### Exercise 13.5 - From rent to price (5 min)


# %% name="ex-13-5" tags=["exercise"]
def usd_per_million(usd_per_hour_per_gpu, gpus, tokens_per_s):
    """What a million tokens cost in rent. tokens_per_s: of all GPUs together."""
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
# Now all of it together: `estimate` takes a model, a device and a workload. **TTFT** is the time to the first token, which is the prefill where nobody waits in line; **TPOT** the time for each output token after it.

# %% name="out-estimate"
both = [cost.estimate(LLAMA_8B, H100, Workload(batch=batch, prompt=1024, output=256), ENGINE_2025) for batch in (1, 64)]
print(f"{both[0]}\n\n{both[1]}")
print(f"\nrent: {H100.usd_per_hour} USD per hour\n({H100.price_source})")

# %% [markdown]
# A step for 64 users takes 2.5 times as long as a step for one, and gives 64 times as many tokens. So an output token costs 26 times less. Note `extrapolates`: no row of this engine is of a single user or of 16 bits.

# %% tags=["solution-only"]
claim(
    "A step for 64 users takes 2.5 times as long as a step for one, and gives 64 times as many tokens",
    None, both[1].tpot_s / both[0].tpot_s, both[1].workload.batch / both[0].workload.batch,
)  # fmt: skip
claim(
    "an output token costs 26 times less", both[0].usd_per_million_output_tokens / both[1].usd_per_million_output_tokens
)

# %% [markdown]
# ## 3 Is the calculator right?
#
# Others have measured, and published: NVIDIA for its TensorRT-LLM, PyTorch for gpt-fast, and a collection of llama.cpp on many devices. Each row says what the calculator needs: model, device, bits, batch and lengths.
#
# First, how to read such tables. Some count tokens per second **for each GPU**, some for all GPUs **together**. And the "throughput" is that of all users, not what one of them sees. By hand: 100 a GPU, 2 GPUs work on the same 20 requests. Together they give 200 tokens per second, each user gets 10,
# so one waits 0.1 s for each token.

# %% [markdown]
# ### Exercise 13.6 - What the table counts (5 min)


# %% name="ex-13-6" tags=["exercise"]
def total_and_tpot(tokens_per_s_per_gpu, tensor_parallel, batch):
    """What all GPUs give together, and how long one user waits for each token.

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
# In one step each of `batch` users gets one token. How long does a step take, if so many tokens come in a second?
# </details>

# %% [markdown]
# An engine does not reach the limits of its device. A few constants say how far it stays behind, and those have to be **fitted**. Whoever fits on all rows and reports the error on the same rows has measured nothing. So a hash of what was run cuts the rows into two halves: one may be fitted on, the other tells the error. One thing
# needs no fit: at the limits of the device (all shares 1, all delays 0) the estimate must be *faster than every measurement*.

# %%
predict(
    "13.d",
    "Half of the rows, never seen by the fit. By how many percent is the calculator off, in the median?",
    unit="%",
)


# %% name="fig-published"
calibration, held_out = published.halves(published.published_rows())
ENGINES = {engine.name: engine for engine in cost.ENGINES}
checked = {"held out": published.compare(held_out, ENGINES), "fitted": published.compare(calibration, ENGINES)}
KINDS = {
    "throughput": ("a token of the service", "blue", "o"),
    "decode": ("a token of one user", "orange", "s"),
    "ttft": ("to the first token", "vermillion", "^"),
}


def draw_published(checks):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), width_ratios=(1.15, 1))
    for kind, (name, colour, marker) in KINDS.items():
        ours = [one for one in checks if one.row.kind == kind]
        measured_s = [one.row.seconds for one in ours]
        left.plot(
            measured_s,
            [one.predicted_s for one in ours],
            marker,
            color=COLOURS[colour],
            markersize=7,
            alpha=0.8,
            label=name,
            linestyle="none",
        )
        right.plot(
            measured_s,
            [one.predicted_s / one.row.seconds for one in ours],
            marker,
            color=COLOURS[colour],
            markersize=7,
            alpha=0.8,
            linestyle="none",
        )
        right.plot(
            measured_s,
            [one.ideal_s / one.row.seconds for one in ours],
            marker,
            color="#aaaaaa",
            markersize=4,
            linestyle="none",
            label="at the limits" if kind == "throughput" else None,
        )
    ends = [min(one.row.seconds for one in checks) / 1.5, max(one.row.seconds for one in checks) * 1.5]
    left.plot(ends, ends, color="black", linestyle="-", linewidth=1)
    right.axhline(1, color="black", linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="measured, in seconds", ylabel="calculated, in seconds")
    right.set(xscale="log", xlabel="measured, in seconds", ylabel="calculated / measured", ylim=(0, 1.7))
    left.legend(fontsize=12)
    right.legend(fontsize=12, loc="upper left")
    return figure


show(
    draw_published(checked["held out"]),
    alt="Calculated against measured seconds of the rows that were held out, on logarithmic axes: the points lie along the diagonal over four orders of magnitude. On the right their ratio, around 1, and that at the limits of the device, always below 1.",
)

# %% name="out-errors"
GROUPS = {
    "all rows": lambda row: True,
    "throughput, one device": lambda row: row.kind == "throughput" and row.tensor_parallel == 1,
    "throughput, several devices": lambda row: row.kind == "throughput" and row.tensor_parallel > 1,
    "time to the first token": lambda row: row.kind == "ttft",
    "one user, gpt-fast": lambda row: row.engine == "gpt-fast 2023",
    "one user, llama.cpp, NVIDIA": lambda row: row.engine == "llama.cpp 2024",
    "one user, llama.cpp, Apple": lambda row: row.engine == "llama.cpp, Metal 2024",
}
lines = [("median of the absolute error", *(text for name in checked for text in (name, "rows")))]
for name, where in GROUPS.items():
    cells = (
        text
        for half in checked.values()
        for text in (f"{published.median_error(half, where):.1%}", f"{sum(where(one.row) for one in half)}")
    )
    lines.append((name, *cells))
print(aligned(lines))
every = [one for half in checked.values() for one in half]
slower = sum(one.row.seconds >= one.ideal_s for one in every)
print(f"\nslower than the limits of the device: {slower} of {len(every)} rows")
print(
    f"measured over ideal: {min(one.row.seconds / one.ideal_s for one in every):.2f} to {max(one.row.seconds / one.ideal_s for one in every):.1f} times, median {median(one.row.seconds / one.ideal_s for one in every):.2f}"
)

# %%
reveal("13.d", round(100 * published.median_error(checked["held out"]), 1))

# %% [markdown]
# ### Engines have dates
#
# All of these rows are of 2023 and of spring 2024. Here are two tables of later years, cut into halves by the same hash. In one, TensorRT-LLM of 2025 serves large models with all requests queued at once; the other collects decode speeds of a single user, from 2024 to 2026, by five engines on cards, servers and Macs.
# **In-flight batching** lets the next request in as soon as one is done, so no formula of one batch says what comes out: the simulator of section 5 does.

# %%
predict(
    "13.j",
    "Constants fitted on rows of 2023, asked about rows of 2025 under full load. In the median, by how many percent is the calculated time off?",
    unit="%",
)

# %% name="out-dates"
NEWER = {"queued, 2025": published.queued_rows_2025(), "one user, 2024 to 2026": published.decode_rows_2025()}
BEFORE = {"TensorRT-LLM 2025": ENGINE_2023, "llama.cpp, Metal 2025": cost.find_engine("llama.cpp, Metal 2024")}
older = {engine.name: BEFORE.get(engine.name, cost.find_engine("llama.cpp 2024")) for engine in GENERATION_2025}
lines = [("median error, held out", "rows", "older engine", "its error", "of 2025", "(fitted half)")]
newer, old_error, bounded = {}, {}, 0
for name, rows in NEWER.items():
    fitted, unseen = published.halves(rows)
    newer[name] = [one for row in tqdm(unseen, desc=name) for one in published.compare([row], ENGINES)]
    off = {
        row: abs(published.predicted_s(row, older[row.engine]) / row.seconds - 1) for row in tqdm(unseen, desc="older")
    }
    again = {
        row: abs(published.predicted_s(row, ENGINES[row.engine]) / row.seconds - 1)
        for row in tqdm(fitted, desc="fitted")
    }
    old_error[name] = median(off.values())
    bounded += sum(one.row.seconds >= one.ideal_s for one in newer[name])
    engines = sorted({row.engine for row in unseen})
    for engine in (None, *engines) if len(engines) > 1 else engines:
        of_engine = [one for one in newer[name] if engine in (None, one.row.engine)]
        before = median(off[one.row] for one in of_engine)
        seen = median(error for row, error in again.items() if engine in (None, row.engine))
        told = ("all of one user", "") if engine is None else (engine, older[engine].name)
        error = published.median_error(of_engine)
        lines.append((told[0], f"{len(of_engine)}", told[1], f"{before:.1%}", f"{error:.1%}", f"{seen:.1%}"))
print(aligned(lines))
print(f"\nslower than the limits of the device: {bounded} of {sum(map(len, newer.values()))} rows; furthest off:")
for checks in newer.values():
    for one in sorted(checks, key=lambda one: -abs(one.error))[:4]:
        row = one.row
        lengths = f"{row.prompt} in, {row.output} out" if row.kind == "queued" else f"after {row.prompt} tokens"
        print(f"  {one.error:+.0%}  {row.engine}: {row.model}, {row.tensor_parallel} x {row.device}, {lengths}")

# %%
reveal("13.j", round(100 * old_error["queued, 2025"]))

# %% tags=["solution-only"]
metal = [one for one in newer["one user, 2024 to 2026"] if one.row.engine == "llama.cpp, Metal 2025"]
metal_half, _ = published.halves(
    [row for row in NEWER["one user, 2024 to 2026"] if row.engine == "llama.cpp, Metal 2025"]
)
metal_before = [abs(published.predicted_s(one.row, older[one.row.engine]) / one.row.seconds - 1) for one in metal]
as_before = [one for one in newer["queued, 2025"] if (one.row.device, one.row.weight_bits) == (H100.name, 8)]
claim(
    "on the 7 rows of an H100 in 8 bits, a device and a width that the rows of 2023 had too, the older constants are off by 95% and the later ones by 9% (medians)",
    len(as_before),
    None,
    None,
    100 * median(abs(published.predicted_s(one.row, ENGINE_2023) / one.row.seconds - 1) for one in as_before),
    100 * published.median_error(as_before),
)
metal_fitted = [abs(published.predicted_s(row, ENGINES[row.engine]) / row.seconds - 1) for row in metal_half]

# %% [markdown]
# The limits hold: every row is still slower than the limits of the device. The constants of 2023 do not. These rows come from another engine, and many also from newer devices, in fewer bits, of mixtures of experts. That is not all: on the 7 rows of an H100 in 8 bits, a device and a width that the rows of 2023 had too, the older constants are off by 95% and the later ones by 9% (medians). So an engine has a name *and a year* here, `ENGINE_2023` or `ENGINE_2025`, and every calculated price in this lesson uses the later one unless it says 2023. A split within tables of one year tells how well the constants describe that year; it is no forecast of the next.
# The new constants do not win everywhere. On Macs under Metal the engine of 2024 predicts the 12 held-out rows better than the later one (14.4% against 18.0%), although the later one is within 4.3% on the half that it was fitted on.
#
# Under full load the rows furthest off are mixtures of experts, in both directions. The calculator has one share for the products of all experts (`experts`), however many tokens each gets. The worst rows of one user are unexplained.
#
# What does in-flight batching gain? One row, both ways: with answers of equal length as in the table, and with lengths from 1 to twice the mean.

# %% name="out-inflight"
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
lines = [("", "one batch after the other", "in flight, simulated", "published")]
equal = (f"{static.tokens_per_s:,.0f}", f"{flying.tokens_per_s:,.0f}", f"{1 / row.seconds:,.0f}")
lines.append((f"{flying.batch} at a time, {row.output} out each", *equal))
mixed = (f"{lengths.sum() / static_s:,.0f}", f"{lengths.sum() / unequal.finish_s.max():,.0f}", "")
lines.append((f"{size} at a time, 1 to {2 * row.output} out", *mixed))
print(aligned(lines))

# %% [markdown]
# With equal lengths there is nothing to gain: where all requests wait at once, a batch that starts together ends together. With unequal lengths, a static batch waits for its longest answer, and in flight gives 1.9 times as many tokens per second.

# %% tags=["solution-only"]
claim("With equal lengths there is nothing to gain", holds=abs(flying.tokens_per_s / static.tokens_per_s - 1) < 0.01)
claim(
    "in flight gives 1.9 times as many tokens per second",
    (lengths.sum() / unequal.finish_s.max()) / (lengths.sum() / static_s),
    within=0.05,
)
claim("14.4% against 18.0%", 100 * median(metal_before), 100 * published.median_error(metal))
claim("the later one is within 4.3% on the half", 100 * median(metal_fitted))
claim("every row is still slower than the limits of the device", holds=bounded == sum(map(len, newer.values())))
claim("On the other half the median error is 9.6%", 100 * published.median_error(checked["held out"]), page="README.md")
claim(
    "for those of 2025 it is 6.8% under full load (simulated, 42 rows) and 11.6% for a single user (2024 to 2026, 63 rows), where the older engines would be off by 70% and 15%",
    None, 100 * published.median_error(newer["queued, 2025"]), len(newer["queued, 2025"]),
    100 * published.median_error(newer["one user, 2024 to 2026"]), None, None, len(newer["one user, 2024 to 2026"]),
    100 * old_error["queued, 2025"], 100 * old_error["one user, 2024 to 2026"],
    page="README.md",
)  # fmt: skip
claim("(14% against 18%)", 100 * median(metal_before), 100 * published.median_error(metal), page="README.md")

# %% [markdown]
# Back to the older rows: where is the calculator wrong?

# %% name="out-worst"
lines = [("off by", "measured", "calculated", "what was run")]
seen = set()
for one in sorted(every, key=lambda one: -abs(one.error)):
    row = one.row
    if (row.kind, row.model, row.device) in seen or len(seen) == 6:
        continue  # the worst row of each kind of run
    seen.add((row.kind, row.model, row.device))
    run = f"{row.kind}, {row.model}, {row.tensor_parallel} x {row.device}"
    lines.append((f"{one.error:+.0%}", f"{row.seconds * 1e3:.3g} ms", f"{one.predicted_s * 1e3:.3g} ms", run))
print(aligned(lines, left=(3,)))

apple = [one for one in every if one.row.engine == "llama.cpp, Metal 2024" and one.row.model == "LLaMA-3-70B"]
print("\nLlama-3-70B in 4.9 bits on Apple chips, median error:")
for chip in sorted({one.row.device for one in apple}):
    errors = [one.error for one in apple if one.row.device == chip and one.row.weight_bits < 8]
    print(f"  {chip:<12} {median(errors):+.0%}")

# %% [markdown]
# Two kinds of error, and what the calculator leaves out there. Neither was tested as the cause:
# - **Llama-3-70B in four bits on Apple chips.** The sign goes from below to above, from M1 to M3. In the calculator, to unpack a weight takes one number of operations for all of these chips, and they may differ in it; but they differ in size too.
# - **Large models over four or eight H100s**, in the rows of TensorRT-LLM v0.5. Between layers the devices exchange results. The calculator knows one way to do that and one delay for each hop; an engine may choose among several by the size of the message. Some of these rows are off in the other direction.
#
# ### This machine
#
# Two limits make a device, and you have measured two in lesson 01. The model is a small one, SmolLM2-135M, in 32 bits. What is run here is its *skeleton*: all matrix products of one token, in their true shapes and with random weights, no attention and no text.


# %% name="out-machine"
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


machine = roofline.measure_machine()
here = cost.measured_device(machine.peak_flops_per_s, machine.bandwidth_bytes_per_s, 8 * GIB)
SMALL = find_model("SmolLM2-135M")
torch.manual_seed(0)
skeleton = Skeleton(SMALL).eval()
print(f"this machine: {machine}")
print(f"{measure.parameters(skeleton):,} weights here, {cost.count_parameters(SMALL).matmul:,} in the calculator\n")

USERS = (1, 4, 16, 64)
inputs = {batch: torch.randn(batch, SMALL.hidden) for batch in USERS}
with torch.inference_mode():
    step_times = measure.compare_latency(
        {batch: lambda x=x: skeleton(x) for batch, x in inputs.items()}, repeats=5, warmup=1
    )
lines = [("batch", "at best", "measured", "tokens/s at best", "tokens/s measured")]
for batch, latency in step_times.items():
    best = cost.step(SMALL, here, batch=batch, new_tokens=1, weight_bits=32, efficiency=IDEAL)
    lines.append(
        (
            f"{batch}",
            f"{best.seconds * 1e3:.0f} ms, {best.bound}",
            f"{latency}",
            f"{batch / best.seconds:.0f}",
            f"{batch / latency.median_s:.0f}",
        )
    )
print(aligned(lines))

# %% [markdown]
# A batch pays here too: sixteen tokens take far less than sixteen times as long as one. But four already take longer than one, where the bound hardly moves. Why the clock stays so far behind the bound was not tested. The bound itself is an estimate from two measurements,
# and the bandwidth is that of reads *and* writes, while the model only reads.

# %% tags=["solution-only"]
times_16, times_4 = (step_times[users].median_s / step_times[1].median_s for users in (16, 4))
claim("sixteen tokens take far less than sixteen times as long as one", holds=times_16 < 10)
claim("four already take longer than one", holds=times_4 > 1.1)

# %% [markdown]
# ## 4 What makes it cheaper
#
# ### Read and write have two prices
#
# Most who sell tokens ask more for those that are written. In the calculator they cost more to make: the prompt is read at once, limited by arithmetic; the answer is written one token a step, limited by memory. How much more depends on the batch.

# %% name="out-asymmetry"
history = prices.history()
print("Llama-3-8B, H100, 1024 in, 256 out: USD per million, speed for each user")
lines = [("users", "in", "out", "out / in", "tokens/s")]
for batch in (1, 4, 16, 64, 256):
    found = cost.estimate(LLAMA_8B, H100, Workload(batch=batch, prompt=1024, output=256), ENGINE_2025)
    usd_in, usd_out = found.usd_per_million_input_tokens, found.usd_per_million_output_tokens
    lines.append(
        (f"{batch}", f"{usd_in:.4f}", f"{usd_out:.3f}", f"{usd_out / usd_in:.0f}", f"{found.tokens_per_s_per_user:.0f}")
    )
print(aligned(lines))
ratios = [price.usd_per_million_output_tokens / price.usd_per_million_input_tokens for price in history]
print(
    f"\nprice lists since 2023: out / in {median(ratios):.1f} in the median, {np.percentile(ratios, 90):.0f} or more in one of ten,"
)
print(f"one price for both in {sum(ratio == 1 for ratio in ratios)} of {len(ratios)} rows")

# %% [markdown]
# The last column is the other side of the bargain: on one machine, cheap tokens are slow tokens. And 22 of 158 rows of the price lists, all of open models but one, have one price for both directions: a list price is a decision, and not a cost.

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
    "Most who sell tokens ask more for those that are written",
    holds=min(ratios) == 1 and len(same_price) < len(history) / 2,
)

# %% [markdown]
# To compare two sellers by one number needs a **mix**: how many tokens are read for each that is written. By hand: 1 USD per million in, 5 out, three tokens read for each one written. Four tokens cost 3 · 1 + 5 = 8 millionths of a dollar, so a million of the mix costs 2 USD.

# %% [markdown]
# ### Exercise 13.7 - One price for a mix (5 min)


# %% name="ex-13-7" tags=["exercise"]
def blended_usd(price_in, price_out, tokens_in, tokens_out):
    """USD for a million tokens of the mix.

    price_in, price_out: USD per million. For each tokens_in that are read, tokens_out are written.
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
# What would you pay for tokens_in and tokens_out tokens? And for how many tokens is that?
# </details>

# %% [markdown]
# ### More devices
#
# In **tensor parallelism** each device holds a part of every matrix. All of them fetch at once, so a step gets shorter; but twice in each layer they have to add up their results.

# %%
predict(
    "13.e",
    "Llama-2-7B for a single user, on eight A100 instead of one (gpt-fast, published). How many times as fast?",
    unit="times",
)


# %% name="fig-parallel"
def of_seven(one):
    row = one.row
    return row.engine == "gpt-fast 2023" and row.model == "LLaMA-2-7B" and row.weight_bits == 16


def draw_parallel(rows):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4))
    devices = sorted(rows)
    for source, colour, marker in (("measured", "blue", "o"), ("calculated", "orange", "s")):
        seconds = {n: rows[n].row.seconds if source == "measured" else rows[n].predicted_s for n in devices}
        left.plot(
            devices,
            [seconds[1] / seconds[n] for n in devices],
            marker=marker,
            color=COLOURS[colour],
            linestyle="-" if source == "measured" else "--",
            label=source,
        )
    left.plot(devices, devices, color="black", linestyle=":", linewidth=1.5, label="in proportion")
    left.set(xlabel="devices", ylabel="times as fast", xticks=devices)
    left.legend(fontsize=12)
    below = np.zeros(len(devices))
    parts = {
        "memory": ("fetching", "blue", ""),
        "overhead": ("starting kernels", "orange", "//"),
        "link": ("exchanging", "vermillion", ".."),
    }
    shares = {
        n: cost.step(
            LLAMA_7B, AS_MEASURED, new_tokens=1, context=rows[n].row.prompt, tensor_parallel=n, efficiency=GPT_FAST_2023
        ).shares_s
        for n in devices
    }
    for bound, (name, colour, hatch) in parts.items():
        heights = np.array([1e3 * shares[n].get(bound, 0) for n in devices])
        look = {"color": COLOURS[colour], "hatch": hatch, "edgecolor": "white", "label": name}
        right.bar([str(n) for n in devices], heights, bottom=below, **look)
        below += heights
    right.set(xlabel="devices", ylabel="ms per token, calculated", ylim=(0, 1.15 * max(below)))
    right.legend(fontsize=12)
    return figure


scaling = {one.row.tensor_parallel: one for one in every if of_seven(one)}
AS_MEASURED = find_device(scaling[1].row.device)
show(
    draw_parallel(scaling),
    alt="On the left how many times as fast Llama-2-7B gets with one to eight devices, measured and calculated, far below the proportional line. On the right the calculated milliseconds: fetching shrinks, the start of kernels stays.",
)

# %%
reveal("13.e", round(scaling[1].row.seconds / scaling[8].row.seconds, 1))

# %% [markdown]
# In the calculator fetching is divided by the number of devices. Starting kernels is not, and the exchange comes on top (too little to be seen: for this engine its delay is set to 0). So for one user more devices make the wait shorter and each token dearer: eight rents, and 3.1 times the speed. Whether
# a single user gains at all depends on how the engine exchanges:

# %% name="out-ring"
for engine, way in ((GPT_FAST_2023, "one kernel reads from all others"), (ENGINE_2023, "a ring of small steps")):
    seconds = {
        n: cost.step(LLAMA_7B, AS_MEASURED, new_tokens=1, context=105, tensor_parallel=n, efficiency=engine).seconds
        for n in (1, 2, 8)
    }
    print(f"{way:<33} 2 devices {seconds[1] / seconds[2]:.1f}, 8 devices {seconds[1] / seconds[8]:.1f} times as fast")
print(f"extrapolates: {ENGINE_2023.beyond(AS_MEASURED, Workload(tensor_parallel=8))[0]} for the ring")

# %% [markdown]
# There is a case in which more devices make each *token* cheaper: where the weights leave little room for caches, a second device makes room for a batch that is far more than twice as large. Llama-3-70B in 8 bits, 800 tokens in, 200 out, each time with as many requests as fit:

# %% name="out-crowded"
lines = [("H100s", "requests", "ms per token", "USD per million, out")]
crowded = {}
for devices in (1, 2, 4, 8):
    run = Workload(prompt=800, output=200, weight_bits=8, kv_bits=8, compute_bits=8, tensor_parallel=devices)
    run = replace(run, batch=cost.largest_batch(LLAMA_70B, H100, run))
    crowded[devices] = cost.estimate(LLAMA_70B, H100, run, ENGINE_2025)
    usd_out = crowded[devices].usd_per_million_output_tokens
    lines.append((f"{devices}", f"{run.batch:,}", f"{1e3 * crowded[devices].tpot_s:.0f}", f"{usd_out:.3f}"))
print(aligned(lines))

# %% tags=["solution-only"]
claim("eight rents, and 3.1 times the speed", scaling[1].row.seconds / scaling[8].row.seconds)
full_usd = {devices: found.usd_per_million_output_tokens for devices, found in crowded.items()}
claim(
    "a second device makes room for a batch that is far more than twice as large",
    holds=crowded[2].workload.batch > 4 * crowded[1].workload.batch and full_usd[2] < full_usd[1],
)
claim("The second device makes a token 43% cheaper", 100 * (1 - full_usd[2] / full_usd[1]))
claim("from there on each token gets dearer again", holds=full_usd[2] < full_usd[4] < full_usd[8])

# %% [markdown]
# The second device makes a token 43% cheaper; from there on each token gets dearer again.
#
# ### Fewer bits: of what?
#
# Weights in fewer bits make the shared part of a step smaller, a cache in fewer bits the part that each user brings along. Which is larger?

# %% name="out-bits"
lines = [("ms a step, 8B, H100", "16 bits", "weights 4.5", "KV cache 8", "both")]
FORMATS = ({}, {"weight_bits": 4.5}, {"kv_bits": 8}, {"weight_bits": 4.5, "kv_bits": 8})
for users, context in ((1, 512), (1, 32768), (16, 512), (16, 8192), (16, 32768), (512, 128)):
    times_s = [
        cost.step(LLAMA_8B, H100, batch=users, new_tokens=1, context=context, efficiency=ENGINE_2025, **bits).seconds
        for bits in FORMATS
    ]
    lines.append((f"{users} x {context:,} tokens", *(f"{1e3 * seconds:.1f}" for seconds in times_s)))
print(aligned(lines))

# %% [markdown]
# Bytes not fetched are seconds saved, but only where bytes are the limit, and only of the part that is large. In the last row, 512 users with short texts, the matrices wait for arithmetic, which does not get less when weights in fewer bits are unpacked before they are multiplied; the caches still wait for memory.
#
# ### A part of the weights
#
# In a **mixture of experts** each token goes through a few of many feed-forward blocks. Qwen3-30B-A3B chooses 8 of 128 for each token. So the FLOPs of a token fall for good. But the tokens of a batch choose differently, and whatever one of them chooses has to be fetched:

# %% name="out-experts"
MIXTURE = find_model("Qwen3-30B-A3B")
of_all = cost.count_parameters(MIXTURE)
print(
    f"{of_all.matmul / 1e9:.1f} billion weights that multiply, {of_all.matmul_active / 1e9:.1f} billion of them for a token\n"
)
lines = [("users", "GFLOP per token", "GB of experts fetched", "of all experts")]
fetched = {}
for users in (1, 4, 16, 64, 256):
    rows = cost.step(MIXTURE, H100, batch=users, new_tokens=1, context=1000, efficiency=IDEAL).rows
    fetched[users] = sum(row.operator.weights for row in rows if row.operator.role is cost.Role.EXPERT)
    flops = sum(row.operator.flops for row in rows) / users
    share = fetched[users] / of_all.feed_forward
    lines.append((f"{users}", f"{flops / 1e9:.1f}", f"{2 * fetched[users] / 1e9:.1f}", f"{share:.0%}"))
print(aligned(lines))

# %% tags=["solution-only"]
claim(
    "With 64 users 98% of all experts are fetched, for about a tenth of the arithmetic",
    None,
    100 * fetched[64] / of_all.feed_forward,
    holds=0.08 < of_all.matmul_active / of_all.matmul < 0.12,
)
claim("For one user it is 6%", 100 * fetched[1] / of_all.feed_forward)

# %% [markdown]
# For one user it is 6%. With 64 users 98% of all experts are fetched, for about a tenth of the arithmetic. That is if tokens choose evenly and independently, as the calculator assumes; where they prefer some experts, fewer are fetched. Such a model needs a large batch before its matrices wait for arithmetic, and memory for all of its weights.
#
# ### A draft model
#
# Decode for a few users waits for memory while the arithmetic has nothing to do. **Speculative decoding** gives it something: a small model proposes a few tokens, one after the other, and the large one checks them all *in one step*, like a short prompt. Every proposal up to the first wrong one is kept, and the large model adds a token of its own. With greedy choice the text stays the same, and with sampling a rule of acceptance keeps its distribution (Leviathan et al. 2023). If each proposal holds
# with probability $a$, whatever came before it, then of $k$ proposals a step gives
#
# $$1 + a + a^2 + \dots + a^k$$
#
# tokens on average. By hand: two proposals, each right half of the time: 1 + 0.5 + 0.25 = 1.75.

# %%
predict(
    "13.f",
    "Llama-3-70B on four A100, 256 users at once, a draft of one billion weights, 4 proposals of which 60% hold. Is it faster?",
    choices=("faster, as for one user", "faster, but less than for one user", "slower than without a draft"),
)


# %% name="fig-draft"
DRAFT = find_model("LLaMA-3.2-1B")
USERS_AT_ONCE = (1, 4, 16, 64, 128, 256, 512)


def draft_gain(users, acceptance):
    """How many times as fast each token comes with a draft."""
    plain = Workload(batch=users, prompt=512, output=128, tensor_parallel=4)
    drafted = replace(plain, draft=Draft(DRAFT, tokens=4, acceptance=acceptance))
    without, with_draft = (cost.estimate(LLAMA_70B, A100, workload, ENGINE_2025) for workload in (plain, drafted))
    return without.tpot_s / with_draft.tpot_s


def draw_draft():
    figure, axes = plt.subplots(figsize=(8, 4.4))
    for acceptance, colour, marker, line in (
        (0.8, "blue", "o", "-"),
        (0.6, "orange", "s", "--"),
        (0.4, "vermillion", "D", "-."),
    ):
        gains = [draft_gain(users, acceptance) for users in USERS_AT_ONCE]
        axes.plot(
            USERS_AT_ONCE,
            gains,
            marker=marker,
            color=COLOURS[colour],
            linestyle=line,
            label=f"{acceptance:.0%} of the proposals hold",
        )
    axes.axhline(1, color="black", linewidth=1.5)
    axes.set(xscale="log", xlabel="users at once", ylabel="times as fast as without", ylim=(0, None))
    axes.set_xticks(USERS_AT_ONCE, [str(users) for users in USERS_AT_ONCE])
    axes.minorticks_off()
    axes.legend(fontsize=12)
    return figure


show(
    draw_draft(),
    alt="Gain of speculative decoding over the number of users, for three rates of acceptance. For a few users it is above 1; it falls with the batch, and below 1 for many users.",
)

# %%
one_user, many_users = draft_gain(1, 0.6), draft_gain(256, 0.6)
answers = ("slower than without a draft", "faster, but less than for one user", "faster, as for one user")
reveal("13.f", answers[0 if many_users < 1 else 1 if many_users < 0.9 * one_user else 2])

# %% [markdown]
# The check costs five times the arithmetic of one token. For one user that arithmetic was idle. In a large batch of short texts it was not. With long contexts even a large batch waits for its caches and has arithmetic left, and then it is the draft's own cache, read for each guess, that decides (*MagicDec*, Sadhukhan et al. 2025).
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
# Change the model, the device, the lengths, the bits: what waits for what, what fits, what it costs.

# %% name="out-calculator" tags=["widget"]
calculator(model="LLaMA-3-8B", device="H100-SXM-80GB")

# %% [markdown]
# ## 5 A service under load
#
# In a service, requests come when people ask, and the batch is who happens to be there. How long does one wait?
#
# ### Waiting in line
#
# Begin with the simplest queue: one request at a time, each takes $s$ seconds, they come at random, $\lambda$ per second on average. The server is busy for the share $\rho = \lambda s$ of the time, its **load**. The mean wait before it is one's turn is
#
# $$\text{wait} = \frac{\rho \, s}{2 (1 - \rho)}.$$
#
# By hand: $s = 2$ s and $\lambda = 0.25$ per second: load 0.5, and the wait is 0.5 · 2 / (2 · 0.5) = 1 s. Nobody would wait if they came evenly spaced: it is chance that makes the line.

# %% [markdown]
# ### Exercise 13.8 - Waiting in line (8 min)


# %% name="ex-13-8" tags=["exercise"]
def mean_wait_seconds(service_s, arrivals_per_s):
    """The mean wait before a request is served; float("inf") where the line grows without end.

    service_s: what each request takes, always the same. arrivals_per_s: requests per second, at random moments.
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
# What happens to the line when more comes than can be served? The formula alone would give a negative wait.
# </details>

# %% [markdown]
# Now a simulator, which goes from event to event and knows nothing of the formula. Let it serve prompts of 1024 tokens with a single token for an answer, one after the other, and compare.

# %% name="out-queue"
EIGHT = serving.calculator_timing(LLAMA_8B, H100, Workload(prompt=512, output=128), ENGINE_2025)
ROOM = serving.kv_room_tokens(LLAMA_8B, H100, Workload())
service_s = EIGHT.prefill_s(1024, 0)
print(f"a prompt takes {1e3 * service_s:.1f} ms; room for {ROOM:,} tokens of KV cache\n")
lines = [("load", "wait by the formula", "simulated, 25,000 requests")]
for load in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
    requests = serving.poisson_arrivals(load / service_s, 25_000, prompt=1024, output=1, seed=0)
    served = serving.simulate(requests, EIGHT, kv_tokens=ROOM, max_batch=1)
    lines.append(
        (f"{load:.0%}", f"{1e3 * serving.md1_wait_s(service_s, load):.1f} ms", f"{1e3 * served.wait_s.mean():.1f} ms")
    )
print(aligned(lines))

# %% [markdown]
# They agree, and less well where the line is long: there the waits of neighbours are alike, and many requests count for few. From half load to 90% the wait becomes nine times as long. **Where people wait, a service that is always busy is one that nobody wants to wait for.** So its devices cannot be busy all the time, unless other work may wait, and idle hours cost rent, too.

# %% tags=["solution-only"]
claim(
    "From half load to 90% the wait becomes nine times as long",
    None,
    holds=abs(serving.md1_wait_s(service_s, 0.9) / serving.md1_wait_s(service_s, 0.5) - 9) < 1e-9,
)
other = serving.simulate(
    serving.poisson_arrivals(0.5 / service_s, 25_000, prompt=1024, output=1, seed=1), EIGHT, kv_tokens=ROOM, max_batch=1
)
claim("They agree", holds=abs(other.wait_s.mean() / serving.md1_wait_s(service_s, 0.5) - 1) < 0.05)

# %% [markdown]
# ### A batch that changes with every step
#
# In **continuous batching**, after *each step* those who are done leave, and those who wait come in, if the cache has room for them. Here are fifty thousand requests whose lengths are drawn: many short ones and a few long ones.

# %% name="out-service"
PROMPTS = serving.lognormal_lengths(median=512, spread=2, most=4096)
OUTPUTS = serving.lognormal_lengths(median=128, spread=2, most=1024)


def requests_at(rate_per_s, count=1500):
    """Requests that come at random: so many a second on average."""
    return serving.poisson_arrivals(rate_per_s, count, PROMPTS, OUTPUTS, seed=0)


requests = requests_at(16, 50_000)
began_s = time.perf_counter()
served = serving.simulate(requests, EIGHT, kv_tokens=ROOM)
took_s = time.perf_counter() - began_s
print(f"{len(requests):,} requests, {served.output.sum():,} tokens, {served.totals.decode_steps:,} steps")
print(f"{served.duration_s / 3600:.1f} hours of service, simulated in {took_s:.1f} s\n")
lines = [("within, in ms", "half of the users", "99 of 100")]
for times, name in (("ttft_s", "the first token"), ("tpot_s", "each further token"), ("latency_s", "the last token")):
    lines.append((name, *(f"{1e3 * served.percentile(times, percent):,.1f}" for percent in (50, 99))))
print(aligned(lines))
print(f"\n{served.mean_batch:.1f} users in a step, {served.kv_occupancy:.0%} of the KV cache in use, on average")

# %% [markdown]
# Can one trust it? **Little's law**, $L = \lambda W$, holds for every service that starts and ends empty. The mean number of requests that are there is the rate at which they come, times the mean time that each stays. The loop counts the left side; the right side
# comes from the time stamps of each request. An engine that loses somebody, or counts a second twice, is found out. (One whose steps take the wrong time is not.)

# %% name="out-little"
rate = len(requests) / served.duration_s
print(f"counted over time     {served.mean_in_system:.6f} requests there")
print(
    f"rate x mean stay      {rate * served.latency_s.mean():.6f}   ({rate:.2f} per second x {served.latency_s.mean():.3f} s)"
)
print(f"difference            {served.little_error:.0e} of it")

# %% [markdown]
# ### The knee
#
# Now raise the rate, and look at what the service gives, and what its users wait for. Move what is stored and multiplied (16 or 8 bits, weights and cache), and how many users a step may have at most.

# %%
predict(
    "13.g",
    "From 20 to 32 requests per second, 16 bits, 256 users in a step: a request stays how many times as long, on average?",
    unit="times",
)


# %% name="fig-load" tags=["widget"]
RATES = (1, 2, 4, 8, 12, 16, 20, 24, 32, 48)
STORED = {16: {}, 8: {"weight_bits": 8, "kv_bits": 8, "compute_bits": 8}}


def load_rows(bits, most):
    """The service at each of the rates, with at most so many users in a step."""
    workload = Workload(prompt=512, output=128, **STORED[bits])
    timing = serving.calculator_timing(LLAMA_8B, H100, workload, ENGINE_2025)
    room = serving.kv_room_tokens(LLAMA_8B, H100, workload)
    return serving.load_curve(requests_at, timing, RATES, kv_tokens=room, max_batch=most)


load_curves = {(bits, most): load_rows(bits, most) for bits in STORED for most in (8, 32, 256)}


def draw_load(bits, most):
    rows = load_curves[bits, most]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    rates = [row.rate_per_s for row in rows]
    left.plot(rates, [row.tokens_per_s for row in rows], marker="o", color=COLOURS["blue"])
    right.plot(rates, [row.ttft_p50_s for row in rows], marker="o", color=COLOURS["blue"], label="half of them")
    right.plot(
        rates,
        [row.ttft_p99_s for row in rows],
        marker="s",
        linestyle="--",
        color=COLOURS["vermillion"],
        label="99 of 100",
    )
    right.plot(
        rates,
        [row.tpot_p99_s for row in rows],
        marker="^",
        linestyle=":",
        color=COLOURS["green"],
        label="each further token, 99 of 100",
    )
    bend = serving.knee(rows)
    for axes in (left, right):
        axes.axvline(bend.rate_per_s, color="black", linestyle=":", linewidth=2)
        axes.set(xlabel="requests per second")
    left.text(bend.rate_per_s + 1, 200, "knee", fontsize=13)
    left.set(ylabel="output tokens per second", ylim=(0, 6500))
    right.set(ylabel="first token within, in s", yscale="log", ylim=(0.002, 20000))
    right.legend(fontsize=12, loc="upper right")
    return figure


explore(
    draw_load,
    alt=lambda bits, most: (
        f"Output tokens per second, and the time to the first and to each further token, over the rate of requests, for {bits} bits and at most {most} users in a step; a dotted line marks the knee."
    ),
    bits=tuple(STORED),
    most=(8, 32, 256),
)

# %% name="fig-load-frame" tags=["solution-only"]
# One frame of the figure above, for the slides.
show(
    draw_load(16, 256),
    alt="On the left the output tokens per second rise with the rate of requests and then stay flat. On the right the time to the first token stays short and then rises steeply; the time for each further token rises earlier, and slowly. A dotted line marks the knee.",
)

# %% name="out-knee"
PROMISE_S = {"ttft_p99_s": 0.5, "tpot_p99_s": 0.025}  # for 99 of 100: the first token, and each further one on average


def kept_rate(rows):
    """The highest rate at which both promises are kept."""
    return max(row.rate_per_s for row in rows if all(getattr(row, name) <= s for name, s in PROMISE_S.items()))


lines = [("", "knee, requests/s", "tokens/s", "first token", "most tokens/s", "promises kept up to")]
for (bits, most), rows in load_curves.items():
    bend = serving.knee(rows)
    highest = max(row.tokens_per_s for row in rows)
    cells = (f"{bend.rate_per_s}", f"{bend.tokens_per_s:.0f}", f"{bend.ttft_p99_s:.2f} s", f"{highest:.0f}")
    lines.append((f"{bits} bits, {most} in a step", *cells, f"{kept_rate(rows)} per s"))
print(
    "first token: 99 of 100. The promises, for 99 of 100: the first token within 0.5 s, each further one within 25 ms on average"
)
print(aligned(lines))

# %%
by_rate = {row.rate_per_s: row for row in load_curves[16, 256]}
reveal("13.g", round(by_rate[32].latency_mean_s / by_rate[20].latency_mean_s, 1))

# %% [markdown]
# The **knee** is the rate at which a service gives most for the time that a request stays (Kleinrock, 1979). With 16 bits and up to 256 users in a step, from 1 to 20 requests per second the tokens become 20 times as many, and the stay twice as long. From 20 to 32 there are a third more tokens, and the stay is 2.8 times as long: the steps serve more users, and more prompts come between them. At 48 more comes than can be served, and the line grows for as long as the rush lasts.
# With more than these 1500 requests the times at 32 and 48 would be longer still, and at 32 the tokens more. A small limit on the batch makes the steps short and the line long. The knee is flat: another draw of the requests (for one curve) moves it by at most one step of this scale.
#
# Who promises a time asks up to which rate the promise is kept. What is served within it is called **goodput** (Zhong et al. 2024, *DistServe*). It may lie on either side of the knee, and what the service could give beyond is not for sale.
#
# While a prompt is computed, in this engine nobody else gets a token. **Chunked prefill** (Agrawal et al. 2024, *Sarathi-Serve*) cuts prompts into pieces that share steps with the answers of others; **disaggregation** computes prompts on other devices than answers. The simulator can do the first:

# %% name="out-chunked"
busy = requests_at(24)
lines = [("24 requests per second, 99 of 100", "first token, ms", "each further, ms")]
policies = {}
for name, policy in {"prompts first": {}, "in chunks of 512": {"prefill": "chunked", "chunk_tokens": 512}}.items():
    found = serving.simulate(busy, EIGHT, kv_tokens=ROOM, **policy)
    policies[name] = [1e3 * found.percentile(times, 99) for times in ("ttft_s", "tpot_s")]
    lines.append((name, *(f"{ms:.0f}" for ms in policies[name])))
print(aligned(lines))

# %% tags=["solution-only"]
rows_16 = load_curves[16, 256]
claim(
    "from 1 to 20 requests per second the tokens become 20 times as many, and the stay twice as long",
    None, None, by_rate[20].tokens_per_s / by_rate[1].tokens_per_s,
    holds=abs(by_rate[20].latency_mean_s / by_rate[1].latency_mean_s - 2) < 0.25,
)  # fmt: skip
claim(
    "From 20 to 32 there are a third more tokens, and the stay is 2.8 times as long",
    None, None, by_rate[32].latency_mean_s / by_rate[20].latency_mean_s,
    holds=abs(by_rate[32].tokens_per_s / by_rate[20].tokens_per_s - 4 / 3) < 0.03,
)  # fmt: skip
claim(
    "2.8 times, for a third more tokens",
    by_rate[32].latency_mean_s / by_rate[20].latency_mean_s,
    page="slides/13_llm_cost.md",
)
claim(
    "At 48 more comes than can be served",
    None,
    holds=by_rate[48].ttft_p50_s > 1 and by_rate[48].tokens_per_s < by_rate[32].tokens_per_s,
)
knees = {key: serving.knee(rows).rate_per_s for key, rows in load_curves.items()}
claim(
    "It may lie on either side of the knee",
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
    "In chunks, each further token comes sooner and the first one later",
    holds=next_cut < 0.8 * next_alone and first_cut > 1.2 * first_alone,
)

# %% [markdown]
# In chunks, each further token comes sooner and the first one later.

# %% [markdown]
# ## 6 Prices
#
# ### Another engine, another price
#
# Begin with a fall of the cost that no price list announces: the same model, device and rent, and an engine two years younger. One decode step of Llama-3-70B in 8 bits on two H100, for 64 users with 4000 tokens each:

# %% name="out-generations"
STEP = {"batch": 64, "new_tokens": 1, "context": 4000, "weight_bits": 8, "kv_bits": 8, "compute_bits": 8}
steps = {
    engine: cost.step(LLAMA_70B, H100, efficiency=engine, tensor_parallel=2, **STEP)
    for engine in (ENGINE_2023, ENGINE_2025)
}
lines = [("ms per step", *map(str, steps))]
for rows in zip(*(found.rows for found in steps.values())):
    lines.append((rows[0].operator.name, *(f"{row.seconds * 1e3:.2f}" for row in rows)))
lines.append(("starting kernels", *(f"{found.overhead_s * 1e3:.2f}" for found in steps.values())))
lines.append(("all", *(f"{found.seconds * 1e3:.2f}" for found in steps.values())))
usd = [2 * H100.usd_per_hour / 3600 * found.seconds / 64 * 1e6 for found in steps.values()]
lines.append(("USD per million output tokens", *(f"{value:.3f}" for value in usd)))
print(aligned(lines))

# %% [markdown]
# A token costs .54 of what it cost. Two rows changed most. By the constants of 2023, kernels read the shared keys and values again for most query heads (`kv_reread`), and each layer begins with a pause in which kernels are started (`launch_s`). By those of 2025 the cache is read once, though not at the full bandwidth (`kv_bandwidth`), and no pause is seen. The fit names these constants; nobody has looked into the kernels. And the rows of 2025 are all under full load, where a pause can hide behind the step before.

# %% tags=["solution-only"]
claim("A token costs .54 of what it cost", usd[1] / usd[0])
fallen_s = {old.operator.name: old.seconds - new.seconds for old, new in zip(*(found.rows for found in steps.values()))}
fallen_s["starting kernels"] = steps[ENGINE_2023].overhead_s - steps[ENGINE_2025].overhead_s
claim("Two rows changed most", holds=set(sorted(fallen_s, key=fallen_s.get)[-2:]) == {"attention", "starting kernels"})

# %% [markdown]
# By hand, in four parts: matrices 4 ms, attention 4, exchange 0, starting kernels 2; together 10. A new engine has 4, 2, 0 and 2: only attention changed, so `kv_reread` did, and a token costs 8 / 10 of what it cost.

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
# Which parts have another time? If there are two of them, what do they have in common?
# </details>
# <details><summary>Hint 2: the price</summary>
#
# The rent per hour is the same, and so are the tokens of a step. What is left of the price is what is left of the time.
# </details>

# %% [markdown]
# ### What tokens are sold for
#
# Here are list prices since 2023, from announcements and public collections; each row has its source. One price for a mix: four tokens read for each one written. Triangles mark each change *under the same name*, downwards a fall, upwards a rise.

# %%
predict("13.h", "Of all changes of a price under the same name, how many percent are rises?", unit="%")


# %% name="fig-prices"
SHARE = 0.2  # one token in five is written
LINES = {
    "OpenAI, small models": (prices.OPENAI_SMALL, None, "blue", "-"),
    "OpenAI, large models": (prices.OPENAI_LARGE, None, "vermillion", "--"),
    "DeepSeek, deepseek-chat": (("deepseek-chat",), "DeepSeek", "green", "-."),
}
moves = prices.changes(history, SHARE)


def draw_prices():
    figure, axes = plt.subplots(figsize=(11, 4.9))
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
        ylabel="USD per million tokens, 4 in : 1 out",
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

# %% name="out-moves"
rises = [move for move in moves if move.rose]
snapshots = prices.name_moves()


def other_model(move):
    """Whether the name stood for another model after the change."""
    stood_for = {
        prices.snapshot_on(snapshots, price.provider, price.model, price.date) for price in (move.before, move.after)
    }
    return len(stood_for) > 1


renewed = [move for move in moves if other_model(move)]
print(f"{len(moves)} changes under the same name, in {len(renewed)} of them it was another model from then on")
print(f"{len(rises)} are rises, {sum(map(other_model, rises))} of these with another model; the largest:")
for move in sorted(rises, key=lambda move: -move.ratio)[:5]:
    print(f"  {move}")
print("and the largest falls:")
for move in sorted(moves, key=lambda move: move.ratio)[:4]:
    print(f"  {move}")

# %%
reveal("13.h", round(100 * len(rises) / len(moves)))

# %% [markdown]
# A name is not a product: 15 of 38 changes came with another model under the same name, and so did 4 of the 9 rises.
#
# Now the question of the beginning: by how much did it fall? Take the two prices, and mix.

# %% name="out-mixes"
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
# Between 3.3 and 13 times: all of these numbers are right, and a headline has one of them. The same holds for "the price halves every so many months": somebody has to choose the prices.

# %% name="out-halving"
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
    "asked 15 cents to read a million and 60 to write them",
    100 * new.usd_per_million_input_tokens,
    100 * new.usd_per_million_output_tokens,
)
falls_by_mix = [prices.blended_usd(old, share) / prices.blended_usd(new, share) for share in (1, 0)]
claim("Between 3.3 and 13 times", *falls_by_mix)

# %% [markdown]
# ### The same quality
#
# None of these holds quality constant. A cheap model of today is not the cheap model of 2023. So give each model a **score**: the share of the 14,042 questions of MMLU that it answers rightly, as its maker reports it, five examples shown where that was reported. Now ask only for models that are *at least as good* as one of these: GPT-3.5, Claude 2, GPT-4; the bar is the score of each less one point, which the test can hardly tell apart.

# %%
predict(
    "13.k",
    "From March 2023 to today: how many times cheaper per year did a model as good as GPT-4 get, on average?",
    unit="times",
)

# %% name="fig-axes"
TODAY = "2026-11-29"
scored, scores = prices.scored_history(), prices.mmlu_scores()
LEVELS = dict(zip(("GPT-3.5", "Claude 2", "GPT-4"), prices.LEVELS))
percents = {name: prices.level_percent(scores, snapshot) for name, snapshot in LEVELS.items()}
LOOKS = dict(zip(LEVELS, (("blue", "-", "o"), ("green", "--", "s"), ("vermillion", "-.", "^"))))


def draw_axes():
    axes_data = prices.three_axes(scored, prices.sold_speeds(), percents.values(), SHARE, TODAY)
    figure, (cheaper, faster, better) = plt.subplots(1, 3, figsize=(15, 5))
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
    cheaper.set(yscale="log", ylabel="USD per million tokens, 4 in : 1 out")
    faster.set(yscale="log", ylabel="output tokens per second, one user")
    better.set(ylabel="best MMLU score on sale, in %")
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

# %% name="out-quality"
lines = [("at least as good as", "MMLU", "first", "now", "times cheaper per year", "line through record lows (95%)")]
falls = {name: prices.fall_at_least(scored, percent, SHARE, TODAY) for name, percent in percents.items()}
for name, fall in falls.items():
    trend = fall.trend
    told = f"{trend.times_per_year:.0f} ({trend.low_times:.1f} to {trend.high_times:.0f})"
    now = prices.blended_usd(fall.last.price, SHARE)
    lines.append(
        (name, f"{fall.percent:.1f}", f"{fall.points[0][1]:.2f}", f"{now:.3f}", f"{fall.times_per_year:.1f}", told)
    )
print(aligned(lines))
fit = prices.hedonic_fit(scored, SHARE).trend
print(f"\nall scored prices, log2(price) = a + b * years + c * score: {fit.times_per_year:.1f} times per year")
print(f"(95% interval {fit.low_times:.1f} to {fit.high_times:.1f}, {fit.points} prices, errors clustered by model)")

# %%
reveal("13.k", round(falls["GPT-4"].times_per_year, 1))

# %% [markdown]
# The line through the record lows falls by construction, and its interval knows nothing of that. The average from the first price to today counts the slow years too, but it rests on two prices, and the second is the lowest of many sellers. The regression uses every scored price and asks what one more year does at the same score: 4.1 times, with an interval of 3.1 to 5.6. It assumes that a point of score multiplies the price by the same factor at every score, and that the fall is equally fast in all years, which the first panel does not suggest.
#
# The first panel draws record lows. A record may be off the list by now: for Claude 2 today's cheapest price, in the table, is above the end of its line. The middle panel has other sellers in each year, some with devices made for speed, and shows no clear trend.

# %% name="out-epoch"
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
# Epoch AI (2025) fitted lines through record lows too, on several tests: from 9 to 900 times per year over all of its levels, 40 at GPT-4's level on GPQA, a test of hard science questions. Where the test and the level are the same, their points and this table agree: each number lies in the other's interval. The two largest of this table are those of a harder test, of four points each, and of eight months at most; which of these makes them large cannot be told from here. Since then, the lowest price at GPT-4's level fell by 7% here.
# MMLU itself has nearly reached its top, and the makers of the best models no longer report it.
#
# ### Which rows to trust
#
# A line of products under one brand is not one product: its successor may be larger, and better. An open model sold by many comes nearest to one product: here nearly one shape (Llama 2 has a smaller vocabulary), and other weights in 2, 3, 3.1 and 3.3. And the intervals of the lines assume that prices scatter independently, which prices do not do; that of the regression allows for it within a model.
#
# ### Made and sold
#
# The shape of an open model is public, so one knows what a token *needs*. Llama-3-70B in 8 bits on two rented H100, at the list rent, busy all the time; 800 tokens in, 200 out.

# %% name="out-made"
MADE_ON = Workload(prompt=800, output=200, weight_bits=8, kv_bits=8, compute_bits=8, tensor_parallel=2)
fitting = cost.largest_batch(LLAMA_70B, H100, MADE_ON)
made = {
    users: cost.estimate(LLAMA_70B, H100, replace(MADE_ON, batch=users), ENGINE_2025)
    for users in (1, 8, 64, 256, fitting)
}
lines = [("made, USD per million", "in", "out", "mix 4 : 1", "tokens/s, each")]
for users, found in made.items():
    lines.append(
        (
            f"{users} at once",
            f"{found.usd_per_million_input_tokens:.3f}",
            f"{found.usd_per_million_output_tokens:.3f}",
            f"{found.usd_per_million_tokens:.3f}",
            f"{found.tokens_per_s_per_user:.0f}",
        )
    )
print(aligned(lines))
print(f"\nrent: {H100.usd_per_hour} USD per hour for each\n({H100.price_source})")

# %%
predict(
    "13.i",
    "The sellers of this open model: how many of their list prices lie below what it costs to make with 64 users, at full load?",
    choices=("none", "a few", "more than half"),
)

# %% name="out-sold"
at_64 = made[64]
sold = prices.of_models(history, ("llama-3-70b", "llama-3.1-70b", "llama-3.3-70b"))  # one shape, three trainings
lines = [("sold", "", "in", "out", "4 : 1", "sold / made", "busy")]
below = 0
for price in sold:
    times = prices.sold_over_made(price, at_64.usd_per_million_input_tokens, at_64.usd_per_million_output_tokens, SHARE)
    below += times < 1
    busy = f"{1 / times:.0%}" if times >= 1 else "> 100%"
    usd = (price.usd_per_million_input_tokens, price.usd_per_million_output_tokens, prices.blended_usd(price, SHARE))
    lines.append(
        (f"{price.date:%Y-%m} {price.provider}", price.model, *(f"{value:.2f}" for value in usd), f"{times:.2f}", busy)
    )
print(aligned(lines, left=(0, 1)))

# %%
reveal("13.i", "none" if below == 0 else "more than half" if below > len(sold) / 2 else "a few")

# %% [markdown]
# Do not read "sold / made" as profit. `made` is the rent of two devices that are busy day and night, and section 5 said why they are not; "busy" is the share of the time that would be enough to pay the rent, at this batch. It leaves out people, networks, and the training. But whoever owns the devices, or has rented them for years, pays less than the list rent,
# which is that of 2026, while all prices but one are older; a prompt that many send alike is computed once and kept; and some of these sellers (Groq, Cerebras, SambaNova) do not use GPUs at all. What can be said is the order of magnitude: *12 of the 13 list prices of this open model lie between .7 and 4.6 times the rent of a well-used machine*.
#
# And why does the price keep falling? You have met what can make a token cheaper: larger batches, as more people ask; fewer bits; models that share their cache among heads, and send a token through a part of their weights only; devices with more bandwidth for the same rent; smaller models that are as good as larger ones were. How much of the fall is due to each, no price list says. And prices also rise.

# %% tags=["solution-only"]
ratios_sold = [
    prices.sold_over_made(price, at_64.usd_per_million_input_tokens, at_64.usd_per_million_output_tokens, SHARE)
    for price in sold
]
claim(
    "12 of the 13 list prices of this open model lie between .7 and 4.6 times the rent of a well-used machine",
    sum(0.7 <= ratio <= 4.6 for ratio in ratios_sold), len(sold), None, None,
)  # fmt: skip
claim(
    "12 of the 13 list prices lie between .7 and 4.6 times the rent of a well-used machine",
    sum(0.7 <= ratio <= 4.6 for ratio in ratios_sold), len(sold), None, None, page="slides/13_llm_cost.md",
)  # fmt: skip
claim(
    "which is that of 2026, while all prices but one are older",
    None,
    holds=sum(price.date.year >= 2026 for price in sold) == 1,
)

# %% [markdown]
# ## 7 Where it stops working
#
# - **Speed, not quality.** Nothing here knows whether an answer is any good. A price per *token* says nothing about a price per *solved task*: a cheaper model may write more, or need two tries, and its tokenizer may cut the same text into more tokens. Above all a model that reasons may write thousands of tokens before its answer, billed as output: at 1 USD per million, 5000 of them cost half a cent, and an answer of 200 costs .02 cents.
# - **The median error hides a tail.** You have seen the worst rows. Next year's engines need new constants: `python tools/llm_error.py --rows FILE` compares the calculator with rows of your own.
# - **Extrapolation.** An engine knows which devices and formats its rows had. An estimate for others is computed all the same, and says so in a last line, `extrapolates`. No row is from several computers. Experts are assumed to be chosen evenly.
# - **All requests of a batch are alike** in `estimate`. In the simulator they differ, but its engine is simple: one queue, no priorities, no cache of common beginnings, one device group.
# - **A list rent is not a cost.** Neither are watts: the joules in an estimate are those of a device at its limit.
# - **List prices are not what is paid.** Discounts for batches, cached prompts and large customers are in no table.
#
# ## The ledger
#
# Its row is the one thing that was measured here: one token through the matrices of SmolLM2-135M. Compare its MACs with those of the pictures.

# %% name="out-ledger"
report = measure.report({"SmolLM2-135M, matrices of one token": skeleton}, inputs[1], repeats=10)
ledger(report.rows[0], lesson=13, beside=report.rows[0])

# %%
progress()

# %% [markdown]
# ## Summary
#
# - A token costs FLOPs (two for each weight that is multiplied, and the look back), and bytes (the weights, shared by the batch; the cache, one for each user).
# - Prefill of a long prompt waits for arithmetic, decode of a few users for memory. A batch changes that as far as the caches let it.
# - Dollars per token are the rent divided by the tokens per second. Large batches make tokens cheap, and slow.
# - A model of a machine is worth as much as its error on rows that it has not seen.
# - More devices, drafts and fewer bits help where something is idle, and lose where it is not.
# - A service that promises a time serves fewer than it could: its goodput is what keeps the promise.
# - A price needs its mix, a halving time its rows, a profit its load.
#
# **References.** Pope et al. 2022, *Efficiently Scaling Transformer Inference*. Williams, Waterman and Patterson 2009, *Roofline*. Shazeer 2019, *Fast Transformer Decoding*. Ainslie et al. 2023, *GQA*. DeepSeek-AI 2024, *DeepSeek-V2*. Leviathan, Kalman and Matias 2023, *Speculative
# Decoding*. Sadhukhan et al. 2025, *MagicDec*. Zhong et al. 2024, *DistServe*. Agrawal et al. 2024, *Sarathi-Serve*. Fedus, Zoph and Shazeer 2022, *Switch Transformers*. Yu et al. 2022, *Orca*. Kwon et al. 2023, *PagedAttention*. Little 1961, *A Proof for the Queuing Formula L = λW*. Kleinrock 1975, *Queueing Systems*. Kleinrock 1979, *Power and Deterministic Rules of Thumb*.
#
# **In the library.** In `mini_lib/llm`, `cost` is the calculator (`operators.py` counts, `step.py` times, `estimate.py` puts together, `mini_lib/llm/published` fits and compares), `serving` the simulator, `prices` the price lists.
#
# **Next:** lesson 14 loads a small model and measures what this one calculates.
