"""Specs in other languages: resolved runs as YAML and JSON, and configurations of other codebases read in."""
