"""A small stock keeper, to try cerium on."""


class Inventory:
    """Counts of items by name."""

    def __init__(self):
        self.counts = {}

    def add(self, name, quantity=1):
        """Put items on the shelf."""
        self.counts[name] = self.counts.get(name, 0) + quantity

    def remove(self, name, quantity=1):
        """Take items off the shelf."""
        if self.counts.get(name, 0) < quantity:
            raise KeyError(name)
        self.counts[name] -= quantity

    def total(self):
        """Number of items of all names."""
        result = 0
        for count in self.counts.values():
            result += count
        return result
