"""A report as a list of blocks, rendered to one self-contained HTML file and to Markdown. All text is escaped here and only here.

The HTML loads nothing: no script, font, style sheet or picture from outside; a policy in its head forbids it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d5dae0; --page: #ffffff; --band: #f4f6f8;
  --mark: #e8f0fb; --accent: #1c4f8a; --warn: #fff4d6; --warn-line: #c58a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9da7b1; --line: #3a424b; --page: #14181c; --band: #1d2329;
  --mark: #1d3148; --accent: #7fb2ec; --warn: #3a3013; --warn-line: #d6a52e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 84rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.4rem 0 .4rem; }
p, ul { max-width: 62rem; margin: .5rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .9rem; margin: 1rem 0; }
nav a { color: var(--accent); text-decoration: none; }
nav a:hover { text-decoration: underline; }
.callout { max-width: 62rem; margin: .8rem 0; padding: .7rem 1rem; background: var(--warn);
  border-left: 4px solid var(--warn-line); }
.verdict { border-left-color: var(--accent); background: var(--mark); font-size: 1.15rem; font-weight: 600; }
.wide { overflow-x: auto; margin: .8rem 0 1rem; }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { caption-side: top; text-align: left; font-weight: 600; padding: .2rem 0 .35rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
thead th { background: var(--band); vertical-align: bottom; border-bottom: 2px solid var(--line); }
th.left, td.left { text-align: left; }
tbody td { white-space: nowrap; }
tbody td.left { white-space: normal; }
tbody th { font-weight: 400; }
tr.marked { background: var(--mark); }
tr.marked th { font-weight: 600; }
.note { font-size: .85rem; color: var(--soft); margin-top: -.5rem; }
.beside { display: flex; flex-wrap: wrap; gap: 0 3rem; }
.beside .note { width: 0; min-width: 100%; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { font-size: .87rem; color: var(--soft); max-width: 62rem; white-space: pre-line; }
.gallery { display: flex; flex-wrap: wrap; gap: .6rem 1.1rem; align-items: flex-start; }
.gallery figure { margin: .3rem 0; }
.gallery.cards figure { width: 10.5rem; }
.gallery.cards figcaption { overflow-wrap: anywhere; }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --page: #fff; --band: #f1f1f1;
  --mark: #e9eef5; --accent: #1c4f8a; --warn: #fff4d6; } @page { size: A4 landscape; margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } nav { display: none; } table { font-size: 7.6pt; }
  th, td { padding: .15rem .35rem; } .wide { overflow: visible; } figure, tr, .callout { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; } }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Heading:
    """level: 2 for a section, which the list of contents names, or 3."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Callout:
    """What must not be overlooked. verdict: it is the report's one sentence."""

    text: str
    verdict: bool = False


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Cells as plain text; a line break in one stays. left: columns of words. marked: rows that stand out. note: below it."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[int] = field(default=frozenset({0}))
    marked: frozenset[int] = field(default=frozenset())
    note: str = ""


@dataclass(frozen=True)
class Beside:
    """Tables next to each other, where the page has room."""

    tables: Sequence[Table]


@dataclass(frozen=True)
class Picture:
    """An image file. kind: "png" or "svg+xml". alt: what it shows, for who cannot see it."""

    data: bytes
    kind: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures in rows. cards: each is as narrow as one ROI."""

    pictures: Sequence[Picture]
    cards: bool = False


Block = Heading | Text | Callout | Bullets | Table | Beside | Picture | Gallery


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """The whole page."""
    sections = [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]
    contents = "".join(f'<a href="#{_anchor(text)}">{escape(text)}</a>' for text in sections)
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<nav aria-label="Contents">{contents}</nav>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The same without the pictures, each of which is named."""
    return "\n\n".join([f"# {_md(title)}", *(_markdown(block) for block in blocks)]) + "\n"


def _html(block: Block) -> str:
    match block:
        case Heading(text, 2):
            return f'<h2 id="{_anchor(text)}">{escape(text)}</h2>'
        case Heading(text):
            return f"<h3>{escape(text)}</h3>"
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Callout(text, verdict):
            return f'<p class="callout{" verdict" * verdict}">{escape(text)}</p>'
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Table():
            return _html_table(block)
        case Beside(tables):
            return f'<div class="beside">{"".join(_html_table(table) for table in tables)}</div>'
        case Picture(data, kind, alt, caption):
            source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
            image = f'<img src="{source}" alt="{escape(alt)}">'
            return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
        case Gallery(pictures, cards):
            return f'<div class="gallery{" cards" * cards}">{"".join(_html(p) for p in pictures)}</div>'


def _html_table(table: Table) -> str:
    def cell(text: str, column: int, kind: str, scope: str = "") -> str:
        side = ' class="left"' if column in table.left else ""
        return f"<{kind}{scope}{side}>{escape(text).replace(chr(10), '<br>')}</{kind}>"

    header = "".join(cell(text, column, "th", ' scope="col"') for column, text in enumerate(table.header))
    rows = [
        ('<tr class="marked">' if number in table.marked else "<tr>")
        + "".join(
            cell(text, column, "td" if column else "th", "" if column else ' scope="row"') for column, text in enumerate(row)
        )
        + "</tr>"
        for number, row in enumerate(table.rows)
    ]
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div><div class="wide"><table><caption>{escape(table.caption)}</caption><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}</div>"
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_md(text)}"
        case Text(text):
            return _md(text)
        case Callout(text):
            return f"> **{_md(text)}**"
        case Bullets(items):
            return "\n".join(f"- {_md(item)}" for item in items)
        case Table():
            return _markdown_table(block)
        case Beside(tables):
            return "\n\n".join(_markdown_table(table) for table in tables)
        case Picture():
            return f"*Picture, in report.html:* {_md(block.caption)}"
        case Gallery(pictures):
            return "\n".join(f"- {_markdown(picture)}" for picture in pictures)


def _markdown_table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(_md(cell, '<br>') for cell in cells)} |"

    sides = ["---" if column in table.left else "---:" for column in range(len(table.header))]
    rows = [
        f"| **{_md(row[0], '<br>')}** {line(row[1:])}" if number in table.marked else line(row)
        for number, row in enumerate(table.rows)
    ]
    parts = [f"**{_md(table.caption)}**", "\n".join([line(table.header), f"| {' | '.join(sides)} |", *rows])]
    return "\n\n".join([*parts, _md(table.note)] if table.note else parts)


def _md(text: str, line_break: str = " ") -> str:
    """Text in which Markdown finds nothing to interpret."""
    plain = re.sub(r"([\\`*|])", r"\\\1", escape(text, quote=False)).replace("](", "]\\(")
    return re.sub(r"\s*\n\s*", line_break, plain)


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")
