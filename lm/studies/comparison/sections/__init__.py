"""The sections of the page, each from report.json's figures to blocks."""
