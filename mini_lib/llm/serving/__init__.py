"""Serving: a language model under load, simulated request by request and checked against queueing theory."""

from mini_lib.llm.serving.arrivals import Request, lognormal_lengths, poisson_arrivals
from mini_lib.llm.serving.full_load import FullLoad, full_load
from mini_lib.llm.serving.load import LoadRow, knee, load_curve
from mini_lib.llm.serving.queueing import md1_knee, md1_wait_s, mg1_wait_s
from mini_lib.llm.serving.served import Served, Totals
from mini_lib.llm.serving.simulate import simulate
from mini_lib.llm.serving.timing import CalculatorTiming, LinearTiming, Timing, calculator_timing, kv_room_tokens
from mini_lib.llm.serving.window import Window, window_of
