"""Deploy bundles: a folder that holds the recommended model and all that it takes to run it and to check it."""

from pipeline.bundle.check import Check
from pipeline.bundle.package.verify import manifest_here
from pipeline.bundle.steps import Options
from pipeline.bundle.verify import verify, verify_bundle
from pipeline.bundle.write import write_bundle

__all__ = ["Check", "Options", "manifest_here", "verify", "verify_bundle", "write_bundle"]
