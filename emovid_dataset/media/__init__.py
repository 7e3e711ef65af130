"""Everything PyAV: reading, cutting, encoding and measuring video."""
