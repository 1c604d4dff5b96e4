"""Statistics: found boxes against labels, and how sure a figure is.

`matching` compares the boxes of an image with its labels, `precision` ranks those of many.
`intervals` says by formula how sure a figure is, `bootstrap` by drawing anew, and `comparison`
whether groups differ.
Pure functions: no image is read and no network run here.
"""
