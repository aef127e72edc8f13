"""What a start has to tell, as a page: opened when it is new, and never in the place of the learner's own file."""

from launcher.news import write_news

NOTICE = "02_bits.ipynb: there is a new version, next to yours as 02_bits.new-2026-11-23-2.ipynb. Yours is unchanged."
PAGE = """\
# News of the course

- [02_bits.ipynb](02_bits.ipynb): there is a new version, next to yours as \
[02_bits.new-2026-11-23-2.ipynb](02_bits.new-2026-11-23-2.ipynb). Yours is unchanged.
- 03_gone.ipynb: a new lesson.

**Go on with** [02_bits.ipynb](02_bits.ipynb)
"""


def test_a_page_links_what_is_there_and_is_opened_once(tmp_path):
    lesson, other = tmp_path / "02_bits.ipynb", tmp_path / "02_bits.new-2026-11-23-2.ipynb"
    lesson.touch(), other.touch()
    notices = [NOTICE, "03_gone.ipynb: a new lesson."]
    assert write_news([], lesson, tmp_path) is None and not (tmp_path / "NEWS.md").exists()
    assert write_news(notices, lesson, tmp_path) == tmp_path / "NEWS.md"
    assert (tmp_path / "NEWS.md").read_text(encoding="utf-8") == PAGE
    assert write_news(notices, other, tmp_path) is None  # the same news
    assert write_news([], lesson, tmp_path) is None and (tmp_path / "NEWS.md").exists()  # to be read again
    assert write_news(notices[1:], lesson, tmp_path) == tmp_path / "NEWS.md"


def test_a_file_or_folder_of_the_learners_is_left_alone(tmp_path):
    lesson = tmp_path / "02_bits.ipynb"
    (tmp_path / "NEWS.md").write_bytes(b"my notes \xff")
    assert write_news([NOTICE], lesson, tmp_path) is None
    assert (tmp_path / "NEWS.md").read_bytes() == b"my notes \xff"
    (tmp_path / "NEWS.md").unlink()
    (tmp_path / "NEWS.md").mkdir()
    assert write_news([NOTICE], lesson, tmp_path) is None
