"""How good a search for faces is: found boxes against labels, with what the numbers can't tell.

`matching` judges a picture, `precision` ranks the boxes of many, `reliability` compares scores with
what they promise, `intervals` says how sure a figure is and `comparison` whether groups differ.
Pure functions: no picture is read and no network run here.
"""
