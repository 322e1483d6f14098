"""A run from its plan to its report: build, measure, analyse, report, bundle."""
