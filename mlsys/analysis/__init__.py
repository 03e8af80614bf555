"""Everything that is drawn: house style, architecture, plots, reference tables, explorers, the HTML report."""
