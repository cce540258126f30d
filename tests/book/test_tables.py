"""A table that is wider than a phone says in each cell which column it is of."""

from pages import parse

from bookkit.sphinx.tables import stacked

WIDE = (
    '<table class="table"><thead>'
    "<tr><th>a</th><th>b &amp; c</th><th>d</th><th><p>e</p></th></tr></thead>"
    "<tbody><tr><td>1</td><td>2</td><td>A sentence of some length</td>"
    "<td><code>And another one, as long</code></td></tr></tbody></table>"
)


def test_a_wide_table_is_labelled():
    table = stacked(WIDE)
    assert table.startswith('<table role="table" class="stacks table"><thead role="rowgroup">')
    assert '<td role="cell" data-label="b &amp; c">2</td>' in table
    assert '<td role="cell" data-label="e"><code>And another one, as long</code></td>' in table


def test_tables_that_fit_or_span_stay_as_they_are():
    narrow = WIDE.replace("A sentence of some length", "3").replace("And another one, as long", "4")
    spanning = WIDE.replace("<td>1</td>", '<td rowspan="2">1</td>')
    assert [stacked(narrow), stacked(spanning)] == [narrow, spanning]


def test_the_tables_of_the_page_on_results_are_labelled(html):
    tables = parse(html / "book" / "results.html").select("table.stacks")
    assert len(tables) > 20
    cells = [cell for table in tables for cell in table.select("tbody td")]
    assert all(cell["data-label"] for cell in cells)
