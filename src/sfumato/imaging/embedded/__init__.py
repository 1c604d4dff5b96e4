"""What lies in a file beside its pixels and may stay: colour profile, orientation, panorama.

Each module reads untrusted bytes and gives back what was understood, written anew by a fixed
rule; nothing here knows the formats that carry it.
"""
