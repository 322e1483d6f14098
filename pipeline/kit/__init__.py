"""Measuring on another machine: what is carried there, and what comes back."""
