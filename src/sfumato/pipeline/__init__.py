"""A run: what is left to do, who does it, and one commit for each shard."""
