"""The packages, found: those in pipeline/, and conf/ and models/, which are installed within it."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["pipeline", "pipeline.*"]), "pipeline.conf", "pipeline.models"])
