"""What decomposition costs and gives on trained models, side by side: accuracy, bytes, MACs, milliseconds.

A docstring alone: `clean_process` runs with -m, so its package must not import it first.
"""
