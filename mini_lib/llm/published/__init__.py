"""Published measurements of speed, the calculator's prediction for each, and constants fitted to half of them."""

from mini_lib.llm.published.fit import compare, fit_engines, median_error, predicted_s
from mini_lib.llm.published.rows import decode_rows_2025, halves, published_rows, queued_rows_2025, read_rows
