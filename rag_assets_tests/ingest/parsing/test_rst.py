"""reStructuredText: to Markdown, whatever Sphinx adds, without reading other files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rag_assets.corpus import Parsing
from rag_assets.ingest.parsing.document import ParsedDocument
from rag_assets.ingest.parsing.parse import parse
from rag_assets.ingest.parsing.pool import ParserPool

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


USING = "Text :zoo:`animal`, :strong:`loud`, :code:`x` and `plain`.\n\n.. zoo::\n   Inside\n\n.. note::\n   Text.\n"
DEFINING = [
    ".. role:: zoo(emphasis)\n\nText :zoo:`animal`.\n",
    ".. role:: strong(math)\n\nText :strong:`loud`.\n",
    ".. role:: code(subscript)\n\nText :code:`x`.\n",
    ".. role:: literal\n   :class: zoo\n\nText :literal:`x`.\n",
    ".. default-role:: math\n\nText `plain`.\n",
    ".. default-role:: math\n\n.. role:: broken(\n\n`plain\n",
    ".. zoo:: an argument\n   :option: value\n\n   Inside\n",
    "Title\n=====\n\nPart\n----\n\n- .. note::\n\n     Section\n     ~~~~~~~\n\n     .. topic:: T\n\n        x\n",
    ".. |animal| replace:: a duck\n\n|animal|, animal_\n\n.. _animal: https://example.org\n",
]


@pytest.mark.parametrize("before", DEFINING)
def test_what_one_document_defines_does_not_reach_the_next(before: str) -> None:
    plain = rst(USING)
    rst(before)
    assert rst(USING) == plain


def test_a_batch_gives_the_same_documents_in_any_order() -> None:
    items = [(source, "rst", source.encode()) for source in (USING, *DEFINING)]
    with ParserPool(Parsing(workers=1)) as pool:
        together = dict(pool.parse(items))
    with ParserPool(Parsing(workers=1)) as pool:
        assert dict(pool.parse(reversed(items))) == together


def test_a_document_may_use_the_roles_that_it_defines() -> None:
    assert "*animal*" in rst(DEFINING[0]).text
    assert "animal" in rst(".. default-role:: emphasis\n\nText `animal`.\n").text


def test_no_directive_reads_the_clock_or_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from docutils.parsers.rst.directives import _directive_registry

    def impure(*arguments: object) -> None:
        raise AssertionError("asked the machine for the time")

    for name in [*_directive_registry, "DATE"]:
        option = "   :scale: 50\n\n"
        source = f"Text |d|.\n\n.. |d| {name}:: %H:%M\n{option}.. {name}:: {__file__}\n{option}End.\n"
        with monkeypatch.context() as patched:
            for function in ("strftime", "localtime", "gmtime", "ctime"):
                patched.setattr(time, function, impure)
            first = rst(source)
            patched.chdir("/")
            assert rst(source) == first, name
        assert "End." in first.text, name


def test_a_date_is_what_stands_in_the_document() -> None:
    assert "It is %H:%M:%S now" in rst("It is |d| now.\n\n.. |d| date:: %H:%M:%S\n").text
