"""reStructuredText: to Markdown, whatever Sphinx adds, without reading other files."""

from __future__ import annotations

from pathlib import Path

from rag_assets.parsing.document import ParsedDocument
from rag_assets.parsing.parse import parse

SOURCE = """\
=====
Ducks
=====

:Author: Ada
:Version: 2

Swimming
========

They *swim*, see :py:func:`the pond <zoo.pond>` and ``code``.

.. code-block:: python

   def quack():
       return 1

.. versionadded:: 1.2
   Now with **wings**.

.. admonition-of-ours:: An argument
   :option: value

   Its content.

==== ====
Kind Size
==== ====
Duck 60
==== ====

- one
- two
"""


def rst(source: str) -> ParsedDocument:
    return parse(source.encode(), "rst")


def test_structure_becomes_markdown() -> None:
    text = rst(SOURCE).text
    assert "# Ducks" in text
    assert "\n## Swimming" in text
    assert "```python\ndef quack():\n    return 1\n```" in text
    assert "| Kind | Size |\n| --- | --- |\n| Duck | 60 |" in text
    assert "- one\n\n- two" in text
    assert "`code`" in text


def test_text_of_unknown_directives_and_roles_is_kept() -> None:
    text = rst(SOURCE).text
    assert "the pond" in text
    assert "zoo.pond" not in text
    for kept in ("1.2", "Now with **wings**.", "An argument", "Its content."):
        assert kept in text


def test_title_and_docinfo_become_metadata() -> None:
    document = rst(SOURCE)
    assert document.title == "Ducks"
    assert document.metadata == {"author": "Ada", "version": "2"}


def test_no_file_is_read_and_no_html_inserted(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("treasure")
    text = rst(
        f"Text\n\n.. include:: {secret}\n\n.. csv-table::\n   :file: {secret}\n\n.. raw:: html\n\n   <b>"
    ).text
    assert "treasure" not in text
    assert "Text" in text


def test_broken_markup_is_still_text() -> None:
    text = rst("Title\n==\n\n*unclosed and `weird_ |x|\n\n  indent\n bad\n\n.. image::\n").text
    assert "unclosed" in text
    assert "bad" in text


def test_a_role_defined_in_one_document_does_not_reach_the_next() -> None:
    plain = rst("Text :zoo:`animal`.\n")
    rst(".. role:: zoo(emphasis)\n\nText :zoo:`animal`.\n")
    assert rst("Text :zoo:`animal`.\n") == plain
