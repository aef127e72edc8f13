"""When augmentation hurts: turned digits, narrow nets, operations that change a label; and how a guard helps.

There is only this docstring: the modules are used one by one.
"""
