"""The little Markdown that our own cards use, as HTML: headings, paragraphs, lists, tables, code and links.

All text is escaped; raw HTML in a card is shown, not run. Only http(s) links become links.
"""

import re
from html import escape

_LINK = re.compile(r"\[([^\]]+)\]\((https?://[^\s)]+)\)|<?(https?://[^\s<>|)]*[^\s<>|).,;:])>?")
_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")
_BULLET = re.compile(r"\s*[-*] +")
_HEADING = re.compile(r"(#{1,6}) +(.*)")
_RULE = re.compile(r"\|?[\s:|-]*-[\s:|-]*\|?")


def to_html(text: str, top_heading: int = 3) -> str:
    """Return a card as HTML, its first heading level being ``h<top_heading>``."""
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip()):
        lines = block.split("\n")
        while lines and (heading := _HEADING.fullmatch(lines[0])):
            level = min(top_heading + len(heading[1]) - 1, 6)
            blocks.append(f"<h{level}>{inline(heading[2])}</h{level}>")
            lines = lines[1:]
        if lines and lines != [""]:
            blocks.append(_block(lines))
    return "\n".join(blocks)


def inline(text: str) -> str:
    """Return one line's code, bold and links as HTML, everything else escaped."""
    parts, end = [], 0
    for match in _LINK.finditer(text):
        parts.append(_spans(text[end : match.start()]))
        address = match[2] or match[3]
        parts.append(f'<a href="{escape(address)}" rel="noreferrer">{_spans(match[1] or address)}</a>')
        end = match.end()
    return "".join(parts) + _spans(text[end:])


def _spans(text: str) -> str:
    parts, end = [], 0
    for match in _INLINE.finditer(text):
        parts.append(escape(text[end : match.start()]))
        name, inner = ("code", match[1]) if match[1] is not None else ("strong", match[2])
        parts.append(f"<{name}>{escape(inner)}</{name}>")
        end = match.end()
    return "".join(parts) + escape(text[end:])


def _block(lines: list[str]) -> str:
    if len(lines) > 1 and "|" in lines[0] and _RULE.fullmatch(lines[1].strip()):
        return _table(lines)
    if _BULLET.match(lines[0]):
        items: list[str] = []
        for line in lines:
            bullet = _BULLET.match(line)
            if bullet:
                items.append(line[bullet.end() :])
            else:
                items[-1] += " " + line.strip()
        return "<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>"
    return f"<p>{inline(' '.join(line.strip() for line in lines))}</p>"


def _table(lines: list[str]) -> str:
    head, *body = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in [lines[0], *lines[2:]])
    rule = [cell.strip() for cell in lines[1].strip().strip("|").split("|")]
    right = [' class="n"' if cell.endswith(":") else "" for cell in rule] + [""] * max(map(len, [head, *body]))
    rows = [
        "<tr>" + "".join(f"<td{side}>{inline(cell)}</td>" for side, cell in zip(right, row, strict=False)) + "</tr>"
        for row in body
    ]
    top = "<tr>" + "".join(f'<th scope="col"{s}>{inline(c)}</th>' for s, c in zip(right, head, strict=False)) + "</tr>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table of sources">'
        f"<table><thead>{top}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
