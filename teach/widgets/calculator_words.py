"""The calculator's numbers in words: the table, the sentence, the alternative text, the names of the controls."""

from typing import Any

from mini_lib.llm.cost.parameters import count_parameters
from teach.widgets.calculator_numbers import WAITS, PanelNumbers

LABELS = {
    "model": "Model",
    "device": "Device",
    "devices": "How many devices",
    "batch": "Batch",
    "prompt": "Prompt, tokens",
    "output": "Output, tokens",
    "weights": "Weights",
    "kv_bits": "KV cache, bits",
    "generation": "Engines of",
}
_CHANGES = {
    "model": "{}",
    "device": "{}",
    "devices": "{} devices",
    "batch": "batch {}",
    "prompt": "prompt {}",
    "output": "output {}",
    "weights": "weights in {}",
    "kv_bits": "KV cache in {} bits",
    "generation": "engine of {}",
}
COLUMNS = (
    "USD per million in", "USD per million out", "first token (TTFT)", "each next (TPOT)", "tokens/s per user",
    "tokens/s in total", "memory per device", "largest batch",
)  # fmt: skip


def seconds(value_s: float) -> str:
    """Return a time with the unit that suits it.

    >>> seconds(0.00812), seconds(2.5)
    ('8.12 ms', '2.5 s')
    """
    return f"{value_s:.3g} s" if value_s >= 1 else f"{_digits(value_s * 1e3)} ms"


def gib(value_bytes: float) -> str:
    """Return bytes in GiB.

    >>> gib(80 * 2**30), gib(1.5 * 2**30)
    ('80.0', '1.5')
    """
    value = value_bytes / 2**30
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _digits(value: float) -> str:
    """Three digits, and never an exponent.

    >>> _digits(12345.6), _digits(12.345), _digits(0.012345)
    ('12,346', '12.3', '0.0123')
    """
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def option(name: str, value: Any) -> str:
    """Return a value of a control as its option is called.

    >>> from teach.widgets.calculator_numbers import Setting
    >>> setting = Setting()
    >>> option("model", setting.model), option("device", setting.device), option("batch", 1536)
    ('LLaMA-3-8B, 8.0 billion', 'H100-SXM-80GB, 80 GiB, 3.49 USD/h', '1,536')
    """
    if name == "model":
        billions = count_parameters(value).total / 1e9
        return f"{value}, {billions:.{0 if billions >= 100 else 1 if billions >= 1 else 2}f} billion"
    if name == "device":
        rent = f"{value.usd_per_hour:.2f} USD/h" if value.usd_per_hour else "no list price"
        return f"{value}, {value.memory_bytes / 2**30:.3g} GiB, {rent}"
    return f"{value:,}" if isinstance(value, int) and name != "generation" else str(value)


def change(changes: dict[str, Any]) -> str:
    """Return changes of controls in words.

    >>> change({"devices": 2, "weights": "8 bits"}), change({"kv_bits": 8})
    ('2 devices, weights in 8 bits', 'KV cache in 8 bits')
    >>> change({"generation": 2023}), change({"prompt": 2023})
    ('engine of 2023', 'prompt 2,023')
    """
    numbers = {
        name: f"{value:,}" if isinstance(value, int) and name != "generation" else value
        for name, value in changes.items()
    }
    said = (_CHANGES[name].format(value) for name, value in numbers.items())
    return ", ".join(said).replace("1 devices", "1 device")


def cells(shown: PanelNumbers) -> tuple[str, ...]:
    """Return a row of the table, as `COLUMNS` names it."""
    held, e = shown.memory, shown.estimate
    used = f"{gib(held.used_bytes)} of {gib(held.capacity_bytes)} GiB" if held else "-"
    largest = str(shown.largest_batch) if held else "-"
    if e is None:
        return *["-"] * 6, used, largest
    usd = (e.usd_per_million_input_tokens, e.usd_per_million_output_tokens)
    prices = ("no price" if value is None else _digits(value) for value in usd)
    return (
        *prices,
        seconds(e.ttft_s),
        seconds(e.tpot_s),
        _digits(e.tokens_per_s_per_user),
        _digits(e.tokens_per_s),
        used,
        largest,
    )


def sentence(shown: PanelNumbers) -> str:
    """Return the answer in words; a screen reader says it after each change."""
    e, held = shown.estimate, shown.memory
    if e is None:
        helps = "It would run with:" if shown.remedies else "No one or two changes of the controls make it run."
        return f"{shown.setting.title}: {shown.problem} {helps}"
    usd = "no list price"
    if e.usd_per_hour is not None:
        ways = {"in": e.usd_per_million_input_tokens, "out": e.usd_per_million_output_tokens}
        usd = " and ".join(f"{_digits(value)} USD per million tokens {way}" for way, value in ways.items())
    return (
        f"{shown.setting.title}: {gib(held.used_bytes)} of {gib(held.capacity_bytes)} GiB. "
        f"First token after {seconds(e.ttft_s)}, waiting for {WAITS[e.prefill.bound]}; "
        f"each next token after {seconds(e.tpot_s)}, waiting for {WAITS[e.decode.bound]}. Cost: {usd}."
    )


def with_remedies(shown: PanelNumbers) -> str:
    """Return the answer with the changes that would help, which the live panel shows as buttons."""
    helps = "; ".join(change(changes) for changes in shown.remedies)
    return f"{sentence(shown)} {helps}." if helps else sentence(shown)


def rent(shown: PanelNumbers) -> str:
    """Return where the price of the device comes from."""
    device = shown.setting.device
    if device.usd_per_hour is None:
        return f"{device} has no list price, so there is no cost."
    return f"Rent of a {device}: {device.usd_per_hour:.2f} USD per hour ({device.price_source})."


def engine(shown: PanelNumbers) -> str:
    """Return which engine the speed is for, and where that extrapolates; a screen reader says it after the answer."""
    e = shown.estimate
    named = f"Engine: {e.engine}." if e and e.engine else ""
    return f"{named} It extrapolates: {'; '.join(e.extrapolates)}." if e and e.extrapolates else named


def alt(shown: PanelNumbers) -> str:
    """Return what the picture shows of a setting: its bars and its dots."""
    if shown.memory is None:
        return shown.problem
    parts = ", ".join(f"{part} {gib(size)}" for part, size in shown.memory_bytes.items())
    said = [f"Memory: {parts}, of {gib(shown.memory.capacity_bytes)} GiB. {shown.problem}".strip()]
    for dot in shown.dots:
        waits = shown.waits_s(dot.name)
        whole = sum(waits.values())
        shares = ", ".join(f"{why} {spent / whole:.0%}" for why, spent in waits.items() if spent)
        reached = f"at {_digits(dot.intensity)} FLOP/byte it reaches {dot.of_roof:.0%} of the roof"
        said.append(f"{dot.name.capitalize()} waits for {shares}; {reached}.")
    return " ".join(said)
