"""Everything that is drawn: house style, diagrams, plots, reference tables, the HTML report.

`analysis` takes plain data (arrays, frames, dicts) and imports no system module, so any part may be drawn.
"""
