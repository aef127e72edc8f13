"""The calculator's panel without a browser: its numbers, its words, its picture, what it says when nothing fits."""

import json
import math
import re
from base64 import b64decode
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.llm.cost.computers import M2_ULTRA_76
from mini_lib.llm.cost.device import measured_device
from mini_lib.llm.cost.devices import B200, H100_SXM, find_device
from mini_lib.llm.cost.efficiency import IDEAL
from mini_lib.llm.cost.engines import (
    ENGINE_2023,
    ENGINE_2025,
    LLAMA_CPP_2024,
    LLAMA_CPP_2025,
    LLAMA_CPP_METAL_2024,
    LLAMA_CPP_METAL_2025,
)
from mini_lib.llm.cost.estimate import estimate
from mini_lib.llm.cost.models import FALCON_7B, LLAMA_3_8B
from mini_lib.llm.cost.workload import Workload
from teach import live
from teach.widgets import calculator_picture
from teach.widgets.calculator import SLIDERS, Calculator, calculator, table
from teach.widgets.calculator_numbers import CHOICES, Setting, engine_of, numbers, panel_numbers
from teach.widgets.calculator_words import COLUMNS, LABELS, alt, cells, change, rent, sentence
from teach.widgets.calculator_words import engine as said_of_engine

VIEW = "application/vnd.jupyter.widget-view+json"
SVG = "{http://www.w3.org/2000/svg}"
SETTINGS = st.builds(Setting, **{name: st.sampled_from(values) for name, values in CHOICES.items()})
LLAMA_70B = dict(model="Llama-3-70B", device="H100-SXM-80GB")


def svg(shown, names=("",)):
    """The picture as a tree; raises where it is not well-formed."""
    return ElementTree.fromstring(calculator_picture.draw(shown, names))


def words(tree):
    return [text.text for text in tree.iter(f"{SVG}text")]


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_the_memory_of_a_model_of_eight_billion_by_hand():
    shown = panel_numbers(model="Llama-3-8B", device="H100-SXM-80GB", batch=4, prompt=1000, output=24)
    held = shown.memory_bytes
    assert held["weights"] == 2 * 8_030_261_248  # 16 bits
    assert held["KV cache"] == 4 * 1024 * 131072  # 2 * 32 layers * 8 KV heads * 128 * 2 bytes a token
    assert shown.memory.capacity_bytes == 80 * 2**30


def test_weights_of_four_bits_carry_their_scales():
    # 7,504,658,432 numbers in matrices of 4.5 bits; the embedding table (128256 * 4096) and 65 norms of 4096 stay in 16
    held = panel_numbers(weights="4.5 bits").memory_bytes["weights"]
    assert held == 7_504_658_432 * 4.5 / 8 + (128256 * 4096 + 65 * 4096) * 2


def test_the_price_of_a_token_by_hand():
    shown = panel_numbers(batch=8, prompt=500, output=101, devices=2)
    e = shown.estimate
    usd_per_s = 2 * 3.49 / 3600  # two devices
    assert e.usd_per_million_input_tokens == pytest.approx(usd_per_s * e.ttft_s / (8 * 500) * 1e6)
    # of 101 tokens the first comes with the prompt: the time of 100 is shared among 101
    assert e.usd_per_million_output_tokens == pytest.approx(usd_per_s * 100 * e.tpot_s / (8 * 101) * 1e6)


def test_the_dots_lie_under_the_roof_of_the_device_by_hand():
    prefill, decode = panel_numbers(prompt=2048).dots
    # An H100: 989.4 TFLOP/s, 3.35 TB/s, ridge at 295 FLOPs a byte. Each weight of 2 bytes serves one decoded token with
    # 2 FLOPs: about 1 FLOP a byte. In prefill it serves 2048.
    assert (prefill.name, decode.name) == ("prefill", "decode")
    assert 0.9 < decode.intensity < 1.1 and decode.roof_flops_per_s == 3.35e12 * decode.intensity
    assert prefill.intensity > 295 and prefill.roof_flops_per_s == 989.4e12
    assert panel_numbers(prompt=2048, weights="8 bits, computed in 8").dots[0].roof_flops_per_s == 1978.9e12


