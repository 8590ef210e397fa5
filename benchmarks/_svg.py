"""Draws a chart of horizontal bars as SVG, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from _results import Chart

WIDTH, LABELS, VALUES = 720, 290, 90
ROW, BAR, TOP = 26, 16, 44

STYLE = """
.page { fill: #ffffff } text { fill: #1f2328; font: 13px sans-serif }
.title { font-weight: bold } .unit { fill: #59636e }
.bar { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  .page { fill: #151b23 } text { fill: #f0f6fc } .unit { fill: #9198a1 }
  .bar { fill: #656c76 } .ours { fill: #4493f8 }
}
"""


def draw(chart: Chart) -> str:
    """The chart as an SVG document, with a background of its own."""
    height = TOP + ROW * len(chart.values) + 8
    words = ", ".join(f"{name} {_shown(one)}" for name, one in chart.values.items())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img">',
            f"<title>{escape(f'{chart.title}, {chart.unit}: {words}')}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
            f'<text class="title" x="12" y="24">{escape(chart.title)}'
            f'<tspan class="unit" font-weight="normal"> {escape(chart.unit)}</tspan>'
            "</text>",
            *_bars(chart),
            "</svg>\n",
        ]
    )


def _bars(chart: Chart) -> Iterator[str]:
    longest = max(chart.values.values(), default=0.0) or 1.0
    room = WIDTH - LABELS - VALUES
    for number, (name, value) in enumerate(chart.values.items()):
        y, length = TOP + ROW * number, max(1.0, room * value / longest)
        kind = "bar ours" if name in chart.ours else "bar"
        middle = y + BAR - 3
        yield (
            f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(name)}'
            f'</text><rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" '
            f'height="{BAR}" rx="2"/><text x="{LABELS + length + 6:.1f}" y="{middle}">'
            f"{_shown(value)}</text>"
        )


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
