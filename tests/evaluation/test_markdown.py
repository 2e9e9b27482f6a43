import re

from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.evaluation.markdown import to_html


def test_blocks():
    html = to_html("# Card\n\nOne **bold** `code`\nline.\n\n- a\n- b\n  more\n\n## Next\ntext")
    assert html.split("\n") == [
        "<h3>Card</h3>",
        "<p>One <strong>bold</strong> <code>code</code> line.</p>",
        "<ul><li>a</li><li>b more</li></ul>",
        "<h4>Next</h4>",
        "<p>text</p>",
    ]


def test_table():
    html = to_html("| a | b |\n| --- | ---: |\n| 1 | <i> |\n")
    assert '<th scope="col">a</th>' in html
    assert '<td>1</td><td class="n">&lt;i&gt;</td>' in html


def test_links_are_web_links_only():
    assert '<a href="https://x.org/a?b=1&amp;c=2" rel="noreferrer">x</a>' in to_html("[x](https://x.org/a?b=1&c=2)")
    assert to_html("See https://x.org/a.").endswith(">https://x.org/a</a>.</p>")
    assert "<a" not in to_html("[x](javascript:alert(1)) [y](data:text/html,z)")


@given(st.text(alphabet="<>\"'&`*[]()|#- \nahtps:/.x", max_size=200))
def test_only_our_own_tags_come_out(text):
    html = to_html(text)
    own = (
        r"</?(?:h[3-6]|p|ul|li|strong|code|table|thead|tbody|tr|td)>|<td class=\"n\">"
        r"|<th scope=\"col\"(?: class=\"n\")?>|</th>"
        r"|<a href=\"https?://[^\"<>]*\" rel=\"noreferrer\">|</a>|</?div(?: class=\"scroll\"[^<>]*)?>"
    )
    assert "<" not in re.sub(own, "", html)
