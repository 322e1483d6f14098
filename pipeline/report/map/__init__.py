"""The map on the page: each variant's graph beside the baseline's, drawn in blocks that unfold."""
