"""What this Python has installed, this program among it, and what its libraries say about themselves."""
