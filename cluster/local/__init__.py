"""The servers of a cluster on one machine, without containers: one file per service."""
