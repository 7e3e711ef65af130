"""What remote code on the Hub carries too; it imports libraries and its siblings only."""
