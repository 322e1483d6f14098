"""Where finished runs are kept track of; conf/tracking has a YAML for each."""