def test_a_perfect_engine_lies_on_the_roof():
    prefill, decode = panel_numbers(prompt=8192, efficiency=IDEAL).dots
    # Not on it is in prefill the head, which waits for memory for the last token alone: 1.05 GB at 3.35 TB/s are .3 of
    # 135 ms. In decode, norms and additions are part of the traffic and free of time: megabytes of 16 GB.
    assert prefill.of_roof == pytest.approx(1, abs=0.01)
    assert decode.of_roof == pytest.approx(1, abs=0.01)


def test_it_is_the_calculator_with_the_engine_of_the_device():
    workload = Workload(batch=2, prompt=64, output=32, weight_bits=8, kv_bits=8, compute_bits=16, tensor_parallel=2)
    moved = dict(batch=2, prompt=64, output=32, weights="8 bits", kv_bits=8, devices=2)
    for device, engine in ((B200, ENGINE_2025), (M2_ULTRA_76, LLAMA_CPP_METAL_2025)):
        shown = panel_numbers(model=LLAMA_3_8B, device=device, **moved)
        assert engine_of(device) == engine
        assert shown.estimate == estimate(LLAMA_3_8B, device, workload, engine)
    for name, engine in (
        ("M5-10", LLAMA_CPP_METAL_2025),
        ("DGX-Spark", LLAMA_CPP_2025),
        ("RX-7900-XTX", LLAMA_CPP_2025),
    ):
        assert engine_of(find_device(name)) == engine
    assert engine_of(find_device("H20-96GB")) == ENGINE_2025


@settings(max_examples=60, deadline=None)
@given(SETTINGS)
def test_every_setting_has_an_answer_and_every_remedy_helps(setting):
    shown = numbers(setting)
    assert (shown.estimate is None) == bool(shown.problem)
    for changes in shown.remedies:
        assert set(changes) <= set(CHOICES)
        assert all(value in CHOICES[name] for name, value in changes.items())
        assert numbers(replace(setting, **changes)).estimate is not None
    if shown.estimate is not None:
        assert shown.remedies == () and shown.memory.fits and shown.largest_batch >= setting.batch
        for kind, step in shown.steps.items():
            assert sum(shown.waits_s(kind).values()) == pytest.approx(step.seconds)
        for dot in shown.dots:  # an engine's shares are below 1, and all traffic takes time
            assert 0 < dot.of_roof <= 1
            assert calculator_picture.X[0] <= dot.intensity <= calculator_picture.X[1]
            assert calculator_picture.Y[0] <= dot.flops_per_s <= calculator_picture.Y[1]


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_seventy_billion_on_one_card_by_hand():
    shown = panel_numbers(**LLAMA_70B, batch=1, prompt=16, output=16)
    # 70,553,706,496 weights of 2 bytes are 131.42 GiB, a cache of 32 tokens and the work space are below .05
    assert shown.problem == "It does not fit: 51.4 GiB more are needed on each device."
    # 8 bits are 66.7 GiB and fit; two devices have 160, and the smallest single one that holds 131.5 has 141
    assert {"weights": "8 bits, computed in 8"} in shown.remedies
    assert {"devices": 2} in shown.remedies
    assert {"device": CHOICES["device"][5]} in shown.remedies and CHOICES["device"][5].name == "H200-SXM-141GB"
    assert shown.dots == () and shown.waits_s("decode") == {}


def test_the_nearest_batch_that_fits_is_proposed():
    # 80 GiB less 15.0 of weights hold 4.05e5 tokens of 131072 bytes each, at 1280 a request about 400: of the slider's
    # values 384 is the largest below
    shown = panel_numbers(batch=512, prompt=1024, output=256)
    assert shown.largest_batch < 512 and {"batch": 384} in shown.remedies
    assert 384 <= shown.largest_batch < 420


