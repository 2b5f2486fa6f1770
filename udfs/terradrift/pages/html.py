"""An HTML page as text: its shell, its style, and tables. Whatever comes from elsewhere passes `escaped`."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 400
"""Characters of a foreign text that are shown."""

STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#566172;--line:#d8dde4;--paper:#fff;--raised:#f5f7f9;--accent:#0b6fae;
--warn:#8a4b00;--warn-paper:#fff4e0;--truth:#c8174a;--outline:#e0194f}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#a3adba;--line:#39424e;--paper:#14191f;--raised:#1c232b;
--accent:#5cc1ff;--warn:#ffc46b;--warn-paper:#33260f;--truth:#ff5c8a}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:var(--paper);max-width:1120px;
margin:0 auto;padding:24px 16px 48px;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.25rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .25rem}
p,li{color:var(--soft);max-width:78ch}p{margin:.4rem 0}ul{padding-left:1.2rem}a{color:var(--accent)}
.cards{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0}
.card{border:1px solid var(--line);border-radius:8px;padding:10px 14px;background:var(--raised);min-width:118px}
.card b{display:block;font-size:1.45rem;line-height:1.3;font-variant-numeric:tabular-nums}
.card small{color:var(--soft);display:block}
.row{display:flex;flex-wrap:wrap;gap:20px}.row>figure{flex:1 1 320px;max-width:420px}
figure{margin:0}figcaption{color:var(--soft);font-size:.85rem;margin-top:4px}
.chart{display:block;width:100%;font-size:11px}.chart text{fill:var(--soft)}.grid{stroke:var(--line);fill:none}
polyline{fill:none;stroke-width:2}.main{stroke:var(--accent)}circle.main{fill:var(--accent)}
.ideal{stroke:var(--soft);stroke-dasharray:4 4;stroke-width:1}
.crops{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(220px,100%),1fr));gap:16px}
.picture{display:block;width:100%;border:1px solid var(--line)}.picture image{image-rendering:pixelated}
.picture path,.picture circle{fill:none;vector-effect:non-scaling-stroke;stroke-width:2}
.picture .truth{stroke:#ff405c}.picture .mapped{stroke:#fff;stroke-dasharray:3 2}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:4px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child{text-align:left;padding-left:0}
td{white-space:nowrap}td.word,th.word{text-align:left}td.word{white-space:normal;overflow-wrap:anywhere;min-width:7rem}
code,pre{font:.85rem/1.45 ui-monospace,"SF Mono",Consolas,monospace}
pre{background:var(--raised);border:1px solid var(--line);border-radius:8px;padding:10px 14px;overflow-x:auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:.85rem;align-items:center;max-width:none}.key{white-space:nowrap}
@media print{body{max-width:none;padding:0;font-size:11px}h2{break-after:avoid}figure,.card,tr{break-inside:avoid}
.scroll{overflow:visible}pre{white-space:pre-wrap}:root{color-scheme:light;--ink:#000;--soft:#333;--paper:#fff;--raised:#fff;--line:#bbb}}
"""


@dataclass(frozen=True)
class TextTable:
    """A title, names of columns and rows of text; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def escaped(text: object, longest: int = LONGEST) -> str:
    """Text of whatever origin, shortened, so that it can stand in an element or in a quoted attribute."""
    line = str(text)
    shown = line if len(line) <= longest else f"{line[: longest - 1]}…"
    return html.escape("".join(c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}" for c in shown), quote=True)


def document(title: str, body: Sequence[str], style: str = "", script: str = "") -> str:
    """A whole page; the browser is told to load nothing and to take this style and this script alone, or none."""
    sheet = STYLE + style
    policy = f"default-src 'none'; img-src data:; style-src {_hash(sheet)}; base-uri 'none'; form-action 'none'"
    if script:
        policy, body = f"{policy}; script-src {_hash(script)}", [*body, f"<script>{script}</script>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<title>{escaped(title)}</title><style>{sheet}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def cards(figures: Sequence[tuple[str, str, str]]) -> str:
    """Large figures: name, value, what is said under it."""
    parts = []
    for name, value, under in figures:
        small = f"<small>{escaped(under)}</small>" if under else ""
        parts.append(f'<div class="card">{escaped(name)}<b>{escaped(value)}</b>{small}</div>')
    return f'<div class="cards">{"".join(parts)}</div>'


def table(found: TextTable, words: Sequence[int] = (), level: int = 2) -> str:
    """A table under its title; columns of numbers are set to the right, `words` to the left."""
    kinds = [' class="word"' if column in words else "" for column in range(len(found.columns))]
    head = "".join(f"<th{kind}>{escaped(column)}</th>" for kind, column in zip(kinds, found.columns, strict=True))
    rows = ("".join(f"<td{kind}>{escaped(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in found.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    title = f"<h{level}>{escaped(found.title)}</h{level}>" if found.title else ""
    return f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(picture: str, caption: str) -> str:
    """A picture, as markup, over its caption, as text."""
    return f"<figure>{picture}<figcaption>{escaped(caption)}</figcaption></figure>"
