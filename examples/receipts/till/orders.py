"""Orders: what was bought, and what it costs."""

from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

PRICES = {"Pencil": 180, "Notebook": 650, "Fountain pen": 4_900}
"""What there is to buy, in cents."""


@dataclass(frozen=True)
class Line:
    """So many of one thing."""

    product: str
    count: int

    @property
    def cents(self) -> int:
        """What they cost."""
        return self.count * PRICES[self.product]


@dataclass(frozen=True)
class Order:
    """What somebody bought at once."""

    number: str
    email: str
    name: str
    lines: tuple[Line, ...]

    @property
    def cents(self) -> int:
        """What it costs."""
        return sum(line.cents for line in self.lines)

    @classmethod
    def from_form(cls, form: MultiDict[str, str]) -> "Order":
        """The order that somebody sent. Raises `ValueError` for one of nothing."""
        counts = {product: form.get(product, 0, type=int) for product in PRICES}
        lines = tuple(Line(one, count) for one, count in counts.items() if count > 0)
        if not lines:
            raise ValueError("Nothing was ordered.")
        return cls(form["number"], form["email"], form["name"], lines)


def euros(cents: int) -> str:
    """An amount as it is written."""
    return f"{cents / 100:,.2f} EUR"
