"""Equations of a Word document → plain runs of text, which mammoth would otherwise drop.

The linear form (x^2, a_i, (a)/(b)) keeps every symbol searchable; layout is lost.
"""

from __future__ import annotations

import io
import re
import zipfile

DOCUMENT = "word/document.xml"
EQUATION = re.compile(r"<m:oMath(?:\s[^>]*)?>(.*?)</m:oMath>", re.DOTALL)
EQUATION_BLOCK = re.compile(r"</?m:oMathPara(?:\s[^>]*)?>|<m:oMathParaPr>.*?</m:oMathParaPr>", re.DOTALL)
SYMBOL = re.compile(r"<m:t(?:\s[^>]*)?>([^<]*)</m:t>|<m:(sup|sub|den)>")
OPERATORS = {"sup": "^", "sub": "_", "den": "/"}


def with_equations_as_text(data: bytes) -> bytes:
    """The same document, each equation replaced by its symbols. Unchanged when it has none."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if DOCUMENT not in archive.namelist():
            return data
        body = archive.read(DOCUMENT)
        if b"<m:oMath" not in body:
            return data
        changed = io.BytesIO()
        with zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as copy:
            for member in archive.infolist():
                content = archive.read(member)
                if member.filename == DOCUMENT:
                    content = EQUATION.sub(_as_run, EQUATION_BLOCK.sub("", body.decode())).encode()
                copy.writestr(member.filename, content)
    return changed.getvalue()


def _as_run(equation: re.Match[str]) -> str:
    symbols = (OPERATORS.get(match[2] or "", match[1] or "") for match in SYMBOL.finditer(equation[1]))
    return f'<w:r><w:t xml:space="preserve"> {"".join(symbols).strip()} </w:t></w:r>'
