"""The known mistakes, one file each, found by being here.

A file is named as its mistake; its docstring says what was done wrong. The class in it, the only one, is a `Mistake`
with a code that is still free.
"""
