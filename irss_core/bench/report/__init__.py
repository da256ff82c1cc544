"""The report of a quality run: an HTML page that needs nothing but itself, a Markdown table, a CSV of all values."""
