"""Taking samples: of latency, memory, energy and accuracy."""
