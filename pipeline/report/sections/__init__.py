"""The sections of the report: each a function of the report, the same for every format."""
