"""Ways to the clips of a build: load, stream, select."""
