"""The forms that somebody's code may have, one file each."""
