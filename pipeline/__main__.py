"""``python -m pipeline``: the same as the console script ``slimline``."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
