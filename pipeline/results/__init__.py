"""Facts that a run recorded and what the analysis found, as types."""
