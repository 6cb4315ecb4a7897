"""Samples, their statistics, and what is told about a measure."""

import dataclasses
import math


class Series:
    """Samples of one quantity."""

    def __init__(self):
        self.samples = []

    def add(self, value):
        self.samples.append(value)

    def __len__(self):
        return len(self.samples)

    @property
    def median(self):
        ordered = sorted(self.samples)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    @property
    def minimum(self):
        return min(self.samples)

    @property
    def p95(self):
        """Nearest rank."""
        ordered = sorted(self.samples)
        return ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)]

    def summary(self):
        return {
            "count": len(self),
            "median": rounded(self.median),
            "min": rounded(self.minimum),
            "p95": rounded(self.p95),
        }


def rounded(value):
    """Four significant digits."""
    if value is None or value == 0:
        return value
    return round(value, max(0, 3 - math.floor(math.log10(abs(value)))))


@dataclasses.dataclass
class Bar:
    """What is asked for: of the ratio to the peer, or of the value itself."""

    limit: float
    of: str = "ratio"
    at_most: bool = True

    def holds(self, value, ratio):
        number = ratio if self.of == "ratio" else value
        if number is None:
            return False
        return number <= self.limit if self.at_most else number >= self.limit

    def text(self, unit):
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.limit:g} ×" if self.of == "ratio" else f"{sign} {self.limit:g} {unit}"


@dataclasses.dataclass
class Measure:
    """One line of the table."""

    key: str
    name: str
    unit: str
    value: float
    peer: str = ""
    peer_value: float = None
    bar: Bar = None
    details: dict = dataclasses.field(default_factory=dict)
    note: str = ""

    @property
    def ratio(self):
        return self.value / self.peer_value if self.peer_value else None

    @property
    def ok(self):
        return None if self.bar is None else self.bar.holds(self.value, self.ratio)

    def json(self):
        document = {
            "key": self.key,
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "peer": self.peer or None,
            "peer_value": rounded(self.peer_value),
            "ratio": rounded(self.ratio),
            "bar": self.bar.text(self.unit) if self.bar else None,
            "ok": self.ok,
        }
        document.update(self.details)
        if self.note:
            document["note"] = self.note
        return document


def table(measures):
    """The measures as aligned text."""
    rows = [("measure", "value", "peer", "", "ratio", "bar", "")]
    for one in measures:
        rows.append(
            (
                one.name,
                f"{rounded(one.value):g} {one.unit}",
                one.peer,
                f"{rounded(one.peer_value):g} {one.unit}" if one.peer_value is not None else "",
                f"{rounded(one.ratio):g}" if one.ratio is not None else "",
                one.bar.text(one.unit) if one.bar else "",
                {True: "ok", False: "MISSED", None: ""}[one.ok],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in (1, 3, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
