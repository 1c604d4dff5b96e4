"""Statistics: found boxes against labels, and how sure a figure is.

`matching` judges an image, `precision` ranks the boxes of many, `reliability` compares scores with
what they promise. `intervals` says by formula how sure a figure is, `bootstrap` by drawing anew,
and `comparison` whether groups differ.
Pure functions: no image is read and no network run here.
"""
