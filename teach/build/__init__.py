"""Builds the notebooks of a lesson from its one source: `python -m teach.build`.

`solutions/NN_topic.py` is what people write and review (jupytext's py:percent). Two notebooks are made
from it: `solutions/NN_topic.ipynb`, executed, and `lessons/NN_topic.ipynb`, with the answers cut out.

- `source` reads the file into cells that know their line;
- `rules` says what is wrong with them, before anything is built, and `names` which names a cell takes from another;
- `pages` says what makes the page less quiet: `folding` (what only draws), `seconds` (what takes long), takeaways, and
  problems for paper; `minutes` counts how long the lesson takes; `report` prints all of it;
- `notebook` makes the lesson and the solution from the same cells;
- `execute` runs the solution, and `outputs` cleans and judges what it printed;
- `drift` compares what lies on disk with what the sources would give today;
- `command` is the command.
"""
