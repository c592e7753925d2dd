"""The sections of the page: each turns report.json's figures into blocks."""
