"""What is known: records, their tables and the databases that hold them."""
