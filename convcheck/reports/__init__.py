"""What was found, and how it is written.

- `results`: what a verification found, as plain data; its annotations say what each key of the JSON is.
- `record`: from such annotations, JSON written, read back and described by a schema.
- `report`: the same as users hold it in their hands: it shows itself.
- `where`: where the wrong entries of a gradient lie, in words.
- `contributions`: what one entry of a gradient is made of, in words.
- `details`: what is said about a check that has not passed, and the commands to see it again.
- `blocks`: a report as blocks: each mistake told once, with all the layers that it is on.
- `summary`: the outcome and the totals, for every text format.
- `rows`: a layer's results as the rows of a table. `cases`: a report as cases, one per layer and gradient.
- `formats`: report to text, one file per format. `notebook`: what a notebook shows of a report.
- `baseline`: a report against a stored one.
"""
