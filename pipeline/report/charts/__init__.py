"""The charts of report.html, a file each."""
