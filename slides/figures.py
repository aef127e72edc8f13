"""Figures and tables of the slides, taken from the executed solutions: `python slides/figures.py [--check]`.

A slide shows what the lesson computed, never a copy of it. In `NN_topic.md`

    ![what it shows](figures/02_fig-ladder.png)     is the figure of the cell named fig-ladder of solutions/02_*.ipynb
    ```text out-ladder                              a block whose lines are what the cell named out-ladder printed

Without `--check`, figures and blocks are brought up to date; with it, what is out of date is reported.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
from pathlib import Path

SLIDES = Path(__file__).parent
SOLUTIONS = SLIDES.parent / "solutions"
FIGURE = re.compile(r"\]\(figures/(\d\d)_([\w-]+)\.png\)")
BLOCK = re.compile(r"^```text ([\w-]+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def outputs(lesson: str) -> dict[str, list[dict]]:
    """The stored outputs of a lesson's solution, by cell name.

    Raises:
        ValueError: the lesson has no executed solution.
    """
    found = sorted(SOLUTIONS.glob(f"{lesson}_*.ipynb"))
    if not found:
        raise ValueError(f"there is no solutions/{lesson}_*.ipynb; build it with: python3 course.py build {lesson}")
    cells = json.loads(found[0].read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: cell["outputs"] for cell in cells if cell["cell_type"] == "code"}


def figure(cells: dict[str, list[dict]], name: str) -> bytes:
    """The picture that the cell `name` shows, as PNG bytes.

    Raises:
        ValueError: there is no such cell, or no picture in it.
    """
    for output in _outputs_of(cells, name):
        data = output.get("data", {})
        if "image/png" in data:
            return base64.b64decode("".join(data["image/png"]))
        if match := re.search(r'src="data:image/png;base64,([^"]+)"', "".join(data.get("text/html", ""))):
            return base64.b64decode(match[1])
    raise ValueError(f"the cell {name!r} shows no picture; end it with show(...)")


def printed(cells: dict[str, list[dict]], name: str) -> str:
    """What the cell `name` printed, with one line break at its end.

    Raises:
        ValueError: there is no such cell, or it printed nothing.
    """
    text = "".join("".join(output["text"]) for output in _outputs_of(cells, name) if output.get("name") == "stdout")
    if not text.strip():
        raise ValueError(f"the cell {name!r} prints nothing")
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n")) + "\n"


def _outputs_of(cells: dict[str, list[dict]], name: str) -> list[dict]:
    if name not in cells:
        raise ValueError(f'the solution has no code cell named {name!r}; name it with # %% name="{name}"')
    return cells[name]


def refresh(deck: Path, *, check: bool) -> list[str]:
    """Bring a deck's figures and blocks up to date, or with `check` only say which are not."""
    stale = []
    text = deck.read_text(encoding="utf-8")
    cells = outputs(deck.name[:2])
    for lesson, name in dict.fromkeys(FIGURE.findall(text)):
        path, new = SLIDES / "figures" / f"{lesson}_{name}.png", figure(cells, name)
        if not path.exists() or path.read_bytes() != new:
            stale.append(f"{path.relative_to(SLIDES)} is not what the solution shows")
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(new)

    new_text = BLOCK.sub(lambda match: f"```text {match[1]}\n{printed(cells, match[1])}```", text)
    if new_text != text:
        stale.append(f"{deck.name} has a table that is not what the solution prints")
        if not check:
            deck.write_text(new_text, encoding="utf-8", newline="\n")
    return stale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where something is out of date")
    arguments = parser.parse_args()
    stale = [line for deck in sorted(SLIDES.glob("[0-9][0-9]_*.md")) for line in refresh(deck, check=arguments.check)]
    for line in stale:
        print(line if arguments.check else f"updated: {line}")
    if arguments.check and stale:
        print("Bring them up to date with: python slides/figures.py, then build the slides")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