def test_two_changes_are_proposed_where_one_is_not_enough():
    # 405.9e9 weights are 756 GiB in 16 bits and 213 in 4.5: more than any device has, and than 16 cards of 8 GiB have
    shown = panel_numbers(model="Llama-3.1-405B", device="RTX-3070")
    assert shown.remedies and all(len(changes) == 2 for changes in shown.remedies)


def test_a_split_that_the_model_does_not_allow_is_said_with_a_way_out():
    shown = panel_numbers(model=FALCON_7B, devices=2)
    assert shown.problem == "tensor_parallel 2 does not divide the 71 heads of Falcon-7B; use 1."
    assert shown.memory is None and {"devices": 1} in shown.remedies
    assert cells(shown) == ("-",) * 8
    assert "does not divide the 71 heads" in sentence(shown) and "does not divide" in alt(shown)


def test_a_device_without_units_for_eight_bits_says_so():
    shown = panel_numbers(device="M2-Ultra-76", weights="8 bits, computed in 8")
    assert shown.problem.startswith("M2-Ultra-76 multiplies numbers of 16 bits, not of 8")
    assert {"weights": "8 bits"} in shown.remedies
    assert shown.peak_flops_per_s == M2_ULTRA_76.matmul_peak(16)


def test_what_nothing_helps_says_so():
    small = measured_device(1e11, 2e10, 2**20)  # a megabyte
    shown = numbers(replace(Setting(device=small, model="Llama-3.1-405B"), prompt=131072, batch=512, output=8192))
    assert shown.remedies == () and sentence(shown).endswith("No one or two changes of the controls make it run.")


# --- words -----------------------------------------------------------------------------------------------------------


def test_the_sentence_and_the_cells_hold_the_same_numbers():
    shown = panel_numbers(batch=16)
    row, said = dict(zip(COLUMNS, cells(shown))), sentence(shown)
    assert said.startswith("LLaMA-3-8B on 1 x H100-SXM-80GB: ")
    for name in (
        "USD per million in",
        "USD per million out",
        "first token (TTFT)",
        "each next (TPOT)",
        "memory per device",
    ):
        assert row[name] in said
    assert "waiting for arithmetic" in said and "waiting for memory" in said


def test_without_a_list_price_there_is_no_cost():
    shown = panel_numbers(device="RTX-3090")
    assert cells(shown)[:2] == ("no price", "no price") and sentence(shown).endswith("Cost: no list price.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"devices": 1}, "1 device"),
        ({"devices": 16, "weights": "4.5 bits"}, "16 devices, weights in 4.5 bits"),
        ({"device": B200}, "B200"),
        ({"prompt": 16384}, "prompt 16,384"),
    ],
)
def test_changes_are_said_in_words(changes, said):
    assert change(changes) == said


# --- the picture -----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(SETTINGS)
def test_every_picture_is_sound_and_stays_in_its_frame(setting):
    tree = svg([numbers(setting)])
    _, _, width, height = map(float, tree.get("viewBox").split())
    for rect in tree.iter(f"{SVG}rect"):
        x, y, wide, high = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        assert all(map(math.isfinite, (x, y, wide, high))) and wide >= 0
        assert x >= -0.1 and x + wide <= width + 0.1 and y >= -0.1 and y + high <= height + 0.1
    for line in tree.iter(f"{SVG}polyline"):
        at = [float(number) for number in re.split("[ ,]", line.get("points"))]
        assert all(0 <= x <= width for x in at[::2]) and all(0 <= y <= height for y in at[1::2])


def test_the_bars_are_as_long_as_what_they_show():
    shown = panel_numbers(**LLAMA_70B)
    blue, orange, green = (
        next(
            rect
            for rect in svg([shown]).iter(f"{SVG}rect")
            if rect.get("fill") == colour and float(rect.get("height")) > 20
        )
        for colour in ("#0072b2", "#e69f00", "#009e73")
    )
    lengths = [float(rect.get("width")) for rect in (blue, orange, green)]
    # it does not fit, so the bar is full: 340 pixels for all that is used, to a tenth of a pixel each
    assert lengths == pytest.approx(
        [340 * size / shown.memory.used_bytes for size in shown.memory_bytes.values()], abs=0.06
    )


