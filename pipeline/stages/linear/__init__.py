"""Layers as linear maps, whose weights can be solved anew."""
