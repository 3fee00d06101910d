"""Numbers of several runs, and tables of them."""

import statistics


class Spread:
    """Median with minimum and maximum of a few runs."""

    def __init__(self, values):
        self.values = sorted(values)

    @property
    def median(self):
        return statistics.median(self.values)

    def json(self):
        return {"median": self.median, "min": self.values[0], "max": self.values[-1]}

    def text(self, form=None):
        form = form or number
        middle = form(self.median)
        if len(self.values) == 1:
            return middle
        return f"{middle} [{form(self.values[0])}-{form(self.values[-1])}]"


def number(value):
    """Three digits are what such measurements are worth."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percentile(values, share):
    """The smallest value that at least `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))]


def render(title, columns, rows, notes=()):
    """A table for a terminal that is also one in Markdown."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(name)] + [len(row[i]) for row in cells]) for i, name in enumerate(columns)]

    def line(row):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    lines = [f"\n{title}\n", line(columns), rule, *map(line, cells)]
    return "\n".join(lines + [f"  {note}" for note in notes])
