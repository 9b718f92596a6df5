"""The known mistakes, one file each."""
