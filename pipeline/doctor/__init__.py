"""Is this a machine to measure on?"""
