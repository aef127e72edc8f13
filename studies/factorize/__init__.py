"""The costs and gains of decomposition on trained models, side by side: accuracy, bytes, MACs, milliseconds.

There is only this docstring: `clean_process` runs with -m, so its package must not import it first.
"""
