"""Make mini_lib/assets/llm/prose.txt.xz, the English text for calibrating and judging the language model.

    python tools/prose.py                              # writes the file and prints its hash

The text is the reference manual that comes with Python for `help()`, `pydoc_data.topics`. It changes with the version
of Python, so the file was made once, with 3.11.7, and is shipped. The two parts have no topic in common, and no line of
more than 27 characters.
"""

import hashlib
import lzma
import sys
from pydoc_data.topics import topics

from mini_lib.files import write_file
from mini_lib.llm.model.prose import BETWEEN_PARTS, PROSE

CALIBRATION = ("assignment", "comparisons", "debugger")
EVALUATION = ("execmodel", "import", "objects", "types")


def main() -> None:
    """Write the file."""
    text = BETWEEN_PARTS.join("".join(topics[name] for name in sorted(part)) for part in (CALIBRATION, EVALUATION))
    content = lzma.compress(text.encode(), preset=9)
    write_file(PROSE, content)
    print(f"Python {sys.version.split()[0]}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
