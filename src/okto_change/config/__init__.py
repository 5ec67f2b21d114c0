"""Structured edits of config files that keep their layout, and the stores that hold them. The only ruamel.yaml."""
