"""Outside systems, one file each, imported only by who uses them."""
