"""What things are: emotions, clips, manifests, the names of files. No I/O."""
