"""The metrics; each is a folder that works alone as an evaluate module."""
