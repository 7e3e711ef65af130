"""From a label sheet and a folder of videos to a sharded build."""
