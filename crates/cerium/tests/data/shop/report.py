"""A report of the stock, and what it is worth."""

from inventory import Inventory
from prices import price, with_tax


def value(inventory):
    """What all items together cost, with tax."""
    total = 0
    for name, count in inventory.counts.items():
        total += price(name) * count
    return with_tax(total)


def lines(inventory):
    """A line for each item."""
    for name, count in inventory.counts.items():
        yield f"{name}: {count}"


def main():
    inventory = Inventory()
    inventory.add("apple", 3)
    inventory.add("bread")
    for line in lines(inventory):
        print(line)
    print("worth", value(inventory))


if __name__ == "__main__":
    main()
