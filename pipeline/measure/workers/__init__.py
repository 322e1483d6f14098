"""The processes that measure: what each does, how it is spoken to, and how it starts."""
