"""What travels to Hub repos as code; this is the only copy, and the package imports it too."""
