"""Why a row is not faster."""
