"""Experiments that run for minutes and are recorded: how they run and resume, and their results.

The techniques that they study are in `mini_lib`, which does not depend on them. `records/` holds the shipped results;
the scripts in `tools/` regenerate them.
"""
