"""Code of others' designs, written here and usable on its own."""
