"""Orders and their prices."""

from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

PRICES = {"Pencil": 180, "Notebook": 650, "Fountain pen": 4_900}
"""The prices, in cents."""


@dataclass(frozen=True)
class Line:
    """A number of one article."""

    product: str
    count: int

    @property
    def cents(self) -> int:
        """The price of the line."""
        return self.count * PRICES[self.product]


@dataclass(frozen=True)
class Order:
    """The articles that a customer buys."""

    number: str
    email: str
    name: str
    lines: tuple[Line, ...]

    @property
    def cents(self) -> int:
        """The price of the order."""
        return sum(line.cents for line in self.lines)

    @classmethod
    def from_form(cls, form: MultiDict[str, str]) -> "Order":
        """The order in a submitted form. Raises `ValueError` if it is empty."""
        counts = {product: form.get(product, 0, type=int) for product in PRICES}
        lines = tuple(Line(one, count) for one, count in counts.items() if count > 0)
        if not lines:
            raise ValueError("Nothing was ordered.")
        return cls(form["number"], form["email"], form["name"], lines)


def euros(cents: int) -> str:
    """An amount as text."""
    return f"{cents / 100:,.2f} EUR"
