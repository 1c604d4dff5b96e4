"""Bytes and pixels: files read, edited block by block, and searched for what else is in them."""
