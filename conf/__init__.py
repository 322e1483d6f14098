"""The Hydra configuration, a group per collaborator; installed as the package pipeline.conf."""
