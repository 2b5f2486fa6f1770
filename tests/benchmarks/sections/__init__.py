"""What `make bench` measures: one module a section, each a function `measure(folder, scale) -> Section`."""
