"""Released models as data: their shapes, and the number of parameters that their makers publish.

A shape is that of the `config.json` of the release, named in `source`. `published_parameters` is the count of the
released checkpoint; of a model that also takes images, the count of its text part. `count_parameters` must find each of
these numbers from the shape alone, and the tests check that.

Three counts need a note. Falcon's checkpoints store the head in addition to the embedding table, though both are the
same numbers: it is counted, as on the model page. Llama 2's checkpoints store 64 rotary frequencies per layer as a
tensor, but these are constants: they are not counted. DeepSeek-V3's hold an extra layer that predicts a second token,
in addition to the 671e9: it is not counted.
"""

from dataclasses import replace

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.cost.lookup import by_name


def _llama(
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    width: int,
    vocabulary: int,
    published: int,
    source: str,
    tied: bool = False,
) -> Architecture:
    """The design of the Llama family, which many follow: no biases, a gate, and heads that fill the hidden size."""
    attention, feed_forward = Attention(heads, kv_heads, hidden // heads), FeedForward(width)
    return Architecture(
        name, layers, hidden, vocabulary, attention, feed_forward, tied, published_parameters=published, source=source
    )


# fmt: off
#                              name              layers  hidden heads kv  width  words    published
LLAMA_7B      = _llama("LLaMA-7B",        32,  4096,  32, 32, 11008,  32000,   6_738_415_616,
                       'Touvron et al., "LLaMA", 2023, table 2 (6.7B); huggyllama/llama-7b, config.json, 2023')
LLAMA_2_7B    = _llama("LLaMA-2-7B",      32,  4096,  32, 32, 11008,  32000,   6_738_415_616,
                       "meta-llama/Llama-2-7b-hf, config.json and checkpoint, 2023")
LLAMA_2_13B   = _llama("LLaMA-2-13B",     40,  5120,  40, 40, 13824,  32000,  13_015_864_320,
                       "meta-llama/Llama-2-13b-hf, config.json and checkpoint, 2023")
LLAMA_2_70B   = _llama("LLaMA-2-70B",     80,  8192,  64,  8, 28672,  32000,  68_976_648_192,
                       "meta-llama/Llama-2-70b-hf, config.json and checkpoint, 2023")
LLAMA_3_8B    = _llama("LLaMA-3-8B",      32,  4096,  32,  8, 14336, 128256,   8_030_261_248,
                       "meta-llama/Meta-Llama-3-8B, config.json and checkpoint, 2024")
LLAMA_3_70B   = _llama("LLaMA-3-70B",     80,  8192,  64,  8, 28672, 128256,  70_553_706_496,
                       "meta-llama/Meta-Llama-3-70B, config.json and checkpoint, 2024")
# The same shapes, trained anew.
LLAMA_3_1_8B = replace(LLAMA_3_8B, name="LLaMA-3.1-8B", source="meta-llama/Llama-3.1-8B, config.json, 2024")
LLAMA_3_1_70B = replace(LLAMA_3_70B, name="LLaMA-3.1-70B", source="meta-llama/Llama-3.1-70B, config.json, 2024")
LLAMA_3_3_70B = replace(LLAMA_3_70B, name="LLaMA-3.3-70B", source="meta-llama/Llama-3.3-70B, config.json, 2024")
LLAMA_3_1_405B = _llama("LLaMA-3.1-405B", 126, 16384, 128, 8, 53248, 128256, 405_853_388_800,
                        "meta-llama/Llama-3.1-405B, config.json and checkpoint, 2024")
LLAMA_3_2_1B  = _llama("LLaMA-3.2-1B",    16,  2048,  32,  8,  8192, 128256,   1_235_814_400,
                       "meta-llama/Llama-3.2-1B, config.json and checkpoint, 2024", tied=True)
LLAMA_3_2_3B  = _llama("LLaMA-3.2-3B",    28,  3072,  24,  8,  8192, 128256,   3_212_749_824,
                       "meta-llama/Llama-3.2-3B, config.json and checkpoint, 2024", tied=True)
SMOLLM2_135M  = _llama("SmolLM2-135M",    30,   576,   9,  3,  1536,  49152,     134_515_008,
                       "HuggingFaceTB/SmolLM2-135M, config.json and checkpoint, 2024", tied=True)
SMOLLM2_360M  = _llama("SmolLM2-360M",    32,   960,  15,  5,  2560,  49152,     361_821_120,
                       "HuggingFaceTB/SmolLM2-360M, config.json and checkpoint, 2024", tied=True)
SMOLLM2_1_7B  = _llama("SmolLM2-1.7B",    24,  2048,  32, 32,  8192,  49152,   1_711_376_384,
                       "HuggingFaceTB/SmolLM2-1.7B, config.json and checkpoint, 2024", tied=True)

# Attention and feed-forward read the same normed input, so there is one norm per layer. Only the feed-forward,
# the norms and the head have biases.
GPT_J_6B = Architecture(
    "GPT-J-6B", 28, 4096, 50400, Attention(16, 16, 256), FeedForward(16384, gated=False, bias=True),
    norms_per_layer=1, norm_bias=True, head_bias=True, parallel_block=True,
    published_parameters=6_050_882_784, source="EleutherAI/gpt-j-6b, config.json and model card, 2021",
)

# Multi-query: all 71 heads share one pair of key and value. No biases but in the norms.
FALCON_7B = Architecture(
    "Falcon-7B", 32, 4544, 65024, Attention(71, 1, 64), FeedForward(4 * 4544, gated=False),
    norms_per_layer=1, norm_bias=True, parallel_block=True,
    published_parameters=7_217_189_760, source="tiiuae/falcon-7b, config.json and checkpoint, 2023",
)
FALCON_180B = Architecture(
    "Falcon-180B", 80, 14848, 65024, Attention(232, 8, 64), FeedForward(4 * 14848, gated=False),
    norms_per_layer=2, norm_bias=True, parallel_block=True,
    published_parameters=179_522_565_120, source="tiiuae/falcon-180B, config.json and checkpoint, 2023",
)

# The window is that of version 0.1; later versions see the whole context.
MISTRAL_7B = Architecture(
    "Mistral-7B", 32, 4096, 32000, Attention(32, 8, 128, window=4096, windowed_layers=32), FeedForward(14336),
    published_parameters=7_241_732_096, source="mistralai/Mistral-7B-v0.1, config.json and checkpoint, 2023",
)
MIXTRAL_8X7B = Architecture(
    "Mixtral-8x7B", 32, 4096, 32000, Attention(32, 8, 128), Experts(8, 2, 14336),
    published_parameters=46_702_792_704, source="mistralai/Mixtral-8x7B-v0.1, config.json and checkpoint, 2023",
)
MIXTRAL_8X22B = Architecture(
    "Mixtral-8x22B", 56, 6144, 32000, Attention(48, 8, 128), Experts(8, 2, 16384),
    published_parameters=140_620_634_112,
    source="mistral-community/Mixtral-8x22B-v0.1, config.json and checkpoint, 2024",
)

# The first layer, or the first three, is dense. The router's bias of version 3 (one number per expert, changed to
# balance the load and not by gradients) is in the published count, but follows from no shape: 58 x 256 numbers.
DEEPSEEK_V2_LITE = Architecture(
    "DeepSeek-V2-Lite", 27, 2048, 102400,
    LatentAttention(heads=16, query_rank=0, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128),
    Experts(64, 6, 1408, shared_width=2 * 1408, dense_layers=1, dense_width=10944),
    published_parameters=15_706_484_224, source="deepseek-ai/DeepSeek-V2-Lite, config.json and checkpoint, 2024",
)
DEEPSEEK_V2 = Architecture(
    "DeepSeek-V2", 60, 5120, 102400,
    LatentAttention(heads=128, query_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128),
    Experts(160, 6, 1536, shared_width=2 * 1536, dense_layers=1, dense_width=12288),
    published_parameters=235_741_434_880, source="deepseek-ai/DeepSeek-V2, config.json and checkpoint, 2024",
)
DEEPSEEK_V3 = Architecture(
    "DeepSeek-V3", 61, 7168, 129280,
    LatentAttention(heads=128, query_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128),
    Experts(256, 8, 2048, shared_width=2048, dense_layers=3, dense_width=18432),
    published_parameters=671_026_419_200, source="deepseek-ai/DeepSeek-V3, config.json and checkpoint, 2024",
)

QWEN_2_5_7B = Architecture(
    "Qwen2.5-7B", 28, 3584, 152064, Attention(28, 4, 128, qkv_bias=True), FeedForward(18944),
    published_parameters=7_615_616_512, source="Qwen/Qwen2.5-7B, config.json and checkpoint, 2024",
)
QWEN_2_5_14B = Architecture(
    "Qwen2.5-14B", 48, 5120, 152064, Attention(40, 8, 128, qkv_bias=True), FeedForward(13824),
    published_parameters=14_770_033_664, source="Qwen/Qwen2.5-14B, config.json and checkpoint, 2024",
)
QWEN_2_5_32B = Architecture(
    "Qwen2.5-32B", 64, 5120, 152064, Attention(40, 8, 128, qkv_bias=True), FeedForward(27648),
    published_parameters=32_763_876_352, source="Qwen/Qwen2.5-32B, config.json and checkpoint, 2024",
)
QWEN_2_5_72B = Architecture(
    "Qwen2.5-72B", 80, 8192, 152064, Attention(64, 8, 128, qkv_bias=True), FeedForward(29568),
    published_parameters=72_706_203_648, source="Qwen/Qwen2.5-72B, config.json and checkpoint, 2024",
)
QWEN_3_0_6B = Architecture(
    "Qwen3-0.6B", 28, 1024, 151936, Attention(16, 8, 128, qk_norm=True), FeedForward(3072), tied=True,
    published_parameters=596_049_920, source="Qwen/Qwen3-0.6B, config.json and checkpoint, 2025",
)
QWEN_3_4B = Architecture(
    "Qwen3-4B", 36, 2560, 151936, Attention(32, 8, 128, qk_norm=True), FeedForward(9728), tied=True,
    published_parameters=4_022_468_096, source="Qwen/Qwen3-4B, config.json and checkpoint, 2025",
)
QWEN_3_8B = Architecture(
    "Qwen3-8B", 36, 4096, 151936, Attention(32, 8, 128, qk_norm=True), FeedForward(12288),
    published_parameters=8_190_735_360, source="Qwen/Qwen3-8B, config.json and checkpoint, 2025",
)
# 64 heads of 128 are more than the hidden size of 5120: the two do not have to agree.
QWEN_3_32B = Architecture(
    "Qwen3-32B", 64, 5120, 151936, Attention(64, 8, 128, qk_norm=True), FeedForward(25600),
    published_parameters=32_762_123_264, source="Qwen/Qwen3-32B, config.json and checkpoint, 2025",
)
QWEN_3_30B_A3B = Architecture(
    "Qwen3-30B-A3B", 48, 2048, 151936, Attention(32, 4, 128, qk_norm=True), Experts(128, 8, 768),
    published_parameters=30_532_122_624, source="Qwen/Qwen3-30B-A3B, config.json and checkpoint, 2025",
)
QWEN_3_235B_A22B = Architecture(
    "Qwen3-235B-A22B", 94, 4096, 151936, Attention(64, 4, 128, qk_norm=True), Experts(128, 8, 1536),
    published_parameters=235_093_634_560, source="Qwen/Qwen3-235B-A22B, config.json and checkpoint, 2025",
)

# Norms before and after both halves of a layer. Gemma 2 alternates window and whole context; Gemma 3 has five layers
# with a window, then one without, so 34 layers have 34 // 6 = 5 without.
GEMMA_2_9B = Architecture(
    "Gemma-2-9B", 42, 3584, 256000, Attention(16, 8, 256, window=4096, windowed_layers=21), FeedForward(14336),
    tied=True, norms_per_layer=4,
    published_parameters=9_241_705_984, source="google/gemma-2-9b, config.json and checkpoint, 2024",
)
GEMMA_2_27B = Architecture(
    "Gemma-2-27B", 46, 4608, 256000, Attention(32, 16, 128, window=4096, windowed_layers=23), FeedForward(36864),
    tied=True, norms_per_layer=4,
    published_parameters=27_227_128_320, source="google/gemma-2-27b, config.json and checkpoint, 2024",
)
GEMMA_3_4B = Architecture(
    "Gemma-3-4B", 34, 2560, 262208, Attention(8, 4, 256, qk_norm=True, window=1024, windowed_layers=29),
    FeedForward(10240), tied=True, norms_per_layer=4,
    published_parameters=3_880_263_168, source="google/gemma-3-4b-pt, config.json, text part of the checkpoint, 2025",
)
GEMMA_3_27B = Architecture(
    "Gemma-3-27B", 62, 5376, 262208, Attention(32, 16, 128, qk_norm=True, window=1024, windowed_layers=52),
    FeedForward(21504), tied=True, norms_per_layer=4,
    published_parameters=27_009_346_304, source="google/gemma-3-27b-pt, config.json, text part of the checkpoint, 2025",
)

PHI_3_MINI = Architecture(
    "Phi-3-mini", 32, 3072, 32064, Attention(32, 32, 96, window=2047, windowed_layers=32), FeedForward(8192),
    published_parameters=3_821_079_552, source="microsoft/Phi-3-mini-4k-instruct, config.json and checkpoint, 2024",
)
# fmt: on

MODELS = (
    GPT_J_6B, LLAMA_7B, LLAMA_2_7B, LLAMA_2_13B, LLAMA_2_70B, LLAMA_3_8B, LLAMA_3_70B, LLAMA_3_1_8B, LLAMA_3_1_70B,
    LLAMA_3_1_405B, LLAMA_3_3_70B, LLAMA_3_2_1B, LLAMA_3_2_3B, FALCON_7B, FALCON_180B, MISTRAL_7B, MIXTRAL_8X7B,
    MIXTRAL_8X22B, DEEPSEEK_V2_LITE, DEEPSEEK_V2, DEEPSEEK_V3, QWEN_2_5_7B, QWEN_2_5_14B, QWEN_2_5_32B,
    QWEN_2_5_72B, QWEN_3_0_6B, QWEN_3_4B, QWEN_3_8B, QWEN_3_32B, QWEN_3_30B_A3B, QWEN_3_235B_A22B, GEMMA_2_9B,
    GEMMA_2_27B, GEMMA_3_4B, GEMMA_3_27B, SMOLLM2_135M, SMOLLM2_360M, SMOLLM2_1_7B, PHI_3_MINI,
)  # fmt: skip
"""Every model of this file."""


def find_model(name: str) -> Architecture:
    """Return the model called `name`; capitals do not matter.

    Raises:
        TypeError: `name` is not a string.
        ValueError: there is no such model; the message gives the nearest names.

    >>> find_model("llama-3-8b").published_parameters
    8030261248
    >>> find_model("llama-3-9b")
    Traceback (most recent call last):
    ValueError: no model is called 'llama-3-9b'; the nearest are LLaMA-3-8B, LLaMA-3-70B, LLaMA-3.2-3B
    """
    return by_name("model", name, MODELS)
