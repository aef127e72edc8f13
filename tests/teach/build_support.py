"""A house with one small lesson, for the tests of the builder."""

from dataclasses import dataclass
from pathlib import Path

from teach.build import command

SOURCE = '''\
# %% [markdown]
# # How much is twice as much?
#
# Lesson 07 · {minutes} · before it: nothing

# %%
import os

def check(id):
    print(id, "passed")

# %% [markdown]
# ### Exercise 7.1 - Twice a number (5 min)
# Write it.

# %% name="ex-7-1" tags=["exercise"]
def twice(x):
    """Twice `x`."""
    ### BEGIN SOLUTION
    doubled = x + x
    return doubled
    ### END SOLUTION

# %% tags=["check"]
check("7.1")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Add it to itself.
# </details>

# %% [markdown] tags=["solution-only"]
# A shift by one bit does it too.

# %% tags=["nbval-check-output"]
print(sum([2, 2]))

# %% [markdown]
# ## With pencil and paper
#
# **1.** What is twice 3?
#
# <details><summary>Answer</summary>
#
# 3 + 3 = 6.
# </details>
#
# **2.** Of which number is 8 twice as much?
#
# <details><summary>Answer</summary>
#
# Of 4: 4 + 4 = 8.
# </details>

# %% [markdown]
# ## Summary

# %% [markdown]
# That is all.

# %% [markdown]
# That is all.
'''


@dataclass(frozen=True)
class Stated:
    """As much of an exercise as the builder asks of it."""

    id: str = "7.1"
    title: str = "Twice a number"
    function: str = "twice"
    points: int = 2


def house(root: Path, text: str = SOURCE) -> Path:
    """A house with one lesson's source in it; returns the source's path."""
    path = root / "solutions" / "07_twice.py"
    path.parent.mkdir(exist_ok=True)
    (root / "lessons").mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def run(root: Path, *arguments: str, exercises=(Stated(),)) -> int:
    """The command on a house of our own."""
    return command.main(arguments, root=root, exercises=lambda lesson: exercises)
