"""Charts as SVG text, the same bytes for the same numbers: one function a chart.

To add one: a function from plain numbers to `Svg`, in a module here, whose `frame` says the
numbers in words and whose parts are the elements of `svg`; and a test in tests/test_charts.py that
its places follow its values.
"""
