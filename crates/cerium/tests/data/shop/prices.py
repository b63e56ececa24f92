"""What things cost, in cents."""

PRICES = {"apple": 50, "bread": 320, "cheese": 480}
TAX = 0.07


def price(name):
    """The price of one item, without tax."""
    return PRICES[name]


def with_tax(cents):
    """A sum and the tax on it, rounded to whole cents."""
    return round(cents * (1 + TAX))


def discount(cents, percent):
    """A sum with some per cent taken off."""
    return cents - cents * percent // 100