def test_the_dots_are_where_their_numbers_are():
    shown = panel_numbers(batch=64)
    [circle] = svg([shown]).iter(f"{SVG}circle")
    left, top, width, height = calculator_picture.PLOT
    decode = shown.dots[1]
    # from .3 to 1e4 FLOPs a byte on the way across, from 1e10 to 1e16 FLOP/s on the way up, both in logarithms
    assert float(circle.get("cx")) == pytest.approx(
        left + width * math.log(decode.intensity / 0.3) / math.log(1e4 / 0.3), abs=0.06
    )
    assert float(circle.get("cy")) == pytest.approx(top + height * (16 - math.log10(decode.flops_per_s)) / 6, abs=0.06)


def test_several_settings_have_a_letter_each():
    shown = [panel_numbers(batch=batch) for batch in (1, 8, 64)]
    tree = svg(shown, "ABC")
    assert len(list(tree.iter(f"{SVG}circle"))) == 3 + 1  # and one that says what a circle is
    assert {"A", "B", "C", "prefill", "decode"} <= set(" ".join(words(tree)).split())


# --- the generation of the engine -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "engines"),
    [
        ("H100-SXM-80GB", {2023: ENGINE_2023, 2025: ENGINE_2025}),
        ("RTX-4090", {2023: LLAMA_CPP_2024, 2025: LLAMA_CPP_2025}),
        ("M2-Ultra-76", {2023: LLAMA_CPP_METAL_2024, 2025: LLAMA_CPP_METAL_2025}),
    ],
)
def test_the_switch_chooses_the_engine_and_the_panel_names_it(device, engines):
    for generation, engine in engines.items():
        shown = panel_numbers(device=device, generation=generation)
        assert shown.estimate == estimate(LLAMA_3_8B, find_device(device), Workload(1, 1024, 256), engine)
        assert said_of_engine(shown).startswith(f"Engine: {engine.name}.")
        assert "Engine" not in rent(shown)
    assert panel_numbers(device=device) == panel_numbers(device=device, generation=2025)


@given(SETTINGS)
@settings(deadline=None, max_examples=50)
def test_the_panel_says_where_the_engine_extrapolates_and_only_there(setting):
    shown = numbers(setting)
    beyond = engine_of(setting.device, setting.generation).beyond(setting.device, setting.workload)
    said = f" It extrapolates: {'; '.join(beyond)}."
    assert (said in said_of_engine(shown)) == bool(shown.estimate and beyond)
    assert ("extrapolates" in said_of_engine(shown)) == bool(shown.estimate and beyond)


def test_an_engine_of_ones_own_has_no_other_generation():
    panel = calculator(efficiency=IDEAL)
    assert "generation" not in {control["name"] for control in panel.controls}
    assert [name for name in panel.sheet() if "engine" in name] == [] and panel.static_html().count("<tr>") == 1 + 4
    assert panel.answer({})["sentence"] == sentence(panel_numbers(efficiency=IDEAL))


# --- as an output ----------------------------------------------------------------------------------------------------


@pytest.fixture
def panel():
    return calculator(model="Llama-3-8B", device="H100-SXM-80GB")


def test_without_a_kernel_a_sheet_of_five_settings_with_alternative_text(panel):
    output = panel._repr_mimebundle_()
    assert set(output) == {"text/plain", "text/html"}
    page = output["text/html"]
    assert page.count("<tr>") == 1 + 5
    described, data = re.search(r'<img alt="([^"]+)".*base64,([^"]+)"', page).groups()
    for name in ("A as given", "B batch 32", "C weights in 4.5 bits", "D prompt 16,384", "E engine of 2023"):
        assert f"{name}: Memory: weights " in described and f"<th scope=row>{name}</th>" in page
    tree = ElementTree.fromstring(b64decode(data))
    assert len(list(tree.iter(f"{SVG}circle"))) == 5 + 1
    assert H100_SXM.price_source in page
    assert len(page) < 40_000


