"""The measuring proves itself: identical models must not be called different, and a known difference must be found."""
