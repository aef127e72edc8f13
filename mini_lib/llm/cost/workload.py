"""The requests to a service, and how the model is stored and split for them."""

from dataclasses import dataclass, fields

from mini_lib.llm.cost.architecture import Architecture
from mini_lib.llm.cost.limits import MOST_TOKENS, bits, check_widths
from mini_lib.require import checked, of_type, one_of, share, whole


@dataclass(frozen=True)
class Draft:
    """Speculative decoding: a small model proposes `tokens`, and the large one checks them in one step.

    `acceptance` is the chance that the large model would have chosen the proposed token. The draft is whole on one
    device, in the same bits as the large model.

    Raises:
        TypeError: not an Architecture, or not numbers.
        ValueError: `tokens` is outside 1 to 1000, or `acceptance` is outside [0, 1].

    With 4 proposals, each accepted with probability .8, a step gives 1 + .8 + .64 + .512 + .41 tokens on average:

    >>> from mini_lib.llm.cost.models import SMOLLM2_135M
    >>> round(Draft(SMOLLM2_135M, tokens=4, acceptance=0.8).tokens_per_step, 2)
    3.36

    Source: Leviathan, Kalman, Matias, "Fast Inference from Transformers via Speculative Decoding", 2023, equation 1.
    """

    architecture: Architecture
    tokens: int
    acceptance: float

    def __post_init__(self) -> None:
        of_type("architecture", self.architecture, Architecture, fix="find_model('SmolLM2-135M') gives one")
        checked(self, "tokens", whole, low=1, high=1000, fix="4 is common")
        checked(self, "acceptance", share, zero=True, fix="it is the share of proposals that hold")

    @property
    def tokens_per_step(self) -> float:
        """The mean number of tokens from one check: the accepted ones, and one of the large model's own."""
        return sum(self.acceptance**i for i in range(self.tokens + 1))


PADDED_TOKENS = 128
"""Two models with the same tokenizer may pad their tables differently: Qwen2.5 has 151,936 or 152,064 rows."""


def check_draft(architecture: Architecture, draft: Draft | None) -> None:
    """Make sure that the large model can check the draft's proposals, that is, that their tokens are the same.

    Raises:
        ValueError: their vocabularies differ by more than `PADDED_TOKENS`.

    >>> from mini_lib.llm.cost.models import LLAMA_3_70B, SMOLLM2_135M
    >>> check_draft(LLAMA_3_70B, Draft(SMOLLM2_135M, tokens=4, acceptance=0.8))
    Traceback (most recent call last):
    ValueError: the draft SmolLM2-135M has 49152 tokens and LLaMA-3-70B has 128256; use a draft of the same tokenizer
    """
    if draft is not None and abs(draft.architecture.vocabulary - architecture.vocabulary) > PADDED_TOKENS:
        raise ValueError(
            f"the draft {draft.architecture} has {draft.architecture.vocabulary} tokens and {architecture} has "
            f"{architecture.vocabulary}; use a draft of the same tokenizer"
        )


@dataclass(frozen=True)
class Workload:
    """`batch` requests at the same time, each of `prompt` tokens in and `output` tokens out.

    The first `cached_prompt` tokens are the same in all prompts and already in the cache (a system prompt): they are
    kept once, and not computed again. `prefill_chunk` cuts prompts into pieces of that many tokens, between which other
    requests can decode. `attention_parallel="data"` distributes sequences instead of heads over the devices: see
    `operators()`.

    Raises:
        TypeError: a count is not a whole number, or a width is not a number.
        ValueError: a length is negative or zero, more tokens are cached than the prompt has, or `compute_bits` is below
            16 and the weights have at least twice as many bits.

    >>> Workload(prompt=0)
    Traceback (most recent call last):
    ValueError: prompt must be a whole number of 1 or more, got 0; a model needs at least one token to continue
    """

    batch: int = 1
    prompt: int = 1024
    output: int = 256
    weight_bits: float = 16
    kv_bits: float = 16
    compute_bits: int = 16
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    cached_prompt: int = 0
    prefill_chunk: int | None = None
    draft: Draft | None = None
    attention_parallel: str = "tensor"

    def __post_init__(self) -> None:
        checked(self, "batch", whole, low=1, fix="use 1 for a single user")
        checked(self, "prompt", whole, low=1, fix="a model needs at least one token to continue")
        checked(self, "output", whole, low=1, fix="the first token comes with the prompt")
        if (tokens := self.prompt + self.output) > MOST_TOKENS:
            raise ValueError(
                f"prompt + output must be {MOST_TOKENS} or fewer, got {tokens}; no model reads so many at a time"
            )
        checked(self, "weight_bits", bits, fix="use 16, 8 or 4.5")
        checked(self, "kv_bits", bits, fix="use 16, 8 or 4")
        checked(self, "compute_bits", whole, low=1, fix="use 16, or 8 where weights and activations have 8 bits")
        check_widths(self.weight_bits, self.compute_bits)
        checked(self, "tensor_parallel", whole, low=1, fix="use 1 for a single device")
        checked(self, "pipeline_parallel", whole, low=1, fix="use 1 for a single stage")
        checked(self, "cached_prompt", whole, low=0, fix="use 0 where nothing is cached")
        if self.cached_prompt >= self.prompt:
            raise ValueError(
                f"cached_prompt must be below prompt ({self.prompt}), got {self.cached_prompt}; "
                "the last token is always computed"
            )
        if self.prefill_chunk is not None:
            checked(self, "prefill_chunk", whole, low=1, fix="use None to take prompts whole")
        one_of("attention_parallel", self.attention_parallel, ("tensor", "data"), fix="'tensor' divides the heads")
        if self.draft is not None:
            of_type("draft", self.draft, Draft, fix="use None, or Draft(model, tokens=4, acceptance=.7)")

    @property
    def devices(self) -> int:
        """How many devices share the model."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def precision(self) -> dict[str, float | str]:
        """The arguments of `step()` that do not change from one step to the next."""
        names = ("weight_bits", "kv_bits", "compute_bits", "tensor_parallel", "attention_parallel")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in names}


def need_workload(value: object) -> Workload:
    """Return `value` if it is a `Workload`.

    Raises:
        TypeError: it is something else.

    >>> need_workload(8)
    Traceback (most recent call last):
    TypeError: workload must be of type Workload, got 8; use Workload(batch=8, prompt=1024, output=256)
    """
    return of_type("workload", value, Workload, fix="use Workload(batch=8, prompt=1024, output=256)")
