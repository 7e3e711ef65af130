"""The protocol of EA-8cls."""
