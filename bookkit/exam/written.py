"""Numbers as a question shows them: with a true minus sign, rounded as one does by hand."""

import re
from decimal import ROUND_HALF_UP, Decimal

NUMBER = re.compile(r"(?<![\w.,])−?\d[\d,]*(?:\.\d+)?")
"""A number in a text. An index, as in w₁, is none."""


def _decimal(value: float) -> Decimal:
    """Take a number as it is meant: 0.1 + 0.2 is 0.3."""
    return Decimal(f"{value:.12g}")


def _signed(value: Decimal) -> str:
    """Write a number in full, with a minus sign and no negative zero."""
    return f"{value if value else abs(value):,f}".replace("-", "−")


def plain(value: float) -> str:
    """Write a number with as many digits as it has."""
    number = _decimal(value)
    return _signed(number.quantize(Decimal(1)) if number == number.to_integral() else number)


class Number(float):
    """A drawn number, which stands in a text as one writes it."""

    def __format__(self, form: str) -> str:
        """Write it with as many digits as it has, unless asked for others."""
        return super().__format__(form) if form else plain(self)


def fixed(value: float, places: int) -> str:
    """Round to a number of decimal places, halves away from zero."""
    return _signed(_decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def significant(value: float, digits: int = 3) -> str:
    """Round to a number of significant digits, halves away from zero."""
    number = _decimal(value)
    if not number:
        return "0"
    last = number.adjusted() - digits + 1
    rounded = number.quantize(Decimal(1).scaleb(last), ROUND_HALF_UP)
    if rounded.adjusted() > number.adjusted():  # 0.9996 is 1.00, and not 1.000
        rounded = rounded.quantize(Decimal(1).scaleb(last + 1))
    return _signed(rounded if last < 0 else Decimal(int(rounded)))


def vector(*entries: float, places: int | None = None) -> str:
    """Write the entries of a vector in brackets."""
    written = (plain(x) if places is None else fixed(x, places) for x in entries)
    return f"({', '.join(written)})"


def times(*factors: float) -> str:
    """Write a product: ``times(2, -3)`` is 2 · (−3)."""
    first, *others = factors
    return " · ".join([plain(first), *(plain(x) if x >= 0 else f"({plain(x)})" for x in others)])


def linear(**coefficients: float) -> str:
    """Write a sum of multiples: ``linear(x=2, y=-3)`` is 2x − 3y."""
    terms = [f"{plain(x)}{name.removesuffix('one')}" for name, x in coefficients.items()]
    return " + ".join(terms).replace("+ −", "− ")


def numbers(text: str) -> list[tuple[float, int]]:
    """Find the numbers in a text, each with how many decimal places it shows."""
    found = (match.replace("−", "-").replace(",", "") for match in NUMBER.findall(text))
    return [(float(number), len(number.partition(".")[2])) for number in found]
