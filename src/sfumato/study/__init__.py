"""Does recognition survive the obfuscation? Arms, runs, predictions and what follows from them.

    images + boxes --arms--> images of an arm --training, probing--> predictions of a run
    predictions of all runs --analysis--> answers with intervals --report--> study.json, study.html

`predictions` is the seam: whatever trained a model, its predictions in that form are enough for
`analysis` and `report`, which know nothing of torch. docs/study.md has the measures.
"""
