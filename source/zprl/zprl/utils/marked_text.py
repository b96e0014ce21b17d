# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Text of which a program writes some sections and people write the rest.

A section stands between two lines, ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``. What stands elsewhere stays
when the sections are written anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_MARK = re.compile(r"^<!-- (generated|end): ([\w-]+) -->$", re.MULTILINE)


def write_sections(text: str | None, sections: Mapping[str, str]) -> str:
    """Return a text with some sections written anew.

    Args:
        text: The text as it is, or None if there is none yet.
        sections: Content by name. Sections that the text lacks are added at its end, in this order; those that it has
            and that are not given stay.

    Raises:
        ValueError: If the text has no marks, or marks that do not belong together.
    """
    blocks = {
        name: f"<!-- generated: {name} -->\n{text.strip()}\n<!-- end: {name} -->" for name, text in sections.items()
    }
    if text is None:
        return "\n\n".join(blocks.values()) + "\n"
    parts, position = [], 0
    for name, (start, end) in section_places(text).items():
        parts += [text[position:start], blocks.pop(name, text[start:end])]
        position = end
    if not parts:
        raise ValueError("it holds no mark '<!-- generated: ... -->'")
    return "".join([*parts, text[position:], *(f"\n{block}\n" for block in blocks.values())])


def section_places(text: str) -> dict[str, tuple[int, int]]:
    """Return where the sections of a text begin and end, marks included, by name and in order.

    Raises:
        ValueError: If its marks do not belong together.
    """
    places: dict[str, tuple[int, int]] = {}
    opened: re.Match[str] | None = None
    for mark in _MARK.finditer(text):
        kind, name = mark.groups()
        if (kind == "generated") != (opened is None) or name in places or (opened is not None and name != opened[2]):
            raise ValueError(f"its mark '{mark[0]}' stands where none can")
        if opened is not None:
            places[name] = (opened.start(), mark.end())
        opened = mark if kind == "generated" else None
    if opened is not None:
        raise ValueError(f"its section '{opened[2]}' has no end")
    return places
