"""What was found, and how it is written."""
