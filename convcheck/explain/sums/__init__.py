"""One entry term by term, or a layer's derivation step by step.

terms       layer, data and an entry -> Explanation: every term of its sum, as data
notation    how the teaching texts write entries and the general formulas
entry       Explanation -> Document
derivation  layer -> Document
writers     Document (headings, sentences, formulas, tables) -> text, LaTeX or Markdown
"""
