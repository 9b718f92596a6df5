"""The code under test in a process of its own: between it and the verdict pass arrays and words only."""
