# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import pytest

from zprl.utils.marked_text import section_places, write_sections

NEW = """\
<!-- generated: facts -->
one
<!-- end: facts -->

<!-- generated: runs -->
two
<!-- end: runs -->
"""


def test_a_new_text_has_all_sections_in_order():
    assert write_sections(None, {"facts": "one\n", "runs": "\ntwo"}) == NEW


def test_writing_the_same_again_changes_nothing():
    assert write_sections(NEW, {"facts": "one", "runs": "two"}) == NEW


def test_what_people_write_stays_where_it_is_and_order_is_theirs():
    facts, runs = NEW.split("\n\n")
    text = f"# By hand\n\n{runs}mine\n\n\n{facts}\nthe end"
    written = write_sections(text, {"facts": "1", "runs": "2"})
    assert written == text.replace("one", "1").replace("two", "2")


def test_a_section_that_is_not_given_stays_and_one_that_is_lacking_is_added():
    written = write_sections(NEW, {"runs": "2", "more": "three"})
    assert written == NEW.replace("two", "2") + "\n<!-- generated: more -->\nthree\n<!-- end: more -->\n"


def test_marks_within_a_line_are_text():
    text = NEW.replace("one", "says `<!-- generated: facts -->`")
    assert list(section_places(text)) == ["facts", "runs"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no mark\n", "holds no mark"),
        (NEW + NEW, "stands where none can"),
        (NEW.replace("<!-- end: facts -->\n", ""), "'<!-- generated: runs -->' stands where none can"),
        (NEW.replace("<!-- end: runs -->\n", ""), "'runs' has no end"),
        (NEW.replace("<!-- generated: runs -->\n", ""), "'<!-- end: runs -->' stands where none can"),
        (NEW.replace("end: facts", "end: runs"), "'<!-- end: runs -->' stands where none can"),
    ],
)
def test_marks_that_do_not_belong_together_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        write_sections(text, {"facts": "1"})
