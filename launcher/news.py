"""What a start of the lab has to tell, as a page that JupyterLab opens: few people look at the terminal."""

import re

from launcher.copies import write

NEWS = "NEWS.md"
HEADING = "# News of the course"


def write_news(notices, lesson, work):
    """Write the notices into work/NEWS.md, with a link to `lesson`; return the page to open, or None.

    There is none where nothing is new, or where the page that the learner has seen says the same already.
    A file of that name that is not of this making stays as it is.
    """
    path = work / NEWS
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else HEADING
    told = "\n".join([HEADING, "", *(f"- {linked(notice, work)}" for notice in notices), ""])
    if not notices or path.is_dir() or not before.startswith(HEADING) or before.startswith(told):
        return None
    write(path, f"{told}\n**Go on with** [{lesson.name}]({lesson.name})\n".encode())
    return path


def linked(notice, work):
    """A notice in Markdown: each notebook that it names is a link, where it is there."""

    def link(name):
        return f"[{name[0]}]({name[0]})" if (work / name[0]).is_file() else name[0]

    return re.sub(r"\b\d\d_\w+(\.new-[\d-]+)?\.ipynb", link, notice)
