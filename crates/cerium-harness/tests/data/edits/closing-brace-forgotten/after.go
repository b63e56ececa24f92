package cart

// Total adds up all lines.
func (c *Cart) Total(discount int) int {
	amount := 0
	for _, line := range c.Lines {
		amount += line.Price * line.Count
	}
	return amount
}

func (c *Cart) Empty() bool {
	return len(c.Lines) == 0
}
