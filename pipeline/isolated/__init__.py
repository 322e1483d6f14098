"""Runs a call in a process of its own, with limits: whatever happens there becomes a result or a reason here.

``run`` makes the call. Its process ends with this one, leaves Ctrl-C to it, and is watched for its memory and its
silence. ``template.Template`` makes such processes cheaply, one after the other.
"""

from pipeline.isolated.run import Limits, run

__all__ = ["Limits", "run"]
