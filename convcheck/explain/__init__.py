"""A layer made understandable.

pictures   a layer and its arrays as panels, drawn or printed
sums       one entry term by term, or a layer's derivation
figures    the functions that users call in a notebook
"""
