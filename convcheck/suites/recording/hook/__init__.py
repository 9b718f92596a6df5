"""The folder that a recorded command finds in front of all others: its ``sitecustomize`` is run by every Python."""
