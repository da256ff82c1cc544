"""Measures of pictures: pure functions over arrays."""
