"""Ways to run a task over shards: processes on this machine (local)."""
