"""The stages, a file each, and in the folders what several of them share."""