def test_with_a_kernel_the_live_form_lies_in_the_same_output(panel, monkeypatch):
    monkeypatch.setattr(live, "has_kernel", lambda: True)
    assert set(panel._repr_mimebundle_()) == {VIEW, "text/plain", "text/html"}


def test_every_control_has_a_label_and_options_in_words(panel):
    controls = {control["name"]: control for control in panel.controls}
    assert list(controls) == list(CHOICES) == list(LABELS)
    assert [name for name, control in controls.items() if control["slider"]] == list(SLIDERS)
    for name, control in controls.items():
        assert len(set(control["options"])) == len(control["options"]) == len(CHOICES[name])
    assert controls["prompt"]["options"][controls["prompt"]["at"]] == "1,024"
    assert json.loads(json.dumps(panel.controls)) == panel.controls


def test_a_moved_control_changes_the_answer(panel):
    made = panel.widget()
    before = made.answer
    made.at = {"batch": CHOICES["batch"].index(64)}
    assert made.answer["sentence"] == sentence(panel_numbers(batch=64)) != before["sentence"]
    assert made.answer["picture"] != before["picture"]
    made.at = {}
    assert made.answer == before


def test_a_remedy_is_a_button_that_moves_the_controls():
    panel = calculator(**LLAMA_70B)
    answer = panel.answer({})
    buttons = [json.loads(at) for at in re.findall("data-at='([^']+)'", answer["remedies"])]
    assert {"devices": 1} in buttons  # the second position: two devices
    for positions in buttons:
        assert panel.answer(positions)["remedies"] == ""


def test_without_a_kernel_the_remedies_are_words():
    panel = calculator(**LLAMA_70B)
    for text in (repr(panel), panel.static_html()):
        assert "more are needed on each device. It would run with: " in text and "; 2 devices; " in text


def test_the_live_picture_says_what_it_shows(panel):
    tree = ElementTree.fromstring(panel.answer({})["picture"])
    assert tree.get("role") == "img" and tree.get("aria-label").startswith("Memory: weights 15.0, KV cache 0.16, ")


def test_a_value_of_ones_own_becomes_an_option():
    mine = measured_device(2e11, 3e10, 16 * 2**30, "my <laptop>")
    panel = Calculator(Setting(device=mine, model="SmolLM2-135M", batch=5, prompt=1000))
    options = {control["name"]: control["options"][control["at"]] for control in panel.controls}
    assert (options["batch"], options["prompt"]) == ("5", "1,000")
    assert options["device"] == "my <laptop>, 16 GiB, no list price"
    assert panel.choices["batch"][3:6] == (4, 5, 6)
    assert "<laptop>" not in panel.static_html() and "my &lt;laptop&gt;" in panel.static_html()


def test_what_the_html_takes_is_escaped():
    shown = panel_numbers(device=measured_device(2e11, 3e10, 16 * 2**30, "<b>"))
    assert "<b>" not in table([shown], ["<b>"])
    assert "Roofline of one <b>" in words(svg([shown]))  # as text, not as a tag


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (dict(device="H100-SXM"), "no device is called 'H100-SXM'; the nearest are H100-SXM-80GB"),
        (dict(model="Llama-9"), "no model is called 'Llama-9'"),
        (dict(generation=2024), "generation must be 2023 or 2025, got 2024; 2025 is that of"),
        (dict(batch=0), "batch must be a whole number of 1 or more, got 0; use 1 for a single user"),
        (
            dict(weights="3 bits"),
            "weights must be '16 bits', '8 bits, computed in 8', .*, got '3 bits'; '4.5 bits' are",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_when_it_is_called(controls, message):
    with pytest.raises(ValueError, match=message):
        calculator(**controls)


def test_a_control_that_is_not_there_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'batches'"):
        calculator(batches=3)
