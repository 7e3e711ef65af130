"""EA-8cls: an evaluate module in a folder that is published as it is."""
