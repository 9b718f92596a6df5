"""A layer made understandable: pictures, and sums written out."""
