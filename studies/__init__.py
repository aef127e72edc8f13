"""Experiments that run for minutes and are recorded: how they run and resume, and what they found.

The techniques that they study are in `mini_lib`, which knows nothing of them. `records/` holds what is shipped; the
scripts in `tools/` regenerate it.
"""
