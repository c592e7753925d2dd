"""The sections of the comparison's page: each turns numbers of report.json into blocks of the page."""
