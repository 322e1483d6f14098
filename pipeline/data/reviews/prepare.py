"""Make the shipped reviews.csv: sentences of product reviews, and whether readers found them positive.

    python -m pipeline.data.reviews.prepare SOURCE

SOURCE is amazonReviewSnippets_GroundTruth.txt from additional_resources/hutto_ICWSM_2014.tar.gz in the source
distribution of vaderSentiment 3.3.2 (MIT; Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment
Analysis of Social Media Text"). The mean of twenty readers' ratings, -4 to 4, becomes the label: 1 above 0, else 0.
"""

from __future__ import annotations

import argparse
import csv
import html
from pathlib import Path

DESTINATION = Path(__file__).parent / "reviews.csv"


def prepare(source: Path, destination: Path = DESTINATION) -> int:
    """Write the text and the label of every sentence; returns how many there are."""
    rows = []
    for line in source.read_text(encoding="latin-1").splitlines():
        _, rating, text = line.split("\t", 2)
        rows.append((html.unescape(text).strip(), int(float(rating) > 0)))
    with destination.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    prepare(parser.parse_args().source)
