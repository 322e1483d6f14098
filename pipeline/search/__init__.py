"""Which candidates a search has, which of them it looks at, and when one is out of the race."""
