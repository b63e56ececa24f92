class Cart:
    """What a customer wants to buy."""

    def __init__(self, owner):
        self.owner = owner
        self.lines = []

    def add(self, item, count=1):
        # Same items share a line.
        for line in self.lines:
            if line.item == item:
                line.count += count
                return line

        line = Line(item, count)
        self.lines.append(line)
        return line

    def total(self):
        amount = 0
        for line in self.lines:
            amount += line.item.price * line.count
        return amount


def main():
    cart = Cart("Ada")
    cart.add(Item("pen", 2))
    print(cart.total())
